package forkserver

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
)

// binding is a function that the dynamic linker has found when it was first called. Most programs and libraries call
// those of others through slots that lead to the linker at first; what it finds is written there, and is
// the same in each copy. Where the server has it, no copy looks for it.
type binding struct{ slot, function uint64 }

// bindings lists what a copy has bound on some pages that it has written to. The calling thread must have a /proc.
func (s *Server) bindings(pid int, pages []uint64) (all []binding, err error) {
	mappings, err := mappingsOf(pid)
	if err != nil {
		return nil, err
	}
	var mem [2]*os.File
	for n, process := range []int{s.Pid(), pid} {
		if mem[n], err = os.Open(fmt.Sprintf("/proc/%d/mem", process)); err != nil {
			return nil, fmt.Errorf("look at the memory of a process: %w", err)
		}
		defer mem[n].Close()
	}
	var was, is [pageBytes]byte
	for _, page := range pages {
		home := within(s.mappings, page)
		if home == nil || home.of == "" {
			continue
		}
		for n, b := range [][]byte{was[:], is[:]} {
			if _, err := mem[n].ReadAt(b, int64(page)); err != nil {
				return nil, fmt.Errorf("read the memory of a process: %w", err)
			}
		}
		const word = 8
		for n := 0; n < pageBytes; n += word {
			unbound, function := binary.LittleEndian.Uint64(was[n:]), binary.LittleEndian.Uint64(is[n:])
			if unbound == function {
				continue
			}
			stub, found := within(s.mappings, unbound), within(s.mappings, function)
			if stub == nil || stub.mode != "r-xp" || stub.of != home.of || found == nil || found.mode != "r-xp" || found.of == "" {
				continue
			}
			if found.of == home.of { // what a program puts there itself is mostly its own, and nothing that all copies have
				continue
			}
			var code [16]byte
			if _, err := mem[0].ReadAt(code[:], int64(unbound)); err != nil || !asksLinker(code[:]) {
				continue
			}
			// Where the function lies the copy may have mapped something else. Its mappings are cut.
			if now := within(mappings, function); now != nil && now.of == found.of && now.offset-int64(now.start) == found.offset-int64(found.start) {
				all = append(all, binding{page + uint64(n), function})
			}
		}
	}
	return all, nil
}

// asksLinker reports whether a part of the procedure linkage table makes the dynamic linker look for a function: it pushes which one
// that is, and jumps to the beginning of the table. Nothing but slots has its address.
func asksLinker(code []byte) bool {
	const push, jmp = 0x68, 0xe9
	code = bytes.TrimPrefix(code, []byte{0xf3, 0x0f, 0x1e, 0xfa}) // endbr64
	return len(code) > 5 && code[0] == push && (code[5] == jmp || bytes.HasPrefix(code[5:], []byte{0xf2, jmp}))
}

// within returns the mapping that an address lies in, nil where there is none.
func within(all []area, address uint64) *area {
	n, found := slices.BinarySearchFunc(all, address, func(a area, address uint64) int {
		switch {
		case a.end <= address:
			return -1
		case a.start > address:
			return 1
		}
		return 0
	})
	if !found {
		return nil
	}
	return &all[n]
}

// bind makes the server's slots lead to what was found. The calling thread must have a /proc.
func (s *Server) bind(all []binding) error {
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", s.Pid()), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open the server's memory: %w", err)
	}
	defer mem.Close()
	for _, b := range all {
		if _, err := mem.WriteAt(binary.LittleEndian.AppendUint64(nil, b.function), int64(b.slot)); err != nil {
			return fmt.Errorf("write to the server's memory: %w", err)
		}
	}
	return nil
}
