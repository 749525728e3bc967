//go:build cgo

package filter

import (
	"errors"
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"golang.org/x/sys/unix"
)

// abi is what shares one AUDIT_ARCH_* value.
type abi struct {
	audit  uint32
	x32    bool // x86_64 that admits the numbers of x32
	layers [][]synth.Rule
}

// split sorts the rules of a valid policy by audit architecture, the native one
// first.
func split(p *synth.Policy, native sysno.Arch) []abi {
	abis := []abi{{audit: native.Audit()}}
	at := func(a sysno.Arch) int {
		return slices.IndexFunc(abis, func(have abi) bool { return have.audit == a.Audit() })
	}
	for _, a := range p.Archs {
		if at(a) < 0 {
			abis = append(abis, abi{audit: a.Audit()})
		}
		if a == sysno.X32 {
			abis[at(a)].x32 = true
		}
	}
	rules := make([][]synth.Rule, len(abis))
	for _, r := range p.Rules() {
		i := at(r.ID.Arch)
		rules[i] = append(rules[i], r)
	}
	for i := range abis {
		abis[i].layers = layers(rules[i])
	}
	return abis
}

// layers distributes rules over filters that are asked one after the other.
//
// Given several rules for one call, libseccomp (2.5.4) merges their tests into one
// tree, and gets that wrong: of {arg0 > 0x8000000000000000 and arg2 > 0xfffffffe}
// and {arg0 >= 0x8000000000000000 and arg1 > 0x100000000} it makes a filter that
// admits arg0 0x8000000000000000 with arg1 0, some sets of < and <= lose part of
// what they admit, and from others it does not return. So a layer has one rule for
// a call, or a list of values that one argument, under one mask, is equal to, which
// comes out right and would cost most to split.
func layers(rules []synth.Rule) [][]synth.Rule {
	type list struct {
		id      sysno.ID
		verdict synth.Verdict
		index   uint8
		op      synth.Op
		mask    uint64
	}
	free := map[sysno.ID]int{} // the first layer without a rule for the call
	lists := map[list]int{}
	out := [][]synth.Rule{nil}
	for _, r := range rules {
		layer := free[r.ID]
		if len(r.Args) == 0 && layer > 0 {
			continue // another group has the same rule
		}
		if len(r.Args) == 1 && (r.Args[0].Op == synth.Equal || r.Args[0].Op == synth.MaskedEqual) {
			key := list{r.ID, r.Verdict, r.Args[0].Index, r.Args[0].Op, r.Args[0].Mask}
			if known, ok := lists[key]; ok {
				layer = known
			}
			lists[key] = layer
		}
		free[r.ID] = max(free[r.ID], layer+1)
		if layer == len(out) {
			out = append(out, nil)
		}
		out[layer] = append(out[layer], r)
	}
	return out
}

// chain joins the layers of one ABI: where one would return the default verdict,
// the next is asked.
func chain(programs []Program, def uint32) Program {
	var out Program
	for i, p := range programs {
		for pc, in := range p {
			if i < len(programs)-1 && in.Code == retK && in.K == def {
				in = unix.SockFilter{Code: ja, K: uint32(len(p) - pc - 1)}
			}
			out = append(out, in)
		}
	}
	return out
}

// retarget makes a filter that libseccomp compiled for one architecture one for
// another: only its first test, of seccomp_data.arch, names it.
func retarget(p Program, from, to uint32) error {
	if len(p) < 2 || p[0].Code != ldAbs || p[0].K != offArch || p[1].Code != jeq || p[1].K != from {
		return errors.New("libseccomp's filter does not begin with a test of the architecture")
	}
	p[1].K = to
	return nil
}

// join puts the filters of several ABIs behind one dispatcher, which returns
// foreign for what is none of them.
func join(abis []abi, programs []Program, foreign uint32) Program {
	out := Program{{Code: ldAbs, K: offArch}}
	start := 1 + 2*len(abis) + 1
	for i, a := range abis {
		// Only an unconditional jump reaches further than 255 instructions.
		out = append(out, unix.SockFilter{Code: jeq, K: a.audit, Jf: 1})
		out = append(out, unix.SockFilter{Code: ja, K: uint32(start - len(out) - 1)})
		start += len(programs[i])
	}
	out = append(out, unix.SockFilter{Code: retK, K: foreign})
	return append(out, slices.Concat(programs...)...)
}
