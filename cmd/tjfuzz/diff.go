package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/synth/report"
	"github.com/tjfuzz/tjfuzz/trace"
)

type diffOptions struct {
	format   string
	failOn   string
	evidence string
}

// comparison is what diff writes: a difference, with the evidence for it and the name of
// the new policy's file where these are at hand.
type comparison struct {
	*synth.Difference
	evidence *trace.Trace
	path     string
}

// diffForms are the forms in which a comparison is written.
func diffForms() map[string]func(io.Writer, *comparison) error {
	return map[string]func(io.Writer, *comparison) error{"text": diffText, "json": diffJSON, "markdown": diffMarkdown, "sarif": diffSARIF}
}

func newDiff() *cobra.Command {
	var o diffOptions
	c := &cobra.Command{
		Use:   "diff [flags] OLD NEW",
		Short: "Say what a policy permits that another does not",
		Long: `Compare what two policies decide, not how they are written: which syscalls were
added, removed, widened or narrowed by their arguments, in order of what the
rules stand on. Policies are OCI profiles, or YAML if their names end in .yaml. With
--evidence, say of what is permitted now which command line shows it.

With --fail-on, exit code 4 says that there is a difference; wider means that
something is permitted that was not.`,
		Example: `  tjfuzz diff jq.old.json jq.seccomp.json

  # in CI: may the policy have become wider?
  tjfuzz diff --fail-on wider --format markdown main.yaml branch.yaml

  # what became wider, for a code host that shows SARIF
  tjfuzz diff --format sarif --evidence .tjfuzz/jq/evidence.json jq.old.json jq.seccomp.json`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usage(c, fmt.Errorf("%d policies given; two are compared", len(args)))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return runDiff(c, o, args) },
	}
	c.Flags().StringVar(&o.format, "format", "text", "write the difference as `form` text, json, markdown or sarif")
	c.Flags().StringVar(&o.evidence, "evidence", "", "say by this `file` of evidence what shows that a call is needed")
	c.Flags().StringVar(&o.failOn, "fail-on", "never", "exit with 4 on `what`: any, wider or never")
	return c
}

func runDiff(c *cobra.Command, o diffOptions, args []string) error {
	write := diffForms()[o.format]
	if write == nil {
		return usage(c, fmt.Errorf("--format %s is none of text, json, markdown and sarif", o.format))
	}
	if !slices.Contains([]string{"any", "wider", "never"}, o.failOn) {
		return usage(c, fmt.Errorf("--fail-on %s is none of any, wider and never", o.failOn))
	}
	var policies []*synth.Policy
	for _, path := range args {
		p, err := readPolicy(path, "name two policies: OCI profiles, or YAML")
		if err != nil {
			return err
		}
		policies = append(policies, p)
	}
	d := &comparison{path: args[1]}
	if o.evidence != "" {
		t, err := loadEvidence(o.evidence)
		if err != nil {
			return err
		}
		// A profile does not say what its rules stand on, as a document does.
		if !isDocument(args[1]) {
			if policies[1], err = withTiers(policies[1], t); err != nil {
				return err
			}
		}
		d.evidence = t
	}
	d.Difference = synth.Diff(policies[0], policies[1])
	if err := write(c.OutOrStdout(), d); err != nil {
		return err
	}
	if o.failOn == "any" && !d.Empty() || o.failOn == "wider" && d.Wider() {
		return exitStatus(exitDiffers)
	}
	return nil
}

// why says what a change that permits something stands on: in how many runs the call was
// seen, and which command line shows it; of a call that no run showed, the rule's reason.
func (d *comparison) why(ch synth.Change) string {
	if d.evidence == nil || !ch.Kind.Wider() {
		return ""
	}
	for _, o := range d.evidence.Observations {
		if o.ID == ch.ID {
			return strings.TrimSpace(fmt.Sprintf("in %d of %d runs: %s", o.Runs, d.evidence.Runs, o.Witness.Command))
		}
	}
	if len(ch.Is) > 0 && ch.Is[0].Reason != "" {
		return ch.Is[0].Reason
	}
	return "no run shows it"
}

// settings are the differences beside those of syscalls: what, before, after.
func settings(d *comparison) [][3]string {
	var rows [][3]string
	add := func(what, was, is string) {
		if was != is {
			rows = append(rows, [3]string{what, was, is})
		}
	}
	add("default", d.DefaultWas.String(), d.DefaultIs.String())
	for _, a := range d.ArchsAdded {
		add("architecture", "", a.String())
	}
	for _, a := range d.ArchsRemoved {
		add("architecture", a.String(), "")
	}
	add("flags", strings.Join(d.FlagsWere, " "), strings.Join(d.FlagsAre, " "))
	add("listener", d.ListenerWas, d.ListenerIs)
	return rows
}

