package fuzz

import (
	"cmp"
	"math"
	"slices"
)

// confidenceLevel is the level of every bound that the engine states.
const confidenceLevel = 0.95

// UpperBound is an upper confidence limit on the chance that one more run shows
// a species that none of runs draws has shown, when singletons species were
// seen in exactly one of them. It is the Good-Turing estimate singletons/runs
// with its numerator replaced by the exact upper Poisson limit at level conf (0
// < conf < 1): 3.0/runs at 95 % for no singletons. The number of singletons is a
// sum of rare, negatively associated events, for which Poisson is the
// pessimistic case. It bounds the expected chance over repetitions of the whole
// experiment; see chance for what the engine adds. Sources:
// Good, Biometrika 40 (1953); Garwood, Biometrika 28 (1936).
func UpperBound(singletons, runs uint64, conf float64) float64 {
	if runs == 0 {
		return 1
	}
	return min(1, poissonUpper(singletons, conf)/float64(runs))
}

// poissonUpper is the mean m at which k or fewer events have the chance 1-conf.
func poissonUpper(k uint64, conf float64) float64 {
	if k == 0 {
		return -math.Log(1 - conf)
	}
	low, high := float64(k), 2*float64(k)+32
	for poissonCDF(k, high) > 1-conf {
		high *= 2
	}
	for range 60 { // halves a double's worth of digits away
		if mid := (low + high) / 2; poissonCDF(k, mid) > 1-conf {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

// poissonCDF is the chance of k or fewer events, for mean >= k. It sums from the
// largest term down, so that nothing underflows and few terms are needed.
func poissonCDF(k uint64, mean float64) float64 {
	gamma, _ := math.Lgamma(float64(k) + 1)
	term := math.Exp(float64(k)*math.Log(mean) - mean - gamma)
	sum := term
	for i := float64(k); i > 0 && term > sum*1e-16; i-- {
		term *= i / mean
		sum += term
	}
	return sum
}

// stratum is a kind of draw. Draws of one kind are thought to be alike at all times, while
// the parts of the kinds in all draws change as the engine learns: the dimensions that a
// draw changes get shares by what they gain, and a new entry takes its part from all others.
// The zero value is valid: it indexes arrays. A draw that starts from a young entry, which
// may show what nothing else does, is of a kind of its own; any other of the kind of the
// dimension that was chosen first.
type stratum uint8

const (
	youngEntry = stratum(dimensions)
	strata     = youngEntry + 1
)

// exposure is how many draws of each kind were made.
type exposure [strata]uint64

func (e *exposure) total() (sum uint64) {
	for _, n := range e {
		sum += n
	}
	return sum
}

// chance is the upper bound, at 95 %, on the chance that one more draw shows a
// new syscall; it is what the stop rule compares. drawn are all draws, quiet those
// since the last new syscall, and parts, which sum to 1, says of what kind the next one
// is. It is the larger of two:
//
//   - the Good-Turing bound over all draws, which answers for syscalls rarely seen;
//   - that with no singletons over the quiet draws, 3.0/quiet.
//
// The second is what makes the statement hold for the run at hand and not only
// on average: let M be the chance that the next draw shows something new. M falls
// only when something new is shown. M > 3/quiet means that for some set of known
// syscalls, with missing chance m, the run was in that set 3/m draws ago and has
// drawn nothing new since. Along one run that can be true of one set only, since
// a larger set has a smaller m and so an earlier date; and for each the chance
// of the silence is at most (1-m)^(3/m) < 5 %.
//
// This needs draws from one distribution, and there is none. So both are bounds not on
// one chance but on the sum over kinds of the draws that were made times the chance
// that such a draw shows something new (see worst), which is what the counts tell of
// however the kinds were mixed: each draw's kind is decided before its outcome. What
// remains an assumption is that draws of a kind are alike, young entries like earlier young
// ones; TestTheStatedChanceHolds measures what that is worth.
func chance(singletons uint64, drawn, quiet *exposure, parts *[strata]float64) float64 {
	return max(
		worst(poissonUpper(singletons, confidenceLevel), drawn, parts),
		worst(poissonUpper(0, confidenceLevel), quiet, parts))
}

// worst is the largest chance that the next draw shows something new, given that the
// draws made of each kind, times the chance that one shows something new, sum to no
// more than events. Where the kinds are mixed as they were it is about events/draws; a
// kind of which the draws had less than is coming makes it larger. It is a linear
// programme: the events are given to the kinds in the order of what each is worth.
func worst(events float64, made *exposure, parts *[strata]float64) float64 {
	var order []stratum
	sum := 0.0
	for k := range strata {
		if made[k] > 0 {
			order = append(order, k)
		} else {
			sum += parts[k] // nothing is known of it
		}
	}
	slices.SortStableFunc(order, func(a, b stratum) int {
		return cmp.Compare(parts[b]*float64(made[a]), parts[a]*float64(made[b]))
	})
	for _, k := range order {
		m := min(1, events/float64(made[k]))
		sum += parts[k] * m
		events -= m * float64(made[k])
	}
	return min(1, sum)
}
