package rawtp

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

func TestCommittedObjectsAreWhatTheSourceCompilesTo(t *testing.T) {
	for _, tool := range []string{"clang-14", "llvm-strip-14"} {
		testenv.Program(t, tool)
	}
	dir := t.TempDir()
	if out, err := exec.Command("sh", "generate.sh", "-output-dir", dir).CombinedOutput(); err != nil {
		t.Fatalf("generate.sh: %v\n%s", err, out)
	}
	made, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(made) != 4 {
		t.Errorf("generate.sh makes %d files, want an object and a Go file for each of two architectures", len(made))
	}
	for _, path := range made {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Base(path))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the source compiles to; run 'go generate ./trace/rawtp'", filepath.Base(path))
		}
	}
}
