package image

import "encoding/binary"

// Op is what an instruction does, as far as the flow of control and of constants is concerned.
type Op uint8

// The operations. Of all that are Other only what they overwrite is told.
const (
	OpOther    Op = iota
	OpMove        // Dst = Src, zero-extended
	OpMaybe       // Dst = Src, or stays
	OpAddress     // Dst = the address that Src stands for
	OpAdd         // Dst += Src, an immediate, as in the next three
	OpAnd         // Dst &= Src
	OpOr          // Dst |= Src
	OpXor         // Dst ^= Src
	OpInsert      // the lowest byte of Dst = Src, an immediate
	OpFlag        // Dst = 0 or 1, in its lowest byte
	OpMask        // Dst = 0 or all ones
	OpPush        // Src
	OpPop         // into Dst
	OpLeave       // RSP = RBP, then pop into RBP
	OpCall        // Src: an address, a register or memory
	OpJump        // as OpCall
	OpBranch      // to the address in Src, or not
	OpReturn      //
	OpStop        // no instruction follows
	OpNop         // what fills space
	OpCompare     // Touched with Src; of a register with itself, as with 0
	OpRare        // what compilers do not emit: input and output, far returns and the like
	OpSyscall     // syscall
	OpInt80       // int 0x80
	OpSysenter    // sysenter
)

// Cond is when a branch is taken.
type Cond uint8

// The conditions that are told apart: others are not known.
const (
	CondOther Cond = iota
	CondEqual
	CondUnequal
)

// condition is that of a conditional jump's opcode.
func condition(opcode byte) Cond {
	switch opcode & 0xf {
	case 4:
		return CondEqual
	case 5:
		return CondUnequal
	}
	return CondOther
}

// The general registers that the stack is addressed by.
const (
	RAX = 0
	RCX = 1
	RDX = 2
	RSP = 4
	RBP = 5
	RSI = 6
	RDI = 7
	R11 = 11
)

// OperandKind says what an operand is.
type OperandKind uint8

// The kinds of operands.
const (
	NoOperand OperandKind = iota
	Register              // Reg
	Immediate             // Value
	Memory                // at Reg + Value, and a scaled register more where Indexed
	Absolute              // memory at Value, or at Value + an index where Indexed
	Segment               // memory of the thread, or otherwise of another base
)

// Operand is one of an instruction.
type Operand struct {
	Kind    OperandKind
	Reg     uint8 // 0 is RAX, 15 is R15
	Indexed bool
	Value   int64 // of an immediate with its sign extended; an address; a displacement
}

// Insn is a decoded x86-64 instruction.
type Insn struct {
	Op       Op
	Len      uint8
	Size     uint8 // of the operands in bytes; 64 where it is not told
	Stores   bool  // Dst is memory, and is written
	Cond     Cond  // of a branch
	Dst, Src Operand
	Touched  Operand // what is neither Dst nor Src; where Size is 64, a register may be of vectors
	Clobbers uint16  // registers that hold something unknown afterwards, a bit each
}

// Fields of the opcode tables.
const (
	fModRM = 1 << iota
	fImm8
	fImmZ // 2 or 4 bytes
	fBad
	fStoresRM // writes its ModRM operand
	fWritesReg
)

var oneByte, twoByte = opcodeTables()

