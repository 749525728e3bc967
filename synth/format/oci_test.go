package format

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/trace"
)

var update = flag.Bool("update", false, "write the golden files")

// The native architecture of all tests, so that they are the same everywhere.
func read(profile string) (*synth.Policy, error) {
	return ReadOCIFor(strings.NewReader(profile), sysno.AMD64)
}

func write(t testing.TB, p *synth.Policy) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteOCI(&b, p); err != nil {
		t.Fatalf("write: %v", err)
	}
	return b.String()
}

// sameDecisions compares all of two policies but the tiers and reasons, which a
// profile cannot hold.
func sameDecisions(a, b *synth.Policy) string {
	return cmp.Diff(a, b, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(synth.Rule{}, "Tier", "Reason"),
		cmpopts.IgnoreFields(synth.Policy{}, "Unnamed"))
}

func id(t testing.TB, arch sysno.Arch, name string) sysno.ID {
	t.Helper()
	id, ok := sysno.Lookup(arch, name)
	if !ok {
		t.Fatalf("%v has no %s", arch, name)
	}
	return id
}

func observed(t testing.TB, arch sysno.Arch, names ...string) []trace.Observation {
	var all []trace.Observation
	for _, name := range names {
		all = append(all, trace.Observation{ID: id(t, arch, name), Runs: 10, CleanRuns: 9})
	}
	return all
}

func evidence(t testing.TB) *trace.Trace {
	return &trace.Trace{Arch: sysno.AMD64, Runs: 10, CleanRuns: 9, Observations: observed(t, sysno.AMD64,
		"execve", "brk", "mmap", "mprotect", "openat", "read", "write", "close", "fstat", "exit_group", "arch_prctl")}
}

// around puts an entry into a profile that is otherwise good.
func around(entry string) string {
	return `{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["execve"], "action": "SCMP_ACT_ALLOW"}, ` + entry + `]}`
}

// with puts conditions on socket into a profile that is otherwise good.
func with(args string) string {
	return around(`{"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": ` + args + `}`)
}

