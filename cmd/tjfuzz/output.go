package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/tjfuzz/tjfuzz/enforce/early"
	"github.com/tjfuzz/tjfuzz/internal/atomicfile"
)

// voice is how a command talks to people: on standard error, in lower case.
type voice struct {
	w     io.Writer
	quiet bool
}

func voiceOf(c *cobra.Command, quiet bool) voice { return voice{c.ErrOrStderr(), quiet} }

func (v voice) say(format string, args ...any) {
	if !v.quiet {
		fmt.Fprintf(v.w, "tjfuzz: "+format+"\n", args...)
	}
}

func (v voice) warn(format string, args ...any) {
	fmt.Fprintf(v.w, "tjfuzz: warning: "+format+"\n", args...)
}

func (v voice) hint(format string, args ...any) { v.say("hint: "+format, args...) }

// terminal reports whether a person watches the messages.
func (v voice) terminal() bool {
	f, ok := v.w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// output writes results to a file, atomically, or to standard output for "-".
type output struct {
	path   string
	stdout io.Writer
}

func outputTo(c *cobra.Command, path string) (output, error) {
	if path != "-" {
		if err := atomicfile.Writable(path); err != nil {
			return output{}, hinted(fmt.Errorf("the output cannot be written: %w", err), "choose another place with -o, or - for standard output")
		}
	}
	return output{path, c.OutOrStdout()}, nil
}

func (o output) write(encode func(io.Writer) error) error {
	var b bytes.Buffer
	if err := encode(&b); err != nil {
		return err
	}
	if o.path == "-" {
		_, err := o.stdout.Write(b.Bytes())
		return err
	}
	return atomicfile.Write(o.path, b.Bytes())
}

// stateRoot holds the state directories of all targets that were learned here.
const stateRoot = ".tjfuzz"

// evidenceName is the name of the evidence in a state directory.
const evidenceName = "evidence.json"

// defaultState is where the evidence on a program lies unless --state says otherwise.
func defaultState(program string) string { return filepath.Join(stateRoot, filepath.Base(program)) }

// defaultProfile is where the profile of a program lies unless -o or --policy say otherwise.
func defaultProfile(program string) string { return early.DefaultProfile(program) }

// openNamed opens a file that a command needs and says how to come by it.
func openNamed(path, what, hint string) (*os.File, error) {
	f, err := os.Open(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, hinted(fmt.Errorf("there is no %s at %s", what, path), "%s", hint)
	case err != nil:
		return nil, fmt.Errorf("open the %s: %w", what, err)
	}
	if st, err := f.Stat(); err == nil && st.IsDir() {
		f.Close()
		return nil, fmt.Errorf("open the %s: %s is a directory", what, path)
	}
	return f, nil
}
