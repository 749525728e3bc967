package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/enforce/denial"
	"github.com/tjfuzz/tjfuzz/enforce/filter"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/synth/document"
	"github.com/tjfuzz/tjfuzz/synth/format"
)

// showFlags show what a policy comes to, in the place of running anything.
type showFlags struct {
	print    bool
	dump     bool
	simulate []string
	asJSON   bool
}

func (s *showFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&s.print, "print", false, "write the resulting policy, in YAML, and run nothing")
	f.BoolVar(&s.dump, "dump", false, "write the filter that the policy is compiled to, and run nothing")
	f.StringArrayVar(&s.simulate, "simulate", nil, "say what becomes of a `call`, such as 'openat(AT_FDCWD, ..., O_CREAT)', and run nothing")
	f.BoolVar(&s.asJSON, "json", false, "with --print, write an OCI profile; with --dump and --simulate, JSON")
}

// any reports whether nothing is to run.
func (s *showFlags) any() bool { return s.print || s.dump || len(s.simulate) > 0 }

// check refuses flags that do not go together.
func (s *showFlags) check() error {
	if s.print && s.dump || (s.print || s.dump) && len(s.simulate) > 0 {
		return errors.New("--print, --dump and --simulate stand alone")
	}
	if s.asJSON && !s.any() {
		return errors.New("--json goes with --print, --dump or --simulate")
	}
	return nil
}

func (s *showFlags) run(w io.Writer, names []string, stack synth.Stack) error {
	if s.print {
		return s.printPolicies(w, names, stack)
	}
	program, err := compileStack(names, stack)
	if err != nil {
		return err
	}
	if s.dump {
		return s.dumpProgram(w, program)
	}
	return s.simulateCalls(w, program, names, stack)
}

func (s *showFlags) printPolicies(w io.Writer, names []string, stack synth.Stack) error {
	if s.asJSON && len(stack) > 1 {
		return errors.New("--print --json writes one profile, and there are several policies")
	}
	for i, p := range stack {
		if s.asJSON {
			return format.WriteOCI(w, p)
		}
		arranged := *p // in the order in which it would be read again
		arranged.Groups = synth.Arrange(p.Rules())
		d, err := document.New(&arranged)
		if err != nil {
			return err
		}
		data, err := d.Encode()
		if err != nil {
			return err
		}
		if len(stack) > 1 {
			if i > 0 {
				fmt.Fprintln(w, "---")
			}
			fmt.Fprintf(w, "# %s\n", names[i])
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	return nil
}

// instruction is a line of --dump --json.
type instruction struct {
	PC    int    `json:"pc"`
	Code  uint16 `json:"code"`
	JT    uint8  `json:"jt"`
	JF    uint8  `json:"jf"`
	K     uint32 `json:"k"`
	Label string `json:"label,omitempty"`
	Text  string `json:"text"`
}

func (s *showFlags) dumpProgram(w io.Writer, program filter.Program) error {
	lines, err := program.Annotate()
	if err != nil {
		return err
	}
	if s.asJSON {
		var all []instruction
		for pc, in := range program {
			all = append(all, instruction{pc, in.Code, in.Jt, in.Jf, in.K, lines[pc].Label, lines[pc].Text})
		}
		return writeJSON(w, all)
	}
	for pc, in := range program {
		if lines[pc].Label != "" {
			fmt.Fprintf(w, "%s:\n", lines[pc].Label)
		}
		fmt.Fprintf(w, "%5d  %02x %3d %3d %08x  %s\n", pc, in.Code, in.Jt, in.Jf, in.K, lines[pc].Text)
	}
	return nil
}

// simulated is one outcome of --simulate --json.
type simulated struct {
	Call    string        `json:"call"`
	Verdict string        `json:"verdict"`
	Tried   string        `json:"tried"`
	By      string        `json:"by"`
	Policy  string        `json:"policy"`
	Path    []instruction `json:"path"`
}

func (s *showFlags) simulateCalls(w io.Writer, program filter.Program, names []string, stack synth.Stack) error {
	lines, err := program.Annotate()
	if err != nil {
		return err
	}
	var rules []synth.Rule
	for _, p := range stack {
		rules = append(rules, p.Rules()...)
	}
	var all []simulated
	for i, text := range s.simulate {
		call, err := synth.ParseCall(sysno.Native(), text)
		if err != nil {
			return hinted(fmt.Errorf("--simulate: %w", err), "calls are like 'openat(AT_FDCWD, ..., O_RDONLY|O_CREAT)', with ... for anything")
		}
		outcomes, err := filter.Simulate(program, rules, call)
		if err != nil {
			return err
		}
		for j, o := range outcomes {
			_, by := stack.Decide(o.Call.ID, o.Call.Args)
			cause := denial.Cause(by, o.Call.ID, o.Call.Args)
			policy := names[slices.Index(stack, by)]
			if s.asJSON {
				r := simulated{call.String(), o.Verdict.String(), o.Call.String(), cause, policy, nil}
				for _, pc := range o.Path {
					in := program[pc]
					r.Path = append(r.Path, instruction{pc, in.Code, in.Jt, in.Jf, in.K, lines[pc].Label, lines[pc].Text})
				}
				all = append(all, r)
				continue
			}
			if i+j > 0 {
				fmt.Fprintln(w)
			}
			if len(stack) > 1 {
				cause += " in " + policy
			}
			fmt.Fprintf(w, "%v: %v, by %s\n", call, o.Verdict, cause)
			if len(outcomes) > 1 {
				fmt.Fprintf(w, "  as in %v\n", o.Call)
			}
			for i, pc := range o.Path {
				jump := ""
				if i+1 < len(o.Path) && o.Path[i+1] != pc+1 {
					jump = fmt.Sprintf(" -> %d", o.Path[i+1])
				}
				fmt.Fprintf(w, "%5d  %s%s\n", pc, lines[pc].Text, jump)
			}
		}
	}
	if s.asJSON {
		return writeJSON(w, all)
	}
	return nil
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// compileStack turns policies that hold at once into one filter that was checked
// against all of them.
func compileStack(names []string, stack synth.Stack) (filter.Program, error) {
	programs := make([]filter.Program, len(stack))
	for i, p := range stack {
		program, err := filter.Compile(p)
		if errors.Is(err, filter.ErrNoCgo) {
			return nil, hinted(err, "or take the tjfuzz that 'make' builds")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", names[i], err)
		}
		programs[i] = program
	}
	program, err := filter.Stack(programs...)
	if err != nil {
		return nil, err
	}
	if err := filter.Check(program, stack...); err != nil {
		return nil, fmt.Errorf("%s: the compiled filter does not do what the policy says: %w", strings.Join(names, ", "), err)
	}
	return program, nil
}
