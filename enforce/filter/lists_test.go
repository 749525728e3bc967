//go:build cgo && amd64

package filter

import (
	"math/rand/v2"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// Lists of values are one layer: here the masks are those that libseccomp splits in
// different ways between the halves of an argument.
func TestListsOfValuesUnderAMaskAreOneLayer(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 5))
	masks := []uint64{1<<32 - 1, 0xf, 0xff00, 1<<32 - 2, 0xfffffffffffffff8, 0xf0000000f, 1 << 63}
	for range 100 {
		var rules []synth.Rule
		for _, name := range []string{"socket", "ioctl"} {
			mask, index := masks[random.IntN(len(masks))], uint8(random.IntN(3))
			seen := map[uint64]bool{}
			for range 1 + random.IntN(20) {
				v := random.Uint64N(20) & mask
				if random.IntN(2) == 0 {
					v = random.Uint64() & mask
				}
				if !seen[v] {
					rules = append(rules, rule(t, name, allowed, synth.Cond{Index: index, Op: synth.MaskedEqual, Mask: mask, Value: v}))
				}
				seen[v] = true
			}
		}
		p := policy(t, eperm, []sysno.Arch{sysno.AMD64}, rules...)
		if n := len(split(p, sysno.AMD64)[0].layers); n != 1 {
			t.Fatalf("%d layers", n)
		}
		compiled(t, p)
	}
}
