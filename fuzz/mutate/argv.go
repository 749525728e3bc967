package mutate

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// Input is the word that stands for the path of the input file.
const Input = "@@"

// Arity says whether an option takes a value. The zero value is invalid.
type Arity uint8

// The arities of options, as getopt_long(3) has them.
const (
	ArityInvalid Arity = iota
	NoValue
	NeedsValue
	MayHaveValue
)

// Option is one spelling of an option of the target. A short and a long
// spelling of one option are two Options.
type Option struct {
	Name   string // with its dashes: "-x", "--color", "-name"
	Arity  Arity
	Values []string // values that the target is known to accept, possibly none
}

// Table is what is known about the command line of a target.
type Table struct {
	Options  []Option
	Commands []string            // sub-commands
	Sub      map[string][]Option // what a sub-command understands beside Options
	Names    []string            // files and directories that exist where the target starts
	Texts    []string            // small programs, queries and the like that are given as one word
}

// For returns the options that are understood where words, without the program,
// are the command line.
func (t *Table) For(words []string) []Option {
	if len(words) > 0 && len(t.Sub[words[0]]) > 0 {
		return t.Sub[words[0]]
	}
	return t.Options
}

// Merge returns a table of the entries of both, sorted and without duplicates.
// Where both have an option, the one that knows more about its value is kept.
func (t Table) Merge(o Table) Table {
	all := slices.Concat(t.Options, o.Options)
	slices.SortStableFunc(all, func(a, b Option) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return b.knowledge() - a.knowledge()
	})
	all = slices.CompactFunc(all, func(a, b Option) bool { return a.Name == b.Name })
	cmds := slices.Concat(t.Commands, o.Commands)
	slices.Sort(cmds)
	sub := maps.Clone(t.Sub)
	for command, options := range o.Sub {
		if sub == nil {
			sub = make(map[string][]Option)
		}
		sub[command] = Table{Options: sub[command]}.Merge(Table{Options: options}).Options
	}
	names := slices.Concat(t.Names, o.Names)
	slices.Sort(names)
	texts := slices.Concat(t.Texts, o.Texts)
	slices.Sort(texts)
	return Table{Options: all, Commands: slices.Compact(cmds), Sub: sub, Names: slices.Compact(names), Texts: slices.Compact(texts)}
}

func (o *Option) knowledge() int {
	k := 2 * len(o.Values)
	if o.Arity > NoValue {
		k++
	}
	return k
}

// Words returns the words that spell the option with the value, which is
// ignored for an option that takes none.
func (o *Option) Words(value string) []string {
	switch {
	case o.Arity == NoValue:
		return []string{o.Name}
	case strings.HasPrefix(o.Name, "--"):
		return []string{o.Name + "=" + value}
	case o.Arity == MayHaveValue:
		return []string{o.Name + value} // getopt(3): the value of x:: stands in the same word
	}
	return []string{o.Name, value}
}

// The bounds of what is added to a command line. execve(2) refuses a word of
// 128 KiB and, with the common stack limit, 2 MiB of words and environment: a
// run that cannot start shows nothing.
const (
	maxArgs = 32
	maxHuge = 16 << 10
	maxText = 512
)

// values are operands and option values that programs treat specially. They
// name files of every kind that stdio and path handling branch on, but none that
// has no end: to read that shows nothing and costs a timeout.
var values = [...]string{
	Input, Input, "", "-", "--", "0", "1", "2", "-1", "10", "4096", "65536", "2147483648", "18446744073709551616", "1k", "0x10", "1.5",
	".", "/tmp", "/etc/passwd", "/dev/null", "/dev/full", "/dev/stdin", "/proc/self/maps", "/nonexistent/file", "missing", "out",
	"a", "*", "%s%n", "auto", "always", "never", "all", "none", "yes", "true", "utf-8", "C", "localhost", "127.0.0.1:1",
}

// sizes of values that are too long for one buffer or another.
var hugeSizes = [...]int{256, 1024, 4097, maxHuge}

// Value draws an option value or operand: one of those known, mostly, or the name
// of a file that exists, or one that programs treat specially.
func (t *Table) Value(r *rand.Rand, known []string) string {
	if len(known) > 0 && r.IntN(4) != 0 {
		return known[r.IntN(len(known))]
	}
	if len(t.Names) > 0 && r.IntN(3) == 0 {
		return t.Names[r.IntN(len(t.Names))]
	}
	if r.IntN(32) == 0 {
		return strings.Repeat("A", hugeSizes[r.IntN(len(hugeSizes))])
	}
	return values[r.IntN(len(values))]
}

// Args returns a changed copy of the words that follow the program: 1 to 4 of
// the changes that make programs take another path. It has at most 32 words, or
// as many as args; no word that it makes has a NUL or exceeds 16 KiB by more
// than the name of an option, which may have been edited.
func Args(r *rand.Rand, t *Table, dict Dictionary, args []string) []string {
	m := argv{r: r, t: t, dict: dict, w: slices.Clone(args)}
	for range 1 + r.IntN(4) {
		argvOps[r.IntN(len(argvOps))](&m)
	}
	return m.w[:min(len(m.w), max(len(args), maxArgs))]
}

