package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/trace"
)

func newExplain() *cobra.Command {
	var policy, evidence, recorded, reach string
	var foreign foreignFlags
	var asJSON bool
	c := &cobra.Command{
		Use: "explain [flags] PROGRAM [SYSCALL...]\n" +
			"  tjfuzz explain --trace EVIDENCE [flags] [SYSCALL...]",
		Short: "Say why a syscall is in a policy, or what was seen of it",
		Long: `Say for each syscall what the policy does with it, on what evidence, in how many
runs it was seen, and the command line that shows it again. Without a syscall,
every rule of the policy is explained.

With --trace, show what evidence says of each syscall: in how many runs and in
which part of the program it was seen, what came of it, with which values of its
arguments, from where it was called, and the command line that shows it again.
Recordings by other tools are read, too: see 'tjfuzz merge --help'.`,
		Example: `  tjfuzz explain jq openat ptrace
  tjfuzz explain --policy p.json --evidence .tjfuzz/jq/evidence.json jq

  # what was recorded, and what was lost?
  tjfuzz explain --trace .tjfuzz/jq/evidence.json
  tjfuzz explain --trace session.json openat ioctl`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 && recorded == "" {
				return usage(c, errors.New("no program given"))
			}
			if recorded != "" && (policy != "" || evidence != "") {
				return usage(c, errors.New("--trace explains evidence alone; leave out --policy and --evidence"))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if recorded != "" {
				l, err := newLoader(c, voiceOf(c, false), foreign)
				if err != nil {
					return err
				}
				t, err := l.merged([]string{recorded})
				if err != nil {
					return err
				}
				return observed(c, t, args, asJSON)
			}
			program := args[0]
			if evidence == "" {
				evidence = filepath.Join(defaultState(program), evidenceName)
			}
			t, err := loadEvidence(evidence)
			if err != nil {
				return err
			}
			p, err := explained(policy, program, t)
			if err != nil {
				return err
			}
			if beside := filepath.Join(filepath.Dir(evidence), reachName); reach == "" && exists(beside) {
				reach = beside
			}
			var r *trace.Reach
			if reach != "" {
				if r, err = loadReach(reach); err != nil {
					return err
				}
				synth.MarkReachable(p, r)
			}
			ids, err := parseSyscalls(t.Arch, args[1:])
			if err != nil {
				return err
			}
			if len(ids) == 0 {
				for _, r := range p.Rules() {
					ids = append(ids, r.ID)
				}
			}
			return explain(c, p, t, r, ids, asJSON)
		},
	}
	c.Flags().StringVar(&policy, "policy", "", "the `profile` to explain (default PROGRAM.seccomp.json)")
	c.Flags().StringVar(&evidence, "evidence", "", "the `file` of evidence (default "+stateRoot+"/PROGRAM/"+evidenceName+")")
	c.Flags().StringVar(&reach, "reachable", "", "the `file` that analyze --json has written (default: what learn kept beside the evidence)")
	c.Flags().StringVar(&recorded, "trace", "", "explain this `evidence` instead of a policy, - for standard input")
	foreign.add(c)
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return c
}

// parseSyscalls reads what a person calls syscalls.
func parseSyscalls(a sysno.Arch, words []string) ([]sysno.ID, error) {
	var ids []sysno.ID
	for _, word := range words {
		id, err := sysno.Parse(a, word)
		if err != nil {
			return nil, hinted(err, "'tjfuzz groups' lists all by group")
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// explained is the policy to explain. Where there is no profile, that is the one that
// the evidence makes.
func explained(path, program string, t *trace.Trace) (*synth.Policy, error) {
	if _, err := os.Stat(defaultProfile(program)); err != nil && path == "" {
		return synth.Generate(t, synth.Options{AllowIncomplete: true})
	}
	_, p, err := loadPolicy(path, program)
	if err != nil {
		return nil, err
	}
	return withTiers(p, t)
}

// withTiers gives the rules of a policy their tiers and reasons. A profile says what is
// allowed, the evidence why: they are those of a policy generated from it.
func withTiers(p *synth.Policy, t *trace.Trace) (*synth.Policy, error) {
	generated, err := synth.Generate(t, synth.Options{AllowIncomplete: true})
	if err != nil {
		return nil, err
	}
	known := map[sysno.ID]synth.Rule{}
	for _, r := range generated.Rules() {
		known[r.ID] = r
	}
	for _, runtime := range synth.Loaders() {
		with, err := synth.Generate(t, synth.Options{AllowIncomplete: true, Runtime: runtime})
		if err != nil {
			return nil, err
		}
		for _, r := range with.Rules() {
			if _, ok := known[r.ID]; !ok {
				known[r.ID] = r
			}
		}
	}
	for _, g := range p.Groups {
		for i := range g.Rules {
			r := &g.Rules[i]
			if k, ok := known[r.ID]; ok && k.Verdict == r.Verdict {
				r.Tier, r.Reason = k.Tier, k.Reason
			}
		}
	}
	return p, nil
}

func explain(c *cobra.Command, p *synth.Policy, t *trace.Trace, reach *trace.Reach, ids []sysno.ID, asJSON bool) error {
	out := c.OutOrStdout()
	if !asJSON {
		for _, id := range ids {
			fmt.Fprintln(out, synth.Explain(p, t, id))
			if why := missed(reach, t, id); why != "" {
				fmt.Fprintf(out, "  missed:  %s\n", legible(why))
			}
		}
		return nil
	}
	type near struct {
		Syscall  string `json:"syscall"`
		Relation string `json:"relation"`
		Runs     uint64 `json:"runs"`
	}
	type entry struct {
		Syscall   string `json:"syscall"`
		Verdict   string `json:"verdict"`
		Tier      string `json:"tier,omitempty"`
		Reason    string `json:"reason,omitempty"`
		Group     string `json:"group,omitempty"`
		Runs      uint64 `json:"runs"`
		CleanRuns uint64 `json:"clean_runs"`
		TotalRuns uint64 `json:"total_runs"`
		Witness   string `json:"witness,omitempty"`
		Says      string `json:"says,omitempty"` // all rules, in words
		Near      []near `json:"near,omitempty"`
		Missed    string `json:"missed,omitempty"` // why no run has shown what the code can reach
	}
	entries := []entry{}
	for _, id := range ids {
		x := synth.Explain(p, t, id)
		e := entry{Syscall: id.String(), Verdict: x.Default.String(), Group: x.Group.Name, TotalRuns: x.TotalRuns,
			Runs: x.Observed.Runs, CleanRuns: x.Observed.CleanRuns, Witness: x.Observed.Witness.Command, Missed: missed(reach, t, id)}
		if len(x.Rules) > 0 {
			r := x.Rules[0]
			e.Verdict, e.Tier, e.Reason = r.Verdict.String(), r.Tier.String(), r.Reason
		}
		e.Says = synth.Says(x.Clauses)
		for _, n := range x.Near {
			e.Near = append(e.Near, near{n.Observed.ID.String(), n.Relation, n.Observed.Runs})
		}
		entries = append(entries, e)
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(entries)
}

// missed says why no run has shown a call that an analysis, which may be nil, reaches; empty for others.
func missed(reach *trace.Reach, t *trace.Trace, id sysno.ID) string {
	if reach == nil || seen(t, id) {
		return ""
	}
	x, ok := reach.Find(id)
	if !ok || len(x.Path) == 0 {
		return ""
	}
	return whyShort(x)
}
