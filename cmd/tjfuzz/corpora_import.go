package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/corpora"
	"github.com/tjfuzz/tjfuzz/internal/atomicfile"
)

func newCorporaImport() *cobra.Command {
	var output string
	var formats []string
	var asJSON bool
	c := &cobra.Command{
		Use:   "import [flags] -o DIR SOURCE...",
		Short: "Write the seeds of sources to a directory, each once",
		Long: `Write the seeds of sources to a directory that any fuzzer takes: one file each,
named by format and content. What is there already, and what is there twice,
is not written again. The formats are told by content, but for those of ` + builtin + `
and ` + gofuzz + `.`,
		Example: `  # everything that other fuzzers have found, in one place
  tjfuzz corpora import -o seeds afl-output/ corpus.zip testdata/fuzz

  # those of one format
  tjfuzz corpora import -o seeds --format png builtin gofuzz`,
		Args: func(c *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return usage(c, errors.New("no source given"))
			case output == "":
				return usage(c, errors.New("name a directory with -o"))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			var all []corpora.Seed
			for _, source := range args {
				seeds, err := known(c, source)
				if err != nil {
					return err
				}
				all = append(all, seeds...)
			}
			if len(formats) > 0 {
				all = slices.DeleteFunc(all, func(s corpora.Seed) bool { return !slices.Contains(formats, s.Format) })
				if len(all) == 0 {
					return hinted(errors.New("there are no seeds of that format"), "tjfuzz corpora list %s", args[0])
				}
			}
			written, err := writeSeeds(output, all)
			if err != nil {
				return hinted(fmt.Errorf("write the seeds: %w", err), "name another directory with -o")
			}
			if asJSON {
				return indented(c.OutOrStdout(), map[string]any{"directory": output, "seeds": len(all), "written": written})
			}
			voiceOf(c, false).say("wrote %d of %d seeds to %s; the others are there already", written, len(all), output)
			return nil
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "write to this `directory`")
	c.Flags().StringSliceVar(&formats, "format", nil, "only seeds of these `formats`")
	c.Flags().BoolVar(&asJSON, "json", false, "write the result as JSON to standard output")
	return c
}

// writeSeeds makes a file of each seed, and returns how many there were not yet. Their names say what
// they hold, so one that is there is whole.
func writeSeeds(dir string, seeds []corpora.Seed) (written int, err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return 0, err
	}
	for _, s := range seeds {
		sum := sha256.Sum256(s.Data)
		name := hex.EncodeToString(sum[:8])
		if s.Format != "" {
			name = s.Format + "-" + name
		}
		path := filepath.Join(dir, name)
		if exists(path) {
			continue
		}
		// Thousands of fsyncs would take minutes; the file system is synced below.
		tmp := filepath.Join(dir, atomicfile.Prefix+name)
		if err := os.WriteFile(tmp, s.Data, 0o644); err != nil {
			return written, err
		}
		if err := os.Rename(tmp, path); err != nil {
			return written, err
		}
		written++
	}
	f, err := os.Open(dir)
	if err != nil {
		return written, err
	}
	return written, errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}
