package launch

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/coverage"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

// However a program and its library are built, what they compare their input with is told by the
// run that is the first to come there.
func TestWhatAProgramComparesItsInputWithIsTold(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	for name, flags := range map[string][]string{
		"lazy": {"-Wl,-z,lazy"}, "now": {"-Wl,-z,now"}, "no plt": {"-fno-plt"}, "not optimized": {"-O0"},
		"control flow protection": {"-fcf-protection=full"}, "fixed address": {"-no-pie"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			compile(t, "testdata/needle.c", filepath.Join(dir, "libneedle.so"), append(flags, "-shared", "-fPIC")...)
			program := filepath.Join(dir, "operands")
			compile(t, "testdata/operands.c", program, append(flags, "-fno-builtin", "-L"+dir, "-lneedle", "-Wl,-rpath,"+dir)...)
			r, err := rawtp.Open(rawtp.Options{Slots: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			e := withBlocks(t, r, 0, program, new(coverage.Map), nil)
			words := func(input string) (out []string) {
				got := run(t, e, &fuzz.Scenario{Argv: []string{"operands"}, Stdin: fuzz.StdinFile, Input: []byte(input)})
				if got.Signal != 0 || got.ExitCode > 1 {
					t.Errorf("%q: got %+v, want it to end normally", input, got)
				}
				for _, w := range got.Words {
					out = append(out, string(w))
				}
				return out
			}
			for range warmUp + 1 {
				words("")
			}
			for _, tt := range []struct {
				input string
				want  []string
			}{
				{"axxxx", []string{"MA\x01IC"}},
				{"axxxx", nil}, // they are told once
				{"bxxxx", []string{"\xde\xad\xbe\xef", "\xef\xbe\xad\xde"}},
				{"cxxxx", []string{"first", "second", "third"}},
				{"dxxxx", []string{"Prefix"}},
				{"exxxxxxxx", []string{"\x11\x22\x33\x44\x55\x66\x77\x88", "\x88\x77\x66\x55\x44\x33\x22\x11"}},
				{"fxxxx", nil},
				{"gxxxx", []string{"needle"}},
				{"hxxxx", nil},
			} {
				if got := words(tt.input); !slices.Equal(got, tt.want) {
					t.Errorf("%q: got %q, want %q", tt.input, got, tt.want)
				}
			}
			if e.Copies()[AtInput]+e.Copies()[AtMain] == 0 {
				t.Error("there were no copies")
			}
		})
	}
}
