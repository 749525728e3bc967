package fuzz

import (
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

func (a *attempt) insert(words ...string) {
	args := a.s.Argv[a.o.Fixed:]
	if len(args)+len(words) > maxWords {
		args = nil
	}
	at := 0
	if a.r.IntN(3) == 0 {
		at = a.r.IntN(len(args) + 1)
	}
	a.s.Argv = slices.Concat(a.s.Argv[:a.o.Fixed], args[:at], words, args[at:])
}

// word puts a text on the command line: as an operand, or as an option.
func (a *attempt) word() {
	t := clean(a.term())
	switch a.r.IntN(5) {
	case 0:
		t += one(a.r, []string{"=", ":", ""}) + clean(a.term())
	case 1:
		if !strings.HasPrefix(t, "-") && a.r.IntN(2) == 0 {
			t = one(a.r, []string{"-", "--"}) + t
		}
	case 2:
		a.insert(t, clean(a.term()))
		return
	case 3:
		a.insert(t, mutate.Input)
		return
	case 4:
		if letters := a.letters(t); letters != "" {
			a.insert(letters)
			return
		}
	}
	a.insert(t)
}

// letters are some of those in a text, as options in one word, if they can be such of which each is looked for.
func (a *attempt) letters(of string) string {
	const most = 24
	if len(of) > most || strings.ContainsFunc(of, func(r rune) bool {
		return strings.Count(of, string(r)) > 1 && r != ':' || r != ':' && !('a' <= r|0x20 && r|0x20 <= 'z' || '0' <= r && r <= '9')
	}) {
		return ""
	}
	of = strings.ReplaceAll(of, ":", "")
	if len(of) < 2 {
		return ""
	}
	b := []byte("-")
	for _, i := range a.r.Perm(len(of))[:1+a.r.IntN(min(len(of), 4))] {
		b = append(b, of[i])
	}
	return string(b)
}

// value gives a text to an option that takes one.
func (a *attempt) value() {
	options := a.o.Table.For(a.s.Argv[a.o.Fixed:])
	taking := slices.DeleteFunc(slices.Clone(options), func(o mutate.Option) bool { return o.Arity == mutate.NoValue })
	if len(taking) == 0 {
		a.word()
		return
	}
	opt := one(a.r, taking)
	if a.r.IntN(6) == 0 && a.o.varies(dimBytes) { // it names a file, in which the text is looked for
		a.insert(opt.Words(mutate.Input)...)
		a.content()
		return
	}
	a.insert(opt.Words(clean(a.term()))...)
}

// reword puts a text in the place of a word, or of the value in one.
func (a *attempt) reword() {
	if len(a.s.Argv) == a.o.Fixed { // by now
		return
	}
	i := a.o.Fixed + a.r.IntN(len(a.s.Argv)-a.o.Fixed)
	a.s.Argv = slices.Clone(a.s.Argv)
	word := clean(a.term())
	if key, _, ok := strings.Cut(a.s.Argv[i], "="); ok {
		word = key + "=" + word
	}
	a.s.Argv[i] = word
}

// options adds some that nothing is known to be told by, for letters are no clues, and a file or a directory for them.
func (a *attempt) options() {
	options := a.o.Table.For(a.s.Argv[a.o.Fixed:])
	for n := 0; len(options) > 0 && n < 4 && (n == 0 || a.r.IntN(3) != 0); n++ {
		opt := one(a.r, options)
		a.insert(opt.Words(a.o.Table.Value(a.r, opt.Likely()))...)
	}
	if names := a.o.Table.Names; len(names) > 0 && len(a.s.Argv) < maxWords && a.r.IntN(2) == 0 {
		a.s.Argv = slices.Concat(a.s.Argv, []string{one(a.r, names)})
	}
}

// set sets a variable, or unsets it.
func (a *attempt) set(name string, value *string) {
	if !mutate.EnvUsable(name) {
		return
	}
	env := slices.DeleteFunc(slices.Clone(a.s.Env), func(e string) bool {
		key, _, _ := strings.Cut(e, "=")
		return key == name
	})
	if value == nil {
		env = append(env, name)
	} else {
		env = append(env, name+"="+clean(*value))
	}
	a.s.Env = env
}

// variable sets one that the way depends on.
func (a *attempt) variable() {
	name := nearest(a.r, a.clues[ClueVariable]).Text
	var v string
	switch a.r.IntN(8) {
	case 0:
		a.set(name, nil)
		return
	case 1, 2:
		v = a.some()
	case 3:
		v = a.decimal()
	case 4:
		if v = a.some(); a.r.IntN(2) == 0 {
			v = a.term()
		}
		v += one(a.r, []string{",", ":", "=", " ", ""}) + a.term()
	default:
		v = a.term()
	}
	a.set(name, &v)
}

// reset gives one that is set another value.
func (a *attempt) reset() {
	name, _, _ := strings.Cut(one(a.r, a.s.Env), "=")
	v := a.term()
	a.set(name, &v)
}

// setting sets one that is known otherwise, or has a text as its name.
func (a *attempt) setting() {
	names := a.o.EnvNames
	if len(names) == 0 || a.r.IntN(2) == 0 {
		names = mutate.CommonEnv()
	}
	name, v := one(a.r, names), a.term()
	if t := a.text(); a.r.IntN(2) == 0 && strings.Trim(t, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == "" {
		name, v = t+one(a.r, []string{"", "X", "_X"}), one(a.r, []string{v, "1"})
	}
	a.set(name, &v)
}
