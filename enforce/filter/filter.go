// Package filter decides what a policy is in the kernel's terms: it compiles a
// synth.Policy to classic BPF through libseccomp, and shows in an interpreter of
// its own that what came out decides as the policy says. It refuses to know
// processes: it never loads a filter, the launcher does.
//
// It is the only package that uses cgo. A build without cgo has everything but
// Compile, which then returns ErrNoCgo.
//
// Its main hazard is a filter that silently does less than the policy: libseccomp
// translates rules of foreign ABIs by name, so a number can come out as another
// or not at all. Every ABI is therefore compiled from raw numbers, and no filter
// should be loaded that Check has not passed.
package filter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNoCgo is what Compile returns in a build without cgo.
var ErrNoCgo = errors.New("this build has no libseccomp; rebuild with CGO_ENABLED=1 and libseccomp-dev")

// ErrTooLong is what Compile and Stack wrap where the program has more than MaxInstructions.
var ErrTooLong = fmt.Errorf("the kernel takes at most %d", MaxInstructions)

// MaxInstructions is BPF_MAXINSNS of linux/bpf_common.h: the longest program that
// the kernel takes.
const MaxInstructions = unix.BPF_MAXINSNS

// Program is a seccomp filter: classic BPF over Data. Its first element and its
// length are what SECCOMP_SET_MODE_FILTER takes in a unix.SockFprog.
type Program []unix.SockFilter

// Bytes is the program as an array of struct sock_filter in native byte order, as
// seccomp(2) takes it and libseccomp exports it.
func (p Program) Bytes() []byte {
	b := make([]byte, 0, 8*len(p))
	for _, in := range p {
		b = binary.NativeEndian.AppendUint16(b, in.Code)
		b = append(b, in.Jt, in.Jf)
		b = binary.NativeEndian.AppendUint32(b, in.K)
	}
	return b
}

// Parse reads what Bytes writes. It does not Validate.
func Parse(b []byte) (Program, error) {
	if len(b)%8 != 0 {
		return nil, fmt.Errorf("parse filter: %d bytes are not a whole number of instructions", len(b))
	}
	p := make(Program, 0, len(b)/8)
	for ; len(b) > 0; b = b[8:] {
		p = append(p, unix.SockFilter{
			Code: binary.NativeEndian.Uint16(b),
			Jt:   b[2],
			Jf:   b[3],
			K:    binary.NativeEndian.Uint32(b[4:]),
		})
	}
	return p, nil
}

// String lists the program for a person, one instruction a line, jumps with the
// index that they lead to.
func (p Program) String() string {
	var s strings.Builder
	for pc, in := range p {
		fmt.Fprintf(&s, "%4d: %s\n", pc, listing(pc, in))
	}
	return s.String()
}

func listing(pc int, in unix.SockFilter) string {
	operand := fmt.Sprintf("%#x", in.K)
	if in.Code&regX != 0 {
		operand = "x"
	}
	next := pc + 1
	switch in.Code {
	case ldAbs:
		return fmt.Sprintf("a = data[%d]", in.K)
	case ldLen:
		return fmt.Sprintf("a = %d", dataSize)
	case ldxLen:
		return fmt.Sprintf("x = %d", dataSize)
	case ldImm:
		return fmt.Sprintf("a = %#x", in.K)
	case ldxImm:
		return fmt.Sprintf("x = %#x", in.K)
	case ldMem:
		return fmt.Sprintf("a = m[%d]", in.K)
	case ldxMem:
		return fmt.Sprintf("x = m[%d]", in.K)
	case st:
		return fmt.Sprintf("m[%d] = a", in.K)
	case stx:
		return fmt.Sprintf("m[%d] = x", in.K)
	case tax:
		return "x = a"
	case txa:
		return "a = x"
	case neg:
		return "a = -a"
	case ja:
		return fmt.Sprintf("goto %d", next+int(in.K))
	case retA:
		return "return a"
	case retK:
		return fmt.Sprintf("return %#x", in.K)
	}
	target := func(test string) string {
		return fmt.Sprintf("if %s goto %d else %d", fmt.Sprintf(test, operand), next+int(in.Jt), next+int(in.Jf))
	}
	switch in.Code &^ regX {
	case jeq:
		return target("a == %s")
	case jgt:
		return target("a > %s")
	case jge:
		return target("a >= %s")
	case jset:
		return target("a & %s")
	case add:
		return "a += " + operand
	case sub:
		return "a -= " + operand
	case mul:
		return "a *= " + operand
	case div:
		return "a /= " + operand
	case and:
		return "a &= " + operand
	case or:
		return "a |= " + operand
	case xor:
		return "a ^= " + operand
	case lsh:
		return "a <<= " + operand
	case rsh:
		return "a >>= " + operand
	}
	return fmt.Sprintf("code %#x jt %d jf %d k %#x", in.Code, in.Jt, in.Jf, in.K)
}