type argv struct {
	r    *rand.Rand
	t    *Table
	dict Dictionary
	w    []string
}

// argvOps are the changes; one that is listed twice is drawn twice as often.
var argvOps = [...]func(*argv){
	(*argv).addOption,
	(*argv).addOption,
	(*argv).addOption,
	(*argv).addSeveral,
	(*argv).changeValue,
	(*argv).changeValue,
	(*argv).changeText,
	(*argv).remove,
	(*argv).repeat,
	(*argv).swap,
	(*argv).addOperand,
	(*argv).addCommand,
	(*argv).dropAll,
}

func (m *argv) insert(at int, words ...string) { m.w = slices.Insert(m.w, at, words...) }

func (m *argv) addOption() {
	if len(m.t.For(m.w)) == 0 {
		m.addOperand()
		return
	}
	options, first := m.t.For(m.w), 0
	if len(m.w) > 0 && len(m.t.Sub[m.w[0]]) > 0 {
		first = 1 // what stands before the sub-command is not its own
	}
	o := &options[m.r.IntN(len(options))]
	words := o.Words(m.t.Value(m.r, o.Values))
	if m.r.IntN(16) == 0 { // a value too many, or one too few
		words = []string{o.Name}
		if o.Arity == NoValue {
			words[0] += "=" + m.t.Value(m.r, nil)
		}
	}
	at := first // many programs stop reading options at the first operand
	if m.r.IntN(4) == 0 {
		at = first + m.r.IntN(len(m.w)-first+1)
	}
	m.insert(at, words...)
}

// addSeveral makes the combinations, among them those that exclude each other.
func (m *argv) addSeveral() {
	for range 2 + m.r.IntN(3) {
		m.addOption()
	}
}

// pick is the index of a random word, or -1.
func (m *argv) pick() int {
	if len(m.w) == 0 {
		return -1
	}
	return m.r.IntN(len(m.w))
}

// changeValue replaces an operand or the value of an option, never its name.
func (m *argv) changeValue() {
	i := m.pick()
	if i < 0 {
		return
	}
	name, _, joined := strings.Cut(m.w[i], "=")
	var known []string
	for _, o := range m.t.For(m.w) {
		if o.Name == name {
			known = o.Values
		}
	}
	switch {
	case strings.HasPrefix(m.w[i], "-") && joined:
		m.w[i] = name + "=" + m.t.Value(m.r, known)
	case strings.HasPrefix(m.w[i], "-") && i+1 < len(m.w):
		m.w[i+1] = m.t.Value(m.r, known)
	default:
		m.w[i] = m.t.Value(m.r, nil)
	}
}

// changeText edits a word as bytes: words can be programs, like the filter of jq.
func (m *argv) changeText() {
	i := m.pick()
	if i < 0 || m.w[i] == Input {
		return
	}
	b := Bytes(m.r, []byte(m.w[i]), ByteOptions{Dictionary: m.dict, Max: maxText})
	m.w[i] = strings.ReplaceAll(string(b), "\x00", "")
}

func (m *argv) remove() {
	if i := m.pick(); i >= 0 {
		m.w = slices.Delete(m.w, i, i+1)
	}
}

func (m *argv) repeat() {
	if i := m.pick(); i >= 0 {
		m.insert(i, m.w[i])
	}
}

func (m *argv) swap() {
	if i, j := m.pick(), m.pick(); i >= 0 {
		m.w[i], m.w[j] = m.w[j], m.w[i]
	}
}

func (m *argv) addOperand() {
	at := len(m.w)
	if m.r.IntN(4) == 0 {
		at = m.r.IntN(len(m.w) + 1)
	}
	v := m.t.Value(m.r, nil)
	switch n := m.r.IntN(8); {
	case len(m.t.Texts) > 0 && n < 2:
		v = m.t.Texts[m.r.IntN(len(m.t.Texts))]
	case len(m.dict) > 0 && n < 4:
		v = strings.ReplaceAll(string(m.dict[m.r.IntN(len(m.dict))]), "\x00", "")
	}
	m.insert(at, v)
}

// addCommand puts a sub-command where they stand, or replaces the one there.
func (m *argv) addCommand() {
	if len(m.t.Commands) == 0 {
		m.addOption()
		return
	}
	c := m.t.Commands[m.r.IntN(len(m.t.Commands))]
	if len(m.w) > 0 && slices.Contains(m.t.Commands, m.w[0]) {
		m.w[0] = c
		return
	}
	m.insert(0, c)
}

func (m *argv) dropAll() {
	if m.r.IntN(4) == 0 { // rarely: it undoes everything else
		m.w = nil
	}
}
