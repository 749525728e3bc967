package fuzz

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// spoken are talks with two sockets, as a survey finds them.
var spoken = [][]Act{
	{{Do: DeedSend, To: "tcp/80", Client: 1, Data: []byte("GET /\r\n")}, {Do: DeedSend, To: "tcp/80", Client: 1, Data: []byte("GET /a\r\n")}},
	{{Do: DeedSend, To: "unix/@name", Client: 1, Data: []byte("hello")}},
	{{Do: DeedSend, To: "tcp/80", Client: 1, Data: bytes.Repeat([]byte{0, 0xff}, 50_000)}, {Do: DeedRotate}, send(unix.SIGHUP)},
}

func talking() *Options {
	base := Scenario{Argv: []string{"served"}, Stdin: StdinNull, Acts: spoken[0]}
	return &Options{Bases: []Scenario{base}, Fixed: 1, Talks: spoken, Can: Abilities{Talk: true}}
}

// Whatever is planned or drawn can be run, and comes back from the state directory as it was.
func TestWhatIsDoneToAServiceCanBeStored(t *testing.T) {
	var all []Scenario
	o := talking()
	talks(o, o.Bases[0], func(_ rank, s Scenario) { all = append(all, s) })
	planned := len(all)
	r := rand.New(rand.NewPCG(1, 2))
	change := func(data []byte) []byte { return append(slices.Clone(data), byte(r.IntN(256))) }
	drawn := make(map[Deed]int)
	acts := spoken[0]
	for range 500 {
		acts = drawActs(r, acts, spoken, change, nil)
		for _, a := range acts {
			drawn[a.Do]++
		}
		all = append(all, Scenario{Argv: []string{"served"}, Stdin: StdinNull, Acts: acts})
	}
	for i, s := range all {
		if err := s.Check(); err != nil {
			t.Fatalf("%v\nrefused: %v", s.Acts, err)
		}
		if i%10 != 0 && i > planned { // each costs
			continue
		}
		text, err := encodeScenario(&s)
		if err != nil {
			t.Fatal(err)
		}
		back, err := decodeScenario(text)
		if err != nil || back.ID() != s.ID() {
			t.Fatalf("%s\nis read as %+v, %v", text, back, err)
		}
	}
	for d := DeedSend; d <= DeedRotate; d++ {
		if drawn[d] == 0 {
			t.Errorf("%v is never drawn", d)
		}
	}
	tried := make(map[string]bool)
	for _, s := range all[:planned] {
		for _, a := range s.Acts {
			tried[a.Do.String()+unix.SignalName(a.Signal)] = true
		}
	}
	for d := DeedSend; d <= DeedReset; d++ {
		if !tried[d.String()] {
			t.Errorf("no planned run has %v", d)
		}
	}
	for _, sig := range announced {
		if !tried[send(sig).Do.String()+unix.SignalName(sig)] {
			t.Errorf("no planned run has %v", sig)
		}
	}
}

// What may be commands is most of what could be said, and is half of what draws say.
func TestGuessedCommandsDoNotDrownWhatIsKnown(t *testing.T) {
	o := talking()
	for i := range 64 {
		o.Commands = append(o.Commands, []Act{said(1, fmt.Sprint(i))})
	}
	c := newCorpus(o, nil)
	r := rand.New(rand.NewPCG(1, 2))
	drawn := map[string]bool{}
	for range 1000 {
		got := c.talks(r)
		if len(got) != 2*len(o.Talks) {
			t.Fatalf("a draw has %d talks to begin with, of which %d are known", len(got), len(o.Talks))
		}
		for _, acts := range got {
			drawn[string(acts[0].Data)] = true
		}
	}
	if len(drawn) != len(o.Talks)+len(o.Commands) {
		t.Errorf("%d of %d talks are drawn", len(drawn), len(o.Talks)+len(o.Commands))
	}
}

func TestOnlyServicesAreTalkedTo(t *testing.T) {
	for name, o := range map[string]*Options{"no talks": {Can: Abilities{Talk: true}}, "no network": {Talks: spoken}} {
		if o.varies(dimMessages) {
			t.Errorf("with %s messages are varied", name)
		}
		talks(o, Scenario{Argv: []string{"x"}}, func(_ rank, s Scenario) { t.Errorf("with %s there is a run with %v", name, s.Acts) })
	}
	if !talking().varies(dimMessages) {
		t.Error("of a service, messages are not varied")
	}
}

