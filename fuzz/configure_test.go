package fuzz

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// configurable is an Executor for a target that does something for each of some settings, and nothing for a file
// that is no configuration of its own.
type configurable struct{}

func (configurable) Run(_ context.Context, s *Scenario) (*Result, error) {
	r := &Result{Seen: []sysno.ID{id(0)}}
	i := slices.IndexFunc(s.Files, func(f File) bool { return f.Name == "app.conf" })
	if i < 0 {
		return r, nil
	}
	for n, setting := range []string{"daemon on", "\nlog_file a.log", "workers 0", "workers 1\nworkers 1"} {
		if bytes.Contains(s.Files[i].Data, []byte(setting)) {
			r.Seen = append(r.Seen, id(uint32(1+n)))
		}
	}
	// What only two changes together show.
	if bytes.Contains(s.Files[i].Data, []byte("daemon on")) && !bytes.Contains(s.Files[i].Data, []byte("workers")) {
		r.Seen = append(r.Seen, id(5))
	}
	return r, nil
}

func (configurable) Close() error { return nil }

func learnConfigured(t *testing.T, execs uint64, configs ...string) (*Outcome, error) {
	t.Helper()
	base := Scenario{Argv: []string{"target"}, Files: []File{{Name: "app.conf", Data: []byte("daemon off\n#log_file a.log\nworkers 1\n")}, {Name: "file"}}}
	return Run(context.Background(), Options{
		Bases: []Scenario{base}, Configs: configs, Seed: 1, Execs: execs,
		NewExecutor: func(int) (Executor, error) { return configurable{}, nil },
	})
}

func TestDirectivesOfAConfigurationAreChanged(t *testing.T) {
	out, err := learnConfigured(t, 2000, "app.conf")
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Observations) != 6 {
		t.Errorf("%d of 6 syscalls: %v", len(out.Observations), out.Observations)
	}
}

func TestFilesThatAreNoConfigurationAreLeftAlone(t *testing.T) {
	out, err := learnConfigured(t, 500)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Observations) != 1 {
		t.Errorf("%v", out.Observations)
	}
}

func TestAConfigurationMustBeAFileOfTheScenario(t *testing.T) {
	if _, err := learnConfigured(t, 1, "other.conf"); err == nil {
		t.Error("a configuration that is no file was taken")
	}
}
