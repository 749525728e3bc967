package mutate

import (
	"bytes"
	"encoding/binary"
)

// field is a place of an input that probably says how long something is.
type field struct {
	at, size int
	order    binary.ByteOrder
	body     span   // what it measures
	extra    uint64 // how much more than the body it says: its own size, when that counts too
}

// value is what the field says about a body of n bytes.
func (f field) value(n int) uint64 { return uint64(n) + f.extra }

// lengthFields are tried from one place on; further ones are found from another.
const lengthFields = 1 << 10

// lengthField looks for a field of 1, 2 or 4 bytes, from a random place on, whose
// value is the number of bytes from its end to the end of the input, with or
// without the field itself, or to the end of what an outer field of this kind
// measures. Zero is no length.
func (e *edit) lengthField() (field, bool) {
	if len(e.b) < 2 {
		return field{}, false
	}
	start := 0 // headers stand at the start
	if e.r.IntN(2) == 0 {
		start = e.r.IntN(len(e.b))
	}
	first := e.r.IntN(3)
	for at := start; at < min(len(e.b), start+lengthFields); at++ {
		for i := range 3 {
			size := 1 << ((first + i) % 3)
			if at+size >= len(e.b) {
				continue
			}
			for _, order := range [...]binary.ByteOrder{binary.BigEndian, binary.LittleEndian} {
				v, rest := readWord(order, e.b[at:], size), uint64(len(e.b)-at-size)
				switch {
				case v == 0 || v > rest+uint64(size):
				case v == rest || v == rest+uint64(size):
					return field{at, size, order, span{at + size, len(e.b)}, v - rest}, true
				case size > 1 && v < rest && v >= 4 && e.r.IntN(16) == 0:
					// Few words of a file are small numbers by accident.
					return field{at, size, order, span{at + size, at + size + int(v)}, 0}, true
				}
			}
		}
	}
	return field{}, false
}

// corruptLength makes a length field say something else: one more or one less than
// there is, nothing, or as much as it can.
func (e *edit) corruptLength() bool {
	f, ok := e.lengthField()
	if !ok {
		return false
	}
	v := f.value(f.body.to - f.body.from)
	v = [...]uint64{v + 1, v - 1, 0, 1, ^uint64(0), 1<<(8*f.size-1) - 1, 1 << (8*f.size - 1), 2 * v}[e.r.IntN(8)]
	putWord(f.order, e.b[f.at:], f.size, v)
	return true
}

// resizeWithLength changes the number of bytes that a length field measures, and
// the field with it.
func (e *edit) resizeWithLength() bool {
	f, ok := e.lengthField()
	if !ok || f.body.to == f.body.from {
		return false
	}
	body := edit{r: e.r, b: append([]byte(nil), e.b[f.body.from:f.body.to]...), other: e.other, dict: e.dict}
	body.max = int(min(uint64(len(body.b)+e.max-len(e.b)), 1<<(8*f.size)-1-f.extra))
	if body.max < len(body.b) {
		return false
	}
	resize := [...]operator{(*edit).deleteBlock, (*edit).cloneBlock, (*edit).insertFiller, (*edit).spliceBlock, (*edit).insertEntry}
	if !resize[e.r.IntN(len(resize))](&body) {
		return false
	}
	from, to := f.body.from, f.body.to
	if !e.resize(from, to, body.b) {
		return false
	}
	putWord(f.order, e.b[f.at:], f.size, f.value(len(body.b)))
	return true
}

// resize is replace with the lengths around it: fields before the range that say how
// much there is up to the end of the input say it again afterwards, three times out of
// four. A field that cannot say so much is left as it is.
func (e *edit) resize(from, to int, p []byte) bool {
	old := append([]byte(nil), e.b[:from]...)
	end := len(e.b)
	if !e.replace(from, to, p) {
		return false
	}
	delta := uint64(len(e.b) - end)
	if delta == 0 || e.r.IntN(4) == 0 {
		return true
	}
	for at := max(0, from-lengthFields); at < from; at++ {
		for size := 1; size <= 4 && at+size <= from; size *= 2 {
			for _, order := range [...]binary.ByteOrder{binary.BigEndian, binary.LittleEndian} {
				// Read from what was: a field of one byte is the end of one of two bytes, too.
				v := readWord(order, old[at:], size)
				if fits := v+delta < 1<<(8*size); v == uint64(end-at-size) && fits {
					putWord(order, e.b[at:], size, v+delta)
				}
			}
		}
	}
	return true
}

// shape is the form of records of a type, a length and a value.
type shape struct {
	kind, size  int // bytes of the type and of the length
	order       binary.ByteOrder
	lengthFirst bool // the length stands before the type
	whole       bool // the length counts the whole record
	trailer     int  // bytes after the value that the length does not count
}

