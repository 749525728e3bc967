package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// The report names what was refused, exactly as often, whatever was done about it, whatever
// the arguments and however many there are, in programs of each kind, alone and in
// four threads. TJFUZZ_LONG makes it a million.
func TestEachOfManyDenialsIsCounted(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	dir := t.TempDir()
	golang := filepath.Join(dir, "godenials")
	if out, err := exec.Command(testenv.Program(t, "go"), "build", "-o", golang, "./testdata/godenials").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	dynamic := testenv.Compile(t, "testdata/denials.c", "-pthread")
	const (
		continuing = `{"names": ["getpgid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}, {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
			{"names": ["getsid"], "action": "SCMP_ACT_LOG"}, {"names": ["sched_get_priority_max"], "action": "SCMP_ACT_TRAP"}`
		killing = `, {"names": ["sched_get_priority_min"], "action": "SCMP_ACT_KILL_THREAD"}, {"names": ["sched_getparam"], "action": "SCMP_ACT_KILL_PROCESS"}`
	)
	type count = map[string]int
	type times struct{ calls, kills int } // of one thread
	for _, v := range []struct {
		name, path, source string
		abi                string // in front of the names
		short, long        times
	}{
		{"dynamic", dynamic, "ebpf", "", times{100, 5}, times{20000, 1000}},
		{"static", testenv.Compile(t, "testdata/denials.c", "-pthread", "-static"), "ebpf", "", times{100, 5}, times{20000, 1000}},
		{"32-bit", testenv.Compile(t, "testdata/denials.c", "-pthread", "-m32"), "ebpf", "i386:", times{100, 5}, times{20000, 1000}},
		{"go", golang, "ebpf", "", times{100, 2}, times{20000, 200}},
		{"dynamic", dynamic, "notify", "", times{50, 0}, times{5000, 0}},
	} {
		for mode, threads := range map[string]int{"single": 1, "threads": 4} {
			t.Run(v.name+" "+mode+" "+v.source, func(t *testing.T) {
				n := v.short
				if os.Getenv("TJFUZZ_LONG") != "" {
					n = v.long
				}
				each, kills := n.calls, n.kills
				policy, log := filepath.Join(dir, "policy.json"), filepath.Join(t.TempDir(), "log")
				if err := os.WriteFile(policy, fmt.Appendf(nil, `{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "syscalls": [%s%s]}`, continuing, killing), 0o644); err != nil {
					t.Fatal(err)
				}
				out, err := exec.Command("tjfuzz", "enforce", "--log-source", v.source, "--quiet", "--policy", policy, "--log-file", log, "--",
					v.path, mode, strconv.Itoa(each), strconv.Itoa(kills)).CombinedOutput()
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				type summary struct {
					Event          string
					Denied, Logged count
					Lost           int
					Complete       bool
				}
				want := summary{"summary", count{
					v.abi + "getpgid": 2 * each * threads, v.abi + "mkdir": each, v.abi + "sched_get_priority_max": each * threads,
					v.abi + "sched_get_priority_min": kills * threads, v.abi + "sched_getparam": kills * threads,
				}, count{v.abi + "getsid": each * threads}, 0, true}
				if v.name == "go" {
					delete(want.Denied, "mkdir")
					want.Denied["mkdirat"] = each // which Go calls
					want.Denied["sched_get_priority_max"] = kills * threads
				}
				if v.source == "notify" {
					delete(want.Denied, "sched_get_priority_max") // a trap is not seen, which tjfuzz says
				}
				maps.DeleteFunc(want.Denied, func(_ string, n int) bool { return n == 0 })
				b, err := os.ReadFile(log)
				if err != nil {
					t.Fatal(err)
				}
				lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
				var got summary
				if err := json.Unmarshal(lines[len(lines)-1], &got); err != nil {
					t.Fatal(err)
				}
				if got.Event != want.Event || !maps.Equal(got.Denied, want.Denied) || !maps.Equal(got.Logged, want.Logged) || got.Lost != 0 || !got.Complete {
					t.Errorf("got  %+v\nwant %+v", got, want)
				}
			})
		}
	}
}

// A report that names the C library alone would leave a person to guess which of their
// functions is meant.
func TestARefusalNamesTheFunctionOfTheProgram(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	program := testenv.Compile(t, "testdata/called.c", "-O1")
	log := filepath.Join(t.TempDir(), "log")
	out, err := exec.Command("tjfuzz", "enforce", "--policy", "none", "--default", "allow", "--errno", "EPERM:mkdir", "--errno", "EIO:write", "--kill", "getppid",
		"--log-file", log, "--", program).CombinedOutput()
	if err == nil {
		t.Fatalf("it was not killed\n%s", out)
	}
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	callers := map[string]string{}
	for line := range bytes.Lines(data) {
		var r struct{ Syscall, Caller string }
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		if r.Syscall != "" {
			function, _, _ := strings.Cut(r.Caller, "+")
			callers[r.Syscall] = function
		}
	}
	name := filepath.Base(program)
	if want := map[string]string{"mkdir": name + ":makes", "write": name + ":flushes", "getppid": name + ":dies"}; !maps.Equal(callers, want) {
		t.Errorf("called from %v, want %v\n%s", callers, want, out)
	}
}
