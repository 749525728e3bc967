package fuzz

import "math"

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

// chance is the upper bound, at 95 %, on the chance that one more draw shows a
// new syscall; it is what the stop rule compares. It is the larger of two:
//
//   - UpperBound over all draws, which answers for syscalls rarely seen;
//   - 3.0/quiet, where quiet is the number of draws since the last new syscall.
//
// The second is what makes the statement hold for the run at hand and not only
// on average: let M be the chance that the next draw shows something new. M falls
// only when something new is shown. M > 3/quiet means that for some set of known
// syscalls, with missing chance m, the run was in that set 3/m draws ago and has
// drawn nothing new since. Along one run that can be true of one set only, since
// a larger set has a smaller m and so an earlier date; and for each the chance
// of the silence is at most (1-m)^(3/m) < 5 %. This needs draws from one
// distribution. The engine shifts its own on new combinations and on timeouts too,
// and checks the bound again and again: for a session it is an approximation.
func chance(singletons, draws, quiet uint64) float64 {
	return max(UpperBound(singletons, draws, confidenceLevel), UpperBound(0, quiet, confidenceLevel))
}
