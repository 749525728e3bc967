package synth

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// sample is the evidence of ten runs of a small program, nine of which ended
// normally.
func sample(t testing.TB) *trace.Trace {
	tr := &trace.Trace{Arch: sysno.AMD64, Kernel: "6.18.44", Runs: 10, CleanRuns: 9}
	for _, name := range []string{"execve", "brk", "mmap", "munmap", "read", "write", "openat", "close", "exit_group"} {
		tr.Observations = append(tr.Observations, trace.Observation{
			ID: lookup(t, sysno.AMD64, name), Runs: 10, CleanRuns: 9, Witness: trace.Witness{ID: "w", Command: "prog " + name},
		})
	}
	tr.Observations = append(tr.Observations, trace.Observation{ID: lookup(t, sysno.AMD64, "tgkill"), Runs: 1})
	return tr
}

func generate(t testing.TB, tr *trace.Trace, o Options) *Policy {
	t.Helper()
	p, err := Generate(tr, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ruleOf(p *Policy, id sysno.ID) (Rule, bool) {
	for _, r := range p.Rules() {
		if r.ID == id {
			return r, true
		}
	}
	return Rule{}, false
}

func TestAPolicyAllowsTheEvidenceAndWhatAnyProgramNeeds(t *testing.T) {
	p := generate(t, sample(t), Options{})
	var got []string
	for _, g := range p.Groups {
		for _, r := range g.Rules {
			name, _ := r.ID.Name()
			got = append(got, fmt.Sprintf("%s %s %v %v", g.Name, name, r.Verdict, r.Tier))
			if r.Reason == "" {
				t.Errorf("%v has no reason", r.ID)
			}
		}
	}
	want := []string{
		"@fd close allow observed",
		"@file-open openat allow observed",
		"@file-read read allow observed",
		"@file-write write allow observed",
		"@futex futex allow always",
		"@memory mmap allow observed",
		"@memory munmap allow observed",
		"@memory brk allow observed",
		"@process-create clone3 errno ENOSYS always",
		"@process-exec execve allow observed",
		"@process-exit exit allow always",
		"@process-exit exit_group allow observed",
		"@scheduling-read getcpu allow always",
		"@signal-handle rt_sigreturn allow always",
		"@signal-handle restart_syscall allow always",
		"@signal-send tgkill allow error-path",
		"@time-read gettimeofday allow always",
		"@time-read time allow always",
		"@time-read clock_gettime allow always",
		"@time-read clock_getres allow always",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if p.Default != eperm() || !slices.Equal(p.Archs, []sysno.Arch{sysno.AMD64}) || len(p.Flags) > 0 {
		t.Errorf("got default %v, architectures %v, flags %v", p.Default, p.Archs, p.Flags)
	}
}

func TestTheOrderOfEvidenceHasNoEffect(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	tr := sample(t)
	tr.Observations = append(tr.Observations,
		trace.Observation{ID: lookup(t, sysno.I386, "read"), Runs: 2, CleanRuns: 2},
		trace.Observation{ID: sysno.ID{Arch: sysno.AMD64, NR: 9999}, Runs: 1},
		trace.Observation{ID: sysno.ID{Arch: sysno.AMD64, NR: 9998}, Runs: 1},
	)
	want := fmt.Sprintf("%+v", generate(t, tr, Options{Runtime: "runc"}))
	for range 50 {
		r.Shuffle(len(tr.Observations), func(i, j int) {
			tr.Observations[i], tr.Observations[j] = tr.Observations[j], tr.Observations[i]
		})
		if got := fmt.Sprintf("%+v", generate(t, tr, Options{Runtime: "runc"})); got != want {
			t.Fatalf("shuffled evidence gives another policy\n got %s\nwant %s", got, want)
		}
	}
}

func TestErrorPathsAreTheUsersChoice(t *testing.T) {
	tgkill := lookup(t, sysno.AMD64, "tgkill")
	if r, ok := ruleOf(generate(t, sample(t), Options{}), tgkill); !ok || r.Tier != ErrorPath {
		t.Errorf("by default: got %+v, %v", r, ok)
	}
	if r, ok := ruleOf(generate(t, sample(t), Options{DenyErrorPath: true}), tgkill); ok {
		t.Errorf("denied: got %+v", r)
	}
	// A program that always crashes must still be able to start.
	tr := sample(t)
	tr.CleanRuns = 0
	for i := range tr.Observations {
		tr.Observations[i].CleanRuns = 0
	}
	p := generate(t, tr, Options{DenyErrorPath: true})
	if r, ok := ruleOf(p, lookup(t, sysno.AMD64, "execve")); !ok || r.Tier != Always {
		t.Errorf("execve of a program that always crashes: got %+v, %v", r, ok)
	}
}

func TestClone3IsAnsweredWithTheErrnoThatLibrariesFallBackOn(t *testing.T) {
	enosys := Verdict{Action: Errno, Errno: 38}
	clone3 := lookup(t, sysno.AMD64, "clone3")
	for _, c := range []struct {
		name string
		o    Options
		seen bool
		want Verdict
	}{
		{"denied by errno", Options{}, false, enosys},
		{"denied by kill", Options{Default: Verdict{Action: KillProcess}}, false, enosys},
		{"denied by ENOSYS anyway", Options{Default: enosys}, false, enosys},
		{"only logged", Options{Default: Verdict{Action: Log}}, false, Verdict{Action: Log}},
		{"seen", Options{}, true, Verdict{Action: Allow}},
	} {
		tr := sample(t)
		if c.seen {
			tr.Observations = append(tr.Observations, trace.Observation{ID: clone3, Runs: 1, CleanRuns: 1})
		}
		if got := generate(t, tr, c.o).Decide(clone3, [6]uint64{}); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	// A profile cannot answer two ABIs differently.
	tr := sample(t)
	tr.Observations = append(tr.Observations, trace.Observation{ID: lookup(t, sysno.I386, "clone3"), Runs: 1, CleanRuns: 1})
	if r, ok := ruleOf(generate(t, tr, Options{}), clone3); ok {
		t.Errorf("i386 may clone3, and x86_64 has the rule %+v", r)
	}
}

func TestArchitecturesAreThoseOfTheEvidence(t *testing.T) {
	tr := sample(t)
	tr.Observations = append(tr.Observations, trace.Observation{ID: lookup(t, sysno.I386, "read"), Runs: 1, CleanRuns: 1})
	p := generate(t, tr, Options{})
	if want := []sysno.Arch{sysno.AMD64, sysno.I386}; !slices.Equal(p.Archs, want) {
		t.Errorf("got %v, want %v", p.Archs, want)
	}
	for _, name := range []string{"sigreturn", "clock_gettime64", "exit_group"} {
		if r, ok := ruleOf(p, lookup(t, sysno.I386, name)); !ok || r.Tier != Always {
			t.Errorf("i386 %s: got %+v, %v", name, r, ok)
		}
	}
	tr.Observations[len(tr.Observations)-1].CleanRuns = 0
	if p := generate(t, tr, Options{DenyErrorPath: true}); len(p.Archs) != 1 {
		t.Errorf("an ABI of which nothing is allowed is listed: %v", p.Archs)
	}
}

func TestNumbersWithoutANameArePutAside(t *testing.T) {
	tr := sample(t)
	odd := []sysno.ID{{Arch: sysno.AMD64, NR: 9998}, {Arch: sysno.AMD64, NR: 9999}}
	tr.Observations = append(tr.Observations, trace.Observation{ID: odd[1], Runs: 1, CleanRuns: 1}, trace.Observation{ID: odd[0], Runs: 1})
	p := generate(t, tr, Options{})
	if !slices.Equal(p.Unnamed, odd) {
		t.Errorf("got %v, want %v", p.Unnamed, odd)
	}
	if got := p.Decide(odd[0], [6]uint64{}); got != p.Default {
		t.Errorf("%v: got %v, want the default action", odd[0], got)
	}
}

func TestARuntimeGetsWhatItNeedsAfterLoadingTheFilter(t *testing.T) {
	for _, c := range []struct {
		runtime string
		needs   []string
	}{
		{"runc", []string{"futex", "rt_sigreturn", "epoll_ctl", "getdents64", "setgroups", "close_range", "openat2", "execve"}},
		{"crun", []string{"capset", "prctl", "setresuid", "pselect6", "rt_sigprocmask"}},
	} {
		p := generate(t, sample(t), Options{Runtime: c.runtime})
		for _, name := range c.needs {
			r, ok := ruleOf(p, lookup(t, sysno.AMD64, name))
			if !ok || r.Verdict.Action != Allow {
				t.Errorf("%s: %s is not allowed", c.runtime, name)
			}
		}
		if r, _ := ruleOf(p, lookup(t, sysno.AMD64, "write")); r.Tier != Observed {
			t.Errorf("%s: write was seen, but its tier is %v", c.runtime, r.Tier)
		}
		if r, _ := ruleOf(p, lookup(t, sysno.AMD64, "prctl")); r.Tier != Runtime || !strings.HasPrefix(r.Reason, c.runtime) {
			t.Errorf("%s: prctl has tier %v and reason %q", c.runtime, r.Tier, r.Reason)
		}
	}
}

func TestRuntimesNeedLessWithNoNewPrivs(t *testing.T) {
	for _, name := range Runtimes() {
		all, err := RuntimeNeeds(name, false)
		if err != nil {
			t.Fatal(err)
		}
		fewer, err := RuntimeNeeds(name, true)
		if err != nil {
			t.Fatal(err)
		}
		if len(fewer) == 0 || len(fewer) >= len(all) {
			t.Errorf("%s: %d calls with no_new_privs, %d without", name, len(fewer), len(all))
		}
		for _, call := range fewer {
			if !slices.Contains(all, call) {
				t.Errorf("%s needs %s with no_new_privs only", name, call)
			}
		}
		for _, call := range all {
			lookup(t, sysno.AMD64, call)
		}
		p := generate(t, sample(t), Options{Runtime: name, NoNewPrivs: true})
		if r, ok := ruleOf(p, lookup(t, sysno.AMD64, "capset")); ok {
			t.Errorf("%s with no_new_privs: %v", name, r)
		}
	}
	for name, like := range map[string]string{"docker": "runc", "containerd": "runc"} {
		got, _ := RuntimeNeeds(name, false)
		want, _ := RuntimeNeeds(like, false)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, %s: %v", name, got, like, want)
		}
	}
}

func TestEvidenceThatCarriesNoPolicyIsRefused(t *testing.T) {
	cases := []struct {
		name    string
		spoil   func(*trace.Trace)
		o       Options
		kind    error
		message string
	}{
		{"no observations", func(tr *trace.Trace) { tr.Observations = nil }, Options{}, ErrEmpty, "the evidence is empty: 10 runs, 0 syscalls"},
		{"no runs", func(tr *trace.Trace) { *tr = trace.Trace{Arch: sysno.AMD64} }, Options{}, ErrEmpty, "the evidence is empty: 0 runs, 0 syscalls"},
		{"lost tasks", func(tr *trace.Trace) { tr.Lost.Tasks = 2 }, Options{}, ErrIncomplete, "2 tasks could not be followed"},
		{"lost numbers", func(tr *trace.Trace) { tr.Lost.Beyond = 3 }, Options{}, ErrIncomplete, "3 unknown numbers did not fit"},
		{"no execve", func(tr *trace.Trace) { tr.Observations = tr.Observations[1:] }, Options{}, ErrNoExecSeen, "the evidence has no execve"},
		{"counts that cannot be", func(tr *trace.Trace) { tr.Runs = 1; tr.CleanRuns = 1 }, Options{}, nil, "seen in 10 runs"},
		{"an unknown runtime", func(*trace.Trace) {}, Options{Runtime: "gvisor"}, nil, `unknown container runtime "gvisor"; known are containerd, crun, docker, podman, runc`},
		{"allow by default", func(*trace.Trace) {}, Options{Default: Verdict{Action: Allow}}, ErrDefault, "choose an action that denies or logs"},
		{"notify by default", func(*trace.Trace) {}, Options{Default: Verdict{Action: Notify}}, ErrDefault, "a supervisor cannot be asked about every syscall"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tr := sample(t)
			c.spoil(tr)
			_, err := Generate(tr, c.o)
			if err == nil || c.kind != nil && !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.message) {
				t.Errorf("got error %v, want %v with %q", err, c.kind, c.message)
			}
		})
	}
	tr := sample(t)
	tr.Lost = trace.Lost{Tasks: 1, Beyond: 1}
	if _, err := Generate(tr, Options{AllowIncomplete: true}); err != nil {
		t.Errorf("incomplete evidence, permitted: %v", err)
	}
	tr.Lost = trace.Lost{Late: 5}
	if _, err := Generate(tr, Options{}); err != nil {
		t.Errorf("late calls are in the trace: %v", err)
	}
}
