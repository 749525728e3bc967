// Package report decides what a person is shown of a learned policy: one sentence of
// verdict, each rule with its evidence, how the syscalls were found, what the program
// could reach besides, and what the policy keeps from an attacker. It is a pure function
// from evidence to a page, as HTML or as Markdown. It refuses to know files, commands
// and clocks. Its main hazard is the text that it shows: command lines, paths and symbols
// come from programs that may be hostile, so none of it is written without being escaped.
package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/trace"
)

// Input is what a report is made of. Policy and Evidence are mandatory; what else is
// nil or empty is left out of the report, or named as missing.
type Input struct {
	Program  string
	Policy   *synth.Policy // with the tiers and reasons of its rules
	Evidence *trace.Trace
	Session  *Session      // how the evidence was found
	Reach    *trace.Reach  // what static analysis adds
	Docker   *synth.Policy // docker's default policy, to compare with
	Previous *synth.Policy // the policy before this one
}

// Session is what a session of learning tells of itself.
type Session struct {
	Runs    uint64
	Seconds float64
	Stop    string  // why it ended
	Chance  float64 // upper bound (95 %) that one more run shows a new syscall; 1 where nothing is known
	Found   []Found // in the order of discovery
	Varied  []Varied
	Crashes []Failure
	Hangs   []Failure
}

// drawn reports whether any run was drawn at random, which is what confidence is made of.
func (s *Session) drawn() bool {
	return slices.ContainsFunc(s.Varied, func(v Varied) bool { return v.Draws > 0 })
}

// Drawn are the dimensions that draws varied, or that found something beside others.
func (s *Session) Drawn() []Varied {
	return slices.DeleteFunc(slices.Clone(s.Varied), func(v Varied) bool { return v.Draws == 0 && v.Found == 0 })
}

// Found is the discovery of a syscall.
type Found struct {
	Syscall string
	Run     uint64
	Seconds float64
	Phase   string
	Varied  []string
}

// Varied is what varying one thing has brought.
type Varied struct {
	Dimension string
	Draws     uint64
	Found     int
	Chance    float64 // as Session.Chance
}

// Failure is a kind of crash or hang.
type Failure struct {
	How     string
	Command string
	Count   uint64
}

// Report is a finished report, in words.
type Report struct {
	Program  string
	Verdict  string   // one sentence
	Cautions []string // what a person must know before trusting the policy; often none
	Facts    []Fact
	Tiers    []Fact // what those of the rules mean
	Groups   []Group
	Session  *Session
	Gap      *Gap
	Blocked  Blocked
	Lint     []synth.Finding
	Changes  *Changes
	Target   []Fact // what was run, and where
}

// Fact is a number or a word with its name.
type Fact struct{ Name, Value string }

// Group is a functional group, with those of its syscalls that the policy speaks of.
type Group struct {
	Name, Description string
	Allowed, Total    int
	Rows              []Row
}

// Row is one syscall of the policy.
type Row struct {
	Syscall string
	Verdict string // with the conditions, if any
	Tier    string
	Reason  string
	Runs    string // "12 of 90"; empty where no run showed it
	Phase   string
	Results string
	Values  []string // of its arguments
	Sites   []string
	Witness string
	Risks   []string
}

// Gap is the difference between what was seen and what the code can reach.
type Gap struct {
	Complete    bool
	Why         []string // what makes the analysis incomplete
	Reachable   int
	Observed    int // of the reachable ones
	Unobserved  []Unseen
	Beyond      []string // seen, and not reachable: an error of the analysis where it is complete
	Unreachable int      // syscalls of the machine that the code cannot reach; 0 unless Complete
}

// Unseen is a syscall that the code can reach and no run showed.
type Unseen struct {
	Syscall string
	Verdict string
	Path    string
}

