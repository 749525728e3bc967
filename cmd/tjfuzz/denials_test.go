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
				if v.abi != "" {
					testenv.RequireCompat(t)
				}
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

// Calls that the policy hands over, to a listener or to a tracer, meet the answers that were
// asked for, and the log tells of each exactly as often as it was made. TJFUZZ_LONG makes
// it a million.
func TestEachAnsweredCallIsTold(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	dir := t.TempDir()
	golang := filepath.Join(dir, "godenials")
	if out, err := exec.Command(testenv.Program(t, "go"), "build", "-o", golang, "./testdata/godenials").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	answers, socket := filepath.Join(dir, "answers.yaml"), filepath.Join(dir, "socket")
	if err := os.WriteFile(answers, []byte(`version: 1
rules:
  - {syscall: getpgid, answer: errno EACCES}
  - {syscall: [mkdir, mkdirat], answer: errno ENOSPC}
  - {syscall: getsid, answer: continue}
  - {syscall: sched_getparam, answer: kill}
otherwise: errno ENOSYS
`), 0o644); err != nil {
		t.Fatal(err)
	}
	startAgent(t, socket, answers)
	here, away := []string{"--answers", answers}, []string{"--agent", socket}
	for _, v := range []struct{ name, path, abi string }{
		{"dynamic", testenv.Compile(t, "testdata/denials.c", "-pthread"), ""},
		{"static", testenv.Compile(t, "testdata/denials.c", "-pthread", "-static"), ""},
		{"32-bit", testenv.Compile(t, "testdata/denials.c", "-pthread", "-m32"), "i386:"},
		{"go", golang, ""},
	} {
		for mode, threads := range map[string]int{"single": 1, "threads": 4} {
			for _, c := range []struct {
				action, source string
				who            []string
				some           bool // of getpgid, the calls with small arguments are refused, and nobody is asked
			}{
				{"SCMP_ACT_NOTIFY", "ebpf", here, false},
				{"SCMP_ACT_NOTIFY", "ebpf", here, true},
				{"SCMP_ACT_NOTIFY", "notify", here, false},
				{"SCMP_ACT_NOTIFY", "ebpf", away, false},
				{"SCMP_ACT_TRACE", "ebpf", here, false},
				{"SCMP_ACT_TRACE", "notify", here, false},
			} {
				name := strings.Join([]string{v.name, mode, c.action, c.source, c.who[0]}, " ")
				if c.some {
					name += " some"
				}
				t.Run(name, func(t *testing.T) {
					if v.abi != "" {
						testenv.RequireCompat(t)
					}
					each, kills := 50, 2
					if os.Getenv("TJFUZZ_LONG") != "" {
						each, kills = 2500, 50
					}
					if v.name == "static" && mode == "single" && c.source == "ebpf" {
						each = 9000 // more than the recorder tells apart
					}
					getpgid := fmt.Sprintf(`{"names": ["getpgid"], "action": %q}`, c.action)
					if c.some {
						args := `[{"index": 0, "value": %d, "op": "SCMP_CMP_%s"}]`
						getpgid = fmt.Sprintf(`{"names": ["getpgid"], "action": %q, "args": `+args+`}, {"names": ["getpgid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13, "args": `+args+`}`,
							c.action, each/2, "GE", each/2, "LT")
					}
					policy, log := filepath.Join(t.TempDir(), "policy.json"), filepath.Join(t.TempDir(), "log")
					if err := os.WriteFile(policy, fmt.Appendf(nil, `{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "listenerPath": %q, "syscalls": [%s,
						{"names": ["mkdir", "mkdirat", "getsid", "sched_getparam"], "action": %q},
						{"names": ["sched_get_priority_max"], "action": "SCMP_ACT_TRAP"}, {"names": ["sched_get_priority_min"], "action": "SCMP_ACT_KILL_THREAD"}]}`, socket, getpgid, c.action), 0o644); err != nil {
						t.Fatal(err)
					}
					command := append([]string{"enforce", "--quiet", "--log-source", c.source, "--policy", policy, "--log-file", log}, c.who...)
					// The victim handles SIGSYS, so it is SIGKILL that ends what is to be killed.
					out, err := exec.Command("tjfuzz", append(command, "--", v.path, mode, strconv.Itoa(each), strconv.Itoa(kills), "9")...).CombinedOutput()
					if err != nil {
						t.Fatalf("%v\n%s", err, out)
					}
					want := map[string]int{
						"answered getpgid": 2 * each * threads, "answered mkdir": each, "answered sched_getparam": kills * threads,
						"permitted getsid":              each * threads,
						"denied sched_get_priority_max": each * threads, "denied sched_get_priority_min": kills * threads,
					}
					if v.name == "go" {
						delete(want, "answered mkdir")
						want["answered mkdirat"] = each // which Go calls
						want["denied sched_get_priority_max"] = kills * threads
					}
					if c.some {
						small := each // getpgid(1)
						if threads == 1 {
							small += each / 2
						} else {
							small *= threads
						}
						want["answered getpgid"], want["denied getpgid"] = 2*each*threads-small, small
					}
					if c.source == "notify" { // which does not see these, and says so
						maps.DeleteFunc(want, func(what string, _ int) bool { return strings.HasPrefix(what, "denied ") })
					}
					got := fates(t, log, v.abi)
					if n := got["undecided getpgid"]; n > 0 && c.some { // some or other arguments, of too many
						got["denied getpgid"] += n
						delete(got, "undecided getpgid")
					}
					if c.who[0] == "--agent" { // it alone knows what it let pass, and whom it has killed
						for _, its := range []string{"permitted getsid", "answered sched_getparam"} {
							delete(want, its)
							delete(got, its)
						}
					}
					if !maps.Equal(got, want) {
						t.Errorf("got  %v\nwant %v", got, want)
					}
				})
			}
		}
	}
}

// fates is how often a log tells of each syscall that something became of it, where nothing
// was lost. The names are those of an architecture.
func fates(t *testing.T, log, abi string) map[string]int {
	t.Helper()
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	counts, entries := map[string]int{}, map[int]string{}
	complete := false
	for line := range bytes.Lines(data) {
		var r struct {
			Event, Syscall string
			Seq, Of, Count int
			Complete       bool
		}
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		switch r.Event {
		case "repeated":
			counts[entries[r.Of]] += r.Count - 1
		case "summary":
			complete = r.Complete
		default:
			entries[r.Seq] = r.Event + " " + strings.TrimPrefix(r.Syscall, abi)
			counts[entries[r.Seq]]++
		}
	}
	if !complete {
		t.Errorf("the log is not complete")
	}
	return counts
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
