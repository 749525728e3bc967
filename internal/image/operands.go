package image

import "golang.org/x/arch/x86/x86asm"

// classify fills in what an instruction means, which the next one follows at an address.
func (out *Instruction) classify(in x86asm.Inst, next uint64) {
	switch in.Op {
	case x86asm.CMP, x86asm.XOR, x86asm.SUB: // the latter two where a difference is what is asked for
		out.Compares = true
		out.immediate(in, 1)
	case x86asm.MOV:
		out.immediate(in, 1)
	case x86asm.CALL:
		out.Call = true
		switch a := in.Args[0].(type) {
		case x86asm.Rel:
			out.To = next + uint64(int64(a))
		case x86asm.Mem:
			out.Slot = a.Base == x86asm.RIP && a.Index == 0
			out.To = ripRelative(a, next)
			out.Call = out.Slot
		default:
			out.Call = false
		}
	case x86asm.RET, x86asm.LRET, x86asm.HLT, x86asm.UD2:
		out.Ends = true
	default:
		_, out.Ends = in.Args[0].(x86asm.Rel) // a jump, conditional or not
	}
	out.Ends = out.Ends || in.Op == x86asm.JMP
}

// immediate takes the value of an operand.
func (out *Instruction) immediate(in x86asm.Inst, arg int) {
	v, ok := in.Args[arg].(x86asm.Imm)
	if !ok {
		return
	}
	size := in.MemBytes
	if r, ok := in.Args[0].(x86asm.Reg); ok {
		size = registerSize(r)
	}
	switch size {
	case 1, 2, 4:
		out.Value = uint64(v) & (1<<(8*size) - 1)
	case 8:
		out.Value = uint64(v)
	default:
		return
	}
	out.Size = size
}

// registerSize is that of a general register in bytes, 0 of another.
func registerSize(r x86asm.Reg) int {
	switch {
	case r >= x86asm.AL && r <= x86asm.R15B:
		return 1
	case r >= x86asm.AX && r <= x86asm.R15W:
		return 2
	case r >= x86asm.EAX && r <= x86asm.R15L:
		return 4
	case r >= x86asm.RAX && r <= x86asm.R15:
		return 8
	}
	return 0
}

// jumpSlot is the slot of an indirect jump.
func jumpSlot(in x86asm.Inst, next uint64) (uint64, bool) {
	m, ok := in.Args[0].(x86asm.Mem)
	if in.Op != x86asm.JMP || !ok || m.Base != x86asm.RIP || m.Index != 0 {
		return 0, false
	}
	return ripRelative(m, next), true
}
