package synth

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// Severity says how much a finding matters. The zero value is invalid.
type Severity uint8

// The severities.
const (
	SeverityInvalid Severity = iota
	Fault                    // the policy does not do what it says, or breaks programs
	Warning                  // the policy allows what few programs need
	Note                     // worth knowing
)

// String is the severity as a word.
func (s Severity) String() string {
	names := [...]string{"invalid", "error", "warning", "note"}
	if int(s) < len(names) {
		return names[s]
	}
	return names[SeverityInvalid]
}

// Finding is one thing that Lint has to say.
type Finding struct {
	Severity Severity
	Check    string   // the name of the check, such as "bypass"
	Calls    []string // the syscalls that it is about, sorted
	Detail   string
	Mend     string   // what to do about it; empty where the program may need it
	CVEs     []string // holes of the kernel that were reached through these calls
}

// Lint looks for what a valid policy should not have: ways round its conditions,
// combinations that make a payload, calls that need a reason of their own, refusals that
// break fall-backs, and what would keep it from starting. Findings are sorted by
// severity and check.
func Lint(p *Policy) []Finding {
	l := linter{p: p, calls: map[string]*callUse{}}
	for _, c := range Clauses(p.Rules()) {
		name, ok := c.ID.Name()
		if !ok {
			continue
		}
		use := l.calls[name]
		if use == nil {
			use = &callUse{}
			l.calls[name] = use
		}
		use.clauses = append(use.clauses, c)
		use.permitted = use.permitted || c.Verdict.Action.Permits()
	}
	for _, check := range []func(){
		l.permissiveDefault, l.bypasses, l.hiddenFlags, l.widths, l.needed, l.fallbacks, l.secondABIs,
		l.grave, l.dangerousArguments, l.execution, l.payloads, l.starts, l.unshown,
	} {
		check()
	}
	slices.SortStableFunc(l.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), strings.Compare(a.Check, b.Check), slices.Compare(a.Calls, b.Calls))
	})
	return l.findings
}

// unshown looks for what stands on static analysis alone.
func (l *linter) unshown() {
	var calls []string
	for name, use := range l.calls {
		if slices.ContainsFunc(use.clauses, func(c Clause) bool { return c.Tier == Reachable && c.Verdict.Action == Allow }) {
			calls = append(calls, name)
		}
	}
	if len(calls) > 0 {
		l.report(Note, "reachable", calls, "learn on inputs that lead there, or log them: --unobserved log", "the program's code can make these calls, and no run showed them")
	}
}

// LintEvidence looks for what a policy permits and the evidence behind it does not show:
// a program that executes no other, and calls that no run made.
func LintEvidence(p *Policy, t *trace.Trace) []Finding {
	seen := map[sysno.ID]trace.Observation{}
	for _, o := range t.Observations {
		seen[o.ID] = o
	}
	l := linter{p: p}
	var never []string
	for id, rules := range rulesByID(p) {
		name, named := id.Name()
		permitted := slices.ContainsFunc(rules, func(r Rule) bool { return r.Verdict.Action.Permits() })
		o, known := seen[id]
		switch {
		case !named || !permitted || id.Arch != t.Arch:
		case name == "execve" && known && o.Phases == trace.PhaseStartup:
			l.report(Note, "execve", []string{name}, "start the program under a second filter, which it loads itself and which refuses execve",
				"the program was started by it and executed no other in %d runs; it has to be allowed because the filter is in place before the program is", t.Runs)
		case !known && !slices.ContainsFunc(alwaysNeeded(), func(n need) bool { return n.name == name }):
			never = append(never, name)
		}
	}
	if len(never) > 0 {
		l.report(Note, "never seen", never, "refuse them unless somebody knows why they are there", "no run of %d made these calls", t.Runs)
	}
	slices.SortFunc(l.findings, func(a, b Finding) int { return strings.Compare(a.Check, b.Check) })
	return l.findings
}

// callUse is what a policy says of the calls of one name.
type callUse struct {
	clauses   []Clause
	permitted bool
}

// free reports whether some clause permits the call whatever its arguments are.
func (u *callUse) free() bool {
	return u != nil && slices.ContainsFunc(u.clauses, func(c Clause) bool { return c.Verdict.Action.Permits() && len(c.Args) == 0 })
}

type linter struct {
	p        *Policy
	calls    map[string]*callUse
	findings []Finding
}

func (l *linter) report(s Severity, check string, calls []string, mend, format string, args ...any) {
	slices.Sort(calls)
	l.findings = append(l.findings, Finding{Severity: s, Check: check, Calls: calls, Detail: fmt.Sprintf(format, args...), Mend: mend, CVEs: cvesOf(calls)})
}