// shapes of records that are common.
var shapes = [...]shape{
	{kind: 1, size: 1, order: binary.BigEndian},                                    // DER, IP and TCP options, Bluetooth
	{kind: 1, size: 2, order: binary.BigEndian},                                    // BER in network protocols, MQTT properties
	{kind: 1, size: 2, order: binary.LittleEndian},                                 //
	{kind: 2, size: 2, order: binary.BigEndian},                                    // TLS extensions, RADIUS, JPEG segments but for their own size
	{kind: 2, size: 2, order: binary.BigEndian, whole: true},                       //
	{kind: 2, size: 2, order: binary.LittleEndian},                                 // ZIP extra fields
	{kind: 2, size: 2, order: binary.LittleEndian, lengthFirst: true, whole: true}, // netlink attributes
	{kind: 4, size: 4, order: binary.BigEndian, lengthFirst: true, trailer: 4},     // PNG, whose trailer is a checksum
	{kind: 4, size: 4, order: binary.BigEndian, lengthFirst: true, whole: true},    // MP4 boxes
	{kind: 4, size: 4, order: binary.LittleEndian},                                 // RIFF
	{kind: 4, size: 4, order: binary.BigEndian},                                    // IFF, AIFF, MIDI
	{kind: 0, size: 1, order: binary.BigEndian},                                    // strings with their length before them, GIF sub-blocks
	{kind: 0, size: 2, order: binary.BigEndian},
	{kind: 0, size: 4, order: binary.BigEndian},
	{kind: 0, size: 4, order: binary.LittleEndian},
}

func (s *shape) header() int { return s.kind + s.size }

// lengthAt is where the length stands in a record.
func (s *shape) lengthAt() int {
	if s.lengthFirst {
		return 0
	}
	return s.kind
}

// record measures the record that b begins with.
func (s *shape) record(b []byte) (n int, ok bool) {
	if len(b) < s.header() {
		return 0, false
	}
	v := readWord(s.order, b[s.lengthAt():], s.size)
	if v > uint64(len(b)) {
		return 0, false
	}
	n = int(v) + s.header() + s.trailer
	if s.whole {
		n = int(v)
	}
	return n, n >= s.header()+s.trailer && n <= len(b)
}

// The bounds of the search for records: where the first one may begin, how many
// there must be for it not to be an accident, and how many are followed.
const (
	maxPrefix  = 64
	minRecords = 2
	maxRecords = 1 << 10
)

// records are those of one shape, one right after the other up to the end of the
// input, or to bytes that cannot be one: then they are four at least and half of it. The search begins at a
// random place and with a random shape, so that others are found at other times.
func (e *edit) records() (*shape, []span) {
	firstShape := e.r.IntN(len(shapes))
	prefix := min(len(e.b), maxPrefix)
	if prefix == 0 {
		return nil, nil
	}
	firstAt := 0
	if e.r.IntN(2) == 0 {
		firstAt = e.r.IntN(prefix)
	}
	for i := range shapes {
		s := &shapes[(firstShape+i)%len(shapes)]
		for at := firstAt; at < prefix; at++ {
			found, end := e.follow(s, at)
			if len(found) >= minRecords && end == len(e.b) || len(found) >= 2*minRecords && end-at >= len(e.b)/2 {
				return s, found
			}
		}
	}
	return nil, nil
}

// follow lists the records of a shape from a place on, and where they end. Zeros can
// be records of most shapes and are none, but for one at the end.
func (e *edit) follow(s *shape, at int) (found []span, end int) {
	zeros := 0
	for end = at; len(found) < maxRecords; {
		n, ok := s.record(e.b[end:])
		if !ok {
			break
		}
		if len(bytes.TrimLeft(e.b[end:end+n], "\x00")) == 0 {
			if zeros++; zeros > 1 {
				break
			}
		}
		found = append(found, span{end, end + n})
		end += n
	}
	return found, end
}

// duplicateRecord puts a copy of a record before a record. Lengths around it follow.
func (e *edit) duplicateRecord() bool {
	_, all := e.records()
	if all == nil {
		return false
	}
	s := one(e.r, all)
	at := one(e.r, all).from
	return e.resize(at, at, e.b[s.from:s.to])
}

// dropRecord removes a record. Lengths around it follow.
func (e *edit) dropRecord() bool {
	_, all := e.records()
	if all == nil {
		return false
	}
	s := one(e.r, all)
	return e.resize(s.from, s.to, nil)
}

// swapRecords exchanges two records.
func (e *edit) swapRecords() bool {
	_, all := e.records()
	if all == nil {
		return false
	}
	i, j := e.two(len(all))
	return e.swap(all[i], all[j])
}

// resizeRecord replaces the value of a record by f of it; the length follows, if it
// can say so much.
func (e *edit) resizeRecord(f func(value []byte) []byte) bool {
	s, all := e.records()
	if all == nil {
		return false
	}
	r := one(e.r, all)
	value := span{r.from + s.header(), r.to - s.trailer}
	next := f(e.b[value.from:value.to])
	n := len(next)
	if s.whole {
		n += s.header() + s.trailer
	}
	if len(e.b)+len(next)-(value.to-value.from) > e.max || uint64(n) >= 1<<(8*s.size) {
		return false
	}
	if !e.resize(value.from, value.to, next) {
		return false
	}
	putWord(s.order, e.b[r.from+s.lengthAt():], s.size, uint64(n))
	return true
}

// truncateRecord shortens the value of a record, and its length with it.
func (e *edit) truncateRecord() bool {
	return e.resizeRecord(func(v []byte) []byte {
		if len(v) == 0 {
			return v
		}
		return v[:e.r.IntN(len(v))]
	})
}

// extendRecord lengthens the value of a record, and its length with it.
func (e *edit) extendRecord() bool {
	return e.resizeRecord(func(v []byte) []byte { return append(v[:len(v):len(v)], e.filler()...) })
}
