package launch

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
)

func TestStreamsAreWhatTheScenarioSays(t *testing.T)             { streamsAre(t, &cage.Options{}) }
func TestStreamsAreWhatTheScenarioSaysWithoutACage(t *testing.T) { streamsAre(t, nil) }

func streamsAre(t *testing.T, c *cage.Options) {
	t.Helper()
	e := shell(t, Options{Cage: c})
	long := bytes.Repeat([]byte("line\n"), 100_000)
	out := func(k fuzz.OutputKind) fuzz.World { return fuzz.World{Stdout: k} }
	for _, tt := range []struct {
		name, script string
		s            fuzz.Scenario
		want         string
		ends         fuzz.Result
	}{
		{"a terminal to read from", `[ -t 0 ] && cat && tty <&0`, fuzz.Scenario{Stdin: fuzz.StdinTerminal, Input: []byte("a\x03b\x04c")}, "abc/dev/pts/0\n", fuzz.Result{}},
		{"the controlling terminal", `cat </dev/tty; ps -o tty= $$`, fuzz.Scenario{Stdin: fuzz.StdinTerminal, Input: []byte("x\n")}, "x\npts/0\n", fuzz.Result{}},
		{"no input at a terminal", `cat; echo end`, fuzz.Scenario{Stdin: fuzz.StdinTerminal}, "end\n", fuzz.Result{}},
		{"more input than a terminal takes", `wc -c`, fuzz.Scenario{Stdin: fuzz.StdinTerminal, Input: long}, "1024\n", fuzz.Result{}},
		{"a socket", `[ -S /dev/stdin ] && cat`, fuzz.Scenario{Stdin: fuzz.StdinSocket, Input: []byte("x")}, "x", fuzz.Result{}},
		{"much from a socket", `wc -c`, fuzz.Scenario{Stdin: fuzz.StdinSocket, Input: long}, "500000\n", fuzz.Result{}},
		{"a directory", `[ -d /dev/stdin ] && ls -d /dev/stdin/. >&2; cat 2>&1 <&0`, fuzz.Scenario{Stdin: fuzz.StdinDirectory}, "/dev/stdin/.\ncat: -: Is a directory\n", fuzz.Result{ExitCode: 1}},
		{"no input", `[ -e /proc/self/fd/0 ] || echo none`, fuzz.Scenario{Stdin: fuzz.StdinClosed}, "none\n", fuzz.Result{}},
		{"a pipe to write to", `[ -p /dev/stdout ] && echo x`, fuzz.Scenario{World: out(fuzz.OutputPipe)}, "x\n", fuzz.Result{}},
		{"a pipe that blocks", `grep flags /proc/self/fdinfo/1`, fuzz.Scenario{World: out(fuzz.OutputPipe)}, "flags:\t01\n", fuzz.Result{}},
		{"more than a pipe holds", `head -c 3000000 /dev/zero; echo x >&2`, fuzz.Scenario{World: out(fuzz.OutputPipe)}, "", fuzz.Result{}},
		{"null", `echo lost; [ -c /dev/stdout ] && echo ok >&2`, fuzz.Scenario{World: out(fuzz.OutputNull)}, "ok\n", fuzz.Result{}},
		{"a terminal to write to", `[ -t 1 ] && stty size <&1`, fuzz.Scenario{World: out(fuzz.OutputTerminal)}, "24 80\r\n", fuzz.Result{}},
		{"one terminal for all", `[ /proc/self/fd/0 -ef /proc/self/fd/2 ] && cat`, fuzz.Scenario{Stdin: fuzz.StdinTerminal, Input: []byte("x\n"), World: fuzz.World{Stdout: fuzz.OutputTerminal, Stderr: fuzz.OutputTerminal}},
			"x\r\nx\r\n", fuzz.Result{}},
		{"no output", `[ -e /proc/self/fd/1 ] || echo none >&2; exec cat /etc/passwd`, fuzz.Scenario{World: out(fuzz.OutputClosed)}, "none\ncat: standard output: Bad file descriptor\n", fuzz.Result{ExitCode: 1}},
		{"a full device", `exec cat /etc/passwd`, fuzz.Scenario{World: out(fuzz.OutputFull)}, "cat: write error: No space left on device\n", fuzz.Result{ExitCode: 1}},
		{"a broken pipe", `exec cat /etc/passwd`, fuzz.Scenario{World: out(fuzz.OutputBroken)}, "", fuzz.Result{Signal: int(unix.SIGPIPE)}},
		{"a broken pipe, and no signal", `trap '' PIPE; cat /etc/passwd`, fuzz.Scenario{World: out(fuzz.OutputBroken)}, "cat: write error: Broken pipe\n", fuzz.Result{ExitCode: 1}},
		{"a full pipe", `exec cat /etc/passwd`, fuzz.Scenario{World: out(fuzz.OutputBusy)}, "cat: write error: Resource temporarily unavailable\n", fuzz.Result{ExitCode: 1}},
		{"the input's own file", `[ /dev/stdin -ef /dev/stdout ] && echo ok >&2; cat`, fuzz.Scenario{Stdin: fuzz.StdinFile, Input: []byte("x"), World: out(fuzz.OutputInput)},
			"ok\ncat: -: input file is output file\n", fuzz.Result{ExitCode: 1}},
		{"errors to a full device", `cat /nonexistent; echo $?`, fuzz.Scenario{World: fuzz.World{Stderr: fuzz.OutputFull}}, "1\n", fuzz.Result{}},
	} {
		if tt.s.Stdin == fuzz.StdinInvalid {
			tt.s.Stdin = fuzz.StdinNull
		}
		script := tt.script
		if tt.name == "a terminal to read from" && c == nil {
			script, tt.want = strings.Replace(script, "tty", "tty >/dev/null", 1), "abc"
		}
		if tt.name == "the controlling terminal" && c == nil {
			script, tt.want = strings.Replace(script, "ps", ": ps", 1), "x\n"
		}
		tt.s.Argv = []string{"sh", "-c", script}
		r := run(t, e, &tt.s)
		got := string(e.Output())
		if tt.name == "more than a pipe holds" {
			if tt.want = ""; len(got) != outputSize {
				t.Errorf("of 3000000 bytes %d are kept, want %d", len(got), outputSize)
			}
			got = ""
		}
		if got != tt.want || r.ExitCode != tt.ends.ExitCode || r.Signal != tt.ends.Signal || r.TimedOut {
			t.Errorf("cage %v, %s: output %q, want %q; result %+v, want %+v", c != nil, tt.name, got, tt.want, r, tt.ends)
		}
	}
}

