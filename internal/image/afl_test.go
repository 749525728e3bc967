package image

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

const instrumentedC = `
const char *shm = "__AFL_SHM_ID";
unsigned char *__afl_area_ptr;
unsigned __afl_final_loc;
int main(void) { return __afl_area_ptr != 0; }
`

func TestInstrumentationOfAFLIsFound(t *testing.T) {
	strip := testenv.Program(t, "strip")
	program := testenv.Compile(t, source(t, "program.c", instrumentedC))
	got, err := FindAFL(program)
	entry := int64(symbolAddress(t, program, "_start"))
	want := AFL{
		Instrumented: true, Edges: int64(symbolAddress(t, program, "__afl_area_ptr")) - entry,
		Last: int64(symbolAddress(t, program, "__afl_final_loc")) - entry,
	}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if out, err := exec.Command(strip, program).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got, err := FindAFL(program); err != nil || got != (AFL{Instrumented: true}) {
		t.Errorf("stripped: got %+v, %v; want that it is instrumented", got, err)
	}
	deferred := testenv.Compile(t, source(t, "deferred.c", instrumentedC+`const char *sig = "##SIG_AFL_DEFER_FORKSRV##";`))
	if got, err := FindAFL(deferred); err != nil || !got.Deferred {
		t.Errorf("deferred: got %+v, %v", got, err)
	}
	plain := testenv.Compile(t, source(t, "plain.c", "unsigned char *__afl_area_ptr; int main(void) { return 0; }"))
	if got, err := FindAFL(plain); err != nil || got != (AFL{}) {
		t.Errorf("a program of another compiler: got %+v, %v", got, err)
	}
}

func TestProgramsOfAFLsCompilersAreFound(t *testing.T) {
	src := source(t, "program.c", "int main(int n, char **v) { return n > 3 ? v[1][0] : 0; }\n")
	for _, compiler := range []string{"afl-clang-fast", "afl-gcc"} {
		program := filepath.Join(t.TempDir(), "program")
		c := exec.Command(testenv.Program(t, compiler), "-o", program, src)
		c.Env = append(c.Environ(), "AFL_QUIET=1")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", compiler, err, out)
		}
		if got, err := FindAFL(program); err != nil || !got.Instrumented || got.Deferred || got.Edges == 0 {
			t.Errorf("%s: got %+v, %v", compiler, got, err)
		}
	}
}

// However a file is cut in pieces, what lies across two of them is found.
func TestTextsAreFoundWhereverTheyLie(t *testing.T) {
	const text = "__AFL_SHM_ID"
	for _, at := range []int{0, 1<<20 - 5, 1 << 20, 2<<20 - len(text), 3<<20 - 1} {
		file := bytes.Repeat([]byte{'.'}, 3<<20+100)
		copy(file[at:], text)
		var found, other bool
		if err := findTexts(bytes.NewReader(file), map[string]*bool{text: &found, "__AFL_SHM_IE": &other}); err != nil || !found || other {
			t.Errorf("at %d: found %v, another text %v, %v", at, found, other, err)
		}
	}
	if err := findTexts(iotest.ErrReader(iotest.ErrTimeout), nil); err != iotest.ErrTimeout {
		t.Errorf("got %v, want the error of the file", err)
	}
	var found bool
	if err := findTexts(strings.NewReader(text[1:]), map[string]*bool{text: &found}); err != nil || found {
		t.Errorf("a part of the text: found %v, %v", found, err)
	}
}
