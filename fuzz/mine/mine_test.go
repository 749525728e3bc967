package mine

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// show is the table as "-x", "-x V", "--y[=V]{a,b}": easy to read in a diff.
func show(t mutate.Table) string {
	var out []string
	for _, o := range t.Options {
		s := o.Name + map[mutate.Arity]string{mutate.NoValue: "", mutate.NeedsValue: " V", mutate.MayHaveValue: "[V]"}[o.Arity]
		if len(o.Values) > 0 {
			s += "{" + strings.Join(o.Values, ",") + "}"
		}
		out = append(out, s)
	}
	if len(t.Commands) > 0 {
		out = append(out, "commands: "+strings.Join(t.Commands, " "))
	}
	return strings.Join(out, "; ")
}

func TestHelpReadsTheFormsOfManyPrograms(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"gnu", `Usage: grep [OPTION]... PATTERNS [FILE]...
  -E, --extended-regexp     PATTERNS are extended regular expressions
  -e, --regexp=PATTERNS     use PATTERNS for matching
      --color[=WHEN],
      --colour[=WHEN]       use markers to highlight the matching strings;
                            WHEN is 'always', 'never', or 'auto'
`, "--color[V]; --colour[V]{always,never,auto}; --extended-regexp; --regexp V; -E; -e V"},
		{"argparse", `usage: x.py [-h] [--level {low,high}] [--out FILE] name

options:
  -h, --help            show this help message and exit
  --level {low,high}
  -o FILE, --out FILE   where to
`, "--help; --level V{low,high}; --out V; -h; -o V"},
		{"go flags", "Usage of tool:\n  -addr string\n    \tlisten on (default \":80\")\n  -v\tverbose\n", "-addr V; -v"},
		{"jq", "      --indent n            use n spaces for indentation;\n  -n, --null-input          use `null` as the single input value;\n      --arg name value      set $name to the string value;\n", "--arg V; --indent V; --null-input; -n"},
		{"xmllint", "\t--maxmem nbbytes : limits memory allocation\n\t--huge : remove any internal limits\n\t--output file or -o file: save to a given file\n", "--huge; --maxmem V; --output V; -o V"},
		{"openssl options", " -in infile          Input file\n -noout              No output\n", "-in V; -noout"},
		{"alternatives", "  -m, --mode=fast|slow   how\n  --level <low|mid>  how much\n", "--level V{low,mid}; --mode V{fast,slow}; -m V{fast,slow}"},
		{"git", `usage: git [-v | --version] [-C <path>] [--exec-path[=<path>]]

These are common Git commands used in various situations:

start a working area (see also: git help tutorial)
   clone     Clone a repository into a new directory
   init      Create an empty Git repository or reinitialize an existing one
`, "--exec-path[V]; --version; -C V; -v; commands: clone init"},
		{"openssl commands", "Standard commands\nasn1parse         ca                ciphers\nx509\n\nMessage Digest commands (see the `dgst' command for more details)\nblake2b512        md5\n",
			"; commands: asn1parse blake2b512 ca ciphers md5 x509"},
		{"cobra", "Available Commands:\n  completion  Generate the autocompletion script\n  serve       Serve\n\nFlags:\n  -p, --port int   port\n", "--port V; -p V; commands: completion serve"},
		{"prose", "This program does - among others - nothing - at all.\nSee also: the manual.\n", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := show(Help([]byte(c.text))); got != strings.TrimPrefix(c.want, "; ") {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func FuzzHelp(f *testing.F) {
	f.Add([]byte("Usage: x [-a|--all=[W]]\n  -c, --color[=WHEN]  'a' or 'b'\nCommands:\n  run  it\n"))
	f.Add([]byte("-\x00=[{<"))
	f.Fuzz(func(t *testing.T, text []byte) {
		table := Help(text)
		for _, o := range table.Options {
			if !strings.HasPrefix(o.Name, "-") || strings.ContainsAny(o.Name, " \x00\n=") || o.Arity == mutate.ArityInvalid {
				t.Fatalf("%+v", o)
			}
			for _, v := range o.Values {
				if v == "" || strings.Contains(v, "\x00") || o.Arity == mutate.NoValue {
					t.Fatalf("%+v", o)
				}
			}
		}
		if again := table.Merge(table); show(again) != show(table) {
			t.Fatalf("%s is %s when merged with itself", show(table), show(again))
		}
	})
}

func TestGuessSortsStrings(t *testing.T) {
	got := Guess([]string{"--verbose", "--level=", "-q", "hvo:f::", "+pxwk", "abcd", "a:b", "FOO_BAR", "LD_PRELOAD", "EINVAL", "%s: error", "token", "token", "two words", "no_caps"})
	if want := "--level V; --verbose; -f[V]; -h; -k; -o V; -p; -q; -v; -w; -x"; show(got.Table) != want {
		t.Errorf("options: got %s, want %s", show(got.Table), want)
	}
	if want := []string{"FOO_BAR"}; !slices.Equal(got.EnvNames, want) {
		t.Errorf("environment: got %q, want %q", got.EnvNames, want)
	}
	if got, want := fmt.Sprintf("%s", got.Dictionary), "[+pxwk --level= --verbose -q EINVAL FOO_BAR LD_PRELOAD a:b abcd hvo:f:: no_caps token]"; got != want {
		t.Errorf("tokens: got %s, want %s", got, want)
	}
}

const getoptProgram = `
#include <getopt.h>
#include <stdlib.h>
static int stored;
static const struct option longs[] = {
	{"alpha", no_argument, 0, 'a'}, {"beta-max", required_argument, 0, 'b'}, {"gamma", optional_argument, 0, 'g'}, {"delta", required_argument, 0, 'd'}, {"stored", no_argument, &stored, 's'}, {0, 0, 0, 0}};
int main(int argc, char **argv) {
	while (getopt_long(argc, argv, "ab:g::", longs, 0) != -1) ;
	return getenv("SOME_SETTING") != 0;
}
`

func TestProgramFindsTheGetoptTableOfABinary(t *testing.T) {
	gcc := testenv.Program(t, "gcc")
	for _, flags := range [][]string{{"-pie", "-fPIE"}, {"-no-pie"}, {"-static"}} {
		t.Run(flags[0], func(t *testing.T) {
			bin := filepath.Join(t.TempDir(), "target")
			cmd := exec.Command(gcc, append(flags, "-s", "-x", "c", "-o", bin, "-")...)
			cmd.Stdin = strings.NewReader(getoptProgram)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("gcc: %v\n%s", err, out)
			}
			file, err := os.Open(bin)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			got, err := Program(file, []byte("  -z  from the help\n"), []byte(".TP\n.BI \\-y \" value\"\nFrom the page.\n"))
			if err != nil {
				t.Fatal(err)
			}
			table := "; " + show(got.Table) + ";"
			for _, want := range []string{"--alpha", "--beta-max V", "--gamma[V]", "-a", "-b V", "-g[V]", "-z", "-y V", "-d V"} {
				if !strings.Contains(table, "; "+want+";") {
					t.Errorf("no %q in %s", want, table)
				}
			}
			if strings.Contains(table, "; -s;") {
				t.Errorf("-s, which stands for a number that is stored, in %s", table)
			}
			if !slices.Contains(got.EnvNames, "SOME_SETTING") {
				t.Errorf("no SOME_SETTING in %q", got.EnvNames)
			}
		})
	}
}

func TestProgramReadsScriptsAndRefusesBrokenELF(t *testing.T) {
	got, err := Program(bytes.NewReader([]byte("#!/bin/sh\ncase $1 in\n--dry-run) echo $MY_DIR;;\nesac\n")), nil, nil)
	if err != nil || show(got.Table) != "--dry-run" || !slices.Equal(got.EnvNames, []string{"MY_DIR"}) {
		t.Errorf("script: %s, %q, %v", show(got.Table), got.EnvNames, err)
	}
	if got, err := Program(bytes.NewReader([]byte("\x7fELF and then nothing of the kind")), nil, nil); err == nil {
		t.Errorf("broken ELF file accepted: %+v", got)
	}
}
