package sysno

import (
	"fmt"
	"strconv"
	"strings"
)

// atFDCWD is AT_FDCWD of linux/fcntl.h.
const atFDCWD = -100

// Format writes one value of the argument as strace does: names where there are
// names, numbers in the base that suits the kind otherwise. Bits that the kernel
// does not read are ignored.
func (a Arg) Format(v uint64) string {
	v &= a.Mask()
	switch a.Kind {
	case KindInt, KindOffset, KindFD, KindPID:
		return strconv.FormatInt(a.signed(v), 10)
	case KindDirFD:
		if a.signed(v) == atFDCWD {
			return "AT_FDCWD"
		}
		return strconv.FormatInt(a.signed(v), 10)
	case KindUID, KindGID:
		if v == a.Mask() {
			return "-1"
		}
		return strconv.FormatUint(v, 10)
	case KindSize:
		return strconv.FormatUint(v, 10)
	case KindMode:
		return fmt.Sprintf("%#o", v)
	case KindPtr, KindPath, KindString:
		if v == 0 {
			return "NULL"
		}
		return fmt.Sprintf("%#x", v)
	case KindEnum, KindSignal:
		if name, ok := find(a.Set.Enum, v); ok {
			return name
		}
		if s := a.signed(v); s < 0 && s > -4096 {
			return strconv.FormatInt(s, 10)
		}
	case KindFlags:
		return a.formatFlags(v)
	}
	return formatUint(v)
}

// formatFlags writes the value of the mask, the flags, and then what is left over.
func (a Arg) formatFlags(v uint64) string {
	if v != 0 && v == a.Mask() {
		return "-1" // personality(-1) asks, and no flags are ever all set
	}
	var parts []string
	left := v
	if name, ok := find(a.Set.Enum, v&a.Set.Mask); ok && a.Set.Mask != 0 {
		parts = append(parts, name)
		left &^= a.Set.Mask
	}
	for _, flag := range a.Set.Flags {
		if flag.Value != 0 && left&flag.Value == flag.Value {
			parts = append(parts, flag.Name)
			left &^= flag.Value
		}
	}
	if left != 0 {
		parts = append(parts, fmt.Sprintf("%#x", left))
	}
	if len(parts) == 0 {
		if name, ok := find(a.Set.Flags, 0); ok {
			return name
		}
		return "0"
	}
	return strings.Join(parts, "|")
}

// signed extends the sign of a value of the argument's width.
func (a Arg) signed(v uint64) int64 {
	shift := 64 - a.Bits
	return int64(v<<shift) >> shift
}

func find(values []Value, v uint64) (string, bool) {
	for _, value := range values {
		if value.Value == v {
			return value.Name, true
		}
	}
	return "", false
}

// formatUint writes large numbers in base 16: they are bits or addresses more often
// than quantities.
func formatUint(v uint64) string {
	if v > 0xffff {
		return fmt.Sprintf("%#x", v)
	}
	return strconv.FormatUint(v, 10)
}

// FormatCall writes a whole call, openat(AT_FDCWD, 0x7f0a, O_RDONLY|O_CLOEXEC),
// with as many arguments as the syscall has. An unknown syscall has six, in base 16.
func FormatCall(id ID, args [6]uint64) string {
	return FormatCallFunc(id, args, nil)
}

// FormatCallFunc is FormatCall with a say in each argument: where text returns
// true, its string stands for the argument. That is the place to read a path from
// the memory of the caller. For an unknown syscall text is not asked.
func FormatCallFunc(id ID, values [6]uint64, text func(a Arg, v uint64) (string, bool)) string {
	var words []string
	if !id.Described() {
		for _, v := range values {
			words = append(words, fmt.Sprintf("%#x", v))
		}
	}
	for i, a := range id.ArgsOf(values) {
		word, ok := "", false
		if text != nil {
			word, ok = text(a, values[i]&a.Mask())
		}
		if !ok {
			word = a.Format(values[i])
		}
		words = append(words, word)
	}
	return id.String() + "(" + strings.Join(words, ", ") + ")"
}
