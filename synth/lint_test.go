package synth

import (
	"slices"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// usual are rules for what any program needs, with which a policy has no fault.
func usual(t testing.TB) []Rule {
	var rules []Rule
	for _, n := range alwaysNeeded() {
		if id, ok := sysno.Lookup(sysno.AMD64, n.name); ok && n.name != "execve" {
			rules = append(rules, Rule{ID: id, Verdict: Verdict{Action: Allow}, Tier: Always})
		}
	}
	return append(rules, Rule{ID: lookup(t, sysno.AMD64, "clone3"), Verdict: Verdict{Action: Errno, Errno: 38}, Tier: Always})
}

func TestLintFinds(t *testing.T) {
	allow := Verdict{Action: Allow}
	rule := func(call string, patterns ...Pattern) Rule {
		r := Rule{ID: lookup(t, sysno.AMD64, call), Verdict: allow, Tier: Observed}
		for _, p := range patterns {
			c, err := p.Cond(r.ID)
			if err != nil {
				t.Fatal(err)
			}
			r.Args = append(r.Args, c)
		}
		return r
	}
	readOnly := Pattern{Arg: "flags", Is: "O_RDONLY"}
	for _, c := range []struct {
		check, calls string
		severity     Severity
		rules        []Rule
	}{
		{"bypass", "openat openat2", Fault, []Rule{rule("openat", readOnly), rule("openat2")}},
		{"bypass", "mprotect pkey_mprotect", Fault, []Rule{rule("mprotect", Pattern{Arg: "prot", Forbid: []string{"PROT_EXEC"}}), rule("pkey_mprotect")}},
		{"io_uring", "io_uring_enter io_uring_setup", Warning, []Rule{rule("io_uring_setup"), rule("io_uring_enter")}},
		{"grave", "ptrace", Warning, []Rule{rule("ptrace")}},
		{"grave", "bpf", Warning, []Rule{rule("bpf")}},
		{"grave", "unshare", Warning, []Rule{rule("unshare")}},
		{"width", "socket", Fault, []Rule{rule("socket", Pattern{Arg: "domain", Op: "!=", Value: 40})}},
		{"width", "socket", Note, []Rule{rule("socket", Pattern{Arg: "domain", Op: "==", Value: 1})}},
		{"fileless", "execve memfd_create", Warning, []Rule{rule("memfd_create")}},
		{"arguments", "mprotect", Note, []Rule{rule("mprotect")}},
		{"arguments", "ioctl", Note, []Rule{rule("ioctl")}},
		{"fallback", "faccessat2", Note, []Rule{rule("faccessat")}},
		{"runtime", "capset execve prctl pselect6 read rt_sigaction rt_sigprocmask setresgid setresuid write", Note, []Rule{rule("close")}},
	} {
		findings := Lint(policyOf(t, append(usual(t), c.rules...)...))
		found := slices.ContainsFunc(findings, func(f Finding) bool {
			calls := strings.Join(f.Calls, " ")
			return f.Check == c.check && f.Severity == c.severity && (calls == c.calls || c.check == "runtime" && strings.HasPrefix(calls, "capset"))
		})
		if !found || len(Lint(policyOf(t, usual(t)...))) >= len(findings) && c.check != "runtime" {
			t.Errorf("no %v %s of %s: %+v", c.severity, c.check, c.calls, findings)
		}
	}
}

func TestLintFindsWhatBreaksPrograms(t *testing.T) {
	p := policyOf(t, usual(t)...)
	for _, f := range Lint(p) {
		if f.Severity == Fault {
			t.Errorf("a usual policy has a fault: %+v", f)
		}
	}
	without := func(name string) []Rule {
		return slices.DeleteFunc(usual(t), func(r Rule) bool { n, _ := r.ID.Name(); return n == name })
	}
	for name, check := range map[string]string{"rt_sigreturn": "always needed", "exit_group": "always needed", "futex": "always needed"} {
		if !slices.ContainsFunc(Lint(policyOf(t, without(name)...)), func(f Finding) bool {
			return f.Check == check && f.Severity == Fault && slices.Equal(f.Calls, []string{name})
		}) {
			t.Errorf("nothing is said of %s", name)
		}
	}
	p = policyOf(t, append(without("clone3"), Rule{ID: lookup(t, sysno.AMD64, "clone"), Verdict: Verdict{Action: Allow}, Tier: Observed})...)
	if !slices.ContainsFunc(Lint(p), func(f Finding) bool { return f.Check == "fallback" && f.Severity == Fault }) {
		t.Error("nothing is said of clone3, which is answered EPERM")
	}
}

// What generate makes has no faults, whatever the options are.
func TestGeneratedPoliciesHaveNoFaults(t *testing.T) {
	for _, o := range []Options{{}, {Args: ArgsSafe}, {Args: ArgsStrict}, {Portable: true}, {Args: ArgsSafe, Portable: true}, {Runtime: "runc"}} {
		for _, f := range Lint(generate(t, withArgs(t, "openat", valuesOf(2, 0)), o)) {
			if f.Severity == Fault {
				t.Errorf("%+v: %+v", o, f)
			}
		}
	}
}

func TestPayloadsAreGraded(t *testing.T) {
	allow := Verdict{Action: Allow}
	possible := func(p *Policy) map[string]bool {
		m := map[string]bool{}
		for _, g := range p.Payloads() {
			m[g.Class] = g.Possible
		}
		return m
	}
	free := possible(&Policy{Default: allow, Archs: []sysno.Arch{sysno.AMD64}})
	for class, ok := range free {
		if !ok {
			t.Errorf("%s is impossible where all is allowed", class)
		}
	}
	p := possible(generate(t, withArgs(t, "openat", valuesOf(2, 0)), Options{Args: ArgsSafe}))
	for class, want := range map[string]bool{
		"execute a program": true, "read any file": true, "write any file": false, "bring own code into memory": true,
		"make own code executable": false, "a shell that calls back": false, "attack the kernel from a user namespace": false,
	} {
		if got, known := p[class]; got != want || !known {
			t.Errorf("%s: got %v", class, got)
		}
	}
	if cves := (&Policy{Default: allow, Archs: []sysno.Arch{sysno.AMD64}}).ReachableCVEs(); len(cves) < 20 || !slices.IsSorted(cves) {
		t.Errorf("got %v", cves)
	}
	if cves := policyOf(t).ReachableCVEs(); len(cves) > 0 {
		t.Errorf("execve alone reaches %v", cves)
	}
}

func TestLintComparesWithEvidence(t *testing.T) {
	tr := sample(t)
	for i := range tr.Observations {
		tr.Observations[i].Phases = trace.PhaseStartup
	}
	p := generate(t, tr, Options{})
	p.Groups = Arrange(append(p.Rules(), Rule{ID: lookup(t, sysno.AMD64, "mkdir"), Verdict: Verdict{Action: Allow}, Tier: Manual}))
	var got []string
	for _, f := range LintEvidence(p, tr) {
		got = append(got, f.Check+" "+strings.Join(f.Calls, " "))
	}
	if want := []string{"execve execve", "never seen mkdir"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	tr.Observations[0].Phases |= trace.PhaseMain // execve
	for _, f := range LintEvidence(generate(t, tr, Options{}), tr) {
		t.Errorf("a program that executes others: %+v", f)
	}
}
