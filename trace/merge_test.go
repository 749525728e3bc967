package trace

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

func merge(t *testing.T, traces ...*Trace) *Trace {
	t.Helper()
	m, err := Merge(traces...)
	if err != nil {
		t.Fatalf("merge: %v", err)
	}
	return m
}

func TestTheOrderOfMergingHasNoEffect(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		a, b, c := randomTrace(r), randomTrace(r), randomTrace(r)
		if diff := cmp.Diff(merge(t, a, b), merge(t, b, a)); diff != "" {
			t.Fatalf("a+b differs from b+a\n%s", diff)
		}
		if diff := cmp.Diff(merge(t, a, b, c), merge(t, c, a, b)); diff != "" {
			t.Fatalf("a, b, c differ from c, a, b\n%s", diff)
		}
		left, right := merge(t, merge(t, a, b), c), merge(t, a, merge(t, b, c))
		if diff := cmp.Diff(left, right); diff != "" {
			t.Fatalf("(a+b)+c differs from a+(b+c)\n%s", diff)
		}
		if err := left.Validate(); err != nil {
			t.Fatalf("the merge of valid traces is not valid: %v", err)
		}
	}
}

func TestMergeAddsCountsAndForgetsNoLoss(t *testing.T) {
	a, b := sample(), sample()
	b.Observations = []Observation{
		{ID: sysno.ID{Arch: sysno.AMD64, NR: 257}, Runs: 7, CleanRuns: 5, Witness: Witness{"w0", "jq"}},
		{ID: sysno.ID{Arch: sysno.AMD64, NR: 0}, Runs: 4, CleanRuns: 0, Witness: Witness{"", "x"}},
	}
	b.Lost = Lost{Tasks: 10, Beyond: 20, Late: 30, Details: 40}
	b.AtLeast = false
	b.Operations = []Operation{{Code: 0, Name: "NOP"}, {Code: 200, Name: "NEW"}}
	b.Kernel = "6.1.0"
	m := merge(t, a, b)
	if m.Runs != 200 || m.CleanRuns != 198 {
		t.Errorf("runs: got %d and %d clean, want 200 and 198", m.Runs, m.CleanRuns)
	}
	if want := (Lost{Tasks: 11, Beyond: 22, Late: 33, Details: 44}); m.Lost != want {
		t.Errorf("lost: got %+v, want %+v", m.Lost, want)
	}
	if !m.AtLeast {
		t.Error("counts became exact that are lower bounds in one of the traces")
	}
	if diff := cmp.Diff([]Operation{{0, "NOP"}, {1, "READV"}, {200, "NEW"}}, m.Operations); diff != "" {
		t.Errorf("operations:\n%s", diff)
	}
	if m.Kernel != "6.1.0, 6.18.44" {
		t.Errorf("kernel: got %q", m.Kernel)
	}
	if len(m.Observations) != 5 {
		t.Fatalf("got %d observations, want 5", len(m.Observations))
	}
	want := Observation{ID: sysno.ID{Arch: sysno.AMD64, NR: 257}, Runs: 107, CleanRuns: 104,
		Sites: a.Observations[0].Sites, MoreSites: true, Witness: Witness{"w0", "jq"}}
	if diff := cmp.Diff(want, m.Observations[2]); diff != "" {
		t.Errorf("openat:\n%s", diff)
	}
	if diff := cmp.Diff(sample(), a); diff != "" {
		t.Errorf("merge changed its argument\n%s", diff)
	}
}

