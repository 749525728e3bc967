package document

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/trace"
)

var update = flag.Bool("update", false, "write the golden files")

func lookup(t testing.TB, name string) sysno.ID {
	t.Helper()
	id, ok := sysno.Lookup(sysno.AMD64, name)
	if !ok {
		t.Fatalf("no %s", name)
	}
	return id
}

func parse(t testing.TB, text string) *Document {
	t.Helper()
	d, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return d
}

func policy(t testing.TB, text string) *synth.Policy {
	t.Helper()
	p, err := parse(t, text).Policy(sysno.AMD64, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return p
}

func encode(t testing.TB, d *Document) string {
	t.Helper()
	data, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

const begin = "version: 1\ndefault: errno EPERM\narchitectures: [x86_64]\nobserved:\n  execve: {}\n"

func rulesOf(p *synth.Policy, name string) []string {
	var lines []string
	for _, r := range p.Rules() {
		if n, _ := r.ID.Name(); n == name {
			lines = append(lines, fmt.Sprintf("%v %v", r.Verdict, r.Args))
		}
	}
	return lines
}

func TestRulesSayWhatTheyLookLike(t *testing.T) {
	for _, c := range []struct {
		rule string
		call string
		want []string
	}{
		{"read:", "read", []string{"allow []"}},
		{"read: {because: it reads}", "read", []string{"allow []"}},
		{"read: {then: errno ENOSYS}", "read", []string{"errno ENOSYS []"}},
		{"mmap: {prot: {forbid: [PROT_EXEC]}}", "mmap", []string{"allow [arg2 & 0x4 == 0x0]"}},
		{"socket: {domain: [AF_UNIX, AF_INET]}", "socket", []string{"allow [arg0 & 0xffffffff == 0x1]", "allow [arg0 & 0xffffffff == 0x2]"}},
		{"socket: {domain: AF_UNIX, type: SOCK_STREAM}", "socket", []string{"allow [arg0 & 0xffffffff == 0x1 arg1 & 0xf == 0x1]"}},
		{"socket: [{domain: 1}, {type: 2}]", "socket", []string{"allow [arg0 & 0xffffffff == 0x1]", "allow [arg1 & 0xf == 0x2]"}},
		{"openat: {flags: {is: [O_RDONLY, O_WRONLY], forbid: O_CREAT}}", "openat", []string{"allow [arg2 & 0x43 == 0x0]", "allow [arg2 & 0x43 == 0x1]"}},
		{"read: {count: {op: <=, value: 16}}", "read", []string{"allow [arg2 <= 0x10]"}},
		{"personality: {personality: {op: '&', mask: 0xff, value: 8}}", "personality", []string{"allow [arg0 & 0xff == 0x8]"}},
		{"x86_64:read: {}", "read", []string{"allow []"}},
		{"'@file-lock': {}", "flock", []string{"allow []"}},
		{"'@socket-pair': {}", "socketpair", []string{"allow [arg0 & 0xffffffff == 0x1]"}},
		{"'@signal-probe': {then: log}", "kill", []string{"log [arg1 & 0xffffffff == 0x0]"}},
	} {
		got := rulesOf(policy(t, begin+"  "+c.rule+"\n"), c.call)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.rule, diff)
		}
	}
}