// opcodeTables are appendix A of Intel's manual, volume 2, for 64-bit mode.
func opcodeTables() (one, two [256]uint8) {
	set := func(t *[256]uint8, flags uint8, codes ...int) {
		for _, c := range codes {
			t[c] |= flags
		}
	}
	span := func(t *[256]uint8, flags uint8, from, to int) {
		for c := from; c <= to; c++ {
			t[c] |= flags
		}
	}
	for base := 0; base < 0x40; base += 8 {
		compares := base == 0x38
		for c := range 4 {
			one[base+c] = fModRM
			if !compares && c < 2 {
				one[base+c] |= fStoresRM
			} else if !compares {
				one[base+c] |= fWritesReg
			}
		}
		one[base+4], one[base+5] = fImm8, fImmZ
		set(&one, fBad, base+6, base+7)
	}
	set(&one, fBad, 0x60, 0x61, 0x82, 0x9a, 0xce, 0xd4, 0xd5, 0xd6, 0xea)
	set(&one, fModRM|fWritesReg, 0x63, 0x69, 0x6b, 0x8a, 0x8b, 0x8d)
	set(&one, fImmZ, 0x68, 0x69, 0xa9)
	set(&one, fImm8, 0x6a, 0x6b, 0xa8, 0xcd, 0xe4, 0xe5, 0xe6, 0xe7, 0xeb)
	span(&one, fImm8, 0x70, 0x7f)
	set(&one, fModRM|fStoresRM, 0x80, 0x81, 0x83, 0x86, 0x87, 0x88, 0x89, 0x8c, 0x8f, 0xc0, 0xc1, 0xc6, 0xc7, 0xd0, 0xd1, 0xd2, 0xd3, 0xf6, 0xf7, 0xfe, 0xff)
	set(&one, fWritesReg, 0x86, 0x87)
	set(&one, fModRM, 0x84, 0x85, 0x8e)
	set(&one, fImm8, 0x80, 0x83, 0xc0, 0xc1, 0xc6)
	set(&one, fImmZ, 0x81, 0xc7, 0xe8, 0xe9)
	span(&one, fImm8, 0xb0, 0xb7)
	span(&one, fImmZ, 0xb8, 0xbf) // 8 bytes with REX.W
	span(&one, fModRM|fStoresRM, 0xd8, 0xdf)
	span(&one, fImm8, 0xe0, 0xe3)

	span(&two, fModRM, 0x00, 0xff)
	for _, c := range []int{0x05, 0x06, 0x07, 0x08, 0x09, 0x0b, 0x0e, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x37, 0x77, 0xa0, 0xa1, 0xa2, 0xa8, 0xa9, 0xaa} {
		two[c] = 0
	}
	for c := 0x80; c <= 0x8f; c++ {
		two[c] = fImmZ
	}
	for c := 0xc8; c <= 0xcf; c++ {
		two[c] = 0
	}
	set(&two, fBad, 0x04, 0x0a, 0x0c, 0x24, 0x25, 0x26, 0x27, 0x36, 0x39, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f)
	set(&two, fImm8, 0x0f, 0x70, 0x71, 0x72, 0x73, 0xa4, 0xac, 0xba, 0xc2, 0xc4, 0xc5, 0xc6)
	set(&two, fStoresRM, 0x00, 0x01, 0x11, 0x13, 0x17, 0x29, 0x2b, 0x7e, 0x7f, 0xa3, 0xa4, 0xa5, 0xab, 0xac, 0xad, 0xae, 0xb0, 0xb1, 0xb3, 0xba, 0xbb, 0xc0, 0xc1, 0xc3, 0xc7, 0xd6, 0xe7)
	span(&two, fStoresRM, 0x90, 0x9f)
	set(&two, fWritesReg, 0x02, 0x03, 0x2c, 0x2d, 0x50, 0x78, 0xaf, 0xb2, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xbc, 0xbd, 0xbe, 0xbf, 0xc0, 0xc1, 0xc5, 0xd7)
	span(&two, fWritesReg, 0x40, 0x4f)
	return one, two
}

// decoder is the state of DecodeInsn.
type decoder struct {
	b                  []byte
	at                 int
	rex                byte
	narrow, rep, repne bool
	short              bool // 32-bit addresses
	segment            bool
}

func (d *decoder) byte() byte {
	if d.at >= len(d.b) {
		d.at = len(d.b) + 1
		return 0
	}
	d.at++
	return d.b[d.at-1]
}

// signed reads an immediate of n bytes.
func (d *decoder) signed(n int) int64 {
	if d.at+n > len(d.b) {
		d.at = len(d.b) + 1
		return 0
	}
	b := d.b[d.at:]
	d.at += n
	switch n {
	case 1:
		return int64(int8(b[0]))
	case 2:
		return int64(int16(binary.LittleEndian.Uint16(b)))
	case 4:
		return int64(int32(binary.LittleEndian.Uint32(b)))
	}
	return int64(binary.LittleEndian.Uint64(b))
}

