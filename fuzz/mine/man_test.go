package mine

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

func TestTagsInARowAreSpellingsOfOneOption(t *testing.T) {
	page := ".SH OPTIONS\n.TP\n.B \\-a\n.PD 0\n.TP\n.PD\n.BI \\-\\-all= WORD\nTakes all.\n.TP\n.B \\-x\n.SH OTHER\n.TP\n.B \\-\\-other\nIs another.\n"
	want := "--all takes \"WORD\"\n--other\n-a takes \"WORD\" is --all\n-x\n"
	if got := rows(Man([]byte(page))); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestManReadsTheFormsOfManyPages(t *testing.T) {
	cases := []struct{ name, page, want string }{
		{"help2man", `.TH X 1
.SH OPTIONS
.TP
\fB\-b\fR, \fB\-\-ignore\-leading\-blanks\fR
ignore leading blanks
.TP
\fB\-\-sort\fR=\fI\,WORD\/\fR
sort according to WORD:
general\-numeric \fB\-g\fR, human\-numeric \fB\-h\fR, month \fB\-M\fR
`, `--ignore-leading-blanks; --sort V{general-numeric,human-numeric,month}; -b`},
		{"by hand", `.SH OPTIONS
.TP
.BR \-c ", " \-\-stdout
Write to standard output.
.TP
.BI \-\-format= format
One of
.BR auto ,
.B xz
or
.BR lzma .
.TP
.B \-C\ \fIdir\fR
`, `--format V{auto,xz,lzma}; --stdout; -C V; -c`},
		{"pod2man", `.SH "OPTIONS"
.IX Header "OPTIONS"
.IP "\fB\-in\fR \fIfilename\fR" 4
.IX Item "-in filename"
The input filename.
.IP "\fB\-noout\fR" 4
Nothing.
`, `-in V; -noout`},
		{"asciidoc", `.SH "OPTIONS"
.PP
\-a, \-\-all
.RS 4
Everything\&. See \fBgit-add\fR(1) and \fBgit-rm\fR(1)\&.
.RE
.PP
\-\-cleanup=<mode>
.RS 4
Is
\fIstrip\fR
or \fBverbatim\fR or
\fBdefault\fR\&.
.PP
A second paragraph with \-\-nothing new
.RE
`, `--all; --cleanup V{verbatim,default}; -a`},
		{"mdoc", `.Sh SYNOPSIS
.Nm ssh
.Op Fl 46A
.Op Fl b Ar bind_address
.Sh OPTIONS
.Bl -tag
.It Fl E Ar log_file
Append.
.It Fl -long Ns = Ns Ar value
Long.
.It Fl O Ar ctl_cmd
Valid commands are:
.Cm check ,
.Cm exit .
.It Fl f
.El
`, `--long V; -4; -46A; -6; -A; -E V; -O V{check,exit}; -b V; -f`},
		{"systemd", `.SH "OPTIONS"
.PP
\fB\-n\fR, \fB\-\-lines=\fR
.RS 4
How many\&.
.RE
`, `--lines V; -n V`},
		{"ronn", `.SH "OPTIONS"
.IP "\[ci]" 4
\fB\-f filename\fR / \fB\-\-from\-file filename\fR:
.IP
Read it from the file\.
.IP "\[ci]" 4
\fB\-D DICT\fR: use \fBDICT\fR to compress
.IP "\[ci]" 4
\fB\-\-ultra\fR: unlocks more
.IP
Needs more memory\.
.IP "" 0
`, `--from-file V; --ultra; -D V; -f V`},
		{"commands", `.SH "COMMANDS"
.TP
.B start \fIUNIT\fR
Start it.
.TP
.B stop
Stop it.
`, `commands: start stop`},
		{"examples and macros are no options", `.de XX
\-\-macro
..
.SH EXAMPLES
.nf
\-\-example
.fi
.\" \-\-comment
Text, \-\-in the middle.
`, ``},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := show(Man([]byte(c.page))); strings.TrimPrefix(got, "; ") != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestManPageFindsThePageOfAProgram(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte("packed")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	tree := fstest.MapFS{
		"man1/packed.1.gz": {Data: packed.Bytes()},
		"man8/plain.8":     {Data: []byte("plain")},
		"man1/link.1":      {Data: []byte(".so man1/packed.1\n")},
		"man1/loop.1":      {Data: []byte(".so man1/loop.1\n")},
		"man1/broken.1.gz": {Data: []byte("not gzip")},
	}
	for program, want := range map[string]string{"packed": "packed", "plain": "plain", "link": "packed"} {
		if got, err := ManPage(tree, program); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", program, got, err, want)
		}
	}
	for _, program := range []string{"missing", "../man8/plain", ""} {
		if got, err := ManPage(tree, program); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %q, %v", program, got, err)
		}
	}
	if got, err := ManPage(tree, "broken"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("broken: got %q, %v", got, err)
	}
	if got, err := ManPage(tree, "loop"); err != nil || len(Man(got).Options) != 0 {
		t.Errorf("loop: got %q, %v", got, err)
	}
}

func FuzzMan(f *testing.F) {
	f.Add([]byte(".TP\n\\fB\\-x\\fR \\fIfile\\fR\ndo 'a' or \\fBb\\fR\n.SH COMMANDS\n.It Fl x Ar y\n"))
	for _, name := range []string{"jq", "ssh", "xz"} {
		page, err := os.ReadFile("testdata/man/" + name + ".roff")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(page)
	}
	f.Fuzz(func(t *testing.T, page []byte) {
		for _, o := range Man(page).Options {
			if !strings.HasPrefix(o.Name, "-") || strings.ContainsAny(o.Name, " \x00\n=") || o.Arity == mutate.ArityInvalid || o.Arity == mutate.NoValue && o.Values != nil {
				t.Fatalf("%+v", o)
			}
		}
	})
}
