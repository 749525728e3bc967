package mine

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

// The bounds of what Language asks and returns.
const (
	maxLanguageAsked = 700
	maxTried         = 128 // words, whether they are known
	maxOwners        = 16  // known words, whether they have members
	maxMembers       = 24  // of one of them
	membersBy        = 300 // questions: no more members are looked for
	callsBy          = 600 // questions: no more calls are tried, for what went well is still to be put together
	maxFunctions     = 64  // which are called with arguments
	maxNested        = 6   // calls whose results others are given
	callsTogether    = 24  // in one script
	maxTogether      = 64  // scripts
)

// ErrNoMore is what ask returns when Language is to make do with what it was told before.
var ErrNoMore = errors.New("no more questions")

// Words that no language has: what is called, what is given to it, and another that is called.
const (
	unknownFunction = "zqxj"
	nonsense        = "vwq"
	otherUnknown    = "qzvk"
)

// form is a way that languages have for calling something.
type form struct {
	call, between string // of "NAME" and "ARGUMENTS"; between two arguments
	quote         string // around what is no number
	member        string // between an owner and its member
	nest          []string
}

// forms are those of C and of most that came after it, of shells and of Tcl, and of Lisp.
var forms = []form{
	{"NAME(ARGUMENTS);", ", ", `"`, ".", []string{"CALL"}},
	{"NAME ARGUMENTS", " ", "", " ", []string{"[CALL]", "$(CALL)", "{CALL}"}},
	{"(NAME ARGUMENTS)", " ", `"`, "", []string{"CALL"}},
}

// write is a call of name. An argument that begins with a NUL is one as it stands.
func (f *form) write(name string, arguments ...string) string {
	var words []string
	for _, a := range arguments {
		if call, ok := strings.CutPrefix(a, "\x00"); ok {
			words = append(words, call)
		} else if strings.Trim(a, "0123456789") == "" {
			words = append(words, a)
		} else {
			words = append(words, f.quote+a+f.quote)
		}
	}
	line := strings.NewReplacer("NAME", name, "ARGUMENTS", strings.Join(words, f.between)).Replace(f.call)
	return strings.TrimRight(strings.ReplaceAll(line, " )", ")"), " ")
}

// nested is a call as the argument of another.
func (f *form) nested(how, call string) string {
	return "\x00" + strings.Replace(how, "CALL", strings.TrimSuffix(call, ";"), 1)
}

// complaint is what stands around a word that a program does not know, where it says so.
type complaint struct{ before, after string }

// about looks for the complaint about a word: the word stands in the answer, and not
// as it stood in the script, which many programs repeat. Numbers, which may be those of lines, do not count.
func about(answer []byte, word string) (c complaint, rest string, ok bool) {
	const around = 24
	for line := range strings.Lines(string(answer)) {
		if strings.Contains(line, nonsense) {
			continue
		}
		for from := 0; ; {
			at := strings.Index(line[from:], word)
			if at < 0 {
				break
			}
			at, from = from+at, from+at+len(word)
			if inWord(line[:at], line[from:]) { // looked at first: a line may be long, and have nothing else
				continue
			}
			before, after := withoutDigits(line[:at]), withoutDigits(line[from:])
			if strings.IndexFunc(before+after, unicode.IsLetter) < 0 {
				continue
			}
			return complaint{before[max(0, len(before)-around):], after[:min(len(after), around)]}, line[from:], true
		}
	}
	return complaint{}, "", false
}

// in reports whether an answer complains of a word in this way.
func (c complaint) in(answer []byte, word string) bool {
	return strings.Contains(withoutDigits(string(answer)), c.before+withoutDigits(word)+c.after)
}

func withoutDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, s)
}

// inWord reports whether what stands between both is a part of a word.
func inWord(before, after string) bool {
	part := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' }
	last, _ := utf8.DecodeLastRuneInString(before)
	first, _ := utf8.DecodeRuneInString(after)
	return part(last) || part(first)
}

// tongue is a language, as far as asking has shown it.
type tongue struct {
	form
	ask   func(script string) ([]byte, error)
	asked int
	err   error
	none  complaint // about a function that there is not
	vocabulary
}

// vocabulary is what words probably mean.
type vocabulary struct{ imports map[string]bool }

var word = lazyregexp.New(`^[A-Za-z][A-Za-z0-9_.:/?!-]{1,23}$`)