// modRM reads the byte of that name and what belongs to it. ripped says that the
// operand's value counts from the next instruction.
func (d *decoder) modRM() (reg uint8, rm Operand, ripped bool) {
	m := d.byte()
	reg = m>>3&7 | d.rex&4<<1
	low := m & 7
	if m>>6 == 3 {
		return reg, Operand{Kind: Register, Reg: low | d.rex&1<<3}, false
	}
	rm = Operand{Kind: Memory, Reg: low | d.rex&1<<3}
	switch {
	case low == 4:
		sib := d.byte()
		rm.Reg = sib&7 | d.rex&1<<3
		rm.Indexed = sib>>3&7|d.rex&2<<2 != 4
		if sib&7 == 5 && m>>6 == 0 {
			rm.Kind, rm.Reg, rm.Value = Absolute, 0, d.signed(4)
		}
	case low == 5 && m>>6 == 0:
		rm.Kind, rm.Reg, rm.Value, ripped = Absolute, 0, d.signed(4), true
	}
	switch m >> 6 {
	case 1:
		rm.Value = d.signed(1)
	case 2:
		rm.Value = d.signed(4)
	}
	if d.segment || d.short {
		rm.Kind, ripped = Segment, false
	}
	return reg, rm, ripped
}

// DecodeInsn decodes the x86-64 instruction at the start of b, which lies at an
// address. It knows the length of all that compilers emit, AVX-512 included, and tells
// more of those that move and compute constants. It is false for what is none, and for
// what goes on behind b.
func DecodeInsn(b []byte, address uint64) (in Insn, ok bool) {
	d := decoder{b: b[:min(len(b), 15)]}
	opcode := d.prefixes()
	switch {
	case d.at > len(d.b):
		return Insn{}, false
	case opcode == 0x62 || opcode == 0xc4 || opcode == 0xc5,
		opcode == 0x8f && d.at < len(d.b) && d.b[d.at]&0x1f >= 8: // AMD's XOP; below that it is pop
		in, ok = d.vector(opcode, address)
	case opcode == 0x0f:
		in, ok = d.escaped(address)
	default:
		in, ok = d.plain(opcode, address)
	}
	if !ok || d.at > len(d.b) {
		return Insn{}, false
	}
	in.Len = uint8(d.at)
	return in, true
}

// prefixes reads them and the byte that follows.
func (d *decoder) prefixes() byte {
	for {
		switch c := d.byte(); {
		case c == 0x66:
			d.narrow, d.rex = true, 0
		case c == 0x67:
			d.short, d.rex = true, 0
		case c == 0xf2:
			d.repne, d.rex = true, 0
		case c == 0xf3:
			d.rep, d.rex = true, 0
		case c == 0x64 || c == 0x65:
			d.segment, d.rex = true, 0
		case c == 0xf0 || c == 0x2e || c == 0x36 || c == 0x3e || c == 0x26:
			d.rex = 0
		case c&0xf0 == 0x40:
			d.rex = c
		default:
			return c
		}
	}
}

// size is that of operands that are not bytes.
func (d *decoder) size() uint8 {
	switch {
	case d.rex&8 != 0:
		return 8
	case d.narrow:
		return 2
	}
	return 4
}

func (d *decoder) immediate(flags uint8) Operand {
	switch {
	case flags&fImm8 != 0:
		return Operand{Kind: Immediate, Value: d.signed(1)}
	case flags&fImmZ != 0 && d.size() == 2:
		return Operand{Kind: Immediate, Value: d.signed(2)}
	case flags&fImmZ != 0:
		return Operand{Kind: Immediate, Value: d.signed(4)}
	}
	return Operand{}
}

// settle makes an operand that counts from the next instruction absolute.
func (d *decoder) settle(o *Operand, ripped bool, address uint64) {
	if ripped {
		o.Value += int64(address) + int64(d.at)
	}
}

// target is the operand of a relative jump.
func (d *decoder) target(rel Operand, address uint64) Operand {
	return Operand{Kind: Immediate, Value: int64(address) + int64(d.at) + rel.Value}
}

func registerOperand(r uint8) Operand { return Operand{Kind: Register, Reg: r & 15} }

// clobber makes an instruction one that writes something unknown to an operand.
func (in *Insn) clobber(o Operand) {
	switch o.Kind {
	case Register:
		in.Clobbers |= 1 << o.Reg
	case Memory, Absolute, Segment:
		in.Dst, in.Stores = o, true
	}
}

