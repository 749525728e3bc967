package static

import (
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/image"
)

// variable reports whether there may be a variable at an address.
func (m *module) variable(at uint64) bool {
	seg := m.Segment(at)
	return seg != nil && seg.Write
}

// variables are the addresses that variables of a module begin at, as far as its code, its
// data and others know them: of those that are shared, not only instructions in view do.
func (m *module) variables() (all []uint64, shared map[uint64]bool) {
	shared = map[uint64]bool{}
	for slot, r := range m.Relocs {
		if r.Symbol == "" && m.variable(r.Address) && !m.handle(slot) {
			shared[r.Address] = true
		}
	}
	for _, symbols := range m.Exports {
		for _, s := range symbols {
			if !s.Function {
				shared[s.Address] = true
			}
		}
	}
	for at := range shared {
		all = append(all, at)
	}
	m.everything(func(_ uint64, in image.Insn) {
		if at := uint64(in.Src.Value); in.Op == image.OpAddress && in.Src.Kind == image.Absolute && m.variable(at) {
			all = append(all, at)
		}
	})
	slices.Sort(all)
	return slices.Compact(all), shared
}

// handle reports whether what lies at an address is the __dso_handle of GCC's crtbeginS.o: a pointer
// to itself, behind nothing but the data_start of crt1.o, that is handed to __cxa_finalize.
func (m *module) handle(at uint64) bool {
	data := m.Sections[".data"]
	if m.Relocs[at].Address != at || at != data.Start && at != data.Start+8 {
		return false
	}
	for _, r := range m.Relocs {
		if r.Symbol == "__cxa_finalize" {
			return true
		}
	}
	return false
}

// around is where the variable that a slot is a part of may begin, and end, as far as sections and
// the sizes of symbols tell.
func (m *module) around(slot uint64) (from, to uint64) {
	if seg := m.Segment(slot); seg != nil {
		from, to = seg.Address, seg.Address+seg.Size
	}
	for name, r := range m.Sections {
		if r.Start <= slot && slot < r.End && name != ".tbss" { // which takes no room
			from, to = max(from, r.Start), min(to, r.End)
		}
	}
	sized := func(start, end uint64) {
		switch {
		case start >= end:
		case end <= slot:
			from = max(from, end)
		case slot < start:
			to = min(to, start)
		default:
			from, to = max(from, start), min(to, end)
		}
	}
	for _, v := range m.Variables {
		sized(v.Start, v.End)
	}
	for _, symbols := range m.Exports {
		for _, s := range symbols {
			if !s.Function {
				sized(s.Address, s.Address+s.Size)
			}
		}
	}
	return from, to
}

// clones reports whether code is of GCC's crtstuff.c, which hands the end of .data to a library
// for transactional memory, and that is not there.
func (m *module) clones(f *function) bool {
	const most = 0x80
	if f.end-f.start > most {
		return false
	}
	found := false
	f.sweep(f.start, f.end, func(_ uint64, in image.Insn) {
		name := m.Relocs[uint64(in.Src.Value)].Symbol
		if in.Op == image.OpMove && in.Src.Kind == image.Absolute && (name == "_ITM_deregisterTMCloneTable" || name == "_ITM_registerTMCloneTable") {
			found = found || len(m.all.lookup(name)) == 0
		}
	})
	return found
}
