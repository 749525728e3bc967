// Package mutate decides how an input or a command line is changed to make the
// next one. Every function is pure: randomness comes in as a *rand.Rand, the
// same stream gives the same result, and what was passed in is never written
// to. It knows nothing of execution, of feedback or of scenarios. Its main
// hazard is growth: every result is held below a stated size.
package mutate

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strconv"
)

// MaxInput is the cap on the size of a mutated input when none is given.
const MaxInput = 64 << 10

// ByteOptions steers Bytes. The zero value is useful.
type ByteOptions struct {
	Dictionary Dictionary // tokens to insert and overwrite with
	Other      []byte     // the partner of a splice; without one there is no splice
	Max        int        // cap on the result in bytes; 0 means MaxInput
}

// Bytes returns a changed copy of data, at most o.Max bytes long, after a random
// number (1 to 32) of changes from AFL's havoc stage.
func Bytes(r *rand.Rand, data []byte, o ByteOptions) []byte {
	h := havoc{r: r, max: o.Max, dict: o.Dictionary, other: o.Other}
	if h.max <= 0 {
		h.max = MaxInput
	}
	h.b = append([]byte(nil), data[:min(len(data), h.max)]...)
	if len(o.Other) > 0 && r.IntN(8) == 0 {
		h.splice()
	}
	for range 1 << r.IntN(6) {
		havocOps[r.IntN(len(havocOps))](&h)
	}
	return h.b
}

// havoc is an input under change. Its invariant is len(b) <= max.
type havoc struct {
	r     *rand.Rand
	b     []byte
	max   int
	dict  Dictionary
	other []byte
}

// havocOps are the changes; one that is listed twice is drawn twice as often.
var havocOps = [...]func(*havoc){
	(*havoc).flipBit,
	(*havoc).setByte,
	(*havoc).arith8,
	(*havoc).arithWide,
	(*havoc).interesting8,
	(*havoc).interestingWide,
	(*havoc).deleteBlock,
	(*havoc).deleteBlock, // inputs that shrink run faster and minimize better
	(*havoc).duplicateBlock,
	(*havoc).insertBlock,
	(*havoc).overwriteBlock,
	(*havoc).number,
	(*havoc).insertToken,
	(*havoc).overwriteToken,
}

// maxArith is AFL's ARITH_MAX.
const maxArith = 35

var (
	interestingBytes = [...]int8{-128, -1, 0, 1, 16, 32, 64, 100, 127}
	interestingWords = [...]int64{
		-128, -1, 0, 1, 16, 32, 64, 100, 127,
		-32768, -129, 128, 255, 256, 512, 1000, 1024, 4096, 32767, 65535, 65536,
		-2147483648, -100663046, -32769, 32768, 100663045, 2147483647,
	}
	interestingNumbers = [...]string{
		"0", "1", "-1", "2", "10", "100", "127", "128", "255", "256", "1024", "4096", "32767", "32768", "65535", "65536",
		"2147483647", "2147483648", "-2147483648", "4294967295", "4294967296",
		"9223372036854775807", "9223372036854775808", "18446744073709551615", "1e9", "0.1", "0x7fffffff",
	}
)

func (h *havoc) flipBit() {
	if len(h.b) == 0 {
		return
	}
	bit := h.r.IntN(len(h.b) * 8)
	h.b[bit/8] ^= 1 << (bit % 8)
}

func (h *havoc) setByte() {
	if len(h.b) == 0 {
		h.b = append(h.b, byte(h.r.Uint32()))
		return
	}
	h.b[h.r.IntN(len(h.b))] = byte(h.r.Uint32())
}

// delta is a number in [-maxArith, maxArith] without 0.
func (h *havoc) delta() int64 {
	d := int64(1 + h.r.IntN(maxArith))
	if h.r.IntN(2) == 0 {
		return -d
	}
	return d
}

func (h *havoc) arith8() {
	if len(h.b) == 0 {
		return
	}
	h.b[h.r.IntN(len(h.b))] += byte(h.delta())
}

// wide replaces a 16- or 32-bit word of random byte order by f of its value.
func (h *havoc) wide(f func(uint64) uint64) {
	size := 2 << h.r.IntN(2)
	if len(h.b) < size {
		return
	}
	var order binary.ByteOrder = binary.LittleEndian
	if h.r.IntN(2) == 0 {
		order = binary.BigEndian
	}
	at := h.r.IntN(len(h.b) - size + 1)
	if word := h.b[at:]; size == 2 {
		order.PutUint16(word, uint16(f(uint64(order.Uint16(word)))))
	} else {
		order.PutUint32(word, uint32(f(uint64(order.Uint32(word)))))
	}
}

