package mine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

// The bounds of what Calls returns.
const (
	maxCalled  = 1024 // words
	callsAtime = 32   // words in one script
)

var functionName = lazyregexp.New(`^[a-z][a-z0-9_]{2,15}$`)

// Calls returns small programs in which strings of a target's file that may be the names
// of functions or commands are called, in the ways that languages have for it: those of
// C and awk, of macro processors, of shells, and of Lisp. Each is given the name of a program, and of a
// file that exists. A language that passes over what it does not know shows in a few runs
// which of its words start processes or open files.
func Calls(strs []string, file string) []string {
	var words []string
	seen := map[string]bool{}
	for _, s := range strs {
		if functionName.MatchString(s) && !seen[s] && len(words) < maxCalled {
			seen[s] = true
			words = append(words, s)
		}
	}
	var out []string
	for _, form := range []string{`%s("%s")`, "%s(`%s')", "%s %s", `(%s "%s")`} {
		for some := range slices.Chunk(words, callsAtime) {
			var script strings.Builder
			for _, w := range some {
				for _, argument := range []string{"ls", file} {
					fmt.Fprintf(&script, form+"\n", w, argument)
				}
			}
			out = append(out, script.String())
		}
	}
	return out
}