// plain decodes the opcodes of one byte.
func (d *decoder) plain(opcode byte, address uint64) (in Insn, ok bool) {
	flags := oneByte[opcode]
	if flags&fBad != 0 {
		return in, false
	}
	in.Size = d.size()
	low := opcode&7 | d.rex&1<<3
	var reg uint8
	var rm Operand
	var ripped bool
	if flags&fModRM != 0 {
		reg, rm, ripped = d.modRM()
	}
	extension := reg & 7
	if byteOperands(opcode) {
		reg, rm = d.whole(reg), d.wholeOperand(rm)
	}
	if opcode == 0xf6 && extension < 2 {
		flags |= fImm8
	}
	if opcode == 0xf7 && extension < 2 {
		flags |= fImmZ
	}
	imm := Operand{}
	switch {
	case opcode&0xf8 == 0xb8 && d.rex&8 != 0:
		imm = Operand{Kind: Immediate, Value: d.signed(8)}
	case opcode == 0xe8 || opcode == 0xe9: // never 16 bits
		imm = Operand{Kind: Immediate, Value: d.signed(4)}
	case opcode >= 0xa0 && opcode <= 0xa3:
		n := 8
		if d.short {
			n = 4
		}
		d.signed(n)
	case opcode == 0xc2 || opcode == 0xca:
		d.signed(2)
	case opcode == 0xc8:
		d.signed(2)
		d.signed(1)
	default:
		imm = d.immediate(flags)
	}
	d.settle(&rm, ripped, address)

	wide := in.Size >= 4 // only then is all of a register known
	switch {
	case opcode >= 0x50 && opcode <= 0x57:
		in.Op, in.Size, in.Src = OpPush, 8, registerOperand(low)
	case opcode >= 0x58 && opcode <= 0x5f:
		in.Op, in.Size, in.Dst = OpPop, 8, registerOperand(low)
	case opcode == 0x68 || opcode == 0x6a:
		in.Op, in.Size, in.Src = OpPush, 8, imm
	case opcode >= 0x70 && opcode <= 0x7f || opcode >= 0xe0 && opcode <= 0xe3:
		in.Op, in.Src = OpBranch, d.target(imm, address)
		if opcode < 0xe3 && opcode >= 0xe0 {
			in.Clobbers = 1 << RCX
		}
		if opcode < 0x80 {
			in.Cond = condition(opcode)
		}
	case opcode == 0xe8:
		in.Op, in.Src = OpCall, d.target(imm, address)
	case opcode == 0xe9 || opcode == 0xeb:
		in.Op, in.Src = OpJump, d.target(imm, address)
	case opcode == 0xff && (extension == 2 || extension == 3):
		in.Op, in.Src = OpCall, rm
	case opcode == 0xff && (extension == 4 || extension == 5):
		in.Op, in.Src = OpJump, rm
	case opcode == 0xff && extension == 6:
		in.Op, in.Size, in.Src = OpPush, 8, rm
	case opcode == 0xff && extension == 7 || opcode == 0xfe && extension > 1:
		return in, false
	case opcode == 0x8f:
		in.Op, in.Size, in.Dst, in.Stores = OpPop, 8, rm, rm.Kind != Register
	case opcode == 0xc2 || opcode == 0xc3:
		in.Op = OpReturn
	case opcode == 0xc9:
		in.Op = OpLeave
	case opcode == 0xf4:
		in.Op = OpStop
	case opcode == 0xcd && imm.Value == -0x80:
		in.Op = OpInt80
	case opcode == 0x89 && wide:
		in.Op, in.Dst, in.Src, in.Stores = OpMove, rm, registerOperand(reg), rm.Kind != Register
	case opcode == 0x8b && wide:
		in.Op, in.Dst, in.Src = OpMove, registerOperand(reg), rm
	case opcode == 0x63 && rm.Kind == Register && d.rex&8 != 0: // the low half is what counts
		in.Op, in.Dst, in.Src = OpMove, registerOperand(reg), rm
	case opcode == 0x8d && wide && rm.Kind != Register:
		in.Op, in.Dst, in.Src = OpAddress, registerOperand(reg), rm
	case opcode == 0xc7 && extension == 0 && wide:
		in.Op, in.Dst, in.Src, in.Stores = OpMove, rm, imm, rm.Kind != Register
	case opcode&0xf8 == 0xb8 && wide:
		in.Op, in.Dst, in.Src = OpMove, registerOperand(low), imm
	case opcode < 0x40 && opcode&7 < 4 || opcode == 0x84 || opcode == 0x85:
		d.arithmetic(&in, opcode, reg, rm)
	case opcode < 0x40: // on RAX
		if opcode < 0x38 {
			in.immediateOp(opcode>>3, registerOperand(RAX), imm, wide && opcode&1 == 1)
		} else {
			in.Op, in.Touched, in.Src = OpCompare, registerOperand(RAX), imm
		}
	case opcode == 0x80 || opcode == 0x81 || opcode == 0x83:
		if extension == 7 { // cmp
			in.Op, in.Touched, in.Src = OpCompare, rm, imm
		} else {
			in.immediateOp(extension, rm, imm, wide && opcode != 0x80)
		}
	case opcode == 0xca || opcode == 0xcb || opcode == 0xcf || opcode == 0xcd || opcode == 0xfa || opcode == 0xfb:
		in.Op = OpRare
	case opcode == 0x90 && d.rex&1 == 0 || opcode == 0xcc:
		in.Op = OpNop
	case opcode == 0x9b || opcode == 0x9c || opcode >= 0xa8 && opcode <= 0xa9 || opcode >= 0xf5 && opcode <= 0xfd && opcode != 0xf6 && opcode != 0xf7:
		if opcode == 0x9c {
			in.Op, in.Size = OpPush, 8
		}
	case opcode == 0x9d:
		in.Op, in.Size = OpPop, 8
	case opcode >= 0x90 && opcode <= 0x97:
		in.Clobbers = 1<<RAX | 1<<low
	case opcode == 0xf6 || opcode == 0xf7:
		switch {
		case extension < 2: // test
			in.Touched, in.Src = rm, imm
		case extension < 4:
			in.clobber(rm)
		default: // multiplication and division
			in.Touched = rm
			in.Clobbers |= 1<<RAX | 1<<RDX
		}
	case opcode >= 0xb0 && opcode <= 0xb7:
		if in.Clobbers = 1 << d.whole(low); d.whole(low) == low {
			in.Op, in.Dst, in.Src, in.Clobbers = OpInsert, registerOperand(low), imm, 0
		}
	case opcode >= 0xd8 && opcode <= 0xdf:
		if rm.Kind != Register {
			in.Size = 64
			in.clobber(rm)
		} else if opcode == 0xdf && reg&7 == 4 { // fnstsw ax
			in.Clobbers = 1 << RAX
		}
	case opcode == 0x8e:
		in.Touched = rm
	case flags&fModRM != 0:
		in.Src = imm
		if flags&fStoresRM != 0 {
			in.clobber(rm)
		} else {
			in.Touched = rm
		}
		if flags&fWritesReg != 0 {
			in.Clobbers |= 1 << reg
		}
	default: // string instructions, sign extension, input and output
		if opcode < 0x98 || opcode > 0x99 && opcode < 0xa4 || opcode > 0xaf {
			in.Op = OpRare
		}
		in.Clobbers = 1<<RAX | 1<<RCX | 1<<RDX | 1<<RSI | 1<<RDI
		in.Src = imm
		in.Stores, in.Dst, in.Size = true, Operand{Kind: Segment}, 64
		if opcode == 0xc8 { // enter
			in.Clobbers |= 1<<RSP | 1<<RBP
		}
	}
	return in, true
}

