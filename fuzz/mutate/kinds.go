package mutate

import (
	"slices"
	"strings"
)

// kinds are the words in the names of values, and what a value of that kind is like.
// The first that occurs decides, so the telling ones come first.
var kinds = []struct {
	words  string
	values []string
}{
	{"bool boolean", []string{"true", "false"}},
	{"url uri", []string{"http://localhost:1/", "file:///dev/null"}},
	{"dir directory folder root", []string{".", "/tmp"}},
	{"file filename pathname path infile outfile files archive output input script config", []string{Input, "out"}},
	{"command cmd utility program prog executable shell editor pager helper", []string{"cat", "true", "false"}},
	{"port", []string{"0", "65535"}},
	{"host hostname address addr ip server proxy interface", []string{"localhost", "127.0.0.1"}},
	{"user owner login uid", []string{"root", "0"}},
	{"group gid", []string{"root", "0"}},
	{"pid process", []string{"1", "0"}},
	{"fd descriptor", []string{"1", "0"}},
	{"signal sig", []string{"TERM", "0", "SIGUSR1"}},
	{"date", []string{"2026-01-02", "now"}},
	{"mode perm permissions umask", []string{"0644", "u+x", "a-w"}},
	{"bytes size blocksize", []string{"1", "4096", "1M"}},
	{"num number n int integer count cols columns lines level seconds secs sec timeout time duration width depth max min port percent id float", []string{"1", "0", "1000"}},
	{"format fmt", []string{"%s", "%d %p"}},
	{"regex regexp pattern glob re expr", []string{"a", ".*"}},
	{"char character sep separator delim delimiter", []string{",", ":"}},
	{"encoding charset locale lang language", []string{"UTF-8", "C"}},
	{"string text name label prefix suffix title message word tag", []string{"a"}},
}

// Likely are the values that the target is known to accept, else what its name for the
// value suggests, else nothing. The caller may not change them.
func (o *Option) Likely() []string {
	if len(o.Values) > 0 || o.Kind == "" {
		return o.Values
	}
	words := strings.FieldsFunc(strings.ToLower(o.Kind), func(c rune) bool { return c < 'a' || c > 'z' })
	for _, k := range kinds {
		for w := range strings.FieldsSeq(k.words) {
			if slices.Contains(words, w) {
				return k.values
			}
		}
	}
	return nil
}

// Takes reports whether what the target calls the value is of the kind that has the word.
func (o *Option) Takes(kind string) bool {
	words := strings.FieldsFunc(strings.ToLower(o.Kind), func(c rune) bool { return c < 'a' || c > 'z' })
	for _, k := range kinds {
		if of := strings.Fields(k.words); slices.Contains(of, kind) && slices.ContainsFunc(words, func(w string) bool { return slices.Contains(of, w) }) {
			return true
		}
	}
	return false
}
