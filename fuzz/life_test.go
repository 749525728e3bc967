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
	life := lives([][]Act{talk("a"), talk("b"), talk("c")})[0]
	for _, tt := range []struct {
		begun int
		want  string // the message that comes next, "" for none
	}{{0, ""}, {1, "b"}, {2, "b"}, {3, "b"}, {4, "c"}, {6, "c"}, {7, ""}, {len(life), ""}} {
		rest := unsaid(&Scenario{Acts: life}, &Result{Acts: tt.begun})
		first := ""
		if len(rest) > 0 {
			first = string(rest[0].Data)
		}
		if first != tt.want {
			t.Errorf("after %d acts it is told %v, want %q first", tt.begun, rest, tt.want)
		}
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
