package image

import (
	"encoding/hex"
	"slices"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

func TestImportsAreNamedByTheirSlots(t *testing.T) {
	src := source(t, "program.c", `#include <string.h>
#include <unistd.h>
int main(int n, char **v) { return strcmp(v[0], v[n - 1]) + memcmp(v[0], v[1], n) + getpid(); }
`)
	for _, flags := range [][]string{{"-Wl,-z,lazy"}, {"-Wl,-z,now"}, {"-fno-plt"}, {"-no-pie"}} {
		program := testenv.Compile(t, src, append(flags, "-fno-builtin")...)
		imports, err := Imports(program)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for slot, name := range imports {
			if slot == 0 {
				t.Errorf("%v: %s has no slot", flags, name)
			}
			names = append(names, name)
		}
		for _, want := range []string{"strcmp", "memcmp", "getpid"} {
			if !slices.Contains(names, want) {
				t.Errorf("%v: got %v, want %s in it", flags, names, want)
			}
		}
	}
	static := testenv.Compile(t, src, "-static", "-fno-builtin")
	if imports, err := Imports(static); err != nil || len(imports) > 0 {
		t.Errorf("a static program: got %v, %v, want none", imports, err)
	}
}

func code(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The bytes are those that the GNU assembler makes.
func TestInstructionsTellTheirOperands(t *testing.T) {
	for _, tt := range []struct {
		code string
		want Instruction
	}{
		{"817c240cefbeadde", Instruction{Len: 8, Value: 0xdeadbeef, Size: 4, Compares: true}},  // cmpl $0xdeadbeef,0xc(%rsp)
		{"3defbeadde", Instruction{Len: 5, Value: 0xdeadbeef, Size: 4, Compares: true}},        // cmp $0xdeadbeef,%eax
		{"663d424d", Instruction{Len: 4, Value: 0x4d42, Size: 2, Compares: true}},              // cmp $0x4d42,%ax
		{"803f7f", Instruction{Len: 3, Value: 0x7f, Size: 1, Compares: true}},                  // cmpb $0x7f,(%rdi)
		{"4883f8ff", Instruction{Len: 4, Value: ^uint64(0), Size: 8, Compares: true}},          // cmp $-1,%rax
		{"4839d0", Instruction{Len: 3, Compares: true}},                                        // cmp %rdx,%rax
		{"48b88877665544332211", Instruction{Len: 10, Value: 0x1122334455667788, Size: 8}},     // movabs
		{"b807000000", Instruction{Len: 5, Value: 7, Size: 4}},                                 // mov $7,%eax
		{"e8fbffffff", Instruction{Len: 5, Call: true, To: 0x1000}},                            // call 0x1000
		{"ff15f61f0000", Instruction{Len: 6, Call: true, Slot: true, To: 0x1000 + 6 + 0x1ff6}}, // call *0x1ff6(%rip)
		{"ffd0", Instruction{Len: 2}},                                                          // call *%rax
		{"7405", Instruction{Len: 2, Ends: true}},                                              // je
		{"ebfe", Instruction{Len: 2, Ends: true}},                                              // jmp
		{"ffe0", Instruction{Len: 2, Ends: true}},                                              // jmp *%rax
		{"c3", Instruction{Len: 1, Ends: true}},                                                // ret
		{"f30f1efa", Instruction{Len: 4}},                                                      // endbr64
		{"90", Instruction{Len: 1}},                                                            // nop
		{"0f57c0", Instruction{Len: 3}},                                                        // xorps, of other registers
	} {
		if got, err := Decode(code(t, tt.code), 0x1000); err != nil || got != tt.want {
			t.Errorf("%s: got %+v, %v; want %+v", tt.code, got, err, tt.want)
		}
	}
	if _, err := Decode([]byte{0x06}, 0); err == nil {
		t.Error("06 is no instruction, and has no error")
	}
}

func TestStubsLeadToTheirSlots(t *testing.T) {
	const at = 0x100000
	for text, want := range map[string]uint64{
		"ff25ca2f0000":             at + 6 + 0x2fca,     // jmp *0x2fca(%rip)
		"f30f1efaf2ff25e52f00000f": at + 4 + 7 + 0x2fe5, // endbr64; bnd jmp
		"f30f1efaff25e62fffff":     at + 4 + 6 - 0xd01a, // endbr64; jmp, to what lies before
	} {
		if got, ok := Stub(code(t, text), at); !ok || got != want {
			t.Errorf("%s: got %#x, %v; want %#x", text, got, ok, want)
		}
	}
	for _, text := range []string{"4883ec08ff25ca2f0000", "e9fbffffff", "ffe0", "f30f1efa", "", "f30f1efaf30f1efaff25ca2f0000"} {
		if got, ok := Stub(code(t, text), at); ok {
			t.Errorf("%s: got the slot %#x, want none", text, got)
		}
	}
}
