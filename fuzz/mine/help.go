// Package mine decides which options, sub-commands, environment variables and
// tokens a program probably understands, from its help text and its file. What
// it finds are candidates: a wrong one costs a run, a missed one may cost a
// syscall, so it guesses generously. It never runs anything. Its main hazard is
// a hostile or huge file: all input is bounded.
package mine

import (
	"regexp"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// The bounds of what is read and returned.
const (
	maxHelp    = 1 << 20
	maxOptions = 1024
	maxValues  = 32
)

var (
	// one spelling: -x, --long, -long, -?
	spelling = regexp.MustCompile(`^(--?[A-Za-z0-9?#@][A-Za-z0-9_.+-]*|--?[?#@])`)
	// a value that follows a spelling: =WHEN [=WHEN] [WHEN] <file> {a,b} FILE :0
	joinedValue   = regexp.MustCompile(`^\[?=(<[^>]*>|\{[^}]*\}|\[[^\]]*\]|[^\s,\]]+)\]?`)
	optionalValue = regexp.MustCompile(`^\s?\[([A-Za-z<{][^\]]*)\]`)
	spacedValue   = regexp.MustCompile(`^ (<[^>]*>|\{[^}]*\}|[A-Z][A-Z0-9_.:|-]*(?:=\w+)?|\w+)(:|\s|,|\]|\)|\.\.\.|$)`)
	apart         = regexp.MustCompile(`^(\s\s|\s?:| or -|$)`)
	between       = regexp.MustCompile(`^(,\s*|\s*\|\s*|\s+or\s+|/|\s+)`)
	quoted        = regexp.MustCompile("['\"`‘“]([A-Za-z0-9][A-Za-z0-9_.-]*)['\"’”]")
	usageOption   = regexp.MustCompile(`[\[\s|(](--?[A-Za-z0-9?][A-Za-z0-9_.+-]*)(\[?=(<[^>]*>|\{[^}]*\}|[^\s\]|)]+))?`)
	commandWord   = regexp.MustCompile(`^[a-z][a-z0-9]*([_-][a-z0-9]+)*$`)
	columns       = regexp.MustCompile(`\s{2,}|\t`)
)

// Help reads the text that a program prints for --help into a table. It knows
// the forms of getopt, argp, argparse, Go's flag package, clap, openssl, git
// and busybox. Text that has none of them gives an empty table.
func Help(text []byte) mutate.Table {
	p := helpParser{}
	for line := range strings.SplitSeq(strings.ReplaceAll(string(text[:min(len(text), maxHelp)]), "\x00", " "), "\n") {
		p.line(strings.ReplaceAll(strings.TrimRight(line, " \t\r"), "\t", "    "))
	}
	p.endOption()
	if len(p.options) > maxOptions {
		p.options = p.options[:maxOptions]
	}
	return mutate.Table{Options: p.options, Commands: p.commands}.Merge(mutate.Table{})
}

type helpParser struct {
	options  []mutate.Option
	commands []string

	open      []mutate.Option // the spellings of the entry that the current paragraph describes
	paragraph string          // its description so far
	inList    bool            // below a heading that announces sub-commands
}

func (p *helpParser) line(line string) {
	text := strings.TrimSpace(line)
	indented := strings.HasPrefix(line, " ")
	if strings.HasPrefix(text, "-") {
		p.endOption()
		p.inList = false
		p.entry(text)
		return
	}
	if text == "" {
		p.endOption()
		return
	}
	lower := strings.ToLower(text)
	if strings.HasPrefix(lower, "usage") || indented && strings.HasPrefix(text, "[") {
		p.usage(text)
		return
	}
	if p.open != nil && indented {
		p.paragraph += " " + text
		return
	}
	p.endOption()
	if heading := !indented || strings.HasSuffix(text, ":"); heading && strings.Contains(lower, "command") {
		p.inList = true
		return
	}
	if strings.HasSuffix(text, ":") {
		p.inList = p.inList && !strings.Contains(lower, "option") && !strings.Contains(lower, "flag")
		return
	}
	if p.inList {
		p.command(text, indented)
	}
}

// entry reads "-w, --width=COLS   set the width".
func (p *helpParser) entry(text string) {
	rest := text
	arity, values := mutate.NoValue, []string(nil)
	for {
		name := spelling.FindString(rest)
		if name == "" {
			break
		}
		name = strings.TrimRight(name, ".")
		rest = rest[len(name):]
		p.open = append(p.open, mutate.Option{Name: name})
		if a, v, n := value(rest); n > 0 {
			arity, values, rest = a, append(values, v...), rest[n:]
		}
		gap := between.FindString(rest)
		if gap == "" || !strings.HasPrefix(rest[len(gap):], "-") {
			break
		}
		rest = rest[len(gap):]
	}
	for i := range p.open {
		p.open[i].Arity, p.open[i].Values = arity, values
	}
	p.paragraph = rest
}

// value reads what follows a spelling. n is its length, 0 for no value.
func value(s string) (arity mutate.Arity, values []string, n int) {
	if m := joinedValue.FindStringSubmatch(s); m != nil {
		arity = mutate.NeedsValue
		if s[0] == '[' {
			arity = mutate.MayHaveValue
		}
		return arity, enumerated(m[1]), len(m[0])
	}
	if m := optionalValue.FindStringSubmatch(s); m != nil {
		return mutate.MayHaveValue, enumerated(m[1]), len(m[0])
	}
	if m := spacedValue.FindStringSubmatch(s); m != nil {
		// A lower-case word is a value only where the description stands apart from it.
		placeholder := strings.ContainsAny(m[1][:1], "<{") || m[1] == strings.ToUpper(m[1]) || strings.Contains(m[1], "=")
		if placeholder || apart.MatchString(s[1+len(m[1]):]) {
			return mutate.NeedsValue, enumerated(m[1]), 1 + len(m[1])
		}
	}
	return mutate.NoValue, nil, 0
}

// enumerated reads {a,b}, a|b and <a|b>.
func enumerated(s string) []string {
	braces := strings.HasPrefix(s, "{")
	s = strings.Trim(s, "{}<>[]()")
	var out []string
	switch {
	case strings.Contains(s, "|"):
		out = strings.Split(s, "|")
	case braces:
		out = strings.Split(s, ",")
	}
	return cleanValues(out)
}

func cleanValues(in []string) []string {
	var out []string
	for _, v := range in {
		v = strings.TrimSpace(v)
		if v != "" && !slices.Contains(out, v) && len(out) < maxValues {
			out = append(out, v)
		}
	}
	return out
}

// endOption files the open entry. Two quoted words or more in the description of
// an option that takes a value are its values: "WHEN is 'always' or 'never'".
func (p *helpParser) endOption() {
	var words []string
	for _, m := range quoted.FindAllStringSubmatch(p.paragraph, -1) {
		words = append(words, m[1])
	}
	words = cleanValues(words)
	for _, o := range p.open {
		if o.Arity > mutate.NoValue && len(o.Values) == 0 && len(words) >= 2 {
			o.Values = words
		}
		p.options = append(p.options, o)
	}
	p.open, p.paragraph = nil, ""
}

// usage reads "usage: git [-v | --version] [-C <path>] [--exec-path[=<path>]]".
func (p *helpParser) usage(text string) {
	for _, m := range usageOption.FindAllStringSubmatchIndex(text, -1) {
		o := mutate.Option{Name: text[m[2]:m[3]], Arity: mutate.NoValue}
		if a, v, n := value(text[m[3]:]); n > 0 {
			o.Arity, o.Values = a, v
		}
		p.options = append(p.options, o)
	}
}

// command reads "clone   Clone a repository" or a row of a table of names.
func (p *helpParser) command(text string, indented bool) {
	cells := columns.Split(text, -1)
	if indented && len(cells) == 2 && !commandWord.MatchString(cells[1]) {
		cells = cells[:1]
	}
	for _, c := range cells {
		if !commandWord.MatchString(c) {
			return
		}
	}
	if len(p.commands)+len(cells) <= maxOptions {
		p.commands = append(p.commands, cells...)
	}
}
