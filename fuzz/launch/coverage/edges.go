package coverage

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// classes is how many AFL tells apart of how often an edge was taken: once, twice, three times, then
// up to 7, 15, 31, 127, and more (count_class_lookup8 of its sources).
const classes = 8

// class is that of a count above 0.
func class(count byte) int {
	switch n := bits.Len8(count); {
	case count <= 3:
		return int(count) - 1
	case n <= 5:
		return n
	case n < 8:
		return 6
	}
	return 7
}

// Taken appends what a map of AFL's says of one run: a word for each edge that was taken, of
// its number and of the class of its count.
func Taken(to []uint64, area []byte) []uint64 {
	const word = 8
	for at := 0; at < len(area); at += word {
		part := area[at:min(at+word, len(area))]
		if len(part) == word && binary.NativeEndian.Uint64(part) == 0 { // as nearly all are
			continue
		}
		for i, count := range part {
			if count > 0 {
				to = append(to, uint64(at+i)*classes+uint64(class(count)))
			}
		}
	}
	return to
}

// Take notes what was taken, and returns the words that had not been in any run before,
// sorted.
func (m *Map) Take(taken []uint64) []uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var fresh []uint64
	for _, t := range taken {
		edge, bit := int(t/classes), byte(1)<<(t%classes)
		if edge >= len(m.edges) {
			m.edges = append(m.edges, make([]byte, edge+1-len(m.edges))...)
		}
		if m.edges[edge]&bit == 0 {
			m.edges[edge] |= bit
			fresh = append(fresh, t)
		}
	}
	slices.Sort(fresh)
	return fresh
}
