package fuzz

import (
	"context"
	"slices"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// client is an Executor for a target that calls somebody when it is told to, and does more
// where it is answered.
type client struct {
	meets *[]Peers // of all its runs
}

func (c client) Run(_ context.Context, s *Scenario) (*Result, error) {
	*c.meets = append(*c.meets, s.World.Peers)
	r := &Result{Seen: []sysno.ID{id(0)}}
	switch calls := slices.Contains(s.Argv, "http://host.example/"); {
	case !calls:
	case s.World.Peers == Peers{}:
		r.Called = true
	default:
		r.Asked = map[string]uint64{"http": 1}
		r.Seen = append(r.Seen, id(1))
		if s.World.Peers.Reply == ReplyMoved {
			r.Seen = append(r.Seen, id(2))
		}
	}
	return r, nil
}

func (client) Close() error { return nil }

func learnClient(t *testing.T, can Abilities, argv ...string) (*Outcome, []Peers) {
	t.Helper()
	var meets []Peers
	out, err := Run(context.Background(), Options{
		Bases: []Scenario{{Argv: append([]string{"client"}, argv...)}}, Seed: 1, Execs: 400, Can: can,
		NewExecutor: func(int) (Executor, error) { return client{&meets}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return out, meets
}

func TestWhoCallsSomebodyIsAnsweredInAllWays(t *testing.T) {
	out, meets := learnClient(t, Abilities{Peers: true}, "http://host.example/")
	for _, p := range tellingPeers() {
		if !slices.Contains(meets, p) {
			t.Errorf("the target never met peers that are %v", p)
		}
	}
	witness := map[sysno.ID]Peers{}
	for _, w := range out.Witnesses {
		for _, o := range out.Observations {
			if o.Witness.Command == w.Scenario.Command(w.ID) {
				witness[o.ID] = w.Scenario.World.Peers
			}
		}
	}
	for nr, want := range []Peers{{}, {Conduct: ConductProper}, {Conduct: ConductProper, Reply: ReplyMoved}} {
		if got, ok := witness[id(uint32(nr))]; !ok || got != want {
			t.Errorf("the witness of syscall %d has peers that are %v, want %v", nr, got, want)
		}
	}
	if out.Asked["http"] == 0 {
		t.Error("no conversation is told of")
	}
}

func TestWhoCallsNobodyMeetsNobody(t *testing.T) {
	out, meets := learnClient(t, Abilities{Peers: true})
	if out.Called {
		t.Error("somebody is said to have been called")
	}
	if i := slices.IndexFunc(meets, func(p Peers) bool { return p != Peers{} }); i >= 0 {
		t.Errorf("run %d has peers that are %v", i, meets[i])
	}
	out, meets = learnClient(t, Abilities{}, "http://host.example/")
	if i := slices.IndexFunc(meets, func(p Peers) bool { return p != Peers{} }); i >= 0 {
		t.Errorf("where there can be none, run %d has peers that are %v", i, meets[i])
	}
	if slices.ContainsFunc(out.Varied, func(v Varied) bool { return v.Dimension == "peers" }) {
		t.Error("peers are said to have been varied")
	}
	if !out.Called {
		t.Error("it is not said that somebody was called who could not answer")
	}
}

// A service calls whom it is told to, so each talk after which it has called somebody is had again where that is answered.
func TestAServiceIsAnsweredAfterEachTalk(t *testing.T) {
	o := Options{Bases: []Scenario{{Argv: []string{"server"}}}, Can: Abilities{Peers: true}}
	c := newCorpus(&o, nil)
	for i, to := range []string{"nobody", "somebody"} {
		s := Scenario{Argv: []string{"server"}, Acts: []Act{{Do: DeedSend, To: "tcp/7", Client: 1, Data: []byte("call " + to)}}}
		runs := c.answer(&s)
		if !slices.ContainsFunc(runs, func(s Scenario) bool { return s.World.Peers.Conduct == ConductProper }) {
			t.Errorf("what it calls when it hears %q never answers", s.Acts[0].Data)
		}
		// Neither in another world nor ended sooner is it another talk, nor does it take the place of one.
		ended, typing := s, s
		ended.Acts = killed(s.Acts)
		ended.Files = []File{{Name: "file", Data: []byte("x")}}
		typing.Argv, typing.Acts = []string{"server", "at", "a terminal"}, []Act{{Do: DeedType, Data: []byte("call")}}
		for _, same := range append(runs, s, ended) {
			if again := c.answer(&same); len(again) > 0 {
				t.Errorf("%d runs are made of %q once more", len(again), s.Acts[0].Data)
			}
		}
		c.answer(&typing)
		if lives := i + 1; len(c.lives) != lives || len(c.calls) != 1 {
			t.Errorf("after talk %d, %d talks and %d command lines count, want 1", lives, len(c.lives), len(c.calls))
		}
	}
}
