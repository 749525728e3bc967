package image

import (
	"debug/elf"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

func TestEntryIsTheCodeAtTheEntryPoint(t *testing.T) {
	program := testenv.Compile(t, source(t, "program.c", "int main(void) { return 0; }\n"))
	script := write(t, filepath.Join(t.TempDir(), "script"), "#!"+program+"\n", 0o755)
	for _, path := range []string{program, script, write(t, filepath.Join(t.TempDir(), "other"), "#!"+script+"\n", 0o755)} {
		file, offset, err := Entry(path)
		if err != nil {
			t.Fatal(err)
		}
		if file != real(t, program) {
			t.Errorf("%s: file %s, want %s", path, file, program)
		}
		f, err := elf.Open(program)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		text := f.Section(".text")
		if want := f.Entry - text.Addr + text.Offset; offset != want {
			t.Errorf("%s: offset %#x, want %#x", path, offset, want)
		}
	}
}

func TestEntryOfNoProgramIsAnError(t *testing.T) {
	for name, path := range map[string]string{
		"has none":     write(t, filepath.Join(t.TempDir(), "text"), "text\n", 0o755),
		"no such file": "/no/such/file",
	} {
		if file, offset, err := Entry(path); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %s, %#x, %v; want %q", path, file, offset, err, name)
		}
	}
}
