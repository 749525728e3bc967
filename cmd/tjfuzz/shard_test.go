package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

func TestShardsAreCountedFromZeroOrFromOne(t *testing.T) {
	for word, want := range map[string]fuzz.Shard{
		"0/1": {Index: 0, Of: 1}, "1/1": {Index: 0, Of: 1}, "0/4": {Index: 0, Of: 4}, "3/4": {Index: 3, Of: 4}, "4/4": {Index: 0, Of: 4},
	} {
		if got, err := parseShard(word); err != nil || got != want {
			t.Errorf("%s: %v, %v", word, got, err)
		}
	}
	for _, word := range []string{"", "1", "1/", "/4", "1/0", "-1/4", "5/4", "1/4/4", "a/4", "1/4097"} {
		if got, err := parseShard(word); err == nil {
			t.Errorf("%q is %v", word, got)
		}
	}
}

// shards learns the victim with all options in that many processes, and returns their state directories. What draws may
// find is in the plan, too.
func shards(t *testing.T, dir string, of int) []string {
	t.Helper()
	var all []*tool
	var states []string
	for i := range of {
		all = append(all, start(t, dir, "learn", "--shard", fmt.Sprintf("%d/%d", i, of), "--jobs", "1", "--seed", "5", "--only", "argv", "--directed=false",
			"--duration", "0", "--confidence", "0.9", "--seeds", "seeds", "--", "./options"))
		states = append(states, fmt.Sprintf(".tjfuzz/options.shard-%d-of-%d", i, of))
	}
	for _, p := range all {
		p.wait(t, 0)
	}
	return states
}

// sharded is a directory with the victim and a seed.
func sharded(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Rename(testenv.Compile(t, "testdata/options.c"), filepath.Join(dir, "options")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "seeds"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "seeds", "one"), []byte("a b\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// tjfuzzIn runs tjfuzz in dir, and demands that it succeed.
func tjfuzzIn(t *testing.T, dir string, args ...string) {
	t.Helper()
	start(t, dir, args...).wait(t, 0)
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// However many processes share the planned runs, and in whatever groups and order their evidence is
// united, the profile is the same to the byte.
func TestTheProfileDoesNotDependOnTheNumberOfShards(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	t.Parallel()
	dir := sharded(t)
	counts := []int{1, 2, 4}
	if os.Getenv("TJFUZZ_LONG") != "" {
		counts = append(counts, 8)
	}
	want := ""
	for _, of := range counts {
		states := shards(t, dir, of)
		tjfuzzIn(t, dir, append([]string{"merge", "--state", "all"}, states...)...)
		tjfuzzIn(t, dir, "generate", "-o", "p.json", "all")
		got := read(t, dir, "p.json")
		if want == "" {
			want = got
			for _, call := range []string{"getppid", "getsid", "getpriority", "mkdir", "getitimer", "umask"} {
				if !strings.Contains(got, `"`+call+`"`) {
					t.Fatalf("the plan does not show %s, so nothing is shown", call)
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d shards (-one +these):\n%s", of, diff)
		}
		if of == counts[len(counts)-1] {
			grouped(t, dir, states, want)
			tjfuzzIn(t, dir, "verify", "--policy", "p.json", "--state", "all", "--", "./options")
		}
	}
}

// grouped unites the evidence of shards in two steps, in random groups.
func grouped(t *testing.T, dir string, states []string, profile string) {
	t.Helper()
	tjfuzzIn(t, dir, append([]string{"merge", "--quiet", "-o", "whole.json"}, states...)...)
	r := rand.New(rand.NewPCG(8, 9))
	for range 4 {
		r.Shuffle(len(states), func(i, j int) { states[i], states[j] = states[j], states[i] })
		at := 1 + r.IntN(len(states)-1)
		tjfuzzIn(t, dir, append([]string{"merge", "--quiet", "-o", "some.json"}, states[:at]...)...)
		tjfuzzIn(t, dir, append([]string{"merge", "--quiet", "-o", "again.json", "some.json"}, states[at:]...)...)
		if diff := cmp.Diff(read(t, dir, "whole.json"), read(t, dir, "again.json")); diff != "" {
			t.Errorf("%q first (-at once +in groups):\n%s", states[:at], diff)
		}
		tjfuzzIn(t, dir, "generate", "-o", "again.seccomp.json", "again.json")
		if diff := cmp.Diff(profile, read(t, dir, "again.seccomp.json")); diff != "" {
			t.Errorf("%q first (-want +got):\n%s", states[:at], diff)
		}
	}
}

// The evidence of a shard that is killed counts as far as it came; started again it goes on from there.
func TestAShardThatIsKilledCostsItsUnfinishedRunsOnly(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	t.Parallel()
	dir := sharded(t)
	command := func(limit ...string) []string {
		return slices.Concat([]string{"learn", "--shard", "2/2", "--jobs", "1", "--seed", "5", "--only", "argv", "--directed=false", "--confidence", "0",
			"--seeds", "seeds"}, limit, []string{"--", "./options"})
	}
	const killed = ".tjfuzz/options.shard-0-of-2"
	p := start(t, dir, command("--duration", "0")...)
	eventually(t, "runs are counted", func() bool { return readHolding(t, filepath.Join(dir, killed)).runs > 60 })
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.wait(t, 128+9)
	before := readHolding(t, filepath.Join(dir, killed))
	tjfuzzIn(t, dir, "learn", "--shard", "1/2", "--jobs", "1", "--seed", "5", "--only", "argv", "--directed=false", "--execs", "60", "--seeds", "seeds", "--", "./options")

	unite := func(when string, runs uint64) string {
		p := start(t, dir, "merge", "--state", "all", killed, ".tjfuzz/options.shard-1-of-2")
		p.wait(t, 0)
		tr, err := loadEvidence(filepath.Join(dir, "all", evidenceName))
		if err != nil {
			t.Fatal(err)
		}
		if tr.Runs < runs+60 {
			t.Errorf("%s: %d runs are united, there were %d and 60", when, tr.Runs, runs)
		}
		seen := map[string]bool{}
		for _, o := range tr.Observations {
			seen[o.ID.String()] = true
		}
		for id := range before.syscalls {
			if !seen[id.String()] {
				t.Errorf("%s: %v was seen, and is not in the united evidence", when, id)
			}
		}
		tjfuzzIn(t, dir, "generate", "-o", "p.json", "all")
		tjfuzzIn(t, dir, "report", "--policy", "p.json", "--state", "all", "-o", when+".md", "./options")
		return p.stderr.String()
	}
	if said := unite("killed", before.runs); !strings.Contains(said, killed+": the session has not ended; its ") {
		t.Errorf("of the session that was killed it says: %s", said)
	}
	if got, want := read(t, dir, "killed.md"), "1 sessions beside each other, number of runs reached; 1 more had not ended"; !strings.Contains(got, want) {
		t.Errorf("the report does not say %q:\n%s", want, got)
	}
	p = start(t, dir, command("--execs", "40")...)
	p.wait(t, 0)
	if !strings.Contains(p.stderr.String(), "tjfuzz: going on from ") {
		t.Errorf("the shard began anew:\n%s", &p.stderr)
	}
	if said := unite("started again", before.runs+40); strings.Contains(said, "has not ended") {
		t.Errorf("of the sessions that have ended it says: %s", said)
	}
	if got, want := read(t, dir, "started again.md"), "2 sessions beside each other, number of runs reached."; !strings.Contains(got, want) {
		t.Errorf("the report does not say %q:\n%s", want, got)
	}
}
