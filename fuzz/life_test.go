package fuzz

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func said(client uint8, data string) Act {
	return Act{Do: DeedSend, To: "tcp/80", Client: client, Data: []byte(data)}
}

// A life has as many messages as are worth a start, and what ends a service is its end.
func TestADrawnLifeIsLongAndEndsOnce(t *testing.T) {
	c := newCorpus(talking(), nil)
	for i := range 8 { // "quit" ends it whenever others follow; "more" does not
		s := Scenario{Acts: []Act{said(1, "more"), said(1, fmt.Sprint("other ", i)), said(1, "quit"), said(1, "more")}}
		c.outlive(&s, &Result{Acts: 3})
	}
	r := rand.New(rand.NewPCG(1, 2))
	known := [][]Act{{said(1, "more"), said(1, "more")}, {said(1, "more"), said(1, "quit")}}
	same := func(data []byte) []byte { return data }
	const lives = 400
	acts, early := 0, 0
	for range lives {
		all := drawActs(r, known[0], known, same, c.endings)
		acts += len(all)
		if n := len(all) - 2; n > 0 && slices.ContainsFunc(all[:n], func(a Act) bool { return string(a.Data) == "quit" }) {
			early++
		}
	}
	if acts < lives*longLife/3 {
		t.Errorf("%d lives have %d acts", lives, acts)
	}
	if early == 0 || early > lives*9/10 { // what ends a service early may show what nothing else does
		t.Errorf("%d of %d lives end before their end", early, lives)
	}
	if c.endings[deedOf(&known[0][0])] {
		t.Error("what a service outlives is taken for its end")
	}
}

// What a long life has shown is sought first where it was seen.
func TestALongLifeIsShortened(t *testing.T) {
	var long []Act
	for i := range 100 {
		long = append(long, said(uint8(1+i%4), fmt.Sprint(i)))
	}
	long = append(long, send(unix.SIGKILL))
	has := func(s *Scenario, data ...string) bool {
		for _, d := range data {
			if !slices.ContainsFunc(s.Acts, func(a Act) bool { return string(a.Data) == d }) {
				return false
			}
		}
		return true
	}
	for _, tt := range []struct {
		name string
		by   int
		need []string
		acts int
	}{
		{"alone", 80, []string{"80"}, 2},
		{"on one connection", 80, []string{"80", "76"}, 22},
		{"on two", 80, []string{"80", "79"}, 82},
		{"at the end", 101, []string{"80"}, 101},
		{"before all", -1, nil, 1},
		{"elsewhere", 10, []string{"80"}, 101},
	} {
		tries := 0
		got, short := shortened(Scenario{Acts: long}, tt.by, func(s *Scenario) bool { tries++; return has(s, tt.need...) })
		if len(got.Acts) != tt.acts || tries > 3 || short != (tt.acts < len(long)) || !isKilled(got.Acts) {
			t.Errorf("%s: %d acts after %d runs, want %d", tt.name, len(got.Acts), tries, tt.acts)
		}
	}
	closed := []Act{said(1, "a"), {Do: DeedLeave, To: "tcp/80", Client: 1}, said(1, "b"), said(1, "c")}
	if got := connectionOf(closed, 3); !reflect.DeepEqual(got, closed[2:]) {
		t.Errorf("of a connection that was closed before is left %v", got)
	}
}

// What is done to a service before chance decides is done in few lives, and each talk finds it as if it were the first.
func TestTalksShareALife(t *testing.T) {
	talk := []Act{said(1, "a"), said(2, "b"), {Do: DeedFinish, To: "tcp/80", Client: 2}, said(3, "c"), {Do: DeedReset, To: "tcp/80", Client: 3}}
	large := []Act{{Do: DeedSend, To: "tcp/80", Client: 1, Data: make([]byte, much), Times: 2}}
	leave := func(client uint8) Act { return Act{Do: DeedLeave, To: "tcp/80", Client: client} }
	got := lives([][]Act{talk, {send(unix.SIGHUP)}, talk, large, talk})
	one := slices.Concat(talk, []Act{leave(1), leave(2)})
	want := [][]Act{slices.Concat(one, []Act{send(unix.SIGHUP)}, one), append(slices.Clone(large), leave(1)), one}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	many := lives(slices.Repeat([][]Act{talk}, 100))
	for _, acts := range many {
		if len(acts) > longLife {
			t.Errorf("a life of %d acts", len(acts))
		}
	}
	if len(many) > 5 {
		t.Errorf("100 talks in %d lives", len(many))
	}
}

