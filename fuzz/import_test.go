package fuzz

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// stateWith stores scenarios in a new state directory.
func stateWith(t *testing.T, dir string, in map[Folder][]Scenario) *State {
	t.Helper()
	s, err := OpenState(dir)
	if err != nil {
		t.Fatal(err)
	}
	for f, all := range in {
		for i := range all {
			if err := s.Save(f, &all[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

func TestImportFindsWhatSessionsHaveStored(t *testing.T) {
	root := t.TempDir()
	one, two := filepath.Join(root, "one"), filepath.Join(root, "two")
	stateWith(t, one, map[Folder][]Scenario{Queue: samples[:2], Witnesses: samples[1:3], Crashes: samples[3:4], Hangs: samples[4:]})
	stateWith(t, two, map[Folder][]Scenario{Queue: samples[:1]})
	if err := errors.Join(os.WriteFile(filepath.Join(root, "queue"), nil, 0o644), os.Mkdir(filepath.Join(root, "three"), 0o755)); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]int{root: 4, one: 4, two: 1, filepath.Join(one, "queue"): 2, filepath.Join(root, "three"): 0} {
		found, skipped, err := Import(dir)
		if err != nil || len(skipped) > 0 {
			t.Errorf("%s: skipped %v, %v", dir, skipped, err)
		}
		for _, s := range found {
			if !slices.ContainsFunc(samples[:4], func(w Scenario) bool { return w.ID() == s.ID() }) {
				t.Errorf("%s: found %+v", dir, s)
			}
		}
		if len(found) != want {
			t.Errorf("%s: found %d scenarios, want %d", dir, len(found), want)
		}
	}
	if _, _, err := Import(filepath.Join(root, "nowhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nowhere: got %v", err)
	}
}

// spoil harms stored scenarios in the ways in which a stranger or a slow network can.
func spoil(t *testing.T, s *State) {
	t.Helper()
	in := func(name string) string { return filepath.Join(s.dir, "queue", name) }
	secret := filepath.Join(t.TempDir(), "secret")
	link := Scenario{Argv: []string{"x"}, Stdin: StdinFile, Input: []byte("secret")}
	deep := Scenario{Argv: []string{"x"}, Stdin: StdinNull, Files: []File{{Name: "d/secret", Data: []byte("secret")}}}
	fifo := Scenario{Argv: []string{"y"}, Stdin: StdinFile, Input: []byte("a FIFO")}
	for _, sc := range []*Scenario{&link, &deep, &fifo} {
		if err := s.Save(Queue, sc); err != nil {
			t.Fatal(err)
		}
	}
	err := errors.Join(
		os.WriteFile(secret, []byte("secret"), 0o600),
		os.Remove(in(link.ID()+".input")), os.Symlink(secret, in(link.ID()+".input")),
		os.RemoveAll(in(deep.ID()+".files/d")), os.Symlink(filepath.Dir(secret), in(deep.ID()+".files/d")),
		os.Remove(in(fifo.ID()+".input")), unix.Mkfifo(in(fifo.ID()+".input"), 0o600),
		os.WriteFile(in("0000000000000001.json"), []byte("{"), 0o644),
		os.WriteFile(in("0000000000000002.json"), []byte(`{"version": 1, "argv": ["x"], "stdin": "null"}`), 0o644),
		os.WriteFile(in("0000000000000003.json"), []byte(`{"version": 1, "argv": ["x"], "stdin": "null", "files": ["../../x"]}`), 0o644),
		os.Mkdir(in("0000000000000004.json"), 0o755),
		os.WriteFile(in("id:000000,orig:a"), []byte("of AFL"), 0o644),
	)
	if err != nil {
		t.Fatal(err)
	}
}

func TestImportSkipsWhatIsNoScenario(t *testing.T) {
	s := stateWith(t, t.TempDir(), map[Folder][]Scenario{Queue: samples[:1]})
	spoil(t, s)
	found, skipped, err := Import(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || found[0].ID() != samples[0].ID() {
		t.Errorf("found %+v", found)
	}
	if len(skipped) != 7 {
		t.Errorf("%d skipped, want 7: %v", len(skipped), skipped)
	}
	for _, err := range skipped {
		if !strings.Contains(err.Error(), s.dir) {
			t.Errorf("%v does not name the file", err)
		}
	}
}

// What is imported runs, but as our program.
func TestImportedScenariosAreOfThisTarget(t *testing.T) {
	imported := []Scenario{
		{Argv: []string{"/elsewhere/other", "-z"}, Stdin: StdinNull},
		{Argv: []string{"/elsewhere/other", "-y"}, Stdin: StdinNull, Before: []Step{{Argv: []string{"/elsewhere/other", "-x"}}}},
		{Argv: []string{"target", "-t"}, Stdin: StdinTerminal}, // there are none
		{Argv: []string{"target", "@@"}, Stdin: StdinNull, Input: []byte("only here: <seed-two/>")},
	}
	o := options(t, synthetic{})
	o.Seeds, o.Execs, o.Imported, o.Can = nil, 100, imported, Abilities{}
	out := run(t, o)
	for _, f := range out.Found {
		if f.ID == id(40) && f.Phase != PhaseStored {
			t.Errorf("what only an imported scenario shows was found in phase %v", f.Phase)
		}
	}
	if witness(out, 40) == nil {
		t.Error("the imported scenario did not run")
	}
	o.Fixed = 1
	for _, p := range deliberate(&o) {
		if p.s.Argv[0] != "target" || p.s.Stdin == StdinTerminal {
			t.Errorf("the plan runs %q", p.s.Argv)
		}
		for _, step := range p.s.Before {
			if step.Argv[0] != "target" {
				t.Errorf("the plan runs %q before", step.Argv)
			}
		}
	}
}
