package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/synth/document"
	"github.com/tjfuzz/tjfuzz/synth/format"
)

type convertOptions struct {
	to, from string
	name     string
	out      string
	caps     []string
	widen    bool
}

// formats are those of synth/format, the one that takes a compiler, and tjfuzz's own.
func formats() []format.Format {
	all := append(format.Formats(), format.Format{
		Name: "bubblewrap", About: "compiled filter for bwrap --seccomp FD, for this machine",
		Write: func(w io.Writer, p *synth.Policy, _ string) error {
			code, err := compile(p)
			if err != nil {
				return err
			}
			_, err = w.Write(code)
			return err
		},
	}, format.Format{
		Name: "yaml", About: "policy as people write it, see docs/policy.md",
		Write: func(w io.Writer, p *synth.Policy, _ string) error {
			d, err := document.New(p)
			if err != nil {
				return err
			}
			data, err := d.Encode()
			if err != nil {
				return err
			}
			_, err = w.Write(data)
			return err
		},
		Read: func(r io.Reader, m format.Machine) (*synth.Policy, error) {
			data, err := io.ReadAll(r)
			if err != nil {
				return nil, fmt.Errorf("read the policy: %w", err)
			}
			d, err := document.Parse(data)
			if err != nil {
				return nil, err
			}
			return d.Policy(m.Native, os.ReadFile)
		},
	})
	slices.SortFunc(all, func(a, b format.Format) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func newConvert() *cobra.Command {
	var o convertOptions
	c := &cobra.Command{
		Use:   "convert --to FORMAT [flags] PROFILE",
		Short: "Write a profile in the format of another program",
		Long: `Write a profile in the format of another program. A format that cannot say all
that the profile says is refused, and what it cannot say is named; with --widen
the nearest is written that permits no less, and every difference is named. A
PROFILE named - is standard input.

` + formatTable(),
		Example: `  tjfuzz convert --to systemd -o seccomp.conf jq.seccomp.json

  # run a program below bubblewrap with nothing but what it needs
  tjfuzz convert --to bubblewrap -o jq.bpf jq.seccomp.json
  bwrap --ro-bind / / --dev /dev --proc /proc --seccomp 9 jq . in.json 9<jq.bpf

  # docker's profile as one of the OCI runtimes, as it is on this machine
  tjfuzz convert --from moby --to oci default.json`,
		Args: func(c *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return usage(c, errors.New("no profile given"))
			case len(args) > 1:
				return usage(c, fmt.Errorf("%q is one argument too many", args[1]))
			case o.to == "":
				return usage(c, errors.New("--to does not say which format"))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return runConvert(c, o, args[0]) },
	}
	f := c.Flags()
	f.StringVar(&o.to, "to", "", "the `format` to write")
	f.StringVar(&o.from, "from", "", "the `format` of the profile (default oci; yaml for files named so)")
	f.StringVar(&o.name, "name", "", "what the profile is called in formats that name it (default: as the file)")
	f.StringSliceVar(&o.caps, "capabilities", format.DockerCapabilities(), "with --from moby: what the container has, for `NAMES` on which entries depend")
	f.BoolVar(&o.widen, "widen", false, "write the nearest that the format can say, and name what differs")
	f.StringVarP(&o.out, "output", "o", "-", "write to this `file`, - for standard output")
	return c
}

// formatTable lists the formats for people.
func formatTable() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "Formats, and whether --from takes them too:")
	for _, f := range formats() {
		reads := ""
		if f.Read != nil {
			reads = " (--from)"
		}
		fmt.Fprintf(w, "  %s\t%s%s\n", f.Name, f.About, reads)
	}
	_ = w.Flush()
	return strings.TrimSuffix(b.String(), "\n")
}

// formatNamed finds the format that a flag names.
func formatNamed(c *cobra.Command, flag, name string, reads bool) (format.Format, error) {
	var known []string
	for _, f := range formats() {
		if reads && f.Read == nil {
			continue
		}
		if f.Name == name {
			return f, nil
		}
		known = append(known, f.Name)
	}
	return format.Format{}, usage(c, fmt.Errorf("--%s %s is not among %s", flag, name, strings.Join(known, ", ")))
}

func runConvert(c *cobra.Command, o convertOptions, path string) error {
	v := voiceOf(c, false)
	to, err := formatNamed(c, "to", o.to, false)
	if err != nil {
		return err
	}
	p, err := readAs(c, o, path)
	if err != nil {
		return err
	}
	w, err := outputTo(c, o.out)
	if err != nil {
		return err
	}
	fit, other, err := to.Fit(p)
	if err != nil {
		return hinted(fmt.Errorf("%s: %w", path, err), "%s", otherFormats(p))
	}
	if len(other) > 0 && !o.widen {
		return hinted(fmt.Errorf("%s: %s cannot say all of it: %s", path, to.Name, some(other)),
			"--widen writes the nearest that it can say, and names each difference\n%s", otherFormats(p))
	}
	for _, line := range other {
		v.warn("%s: %s", to.Name, line)
	}
	if names := format.NewerNames(fit); len(names) > 0 && to.SkipsUnknown {
		v.warn("where libseccomp is 2.5.4 or older, these names are ignored silently: %s", strings.Join(names, " "))
	}
	if o.name == "" {
		o.name = nameOf(path)
	}
	err = w.write(func(w io.Writer) error { return to.Write(w, fit, o.name) })
	var name *format.NameError
	if errors.As(err, &name) {
		return hinted(err, "give it another with --name")
	}
	return err
}

// readAs reads a profile of the format that was asked for.
func readAs(c *cobra.Command, o convertOptions, path string) (*synth.Policy, error) {
	const hint = "'tjfuzz learn' and 'tjfuzz generate' make profiles"
	if o.from == "" && isDocument(path) {
		return readPolicy(path, hint)
	}
	f, err := formatNamed(c, "from", cmp.Or(o.from, "oci"), true)
	if err != nil {
		return nil, err
	}
	in := c.InOrStdin()
	if path != "-" {
		file, err := openNamed(path, "profile", hint)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	m := format.Machine{Native: sysno.Native(), Capabilities: o.caps}
	if _, err := fmt.Sscanf(kernelRelease(), "%d.%d", &m.Kernel.Major, &m.Kernel.Minor); err != nil {
		return nil, fmt.Errorf("the kernel's release %s: %w", kernelRelease(), err)
	}
	p, err := f.Read(in, m)
	if err != nil {
		return nil, hinted(fmt.Errorf("%s: %w", path, err), "it was read as %s; --from says otherwise", f.Name)
	}
	return p, nil
}

// otherFormats names those that can say all of the policy.
func otherFormats(p *synth.Policy) string {
	var can []string
	for _, f := range formats() {
		if _, other, err := f.Fit(p); err == nil && len(other) == 0 {
			can = append(can, f.Name)
		}
	}
	if len(can) == 0 {
		return "no format can say all of it"
	}
	return "all of it can be said in " + strings.Join(can, ", ")
}

// some is the first of several lines, and how many there are besides.
func some(lines []string) string {
	if len(lines) == 1 {
		return lines[0]
	}
	return fmt.Sprintf("%s; and %d more", lines[0], len(lines)-1)
}

// nameOf is what a profile is called by the name of its file.
func nameOf(path string) string {
	if path == "-" {
		return "profile"
	}
	name, _, _ := strings.Cut(filepath.Base(path), ".")
	if name == "" {
		return "profile"
	}
	return name
}
