package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/corpora"
	"github.com/tjfuzz/tjfuzz/corpora/goproxy"
	"github.com/tjfuzz/tjfuzz/internal/nearest"
)

func newCorpora() *cobra.Command {
	c := &cobra.Command{
		Use:   "corpora",
		Short: "List, load, convert and reduce seeds, and show dictionaries",
		Long: `Work with seeds, the inputs that a session of learn starts from. A source of seeds
is one of

  ` + builtin + `   what is built in, and what learn uses unless --seeds says otherwise
  ` + gofuzz + `    github.com/dvyukov/go-fuzz-corpus, once it was loaded with 'corpora pull'
  DIR, FILE.zip   samples, or what AFL, libFuzzer, honggfuzz, OSS-Fuzz, go test -fuzz
            or tjfuzz have left; see docs/corpora.md

and 'tjfuzz learn --seeds' takes any of them.`,
		Example: `  # what is there
  tjfuzz corpora list

  # more of them
  tjfuzz corpora pull gofuzz
  tjfuzz learn --seeds gofuzz -- ./parser @@`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage(c, fmt.Errorf("there is no command %q", "corpora "+args[0]))
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newCorporaList(), newCorporaShow(), newCorporaPull(), newCorporaImport(), newCorporaMin(), newCorporaDict())
	return c
}

// The sources that are no paths.
const (
	builtin = "builtin"
	gofuzz  = "gofuzz"
)

// seedsOf reads a source. A path goes before a name.
func seedsOf(ctx context.Context, source string) ([]corpora.Seed, []corpora.Skipped, error) {
	switch {
	case exists(source):
		seeds, skipped, err := corpora.Read(source)
		if errors.Is(err, corpora.ErrUnsafe) {
			err = hinted(err, "unpack it yourself where it can do no harm, and name the directory")
		} else if err != nil {
			err = hinted(err, "a source is a directory of sample inputs, a zip file of such, %s or %s", builtin, gofuzz)
		}
		return seeds, skipped, err
	case source == builtin:
		return corpora.Pack(), nil, nil
	case source == gofuzz:
		cache, err := corporaCache()
		if err != nil {
			return nil, nil, err
		}
		m, err := goproxy.Fetch(ctx, goFuzzCorpus(), "off", cache)
		if err != nil {
			return nil, nil, hinted(fmt.Errorf("the seeds of %s are not on this machine", gofuzz), "tjfuzz corpora pull %s", gofuzz)
		}
		seeds, err := corpora.GoFuzzCorpus(m.Zip)
		return seeds, nil, err
	}
	return nil, nil, hinted(fmt.Errorf("there are no seeds at %s", source), "a source is a directory of sample inputs, a zip file of such, %s or %s", builtin, gofuzz)
}

// known reads a source and tells what was passed over.
func known(c *cobra.Command, source string) ([]corpora.Seed, error) {
	seeds, skipped, err := seedsOf(c.Context(), source)
	for _, s := range skipped {
		voiceOf(c, false).warn("%s: %s; not a seed", s.Path, s.Why)
	}
	return seeds, err
}

// unnamed stands for a format that nobody knows.
const unnamed = "-"

// tally counts the seeds of a format.
type tally struct {
	Format  string `json:"format"` // empty when it is not known
	Seeds   int    `json:"seeds"`
	Valid   int    `json:"valid"`
	Odd     int    `json:"odd"`
	Broken  int    `json:"broken"`
	Unknown int    `json:"unknown"` // nobody has said which of these they are
	Bytes   int    `json:"bytes"`
}

// tallies are sorted by format.
func tallies(seeds []corpora.Seed) []tally {
	var all []tally
	for _, s := range seeds {
		i, found := slices.BinarySearchFunc(all, s.Format, func(t tally, f string) int { return strings.Compare(t.Format, f) })
		if !found {
			all = slices.Insert(all, i, tally{Format: s.Format})
		}
		t := &all[i]
		t.Seeds++
		t.Bytes += len(s.Data)
		switch s.Kind {
		case corpora.Valid:
			t.Valid++
		case corpora.Odd:
			t.Odd++
		case corpora.Broken:
			t.Broken++
		default:
			t.Unknown++
		}
	}
	return all
}

func newCorporaList() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list [SOURCE]",
		Short: "List the formats of a source of seeds",
		Long: `List the formats of a source and how many seeds it has of each: valid ones, odd
ones at the borders of the format, and broken ones. Of seeds that were read nobody
has said which they are, and their format is told by their content. Without a
SOURCE it is what is built in.`,
		Example: `  tjfuzz corpora list
  tjfuzz corpora list afl-output/
  tjfuzz corpora list --json gofuzz`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage(c, fmt.Errorf("%q is one argument too many", args[1]))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			source := builtin
			if len(args) > 0 {
				source = args[0]
			}
			seeds, err := known(c, source)
			if err != nil {
				return err
			}
			all := tallies(seeds)
			if asJSON {
				return indented(c.OutOrStdout(), all)
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "format\tseeds\tvalid\todd\tbroken\tbytes")
			for _, t := range all {
				if t.Format == "" {
					t.Format = unnamed
				}
				fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\n", t.Format, t.Seeds, t.Valid, t.Odd, t.Broken, t.Bytes)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			voiceOf(c, false).say("%d seeds of %d formats", len(seeds), len(all))
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return c
}

// indented writes JSON for people and machines.
func indented(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func newCorporaShow() *cobra.Command {
	var source string
	c := &cobra.Command{
		Use:   "show {SEED | FORMAT}",
		Short: "Write one seed, or list those of a format",
		Long: `Write the bytes of a seed to standard output, or list the seeds of a format: its
kind, its size and its name.`,
		Example: `  tjfuzz corpora show json
  tjfuzz corpora show json-deep | jq .
  tjfuzz corpora show --from gofuzz png`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage(c, errors.New("it takes one name, of a seed or a format"))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			seeds, err := known(c, source)
			if err != nil {
				return err
			}
			return showSeeds(c, seeds, source, args[0])
		},
	}
	c.Flags().StringVar(&source, "from", builtin, "the `source` of the seeds")
	return c
}

func showSeeds(c *cobra.Command, seeds []corpora.Seed, source, name string) error {
	if i := slices.IndexFunc(seeds, func(s corpora.Seed) bool { return s.Name == name }); i >= 0 {
		_, err := c.OutOrStdout().Write(seeds[i].Data)
		return err
	}
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	found := false
	for _, s := range seeds {
		if s.Format == name || s.Format == "" && name == unnamed {
			found = true
			fmt.Fprintf(w, "%s\t%d bytes\t%s\n", s.Kind, len(s.Data), legible(s.Name))
		}
	}
	if !found {
		names := make([]string, len(seeds))
		for i, s := range seeds {
			names[i] = s.Format
		}
		hint := fmt.Sprintf("tjfuzz corpora list %s", source)
		if near := nearest.To(name, names); near != "" {
			hint = fmt.Sprintf("did you mean %s? 'tjfuzz corpora list' has all formats", near)
		}
		return hinted(fmt.Errorf("%s has no seed and no format %q", source, name), "%s", hint)
	}
	return w.Flush()
}
