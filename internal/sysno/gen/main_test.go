package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCommittedTablesAreWhatTheModuleSays(t *testing.T) {
	files, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("nothing generated")
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is stale; run go generate ./internal/sysno", name)
		}
	}
}

func TestGeneratingTwiceGivesTheSameBytes(t *testing.T) {
	first, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	second, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	for name := range first {
		if !bytes.Equal(first[name], second[name]) {
			t.Errorf("%s differs between two runs", name)
		}
	}
}

func TestTableFilesThatChangeTheirFormAreRefused(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"another constant", "const ( SYS_READ = 0; MAX = 1 )", "not a syscall number"},
		{"an expression", "const ( SYS_READ = 0 + 1 )", "not a syscall number"},
		{"a variable", "var SYS_READ = 0", "no constant"},
		{"one number twice", "const ( SYS_READ = 0; SYS_WRITE = 0 )", "both read and write"},
		{"two in one", "const SYS_READ, SYS_WRITE = 0, 1", "not one name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "z.go")
			if err := os.WriteFile(file, []byte("package unix\n"+tt.text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := readTable(file)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestRowsThatDisagreeWithTheModuleAreRefused(t *testing.T) {
	for _, tt := range []struct{ row, want string }{
		{"64 1 read", `x86_64 calls this number "write"`},
		{"x32 1 read", "both write and read"},
		{"s390 1 read", "no such ABI"},
		{"64 one read", "expected integer"},
	} {
		tables := map[string]table{"amd64": {0: "read", 1: "write"}, "arm": {}}
		err := applyRows(tables, tt.row)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want an error with %q", tt.row, err, tt.want)
		}
	}
}

func TestSetsThatCannotBeReadBackAreRefused(t *testing.T) {
	constants := map[string]uint64{"A": 1, "B": 2, "ALSO_A": 1, "C": 4}
	for _, tt := range []struct{ name, text, want string }{
		{"two names for one value", "set x\nenum A ALSO_A", "one value"},
		{"two names for one flag", "set x\nflags A ALSO_A", "one value"},
		{"enum outside of the mask", "set x\nmask 1\nenum B\nflags C", "outside of the mask"},
		{"flag inside of the mask", "set x\nmask 3\nenum A\nflags B", "inside of the mask"},
		{"no values", "set x", "no values"},
		{"a set twice", "set x\nenum A\nset x\nenum B", "two sets"},
		{"an unknown word", "set x\nvalues A", "cannot read"},
		{"an unknown ABI", "set x\nenum vax/A", "no such ABI"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseSets(tt.text, "x86_64", constants)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestAnABIOwnValueReplacesTheCommonOne(t *testing.T) {
	const text = "set x\nenum A=1 aarch64/A=2 i386/B=3"
	for abi, want := range map[string]string{"x86_64": "[{A 1}]", "aarch64": "[{A 2}]", "i386": "[{A 1} {B 3}]"} {
		sets, err := parseSets(text, abi, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(sets["x"].enum); got != want {
			t.Errorf("%s: got %s, want %s", abi, got, want)
		}
	}
}

func TestMisspelledConstantsAreRefused(t *testing.T) {
	err := checkNames("set x\nenum O_CLOEXEK", map[string]uint64{"O_CLOEXEC": 1})
	if err == nil || !strings.Contains(err.Error(), "O_CLOEXEK") {
		t.Errorf("got %v, want an error that names O_CLOEXEK", err)
	}
}
