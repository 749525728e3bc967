// Package mine decides which options, sub-commands, environment variables and
// tokens a program probably understands, from its help text and its file. What
// it finds are candidates: a wrong one costs a run, a missed one may cost a
// syscall, so it guesses generously. It never runs anything. Its main hazard is
// a hostile or huge file: all input is bounded.
package mine

import (
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

// The bounds of what is read and returned.
const (
	maxHelp    = 1 << 20
	maxOptions = 1024
	maxValues  = 32
	maxAbout   = 512
)

var (
	// one spelling: -x, --long, -long, -?
	spelling = lazyregexp.New(`^(--?[A-Za-z0-9?#@][A-Za-z0-9_.+-]*|--?[?#@])`)
	// a value that follows a spelling: =WHEN [=WHEN] [WHEN] <file> {a,b} FILE :0
	joinedValue   = lazyregexp.New(`^\[?=(<[^>]*>|\{[^}]*\}|\[[^\]]*\]|'[^']*'|[^\s,\]]+)\]?`)
	optionalValue = lazyregexp.New(`^\s?\[([A-Za-z<{][^\]]*)\]`)
	spacedValue   = lazyregexp.New(`^ (<[^>]*>(?:\[?=<[^>]*>\]?)?|\{[^}]*\}|[A-Z][A-Z0-9_.:|-]*(?:=\w+)?|\w+)(:|\s|,|\]|\)|\.\.\.|$)`)
	severalValues = lazyregexp.New(`^ ([a-z]\w*) [a-z]\w*( [a-z]\w*)?(\s\s|$)`)      // jq's --arg a v
	furtherValue  = lazyregexp.New(`^ (<[^>]*>|[A-Z][A-Z0-9_-]+|\{\}|;|\+)(?:\s|$)`) // -fprintf FILE FORMAT, -exec COMMAND {} +
	glued         = lazyregexp.New(`^(-[A-Z])([a-z]{3,})$`)                          // perl's -Idirectory
	bundle        = lazyregexp.New(`^-[A-Za-z0-9]{3,}$`)
	usageValue    = lazyregexp.New(`^ ([A-Za-z][A-Za-z0-9_.:-]*)\s*(\]|\.\.\.)`)
	operand       = lazyregexp.New(`^([a-z]+)=([A-Z]+)\s\s`)
	apart         = lazyregexp.New(`^(\s\s|\s?:| or -| / -|$)`)
	between       = lazyregexp.New(`^(,\s*|\s*[|/]\s*|\s+or\s+|\s+)`)
	// always, never, or auto   none (-U), size (-S), time (-t)   across -x, commas -m   [possible values: a, b]
	enumeration = lazyregexp.New(`(?:^\s*(?:[A-Z_]+ (?:is|are|can be) )?|[:\[(]\s*|\b[Oo]ne of\s+|\bvalues? (?:are|is)\s+|\b(?:may|can|must) be\s+(?:one of\s+)?)((?:[a-z0-9][\w.+-]*(?:\s+\([^)]*\)|\s+-\w)?(?:,\s+or\s+|,\s*|\s*\|\s*|\s+or\s+)){2,}[a-z0-9][\w.+-]*)`)
	enumerator  = lazyregexp.New(`(?:^|,|\||\sor\s)\s*(?:or\s+)?([a-z0-9][\w.+-]*)`)
	// "--sparse=always" in the middle of a text
	mentioned     = lazyregexp.New(`(?:^|[\s'"\x60(‘“])(--[a-z][a-z0-9-]+)=([a-z][a-z0-9-]*)\b`)
	defaultValue  = lazyregexp.New(`\b[Dd]efaults?(?: value)?(?: is|:| to|=)?:?\s+["'\x60‘“]?([A-Za-z0-9/][\w./:+-]*?)["'\x60’”]?\s*(?:[)\].,;]|$)`)
	quoted        = lazyregexp.New("['\"`‘“]([A-Za-z0-9][A-Za-z0-9_.-]*)['\"’”]")
	usageOption   = lazyregexp.New(`[\[\s|(](--?[A-Za-z0-9?][A-Za-z0-9_.+-]*)(\[?=(<[^>]*>|\{[^}]*\}|[^\s\]|)]+))?`)
	usageCommands = lazyregexp.New(`^(?i:usage:?\s+)?\S+\s+[{(]([a-z][\w-]*(?:\s*\|\s*[a-z][\w-]*)+)[})]`) // pack {get | put} FILE
	commandWord   = lazyregexp.New(`^[a-z][a-z0-9]*([_-][a-z0-9]+)*$`)
	// create [-f FORMAT] FILE: a command and what it takes
	synopsisOfCommand = lazyregexp.New(`^([a-z][a-z0-9]*(?:[_-][a-z0-9]+)*)(?: ?\[[^\]]| <[^>]| -\w| \(-)[^.]*(?:\.\.\.[^.]*)*$`)
	columns           = lazyregexp.New(`\s{2,}|\t`)
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
	p.operands = append(p.operands, p.directives.give(p.options)...)
	p.lists.give(p.options)
	mentions(p.options, string(text[:min(len(text), maxHelp)]))
	for _, o := range p.taking {
		for _, v := range p.lists.of("", o[1]) {
			p.operands = append(p.operands, o[0]+"="+v)
		}
	}
	return mutate.Table{Options: p.options, Commands: p.commands, Texts: p.operands}.Merge(mutate.Table{})
}

type helpParser struct {
	options  []mutate.Option
	commands []string
	operands []string // of the form name=value, and formats

	directives directives
	lists      valueLists
	taking     [][2]string // operands of the form name=value, and what they call the value

	open      []mutate.Option // the spellings of the entry that the current paragraph describes
	paragraph string          // its description so far
	inList    bool            // below a heading that announces sub-commands
	taken     bool            // which may say what these take
}

func (p *helpParser) line(line string) {
	text := strings.TrimSpace(line)
	indented := strings.HasPrefix(line, " ")
	if p.directives.line(text, indented) {
		p.endOption()
		return
	}
	if p.lists.line(line) {
		p.endOption()
		return
	}
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
		if m := formatOperand.FindStringSubmatch(text); m != nil {
			p.directives.prefix = m[1]
		}
		p.usage(text)
		return
	}
	if m := operand.FindStringSubmatch(text); m != nil && indented && len(p.operands) < maxOptions {
		p.endOption()
		p.operands = append(p.operands, operands(m[1], m[2])...)
		p.taking = append(p.taking, [2]string{m[1], m[2]})
		return
	}
	if p.open != nil && indented {
		p.paragraph += " " + text
		return
	}
	p.endOption()
	if heading := !indented || strings.HasSuffix(text, ":"); heading && strings.Contains(lower, "command") {
		p.inList, p.taken = true, strings.HasSuffix(text, ":")
		return
	}
	if strings.HasSuffix(text, ":") {
		p.taken = false
		p.inList = p.inList && !strings.Contains(lower, "option") && !strings.Contains(lower, "flag")
		return
	}
	if p.inList {
		p.command(text, indented)
	}
}

