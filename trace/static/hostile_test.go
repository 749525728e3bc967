package static

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
)

// survive analyzes a file that was made to mislead: it is refused, or there is a result, for
// which a minute of processor time is plenty.
func survive(t *testing.T, path string) (*trace.Reach, error) {
	t.Helper()
	before := spent(t)
	r, err := Analyze(t.Context(), path, Options{})
	if took := spent(t) - before; took > time.Minute {
		t.Errorf("%s: %v of processor time", path, took)
	}
	if err == nil && len(r.Reached) == 0 {
		t.Errorf("%s reaches nothing", path)
	}
	return r, err
}

// spent is the processor time of this process.
func spent(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// victim is a program whose file is then changed.
func victim(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile(testenv.Compile(t, "testdata/reaches.c", "-static"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func changed(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "changed")
	if err := os.WriteFile(path, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// sectionHeader is where that of a section lies in a file.
func sectionHeader(t *testing.T, b []byte, name string) (at uint64, s *elf.Section) {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(f.Sections, func(s *elf.Section) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("there is no section %s", name)
	}
	return binary.LittleEndian.Uint64(b[40:]) + uint64(i)*64, f.Sections[i]
}

func TestTruncatedFilesAreRefusedOrAnalyzed(t *testing.T) {
	b := victim(t)
	for i := range 24 {
		n := len(b) * i / 24
		t.Run(fmt.Sprint(n), func(t *testing.T) { survive(t, changed(t, b[:n])) })
	}
}

func TestSectionsThatOverlapAreRefusedOrAnalyzed(t *testing.T) {
	b := victim(t)
	_, text := sectionHeader(t, b, ".text")
	for _, name := range []string{".rodata", ".data", ".eh_frame", ".symtab", ".strtab", ".rela.plt"} {
		t.Run(name, func(t *testing.T) {
			b := slices.Clone(b)
			at, _ := sectionHeader(t, b, name)
			for i, v := range []uint64{text.Addr + 1, text.Offset + 1, text.Size * 2} { // sh_addr, sh_offset, sh_size
				binary.LittleEndian.PutUint64(b[at+16+8*uint64(i):], v)
			}
			survive(t, changed(t, b))
		})
	}
}

func TestLibrariesThatNeedEachOtherAreReadOnce(t *testing.T) {
	dir := t.TempDir()
	build := func(out, text string, args ...string) {
		t.Helper()
		file := source(t, "part.c", text)
		cmd := exec.Command(testenv.Program(t, "gcc"), append([]string{"-o", filepath.Join(dir, out), file, "-L" + dir, "-Wl,-rpath," + dir, "-Wl,--no-as-needed"}, args...)...)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	}
	one := "#include <sys/syscall.h>\n#include <unistd.h>\nvoid two(void);\nvoid one(int n) { syscall(SYS_acct); if (n) two(); }\n"
	two := "void one(int);\nvoid two(void) { one(0); }\n"
	build("libtwo.so", two, "-shared", "-fPIC")
	build("libone.so", one, "-shared", "-fPIC", "-ltwo")
	build("libtwo.so", two, "-shared", "-fPIC", "-lone")
	build("program", "void two(void);\nint main(void) { two(); return 0; }\n", "-ltwo", "-lone")
	r, err := survive(t, filepath.Join(dir, "program"))
	if err != nil {
		t.Fatal(err)
	}
	if !reaches(t, r, "acct") || !r.Complete() {
		t.Errorf("acct is reached: %v; gaps: %q", reaches(t, r, "acct"), r.Gaps)
	}
}

func TestTablesThatClaimToBeHugeTakeNoMemory(t *testing.T) {
	dynamic, err := os.ReadFile(testenv.Compile(t, "testdata/reaches.c"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(dynamic))
	if err != nil {
		t.Fatal(err)
	}
	var table elf.ProgHeader
	for _, p := range f.Progs {
		if p.Type == elf.PT_DYNAMIC {
			table = p.ProgHeader
		}
	}
	const huge = 1 << 40
	cases := map[string][]byte{}
	for _, tag := range []elf.DynTag{elf.DT_STRSZ, elf.DT_RELASZ, elf.DT_PLTRELSZ, elf.DT_INIT_ARRAYSZ, elf.DT_FINI_ARRAYSZ, elf.DT_STRTAB, elf.DT_SYMTAB} {
		b := slices.Clone(dynamic)
		for at := table.Off; at < table.Off+table.Filesz; at += 16 {
			if elf.DynTag(binary.LittleEndian.Uint64(b[at:])) == tag {
				binary.LittleEndian.PutUint64(b[at+8:], huge)
			}
		}
		cases[tag.String()] = b
	}
	for name, change := range map[string]func(b []byte){
		"e_shnum": func(b []byte) { binary.LittleEndian.PutUint16(b[60:], 0xffff) },
		"e_phnum": func(b []byte) { binary.LittleEndian.PutUint16(b[56:], 0xffff) },
		"p_memsz": func(b []byte) { // of all segments
			for i := range int(binary.LittleEndian.Uint16(b[56:])) {
				binary.LittleEndian.PutUint64(b[64+56*i+40:], huge)
			}
		},
		"sh_size": func(b []byte) {
			at := binary.LittleEndian.Uint64(b[40:])
			for i := range uint64(binary.LittleEndian.Uint16(b[60:])) {
				binary.LittleEndian.PutUint64(b[at+64*i+32:], huge)
			}
		},
	} {
		b := slices.Clone(dynamic)
		change(b)
		cases[name] = b
	}
	for name, b := range cases {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := survive(t, changed(t, b))
			runtime.ReadMemStats(&after)
			if got := (after.TotalAlloc - before.TotalAlloc) >> 20; got > 300 {
				t.Errorf("%d MiB for %d bytes (%v)", got, len(b), err)
			}
		})
	}
}

func TestBadFrameDescriptionsHideNothingThatIsCalled(t *testing.T) {
	b := victim(t)
	_, s := sectionHeader(t, b, ".eh_frame")
	for name, change := range map[string]func(frames []byte){
		"ones":    func(frames []byte) { fill(frames, 0xff) },
		"zeros":   func(frames []byte) { fill(frames, 0) },
		"lengths": func(frames []byte) { binary.LittleEndian.PutUint32(frames, 0xfffffff0) },
		"ranges": func(frames []byte) { // each function begins in the middle of another
			for i := 0; i+4 <= len(frames); i += 4 {
				binary.LittleEndian.PutUint32(frames[i:], binary.LittleEndian.Uint32(frames[i:])^5)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := slices.Clone(b)
			change(b[s.Offset : s.Offset+s.Size])
			r, err := survive(t, changed(t, b))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range reached {
				if !reaches(t, r, name) {
					t.Errorf("%s is not reached", name)
				}
			}
		})
	}
}

func fill(b []byte, v byte) {
	for i := range b {
		b[i] = v
	}
}

// Code of each of these shapes once took time, or memory, that grew with the square of its size.
func TestNoShapeOfCodeTakesMoreThanItsShare(t *testing.T) {
	lines := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i, i+1, (i*7919+1)%n)
		}
		return b.String()
	}
	for _, shape := range []struct{ name, text string }{
		{"calls that return from the last to the first", "_start: call f0\n ud2\n" +
			lines(50000, ".type f%[1]d,@function\nf%[1]d: call f%[2]d\n mov $39,%%eax\n syscall\n ret\n.size f%[1]d,.-f%[1]d\n") +
			"f50000: ret\n"},
		{"syscalls of one number that comes from afar", "_start: cmp $1,%edi\n.rept 100000\n int $0x80\n.endr\n ud2\n"},
		{"jumps by pointers", "_start: xor %eax,%eax\n.rept 50000\n jmp *%rax\n syscall\n.endr\n"},
		{"sections of code", "_start: jmp f1\n" + lines(20000, ".section .x%[1]d,\"ax\",@progbits\n.type f%[1]d,@function\nf%[1]d: jmp f%[3]d\n.size f%[1]d,.-f%[1]d\n")},
		{"pointers into what fills space", "_start: mov $60,%eax\n syscall\n ud2\nbig: .rept 200000\n nop\n.endr\n ret\n.data\n.p2align 3\n" + lines(50000, ".quad big+%[1]d\n")},
		{"tables of jumps", "_start: jmp *table(,%rdi,8)\nback: mov $60,%eax\n syscall\n" + lines(20000, " lea table+8*%[1]d(%%rip),%%rax\n") +
			" jmp *%rax\n.section .rodata\n.p2align 3\ntable: .rept 40000\n.quad back\n.endr\n"},
	} {
		t.Run(shape.name, func(t *testing.T) {
			dir := t.TempDir()
			text, path := filepath.Join(dir, "shape.s"), filepath.Join(dir, "shape")
			if err := os.WriteFile(text, []byte(".globl _start\n"+shape.text), 0o644); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(testenv.Program(t, "gcc"), "-nostdlib", "-static", "-o", path, text).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if _, err := survive(t, path); err != nil {
				t.Error(err)
			}
		})
	}
}
