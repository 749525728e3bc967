package fuzz

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// buggy is a target with three bugs, of which a word in a known place tells.
type buggy struct{ synthetic }

func (x *buggy) Run(ctx context.Context, s *Scenario) (*Result, error) {
	r, err := x.synthetic.Run(ctx, s)
	if err != nil {
		return nil, err
	}
	r.Signal = 0
	switch {
	case slices.Contains(s.Argv, "--listen"):
		r.Signal, r.Place = 6, Place{Module: "libc.so.6", Offset: 0x8000, Caller: 0x120}
	case slices.Contains(s.Argv, "-a"), slices.Contains(s.Argv, "-b"):
		r.Signal, r.Place = 11, Place{Module: "target", Offset: 0x1000}
	case slices.Contains(s.Argv, "serve"):
		r.Signal, r.Place = 6, Place{Module: "libc.so.6", Offset: 0x8000, Caller: 0x340}
	case slices.Contains(s.Argv, "stop"):
		r.Signal = 9
	case slices.Contains(s.Argv, "-f"): // as cat ends whose reader has gone
		r.Signal = 13
	}
	return r, nil
}

func TestCrashesInOnePlaceAreOneKind(t *testing.T) {
	o := options(t, synthetic{})
	o.Execs = 3000
	o.NewExecutor = func(int) (Executor, error) { return &buggy{synthetic{t: t}}, nil }
	var err error
	if o.State, err = OpenState(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	out := run(t, o)
	var hows []string
	failing := 0
	for _, f := range out.Crashes {
		if len(f.Scenario.World.Faults) > 0 {
			failing++
			continue
		}
		if f.Place != (Place{}) {
			hows = append(hows, f.How())
		} else if f.Signal != 9 {
			t.Errorf("%s: of no place", f.How())
		}
		if f.Count == 0 || f.Scenario.ID() != f.ID {
			t.Errorf("%+v", f)
		}
	}
	if failing == 0 {
		t.Error("no crash is told apart by the calls that failed")
	}
	slices.Sort(hows)
	want := []string{
		"aborted at libc.so.6+0x8000, in a call from 0x120 of the program's code",
		"aborted at libc.so.6+0x8000, in a call from 0x340 of the program's code",
		"segmentation fault at target+0x1000",
	}
	if diff := cmp.Diff(want, hows); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	notes, err := os.ReadFile(filepath.Join(o.State.Dir(), "crashes", notesName))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range out.Crashes {
		for _, text := range []string{f.ID + ": " + f.How(), f.Scenario.Command(o.State.Prefix(Crashes, f.ID))} {
			if !strings.Contains(string(notes), text) {
				t.Errorf("the notes lack %q:\n%s", text, notes)
			}
		}
	}
	if _, err := o.State.List(Crashes); err != nil {
		t.Errorf("beside the notes: %v", err)
	}

	// The next session knows them as what they were, and without any there is no note.
	again := o
	again.Execs = 1
	next := run(t, again)
	// Its one run may be a crash.
	if diff := cmp.Diff(out.Crashes, next.Crashes, cmpopts.IgnoreFields(Failure{}, "Count"), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("after the next session: want (-), got (+):\n%s", diff)
	}
	for i := range min(len(out.Crashes), len(next.Crashes)) {
		if before, after := out.Crashes[i].Count, next.Crashes[i].Count; after < before || after > before+1 {
			t.Errorf("%d runs of %s, then %d after one more run", before, out.Crashes[i].How(), after)
		}
	}
	if err := o.State.note(Crashes, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(o.State.Dir(), "crashes", notesName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("notes without a crash: %v", err)
	}
}

func TestAFailureOfUnknownPlaceIsToldByItsWords(t *testing.T) {
	for want, f := range map[string]Failure{
		"no end in time":                 {},
		"no end in time with --sleep -a": {Words: []string{"--sleep", "-a"}},
		"killed with -m":                 {Signal: 9, Words: []string{"-m"}},
		"segmentation fault at ?+0x7f":   {Signal: 11, Place: Place{Offset: 0x7f}, Words: []string{"-a"}},
		"waits for ever at libc.so.6+0x10, in a call from 0x20 of the program's code": {Place: Place{Module: "libc.so.6", Offset: 0x10, Caller: 0x20}},
		"aborted at libc.so.6+0x10, with futex failing with EILSEQ, mmap failing with ENOMEM": {
			Signal: 6, Place: Place{Module: "libc.so.6", Offset: 0x10}, Scenario: Scenario{World: World{Faults: []Fault{fault("futex:EILSEQ"), fault("mmap:ENOMEM")}}},
		},
		"bus error at libz.so.1.2.13+0x0": {Signal: 7, Place: Place{Module: "libz.so.1.2.13"}},
	} {
		if got := f.How(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
