package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// What is timed is what the README says, and that is few commands.
func TestTheReadmeHasFewCommandsToTry(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	commands, site, err := tryIt(string(readme))
	if err != nil || len(commands) == 0 || len(commands) > mostCommands || !strings.HasPrefix(site, "https://") {
		t.Errorf("%q from %q, %v", commands, site, err)
	}
}

func TestCommandsToTryAreFound(t *testing.T) {
	page := "# a\n\n```sh\nno\n```\n\n## Try it\n\nText\n\n```sh\nsudo a -b   # if it lacks\n\ngit clone https://x/y\nmake demo\n```\n\n```sh\nlater\n```\n"
	commands, site, err := tryIt(page)
	if want := []string{"sudo a -b", "git clone https://x/y", "make demo"}; err != nil || !slices.Equal(commands, want) || site != "https://x/y" {
		t.Errorf("got %q from %q, %v; want %q", commands, site, err, want)
	}
	for _, page := range []string{"", "\n## Try it\n", "\n## Try it\n\n```sh\nmake\n```\n",
		"\n## Try it\n\n## Next\n\n```sh\ngit clone https://x/y\n```\n"} {
		if commands, _, err := tryIt(page); err == nil {
			t.Errorf("%q: got %q and no error", page, commands)
		}
	}
}

func TestAToolchainOfLinksIsCopiedWhole(t *testing.T) {
	dir := t.TempDir()
	from, to, elsewhere := filepath.Join(dir, "from"), filepath.Join(dir, "to"), filepath.Join(dir, "elsewhere")
	err := errors.Join(os.MkdirAll(filepath.Join(elsewhere, "src"), 0o755), os.WriteFile(filepath.Join(elsewhere, "src", "go"), []byte("x"), 0o755),
		os.Mkdir(from, 0o755), os.Symlink("../elsewhere/src", filepath.Join(from, "src")), copyTree(t.Context(), from, to), os.RemoveAll(elsewhere))
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(filepath.Join(to, "src", "go")); err != nil || st.Mode() != 0o755 {
		t.Errorf("got %v, %v, want a program", st, err)
	}
}

func TestAReportSaysWhetherThePromiseIsKept(t *testing.T) {
	commands := []string{"git clone x", "make demo"}
	for _, c := range []struct {
		took time.Duration
		want string
	}{
		{60 * time.Second, "\ngit clone x  2.0\nmake demo    60.0\n\n2 commands and 62 s, 90 s of processor time, to an enforced policy of jq; at most 5 and 300 s are wanted: met\n"},
		{299 * time.Second, "at most 5 and 300 s are wanted: missed\n"},
	} {
		if got := report("bookworm", "go1.26", commands, []time.Duration{2 * time.Second, c.took}, 90*time.Second); !strings.HasSuffix(got, c.want) {
			t.Errorf("got %q, want %q at its end", got, c.want)
		}
	}
	six := slices.Repeat([]string{"true"}, 6)
	if got := report("bookworm", "go1.26", six, make([]time.Duration, 6), 0); !strings.HasSuffix(got, ": missed\n") {
		t.Errorf("six commands: %q", got)
	}
}
