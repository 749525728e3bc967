package userland

import (
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// interpret runs a filter for a call, as far as ours use the language.
func interpret(t *testing.T, code []unix.SockFilter, arch, nr uint32) (answer uint32) {
	t.Helper()
	var acc uint32
	for pc := 0; pc < len(code); pc++ {
		in := code[pc]
		jump := func(taken bool) {
			if taken {
				pc += int(in.Jt)
			} else {
				pc += int(in.Jf)
			}
		}
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			acc = map[uint32]uint32{0: nr, 4: arch}[in.K]
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			jump(acc == in.K)
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			jump(acc >= in.K)
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(in.K)
		case unix.BPF_RET | unix.BPF_K:
			return in.K
		default:
			t.Fatalf("instruction %d has the code %#x", pc, in.Code)
		}
	}
	t.Fatal("the filter does not return")
	return 0
}

func instructions(code []byte) []unix.SockFilter {
	return unsafe.Slice((*unix.SockFilter)(unsafe.Pointer(&code[0])), len(code)/8)
}

// checkFilter holds a filter to the set that it was made from.
func checkFilter(t *testing.T, known []sysno.ID) int {
	t.Helper()
	code, err := compile(slices.Clone(known))
	if err != nil {
		t.Fatal(err)
	}
	program := instructions(code)
	pass := map[[2]uint32]bool{}
	for _, id := range known {
		pass[[2]uint32{id.Arch.Audit(), id.Raw()}] = true
	}
	const arm = 0x40000028
	for _, arch := range []uint32{sysno.AMD64.Audit(), sysno.I386.Audit(), sysno.ARM64.Audit(), arm} {
		for nr := range uint32(1100) {
			for _, nr := range []uint32{nr, nr | 0x40000000, ^nr} {
				want := uint32(unix.SECCOMP_RET_USER_NOTIF)
				if pass[[2]uint32{arch, nr}] {
					want = unix.SECCOMP_RET_ALLOW
				}
				if got := interpret(t, program, arch, nr); got != want {
					t.Fatalf("%d known, arch %#x, number %#x: got %#x, want %#x", len(known), arch, nr, got, want)
				}
			}
		}
	}
	return len(program)
}

func TestAFilterPassesExactlyWhatIsKnown(t *testing.T) {
	everyOther, all := []sysno.ID{}, []sysno.ID{}
	for _, arch := range sysno.Archs() {
		for nr := range uint32(600) {
			id := sysno.ID{Arch: arch, NR: nr}
			if _, named := id.Name(); named {
				all = append(all, id)
				if nr%2 == 0 {
					everyOther = append(everyOther, id)
				}
			}
		}
	}
	checkFilter(t, nil)
	checkFilter(t, []sysno.ID{{Arch: sysno.AMD64}})
	checkFilter(t, []sysno.ID{{Arch: sysno.X32, NR: 39}})
	checkFilter(t, []sysno.ID{{Arch: sysno.I386, NR: 20}, {Arch: sysno.ARM64, NR: 172}})
	checkFilter(t, []sysno.ID{{Arch: sysno.I386, NR: ^uint32(0)}, {Arch: sysno.I386, NR: 3}})
	checkFilter(t, all)
	if n := checkFilter(t, everyOther); n > spawn.MaxProgram {
		t.Errorf("the worst case has %d instructions, the kernel takes %d", n, spawn.MaxProgram)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		share := r.IntN(100)
		checkFilter(t, slices.DeleteFunc(slices.Clone(all), func(sysno.ID) bool { return r.IntN(100) >= share }))
	}
}

func TestAFilterForAnUnknownABIIsRefused(t *testing.T) {
	if code, err := compile([]sysno.ID{{}}); err == nil {
		t.Errorf("got %x", code)
	}
}