func TestEveryMistakeHasALineAndAColumn(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "empty; begin with version: 1"},
		{"version: 1\n---\nversion: 1\n", "data behind the document; keep one policy in a file"},
		{"version: [", "line 1: did not find expected node content"},
		{"- a\n", "line 1, column 1: a list where a mapping belongs"},
		{"default: allow\n", "line 1, column 1: the version is missing"},
		{"version: 2\n", `line 1, column 10: unknown version "2"`},
		{"version: 1\nDefault: allow\n", `line 2, column 1: "Default" is spelled in the wrong case; write "default"`},
		{"version: 1\nsyscalls: []\n", `line 2, column 1: unknown key "syscalls"; known here are version, default`},
		{"version: 1\ndefault: deny\n", `line 2, column 10: unknown action "deny"; known are allow`},
		{"version: 1\ndefault: errno 0\n", `line 2, column 10: "0" is neither`},
		{"version: 1\ndefault: errno EPERM\ndefault: allow\n", `line 3, column 1: "default" is repeated; keep one`},
		{"version: 1\narchitectures: [x86_64, sparc]\n", `line 2, column 25: unknown architecture "sparc"`},
		{"version: 1\narchitectures: [x86_64, amd64]\n", "line 2, column 25: x86_64 is repeated"},
		{"version: 1\nlistener: {socket: /x}\n", `line 2, column 12: unknown key "socket"; known here are path, metadata`},
		{"version: 1\nunnamed: [12]\n", "line 2, column 11: "},
		{"version: 1\nobserved: [read]\n", "line 2, column 11: a list where a mapping belongs"},
		{begin + "  readd: {}\n", `line 6, column 3: x86_64 has no syscall "readd"; did you mean "read"?`},
		{begin + "  waitpid: {}\n", `line 6, column 3: x86_64 has no syscall "waitpid"; i386 has; remove it, or add i386 to "architectures"`},
		{begin + "  i386:read: {}\n", "line 6, column 3: the policy does not list i386"},
		{begin + "  $257: {}\n", `line 6, column 3: "$257" is a number`},
		{begin + "  '@files': {}\n", "line 6, column 3: there is no group @files"},
		{begin + "  '@file-lock': {operation: LOCK_SH}\n", `line 6, column 18: a group has no argument "operation"`},
		{begin + "  read: {}\n  read: {}\n", `line 7, column 3: "read" is repeated`},
		{begin + "  read: allow\n", "line 6, column 9: a word where a mapping belongs"},
		{begin + "  read: []\n", "line 6, column 9: read has an empty list of rules"},
		{begin + "  read: [" + strings.Repeat("{}, ", 129) + "]\n", "line 6, column 9: read has 129 rules; at most 128 are compiled"},
		{begin + "  read: {then: allow}\n  write: {then: Allow}\n", `line 7, column 17: unknown action "Allow"`},
		{begin + "  socket: {family: AF_UNIX}\n", `line 6, column 20: socket has no argument "family"; it has domain, type, protocol`},
		{begin + "  socket: {domain: AF_UNX}\n", `line 6, column 20: socket: domain: unknown value "AF_UNX"`},
		{begin + "  socket: {domain: []}\n", "line 6, column 20: domain may be nothing at all"},
		{begin + "  socket: {domain: ''}\n", "line 6, column 20: the value is empty"},
		{begin + "  socket: {domain: [AF_UNIX, null]}\n", "line 6, column 30: nothing where a word belongs"},
		{begin + "  socket: {domain: {in: AF_UNIX}}\n", `line 6, column 21: unknown key "in"; known here are is, require`},
		{begin + "  socket: {domain: {value: 1}}\n", `line 6, column 20: "value" and "mask" need an "op"`},
		{begin + "  socket: {domain: {op: '==', value: x}}\n", `line 6, column 38: "x" is not a whole number`},
		{begin + "  mmap: {prot: {}}\n", "line 6, column 16: mmap: prot: the condition says nothing"},
		{begin + "  read: &r {}\n  write: *r\n", "line 7, column 10: an alias where a mapping belongs"},
		{begin + "  read: {<<: {then: log}}\n", `line 6, column 15: unknown key "then"`},
		{begin + "  read: {because: !!binary aGk=}\n", `line 6, column 19: unknown tag "!!binary"`},
		{begin + "manual:\n  ptrace: {}\n", `line 7, column 3: ptrace is a rule of a person, without a reason; add "because"`},
	} {
		d, err := Parse([]byte(c.text))
		if err == nil {
			_, err = d.Policy(sysno.AMD64, nil)
		}
		var e *Error
		if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q\n got %v\nwant %s", strings.TrimPrefix(c.text, begin), err, c.want)
		}
	}
}

func TestAPolicyThatDoesLessThanItSaysIsRefusedWithItsPlace(t *testing.T) {
	for _, c := range []struct {
		text, want string
		kind       error
	}{
		{"version: 1\nobserved: {execve: {}}\n", "line 1, column 1: the default is missing", nil},
		{"version: 1\ndefault: notify\nobserved: {execve: {}}\n", "line 2, column 1: a supervisor cannot be asked", synth.ErrDefault},
		{"version: 1\ndefault: errno EPERM\narchitectures: [i386]\nobserved: {execve: {}}\n", "line 3, column 1: ", synth.ErrNoNative},
		{"version: 1\ndefault: errno EPERM\nobserved: {read: {}}\n", "x86_64 execve: it is not allowed", synth.ErrNoExec},
		{begin + "  ptrace: {then: errno EPERM}\n", "line 6, column 3: ", synth.ErrSameAsDefault},
		{begin + "  ptrace: {then: notify}\n", "line 6, column 3: ", synth.ErrListener},
		{begin + "  read: [{}, {then: log}]\n", "line 6, column 3: ", synth.ErrConflict},
		{begin + "  socket: [{}, {domain: AF_UNIX}]\n", "line 6, column 3: ", synth.ErrSwallowed},
		{begin + "  socket: [{domain: AF_UNIX}, {type: SOCK_RAW, then: log}]\n", "line 6, column 3: ", synth.ErrOverlap},
	} {
		d, err := Parse([]byte(c.text))
		if err == nil {
			_, err = d.Policy(sysno.AMD64, nil)
		}
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || c.kind != nil && !errors.Is(err, c.kind) {
			t.Errorf("%q: got %v, want %s (%v)", c.text, err, c.want, c.kind)
		}
	}
}

