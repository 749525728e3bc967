// Package lazyregexp decides when the regular expressions of package variables are
// compiled: at their first use, for all of them together take longer than many a command
// does, and most commands use none. It knows no expression. Its main hazard is one with
// an error, which nobody would see before its use: so tests compile them at once.
package lazyregexp

import (
	"os"
	"regexp"
	"strings"
	"sync"
)

// Regexp is a regular expression that is compiled when it is used. Its methods are those
// of regexp.Regexp.
type Regexp struct {
	expression string
	once       sync.Once
	regexp     *regexp.Regexp
}

// testing says that this is a binary of go test, by its name as the package of the same
// name in the Go tree does.
var testing = len(os.Args) > 0 && strings.HasSuffix(os.Args[0], ".test")

// New is a regular expression. One with an error panics at its first use, in tests here.
func New(expression string) *Regexp {
	r := &Regexp{expression: expression}
	if testing {
		r.compiled()
	}
	return r
}

func (r *Regexp) compiled() *regexp.Regexp {
	r.once.Do(func() { r.regexp = regexp.MustCompile(r.expression) })
	return r.regexp
}

func (r *Regexp) MatchString(s string) bool            { return r.compiled().MatchString(s) }
func (r *Regexp) Match(b []byte) bool                  { return r.compiled().Match(b) }
func (r *Regexp) FindIndex(b []byte) []int             { return r.compiled().FindIndex(b) }
func (r *Regexp) FindStringIndex(s string) []int       { return r.compiled().FindStringIndex(s) }
func (r *Regexp) FindString(s string) string           { return r.compiled().FindString(s) }
func (r *Regexp) FindStringSubmatch(s string) []string { return r.compiled().FindStringSubmatch(s) }
func (r *Regexp) FindStringSubmatchIndex(s string) []int {
	return r.compiled().FindStringSubmatchIndex(s)
}
func (r *Regexp) FindAllString(s string, n int) []string { return r.compiled().FindAllString(s, n) }
func (r *Regexp) FindAllStringSubmatch(s string, n int) [][]string {
	return r.compiled().FindAllStringSubmatch(s, n)
}
func (r *Regexp) FindAllStringSubmatchIndex(s string, n int) [][]int {
	return r.compiled().FindAllStringSubmatchIndex(s, n)
}
func (r *Regexp) ReplaceAllString(s, by string) string { return r.compiled().ReplaceAllString(s, by) }
func (r *Regexp) ReplaceAllStringFunc(s string, by func(string) string) string {
	return r.compiled().ReplaceAllStringFunc(s, by)
}
func (r *Regexp) Split(s string, n int) []string { return r.compiled().Split(s, n) }