func TestReadRefusesWhatDoesLessThanItSays(t *testing.T) {
	const execve = `{"names": ["execve"], "action": "SCMP_ACT_ALLOW"}`
	head := func(members string) string { return "{" + members + `, "syscalls": [` + execve + `]}` }
	cases := []struct{ name, profile, message string }{
		// What is no JSON object of this kind.
		{"nothing", "", `profile: empty`},
		{"half a file", `{"defaultAction": `, `defaultAction: the JSON ends too early`},
		{"bad JSON", `{"defaultAction": "SCMP_ACT_ERRNO",}`, `profile: `},
		{"a list", `[]`, `profile: a list where an object belongs`},
		{"trailing data", around(execve) + `{}`, `profile: data behind the JSON value; remove what follows it`},
		{"depth", strings.Repeat(`{"a":`, 100), `nested deeper than 16`},
		{"size", strings.Repeat(" ", maxProfileSize+1), `profile: larger than 4194304 bytes`},
		{"bytes that are no UTF-8", "{\"\xff\":1}", `profile: not UTF-8`},
		{"a repeated member", `{"defaultAction": "SCMP_ACT_ERRNO", "defaultAction": "SCMP_ACT_ALLOW"}`, `profile: member "defaultAction" is repeated; keep one`},
		{"a repeated member inside", around(`{"names": ["read"], "action": "SCMP_ACT_ALLOW", "action": "SCMP_ACT_LOG"}`), `syscalls[1]: member "action" is repeated; keep one`},
		{"a miscased member", `{"DefaultAction": "SCMP_ACT_ERRNO"}`, `DefaultAction: the member "DefaultAction" is spelled in the wrong case; write "defaultAction"`},
		{"a miscased member inside", around(`{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoret": 2}`), `syscalls[1].errnoret: the member "errnoret" is spelled in the wrong case; write "errnoRet"`},
		{"an unknown member", head(`"defaultAction": "SCMP_ACT_ERRNO", "sycalls": []`), `sycalls: unknown member "sycalls"; known here are defaultAction`},

		// The members of the profile.
		{"an empty object", `{}`, `profile: "defaultAction" is missing; runtimes run such a container without any filter; say what`},
		{"a miscased default action", head(`"defaultAction": "scmp_act_errno"`), `defaultAction: the action "scmp_act_errno" is spelled in the wrong case; write "SCMP_ACT_ERRNO"`},
		{"an unknown default action", head(`"defaultAction": "DENY"`), `defaultAction: unknown action "DENY"; known are SCMP_ACT_ALLOW, `},
		{"a default action of another type", head(`"defaultAction": 1`), `defaultAction: a number where a string belongs`},
		{"no default action", head(`"defaultAction": null`), `defaultAction: null where a string belongs`},
		{"notify by default", head(`"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/run/l"`), `defaultAction: a supervisor cannot be asked about every syscall`},
		{"allow by default and no rules", `{"defaultAction": "SCMP_ACT_ALLOW"}`, `defaultAction: it allows everything, and there are no rules; choose`},
		{"deny by default and no rules", `{"defaultAction": "SCMP_ACT_ERRNO"}`, `x86_64 execve: it is not allowed`},
		{"a default errno on another action", head(`"defaultAction": "SCMP_ACT_KILL_PROCESS", "defaultErrnoRet": 1`), `defaultErrnoRet: SCMP_ACT_KILL_PROCESS returns no errno; remove it, or choose SCMP_ACT_ERRNO`},
		{"a default errno of 0", head(`"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 0`), `defaultErrnoRet: errno 0 makes the denied call look like a success; choose 1 to 4095`},
		{"a default errno that wraps", head(`"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 65536`), `defaultErrnoRet: errno 65536; the kernel cuts off what is above 4095; choose 1 to 4095`},
		{"an unknown architecture", head(`"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["x86_64"]`), `architectures[0]: unknown architecture "x86_64"; known are SCMP_ARCH_X86_64, `},
		{"a miscased architecture", head(`"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_x86_64"]`), `architectures[0]: the architecture "SCMP_ARCH_x86_64" is spelled in the wrong case; write "SCMP_ARCH_X86_64"`},
		{"an architecture without a table", head(`"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_S390X"]`), `architectures[1]: there is no syscall table for SCMP_ARCH_S390X here; remove it`},
		{"architectures without the native one", head(`"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86"]`), `architectures: x86_64 is not among [i386]; list it`},
		{"an unknown flag", head(`"defaultAction": "SCMP_ACT_ERRNO", "flags": ["LOG"]`), `flags[0]: unknown flag "LOG"; known are SECCOMP_FILTER_FLAG_TSYNC, `},
		{"flags of another type", head(`"defaultAction": "SCMP_ACT_ERRNO", "flags": "SECCOMP_FILTER_FLAG_LOG"`), `flags: a string where a list belongs`},

		// The entries.
		{"no names", around(`{"action": "SCMP_ACT_ALLOW"}`), `syscalls[1]: "names" is missing; add it`},
		{"no action", around(`{"names": ["read"]}`), `syscalls[1]: "action" is missing; add it`},
		{"an empty list of names", around(`{"names": [], "action": "SCMP_ACT_ALLOW"}`), `syscalls[1].names: the list is empty; name a syscall`},
		{"an empty name", around(`{"names": ["read", ""], "action": "SCMP_ACT_ALLOW"}`), `syscalls[1].names[1]: the name is empty; runtimes skip it; remove it`},
		{"a misspelled name", around(`{"names": ["opnat"], "action": "SCMP_ACT_ALLOW"}`), `syscalls[1].names[0]: x86_64 has no syscall "opnat"; did you mean "openat"?; runtimes skip a name that they do not know`},
		{"a name in capitals", around(`{"names": ["Read"], "action": "SCMP_ACT_ALLOW"}`), `syscalls[1].names[0]: x86_64 has no syscall "Read"; did you mean "read"?`},
		{"a name of an architecture that is not listed", around(`{"names": ["fstatat64"], "action": "SCMP_ACT_ALLOW"}`), `syscalls[1].names[0]: x86_64 has no syscall "fstatat64"; i386 has; remove it, or list SCMP_ARCH_X86`},
		{"a name with NUL", around(`{"names": ["read\u0000x"], "action": "SCMP_ACT_ALLOW"}`), `syscalls[1].names[0]: the name "read\x00x" holds a NUL; runtimes read only what is before it`},
		{"a group", around(`{"names": ["@file-read"], "action": "SCMP_ACT_ALLOW"}`), `syscalls[1].names[0]: "@file-read" is a group; runtimes know syscalls only; write its syscalls instead; 'tjfuzz groups @file-read' lists them`},
		{"a group that does not exist, in a file that may name groups", `{"x-tjfuzz-groups": true, "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [` + execve + `, {"names": ["@files"], "action": "SCMP_ACT_ALLOW"}]}`, `syscalls[1].names[0]: there is no group "@files"; 'tjfuzz groups' lists them`},
		{"a group with conditions", `{"x-tjfuzz-groups": true, "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [` + execve + `, {"names": ["@file-lock"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}]}`, `syscalls[1].names[0]: a group has no arguments of its own`},
		{"a group where the file says it has none", `{"x-tjfuzz-groups": false, "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [` + execve + `, {"names": ["@file-lock"], "action": "SCMP_ACT_ALLOW"}]}`, `syscalls[1].names[0]: "@file-lock" is a group`},
		{"an extension that says nothing", `{"x-tjfuzz-groups": 1, "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [` + execve + `]}`, `x-tjfuzz-groups: a number where a boolean belongs; write true, or remove it`},
		{"a number", around(`{"names": ["$0"], "action": "SCMP_ACT_ALLOW"}`), `syscalls[1].names[0]: "$0" is a number; runtimes know names only; write the syscall's name`},
		{"an unknown action", around(`{"names": ["read"], "action": "ALLOW"}`), `syscalls[1].action: unknown action "ALLOW"`},
		{"an errno on allow", around(`{"names": ["read"], "action": "SCMP_ACT_ALLOW", "errnoRet": 1}`), `syscalls[1].errnoRet: SCMP_ACT_ALLOW returns no errno; remove it`},
		{"an errno on kill", around(`{"names": ["read"], "action": "SCMP_ACT_KILL", "errnoRet": 1}`), `syscalls[1].errnoRet: SCMP_ACT_KILL returns no errno; remove it`},
		{"errno 0", around(`{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0}`), `syscalls[1].errnoRet: errno 0 makes the denied call look like a success`},
		{"an errno that wraps", around(`{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096}`), `syscalls[1].errnoRet: errno 4096; the kernel cuts off what is above 4095`},
		{"a negative errno", around(`{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": -1}`), `syscalls[1].errnoRet: -1 is not a whole number`},
		{"a fraction of an errno", around(`{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1.5}`), `syscalls[1].errnoRet: 1.5 is not a whole number`},
		{"a tracer's message that wraps", around(`{"names": ["read"], "action": "SCMP_ACT_TRACE", "errnoRet": 65536}`), `syscalls[1].errnoRet: the message 65536 for the tracer has more than 16 bits`},

		// Members of docker and Kubernetes.
		{"docker's archMap", head(`"defaultAction": "SCMP_ACT_ERRNO", "archMap": []`), `archMap: "archMap" is no member of an OCI profile; it is docker's; list`},
		{"docker's includes", around(`{"names": ["read"], "action": "SCMP_ACT_ALLOW", "includes": {}}`), `syscalls[1].includes: "includes" is no member of an OCI profile; it is docker's; keep the entry if`},
		{"docker's excludes", around(`{"names": ["read"], "action": "SCMP_ACT_ALLOW", "excludes": {}}`), `syscalls[1].excludes: "excludes" is no member`},
		{"docker's name", around(`{"name": "read", "action": "SCMP_ACT_ALLOW"}`), `syscalls[1].name: "name" is no member of an OCI profile; it is docker's; write "names" with a list`},
		{"a runtime's configuration", `{"ociVersion": "1.0.0", "linux": {}}`, `this is a runtime's whole configuration; the profile is its "seccomp" in "linux"`},
		{"a Kubernetes object", `{"apiVersion": "v1", "spec": {}}`, `this is a Kubernetes object`},

		// The conditions.
		{"an argument that does not exist", with(`[{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]`), `syscalls[1].args[0].index: there is no argument 6; count arguments from 0 to 5`},
		{"an argument that wraps", with(`[{"index": 256, "value": 1, "op": "SCMP_CMP_EQ"}]`), `syscalls[1].args[0].index: there is no argument 256`},
		{"no index", with(`[{"value": 1, "op": "SCMP_CMP_EQ"}]`), `syscalls[1].args[0]: "index" is missing; add it`},
		{"no value", with(`[{"index": 0, "op": "SCMP_CMP_EQ"}]`), `syscalls[1].args[0]: "value" is missing; add it`},
		{"no operator", with(`[{"index": 0, "value": 1}]`), `syscalls[1].args[0]: "op" is missing; add it`},
		{"an unknown operator", with(`[{"index": 0, "value": 1, "op": "=="}]`), `syscalls[1].args[0].op: unknown operator "=="; known are SCMP_CMP_EQ, `},
		{"a miscased operator", with(`[{"index": 0, "value": 1, "op": "scmp_cmp_eq"}]`), `syscalls[1].args[0].op: the operator "scmp_cmp_eq" is spelled in the wrong case; write "SCMP_CMP_EQ"`},
		{"a value beyond 64 bits", with(`[{"index": 0, "value": 18446744073709551616, "op": "SCMP_CMP_EQ"}]`), `syscalls[1].args[0].value: 18446744073709551616 is not a whole number from 0 to 2^64-1`},
		{"a value in quotes", with(`[{"index": 0, "value": "1", "op": "SCMP_CMP_EQ"}]`), `syscalls[1].args[0].value: a string where a number belongs`},
		{"a second value that is not used", with(`[{"index": 0, "value": 1, "valueTwo": 2, "op": "SCMP_CMP_EQ"}]`), `syscalls[1].args[0].valueTwo: SCMP_CMP_EQ does not use it; remove it`},
		{"a datum outside its mask", with(`[{"index": 0, "value": 1, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ"}]`), `syscalls[1].args[0]: 0x2 has bits outside the mask 0x1, so the condition can never hold; value is the mask`},
		{"seven conditions", with(`[` + strings.Repeat(`{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"},`, 6) + `{"index": 1, "value": 1, "op": "SCMP_CMP_EQ"}]`), `syscalls[1].args: 7 conditions, but a syscall has 6 arguments`},
		{"alternatives beside a condition", with(`[{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 1, "op": "SCMP_CMP_EQ"}]`), `syscalls[1].args: several conditions on one argument beside conditions on others`},
		{"a range that runtimes take for everything", with(`[{"index": 0, "value": 1, "op": "SCMP_CMP_GE"}, {"index": 0, "value": 5, "op": "SCMP_CMP_LE"}]`), `syscalls[1].args: arg0 >= 0x1 or arg0 <= 0x5 always holds; runtimes take conditions on one argument for alternatives`},
		{"two exclusions that runtimes take for nothing", with(`[{"index": 0, "value": 1, "op": "SCMP_CMP_NE"}, {"index": 0, "value": 5, "op": "SCMP_CMP_NE"}]`), `always holds`},

		// What entries say together.
		{"different actions for one syscall", around(`{"names": ["read"], "action": "SCMP_ACT_ALLOW"}, {"names": ["read"], "action": "SCMP_ACT_LOG"}`), `syscalls[1] and syscalls[2]: read: both allow and log; keep one`},
		{"different errnos for one syscall", around(`{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 2}, {"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 3}`), `syscalls[1] and syscalls[2]: read: both errno ENOENT and errno ESRCH; keep one`},
		{"a condition that another entry swallows", around(`{"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}, {"names": ["socket"], "action": "SCMP_ACT_ALLOW"}`), `syscalls[1] and syscalls[2]: socket: a rule without conditions swallows the one with conditions`},
		{"conditions that overlap", around(`{"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}, {"names": ["socket"], "action": "SCMP_ACT_LOG", "args": [{"index": 1, "value": 1, "op": "SCMP_CMP_EQ"}]}`), `syscalls[1] and syscalls[2]: socket: "socket: allow if arg0 == 0x1" and "socket: log if arg1 == 0x1" can match the same call`},
		{"conditions that overlap, in any order", around(`{"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 2, "value": 0, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}, {"names": ["socket"], "action": "SCMP_ACT_LOG", "args": [{"index": 1, "value": 1, "op": "SCMP_CMP_EQ"}]}`), `syscalls[1] and syscalls[2]: socket: "socket: allow if arg0 == 0x1 and arg2 == 0x0"`},
		{"a rule that repeats the default", around(`{"names": ["read"], "action": "SCMP_ACT_ERRNO"}`), `syscalls[1]: read: errno EPERM is what the default action does; drop the rule`},
		{"execve left out", `{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}`, `x86_64 execve: it is not allowed, but the filter is loaded before the program is executed; allow execve`},
		{"execve denied", `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["execve"], "action": "SCMP_ACT_ERRNO"}]}`, `x86_64 execve: it is not allowed`},
		{"notify without a listener", around(`{"names": ["read"], "action": "SCMP_ACT_NOTIFY"}`), `syscalls[1]: read: read asks a listener, and there is none; name the listener's socket`},
		{"notify on write", `{"defaultAction": "SCMP_ACT_ERRNO", "listenerPath": "/run/l", "syscalls": [` + execve + `, {"names": ["write"], "action": "SCMP_ACT_NOTIFY"}]}`, `syscalls[1]: write: runtimes use write to hand over the listener's descriptor`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p, err := read(c.profile)
			if err == nil {
				t.Fatalf("accepted as %+v", p)
			}
			var profileErr *ProfileError
			if !errors.As(err, &profileErr) {
				t.Errorf("error %v is no *ProfileError", err)
			}
			if !strings.Contains(err.Error(), c.message) {
				t.Errorf("\n got %v\nwant %s", err, c.message)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the message has several lines: %q", err)
			}
		})
	}
}

