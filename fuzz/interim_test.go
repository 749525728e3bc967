package fuzz

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// subject is what runs on the synthetic target are evidence of.
func subject() *trace.Trace {
	return &trace.Trace{Target: trace.Target{Path: "/bin/target", SHA256: strings.Repeat("a", 64)}, Arch: sysno.AMD64, Kernel: "6.1", AtLeast: true}
}

// mustHaveInterim demands that the state of a killed session still tells what its runs have shown.
func mustHaveInterim(t *testing.T, run uint64, s *State, at *shot) {
	t.Helper()
	got, err := s.Interim()
	if errors.Is(err, fs.ErrNotExist) && len(at.seen) == 0 {
		return
	}
	if err != nil {
		t.Errorf("killed in run %d: %v", run, err)
		return
	}
	if want := subject(); !cmp.Equal(got.Target, want.Target) || got.Kernel != want.Kernel || !got.AtLeast {
		t.Errorf("killed in run %d: the evidence is on %v, %s", run, got.Target, got.Kernel)
	}
	if got.Runs > run-1 {
		t.Errorf("killed in run %d: the evidence has %d runs", run, got.Runs)
	}
	for id, n := range at.seen {
		i := slices.IndexFunc(got.Observations, func(o trace.Observation) bool { return o.ID == id })
		if i < 0 || got.Observations[i].Runs == 0 || got.Observations[i].Runs > n {
			t.Errorf("killed in run %d: the evidence on %v, which %d runs have shown, is %+v", run, id, n, got.Observations)
		}
	}
}

func TestAStateOfWhichNothingIsKnownHasNoEvidence(t *testing.T) {
	s, err := OpenState(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Interim(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no checkpoint: %v", err)
	}
	o := options(t, synthetic{})
	o.Execs, o.State = 5, s
	run(t, o)
	if _, err := s.Interim(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a session that does not say what it learns: %v", err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, checkpointName), []byte(`{"version": 1, "subject": {}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Interim(); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a subject that is none: %v", err)
	}
}

// Whichever shards come first, the same files are there: each scenario, and each kind of failure once.
func TestStatesAreGatheredInAnyOrder(t *testing.T) {
	const of = 3
	var shards []*State
	crashes := 0
	for i := range of {
		s, err := OpenState(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		o := options(t, synthetic{})
		o.State, o.Subject, o.Shard, o.Execs = s, subject(), Shard{i, of}, 1500
		crashes += len(run(t, o).Crashes)
		shards = append(shards, s)
	}
	gathered := func(from ...*State) map[string]string {
		s, err := OpenState(filepath.Join(t.TempDir(), "all"))
		if err != nil {
			t.Fatal(err)
		}
		crashed, hung, err := s.Gather(from)
		if err != nil {
			t.Fatal(err)
		}
		for f, kinds := range map[Folder][]Failure{Crashes: crashed, Hangs: hung} {
			for _, kind := range kinds {
				if _, err := os.Stat(s.Prefix(f, kind.ID) + ".json"); err != nil {
					t.Errorf("a failure is told of, and not there: %v", err)
				}
			}
		}
		all := map[string]string{}
		err = fs.WalkDir(os.DirFS(s.dir), ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(filepath.Join(s.dir, path))
			all[path] = strings.ReplaceAll(string(b), s.dir, "DIR")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []Folder{Queue, Witnesses} {
			for _, one := range from {
				list, err := one.List(f)
				if err != nil {
					t.Fatal(err)
				}
				for _, sc := range list {
					if all[filepath.Join(string(f), sc.ID+".json")] == "" {
						t.Errorf("%s of %s is missing", sc.ID, f)
					}
				}
			}
		}
		list, err := s.List(Crashes)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 || len(list) >= crashes {
			t.Errorf("%d crashes, and in %d shards there are %d", len(list), of, crashes)
		}
		return all
	}
	want := gathered(shards[0], shards[1], shards[2])
	if diff := cmp.Diff(want, gathered(shards[2], shards[0], shards[1])); diff != "" {
		t.Errorf("in another order (-want +got):\n%s", diff)
	}
}

func TestRelocatedEvidenceNamesTheNewPlace(t *testing.T) {
	s, err := OpenState(filepath.Join(t.TempDir(), "shard"))
	if err != nil {
		t.Fatal(err)
	}
	o := options(t, synthetic{every: 700})
	o.State, o.Subject, o.Execs = s, subject(), 1500
	run(t, o)
	before, err := s.Interim()
	if err != nil {
		t.Fatal(err)
	}
	all, err := OpenState(filepath.Join(t.TempDir(), "all"))
	if err != nil {
		t.Fatal(err)
	}
	after, err := s.Relocated(before, all)
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for i, o := range after.Observations {
		was := before.Observations[i].Witness.Command
		if strings.Contains(o.Witness.Command, s.dir) {
			t.Errorf("%v is shown by %s", o.ID, o.Witness.Command)
		}
		if strings.Contains(o.Witness.Command, all.dir) {
			named++
		}
		if strings.HasSuffix(was, Unconfirmed) != strings.HasSuffix(o.Witness.Command, Unconfirmed) {
			t.Errorf("%v: %q, before %q", o.ID, o.Witness.Command, was)
		}
	}
	if named == 0 {
		t.Error("no witness has a file, so nothing is shown")
	}
}
