package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// TJFUZZ_LONG kills 20 times. The moments come from a seed; what is promised holds at
// each of them, whatever the machine has got done by then.
func TestALearnThatIsKilledAtAnyMomentLosesNothing(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	jq := testenv.Program(t, "jq")
	t.Parallel()
	for name, flags := range map[string][]string{"cage": nil, "no cage": {"--no-cage"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kills := 3
			if os.Getenv("TJFUZZ_LONG") != "" {
				kills = 20
			}
			killAgainAndAgain(t, jq, kills, flags...)
		})
	}
}

func killAgainAndAgain(t *testing.T, program string, kills int, flags ...string) {
	dir, tmp := t.TempDir(), t.TempDir()
	target := filepath.Join(dir, "target") // in whose name nothing else runs
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(target, text, 0o755); err != nil {
		t.Fatal(err)
	}
	learn := func(seed int, more ...string) *tool {
		words := append([]string{"learn", "--jobs", "2", "--confidence", "0", "--seed", strconv.Itoa(seed)}, flags...)
		words = append(append(words, more...), "--", target)
		p := &tool{Cmd: exec.CommandContext(t.Context(), "tjfuzz", words...)}
		p.Dir, p.Stdout, p.Stderr, p.Env = dir, &p.stdout, &p.stderr, append(os.Environ(), "TMPDIR="+tmp)
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		return p
	}
	state := filepath.Join(dir, ".tjfuzz", "target")
	const seed = 6
	moment := rand.New(rand.NewPCG(seed, 0))
	mountsBefore, bpfBefore := mounts(t), orphans(t)
	var before holding
	var pids []int
	for round := range kills {
		p := learn(round)
		pids = append(pids, p.Process.Pid)
		if round%2 == 0 { // the others are killed whether they have come to a run or not
			eventually(t, "more runs are counted", func() bool { return readHolding(t, state).runs > before.runs })
		}
		timer := time.NewTimer(time.Duration(moment.IntN(1500)) * time.Millisecond)
		<-timer.C
		if err := p.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		p.wait(t, 128+9)
		eventually(t, "the target is gone", func() bool { return len(running(t, target)) == 0 })
		now := readHolding(t, state)
		now.mustHave(t, before, "after kill "+strconv.Itoa(round+1))
		t.Logf("kill %d: %d runs, %d syscalls, %d scenarios", round+1, now.runs, len(now.syscalls), len(now.scenarios))
		before = now
	}
	if len(before.syscalls) == 0 || len(before.scenarios) == 0 {
		t.Fatal("nothing was found, so nothing is shown")
	}
	p := learn(kills, "--execs", "30")
	p.wait(t, 0)
	if !strings.Contains(p.stderr.String(), "tjfuzz: going on from ") {
		t.Errorf("the last one began anew:\n%s", &p.stderr)
	}
	after := readHolding(t, state)
	after.mustHave(t, before, "after the last one")
	allowed := allowedBy(t, filepath.Join(dir, "target.seccomp.json"))
	for id := range before.syscalls {
		if name, known := id.Name(); known && !allowed[name] {
			t.Errorf("%s was known, and the profile does not allow it", name)
		}
	}

	if got := running(t, target); len(got) > 0 {
		t.Errorf("still running: %q", got)
	}
	if got := mounts(t); got != mountsBefore {
		t.Errorf("mounts are\n%s\nand were\n%s", got, mountsBefore)
	}
	for _, pid := range pids {
		if got := controlGroups(t, pid); len(got) > 0 {
			t.Errorf("still there: %q", got)
		}
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("in the directory for temporary files there is %v, %v", left, err)
	}
	eventually(t, "no BPF object is left that no process holds", func() bool {
		for what := range orphans(t) {
			if !bpfBefore[what] {
				return false
			}
		}
		return true
	})
}

// holding is what a state directory holds.
type holding struct {
	scenarios map[string]bool
	syscalls  map[sysno.ID]bool
	runs      uint64
}

