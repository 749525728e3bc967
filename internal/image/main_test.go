package image

import (
	"debug/elf"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

func TestMainIsFoundWithAndWithoutSymbols(t *testing.T) {
	strip := testenv.Program(t, "strip")
	src := source(t, "program.c", "int other(void) { return 1; }\nint main(int n, char **v) { return n > 3 ? v[1][0] : 0; }\n")
	for _, flags := range [][]string{
		{"-O0"}, {"-O2"}, {"-O2", "-no-pie"}, {"-O2", "-static"}, {"-O0", "-static-pie"}, {"-O2", "-fcf-protection=full"},
	} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			program := testenv.Compile(t, src, flags...)
			stripped := filepath.Join(t.TempDir(), "stripped")
			if out, err := exec.Command(strip, "-o", stripped, program).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			want := symbolOffset(t, program, "main")
			for _, path := range []string{program, stripped} {
				if _, got, err := Main(path); err != nil || got != want {
					t.Errorf("%s: got %#x, %v; want %#x", filepath.Base(path), got, err, want)
				}
			}
		})
	}
}

// symbolAddress and symbolOffset are where a symbol is in memory, and in the file.
func symbolAddress(t *testing.T, path, name string) uint64 {
	t.Helper()
	address, _ := symbolPlace(t, path, name)
	return address
}

func symbolOffset(t *testing.T, path, name string) uint64 {
	t.Helper()
	_, offset := symbolPlace(t, path, name)
	return offset
}

func symbolPlace(t *testing.T, path, name string) (address, offset uint64) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range symbols {
		if s.Name == name {
			in := f.Sections[s.Section]
			return s.Value, s.Value - in.Addr + in.Offset
		}
	}
	t.Fatalf("%s has no symbol %s", path, name)
	return 0, 0
}

func TestMainOfAGoProgramIsTheEntryOfTheRuntime(t *testing.T) {
	path := goProgram(t, "-s", "-w")
	_, want, err := Entry(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, got, err := Main(path); err != nil || got != want {
		t.Errorf("got %#x, %v; want %#x", got, err, want)
	}
}

func TestMainIsNotGuessed(t *testing.T) {
	strip := testenv.Program(t, "strip")
	src := source(t, "start.c", "__asm__(\".globl _start\\n_start: lea f(%rip),%rdi\\ncall f\\nf: mov $60,%eax\\nsyscall\\n\");\n")
	program := testenv.Compile(t, src, "-nostdlib", "-static")
	if out, err := exec.Command(strip, program).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, got, err := Main(program); err == nil || !strings.Contains(err.Error(), "startup code") {
		t.Errorf("got %#x, %v; want an error about its startup code", got, err)
	}
}
