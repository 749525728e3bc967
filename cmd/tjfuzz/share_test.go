package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// Each of the two has a seed that leads to a syscall of its own, which no mutation of
// the other's arguments makes.
func TestSessionsThatRunAtTheSameTimeShareWhatTheyFind(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	t.Parallel()
	dir := t.TempDir()
	target := script(t, dir, "target", `read -r a
case $a in
*left-7f3a*) mkdir d;;
*right-91bc*) ln -s a l;;
esac`)
	var both [2]*tool
	states := [2]string{filepath.Join(dir, "one"), filepath.Join(dir, "two")}
	for i, word := range []string{"left-7f3a", "right-91bc"} {
		seeds := t.TempDir()
		if err := os.WriteFile(filepath.Join(seeds, "seed"), []byte(word+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		both[i] = start(t, dir, "learn", "--jobs", "1", "--confidence", "0", "--duration", "0", "--only", "argv", "--seeds", seeds,
			"--state", states[i], "--sync", "shared", "-o", states[i]+".json", "--", target)
	}
	calls := [2][]string{{"mkdir", "mkdirat"}, {"symlink", "symlinkat"}}
	knows := func(state string, call []string) func() bool {
		return func() bool {
			for id := range readHolding(t, state).syscalls {
				if name, _ := id.Name(); slices.Contains(call, name) {
					return true
				}
			}
			return false
		}
	}
	for i := range both {
		eventually(t, states[i]+" knows its own", knows(states[i], calls[i]))
	}
	third := start(t, dir, "learn", "--state", states[0], "--", target)
	third.wait(t, 1)
	if want := "another session uses it"; !strings.Contains(third.stderr.String(), want) {
		t.Errorf("a third one with the state of the first says %q, want %q", &third.stderr, want)
	}
	for i, p := range both {
		eventually(t, states[i]+" knows the other's", knows(states[i], calls[1-i]))
		if err := p.Process.Signal(unix.SIGINT); err != nil {
			t.Fatal(err)
		}
		p.wait(t, 1)
	}
	// What is known is not merely kept: the session that goes on allows it.
	p := start(t, dir, "learn", "--jobs", "1", "--execs", "5", "--only", "argv", "--seeds", dir+"/one", "--state", states[1], "-o", "p.json", "--", target)
	p.wait(t, 0)
	allowed := allowedBy(t, filepath.Join(dir, "p.json"))
	for _, call := range calls {
		if !allowed[call[0]] && !allowed[call[1]] {
			t.Errorf("the profile allows neither of %q", call)
		}
	}
}
