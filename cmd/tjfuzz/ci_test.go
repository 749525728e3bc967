package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// job is a directory with a program, as a job of CI has it, and what the job's system
// gives it.
type job struct {
	t                    *testing.T
	dir, summary, output string
}

func newJob(t *testing.T) *job {
	t.Helper()
	testenv.Require(t, testenv.BPF)
	dir := t.TempDir()
	j := &job{t, dir, filepath.Join(dir, "summary"), filepath.Join(dir, "output")}
	j.program("SYS_getsid")
	return j
}

// program makes the job's program, which makes a call.
func (j *job) program(call string) {
	j.t.Helper()
	src := filepath.Join(j.dir, "prog.c")
	text := "#include <sys/syscall.h>\n#include <unistd.h>\nint main(void) { return syscall(" + call + ", 0) < 0; }\n"
	if err := os.WriteFile(src, []byte(text), 0o644); err != nil {
		j.t.Fatal(err)
	}
	if out, err := exec.Command(testenv.Program(j.t, "gcc"), "-O1", "-o", filepath.Join(j.dir, "prog"), src).CombinedOutput(); err != nil {
		j.t.Fatalf("%v\n%s", err, out)
	}
}

// run runs a script of the job and returns its exit code.
func (j *job) run(script string, env ...string) (string, int) {
	j.t.Helper()
	c := exec.CommandContext(j.t.Context(), testenv.Program(j.t, "bash"), "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script)
	c.Dir = j.dir
	c.Env = append(os.Environ(), env...)
	out, err := c.CombinedOutput()
	if err != nil && c.ProcessState == nil {
		j.t.Fatal(err)
	}
	return string(out), c.ProcessState.ExitCode()
}

func (j *job) read(name string) string {
	j.t.Helper()
	text, err := os.ReadFile(filepath.Join(j.dir, name))
	if err != nil {
		j.t.Fatal(err)
	}
	return string(text)
}

// What the action runs, on what it is given, does what docs/ci.md says: a profile that is
// new, the same, and another one, with outputs and a summary.
func TestTheActionSaysWhatHasChanged(t *testing.T) {
	j := newJob(t)
	tool, err := exec.LookPath("tjfuzz")
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "action.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var action struct {
		Inputs map[string]struct {
			Default  string
			Required bool
		}
		Outputs map[string]struct{ Value string }
		Runs    struct {
			Using string
			Steps []struct {
				ID, Run, Shell, Uses string
				Env                  map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(text, &action); err != nil {
		t.Fatal(err)
	}
	inputs := map[string]string{"command": "./prog", "profile": "prog.seccomp.json", "flags": "--seed 1 --jobs 1 --execs 40 --only argv"}
	for name, in := range action.Inputs {
		if _, given := inputs[name]; !given {
			if in.Required {
				t.Fatalf("the input %s is not given", name)
			}
			inputs[name] = in.Default
		}
	}
	reference := regexp.MustCompile(`\$\{\{ ([a-z_.-]+) \}\}`)
	learn := func(given map[string]string) (string, int, map[string]string) {
		t.Helper()
		for _, file := range []string{j.summary, j.output} {
			if err := os.WriteFile(file, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for _, step := range action.Runs.Steps {
			if step.ID != "learn" {
				continue
			}
			env := []string{"GITHUB_ACTION_PATH=" + root, "GITHUB_STEP_SUMMARY=" + j.summary, "GITHUB_OUTPUT=" + j.output}
			for name, value := range step.Env {
				value = reference.ReplaceAllStringFunc(value, func(ref string) string {
					name := reference.FindStringSubmatch(ref)[1]
					if input, ok := strings.CutPrefix(name, "inputs."); ok {
						if v, ok := given[input]; ok {
							return v
						}
						return inputs[input]
					}
					if name == "github.action_path" {
						return root
					}
					t.Fatalf("the action refers to %s", name)
					return ""
				})
				if name == "TJFUZZ" { // which the step before has built
					value = tool
				}
				env = append(env, name+"="+value)
			}
			out, code := j.run(step.Run, env...)
			outputs := map[string]string{}
			for line := range strings.Lines(j.read("output")) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
				outputs[name] = value
			}
			return out, code, outputs
		}
		t.Fatal("the action has no step learn")
		return "", 0, nil
	}

	if out, code, outputs := learn(map[string]string{"fail-on": "wider"}); code != 0 || outputs["changed"] != "true" {
		t.Fatalf("a new profile: exit code %d, outputs %q\n%s", code, outputs, out)
	}
	if got := j.read("summary"); !strings.Contains(got, "`prog.seccomp.json` is new.") || !strings.Contains(got, "`getsid`") {
		t.Errorf("the summary says %s", got)
	}
	if out, code, outputs := learn(nil); code != 0 || outputs["changed"] != "false" {
		t.Fatalf("the same program: exit code %d, outputs %q\n%s", code, outputs, out)
	}
	j.program("SYS_getpgid")
	out, code, outputs := learn(nil)
	if code != exitDiffers || outputs["changed"] != "true" {
		t.Fatalf("another program: exit code %d, outputs %q\n%s", code, outputs, out)
	}
	if got := j.read(outputs["summary"]); got != j.read("summary") || !strings.Contains(got, "**permits what it did not**") || !strings.Contains(got, "`getpgid`") {
		t.Errorf("the summary says %s", got)
	}
	if got := j.read(outputs["sarif"]); !strings.Contains(got, "getpgid (observed): allow") {
		t.Errorf("SARIF says %s", got)
	}
	for name, output := range action.Outputs {
		if key := strings.TrimPrefix(reference.FindStringSubmatch(output.Value)[1], "steps.learn.outputs."); outputs[key] == "" {
			t.Errorf("the output %s is empty", name)
		}
	}

	// A failure is no change.
	if out, code, _ := learn(map[string]string{"command": "./absent"}); code != exitError {
		t.Errorf("a program that is not there: exit code %d\n%s", code, out)
	}
	if out, code, _ := learn(map[string]string{"fail-on": "often"}); code != exitUsage {
		t.Errorf("a word that is not known: exit code %d\n%s", code, out)
	}
}

// The template for GitLab runs the same script, with the same names for what it takes.
func TestTheTemplateForGitLabRunsTheSame(t *testing.T) {
	text, err := os.ReadFile("../../docs/templates/gitlab-ci.yml")
	if err != nil {
		t.Fatal(err)
	}
	var template map[string]struct {
		Script    []string
		Variables map[string]string
	}
	if err := yaml.Unmarshal(text, &template); err != nil {
		t.Fatal(err)
	}
	j := newJob(t)
	given := template[".tjfuzz"]
	if strings.Join(given.Script, "\n") != "regenerate" {
		t.Fatalf("the script is %q", given.Script)
	}
	env := []string{"COMMAND=./prog", "PROFILE=prog.seccomp.json", "FLAGS=--seed 1 --jobs 1 --execs 40 --only argv"}
	for name, value := range given.Variables {
		env = append(env, name+"="+value)
	}
	script, err := filepath.Abs("../../scripts/regenerate")
	if err != nil {
		t.Fatal(err)
	}
	if out, code := j.run(script, env...); code != exitDiffers || !strings.Contains(out, "is new.") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// The hook refuses a profile with a fault, and none without.
func TestTheHookLintsProfiles(t *testing.T) {
	text, err := os.ReadFile("../../.pre-commit-hooks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var hooks []struct{ Entry, Files string }
	if err := yaml.Unmarshal(text, &hooks); err != nil || len(hooks) != 1 {
		t.Fatalf("%d hooks, %v", len(hooks), err)
	}
	files := regexp.MustCompile(hooks[0].Files)
	for name, want := range map[string]bool{"jq.seccomp.json": true, "a/b.seccomp.yaml": true, "package.json": false, "seccomp.json.md": false} {
		if files.MatchString(name) != want {
			t.Errorf("files that match: %s %v", name, !want)
		}
	}
	j := &job{t: t, dir: t.TempDir()}
	for name, text := range map[string]string{
		"good.seccomp.yaml": "version: 1\ndefault: log\narchitectures: [x86_64]\nobserved: {read: {then: errno EPERM}}\n",
		"bad.seccomp.yaml":  "version: 1\ndefault: errno EPERM\narchitectures: [x86_64]\nobserved: {execve: {}, openat: {flags: {is: O_RDONLY}}, openat2: {}}\n",
	} {
		if err := os.WriteFile(filepath.Join(j.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, code := j.run(hooks[0].Entry + " good.seccomp.yaml"); code != 0 {
		t.Errorf("a profile without a fault: exit code %d\n%s", code, out)
	}
	if out, code := j.run(hooks[0].Entry + " good.seccomp.yaml bad.seccomp.yaml"); code == 0 || !strings.Contains(out, "bypass") {
		t.Errorf("a profile with a fault: exit code %d\n%s", code, out)
	}
}