func TestReadTakesWhatRuntimesTake(t *testing.T) {
	const arg = uint64(0)
	eq := func(v uint64) []synth.Cond { return []synth.Cond{{Index: 0, Op: synth.Equal, Value: v}} }
	cases := []struct {
		name, profile string
		decide        string // the syscall
		args          [6]uint64
		want          synth.Verdict
	}{
		{"an errno that is not given is EPERM", around(`{"names": ["read"], "action": "SCMP_ACT_LOG"}`), "write", [6]uint64{}, synth.Verdict{Action: synth.Errno, Errno: 1}},
		{"a tracer's message that is not given is EPERM", around(`{"names": ["read"], "action": "SCMP_ACT_TRACE"}`), "read", [6]uint64{}, synth.Verdict{Action: synth.Trace, Errno: 1}},
		{"kill is the thread's", around(`{"names": ["read"], "action": "SCMP_ACT_KILL"}`), "read", [6]uint64{}, synth.Verdict{Action: synth.KillThread}},
		{"null lists are empty", around(`{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": null, "errnoRet": null}`), "read", [6]uint64{}, synth.Verdict{Action: synth.Allow}},
		{"comments are for readers", around(`{"names": ["read"], "action": "SCMP_ACT_ALLOW", "comment": "x"}`), "read", [6]uint64{}, synth.Verdict{Action: synth.Allow}},
		{"conditions on different arguments must all hold", with(`[{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 2, "op": "SCMP_CMP_EQ"}]`), "socket", [6]uint64{1, 3}, synth.Verdict{Action: synth.Errno, Errno: 1}},
		{"conditions on one argument are alternatives", with(`[{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]`), "socket", [6]uint64{2}, synth.Verdict{Action: synth.Allow}},
		{"a mask's datum may be left out", with(`[{"index": 0, "value": 4, "op": "SCMP_CMP_MASKED_EQ"}]`), "socket", [6]uint64{3}, synth.Verdict{Action: synth.Allow}},
		{"a value has 64 bits", with(`[{"index": 0, "value": 18446744073709551615, "op": "SCMP_CMP_EQ"}]`), "socket", [6]uint64{1<<64 - 1}, synth.Verdict{Action: synth.Allow}},
		{"log by default needs no rules", `{"defaultAction": "SCMP_ACT_LOG"}`, "execve", [6]uint64{}, synth.Verdict{Action: synth.Log}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p, err := read(c.profile)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Decide(id(t, sysno.AMD64, c.decide), c.args); got != c.want {
				t.Errorf("%s%v: got %v, want %v", c.decide, c.args, got, c.want)
			}
		})
	}
	p, err := read(with(`[{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]`))
	if err != nil {
		t.Fatal(err)
	}
	var conds [][]synth.Cond
	for _, r := range p.Rules() {
		if r.ID == id(t, sysno.AMD64, "socket") {
			conds = append(conds, r.Args)
		}
	}
	if diff := cmp.Diff([][]synth.Cond{eq(1), eq(2)}, conds); diff != "" {
		t.Errorf("alternatives on argument %d (-want +got)\n%s", arg, diff)
	}
}

