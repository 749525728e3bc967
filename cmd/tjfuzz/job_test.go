package main

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/tjfuzz/tjfuzz/internal/kube"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// The very commands of the manifest, run as a cluster runs them: one process a pod, with its index and the capabilities
// of its container, on a directory that all share. Only the budget is another.
func TestTheCommandsOfAJobLearnTogether(t *testing.T) {
	testenv.Require(t, testenv.Root, testenv.BPF)
	t.Parallel()
	dir := sharded(t)
	const shards = 3
	tjfuzzIn(t, dir, "job", "--image", "example/options:1", "--completions", strconv.Itoa(shards), "--duration", "0s", "--name", "options", "-o", "job.yaml",
		"--learn=--only=argv", "--learn=--directed=false", "--learn=--confidence=0.9", "--learn=--jobs=1", "--learn=--seeds=seeds", "--", "./options")
	var jobs []batch.Job
	for _, text := range strings.Split(read(t, dir, "job.yaml"), "\n---\n")[1:] {
		var j batch.Job
		if strings.Contains(text, "kind: Job") {
			if err := yaml.UnmarshalStrict([]byte(text), &j); err != nil {
				t.Fatal(err)
			}
			jobs = append(jobs, j)
		}
	}
	if len(jobs) != 2 {
		t.Fatalf("%d jobs", len(jobs))
	}
	volume := filepath.Join(dir, "volume")
	run := func(c core.Container, index int) *tool {
		words := []string{"--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"}
		for _, name := range c.SecurityContext.Capabilities.Add {
			words[0] += ",+" + strings.ToLower(string(name))
		}
		for _, w := range c.Command {
			w = strings.ReplaceAll(w, "$(JOB_COMPLETION_INDEX)", strconv.Itoa(index))
			words = append(words, strings.ReplaceAll(w, kube.Volume+"/", volume+"/"))
		}
		return startProgram(t, dir, testenv.Program(t, "setpriv"), words...)
	}
	var pods []*tool
	for i := range shards {
		pods = append(pods, run(jobs[0].Spec.Template.Spec.Containers[0], i))
	}
	for _, p := range pods {
		p.wait(t, 0)
	}
	merge := jobs[1].Spec.Template.Spec
	for _, c := range append(merge.InitContainers, merge.Containers...) {
		run(c, 0).wait(t, 0)
	}
	allowed := allowedBy(t, filepath.Join(volume, "options.seccomp.json"))
	for _, call := range []string{"getppid", "getsid", "getpriority", "mkdir", "getitimer", "umask"} {
		if !allowed[call] {
			t.Errorf("the profile does not allow %s", call)
		}
	}
}
