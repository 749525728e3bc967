package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

func newGroups() *cobra.Command {
	var asJSON bool
	var policy string
	c := &cobra.Command{
		Use: "groups [GROUP | SYSCALL]...\n" +
			"  tjfuzz groups --policy FILE",
		Short: "List the syscall groups, their members, or the groups of a syscall",
		Long: `List the groups of syscalls: functional groups, of which each syscall is in one;
abilities, which have conditions on arguments; and those of systemd. A policy in
YAML may name any of them.

With --policy, say which calls a policy allows whatever their arguments are, in
as few groups and names as possible.`,
		Example: `  # all groups
  tjfuzz groups

  # the members of a group; the groups of a syscall
  tjfuzz groups @file-read
  tjfuzz groups openat

  # a policy in few words
  tjfuzz groups --policy jq.seccomp.json`,
		RunE: func(c *cobra.Command, args []string) error {
			if policy != "" {
				if len(args) > 0 || asJSON {
					return usage(c, errors.New("--policy stands alone"))
				}
				return inGroups(c, policy)
			}
			if asJSON {
				return groupsJSON(c, args)
			}
			return groupsText(c, args)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	c.Flags().StringVar(&policy, "policy", "", "describe the policy in this `file`, an OCI profile or YAML")
	return c
}

// inGroups writes the shortest description of what a policy allows without conditions.
func inGroups(c *cobra.Command, path string) error {
	p, err := readPolicy(path, "'tjfuzz learn' makes one")
	if err != nil {
		return err
	}
	var free []string
	conditional := map[string]bool{}
	for _, r := range p.Rules() {
		name, ok := r.ID.Name()
		switch {
		case !ok || r.Verdict.Action != synth.Allow:
		case len(r.Args) > 0:
			conditional[name] = true
		default:
			free = append(free, name)
		}
	}
	d := synth.Describe(free, p.Archs, 0)
	for _, word := range append(d.Groups, d.Names...) {
		fmt.Fprintln(c.OutOrStdout(), word)
	}
	if len(conditional) > 0 {
		voiceOf(c, false).say("%d more are allowed with certain arguments only", len(conditional))
	}
	return nil
}

func groupsText(c *cobra.Command, args []string) error {
	out := c.OutOrStdout()
	if len(args) == 0 {
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for _, kind := range []synth.GroupKind{synth.Functional, synth.Ability, synth.Systemd} {
			fmt.Fprintf(w, "%s groups\t\t\n", kind)
			for _, g := range synth.Groups() {
				if g.Kind == kind {
					fmt.Fprintf(w, "  %s\t%d\t%s\n", g.Name, len(synth.Expand(g.Name)), g.Description)
				}
			}
		}
		return w.Flush()
	}
	for _, word := range args {
		if strings.HasPrefix(word, "@") {
			g, err := group(word)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%s: %s\n", g.Name, g.Description)
			if g.Kind == synth.Ability {
				if err := abilityText(out, g); err != nil {
					return err
				}
				continue
			}
			for _, name := range synth.Expand(g.Name) {
				fmt.Fprintf(out, "  %s\n", name)
			}
			continue
		}
		id, err := sysno.Parse(sysno.Native(), word)
		if err != nil {
			return err
		}
		name, _ := id.Name()
		fmt.Fprintf(out, "%s: %s\n", word, strings.Join(groupsOf(name), " "))
	}
	return nil
}

// abilityText writes the calls of this machine's ABI with their conditions.
func abilityText(out io.Writer, g synth.GroupDef) error {
	clauses, err := g.Clauses(sysno.Native())
	if err != nil {
		return err
	}
	for _, c := range clauses {
		c.Verdict = synth.Verdict{Action: synth.Allow}
		fmt.Fprintf(out, "  %s\n", strings.Replace(c.String(), ": allow", "", 1))
	}
	return nil
}

func groupsJSON(c *cobra.Command, args []string) error {
	type entry struct {
		Name        string   `json:"name"`
		Kind        string   `json:"kind"`
		Description string   `json:"description"`
		Members     []string `json:"members"`
	}
	all := []entry{}
	for _, g := range synth.Groups() {
		all = append(all, entry{g.Name, g.Kind.String(), g.Description, synth.Expand(g.Name)})
	}
	if len(args) > 0 {
		some := []entry{}
		for _, word := range args {
			wanted := []string{word}
			if !strings.HasPrefix(word, "@") {
				if _, err := sysno.Parse(sysno.Native(), word); err != nil {
					return err
				}
				wanted = groupsOf(word)
			} else if _, err := group(word); err != nil {
				return err
			}
			for _, e := range all {
				for _, w := range wanted {
					if e.Name == w {
						some = append(some, e)
					}
				}
			}
		}
		all = some
	}
	e := json.NewEncoder(c.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(all)
}

func group(name string) (synth.GroupDef, error) {
	g, ok := synth.GroupByName(name)
	if !ok {
		return g, hinted(fmt.Errorf("there is no group %s", name), "'tjfuzz groups' lists them")
	}
	return g, nil
}

// groupsOf lists the groups that have a syscall, sorted.
func groupsOf(name string) []string {
	var in []string
	for _, g := range synth.Groups() {
		for _, m := range synth.Expand(g.Name) {
			if m == name {
				in = append(in, g.Name)
			}
		}
	}
	return in
}
