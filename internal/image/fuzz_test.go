package image

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// tiny is the smallest file that has all that inspect reads. resize may change
// what a program header of type t claims as its size in the file.
func tiny(t testing.TB, class elf.Class, resize func(elf.ProgType, uint64) uint64) []byte {
	t.Helper()
	const (
		interpreter = "/lib/ld.so\x00"
		names       = "\x00libx.so\x00$ORIGIN\x00"
		note        = "\x04\x00\x00\x00\x04\x00\x00\x00\x03\x00\x00\x00GNU\x00\xde\xad\xbe\xef"
	)
	h64 := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: 1, Entry: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 4}
	h32 := elf.Header32{Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_386), Version: 1, Entry: 1, Phoff: 52, Ehsize: 52, Phentsize: 32, Phnum: 4}
	dynamic := []uint64{
		uint64(elf.DT_NEEDED), 1, uint64(elf.DT_RUNPATH), 9, uint64(elf.DT_STRTAB), 0,
		uint64(elf.DT_FLAGS_1), uint64(elf.DF_1_PIE), uint64(elf.DT_NULL), 0,
	}
	at, word := uint64(64+4*56), uint64(8)
	if class == elf.ELFCLASS32 {
		at, word = 52+4*32, 4
	}
	table := at + uint64(len(interpreter)+len(names)+len(note))
	size := table + uint64(len(dynamic))*word
	dynamic[5] = at + uint64(len(interpreter))

	var b bytes.Buffer
	put := func(v any) {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	ident := [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(class), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)}
	h64.Ident, h32.Ident = ident, ident
	segments := []struct {
		t         elf.ProgType
		off, size uint64
	}{
		{elf.PT_LOAD, 0, size},
		{elf.PT_INTERP, at, uint64(len(interpreter))},
		{elf.PT_NOTE, at + uint64(len(interpreter)+len(names)), uint64(len(note))},
		{elf.PT_DYNAMIC, table, size - table},
	}
	if class == elf.ELFCLASS32 {
		put(h32)
	} else {
		put(h64)
	}
	for _, s := range segments {
		if n := resize(s.t, s.size); class == elf.ELFCLASS32 {
			put(elf.Prog32{Type: uint32(s.t), Off: uint32(s.off), Vaddr: uint32(s.off), Filesz: uint32(n)})
		} else {
			put(elf.Prog64{Type: uint32(s.t), Off: s.off, Vaddr: s.off, Filesz: n})
		}
	}
	b.WriteString(interpreter + names + note)
	for _, v := range dynamic {
		if class == elf.ELFCLASS32 {
			put(uint32(v))
		} else {
			put(v)
		}
	}
	return b.Bytes()
}

func inspectBytes(b []byte) (*content, error) {
	return inspect(io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b))))
}

func honest(_ elf.ProgType, size uint64) uint64 { return size }

func TestTinyFileHasAllThatIsRead(t *testing.T) {
	for _, class := range []elf.Class{elf.ELFCLASS32, elf.ELFCLASS64} {
		c, err := inspectBytes(tiny(t, class, honest))
		if err != nil {
			t.Fatal(err)
		}
		if c.kind != Dynamic || c.interpreter != "/lib/ld.so" || !slices.Equal(c.needed, []string{"libx.so"}) || c.runpath != "$ORIGIN" || c.buildID != "deadbeef" {
			t.Errorf("%s: %+v", class, *c)
		}
	}
}

// zeros goes on without end.
type zeros []byte

func (z zeros) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(z)) {
		copy(p, z[off:])
	}
	return len(p), nil
}

