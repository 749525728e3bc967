package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// What is loaded for users is what our own tests build against.
func TestTheModuleThatIsPulledIsThatOfGoMod(t *testing.T) {
	sums, err := os.ReadFile("../../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	m := goFuzzCorpus()
	if line := m.Path + " " + m.Version + " " + m.Sum + "\n"; !bytes.Contains(sums, []byte(line)) {
		t.Errorf("go.sum has no line %q", line)
	}
}

// The whole module takes some seconds to hash, so small ones stand for it elsewhere. It comes from
// the cache of Go, which has the form of a proxy.
func TestTheRealModuleIsPulledAndUsed(t *testing.T) {
	if os.Getenv("TJFUZZ_LONG") == "" {
		t.Skip("set TJFUZZ_LONG=1 to run it")
	}
	cache, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	for _, step := range []struct{ proxy, command, said string }{
		{"file://" + strings.TrimSpace(string(cache)) + "/cache/download", "corpora pull gofuzz", "its hash is right"},
		{"off", "corpora pull gofuzz", "is here already"},
		{"off", "corpora list gofuzz", "\npng "},
	} {
		t.Setenv("GOPROXY", step.proxy)
		var out bytes.Buffer
		if code := run(strings.Fields(step.command), nil, &out, &out); code != 0 || !strings.Contains(out.String(), step.said) {
			t.Errorf("GOPROXY=%s tjfuzz %s: exit %d, want 0 and %q:\n%s", step.proxy, step.command, code, step.said, &out)
		}
	}
}
