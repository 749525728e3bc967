package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/enforce/denial"
	"github.com/tjfuzz/tjfuzz/enforce/filter"
	"github.com/tjfuzz/tjfuzz/enforce/notify"
	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/synth/document"
)

// suggest says what change of the policy would allow what was refused, and makes it.
func (a *account) suggest(c *cobra.Command, program string) error {
	base := a.policies[0]
	if a.flags.update != "" && exists(a.flags.update) {
		var err error
		if base, err = readPolicy(a.flags.update, ""); err != nil {
			return err
		}
	}
	suggestions := a.report.Suggest(base)
	if len(suggestions) == 0 {
		if a.flags.update != "" {
			a.v.say("nothing is to be added to %s", a.flags.update)
		}
		return nil
	}
	lines := make([]string, len(suggestions))
	for i, s := range suggestions {
		lines[i] = s.Line()
	}
	if a.flags.update == "" {
		a.v.hint("what would allow it: %s", strings.Join(lines, "; "))
		a.v.hint("if the program was right to call it: the same with --update POLICY, or tjfuzz learn --resume -- %s, on inputs that lead there", fuzz.Quote(program))
		return nil
	}
	a.v.say("to be added to %s:", a.flags.update)
	for _, l := range lines {
		a.v.say("  %s", l)
	}
	if !a.flags.yes {
		agreed, asked := confirm(c.Context(), "tjfuzz: change "+a.flags.update+"? [y/N] ")
		switch {
		case !asked:
			a.v.hint("nothing was changed; --yes changes it without a question")
			return nil
		case !agreed:
			a.v.say("nothing was changed")
			return nil
		}
	}
	if err := update(c, a.flags.update, base, suggestions); err != nil {
		return err
	}
	a.v.say("wrote %s; run it again: under another answer the program may call something else", a.flags.update)
	return nil
}

// confirm asks a person at the terminal. asked is false where there is none.
func confirm(ctx context.Context, question string) (agreed, asked bool) {
	tty, err := notify.OpenTerminal()
	if err != nil {
		return false, false
	}
	defer tty.Close()
	err = tty.Line(ctx, question, func(line string) bool {
		agreed = strings.EqualFold(line, "y") || strings.EqualFold(line, "yes")
		return true
	})
	return err == nil && agreed, true
}

// update adds rules to the policy at path, which may not be there yet. What a person wrote
// there stays.
func update(c *cobra.Command, path string, base *synth.Policy, suggestions []denial.Suggestion) error {
	after, err := denial.Apply(base, suggestions)
	if err != nil {
		return err
	}
	if _, err := filter.Compile(after); err != nil {
		return fmt.Errorf("what would be written to %s: %w", path, err)
	}
	out, err := outputTo(c, path)
	if err != nil {
		return err
	}
	if !isDocument(path) || !exists(path) {
		write, err := policyWriter(path)
		if err != nil {
			return err
		}
		return out.write(func(w io.Writer) error { return write(w, after) })
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the policy: %w", err)
	}
	defer f.Close()
	d, err := readDocument(f, path)
	if err != nil {
		return err
	}
	var rules []synth.Rule
	for _, s := range suggestions {
		rules = append(rules, s.Rules...)
	}
	if d, err = d.Add(rules, base.Archs); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := inForce(d, path, suggestions); err != nil {
		return err
	}
	data, err := d.Encode()
	if err != nil {
		return err
	}
	return out.write(func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// inForce reports whether a document permits what was added: what it includes may still
// say otherwise.
func inForce(d *document.Document, path string, suggestions []denial.Suggestion) error {
	p, err := d.Policy(sysno.Native(), includedBy(path))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, s := range suggestions {
		for _, r := range s.Rules {
			var args [6]uint64
			for _, c := range r.Args {
				args[c.Index] = c.Value
			}
			if !p.Decide(r.ID, args).Action.Permits() {
				return hinted(fmt.Errorf("%s: %v would still be refused", path, r.ID), "a rule for a group, or of a file that it includes, says so; edit that")
			}
		}
	}
	return nil
}
