package mutate

import (
	"slices"
	"strings"
	"testing"
)

// wordTable is of a program with sub-commands and options of every arity.
var wordTable = Table{
	Options: []Option{
		{Name: "--all", Arity: NoValue},
		{Name: "--when", Arity: NeedsValue, Values: []string{"dawn", "dusk"}},
		{Name: "-o", Arity: NeedsValue, Values: []string{"out"}},
		{Name: "-v", Arity: NoValue},
		{Name: "-x", Arity: NoValue},
	},
	Commands: []string{"build", "clean", "remote add"},
	Sub: map[string][]Option{
		"build": {{Name: "--fast", Arity: NoValue}}, "remote": {{Name: "--url", Arity: NoValue}}, "remote add": {{Name: "--fetch", Arity: NoValue}},
	},
	Names:    []string{"dir"},
	Examples: [][]string{{"-o", "out", "--all"}},
	Texts:    []string{".a | .b"},
}

func TestEachWordOperatorKeepsItsPromises(t *testing.T) {
	cases := []struct {
		operator, what string
		in             string // words, separated by spaces
		hit            func(w []string) bool
	}{
		{"add option", "in front of operands", "f", words("--all f")},
		{"add option", "after operands", "f", words("f --all")},
		{"add option", "of the sub-command, behind it", "build f", words("build --fast f")},
		{"add option", "with a known value", "", words("--when=dusk")},
		{"add option", "without its value", "", words("--when")},
		{"add option", "with a value too many", "", func(w []string) bool { return strings.HasPrefix(w[0], "--all=") }},
		{"add several", "that exclude each other", "", words("--when=dawn --when=dusk")},
		{"add conflict", "two values", "f", words("--when=dawn --when=dusk f")},
		{"add conflict", "an option and its opposite", "f", words("--all --no-all f")},
		{"add joined", "flags", "f", words("-xv f")},
		{"add joined", "with a value in the next word", "f", words("-vxo out f")},
		{"add joined", "with a value in the same word", "f", words("-vxoout f")},
		{"add invalid", "an unknown option", "f", words("--no-such-option f")},
		{"add invalid", "a letter wrong", "f", words("--alm f")},
		{"add invalid", "of another case", "f", words("-X f")},
		{"add general option", "before the sub-command", "build f", words("--when=dawn build f")},
		{"change value", "of an option, joined", "--when=noon f", words("--when=dawn f")},
		{"change value", "of an option, in the next word", "-o f", words("-o out")},
		{"change value", "an operand", "f", words(Input)},
		{"change text", "a word", "file " + Input, words("fil " + Input)},
		{"respell", "in the next word", "--when=dawn f", words("--when dawn f")},
		{"respell", "after an equals sign", "--when dawn f", words("--when=dawn f")},
		{"respell", "in the same word", "-o out", words("-oout")},
		{"respell", "out of the same word", "-oout", words("-o out")},
		{"abbreviate", "with its value", "--when=dawn", words("--wh=dawn")},
		{"negate", "an option", "--all f", words("--no-all f")},
		{"negate", "a negated one", "--no-all f", words("--all f")},
		{"end of options", "before an operand", "-v f", words("-v -- f")},
		{"response file", "the input", "f", words("f @" + Input)},
		{"name input otherwise", "through another link", Input, words("/proc/self/root" + Input)},
		{"name input otherwise", "by a roundabout path", Input, words("/proc/.." + Input)},
		{"name input otherwise", "as a directory", Input, words(Input + "/")},
		{"name input otherwise", "in an option", "--in=" + Input, words("--in=file://" + Input)},
		{"name input again", "as an operand", Input, words(Input + " " + Input)},
		{"name input again", "as the value of an option", Input, words("-o " + Input + " " + Input)},
		{"remove", "a word", "a b", words("b")},
		{"repeat", "a word", "a b", words("a a b")},
		{"swap", "two words", "a b", words("b a")},
		{"add operand", "a file that exists", "f", words("f dir")},
		{"add operand", "a text", "f", func(w []string) bool { return slices.Equal(w, []string{"f", ".a | .b"}) }},
		{"add command", "in front", "f", words("clean f")},
		{"add command", "instead of another", "build f", words("clean f")},
		{"add command", "of two words", "clean f", words("remote add f")},
		{"add command", "instead of one of two words", "remote add f", words("clean f")},
		{"add option", "of a sub-command of a sub-command", "remote add f", words("remote add --fetch f")},
		{"take example", "in the place of all words", "a b", words("-o out --all")},
		{"drop all", "everything", "a b", func(w []string) bool { return len(w) == 0 }},
	}
	kept := make(map[string]bool)
	for _, c := range cases {
		kept[c.operator] = true
		t.Run(c.operator+"/"+c.what, func(t *testing.T) {
			i := slices.IndexFunc(wordOperators[:], func(o struct {
				name   string
				apply  func(*argv) bool
				weight int
			}) bool {
				return o.name == c.operator
			})
			if i < 0 {
				t.Fatal("no such operator")
			}
			r := newRand(1)
			for range 20_000 {
				m := argv{r: r, t: &wordTable, w: strings.Fields(c.in)}
				if wordOperators[i].apply(&m) && c.hit(m.w) {
					return
				}
			}
			t.Errorf("not seen in 20000 results from %q", c.in)
		})
	}
	for _, o := range wordOperators {
		if !kept[o.name] {
			t.Errorf("operator %q promises nothing in this test", o.name)
		}
	}
}

func words(want string) func([]string) bool {
	return func(w []string) bool { return slices.Equal(w, strings.Fields(want)) }
}

func TestWordOperatorsSayWhenTheyFindNothing(t *testing.T) {
	for _, o := range wordOperators {
		for _, in := range []string{"", "a", "-", "--", "-x", "--l", "--=", "a --b=c", Input} {
			r := newRand(2)
			for range 200 {
				m := argv{r: r, t: &Table{}, w: strings.Fields(in)}
				if !o.apply(&m) && !slices.Equal(m.w, strings.Fields(in)) {
					t.Fatalf("%s: %q became %q, said to be unchanged", o.name, in, m.w)
				}
			}
		}
	}
}

func TestArgsMostlyKeepNamingTheInput(t *testing.T) {
	r := newRand(3)
	kept, n := 0, 2000
	for range n {
		if named(Args(r, &wordTable, nil, []string{"-v", Input})) {
			kept++
		}
	}
	if kept < n*3/4 || kept == n {
		t.Errorf("%d of %d command lines name the input", kept, n)
	}
}
