package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/trace"
)

// learned is the result of learn.
type learned struct {
	outcome  *fuzz.Outcome
	evidence *trace.Trace
	policy   *synth.Policy
	check    *verified
	profile  string // "" where none is asked for
	state    string
	written  bool // false also where the profile that was there says the same

	reach       *trace.Reach          // nil where the program could not be analyzed
	recommended *synth.Recommendation // likewise
	doors       []door                // of a service
	moved       string                // session.moved
	runDirs     []cage.RunDir         // of its cage
	refused     bool                  // session.refused
}

// feeding is what helps a target that takes none of the seeds.
const feeding = "give it files that it reads: --seeds DIR"

func (r *learned) text(v voice, program string) {
	st := r.outcome.Stats
	v.say("%d runs in %s (%.0f/s): %s", st.Runs, st.Elapsed.Round(time.Second/10), rate(st), r.outcome.Stop)
	r.conversations(v)
	r.failures(v, "crashed", fuzz.Crashes, r.outcome.Crashes)
	r.failures(v, "hung", fuzz.Hangs, r.outcome.Hangs)
	if st.Left > 0 {
		v.warn("%d runs left processes behind, which were ended; what a daemon does later is not in the policy", st.Left)
	}
	switch {
	case st.Accepted == 0:
		v.warn("no run ended with exit code 0; give the program arguments with which it works, or --seeds it accepts")
	case r.refused:
		v.warn("%s took none of the seeds; what it does with files that it takes may not be in the policy", program)
		v.hint("%s", feeding)
	}
	allowed, groups := 0, 0
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	for _, g := range r.policy.Sizes() {
		if g.Allowed > 0 {
			allowed += g.Allowed
			groups++
			fmt.Fprintf(w, "  %s\t%d of %d\t%s\n", g.Name, g.Allowed, g.Total, g.Description)
		}
	}
	_ = w.Flush()
	v.say("the policy allows %d syscalls in %d groups, %s everything else:", allowed, groups, denies(r.policy.Default))
	if !v.quiet {
		fmt.Fprint(v.w, table.String())
	}
	v.say("%s, and %d more that any program may need", r.tiers(), r.count(synth.Always))
	if n, _ := r.policy.Conditioned(); n > 0 {
		v.say("%s", conditioned(r.policy))
	}
	switch {
	case st.Draws == 0:
		v.say("confidence: none, there was no time for random runs; give it more with --duration")
	case synth.Telling(st.Chance):
		v.say("confidence: chance that one more run needs a syscall that is not in the policy: < %s (95 %%)", synth.Percent(st.Chance))
	default:
		v.say("confidence: none yet, the last new syscall was found only %d random runs ago; give it more time with --duration", st.Quiet)
	}
	v.say("found by deliberate runs: %s", deliberate(r.outcome.Found))
	v.say("found by random runs, and the chance that one more shows another (95 %%): %s", r.varied())
	if r.recommended != nil {
		for line := range strings.Lines(r.recommended.String()) {
			v.say("%s", strings.TrimSuffix(line, "\n"))
		}
		r.short(v, program)
	}
	if asked := r.asked(); asked != "" {
		v.say("nobody outside was called; in the cage it talked to peers in %s", asked)
	}
	v.say("proof: %d scenarios replayed under the policy, %d violations", r.check.Replays, len(r.check.Violations))
	if r.written {
		v.say("wrote %s; evidence is in %s", r.profile, r.state)
	} else {
		v.say("evidence is in %s", r.state)
	}
	switch r.profile {
	case "-":
	case "":
		v.say("next, when all shards have ended: tjfuzz merge --state DIR SHARD...")
	default:
		policy := ""
		if r.profile != defaultProfile(program) {
			policy = "--policy " + fuzz.Quote(r.profile) + " "
		}
		v.say("next: tjfuzz enforce %s-- %s ...", policy, fuzz.Quote(program))
	}
}

// unshown are the calls that a recommendation is about: those that the code can reach and no run
// has shown.
func (r *learned) unshown() []trace.Reached {
	if r.recommended == nil {
		return nil
	}
	var all []trace.Reached
	for _, id := range r.recommended.Unseen {
		if x, ok := r.reach.Find(id); ok {
			all = append(all, x)
		}
	}
	return all
}

// short tells why no run has shown the first of them.
func (r *learned) short(v voice, program string) {
	left := r.unshown()
	if len(left) == 0 {
		return
	}
	v.say("why no run showed them; 'tjfuzz explain %s NAME...' says it of all:", fuzz.Quote(program))
	const told = 3
	slices.SortStableFunc(left, func(a, b trace.Reached) int { return cmp.Compare(len(a.Path), len(b.Path)) }) // what the program does itself
	for _, x := range left[:min(len(left), told)] {
		v.say("  %s: %s", x.ID, legible(whyShort(x)))
	}
}

// failures tells of the first kinds, and where all are.
func (r *learned) failures(v voice, what string, f fuzz.Folder, all []fuzz.Failure) {
	if len(all) == 0 {
		return
	}
	const told = 3
	v.say("the target %s in %s; how to repeat them is in %s/%s", what, ways(len(all)), r.state, f)
	for _, k := range all[:min(len(all), told)] {
		v.say("  %s", k.How())
	}
}

func ways(n int) string {
	if n == 1 {
		return "one way"
	}
	return fmt.Sprintf("%d ways", n)
}

func denies(d synth.Verdict) string {
	if d.Action.Permits() {
		return "and logs"
	}
	return fmt.Sprintf("and answers %v to", d)
}

func (r *learned) count(t synth.Tier) int {
	calls := map[sysno.ID]bool{}
	for _, rule := range r.policy.Rules() {
		if rule.Tier == t && rule.Verdict.Action.Permits() {
			calls[rule.ID] = true
		}
	}
	return len(calls)
}

// tiers says on what evidence the rules stand.
func (r *learned) tiers() string {
	var parts []string
	for _, t := range []synth.Tier{synth.Observed, synth.ErrorPath, synth.Runtime, synth.Portable, synth.Tolerated} {
		if n := r.count(t); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %v", n, t))
		}
	}
	return strings.Join(parts, ", ")
}

// asked says how often the target talked to peers, by protocol.
func (r *learned) asked() string {
	var parts []string
	for _, protocol := range slices.Sorted(maps.Keys(r.outcome.Asked)) {
		parts = append(parts, fmt.Sprintf("%s ×%d", protocol, r.outcome.Asked[protocol]))
	}
	return strings.Join(parts, ", ")
}

// deliberate says how many syscalls were found by runs that were no draws, by what they
// were for.
func deliberate(found []fuzz.Found) string {
	var parts []string
	for p := fuzz.PhaseBase; p <= fuzz.PhaseAimed; p++ {
		n := 0
		for _, f := range found {
			if f.Phase == p && p != fuzz.PhaseExplore {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %v", n, p))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}

// varied says the same of draws, by what they varied.
func (r *learned) varied() string {
	var parts []string
	for _, d := range r.outcome.Varied {
		part := fmt.Sprintf("%d %s", d.Found, d.Dimension)
		if synth.Telling(d.Chance) {
			part += " (< " + synth.Percent(d.Chance) + ")"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}
