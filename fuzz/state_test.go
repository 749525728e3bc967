package fuzz

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// samples are scenarios of every shape that can be stored.
var samples = []Scenario{
	{Argv: []string{"jq", "."}, Stdin: StdinFile, Input: []byte("{}")},
	{Argv: []string{"./a b", "it's", "<&>", "\u2028"}, Stdin: StdinNull},
	{Argv: []string{"x", "\xff\xfe", ""}, Env: []string{"LANG=\xe4", "HOME"}, Stdin: StdinPipe, Input: []byte{0, 1, 2}},
	{Argv: []string{"x", "--in=@@"}, Stdin: StdinNull, Input: []byte("via operand")},
	{Argv: []string{"x"}, Stdin: StdinPipe, Input: []byte{}},
	{Argv: []string{"x", "a"}, Stdin: StdinNull, Files: []File{{Name: "a", Data: []byte("1")}, {Name: "d/e", Data: []byte{}}}},
	{Argv: []string{"x", "log"}, Stdin: StdinNull, Before: []Step{{Argv: []string{"x", "init"}}}},
	{Argv: []string{"x", "log"}, Stdin: StdinNull, Files: []File{{Name: "a", Data: []byte("1")}},
		Before: []Step{{Argv: []string{"x", "\xff"}, Env: []string{"HOME"}}, {Argv: []string{"x", "add"}, Stdin: "a"}}},
	{Argv: []string{"x"}, Stdin: StdinNull, Before: []Step{{Argv: []string{"x"}, Acts: spoken[1]}},
		Acts: []Act{{Do: DeedShout, To: "tls/443", Client: 3, Data: []byte("\xff"), Times: 4}, {Do: DeedReset, To: "tls/443", Client: 3}, {Do: DeedSignal, Signal: syscall.SIGKILL}, {Do: DeedRotate}}},
	{Argv: []string{"x", "@@"}, Stdin: StdinClosed, Input: []byte("1"), Files: []File{{Name: "a", Data: []byte{}, Kind: FileLoop}},
		World: World{Stdout: OutputBusy, Stderr: OutputPipe, Input: FileSparse, Kernel: Kernel4_18, Faults: []Fault{fault("write:EIO")},
			Limits: []Limit{{ResourceLocked, 0}}, User: UserNobody, Interruption: Interruption{syscall.SIGUSR1, MomentLimit}}},
}

