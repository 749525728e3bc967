package corpora

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func names(seeds []Seed) []string {
	var out []string
	for _, s := range seeds {
		out = append(out, s.Name)
	}
	return out
}

func TestForStartsWithWhatTheProgramReads(t *testing.T) {
	cases := []struct{ program, first string }{
		{"jq", "json"}, {"xmllint", "xml"}, {"sqlite3", "sql"}, {"tar", "tar"},
		{"gzip", "gzip"}, {"unzip", "zip"}, {"openssl", "pem"}, {"python3", "python"},
		{"/usr/bin/python3.13", "python"}, {"sh", "sh"}, {"sed", "sed"}, {"awk", "awk"},
		{"grep", "text"}, {"sort", "text"}, {"convert", "png"}, {"ffmpeg", "wav"},
		{"curl", "http-response"}, {"nginx", "http-request"}, {"redis-server", "redis"},
		{"g++-14", "cpp"}, {"file", "text"}, {"./nobody-knows", "text"},
	}
	for _, c := range cases {
		seeds := For(c.program)
		if len(seeds) == 0 || seeds[0].Format != c.first || seeds[0].Kind != Valid {
			t.Errorf("For(%q): got first %v, want a valid %s", c.program, names(seeds[:min(1, len(seeds))]), c.first)
		}
		if got := names(seeds); len(unique(got)) != len(got) {
			t.Errorf("For(%q): got a seed twice: %v", c.program, got)
		}
	}
}

func TestForAnUnknownProgramTriesEachCommonFormatOnce(t *testing.T) {
	seeds := For("nobody-knows")
	if len(seeds) != len(commonFormats()) {
		t.Fatalf("got %d seeds, want one of each of %d formats", len(seeds), len(commonFormats()))
	}
	for i, f := range commonFormats() {
		if seeds[i].Format != f {
			t.Errorf("seed %d: got format %s, want %s", i, seeds[i].Format, f)
		}
		if seeds[i].Kind != Valid && f != "empty" {
			t.Errorf("%s: got %s, want a valid member", seeds[i].Name, seeds[i].Kind)
		}
	}
	if got := len(For("file")); got != len(Formats()) {
		t.Errorf("For(file): got %d seeds, want one of each of %d formats", got, len(Formats()))
	}
}

func TestPackedSeedsAreOneOfEachFormat(t *testing.T) {
	got := map[string]bool{}
	for _, s := range Packed() {
		if got[s.Format] || s.Kind != Valid || !strings.HasPrefix(s.Name, s.Format+"-") {
			t.Errorf("got %s, %s, want one valid seed of each format", s.Name, s.Kind)
		}
		if FileName(s.Format) == "" {
			t.Errorf("files of the format %s have no name", s.Format)
		}
		got[s.Format] = true
	}
	for _, f := range []string{"gzip", "bzip2", "xz", "zstd", "lz4", "compress", "tar", "zip", "cpio"} {
		if !got[f] {
			t.Errorf("there is none of %s", f)
		}
	}
}

// A misspelled format would silently leave a program without its seeds, a
// misspelled name the whole entry unused.
func TestTablesNameKnownFormatsAndProgramsOnce(t *testing.T) {
	known := Formats()
	var programNames []string
	for _, p := range programs() {
		programNames = append(programNames, strings.Fields(p.names)...)
		if p.formats == everyFormat {
			continue
		}
		for _, f := range strings.Fields(p.formats) {
			if !slices.Contains(known, f) {
				t.Errorf("programs %s: no format %q", p.names, f)
			}
		}
	}
	slices.Sort(programNames)
	for i := 1; i < len(programNames); i++ {
		if programNames[i] == programNames[i-1] {
			t.Errorf("program %s is in the table twice", programNames[i])
		}
	}
	for _, f := range commonFormats() {
		if !slices.Contains(known, f) {
			t.Errorf("common formats: no format %q", f)
		}
	}
	for _, d := range dictionaries() {
		for _, f := range strings.Fields(d.formats) {
			if !slices.Contains(known, f) {
				t.Errorf("dictionaries: no format %q", f)
			}
		}
	}
}

func TestRankPutsAcceptedFormatsFirstAndAsksOnceEach(t *testing.T) {
	seeds := []Seed{
		{Name: "a1", Format: "a", Kind: Broken},
		{Name: "b1", Format: "b", Kind: Valid},
		{Name: "x"},
		{Name: "a2", Format: "a", Kind: Valid},
		{Name: "c1", Format: "c", Kind: Odd},
		{Name: "y"},
		{Name: "c2", Format: "c", Kind: Odd},
	}
	before := slices.Clone(names(seeds))
	var asked []string
	ranked, formats := Rank(seeds, func(s Seed) bool {
		asked = append(asked, s.Name)
		return s.Name == "a2" || s.Name == "y" || s.Name == "c1"
	})
	got := names(ranked)
	if want := []string{"a1", "a2", "c1", "y", "c2", "b1", "x"}; !slices.Equal(got, want) {
		t.Errorf("order: got %v, want %v", got, want)
	}
	if want := []string{"a2", "b1", "x", "c1", "y"}; !slices.Equal(asked, want) {
		t.Errorf("asked: got %v, want %v", asked, want)
	}
	if want := []string{"a", "c"}; !slices.Equal(formats, want) {
		t.Errorf("formats: got %v, want %v", formats, want)
	}
	if !slices.Equal(names(seeds), before) {
		t.Errorf("Rank changed its argument: %v", names(seeds))
	}
}

// Folders of others have broken files too, and too many to try them all.
func TestRankAsksAboutSomeWhereNobodyKnowsWhatIsValid(t *testing.T) {
	var seeds []Seed
	for i := range 10 {
		seeds = append(seeds, Seed{Name: fmt.Sprint("a", i), Format: "a"}, Seed{Name: fmt.Sprint("b", i), Format: "b"})
	}
	for i := range 100 {
		seeds = append(seeds, Seed{Name: fmt.Sprint("x", i)})
	}
	asked := map[string]int{}
	ranked, formats := Rank(seeds, func(s Seed) bool {
		asked[s.Format]++
		return s.Name == "b3" || s.Name == "x2"
	})
	if asked["a"] != 4 || asked["b"] != 4 || asked[""] != 64 || !slices.Equal(formats, []string{"b"}) {
		t.Errorf("asked about %v, accepted %v; want 4 of each format, 64 without, and b", asked, formats)
	}
	if len(ranked) != len(seeds) || ranked[0].Name != "b0" || ranked[10].Name != "x2" || ranked[11].Name != "a0" {
		t.Errorf("got %v, want b0 to b9, x2, and then the others", names(ranked))
	}
	if kept := names(Pick(seeds[:20], formats, 2)); !slices.Equal(kept, []string{"a0", "b0", "a1", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "b9"}) {
		t.Errorf("Pick: got %v, want two of a and all of b", kept)
	}
}

func TestDictionariesHaveTokensWithoutDoubles(t *testing.T) {
	for _, f := range []string{"json", "xml", "html", "sql", "http-request", "png", "csv", "regex", "sh", "tar"} {
		if n := len(Dictionary(f)); n < 10 {
			t.Errorf("%s: got %d tokens, want at least 10", f, n)
		}
	}
	for _, f := range Formats() {
		seen := map[string]bool{}
		for _, tok := range Dictionary(f) {
			if len(tok) == 0 || seen[string(tok)] {
				t.Errorf("%s: token %q is empty or there twice", f, tok)
			}
			seen[string(tok)] = true
		}
	}
	if d := Dictionary("no such format"); d != nil {
		t.Errorf("an unknown format: got %q, want nothing", d)
	}
}