// A talk that ends the service keeps none of those behind it from being had.
func TestWhatAServiceDidNotLiveToHearIsSaidToTheNext(t *testing.T) {
	talk := func(data string) []Act { return []Act{said(1, data), said(1, "more")} }
	reset := func(data string) []Act {
		return []Act{said(1, data), {Do: DeedReset, To: "tcp/80", Client: 1}}
	}
	left := lives([][]Act{talk("a"), talk("b"), talk("c")})[0]
	torn := lives([][]Act{reset("a"), reset("b"), reset("c"), {said(1, "d")}, {said(1, "e")}})[0]
	signals := lives([][]Act{{send(unix.SIGHUP)}, {send(unix.SIGUSR1)}, {send(unix.SIGUSR2)}})[0]
	both := []Act{said(1, "a"), said(2, "b"), {Do: DeedLeave, To: "tcp/80", Client: 1}, said(2, "c"), {Do: DeedLeave, To: "tcp/80", Client: 2}, {Do: DeedRotate}}
	for _, tt := range []struct {
		name  string
		life  []Act
		begun int
		rest  int // where in the life that begins
	}{
		{"left", left, 0, 0},
		{"left", left, 1, 3},
		{"left", left, 2, 3},
		{"left", left, 3, 3},
		{"left", left, 4, 6},
		{"left", left, 6, 6},
		{"left", left, 7, 9},
		{"left", left, 9, 9},
		{"torn", torn, 1, 2},
		{"torn", torn, 2, 2},
		{"torn", torn, 3, 4},
		{"torn", torn, 5, 6},
		{"torn", torn, 7, 8},
		{"torn", torn, 9, len(torn)},
		{"signals", signals, 1, 1},
		{"signals", signals, 2, 2},
		{"signals", signals, 3, 3},
		{"two connections", both, 1, 5},
		{"two connections", both, 3, 5},
	} {
		if rest := unsaid(tt.life, tt.begun); len(rest) != len(tt.life)-tt.rest {
			t.Errorf("%s: after %d of %v comes %v, want what begins at %d", tt.name, tt.begun, tt.life, rest, tt.rest)
		}
	}
}

// What fills a run to the last act is planned, and has a life of its own: there is no room to leave.
func TestATalkOfAsManyActsAsThereMayBeIsHad(t *testing.T) {
	whole := slices.Repeat([]Act{said(1, "x")}, MaxActs)
	var many []Act // short, and yet no room for all to leave
	for i := range MaxActs/2 + 1 {
		many = append(many, said(uint8(1+i), "y"))
	}
	short := []Act{said(1, "z")}
	end := Act{Do: DeedLeave, To: "tcp/80", Client: 1}
	want := [][]Act{whole, many, {short[0], end, short[0], end}, many, {short[0], end}}
	if got := lives([][]Act{whole, many, short, short, many, short}); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	o := talking()
	o.Talks = [][]Act{whole, slices.Repeat([]Act{said(1, "w")}, MaxActs-1)}
	firsts := 0
	talks(o, o.Bases[0], func(r rank, s Scenario) {
		if err := s.Check(); err != nil {
			t.Error(err)
		}
		if r == rankFavoured {
			firsts++
		}
	})
	if firsts != len(o.Talks) {
		t.Errorf("%d of %d talks are had", firsts, len(o.Talks))
	}
}

// An excerpt of a life can be run, whatever ends it.
func TestAWholeLifeIsShortenedToWhatCanBeRun(t *testing.T) {
	life := Scenario{Argv: []string{"served"}, Stdin: StdinNull, Acts: slices.Repeat([]Act{said(1, "x")}, MaxActs)}
	for by := -1; by < len(life.Acts); by++ {
		shortened(life, by, func(s *Scenario) bool {
			if err := s.Check(); err != nil {
				t.Errorf("of what was shown by act %d is left: %v", by, err)
			}
			return false
		})
	}
}

// How a service was ended in haste is not told, unless it is all that there is to tell.
func TestAQuickEndIsNotTold(t *testing.T) {
	for _, tt := range []struct {
		acts []Act
		want bool
	}{{[]Act{said(1, "a"), send(unix.SIGKILL)}, false}, {[]Act{send(unix.SIGKILL)}, true}, {[]Act{said(1, "a"), send(unix.SIGTERM)}, false}} {
		s := Scenario{Argv: []string{"served"}, Stdin: StdinNull, Acts: tt.acts}
		if told := strings.Contains(s.Command(s.ID()), "SIGKILL"); told != tt.want {
			t.Errorf("%v is told as %s", tt.acts, s.Command(s.ID()))
		}
	}
}
