package corpora

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"math/bits"
	"slices"
)

const prose = "It is a truth universally tested, that a program in possession of an input must be in want of a parser. It is a truth.\n"

// compressedFamilies are streams of one compressed file.
func compressedFamilies() []family {
	gz, bz, x, z := encodeGzip(prose, "prose.txt"), encodeBzip2([]byte(prose)), encodeXZ([]byte(prose)), encodeZstd([]byte(prose))
	zl := encodeZlib(prose)
	lz := encodeLZ4([]byte(prose))
	return []family{
		{"gzip", []Seed{
			valid("text", gz),
			valid("no-name", encodeGzip("a\n", "")),
			odd("empty", encodeGzip("", "")),
			odd("two-members", slices.Concat(gz, encodeGzip("second\n", "b"))),
			odd("trailing-zeros", slices.Concat(gz, make([]byte, 64))),
			odd("tar", encodeGzip(string(encodeTar(false)), "a.tar")),
			odd("bomb", encodeGzip(string(make([]byte, 200<<10)), "")),
			broken("crc", flip(gz, -8)),
			broken("length", flip(gz, -1)),
			broken("method", flip(gz, 2)),
			broken("truncated", cut(gz)),
		}},
		{"zlib", []Seed{
			valid("text", zl),
			broken("adler", flip(zl, -1)),
			broken("truncated", cut(zl)),
			odd("empty", encodeZlib("")),
			odd("dictionary", slices.Concat([]byte("\x78\xbb\x00\x00\x00\x01"), zl[2:])),
		}},
		{"deflate", []Seed{
			valid("text", encodeDeflate(prose)),
			odd("stored", "\x01\x03\x00\xfc\xffabc"),
			odd("empty", "\x03\x00"),
			broken("block-type", "\x07\x00\x00"),
			broken("truncated", cut(encodeDeflate(prose))),
		}},
		{"bzip2", []Seed{
			valid("text", bz),
			odd("empty", encodeBzip2(nil)),
			odd("runs", encodeBzip2(bytes.Repeat([]byte("aaaaaaaabc"), 60))),
			broken("crc", flip(bz, 10)),
			broken("truncated", cut(bz)),
		}},
		{"xz", []Seed{
			valid("text", x),
			broken("crc", flip(x, 8)),
			broken("truncated", cut(x)),
			odd("empty", "\xfd7zXZ\x00\x00\x01\x69\x22\xde\x36\x00\x00\x00\x00\x1c\xdf\x44\x21\x90\x42\x99\x0d\x01\x00\x00\x00\x00\x01\x59\x5a"),
		}},
		{"zstd", []Seed{
			valid("text", z),
			odd("skippable", slices.Concat([]byte("\x50\x2a\x4d\x18\x04\x00\x00\x00skip"), z)),
			broken("truncated", cut(z)),
		}},
		{"lz4", []Seed{
			valid("text", lz),
			broken("header-checksum", flip(lz, 6)),
			odd("legacy", "\x02\x21\x4c\x18\x06\x00\x00\x00\x50hello"),
		}},
		{"snappy", []Seed{
			valid("copy", "\x0a\x10hello\x01\x05"), // five bytes, and they again
			odd("empty", "\x00"),
			odd("framed", "\xff\x06\x00\x00sNaPpY"),
			broken("offset", "\x0a\x10hello\x01\xff"),
			broken("length", "\xff\xff\xff\xff\x0f\x10hello"),
		}},
		{"compress", []Seed{
			valid("text", encodeCompress([]byte(prose))),
			broken("code", "\x1f\x9d\x90\xff\xff\xff\xff"),
			odd("empty", "\x1f\x9d\x90"),
		}},
	}
}

func encodeGzip(s, name string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Name = name
	_, err := w.Write([]byte(s))
	must(nil, err)
	err = w.Close()
	return must(b.Bytes(), err)
}

func encodeZlib(s string) []byte {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, err := w.Write([]byte(s))
	must(nil, err)
	err = w.Close()
	return must(b.Bytes(), err)
}

