package synth

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

func lookup(t testing.TB, arch sysno.Arch, name string) sysno.ID {
	t.Helper()
	id, ok := sysno.Lookup(arch, name)
	if !ok {
		t.Fatalf("%v has no %s", arch, name)
	}
	return id
}

func eperm() Verdict { return Verdict{Action: Errno, Errno: 1} }

// policyOf is a valid policy with further rules.
func policyOf(t testing.TB, rules ...Rule) *Policy {
	t.Helper()
	exec := Rule{ID: lookup(t, sysno.AMD64, "execve"), Verdict: Verdict{Action: Allow}, Tier: Manual}
	return &Policy{Default: eperm(), Archs: []sysno.Arch{sysno.AMD64}, Groups: []Group{{Name: "@any", Rules: append([]Rule{exec}, rules...)}}}
}

func TestPoliciesThatDoLessThanTheySayAreRefused(t *testing.T) {
	allow, log := Verdict{Action: Allow}, Verdict{Action: Log}
	socket := func(v Verdict, args ...Cond) Rule {
		return Rule{ID: lookup(t, sysno.AMD64, "socket"), Verdict: v, Args: args, Tier: Manual}
	}
	read := func(v Verdict) Rule {
		return Rule{ID: lookup(t, sysno.AMD64, "read"), Verdict: v, Tier: Manual}
	}
	equal := func(index uint8, value uint64) Cond { return Cond{Index: index, Op: Equal, Value: value} }
	rules := func(rules ...Rule) func(*Policy) {
		return func(p *Policy) { p.Groups[0].Rules = append(p.Groups[0].Rules, rules...) }
	}
	cases := []struct {
		name    string
		spoil   func(*Policy)
		kind    error
		message string
	}{
		{"no default", func(p *Policy) { p.Default = Verdict{} }, ErrDefault, "default action: there is none; choose one, such as errno EPERM"},
		{"notify by default", func(p *Policy) { p.Default = Verdict{Action: Notify} }, ErrDefault, "a supervisor cannot be asked about every syscall"},
		{"a default errno of 0", func(p *Policy) { p.Default = Verdict{Action: Errno} }, ErrErrnoRange, "default action: errno 0 makes the denied call look like a success"},
		{"a default errno that wraps", func(p *Policy) { p.Default = Verdict{Action: Errno, Errno: 4096} }, ErrErrnoRange, "default action: errno 4096; the kernel cuts off what is above 4095; choose 1 to 4095"},
		{"an errno on a default that returns none", func(p *Policy) { p.Default = Verdict{Action: KillProcess, Errno: 1} }, ErrStrayErrno, "default action: action kill process with errno 1; drop the errno"},
		{"nothing denied", func(p *Policy) { p.Default, p.Groups = allow, nil }, ErrNothing, "it allows everything, and there are no rules"},
		{"no architecture", func(p *Policy) { p.Archs = nil }, ErrNoNative, "architectures: there are none; list the native one"},
		{"guests without a host", func(p *Policy) { p.Archs = []sysno.Arch{sysno.I386, sysno.X32} }, ErrNoNative, "[i386 x32] are secondary ABIs of another architecture; list x86_64 too"},
		{"architectures twice", func(p *Policy) { p.Archs = []sysno.Arch{sysno.AMD64, sysno.AMD64} }, ErrArch, "architectures: [x86_64 x86_64] are not in order"},
		{"a rule of an architecture that is not listed", rules(Rule{ID: lookup(t, sysno.I386, "read"), Verdict: allow, Tier: Manual}), ErrArch, "the policy does not list i386; list it, or drop the rule"},
		{"a raw x32 number", rules(Rule{ID: sysno.ID{Arch: sysno.AMD64, NR: 1<<30 | 512}, Verdict: allow, Tier: Manual}), ErrNumber, "1073742336 is a raw x32 or a pseudo number; write number 512 of x32"},
		{"a pseudo number", rules(Rule{ID: sysno.ID{Arch: sysno.AMD64, NR: 1<<32 - 101}, Verdict: allow, Tier: Manual}), ErrNumber, "4294967195 is a raw x32 or a pseudo number; write the kernel's number"},
		{"no action", rules(read(Verdict{})), ErrAction, "group @any, read: the rule has no action"},
		{"no tier", rules(Rule{ID: lookup(t, sysno.AMD64, "read"), Verdict: allow}), ErrTier, "group @any, read: the rule has no tier"},
		{"the default repeated", rules(read(eperm())), ErrSameAsDefault, "group @any, read: errno EPERM is what the default action does; drop the rule"},
		{"an errno on allow", rules(read(Verdict{Action: Allow, Errno: 1})), ErrStrayErrno, "group @any, read: action allow with errno 1; drop the errno, or choose the action errno"},
		{"errno 0", rules(read(Verdict{Action: Errno})), ErrErrnoRange, "group @any, read: errno 0 makes the denied call look like a success; choose 1 to 4095, such as EPERM"},
		{"an errno that wraps", rules(read(Verdict{Action: Errno, Errno: 65535})), ErrErrnoRange, "group @any, read: errno 65535; the kernel cuts off what is above 4095"},
		{"notify without a listener", rules(read(Verdict{Action: Notify})), ErrListener, "listener: read asks a listener, and there is none; name the listener's socket, or choose another action"},
		{"notify on write", func(p *Policy) {
			p.Listener = "/run/l"
			rules(Rule{ID: lookup(t, sysno.AMD64, "write"), Verdict: Verdict{Action: Notify}, Tier: Manual})(p)
		}, ErrNotifyWrite, "group @any, write: runtimes use write to hand over the listener's descriptor"},
		{"two verdicts", rules(read(allow), read(log)), ErrConflict, "group @any, read: both allow and log; keep one"},
		{"two errnos", rules(read(Verdict{Action: Errno, Errno: 2}), read(Verdict{Action: Errno, Errno: 3})), ErrConflict, "both errno ENOENT and errno ESRCH"},
		{"two verdicts in two groups", func(p *Policy) {
			rules(read(allow))(p)
			p.Groups = append(p.Groups, Group{Name: "@more", Rules: []Rule{read(log)}})
		}, ErrConflict, "group @more, read: both allow and log"},
		{"a condition that is swallowed", rules(socket(allow, equal(0, 1)), socket(allow)), ErrSwallowed, "a rule without conditions swallows the one with conditions"},
		{"a condition that swallows", rules(socket(log), socket(allow, equal(0, 1))), ErrSwallowed, "group @any, socket: a rule without conditions swallows"},
		{"conditions that overlap", rules(socket(allow, equal(0, 1)), socket(log, equal(1, 1))), ErrOverlap, `"socket: allow if arg0 == 0x1" and "socket: log if arg1 == 0x1" can match the same call; make their conditions exclude each other`},
		{"an argument that does not exist", rules(socket(allow, equal(6, 1))), ErrCondition, "group @any, socket: there is no argument 6; count arguments from 0 to 5"},
		{"seven conditions", rules(socket(allow, equal(0, 1), equal(1, 1), equal(2, 1), equal(3, 1), equal(4, 1), equal(5, 1), equal(5, 2))), ErrCondition, "7 conditions, but a syscall has 6 arguments"},
		{"one argument twice", rules(socket(allow, Cond{Op: GreaterEqual, Value: 1}, Cond{Op: LessEqual, Value: 3})), ErrCondition, "two conditions on argument 0; libseccomp takes one"},
		{"no operator", rules(socket(allow, Cond{Value: 1})), ErrCondition, "the condition on argument 0 has no operator"},
		{"a datum outside its mask", rules(socket(allow, Cond{Op: MaskedEqual, Mask: 1, Value: 2})), ErrMask, "arg0 & 0x1 == 0x2: the value has bits outside the mask"},
		{"a mask without use", rules(socket(allow, Cond{Op: Equal, Mask: 1, Value: 1})), ErrCondition, "arg0 == 0x1 has a mask; use the masked comparison"},
		{"execve left out", func(p *Policy) { p.Groups[0].Rules[0] = read(allow) }, ErrNoExec, "x86_64 execve: it is not allowed, but the filter is loaded before the program is executed; allow execve"},
		{"execve denied", func(p *Policy) { p.Default = log; p.Groups[0].Rules[0].Verdict = eperm() }, ErrNoExec, "x86_64 execve: it is not allowed"},
		{"execve left to a tracer", func(p *Policy) { p.Groups[0].Rules[0].Verdict = Verdict{Action: Trace} }, ErrNoExec, "x86_64 execve: it is not allowed"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := policyOf(t)
			c.spoil(p)
			err := p.Validate()
			if !errors.Is(err, c.kind) {
				t.Fatalf("got error %v, want %v", err, c.kind)
			}
			if !strings.Contains(err.Error(), c.message) {
				t.Errorf("\n got %v\nwant %s", err, c.message)
			}
		})
	}
}

