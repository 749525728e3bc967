package image

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
		in.Fresh = 1<<RCX | 1<<R11
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
		if opcode == 0xc7 && rm.Kind != Register { // cmpxchg16b takes what it stores from RCX and RBX
			in.Touched = registerOperand(3)
		}
	case opcode == 0xb0 || opcode == 0xb1: // cmpxchg
		in.clobber(rm)
		in.Touched = registerOperand(reg)
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
				switch opcode {
				case 0xa3, 0xa4, 0xa5, 0xab, 0xac, 0xad, 0xb3, 0xbb, 0xc3: // bits of a register, and movnti
					in.Touched = registerOperand(reg)
				}
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
		switch opcode {
		case 0x2c, 0x2d, 0x50, 0xc5, 0xd7: // from vector registers
			in.Fresh = in.Clobbers
		case 0xb6, 0xb7, 0xbe, 0xbf: // movzx, movsx
			if in.Size >= 4 && (rm.Kind != Register || d.wholeOperand(rm).Reg != reg && rm.Reg != reg) {
				in.Fresh = in.Clobbers
			}
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