func TestFilesAreWhatTheScenarioSays(t *testing.T)             { filesAre(t, &cage.Options{}) }
func TestFilesAreWhatTheScenarioSaysWithoutACage(t *testing.T) { filesAre(t, nil) }

// In a directory of the host an overlay lies over what a run has.
func TestFilesAreWhatTheScenarioSaysInADirectoryOfTheHost(t *testing.T) {
	filesAre(t, &cage.Options{Dir: t.TempDir()})
}

func filesAre(t *testing.T, c *cage.Options) {
	t.Helper()
	e := shell(t, Options{Cage: c})
	for _, tt := range []struct {
		kind         fuzz.FileKind
		script, want string
		text         string // what the file gives when it is read
	}{
		{fuzz.FileRegular, `[ -f $1 ]`, "data", "data"},
		{fuzz.FileMissing, `[ ! -e $1 ] && [ ! -L $1 ]`, "", "No such file"},
		{fuzz.FileDirectory, `[ -d $1 ]`, "", "Is a directory"},
		{fuzz.FileFIFO, `[ -p $1 ]`, "data", "data"},
		{fuzz.FileSocket, `[ -S $1 ]`, "", "No such device"},
		{fuzz.FileUnreadable, `[ $(stat -c %a $1) = 0 ]`, "data", ""},
		{fuzz.FileReadOnly, `[ $(stat -c %a $1) = 444 ]`, "data", "data"},
		{fuzz.FileSparse, `[ $(stat -c %s $1) = 1099511627776 ]`, "data", ""},
		{fuzz.FileSymlink, `[ -L $1 ] && [ -f $1 ]`, "data", "data"},
		{fuzz.FileLoop, `[ -L $1 ]`, "", "Too many levels"},
		{fuzz.FileDangling, `[ -L $1 ] && [ ! -e $1 ]`, "", "No such file"},
		{fuzz.FileCrowd, `[ $(ls $1 | wc -l) = 1500 ]`, "", "Is a directory"},
		{fuzz.FileDeep, `[ $(find $1 | wc -l) = 24 ] && [ $(find $1 | tail -n 1 | wc -c) -gt 4096 ]`, "", "Is a directory"},
	} {
		read := ` && timeout 5 cat $1 2>&1`
		if tt.text == "" {
			read = ` && echo is`
			tt.text = "is"
		}
		s := &fuzz.Scenario{Stdin: fuzz.StdinNull, Argv: []string{"sh", "-c", tt.script + read, "sh", "@@"},
			Input: []byte("data"), World: fuzz.World{Input: tt.kind}}
		run(t, e, s)
		if got := string(e.Output()); !strings.Contains(got, tt.text) {
			t.Errorf("cage %v, input %v: got %q, want %q", c != nil, tt.kind, got, tt.text)
		}
		if tt.kind == fuzz.FileMissing {
			continue
		}
		if tt.kind == fuzz.FileFIFO { // nobody writes to it
			read = ` && echo is`
			tt.text, tt.want = "is", ""
		}
		s = &fuzz.Scenario{Stdin: fuzz.StdinNull, Argv: []string{"sh", "-c", tt.script + read, "sh", "d/f"},
			Files: []fuzz.File{{Name: "d/f", Data: []byte(tt.want), Kind: tt.kind}}}
		run(t, e, s)
		if got := string(e.Output()); !strings.Contains(got, tt.text) {
			t.Errorf("cage %v, file %v: got %q, want %q", c != nil, tt.kind, got, tt.text)
		}
	}
}

