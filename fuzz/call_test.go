package fuzz

import (
	"testing"
	"time"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// What a forced call brings about is no failure of the program, and nothing to start from.
func TestACallThatIsForcedIsNoCrash(t *testing.T) {
	for _, r := range []Result{{Signal: 6, Faulted: true}, {TimedOut: true, Faulted: true}, {Signal: 15, Faulted: true}} {
		for call, want := range map[Call]int{{}: 1, {"abort", OccasionMain}: 0} {
			o := Options{Bases: []Scenario{{Argv: []string{"x"}}}, Now: time.Now}
			c := &coordinator{o: &o, corpus: newCorpus(&o, nil), books: map[sysno.ID]*record{}, crashes: map[string]*Failure{}, hangs: map[string]*Failure{}}
			s := Scenario{Argv: []string{"x"}, Stdin: StdinNull, World: World{Call: call}}
			r.Seen = []sysno.ID{id(1)}
			fresh, keep := c.report(&job{s: s, phase: PhaseOptions}, &r)
			if got := len(c.crashes) + len(c.hangs); got != want {
				t.Errorf("%v, %+v: %d crashes and hangs, want %d", call, r, got, want)
			}
			if len(fresh) != 1 || len(keep) == 0 || keep[0] != Queue {
				t.Errorf("%v, %+v: new are %v, kept in %v", call, r, fresh, keep)
			}
			if got := len(c.corpus.entries); got != want {
				t.Errorf("%v, %+v: %d entries to start from, want %d", call, r, got, want)
			}
			if rec := c.books[id(1)]; rec == nil || rec.clean != 0 {
				t.Errorf("%v, %+v: booked as %+v", call, r, rec)
			}
		}
	}
}

// The cheapest scenario that shows a syscall is its entry, whoever has shown it first.
func TestWhatACallShowedCanBeShownByOthers(t *testing.T) {
	o := Options{Bases: []Scenario{{Argv: []string{"x"}}}}
	c := newCorpus(&o, nil)
	forced := Scenario{Argv: []string{"x"}, Stdin: StdinNull, World: World{Call: Call{"abort", OccasionMain}}}
	if c.add(forced, false, []sysno.ID{id(1)}, nil) {
		t.Error("a scenario with a call is an entry")
	}
	if own := (Scenario{Argv: []string{"x", "-a"}, Stdin: StdinNull}); !c.add(own, false, []sysno.ID{id(1)}, nil) || c.entries[0].owned[kindSyscall] != 1 {
		t.Errorf("entries: %+v", c.entries)
	}
}

func TestMinimizingPrefersNoCall(t *testing.T) {
	s := Scenario{Argv: []string{"x"}, Stdin: StdinNull, World: World{Call: Call{"abort", OccasionWrite}}}
	for _, tt := range []struct {
		shows func(*Scenario) bool
		want  Call
	}{
		{func(*Scenario) bool { return true }, Call{}},
		{func(s *Scenario) bool { return s.World.Call != (Call{}) }, Call{"abort", OccasionMain}},
		{func(s *Scenario) bool { return s.World.Call.At == OccasionWrite }, Call{"abort", OccasionWrite}},
	} {
		if got := minimize(s, 1, 100, tt.shows); got.World.Call != tt.want {
			t.Errorf("got %v, want %v", got.World.Call, tt.want)
		}
	}
}

func FuzzParseCall(f *testing.F) {
	for _, s := range []string{"abort@main", "__assert_fail@write", "@main", "a@b@main", "abort@never", "ab ort@main", "abort"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := parseCall(s); err == nil && c.String() != s {
			t.Errorf("%q is read as %q", s, c)
		}
	})
}
