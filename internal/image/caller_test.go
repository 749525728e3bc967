package image

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A program says where each of its calls returns to, and no other address is taken for one.
func TestOnlyWhatFollowsACallIsReturnedTo(t *testing.T) {
	dir := t.TempDir()
	source, program := filepath.Join(dir, "a.s"), filepath.Join(dir, "a")
	const text = `
	.globl _start
_start:	call f
direct:	call *%r12
register: call *table(%rip)
relative: call *8(%rsp,%rax,4)
indexed: jmp f
jump:	nop
f:	ret
table:	.quad f
`
	if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-nostdlib", "-static", "-o", program, source).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var code *elf.Prog
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 && code == nil {
			code = p
		}
	}
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"direct": true, "register": true, "relative": true, "indexed": true, "jump": false, "f": false, "table": false}
	for _, s := range symbols {
		after, ok := want[s.Name]
		if !ok {
			continue
		}
		delete(want, s.Name)
		offset, got, err := Returns(program, s.Value-code.Vaddr)
		if err != nil || got != after || got && offset != s.Value-code.Vaddr+code.Off {
			t.Errorf("%s: %#x, %v, %v; want %v", s.Name, offset, got, err, after)
		}
	}
	if len(want) > 0 {
		t.Errorf("not tried: %v", want)
	}
}
