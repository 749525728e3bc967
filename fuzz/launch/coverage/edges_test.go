package coverage

import (
	"slices"
	"testing"
)

func TestEdgesAreToldByClassesOfTheirCounts(t *testing.T) {
	area := make([]byte, 21) // the last part is no whole word
	for at, count := range map[int]byte{0: 1, 7: 2, 8: 3, 20: 255} {
		area[at] = count
	}
	got := Taken([]uint64{99}, area)
	if want := []uint64{99, 0*8 + 0, 7*8 + 1, 8*8 + 2, 20*8 + 7}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// The bounds of count_class_lookup8.
	last := -1
	for count := 1; count < 256; count++ {
		c := class(byte(count))
		if first := slices.Contains([]int{1, 2, 3, 4, 8, 16, 32, 128}, count); c != last && (!first || c != last+1) || c == last && first {
			t.Errorf("%d is of class %d, after %d", count, c, last)
		}
		last = c
	}
}

func TestEdgesAreNewOnce(t *testing.T) {
	var m Map
	for _, tt := range []struct{ taken, want []uint64 }{
		{[]uint64{800, 8, 9}, []uint64{8, 9, 800}},
		{[]uint64{8, 9, 800}, nil},
		{[]uint64{10, 801}, []uint64{10, 801}}, // other classes
		{[]uint64{8 << 20 * classes}, []uint64{8 << 20 * classes}},
	} {
		if got := m.Take(tt.taken); !slices.Equal(got, tt.want) {
			t.Errorf("%v: got %v, want %v", tt.taken, got, tt.want)
		}
	}
}
