package mine

import (
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

// Questions is an input that asks programs which read commands for their help, in the
// ways that such programs know.
const Questions = "help\n?\n.help\n\\?\n:help\n"

// The bounds of what Script returns.
const (
	maxScripts = 256
	maxUses    = 64 // lines of one script
	fewest     = 4  // lines that make a list of commands
)

// commandLine is a command with what it takes, and from a column on what it does:
// ".backup ?DB? FILE        Backup DB (default "main") to FILE".
var commandLine = lazyregexp.New(`^(\s*)([.\\:!/]?)([a-z][\w-]*)((?: [^\s]+)*)\s{2,}(\S)`)

// command is what a program reads from its input, as its help describes it.
type command struct {
	name   string
	takes  []mutate.Option // one for each argument: its values, or its kind
	marked bool            // begins with a sign, as options do
	indent int
	column int    // where the description begins
	more   []byte // the lines below, up to the next command
}

// Script returns a small program for each command that a target reads from its input, as
// sqlite3 and gdb do: the command alone, and with its options and arguments, file and dir
// being the names of a file and a directory that exist. It reads what the target answered to Questions, and strings of
// its file; in those, only commands that begin with a sign, for a list of words that are
// explained may be of anything. Commands are known by their lists: some lines with the same
// margin, their explanations one below the other.
func Script(answer []byte, strs []string, file, dir string) []string {
	all := append(list(strings.Split(string(answer), "\n"), true), list(strs, false)...)
	seen := make(map[string]bool)
	var out []string
	for i := range all {
		c := &all[i]
		if !seen[c.name] && len(out) < maxScripts {
			seen[c.name] = true
			out = append(out, c.script(file, dir))
		}
	}
	return out
}

// list reads lines, and drops what stands in no list.
func list(lines []string, bare bool) []command {
	type place struct{ indent, column int }
	var all []command
	members := make(map[place]int)
	for _, line := range lines {
		c, ok := parseCommand(strings.TrimRight(line, " \r"))
		switch {
		case ok && (c.marked || bare):
			all = append(all, c)
			members[place{c.indent, c.column}]++
		case len(all) > 0 && strings.HasPrefix(line, " "):
			last := &all[len(all)-1]
			last.more = append(append(last.more, line...), '\n')
		}
	}
	return slices.DeleteFunc(all, func(c command) bool { return members[place{c.indent, c.column}] < fewest })
}

func parseCommand(line string) (command, bool) {
	m := commandLine.FindStringSubmatchIndex(line)
	if m == nil {
		return command{}, false
	}
	group := func(i int) string { return line[m[2*i]:m[2*i+1]] }
	c := command{name: group(2) + group(3), marked: group(2) != "", indent: len(group(1)), column: m[10]}
	for _, word := range strings.Fields(group(4)) {
		o, ok := takes(word)
		if !ok {
			return command{}, false
		}
		if o.Arity == mutate.NeedsValue {
			c.takes = append(c.takes, o)
		}
	}
	return c, true
}

// takes reads a word behind a command: FILE, <file>, [file], ?FILE?, on|off; and the dots
// that say that there may be more.
func takes(word string) (mutate.Option, bool) {
	bare := strings.Trim(strings.TrimSuffix(word, "..."), "[]<>?{}()")
	o := mutate.Option{Arity: mutate.NeedsValue}
	switch {
	case bare == "":
		return mutate.Option{Arity: mutate.NoValue}, true
	case strings.Contains(bare, "|"):
		o.Values = enumerated(bare)
	case strings.HasPrefix(bare, "-"):
		o.Values = []string{bare}
	case bare != word || strings.ToUpper(bare) == bare && strings.ContainsFunc(bare, func(c rune) bool { return c >= 'A' && c <= 'Z' }):
		o.Kind = bare
	default: // a sentence
		return o, false
	}
	return o, true
}

// script is the command in some of its uses, a line each.
func (c *command) script(file, dir string) string {
	var out strings.Builder
	uses := 0
	use := func(words ...string) {
		if uses++; uses > maxUses {
			return
		}
		line := strings.Join(append([]string{c.name}, words...), " ")
		out.WriteString(strings.ReplaceAll(line, mutate.Input, file) + "\n")
	}
	use()
	most := 0
	values := make([][]string, len(c.takes))
	for i := range c.takes {
		if values[i] = c.takes[i].Likely(); len(values[i]) == 0 {
			values[i] = []string{"a"}
		}
		if slices.Contains(values[i], mutate.Input) {
			values[i] = append(slices.Clone(values[i]), "|cat") // where files are read and written by commands
		}
		most = max(most, len(values[i]))
	}
	arguments := func(turn int) []string {
		var words []string
		for _, v := range values {
			words = append(words, v[turn%len(v)])
		}
		return words
	}
	for i := range most {
		use(arguments(i)...)
	}
	if most > 0 && len(c.takes) > 1 {
		use(arguments(0)[:1]...) // the first is often all that is needed
	}
	for _, o := range Help(c.more).Options {
		words := o.Words("1")
		if v := o.Likely(); o.Arity != mutate.NoValue && len(v) > 0 {
			words = o.Words(v[0])
		}
		use(append(words, arguments(0)...)...)
		use(append(words, file)...)
		use(append(words, dir)...)
	}
	return out.String()
}