func encodeDeflate(s string) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	must(nil, err)
	_, err = w.Write([]byte(s))
	must(nil, err)
	err = w.Close()
	return must(b.Bytes(), err)
}

// encodeXZ stores data in one uncompressed LZMA2 chunk; it takes at most 64 KiB,
// at least one byte (The .xz File Format, 1.2.0).
func encodeXZ(data []byte) []byte {
	le := binary.LittleEndian
	sum := func(b []byte) []byte { return le.AppendUint32(nil, crc32.ChecksumIEEE(b)) }
	pad := func(b []byte) []byte { return append(b, make([]byte, -len(b)&3)...) }

	flags := []byte{0, 1} // integrity check: CRC32
	header := []byte{2, 0, 0x21, 1, 0, 0, 0, 0}
	header = append(header, sum(header)...)
	chunk := binary.BigEndian.AppendUint16([]byte{1}, uint16(len(data)-1))
	chunk = append(append(chunk, data...), 0)

	index := []byte{0, 1}
	index = binary.AppendUvarint(index, uint64(len(header)+len(chunk)+4))
	index = binary.AppendUvarint(index, uint64(len(data)))
	index = pad(index)
	index = append(index, sum(index)...)

	footer := append(le.AppendUint32(nil, uint32(len(index)/4-1)), flags...)
	return slices.Concat(
		[]byte("\xfd7zXZ\x00"), flags, sum(flags),
		header, pad(chunk), sum(data),
		index,
		sum(footer), footer, []byte("YZ"))
}

// encodeZstd stores data in one raw block of a single-segment frame; it takes at
// most 255 bytes (RFC 8878).
func encodeZstd(data []byte) []byte {
	block := uint32(len(data))<<3 | 1 // last, raw
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, byte(len(data)), byte(block), byte(block >> 8), byte(block >> 16)}
	return append(b, data...)
}

// encodeLZ4 stores data in one uncompressed block of an LZ4 frame.
func encodeLZ4(data []byte) []byte {
	le := binary.LittleEndian
	descriptor := []byte{0x60, 0x40} // version 1, independent blocks of at most 64 KiB
	b := append([]byte{0x04, 0x22, 0x4d, 0x18}, descriptor...)
	b = append(b, byte(xxh32(descriptor)>>8))
	b = le.AppendUint32(b, uint32(len(data))|1<<31)
	b = append(b, data...)
	return le.AppendUint32(b, 0)
}

// xxh32 is XXH32 with seed 0 for fewer than 4 bytes, all that an LZ4 header has.
func xxh32(b []byte) uint32 {
	const p1, p2, p3, p5 = 2654435761, 2246822519, 3266489917, 374761393
	h := uint32(p5) + uint32(len(b))
	for _, c := range b {
		h = bits.RotateLeft32(h+uint32(c)*p5, 11) * p1
	}
	h = (h ^ h>>15) * p2
	h = (h ^ h>>13) * p3
	return h ^ h>>16
}

// encodeCompress writes the .Z form of compress(1) with literal codes alone. It
// takes at most 255 bytes: the code after that would be ten bits wide.
func encodeCompress(data []byte) []byte {
	b := []byte{0x1f, 0x9d, 0x90} // block mode, up to 16 bits
	var word uint64
	var n uint
	for _, c := range data {
		word |= uint64(c) << n // nine bits, the low one first
		for n += 9; n >= 8; n -= 8 {
			b = append(b, byte(word))
			word >>= 8
		}
	}
	if n > 0 {
		b = append(b, byte(word))
	}
	return b
}

// encodeBzip2 compresses data, at most a few kilobytes of it, into one block. It
// spends no thought on the Huffman codes: all symbols get nearly the same length.
func encodeBzip2(data []byte) []byte {
	var w bitWriter
	w.bits('B', 8)
	w.bits('Z', 8)
	w.bits('h', 8)
	w.bits('1', 8)
	crc := uint32(0)
	if len(data) > 0 {
		crc = bzip2CRC(data)
		w.bits(0x314159265359, 48)
		w.bits(uint64(crc), 32)
		w.bits(0, 1) // not randomized
		bzip2Block(&w, bzip2Runs(data))
	}
	w.bits(0x177245385090, 48)
	w.bits(uint64(crc), 32) // of one block, the combined sum is its own
	return w.out
}

