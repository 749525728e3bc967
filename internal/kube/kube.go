// Package kube decides which objects a Kubernetes cluster is given so that many pods learn one
// program together, and so that each node records some of its pods. It refuses to know what the commands in them do. Its main
// hazard is a privilege that is not needed, or one that is missing: the lists are in one place each, and tests learn and record with them.
package kube

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

// Job says what is to be learned. Image, Completions, Name and Argv are required.
type Job struct {
	Name        string // of all objects, and of the profile
	Namespace   string // "": that of whoever applies it
	Image       string // has the program, and tjfuzz in its PATH
	Completions int    // shards
	Parallelism int    // pods at a time; 0: all
	Claim       string // of a volume that all pods can write to at a time; "": one is asked for
	Storage     string // how much is asked for, as Kubernetes writes quantities
	Memory      string // at most, of each pod
	Duration    time.Duration
	Learn       []string // more flags of learn
	Argv        []string
}

// Volume is where the shared volume is in each pod.
const Volume = "/tjfuzz"

// index is replaced by the kubelet.
const index = "$(JOB_COMPLETION_INDEX)"

// MaxCompletions is far beyond what a program is worth.
const MaxCompletions = 1000

// label is what Kubernetes takes for the name of a pod, with room for what it adds (RFC 1123).
var label = lazyregexp.New(`^[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?$`)

// quantity is an amount of bytes.
var quantity = lazyregexp.New(`^[1-9][0-9]{0,8}(Ki|Mi|Gi|Ti|k|M|G|T)?$`)

// NameFor is a name of objects that reminds of a program.
func NameFor(program string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(path.Base(program)) {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			r = '-'
		}
		b.WriteRune(r)
	}
	name := strings.Trim(b.String(), "-")
	if name == "" {
		return "tjfuzz"
	}
	return "tjfuzz-" + strings.Trim(name[:min(len(name), 30)], "-")
}

func (j *Job) check() error {
	switch {
	case !label.MatchString(j.Name):
		return fmt.Errorf("%q cannot be the name: Kubernetes takes up to 42 lower case letters, digits and dashes", j.Name)
	case j.Namespace != "" && !label.MatchString(j.Namespace):
		return fmt.Errorf("%q cannot be the namespace", j.Namespace)
	case j.Image == "" || strings.ContainsAny(j.Image, " \t\n"):
		return fmt.Errorf("%q cannot be the image", j.Image)
	case j.Completions < 1 || j.Completions > MaxCompletions:
		return fmt.Errorf("%d completions are not between 1 and %d", j.Completions, MaxCompletions)
	case j.Parallelism < 0 || j.Parallelism > j.Completions:
		return fmt.Errorf("%d pods at a time are not between 1 and the %d completions", j.Parallelism, j.Completions)
	case !quantity.MatchString(j.Storage) || !quantity.MatchString(j.Memory):
		return fmt.Errorf("%q and %q are not both amounts of bytes, such as 1Gi", j.Storage, j.Memory)
	case len(j.Argv) == 0:
		return fmt.Errorf("no program is given")
	}
	return nil
}

// Write writes the objects as YAML: the claim of a volume, unless there is one, the Job whose pods
// learn, and the suspended Job that unites what they have learned.
func (j Job) Write(w io.Writer) error {
	if j.Parallelism == 0 {
		j.Parallelism = j.Completions
	}
	if err := j.check(); err != nil {
		return err
	}
	objects := []any{j.shards(), j.merge()}
	if j.Claim == "" {
		objects = slices.Insert(objects, 0, any(j.claim()))
	}
	return write(w, fmt.Sprintf(`# Learns %[2]s in %[3]d pods, and unites what they find:
#
#   kubectl apply -f FILE
#   kubectl wait --for=condition=complete --timeout=24h job/%[1]s
#   kubectl patch job/%[1]s-merge --type=merge -p '{"spec":{"suspend":false}}'
#   kubectl wait --for=condition=complete job/%[1]s-merge
#
# Then the profile is %[1]s.seccomp.json on the volume. The namespace has to admit privileged pods
# (pod-security.kubernetes.io/enforce: privileged), the volume writers on several nodes.
`, j.Name, printable(j.Argv[0]), j.Completions), objects...)
}

// write writes objects after a comment.
func write(w io.Writer, comment string, objects ...any) error {
	var b bytes.Buffer
	b.WriteString(comment)
	for _, o := range objects {
		b.WriteString("---\n")
		e := yaml.NewEncoder(&b)
		e.SetIndent(2)
		if err := e.Encode(o); err != nil {
			return err
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// printable keeps a comment a comment.
func printable(word string) string {
	if q := strconv.QuoteToASCII(word); q != `"`+word+`"` {
		return q
	}
	return word
}

func (j *Job) claim() any {
	return object{"v1", "PersistentVolumeClaim", j.meta(j.Name), claimSpec{
		AccessModes: []string{"ReadWriteMany"},
		Resources:   resources{Requests: map[string]string{"storage": j.Storage}},
	}}
}

// shards is the Job whose pods learn. A pod that fails is replaced by one of the same index, which
// goes on from what the volume has of it.
func (j *Job) shards() any {
	argv := []string{"tjfuzz", "learn", "--shard", index + "/" + strconv.Itoa(j.Completions), "--state", j.state(index),
		"--sync", j.at("sync"), "--instance", "shard-" + index, "--duration", j.Duration.String()}
	argv = append(argv, literal(j.Learn)...)
	c := j.container("learn", append(append(argv, "--"), literal(j.Argv)...))
	return object{"batch/v1", "Job", j.meta(j.Name), jobSpec{
		CompletionMode: "Indexed", Completions: j.Completions, Parallelism: j.Parallelism, BackoffLimitPerIndex: 3,
		Template: j.template(nil, c),
	}}
}

// merge is the Job that unites the shards, makes the profile, and proves it by all that they found.
func (j *Job) merge() any {
	unite := []string{"tjfuzz", "merge", "--state", j.at("state")}
	for i := range j.Completions {
		unite = append(unite, j.state(strconv.Itoa(i)))
	}
	profile := j.at("seccomp.json")
	united := j.container("merge", unite)
	united.SecurityContext = unprivileged()
	generated := j.container("generate", []string{"tjfuzz", "generate", "-o", profile, j.at("state")})
	generated.SecurityContext = unprivileged()
	proved := j.container("verify", append([]string{"tjfuzz", "verify", "--state", j.at("state"), "--policy", profile, "--"}, literal(j.Argv)...))
	return object{"batch/v1", "Job", j.meta(j.Name + "-merge"), jobSpec{
		Suspend: true, Completions: 1, Parallelism: 1, BackoffLimit: 3, Template: j.template([]container{united, generated}, proved),
	}}
}

// at is a place on the volume.
func (j *Job) at(what string) string { return path.Join(Volume, j.Name+"."+what) }

func (j *Job) state(index string) string {
	return j.at(fmt.Sprintf("shard-%s-of-%d", index, j.Completions))
}

// literal are words of which the kubelet replaces nothing.
func literal(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = strings.ReplaceAll(w, "$", "$$")
	}
	return out
}