// People may name groups in a file that says so; what is written has none.
func TestAGroupInAProfileIsItsSyscalls(t *testing.T) {
	p, err := read(`{"x-tjfuzz-groups": true, "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"],
		"syscalls": [{"names": ["execve", "@file-lock", "@socket-pair"], "action": "SCMP_ACT_ALLOW"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := WriteOCI(&b, p); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"flock"`, `"socketpair"`, `"value": 4294967295`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in %s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "@") || strings.Contains(b.String(), "x-tjfuzz") {
		t.Errorf("a group is left in %s", b.String())
	}
}

func TestANameStandsForEveryListedArchitectureThatHasIt(t *testing.T) {
	p, err := read(`{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X86_64"],
		"syscalls": [{"names": ["execve", "openat", "socketcall"], "action": "SCMP_ACT_ALLOW"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range p.Rules() {
		got = append(got, r.ID.Arch.String()+" "+r.ID.String())
	}
	want := []string{
		"x86_64 " + id(t, sysno.AMD64, "openat").String(), "i386 " + id(t, sysno.I386, "openat").String(),
		"x86_64 " + id(t, sysno.AMD64, "execve").String(), "i386 " + id(t, sysno.I386, "execve").String(),
		"i386 " + id(t, sysno.I386, "socketcall").String(),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAProfileForAnotherMachineIsReadForThatMachine(t *testing.T) {
	const profile = `{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_AARCH64"],
		"syscalls": [{"names": ["execve"], "action": "SCMP_ACT_ALLOW"}]}`
	if _, err := ReadOCIFor(strings.NewReader(profile), sysno.ARM64); err != nil {
		t.Error(err)
	}
	if _, err := ReadOCIFor(strings.NewReader(profile), sysno.AMD64); !errors.Is(err, synth.ErrNoNative) {
		t.Errorf("got error %v, want %v", err, synth.ErrNoNative)
	}
}

// goldens are policies with their files in testdata.
func goldens(t testing.TB) map[string]*synth.Policy {
	generate := func(tr *trace.Trace, o synth.Options) *synth.Policy {
		p, err := synth.Generate(tr, o)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	allow := synth.Verdict{Action: synth.Allow}
	twoABIs := evidence(t)
	twoABIs.Observations = append(twoABIs.Observations, observed(t, sysno.I386, "brk", "openat", "socketcall")...)
	rule := func(name string, v synth.Verdict, args ...synth.Cond) synth.Rule {
		return synth.Rule{ID: id(t, sysno.AMD64, name), Verdict: v, Args: args, Tier: synth.Manual}
	}
	conditions := &synth.Policy{
		Default: synth.Verdict{Action: synth.KillProcess}, Archs: []sysno.Arch{sysno.AMD64},
		Flags: []string{"SECCOMP_FILTER_FLAG_LOG"}, Listener: "/run/<listener>", ListenerMetadata: "a&b",
		Groups: []synth.Group{{Name: "@any", Rules: []synth.Rule{
			rule("execve", allow),
			rule("socketpair", allow, synth.Cond{Index: 0, Op: synth.Equal, Value: 1}),
			rule("socket", allow, synth.Cond{Index: 0, Op: synth.Equal, Value: 1}),
			rule("socket", allow, synth.Cond{Index: 1, Op: synth.MaskedEqual, Mask: 0xf, Value: 2}, synth.Cond{Index: 0, Op: synth.Equal, Value: 2}),
			rule("socket", synth.Verdict{Action: synth.Errno, Errno: 97}, synth.Cond{Index: 0, Op: synth.Greater, Value: 2}),
			rule("ptrace", synth.Verdict{Action: synth.Notify}),
			rule("bpf", synth.Verdict{Action: synth.Trace, Errno: 7}),
			rule("mount", synth.Verdict{Action: synth.Trap}),
			rule("ioctl", synth.Verdict{Action: synth.Log}, synth.Cond{Index: 1, Op: synth.LessEqual, Value: 1<<64 - 1}),
		}}},
	}
	return map[string]*synth.Policy{
		"evidence":   generate(evidence(t), synth.Options{}),
		"runc":       generate(evidence(t), synth.Options{Runtime: "runc", Default: synth.Verdict{Action: synth.KillProcess}}),
		"two-abis":   generate(twoABIs, synth.Options{}),
		"conditions": conditions,
	}
}

func TestProfilesAreWrittenAsTheGoldenFilesSay(t *testing.T) {
	for name, p := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", name+".json")
			got := write(t, p)
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v; 'go test ./synth/format -update' writes it", err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got); 'go test ./synth/format -update' writes it anew\n%s", path, diff)
			}
		})
	}
}

func TestWhatIsWrittenReadsBackTheSame(t *testing.T) {
	for name, p := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			first := write(t, p)
			again, err := read(first)
			if err != nil {
				t.Fatalf("%v\n%s", err, first)
			}
			wanted := *p
			wanted.Groups = synth.Arrange(expand(p)) // what Widenings announces, and nothing else
			if diff := sameDecisions(&wanted, again); diff != "" {
				t.Errorf("(-written +read)\n%s", diff)
			}
			if second := write(t, again); second != first {
				t.Errorf("the written form is no fixpoint\n%s", cmp.Diff(first, second))
			}
		})
	}
}

func TestAPolicyFromEvidenceOfOneABIIsNotWidened(t *testing.T) {
	p := goldens(t)["evidence"]
	if wider := Widenings(p); len(wider) > 0 {
		t.Errorf("widened by %v", wider)
	}
	again, err := read(write(t, p))
	if err != nil {
		t.Fatal(err)
	}
	if diff := sameDecisions(p, again); diff != "" {
		t.Errorf("(-generated +read)\n%s", diff)
	}
}

func TestWideningIsReported(t *testing.T) {
	p := &synth.Policy{
		Default: synth.Verdict{Action: synth.KillProcess}, Archs: []sysno.Arch{sysno.AMD64, sysno.I386},
		Groups: synth.Arrange([]synth.Rule{
			{ID: id(t, sysno.AMD64, "execve"), Verdict: synth.Verdict{Action: synth.Allow}, Tier: synth.Manual},
			{ID: id(t, sysno.I386, "execve"), Verdict: synth.Verdict{Action: synth.Allow}, Tier: synth.Manual},
			{ID: id(t, sysno.I386, "socketcall"), Verdict: synth.Verdict{Action: synth.Allow}, Tier: synth.Manual},
			{ID: id(t, sysno.I386, "ptrace"), Verdict: synth.Verdict{Action: synth.Allow}, Tier: synth.Manual},
		}),
	}
	want := []string{id(t, sysno.AMD64, "ptrace").String() + ": allow"}
	if got := Widenings(p); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestWriteRefusesWhatAProfileCannotSay(t *testing.T) {
	allow := synth.Verdict{Action: synth.Allow}
	policy := func(rules ...synth.Rule) *synth.Policy {
		for i := range rules {
			rules[i].Tier = synth.Manual
		}
		rules = append(rules, synth.Rule{ID: id(t, sysno.AMD64, "execve"), Verdict: allow, Tier: synth.Manual})
		return &synth.Policy{
			Default: synth.Verdict{Action: synth.KillProcess}, Archs: []sysno.Arch{sysno.AMD64, sysno.I386},
			Groups: synth.Arrange(rules),
		}
	}
	cases := []struct {
		name    string
		policy  *synth.Policy
		message string
	}{
		{"a number without a name", policy(synth.Rule{ID: sysno.ID{Arch: sysno.AMD64, NR: 9999}, Verdict: allow}), "has no name; a profile can say names only"},
		{"architectures that differ", policy(
			synth.Rule{ID: id(t, sysno.AMD64, "ptrace"), Verdict: allow},
			synth.Rule{ID: id(t, sysno.I386, "ptrace"), Verdict: synth.Verdict{Action: synth.Log}},
		), "a profile cannot answer architectures differently: group @process-inspect"},
		{"a range", policy(synth.Rule{ID: id(t, sysno.AMD64, "socket"), Verdict: allow, Args: []synth.Cond{
			{Op: synth.GreaterEqual, Value: 1}, {Op: synth.LessEqual, Value: 5},
		}}), "two conditions on argument 0"},
		{"a policy that is not valid", &synth.Policy{}, "default action: there is none"},
		{"an unknown flag", func() *synth.Policy { p := policy(); p.Flags = []string{"FAST"}; return p }(), `unknown flag "FAST"`},
		{"a listener that is no UTF-8", func() *synth.Policy { p := policy(); p.Listener = "\xff"; return p }(), "not UTF-8"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			err := WriteOCI(&b, c.policy)
			if err == nil || !strings.Contains(err.Error(), c.message) {
				t.Errorf("got error %v, want one with %q", err, c.message)
			}
			if b.Len() > 0 {
				t.Errorf("half a profile was written: %s", b.String())
			}
		})
	}
}

func TestNamesThatOldLibrariesSkipAreFound(t *testing.T) {
	p, err := read(around(`{"names": ["statmount", "read", "mseal", "futex_wait"], "action": "SCMP_ACT_ALLOW"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := NewerNames(p), []string{"futex_wait", "mseal", "statmount"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := NewerNames(goldens(t)["evidence"]); len(got) > 0 {
		t.Errorf("found %v in a profile of old names", got)
	}
}

func FuzzReadOCI(f *testing.F) {
	for _, p := range goldens(f) {
		f.Add([]byte(write(f, p)))
	}
	f.Add([]byte(`{}`))
	f.Add([]byte(with(`[{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 2, "op": "SCMP_CMP_NE"}]`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := ReadOCIFor(bytes.NewReader(data), sysno.AMD64)
		if err != nil {
			return
		}
		if err := first.Validate(); err != nil {
			t.Fatalf("what was read is not valid: %v", err)
		}
		text := write(t, first)
		again, err := ReadOCIFor(strings.NewReader(text), sysno.AMD64)
		if err != nil {
			t.Fatalf("what was read and written does not read: %v\n%s", err, text)
		}
		if diff := sameDecisions(first, again); diff != "" {
			t.Fatalf("(-first +again)\n%s", diff)
		}
		if wider := Widenings(first); len(wider) > 0 {
			t.Fatalf("a policy from a profile is widened by %v", wider)
		}
	})
}
