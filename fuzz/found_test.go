package fuzz

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// spy is told of every scenario that is run.
type spy struct {
	synthetic
	see func(*Scenario)
}

func (x *spy) Run(ctx context.Context, s *Scenario) (*Result, error) {
	x.see(s)
	return x.synthetic.Run(ctx, s)
}

// taken reports whether part is whole with some bytes removed, as minimization does.
func taken(part, whole []byte) bool {
	for _, b := range part {
		i := bytes.IndexByte(whole, b)
		if i < 0 {
			return false
		}
		whole = whole[i+1:]
	}
	return true
}

func TestOnlyVariesWhatItNames(t *testing.T) {
	changed := map[string]func(*Options, *Scenario) bool{
		"bytes": func(o *Options, s *Scenario) bool {
			return !slices.ContainsFunc(o.Seeds, func(seed Seed) bool { return taken(s.Input, seed.Data) })
		},
		"argv": func(_ *Options, s *Scenario) bool {
			return slices.ContainsFunc(s.Argv[1:], func(w string) bool {
				return w != mutate.Input && !slices.Contains(extraNames[:], w)
			})
		},
		"env":   func(_ *Options, s *Scenario) bool { return len(s.Env) > 0 },
		"files": func(_ *Options, s *Scenario) bool { return len(s.Files) > 0 },
	}
	for name := range changed {
		o := options(t, synthetic{})
		o.Execs, o.Only = 2000, []string{name}
		varied := map[string]bool{}
		o.NewExecutor = func(int) (Executor, error) {
			return &spy{synthetic{t: t}, func(s *Scenario) {
				for part, differs := range changed {
					varied[part] = varied[part] || differs(&o, s)
				}
			}}, nil
		}
		out := run(t, o)
		for part := range changed {
			if varied[part] != (part == name) {
				t.Errorf("only %s: that %s was varied is %v", name, part, varied[part])
			}
		}
		for _, f := range out.Found {
			if f.Phase == PhaseExplore && !slices.Equal(f.Varied, []string{name}) {
				t.Errorf("only %s: %v was found by varying %q", name, f.ID, f.Varied)
			}
		}
	}
}

func TestFoundNamesTheFirstRunOfEachObservation(t *testing.T) {
	o := options(t, synthetic{})
	o.Execs = 3000
	out := run(t, o)
	if len(out.Found) != len(out.Observations) {
		t.Fatalf("%d found, %d observed", len(out.Found), len(out.Observations))
	}
	if f := out.Found[0]; f.ID != id(0) || f.Run != 1 || f.Phase != PhaseBase || f.Varied != nil {
		t.Errorf("first of all: %+v", f)
	}
	draws := 0
	for i, f := range out.Found {
		if i > 0 && f.Run < out.Found[i-1].Run {
			t.Errorf("run %d after run %d", f.Run, out.Found[i-1].Run)
		}
		if f.Phase == PhaseExplore {
			draws++
		}
		if (f.Phase == PhaseExplore) != (len(f.Varied) > 0) {
			t.Errorf("%v in phase %v by varying %q", f.ID, f.Phase, f.Varied)
		}
	}
	if draws == 0 {
		t.Error("draws found nothing, so nothing was tested")
	}
}

func TestOnlyRefusesWhatIsNotVaried(t *testing.T) {
	o := options(t, synthetic{})
	o.Only = []string{"argv", "weather"}
	if _, err := Run(t.Context(), o); err == nil {
		t.Error("accepted")
	}
}

// The numbers by dimension are those of the syscalls that they sum up, and no dimension is
// surer than all together.
func TestEachDimensionSaysWhatItHasFoundAndWhatToExpectOfIt(t *testing.T) {
	o := options(t, synthetic{})
	o.Execs, o.Only = 4000, []string{"bytes", "argv", "env"}
	out := run(t, o)
	var names []string
	least, all := 1.0, uint64(0)
	for _, v := range out.Varied {
		names = append(names, v.Dimension)
		found := 0
		for _, f := range out.Found {
			if slices.Contains(f.Varied, v.Dimension) {
				found++
			}
		}
		if v.Found != found {
			t.Errorf("%s: %d found, want %d", v.Dimension, v.Found, found)
		}
		least, all = min(least, v.Chance), all+v.Draws
	}
	if !slices.Equal(names, o.Only) {
		t.Errorf("got %q, want %q", names, o.Only)
	}
	if all == 0 || all > out.Stats.Draws || least < UpperBound(0, out.Stats.Draws, 0.95) {
		t.Errorf("%d of %d draws, the least chance is %v: %+v", all, out.Stats.Draws, least, out.Varied)
	}
}
