package image

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/arch/x86/x86asm"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

func TestInstructionsSayWhatTheyDo(t *testing.T) {
	const at = 0x1000
	reg := registerOperand
	imm := func(v int64) Operand { return Operand{Kind: Immediate, Value: v} }
	mem := func(r uint8, d int64) Operand { return Operand{Kind: Memory, Reg: r, Value: d} }
	abs := func(v int64) Operand { return Operand{Kind: Absolute, Value: v} }
	for _, test := range []struct {
		code string
		want Insn
	}{
		{"b8e7000000", Insn{Op: OpMove, Size: 4, Dst: reg(RAX), Src: imm(231)}},
		{"48c7c03c000000", Insn{Op: OpMove, Size: 8, Dst: reg(RAX), Src: imm(60)}},
		{"49b80102030405060708", Insn{Op: OpMove, Size: 8, Dst: reg(8), Src: imm(0x0807060504030201)}},
		{"4489e0", Insn{Op: OpMove, Size: 4, Dst: reg(RAX), Src: reg(12)}},
		{"8b442418", Insn{Op: OpMove, Size: 4, Dst: reg(RAX), Src: mem(RSP, 0x18)}},
		{"c7042469000000", Insn{Op: OpMove, Size: 4, Dst: mem(RSP, 0), Src: imm(105), Stores: true}},
		{"31c0", Insn{Op: OpMove, Size: 4, Dst: reg(RAX), Src: imm(0)}},
		{"19c0", Insn{Op: OpMask, Size: 4, Dst: reg(RAX)}},
		{"83e803", Insn{Op: OpAdd, Size: 4, Dst: reg(RAX), Src: imm(-3)}},
		{"25ff000000", Insn{Op: OpAnd, Size: 4, Dst: reg(RAX), Src: imm(255)}},
		{"0f44c2", Insn{Op: OpMaybe, Size: 4, Dst: reg(RAX), Src: reg(RDX)}},
		{"0f94c0", Insn{Op: OpFlag, Size: 4, Dst: reg(RAX)}},
		{"0fb6c0", Insn{Op: OpMove, Size: 1, Dst: reg(RAX), Src: reg(RAX)}},
		{"488d3d10000000", Insn{Op: OpAddress, Size: 8, Dst: reg(RDI), Src: abs(at + 7 + 0x10)}},
		{"488b0510000000", Insn{Op: OpMove, Size: 8, Dst: reg(RAX), Src: abs(at + 7 + 0x10)}},
		{"c7051000000007000000", Insn{Op: OpMove, Size: 4, Dst: abs(at + 10 + 0x10), Src: imm(7), Stores: true}},
		{"ff1510000000", Insn{Op: OpCall, Size: 4, Src: abs(at + 6 + 0x10)}},
		{"e8fbffffff", Insn{Op: OpCall, Size: 4, Src: imm(at)}},
		{"3effe0", Insn{Op: OpJump, Size: 4, Src: reg(RAX)}},
		{"74fe", Insn{Op: OpBranch, Size: 4, Src: imm(at), Cond: CondEqual}},
		{"0f85faffffff", Insn{Op: OpBranch, Size: 4, Src: imm(at), Cond: CondUnequal}},
		{"b03c", Insn{Op: OpInsert, Size: 4, Dst: reg(RAX), Src: imm(60)}},
		{"b43c", Insn{Size: 4, Clobbers: 1 << RAX}},
		{"85c0", Insn{Op: OpCompare, Size: 4, Touched: reg(RAX), Src: imm(0)}},
		{"83f805", Insn{Op: OpCompare, Size: 4, Touched: reg(RAX), Src: imm(5)}},
		{"4839d0", Insn{Op: OpCompare, Size: 8, Touched: reg(RAX), Src: reg(RDX)}},
		{"50", Insn{Op: OpPush, Size: 8, Src: reg(RAX)}},
		{"415c", Insn{Op: OpPop, Size: 8, Dst: reg(12)}},
		{"0f05", Insn{Op: OpSyscall, Size: 4, Clobbers: 1<<RAX | 1<<RCX | 1<<R11, Fresh: 1<<RCX | 1<<R11}},
		{"cd80", Insn{Op: OpInt80, Size: 4}},
		{"f30f1efa", Insn{Size: 64, Touched: reg(2)}},
		{"f4", Insn{Op: OpStop, Size: 4}},
		{"87d8", Insn{Size: 4, Clobbers: 1<<RAX | 1<<3}},
		{"80cd08", Insn{Size: 4, Src: imm(8), Clobbers: 1 << RCX}},     // or ch
		{"4080cd08", Insn{Size: 4, Src: imm(8), Clobbers: 1 << RBP}},   // or bpl
		{"88e5", Insn{Size: 4, Clobbers: 1 << RCX}},                    // mov ch, ah
		{"8ae5", Insn{Size: 4, Touched: reg(RCX), Clobbers: 1 << RAX}}, // mov ah, ch
		{"00e5", Insn{Size: 4, Touched: reg(RAX), Clobbers: 1 << RCX}}, // add ch, ah
		{"0f94c5", Insn{Size: 4, Clobbers: 1 << RCX}},                  // sete ch
		{"400f94c5", Insn{Op: OpFlag, Size: 4, Dst: reg(RBP)}},         // sete bpl
		{"f7f1", Insn{Size: 4, Touched: reg(RCX), Clobbers: 1<<RAX | 1<<RDX}},
		{"f7e1", Insn{Size: 4, Touched: reg(RCX), Clobbers: 1<<RAX | 1<<RDX, Fresh: 1 << RDX}},
		{"4898", Insn{Size: 8, Clobbers: 1 << RAX}},                                                        // cdqe
		{"4899", Insn{Size: 8, Clobbers: 1 << RDX, Fresh: 1 << RDX}},                                       // cqo
		{"6699", Insn{Size: 2, Clobbers: 1 << RDX}},                                                        // cwd
		{"0fb606", Insn{Size: 4, Touched: mem(RSI, 0), Clobbers: 1 << RAX, Fresh: 1 << RAX}},               // movzx eax, byte [rsi]
		{"0fb6c4", Insn{Size: 4, Touched: reg(4), Clobbers: 1 << RAX}},                                     // movzx eax, ah
		{"480fb117", Insn{Size: 8, Dst: mem(RDI, 0), Stores: true, Touched: reg(RDX), Clobbers: 1 << RAX}}, // cmpxchg [rdi], rdx
		{"480fc317", Insn{Size: 8, Dst: mem(RDI, 0), Stores: true, Touched: reg(RDX)}},                     // movnti [rdi], rdx
		{"88442408", Insn{Size: 4, Dst: mem(RSP, 8), Stores: true}},
		{"0f29442410", Insn{Size: 64, Dst: mem(RSP, 0x10), Stores: true}},
		{"c5f877", Insn{Size: 64}},
		{"c5fe7f4424c0", Insn{Size: 64, Dst: mem(RSP, -0x40), Stores: true}},
		{"c5fdd7c0", Insn{Size: 64, Touched: reg(0), Clobbers: 1 << RAX}},
		{"8fe878c2ec0e", Insn{Size: 64, Touched: reg(4)}},
		{"62f1fe486f06", Insn{Size: 64, Touched: mem(RSI, 0)}},
		{"64488b042528000000", Insn{Op: OpMove, Size: 8, Dst: reg(RAX), Src: Operand{Kind: Segment, Value: 0x28}}},
	} {
		code, err := hex.DecodeString(test.code)
		if err != nil {
			t.Fatal(err)
		}
		test.want.Len = uint8(len(code))
		got, ok := DecodeInsn(append(code, 0x90, 0x90), at)
		if !ok || got != test.want {
			t.Errorf("%s is %+v, %v; want %+v", test.code, got, ok, test.want)
		}
		if _, ok := DecodeInsn(code[:len(code)-1], at); ok && test.code != "3effe0" {
			t.Errorf("%s is decoded although it is cut off", test.code)
		}
	}
}

