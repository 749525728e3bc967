package main

import (
	"fmt"
	"os"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/trace"
)

// conditions says what `--args safe` adds to a policy, and what it would refuse of a
// suite that the syscall alone does not.
type conditions struct {
	conditioned, checkable int            // calls
	refused                []synth.Change // from what was learned to what the suite needs
}

// conditionsOf compares the conditions that are made from what was learned with those
// that are made from the suite. A call that is made wider by the suite had an argument
// there that the first refuse; one that was not learned at all is not counted again.
func conditionsOf(learned *trace.Trace, suite []trace.Observation) (conditions, error) {
	options := synth.Options{Args: synth.ArgsSafe, AllowIncomplete: true}
	policy, err := synth.Generate(learned, options)
	if err != nil {
		return conditions{}, fmt.Errorf("conditions of what was learned: %w", err)
	}
	known := map[sysno.ID]bool{}
	for _, r := range policy.Rules() {
		known[r.ID] = r.Verdict.Action.Permits()
	}
	needed := *learned
	needed.Observations = suite
	other, err := synth.Generate(&needed, options)
	if err != nil {
		return conditions{}, fmt.Errorf("conditions of the suite: %w", err)
	}
	var out conditions
	out.conditioned, out.checkable = policy.Conditioned()
	for _, c := range synth.Diff(policy, other).Changes {
		if c.Kind.Wider() && known[c.ID] {
			out.refused = append(out.refused, c)
		}
	}
	return out, nil
}

// afterStartup counts the syscalls that were seen after the program's start, in
// whatever way its runs ended, but for execve.
func afterStartup(t *trace.Trace) int {
	n := 0
	for _, o := range t.Observations {
		if name, _ := o.ID.Name(); name != "execve" && (o.Phases == trace.PhaseUnknown || o.Phases&trace.PhaseMain != 0) {
			n++
		}
	}
	return n
}

// byCallander is how many syscalls callander, a static analyzer, finds that a program of
// Debian 12 can make after its start, without execve. They were published for x86-64.
func byCallander(program string) (int, bool) {
	n, ok := map[string]int{
		"ls": 60, "cat": 41, "grep": 44, "diff": 42, "sort": 68, "find": 64, "stat": 62, "tar": 98, "git": 91, "gzip": 47,
		"sed": 76, "openssl": 72,
	}[program]
	return n, ok && sysno.Native() == sysno.AMD64
}

func readEvidence(path string) (*trace.Trace, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return trace.Decode(f)
}