// operands are what dd(1) takes: "bs=BYTES", with values of that kind.
func operands(name, kind string) []string {
	o := mutate.Option{Arity: mutate.NeedsValue, Kind: kind}
	out := []string{name + "=" + mutate.Input}
	for _, v := range o.Likely() {
		out = append(out, name+"="+v)
	}
	return out
}

// argument is what an option takes.
type argument struct {
	arity  mutate.Arity
	values []string
	kind   string // its name in the text
	apart  bool
	then   []string // words behind the value
}

func (a argument) option(name string) mutate.Option {
	o := mutate.Option{Name: name, Arity: a.arity, Values: a.values, Apart: a.apart && strings.HasPrefix(name, "--"), Then: a.then}
	if a.arity != mutate.NoValue && len(a.values) == 0 {
		o.Kind = a.kind
	}
	return o
}

// entry reads "-w, --width=COLS   set the width". Spellings of one option share what it takes;
// of a row of options with nothing but blanks between, as find(1) has them, each has its own.
func (p *helpParser) entry(text string) {
	rest := text
	arg := argument{arity: mutate.NoValue}
	var own []argument
	row := true
	for {
		name := spelling.FindString(rest)
		if name == "" {
			break
		}
		name = strings.TrimRight(name, ".")
		rest = rest[len(name):]
		p.open = append(p.open, mutate.Option{Name: name})
		own = append(own, argument{arity: mutate.NoValue})
		if a, n := value(rest); n > 0 {
			own[len(own)-1] = a
			if len(a.values) == 0 {
				a.values = arg.values
			}
			arg, rest = a, rest[n:]
		}
		gap := between.FindString(rest)
		if gap == "" || !strings.HasPrefix(rest[len(gap):], "-") {
			break
		}
		row = row && strings.TrimSpace(gap) == ""
		rest = rest[len(gap):]
	}
	for i := range p.open {
		a := arg
		if row && len(p.open) > 2 {
			a = own[i]
		}
		p.open[i] = a.option(p.open[i].Name)
	}
	if !row {
		mutate.Spellings(p.open)
	}
	if m := glued.FindStringSubmatch(text[:len(text)-len(rest)]); m != nil && arg.arity == mutate.NoValue {
		p.options = append(p.options, mutate.Option{Name: m[1], Arity: mutate.MayHaveValue, Kind: m[2]})
	}
	p.paragraph = rest
}

