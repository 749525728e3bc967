package fuzz

import (
	"maps"
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// setting is where a word of which little is known is tried.
type setting uint8

const (
	settingNone    setting = iota
	settingAlone           // nothing but the word
	settingOperand         // before something to work on, which it may also take for its value
	settings
)

// trial marks a run by which refusals are known.
type trial struct {
	setting setting
	word    string // "": the same without any; unknownWord: one that the target cannot know
}

const unknownWord = "--no-such-option"

// refusals tell which words the target takes for options that it does not know. Much of what
// looks like an option in a program's file is one of something else, of a sub-command mostly.
type refusals struct {
	settled func(sysno.ID) bool  // syscalls that a Result may leave out
	usual   [settings][2]*Result // without a word, and with one that is unknown
	alike   map[trial]bool       // whether the word made the same difference as the unknown one
	before  map[string]bool      // words that earlier sessions know to be refused
}

// note books a trial.
func (f *refusals) note(t trial, r *Result) {
	if t.setting == settingNone {
		return
	}
	usual := &f.usual[t.setting]
	switch t.word {
	case "":
		usual[0] = kept(r)
	case unknownWord:
		usual[1] = kept(r)
	default:
		f.alike[t] = usual[1] != nil && f.same(usual[1], r)
	}
}

// kept is a copy, for an executor may use the memory of a Result again.
func kept(r *Result) *Result {
	k := *r
	k.Seen = slices.Clone(r.Seen)
	return &k
}

// refused reports whether the target takes a word for one that it does not know: in each setting where
// that makes a difference, and at least before an operand.
func (f *refusals) refused(word string) bool {
	if f.before[word] {
		return true
	}
	if !f.alike[trial{settingOperand, word}] || !f.tells(settingOperand) {
		return false
	}
	return f.alike[trial{settingAlone, word}] || !f.tells(settingAlone)
}

// all are the words that are refused, sorted.
func (f *refusals) all() []string {
	out := slices.Collect(maps.Keys(f.before))
	for t := range f.alike {
		if t.setting == settingOperand && f.refused(t.word) {
			out = append(out, t.word)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// tells reports whether the target treats an unknown word in a setting in another way than none at all.
func (f *refusals) tells(s setting) bool {
	usual := f.usual[s]
	return usual[0] != nil && usual[1] != nil && !f.same(usual[0], usual[1])
}

// same reports whether two runs went the same way, as far as that shows.
func (f *refusals) same(a, b *Result) bool {
	open := func(r *Result) []sysno.ID {
		return slices.DeleteFunc(slices.Clone(r.Seen), func(id sysno.ID) bool { return f.settled(id) })
	}
	return a.ExitCode == b.ExitCode && a.Signal == b.Signal && a.TimedOut == b.TimedOut && slices.Equal(open(a), open(b))
}
