package mine

import (
	"strings"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

var (
	directive     = lazyregexp.New(`^(%(?:\{\w+\}|[A-Za-z]{1,2}))\s\s+\S`) // "%m   mount point"
	formatOperand = lazyregexp.New(`\[([+])FORMAT\]`)                      // date's
)

// directives are what the texts of a program say that a format may hold. Each table of
// them is one list, for what stands in two is often of two kinds of formats.
type directives struct {
	tables [][]string
	inside bool
	prefix string // of an operand that is a format; empty where there is none
}

// line reports whether the line is one of a table. Blank lines, and those that are
// indented, do not end one.
func (d *directives) line(text string, indented bool) bool {
	m := directive.FindStringSubmatch(text)
	switch {
	case m == nil:
		d.inside = d.inside && (text == "" || indented)
		return false
	case !d.inside:
		d.tables = append(d.tables, nil)
		d.inside = true
	}
	if last := &d.tables[len(d.tables)-1]; len(*last) < maxValues*2 {
		*last = append(*last, m[1])
	}
	return true
}

// formats are formats to try: all directives of a table at once, for one run shows what
// each of them needs. A table of one or two may be a sentence about something else.
func (d *directives) formats() []string {
	var out []string
	for _, t := range d.tables {
		if len(t) > 2 && len(out) < maxValues {
			out = append(out, strings.Join(t, " "))
		}
	}
	return out
}

// give makes formats the values of the options that take one, and returns operands.
func (d *directives) give(options []mutate.Option) (operands []string) {
	formats := d.formats()
	if len(formats) == 0 {
		return nil
	}
	for i := range options {
		if o := &options[i]; o.Arity > mutate.NoValue && len(o.Values) == 0 && o.Takes("format") {
			o.Values = formats
		}
	}
	if d.prefix != "" {
		for _, f := range formats {
			operands = append(operands, d.prefix+f)
		}
	}
	return operands
}
