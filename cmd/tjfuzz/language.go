package main

import (
	"context"
	"debug/elf"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/corpora"
	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/coverage"
	"github.com/tjfuzz/tjfuzz/fuzz/mine"
	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/internal/image"
)

// language are scripts in the language that the target interprets, none if it does not seem to. It
// gets them in a file that an operand names, or else on standard input, unless it has hung there before. How many runs that takes is counted,
// for another session with this seed is to have the same; only where the session is limited in time, that is, too. What hangs costs a time limit, so there is an end to that, too. Without a cage nothing is asked, for what is called there may do anything.
func (s *session) language(ctx context.Context) ([]string, error) {
	if s.cage == nil {
		return nil, nil
	}
	words, imports, err := vocabulary(s.text)
	if err != nil || len(words) == 0 {
		return nil, err
	}
	e, _, err := s.executor(nil, 0)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	piped, named := s.base(), s.base()
	piped.Stdin = fuzz.StdinPipe
	named.Stdin = fuzz.StdinNull
	if !slices.Contains(named.Argv, mutate.Input) {
		named.Argv = append(slices.Clone(named.Argv), mutate.Input)
	}
	ways := []fuzz.Scenario{named, piped}
	if s.waits {
		ways = ways[:1]
	}
	hung := 0
	for _, sc := range ways {
		scripts, err := mine.Language(func(script string) ([]byte, error) {
			if hung == patience || s.late() {
				return nil, mine.ErrNoMore
			}
			sc.Input = []byte(script)
			r, err := e.Run(ctx, &sc)
			if err != nil {
				return nil, runError(err, s.args[0])
			}
			if r.TimedOut {
				hung++
				return nil, nil
			}
			return slices.Clone(e.Output()), nil
		}, words, imports, fixtureFile, fixtureDir, "new")
		if err != nil || len(scripts) > 0 {
			return scripts, err
		}
	}
	return nil, nil
}

// callSeeds are seeds for a target that interprets: in its language, or guessed.
func (s *session) callSeeds(ctx context.Context) ([]corpora.Seed, error) {
	if len(s.doors) > 0 {
		return nil, nil // a service, which ends only when it is told to
	}
	calls, err := s.language(ctx)
	if err != nil {
		return nil, err
	}
	if len(calls) == 0 {
		strs, _, err := s.strings()
		if err != nil {
			return nil, err
		}
		calls = mine.Calls(strs, fixtureFile)
	}
	return commandSeeds("call", calls, nil), nil
}

// strings are those in the program's text, be it a script or, as compiled says, an ELF file.
func (s *session) strings() (all []string, compiled bool, err error) {
	f, err := os.Open(s.text)
	if err != nil {
		return nil, false, fmt.Errorf("read the program: %w", err)
	}
	defer f.Close()
	if all, err = mine.Strings(f); err != nil {
		return nil, false, fmt.Errorf("read the program: %w", err)
	}
	magic := make([]byte, len(elf.ELFMAG))
	_, err = f.ReadAt(magic, 0)
	return all, err == nil && string(magic) == elf.ELFMAG, nil
}

// vocabulary are the strings of a program and of the libraries that are its own, and the names of the functions
// that these take from others.
func vocabulary(program string) (words, imports []string, err error) {
	files, named := []string{program}, []string(nil)
	if id, err := image.Identify(program); err == nil {
		own, err := coverage.Own(program)
		if err != nil {
			return nil, nil, nil // no program but a script, whose interpreter is not what is learned
		}
		libs, _, err := id.Libraries(os.Getenv("LD_LIBRARY_PATH"))
		if err != nil {
			return nil, nil, err
		}
		for _, l := range libs {
			if own(l.Path) && l.Path != id.Path {
				files = append(files, l.Path)
			}
		}
	}
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			return nil, nil, fmt.Errorf("read the program: %w", err)
		}
		defer f.Close()
		strs, err := mine.Strings(f)
		if err != nil {
			return nil, nil, fmt.Errorf("read the program: %w", err)
		}
		table, err := mine.Named(f)
		if err != nil {
			return nil, nil, fmt.Errorf("read the program: %w", err)
		}
		named, words = append(named, table...), append(words, strs...)
		if e, err := elf.NewFile(f); err == nil {
			symbols, err := e.ImportedSymbols()
			if err != nil {
				continue
			}
			for _, sym := range symbols {
				if !strings.HasPrefix(sym.Library, "libm.") { // which asks nothing of the system
					imports = append(imports, sym.Name)
				}
			}
		}
	}
	return slices.Concat(named, words), imports, nil
}