func diffText(w io.Writer, d *comparison) error {
	var lines []string
	for _, s := range settings(d) {
		lines = append(lines, fmt.Sprintf("%s: %s -> %s", s[0], orNone(s[1]), orNone(s[2])))
	}
	tier := synth.TierInvalid
	for _, ch := range d.Changes {
		if ch.Tier != tier {
			tier = ch.Tier
			lines = append(lines, tier.String()+":")
		}
		sign := map[synth.ChangeKind]string{synth.Added: "+", synth.Widened: ">", synth.Changed: "~", synth.Narrowed: "<", synth.Removed: "-"}[ch.Kind]
		lines = append(lines, fmt.Sprintf("  %s %v %v", sign, ch.ID, ch.Kind))
		if ch.Kind != synth.Added && len(ch.Was) > 0 {
			lines = append(lines, "      was: "+synth.Says(ch.Was))
		}
		if len(ch.Is) > 0 {
			lines = append(lines, "      is:  "+synth.Says(ch.Is))
		}
		if why := d.why(ch); why != "" {
			lines = append(lines, "      why: "+why)
		}
	}
	if d.Empty() {
		lines = []string{"the policies decide every call in the same way"}
	}
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func diffMarkdown(w io.Writer, d *comparison) error {
	if d.Empty() {
		_, err := fmt.Fprintln(w, "The policies decide every call in the same way.")
		return err
	}
	var b strings.Builder
	b.WriteString("| | | tier | was | is |")
	if d.evidence != nil {
		b.WriteString(" why |")
	}
	b.WriteString("\n|---|---|---|---|---|" + map[bool]string{true: "---|"}[d.evidence != nil] + "\n")
	cell := func(s string) string { return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s) }
	for _, s := range settings(d) {
		fmt.Fprintf(&b, "| changed | %s | | %s | %s |\n", s[0], cell(s[1]), cell(s[2]))
	}
	for _, ch := range d.Changes {
		kind := ch.Kind.String()
		if ch.Kind.Wider() {
			kind = "**" + kind + "**"
		}
		fmt.Fprintf(&b, "| %s | `%v` | %v | %s | %s |", kind, ch.ID, ch.Tier, cell(synth.Says(ch.Was)), cell(synth.Says(ch.Is)))
		if d.evidence != nil {
			fmt.Fprintf(&b, " %s |", report.Code(d.why(ch)))
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func diffJSON(w io.Writer, d *comparison) error {
	type setting struct {
		What string `json:"what"`
		Was  string `json:"was"`
		Is   string `json:"is"`
	}
	type change struct {
		Syscall string `json:"syscall"`
		Arch    string `json:"arch"`
		Kind    string `json:"kind"`
		Wider   bool   `json:"wider"`
		Tier    string `json:"tier"`
		Was     string `json:"was,omitempty"`
		Is      string `json:"is,omitempty"`
		Why     string `json:"why,omitempty"`
	}
	out := struct {
		Same     bool      `json:"same"`
		Wider    bool      `json:"wider"`
		Settings []setting `json:"settings"`
		Changes  []change  `json:"changes"`
	}{d.Empty(), d.Wider(), []setting{}, []change{}}
	for _, s := range settings(d) {
		out.Settings = append(out.Settings, setting{s[0], s[1], s[2]})
	}
	for _, ch := range d.Changes {
		name, ok := ch.ID.Name()
		if !ok {
			name = fmt.Sprintf("$%d", ch.ID.NR)
		}
		out.Changes = append(out.Changes, change{name, ch.ID.Arch.String(), ch.Kind.String(), ch.Kind.Wider(), ch.Tier.String(), synth.Says(ch.Was), synth.Says(ch.Is), d.why(ch)})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(out)
}

// combinePolicies is merge for policies.
func combinePolicies(c *cobra.Command, how, out string, paths []string) error {
	combine := map[string]func(a, b *synth.Policy) (*synth.Policy, error){"union": synth.Union, "intersection": synth.Intersection}[how]
	if combine == nil {
		return usage(c, fmt.Errorf("--policies %s is neither union nor intersection", how))
	}
	if len(paths) < 2 {
		return usage(c, errors.New("only one policy given"))
	}
	w, err := outputTo(c, out)
	if err != nil {
		return err
	}
	encode, err := policyWriter(out)
	if err != nil {
		return err
	}
	var all *synth.Policy
	for i, path := range paths {
		p, err := readPolicy(path, "name policies: OCI profiles, or YAML")
		if err != nil {
			return err
		}
		if i == 0 {
			all = p
			continue
		}
		if all, err = combine(all, p); err != nil {
			return fmt.Errorf("%s of %s and %s: %w", how, strings.Join(paths[:i], ", "), path, err)
		}
	}
	warnings(voiceOf(c, false), all)
	return w.write(func(w io.Writer) error { return encode(w, all) })
}