// What is recorded of a syscall in each of two recordings, and what is known of
// both together.
func TestMergeKnowsOnlyWhatAllRecordingsKnow(t *testing.T) {
	many := func(n int) []uint64 {
		values := make([]uint64, n)
		for i := range values {
			values[i] = uint64(i)
		}
		return values
	}
	places := func(from, to uint64) []Site {
		var sites []Site
		for i := from; i < to; i++ {
			sites = append(sites, Site{Offset: i})
		}
		return sites
	}
	type obs = Observation
	cases := []struct {
		name       string
		a, b, want Observation
	}{
		{"phases unite", obs{Phases: PhaseStartup}, obs{Phases: PhaseMain}, obs{Phases: PhaseStartup | PhaseMain}},
		{"an unknown phase may be any", obs{Phases: PhaseStartup}, obs{}, obs{}},
		{"results unite",
			obs{Returns: Returns{Errnos: []uint16{2, 13}}}, obs{Returns: Returns{Success: true, Errnos: []uint16{1, 2}, Refused: true}},
			obs{Returns: Returns{Success: true, Errnos: []uint16{1, 2, 13}, Refused: true}}},
		{"an unknown result may be any", obs{Returns: Returns{Errnos: []uint16{2}}}, obs{}, obs{}},
		{"a refusal stays, and tells nothing of the other results",
			obs{Returns: Returns{Refused: true}}, obs{Returns: Returns{Errnos: []uint16{2}}}, obs{Returns: Returns{Refused: true}}},
		{"values unite",
			obs{Args: []Arg{{Index: 1, Values: []uint64{3, 5}}}}, obs{Args: []Arg{{Index: 1, Values: []uint64{1, 5}}}},
			obs{Args: []Arg{{Index: 1, Values: []uint64{1, 3, 5}}}}},
		{"as many values as are told apart",
			obs{Args: []Arg{{Values: many(MaxValues)}}}, obs{Args: []Arg{{Values: many(1)}}}, obs{Args: []Arg{{Values: many(MaxValues)}}}},
		{"more values than are told apart",
			obs{Args: []Arg{{Values: many(MaxValues)}}}, obs{Args: []Arg{{Values: []uint64{99}}}}, obs{Args: []Arg{{Any: true}}}},
		{"any value and some are any", obs{Args: []Arg{{Any: true}}}, obs{Args: []Arg{{Values: many(1)}}}, obs{Args: []Arg{{Any: true}}}},
		{"an unknown argument may be any", obs{Args: []Arg{{Index: 0, Values: many(1)}, {Index: 2, Values: many(2)}}},
			obs{Args: []Arg{{Index: 2, Values: many(1)}}}, obs{Args: []Arg{{Index: 2, Values: many(2)}}}},
		{"no argument is known of all", obs{Args: []Arg{{Values: many(1)}}}, obs{}, obs{}},
		{"as many sites as are kept", obs{Sites: places(0, 10)}, obs{Sites: places(6, MaxSites)}, obs{Sites: places(0, MaxSites)}},
		{"more sites than are kept", obs{Sites: places(1, MaxSites+1)}, obs{Sites: places(0, 1)}, obs{Sites: places(0, MaxSites), MoreSites: true}},
		{"an unknown site is another", obs{Sites: places(0, 1)}, obs{}, obs{Sites: places(0, 1), MoreSites: true}},
		{"more sites stay more", obs{Sites: places(0, 1), MoreSites: true}, obs{Sites: places(0, 1)}, obs{Sites: places(0, 1), MoreSites: true}},
		{"a site with and without its symbol is one",
			obs{Sites: []Site{{Offset: 1}}}, obs{Sites: []Site{{Offset: 1, Symbol: "f"}}}, obs{Sites: []Site{{Offset: 1, Symbol: "f"}}}},
		{"nothing is known of either", obs{}, obs{}, obs{}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, o := range []*Observation{&c.a, &c.b, &c.want} {
				o.ID = sysno.ID{Arch: sysno.AMD64, NR: 28}
			}
			of := func(o Observation) *Trace {
				tr := sample()
				tr.Observations = []Observation{o}
				return tr
			}
			for _, m := range []*Trace{merge(t, of(c.a), of(c.b)), merge(t, of(c.b), of(c.a))} {
				if diff := cmp.Diff([]Observation{c.want}, m.Observations); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			}
		})
	}
}

func TestARecordingWithoutTheSyscallTakesNothingAway(t *testing.T) {
	silent := sample()
	silent.Observations = nil
	m := merge(t, silent, sample())
	if diff := cmp.Diff(sample().sorted().Observations, m.Observations); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestMergeSharesNothingWithItsArguments(t *testing.T) {
	a, b := sample(), sample()
	b.Observations = b.Observations[1:] // openat is in one of them
	for _, m := range []*Trace{merge(t, a), merge(t, a, b), merge(t, b, a)} {
		for _, o := range m.Observations {
			for i := range o.Returns.Errnos {
				o.Returns.Errnos[i] = 99
			}
			for i := range o.Sites {
				o.Sites[i].Offset = 99
			}
			for i := range o.Args {
				o.Args[i].Index = 99
				for j := range o.Args[i].Values {
					o.Args[i].Values[j] = 99
				}
			}
		}
		m.Operations[0].Code = 99
		m.Target.Libraries[0].Path = "changed"
	}
	if diff := cmp.Diff(sample(), a); diff != "" {
		t.Error(diff)
	}
}

func TestABetterWitnessComesFirst(t *testing.T) {
	order := []Witness{
		{"k2", "jq ."},
		{"k1", "jq -r"},
		{"k1", "jq -s"},
		{"k2", "jq -s"},
		{"k", ""},
		{"", "a"},
		{"", ""},
	}
	for i, a := range order {
		for j, b := range order {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := a.Compare(b); got != want {
				t.Errorf("%+v to %+v: got %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestMergeRefuses(t *testing.T) {
	cases := []struct {
		name  string
		spoil func(a, b *Trace)
		want  error
	}{
		{"another program", func(_, b *Trace) { b.Target.SHA256 = strings.Repeat("b", 64) }, ErrOtherTarget},
		{"a program without a hash", func(_, b *Trace) { b.Target.SHA256 = "" }, ErrOtherTarget},
		{"two paths without a hash", func(a, b *Trace) { a.Target.SHA256, b.Target.SHA256, b.Target.Path = "", "", "/bin/sh" }, ErrOtherTarget},
		{"no word about either program", func(a, b *Trace) {
			a.Target.SHA256, b.Target.SHA256, a.Target.Path, b.Target.Path = "", "", "", ""
		}, ErrNoTarget},
		{"another architecture", func(_, b *Trace) { b.Arch = sysno.ARM64 }, ErrOtherArch},
		{"more than 64 bits", func(_, b *Trace) { b.Lost.Tasks = math.MaxUint64 }, ErrOverflow},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a, b := sample(), sample()
			c.spoil(a, b)
			if _, err := Merge(a, b); !errors.Is(err, c.want) {
				t.Errorf("got error %v, want %v", err, c.want)
			}
		})
	}
	if _, err := Merge(); err == nil {
		t.Error("merged nothing")
	}
	invalid := sample()
	invalid.CleanRuns = 1000
	if _, err := Merge(sample(), invalid); err == nil {
		t.Error("merged a trace that cannot be")
	}
}
