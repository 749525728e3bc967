package kube

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

func job() Job {
	return Job{Name: "shop", Namespace: "ci", Image: "registry.example/shop:1.4", Completions: 3, Storage: "1Gi", Memory: "2Gi", Duration: 5 * time.Minute,
		Learn: []string{"--args=safe"}, Argv: []string{"/usr/bin/shop", "--greeting", "$(HOME) is \"home\": \n- no", "@@"}}
}

// objects reads what was written as Kubernetes does, where an unknown field or a value of another type is an error.
func objects(t *testing.T, j Job) (claim *core.PersistentVolumeClaim, shards, merge *batch.Job) {
	t.Helper()
	var b bytes.Buffer
	if err := j.Write(&b); err != nil {
		t.Fatal(err)
	}
	var jobs []*batch.Job
	for _, text := range strings.Split(b.String(), "\n---\n")[1:] {
		checkRequired(t, text)
		switch {
		case strings.Contains(text, "kind: PersistentVolumeClaim"):
			claim = new(core.PersistentVolumeClaim)
			if err := yaml.UnmarshalStrict([]byte(text), claim); err != nil {
				t.Errorf("%v in\n%s", err, text)
			}
		default:
			jobs = append(jobs, new(batch.Job))
			if err := yaml.UnmarshalStrict([]byte(text), jobs[len(jobs)-1]); err != nil {
				t.Errorf("%v in\n%s", err, text)
			}
		}
	}
	if len(jobs) != 2 {
		t.Fatalf("%d jobs in\n%s", len(jobs), &b)
	}
	return claim, jobs[0], jobs[1]
}

func TestKubernetesReadsWhatIsWritten(t *testing.T) {
	claim, shards, merge := objects(t, job())
	if claim == nil || claim.Name != "shop" || claim.Namespace != "ci" || claim.Spec.AccessModes[0] != core.ReadWriteMany || claim.Spec.Resources.Requests.Storage().String() != "1Gi" {
		t.Errorf("the claim is %+v", claim)
	}
	if s := shards.Spec; *s.CompletionMode != batch.IndexedCompletion || *s.Completions != 3 || *s.Parallelism != 3 || *s.BackoffLimitPerIndex < 1 || s.Suspend != nil {
		t.Errorf("the job of the shards is %+v", s)
	}
	if s := merge.Spec; s.Suspend == nil || !*s.Suspend || merge.Name != "shop-merge" {
		t.Errorf("the job that merges would start at once, or is %s", merge.Name)
	}
	for _, j := range []*batch.Job{shards, merge} {
		pod := j.Spec.Template.Spec
		if pod.RestartPolicy != core.RestartPolicyNever || pod.Volumes[0].PersistentVolumeClaim.ClaimName != "shop" || *pod.AutomountServiceAccountToken {
			t.Errorf("%s: the pod is %+v", j.Name, pod)
		}
		for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
			if c.Image != "registry.example/shop:1.4" || c.VolumeMounts[0].Name != pod.Volumes[0].Name || c.VolumeMounts[0].MountPath != Volume || c.Resources.Limits.Memory().IsZero() {
				t.Errorf("%s: the container is %+v", j.Name, c)
			}
			checkPrivileges(t, c)
		}
	}
}

// checkPrivileges demands that what runs the program has the capabilities it needs, and all else none.
func checkPrivileges(t *testing.T, c core.Container) {
	t.Helper()
	s := c.SecurityContext
	if s.Privileged != nil || len(s.Capabilities.Drop) != 1 || s.Capabilities.Drop[0] != "ALL" {
		t.Errorf("%s is privileged, or keeps capabilities that it does not name", c.Name)
	}
	runs := c.Name == "learn" || c.Name == "verify"
	if n := len(s.Capabilities.Add); runs != (n == len(Capabilities)) || !runs && n != 0 {
		t.Errorf("%s has %d capabilities", c.Name, n)
	}
	if want := map[bool]core.SeccompProfileType{true: core.SeccompProfileTypeUnconfined, false: core.SeccompProfileTypeRuntimeDefault}[runs]; s.SeccompProfile.Type != want {
		t.Errorf("%s has the seccomp profile %s", c.Name, s.SeccompProfile.Type)
	}
}

// What the kubelet replaces in a command, as its documentation has it: $(NAME) by a variable, $$ by $.
func expand(word string, index int) string {
	return strings.NewReplacer("$$", "$", "$(JOB_COMPLETION_INDEX)", fmt.Sprint(index)).Replace(word)
}

func TestTheProgramGetsItsWordsAsTheyWereGiven(t *testing.T) {
	j := job()
	_, shards, merge := objects(t, j)
	for _, c := range []core.Container{shards.Spec.Template.Spec.Containers[0], merge.Spec.Template.Spec.Containers[0]} {
		var got []string
		for _, word := range c.Command[slices.Index(c.Command, "--")+1:] {
			got = append(got, expand(word, 1))
		}
		if !slices.Equal(got, j.Argv) {
			t.Errorf("%s runs %q, want %q", c.Name, got, j.Argv)
		}
	}
}

// The merge reads exactly what the shards write.
func TestTheShardsLeaveWhatIsMerged(t *testing.T) {
	j := job()
	j.Claim, j.Parallelism = "theirs", 2
	claim, shards, merge := objects(t, j)
	if claim != nil {
		t.Error("a volume is asked for although there is one")
	}
	if got := shards.Spec.Template.Spec.Volumes[0].PersistentVolumeClaim.ClaimName; got != "theirs" || *shards.Spec.Parallelism != 2 {
		t.Errorf("the volume is that of %s, and %d pods run at a time", got, *shards.Spec.Parallelism)
	}
	var written []string
	command := shards.Spec.Template.Spec.Containers[0].Command
	for i := range j.Completions {
		written = append(written, expand(command[slices.Index(command, "--state")+1], i))
	}
	united := merge.Spec.Template.Spec.InitContainers[0].Command
	if read := united[slices.Index(united, "--state")+2:]; !slices.Equal(read, written) {
		t.Errorf("the merge reads %q, the shards write %q", read, written)
	}
}

func TestAJobThatCannotBeIsRefused(t *testing.T) {
	for what, change := range map[string]func(*Job){
		"name":        func(j *Job) { j.Name = "Shop" },
		"namespace":   func(j *Job) { j.Namespace = "a\nb" },
		"image":       func(j *Job) { j.Image = "" },
		"completions": func(j *Job) { j.Completions = 0 },
		"at a time":   func(j *Job) { j.Parallelism = 4 },
		"amounts":     func(j *Job) { j.Storage = "much" },
		"program":     func(j *Job) { j.Argv = nil },
	} {
		j := job()
		change(&j)
		var b bytes.Buffer
		if err := j.Write(&b); err == nil || !strings.Contains(err.Error(), what) || b.Len() > 0 {
			t.Errorf("%s: %v, and %d bytes", what, err, b.Len())
		}
	}
}

func TestNamesRemindOfTheProgram(t *testing.T) {
	for program, want := range map[string]string{"/usr/bin/jq": "tjfuzz-jq", "./My_Server.bin": "tjfuzz-my-server-bin", strings.Repeat("x", 90): "tjfuzz-" + strings.Repeat("x", 30)} {
		if got := NameFor(program); got != want || !label.MatchString(got) {
			t.Errorf("%s: %s, want %s", program, got, want)
		}
	}
	if got := NameFor("/é"); !label.MatchString(got) {
		t.Errorf("%q is no name", got)
	}
}
