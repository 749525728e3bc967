//go:build cgo && amd64

package filter

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Check leaves out numbers by this.
func TestBetweenWhatAFilterComparesNumbersWithItDecidesTheSame(t *testing.T) {
	const each, seed = 20, 1
	random := rand.New(rand.NewPCG(seed, 0))
	compare := 0
	for _, c := range policies(t) {
		whole, err := Compile(c.policy)
		if err != nil {
			t.Fatal(err)
		}
		for n := range each {
			program := slices.Clone(whole)
			if n > 0 {
				pc := random.IntN(len(program))
				all := mutants(program[pc])
				program[pc] = all[random.IntN(len(all))]
			}
			if program.Validate() != nil {
				continue
			}
			constants, only := program.compared(offNR / 4)
			if !only {
				continue
			}
			compare++
			tried := withNeighbours([]uint32{0}, constants)
			known := program.constants()
			for range 500 {
				var w words
				for i := range w {
					w[i] = random.Uint32() >> random.IntN(32)
					if ks := known[i]; len(ks) > 0 && random.IntN(8) > 0 {
						w[i] = ks[random.IntN(len(ks))] + random.Uint32N(3) - 1
					}
				}
				at := w
				i, found := slices.BinarySearch(tried, w[offNR/4])
				if !found {
					i--
				}
				at[offNR/4] = tried[i]
				got, _ := program.run(&w)
				if want, _ := program.run(&at); got != want {
					t.Fatalf("%s: %#x is decided %#x, and %#x, with no constant between them, %#x\n%v", c.name, w, got, at, want, program)
				}
			}
		}
	}
	if compare < each {
		t.Errorf("only %d filters do nothing but compare numbers: the test shows little", compare)
	}
}

// Each takes 200 for another call, and has no constant near it that a number is compared with.
func TestCheckTriesAllNumbersWhereAFilterDoesMoreThanCompareThem(t *testing.T) {
	p := policy(t, allowed, []sysno.Arch{sysno.AMD64}, rule(t, "ptrace", eperm))
	answer := unix.SockFilter{Code: retK, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)}
	for name, fault := range map[string]Program{
		"a shift":  {{Code: ldAbs, K: offNR}, {Code: rsh, K: 1}, {Code: jeq, K: 100, Jf: 1}, answer},
		"a sum":    {{Code: ldAbs, K: offNR}, {Code: add, K: 0x1000}, {Code: jeq, K: 0x1000 + 200, Jf: 1}, answer},
		"X":        {{Code: ldxImm, K: 200}, {Code: ldAbs, K: offNR}, {Code: jeq | regX, Jf: 1}, answer},
		"one path": {{Code: ldAbs, K: offArch}, {Code: jeq, K: 0, Jt: 2}, {Code: ldAbs, K: offNR}, {Code: and, K: 0xf8}, {Code: jeq, K: 0xc8, Jf: 1}, answer},
	} {
		program := slices.Concat(fault, compiled(t, p))
		var mismatch *Mismatch
		if err := Check(program, p); !errors.As(err, &mismatch) || mismatch.Call.NR < 200 || mismatch.Call.NR > 207 {
			t.Errorf("%s: Check() = %v", name, err)
		}
	}
}