// Blocked is what the policy keeps from whoever takes over the program.
type Blocked struct {
	Refused, Known int // of the known syscalls of the machine's ABI, those that are refused, and all
	Payloads       []synth.Payload
	CVEs           []string // of holes in calls that the policy permits
	DockerCVEs     []string
	Docker         int      // syscalls that docker's default permits; 0 where it is not at hand
	OnlyDocker     int      // of these, refused here
	BeyondDocker   []string // permitted here and refused there
	DockerPayloads []synth.Payload
	StoppedHere    []string // classes of payloads that work under docker's default and not here
}

// Changes are the differences to the previous policy.
type Changes struct {
	Same, Wider bool
	Rows        []Change
}

// Change is one of them.
type Change struct{ Syscall, Kind, Was, Is string }

// New makes the report.
func New(in Input) *Report {
	r := &Report{Program: in.Program, Session: in.Session}
	allowed := permitted(in.Policy, in.Evidence.Arch)
	r.groups(in)
	r.gap(in)
	r.blocked(in, allowed)
	r.Lint = slices.DeleteFunc(append(synth.Lint(in.Policy), synth.LintEvidence(in.Policy, in.Evidence)...), func(f synth.Finding) bool {
		return f.Check == "payload" // they have a table of their own
	})
	slices.SortStableFunc(r.Lint, func(a, b synth.Finding) int { return cmp.Compare(a.Severity, b.Severity) })
	if in.Previous != nil {
		r.changes(synth.Diff(in.Previous, in.Policy))
	}
	r.words(in, allowed)
	return r
}

// permitted are the names of the calls of an ABI that a policy permits, in whatever
// company of conditions.
func permitted(p *synth.Policy, arch sysno.Arch) map[string]bool {
	names := map[string]bool{}
	for _, r := range p.Rules() {
		if name, ok := r.ID.Name(); ok && r.ID.Arch == arch && r.Verdict.Action.Permits() {
			names[name] = true
		}
	}
	return names
}

func (r *Report) words(in Input, allowed map[string]bool) {
	t := in.Evidence
	r.Verdict = fmt.Sprintf("%s may make %d of the %d syscalls of %v; everything else is answered %v.", in.Program, len(allowed), r.Blocked.Known, t.Arch, in.Policy.Default)
	if in.Policy.Default.Action.Permits() {
		r.Verdict = fmt.Sprintf("%s may make every syscall: what none of the %d rules names is %v.", in.Program, len(in.Policy.Rules()), in.Policy.Default)
	}
	tiers := map[synth.Tier]map[string]bool{}
	for _, rule := range in.Policy.Rules() {
		if rule.Verdict.Action.Permits() {
			if tiers[rule.Tier] == nil {
				tiers[rule.Tier] = map[string]bool{}
			}
			tiers[rule.Tier][rule.ID.String()] = true
		}
	}
	for tier := synth.Observed; tier <= synth.Manual; tier++ {
		if n := len(tiers[tier]); n > 0 {
			r.Facts = append(r.Facts, Fact{tier.String(), fmt.Sprint(n)})
			r.Tiers = append(r.Tiers, Fact{tier.String(), meanings[tier]})
		}
	}
	r.Facts = append(r.Facts, Fact{"runs", fmt.Sprint(t.Runs)}, Fact{"ended normally", fmt.Sprint(t.CleanRuns)})
	switch s := in.Session; {
	case s == nil:
		r.Cautions = append(r.Cautions, "How the evidence was found is not at hand, so there is no confidence to state.")
	case !synth.Telling(s.Chance) && !s.drawn():
		r.Cautions = append(r.Cautions, "No run was drawn at random, so there is no confidence yet. Learn for longer.")
	case !synth.Telling(s.Chance):
		r.Cautions = append(r.Cautions, "The last new syscall was found only a moment before the end: there is no confidence yet. Learn for longer.")
	default:
		r.Facts = append(r.Facts, Fact{"chance that one more run needs another (95 %)", "< " + synth.Percent(s.Chance)})
	}
	if !t.Lost.Complete() {
		r.Cautions = append(r.Cautions, fmt.Sprintf("The recorder lost %d processes and %d numbers: syscalls may be missing.", t.Lost.Tasks, t.Lost.Beyond))
	}
	if t.CleanRuns == 0 {
		r.Cautions = append(r.Cautions, "No run ended normally: the program may not have done its work at all.")
	}
	for _, f := range r.Lint {
		if f.Severity == synth.Fault {
			r.Cautions = append(r.Cautions, strings.TrimSpace(strings.Join(f.Calls, " ")+": "+f.Detail))
		}
	}
	if r.Gap != nil && len(r.Gap.Beyond) > 0 && r.Gap.Complete {
		r.Cautions = append(r.Cautions, "Seen, but not reachable by the analysis, which calls itself complete; one of them is wrong: "+strings.Join(r.Gap.Beyond, " "))
	}
	add := func(name, value string) {
		if value != "" {
			r.Target = append(r.Target, Fact{name, value})
		}
	}
	add("program", t.Target.Path)
	add("SHA-256", t.Target.SHA256)
	add("build id", t.Target.BuildID)
	add("kernel", t.Kernel)
	for _, l := range t.Target.Libraries {
		add("library", strings.TrimSpace(l.Path+" "+l.BuildID))
	}
	add("lost", lost(t.Lost))
}

