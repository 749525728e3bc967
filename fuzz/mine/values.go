package mine

import (
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

var (
	// FORMAT is one of the following:   Valid arguments for the --quoting-style option are:   Each CONV symbol may be:
	announcement = lazyregexp.New(`(?:\b[Oo]ne of\b|\b[Vv]alues\b|\b[Aa]rguments\b|\b(?:may|can|must) be\b).*:$`)
	longOption   = lazyregexp.New(`--[a-z][a-z0-9-]+`)
	metavariable = lazyregexp.New(`\b[A-Z][A-Z_-]{2,}\b`)
	// t, numbered     make numbered backups
	listedValue = lazyregexp.New(`^([a-z0-9][\w+-]*(?:, [a-z0-9][\w+-]*)*)(?:\s\s.*)?$`)
)

// valueLists are those of values, a line each, below a sentence that names the option, or what
// the option calls its value.
type valueLists struct {
	found  []valueList
	inside bool
	indent int
	before string // the line before
}

type valueList struct {
	names  []string // of options, and of what they take
	values []string
}

// line reports whether the line is of a list.
func (l *valueLists) line(line string) bool {
	text := strings.TrimSpace(line)
	indent := len(line) - len(strings.TrimLeft(line, " "))
	sentence := l.before + " " + text // as far as it stands on these two lines
	l.before = text
	if names := slices.Concat(longOption.FindAllString(sentence, -1), metavariable.FindAllString(sentence, -1)); announcement.MatchString(text) && len(names) > 0 && len(l.found) < maxValues {
		l.found, l.inside = append(l.found, valueList{names: names}), true
		return false
	}
	if !l.inside {
		return false
	}
	last := &l.found[len(l.found)-1]
	if text == "" && len(last.values) == 0 {
		return false
	}
	if len(last.values) == 0 {
		l.indent = indent
	} else if indent > l.indent { // a description that goes on
		return true
	}
	m := listedValue.FindStringSubmatch(text)
	if m == nil || indent == 0 || indent != l.indent {
		l.inside = false
		return false
	}
	for v := range strings.SplitSeq(m[1], ", ") {
		if len(last.values) < maxValues && !slices.Contains(last.values, v) {
			last.values = append(last.values, v)
		}
	}
	return true
}

// of are the values that lists have for an option, or for what takes a value of a kind. A list of
// one is a sentence about something else.
func (l *valueLists) of(name, kind string) (values []string) {
	for _, f := range l.found {
		// dd(1) has a CONV symbol, and takes CONVS
		of := slices.ContainsFunc(f.names, func(n string) bool { return n == name || n == kind || n+"S" == kind })
		if len(f.values) > 1 && of {
			values = append(values, f.values...)
		}
	}
	return values[:min(len(values), maxValues)]
}

// give makes them the values of options that have no others.
func (l *valueLists) give(options []mutate.Option) {
	for i := range options {
		if o := &options[i]; o.Arity > mutate.NoValue && len(o.Values) == 0 {
			o.Values = l.of(o.Name, o.Kind)
		}
	}
}
