package filter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// The instructions that a filter may have. The list is that of seccomp_check_filter
// in kernel/seccomp.c: no loads of bytes and halfwords, no BPF_MOD.
const (
	ldAbs  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	ldLen  = unix.BPF_LD | unix.BPF_W | unix.BPF_LEN
	ldImm  = unix.BPF_LD | unix.BPF_IMM
	ldMem  = unix.BPF_LD | unix.BPF_MEM
	ldxLen = unix.BPF_LDX | unix.BPF_W | unix.BPF_LEN
	ldxImm = unix.BPF_LDX | unix.BPF_IMM
	ldxMem = unix.BPF_LDX | unix.BPF_MEM
	st     = unix.BPF_ST
	stx    = unix.BPF_STX
	tax    = unix.BPF_MISC | unix.BPF_TAX
	txa    = unix.BPF_MISC | unix.BPF_TXA
	ja     = unix.BPF_JMP | unix.BPF_JA
	jeq    = unix.BPF_JMP | unix.BPF_JEQ
	jgt    = unix.BPF_JMP | unix.BPF_JGT
	jge    = unix.BPF_JMP | unix.BPF_JGE
	jset   = unix.BPF_JMP | unix.BPF_JSET
	add    = unix.BPF_ALU | unix.BPF_ADD
	sub    = unix.BPF_ALU | unix.BPF_SUB
	mul    = unix.BPF_ALU | unix.BPF_MUL
	div    = unix.BPF_ALU | unix.BPF_DIV
	and    = unix.BPF_ALU | unix.BPF_AND
	or     = unix.BPF_ALU | unix.BPF_OR
	xor    = unix.BPF_ALU | unix.BPF_XOR
	lsh    = unix.BPF_ALU | unix.BPF_LSH
	rsh    = unix.BPF_ALU | unix.BPF_RSH
	neg    = unix.BPF_ALU | unix.BPF_NEG
	retK   = unix.BPF_RET | unix.BPF_K
	retA   = unix.BPF_RET | unix.BPF_A
)

// regX in the code of a jump or of arithmetic makes the register X the second
// operand instead of the constant K.
const regX = unix.BPF_X

// Data is struct seccomp_data of linux/seccomp.h: what a filter decides on.
type Data struct {
	NR   uint32 // as the kernel sees it: with the x32 bit, 0xffffffff for -1
	Arch uint32 // AUDIT_ARCH_*
	IP   uint64
	Args [6]uint64
}

// dataSize is sizeof(struct seccomp_data).
const dataSize = 64

// The offsets in struct seccomp_data.
const (
	offNR   = 0
	offArch = 4
	offIP   = 8
	offArgs = 16
)

// words are the 32-bit words of a Data that a filter can load, in memory order.
type words [dataSize / 4]uint32

func (d *Data) words() words {
	var mem [dataSize]byte
	binary.NativeEndian.PutUint32(mem[offNR:], d.NR)
	binary.NativeEndian.PutUint32(mem[offArch:], d.Arch)
	binary.NativeEndian.PutUint64(mem[offIP:], d.IP)
	for i, arg := range d.Args {
		binary.NativeEndian.PutUint64(mem[offArgs+8*i:], arg)
	}
	var w words
	for i := range w {
		w[i] = binary.NativeEndian.Uint32(mem[4*i:])
	}
	return w
}

// Validate refuses what seccomp(2) answers with EINVAL: an empty or too long
// program, an unknown instruction, a load outside of Data or off its 4-byte
// alignment, a jump out of the program, scratch memory out of range or read where
// a path has not written it, a constant division by zero or shift by 32 or more,
// and an end that does not return. The sources are bpf_check_classic in
// net/core/filter.c and seccomp_check_filter in kernel/seccomp.c.
func (p Program) Validate() error {
	if len(p) == 0 {
		return errors.New("empty filter")
	}
	if len(p) > MaxInstructions {
		return fmt.Errorf("filter has %d instructions, the kernel takes at most %d", len(p), MaxInstructions)
	}
	for pc, in := range p {
		if err := checkInstruction(in, len(p)-pc-1); err != nil {
			return fmt.Errorf("instruction %d (%s): %w", pc, listing(pc, in), err)
		}
	}
	if last := p[len(p)-1].Code; last != retK && last != retA {
		return errors.New("the last instruction does not return")
	}
	return p.checkScratch()
}

// checkInstruction judges one instruction that has rest others after it.
func checkInstruction(in unix.SockFilter, rest int) error {
	switch in.Code {
	case ldAbs:
		if in.K >= dataSize || in.K%4 != 0 {
			return errors.New("load outside of the aligned words of seccomp_data")
		}
	case ldMem, ldxMem, st, stx:
		if in.K >= unix.BPF_MEMWORDS {
			return errors.New("scratch memory has 16 words")
		}
	case ja:
		if uint64(in.K) >= uint64(rest) {
			return errors.New("jump out of the program")
		}
	case jeq, jeq | regX, jgt, jgt | regX, jge, jge | regX, jset, jset | regX:
		if int(in.Jt) >= rest || int(in.Jf) >= rest {
			return errors.New("jump out of the program")
		}
	case div:
		if in.K == 0 {
			return errors.New("division by zero")
		}
	case lsh, rsh:
		if in.K >= 32 {
			return errors.New("shift by more than 31 bits")
		}
	case ldLen, ldImm, ldxLen, ldxImm, tax, txa, retK, retA, neg,
		add, add | regX, sub, sub | regX, mul, mul | regX, div | regX,
		and, and | regX, or, or | regX, xor, xor | regX, lsh | regX, rsh | regX:
	default:
		return errors.New("not an instruction of seccomp filters")
	}
	return nil
}

