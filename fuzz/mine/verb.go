package mine

import (
	"cmp"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

// Of lists of words that a file has one after the other: how many words make a list, and how many are taken of all.
const (
	fewestVerbs = 6
	maxVerbs    = 128
)

var verb = lazyregexp.New(`^(?:[A-Z]{3,12}|[a-z]{3,8}(?:-[a-z]{2,8}){0,3}) ?$`)

// Verbs are words that are probably commands of a protocol of lines, as USER and "put ": such a table lies in the strings of
// a program as some words of one case in a row. The longest lists come first, those of capitals before others, which may be of
// anything. A blank behind a word says that more follows it.
func Verbs(strs []string) (words []string) {
	var lists [][]string
	capital := func(s string) bool { return s[0] < 'a' }
	for i := 0; i < len(strs); {
		from := i
		for i < len(strs) && verb.MatchString(strs[i]) && capital(strs[i]) == capital(strs[from]) {
			i++
		}
		if list := strs[from:i]; len(list) >= fewestVerbs && !symbols(list) {
			lists = append(lists, list)
		}
		i = max(i, from+1)
	}
	slices.SortStableFunc(lists, func(a, b []string) int {
		if capital(a[0]) != capital(b[0]) {
			if capital(a[0]) {
				return -1
			}
			return 1
		}
		return cmp.Compare(len(b), len(a))
	})
	for _, w := range slices.Concat(lists...) {
		if len(words) < maxVerbs && !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	return words
}

// symbols reports whether words begin as the names of errors and signals do.
func symbols(list []string) bool {
	for _, prefix := range []string{"E", "SIG"} {
		n := 0
		for _, w := range list {
			if strings.HasPrefix(w, prefix) {
				n++
			}
		}
		if 2*n > len(list) {
			return true
		}
	}
	return false
}
