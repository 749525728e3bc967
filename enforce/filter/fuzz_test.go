//go:build cgo && amd64

package filter

import (
	"errors"
	"hash/fnv"
	"math/rand/v2"
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

// FuzzStack makes several policies of which each has to be in force beside the others. What
// the one filter answers is compared with the policies, and with what their own filters
// answer: of these the kernel takes the strictest, and of equal actions that of the filter
// that was loaded last (seccomp_run_filters in kernel/seccomp.c).
func FuzzStack(f *testing.F) {
	f.Add([]byte{}, []byte{}, []byte{})
	f.Add([]byte{1, 2, 1, 3, 2, 0, 1, 5, 0, 1, 7, 1, 2, 9, 3, 3, 2, 0, 0, 0, 4, 1}, []byte{0, 0, 0, 0, 5, 4}, []byte{})
	f.Add([]byte("\x07\x03AB0123456789abcdefghijklmnopqrstuvwxyz"), []byte("\x05\x03AB9876543210abcdef"), []byte{4, 3, 3, 3, 3, 5})
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		const most = 150 // of each policy: more cost a check of seconds
		stack := synth.Stack{policyFrom(a[:min(len(a), most)]), policyFrom(b[:min(len(b), most)])}
		if len(c) > 0 {
			stack = append(stack, policyFrom(c[:min(len(c), most)]))
		}
		var alone []Program
		for _, p := range stack {
			if err := p.Validate(); err != nil {
				t.Skip(err)
			}
			program, err := Compile(p)
			if err != nil {
				t.Fatalf("%v\n%+v", err, p)
			}
			alone = append(alone, program)
		}
		program, err := Stack(alone...)
		if errors.Is(err, ErrTooLong) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := Check(program, stack...); err != nil {
			t.Fatalf("%v\n%+v\n%s", err, stack, program)
		}
		h := fnv.New64a()
		for _, part := range [][]byte{a, b, c} {
			h.Write(part)
		}
		random := rand.New(rand.NewPCG(h.Sum64(), 0))
		for range 2000 {
			d := anyCall(random, alone)
			var want synth.Verdict
			for _, p := range alone {
				w := d.words()
				ret, _ := p.run(&w)
				if v := ParseReturn(ret); strictness(v.Action) >= strictness(want.Action) {
					want = v
				}
			}
			w := d.words()
			if ret, _ := program.run(&w); ParseReturn(ret) != want {
				t.Fatalf("%+v: got %v, want %v\n%+v\n%s", d, ParseReturn(ret), want, stack, program)
			}
		}
	})
}

// strictness is the order of seccomp(2), "in decreasing order of precedence", written down
// once more: the code under test has its own.
func strictness(a synth.Action) int {
	return map[synth.Action]int{
		synth.Allow: 1, synth.Log: 2, synth.Trace: 3, synth.Notify: 4, synth.Errno: 5, synth.Trap: 6, synth.KillThread: 7, synth.KillProcess: 8,
	}[a]
}

// anyCall is a call whose words are what some of the programs compare them with, or near
// that, or anything.
func anyCall(random *rand.Rand, programs []Program) Data {
	constants := programs[random.IntN(len(programs))].constants()
	word := func(i int) uint32 {
		ks := constants[i]
		if len(ks) == 0 || random.IntN(8) == 0 {
			return [...]uint32{0, 1, 0xffffffff, random.Uint32()}[random.IntN(4)]
		}
		return ks[random.IntN(len(ks))] + [...]uint32{0, 0, 0, 1, ^uint32(0)}[random.IntN(5)]
	}
	d := Data{NR: word(offNR / 4), Arch: word(offArch / 4), IP: random.Uint64()}
	for i := range d.Args {
		d.Args[i] = uint64(word((offArgs+8*i)/4)) | uint64(word((offArgs+8*i)/4+1))<<32
	}
	return d
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
