package fuzz

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

func atKeyboard() *Options {
	return &Options{
		Bases: []Scenario{{Argv: []string{"edit"}}}, Fixed: 1, Can: Abilities{Terminal: true, Talk: true},
		Seeds:      []Seed{{Data: []byte("first line\nsecond line\n")}, {Data: []byte{0, 1, 2}}},
		Table:      mutate.Table{Commands: []string{"quit"}},
		Dictionary: mutate.Dictionary{[]byte("buffers"), []byte("\x00")},
	}
}

// Whatever is planned or drawn for a keyboard can be run, and comes back from the state directory as it was.
func TestWhatIsTypedCanBeStored(t *testing.T) {
	o := atKeyboard()
	c := newCorpus(o, map[sysno.ID]*record{})
	s := Scenario{Argv: []string{"edit", "@@"}, Input: []byte("text")}
	s.atScreen()
	s.Acts = glance()
	all := c.sit(&s, &Result{Waited: true, Keyed: true})
	planned := len(all)
	r := rand.New(rand.NewPCG(1, 2))
	change := func(data []byte) []byte {
		return append(slices.Clone(data), bytes.Repeat([]byte{byte(r.IntN(256))}, r.IntN(600))...)
	}
	drawn := make(map[Deed]int)
	acts := glance()
	known := append(o.brief(), o.scripts()...)
	for range 3000 {
		acts = drawKeys(r, acts, known, o.Dictionary, change)
		for _, a := range acts {
			drawn[a.Do]++
		}
		with := s
		with.Acts = acts
		with.settle()
		all = append(all, with)
	}
	for i, s := range all {
		if err := s.Check(); err != nil {
			t.Fatalf("%v\nrefused: %v", s.Acts, err)
		}
		if i%20 != 0 && i > planned { // each costs
			continue
		}
		text, err := encodeScenario(&s)
		if err != nil {
			t.Fatal(err)
		}
		back, err := decodeScenario(text)
		if back.Input = s.Input; err != nil || back.ID() != s.ID() {
			t.Fatalf("%s\nis read as %+v, %v", text, back, err)
		}
	}
	for d := DeedType; d < deeds; d++ {
		if drawn[d] == 0 {
			t.Errorf("%v is never drawn", d)
		}
	}
	typed := func(what string) bool {
		return slices.ContainsFunc(all[:planned], func(s Scenario) bool {
			return slices.ContainsFunc(s.Acts, func(a Act) bool { return string(a.Data) == what })
		})
	}
	for _, what := range []string{"q", "\x03", "\x1bOP", "second line\r", "\x1b:buffers\r", "quit\r"} {
		if !typed(what) {
			t.Errorf("%s is not among what is tried", keys([]byte(what)))
		}
	}
	lines := s
	lines.Argv = []string{"edit"}
	if some := c.sit(&lines, &Result{Waited: true}); len(some) == 0 || len(some) > planned/2 {
		t.Errorf("of %d runs, %d are for who reads lines, too", planned, len(some))
	}
	if again := c.sit(&s, &Result{Waited: true}); len(again) > 0 {
		t.Errorf("the same command line is tried again, with %d runs", len(again))
	}
}

func TestWhoWaitsForKeysIsPutAtATerminal(t *testing.T) {
	o := atKeyboard()
	var found []Scenario
	sittings(o, o.Bases[0], templates(o.Bases[0], 1), func(_ rank, s Scenario) { found = append(found, s) })
	if len(found) != 2 || !found[0].onTerminal() || !found[0].Types() || slices.Equal(found[0].Argv, found[1].Argv) {
		t.Fatalf("got %+v, want the program at a terminal, alone and with a file", found)
	}
	c := newCorpus(o, map[sysno.ID]*record{})
	plain := Scenario{Argv: []string{"edit", "-x"}, Stdin: StdinPipe, Input: []byte("text")}
	at := func() (n int) {
		for turn := 1; turn <= 16; turn++ {
			if s := c.seated(plain, &planned{turn: turn}); s.onTerminal() {
				if n++; !s.Types() || s.Check() != nil {
					t.Fatalf("it is put at a terminal as %+v", s)
				}
			}
		}
		return n
	}
	if n := at(); n > 0 || c.varies(dimKeys) {
		t.Error("a program that was not seen to wait for keys has a keyboard")
	}
	c.sit(&found[0], &Result{Waited: true, Keyed: true})
	if n := at(); n != 14 || !c.varies(dimKeys) {
		t.Errorf("of 16 runs of a program that fails without a terminal, %d have one, want 14", n)
	}
	c.plain = true
	if n := at(); n != 8 {
		t.Errorf("of 16 runs of a program that does well without a terminal, %d have one, want 8", n)
	}
	for name, o := range map[string]*Options{"no terminal": {Can: Abilities{Talk: true}}, "no cage": {Can: Abilities{Terminal: true}}, "other things to vary": {Can: all, Only: []string{"argv"}}} {
		sittings(o, o.base(), []Scenario{{}}, func(_ rank, s Scenario) { t.Errorf("with %s there is a run with %v", name, s.Acts) })
	}
}

func (o *Options) base() Scenario { return Scenario{Argv: []string{"edit"}} }

func TestTheFewestKeysAreFound(t *testing.T) {
	s := Scenario{Argv: []string{"edit"}, Acts: press("a", "b", "ihello\x1b", ":w\r", "q")}
	s.atScreen()
	got := minimize(s, 1, 500, func(s *Scenario) bool {
		var typed string
		for _, a := range s.Acts {
			typed += string(a.Data)
		}
		return s.Stdin == StdinTerminal && s.Types() && bytes.Contains([]byte(typed), []byte("ih")) && bytes.Contains([]byte(typed), []byte(":w\r"))
	})
	if want := `edit # with a terminal as standard input, typed "ihe:w" Return`; got.Command("x") != want {
		t.Errorf("got  %s\nwant %s", got.Command("x"), want)
	}
	got = minimize(s, 1, 500, func(s *Scenario) bool { return true })
	if got.Types() || got.onTerminal() {
		t.Errorf("what is shown without keys has %+v", got)
	}
}
