package mine

import (
	"slices"
	"strings"
	"testing"
)

func TestScriptReadsListsOfCommands(t *testing.T) {
	const help = `Commands:
.archive ...             Manage archives
   -c, --create              Create a new archive
   -f FILE, --file FILE      Use archive FILE
.backup ?DB? FILE        Backup DB to FILE
.echo on|off             Turn command echo on or off
.quit                    Exit this program
   . ends it, too
`
	got := Script(nil, strings.Split(help, "\n"), "data", "d")
	want := []string{
		".archive\n" + ".archive --create\n.archive --create data\n.archive --create d\n" + ".archive --file data\n.archive --file data data\n.archive --file data d\n" +
			".archive -c\n.archive -c data\n.archive -c d\n" + ".archive -f data\n.archive -f data data\n.archive -f data d\n",
		".backup\n.backup a data\n.backup a out\n.backup a |cat\n.backup a\n",
		".echo\n.echo on\n.echo off\n",
		".quit\n",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func TestScriptKnowsACommandByItsList(t *testing.T) {
	const words = "get FILE      fetch a file\nput FILE      send a file\nls [DIR]      list files\nbye           end\n"
	lines := strings.Split(words, "\n")
	if got := Script(nil, lines, "f", "d"); len(got) != 0 {
		t.Errorf("words without a sign, in a file, are no commands: %q", got)
	}
	got := Script([]byte(words), nil, "f", "d")
	want := []string{"get\nget f\nget out\nget |cat\n", "put\nput f\nput out\nput |cat\n", "ls\nls .\nls /tmp\n", "bye\n"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for name, text := range map[string]string{
		"too few":   ".a   one\n.b   two\n.c   three\n",
		"unaligned": ".a   one\n.bb   two\n.ccc   three\n.dddd   four\n",
		"sentences": ".this is one  Of\n.that is two  Of\n.them is not  So\n.here is why  No\n",
		"options":   "-a   one\n-b   two\n-c   three\n-d   four\n",
	} {
		if got := Script(nil, strings.Split(text, "\n"), "f", "d"); len(got) != 0 {
			t.Errorf("%s: got %q, want nothing", name, got)
		}
	}
}

func FuzzScript(f *testing.F) {
	f.Add(".a X   one\n.b   two\n.c x|y   three\n  -o V  value\n.d   four\n", "file")
	f.Add("help   this\nquit   end\nget <a> [b]   fetch\nls ...   list\n", "")
	f.Fuzz(func(t *testing.T, text, file string) {
		for _, strs := range [][]string{nil, strings.Split(text, "\n")} {
			for _, s := range Script([]byte(text), strs, file, "dir") {
				if !strings.HasSuffix(s, "\n") || strings.Count(s, "\n") > maxUses+strings.Count(file, "\n")*maxUses*4 {
					t.Errorf("%q from %q", s, text)
				}
			}
		}
	})
}
