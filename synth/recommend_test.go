package synth

import (
	"slices"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/trace"
)

func TestWhatIsRecommendedFollowsFromConfidenceAndGap(t *testing.T) {
	for _, c := range []struct {
		name   string
		chance float64
		gaps   []string
		all    bool // the runs showed all
		want   string
		says   []string
	}{
		{"settled", 0.0005, nil, false, "deny", []string{"settled, with a chance below 0.05 %", "of 12 calls that its code can reach no run showed 2, 2 of them dangerous", "is killed then", "dangerous and not seen: ptrace socket"}},
		{"settled, with gaps", 0.0005, []string{"a library"}, false, "deny", []string{"nothing is killed then, for the analysis has gaps"}},
		{"not settled", 0.02, nil, false, "log", []string{"have not settled: one more shows another call with a chance of up to 2 %"}},
		{"begun", 0.499, nil, false, "log", []string{"with a chance of up to 50 %;"}},
		{"hardly begun", 0.5, nil, false, "log", []string{"not known yet"}},
		{"without random runs", 1, nil, false, "log", []string{"not known yet"}},
		{"all seen", 1, nil, true, "deny", []string{"showed all that its code can reach"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr, r := sample(t), reachOf(t, c.gaps...)
			if c.all {
				r.Reached = slices.DeleteFunc(r.Reached, func(x trace.Reached) bool {
					return !slices.ContainsFunc(tr.Observations, func(o trace.Observation) bool { return o.ID == x.ID })
				})
			}
			got := Recommend(tr, r, c.chance)
			if got.Unobserved != c.want {
				t.Errorf("recommended is %s, want %s", got.Unobserved, c.want)
			}
			for _, part := range c.says {
				if text := got.String(); !strings.Contains(text, part) {
					t.Errorf("%q is not in:\n%s", part, text)
				}
			}
		})
	}
}