// Language returns scripts in the language that a program interprets, if it does: calls of
// what it knows, with the names of a file and a directory that exist, and of what does not, as arguments.
//
// ask runs a script and returns what the program wrote, or ErrNoMore. That it interprets shows when it complains of
// a word that no language has, in a call as some language would write it. Of words, which are strings of
// its files, it knows those that it does not complain of in that way, and of calls those go well behind which
// it comes to the next. One that goes on behind what it does not know has no use for that: see Calls. What imports names, the functions of the C library that it may call, comes first:
// languages mostly call things as that does.
func Language(ask func(script string) ([]byte, error), words, imports []string, file, dir, fresh string) ([]string, error) {
	t := tongue{ask: ask, vocabulary: understand(imports)}
	if !t.hears() || t.err != nil {
		return nil, t.err
	}
	words = slices.DeleteFunc(slices.Concat(words, verbs), func(w string) bool { return !word.MatchString(w) })
	words = t.sorted(words)
	functions := t.known(t.none, "", words[:min(len(words), maxTried)])
	functions = t.sorted(append(functions, t.members(functions, words)...))
	functions = functions[:min(len(functions), maxFunctions)]
	calls := t.calls(functions, file, dir, fresh)
	var scripts []string
	for some := range slices.Chunk(calls, callsTogether) {
		scripts = append(scripts, t.together(some)...)
	}
	return scripts[:min(len(scripts), maxTogether)], t.err
}

// answer is what the program wrote, nothing when it was asked too much.
func (t *tongue) answer(lines ...string) []byte {
	if t.asked >= maxLanguageAsked || t.err != nil {
		return nil
	}
	t.asked++
	out, err := t.ask(strings.Join(lines, "\n") + "\n")
	if errors.Is(err, ErrNoMore) {
		t.asked = maxLanguageAsked
	} else {
		t.err = err
	}
	return out
}

// hears finds out how the program wants things called.
func (t *tongue) hears() bool {
	for _, t.form = range forms {
		c, _, ok := about(t.answer(t.write(unknownFunction, nonsense)), unknownFunction)
		if !ok {
			continue
		}
		t.none = c
		both := t.answer(t.write(otherUnknown, nonsense), t.write(unknownFunction, nonsense))
		return t.none.in(both, otherUnknown) && !t.none.in(both, unknownFunction)
	}
	return false
}

// known are those of the members of an owner, or of all words, that are not complained of. What ends the program,
// and says nothing, is of no use.
func (t *tongue) known(none complaint, owner string, words []string) (out []string) {
	for _, w := range words {
		if a := t.answer(t.write(owner+w, nonsense), t.write(unknownFunction, nonsense)); len(a) > 0 && !none.in(a, w) {
			out = append(out, owner+w)
		}
	}
	return out
}

// members are those of the owners: what these name themselves when they are asked for one that they cannot
// have, and words that are called as functions of the C library are.
func (t *tongue) members(owners, words []string) (out []string) {
	if t.member == "" {
		return nil
	}
	var likely []string
	if t.member != " " {
		likely = slices.DeleteFunc(slices.Clone(words), func(w string) bool { return t.meaning(w) > 1 })
	}
	for _, o := range owners[:min(len(owners), maxOwners)] {
		if t.asked >= membersBy {
			break
		}
		none, rest, ok := about(t.answer(t.write(o+t.member+unknownFunction, nonsense)), unknownFunction)
		if !ok {
			continue
		}
		some := append(offered(rest), likely...)
		out = append(out, t.known(none, o+t.member, some[:min(len(some), maxMembers)])...)
	}
	return out
}

// offered are the words of "should be one of: a, b, c or d".
func offered(text string) []string {
	_, list, _ := strings.Cut(text, " be ")
	list = strings.NewReplacer(" or ", ",", "one of", "", ":", "").Replace(list)
	var out []string
	for _, w := range strings.Split(list, ",") {
		if w = strings.TrimSpace(w); word.MatchString(w) {
			out = append(out, w)
		}
	}
	if len(out) < 2 {
		return nil
	}
	return out
}

