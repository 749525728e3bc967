package mutate

import (
	"bytes"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
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
	got, err := ReadDictionary(strings.NewReader(file), AllLevels)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"plain", "named", "inside", "leveled", "\x89PNG\r\n", `back\slash and "quote"`}
	if !slices.EqualFunc(got, want, func(a []byte, b string) bool { return string(a) == b }) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReadDictionaryLeavesOutWhatIsAboveTheLevel(t *testing.T) {
	const file = "\"a\"\nb=\"b\"\nc@0=\"c\"\nd@1=\"d\"\ne@2=\"e\"\n"
	for level, want := range []string{"abc", "abcd", "abcde"} {
		d, err := ReadDictionary(strings.NewReader(file), level)
		if got := string(bytes.Join(d, nil)); err != nil || got != want {
			t.Errorf("level %d: got %q, %v, want %q", level, got, err, want)
		}
	}
}

func TestReadTokensTakesEachFileOfADirectory(t *testing.T) {
	file := func(n int) *fstest.MapFile { return &fstest.MapFile{Data: bytes.Repeat([]byte{0}, n)} }
	got, err := ReadTokens(fstest.MapFS{"b": file(1), "a": file(maxToken), "sub/c": file(1)})
	if err != nil || len(got) != 2 || len(got[0]) != maxToken || len(got[1]) != 1 {
		t.Errorf("got %q, %v", got, err)
	}
	for name, dir := range map[string]fstest.MapFS{
		"an empty directory": {}, "an empty file": {"a": file(0)}, "a long file": {"a": file(maxToken + 1)}, "no file": {"a": {Mode: fs.ModeNamedPipe}},
	} {
		if d, err := ReadTokens(dir); err == nil {
			t.Errorf("%s: accepted as %q", name, d)
		}
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
		"signed level":       `a@+1="b"`,
		"huge level":         `a@9999999999="b"`,
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
			d, err := ReadDictionary(strings.NewReader("\"fine\"\n"+line+"\n"), AllLevels)
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
		d, err := ReadDictionary(bytes.NewReader(file), AllLevels)
		if err != nil {
			return
		}
		var again strings.Builder
		if left, err := d.Write(&again); left > 0 || err != nil {
			t.Fatalf("%q: %d tokens left out, %v", d, left, err)
		}
		e, err := ReadDictionary(strings.NewReader(again.String()), AllLevels)
		if err != nil || !slices.EqualFunc(d, e, bytes.Equal) {
			t.Fatalf("%q written and read again is %q, %v", d, e, err)
		}
	})
}
