package mine

import (
	"slices"
	"testing"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

func TestOnlyProgramsThatNameWhomTheyCallGetSomebodyToCall(t *testing.T) {
	for _, c := range []struct {
		help  string
		table mutate.Table
		want  []string // the first word of the first line, or of a line of a command
	}{
		{"Usage: x [options...] <url>\n\n -v  more\n", mutate.Table{}, []string{"http://www.example.com/"}},
		{"usage: x [-46AaC] destination [command]\n", mutate.Table{}, []string{"host.example.com"}},
		{"Usage: x [FILE]...\n\nReport bugs at https://www.example.org/x, our server.\n", mutate.Table{}, nil},
		{"Usage: x COMMAND\n", mutate.Table{Commands: []string{"fetch"}, Sub: map[string][]mutate.Option{"fetch": {{Name: "--from", Arity: mutate.NeedsValue, Kind: "repository"}}}},
			[]string{"fetch", "https://host.example.com/repo.git"}},
	} {
		got := Callees([]byte(c.help), &c.table)
		if c.want == nil && got != nil || c.want != nil && !slices.ContainsFunc(got, func(words []string) bool { return slices.Equal(words, c.want) }) {
			t.Errorf("%q: got %q, want one that is %q", c.help, got, c.want)
		}
	}
}
