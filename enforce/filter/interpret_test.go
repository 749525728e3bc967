package filter

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var allow = unix.SockFilter{Code: retK, K: unix.SECCOMP_RET_ALLOW}

// invalid are programs that seccomp(2) answers with EINVAL.
var invalid = []struct {
	name    string
	program Program
	want    string
}{
	{"no instruction", nil, "empty"},
	{"too many instructions", slices.Repeat(Program{allow}, MaxInstructions+1), "4097 instructions, the kernel takes at most 4096"},
	{"load of a byte", Program{{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS}, allow}, "not an instruction"},
	{"load of a packet", Program{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_IND}, allow}, "not an instruction"},
	{"modulo", Program{{Code: unix.BPF_ALU | unix.BPF_MOD, K: 3}, allow}, "not an instruction"},
	{"load off alignment", Program{{Code: ldAbs, K: 2}, allow}, "aligned words"},
	{"load behind the data", Program{{Code: ldAbs, K: dataSize}, allow}, "aligned words"},
	{"load of an ancillary word", Program{{Code: ldAbs, K: 0xfffff000}, allow}, "aligned words"},
	{"jump behind the end", Program{{Code: ja, K: 1}, allow}, "jump out"},
	{"jump back", Program{{Code: ja, K: 0xffffffff}, allow}, "jump out"},
	{"branch behind the end, taken", Program{{Code: jeq, Jt: 1}, allow}, "jump out"},
	{"branch behind the end, not taken", Program{{Code: jset | regX, Jf: 1}, allow}, "jump out"},
	{"division by zero", Program{{Code: div}, allow}, "division by zero"},
	{"shift by 32", Program{{Code: lsh, K: 32}, allow}, "shift"},
	{"scratch word 16", Program{{Code: st, K: 16}, allow}, "16 words"},
	{"scratch word read first", Program{{Code: ldMem, K: 3}, allow}, "before it is written"},
	{"scratch word written on one path only", Program{{Code: jeq, Jt: 1}, {Code: stx, K: 3}, {Code: ldxMem, K: 3}, allow}, "before it is written"},
	{"no return at the end", Program{allow, {Code: tax}}, "does not return"},
}

func TestRunRefusesWhatTheKernelRefuses(t *testing.T) {
	for _, c := range invalid {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := c.program.Run(Data{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Run() = %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestLongestProgramRuns(t *testing.T) {
	p := append(slices.Repeat(Program{{Code: add, K: 1}}, MaxInstructions-1), unix.SockFilter{Code: retA})
	ret, steps, err := p.Run(Data{})
	if ret != MaxInstructions-1 || steps != MaxInstructions || err != nil {
		t.Errorf("Run() = %d, %d, %v", ret, steps, err)
	}
}

func TestLoadsSeeStructSeccompData(t *testing.T) {
	d := Data{NR: 0x101, Arch: 0x202, IP: 0x404_0000_0303, Args: [6]uint64{
		0x606_0000_0505, 0x808_0000_0707, 0xa0a_0000_0909, 0xc0c_0000_0b0b, 0xe0e_0000_0d0d, 0x1010_0000_0f0f}}
	// Fields in the order of the struct; of 64 bits, the half that memory has first.
	first, second := 0, 32
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		first, second = 32, 0
	}
	want := []uint32{d.NR, d.Arch, uint32(d.IP >> first), uint32(d.IP >> second)}
	for _, arg := range d.Args {
		want = append(want, uint32(arg>>first), uint32(arg>>second))
	}
	for i, want := range want {
		ret, _, err := Program{{Code: ldAbs, K: uint32(4 * i)}, {Code: retA}}.Run(d)
		if err != nil || ret != want {
			t.Errorf("data[%d] = %#x, %v, want %#x", 4*i, ret, err, want)
		}
	}
}

func FuzzRunEnds(f *testing.F) {
	for _, c := range invalid[1:] {
		f.Add(c.program[:min(len(c.program), 32)].Bytes(), uint64(1))
	}
	f.Add(Program{{Code: ldAbs, K: 16}, {Code: jgt, K: 3, Jt: 1}, allow, {Code: retA}}.Bytes(), uint64(7))
	f.Fuzz(func(t *testing.T, b []byte, arg uint64) {
		p, err := Parse(b[:len(b)&^7])
		if err != nil {
			t.Fatal(err)
		}
		if string(p.Bytes()) != string(b[:len(b)&^7]) {
			t.Fatalf("Bytes() does not write what Parse read:\n%v", p)
		}
		if _, steps, err := p.Run(Data{Args: [6]uint64{arg, arg, arg, arg, arg, arg}}); err == nil && (steps < 1 || steps > len(p)) {
			t.Fatalf("%d steps in\n%v", steps, p)
		}
		_ = p.String()
	})
}