// Lengths are those of objdump, for each instruction of the C library.
func TestInstructionsAreAsLongAsObjdumpSays(t *testing.T) {
	objdump := testenv.Program(t, "objdump")
	const path = "/lib/x86_64-linux-gnu/libc.so.6"
	f, err := elf.Open(path)
	if err != nil {
		t.Skipf("no glibc here: %v", err)
	}
	defer f.Close()
	text := f.Section(".text")
	code, err := text.Data()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(objdump, "-d", "-w", "-j", ".text", "--insn-width=16", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	all := 0
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		parts := strings.Split(s.Text(), "\t")
		if len(parts) < 3 || strings.Contains(parts[2], "(bad)") {
			continue
		}
		var at uint64
		if _, err := fmt.Sscanf(parts[0], "%x:", &at); err != nil {
			continue
		}
		all++
		want := len(strings.Fields(parts[1]))
		if in, ok := DecodeInsn(code[at-text.Addr:], at); !ok || int(in.Len) != want {
			t.Fatalf("%s+%#x: length %d, %v; want %d: %s", path, at, in.Len, ok, want, s.Text())
		}
	}
	if all < 100_000 {
		t.Errorf("objdump showed %d instructions", all)
	}
}

// Whatever two decoders know, they know alike.
func FuzzDecodeInsn(f *testing.F) {
	for _, code := range []string{"b8e70000000f05", "c5fe7f4424c0", "62f1fe486f06", "f0480fb10d00000000", "660f3a0fc108", "9b", "c8000000"} {
		b, _ := hex.DecodeString(code)
		f.Add(b)
	}
	if exe, err := os.ReadFile("/proc/self/exe"); err == nil {
		f.Add(exe[len(exe)/3 : len(exe)/3+4096])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for i := 0; i < len(b); {
			in, ok := DecodeInsn(b[i:], 0x1000)
			if ok && (in.Len == 0 || int(in.Len) > len(b)-i) {
				t.Fatalf("% x has length %d", b[i:min(i+16, len(b))], in.Len)
			}
			if !ok {
				i++
				continue
			}
			other, err := x86asm.Decode(b[i:min(len(b), i+15)], 64)
			// Where control goes must never differ.
			if err == nil && other.Len == int(in.Len) && in.Op == OpOther {
				switch other.Op {
				case x86asm.CALL, x86asm.JMP, x86asm.RET, x86asm.SYSCALL, x86asm.HLT, x86asm.UD2:
					t.Fatalf("% x is %v", b[i:i+other.Len], other)
				}
			}
			i += int(in.Len)
		}
	})
}
