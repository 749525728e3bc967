package mine

import (
	"slices"
	"testing"
)

func TestValuesThatStandInAListBelowTheOptions(t *testing.T) {
	const head = "Usage: x [OPTION]...\n  -H, --format=FORMAT   of the given format\n      --backup[=CONTROL]  back up\n      --quoting-style=STYLE  as\n  -v, --verbose  tell more\n"
	for _, tt := range []struct {
		name, text, option string
		want               []string
	}{
		{"by what the option takes", "\n FORMAT is one of the following:\n    gnu      GNU tar\n    v7       old\n\n   --other  x\n", "-H", []string{"gnu", "v7"}},
		{"by its name", "Valid arguments for the --quoting-style option are:\n\n  literal\n  c-maybe\n\nMore about it.\n", "--quoting-style", []string{"literal", "c-maybe"}},
		{"a name on the line before", "The method may be selected via the --backup option or\nVERSION_CONTROL.  Here are the values:\n\n  none, off       never\n  t, numbered     make\n                  many\n  nil             some\n\n", "--backup", []string{"none", "off", "t", "numbered", "nil"}},
		{"a list that has ended", "FORMAT is one of:\n  a  x\n  b  y\nNot:\n  c  z\n", "--format", []string{"a", "b"}},
		{"one is no list", "FORMAT may be:\n  a  x\n\n", "--format", nil},
		{"a list of something else", "Exit status is one of:\n  0  fine\n  1  bad\n\n", "--format", nil},
		{"an option that takes nothing", "Values of --verbose are:\n  a  x\n  b  y\n\n", "--verbose", nil},
	} {
		var got []string
		for _, o := range Help([]byte(head + tt.text)).Options {
			if o.Name == tt.option {
				got = o.Values
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %s takes %q, want %q", tt.name, tt.option, got, tt.want)
		}
	}
	got := Help([]byte("Usage: y [OPERAND]...\n  conv=CONVS      convert\n\nEach CONV symbol may be:\n\n  ascii     from EBCDIC\n  sync      pad\n\n")).Texts
	for _, want := range []string{"conv=ascii", "conv=sync"} {
		if !slices.Contains(got, want) {
			t.Errorf("operands %q lack %s", got, want)
		}
	}
}
