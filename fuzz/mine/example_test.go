package mine

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExamplesAreTheCommandLinesOfTheProgram(t *testing.T) {
	help := `Usage: pack [OPTION]... FILE
   or: pack -l <archive>
pack puts many files into one.

Examples:
  pack -cf archive.pk foo bar  # Create archive.pk from foo and bar.
  pack -xf archive.pk          # Extract all.
  $ find . -name '*.c' | pack -T - -cf "my archive.pk" > log 2>&1
  unpack -x archive.pk
  -f, --file=ARCHIVE           use ARCHIVE, as pack does
`
	page := strings.Join([]string{
		`.TH PACK 1`, `.SH NAME`, `pack \- an archiver`, `.SH SYNOPSIS`, `.B pack`, `{\-A|\-\-append} \fIarchive\fR [\fIfile\fR...]`,
		`.SH DESCRIPTION`, `pack is a program that puts files into archives.`, `.B pack \-\-list a.pk.`,
		`\fCpack -q 10m *.txt\fP`, `\f(CWpack -Z bzip2 a.pk\fR`,
		`.SH EXAMPLES`, `To see it all:`, `.nf`, `pack \-tv \-\-sort=name a.pk; pack \-d a.pk`, `.fi`, `.SH AUTHOR`, `pack was written by somebody.`,
	}, "\n")
	want := []string{
		"@@", "-l @@", "-cf archive.pk foo bar", "-xf archive.pk", "-T - -cf my archive.pk",
		"-A @@", "-A @@ file", "--append @@", "--append @@ file", "--list a.pk", "-q 10m *.txt", "-Z bzip2 a.pk", "-tv --sort=name a.pk", "-d a.pk",
	}
	var got []string
	for _, words := range Examples("pack", []byte(help), []byte(page)) {
		got = append(got, strings.Join(words, " "))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzExamples(f *testing.F) {
	f.Add("  pack -c 'a b' <in >out | pack \\ x [a [b]] {a|b} \"")
	f.Add(".SH EXAMPLES\n.B pack \\fIa\\fR")
	f.Fuzz(func(t *testing.T, text string) {
		for _, words := range Examples("pack", []byte(text), []byte(text)) {
			if len(words) == 0 || len(words) > maxExampleWords || slices.Contains(words, "[") {
				t.Errorf("%q gives %q", text, words)
			}
		}
	})
}

func TestProgramsThatReadNamesAreKnownByWhatListsThem(t *testing.T) {
	for text, want := range map[string]bool{
		"  find . -name '*.c' | pack -T -":   true,
		"  $ ls *.js | sudo /bin/pack -r":    true,
		"  git ls-files | pack":              true,
		"  pack -o < name-list [> archive]":  true,
		"  pack dir/ < names.txt":            true,
		"usage: pack [-a] cmd < filenames":   true,
		"  pack < list-of-none.tar":          false,
		"  pack < playlist":                  false,
		"  pack -v < wordlist.txt":           false,
		"  pack a; sort < names":             false,
		"  pack <list>":                      false,
		"  sort -u < names":                  false,
		"  cat list | pack -T -":             false,
		"  find . | sort | pack":             false,
		"  find . | packer":                  false,
		"  ./find.sh-ls 1 | pack":            false,
		"pack finds what ls | pack would do": false,
	} {
		if got := Listed("pack", []byte(text), nil); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
	page := ".Sh EXAMPLES\n.Dl $ find src/ | pack make\n"
	if !Listed("pack", nil, []byte(page)) {
		t.Error("a manual page's example is not seen")
	}
}

func TestWhatASynopsisCallsACommandIsOne(t *testing.T) {
	for text, want := range map[string][][]string{
		"usage: pack [-acd] utility [argument [/_] ...] < filenames": {{"cat"}},
		"Usage: pack -n 1 command...":                                {{"-n", "1", "cat"}},
		"usage: pack <input command> <count>":                        {{"@@", "1"}},
		"usage: pack program/x user:program":                         {{"program/x", "user:program"}},
		"usage: pack command|file":                                   {{"command"}, {"file"}},
		"usage: pack {get | put} <file>":                             {{"get", "@@"}, {"put", "@@"}},
		"Create: pack -c [options] <file>":                           {{"-c", "@@"}},
		"usage: pack [-c | -x] [[<URL>]<path>/]<file> [<options>]":   {{"-c", "@@"}, {"-x", "@@"}},
		"usage: pack -f [-t btree | hash] <file> | sort":             {{"-f", "@@"}},
		"usage: pack { 'get' | 'put' } <file>":                       {{"get", "@@"}, {"put", "@@"}},
		"usage: pack create <file> [size]":                           {{"create", "@@"}, {"create", "@@", "1"}},
		"usage: pack {enc | dec} <file> [<outfile>]":                 {{"enc", "@@"}, {"enc", "@@", "outfile"}, {"dec", "@@"}, {"dec", "@@", "outfile"}},
		"usage: pack enc [-f] [<infile>]... [options] [-n [num]]":    {{"enc"}, {"enc", "@@"}},
		"Command syntax:\n  dd [-f fmt] [bs=n] filename\n  it is":    {{"dd", "@@"}},
		"  Extract, and ask nothing:   PACK x -y archive":            {{"x", "-y", "archive"}},
		"example: pack command":                                      {{"command"}},
	} {
		got := Examples("pack", []byte(text), nil)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

// The form of mdoc(7), in which bsdtar(1) calls itself tar: Debian has several programs under other names than their pages know.
func TestManualPagesOfBSDShowExamples(t *testing.T) {
	page := strings.Join([]string{
		`.Sh NAME`, `.Nm tar`, `.Nd manipulate archives`, `.Sh SYNOPSIS`,
		`.Nm`, `.Brq Fl c`, `.Op Ar options`, `.Op Ar files | Ar directories`,
		`.Nm`, `.Brq Fl r | Fl u`, `.Fl f Ar archive-file`,
		`.Nm tar`, `.Bro`, `.Cm get | Cm put`, `.Brc`, `.Ar file`,
		`.Sh DESCRIPTION`, `.Nm`, `creates archives with`, `.Fl c .`,
		`.Sh EXAMPLES`, `.Dl Nm Fl czf Pa file.tar.gz Pa source.c`, `.Dl Nm find Pa src | Nm Fl pmud Pa dest`,
		`.Dl Nm Fl cf Pa - Fl C Pa srcdir \&. | Nm Fl xpf Pa -`, `.Dl tar -tf a.tar`, `.Dl $ tar -d a.tar`,
	}, "\n")
	var got []string
	for _, words := range Examples("bsdtar", nil, []byte(page)) {
		got = append(got, strings.Join(words, " "))
	}
	want := []string{"-c", "-r -f @@", "-u -f @@", "get @@", "put @@", "-czf file.tar.gz source.c", "-pmud dest", "-cf - -C srcdir .", "-xpf -", "-tf a.tar", "-d a.tar"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// A page of several programs calls none of them by another's name.
	if name := ownName("unpack", ".SH NAME\npack, unpack \\- archives\n"); name != "unpack" {
		t.Errorf("the page calls unpack %q", name)
	}
}
