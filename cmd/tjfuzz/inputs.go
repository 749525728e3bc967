package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/external"
	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// inputFlags are what a user knows of the target's inputs.
type inputFlags struct {
	dictionary string
	grammar    string
	mutator    string
}

func (i *inputFlags) add(f *pflag.FlagSet) {
	f.StringVarP(&i.dictionary, "dictionary", "x", "", "also use the tokens in this `file`, in AFL's format; FILE@N for those of level N and below")
	f.StringVar(&i.grammar, "grammar", "", "also make inputs by the grammar in this `file`, see docs/mutators.md")
	f.StringVar(&i.mutator, "mutator", "", "also make inputs by this shell `command`, which runs all the time, see docs/mutators.md")
}

// inputs is what the files named by inputFlags hold.
type inputs struct {
	dictionary mutate.Dictionary
	grammar    *mutate.Grammar // or nil
	mutator    string
}

func (i *inputFlags) read() (in inputs, err error) {
	if i.dictionary != "" {
		if in.dictionary, err = readDictionary(i.dictionary); err != nil {
			return in, err
		}
	}
	if i.grammar != "" {
		if in.grammar, err = readGrammar(i.grammar); err != nil {
			return in, err
		}
	}
	in.mutator = i.mutator
	return in, nil
}

// readDictionary reads FILE, FILE@LEVEL, or a directory whose files are tokens.
func readDictionary(path string) (mutate.Dictionary, error) {
	level := mutate.AllLevels
	if at := strings.LastIndexByte(path, '@'); at >= 0 && !exists(path) {
		n, err := strconv.ParseUint(path[at+1:], 10, 31)
		if err != nil {
			return nil, hinted(fmt.Errorf("read the dictionary: %q is not a level", path[at+1:]), "it is a number, as in -x FILE@1")
		}
		path, level = path[:at], int(n)
	}
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		d, err := mutate.ReadTokens(os.DirFS(path))
		if err != nil {
			return nil, hinted(fmt.Errorf("read the dictionary %s: %w", path, err), "-x takes a directory whose files are one token each")
		}
		return d, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, hinted(fmt.Errorf("read the dictionary: %w", err), "-x takes a file of lines like name=\"token\"")
	}
	d, err := mutate.ReadDictionary(bytes.NewReader(b), level)
	if err != nil {
		return nil, hinted(fmt.Errorf("%s: %w", path, err), "docs/mutators.md has what a dictionary looks like")
	}
	return d, nil
}

func readGrammar(path string) (*mutate.Grammar, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, hinted(fmt.Errorf("read the grammar: %w", err), "docs/mutators.md has an example of one")
	}
	g, err := mutate.ReadGrammar(bytes.NewReader(b))
	if err != nil {
		return nil, hinted(fmt.Errorf("%s: %w", path, err), "docs/mutators.md has an example of a grammar")
	}
	return g, nil
}

// mutators is what fuzz.Options wants: nil where the user has named none.
func (in *inputs) mutators(ctx context.Context) func(worker int) (fuzz.Mutator, error) {
	if in.grammar == nil && in.mutator == "" {
		return nil
	}
	return func(int) (fuzz.Mutator, error) {
		var all either
		if in.grammar != nil {
			all = append(all, in.grammar.Deriver())
		}
		if in.mutator != "" {
			m, err := external.Start(ctx, external.Options{Command: in.mutator})
			if err != nil {
				return nil, err
			}
			all = append(all, m)
		}
		return all, nil
	}
}

// either is several mutators, of which one is drawn each time.
type either []fuzz.Mutator

func (e either) Mutate(r *rand.Rand, data, other []byte, limit int) ([]byte, error) {
	return e[r.IntN(len(e))].Mutate(r, data, other, limit)
}

func (e either) Close() error {
	var err error
	for _, m := range e {
		err = errors.Join(err, m.Close())
	}
	return err
}
