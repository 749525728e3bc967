package synth

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// Recommendation is what had best happen to the calls that a program can reach by its code and no
// run showed, and why.
type Recommendation struct {
	Unobserved string     // "deny" or "log"
	Why        string     // a sentence fragment
	Reached    int        // calls that the code of the program, or of its libraries, can make
	Unseen     []sysno.ID // those of them that no run showed, sorted
	Dangerous  []string   // names of those of them that need trust of their own (RisksOf), sorted
	Complete   bool       // whether the analysis has no gaps, so that what cannot be reached is killed
}

// settled is the chance that one more run shows a new call from which on runs count as done.
const settled = 0.001

// Recommend weighs how far the runs went against how much they left. chance is the bound to the
// chance that one more run shows a new call, 1 where none is known.
//
// What was not seen is denied where the runs have settled, for then it belongs to options and
// errors that the runs were not about; and only then: before, the program may need it next.
func Recommend(t *trace.Trace, r *trace.Reach, chance float64) Recommendation {
	seen := map[sysno.ID]bool{}
	for _, o := range t.Observations {
		seen[o.ID] = true
	}
	rec := Recommendation{Complete: r.Complete()}
	for _, x := range r.Reached {
		name, named := x.ID.Name()
		if !named || len(x.Path) == 0 {
			continue
		}
		rec.Reached++
		if seen[x.ID] {
			continue
		}
		rec.Unseen = append(rec.Unseen, x.ID)
		if Dangerous(name) {
			rec.Dangerous = append(rec.Dangerous, name)
		}
	}
	slices.Sort(rec.Dangerous)
	left := fmt.Sprintf("of %d calls that its code can reach no run showed %d", rec.Reached, len(rec.Unseen))
	if n := len(rec.Dangerous); n > 0 {
		left += fmt.Sprintf(", %d of them dangerous", n)
	}
	switch {
	case len(rec.Unseen) == 0:
		rec.Unobserved, rec.Why = "deny", "the runs showed all that its code can reach"
	case chance <= settled:
		rec.Unobserved = "deny"
		rec.Why = fmt.Sprintf("the runs have settled, with a chance below %s that one more shows another call; %s", Percent(chance), left)
	case Telling(chance):
		rec.Unobserved = "log"
		rec.Why = fmt.Sprintf("the runs have not settled: one more shows another call with a chance of up to %s; %s", Percent(chance), left)
	default:
		rec.Unobserved, rec.Why = "log", "how likely new calls are is not known yet; "+left
	}
	return rec
}

// Telling says whether a bound to a chance is worth telling. One of a half or more says only that there were
// next to no runs since the last one that showed something.
func Telling(chance float64) bool { return chance < 0.5 }

// Percent is a chance in words: "12 %", "0.05 %".
func Percent(chance float64) string {
	if chance >= 0.1 {
		return fmt.Sprintf("%.0f %%", 100*chance)
	}
	return fmt.Sprintf("%.2g %%", 100*chance)
}

// String is the recommendation as it is told to people.
func (r Recommendation) String() string {
	then := "what it cannot reach is killed then"
	if !r.Complete {
		then = "nothing is killed then, for the analysis has gaps"
	}
	words := []string{fmt.Sprintf("recommended: --unobserved %s, because %s; %s", r.Unobserved, r.Why, then)}
	if len(r.Dangerous) > 0 {
		words = append(words, "dangerous and not seen: "+strings.Join(r.Dangerous, " "))
	}
	return strings.Join(words, "\n")
}
