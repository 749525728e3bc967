package mine

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// tableProgram has a table of functions by name, one of words alone, and a name that ends another, which the
// linker keeps once.
const tableProgram = `
#include <string.h>
static int run(void) { return 1; }
static int stop(void) { return 2; }
static const struct { const char *name; int arity; int (*function)(void); } table[] = {
	{ "sys.open", 1, run }, { "open", 2, stop }, { "two words", 0, run }, { 0, 0, 0 },
};
static const char *words[] = { "alone", "besides", "too", "many", "of", "them", 0 };
int main(int argc, char **argv) {
	for (int i = 0; table[i].name; i++)
		if (!strcmp(argv[0], table[i].name))
			return table[i].function();
	return words[argc] == 0;
}
`

func TestWordsBesideTheAddressOfAFunctionAreFound(t *testing.T) {
	gcc := testenv.Program(t, "gcc")
	bin := filepath.Join(t.TempDir(), "target")
	cmd := exec.Command(gcc, "-pie", "-fPIE", "-O2", "-s", "-x", "c", "-o", bin, "-")
	cmd.Stdin = strings.NewReader(tableProgram)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	file, err := os.Open(bin)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	got, err := Named(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"sys.open", "open"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, err := Named(strings.NewReader("#!/bin/sh\n")); err != nil || got != nil {
		t.Errorf("a script has %q, %v", got, err)
	}
}
