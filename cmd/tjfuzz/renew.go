package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/synth/report"
	"github.com/tjfuzz/tjfuzz/trace"
)

// renewFlags are those of a session that makes a profile anew which is there already.
type renewFlags struct {
	update  string
	summary string
}

func (r *renewFlags) add(f *pflag.FlagSet) {
	f.StringVar(&r.update, "update", "", "make this `profile` anew: go on from the last session, keep what was added by hand, write it only if it decides otherwise, and exit with 4 then")
	f.StringVar(&r.summary, "summary", "", "with --update: write what has changed to this `file`, as Markdown, .json or .sarif by its name")
}

// form is the form of the summary, by the name of its file.
func (r *renewFlags) form() string {
	switch filepath.Ext(r.summary) {
	case ".json":
		return "json"
	case ".sarif":
		return "sarif"
	}
	return "markdown"
}

// renewal is a profile that is made anew.
type renewal struct {
	flags      renewFlags
	was        *synth.Policy // nil where there was no profile
	evidence   *trace.Trace  // behind it; nil where that is not at hand
	reach      *trace.Reach  // of the program that it was made for; nil where that is not at hand
	kept       []synth.Change
	difference *comparison
}

// begin reads what there was, before a session takes it for its own. Without --update
// there is nothing to renew, and it returns nil.
func (r *renewFlags) begin(c *cobra.Command, state string, o *synth.Options) (*renewal, error) {
	if r.update == "" {
		if r.summary != "" {
			return nil, usage(c, errors.New("--summary is of use with --update only"))
		}
		return nil, nil
	}
	n := &renewal{flags: *r}
	if !exists(r.update) {
		return n, nil
	}
	var err error
	if n.was, err = readPolicy(r.update, ""); err != nil {
		return nil, hinted(err, "mend it, or remove it to start anew")
	}
	if !c.Flags().Changed("default") {
		o.Default = n.was.Default
	}
	if path := filepath.Join(state, evidenceName); exists(path) {
		if n.evidence, err = loadEvidence(path); err != nil {
			return nil, hinted(err, "remove the file, or choose another place with --state")
		}
	}
	if path := filepath.Join(state, reachName); exists(path) && o.Unobserved != (synth.Verdict{}) {
		if n.reach, err = loadReach(path); err != nil {
			return nil, hinted(err, "remove the file, or choose another place with --state")
		}
	}
	return n, nil
}

// keep adds to a policy what people had added to the one before.
func (n *renewal) keep(p *synth.Policy, o synth.Options) (*synth.Policy, error) {
	if n == nil || n.was == nil {
		return p, nil
	}
	var generated *synth.Policy
	if n.evidence != nil {
		o.Reach, o.AllowIncomplete = n.reach, true
		var err error
		if generated, err = synth.Generate(n.evidence, o); err != nil {
			return nil, fmt.Errorf("find what was added by hand: %w", err)
		}
	}
	kept, changes, err := synth.Keep(p, n.was, generated)
	if err != nil {
		return nil, hinted(err, "make the rule by hand one for the call whatever its arguments are, or keep it in a policy in YAML")
	}
	n.kept = changes
	return kept, nil
}

// finish compares, tells, and reports whether the profile is to be written.
func (n *renewal) finish(v voice, p *synth.Policy, t *trace.Trace) (bool, error) {
	n.difference = &comparison{evidence: t, path: n.flags.update}
	if n.was == nil {
		n.difference.Difference = synth.Diff(&synth.Policy{Default: p.Default, Archs: p.Archs}, p)
	} else {
		n.difference.Difference = synth.Diff(n.was, p)
	}
	if len(n.kept) > 0 {
		var names []string
		for _, ch := range n.kept {
			names = append(names, ch.ID.String())
		}
		why := "added by hand"
		if n.evidence == nil {
			why = "in the profile before; its evidence is not at hand, and no run of this session shows them"
		}
		v.say("kept, %s: %s", why, strings.Join(names, " "))
	}
	if n.flags.summary != "" {
		w := output{path: n.flags.summary}
		if err := w.write(n.write); err != nil {
			return false, fmt.Errorf("write the summary: %w", err)
		}
	}
	return n.was == nil || !n.difference.Empty(), nil
}

// write writes the summary. In Markdown it begins with what it is about, for it stands
// alone where it is read.
func (n *renewal) write(w io.Writer) error {
	if n.flags.form() == "markdown" {
		verdict := "is as it was"
		switch {
		case n.was == nil:
			verdict = "is new"
		case n.difference.Wider():
			verdict = "**permits what it did not**"
		case !n.difference.Empty():
			verdict = "permits less than it did"
		}
		if _, err := fmt.Fprintf(w, "The seccomp policy %s %s.\n\n", report.Code(n.flags.update), verdict); err != nil {
			return err
		}
	}
	return diffForms()[n.flags.form()](w, n.difference)
}

// tell says on standard error what has changed.
func (n *renewal) tell(v voice) error {
	if n.was != nil && n.difference.Empty() {
		v.say("%s decides every call as before, and was not touched", n.flags.update)
		return nil
	}
	if v.quiet {
		return exitStatus(exitDiffers)
	}
	v.say("%s was changed:", n.flags.update)
	var b strings.Builder
	if err := diffText(&b, n.difference); err != nil {
		return err
	}
	for line := range strings.Lines(b.String()) {
		fmt.Fprint(v.w, "  "+line)
	}
	return exitStatus(exitDiffers)
}
