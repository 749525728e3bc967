//go:build cgo && amd64

package filter

import (
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// FuzzCompile makes small policies that Compile has to accept.
func FuzzCompile(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 2, 1, 3, 2, 0, 1, 5, 0, 1, 7, 1, 2, 9, 3, 3, 2, 0, 0, 0, 4, 1})
	f.Add([]byte("\x07\x03AB0123456789abcdefghijklmnopqrstuvwxyz"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := policyFrom(b)
		if err := p.Validate(); err != nil {
			t.Skip(err)
		}
		program, err := Compile(p)
		if err != nil {
			t.Fatalf("%v\n%+v", err, p)
		}
		if err := Check(program, p); err != nil {
			t.Fatalf("%v\n%+v\n%s", err, p, program)
		}
	})
}

// policyFrom reads a policy off b: what is read past the end is 0. All rules of
// one call have the same verdict, so that none contradicts another.
func policyFrom(b []byte) *synth.Policy {
	next := func(n int) int {
		if len(b) == 0 {
			return 0
		}
		v := int(b[0]) % n
		b = b[1:]
		return v
	}
	verdicts := []synth.Verdict{
		{Action: synth.Errno, Errno: 1}, {Action: synth.Allow}, {Action: synth.KillProcess},
		{Action: synth.Log}, {Action: synth.Errno, Errno: 38}, {Action: synth.Trap},
		{Action: synth.Trace, Errno: 0xfffe}, {Action: synth.KillThread}, {Action: synth.Notify},
	}
	def := next(len(verdicts) - 1) // all but Notify
	p := &synth.Policy{Default: verdicts[def], Archs: []sysno.Arch{sysno.AMD64}, Listener: "/run/listener.sock"}
	for _, a := range sysno.Archs()[1:] {
		if next(4) == 3 {
			p.Archs = append(p.Archs, a)
		}
	}
	values := []uint64{0, 1, 5, 6, 0xfffffffe, 0xffffffff, 1 << 32, 1<<32 + 5, 5 << 32, 1 << 63, ^uint64(0) - 1, ^uint64(0)}
	seen := map[sysno.ID]bool{}
	group := synth.Group{Name: "@fuzz"}
	for _, a := range p.Archs {
		if execve, _ := sysno.Lookup(a, "execve"); p.Default.Action != synth.Allow {
			group.Rules = append(group.Rules, synth.Rule{ID: execve, Verdict: synth.Verdict{Action: synth.Allow}, Tier: synth.Manual, Reason: "fuzzed"})
			seen[execve] = true
		}
	}
	for len(b) > 0 && len(seen) < 64 {
		id := sysno.ID{Arch: p.Archs[next(len(p.Archs))], NR: uint32(next(256))}
		verdict := verdicts[(def+1+next(len(verdicts)-1))%len(verdicts)]
		if seen[id] {
			continue
		}
		seen[id] = true
		alternatives := max(1, next(6)-2)
		for range alternatives {
			r := synth.Rule{ID: id, Verdict: verdict, Tier: synth.Manual, Reason: "fuzzed"}
			used := map[uint8]bool{}
			conditions := next(4)
			if alternatives > 1 {
				conditions = max(1, conditions) // one without would swallow the others
			}
			for range conditions {
				c := synth.Cond{Index: uint8(next(6)), Op: synth.Op(1 + next(7)), Value: values[next(len(values))]}
				if used[c.Index] {
					continue
				}
				used[c.Index] = true
				if c.Op == synth.MaskedEqual {
					c.Mask = values[next(len(values))]
					c.Value &= c.Mask
				}
				r.Args = append(r.Args, c)
			}
			group.Rules = append(group.Rules, r)
		}
	}
	p.Groups = []synth.Group{group}
	return p
}
