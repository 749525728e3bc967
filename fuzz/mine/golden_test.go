package mine

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

var update = flag.Bool("update", false, "write the golden files anew")

// rows is a table with a line for each entry, and all that is known of it.
func rows(t mutate.Table) string {
	var b strings.Builder
	for _, o := range t.Options {
		b.WriteString(o.Name)
		if o.Arity > mutate.NoValue {
			b.WriteString(map[mutate.Arity]string{mutate.NeedsValue: " takes", mutate.MayHaveValue: " may take"}[o.Arity])
			fmt.Fprintf(&b, " %q", o.Kind)
			if o.Apart {
				b.WriteString(" apart")
			}
		}
		if o.Same != "" {
			fmt.Fprintf(&b, " is %s", o.Same)
		}
		if len(o.Then) > 0 {
			fmt.Fprintf(&b, " then %q", o.Then)
		}
		if len(o.Values) > 0 {
			fmt.Fprintf(&b, " of %q", o.Values)
		}
		b.WriteByte('\n')
	}
	for _, c := range t.Commands {
		fmt.Fprintf(&b, "command %s\n", c)
	}
	for _, w := range t.Texts {
		fmt.Fprintf(&b, "text %s\n", w)
	}
	return b.String()
}

// golden holds what read makes of each file of testdata that pattern matches to the
// file beside it that ends in .golden.
func golden(t *testing.T, pattern string, least int, read func([]byte) mutate.Table) {
	files, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(files) < least {
		t.Fatalf("%d files match %s, %v", len(files), pattern, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(file, filepath.Ext(file))
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := rows(read(text))
			if *update {
				if err := os.WriteFile(name+".golden", []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(name + ".golden")
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s\ngo test ./fuzz/mine -update writes it anew", got, want)
			}
		})
	}
}

// The texts are what the programs of a Debian 12 print.
func TestHelpOfRealPrograms(t *testing.T) { golden(t, "help/*.txt", 20, Help) }

// The pages are parts of those of a Debian 12: ronn's, mdoc(7), and man(7) by hand.
func TestManOfRealPrograms(t *testing.T) { golden(t, "man/*.roff", 3, Man) }
