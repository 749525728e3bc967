package coverage

import (
	"encoding/hex"
	"slices"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/image"
)

func TestNumbersAreTokensInBothOrders(t *testing.T) {
	for _, tt := range []struct {
		v    uint64
		size int
		want []string
	}{
		{0xdeadbeef, 4, []string{"\xef\xbe\xad\xde", "\xde\xad\xbe\xef"}},
		{0x4d42, 2, []string{"BM", "MB"}},
		{0x1a0a0d474e5089, 8, []string{"\x89PNG\r\n\x1a\x00", "\x00\x1a\n\rGNP\x89"}},
		{0x7f, 1, nil},
		{10, 4, nil},
		{0xfff0, 4, nil},            // a length
		{0xfffffff6, 4, nil},        // -10
		{^uint64(0) - 4095, 8, nil}, // an errno
		{0x10000, 4, nil},           // a round one
	} {
		var got []string
		for _, b := range number(tt.v, tt.size) {
			got = append(got, string(b))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%#x in %d bytes: got %q, want %q", tt.v, tt.size, got, tt.want)
		}
	}
}

// The code is what gcc makes of if (*p == 0x1122334455667788 && f()), and more behind it.
func TestOperandsAreThoseOfOneBlock(t *testing.T) {
	text := "48b88877665544332211" + // movabs $0x1122334455667788,%rax
		"e8f1ffffff" + // call
		"483907" + // cmp %rax,(%rdi)
		"7505" + // jne
		"3defbeadde" // cmp $0xdeadbeef,%eax
	code, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	known := true
	target := func(in image.Instruction) (comparison, uint64, bool) { return comparisons["strcmp"], in.To, known }
	words, calls := operands(code, 0x1000, target)
	if len(words) != 2 || string(words[0]) != "\x88\x77\x66\x55\x44\x33\x22\x11" {
		t.Errorf("got %q, want the number in both orders", words)
	}
	if len(calls) != 1 || calls[0].at != 0x100a || calls[0].next != 0x100f || calls[0].to != 0x1000 || calls[0].first != 0xe8 {
		t.Errorf("got the calls %+v", calls)
	}
	known = false
	if _, calls := operands(code, 0x1000, target); len(calls) > 0 {
		t.Errorf("a call of something else is taken for %+v", calls)
	}
	// Without a comparison a number is any number.
	if words, _ := operands(code[:15], 0x1000, target); len(words) > 0 {
		t.Errorf("got %q, want none", words)
	}
}
