package fuzz

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
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
		{"on one connection", 80, []string{"80", "76"}, 21},
		{"on two", 80, []string{"80", "79"}, 81},
		{"at the end", 101, []string{"80"}, 101},
		{"before all", -1, nil, 101},
		{"elsewhere", 10, []string{"80"}, 101},
	} {
		tries := 0
		got := shortened(Scenario{Acts: long}, tt.by, func(s *Scenario) bool { tries++; return has(s, tt.need...) })
		if len(got.Acts) != tt.acts || tries > 2 {
			t.Errorf("%s: %d acts after %d runs, want %d", tt.name, len(got.Acts), tries, tt.acts)
		}
	}
	closed := []Act{said(1, "a"), {Do: DeedLeave, To: "tcp/80", Client: 1}, said(1, "b"), said(1, "c")}
	if got := connectionOf(closed, 3); !reflect.DeepEqual(got, closed[2:]) {
		t.Errorf("of a connection that was closed before is left %v", got)
	}
}
