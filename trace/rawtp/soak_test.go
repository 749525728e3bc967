package rawtp

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
)

// TJFUZZ_LONG makes it 100,000 runs.
func TestManyRunsLeaveNothingBehind(t *testing.T) {
	runs := 2000
	if os.Getenv("TJFUZZ_LONG") != "" {
		runs = 100000
	}
	const workers = 2
	program := compile(t, "phases.c", []string{"-static"})
	r := mustOpen(t, Options{
		Slots: workers, Denials: true, Returns: true, Args: true, Sites: true, Entry: entryOf(t, program),
	})
	null := devNull(t)
	batch := func(runs int) {
		done := make(chan error)
		for slot := range workers {
			go func() { done <- runMany(r, slot, runs/workers, program, null) }()
		}
		for range workers {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
	}
	batch(runs / 10) // fills pools and caches
	before := measure(t)
	batch(runs)
	after := measure(t)
	t.Logf("%d runs; before %+v, after %+v", runs, before, after)
	const slack = 8 << 20 // of the Go runtime
	if after.resident > before.resident+slack {
		t.Errorf("%d bytes are resident, %d were: want no more than %d in addition", after.resident, before.resident, slack)
	}
	if after.descriptors != before.descriptors || after.maps != before.maps {
		t.Errorf("%+v, want as before: %+v", after, before)
	}
	if got := r.Lost(); got != (trace.Lost{}) {
		t.Errorf("lost %+v, want nothing", got)
	}
}

func runMany(r *Recorder, slot, runs int, program string, null *os.File) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s, err := r.Launcher(slot)
	if err != nil {
		return err
	}
	for n := range runs {
		s.Begin()
		pid, err := start([]string{program}, null, null, null)
		if err != nil {
			return err
		}
		if _, err := wait(pid); err != nil {
			return err
		}
		if got := s.Seen(); len(got) < 3 {
			return fmt.Errorf("run %d: %v", n, got)
		}
	}
	if got := s.Observations(); len(got) < 3 {
		return fmt.Errorf("after %d runs: %v", runs, got)
	}
	return s.Release()
}

// usage is what this process holds.
type usage struct {
	resident    int // bytes
	descriptors int
	maps        int // bytes of BPF maps
	slab        int // bytes in the kernel's caches, of the whole machine
}

func measure(t *testing.T) usage {
	t.Helper()
	runtime.GC()
	u := usage{descriptors: descriptors(t)}
	var pages, resident int
	scan(t, "/proc/self/statm", func(line string) { fmt.Sscan(line, &pages, &resident) })
	u.resident = resident * os.Getpagesize()
	scan(t, "/proc/meminfo", func(line string) {
		var kib int
		if n, _ := fmt.Sscanf(line, "Slab: %d kB", &kib); n == 1 {
			u.slab = kib << 10
		}
	})
	entries, err := os.ReadDir("/proc/self/fdinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, _ := os.ReadFile("/proc/self/fdinfo/" + e.Name()) // that of the directory is gone
		if !strings.Contains(string(text), "map_type:") {
			continue
		}
		for line := range strings.Lines(string(text)) {
			var bytes int
			if n, _ := fmt.Sscanf(line, "memlock: %d", &bytes); n == 1 {
				u.maps += bytes
			}
		}
	}
	return u
}

func scan(t *testing.T, path string, use func(line string)) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		use(line)
	}
}

// objects are those of a recorder, by their ids in the kernel.
type objects struct {
	Programs []ebpf.ProgramID
	Maps     []ebpf.MapID
	Links    []link.ID
	Names    []string
}

func objectsOf(r *Recorder) (o objects, err error) {
	for name, p := range r.coll.Programs {
		info, err := p.Info()
		if err != nil {
			return o, err
		}
		id, ok := info.ID()
		if !ok {
			return o, fmt.Errorf("program %s has no id", name)
		}
		o.Programs, o.Names = append(o.Programs, id), append(o.Names, info.Name)
	}
	for name, m := range r.coll.Maps {
		info, err := m.Info()
		if err != nil {
			return o, err
		}
		id, ok := info.ID()
		if !ok {
			return o, fmt.Errorf("map %s has no id", name)
		}
		o.Maps, o.Names = append(o.Maps, id), append(o.Names, info.Name)
	}
	for _, l := range r.links {
		info, err := l.Info()
		if err != nil {
			return o, err
		}
		o.Links = append(o.Links, info.ID)
	}
	return o, nil
}

func (o objects) alive() bool {
	for _, id := range o.Programs {
		if p, err := ebpf.NewProgramFromID(id); err == nil {
			p.Close()
			return true
		}
	}
	for _, id := range o.Maps {
		if m, err := ebpf.NewMapFromID(id); err == nil {
			m.Close()
			return true
		}
	}
	for _, id := range o.Links {
		if l, err := link.NewFromID(id); err == nil {
			l.Close()
			return true
		}
	}
	return false
}

// wantGone waits, for the kernel frees what the last reference held after a grace
// period.
func (o objects) wantGone(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for o.alive() {
		if time.Now().After(deadline) {
			t.Fatal("BPF objects are left after 30 s")
		}
		time.Sleep(time.Millisecond)
	}
}

// holdVariable makes the test below the process that is killed: it holds an open
// recorder of this program, and says which objects that has.
const holdVariable = "RAWTP_HOLD_RECORDER"

func TestAKilledProcessLeavesNoObjects(t *testing.T) {
	if program := os.Getenv(holdVariable); program != "" {
		r := mustOpen(t, Options{
			Events: true, Denials: true, Returns: true, Args: true, Sites: true, Entry: entryOf(t, program),
		})
		o, err := objectsOf(r)
		if err != nil {
			t.Fatal(err)
		}
		launcher(t, r, 0)
		if err := json.NewEncoder(os.Stdout).Encode(o); err != nil {
			t.Fatal(err)
		}
		os.Stdin.Read(make([]byte, 1)) // until the end
		return
	}
	testenv.Require(t, testenv.BPF)
	program := compile(t, "phases.c", nil)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe", "-test.run=^"+strings.Split(t.Name(), "/")[0]+"$")
			cmd.Env = append(os.Environ(), holdVariable+"="+program)
			cmd.Stderr = os.Stderr
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer stdin.Close()
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(stdout).ReadBytes('\n')
			var o objects
			if err == nil {
				err = json.Unmarshal(line, &o)
			}
			if err != nil || !o.alive() || len(o.Programs) == 0 || len(o.Maps) == 0 || len(o.Links) == 0 {
				t.Errorf("no recorder is open: %s, %v", line, err)
			}
			for _, name := range o.Names {
				if !strings.HasPrefix(name, "tjf_") {
					t.Errorf("an object has the name %q, want tjf_ before it", name)
				}
			}
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Error("the process has ended by itself")
			}
			o.wantGone(t)
		})
	}
}