// value reads what follows a spelling. n is its length, 0 for no value.
func value(s string) (a argument, n int) {
	if s == "=" || strings.HasPrefix(s, "=,") || strings.HasPrefix(s, "= ") { // systemd's --lines=
		return argument{arity: mutate.NeedsValue}, 1
	}
	if m := joinedValue.FindStringSubmatch(s); m != nil {
		a = argument{arity: mutate.NeedsValue, values: enumerated(m[1]), kind: placeholder(m[1])}
		if s[0] == '[' {
			a.arity = mutate.MayHaveValue
		}
		switch v := strings.TrimRight(strings.Trim(m[1], "'\""), ":"); {
		case v == "true" || v == "false": // kubectl's --watch=false: a flag with its default
			a.arity, a.values = mutate.MayHaveValue, []string{"true", "false"}
		case strings.HasPrefix(m[1], "'") && v != "":
			a.values = cleanValues([]string{v})
		}
		return a, len(m[0])
	}
	if m := optionalValue.FindStringSubmatch(s); m != nil {
		return argument{arity: mutate.MayHaveValue, values: enumerated(m[1]), kind: placeholder(m[1])}, len(m[0])
	}
	if m := severalValues.FindStringSubmatch(s); m != nil {
		a = argument{arity: mutate.NeedsValue, kind: m[1], apart: true}
		for _, kind := range strings.Fields(m[0])[1:] {
			a.then = append(a.then, standIn(kind))
		}
		return a, len(m[0]) - len(m[3])
	}
	if m := spacedValue.FindStringSubmatch(s); m != nil {
		// A lower-case word is a value only where the description stands apart from it.
		named := strings.ContainsAny(m[1][:1], "<{") || m[1] == strings.ToUpper(m[1]) || strings.Contains(m[1], "=")
		if named || apart.MatchString(s[1+len(m[1]):]) {
			a = argument{arity: mutate.NeedsValue, values: enumerated(m[1]), kind: placeholder(m[1]), apart: true}
			n = 1 + len(m[1])
			for len(a.then) < 3 && named {
				more := furtherValue.FindStringSubmatch(s[n:])
				if more == nil {
					break
				}
				w := more[1]
				if strings.ContainsAny(w[:1], "<") || w[0] >= 'A' && w[0] <= 'Z' {
					w = standIn(w)
				}
				a.then, n = append(a.then, w), n+1+len(more[1])
			}
			return a, n
		}
	}
	return argument{arity: mutate.NoValue}, 0
}

// placeholder is a name for a value without its brackets.
func placeholder(s string) string { return strings.Trim(s, "{}<>[]()='\".:") }

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
		if v != "" && !strings.ContainsAny(v, "[]<>() ") && v[0] != ':' && !slices.Contains(out, v) && len(out) < maxValues {
			out = append(out, v)
		}
	}
	return out
}

