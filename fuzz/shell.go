package fuzz

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// Command is the scenario as one line for a POSIX shell. prefix is the path,
// without suffix, under which its input and files are stored: the input is in
// prefix.input, the files are in prefix.files.
func (s *Scenario) Command(prefix string) string {
	input := prefix + ".input"
	program := s.Argv[0]
	var out strings.Builder
	moved := len(s.Files) > 0 || len(s.Before) > 0
	if moved {
		// The files must lie in the working directory; what was relative to the
		// user's own directory is reached through OLDPWD, which cd sets.
		out.WriteString("(cd " + Quote(prefix+".files") + " && ")
		input = filepath.Join("..", filepath.Base(input))
	}
	if moved && strings.Contains(program, "/") && !filepath.IsAbs(program) {
		program = `"$OLDPWD"/` + Quote(program)
	} else {
		program = Quote(program)
	}
	for _, step := range s.Before {
		words := append(environment(step.Env), program)
		for _, w := range step.Argv[1:] {
			words = append(words, Quote(w))
		}
		from := "/dev/null"
		if step.Stdin != "" {
			from = Quote(step.Stdin)
		}
		out.WriteString(strings.Join(words, " ") + " < " + from + "; ")
	}
	words := environment(s.Env)
	if uid, gid, other := s.World.User.IDs(); other {
		words = append(words, "setpriv", fmt.Sprintf("--reuid=%d", uid), fmt.Sprintf("--regid=%d", gid), "--clear-groups")
	}
	if len(s.World.Limits) > 0 {
		words = append(words, "prlimit")
		for _, l := range s.World.Limits {
			words = append(words, "--"+l.String())
		}
	}
	words = append(words, program)
	for _, w := range s.Argv[1:] {
		words = append(words, Quote(strings.ReplaceAll(w, mutate.Input, input)))
	}
	if s.Stdin == StdinPipe {
		out.WriteString("cat " + Quote(input) + " | ")
	}
	out.WriteString(strings.Join(words, " "))
	switch s.Stdin {
	case StdinNull:
		out.WriteString(" < /dev/null")
	case StdinFile:
		mode := " < "
		if s.World.Stdout == OutputInput || s.World.Stderr == OutputInput {
			mode = " <> "
		}
		out.WriteString(mode + Quote(input))
	case StdinDirectory:
		out.WriteString(" < .")
	case StdinClosed:
		out.WriteString(" <&-")
	}
	// What is piped comes last, for all else redirects the program's own descriptors.
	for _, o := range []struct {
		fd   string
		kind OutputKind
	}{{"2", s.World.Stderr}, {"", s.World.Stdout}} {
		if o.kind == OutputInput && s.Stdin == StdinFile {
			out.WriteString(" " + o.fd + ">&0")
		}
		out.WriteString(redirect(o.fd, o.kind))
	}
	switch s.World.Stdout {
	case OutputPipe:
		out.WriteString(" | cat")
	case OutputBroken:
		out.WriteString(" | true")
	}
	if moved {
		out.WriteString(")")
	}
	if notes := s.notes(); len(notes) > 0 {
		out.WriteString(" # with " + strings.Join(notes, ", "))
	}
	return out.String()
}

// environment is how a shell changes it for a command.
func environment(changes []string) []string {
	if len(changes) == 0 {
		return nil
	}
	words := []string{"env"}
	for _, e := range changes { // env(1) wants its options first
		if !strings.Contains(e, "=") {
			words = append(words, "-u", Quote(e))
		}
	}
	for _, e := range changes {
		if strings.Contains(e, "=") {
			words = append(words, Quote(e))
		}
	}
	return words
}

// redirect is how a shell makes an output what it is here.
func redirect(fd string, k OutputKind) string {
	switch k {
	case OutputNull:
		return " " + fd + "> /dev/null"
	case OutputFull:
		return " " + fd + "> /dev/full"
	case OutputClosed:
		return " " + fd + ">&-"
	}
	return ""
}

// notes say what no shell can be told in a line.
func (s *Scenario) notes() []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	w := &s.World
	switch s.Stdin {
	case StdinTerminal:
		if s.Types() && len(s.Input) == 0 {
			add("a terminal as standard input")
		} else {
			add("the input typed at a terminal")
		}
	case StdinSocket:
		add("the input from a socket")
	}
	for _, o := range []struct {
		name string
		kind OutputKind
	}{{"standard output", w.Stdout}, {"standard error", w.Stderr}} {
		switch {
		case o.kind == OutputTerminal:
			add("a terminal as %s", o.name)
		case o.kind == OutputBusy:
			add("a full pipe that does not block as %s", o.name)
		case o.kind == OutputPipe && o.name == "standard error":
			add("a pipe as %s", o.name)
		case o.kind == OutputBroken && o.name == "standard error":
			add("a pipe that nobody reads as %s", o.name)
		}
	}
	if w.Input != FileRegular {
		add("the input file %s", w.Input.note())
	}
	for _, f := range s.Files {
		if f.Kind != FileRegular {
			add("%q %s", f.Name, f.Kind.note())
		}
	}
	for _, f := range w.Faults {
		add("%s", f.note())
	}
	switch w.Interruption.Moment {
	case MomentRead:
		add("%s when it reads", unix.SignalName(w.Interruption.Signal))
	case MomentWrite:
		add("%s when it writes", unix.SignalName(w.Interruption.Signal))
	case MomentLimit:
		add("%s when its time is up", unix.SignalName(w.Interruption.Signal))
	}
	if t, ok := w.Clock.TimeOfDay(); ok {
		add("the time of day %s UTC", t.UTC().Format(time.DateTime))
	}
	if d, ok := w.Clock.Uptime(); ok {
		add("a machine that is up for %v", d)
	}
	if w.Times != TimesMade {
		add("%s", w.Times.note())
	}
	if w.Peers != (Peers{}) {
		add("peers: %v", w.Peers)
	}
	if w.Call != (Call{}) {
		add("%s", w.Call.note())
	}
	if w.Kernel != KernelHost {
		add("the syscalls of Linux %v only", w.Kernel)
	}
	const told = 4
	acts := together(s.Acts)
	if n := len(acts); n > 1 && isKilled(acts) { // which is but the quickest end
		acts = acts[:n-1]
	}
	for i, a := range acts {
		if i == told {
			add("%d more messages, keys or signals", len(acts)-told)
			break
		}
		add("%v", a)
	}
	return out
}

// note says what times the stored files are to get.
func (t FileTimes) note() string {
	return [fileTimes]string{"the files as they are", "the files of 1970", "the files of 2300", "each file an hour newer than the one before",
		"each file an hour older than the one before"}[t]
}

// note says what is to be made of a stored file.
func (k FileKind) note() string {
	return [fileKinds]string{"as it is", "missing", "a directory", "a FIFO", "a socket", "of mode 000", "of mode 444",
		"truncated to 1 TiB", "a symbolic link to what is stored", "a symbolic link to itself", "a symbolic link to nothing",
		"a directory of 1500 empty files", "24 directories with names of 200 bytes, one in the other"}[k]
}

// plain are the bytes that no POSIX shell treats specially inside a word.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%^"

// Quote writes s as one word for a POSIX shell. Control characters stay as they are
// inside quotes: the word is exact, not pretty.
func Quote(s string) string {
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