// permits reports whether the policy permits the call with some arguments.
func (l *linter) permits(name string) bool {
	if use := l.calls[name]; use != nil && len(use.clauses) > 0 {
		return use.permitted || l.p.Default.Action.Permits() && len(use.clauses[0].Args) > 0
	}
	return l.p.Default.Action.Permits()
}

// conditional reports whether the policy permits the call with certain arguments only.
func (l *linter) conditional(name string) bool {
	use := l.calls[name]
	return use != nil && use.permitted && !use.free()
}

// has reports whether an ABI of the policy has the call.
func (l *linter) has(name string) bool {
	return slices.ContainsFunc(l.p.Archs, func(a sysno.Arch) bool { _, ok := sysno.Lookup(a, name); return ok })
}

func (l *linter) permissiveDefault() {
	if l.p.Default.Action.Permits() {
		l.report(Warning, "default", nil, "list what is allowed, and refuse the rest",
			"the default action is %v: calls that nobody thought of, and those of kernels to come, are carried out", l.p.Default)
	}
}

// bypasses finds conditions that another call goes round.
func (l *linter) bypasses() {
	for _, b := range []struct{ bound, round string }{
		{"open", "openat openat2 creat"},
		{"openat", "open openat2 creat"},
		{"mmap", "remap_file_pages"},
		{"mprotect", "pkey_mprotect"},
		{"socket", "socketcall"},
		{"socketpair", "socketcall"},
		{"clone", "clone3"},
		{"fcntl", "fcntl64"},
		{"fcntl64", "fcntl"},
		{"kill", "rt_sigqueueinfo pidfd_send_signal"},
		{"tgkill", "tkill rt_tgsigqueueinfo"},
		{"futex", "futex_wait futex_wake futex_requeue futex_waitv"},
	} {
		if !l.conditional(b.bound) {
			continue
		}
		for _, round := range words(b.round) {
			if l.has(round) && l.calls[round].free() {
				l.report(Fault, "bypass", []string{b.bound, round}, fmt.Sprintf("give %s conditions too, or answer it ENOSYS", round),
					"the conditions of %s do not bind %s, which does the same", b.bound, round)
			}
		}
	}
	if l.permits("io_uring_enter") && l.permits("io_uring_setup") {
		l.report(Warning, "io_uring", []string{"io_uring_setup", "io_uring_enter"}, "refuse io_uring_setup with ENOSYS; programs fall back",
			"through a ring, files are opened and sockets connected without a syscall: no rule of this policy binds that")
	}
}

// hiddenFlags finds calls of which the telling arguments lie in memory.
func (l *linter) hiddenFlags() {
	if l.permits("clone3") && !l.conditional("clone") {
		l.report(Warning, "clone3", []string{"clone3"}, "answer it errno ENOSYS: C libraries fall back to clone, whose flags can be checked",
			"no filter sees the flags of clone3, so it creates namespaces as well as threads")
	}
}

// widths finds comparisons of more bits than the kernel reads.
func (l *linter) widths() {
	for _, r := range l.p.Rules() {
		for _, c := range r.Args {
			arg := argumentAt(r.ID, c.Index)
			name, named := r.ID.Name()
			if !named || arg.Bits == 64 || r.ID.Arch == sysno.I386 || !r.ID.Described() {
				continue
			}
			denies := !r.Verdict.Action.Permits()
			switch {
			case c.Op == MaskedEqual && c.Mask&^arg.Mask() == 0:
			case c.Op == NotEqual && !denies, c.Op == Equal && denies, c.Op == Greater && !denies, c.Op == GreaterEqual && !denies:
				l.report(Fault, "width", []string{name}, fmt.Sprintf("compare under the mask %#x", arg.Mask()),
					"%s: the kernel reads %d bits of %s, and the condition 64: with other upper bits the call gets round it", r.String(), arg.Bits, arg.Name)
			default:
				l.report(Note, "width", []string{name}, fmt.Sprintf("compare under the mask %#x", arg.Mask()),
					"%s: the kernel reads %d bits of %s, and the condition 64: a correct call whose upper bits are not clear fails", r.String(), arg.Bits, arg.Name)
			}
		}
	}
}

// needed finds calls without which programs die that were tested well.
func (l *linter) needed() {
	if l.p.Default.Action.Permits() {
		return
	}
	for _, n := range alwaysNeeded() {
		if !l.has(n.name) || l.permits(n.name) || n.name == "execve" || n.name == "time" || n.name == "sigreturn" || n.name == "getcpu" {
			continue
		}
		l.report(Fault, "always needed", []string{n.name}, "allow it", "it is refused, but it %s", strings.TrimPrefix(n.reason, "it "))
	}
}

