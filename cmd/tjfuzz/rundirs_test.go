package main

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/tjfuzz/tjfuzz/fuzz/cage"
)

func TestAProgramFindsTheDirectoriesInRunThatItsUnitAsksFor(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"program":   "\x7fELF\x00/run/tjfuzz-asked\x00/var/run/tjfuzz-too.pid\x00/run/tjfuzz-two/x\x00/run/tjfuzz-not-asked\x00",
		"a.service": "[Service]\nRuntimeDirectory=tjfuzz-asked tjfuzz-two\nRuntimeDirectoryMode=0755\n",
		"b.service": "RuntimeDirectory=tjfuzz-of-another\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := []cage.RunDir{{Name: "tjfuzz-asked", Mode: 0o755}, {Name: "tjfuzz-two", Mode: 0o755}}
	if got := runDirs(filepath.Join(dir, "program"), dir); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