// checkScratch refuses a read of a scratch word that some path to it has not
// written. Jumps only lead forward, so one pass sees every path. Its caller has
// checked the jumps.
func (p Program) checkScratch() error {
	const all = 1<<unix.BPF_MEMWORDS - 1
	written := make([]uint16, len(p)) // by every jump that leads here
	for i := range written {
		written[i] = all
	}
	now := uint16(0) // by every path that arrives here from the instruction before
	for pc, in := range p {
		now &= written[pc]
		switch in.Code {
		case st, stx:
			now |= 1 << in.K
		case ldMem, ldxMem:
			if now&(1<<in.K) == 0 {
				return fmt.Errorf("instruction %d (%s): scratch memory is read before it is written", pc, listing(pc, in))
			}
		case ja:
			written[pc+1+int(in.K)] &= now
			now = all
		case jeq, jeq | regX, jgt, jgt | regX, jge, jge | regX, jset, jset | regX:
			written[pc+1+int(in.Jt)] &= now
			written[pc+1+int(in.Jf)] &= now
			now = all
		}
	}
	return nil
}

// Run decides one call. It returns what the kernel would get from the filter (see
// ParseReturn) and how many instructions that took. It fails where Validate does.
func (p Program) Run(d Data) (ret uint32, steps int, err error) {
	if err := p.Validate(); err != nil {
		return 0, 0, err
	}
	w := d.words()
	ret, _ = p.execute(&w, func(int) { steps++ })
	return ret, steps, nil
}

// run interprets a program that Validate has passed; all its jumps lead forward,
// so it ends. It tells which words of its data the program has loaded, a bit each: the
// result depends on these alone.
func (p Program) run(data *words) (ret uint32, loaded uint16) {
	return p.execute(data, nil)
}

// execute is run that tells which instructions it executes, where somebody asks.
func (p Program) execute(data *words, visit func(pc int)) (ret uint32, loaded uint16) {
	var a, x uint32
	var mem [unix.BPF_MEMWORDS]uint32
	for pc := 0; ; pc++ {
		in := &p[pc]
		if visit != nil {
			visit(pc)
		}
		operand := in.K
		if in.Code&regX != 0 {
			operand = x
		}
		switch in.Code {
		case ldAbs:
			a = data[in.K/4]
			loaded |= 1 << (in.K / 4)
		case ldLen:
			a = dataSize
		case ldxLen:
			x = dataSize
		case ldImm:
			a = in.K
		case ldxImm:
			x = in.K
		case ldMem:
			a = mem[in.K]
		case ldxMem:
			x = mem[in.K]
		case st:
			mem[in.K] = a
		case stx:
			mem[in.K] = x
		case tax:
			x = a
		case txa:
			a = x
		case add, add | regX:
			a += operand
		case sub, sub | regX:
			a -= operand
		case mul, mul | regX:
			a *= operand
		case div, div | regX:
			if operand == 0 {
				return 0, loaded // bpf_convert_filter makes this leave with 0
			}
			a /= operand
		case and, and | regX:
			a &= operand
		case or, or | regX:
			a |= operand
		case xor, xor | regX:
			a ^= operand
		case lsh, lsh | regX:
			a <<= operand & 31 // eBPF, to which the kernel converts, masks the count
		case rsh, rsh | regX:
			a >>= operand & 31
		case neg:
			a = -a
		case ja:
			pc += int(in.K)
		case jeq, jeq | regX:
			pc += jump(in, a == operand)
		case jgt, jgt | regX:
			pc += jump(in, a > operand)
		case jge, jge | regX:
			pc += jump(in, a >= operand)
		case jset, jset | regX:
			pc += jump(in, a&operand != 0)
		case retK:
			return in.K, loaded
		case retA:
			return a, loaded
		}
	}
}

func jump(in *unix.SockFilter, taken bool) int {
	if taken {
		return int(in.Jt)
	}
	return int(in.Jf)
}

// constants returns the constants that the program compares words of its Data
// with, by the index of the word: the places where its decision can change. A
// word is taken to be that of the nearest load above, which is how compilers lay
// filters out; a program that is laid out otherwise yields fewer useful ones.
func (p Program) constants() [dataSize / 4][]uint32 {
	var found [dataSize / 4][]uint32
	word := 0
	for _, in := range p {
		switch in.Code {
		case ldAbs:
			word = int(in.K / 4)
		case jeq, jgt, jge, jset, and:
			found[word] = append(found[word], in.K)
		}
	}
	for i := range found {
		slices.Sort(found[i])
		found[i] = slices.Compact(found[i])
	}
	return found
}

// compared returns the constants that a program which Validate has passed compares a word
// of its Data with, and whether that is all it does with the word on any path. Then the program decides the
// same for all values between two of them.
func (p Program) compared(word int) (constants []uint32, only bool) {
	held := make([]uint16, len(p)) // the words that A may come from, by every jump that leads here
	now := uint16(0)               // by every path that arrives here
	for pc, in := range p {
		now |= held[pc]
		wanted := now&(1<<word) != 0
		switch in.Code {
		case ldAbs:
			now = 1 << (in.K / 4)
		case and:
			if wanted {
				return nil, false
			}
		case ja:
			held[pc+1+int(in.K)] |= now
			now = 0
		case jeq, jgt, jge, jset:
			if wanted && in.Code == jset {
				return nil, false
			}
			if wanted {
				constants = append(constants, in.K)
			}
			held[pc+1+int(in.Jt)] |= now
			held[pc+1+int(in.Jf)] |= now
			now = 0
		case retK:
			now = 0
		default:
			return nil, false
		}
	}
	return constants, true
}
