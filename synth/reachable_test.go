package synth

import (
	"errors"
	"slices"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// reachOf is an analysis that reaches the sample's calls, and socket and ptrace.
func reachOf(t *testing.T, gaps ...string) *trace.Reach {
	r := &trace.Reach{Arch: sysno.AMD64, Gaps: gaps}
	for _, name := range []string{"read", "write", "mmap", "munmap", "brk", "socket", "execve", "ptrace", "tgkill", "exit_group", "openat", "close"} {
		r.Reached = append(r.Reached, trace.Reached{ID: lookup(t, sysno.AMD64, name), Path: []trace.Step{{Function: "main"}, {Function: name}}})
	}
	slices.SortFunc(r.Reached, func(a, b trace.Reached) int { return a.ID.Compare(b.ID) })
	return r
}

func TestWhatNoRunShowedIsTheUsersChoice(t *testing.T) {
	kill, eperm := Verdict{Action: KillProcess}, Verdict{Action: Errno, Errno: 1}
	for _, choice := range []struct {
		name       string
		unobserved Verdict
		gaps       []string
		want       map[string]Verdict
	}{
		{"deny", Verdict{}, nil, map[string]Verdict{"read": {Action: Allow}, "socket": eperm, "ptrace": eperm, "mount": kill, "futex": {Action: Allow}}},
		{"log", Verdict{Action: Log}, nil, map[string]Verdict{"read": {Action: Allow}, "socket": {Action: Log}, "mount": kill}},
		{"allow", Verdict{Action: Allow}, nil, map[string]Verdict{"socket": {Action: Allow}, "mount": kill}},
		{"notify", Verdict{Action: Notify}, nil, map[string]Verdict{"socket": {Action: Notify}, "mount": kill}},
		{"deny, incomplete", Verdict{}, []string{"a library"}, map[string]Verdict{"read": {Action: Allow}, "socket": eperm, "mount": eperm}},
		{"log, incomplete", Verdict{Action: Log}, []string{"a library"}, map[string]Verdict{"socket": {Action: Log}, "mount": eperm}},
	} {
		t.Run(choice.name, func(t *testing.T) {
			p := generate(t, sample(t), Options{Reach: reachOf(t, choice.gaps...), Unobserved: choice.unobserved, Listener: "/run/s"})
			for name, want := range choice.want {
				if got := p.Decide(lookup(t, sysno.AMD64, name), [6]uint64{}); got != want {
					t.Errorf("%s: %v, want %v", name, got, want)
				}
			}
			r, ok := ruleOf(p, lookup(t, sysno.AMD64, "socket"))
			if named := choice.name != "deny, incomplete"; ok != named || ok && r.Tier != Reachable {
				t.Errorf("the rule for socket is %+v, %v", r, ok)
			}
		})
	}
}

func TestWhatOnlyCrashesShowedIsRefusedAsBefore(t *testing.T) {
	p := generate(t, sample(t), Options{Reach: reachOf(t), Unobserved: Verdict{Action: Allow}, DenyErrorPath: true})
	id := lookup(t, sysno.AMD64, "tgkill")
	if got, want := p.Decide(id, [6]uint64{}), (Verdict{Action: Errno, Errno: 1}); got != want {
		t.Errorf("tgkill: %v, want %v", got, want)
	}
	if r, _ := ruleOf(p, id); r.Tier != ErrorPath {
		t.Errorf("tgkill has the tier %v", r.Tier)
	}
}

func TestAnAnalysisOfAnotherProgramIsRefused(t *testing.T) {
	r := reachOf(t)
	r.Target.SHA256 = "00"
	tr := sample(t)
	tr.Target.SHA256 = "69f059a1758c49bdb0c40aca6ba639451c5932b729be43821a18b0a438d7306b"
	if _, err := Generate(tr, Options{Reach: r}); !errors.Is(err, ErrReach) {
		t.Errorf("got %v", err)
	}
}

func TestRulesWithoutEvidenceAreMarkedWhereTheProgramReachesThem(t *testing.T) {
	p := generate(t, sample(t), Options{Reach: reachOf(t), Unobserved: Verdict{Action: Log}})
	for _, g := range p.Groups { // as a profile is read
		for i := range g.Rules {
			if g.Rules[i].Tier == Reachable {
				g.Rules[i].Tier, g.Rules[i].Reason = Manual, "it is in the profile"
			}
		}
	}
	MarkReachable(p, reachOf(t))
	if r, _ := ruleOf(p, lookup(t, sysno.AMD64, "socket")); r.Tier != Reachable {
		t.Errorf("socket has the tier %v", r.Tier)
	}
	if r, _ := ruleOf(p, lookup(t, sysno.AMD64, "read")); r.Tier != Observed {
		t.Errorf("read has the tier %v", r.Tier)
	}
}

func TestLintNamesWhatStandsOnAnalysisAlone(t *testing.T) {
	for _, choice := range []struct {
		unobserved Action
		want       bool
	}{{Allow, true}, {Log, false}} {
		p := generate(t, sample(t), Options{Reach: reachOf(t), Unobserved: Verdict{Action: choice.unobserved}})
		i := slices.IndexFunc(Lint(p), func(f Finding) bool { return f.Check == "reachable" })
		if (i >= 0) != choice.want {
			t.Errorf("%v: finding %d", choice.unobserved, i)
			continue
		}
		if i >= 0 && !slices.Equal(Lint(p)[i].Calls, []string{"ptrace", "socket"}) {
			t.Errorf("%v: %v", choice.unobserved, Lint(p)[i].Calls)
		}
	}
}

// argued is a sample with the values of openat's flags, and an analysis of all that it calls.
func argued(t *testing.T, flags trace.Arg) (*trace.Trace, *trace.Reach) {
	t.Helper()
	tr, r := sample(t), reachOf(t)
	for i := range tr.Observations {
		if o := &tr.Observations[i]; o.ID == lookup(t, sysno.AMD64, "openat") {
			o.Args = []trace.Arg{{Index: 2, Values: []uint64{0}}}
		}
	}
	for i := range r.Reached {
		switch x := &r.Reached[i]; x.ID {
		case lookup(t, sysno.AMD64, "openat"):
			x.Args = []trace.Arg{flags}
		case lookup(t, sysno.AMD64, "socket"):
			x.Args = []trace.Arg{{Index: 0, Values: []uint64{1}}, {Index: 1, Any: true}}
		}
	}
	return tr, r
}

func TestWhatNoRunShowedIsPermittedWithTheValuesThatCodeHas(t *testing.T) {
	const unix, netlink = 1, 16
	socket := lookup(t, sysno.AMD64, "socket")
	for _, c := range []struct {
		mode ArgMode
		gaps []string
		want Action // of a socket for which no code is
	}{{ArgsOff, nil, Log}, {ArgsSafe, nil, KillProcess}, {ArgsStrict, nil, KillProcess}, {ArgsStrict, []string{"a library"}, Log}} {
		tr, r := argued(t, trace.Arg{Index: 2, Values: []uint64{0}})
		r.Gaps = c.gaps
		p := generate(t, tr, Options{Reach: r, Unobserved: Verdict{Action: Log}, Args: c.mode})
		if got := p.Decide(socket, [6]uint64{unix}); got.Action != Log {
			t.Errorf("%v, gaps %v: the socket that it can make gets %v", c.mode, c.gaps, got)
		}
		if got := p.Decide(socket, [6]uint64{netlink}); got.Action != c.want {
			t.Errorf("%v, gaps %v: the socket that it cannot make gets %v", c.mode, c.gaps, got)
		}
	}
}

// The program can do that: it is not for the analysis to have it killed.
func TestValuesThatCodeHasAndNoRunShowedAreNotDeadly(t *testing.T) {
	const creates = 0x241
	openat, mount := lookup(t, sysno.AMD64, "openat"), lookup(t, sysno.AMD64, "mount")
	eperm, kill := Verdict{Action: Errno, Errno: 1}, Verdict{Action: KillProcess}
	for _, c := range []struct {
		flags trace.Arg
		mode  ArgMode
		want  Verdict
	}{
		{trace.Arg{Index: 2, Values: []uint64{0}}, ArgsStrict, kill},
		{trace.Arg{Index: 2, Values: []uint64{0, creates}}, ArgsStrict, eperm},
		{trace.Arg{Index: 2, Values: []uint64{0, creates}}, ArgsSafe, eperm},
		{trace.Arg{Index: 2, Any: true}, ArgsSafe, eperm},
		{trace.Arg{Index: 2, Any: true}, ArgsOff, kill},
	} {
		tr, r := argued(t, c.flags)
		p := generate(t, tr, Options{Reach: r, Args: c.mode})
		want := c.want
		if c.mode == ArgsOff {
			want = Verdict{Action: Allow}
		}
		if got := p.Decide(openat, [6]uint64{0, 0, creates}); got != want {
			t.Errorf("%v, %v: openat that creates gets %v, want %v", c.mode, c.flags, got, want)
		}
		if got := p.Decide(mount, [6]uint64{}); got != c.want {
			t.Errorf("%v, %v: mount gets %v, want %v", c.mode, c.flags, got, c.want)
		}
	}
}
