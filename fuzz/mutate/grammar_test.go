package mutate

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// jsonGrammar is one of JSON without white space.
const jsonGrammar = `{
	"<start>": ["<value>"],
	"<value>": ["<object>", "<array>", "<string>", "<number>", "true", "false", "null"],
	"<object>": ["{}", "{<members>}"],
	"<members>": ["<member>", "<member>,<members>"],
	"<member>": ["<string>:<value>"],
	"<array>": ["[]", "[<values>]"],
	"<values>": ["<value>", "<values>,<value>"],
	"<string>": ["\"<characters>\""],
	"<characters>": ["", "<character><characters>"],
	"<character>": ["a", "b", "\\\\n", "\\\\u00e9", "\\xc3\\xa9", "é"],
	"<number>": ["<digit>", "-<digit>", "<digit>.<digit>", "<digit>e<digit>"],
	"<digit>": ["0", "1", "9"]
}`

func readGrammar(t *testing.T, text string) *Grammar {
	t.Helper()
	g, err := ReadGrammar(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestReadGrammarRefuses(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"nothing", ``, "line 1, column 1: unexpected EOF"},
		{"a list", `["<start>"]`, `line 1, column 1: want "{", got [`},
		{"no start", `{"<a>": ["<a>b"]}`, "line 1, column 1: <start> is not defined"},
		{"not a symbol", "{\n  \"start\": [\"a\"]}", `line 2, column 3: "start" is not the name of a symbol`},
		{"a symbol with a space", `{"<st art>": ["a"]}`, `column 2: "<st art>" is not the name`},
		{"an empty name", `{"<>": ["a"]}`, `column 2: "<>" is not the name`},
		{"a symbol and more", `{"<start>x": ["a"]}`, `"<start>x" is not the name`},
		{"not a list", `{"<start>": "a"}`, `line 1, column 13: alternatives of <start>: want "[", got a`},
		{"not a string", `{"<start>": ["a", 1]}`, "line 1, column 19: an alternative of <start> is not a string"},
		{"no alternative", "{\"<start>\": [\"<a>\"],\n\"<a>\": []}", "line 2, column 1: <a> has no alternative"},
		{"defined twice", "{\"<start>\": [\"a\"],\n \"<start>\": [\"b\"]}", "line 2, column 2: <start> is defined twice"},
		{"not defined", "{\"<start>\": [\"a\",\n\t\"b<c>\"]}", "line 2, column 2: <c> is not defined"},
		{"never used", "{\"<start>\": [\"a\"],\n\"<b>\": [\"c\"]}", "line 2, column 1: <b> is never used"},
		{"endless", `{"<start>": ["a", "<b>"], "<b>": ["x<c>"], "<c>": ["<b>"]}`, "every alternative of <b> goes on for ever"},
		{"bad escape", `{"<start>": ["a\\q"]}`, `column 14: "\\q" is not an escape`},
		{"short escape", `{"<start>": ["\\x4"]}`, `"\\x4" is not an escape`},
		{"bad JSON", "{\"<start>\": [\"a\"],\n \"<b>\" [\"c\"]}", "line 2, column 7: alternatives of <b>: invalid character '['"},
		{"cut off", `{"<start>": ["a"`, "line 1, column 17: unexpected EOF"},
		{"text after", "{\"<start>\": [\"a\"]}\n{}", "line 2, column 1: text after the grammar"},
		{"too large", `{"<start>": ["` + strings.Repeat("a", maxGrammar) + `"]}`, "more than 1048576 bytes"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g, err := ReadGrammar(strings.NewReader(c.text))
			if err == nil {
				t.Fatalf("accepted: %+v", g)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestWhatAGrammarMakesIsOfTheGrammar(t *testing.T) {
	d, r := readGrammar(t, jsonGrammar).Deriver(), newRand(1)
	kinds, deep := make(map[byte]bool), 0
	for range 2000 {
		b, err := d.Mutate(r, nil, nil, 4096)
		if err != nil || !json.Valid(b) {
			t.Fatalf("%q, %v", b, err)
		}
		if len(b) <= 400 && d.g.parse(b) == nil {
			t.Fatalf("not recognized: %q", b)
		}
		kinds[b[0]] = true
		deep = max(deep, strings.Count(string(b), "[")-strings.Count(string(b), "[]"))
	}
	if !kinds['{'] || !kinds['['] || !kinds['"'] || deep < 4 {
		t.Errorf("beginnings %v, at most %d arrays", kinds, deep)
	}
}

func TestADeriverReplacesPartsOfAnInput(t *testing.T) {
	d, r := readGrammar(t, jsonGrammar).Deriver(), newRand(2)
	seed, other := []byte(`{"ab":[1,{"b":"aa"}],"a":null}`), []byte(`[9e9]`)
	if !json.Valid(seed) || d.g.parse(seed) == nil {
		t.Fatal("the seed is not of the grammar")
	}
	made := make(map[string]int)
	kept := 0
	for range 20_000 {
		b, err := d.Mutate(r, seed, other, 200)
		if err != nil || len(b) > 200 || !json.Valid(b) {
			t.Fatalf("%d bytes %q, %v", len(b), b, err)
		}
		made[string(b)]++
		if bytes.HasPrefix(b, []byte(`{"ab":[1,`)) || bytes.HasSuffix(b, []byte(`"a":null}`)) {
			kept++
		}
	}
	for _, want := range []string{
		`{"ab":[1,{"b":"aa"}],"a":[]}`,                       // derived anew
		`{"ab":[1,{"b":"aa"}],"a":9e9}`,                      // from the other
		`{"ab":[1,{"b":"aa"}],"a":"aa"}`,                     // from elsewhere in it
		`{"ab":[1,{"ab":[1,{"b":"aa"}],"a":null}],"a":null}`, // nested into itself
		`{"a":null}`, // a list that is shorter
	} {
		if made[want] == 0 {
			t.Errorf("never made: %s", want)
		}
	}
	if kept < 10_000 {
		t.Errorf("%d of 20000 keep most of the seed", kept)
	}
}

func TestADeriverMakesANewInputOfWhatIsNotOfTheGrammar(t *testing.T) {
	d, r := readGrammar(t, jsonGrammar).Deriver(), newRand(3)
	for _, in := range []string{"", "{", "not JSON", strings.Repeat("[", 100), "[" + strings.Repeat("1,", maxParsed) + "1]"} {
		for range 100 {
			if b, err := d.Mutate(r, []byte(in), []byte(in), 1000); err != nil || !json.Valid(b) {
				t.Fatalf("of %.20q: %q, %v", in, b, err)
			}
		}
	}
}

func TestParseTellsWhatIsOfTheGrammar(t *testing.T) {
	cases := []struct {
		name, grammar string
		yes, no       []string
	}{
		{"left recursion", `{"<start>": ["<start>+<n>", "<n>"], "<n>": ["1", "2"]}`, []string{"1", "1+2+1"}, []string{"", "+", "1+", "1+3"}},
		{"ambiguity", `{"<start>": ["<start><start>", "a"]}`, []string{"a", "aaaa"}, []string{"", "b", "aab"}},
		{"emptiness", `{"<start>": ["<a><b><a>c"], "<a>": ["", "x"], "<b>": ["<a><a>"]}`, []string{"c", "xc", "xxxxc"}, []string{"", "x", "xxxxxc"}},
		{"palindromes", `{"<start>": ["", "a<start>a", "b<start>b"]}`, []string{"", "abba", "aabbaa"}, []string{"ab", "aba"}},
		{"bytes", `{"<start>": ["\\xff\\x00\\x3ca>\\\\"]}`, []string{"\xff\x00<a>\\"}, []string{"\xff", "<a>"}},
		{"less-than signs", `{"<start>": ["<", "a < b", "<<x>>"], "<x>": ["1"]}`, []string{"<", "a < b", "<1>"}, []string{"<<x>>"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := readGrammar(t, c.grammar)
			for _, s := range c.yes {
				if p := g.parse([]byte(s)); len(p) == 0 || p[0] != (phrase{0, span{0, len(s)}}) {
					t.Errorf("%q: %v", s, p)
				}
			}
			for _, s := range c.no {
				if p := g.parse([]byte(s)); p != nil {
					t.Errorf("%q: %v", s, p)
				}
			}
		})
	}
}

// The flattest tree of this grammar has 2^40 leaves.
func TestAGrammarThatGrowsIsCutOff(t *testing.T) {
	for _, leaf := range []string{"x", ""} {
		var b strings.Builder
		b.WriteString(`{"<start>": ["<a><a>"]`)
		name := "<a>"
		for range 40 {
			next := name[:len(name)-1] + "a>"
			b.WriteString(`, "` + name + `": ["` + next + next + `"]`)
			name = next
		}
		b.WriteString(`, "` + name + `": ["` + leaf + `"]}`)
		got, err := readGrammar(t, b.String()).Deriver().Mutate(newRand(4), nil, nil, 100)
		if want := 100 * len(leaf); err != nil || len(got) != want {
			t.Errorf("%d bytes, want %d, %v", len(got), want, err)
		}
	}
}

func TestTheSameStreamDerivesTheSame(t *testing.T) {
	all := func() (out []string) {
		d, r := readGrammar(t, jsonGrammar).Deriver(), newRand(5)
		in := []byte(`[1]`)
		for range 300 {
			var err error
			if in, err = d.Mutate(r, in, []byte(`{"a":1}`), 300); err != nil {
				t.Fatal(err)
			}
			out = append(out, string(in))
		}
		return out
	}
	if !slices.Equal(all(), all()) {
		t.Error("two streams of one seed differ")
	}
}

func FuzzReadGrammar(f *testing.F) {
	f.Add([]byte(jsonGrammar), []byte("[1]"))
	f.Add([]byte(`{"<start>": ["", "<start>\\x00<start>"]}`), []byte("\x00"))
	f.Fuzz(func(t *testing.T, text, data []byte) {
		g, err := ReadGrammar(bytes.NewReader(text))
		if err != nil {
			if !strings.Contains(err.Error(), "line ") && len(text) <= maxGrammar {
				t.Fatalf("an error without its place: %v", err)
			}
			return
		}
		d, r := g.Deriver(), newRand(1)
		for range 4 {
			b, err := d.Mutate(r, data, nil, 64)
			if err != nil || len(b) > 64 {
				t.Fatalf("%d bytes, %v", len(b), err)
			}
		}
		for _, p := range g.parse(data) {
			if p.from > p.to || p.to > len(data) {
				t.Fatalf("phrase %+v of %d bytes", p, len(data))
			}
		}
	})
}