// readHolding demands that all of it can be read.
func readHolding(t *testing.T, dir string) holding {
	t.Helper()
	k := holding{scenarios: map[string]bool{}, syscalls: map[sysno.ID]bool{}}
	state, err := fuzz.LoadState(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return k // killed before it was made
	}
	for _, f := range []fuzz.Folder{fuzz.Queue, fuzz.Witnesses, fuzz.Crashes, fuzz.Hangs} {
		if _, err := os.Lstat(filepath.Join(dir, string(f))); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		stored, err := state.List(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range stored {
			k.scenarios[string(f)+"/"+s.ID] = true
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "checkpoint.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return k
	}
	var c struct {
		Stats    struct{ Runs uint64 }
		Syscalls []struct {
			Arch string
			NR   uint32
		}
	}
	if err := errors.Join(err, json.Unmarshal(b, &c)); err != nil {
		t.Fatal(err)
	}
	k.runs = c.Stats.Runs
	for _, s := range c.Syscalls {
		arch, err := sysno.ParseArch(s.Arch)
		if err != nil {
			t.Fatal(err)
		}
		k.syscalls[sysno.ID{Arch: arch, NR: s.NR}] = true
	}
	return k
}

// mustHave demands that nothing of what was there before is missing.
func (k holding) mustHave(t *testing.T, before holding, when string) {
	t.Helper()
	for s := range before.scenarios {
		if !k.scenarios[s] {
			t.Errorf("%s: %s is gone", when, s)
		}
	}
	for id := range before.syscalls {
		if !k.syscalls[id] {
			t.Errorf("%s: %v is forgotten", when, id)
		}
	}
	if k.runs < before.runs {
		t.Errorf("%s: %d runs are counted, there were %d", when, k.runs, before.runs)
	}
}

// allowedBy are the syscalls that a profile allows on some condition.
func allowedBy(t *testing.T, path string) map[string]bool {
	t.Helper()
	b, err := os.ReadFile(path)
	var p struct {
		Syscalls []struct {
			Names  []string
			Action string
		}
	}
	if err := errors.Join(err, json.Unmarshal(b, &p)); err != nil {
		t.Fatal(err)
	}
	allowed := make(map[string]bool)
	for _, s := range p.Syscalls {
		for _, name := range s.Names {
			allowed[name] = allowed[name] || s.Action == "SCMP_ACT_ALLOW"
		}
	}
	return allowed
}

// orphans are the BPF programs and links for tracing, and the maps, that exist
// although no process holds them: maps may be held by programs too.
func orphans(t *testing.T) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	of := func(kind string, id uint64) string { return kind + "_id:\t" + strconv.FormatUint(id, 10) }
	used := make(map[string]bool)
	for id, err := ebpf.ProgramGetNextID(0); err == nil; id, err = ebpf.ProgramGetNextID(id) {
		p, err := ebpf.NewProgramFromID(id)
		if err != nil {
			continue // it is gone
		}
		info, err := p.Info()
		if err == nil {
			if info.Type == ebpf.RawTracepoint || info.Type == ebpf.Tracing || info.Type == ebpf.TracePoint {
				all[of("prog", uint64(id))] = true
			}
			maps, _ := info.MapIDs()
			for _, m := range maps {
				used[of("map", uint64(m))] = true
			}
		}
		p.Close()
	}
	for id, err := ebpf.MapGetNextID(0); err == nil; id, err = ebpf.MapGetNextID(id) {
		if what := of("map", uint64(id)); !used[what] {
			all[what] = true
		}
	}
	links := new(link.Iterator)
	for links.Next() {
		if info, err := links.Link.Info(); err == nil && (info.Type == link.RawTracepointType || info.Type == link.TracingType) {
			all[of("link", uint64(links.ID))] = true
		}
	}
	links.Close()
	held, err := filepath.Glob("/proc/[0-9]*/fdinfo/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range held {
		b, _ := os.ReadFile(path) // it may be closed
		for line := range strings.Lines(string(b)) {
			delete(all, strings.TrimSuffix(line, "\n"))
		}
	}
	return all
}
