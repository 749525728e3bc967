package image

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
	Fresh    uint16  // those of Clobbers of which it is known that what they held neither is read nor stays in part
}
