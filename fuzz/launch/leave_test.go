package launch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

func TestARunFindsWhatItsStepsHaveLeft(t *testing.T)             { stepsLeave(t, &cage.Options{}) }
func TestARunFindsWhatItsStepsHaveLeftWithoutACage(t *testing.T) { stepsLeave(t, nil) }
func TestARunFindsWhatItsStepsHaveLeftInADirectoryOfTheHost(t *testing.T) {
	stepsLeave(t, &cage.Options{Dir: t.TempDir()})
}

func step(script string) fuzz.Step { return fuzz.Step{Argv: []string{"sh", "-c", script}} }

func stepsLeave(t *testing.T, c *cage.Options) {
	t.Helper()
	e := shell(t, Options{Cage: c})
	for _, tt := range []struct {
		name   string
		before []fuzz.Step
		script string
		want   string
	}{
		{"files and directories", []fuzz.Step{step("mkdir -p d/e && echo x >d/e/f && mkdir g")}, "find . -mindepth 1 | sort | tr '\\n' ' '; cat d/e/f", "./d ./d/e ./d/e/f ./g ./given x\n"},
		{"modes and links", []fuzz.Step{step("echo x >a; chmod 750 a; ln -s a l; ln -s nowhere m; mkdir -m 500 d; mkfifo p")}, "stat -c '%A %n' a d p; readlink l m", "-rwxr-x--- a\ndr-x------ d\nprw-r--r-- p\na\nnowhere\n"},
		{"times", []fuzz.Step{step("touch -d @1000000000 a; mkdir d; touch d/b; touch -d @1 d")}, "stat -c %Y a d", "1000000000\n1\n"},
		{"holes", []fuzz.Step{step("truncate -s 32M a")}, "stat -c '%s %b' a", "33554432 0\n"},
		{"one after the other", []fuzz.Step{step("echo 1 >>log"), step("echo 2 >>log; rm given"), step("echo 3 >>log")}, "cat log; ls", "1\n2\n3\nlog\n"},
		{"what a step is given", []fuzz.Step{{Argv: []string{"sh", "-c", "cat >copy; echo $V >>copy"}, Env: []string{"V=v"}, Stdin: "given"}}, "cat copy", "givenv\n"},
		{"a name like that of the input", []fuzz.Step{step("mkdir input input/x")}, "cat $1", "the input"},
		{"no directory any more", []fuzz.Step{step(`rm -r "$PWD" 2>/dev/null; true`)}, "ls", ""},
		{"a link in its place", []fuzz.Step{step(`cd /; rm -r "$OLDPWD" 2>/dev/null && ln -s /etc "$OLDPWD"; true`)}, "ls passwd 2>/dev/null", ""},
		{"a step that fails", []fuzz.Step{step("echo x >a; exit 3")}, "cat a", "x\n"},
		{"a step that is killed", []fuzz.Step{step("echo x >a; kill -9 $$")}, "cat a", "x\n"},
	} {
		s := script(tt.script)
		s.Argv = append(s.Argv, "sh", "@@")
		s.Input, s.Files, s.Before = []byte("the input"), []fuzz.File{{Name: "given", Data: []byte("given")}}, tt.before
		for range 2 { // the second time, the steps are remembered
			r := run(t, e, s)
			if got := strings.TrimPrefix(string(e.Output()), "./input "); strings.ReplaceAll(strings.ReplaceAll(got, "./input ", ""), "input\n", "") != tt.want {
				t.Errorf("cage %v, %s: got %q, want %q; %+v", c != nil, tt.name, got, tt.want, r)
			}
		}
	}
}

func TestARunTellsWhatKindOfTreeItHasLeft(t *testing.T)             { treesAreTold(t, &cage.Options{}) }
func TestARunTellsWhatKindOfTreeItHasLeftWithoutACage(t *testing.T) { treesAreTold(t, nil) }

func treesAreTold(t *testing.T, c *cage.Options) {
	t.Helper()
	e := shell(t, Options{Cage: c, Trees: true})
	kinds := map[uint64]string{}
	for _, tt := range []struct {
		script string
		new    bool
	}{
		{"cat given", false},
		{"echo x >>given", false},
		{"mv given taken", false},
		{"touch q; rm q", false},
		{"touch a b c; exit 1", true},
		{"kill -9 $$", false},
		{"mv given given.gz", true},
		{"mkdir a", true},
		{"mkdir a; touch a/b a/c", true},
	} {
		var first uint64
		for n := range 2 {
			s := script(strings.ReplaceAll(tt.script, "touch a b c", fmt.Sprintf("touch a%d b$$ c", n)))
			s.Files = []fuzz.File{{Name: "given", Data: []byte("x\n")}}
			r := run(t, e, s)
			i := slices.IndexFunc(r.Signals, func(sig fuzz.Signal) bool { return sig.Kind == fuzz.SignalTree })
			if i >= 0 != tt.new {
				t.Errorf("cage %v, %s: signals %v, want a tree: %v", c != nil, tt.script, r.Signals, tt.new)
			}
			if i < 0 {
				continue
			}
			key := r.Signals[i].Key
			if n == 0 && kinds[key] != "" {
				t.Errorf("cage %v, %s: the same kind as %s", c != nil, tt.script, kinds[key])
			}
			if n > 0 && key != first {
				t.Errorf("cage %v, %s: another kind the second time", c != nil, tt.script)
			}
			first, kinds[key] = key, tt.script
		}
	}
}

// A step is no part of the run: neither a policy nor a recorder sees it, in executions and in copies.
func TestWhatAStepDoesIsNoEvidence(t *testing.T) {
	testenv.Require(t, testenv.Cage, testenv.BPF)
	mkdir, _ := sysno.Lookup(sysno.Native(), "mkdir")
	if mkdir == (sysno.ID{}) {
		mkdir, _ = sysno.Lookup(sysno.Native(), "mkdirat")
	}
	rec, err := rawtp.Open(rawtp.Options{Slots: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	served, plain := executors(t, testenv.Program(t, "sh"), rec, &cage.Options{})
	s := script("while read -r line; do echo $line d; done")
	s.Stdin, s.Input, s.Before = fuzz.StdinPipe, []byte("x\n"), []fuzz.Step{step("mkdir d")}
	for range 8 {
		a, b := run(t, served, s), run(t, plain, s)
		if !same(a, b) || slices.Contains(a.Seen, mkdir) {
			t.Errorf("a copy shows %+v, an execution %+v, and mkdir is of the step", a, b)
		}
	}
	if n := served.Copies(); len(n) == 0 {
		t.Error("there were no copies after a step")
	}
	if slices.Contains(rec.Seen(), mkdir) {
		t.Error("the recorder knows of what a step did")
	}

	refuse := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: mkdir.NR, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	e := shell(t, Options{Cage: &cage.Options{}, Filter: unsafe.Slice((*byte)(unsafe.Pointer(&refuse[0])), len(refuse)*int(unsafe.Sizeof(refuse[0])))})
	s = script("[ -d d ] && echo found; mkdir e || echo refused")
	s.Before = []fuzz.Step{step("mkdir d")}
	run(t, e, s)
	if got := string(e.Output()); !strings.HasPrefix(got, "found\n") || !strings.HasSuffix(got, "refused\n") {
		t.Errorf("got %q, want that the step could make its directory, and the run not", got)
	}
}
