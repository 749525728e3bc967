package main

import (
	"fmt"
	"strings"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

var usageWord = lazyregexp.New(`(?i)\busage\b|help\b|\boperand\b|\b(?:missing|few|many|requires|expects?|an) arguments?\b`)

// complained is how a program ends that fails as it was called, with the last line that it writes; empty where it ends well, or
// says how it is used, for learn tries what it lacks then. Of what else a program asks for learn knows nothing, as of the name of
// a user without which root may not start a service.
func complained(r *fuzz.Result, output []byte) string {
	const most = 120
	if r.TimedOut || r.Signal != 0 || r.ExitCode == 0 {
		return ""
	}
	text := strings.TrimSpace(string(output))
	if usageWord.MatchString(text) || !printable(text) {
		return ""
	}
	line := strings.TrimSpace(text[strings.LastIndexAny(text, "\r\n")+1:])
	if runes := []rune(line); len(runes) > most {
		line = string(runes[:most]) + "..."
	}
	if line == "" {
		return ""
	}
	return fmt.Sprintf("exit status %d: %s", r.ExitCode, line)
}
