package main

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/internal/campaign"
)

// campaignFlags are the flags of learn that a scenario file may set.
func campaignFlags() campaign.Known {
	var p policyFlags
	var i inputFlags
	policy, inputs := &cobra.Command{}, pflag.NewFlagSet("", pflag.ContinueOnError)
	p.add(policy)
	i.add(inputs)
	names := func(f *pflag.FlagSet) (all []string) {
		f.VisitAll(func(f *pflag.Flag) { all = append(all, f.Name) })
		return all
	}
	return campaign.Known{
		Inputs: append([]string{"seeds"}, names(inputs)...),
		Budget: []string{"duration", "execs", "confidence", "jobs", "timeout", "seed"},
		Policy: names(policy.Flags()),
	}
}

// readCampaign reads a scenario file, gives flags its values that were not given, and
// returns the command line: the one that was given, or the file's first.
func readCampaign(c *cobra.Command, path string, given []string) (*campaign.Campaign, []string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, hinted(fmt.Errorf("read the scenario file: %w", err), "'tjfuzz init -- PROGRAM' writes one")
	}
	from, err := campaign.Parse(data, campaignFlags())
	var wrong *campaign.Error
	if errors.As(err, &wrong) {
		mend := wrong.Mend
		if mend == "" {
			mend = "docs/scenario.md has what a file looks like"
		}
		return nil, nil, hinted(fmt.Errorf("%s: %w", path, err), "%s", mend)
	}
	if err != nil {
		return nil, nil, err
	}
	for _, s := range slices.Concat(from.Inputs, from.Budget, from.Policy) {
		f := c.Flags().Lookup(s.Name)
		if f.Changed {
			continue
		}
		if err := c.Flags().Set(s.Name, s.Value); err != nil {
			return nil, nil, hinted(fmt.Errorf("%s: line %d: %w", path, s.Line, err), "'tjfuzz learn --help' has what --%s may be", s.Name)
		}
	}
	if !c.Flags().Changed("workload") {
		for _, w := range from.Workload {
			if err := c.Flags().Set("workload", w); err != nil {
				return nil, nil, err
			}
		}
	}
	if len(given) > 0 {
		from.Commands = nil
		return from, given, nil
	}
	args := slices.Clone([]string(from.Program))
	if len(from.Commands) > 0 {
		args = append(args, from.Commands[0]...)
	}
	return from, args, nil
}

// session prepares to run the program, by all command lines of a scenario file if there
// is one.
func (o *learnOptions) session(args []string) (*session, error) {
	if o.campaign == nil {
		return newSession(args, o.runFlags)
	}
	words := slices.Clone(args)
	var more []campaign.Words
	if len(o.campaign.Commands) > 1 {
		more = o.campaign.Commands[1:]
	}
	for _, m := range more {
		words = append(words, m...)
	}
	// What any of them names is to be found in the cage.
	s, err := newSession(words, o.runFlags)
	if err != nil {
		return nil, err
	}
	resolved := s.args[len(args):]
	program := s.args[:min(len(o.campaign.Program), len(args))]
	s.args = s.args[:len(args):len(args)]
	for _, m := range more {
		s.more = append(s.more, slices.Concat(program, resolved[:len(m)]))
		resolved = resolved[len(m):]
	}
	s.env = o.campaign.Environment
	for _, f := range o.campaign.Files {
		data := []byte(f.Content)
		if f.From != "" {
			if data, err = os.ReadFile(f.From); err != nil {
				return nil, hinted(fmt.Errorf("%s: line %d: %w", o.file, f.Line, err), "paths are relative to the directory in which learn is started")
			}
		}
		s.files = append(s.files, fuzz.File{Name: f.Name, Data: data})
	}
	return s, nil
}
