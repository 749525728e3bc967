package image

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

func TestCodeHasWhatALoaderNeeds(t *testing.T) {
	lib := testenv.Compile(t, source(t, "lib.c", `
extern int imported(int);
int exported(int a) { return imported(a) + 1; }
static int hidden(int a) { return a; }
int (*table[])(int) = {hidden, exported};
__attribute__((constructor)) static void begin(void) {}
`), "-shared", "-fPIC")
	c, err := ReadCode(lib)
	if err != nil {
		t.Fatal(err)
	}
	exported := c.Exports["exported"]
	if len(exported) != 1 || !exported[0].Function || !c.Exec(exported[0].Address) {
		t.Fatalf("exported is %+v", exported)
	}
	i := slices.IndexFunc(c.Functions, func(f Function) bool { return f.Start == exported[0].Address })
	if i < 0 || c.Functions[i].Name != "exported" || c.Functions[i].End <= c.Functions[i].Start {
		t.Errorf("functions are %+v", c.Functions)
	}
	imports := 0
	for slot, r := range c.Relocs {
		if c.Segment(slot) == nil {
			t.Errorf("a slot at %#x is nowhere", slot)
		}
		if r.Symbol == "imported" {
			imports++
		}
	}
	if imports != 1 {
		t.Errorf("imported has %d slots", imports)
	}
	table := c.Exports["table"]
	if len(table) != 1 || table[0].Function || table[0].Size != 16 {
		t.Fatalf("table is %+v", table)
	}
	if r := c.Relocs[table[0].Address]; !c.Exec(r.Address) {
		t.Errorf("hidden is %+v", r)
	}
	if len(c.Arrays) == 0 {
		t.Error("the constructor is in no array")
	}
}

func TestPackedRelocationsAreRead(t *testing.T) {
	text := source(t, "lib.c", "static int a, b, c;\nint *table[] = {&a, &b, 0, &c, &a};\n")
	plain, err := ReadCode(testenv.Compile(t, text, "-shared", "-fPIC"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "packed.so")
	if out, err := exec.Command("gcc", "-shared", "-fPIC", "-Wl,-z,pack-relative-relocs", "-nostdlib", "-o", path, text).CombinedOutput(); err != nil {
		t.Skipf("the linker cannot pack relocations: %s", out)
	}
	packed, err := ReadCode(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Code{plain, packed} {
		at := c.Exports["table"][0].Address
		for i, want := range []bool{true, true, false, true, true} {
			if _, ok := c.Relocs[at+8*uint64(i)]; ok != want {
				t.Errorf("%s: word %d is relocated: %v", c.Path, i, ok)
			}
		}
	}
}

func FuzzCode(f *testing.F) {
	if b, err := os.ReadFile("/bin/true"); err == nil {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := codeOf(io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b))))
		if err != nil {
			return
		}
		c, err := x.code()
		if err != nil {
			return
		}
		for _, s := range c.Segments {
			if len(s.Data) > len(b) {
				t.Errorf("a segment of %d bytes in a file of %d", len(s.Data), len(b))
			}
		}
	})
}
