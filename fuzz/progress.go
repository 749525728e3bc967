package fuzz

import (
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// Progress is how far a run is, for those who watch it.
type Progress struct {
	Stats
	Session  time.Duration // what this session has taken; Stats.Elapsed is what all have
	Observed int           // of Stats.Syscalls, those that a clean run has shown
	Found    []Shown       // for each syscall, in the order of the runs
	Varied   []Varied      // by dimension
}

// Shown is a syscall with the smallest scenario that is known to show it so far.
type Shown struct {
	Found
	Scenario Scenario // not to be changed
}

// Firsts are the runs that were first to show the known syscalls, as in Outcome.
func (p *Progress) Firsts() []Found {
	var out []Found
	for _, s := range p.Found {
		out = append(out, s.Found)
	}
	return out
}

// progress is the state of everything that is told now.
func (c *coordinator) progress() Progress {
	p := Progress{Stats: c.snapshot(), Session: c.o.Now().Sub(c.start)}
	c.mu.Lock()
	defer c.mu.Unlock()
	p.Varied = c.varied()
	for _, f := range c.firsts() {
		rec := c.books[f.ID]
		if rec.clean > 0 {
			p.Observed++
		}
		p.Found = append(p.Found, Shown{f, rec.witness})
	}
	return p
}

// Brief is the scenario for people to look at: its changes of the environment, its words, and
// what is special about it. It is one line, and no command to run: where the program and its input
// lie is left out, and so are files that no word names, of which it may have some to no purpose as yet.
func (s *Scenario) Brief() string {
	words := environment(s.Env)
	words = append(words, Quote(filepath.Base(s.Argv[0])))
	for _, w := range s.Argv[1:] {
		words = append(words, Quote(strings.ReplaceAll(w, mutate.Input, "INPUT")))
	}
	switch s.Stdin {
	case StdinPipe, StdinFile:
		words = append(words, "< INPUT")
	case StdinDirectory:
		words = append(words, "< .")
	case StdinClosed:
		words = append(words, "<&-")
	}
	brief := strings.Join(words, " ") + redirect("", s.World.Stdout) + redirect("2", s.World.Stderr)
	named := *s
	named.Files = slices.DeleteFunc(slices.Clone(s.Files), func(f File) bool {
		return !slices.ContainsFunc(s.Argv, func(w string) bool { return strings.Contains(w, f.Name) })
	})
	if notes := named.notes(); len(notes) > 0 {
		brief += " # with " + strings.Join(notes, ", ")
	}
	return brief
}
