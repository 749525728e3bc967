package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// A program starts each time under a policy that has what the program itself calls and
// kills it at anything else: nothing of the launcher's is left between the filter and
// the program, whether tjfuzz becomes that or stays beside it. One of them makes three
// calls only, none of which Go would do with. With TJFUZZ_LONG, 300 times each.
func TestEveryLaunchUnderTheProgramsOwnPolicyWorks(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	launches := 3
	if os.Getenv("TJFUZZ_LONG") != "" {
		launches = 300
	}
	dir := open(t)
	golang := filepath.Join(dir, "gohello")
	source := filepath.Join(dir, "hello.go")
	if err := os.WriteFile(source, []byte("package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hello\") }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// Debian's Go gives programs no GNU build ID.
	if out, err := exec.Command(testenv.Program(t, "go"), "build", "-ldflags=-B=none", "-o", golang, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// What the runtime of Go calls now and then, as it meets other threads.
	busy := []string{"--allow", "futex,sched_yield,nanosleep,tgkill,getpid,gettid,rt_sigreturn,clone,sigaltstack,mmap,munmap,madvise"}
	for _, c := range []struct {
		name  string
		argv  []string
		ready string   // is said by a server, which is then sent SIGTERM
		flags []string // of enforce
	}{
		{"exact", []string{filepath.Join(compiled(t), "exact")}, "", nil},
		{"ls", []string{testenv.Program(t, "ls"), "-l", "/"}, "", nil},
		{"python3", []string{testenv.Program(t, "/usr/bin/python3"), "-c", "import json; print(json.dumps([1]))"}, "", nil},
		{"go", []string{golang}, "", busy},
		{"redis-server", []string{testenv.Program(t, "redis-server"), "--port", "0", "--unixsocket", filepath.Join(dir, "socket"), "--save", "", "--dir", dir}, "eady to accept connections", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := func(tool string, how ...string) error {
				var said bytes.Buffer
				cmd := exec.CommandContext(t.Context(), tool, append(append(how, "--"), c.argv...)...)
				cmd.Stderr = &said
				out, err := cmd.StdoutPipe()
				if err != nil {
					return err
				}
				if err := cmd.Start(); err != nil {
					return err
				}
				var lines strings.Builder
				for r := bufio.NewScanner(out); r.Scan(); {
					fmt.Fprintln(&lines, r.Text())
					if c.ready != "" && strings.Contains(r.Text(), c.ready) {
						if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
							return err
						}
					}
				}
				if err := cmd.Wait(); err != nil {
					return fmt.Errorf("%w: %s%s", err, &lines, &said)
				}
				return nil
			}
			generate := []string{"generate", "-o", filepath.Join(dir, c.name+".json"), "--default", "kill"}
			for i := range 3 { // threads of Go meet by chance
				evidence := filepath.Join(dir, fmt.Sprintf("%s.%d", c.name, i))
				if err := start("tjfuzz", "trace", "--quiet", "-o", evidence); err != nil {
					t.Fatal(err)
				}
				generate = append(generate, evidence)
			}
			if out, err := exec.Command("tjfuzz", generate...).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if err := os.Chmod(filepath.Join(dir, c.name+".json"), 0o644); err != nil {
				t.Fatal(err)
			}
			for _, way := range [][]string{{"--quiet"}, {"--log-source", "none"}} {
				for i := range launches {
					os.Remove(filepath.Join(dir, "socket"))
					how := slices.Concat([]string{"enforce", "--policy", filepath.Join(dir, c.name+".json")}, way, c.flags)
					if err := start("tjfuzz", how...); err != nil {
						t.Fatalf("launch %d of %d, %v: %v", i+1, launches, way, err)
					}
				}
			}
		})
	}
}
