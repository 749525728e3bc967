package mutate

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestReadDictionaryReadsWhatAFLReads(t *testing.T) {
	const file = `# comment

"plain"
name="named"
  spaced = "inside"
level_1@2="leveled"
header="\x89PNG\x0d\x0A"
"back\\slash and \"quote\""
`
	got, err := ReadDictionary(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"plain", "named", "inside", "leveled", "\x89PNG\r\n", `back\slash and "quote"`}
	if !slices.EqualFunc(got, want, func(a []byte, b string) bool { return string(a) == b }) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReadDictionaryRefuses(t *testing.T) {
	cases := map[string]string{
		"no quotes":          "token",
		"unclosed":           `"token`,
		"lone quote":         `"`,
		"empty token":        `a=""`,
		"text after":         `"a" b`,
		"no equals sign":     `name "a"`,
		"no name":            `="a"`,
		"bad name":           `na-me="a"`,
		"bad level":          `a@x="b"`,
		"no level":           `a@="b"`,
		"inner quote":        `"a"b"`,
		"unknown escape":     `"\n"`,
		"short escape":       `"\x4"`,
		"escape not hex":     `"\xg0"`,
		"control as hex":     "\"\\x\x10\x10\"",
		"open escape":        `"a\"`,
		"byte above ASCII":   `"ä"`,
		"control character":  "\"a\tb\"",
		"token too long":     `"` + strings.Repeat("a", maxToken+1) + `"`,
		"line of a megabyte": strings.Repeat("#", 1<<20),
	}
	for name, line := range cases {
		t.Run(name, func(t *testing.T) {
			d, err := ReadDictionary(strings.NewReader("\"fine\"\n" + line + "\n"))
			if err == nil {
				t.Fatalf("accepted as %q", d)
			}
			if !strings.Contains(err.Error(), "line 2") {
				t.Errorf("error does not name line 2: %v", err)
			}
		})
	}
}

func FuzzReadDictionary(f *testing.F) {
	f.Add([]byte("# c\nname@1=\"a\\x00\\\"\\\\\"\n\"b\""))
	f.Add([]byte(`"\x`))
	f.Fuzz(func(t *testing.T, file []byte) {
		d, err := ReadDictionary(bytes.NewReader(file))
		if err != nil {
			return
		}
		var again strings.Builder
		for i, token := range d {
			fmt.Fprintf(&again, "t%d=\"", i)
			for _, c := range token {
				fmt.Fprintf(&again, "\\x%02x", c)
			}
			again.WriteString("\"\n")
		}
		e, err := ReadDictionary(strings.NewReader(again.String()))
		if err != nil || !slices.EqualFunc(d, e, bytes.Equal) {
			t.Fatalf("%q written and read again is %q, %v", d, e, err)
		}
	})
}
