package image

import (
	"bytes"
	"io"
	"os"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

const aborts = `#include <stdlib.h>
int main(int n, char **v) { if (n > 5) abort(); return v == 0; }
`

func TestCalleesAreThoseThatTheCodeRefersTo(t *testing.T) {
	names := []string{"abort", "__assert_fail", "nothing_of_the_kind"}
	calls, well := source(t, "calls.c", aborts), source(t, "well.c", "int main(void) { return 0; }\n")
	for _, flags := range [][]string{{"-Wl,-z,lazy"}, {"-Wl,-z,now"}, {"-fno-plt"}, {"-no-pie"}, {"-s"}, {"-shared", "-fPIC"}, {"-static"}, {"-static-pie"}} {
		static := flags[0] == "-static" || flags[0] == "-static-pie"
		found, err := Callees(testenv.Compile(t, calls, flags...), names)
		if err != nil {
			t.Fatal(err)
		}
		if c := found["abort"]; c.Address == 0 || c.Address > 1<<24 || c.Slot == static || found["nothing_of_the_kind"] != (Callee{}) {
			t.Errorf("%v: got %+v", flags, found)
		}
		if static {
			continue // the C library, which is in the file, calls all of these
		}
		if found, err := Callees(testenv.Compile(t, well, flags...), names); err != nil || len(found) > 0 {
			t.Errorf("%v: a program that calls none: got %+v, %v", flags, found, err)
		}
	}
	if found, err := Callees(testenv.Compile(t, calls, "-static", "-s"), names); err != nil || len(found) > 0 {
		t.Errorf("a static program without symbols: got %+v, %v", found, err)
	}
	if found, err := Callees(calls, names); err == nil {
		t.Errorf("a source: got %+v", found)
	}
}

func FuzzCallees(f *testing.F) {
	for _, flags := range [][]string{nil, {"-fno-plt"}, {"-static"}} {
		program, err := os.ReadFile(testenv.Compile(f, source(f, "program.c", aborts), flags...))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(program)
	}
	names := []string{"abort", "main"}
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := codeOf(io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b))))
		if err != nil {
			return
		}
		found, err := x.callees(names)
		if err != nil {
			return
		}
		if _, other := found["main"]; len(found) > len(names) || other && found["main"].Slot && !bytes.Contains(b, []byte("main")) {
			t.Errorf("got %+v", found)
		}
	})
}