func TestAStateGivesBackWhatWasStored(t *testing.T) {
	s, err := OpenState(filepath.Join(t.TempDir(), "deep", "state"))
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string]Scenario)
	for i := range samples {
		want[samples[i].ID()] = samples[i]
		for range 2 { // the second time is no error
			if err := s.Save(Witnesses, &samples[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	// What a killed writer leaves behind.
	for _, name := range []string{".tmp-123", "0123456789abcdef.input"} {
		if err := os.WriteFile(filepath.Join(s.Dir(), "witnesses", name), []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	loaded, err := LoadState(s.Dir())
	if err != nil {
		t.Fatal(err)
	}
	got, err := loaded.Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d scenarios, want %d", len(got), len(want))
	}
	for i, g := range got {
		if w := want[g.ID]; !reflect.DeepEqual(g.Scenario, w) {
			t.Errorf("got %+v, want %+v", g.Scenario, w)
		}
		if i > 0 && got[i-1].ID >= g.ID {
			t.Errorf("%s is listed before %s", got[i-1].ID, g.ID)
		}
	}
	if err := s.Clear(); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Scenarios(); err != nil || len(got) != 0 {
		t.Errorf("after Clear: %d scenarios, %v", len(got), err)
	}
}

func TestACorruptStateNamesTheFile(t *testing.T) {
	sample := &samples[0]
	id := sample.ID()
	cases := []struct {
		name string
		harm func(prefix string) error
		want string
	}{
		{"cut off", func(p string) error { return os.Truncate(p+".json", 10) }, "unexpected EOF"},
		{"other input", func(p string) error { return os.WriteFile(p+".input", []byte("[]"), 0o644) }, "content has the id"},
		{"no input", func(p string) error { return os.Remove(p + ".input") }, "no such file"},
		{"other words", func(p string) error {
			return os.WriteFile(p+".json", []byte(`{"version":1,"argv":["jq",".."],"stdin":"file"}`), 0o644)
		}, "content has the id"},
		{"unknown field", func(p string) error {
			return os.WriteFile(p+".json", []byte(`{"version":1,"argv":["jq","."],"stdin":"file","x":1}`), 0o644)
		}, "unknown field"},
		{"later version", func(p string) error {
			return os.WriteFile(p+".json", []byte(`{"version":2,"argv":["jq","."],"stdin":"file"}`), 0o644)
		}, "version 2"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, err := OpenState(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Save(Witnesses, sample); err != nil {
				t.Fatal(err)
			}
			if err := c.harm(s.Prefix(Witnesses, id)); err != nil {
				t.Fatal(err)
			}
			got, err := s.Scenarios()
			if err == nil {
				t.Fatalf("read as %+v", got)
			}
			for _, want := range []string{id + ".json", c.want} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestLoadStateOfNothingIsErrNotExist(t *testing.T) {
	if _, err := LoadState(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func FuzzDecodeScenario(f *testing.F) {
	for i := range samples {
		b, err := encodeScenario(&samples[i])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"version":1,"argv":[null,{"base64":"YQ=="}],"stdin":"null","files":["../x"]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeScenario(b)
		if err != nil {
			return
		}
		if err := s.Check(); err != nil {
			t.Fatalf("accepted %s: %v", b, err)
		}
		out, err := encodeScenario(&s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeScenario(out)
		if err != nil || !reflect.DeepEqual(s, again) {
			t.Fatalf("%+v written and read again is %+v, %v", s, again, err)
		}
	})
}

// A shell runs the commands of stored scenarios, and must give the target the
// words, variables, input and files of the scenario.
func TestACommandGivesAShellTheScenario(t *testing.T) {
	shell := testenv.Program(t, "sh")
	dir := t.TempDir()
	state, err := OpenState(filepath.Join(dir, "my state"))
	if err != nil {
		t.Fatal(err)
	}
	const show = "#!/bin/sh\nfor w; do printf '[%s]' \"$w\"; done\nprintf ' FOO=%s PATH=%s ' \"$FOO\" \"${GONE-unset}\"\n" +
		"if [ -p /dev/stdin ]; then printf 'pipe:'; fi\ncat\nif [ -e a ]; then printf ' a='; cat a; fi\n"
	if err := os.WriteFile(filepath.Join(dir, "show"), []byte(show), 0o755); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		s    Scenario
		want string
	}{
		{"words", Scenario{Argv: []string{"./show", "a b", "it's", "$HOME", "", "*", "\n", "\xff"}, Stdin: StdinNull}, "[a b][it's][$HOME][][*][\n][\xff] FOO= PATH=set "},
		{"stdin file", Scenario{Argv: []string{"./show"}, Stdin: StdinFile, Input: []byte("text")}, " FOO= PATH=set text"},
		{"stdin pipe", Scenario{Argv: []string{"./show"}, Stdin: StdinPipe, Input: []byte("text")}, " FOO= PATH=set pipe:text"},
		{"environment", Scenario{Argv: []string{"./show"}, Env: []string{"FOO=a b", "GONE"}, Stdin: StdinNull}, " FOO=a b PATH=unset "},
		{"files", Scenario{Argv: []string{"./show", "a"}, Stdin: StdinFile, Input: []byte("in "), Files: []File{{Name: "a", Data: []byte("data")}}}, "[a] FOO= PATH=set in  a=data"},
		{"steps", Scenario{Argv: []string{"./show", "a"}, Stdin: StdinFile, Input: []byte("in "), Before: []Step{{Argv: []string{"./show", "b c"}, Env: []string{"FOO=x"}}}}, "[b c] FOO=x PATH=set [a] FOO= PATH=set in "},
		{"a step that reads", Scenario{Argv: []string{"./show"}, Stdin: StdinNull, Files: []File{{Name: "n", Data: []byte("text")}}, Before: []Step{{Argv: []string{"./show"}, Stdin: "n"}}}, " FOO= PATH=set text FOO= PATH=set "},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if err := state.Save(Queue, &c.s); err != nil {
				t.Fatal(err)
			}
			prefix, err := filepath.Rel(dir, state.Prefix(Queue, c.s.ID()))
			if err != nil {
				t.Fatal(err)
			}
			line := c.s.Command(prefix)
			cmd := exec.Command(shell, "-c", line)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "GONE=set", "FOO=")
			out, err := cmd.CombinedOutput()
			if err != nil || string(out) != c.want {
				t.Errorf("%s\ngot  %q, %v\nwant %q", line, out, err, c.want)
			}
		})
	}
	operand := Scenario{Argv: []string{"jq", "--in=@@", "."}, Stdin: StdinNull}
	if got, want := operand.Command(".tjfuzz/jq/witnesses/ab12"), "jq --in=.tjfuzz/jq/witnesses/ab12.input . < /dev/null"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
