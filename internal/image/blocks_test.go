package image

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// TJFUZZ_LONG adds larger ones.
func TestNoBlockBeginsWithinAnInstructionThatObjdumpShows(t *testing.T) {
	objdump := testenv.Program(t, "objdump")
	files := map[string]string{
		"grep":    testenv.Program(t, "grep"),
		"busybox": testenv.Program(t, "busybox"),
		"go":      goProgram(t, "-s", "-w"),
	}
	if os.Getenv("TJFUZZ_LONG") != "" {
		for _, name := range []string{"bash", "sqlite3", "git", "tar", "/usr/bin/python3", "perl"} {
			files[filepath.Base(name)] = testenv.Program(t, name)
		}
		for _, name := range []string{"libjq.so.1", "libxml2.so.2", "libssl.so.3", "libsqlite3.so.0"} {
			files[name] = "/usr/lib/x86_64-linux-gnu/" + name
		}
	}
	for name, path := range files {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			blocks, err := Blocks(path)
			took := time.Since(began)
			if err != nil {
				t.Fatal(err)
			}
			if len(blocks) == 0 {
				t.Fatal("no blocks")
			}
			instructions, called := disassemble(t, objdump, path)
			leaders := map[uint64]bool{}
			wrong := 0
			for _, b := range blocks {
				leaders[b.Address] = true
				if !instructions[b.Address] {
					if wrong++; wrong <= 10 {
						t.Errorf("%#x is within an instruction", b.Address)
					}
				}
			}
			missed := 0
			for f := range called {
				if !leaders[f] {
					missed++
				}
			}
			t.Logf("%d blocks, %d wrong, in %v; of %d called functions %d are missed", len(blocks), wrong, took, len(called), missed)
			// Debian's busybox has neither frames nor symbols of its own code.
			if name != "busybox" && missed*100 > len(called) {
				t.Errorf("%d of %d functions that are called are no blocks", missed, len(called))
			}
		})
	}
}

// disassemble returns the addresses of all instructions, and those that direct
// calls outside of the PLT lead to.
func disassemble(t *testing.T, objdump, path string) (instructions, called map[uint64]bool) {
	t.Helper()
	cmd := exec.Command(objdump, "-d", "--no-show-raw-insn", "-w", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	instructions, called = map[uint64]bool{}, map[uint64]bool{}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	plt := map[uint64]bool{}
	inPLT := false
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "Disassembly of section "); ok {
			inPLT = strings.HasPrefix(name, ".plt")
			continue
		}
		at, what, ok := strings.Cut(strings.TrimSpace(lines.Text()), ":\t")
		if !ok {
			continue
		}
		addr, err := strconv.ParseUint(at, 16, 64)
		if err != nil {
			continue
		}
		instructions[addr] = true
		plt[addr] = inPLT
		if words := strings.Fields(what); len(words) > 1 && words[0] == "call" {
			if to, err := strconv.ParseUint(strings.TrimPrefix(words[1], "0x"), 16, 64); err == nil {
				called[to] = true
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	for addr := range called {
		if plt[addr] || !instructions[addr] {
			delete(called, addr)
		}
	}
	return instructions, called
}

func TestInstructionsThatTheDecoderGetsWrongHaveTheirLength(t *testing.T) {
	for name, code := range map[string]string{
		"endbr64":             "\xf3\x0f\x1e\xfa",
		"vzeroupper":          "\xc5\xf8\x77",
		"vzeroall":            "\xc5\xfc\x77",
		"vzeroupper, 3 bytes": "\xc4\xe1\x78\x77",
	} {
		if in, err := decode([]byte(code + "\x39\xca\x0f\x8e")); err != nil || in.Len != len(code) {
			t.Errorf("%s: %d bytes, %v; want %d", name, in.Len, err, len(code))
		}
	}
}