// byteOperands says that the operands of an opcode are bytes.
func byteOperands(opcode byte) bool {
	switch opcode {
	case 0x80, 0x84, 0x86, 0x88, 0x8a, 0xc0, 0xc6, 0xd0, 0xd2, 0xf6, 0xfe:
		return true
	}
	return opcode < 0x40 && opcode&5 == 0
}

// whole is the register of which one of a byte is a part: without REX, AH to BH are
// written as RSP to RDI are.
func (d *decoder) whole(r uint8) uint8 {
	if d.rex == 0 && r >= 4 {
		return r - 4
	}
	return r
}

func (d *decoder) wholeOperand(o Operand) Operand {
	if o.Kind == Register {
		o.Reg = d.whole(o.Reg)
	}
	return o
}

// arithmetic is add, or, adc, sbb, and, sub, xor, cmp and test of two operands.
func (d *decoder) arithmetic(in *Insn, opcode byte, reg uint8, rm Operand) {
	same := rm.Kind == Register && rm.Reg == reg && in.Size >= 4 && opcode&1 == 1
	kind := opcode >> 3
	switch {
	case opcode >= 0x38: // cmp, test
		in.Op, in.Touched, in.Src = OpCompare, rm, registerOperand(reg)
		if same && opcode >= 0x84 {
			in.Src = Operand{Kind: Immediate}
		}
	case same && (kind == 5 || kind == 6): // sub, xor
		in.Op, in.Dst, in.Src = OpMove, registerOperand(reg), Operand{Kind: Immediate}
	case same && kind == 3: // sbb
		in.Op, in.Dst = OpMask, registerOperand(reg)
	case same && (kind == 1 || kind == 4): // or, and
	case opcode&2 != 0:
		in.Touched = rm
		in.Clobbers = 1 << reg
	default:
		in.clobber(rm)
		in.Touched = registerOperand(reg)
	}
}

