package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// TJFUZZ_LONG makes more runs. Those of sort end before the draws that give it a
// program to compress with: which of the two is faster shows in its syscalls. The script
// is spared what makes it race with its children, a wait4 that fails, and signals, and so many lines that its time is
// up: where it is then, chance decides.
func TestLearnIsTheSameForTheSameSeedAndRuns(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	long := os.Getenv("TJFUZZ_LONG") != ""
	seeds := t.TempDir()
	for name, data := range map[string]string{"a.json": `{"a": [1, "x", null]}`, "b.txt": "b c\na -1\n"} {
		if err := os.WriteFile(filepath.Join(seeds, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, target string
		runs, more   int
		draws        bool // even the fewer runs come to random draws
		only         string
	}{
		{"jq", testenv.Program(t, "jq"), 80, 2000, false, ""},
		{"sort", testenv.Program(t, "sort"), 80, 400, false, ""},
		{"script", script(t, t.TempDir(), "script",
			`n=0; while [ $n -lt 40 ] && read -r a; do n=$((n + 1)); case $a in *x*) ls /etc;; *-*) wc -c "$0" | cat >b;; *) echo "$a";; esac; done`), 200, 2000, true, "bytes,argv,env,streams,files,history"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			runs := c.runs
			if long {
				runs = c.more
			}
			learn := func(dir string) map[string]string {
				p := start(t, dir, "learn", "--seeds", seeds, "--seed", "7", "--execs", fmt.Sprint(runs), "--jobs", "1", "--confidence", "0", "--duration", "1h", "--only", c.only, "--", c.target)
				p.wait(t, 0)
				stats, err := os.ReadFile(filepath.Join(dir, ".tjfuzz", c.name, "fuzzer_stats"))
				if err != nil {
					t.Fatal(err)
				}
				if c.draws && !regexp.MustCompile(`(?m)^draws_done +: [1-9]`).Match(stats) {
					t.Errorf("no run was drawn at random, so nothing is shown:\n%s", stats)
				}
				return contents(t, dir)
			}
			first, second := t.TempDir(), t.TempDir()
			want := learn(first)
			if want[c.name+".seccomp.json"] == "" || want[".tjfuzz/"+c.name+"/evidence.json"] == "" {
				t.Fatalf("no profile or no evidence among %d files", len(want))
			}
			if diff := cmp.Diff(want, learn(second)); diff != "" {
				t.Errorf("in another directory (-first +second):\n%s", diff)
			}
			if diff := cmp.Diff(want, learn(first)); diff != "" {
				t.Errorf("again in the same directory (-first +again):\n%s", diff)
			}
		})
	}
}

// contents reads all files below dir but for those that tell the time.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || slices.Contains([]string{"fuzzer_stats", "plot_data", "checkpoint.json", summaryName}, d.Name()) {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, path))
		all[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