// evidence is of a program that shows every kind of rule.
func evidence(t testing.TB) *trace.Trace {
	tr := &trace.Trace{Arch: sysno.AMD64, Kernel: "6.18.44", Runs: 10, CleanRuns: 9}
	for _, name := range []string{"execve", "read", "write", "mmap", "openat", "socket"} {
		tr.Observations = append(tr.Observations, trace.Observation{ID: lookup(t, name), Runs: 10, CleanRuns: 9})
	}
	tr.Observations = append(tr.Observations,
		trace.Observation{ID: lookup(t, "tgkill"), Runs: 1},
		trace.Observation{ID: sysno.ID{Arch: sysno.AMD64, NR: 9999}, Runs: 1})
	return tr
}

func TestAGeneratedPolicyIsReadAsItWasWritten(t *testing.T) {
	for _, o := range []synth.Options{{}, {Runtime: "runc"}, {Default: synth.Verdict{Action: synth.KillProcess}}} {
		p, err := synth.Generate(evidence(t), o)
		if err != nil {
			t.Fatal(err)
		}
		roundTrip(t, p)
	}
}

// roundTrip holds that a policy is read as it was written, and the other way round.
func roundTrip(t *testing.T, p *synth.Policy) {
	t.Helper()
	d, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	text := encode(t, d)
	back, err := parse(t, text).Policy(sysno.AMD64, nil) // it says its own architectures
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if !reflect.DeepEqual(back, p) {
		t.Fatalf("(-want +got)\n%s\n%s", cmp.Diff(p, back), text)
	}
	if again := encode(t, parse(t, text)); again != text {
		t.Fatalf("(-want +got)\n%s", cmp.Diff(text, again))
	}
}

// Every enum and flag of the tables has a word that is read back as the same condition.
func TestPoliciesWithArgumentsAreReadAsTheyWereWritten(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, arch := range []sysno.Arch{sysno.AMD64, sysno.ARM64} {
		tr := &trace.Trace{Arch: arch, Runs: 1, CleanRuns: 1}
		for _, id := range sysno.All(arch) {
			obs := trace.Observation{ID: id, Runs: 1, CleanRuns: 1}
			args := id.Args()
			for _, index := range id.Choices() {
				set := args[index].Set
				if set == nil {
					continue
				}
				var v uint64
				if n := len(set.Enum); n > 0 {
					v = set.Enum[r.IntN(n)].Value
				}
				for _, f := range set.Flags {
					if r.IntN(3) == 0 {
						v |= f.Value
					}
				}
				obs.Args = append(obs.Args, trace.Arg{Index: index, Values: []uint64{v & args[index].Mask()}})
			}
			tr.Observations = append(tr.Observations, obs)
		}
		for _, mode := range []synth.ArgMode{synth.ArgsSafe, synth.ArgsStrict} {
			p, err := synth.Generate(tr, synth.Options{Args: mode})
			if err != nil {
				t.Fatal(err)
			}
			roundTrip(t, p)
		}
	}
}

func TestTheFormIsTheOneInTheGoldenFile(t *testing.T) {
	p, err := synth.Generate(evidence(t), synth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	allow, socket := synth.Verdict{Action: synth.Allow}, lookup(t, "socket")
	more := []synth.Rule{{ID: lookup(t, "ptrace"), Verdict: synth.Verdict{Action: synth.Log}, Tier: synth.Manual, Reason: "who does that?"}}
	for _, pattern := range []synth.Pattern{{Arg: "domain", Is: "AF_UNIX"}, {Arg: "domain", Is: "AF_INET"}, {Arg: "protocol", Op: "<=", Value: 3}} {
		c, err := pattern.Cond(socket)
		if err != nil {
			t.Fatal(err)
		}
		more = append(more, synth.Rule{ID: socket, Verdict: allow, Args: []synth.Cond{c}, Tier: synth.Observed, Reason: "seen"})
	}
	rules := p.Rules()
	for i := range rules {
		if rules[i].ID == socket {
			rules = append(rules[:i], rules[i+1:]...)
			break
		}
	}
	p.Groups = synth.Arrange(append(rules, more...))
	d, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "policy.yaml", encode(t, d))
	roundTrip(t, p)
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	testenv.Golden(t, filepath.Join("testdata", name), got, *update)
}

func TestNoArgumentHasTheNameOfAMemberOfARule(t *testing.T) {
	for _, arch := range sysno.Archs() {
		for _, id := range sysno.All(arch) {
			for _, a := range id.Args() {
				if a.Name == keyThen || a.Name == keyBecause {
					t.Errorf("%v has an argument %s", id, a.Name)
				}
			}
		}
	}
}
