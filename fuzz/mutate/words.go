package mutate

import (
	"math/rand/v2"
	"slices"
	"strings"
)

// Args returns a changed copy of the words that follow the program: 1 to 4 of
// the changes that make programs take another path. It has at most 32 words, or
// as many as args; no word that it makes has a NUL or exceeds 16 KiB by more
// than the name of an option, which may have been edited. Where the input was
// named and is no more, it is named again half of the time.
func Args(r *rand.Rand, t *Table, dict Dictionary, args []string) []string {
	m := argv{r: r, t: t, dict: dict, w: slices.Clone(args)}
	for range 1 + r.IntN(4) {
		m.apply(drawWords(r))
	}
	if named(args) && !named(m.w) && r.IntN(2) == 0 {
		m.w = append(m.w[:min(len(m.w), maxArgs-1)], Input)
	}
	return m.w[:min(len(m.w), max(len(args), maxArgs))]
}

// named reports whether a word names the input.
func named(words []string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, Input) })
}

type argv struct {
	r    *rand.Rand
	t    *Table
	dict Dictionary
	w    []string
}

// wordOperators are the kinds of change with their weights. One that finds nothing
// to work on reports so, and an option is added in its place.
var wordOperators = [...]struct {
	name   string
	apply  func(*argv) bool
	weight int
}{
	{"add option", (*argv).addOption, 24},
	{"add several", (*argv).addSeveral, 8},
	{"add conflict", (*argv).addConflict, 5},
	{"add joined", (*argv).addJoined, 5},
	{"add invalid", (*argv).addInvalid, 3},
	{"add general option", (*argv).addGeneral, 4},
	{"change value", (*argv).changeValue, 16},
	{"change text", (*argv).changeText, 8},
	{"respell", (*argv).respell, 4},
	{"abbreviate", (*argv).abbreviate, 3},
	{"negate", (*argv).negate, 4},
	{"end of options", (*argv).endOptions, 3},
	{"response file", (*argv).responseFile, 1},
	{"name input otherwise", (*argv).nameInput, 5},
	{"name input again", (*argv).nameAgain, 3},
	{"remove", (*argv).remove, 8},
	{"repeat", (*argv).repeat, 6},
	{"swap", (*argv).swap, 6},
	{"add operand", (*argv).addOperand, 8},
	{"add command", (*argv).addCommand, 8},
	{"take example", (*argv).takeExample, 3},
	{"drop all", (*argv).dropAll, 2}, // rarely: it undoes everything else
}

func (m *argv) apply(change func(*argv) bool) {
	if !change(m) {
		m.addOption()
	}
}

func drawWords(r *rand.Rand) func(*argv) bool {
	total := 0
	for _, o := range wordOperators {
		total += o.weight
	}
	x := r.IntN(total)
	for _, o := range wordOperators {
		if x -= o.weight; x < 0 {
			return o.apply
		}
	}
	panic("total exceeds the weights")
}

func (m *argv) insert(at int, words ...string) { m.w = slices.Insert(m.w, at, words...) }

// options are those that are understood here, and where they may begin: what stands
// before a sub-command is not its own.
func (m *argv) options() (options []Option, first int) {
	if options, first = m.t.sub(m.w); first > 0 {
		return options, first
	}
	return m.t.Options, 0
}

// place is where an option is put: mostly at the start, since many programs stop
// reading options at the first operand.
func (m *argv) place(first int) int {
	if m.r.IntN(4) == 0 {
		return first + m.r.IntN(len(m.w)-first+1)
	}
	return first
}

// addOption adds an option that is understood, with a value if it takes one; once in
// 16 times with a value too many, or one too few. Without any it adds an operand.
func (m *argv) addOption() bool {
	options, first := m.options()
	if len(options) == 0 {
		return m.addOperand()
	}
	o := &options[m.r.IntN(len(options))]
	words := o.Words(m.t.Value(m.r, o.Likely()))
	if m.r.IntN(16) == 0 {
		words = []string{o.Name}
		if o.Arity == NoValue {
			words[0] += "=" + m.t.Value(m.r, nil)
		}
	}
	m.insert(m.place(first), words...)
	return true
}

// addSeveral makes the combinations, among them those that exclude each other.
func (m *argv) addSeveral() bool {
	for range 2 + m.r.IntN(3) {
		m.addOption()
	}
	return true
}

