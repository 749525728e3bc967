package static

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/image"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

func lookup(t *testing.T, name string) sysno.ID {
	t.Helper()
	id, ok := sysno.Lookup(sysno.AMD64, name)
	if !ok {
		t.Fatalf("there is no syscall %s", name)
	}
	return id
}

// charted charts testdata/ways.c, its own code by blocks.
func charted(t *testing.T, flags ...string) (string, *Chart) {
	t.Helper()
	path := testenv.Compile(t, "testdata/ways.c", append([]string{"-O2"}, flags...)...)
	r, c, err := AnalyzeAndChart(t.Context(), path, Options{}, func(file string) bool { return filepath.Base(file) == "ways" })
	if err != nil {
		t.Fatal(err)
	}
	if plain := analyzed(t, path, Options{}); len(plain.Reached) != len(r.Reached) {
		t.Errorf("%d syscalls are reached, and %d without a chart", len(r.Reached), len(plain.Reached))
	}
	return path, c
}

func TestTheCluesToACallAreThoseOfTheBranchesBeforeIt(t *testing.T) {
	for _, kind := range []struct {
		name  string
		flags []string
	}{{"dynamic", nil}, {"stripped", []string{"-s"}}, {"fixed", []string{"-no-pie", "-s"}}} {
		t.Run(kind.name, func(t *testing.T) {
			_, c := charted(t, kind.flags...)
			for _, want := range []struct {
				call  string
				clues []Clue
			}{
				{"getsid", []Clue{{Kind: ClueText, Text: "turbo"}, {Kind: ClueVariable, Text: "WAYS_MODE"}}},
				{"getpgid", []Clue{{Kind: ClueSignal, Number: 10}}},
				{"getpriority", []Clue{{Kind: ClueNumber, Number: 0x1122334455667788, Size: 8}}},
				{"getpgrp", []Clue{{Kind: ClueText, Text: "quiet"}, {Kind: ClueText, Text: "normal"}, {Kind: ClueText, Text: "verbose"}}},
				{"times", []Clue{{Kind: ClueText, Text: "loquacious"}}},
				{"membarrier", []Clue{{Kind: ClueErrno, Number: 18}, {Kind: ClueFailure, ID: lookup(t, "rename")}}},
				{"ioprio_get", []Clue{{Kind: ClueText, Text: "excavate"}}},
			} {
				if kind.name == "fixed" && want.call == "ioprio_get" {
					continue // pointers of a file that is not relocated cannot be told from numbers
				}
				way := c.Way(lookup(t, want.call))
				if way == nil || len(way.Blocks) == 0 || way.Blocks[0].Distance > costCall+costBlock+costPointer {
					t.Fatalf("no way to %s", want.call)
				}
				clues := way.Clues()
				for _, clue := range want.clues {
					at := slices.IndexFunc(clues, func(k Clue) bool {
						k.Distance = 0
						return k == clue
					})
					if at < 0 || at > 16 {
						t.Errorf("%s: clue %+v is number %d of %+v", want.call, clue, at, clues)
					}
				}
			}
		})
	}
}

// The engine learns of blocks by the names that breakpoints give them.
func TestTheBlocksOfAWayAreThoseThatBreakpointsLieOn(t *testing.T) {
	path, c := charted(t)
	blocks, err := image.Blocks(path)
	if err != nil {
		t.Fatal(err)
	}
	known := map[uint64]bool{}
	for _, b := range blocks {
		known[b.Offset] = true
	}
	way := c.Way(lookup(t, "getsid"))
	found := 0
	for i, b := range way.Blocks {
		if filepath.Base(b.File) != "ways" {
			t.Errorf("a block of %s", b.File)
		}
		if i > 0 && b.Distance < way.Blocks[i-1].Distance {
			t.Errorf("block %d is nearer than the one before", i)
		}
		if known[b.Offset] {
			found++
		}
	}
	if found < len(way.Blocks)*9/10 {
		t.Errorf("%d of %d blocks are such on which breakpoints lie", found, len(way.Blocks))
	}
}

func TestWhatABranchLooksAtIsSetWhereAnOptionIsRead(t *testing.T) {
	_, c := charted(t)
	way := c.Way(lookup(t, "times")) // behind a variable that main sets
	setters := way.Setters()
	for i, b := range setters {
		if i > 0 && b.Distance < setters[i-1].Distance {
			t.Errorf("setter %d is of a nearer branch than the one before: %+v", i, setters)
		}
	}
	if !slices.ContainsFunc(setters, func(b Block) bool {
		return slices.ContainsFunc(c.clues[c.find(b)], func(k Clue) bool { return k.Text == "loquacious" }) ||
			slices.ContainsFunc(c.preds[c.find(b)], func(e edge) bool {
				return slices.ContainsFunc(c.clues[e.from], func(k Clue) bool { return k.Text == "loquacious" })
			})
	}) {
		t.Errorf("none of %+v is behind the comparison that decides", setters)
	}
}

func TestShortSaysHowFarRunsGot(t *testing.T) {
	_, c := charted(t)
	way := c.Way(lookup(t, "getsid"))
	all := func(limit int) func(string, uint64) bool {
		return func(_ string, offset uint64) bool {
			i := slices.IndexFunc(way.Blocks, func(b Block) bool { return b.Offset == offset })
			return i >= 0 && way.Blocks[i].Distance >= limit
		}
	}
	if got := way.Short(func(string, uint64) bool { return false }); got != "" {
		t.Errorf("nothing was reached: %q, want nothing", got)
	}
	// Main was entered, and not the block that calls hidden().
	callee := way.Blocks[0].Distance
	if got := way.Short(all(callee + costCall + 1)); !strings.HasPrefix(got, "never called ways:hidden, which is called only from ways:main: entered ways:main, but not its block at ways+0x") {
		t.Errorf("got %q", got)
	}
	if got := way.Short(all(callee)); !strings.Contains(got, "ways:hidden") {
		t.Errorf("all was reached: got %q", got)
	}
}

func TestThereIsNoWayToWhatIsNotReached(t *testing.T) {
	_, c := charted(t)
	if way := c.Way(lookup(t, "reboot")); way != nil {
		t.Errorf("a way to reboot: %+v", way.Blocks)
	}
}