// immediateOp is add, or, adc, sbb, and, sub, xor of an operand and an immediate.
func (in *Insn) immediateOp(kind uint8, rm, imm Operand, whole bool) {
	in.Dst, in.Src = rm, imm
	in.Stores = rm.Kind != Register
	switch {
	case whole && kind == 0:
		in.Op = OpAdd
	case whole && kind == 1:
		in.Op = OpOr
	case whole && kind == 4:
		in.Op = OpAnd
	case whole && kind == 5:
		in.Op = OpAdd
		in.Src.Value = -imm.Value
	case whole && kind == 6:
		in.Op = OpXor
	default:
		in.Dst, in.Stores = Operand{}, false
		in.clobber(rm)
	}
}

// escaped decodes the opcodes behind 0F.
func (d *decoder) escaped(address uint64) (in Insn, ok bool) {
	opcode := d.byte()
	flags := twoByte[opcode]
	if flags&fBad != 0 {
		return in, false
	}
	in.Size = d.size()
	switch opcode {
	case 0x05:
		in.Op, in.Clobbers = OpSyscall, 1<<RAX|1<<RCX|1<<R11
		return in, true
	case 0x34:
		in.Op = OpSysenter
		return in, true
	case 0x0b:
		in.Op = OpStop
		return in, true
	case 0x38, 0x3a:
		third := d.byte()
		reg, rm, ripped := d.modRM()
		if opcode == 0x3a {
			d.signed(1)
		}
		d.settle(&rm, ripped, address)
		in.Touched, in.Size = rm, 64
		switch {
		case opcode == 0x38 && third >= 0xf0: // movbe, crc32, adx and the like
			in.Touched = Operand{}
			in.clobber(rm)
			in.Clobbers |= 1 << reg
		case opcode == 0x3a && third >= 0x14 && third <= 0x17: // pextr
			in.Touched = Operand{}
			in.clobber(rm)
		case opcode == 0x3a && (third == 0x61 || third == 0x63): // pcmpestri, pcmpistri
			in.Clobbers = 1 << RCX
		}
		return in, true
	}
	if opcode >= 0xc8 && opcode <= 0xcf {
		in.Clobbers = 1 << (opcode&7 | d.rex&1<<3)
		return in, true
	}
	if flags&fModRM == 0 {
		imm := d.immediate(flags &^ fImmZ)
		if flags&fImmZ != 0 {
			imm = Operand{Kind: Immediate, Value: d.signed(4)}
		}
		switch {
		case opcode >= 0x80 && opcode <= 0x8f:
			in.Op, in.Src, in.Cond = OpBranch, d.target(imm, address), condition(opcode)
		case opcode == 0xa0 || opcode == 0xa8:
			in.Op, in.Size = OpPush, 8
		case opcode == 0xa1 || opcode == 0xa9:
			in.Op, in.Size = OpPop, 8
		default: // cpuid, rdtsc and the like
			in.Clobbers = 1<<RAX | 1<<RCX | 1<<RDX | 1<<3
		}
		return in, true
	}
	reg, rm, ripped := d.modRM()
	d.immediate(flags & fImm8)
	d.settle(&rm, ripped, address)
	high := d.rex == 0 && rm.Kind == Register && rm.Reg >= 4 // where it is a byte
	if opcode >= 0x90 && opcode <= 0x9f || opcode == 0xb0 || opcode == 0xc0 {
		reg, rm = d.whole(reg), d.wholeOperand(rm)
	}
	switch {
	case opcode >= 0x40 && opcode <= 0x4f && in.Size >= 4:
		in.Op, in.Dst, in.Src = OpMaybe, registerOperand(reg), rm
	case opcode >= 0x90 && opcode <= 0x9f && rm.Kind == Register && !high:
		in.Op, in.Dst = OpFlag, rm
	case opcode == 0xb6 && rm.Kind == Register && in.Size >= 4 && !high:
		in.Op, in.Dst, in.Src, in.Size = OpMove, registerOperand(reg), rm, 1
	case opcode == 0x1f:
		in.Op, in.Size = OpNop, 64
	case opcode == 0x7e && d.rep: // movq between vector registers
		in.Touched, in.Size = rm, 64
	case opcode == 0x01 || opcode == 0xae || opcode == 0xc7: // xgetbv, rdtscp, cmpxchg16b, rdfsbase, rdrand
		in.Size = 64
		in.clobber(rm)
		in.Clobbers |= 1<<RAX | 1<<RCX | 1<<RDX
	case opcode == 0xb0 || opcode == 0xb1: // cmpxchg
		in.clobber(rm)
		in.Clobbers |= 1 << RAX
	default:
		if flags&fStoresRM != 0 {
			if vectorStore(opcode) {
				in.Size = 64
				if rm.Kind != Register || opcode == 0x7e {
					in.clobber(rm)
				}
			} else {
				in.clobber(rm)
			}
		} else {
			in.Touched = rm
			if flags&fWritesReg == 0 {
				in.Size = 64
			}
		}
		if flags&fWritesReg != 0 {
			in.Clobbers |= 1 << reg
		}
	}
	return in, true
}

