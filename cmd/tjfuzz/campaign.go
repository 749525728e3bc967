package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tjfuzz/tjfuzz/corpora"
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
	for name, values := range map[string][]string{"workload": from.Workload, "config": from.Config} {
		if c.Flags().Changed(name) {
			continue
		}
		for _, v := range values {
			if err := c.Flags().Set(name, v); err != nil {
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
// is one. What such a file, or a flag, does not call a configuration is none.
func (o *learnOptions) session(args []string) (*session, error) {
	s, err := o.namedSession(args)
	if err != nil {
		return nil, err
	}
	if o.campaign == nil && o.configs == nil && s.cage != nil {
		err := s.guess(args[s.fixed:])
		s.mayAdopt = len(s.guessed) == 0
		return s, err
	}
	return s, s.configure(slices.DeleteFunc(o.configs, func(p string) bool { return p == "" }))
}

// namedSession is the session without configurations.
func (o *learnOptions) namedSession(args []string) (*session, error) {
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
		data, err := o.content(campaign.Text{Content: f.Content, From: f.From, Line: f.Line})
		if err != nil {
			return nil, err
		}
		s.files = append(s.files, fuzz.File{Name: f.Name, Data: data})
	}
	if s.said, err = o.sockets(); err != nil {
		return nil, err
	}
	for _, name := range o.campaign.Users {
		u, err := targetUser(name)
		if err != nil {
			return nil, hinted(fmt.Errorf("%s: users: %w", o.file, err), "a user is as in www-data, daemon:adm, 1000:1000, or same")
		}
		s.users = append(s.users, u)
	}
	return s, nil
}

// content is a text of the scenario file, or of a file that it names.
func (o *learnOptions) content(t campaign.Text) ([]byte, error) {
	if t.From == "" {
		return []byte(t.Content), nil
	}
	data, err := os.ReadFile(t.From)
	if err != nil {
		return nil, hinted(fmt.Errorf("%s: line %d: %w", o.file, t.Line, err), "paths are relative to the directory in which learn is started")
	}
	return data, nil
}

// sockets are what the scenario file says of them.
func (o *learnOptions) sockets() (out []door, err error) {
	for _, said := range o.campaign.Sockets {
		d := door{socket: fuzz.Socket(said.Name), protocol: said.Protocol}
		if err := d.socket.Check(); err != nil {
			return nil, hinted(fmt.Errorf("%s: line %d: %w", o.file, said.Line, err), "a socket is as in tcp/80, tls/443, udp/53, unix//run/s.sock or unix/@name")
		}
		if d.protocol != "" && !slices.Contains(corpora.Protocols(), d.protocol) {
			return nil, hinted(fmt.Errorf("%s: line %d: the protocol %q is not known", o.file, said.Line, d.protocol),
				"there are %s; of others, give the messages", strings.Join(corpora.Protocols(), ", "))
		}
		for _, m := range said.Messages {
			data, err := o.content(m)
			if err != nil {
				return nil, err
			}
			d.messages = append(d.messages, data)
		}
		out = append(out, d)
	}
	return out, nil
}

// targetUser is the user that a word names.
func targetUser(word string) (fuzz.User, error) {
	if word == "same" {
		return fuzz.UserSame, nil
	}
	u, err := lookUser(word)
	if err != nil {
		return "", err
	}
	return fuzz.UserOf(uint32(u.UID), uint32(u.GID)), nil
}
