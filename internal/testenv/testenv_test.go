package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// recorder is a testing.TB that notes how a test would have ended. Like the real
// one, it ends the goroutine.
type recorder struct {
	testing.TB
	skipped, failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Skipf(string, ...any)  { r.skipped = true; runtime.Goexit() }
func (r *recorder) Fatalf(string, ...any) { r.failed = true; runtime.Goexit() }

// ending runs f as a test of its own would.
func ending(t *testing.T, f func(testing.TB)) *recorder {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r
}

func TestMissingNeedSkipsUnlessRequired(t *testing.T) {
	cases := []struct {
		require string
		fails   bool
	}{
		{"", false},
		{"root", false},
		{"bpf,root", false},
		{"programs", true},
		{"root,programs", true},
		{"all", true},
	}
	for _, c := range cases {
		t.Run(c.require, func(t *testing.T) {
			t.Setenv("TJFUZZ_REQUIRE", c.require)
			r := ending(t, func(tb testing.TB) { Program(tb, "a-program-that-does-not-exist") })
			if r.failed != c.fails || r.skipped == c.fails {
				t.Errorf("failed %t, skipped %t; want failed %t", r.failed, r.skipped, c.fails)
			}
		})
	}
}

func TestCompileMakesARunningProgram(t *testing.T) {
	src := filepath.Join(t.TempDir(), "three.c")
	if err := os.WriteFile(src, []byte("int main(void) { return STATUS; }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(Compile(t, src, "-DSTATUS=3"))
	if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("the program ended with %v, want exit status 3", err)
	}
}

func TestCompileSkipsForFlagsAndFailsForSources(t *testing.T) {
	Program(t, "gcc")
	t.Setenv("TJFUZZ_REQUIRE", "")
	broken := filepath.Join(t.TempDir(), "broken.c")
	if err := os.WriteFile(broken, []byte("int main(void) {\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := ending(t, func(tb testing.TB) { Compile(tb, broken) }); !r.failed {
		t.Error("a source that does not compile did not fail the test")
	}
	if r := ending(t, func(tb testing.TB) { Compile(tb, broken, "-mno-such-flag") }); !r.skipped {
		t.Error("a flag that the compiler lacks did not skip the test")
	}
}

// Where a 32-bit program of the compiler's runs, ours does, and the other way round.
func TestRunsCompatIsWhatACompiledProgramShows(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("only x86-64 has 32-bit programs of x86")
	}
	src := filepath.Join(t.TempDir(), "zero.c")
	if err := os.WriteFile(src, []byte("int main(void) { return 0; }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := exec.Command(Compile(t, src, "-m32", "-static")).Run()
	if got, want := RunsCompat(), err == nil; got != want {
		t.Errorf("RunsCompat is %t, and a compiled program ended with %v", got, err)
	}
}
