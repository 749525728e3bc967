package mutate

import (
	"cmp"
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
	Kind   string   // what the target calls the value: "FILE", "num"; may be empty
	Apart  bool     // the value of a long option stands in the next word, not behind "="
	Then   []string // words that follow the value, where the option takes more than one
	Same   string   // another spelling that does the same and is to be tried in its place; "" for that one
	About  string   // what the target's texts say of it, cut off

	Guessed bool // nothing but a string in the target's file speaks for it
}

// Table is what is known about the command line of a target.
type Table struct {
	Options  []Option
	Commands []string            // sub-commands; of two words, with a space between, where these have some themselves
	Sub      map[string][]Option // what a sub-command understands beside Options
	Names    []string            // files and directories that exist where the target starts
	Texts    []string            // small programs, queries and the like that are given as one word
	Examples [][]string          // command lines that the target's own texts show, without the program
	Listed   bool                // the texts show that names of files are read on standard input
}

// For returns the options that are understood where words, without the program,
// are the command line.
func (t *Table) For(words []string) []Option {
	if options, n := t.sub(words); n > 0 {
		return options
	}
	return t.Options
}

// sub returns the options of the sub-command that words begin with, and of how many words
// that is: of two where it has sub-commands itself.
func (t *Table) sub(words []string) ([]Option, int) {
	for n := min(2, len(words)); n > 0; n-- {
		if options := t.Sub[strings.Join(words[:n], " ")]; len(options) > 0 {
			return options, n
		}
	}
	return nil, 0
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
	for i := len(all) - 2; i >= 0; i-- {
		if all[i].Name == all[i+1].Name {
			all[i].Guessed = all[i].Guessed && all[i+1].Guessed
			if all[i].Same == "" {
				all[i].Same = all[i+1].Same
			}
			if all[i].About == "" {
				all[i].About = all[i+1].About
			}
		}
	}
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
	examples := slices.Concat(t.Examples, o.Examples)
	return Table{
		Options: all, Commands: slices.Compact(cmds), Sub: sub, Names: slices.Compact(names), Texts: slices.Compact(texts),
		Examples: distinct(examples), Listed: t.Listed || o.Listed,
	}
}

// distinct keeps the order.
func distinct(lists [][]string) [][]string {
	var out [][]string
	for _, l := range lists {
		if !slices.ContainsFunc(out, func(o []string) bool { return slices.Equal(o, l) }) {
			out = append(out, l)
		}
	}
	return out
}

// Spellings says of options that they are spellings of one, for which the longest is tried: it is
// the least likely to be something else in another text. Where all are short they are left alone, as
// they may well be different ones in a row.
func Spellings(options []Option) {
	if len(options) == 0 {
		return
	}
	first := slices.MinFunc(options, func(a, b Option) int {
		return cmp.Or(len(b.Name)-len(a.Name), strings.Compare(a.Name, b.Name))
	})
	for i := range options {
		if strings.HasPrefix(first.Name, "--") && options[i].Name != first.Name {
			options[i].Same = first.Name
		}
	}
}

func (o *Option) knowledge() int {
	k := 2 * len(o.Values)
	if o.Arity > NoValue {
		k++
	}
	if o.Kind != "" {
		k++
	}
	return k + len(o.Then)
}

// Words returns the words that spell the option with the value, which is
// ignored for an option that takes none.
func (o *Option) Words(value string) []string {
	return append(o.spelled(value), o.Then...)
}

func (o *Option) spelled(value string) []string {
	switch {
	case o.Arity == NoValue:
		return []string{o.Name}
	case o.Arity == NeedsValue && o.Apart:
		return []string{o.Name, value}
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
	"1,3", "2-", "1:2", "10M", "50%", "+1", "0644", "a=b", "a:b", "d", "now", "root",
	".", "/", "/tmp", "/etc/passwd", "/dev/null", "/dev/full", "/dev/stdin", "/proc/self/maps", "/nonexistent/file", "missing", "out",
	"a", "*", "%s%n", "|cat", "auto", "always", "never", "all", "none", "yes", "true", "utf-8", "C", "localhost", "127.0.0.1:1",
}

// sizes of values that are too long for one buffer or another.
var hugeSizes = [...]int{256, 1024, 4097, maxHuge}

// Roundabout is a path to the input that does not go straight to it: what resolves paths has to look at each directory
// that ".." leaves.
const Roundabout = "/proc/.." + Input

// inputForms are ways to name the input: roundabout and through other links, as something that it
// is not, as a URL, as a file of further arguments, and so that opening it fails. Its
// path is absolute.
var inputForms = [...]string{
	Input, "/" + Input, Roundabout, "/proc/self/root" + Input, Input + "/", Input + "/.", Input + "/..", Input + ".missing", "file://" + Input, "file:" + Input, "@" + Input, "-" + Input, Input + ":" + Input, "/dev/stdin",
}

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