// addConflict gives an option twice with two values, or an option and its opposite.
func (m *argv) addConflict() bool {
	options, first := m.options()
	if len(options) == 0 {
		return false
	}
	o := &options[m.r.IntN(len(options))]
	if o.Arity == NoValue {
		opposite := opposite(o.Name)
		if opposite == "" {
			opposite = o.Name
		}
		m.insert(m.place(first), o.Name, opposite)
		return true
	}
	m.insert(m.place(first), slices.Concat(o.Words(m.t.Value(m.r, o.Likely())), o.Words(m.t.Value(m.r, o.Likely())))...)
	return true
}

// opposite is --no-name for --name and the other way round, "" for a short option.
func opposite(name string) string {
	long, ok := strings.CutPrefix(name, "--")
	if !ok {
		return ""
	}
	if bare, ok := strings.CutPrefix(long, "no-"); ok {
		return "--" + bare
	}
	return "--no-" + long
}

// addJoined writes 2 to 4 short options as one word, as in tar -xzf: only the last of
// them takes a value.
func (m *argv) addJoined() bool {
	options, first := m.options()
	var flags, last []Option
	for _, o := range options {
		if len(o.Name) == 2 && o.Name[0] == '-' && o.Name[1] != '-' {
			if last = append(last, o); o.Arity == NoValue {
				flags = append(flags, o)
			}
		}
	}
	if len(flags) == 0 {
		return false
	}
	word := "-"
	for range 1 + m.r.IntN(3) {
		word += one(m.r, flags).Name[1:]
	}
	o := one(m.r, last)
	words := []string{word + o.Name[1:]}
	switch value := m.t.Value(m.r, o.Likely()); {
	case o.Arity == NoValue:
	case o.Arity == NeedsValue && m.r.IntN(2) == 0:
		words = append(words, value)
	default:
		words[0] += value
	}
	m.insert(m.place(first), words...)
	return true
}

// invalidWords are options that no program has, or that are not whole.
var invalidWords = [...]string{"--no-such-option", "--no-such-option=1", "--=", "--=a", "---", "-~", "-\x01", "--\xff", "-=", "--help=1"}

// addInvalid adds a word that looks like an option and is none: a known one with a
// letter wrong, or of another case, or one that no program has.
func (m *argv) addInvalid() bool {
	options, first := m.options()
	word := one(m.r, invalidWords[:])
	if len(options) > 0 && m.r.IntN(2) == 0 {
		name := []byte(one(m.r, options).Name)
		name[len(name)-1-m.r.IntN((len(name)+1)/2)] ^= 1 << [...]int{0, 1, 5}[m.r.IntN(3)]
		word = strings.ReplaceAll(string(name), "\x00", "")
	}
	m.insert(m.place(first), word)
	return true
}

// addGeneral puts an option of the program itself before the sub-command.
func (m *argv) addGeneral() bool {
	if _, n := m.t.sub(m.w); len(m.t.Options) == 0 || n == 0 {
		return false
	}
	o := one(m.r, m.t.Options)
	m.insert(0, o.Words(m.t.Value(m.r, o.Likely()))...)
	return true
}

// pick is the index of a random word, or -1.
func (m *argv) pick() int {
	if len(m.w) == 0 {
		return -1
	}
	return m.r.IntN(len(m.w))
}

// pickWhere is the index of a random word that f accepts, or -1.
func (m *argv) pickWhere(f func(string) bool) int {
	var at []int
	for i, w := range m.w {
		if f(w) {
			at = append(at, i)
		}
	}
	if len(at) == 0 {
		return -1
	}
	return one(m.r, at)
}

// known are the values that an option is known to take here.
func (m *argv) known(name string) []string {
	for _, o := range m.t.For(m.w) {
		if o.Name == name {
			return o.Likely()
		}
	}
	return nil
}

// changeValue replaces an operand or the value of an option, never its name.
func (m *argv) changeValue() bool {
	i := m.pick()
	if i < 0 {
		return false
	}
	name, _, joined := strings.Cut(m.w[i], "=")
	switch option := strings.HasPrefix(m.w[i], "-"); {
	case option && joined:
		m.w[i] = name + "=" + m.t.Value(m.r, m.known(name))
	case option && i+1 < len(m.w):
		m.w[i+1] = m.t.Value(m.r, m.known(name))
	default:
		m.w[i] = m.t.Value(m.r, nil)
	}
	return true
}

