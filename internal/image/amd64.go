package image

import "encoding/binary"

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
			if extension < 6 && opcode == 0xf7 && wide {
				in.Fresh = 1 << RDX
			}
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
		if (opcode == 0x63 || opcode == 0x69 || opcode == 0x6b) && wide && (rm.Kind != Register || rm.Reg != reg) {
			in.Fresh = 1 << reg
		}
	case opcode == 0x98: // what is in RAX is extended
		in.Clobbers = 1 << RAX
	case opcode == 0x99: // its sign is
		if in.Clobbers = 1 << RDX; wide {
			in.Fresh = 1 << RDX
		}
	default: // string instructions, input and output
		if opcode < 0xa4 || opcode > 0xaf {
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