// fallbacks finds refusals that C libraries do not take for the absence of a call.
func (l *linter) fallbacks() {
	if l.p.Default.Action != Errno || l.p.Default.Errno == 38 {
		return
	}
	for _, f := range []struct{ newer, older string }{
		{"clone3", "clone"}, {"faccessat2", "faccessat access"}, {"statx", "newfstatat fstat"}, {"close_range", "close"},
		{"epoll_pwait2", "epoll_pwait epoll_wait"}, {"fchmodat2", "fchmodat"}, {"openat2", "openat"},
		{"preadv2", "preadv"}, {"pwritev2", "pwritev"}, {"renameat2", "renameat rename"}, {"copy_file_range", "read"},
		{"futex_waitv", "futex"}, {"clock_gettime64", "clock_gettime"}, {"io_uring_setup", "read"},
	} {
		use := l.calls[f.newer]
		if !l.has(f.newer) || use != nil && len(use.clauses) > 0 || !slices.ContainsFunc(words(f.older), l.permits) {
			continue
		}
		severity := Note
		if f.newer == "clone3" {
			severity = Fault // glibc from 2.34 on aborts thread creation on anything but ENOSYS
		}
		l.report(severity, "fallback", []string{f.newer}, "answer it errno ENOSYS",
			"it is answered %v; programs that try it first fall back to %s on ENOSYS alone", l.p.Default, strings.ReplaceAll(f.older, " ", " or "))
	}
}

// secondABIs finds further ways into the kernel.
func (l *linter) secondABIs() {
	for _, a := range l.p.Archs {
		if a == sysno.I386 || a == sysno.X32 {
			l.report(Note, "second ABI", nil, "leave it out unless the program makes such calls",
				"%v is listed: the same calls by other numbers, through code of the kernel that is tested less", a)
		}
	}
}

// grave finds calls that no program should have without a reason of its own.
func (l *linter) grave() {
	for _, r := range risks() {
		var calls []string
		for _, name := range words(r.Calls) {
			use := l.calls[name]
			if r.Grave && use != nil && use.permitted && !l.conditional(name) {
				calls = append(calls, name)
			}
		}
		if len(calls) > 0 {
			l.report(Warning, "grave", calls, "", "%s", r.What)
		}
	}
}

// dangerousArguments finds values that need trust of their own, where conditions could
// keep them out.
func (l *linter) dangerousArguments() {
	for _, name := range sortedKeys(l.calls) {
		use := l.calls[name]
		if !use.permitted {
			continue
		}
		byArg := map[string]bool{}
		for _, c := range use.clauses {
			if !c.Verdict.Action.Permits() {
				continue
			}
			for _, tr := range traitsByCall()[name] {
				index, _, err := argument(c.ID, tr.arg)
				if err != nil || byArg[tr.arg] {
					continue
				}
				let, why := Dangers(c.ID, index, c.on(index))
				if len(let) == 0 || why == "" {
					continue
				}
				byArg[tr.arg] = true
				mend := "generate with --args safe, which refuses those that were not seen"
				if len(c.on(index)) > 0 {
					mend = ""
				}
				l.report(Note, "arguments", []string{name}, mend, "%s may be %s: %s", tr.arg, shortList(let), why)
			}
		}
	}
}

func shortList(names []string) string {
	const most = 4
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// execution finds ways to execute what the program should not.
func (l *linter) execution() {
	if l.permits("memfd_create") && (l.permits("execveat") || l.permits("execve")) {
		l.report(Warning, "fileless", []string{"memfd_create", "execve"}, "",
			"a program that lies in memory alone can be executed: it leaves no file behind")
	}
}

// payloads reports the classes of exploit payloads that would work.
func (l *linter) payloads() {
	for _, g := range l.p.Payloads() {
		if g.Possible {
			l.report(Note, "payload", g.Calls, "", "%s: a payload of this class would work", g.Class)
		}
	}
}

// starts finds runtimes that could not start a program under the policy.
func (l *linter) starts() {
	if l.p.Default.Action.Permits() {
		return
	}
	for _, runtime := range Loaders() {
		needs, err := RuntimeNeeds(runtime, false)
		if err != nil {
			continue
		}
		var missing []string
		for _, name := range needs {
			if l.has(name) && (!l.permits(name) || l.conditional(name)) {
				missing = append(missing, name)
			}
		}
		if len(missing) > 0 {
			l.report(Note, "runtime", missing, "generate with --runtime "+runtime+" for containers", "%s may not start a container under this policy", runtime)
		}
	}
}

// cvesOf lists the holes of the kernel that were reached through the calls.
func cvesOf(calls []string) []string {
	var cves []string
	for _, name := range calls {
		for _, r := range RisksOf(name) {
			cves = append(cves, r.CVEs...)
		}
	}
	slices.Sort(cves)
	return slices.Compact(cves)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
