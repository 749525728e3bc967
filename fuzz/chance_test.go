package fuzz

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestUpperBoundAgreesWithTheTables(t *testing.T) {
	// Garwood's one-sided 95 % upper limits for a Poisson mean.
	for k, want := range map[uint64]float64{0: 2.996, 1: 4.744, 2: 6.296, 3: 7.754, 10: 16.962, 30: 40.691, 100: 118.079} {
		if got := UpperBound(k, 1000, 0.95) * 1000; math.Abs(got-want) > 0.001 {
			t.Errorf("k=%d: got %.4f, want %.3f", k, got, want)
		}
	}
	if got := UpperBound(0, 0, 0.95); got != 1 {
		t.Errorf("without runs: got %v, want 1", got)
	}
	if got := UpperBound(5, 3, 0.95); got != 1 {
		t.Errorf("more singletons than runs: got %v, want 1", got)
	}
	if got := UpperBound(100_000, 1_000_000_000, 0.95) * 1e9; math.Abs(got-100_521) > 5 {
		t.Errorf("k=100000: got %.1f, want 100521", got)
	}
}

// census is what a series of draws from independent species leaves behind.
type census struct {
	singletons, quiet uint64
	missing           float64 // the true chance that the next draw shows a species for the first time
	expected          float64 // the mean of missing over all series
}

func draw(r *rand.Rand, species []float64, draws uint64) census {
	c := census{quiet: draws}
	wait := func(p float64) uint64 { // geometric: draws until the species shows
		return 1 + uint64(math.Log1p(-r.Float64())/math.Log1p(-p))
	}
	none := 1.0
	for _, p := range species {
		c.expected += p * math.Pow(1-p, float64(draws))
		first := wait(p)
		switch {
		case first > draws:
			none *= 1 - p
		case first+wait(p) > draws:
			c.singletons++
			fallthrough
		default:
			c.quiet = min(c.quiet, draws-first)
		}
	}
	c.missing = 1 - none
	return c
}

func TestTheBoundsHoldInAtLeast95PercentOfTrials(t *testing.T) {
	const trials, draws = 2000, 10_000
	repeat := func(n int, p float64) []float64 {
		out := make([]float64, n)
		for i := range out {
			out[i] = p
		}
		return out
	}
	var zipf, mixed []float64
	for i := range 300 {
		zipf = append(zipf, 0.5/math.Pow(float64(i+1), 1.7))
		mixed = append(mixed, math.Exp(-float64(i)/20))
	}
	cases := []struct {
		name    string
		species []float64
	}{
		{"one species at the edge", repeat(1, 3.0/draws)},
		{"one rare species", repeat(1, 0.5/draws)},
		{"few alike", repeat(20, 2.0/draws)},
		{"many alike, mostly seen", repeat(55, 4.0/draws)}, // where a bound on the average alone fails
		{"many alike, mostly unseen", repeat(100, 0.3/draws)},
		{"zipf", zipf},
		{"exponential", mixed},
	}
	r := rand.New(rand.NewPCG(1, 2))
	// What chance scatters at 95 % in so many trials: three standard deviations.
	slack := 3 * math.Sqrt(0.95*0.05/trials)
	// Of draws of one kind alone.
	chance := func(singletons, draws, quiet uint64) float64 {
		return chance(singletons, &exposure{draws}, &exposure{quiet}, &[strata]float64{1})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			thisRun, average, silent := 0, 0, 0
			for range trials {
				got := draw(r, c.species, draws)
				if got.missing <= chance(got.singletons, draws, got.quiet) {
					thisRun++
				}
				if got.expected <= UpperBound(got.singletons, draws, 0.95) {
					average++
				}
				if chance(got.singletons, draws, got.quiet) == 1 {
					silent++
				}
			}
			for what, held := range map[string]int{"chance, for the series at hand": thisRun, "UpperBound, for the mean of all series": average} {
				if rate := float64(held) / trials; rate < 0.95-slack {
					t.Errorf("%s: held in %.1f %% of %d trials", what, 100*rate, trials)
				}
			}
			if silent > trials/10 {
				t.Errorf("said nothing (1) in %d of %d trials", silent, trials)
			}
		})
	}
}
