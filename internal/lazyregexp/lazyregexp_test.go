package lazyregexp_test

import (
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

func TestATestFindsAnExpressionWithAnError(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic: the error would show at the first use")
		}
	}()
	lazyregexp.New("a(")
}

func TestItFindsWhatRegexpDoes(t *testing.T) {
	r := lazyregexp.New(`a(b+)`)
	if got := r.FindStringSubmatch("xabbx"); len(got) != 2 || got[1] != "bb" {
		t.Errorf("got %q", got)
	}
	if r.MatchString("ba") || r.ReplaceAllString("abc", "") != "c" {
		t.Error("it matches what it should not, or replaces too little")
	}
}
