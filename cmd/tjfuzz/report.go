package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/synth/format"
	"github.com/tjfuzz/tjfuzz/synth/report"
)

type reportOptions struct {
	policy, state, previous, reach, output, form string
}

func newReport() *cobra.Command {
	var o reportOptions
	c := &cobra.Command{
		Use:   "report [flags] PROGRAM",
		Short: "Write a page about what was learned, to read and to show",
		Long: `Write one page about the policy of a program: each rule with its evidence and the
command line that shows it, how the syscalls were found and how sure that is, what
the code can reach besides, what an attacker is kept from, beside docker's default
policy, and the crashes and hangs that were met on the way.

The page is one file that loads nothing. Its address may end in #filter=WORDS to
show certain rules.`,
		Example: `  tjfuzz report ./target                     # target.report.html

  # for a comment on a pull request, with what has changed
  tjfuzz report --previous main.json --format markdown -o - ./target

  # with what static analysis adds
  tjfuzz analyze --json ./target >reach.json
  tjfuzz report --reachable reach.json ./target`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage(c, fmt.Errorf("%d programs given; a report is about one", len(args)))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return runReport(c, o, args[0]) },
	}
	c.Flags().StringVar(&o.policy, "policy", "", "the `profile` to report on (default PROGRAM.seccomp.json)")
	c.Flags().StringVar(&o.state, "state", "", "the state `directory` of learn (default "+stateRoot+"/PROGRAM)")
	c.Flags().StringVar(&o.previous, "previous", "", "also say what has changed since this `profile`")
	c.Flags().StringVar(&o.reach, "reachable", "", "the `file` that analyze --json has written (default: what learn kept beside the evidence)")
	c.Flags().StringVarP(&o.output, "output", "o", "", "write to this `file`, - for standard output (default PROGRAM.report.html or .md)")
	c.Flags().StringVar(&o.form, "format", "", "html or markdown (default: by the name of the output)")
	return c
}

func runReport(c *cobra.Command, o reportOptions, program string) error {
	markdown := strings.HasSuffix(o.output, ".md")
	switch o.form {
	case "":
	case "html", "markdown":
		markdown = o.form == "markdown"
	default:
		return usage(c, fmt.Errorf("--format %s is neither html nor markdown", o.form))
	}
	if o.output == "" {
		o.output = filepath.Base(program) + map[bool]string{false: ".report.html", true: ".report.md"}[markdown]
	}
	if o.state == "" {
		o.state = defaultState(program)
	}
	t, err := loadEvidence(filepath.Join(o.state, evidenceName))
	if err != nil {
		return err
	}
	in := report.Input{Program: filepath.Base(program), Evidence: t}
	if in.Policy, err = explained(o.policy, program, t); err != nil {
		return err
	}
	if beside := filepath.Join(o.state, reachName); o.reach == "" && exists(beside) {
		o.reach = beside
	}
	if o.reach != "" {
		if in.Reach, err = loadReach(o.reach); err != nil {
			return err
		}
		synth.MarkReachable(in.Policy, in.Reach)
	}
	s, err := loadSummary(filepath.Join(o.state, summaryName))
	if err != nil {
		return err
	}
	in.Session = s.session()
	if o.previous != "" {
		if in.Previous, err = readPolicy(o.previous, "name a policy: an OCI profile, or YAML"); err != nil {
			return err
		}
	}
	if t.Arch == sysno.Native() { // docker's is for machines of the evidence's architecture
		if in.Docker, err = format.DockerDefault(t.Arch); err != nil {
			return err
		}
	}
	out, err := outputTo(c, o.output)
	if err != nil {
		return err
	}
	r := report.New(in)
	write := r.HTML
	if markdown {
		write = r.Markdown
	}
	if err := out.write(write); err != nil {
		return err
	}
	if o.output != "-" {
		voiceOf(c, false).say("wrote %s", o.output)
	}
	return nil
}