// calls are calls of the functions, those first that show more by their names, all of them with one argument before any
// with the next. What does not go well in any way is tried behind those that make what there was not, and with the results of others.
func (t *tongue) calls(functions []string, file, dir, fresh string) (out []string) {
	arguments := [][]string{{file}, {fresh}, {"ls"}, {dir}, {}, {file, fresh}, {"1"}, {fresh, "w"}, {fresh, file}}
	makers, results := []string{""}, []string(nil)
	did := map[string]bool{}
	for _, a := range arguments {
		for _, f := range functions {
			call := t.write(f, a...)
			if t.asked >= callsBy || !t.goes(call) {
				continue
			}
			did[f] = true
			out = append(out, call)
			if len(a) == 1 && a[0] == fresh && t.meaning(f) < 2 {
				makers = append(makers, call)
			}
			if len(a) > 0 && a[0] != dir && t.meaning(f) < 2 {
				results = append(results, call)
			}
		}
	}
	idle := slices.DeleteFunc(slices.Clone(functions), func(f string) bool { return did[f] })
	makers = makers[:min(len(makers), maxNested)]
	results = results[:min(len(results), maxNested)]
	how := t.nesting()
	for _, f := range idle {
		for _, m := range makers[1:] {
			if both := m + "\n" + t.write(f, fresh); t.asked < callsBy && t.goes(both) {
				out = append(out, both)
			}
		}
		for _, r := range results {
			if nested := t.write(f, t.nested(how, r)); how != "" && t.asked < callsBy && t.goes(nested) {
				out = append(out, nested)
			}
		}
	}
	return out
}

// nesting is how the result of a call is handed to another, empty when that was not found out.
func (t *tongue) nesting() string {
	for _, how := range t.nest {
		inner := t.write(unknownFunction, "1")
		if t.none.in(t.answer(t.write(otherUnknown, t.nested(how, inner))), unknownFunction) {
			return how
		}
	}
	return ""
}

// goes reports whether a script goes well: what stands behind it is come to.
func (t *tongue) goes(script string) bool {
	return t.none.in(t.answer(script, t.write(unknownFunction, nonsense)), unknownFunction)
}

// together makes one script of calls, or more where one keeps others from being come to. What cannot be asked any
// more is left together.
func (t *tongue) together(calls []string) []string {
	script := strings.Join(calls, "\n") + "\n"
	if len(calls) == 1 || t.goes(strings.TrimSuffix(script, "\n")) {
		return []string{script}
	}
	if t.asked >= maxLanguageAsked {
		return []string{script}
	}
	half := len(calls) / 2
	return append(t.together(calls[:half]), t.together(calls[half:])...)
}

// verbs are what languages call things that the C library calls otherwise.
var verbs = []string{
	"cd", "close", "command", "copy", "date", "delete", "dir", "env", "exec", "glob", "host", "include", "list", "load", "move", "open", "os", "io", "file",
	"pid", "popen", "process", "read", "require", "run", "server", "shell", "size", "sleep", "source", "spawn", "system", "temp", "user", "wait", "write",
}

func understand(imports []string) vocabulary {
	v := vocabulary{map[string]bool{}}
	for _, name := range append(slices.Clone(imports), verbs...) {
		v.imports[lettersOf(strings.TrimSuffix(strings.TrimSuffix(name, "_chk"), "64"))] = true
	}
	return v
}

// lettersOf is a word by its letters alone.
func lettersOf(w string) string {
	return strings.ToLower(strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) {
			return r
		}
		return -1
	}, w))
}

// meaning is 0 for what is called as a function of the C library, 1 for what is called nearly so or has such a
// member, and 2 for all else.
func (v *vocabulary) meaning(w string) int {
	const telling = 4 // letters
	p := lettersOf(w)
	if last := w[strings.LastIndexAny(w, " .")+1:]; v.imports[p] || v.imports[lettersOf(last)] {
		return 0
	}
	for name := range v.imports {
		if len(p) >= telling && strings.Contains(name, p) || len(name) >= telling && strings.Contains(p, name) {
			return 1
		}
	}
	return 2
}

// sorted are words by their meaning, each once, in their order otherwise.
func (v *vocabulary) sorted(words []string) []string {
	type known struct {
		word    string
		meaning int
	}
	var all []known
	seen := map[string]bool{}
	for _, w := range words {
		if !seen[w] {
			seen[w] = true
			all = append(all, known{w, v.meaning(w)})
		}
	}
	slices.SortStableFunc(all, func(a, b known) int { return cmp.Compare(a.meaning, b.meaning) })
	out := make([]string, len(all))
	for i := range all {
		out[i] = all[i].word
	}
	return out
}