// meanings are those of the tiers, for who has not read the documentation.
var meanings = map[synth.Tier]string{
	synth.Observed:  "a run that ended normally made it",
	synth.ErrorPath: "seen only in runs that crashed, hung, or had a call fail on purpose",
	synth.Reachable: "the code can reach it, and no run showed it",
	synth.Always:    "the kernel or the C library may make it in any program",
	synth.Runtime:   "the container runtime needs it after it has loaded the filter",
	synth.Portable:  "another C library or kernel needs it in place of one that was seen",
	synth.Tolerated: "completes a group",
	synth.Manual:    "somebody said so",
}

func lost(l trace.Lost) string {
	if l == (trace.Lost{}) {
		return "nothing"
	}
	return fmt.Sprintf("%d processes, %d numbers, %d calls after the end of their run, %d details", l.Tasks, l.Beyond, l.Late, l.Details)
}

// groups puts the rules where people look for them. Calls without a functional group,
// which are numbers without a name, come last.
func (r *Report) groups(in Input) {
	byGroup := map[string][]Row{}
	var ids []sysno.ID
	for _, rule := range in.Policy.Rules() {
		ids = append(ids, rule.ID)
	}
	slices.SortFunc(ids, sysno.ID.Compare)
	for _, id := range slices.Compact(ids) {
		e := synth.Explain(in.Policy, in.Evidence, id)
		byGroup[e.Group.Name] = append(byGroup[e.Group.Name], rowOf(e))
	}
	for _, s := range in.Policy.Sizes() {
		if rows := byGroup[s.Name]; len(rows) > 0 {
			r.Groups = append(r.Groups, Group{Name: s.Name, Description: s.Description, Allowed: s.Allowed, Total: s.Total, Rows: sortedRows(rows)})
		}
	}
	if rows := byGroup[""]; len(rows) > 0 {
		r.Groups = append(r.Groups, Group{Name: "others", Description: "calls that are in no group", Allowed: len(rows), Total: len(rows), Rows: sortedRows(rows)})
	}
}

func sortedRows(rows []Row) []Row {
	slices.SortFunc(rows, func(a, b Row) int { return strings.Compare(a.Syscall, b.Syscall) })
	return rows
}

