package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/synth/format"
)

type lintOptions struct {
	failOn   string
	evidence string
	asJSON   bool
}

func newLint() *cobra.Command {
	var o lintOptions
	c := &cobra.Command{
		Use:   "lint [flags] POLICY",
		Short: "Find in a policy what it should not have",
		Long: `Look for what a policy should not have: conditions that another call goes round,
comparisons of bits that the kernel does not read, refusals that break fall-backs
or that programs do not survive, calls that need a reason of their own. Then say
which classes of exploit payloads would work under it, and which known holes of
kernels were in calls that it permits.

A file that is no valid policy is an error of its own, with the place in it.`,
		Example: `  tjfuzz lint jq.seccomp.json

  # also what it permits and no run did
  tjfuzz lint --evidence .tjfuzz/jq/evidence.json jq.seccomp.json

  # in CI: nothing that a person should look at
  tjfuzz lint --fail-on warning server.yaml`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage(c, fmt.Errorf("%d policies given; one is looked at", len(args)))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return runLint(c, o, args[0]) },
	}
	c.Flags().StringVar(&o.failOn, "fail-on", "error", "exit with 1 on findings of this `severity` or a higher one: error, warning, note or never")
	c.Flags().StringVar(&o.evidence, "evidence", "", "also say what the policy permits and this `file` of evidence does not show")
	c.Flags().BoolVar(&o.asJSON, "json", false, "write JSON")
	return c
}

func runLint(c *cobra.Command, o lintOptions, path string) error {
	severities := []string{"never", synth.Fault.String(), synth.Warning.String(), synth.Note.String()}
	fails := slices.Index(severities, o.failOn)
	if fails < 0 {
		return usage(c, fmt.Errorf("--fail-on %s is none of error, warning, note and never", o.failOn))
	}
	p, err := readPolicy(path, "name a policy: an OCI profile, or YAML")
	if err != nil {
		return err
	}
	findings := synth.Lint(p)
	if o.evidence != "" {
		t, err := loadEvidence(o.evidence)
		if err != nil {
			return err
		}
		findings = append(findings, synth.LintEvidence(p, t)...)
	}
	if names := format.NewerNames(p); len(names) > 0 {
		findings = append(findings, synth.Finding{Severity: synth.Note, Check: "library", Calls: names,
			Detail: "runtimes with libseccomp 2.5.4 or older ignore these names silently"})
	}
	write := lintText
	if o.asJSON {
		write = lintJSON
	}
	if err := write(c.OutOrStdout(), p, findings); err != nil {
		return err
	}
	if slices.ContainsFunc(findings, func(f synth.Finding) bool { return int(f.Severity) <= fails }) {
		return exitStatus(exitError)
	}
	return nil
}

func lintText(w io.Writer, p *synth.Policy, findings []synth.Finding) error {
	var b strings.Builder
	for _, f := range findings {
		if f.Check == "payload" {
			continue // they stand in the table
		}
		about := ""
		if len(f.Calls) > 0 {
			about = " " + strings.Join(f.Calls, " ") + ":"
		}
		fmt.Fprintf(&b, "%v: [%s]%s %s\n", f.Severity, f.Check, about, f.Detail)
		if len(f.CVEs) > 0 && f.Severity < synth.Note {
			fmt.Fprintf(&b, "  known: %s\n", strings.Join(f.CVEs, " "))
		}
		if f.Mend != "" {
			fmt.Fprintf(&b, "  mend: %s\n", f.Mend)
		}
	}
	b.WriteString("payloads:\n")
	for _, g := range p.Payloads() {
		if g.Possible {
			fmt.Fprintf(&b, "  possible  %s (%s)\n", g.Class, strings.Join(g.Calls, " "))
		} else {
			fmt.Fprintf(&b, "  stopped   %s\n", g.Class)
		}
	}
	fmt.Fprintf(&b, "known holes of kernels were in permitted calls: %d\n", len(p.ReachableCVEs()))
	_, err := io.WriteString(w, b.String())
	return err
}

func lintJSON(w io.Writer, p *synth.Policy, findings []synth.Finding) error {
	type finding struct {
		Severity string   `json:"severity"`
		Check    string   `json:"check"`
		Syscalls []string `json:"syscalls"`
		Detail   string   `json:"detail"`
		Mend     string   `json:"mend,omitempty"`
		CVEs     []string `json:"cves"`
	}
	type payload struct {
		Class    string   `json:"class"`
		Possible bool     `json:"possible"`
		Syscalls []string `json:"syscalls"`
	}
	out := struct {
		Findings []finding `json:"findings"`
		Payloads []payload `json:"payloads"`
		CVEs     []string  `json:"cves"`
	}{[]finding{}, []payload{}, append([]string{}, p.ReachableCVEs()...)}
	for _, f := range findings {
		out.Findings = append(out.Findings, finding{f.Severity.String(), f.Check, append([]string{}, f.Calls...), f.Detail, f.Mend, append([]string{}, f.CVEs...)})
	}
	for _, g := range p.Payloads() {
		out.Payloads = append(out.Payloads, payload{g.Class, g.Possible, append([]string{}, g.Calls...)})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(out)
}
