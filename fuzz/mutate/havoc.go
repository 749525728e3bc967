package mutate

import (
	"bytes"
	"encoding/binary"
)

// maxArith is AFL's ARITH_MAX.
const maxArith = 35

var (
	interestingBytes = [...]int8{-128, -1, 0, 1, 16, 32, 64, 100, 127}
	// AFL's INTERESTING_8, 16 and 32, and the edges of 64 bits.
	interestingWords = [...]int64{
		-128, -1, 0, 1, 16, 32, 64, 100, 127,
		-32768, -129, 128, 255, 256, 512, 1000, 1024, 4096, 32767, 65535, 65536,
		-2147483648, -100663046, -32769, 32768, 100663045, 2147483647,
		4294967295, 4294967296, -2147483649, 1<<53 + 1, 1<<63 - 1, -1 << 63, 1 << 62,
	}
)

// flipBits inverts 1, 2 or 4 neighbouring bits.
func (e *edit) flipBits() bool {
	if len(e.b) == 0 {
		return false
	}
	bit := e.r.IntN(len(e.b) * 8)
	for n := 1 << e.r.IntN(3); n > 0 && bit < len(e.b)*8; n-- {
		e.b[bit/8] ^= 0x80 >> (bit % 8)
		bit++
	}
	return true
}

// setByte sets one byte at random; an empty input gets one.
func (e *edit) setByte() bool {
	if len(e.b) == 0 {
		return e.insert(0, []byte{byte(e.r.Uint32())})
	}
	e.b[e.r.IntN(len(e.b))] ^= byte(1 + e.r.IntN(255))
	return true
}

// delta is a number in [-maxArith, maxArith] without 0.
func (e *edit) delta() int64 {
	d := int64(1 + e.r.IntN(maxArith))
	if e.r.IntN(2) == 0 {
		return -d
	}
	return d
}

// arith8 adds to a byte.
func (e *edit) arith8() bool {
	if len(e.b) == 0 {
		return false
	}
	e.b[e.r.IntN(len(e.b))] += byte(e.delta())
	return true
}

// order is a byte order at random.
func (e *edit) order() binary.ByteOrder {
	if e.r.IntN(2) == 0 {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// readWord is the word of 1, 2, 4 or 8 bytes that b begins with.
func readWord(order binary.ByteOrder, b []byte, size int) uint64 {
	switch size {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(order.Uint16(b))
	case 4:
		return uint64(order.Uint32(b))
	}
	return order.Uint64(b)
}

// putWord is the inverse of readWord; higher bits of v are dropped.
func putWord(order binary.ByteOrder, b []byte, size int, v uint64) {
	switch size {
	case 1:
		b[0] = byte(v)
	case 2:
		order.PutUint16(b, uint16(v))
	case 4:
		order.PutUint32(b, uint32(v))
	default:
		order.PutUint64(b, v)
	}
}

// wide replaces a word of 16, 32 or 64 bits and of random byte order by f of its value.
func (e *edit) wide(f func(uint64) uint64) bool {
	size := 2 << e.r.IntN(3)
	if len(e.b) < size {
		return false
	}
	order, word := e.order(), e.b[e.r.IntN(len(e.b)-size+1):]
	putWord(order, word, size, f(readWord(order, word, size)))
	return true
}

// arithWide adds to a word.
func (e *edit) arithWide() bool {
	d := e.delta()
	return e.wide(func(v uint64) uint64 { return v + uint64(d) })
}

// interesting8 sets a byte to a value at which programs go wrong.
func (e *edit) interesting8() bool {
	if len(e.b) == 0 {
		return false
	}
	e.b[e.r.IntN(len(e.b))] = byte(one(e.r, interestingBytes[:]))
	return true
}

// interestingWide sets a word to a value at which programs go wrong.
func (e *edit) interestingWide() bool {
	v := uint64(one(e.r, interestingWords[:]))
	return e.wide(func(uint64) uint64 { return v })
}

// block is a random range of b, which is not empty: mostly a short one.
func (e *edit) block(b []byte) span {
	limit := [...]int{8, 32, 128, 1500, len(b)}[e.r.IntN(5)]
	n := 1 + e.r.IntN(min(limit, len(b)))
	from := e.r.IntN(len(b) - n + 1)
	return span{from, from + n}
}

// deleteBlock removes a block.
func (e *edit) deleteBlock() bool {
	if len(e.b) == 0 {
		return false
	}
	s := e.block(e.b)
	return e.replace(s.from, s.to, nil)
}

// cloneBlock inserts a copy of a block, at times up to 64 of it: repetition finds
// recursion and the growth of buffers.
func (e *edit) cloneBlock() bool {
	if len(e.b) == 0 {
		return false
	}
	s := e.block(e.b)
	times := 1
	if e.r.IntN(4) == 0 {
		times = 1 + e.r.IntN(64)
	}
	return e.insert(e.position(), bytes.Repeat(e.b[s.from:s.to], min(times, e.max/(s.to-s.from)+1)))
}

// filler is a run of one byte, a byte of the input half of the time.
func (e *edit) filler() []byte {
	n := 1 + e.r.IntN([...]int{8, 32, 128, 4096}[e.r.IntN(4)])
	fill := byte(e.r.Uint32())
	if len(e.b) > 0 && e.r.IntN(2) == 0 {
		fill = one(e.r, e.b)
	}
	return bytes.Repeat([]byte{fill}, n)
}

// insertFiller inserts a run of one byte.
func (e *edit) insertFiller() bool { return e.insert(e.position(), e.filler()) }

// overwriteBlock copies a block, or a run of one byte, over another place.
func (e *edit) overwriteBlock() bool {
	if len(e.b) == 0 {
		return false
	}
	p := e.filler()
	if e.r.IntN(4) != 0 {
		s := e.block(e.b)
		p = e.b[s.from:s.to]
	}
	copy(e.b[e.r.IntN(len(e.b)):], p)
	return true
}

// swapBlocks exchanges two blocks that do not overlap.
func (e *edit) swapBlocks() bool {
	if len(e.b) < 2 {
		return false
	}
	cut := 1 + e.r.IntN(len(e.b)-1)
	a, b := e.block(e.b[:cut]), e.block(e.b[cut:])
	return e.swap(a, span{cut + b.from, cut + b.to})
}

// insertEntry inserts an entry of the dictionary.
func (e *edit) insertEntry() bool {
	return len(e.dict) > 0 && e.insert(e.position(), one(e.r, e.dict))
}

// overwriteEntry overwrites with an entry of the dictionary.
func (e *edit) overwriteEntry() bool {
	if len(e.dict) == 0 {
		return false
	}
	p := one(e.r, e.dict)
	if len(p) > len(e.b) {
		return false
	}
	copy(e.b[e.r.IntN(len(e.b)-len(p)+1):], p)
	return true
}

// spliceTail keeps a head of the input and continues with a tail of the other.
func (e *edit) spliceTail() bool {
	if len(e.other) == 0 {
		return false
	}
	return e.replace(e.position(), len(e.b), e.other[e.r.IntN(len(e.other)):])
}

// spliceBlock inserts a block of the other input, or overwrites with it.
func (e *edit) spliceBlock() bool {
	if len(e.other) == 0 {
		return false
	}
	s, at := e.block(e.other), e.position()
	to := at
	if e.r.IntN(2) == 0 {
		to = min(len(e.b), at+s.to-s.from)
	}
	return e.replace(at, to, e.other[s.from:s.to])
}
