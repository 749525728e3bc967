package synth

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

func TestDecideIsWhatTheKernelDoes(t *testing.T) {
	allow := Verdict{Action: Allow}
	socket, openat := lookup(t, sysno.AMD64, "socket"), lookup(t, sysno.AMD64, "openat")
	p := policyOf(t,
		Rule{ID: openat, Verdict: allow, Args: []Cond{{Index: 2, Op: MaskedEqual, Mask: 0x40, Value: 0}}, Tier: Manual},
		Rule{ID: socket, Verdict: allow, Args: []Cond{{Index: 0, Op: Equal, Value: 1}, {Index: 1, Op: LessEqual, Value: 2}}, Tier: Manual},
		Rule{ID: socket, Verdict: Verdict{Action: Log}, Args: []Cond{{Index: 0, Op: Equal, Value: 2}}, Tier: Manual},
	)
	cases := []struct {
		name string
		id   sysno.ID
		args [6]uint64
		want Verdict
	}{
		{"a rule", lookup(t, sysno.AMD64, "execve"), [6]uint64{}, allow},
		{"no rule", lookup(t, sysno.AMD64, "read"), [6]uint64{}, eperm()},
		{"a number without a name", sysno.ID{Arch: sysno.AMD64, NR: 9999}, [6]uint64{}, eperm()},
		{"a masked bit that is clear", openat, [6]uint64{0, 0, 0x80001}, allow},
		{"a masked bit that is set", openat, [6]uint64{0, 0, 0x41}, eperm()},
		{"all conditions", socket, [6]uint64{1, 2}, allow},
		{"one condition of two", socket, [6]uint64{1, 3}, eperm()},
		{"the other alternative", socket, [6]uint64{2, 3}, Verdict{Action: Log}},
		{"the upper half of an argument counts", socket, [6]uint64{1<<32 | 1, 2}, eperm()},
		{"an ABI that is not listed", lookup(t, sysno.I386, "execve"), [6]uint64{}, Verdict{Action: KillThread}},
	}
	for _, c := range cases {
		if got := p.Decide(c.id, c.args); got != c.want {
			t.Errorf("%s: %v%v: got %v, want %v", c.name, c.id, c.args, got, c.want)
		}
	}
}

func TestEveryOperatorComparesUnsigned(t *testing.T) {
	const top = 1<<64 - 1
	for _, c := range []struct {
		op      Op
		matches []uint64
	}{
		{Equal, []uint64{5}},
		{NotEqual, []uint64{4, 6, top}},
		{Less, []uint64{4}},
		{LessEqual, []uint64{4, 5}},
		{Greater, []uint64{6, top}},
		{GreaterEqual, []uint64{5, 6, top}},
		{OpInvalid, nil},
	} {
		var got []uint64
		for _, v := range []uint64{4, 5, 6, top} {
			if (Cond{Op: c.op, Value: 5}).Matches(v) {
				got = append(got, v)
			}
		}
		if !slices.Equal(got, c.matches) {
			t.Errorf("%v: got %v, want %v", Cond{Op: c.op, Value: 5}, got, c.matches)
		}
	}
}

func TestArrangeCoversRulesExactly(t *testing.T) {
	allow := Verdict{Action: Allow}
	rule := func(name string, tier Tier) Rule {
		return Rule{ID: lookup(t, sysno.AMD64, name), Verdict: allow, Tier: tier}
	}
	unnamed := Rule{ID: sysno.ID{Arch: sysno.AMD64, NR: 9999}, Verdict: allow, Tier: Manual}
	groups := Arrange([]Rule{rule("write", Runtime), unnamed, rule("pread64", Observed), rule("read", Manual), rule("write", Observed)})
	got := map[string][]string{}
	var names []string
	for _, g := range groups {
		names = append(names, g.Name)
		for _, r := range g.Rules {
			got[g.Name] = append(got[g.Name], r.ID.String()+" "+r.Tier.String())
		}
	}
	want := map[string][]string{
		"@file-read":  {"read manual", "pread64 observed"},
		"@file-write": {"write observed"},
		"@unnamed":    {"syscall_9999 manual"},
	}
	if sysno.Native() == sysno.AMD64 {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	if !slices.Equal(names, []string{"@file-read", "@file-write", "@unnamed"}) {
		t.Errorf("groups are %v", names)
	}
}

func TestListenersAreTheActionsThatNeedOne(t *testing.T) {
	p := policyOf(t,
		Rule{ID: lookup(t, sysno.AMD64, "read"), Verdict: Verdict{Action: Trace}, Tier: Manual},
		Rule{ID: lookup(t, sysno.AMD64, "bpf"), Verdict: Verdict{Action: Notify}, Tier: Manual},
		Rule{ID: lookup(t, sysno.AMD64, "mount"), Verdict: Verdict{Action: Notify}, Tier: Manual},
	)
	p.Default = Verdict{Action: Log}
	if got, want := p.Listeners(), []Action{Log, Notify, Trace}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := policyOf(t).Listeners(); len(got) > 0 {
		t.Errorf("got %v for a policy that needs none", got)
	}
}

func TestRulesReadAsOneLine(t *testing.T) {
	r := Rule{ID: sysno.ID{Arch: sysno.Native(), NR: 9999}, Verdict: eperm(), Args: []Cond{
		{Index: 0, Op: NotEqual, Value: 2}, {Index: 1, Op: MaskedEqual, Mask: 12, Value: 4},
	}}
	if got, want := r.String(), "syscall_9999: errno EPERM if arg0 != 0x2 and arg1 & 0xc == 0x4"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestVerdictsAndTiersAreReadAsTheyAreWritten(t *testing.T) {
	verdicts := []Verdict{{Action: Allow}, {Action: Log}, {Action: Notify}, {Action: Trap}, {Action: KillThread}, {Action: KillProcess},
		{Action: Trace}, {Action: Trace, Errno: 65535}}
	for e := uint16(1); e <= 4095; e++ {
		verdicts = append(verdicts, Verdict{Action: Errno, Errno: e})
	}
	for _, want := range verdicts {
		if got, err := ParseVerdict(want.String()); got != want || err != nil {
			t.Errorf("%q: got %v, %v", want, got, err)
		}
	}
	for _, bad := range []string{"", "Allow", "allow ", "allow EPERM", "errno", "errno 0", "errno 4096", "errno EPERMM", "trace", "trace 65536", "trace -1", "invalid", "kill"} {
		if got, err := ParseVerdict(bad); err == nil {
			t.Errorf("%q: got %v", bad, got)
		}
	}
	for want := Observed; want <= Manual; want++ {
		if got, err := ParseTier(want.String()); got != want || err != nil {
			t.Errorf("%q: got %v, %v", want, got, err)
		}
	}
	for _, bad := range []string{"", "invalid", "Observed"} {
		if got, err := ParseTier(bad); err == nil {
			t.Errorf("%q: got %v", bad, got)
		}
	}
}