func rowOf(e synth.Explanation) Row {
	row := Row{Syscall: e.ID.String(), Tier: e.Clauses[0].Tier.String(), Reason: e.Clauses[0].Reason, Verdict: synth.Says(e.Clauses)}
	if name, ok := e.ID.Name(); ok {
		for _, risk := range synth.RisksOf(name) {
			row.Risks = append(row.Risks, strings.Join(append([]string{risk.What}, risk.CVEs...), " "))
		}
	}
	if !e.Seen {
		return row
	}
	o := e.Observed
	row.Runs = fmt.Sprintf("%d of %d", o.Runs, e.TotalRuns)
	row.Phase = strings.Join(o.Phases.Words(), ", ")
	row.Results = strings.Join(o.Returns.Words(), ", ")
	row.Values = e.Values()
	row.Sites = e.Sites()
	row.Witness = o.Witness.Command
	return row
}

func (r *Report) gap(in Input) {
	if in.Reach == nil {
		return
	}
	seen := map[sysno.ID]bool{}
	for _, o := range in.Evidence.Observations {
		seen[o.ID] = true
	}
	g := &Gap{Complete: in.Reach.Complete(), Why: in.Reach.Gaps, Reachable: len(in.Reach.Reached)}
	for _, x := range in.Reach.Reached {
		if seen[x.ID] {
			g.Observed++
			continue
		}
		e := synth.Explain(in.Policy, nil, x.ID)
		u := Unseen{Syscall: x.ID.String(), Verdict: e.Default.String(), Path: pathOf(x)}
		if len(e.Rules) > 0 {
			u.Verdict = e.Rules[0].Verdict.String()
		}
		g.Unobserved = append(g.Unobserved, u)
	}
	for _, o := range in.Reach.Beyond(in.Evidence) {
		g.Beyond = append(g.Beyond, o.ID.String())
	}
	if g.Complete {
		g.Unreachable = len(sysno.All(in.Reach.Arch)) - g.Reachable
	}
	r.Gap = g
}

func pathOf(x trace.Reached) string {
	var steps []string
	for _, s := range x.Path {
		name := s.Function
		if name == "" {
			name = fmt.Sprintf("%#x", s.Offset)
		}
		steps = append(steps, name)
	}
	path := strings.Join(steps, " > ")
	if n := len(x.Path); n > 0 {
		path += " in " + x.Path[n-1].Module
	}
	if x.Startup {
		path = strings.TrimSpace(path + " (at startup only)")
	}
	return path
}

func (r *Report) blocked(in Input, allowed map[string]bool) {
	arch := in.Evidence.Arch
	b := Blocked{Payloads: in.Policy.Payloads(), CVEs: in.Policy.ReachableCVEs(), Known: len(sysno.All(arch))}
	b.Refused = b.Known - len(allowed)
	if in.Docker != nil {
		docker := permitted(in.Docker, arch)
		b.Docker = len(docker)
		b.DockerCVEs = in.Docker.ReachableCVEs()
		b.DockerPayloads = in.Docker.Payloads()
		for name := range docker {
			if !allowed[name] {
				b.OnlyDocker++
			}
		}
		for name := range allowed {
			if !docker[name] {
				b.BeyondDocker = append(b.BeyondDocker, name)
			}
		}
		slices.Sort(b.BeyondDocker)
		for i, payload := range b.DockerPayloads {
			if payload.Possible && !b.Payloads[i].Possible {
				b.StoppedHere = append(b.StoppedHere, payload.Class)
			}
		}
	}
	r.Blocked = b
}

func (r *Report) changes(d *synth.Difference) {
	c := &Changes{Same: d.Empty(), Wider: d.Wider()}
	if d.DefaultWas != d.DefaultIs {
		c.Rows = append(c.Rows, Change{"default", "changed", d.DefaultWas.String(), d.DefaultIs.String()})
	}
	for _, x := range d.Changes {
		c.Rows = append(c.Rows, Change{x.ID.String(), x.Kind.String(), synth.Says(x.Was), synth.Says(x.Is)})
	}
	r.Changes = c
}

// Failures are the crashes, and then the hangs, of the session.
func (r *Report) Failures() []Failure {
	if r.Session == nil {
		return nil
	}
	return slices.Concat(r.Session.Crashes, r.Session.Hangs)
}
