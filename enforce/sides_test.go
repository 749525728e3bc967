package enforce

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

func TestAConditionHasTwoSides(t *testing.T) {
	socket, openat, read := call(t, sysno.AMD64, "socket"), call(t, sysno.AMD64, "openat"), call(t, sysno.AMD64, "read")
	is := func(index uint8, value uint64) synth.Cond {
		return synth.Cond{Index: index, Op: synth.Equal, Value: value}
	}
	allow := synth.Verdict{Action: synth.Allow}
	p := &synth.Policy{Archs: []sysno.Arch{sysno.AMD64}, Groups: []synth.Group{{Rules: []synth.Rule{
		{ID: socket, Verdict: allow, Args: []synth.Cond{is(0, 1)}},
		{ID: socket, Verdict: allow, Args: []synth.Cond{is(0, 2), is(1, 1)}},
		{ID: socket, Verdict: allow, Args: []synth.Cond{is(0, 16), is(1, 1)}},
		{ID: openat, Verdict: allow, Args: []synth.Cond{is(2, 0)}},
		{ID: read, Verdict: synth.Verdict{Action: synth.Log}, Args: []synth.Cond{is(0, 0)}},
	}}}}
	seen := map[sysno.ID]map[uint8][]uint64{socket: {0: {1, 2}, 1: {1}}, openat: {2: nil}}
	got := Sides(p, func(id sysno.ID, index uint8) ([]uint64, bool) {
		values, known := seen[id][index]
		return values, known
	})
	want := []Side{
		{socket, is(0, 1), true, true},
		{socket, is(0, 2), true, true},
		{socket, is(0, 16), false, true},
		{socket, is(1, 1), true, false},
		{openat, is(2, 0), false, false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}