// The input keeps its kind where a file of the scenario has the name that it mostly has.
func TestTheInputAndAFileOfItsNameAreTwo(t *testing.T) {
	e := shell(t, Options{Cage: &cage.Options{}})
	for _, name := range []string{"input", "input.target", "input/a"} {
		for _, kind := range []fuzz.FileKind{fuzz.FileRegular, fuzz.FileDirectory, fuzz.FileMissing, fuzz.FileSymlink} {
			s := &fuzz.Scenario{Stdin: fuzz.StdinNull, Argv: []string{"sh", "-c", "cat " + name + "; ls -dF $1", "sh", "@@"},
				Input: []byte("x"), Files: []fuzz.File{{Name: name, Data: []byte("other\n")}}, World: fuzz.World{Input: kind}}
			run(t, e, s)
			if got := string(e.Output()); !strings.HasPrefix(got, "other\n") || strings.Contains(got, "/input\n") {
				t.Errorf("a file %s, an input that is %v: got %q", name, kind, got)
			}
		}
	}
}

// However the target treats the FIFO, the run ends, and nothing outside is written to.
func TestAFIFOThatTheTargetTamperedWithHarmsNothing(t *testing.T) {
	for _, c := range []*cage.Options{{}, nil} {
		e := shell(t, Options{Cage: c, Timeout: 300 * time.Millisecond})
		victim := t.TempDir() + "/victim"
		for _, script := range []string{
			`:`, `rm $1`, `rm $1; ln -s ` + victim + ` $1`, `mv $1 other; cat other`, `exec 3<$1; read x <&3`, `exec 3<>$1`, `echo x >$1`, `rm $1; mkfifo $1`,
		} {
			s := &fuzz.Scenario{Stdin: fuzz.StdinNull, Argv: []string{"sh", "-c", script, "sh", "@@"},
				Input: bytes.Repeat([]byte("x"), 200_000), World: fuzz.World{Input: fuzz.FileFIFO}}
			run(t, e, s)
		}
		s := script("[ -e " + victim + " ] && echo made")
		run(t, e, s)
		if got := string(e.Output()); got != "" {
			t.Errorf("cage %v: the victim %s", c != nil, got)
		}
	}
}