// changeText edits a word as bytes: words can be programs, like the filter of jq.
func (m *argv) changeText() bool {
	i := m.pickWhere(func(w string) bool { return w != Input })
	if i < 0 {
		return false
	}
	b := Bytes(m.r, []byte(m.w[i]), ByteOptions{Dictionary: m.dict, Max: maxText})
	m.w[i] = strings.ReplaceAll(string(b), "\x00", "")
	return true
}

// respell writes the value of an option after an equals sign, in the next word or in
// the same one, whichever of these it is not.
func (m *argv) respell() bool {
	i := m.pickWhere(func(w string) bool { return len(w) > 2 && w[0] == '-' || len(w) == 2 && w[0] == '-' && w[1] != '-' })
	if i < 0 {
		return false
	}
	name, value, joined := strings.Cut(m.w[i], "=")
	switch {
	case joined:
		m.w[i] = name
		m.insert(i+1, value)
	case len(m.w[i]) > 2 && m.w[i][1] != '-' && m.r.IntN(2) == 0: // -ovalue
		value = m.w[i][2:]
		m.w[i] = m.w[i][:2]
		m.insert(i+1, value)
	case i+1 == len(m.w):
		return false
	case len(m.w[i]) == 2:
		m.w[i] += m.w[i+1]
		m.w = slices.Delete(m.w, i+1, i+2)
	default:
		m.w[i] += "=" + m.w[i+1]
		m.w = slices.Delete(m.w, i+1, i+2)
	}
	return true
}

// abbreviate cuts the end off the name of a long option: getopt_long(3) takes every
// beginning that only one option has, and complains of others.
func (m *argv) abbreviate() bool {
	i := m.pickWhere(func(w string) bool { return len(w) > 3 && strings.HasPrefix(w, "--") })
	if i < 0 {
		return false
	}
	name, value, joined := strings.Cut(m.w[i], "=")
	if len(name) < 4 {
		return false
	}
	m.w[i] = name[:3+m.r.IntN(len(name)-3)]
	if joined {
		m.w[i] += "=" + value
	}
	return true
}

// negate puts "no-" into the name of a long option, or takes it away.
func (m *argv) negate() bool {
	i := m.pickWhere(func(w string) bool { return len(w) > 2 && strings.HasPrefix(w, "--") })
	if i < 0 {
		return false
	}
	name, _, _ := strings.Cut(m.w[i], "=")
	m.w[i] = opposite(name)
	return true
}

// endOptions inserts "--".
func (m *argv) endOptions() bool {
	m.insert(m.r.IntN(len(m.w)+1), "--")
	return true
}

// responseFile adds a word that some programs replace by the words in a file.
func (m *argv) responseFile() bool {
	m.insert(m.r.IntN(len(m.w)+1), "@"+one(m.r, []string{Input, Input, "missing", ".", "/dev/null", ""}))
	return true
}

// nameInput names the input, where it is named, in another of inputForms.
func (m *argv) nameInput() bool {
	i := m.pickWhere(func(w string) bool { return strings.Contains(w, Input) })
	if i < 0 || len(m.w[i]) > maxText {
		return false
	}
	before, _, _ := strings.Cut(m.w[i], Input)
	if !strings.HasPrefix(before, "-") {
		before = ""
	}
	m.w[i] = before + one(m.r, inputForms[:])
	return true
}

// nameAgain names the input once more: as a further operand, or as the value of an
// option that takes one.
func (m *argv) nameAgain() bool {
	if !named(m.w) {
		return false
	}
	options, first := m.options()
	var taking []Option
	for _, o := range options {
		if o.Arity != NoValue {
			taking = append(taking, o)
		}
	}
	if len(taking) > 0 && m.r.IntN(2) == 0 {
		o := one(m.r, taking)
		m.insert(m.place(first), o.Words(Input)...)
		return true
	}
	m.insert(len(m.w), Input)
	return true
}

// remove takes a word away.
func (m *argv) remove() bool {
	i := m.pick()
	if i < 0 {
		return false
	}
	m.w = slices.Delete(m.w, i, i+1)
	return true
}

// repeat gives a word twice.
func (m *argv) repeat() bool {
	i := m.pick()
	if i < 0 {
		return false
	}
	m.insert(i, m.w[i])
	return true
}

// swap exchanges two words.
func (m *argv) swap() bool {
	i, j := m.pick(), m.pick()
	if i < 0 {
		return false
	}
	m.w[i], m.w[j] = m.w[j], m.w[i]
	return true
}