// bzip2Runs writes four equal bytes and what follows them as four and a count.
func bzip2Runs(data []byte) []byte {
	var out []byte
	for i := 0; i < len(data); {
		n := 1
		for i+n < len(data) && data[i+n] == data[i] && n < 4+255 {
			n++
		}
		out = append(out, bytes.Repeat(data[i:i+1], min(n, 4))...)
		if n >= 4 {
			out = append(out, byte(n-4))
		}
		i += n
	}
	return out
}

func bzip2Block(w *bitWriter, data []byte) {
	// Burrows-Wheeler: the last column of the sorted rotations, and the row of
	// the original.
	twice := append(bytes.Clone(data), data...)
	rows := make([]int, len(data))
	for i := range rows {
		rows[i] = i
	}
	slices.SortStableFunc(rows, func(a, b int) int {
		return bytes.Compare(twice[a:a+len(data)], twice[b:b+len(data)])
	})
	w.bits(uint64(slices.Index(rows, 0)), 24)

	// The alphabet, as a bitmap of bitmaps.
	var used []byte
	for c := range 256 {
		if bytes.IndexByte(data, byte(c)) >= 0 {
			used = append(used, byte(c))
		}
	}
	var ranges, in [16]uint64
	for _, c := range used {
		ranges[c>>4] = 1
		in[c>>4] |= 0x8000 >> (c & 15)
	}
	for _, r := range ranges {
		w.bits(r, 1)
	}
	for i, r := range ranges {
		if r != 0 {
			w.bits(in[i], 16)
		}
	}

	// Move to front; runs of zeros become digits 1 and 2 of base 2 (bijective).
	var symbols []int
	zeros := 0
	endRun := func() {
		for ; zeros > 0; zeros = (zeros - 1) / 2 {
			symbols = append(symbols, (zeros-1)%2)
		}
	}
	order := bytes.Clone(used)
	for _, r := range rows {
		c := twice[r+len(data)-1]
		i := bytes.IndexByte(order, c)
		if i == 0 {
			zeros++
			continue
		}
		endRun()
		symbols = append(symbols, i+1)
		copy(order[1:i+1], order[:i])
		order[0] = c
	}
	endRun()
	size := len(used) + 2
	symbols = append(symbols, size-1) // end of block

	// A complete code: the first symbols are one bit shorter than the others.
	long := bits.Len(uint(size - 1))
	short := 1<<long - size
	const tables = 2 // the fewest that the format permits
	w.bits(tables, 3)
	groups := (len(symbols) + 49) / 50
	w.bits(uint64(groups), 15)
	for range groups {
		w.bits(0, 1) // always the first table
	}
	for range tables {
		length := long - 1
		if short == 0 {
			length = long
		}
		w.bits(uint64(length), 5)
		for s := range size {
			if s == short && s > 0 {
				w.bits(0b10, 2) // one longer from here on
			}
			w.bits(0, 1)
		}
	}
	for _, s := range symbols {
		if s < short {
			w.bits(uint64(s), long-1)
		} else {
			w.bits(uint64(s+short), long)
		}
	}
}

// bzip2CRC is CRC-32 with the most significant bit first.
func bzip2CRC(data []byte) uint32 {
	crc := ^uint32(0)
	for _, c := range data {
		crc ^= uint32(c) << 24
		for range 8 {
			carry := crc >> 31
			crc <<= 1
			if carry != 0 {
				crc ^= 0x04c11db7
			}
		}
	}
	return ^crc
}

// A bitWriter packs bits, the most significant first.
type bitWriter struct {
	out  []byte
	free int // bits left in the last byte of out
}

func (w *bitWriter) bits(v uint64, n int) {
	for n--; n >= 0; n-- {
		if w.free == 0 {
			w.out = append(w.out, 0)
			w.free = 8
		}
		w.free--
		w.out[len(w.out)-1] |= byte(v>>n&1) << w.free
	}
}