func (h *havoc) arithWide() {
	d := h.delta()
	h.wide(func(v uint64) uint64 { return v + uint64(d) })
}

func (h *havoc) interesting8() {
	if len(h.b) == 0 {
		return
	}
	h.b[h.r.IntN(len(h.b))] = byte(interestingBytes[h.r.IntN(len(interestingBytes))])
}

func (h *havoc) interestingWide() {
	v := uint64(interestingWords[h.r.IntN(len(interestingWords))])
	h.wide(func(uint64) uint64 { return v })
}

// block is a random range of b, mostly short.
func (h *havoc) block(b []byte) (from, to int) {
	limit := [...]int{8, 32, 128, 1500, len(b)}[h.r.IntN(5)]
	n := 1 + h.r.IntN(min(limit, len(b)))
	from = h.r.IntN(len(b) - n + 1)
	return from, from + n
}

func (h *havoc) deleteBlock() {
	if len(h.b) == 0 {
		return
	}
	from, to := h.block(h.b)
	h.b = append(h.b[:from], h.b[to:]...)
}

// insert puts p in at a position, as far as the cap permits.
func (h *havoc) insert(at int, p []byte) {
	p = p[:min(len(p), h.max-len(h.b))]
	tail := append([]byte(nil), h.b[at:]...)
	h.b = append(append(h.b[:at], p...), tail...)
}

func (h *havoc) duplicateBlock() {
	if len(h.b) == 0 {
		return
	}
	from, to := h.block(h.b)
	p := append([]byte(nil), h.b[from:to]...)
	times := 1
	if h.r.IntN(4) == 0 {
		times = 1 + h.r.IntN(64) // repetition finds recursion and buffer growth
	}
	at := h.r.IntN(len(h.b) + 1)
	h.insert(at, bytes.Repeat(p, min(times, h.max/len(p)+1)))
}

// filler is a run of one byte.
func (h *havoc) filler() []byte {
	n := 1 + h.r.IntN([...]int{8, 32, 128, 4096}[h.r.IntN(4)])
	fill := byte(h.r.Uint32())
	if len(h.b) > 0 && h.r.IntN(2) == 0 {
		fill = h.b[h.r.IntN(len(h.b))]
	}
	return bytes.Repeat([]byte{fill}, n)
}

func (h *havoc) insertBlock() { h.insert(h.r.IntN(len(h.b)+1), h.filler()) }

func (h *havoc) overwriteBlock() {
	if len(h.b) == 0 {
		return
	}
	var p []byte
	if h.r.IntN(4) == 0 {
		p = h.filler()
	} else {
		from, to := h.block(h.b)
		p = append(p, h.b[from:to]...)
	}
	copy(h.b[h.r.IntN(len(h.b)):], p)
}

// splice keeps a head of b and continues with a tail of the other input.
func (h *havoc) splice() {
	head := h.r.IntN(len(h.b) + 1)
	tail := h.other[h.r.IntN(len(h.other)):]
	h.b = append(h.b[:head], tail[:min(len(tail), h.max-head)]...)
}

// number replaces an ASCII number by its neighbour or an interesting one.
func (h *havoc) number() {
	if len(h.b) == 0 {
		return
	}
	isDigit := func(c byte) bool { return '0' <= c && c <= '9' }
	from := h.r.IntN(len(h.b))
	for from < len(h.b) && !isDigit(h.b[from]) {
		from++
	}
	for from > 0 && from < len(h.b) && isDigit(h.b[from-1]) {
		from--
	}
	to := from
	for to < len(h.b) && isDigit(h.b[to]) {
		to++
	}
	if from == to {
		return
	}
	next := interestingNumbers[h.r.IntN(len(interestingNumbers))]
	if v, err := strconv.ParseInt(string(h.b[from:to]), 10, 64); err == nil && h.r.IntN(2) == 0 {
		next = strconv.FormatInt(v+h.delta(), 10)
	}
	h.b = append(h.b[:from], append([]byte(next), h.b[to:]...)...)
	h.b = h.b[:min(len(h.b), h.max)]
}

func (h *havoc) token() []byte {
	if len(h.dict) == 0 {
		return nil
	}
	return h.dict[h.r.IntN(len(h.dict))]
}

func (h *havoc) insertToken() {
	if t := h.token(); t != nil {
		h.insert(h.r.IntN(len(h.b)+1), t)
	}
}

func (h *havoc) overwriteToken() {
	if t := h.token(); t != nil && len(t) <= len(h.b) {
		copy(h.b[h.r.IntN(len(h.b)-len(t)+1):], t)
	}
}
