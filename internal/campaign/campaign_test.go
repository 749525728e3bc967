package campaign

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var some = Known{
	Inputs: []string{"seeds", "dictionary"}, Budget: []string{"duration", "execs"}, Policy: []string{"default", "args", "runtime"},
}

func TestAFileSaysAllOfACampaign(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "full.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(data, some)
	if err != nil {
		t.Fatal(err)
	}
	want := &Campaign{
		Version:  1,
		Program:  Words{"python3", "tool.py"},
		Commands: []Words{nil, {"--check", "@@"}, {"--name", "two words", "it's"}},
		Files: Files{
			{Name: "conf/app.ini", Content: "[app]\ndebug = yes\n", Line: 9},
			{Name: "data.bin", From: "samples/data.bin", Line: 12},
			{Name: "empty", Line: 13},
		},
		Config: Words{"conf/app.ini"},
		Sockets: Sockets{
			{Name: "tcp/80", Protocol: "http", Line: 16},
			{Name: "udp/5353", Line: 17},
			{Name: "unix//run/tool.sock", Messages: []Text{{Content: "hello\r\n", Line: 19}, {From: "samples/get", Line: 20}}, Line: 18},
		},
		Users:       []string{"same", "www-data"},
		Environment: Variables{"LANG=C", "EMPTY=", "HOME", "N=1"},
		Workload:    []string{"make test"},
		Output:      "tool.seccomp.json",
		State:       "state",
		Inputs:      Settings{{"seeds", "samples", 31}},
		Budget:      Settings{{"duration", "90s", 33}, {"execs", "5000", 34}},
		Policy:      Settings{{"default", "kill", 36}, {"args", "safe", 37}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

func TestWhatIsWrongIsToldWithItsLineAndWhatWasMeant(t *testing.T) {
	cases := []struct{ file, detail, mend string }{
		{"", "it is empty", "tjfuzz init"},
		{"version: 2\nprogram: x\n", "version 2 is not known", "version: 1"},
		{"program: x\n", "version 0 is not known", "version: 1"},
		{"version: 1\n", "no program is named", "program:"},
		{"version: 1\nprogram: x\ncomands: []\n", `line 3: a scenario file has no "comands"`, `did you mean "commands"?`},
		{"version: 1\nprogram: x\nports: []\n", `line 3: a scenario file has no "ports"`, "known there are version, program, commands"},
		{"version: 1\nprogram: x\nsockets: []\n", "line 3: sockets belong here", ""},
		{"version: 1\nprogram: x\nsockets: {tcp/80: [http]}\n", `line 3: the socket "tcp/80" has neither`, "messages"},
		{"version: 1\nprogram: x\nsockets: {tcp/80: {messages: []}}\n", `line 3: the socket "tcp/80" has neither`, "messages"},
		{"version: 1\nprogram: x\nsockets: {tcp/80: {messages: [[a]]}}\n", `line 3: a message of "tcp/80" has neither`, "{from: PATH}"},
		{"version: 1\nprogram: x\nsockets: {tcp/80: http, tcp/80: dns}\n", `line 3: "tcp/80" is repeated`, "keep one"},
		{"version: 1\nprogram: x\nbudget:\n  duraton: 1m\n", `line 4: budget has no "duraton"`, `"duration"`},
		{"version: 1\nprogram: x\npolicy: {seeds: a}\n", `line 3: policy has no "seeds"`, "known there are default, args, runtime"},
		{"version: 1\nprogram: x\nbudget: {execs: 1, execs: 2}\n", `line 3: "execs" is repeated`, "keep one"},
		{"version: 1\nversion: 1\nprogram: x\n", `line 2: mapping key "version" already defined`, ""},
		{"version: one\nprogram: x\n", "line 1: cannot unmarshal", "docs/scenario.md"},
		{"version: 1\nprogram: {a: b}\n", "line 2: words belong here", ""},
		{"version: 1\nprogram: x\ncommands: ['\"a']\n", "line 3: \"\\\"a\" ends inside a quote", ""},
		{"version: 1\nprogram: x\nfiles:\n  ../a: x\n", `line 4: the file name "../a" leads out`, ""},
		{"version: 1\nprogram: x\nfiles:\n  a: x\n  a/b: y\n", `line 4: the file "a" is there twice, or`, ""},
		{"version: 1\nprogram: x\nfiles:\n  a: {form: b}\n", `line 4: the file "a" has neither`, "{from: PATH}"},
		{"version: 1\nprogram: x\nenvironment: [A=b]\n", "line 3: variables belong here", "NAME: VALUE"},
		{"version: 1\nprogram: x\nenvironment: {A: 1, A: 2}\n", `line 3: "A" is repeated`, ""},
		{"version: 1\nprogram: x\nenvironment: {A=B: 1}\n", `line 3: "A=B" names no environment variable`, ""},
		{"version: 1\nprogram: x\npolicy: {args: }\n", `line 3: "args" has no value`, ""},
		{"version: 1\nprogram: x\n---\nversion: 1\n", "something follows", ""},
		{"version: 1\nprogram: [x\n", "line 1: did not find expected ',' or ']'", ""},
		{"version: 1\nprogram: \xff\n", "not UTF-8", ""},
		{"#" + strings.Repeat("x", maxSize), "larger than", ""},
	}
	for _, c := range cases {
		_, err := Parse([]byte(c.file), some)
		var e *Error
		if !errors.As(err, &e) || !strings.HasPrefix(e.Error(), c.detail) || !strings.Contains(e.Mend, c.mend) {
			t.Errorf("%.60q:\ngot  %v, %+v\nwant %s; %s", c.file, err, e, c.detail, c.mend)
		}
	}
}

func TestSplitHoldsQuotedWordsTogether(t *testing.T) {
	for text, want := range map[string][]string{
		"":                  nil,
		" a\tb\nc ":         {"a", "b", "c"},
		`'a b' "c 'd'" ''`:  {"a b", "c 'd'", ""},
		`a\ b \" "\"" '\'`:  {"a b", `"`, `"`, `\`},
		`--x="y z" $HOME *`: {"--x=y z", "$HOME", "*"},
	} {
		if got, err := Split(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
}

// Whatever a file holds, it is read or refused with an *Error.
func FuzzParse(f *testing.F) {
	full, err := os.ReadFile(filepath.Join("testdata", "full.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full)
	f.Add([]byte("version: 1\nprogram: &a [x]\ncommands: [*a, *a]\nfiles: {<<: {b: c}}\n"))
	f.Add([]byte("version: 1\nprogram: x\nbudget: {a: [b, c]}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data, some)
		var e *Error
		switch {
		case err != nil && !errors.As(err, &e):
			t.Errorf("got %v, want an *Error", err)
		case err == nil && (c.Version != 1 || len(c.Program) == 0):
			t.Errorf("got %+v", c)
		}
	})
}