func TestClaimsDoNotDecideHowMuchMemoryIsUsed(t *testing.T) {
	const size = 1 << 40
	all := func(elf.ProgType, uint64) uint64 { return size / 2 }
	headers := tiny(t, elf.ELFCLASS64, honest)
	headers[54], headers[55], headers[56], headers[57] = 0xff, 0xff, 0xff, 0xff
	sections := tiny(t, elf.ELFCLASS64, honest)
	sections[41], sections[58], sections[60], sections[61] = 0x10, 64, 0xff, 0xff
	endless := tiny(t, elf.ELFCLASS64, all)
	needed := bytes.Repeat([]byte{byte(elf.DT_NEEDED), 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}, 5000)
	names := append(slices.Clone(endless[:len(endless)-10*8]), needed...) // in place of the dynamic segment

	for name, b := range map[string][]byte{
		"program headers": headers,
		"section headers": sections,
		"segments":        endless,
		"names":           names,
		"first line":      []byte("#!"),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			c, err := inspect(io.NewSectionReader(zeros(b), 0, size))
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > 64<<20 {
				t.Errorf("%d MiB for %d bytes (%+v, %v)", got>>20, len(b), c, err)
			}
		})
	}
}

func FuzzIdentify(f *testing.F) {
	for _, seed := range []string{"", "#!/bin/sh -e\n", "#!" + strings.Repeat(" ", 260), "\x7fELF", "text"} {
		f.Add([]byte(seed))
	}
	f.Add(tiny(f, elf.ELFCLASS32, honest))
	f.Add(tiny(f, elf.ELFCLASS64, honest))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := inspectBytes(b)
		if again, errAgain := inspectBytes(b); !reflect.DeepEqual(c, again) || !reflect.DeepEqual(err, errAgain) {
			t.Fatalf("two answers: %+v, %v; %+v, %v", c, err, again, errAgain)
		}
		if err != nil {
			if !bytes.HasPrefix(b, []byte(elf.ELFMAG)) {
				t.Errorf("not ELF, but: %v", err)
			}
			return
		}
		if named := c.kind == Script || c.kind == Dynamic; named && c.interpreter == "" {
			t.Errorf("%s without an interpreter", c.kind)
		}
		for _, s := range slices.Concat(c.needed, c.args, []string{c.interpreter}) {
			if len(s) >= maxPath || strings.Contains(s, "\x00") || !bytes.Contains(b, []byte(s)) {
				t.Errorf("%.100q is not a name in the file", s)
			}
		}
	})
}

func FuzzFrames(f *testing.F) {
	cie := "\x14\x00\x00\x00\x00\x00\x00\x00\x01zR\x00\x01\x78\x10\x01\x1b\x0c\x07\x08\x90\x01\x00\x00"
	f.Add([]byte(cie+"\x10\x00\x00\x00\x1c\x00\x00\x00\x10\x00\x00\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), uint64(0x1000))
	f.Add([]byte("\xff\xff\xff\xff"), uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, addr uint64) {
		all := frames(b, addr)
		if len(all) > len(b)/8 {
			t.Errorf("%d functions in %d bytes", len(all), len(b))
		}
		for _, s := range all {
			if s.start >= s.end {
				t.Errorf("function from %#x to %#x", s.start, s.end)
			}
		}
	})
}

func FuzzBlocks(f *testing.F) {
	f.Add(tiny(f, elf.ELFCLASS64, honest))
	src := filepath.Join(f.TempDir(), "program.c")
	if err := os.WriteFile(src, []byte("int main(int n, char **v) { return n > 3 ? v[1][0] : 0; }\n"), 0o644); err != nil {
		f.Fatal(err)
	}
	program, err := os.ReadFile(testenv.Compile(f, src))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(program)
	f.Fuzz(func(t *testing.T, b []byte) {
		blocks, err := blocksOf(io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b))))
		if err != nil {
			return
		}
		for i, at := range blocks {
			if at.Offset >= uint64(len(b)) {
				t.Errorf("block at byte %d of %d", at.Offset, len(b))
			}
			if i > 0 && at.Address <= blocks[i-1].Address {
				t.Errorf("block at %#x after that at %#x", at.Address, blocks[i-1].Address)
			}
		}
	})
}
