package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// compiled returns a directory with the programs of testdata. Other users may
// read it.
func compiled(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, flags := range map[string][]string{
		"filter": nil,
		"exact":  {"-nostdlib", "-static"},
	} {
		program := testenv.Compile(t, filepath.Join("testdata", name+".c"), flags...)
		if err := os.Rename(program, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
