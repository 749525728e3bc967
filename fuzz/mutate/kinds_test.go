package mutate

import (
	"slices"
	"testing"
)

func TestLikelyValuesComeFromWhatIsKnownOrFromTheName(t *testing.T) {
	for _, c := range []struct {
		o    Option
		want string // the first
	}{
		{Option{Values: []string{"x"}, Kind: "FILE"}, "x"},
		{Option{Kind: "FILE"}, Input},
		{Option{Kind: "output-file"}, Input},
		{Option{Kind: "DIR"}, "."},
		{Option{Kind: "PROG"}, "cat"},
		{Option{Kind: "N"}, "1"},
		{Option{Kind: "timeout secs"}, "1"},
		{Option{Kind: "profile"}, ""}, // not a file
		{Option{Kind: ""}, ""},
	} {
		got := ""
		if l := c.o.Likely(); len(l) > 0 {
			got = l[0]
		}
		if got != c.want {
			t.Errorf("%+v: got %q, want %q", c.o, got, c.want)
		}
	}
}

func TestWordsOfAnOptionAreThoseThatItsProgramReads(t *testing.T) {
	for _, c := range []struct {
		o    Option
		want []string
	}{
		{Option{Name: "--a", Arity: NoValue}, []string{"--a"}},
		{Option{Name: "--a", Arity: NeedsValue}, []string{"--a=v"}},
		{Option{Name: "--a", Arity: NeedsValue, Apart: true}, []string{"--a", "v"}},
		{Option{Name: "--a", Arity: MayHaveValue, Apart: true}, []string{"--a=v"}},
		{Option{Name: "-a", Arity: NeedsValue}, []string{"-a", "v"}},
		{Option{Name: "-a", Arity: MayHaveValue}, []string{"-av"}},
		{Option{Name: "--a", Arity: NeedsValue, Apart: true, Then: []string{"w", ";"}}, []string{"--a", "v", "w", ";"}},
	} {
		if got := c.o.Words("v"); !slices.Equal(got, c.want) {
			t.Errorf("%+v: got %q, want %q", c.o, got, c.want)
		}
	}
}