// endOption files the open entry. What its description enumerates are the values of
// an option that takes one: two quoted words or more, "WHEN is 'always' or 'never'",
// else a list, "none (-U), size (-S), time (-t)"; else what it names as the default.
func (p *helpParser) endOption() {
	var words []string
	for _, m := range quoted.FindAllStringSubmatch(p.paragraph, -1) {
		words = append(words, m[1])
	}
	if words = cleanValues(words); len(words) < 2 {
		words = listed(p.paragraph)
	}
	if m := defaultValue.FindStringSubmatch(p.paragraph); m != nil && len(words) == 0 {
		words = []string{m[1]}
	}
	for _, o := range p.open {
		if o.Arity > mutate.NoValue && len(o.Values) == 0 && len(words) > 0 {
			o.Values, o.Kind = words, ""
		}
		o.About = strings.TrimSpace(p.paragraph[:min(len(p.paragraph), maxAbout)])
		p.options = append(p.options, o)
	}
	p.open, p.paragraph = nil, ""
}

// mentions gives options the values with which the text has them elsewhere, where not even what it calls
// the value tells of any.
func mentions(options []mutate.Option, text string) {
	for _, m := range mentioned.FindAllStringSubmatch(text, -1) {
		for i := range options {
			o := &options[i]
			if o.Arity > mutate.NoValue && (len(o.Values) > 0 || len(o.Likely()) == 0) && o.Name == m[1] && len(o.Values) < maxValues && !slices.Contains(o.Values, m[2]) && !strings.EqualFold(o.Kind, m[2]) {
				o.Values = append(o.Values, m[2])
			}
		}
	}
}

// listed are the words of an enumeration in a description.
func listed(text string) []string {
	m := enumeration.FindStringSubmatch(text)
	if m == nil {
		return nil
	}
	var out []string
	for _, w := range enumerator.FindAllStringSubmatch(m[1], -1) {
		out = append(out, w[1])
	}
	return cleanValues(out)
}

// usage reads "usage: git [-v | --version] [-C <path>] [--exec-path[=<path>]]" and
// "ssh [-46AaC] [-b bind_address]".
func (p *helpParser) usage(text string) {
	if m := usageCommands.FindStringSubmatch(text); m != nil && len(p.commands) < maxOptions {
		for c := range strings.SplitSeq(m[1], "|") {
			p.commands = append(p.commands, strings.TrimSpace(c))
		}
	}
	for _, m := range usageOption.FindAllStringSubmatchIndex(text, -1) {
		name, rest := text[m[2]:m[3]], text[m[3]:]
		a, n := value(rest)
		if v := usageValue.FindStringSubmatch(rest); n == 0 && v != nil {
			a, n = argument{arity: mutate.NeedsValue, kind: v[1], apart: true}, len(v[0])
		}
		if n == 0 && m[3] < len(text) && strings.ContainsRune("]|", rune(text[m[3]])) {
			p.options = append(p.options, bundled(name)...)
		}
		p.options = append(p.options, a.option(name))
	}
}

// bundled are the short options in "-46AaC". A word such as "-noout" is not a bundle:
// it has one case, and no order.
func bundled(name string) []mutate.Option {
	letters := strings.TrimPrefix(name, "-")
	mixed := strings.ToLower(letters) != letters && strings.ToUpper(letters) != letters || strings.ContainsAny(letters, "0123456789")
	if !bundle.MatchString(name) || !mixed && !slices.IsSorted([]byte(letters)) {
		return nil
	}
	var out []mutate.Option
	for i := range letters {
		out = append(out, mutate.Option{Name: "-" + letters[i:i+1], Arity: mutate.NoValue})
	}
	return out
}

// command reads "clone   Clone a repository" or a row of a table of names.
func (p *helpParser) command(text string, indented bool) {
	cells := columns.Split(text, -1)
	if m := synopsisOfCommand.FindStringSubmatch(text); m != nil && indented && p.taken {
		cells = m[1:]
	}
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
