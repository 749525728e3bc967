package mutate

import (
	"bytes"
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

// Configurations returns copies of a configuration with one directive changed in each: what is turned off in a comment
// turned on, first with its neighbours, for a long list has more than there is time for, switches thrown, directives dropped, set to something else and repeated, and files that
// may be included. Of each kind every directive comes once before any comes twice, and kinds come in the order of what they
// show. They are distinct, at most most, and empty where data has no directive. Long ones lack the prose of data.
func Configurations(data []byte, include []string, most int) [][]byte {
	if len(data) > wordy {
		data = withoutProse(data)
	}
	all, n := directives(data)
	seen := map[string]bool{string(data): true}
	var out [][]byte
	add := func(changed []byte) {
		if len(out) < most && !seen[string(changed)] {
			seen[string(changed)] = true
			out = append(out, changed)
		}
	}
	for _, n := range []int{32, 8} {
		for _, some := range crowds(all, n) {
			add(turnedOn(data, some, true))
			add(turnedOn(data, some, false))
		}
	}
	for _, d := range all {
		if d.marks != nil {
			add(d.turnedOn(data))
		}
	}
	for _, d := range all {
		if len(d.marks) == 1 {
			add(turnedOn(data, []directive{d}, true))
		}
	}
	var others [][]string // values, of each directive
	longest := 0
	for _, d := range all {
		var of []string
		if d.marks == nil {
			of = valuesFor(data, &d)
			if text := string(data[d.value.from:d.value.to]); len(of) > 0 && thrown(unquoted(text)) != "" {
				add(splice(data, d.value, []byte(of[0])))
				of = of[1:]
			}
		}
		others = append(others, of)
		longest = max(longest, len(of))
	}
	for _, d := range all {
		if d.marks == nil {
			add(splice(data, d.span, nil))
		}
	}
	for i := range longest {
		for j, of := range others {
			if i < len(of) {
				add(splice(data, all[j].value, []byte(of[i])))
			}
		}
	}
	for _, d := range all {
		if d.marks == nil {
			add(d.repeated(data))
		}
	}
	for _, line := range inclusions(data, all, n, include) {
		add(slices.Concat(data, ending(data), line))
	}
	return out
}

// wordy is the size in bytes from which a configuration is mostly explanations of itself: each of some hundred copies
// need not have them.
const wordy = 8 << 10

// withoutProse leaves out the comments that are no directives, where lines are all that there is to a configuration.
func withoutProse(data []byte) []byte {
	if notationOf(data) != notationLines {
		return data
	}
	var out []byte
	for line := range bytes.Lines(data) {
		if mark := comment.FindIndex(line); mark == nil || off(string(line[mark[1]:])) {
			out = append(out, line...)
		}
	}
	return out
}

// Configuration returns a copy of a configuration of at most o.Max bytes in which 1 to 4 directives are changed. Some
// come from o.Other, another one. Where there is no directive, bytes are changed.
func Configuration(r *rand.Rand, data []byte, o ByteOptions, include []string) []byte {
	limit := cmp.Or(o.Max, MaxInput)
	out := data
	for range 1 + r.IntN(4) {
		all, n := directives(out)
		if len(all) == 0 {
			return Bytes(r, data, o)
		}
		d := &all[r.IntN(len(all))]
		changed := d.changed(r, out, o, all)
		if lines := inclusions(out, all, n, include); r.IntN(16) == 0 && len(lines) > 0 {
			changed = splice(out, span{d.from, d.from}, one(r, lines))
		}
		if len(changed) <= limit {
			out = changed
		}
	}
	if r.IntN(16) == 0 {
		return Bytes(r, out, o)
	}
	return out[:min(len(out), limit)]
}

// changed is the configuration with the directive changed in one way.
func (d *directive) changed(r *rand.Rand, b []byte, o ByteOptions, all []directive) []byte {
	if d.marks != nil {
		return d.turnedOn(b)
	}
	switch r.IntN(8) {
	case 0:
		return splice(b, d.span, nil)
	case 1:
		return d.repeated(b)
	case 2: // at another place
		to := one(r, all)
		copied := slices.Concat(b[d.core.from:d.core.to], []byte(d.glue))
		return splice(b, span{to.core.from, to.core.from}, copied)
	case 3: // one of another configuration
		if others, _ := directives(o.Other); len(others) > 0 {
			from := one(r, others)
			return splice(b, span{d.core.from, d.core.from}, slices.Concat(o.Other[from.core.from:from.core.to], []byte(from.glue)))
		}
	case 4: // the value of another directive
		from := one(r, all)
		return splice(b, d.value, b[from.value.from:from.value.to])
	case 5:
		if len(o.Dictionary) > 0 {
			return splice(b, d.value, one(r, o.Dictionary))
		}
	}
	if values := valuesFor(b, d); len(values) > 0 {
		return splice(b, d.value, []byte(one(r, values)))
	}
	return d.repeated(b)
}

// turnedOn is the configuration without what makes the directive a comment.
func (d *directive) turnedOn(b []byte) []byte {
	out := make([]byte, 0, len(b))
	at := 0
	for _, m := range d.marks {
		out = append(out, b[at:m.from]...)
		at = m.to
	}
	return append(out, b[at:]...)
}

// crowds are what is turned off, n directives in each that lie one after the other. Of what is turned off as a whole its parts count.
func crowds(all []directive, n int) [][]directive {
	var single []directive
	for _, d := range all {
		if len(d.marks) == 1 {
			single = append(single, d)
		}
	}
	if len(single) < 2*n {
		return nil
	}
	slices.SortFunc(single, func(a, b directive) int { return a.marks[0].from - b.marks[0].from })
	return slices.Collect(slices.Chunk(single, n))
}

// turnedOn is the configuration without what makes each of some directives, which come in order, a comment. What is turned off
// has the value that it would have anyway, mostly; so switches may be thrown, and numbers grow.
func turnedOn(b []byte, some []directive, changed bool) []byte {
	out := make([]byte, 0, len(b))
	at := 0
	for _, d := range some {
		mark := d.marks[0]
		if mark.from < at { // it is in the one before
			continue
		}
		out = append(out, b[at:mark.from]...)
		at = mark.to
		if other := otherThan(string(b[d.value.from:d.value.to])); changed && other != "" && d.value.from >= at {
			out = append(append(out, b[at:d.value.from]...), other...)
			at = d.value.to
		}
	}
	return append(out, b[at:]...)
}

// otherThan is the other position of a switch, or a larger number; empty for other values.
func otherThan(value string) string {
	word := unquoted(value)
	other := thrown(word)
	if m := amount.FindStringSubmatch(word); m != nil {
		if other = m[1] + "0" + m[2]; strings.Trim(m[1], "0") == "" {
			other = "1" + m[2]
		}
	}
	if other == "" || word == value {
		return other
	}
	return value[:1] + other + value[:1]
}

// repeated is the configuration with the directive twice.
func (d *directive) repeated(b []byte) []byte {
	return splice(b, span{d.core.from, d.core.from}, slices.Concat(b[d.core.from:d.core.to], []byte(d.glue)))
}

// ending is what the text lacks to end in a whole line.
func ending(b []byte) []byte {
	if len(b) == 0 || b[len(b)-1] == '\n' {
		return nil
	}
	return []byte("\n")
}

var includes = lazyregexp.New(`(?i)^[!@]?include([_-]?(dir|file|if[_-]?exists|optional))?$`)

var follows = lazyregexp.New(`(?i)^([!@]?include(dir|file|optional)?([_-]\w+)*|conf-(dir|file))$`)

// Included are the names of files, of directories, and patterns of them that a configuration includes, as it has them.
func Included(data []byte) (out []string) {
	all, n := directives(data)
	if n == notationJSON {
		return nil
	}
	for _, d := range all {
		if d.marks != nil || !follows.MatchString(d.key) {
			continue
		}
		for _, w := range strings.Fields(string(data[d.value.from:d.value.to])) {
			if w = unquoted(w); w != "" && !slices.Contains(out, w) {
				out = append(out, w)
			}
		}
	}
	return out
}

// Including returns copies of a configuration that include one of some files each.
func Including(data []byte, files []string) (out [][]byte) {
	all, n := directives(data)
	for _, line := range inclusions(data, all, n, files) {
		out = append(out, slices.Concat(data, ending(data), line))
	}
	return out
}

// inclusions are lines that include files, as the configuration does it already, or as most do.
func inclusions(b []byte, all []directive, n notation, files []string) (out [][]byte) {
	if n == notationJSON {
		return nil
	}
	before, after := "include ", "\n"
	if n == notationStatements {
		after = ";\n"
	}
	for _, d := range all {
		if includes.MatchString(d.key) && d.marks == nil && d.value.from > d.from {
			before = strings.TrimLeft(string(b[d.from:d.value.from]), " \t")
			if value := string(b[d.value.from:d.value.to]); unquoted(value) != value {
				before, after = before+value[:1], value[:1]+after
			}
			break
		}
	}
	for _, f := range files {
		out = append(out, []byte(before+f+after))
	}
	return out
}

// switches are words with their opposites.
var switches = map[string]string{
	"yes": "no", "no": "yes", "on": "off", "off": "on", "true": "false", "false": "true",
	"enable": "disable", "disable": "enable", "enabled": "disabled", "disabled": "enabled",
	"1": "0", "0": "1", "all": "none", "none": "all", "always": "never", "never": "always",
	"allow": "deny", "deny": "allow", "granted": "denied", "denied": "granted",
}

// thrown is the other position of a switch, empty for what is none.
func thrown(word string) string {
	o := switches[strings.ToLower(word)]
	switch {
	case o == "" || word == "":
	case word == strings.ToUpper(word):
		return strings.ToUpper(o)
	case 'A' <= word[0] && word[0] <= 'Z':
		return strings.ToUpper(o[:1]) + o[1:]
	}
	return o
}

// unquoted is a word without quotes around it.
func unquoted(word string) string {
	if n := len(word); n > 1 && (word[0] == '"' || word[0] == '\'') && word[n-1] == word[0] {
		return word[1 : n-1]
	}
	return word
}

var amount = lazyregexp.New(`^-?(\d+)([A-Za-z%]{0,3})$`)

// instead are words to try in the place of one, the opposite of a switch first.
func instead(word string) (out []string) {
	inner := unquoted(word)
	add := func(words ...string) { out = append(out, words...) }
	if o := thrown(inner); o != "" {
		add(o)
	}
	if m := amount.FindStringSubmatch(inner); m != nil {
		add("0"+m[2], "1"+m[2], m[1]+"0"+m[2], "-1", "99999999999"+m[2])
	}
	if strings.Contains(inner, "/") {
		add("/nowhere/at/all", "/dev/null", "/", ".")
	}
	add("", "unknown")
	if inner != word {
		for i := range out {
			out[i] = word[:1] + out[i] + word[:1]
		}
	}
	return slices.DeleteFunc(out, func(w string) bool { return w == word })
}

// valuesFor are other values of a directive: each of its first words changed, and fewer and more words.
func valuesFor(b []byte, d *directive) []string {
	const most, longest = 3, 1 << 10
	text := string(b[d.value.from:d.value.to])
	if len(text) > longest {
		return []string{""}
	}
	switch {
	case text == "":
		return []string{" 1"}
	case text[0] == '{': // of JSON; what is in it are directives themselves
		return []string{"{}", "null"}
	case text[0] == '[':
		return []string{"[]", "null"}
	}
	words := strings.Fields(text)
	if len(words) < 2 || unquoted(text) != text {
		return instead(text)
	}
	var out []string
	for i, w := range words[:min(len(words), most)] {
		for _, other := range instead(w) {
			changed := slices.Clone(words)
			changed[i] = other
			out = append(out, strings.TrimSpace(strings.Join(changed, " ")))
		}
	}
	out = append(out, strings.Join(words[:1], " "), text+" "+words[len(words)-1])
	return slices.Compact(out)
}