// vectorStore says that an opcode behind 0F stores a vector register.
func vectorStore(opcode byte) bool {
	switch opcode {
	case 0x11, 0x13, 0x17, 0x29, 0x2b, 0x7e, 0x7f, 0xd6, 0xe7:
		return true
	}
	return false
}

// vector decodes what has a VEX, an EVEX or an XOP prefix.
func (d *decoder) vector(prefix byte, address uint64) (in Insn, ok bool) {
	if d.rex != 0 || d.narrow || d.rep || d.repne {
		return in, false
	}
	p := d.byte()
	page, other := byte(1), p>>3&15^15
	var bits byte // X and B of REX, inverted; R too
	switch prefix {
	case 0xc5:
		bits = p&0x80 | 0x60
	case 0xc4, 0x8f:
		page, bits = p&0x1f, p&0xe0
		other = d.byte()>>3&15 ^ 15
	case 0x62:
		page, bits = p&7, p&0xe0
		second := d.byte()
		if p&8 != 0 || second&4 == 0 {
			return in, false
		}
		other = second>>3&15 ^ 15
		d.byte()
	}
	bits = ^bits
	d.rex = bits>>7&1<<2 | bits>>6&1<<1 | bits>>5&1
	if page == 0 || page == 4 || prefix == 0x8f != (page >= 8 && page <= 10) || prefix != 0x8f && page > 7 {
		return in, false
	}
	opcode := d.byte()
	in.Size = 64
	if page == 1 && opcode == 0x77 && prefix != 0x62 {
		return in, true
	}
	reg, rm, ripped := d.modRM()
	switch {
	case page == 3, page == 8, page == 1 && twoByte[opcode]&fImm8 != 0:
		d.signed(1)
	case page == 10:
		d.signed(4)
	}
	d.settle(&rm, ripped, address)
	in.Touched = rm
	switch {
	case page == 1 && (opcode == 0x50 || opcode == 0xd7 || opcode == 0xc5 || opcode == 0x2c || opcode == 0x2d || opcode == 0x78 || opcode == 0x79 || opcode == 0x93):
		in.Clobbers = 1 << reg
	case page == 1 && (opcode == 0x7e || opcode == 0x91),
		page == 3 && opcode >= 0x14 && opcode <= 0x17,
		page == 1 && vectorStore(opcode) && rm.Kind != Register,
		page == 2 && (opcode == 0x2e || opcode == 0x2f || opcode == 0x8e || opcode&0xf0 == 0xa0 || opcode == 0x63 || opcode == 0x8a || opcode == 0x8b) && rm.Kind != Register,
		page == 2 && opcode < 0x40 && opcode >= 0x10 && rm.Kind != Register && prefix == 0x62,
		page == 3 && (opcode == 0x19 || opcode == 0x39 || opcode == 0x1b || opcode == 0x3b || opcode == 0x1d) && rm.Kind != Register:
		in.Touched = Operand{}
		in.clobber(rm)
	case page == 2 && opcode >= 0xf2 && opcode <= 0xf7, page == 3 && opcode == 0xf0, page >= 9:
		in.Clobbers = 1<<reg | 1<<other
	case page == 3 && (opcode == 0x61 || opcode == 0x63):
		in.Clobbers = 1 << RCX
	}
	return in, true
}