func TestPoliciesThatMeanWhatTheySayAreAccepted(t *testing.T) {
	allow, log := Verdict{Action: Allow}, Verdict{Action: Log}
	socket := func(v Verdict, args ...Cond) Rule {
		return Rule{ID: lookup(t, sysno.AMD64, "socket"), Verdict: v, Args: args, Tier: Manual}
	}
	arm := &Policy{Default: eperm(), Archs: []sysno.Arch{sysno.ARM64}, Groups: []Group{{Name: "@any", Rules: []Rule{
		{ID: lookup(t, sysno.ARM64, "execve"), Verdict: allow, Tier: Manual},
	}}}}
	denyList := policyOf(t, socket(eperm()))
	denyList.Default = allow
	denyList.Groups[0].Rules = denyList.Groups[0].Rules[1:]
	for name, p := range map[string]*Policy{
		"alternatives with one verdict":         policyOf(t, socket(allow, Cond{Op: Equal, Value: 1}), socket(allow, Cond{Index: 1, Op: Equal, Value: 2})),
		"conditions that exclude each other":    policyOf(t, socket(allow, Cond{Op: Equal, Value: 1}), socket(log, Cond{Op: NotEqual, Value: 1})),
		"a number that no table names":          policyOf(t, Rule{ID: sysno.ID{Arch: sysno.AMD64, NR: 9999}, Verdict: allow, Tier: Manual}),
		"a policy for another machine":          arm,
		"a list of what is denied":              denyList,
		"another errno than the default's":      policyOf(t, socket(Verdict{Action: Errno, Errno: 38})),
		"a message of 0 for the tracer":         policyOf(t, socket(Verdict{Action: Trace})),
		"everything logged, without exceptions": {Default: log, Archs: []sysno.Arch{sysno.AMD64}},
	} {
		if err := p.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAllProblemsAreListed(t *testing.T) {
	read := lookup(t, sysno.AMD64, "read")
	p := policyOf(t, Rule{ID: read, Verdict: eperm(), Tier: Manual}, Rule{ID: read, Verdict: Verdict{Action: Log, Errno: 3}, Tier: Manual})
	var kinds []error
	for _, problem := range p.Problems() {
		kinds = append(kinds, problem.Kind)
	}
	if want := []error{ErrSameAsDefault, ErrStrayErrno, ErrConflict}; !slices.Equal(kinds, want) {
		t.Errorf("got %v, want %v", kinds, want)
	}
}

// smallConds are all conditions with one argument whose numbers are below 8, and
// the bounds of 64 bits.
func smallConds() []Cond {
	var conds []Cond
	values := []uint64{0, 1, 2, 3, 4, 5, 6, 7, 1<<64 - 2, 1<<64 - 1}
	for _, v := range values {
		for op := Equal; op <= GreaterEqual; op++ {
			conds = append(conds, Cond{Op: op, Value: v})
		}
		for _, mask := range values {
			if v&^mask == 0 {
				conds = append(conds, Cond{Op: MaskedEqual, Value: v, Mask: mask})
			}
		}
	}
	return conds
}

func TestDisjointConditionsNeverHoldTogether(t *testing.T) {
	args := []uint64{0, 1, 2, 3, 4, 5, 6, 7, 8, 1 << 63, 1<<64 - 9, 1<<64 - 8, 1<<64 - 3, 1<<64 - 2, 1<<64 - 1}
	proofs := 0
	for _, a := range smallConds() {
		for _, b := range smallConds() {
			if !Disjoint([]Cond{a}, []Cond{b}) {
				continue
			}
			proofs++
			for _, v := range args {
				if a.Matches(v) && b.Matches(v) {
					t.Fatalf("%v and %v are called disjoint, but %#x satisfies both", a, b, v)
				}
			}
		}
	}
	if proofs == 0 {
		t.Fatal("nothing was proved")
	}
}

func TestTheUsualExclusionsAreProved(t *testing.T) {
	cond := func(op Op, value uint64) Cond { return Cond{Op: op, Value: value} }
	mask := func(mask, value uint64) Cond { return Cond{Op: MaskedEqual, Mask: mask, Value: value} }
	for _, c := range []struct {
		a, b Cond
		want bool
	}{
		{cond(Equal, 1), cond(Equal, 2), true},
		{cond(Equal, 1), cond(Equal, 1), false},
		{cond(Equal, 1), cond(NotEqual, 1), true},
		{cond(Equal, 1), cond(Greater, 1), true},
		{cond(Equal, 1), cond(GreaterEqual, 1), false},
		{cond(Less, 4), cond(GreaterEqual, 4), true},
		{cond(LessEqual, 4), cond(GreaterEqual, 4), false},
		{cond(LessEqual, 4), cond(Greater, 4), true},
		{cond(Less, 4), cond(LessEqual, 9), false},
		{mask(4, 4), mask(4, 0), true},
		{mask(4, 4), mask(6, 4), false},
		{mask(4, 4), mask(2, 0), false},
		{mask(4, 4), cond(Equal, 3), true},
		{mask(4, 4), cond(NotEqual, 3), false},
	} {
		for _, pair := range [][2]Cond{{c.a, c.b}, {c.b, c.a}} {
			if got := Disjoint(pair[:1], pair[1:]); got != c.want {
				t.Errorf("%v and %v: got %v, want %v", pair[0], pair[1], got, c.want)
			}
		}
	}
	other := cond(Equal, 2)
	other.Index = 1
	if Disjoint([]Cond{cond(Equal, 1)}, []Cond{other}) {
		t.Error("conditions on different arguments are called disjoint")
	}
	if Disjoint(nil, []Cond{other}) {
		t.Error("a rule without conditions is called disjoint from one with conditions")
	}
}
