package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// A person is asked at the terminal that the program uses at the same time, and what is
// typed between questions is the program's.
func TestQuestionsAtTheTerminalOfTheProgram(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	const ctrlC, prompt = "\x03", "n[e]ver? "
	for _, c := range []struct {
		name       string
		argv       []string
		steps      []step
		made, none []string
	}{
		{
			"each answer",
			[]string{"sh", "-c", `mkdir a; mkdir b; mkdir c && rmdir c; mkdir c && rmdir c; mkdir d; mkdir d; echo re""ady; read x; echo "got <$x>"; mkdir e`},
			[]step{
				{`wants mkdir("a", 0777)`, ""}, {prompt, "y\n"},
				{`wants mkdir("b", 0777)`, ""}, {prompt, "perhaps\n"}, {prompt, "n\n"},
				{`wants mkdir("c", 0777)`, ""}, {prompt, "always\n"}, // and no question about the second
				{`wants mkdir("d", 0777)`, ""}, {prompt, "e\n"},
				{"ready", "typed\n"}, {"got <typed>", ""},
				{`wants mkdir("e", 0777)`, ""}, {prompt, "yes\n"},
			},
			[]string{"a", "e"},
			[]string{"b", "c", "d"},
		},
		{
			"a mode of the program's",
			[]string{"sh", "-c", `stty raw -echo; mkdir a; stty -a | tr -s ' ;' '\n\n' | grep -qxe -icanon && echo ke""pt; stty sane; read x`},
			[]step{{prompt, "y\r"}, {"kept", "\n"}},
			[]string{"a"}, nil,
		},
		{
			"an interrupt of who is asked about",
			[]string{"sh", "-c", `trap 'echo inter""rupted' INT; mkdir a; mkdir b; exit 0`},
			[]step{{`wants mkdir("a"`, ""}, {prompt, ctrlC}, {"interrupted", ""}, {`wants mkdir("b"`, ""}, {prompt, "y\n"}},
			[]string{"b"},
			[]string{"a"},
		},
		{
			"an interrupt that it ignores",
			[]string{"sh", "-c", `trap '' INT; mkdir a || echo re""fused; read x`},
			[]step{{prompt, ctrlC}, {"refused", "\n"}},
			nil,
			[]string{"a"},
		},
		{
			"a shell with jobs",
			[]string{"bash", "--norc", "--noprofile", "-i"},
			[]step{{"$ ", "mkdir a\n"}, {prompt, "y\n"}, {"$ ", "mkdir b\n"}, {prompt, "n\n"}, {"$ ", "read x\n"}, {"", "more\n"}, {"$ ", `echo "got <$x>"` + "\n"}, {"got <more>", "exit 0\n"}},
			[]string{"a"},
			[]string{"b"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			converse(t, c.steps, append([]string{"enforce", "--policy", "none", "--default", "allow", "--notify", "mkdir,mkdirat", "--ask", "--chdir", dir, "--"}, c.argv...))
			for _, name := range c.made {
				if !exists(filepath.Join(dir, name)) {
					t.Errorf("%s was not made", name)
				}
			}
			for _, name := range c.none {
				if exists(filepath.Join(dir, name)) {
					t.Errorf("%s was made", name)
				}
			}
		})
	}
}

func TestAPolicyIsUpdatedAfterAnAnswer(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	dir := t.TempDir()
	policy := filepath.Join(dir, "policy.yaml")
	var text bytes.Buffer
	if code := run([]string{"enforce", "--policy", "none", "--default", "allow", "--errno", "EACCES:mkdir,mkdirat", "--print"}, nil, &text, &text); code != 0 {
		t.Fatal(text.String())
	}
	if err := os.WriteFile(policy, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, typed := range []string{"n\n", "\n", "\x03", "y\n"} {
		before, err := os.ReadFile(policy)
		if err != nil {
			t.Fatal(err)
		}
		converse(t, []step{{"? [y/N] ", typed}}, []string{"enforce", "--update", policy, "--chdir", dir, "--", "sh", "-c", "mkdir made; exit 0"})
		after, err := os.ReadFile(policy)
		if err != nil {
			t.Fatal(err)
		}
		if changed := !bytes.Equal(before, after); changed != (typed == "y\n") {
			t.Errorf("%q: changed is %v", typed, changed)
		}
	}
	converse(t, nil, []string{"enforce", "--update", policy, "--chdir", dir, "--", "sh", "-c", "mkdir made"}) // and runs clean
}

func TestWithoutATerminalNobodyIsAsked(t *testing.T) {
	c := exec.Command("tjfuzz", "enforce", "--policy", "none", "--default", "allow", "--notify", "mkdir", "--ask", "--", "true")
	c.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	out, err := c.CombinedOutput()
	if c.ProcessState == nil || c.ProcessState.ExitCode() != exitError || !strings.Contains(string(out), "tjfuzz: error: there is no terminal to ask at: ") ||
		!strings.Contains(string(out), "tjfuzz: hint: give rules that ask nobody with --answers") {
		t.Errorf("%v\n%s", err, out)
	}
}
