package forced

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

func compile(t *testing.T, name, text string, flags ...string) string {
	t.Helper()
	if sysno.Native() != sysno.AMD64 {
		t.Skip("the code of x86-64 is looked at alone")
	}
	src := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(src, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return testenv.Compile(t, src, flags...)
}

func names(p *Program) (all []string) {
	for _, f := range p.Functions {
		all = append(all, f.Name)
	}
	return all
}

const throws = `void _ZSt20__throw_length_errorPKc(const char *);
void _ZSt17__throw_bad_allocv(void);
void abort(void);
int main(int n, char **v) {
	if (n > 5) _ZSt20__throw_length_errorPKc(v[0]);
	if (n > 6) _ZSt17__throw_bad_allocv();
	if (n > 7) abort();
	return 0;
}
`

// Of functions that end alike one is enough; it is the same each time.
func TestOneOfTheFunctionsThatEndAlikeIsFound(t *testing.T) {
	library := compile(t, "library.c", "void _ZSt20__throw_length_errorPKc(void) {}\nvoid _ZSt17__throw_bad_allocv(void) {}\n", "-shared", "-fPIC")
	program := compile(t, "throws.c", throws, "-Wl,--no-as-needed", library)
	for range 5 {
		p, err := Find(program)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := names(p), []string{"_ZSt20__throw_length_errorPKc", "abort"}; !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}

func TestWhatIsNoProgramCallsNothing(t *testing.T) {
	if p, err := Find(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Errorf("got %+v", p)
	}
	library := compile(t, "library.c", "#include <stdlib.h>\nvoid f(int n) { if (n) abort(); }\n", "-shared", "-fPIC", "-nostartfiles")
	if p, err := Find(library); err == nil {
		t.Errorf("a library: got %+v", p)
	}
}

// A script is run by a program, which is what calls.
func TestWhoInterpretsAScriptCalls(t *testing.T) {
	interpreter := compile(t, "aborts.c", "#include <stdlib.h>\nint main(int n, char **v) { if (n > 5) abort(); return v == 0; }\n")
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!"+interpreter+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := Find(script)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(p); !slices.Equal(got, []string{"abort"}) {
		t.Errorf("got %v", got)
	}
}

// Who shares a search does not look again, even where the program is no longer there.
func TestAProgramIsLookedThroughOnce(t *testing.T) {
	program := compile(t, "aborts.c", "#include <stdlib.h>\nint main(int n, char **v) { if (n > 5) abort(); return v == 0; }\n")
	var s Search
	first, err := s.Find(program)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	if again, err := s.Find(program); err != nil || again != first {
		t.Errorf("got %p, %v, want %p", again, err, first)
	}
}

func TestMappingsOfThisProcess(t *testing.T) {
	all, err := mappings(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	start, ok := begin(all, self)
	if !ok || start == 0 {
		t.Errorf("this program begins at %#x, %v", start, ok)
	}
	if at, ok := begin(all, "/nothing/of/the/kind"); ok {
		t.Errorf("what is not loaded begins at %#x", at)
	}
	if at, ok := code(all, self, 1<<40); ok {
		t.Errorf("behind its end it has code at %#x", at)
	}
}
