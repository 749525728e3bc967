package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/corpora"
	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/launch"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/coverage"
	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

func newCorporaMin() *cobra.Command {
	var runs runFlags
	var source, output string
	var asJSON bool
	c := &cobra.Command{
		Use:   "min [flags] -o DIR --from SOURCE -- PROGRAM [ARGS...]",
		Short: "Keep the few seeds that show all that the seeds show of a program",
		Long: `Run a program on each seed of a source, in the cage, under the recorder, and write
to a directory few of them that together make the same syscalls and reach the
same code; of several that show the same, the smallest. Code is told by basic
blocks, where the program can be run in copies: see docs/architecture.md. Where it
cannot, syscalls alone decide, and that is said.

In ARGS, @@ stands for the path of the input; without it the input comes on
standard input.`,
		Example: `  tjfuzz corpora min --from gofuzz -o seeds -- xmllint --noout @@
  tjfuzz corpora min --from afl-output/ -o seeds -- ./parser`,
		Args: func(c *cobra.Command, args []string) error {
			switch {
			case source == "":
				return usage(c, errors.New("name the seeds with --from"))
			case output == "":
				return usage(c, errors.New("name a directory with -o"))
			}
			return targetArgs(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			runs.jobs = 1
			return runMin(c.Context(), c, runs, source, output, asJSON, args)
		},
	}
	runs.add(c)
	f := c.Flags()
	f.SetInterspersed(false)
	f.StringVar(&source, "from", "", "the `source` of the seeds: a directory, a zip file, "+builtin+" or "+gofuzz)
	f.StringVarP(&output, "output", "o", "", "write to this `directory`")
	f.BoolVar(&asJSON, "json", false, "write the result as JSON to standard output")
	return c
}

func runMin(ctx context.Context, c *cobra.Command, runs runFlags, source, output string, asJSON bool, args []string) error {
	v := voiceOf(c, asJSON)
	seeds, err := known(c, source)
	if err != nil {
		return err
	}
	s, err := newSession(args, runs)
	if err != nil {
		return err
	}
	if s.runs.backend, err = runs.backend.choose(v); err != nil {
		return err
	}
	if done, err := s.admit(ctx, c, v, runs.backend); done || err != nil {
		return err
	}
	v.say("running %s on %d seeds, twice at most", args[0], len(seeds))
	var m minimizing
	few, err := corpora.Min(seeds, func() (corpora.Pass, error) { return m.begin(ctx, s) })
	if err != nil {
		return err
	}
	if m.blocks == 0 {
		v.warn("what code the program reaches cannot be seen here; the seeds were chosen by their syscalls alone")
	}
	if _, err := writeSeeds(output, few); err != nil {
		return hinted(fmt.Errorf("write the seeds: %w", err), "name another directory with -o")
	}
	if asJSON {
		return indented(c.OutOrStdout(), map[string]any{
			"directory": output, "seeds": len(seeds), "kept": len(few), "syscalls": m.syscalls, "blocks": m.blocks,
		})
	}
	v.say("%d of %d seeds show the same %d syscalls and %d basic blocks; they are in %s", len(few), len(seeds), m.syscalls, m.blocks, output)
	return nil
}

// minimizing counts what the first pass has shown.
type minimizing struct {
	passes, syscalls, blocks int
}

// showing is one pass over seeds.
type showing struct {
	*minimizing
	ctx   context.Context
	s     *session
	rec   recorder
	exec  *launch.Exec
	known map[string]bool
	first bool
}

func (m *minimizing) begin(ctx context.Context, s *session) (corpora.Pass, error) {
	rec, err := s.runs.backend.open(recording{slots: 1})
	if err != nil {
		return nil, err
	}
	s.code = new(coverage.Map)
	e, _, err := s.executor(rec, 0)
	if err != nil {
		return nil, errors.Join(err, rec.Close())
	}
	m.passes++
	return &showing{minimizing: m, ctx: ctx, s: s, rec: rec, exec: e, known: map[string]bool{}, first: true}, nil
}

// warming is how often the first seed is run: a program is run in copies, which have breakpoints,
// only once it has been run a few times.
const warming = 4

func (p *showing) Show(seed corpora.Seed) ([]string, error) {
	sc := p.s.base()
	sc.Input, sc.Stdin = seed.Data, fuzz.StdinPipe
	if slices.ContainsFunc(sc.Argv, func(w string) bool { return strings.Contains(w, mutate.Input) }) {
		sc.Stdin = fuzz.StdinNull
	}
	times := 1
	if p.first {
		times, p.first = warming, false
	}
	var fresh []string
	for range times {
		r, err := p.exec.Run(p.ctx, &sc)
		if err != nil {
			return nil, runError(err, p.s.args[0])
		}
		for _, id := range r.Seen {
			fresh = p.note(fresh, id.String(), &p.syscalls)
		}
		for _, sig := range r.Signals {
			if sig.Kind == fuzz.SignalBlock || sig.Kind == fuzz.SignalEdge {
				fresh = p.note(fresh, fmt.Sprintf("%v %x", sig.Kind, sig.Key), &p.blocks)
			}
		}
	}
	return fresh, nil
}

// note adds what was not known, and counts it in the first pass.
func (p *showing) note(fresh []string, what string, count *int) []string {
	if p.known[what] {
		return fresh
	}
	p.known[what] = true
	if p.passes == 1 {
		*count++
	}
	return append(fresh, what)
}

func (p *showing) Close() error { return errors.Join(p.exec.Close(), p.rec.Close()) }

func newCorporaDict() *cobra.Command {
	var output string
	var runs runFlags
	c := &cobra.Command{
		Use: "dict [flags] { FORMAT... | -- PROGRAM [ARGS...] }\n" +
			"  tjfuzz corpora dict FORMAT...",
		Short: "Write the dictionary of formats, or of a program",
		Long: `Write tokens that a mutator inserts, in the format of afl-fuzz -x: those that are
built in for formats, or those that learn would use for a program, from its
strings and the formats that it accepts.`,
		Example: `  tjfuzz corpora dict json xml
  tjfuzz corpora dict -o jq.dict -- jq .
  afl-fuzz -x jq.dict ...`,
		RunE: func(c *cobra.Command, args []string) error {
			out, err := outputTo(c, output)
			if err != nil {
				return err
			}
			var d mutate.Dictionary
			done := false
			switch dash := c.ArgsLenAtDash(); {
			case dash < 0:
				d, err = dictionaryOf(c, args)
			case dash > 0:
				return usage(c, errors.New("it takes formats or a program, not both"))
			default:
				d, done, err = mined(c, runs, args)
			}
			if done || err != nil {
				return err
			}
			left := 0
			err = out.write(func(w io.Writer) (err error) {
				left, err = d.Write(w)
				return err
			})
			if left > 0 {
				voiceOf(c, false).warn("%d tokens are longer than afl-fuzz takes, and were left out", left)
			}
			return err
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "-", "write to this `file`, - for standard output")
	runs.add(c)
	return c
}

func dictionaryOf(c *cobra.Command, formats []string) (mutate.Dictionary, error) {
	if len(formats) == 0 {
		return nil, usage(c, errors.New("name a format, or a program after --"))
	}
	var d mutate.Dictionary
	for _, f := range formats {
		tokens := corpora.Dictionary(f)
		if tokens == nil {
			return nil, hinted(fmt.Errorf("there is no dictionary of %q", f), "tjfuzz corpora list; for a program: tjfuzz corpora dict -- PROGRAM")
		}
		d = append(d, tokens...)
	}
	return distinctTokens(d), nil
}

// mined is what learn would use. It is done where another process, with the rights for a
// cage, has done it all.
func mined(c *cobra.Command, runs runFlags, args []string) (d mutate.Dictionary, done bool, err error) {
	if err := targetArgs(c, args); err != nil {
		return nil, false, err
	}
	v := voiceOf(c, false)
	s, err := newSession(args, runs)
	if err != nil {
		return nil, false, err
	}
	if s.runs.backend, err = runs.backend.choose(v); err != nil {
		return nil, false, err
	}
	if done, err := s.admit(c.Context(), c, v, runs.backend); done || err != nil {
		return nil, done, err
	}
	v.say("asking %s what it understands", args[0])
	found, _, err := s.study(c.Context(), corpora.For(s.path))
	return distinctTokens(found.Dictionary), false, err
}

func distinctTokens(d mutate.Dictionary) mutate.Dictionary {
	slices.SortFunc(d, slices.Compare)
	return slices.CompactFunc(d, slices.Equal)
}