func TestActsThatCannotBeAreRefused(t *testing.T) {
	for _, a := range []Act{
		{}, {Do: deeds}, {Do: DeedSend, To: "tcp/80"}, {Do: DeedSend, To: "tcp/080", Client: 1}, {Do: DeedSend, To: "tcp/65536", Client: 1}, {Do: DeedSend, To: "sctp/1", Client: 1},
		{Do: DeedSend, To: "unix/", Client: 1}, {Do: DeedSend, To: "tcp/80", Client: 1, Times: 1}, {Do: DeedSend, To: "tcp/80", Client: 1, Times: MaxTimes + 1},
		{Do: DeedSend, To: "tcp/80", Client: 1, Data: make([]byte, 1<<20), Times: 100}, {Do: DeedCrowd, To: "tcp/80", Client: 1}, {Do: DeedReset, To: "tcp/80", Client: 1, Data: []byte("x")},
		{Do: DeedSignal}, {Do: DeedSignal, Signal: unix.SIGSTOP}, {Do: DeedSignal, Signal: unix.SIGHUP, To: "tcp/80"}, {Do: DeedRotate, To: "tcp/80"}, {Do: DeedRotate, Client: 1},
	} {
		s := Scenario{Argv: []string{"x"}, Stdin: StdinNull, Acts: []Act{a}}
		if s.Check() == nil {
			t.Errorf("%+v passes", a)
		}
		if s = (Scenario{Argv: []string{"x"}, Stdin: StdinNull, Before: []Step{{Argv: []string{"x"}, Acts: []Act{a}}}}); s.Check() == nil {
			t.Errorf("%+v passes in a step", a)
		}
	}
	if s := (Scenario{Argv: []string{"x"}, Stdin: StdinNull, Acts: make([]Act, MaxActs+1)}); s.Check() == nil {
		t.Errorf("%d acts pass", len(s.Acts))
	}
}

func TestTheSmallestTalkIsFound(t *testing.T) {
	secret := []byte("secret")
	big := []Act{
		{Do: DeedSend, To: "tcp/80", Client: 1, Data: []byte("first")},
		{Do: DeedCrowd, To: "tcp/80", Times: 20, Data: []byte("x")},
		send(unix.SIGHUP),
		{Do: DeedShout, To: "tcp/80", Client: 2, Times: 64, Data: slices.Concat(secret, make([]byte, 1000))},
		{Do: DeedFinish, To: "tcp/80", Client: 2},
	}
	says := func(s *Scenario) bool {
		return slices.ContainsFunc(s.Acts, func(a Act) bool { return bytes.HasPrefix(a.Data, secret) })
	}
	for _, tt := range []struct {
		name  string
		shows func(*Scenario) bool
		want  []Act
	}{
		{"nothing said", func(*Scenario) bool { return true }, []Act{ending()}},
		{"a message", says, []Act{{Do: DeedSend, To: "tcp/80", Client: 2, Data: slices.Concat(secret, []byte{0})}}},
		{"a signal", func(s *Scenario) bool {
			return slices.ContainsFunc(s.Acts, func(a Act) bool { return a.Signal == unix.SIGHUP })
		}, []Act{send(unix.SIGHUP)}},
		{"a crowd", func(s *Scenario) bool {
			return slices.ContainsFunc(s.Acts, func(a Act) bool { return a.Do == DeedCrowd && a.Times >= 10 })
		}, []Act{{Do: DeedCrowd, To: "tcp/80", Times: 10, Data: []byte{}}}},
	} {
		got := minimize(Scenario{Argv: []string{"x"}, Stdin: StdinNull, Acts: big}, 1, tries, tt.shows)
		if !reflect.DeepEqual(ActWords(got.Acts), ActWords(tt.want)) {
			t.Errorf("%s: got %v, want %v", tt.name, got.Acts, tt.want)
		}
	}
}

// A step of a later scenario is the whole run: start, talk, stop.
func TestAServiceIsTalkedToBeforeToo(t *testing.T) {
	s := Scenario{Argv: []string{"x"}, Stdin: StdinNull, Acts: spoken[1]}
	before, _, ok := s.past()
	if !ok || len(before) != 1 || !reflect.DeepEqual(before[0].Acts, spoken[1]) {
		t.Errorf("the step is %+v, %v", before, ok)
	}
	quiet := Scenario{Argv: []string{"x"}, Stdin: StdinNull, Before: []Step{{Argv: []string{"x"}}}}
	talked := quiet
	talked.Before = before
	if quiet.ID() == talked.ID() {
		t.Error("what was said before makes no difference to the name")
	}
	if (Abilities{}).Allow(&talked) {
		t.Error("it may be run where there is no network for it")
	}
}
