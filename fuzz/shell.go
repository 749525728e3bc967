package fuzz

import (
	"path/filepath"
	"strings"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// Command is the scenario as one line for a POSIX shell. prefix is the path,
// without suffix, under which its input and files are stored: the input is in
// prefix.input, the files are in prefix.files.
func (s *Scenario) Command(prefix string) string {
	input := prefix + ".input"
	program := s.Argv[0]
	var out strings.Builder
	if len(s.Files) > 0 {
		// The files must lie in the working directory; what was relative to the
		// user's own directory is reached through OLDPWD, which cd sets.
		out.WriteString("(cd " + Quote(prefix+".files") + " && ")
		input = filepath.Join("..", filepath.Base(input))
	}
	words := make([]string, 0, len(s.Argv)+len(s.Env)+2)
	if len(s.Env) > 0 {
		words = append(words, "env")
		for _, e := range s.Env { // env(1) wants its options first
			if !strings.Contains(e, "=") {
				words = append(words, "-u", Quote(e))
			}
		}
		for _, e := range s.Env {
			if strings.Contains(e, "=") {
				words = append(words, Quote(e))
			}
		}
	}
	if len(s.Files) > 0 && strings.Contains(program, "/") && !filepath.IsAbs(program) {
		words = append(words, `"$OLDPWD"/`+Quote(program))
	} else {
		words = append(words, Quote(program))
	}
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
		out.WriteString(" < " + Quote(input))
	}
	if len(s.Files) > 0 {
		out.WriteString(")")
	}
	return out.String()
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
