// Gofuzz turns the Fuzz functions of github.com/dvyukov/go-fuzz-corpus into
// ordinary Linux programs: it gives one of them the bytes of a file or of
// standard input. It decides which functions are targets and what their results
// mean as an exit code; it knows nothing of fuzzing.
//
//	gofuzz -list
//	gofuzz NAME [FILE]
//
// Its hazard is that all packages are linked into one program, and so the init
// functions of all of them run before any target does. The syscalls of that
// start are the same for every NAME.
package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"runtime/debug"
	"slices"
)

// The exit codes. A panic of the Fuzz function ends the program by SIGABRT.
const (
	exitAccepted = 0 // the function returned more than 0
	exitRejected = 1 // it returned 0 or less; a few functions never accept anything
	exitUsage    = 2
	exitInput    = 3 // the input could not be read
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	all := targets()
	if len(args) == 1 && args[0] == "-list" {
		for _, name := range slices.Sorted(maps.Keys(all)) {
			fmt.Fprintln(stdout, name)
		}
		return 0
	}
	if len(args) < 1 || len(args) > 2 {
		fmt.Fprintln(stderr, "usage: gofuzz -list | NAME [FILE]")
		return exitUsage
	}
	fuzz, ok := all[args[0]]
	if !ok {
		fmt.Fprintf(stderr, "gofuzz: no target %q; gofuzz -list names them\n", args[0])
		return exitUsage
	}

	var data []byte
	var err error
	if len(args) == 2 {
		data, err = os.ReadFile(args[1])
	} else {
		data, err = io.ReadAll(stdin)
	}
	if err != nil {
		fmt.Fprintf(stderr, "gofuzz: read input: %v\n", err)
		return exitInput
	}

	// Without this a panic exits with 2, and a fuzzer that looks for signals
	// takes it for an ordinary failure.
	debug.SetTraceback("crash")
	if fuzz(data) > 0 {
		return exitAccepted
	}
	return exitRejected
}
