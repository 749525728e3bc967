package mutate

import (
	"bytes"
	"strings"
	"testing"
)

// BenchmarkBytes is what a mutant costs: it has to stay small beside a run, which
// takes a fork server 0.2 ms at the least.
func BenchmarkBytes(b *testing.B) {
	for _, c := range []struct {
		name string
		data []byte
	}{
		{"binary-4K", bytes.Repeat([]byte("\x00\x01\x02\xff\x10data"), 455)},
		{"text-4K", []byte(strings.Repeat("a line of text, 42 = x\n", 178))},
		{"json-1K", []byte("[" + strings.Repeat(`{"a": [1, "b", null]},`, 46) + "0]")},
		{"json-64K", []byte("[" + strings.Repeat(`{"a": [1, "b", null]},`, 2900) + "0]")},
		{"xml-4K", []byte("<x>" + strings.Repeat(`<y a="b">text<z/></y>`, 195) + "</x>")},
		{"zeros-4K", make([]byte, 4096)},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := newRand(1)
			for b.Loop() {
				Bytes(r, c.data, ByteOptions{Other: c.data, Dictionary: Dictionary{[]byte("token")}})
			}
		})
	}
}
