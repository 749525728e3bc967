package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

func TestMain(m *testing.M) {
	// A program built with -race sleeps for a second at its end.
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	if strings.HasSuffix(os.Args[0], ".test") { // and not as one of the commands
		heedSignals()
	}
	testscript.Main(tests{m}, map[string]func(){"tjfuzz": main, "nobody": nobody})
}

// tests are run with two programs of ours. What other tests find on their PATH is what people have.
// Most scripts have this one here, so where the tests are looked through for data races, it is, too;
// learning takes twice the processor time then.
type tests struct{ *testing.M }

func (m tests) Run() int {
	info, ok := debug.ReadBuildInfo()
	if !ok || !slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return m.M.Run()
	}
	here, err := commandsHere()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	usual := filepath.Join(filepath.Dir(here), "usual")
	// As go test, without asking whose checkout this is.
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(usual, "tjfuzz"), ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	os.Setenv("PATH", usual+string(filepath.ListSeparator)+os.Getenv("PATH"))
	return m.M.Run()
}

// commandsHere is the directory of this program under the names of the commands, one of which nobody else has.
func commandsHere() (string, error) {
	path, err := exec.LookPath("nobody")
	return filepath.Dir(path), err
}

// heedSignals keeps the programs under test from inheriting that HUP and INT are
// ignored, as they are under nohup and in the background of a script: those
// programs are sent both. To be asked for is not to be ignored, and what is asked
// for is the default again after exec.
func heedSignals() {
	for _, s := range []os.Signal{unix.SIGHUP, unix.SIGINT} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
}

// nobody COMMAND... runs a command as a user without rights.
func nobody() {
	path, err := exec.LookPath(os.Args[1])
	if err == nil {
		err = errors.Join(unix.Setgroups(nil), unix.Setgid(65534), unix.Setuid(65534))
	}
	if err == nil {
		err = unix.Exec(path, os.Args[1:], os.Environ())
	}
	panic(err)
}

// What needs no rights: refusals, help, groups, profiles from stored evidence.
func TestCommands(t *testing.T) {
	testenv.Program(t, "jq")
	scripts(t, "testdata/any", "", true)
}

// What records or applies.
func TestRecordingCommands(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	for _, program := range []string{"jq", "sort", "strace", "/usr/bin/python3"} {
		testenv.Program(t, program)
	}
	scripts(t, "testdata/recorded", compiled(t), true)
}

// What learns again and again: how sessions differ, and what one leaves to the next.
func TestSessions(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	for _, program := range []string{"jq", "sort", "/usr/bin/python3"} {
		testenv.Program(t, program)
	}
	scripts(t, "testdata/sessions", compiled(t), false)
}

// scripts runs the txtar scripts of a folder, with this program, or with the one that people have.
// $VICTIMS is a directory of programs.
func scripts(t *testing.T, dir, victims string, this bool) {
	testscript.Run(t, testscript.Params{
		Dir: dir,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":  status,
			"refuses": refuses,
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("VICTIMS", victims)
			e.Setenv("GORACE", os.Getenv("GORACE"))
			here, err := commandsHere()
			if err != nil {
				return err
			}
			if this {
				e.Setenv("PATH", here+string(filepath.ListSeparator)+os.Getenv("PATH"))
			}
			// Another user than root has to reach the program and the scripts' files.
			return errors.Join(
				os.Chmod(filepath.Dir(here), 0o755),
				os.Chmod(filepath.Dir(e.WorkDir), 0o755),
				os.Chmod(e.WorkDir, 0o777),
			)
		},
	})
}

// status N COMMAND... runs a command like exec and demands that it exit with N.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command [args...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = shellStatus(exit.ProcessState)
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%q: exit status %d, want %d", args[1:], got, want)
	}
}

// shellStatus is how a shell tells of an end: 128 and the signal, if one ended the process.
func shellStatus(s *os.ProcessState) int {
	if ws := s.Sys().(syscall.WaitStatus); ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return s.ExitCode()
}

// complaint is all that a command says when it refuses to work.
var complaint = regexp.MustCompile(`^tjfuzz: error: (.+)\n(tjfuzz: hint: .+\n)+$`)

// refuses N ERROR COMMAND... demands that a command exit with N and say nothing but
// one error that matches the regular expression ERROR, and what to do about it.
func refuses(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: refuses N error-regexp command [args...]")
	}
	status(ts, false, append(args[:1:1], args[2:]...))
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("%q writes to standard output: %q", args[2:], out)
	}
	said := complaint.FindStringSubmatch(ts.ReadFile("stderr"))
	if said == nil {
		ts.Fatalf("%q does not say one error and a hint", args[2:])
	}
	if !regexp.MustCompile(args[1]).MatchString(said[1]) {
		ts.Fatalf("%q: the error does not match %q", args[2:], args[1])
	}
}
