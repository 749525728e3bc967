package mutate

import (
	"math/big"
	"strings"
)

// interestingNumbers are decimal, but for the last ones, which readers of decimal
// numbers take for one to their end or to a part of it.
var interestingNumbers = [...]string{
	"0", "1", "-1", "2", "10", "100", "127", "128", "255", "256", "1024", "4096", "32767", "32768", "65535", "65536",
	"2147483647", "2147483648", "-2147483648", "-2147483649", "4294967295", "4294967296",
	"9007199254740993", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "18446744073709551615", "18446744073709551616",
	"1e9", "0.1", "-0", "1e400", "1e-400", "0x7fffffff", "010", "1_000", "NaN", "+1",
}

// maxDigits bounds the numbers that are read: longer runs are not numbers.
const maxDigits = 64

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// number is an ASCII number at or after a random place, with its sign. A hyphen
// after a letter or a digit is not a sign.
func (e *edit) number() (s span, ok bool) {
	if len(e.b) == 0 {
		return s, false
	}
	s.from = e.r.IntN(len(e.b))
	for s.from < len(e.b) && !isDigit(e.b[s.from]) {
		s.from++
	}
	if s.from == len(e.b) {
		return s, false
	}
	for s.from > 0 && isDigit(e.b[s.from-1]) {
		s.from--
	}
	s.to = s.from
	for s.to < len(e.b) && isDigit(e.b[s.to]) {
		s.to++
	}
	if s.to-s.from > maxDigits {
		return s, false
	}
	if s.from > 0 && e.b[s.from-1] == '-' && (s.from == 1 || !wordByte(e.b[s.from-2])) {
		s.from--
	}
	return s, true
}

// changeNumber replaces an ASCII number by f of it.
func (e *edit) changeNumber(f func(old string) string) bool {
	s, ok := e.number()
	return ok && e.replace(s.from, s.to, []byte(f(string(e.b[s.from:s.to]))))
}

// nextNumber adds to an ASCII number, mostly 1 or -1.
func (e *edit) nextNumber() bool {
	return e.changeNumber(func(old string) string {
		d := e.delta()
		if e.r.IntN(2) == 0 {
			d = 1 - 2*(d&1)
		}
		v, _ := new(big.Int).SetString(old, 10) // digits, by the way they were found
		return v.Add(v, big.NewInt(d)).String()
	})
}

// interestingNumber puts one at which programs go wrong in the place of an ASCII number.
func (e *edit) interestingNumber() bool {
	return e.changeNumber(func(string) string { return one(e.r, interestingNumbers[:]) })
}

// numberDigits gives an ASCII number more digits or fewer, at either end.
func (e *edit) numberDigits() bool {
	return e.changeNumber(func(old string) string {
		sign := old[:len(old)-len(strings.TrimPrefix(old, "-"))]
		digits := old[len(sign):]
		more := strings.Repeat(string(rune('0'+e.r.IntN(10))), 1+e.r.IntN(20))
		switch n := 1 + e.r.IntN(len(digits)); e.r.IntN(4) {
		case 0:
			return sign + digits + more
		case 1:
			return sign + more + digits
		case 2:
			return sign + digits[n:]
		default:
			return sign + digits[:len(digits)-n]
		}
	})
}

// numberSign negates an ASCII number, or puts a plus before it.
func (e *edit) numberSign() bool {
	return e.changeNumber(func(old string) string {
		switch {
		case strings.HasPrefix(old, "-"):
			return old[1:]
		case e.r.IntN(4) == 0:
			return "+" + old
		}
		return "-" + old
	})
}
