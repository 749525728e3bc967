package userland

import (
	"fmt"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// The instructions of the filters, and what they load of struct seccomp_data.
const (
	load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	least  = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K // jumps where the accumulator is at least K
	always = unix.BPF_JMP | unix.BPF_JA
	answer = unix.BPF_RET | unix.BPF_K

	offsetNR   = 0
	offsetArch = 4
)

// compile makes the filter that lets the known syscalls pass and asks the
// supervisor about all others: other numbers, and every call of an ABI without a
// table. The numbers are found by bisection, because the kernel runs the filter for
// each number of its tables whenever it is loaded.
func compile(known []sysno.ID) ([]byte, error) {
	passes := map[uint32][]uint32{} // the numbers of each audit value, as the kernel sees them
	for _, id := range known {
		if id.Arch.Audit() == 0 {
			return nil, fmt.Errorf("filter for the unknown ABI of %v", id)
		}
		passes[id.Arch.Audit()] = append(passes[id.Arch.Audit()], id.Raw())
	}
	code := []unix.SockFilter{{Code: load, K: offsetArch}}
	// In the order of the ABIs: the native one of most machines comes first.
	done := map[uint32]bool{}
	for _, a := range sysno.Archs() {
		numbers := passes[a.Audit()]
		if done[a.Audit()] || len(numbers) == 0 {
			continue
		}
		done[a.Audit()] = true
		body := append([]unix.SockFilter{{Code: load, K: offsetNR}}, bisect(bounds(numbers), false)...)
		code = append(code,
			unix.SockFilter{Code: equal, K: a.Audit(), Jt: 1},
			unix.SockFilter{Code: always, K: uint32(len(body))})
		code = append(code, body...)
	}
	code = append(code, verdict(false))
	if len(code) > spawn.MaxProgram {
		return nil, fmt.Errorf("filter for %d syscalls has %d instructions, the kernel takes %d", len(known), len(code), spawn.MaxProgram)
	}
	return slices.Clone(unsafe.Slice((*byte)(unsafe.Pointer(&code[0])), len(code)*int(unsafe.Sizeof(code[0])))), nil
}

// bounds are the numbers at which the answer changes, beginning with the first
// that passes.
func bounds(numbers []uint32) []uint32 {
	slices.Sort(numbers)
	var out []uint32
	for _, n := range slices.Compact(numbers) {
		if len(out) > 0 && out[len(out)-1] == n {
			out[len(out)-1]++
		} else {
			out = append(out, n, n+1)
		}
	}
	if len(out) > 0 && out[len(out)-1] == 0 { // beyond the largest number
		out = out[:len(out)-1]
	}
	return out
}

// nearest is how many bounds a tree has at most, so that all its jumps reach the
// answers at its end: jumps go 255 instructions far.
const nearest = 250

// bisect decides on the number in the accumulator; below the first of the bounds,
// the answer is below.
func bisect(bounds []uint32, below bool) []unix.SockFilter {
	if len(bounds) <= nearest {
		return append(tree(bounds, below, 0), verdict(false), verdict(true))
	}
	middle := len(bounds) / 2
	low, high := bisect(bounds[:middle], below), bisect(bounds[middle:], below != (middle%2 == 1))
	code := []unix.SockFilter{{Code: least, K: bounds[middle], Jf: 1}, {Code: always, K: uint32(len(low))}}
	return append(append(code, low...), high...)
}

// tree is one instruction for each of the bounds. The answers come after instructions
// later, that of what does not pass first: with few instructions the kernel has
// less to compile at each load.
func tree(bounds []uint32, below bool, after int) []unix.SockFilter {
	if len(bounds) == 0 {
		return nil
	}
	middle := len(bounds) / 2
	above := below != (middle%2 == 0) // the answer changes at each of the bounds
	high := tree(bounds[middle+1:], above, after)
	low := tree(bounds[:middle], below, len(high)+after)
	answerAt := func(passes bool) uint8 {
		at := len(low) + len(high) + after
		if passes {
			at++
		}
		return uint8(at)
	}
	node := unix.SockFilter{Code: least, K: bounds[middle], Jt: uint8(len(low))}
	if len(high) == 0 {
		node.Jt = answerAt(above)
	}
	if len(low) == 0 {
		node.Jf = answerAt(below)
	}
	return slices.Concat([]unix.SockFilter{node}, low, high)
}

func verdict(passes bool) unix.SockFilter {
	if passes {
		return unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ALLOW}
	}
	return unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_USER_NOTIF}
}
