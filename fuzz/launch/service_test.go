package launch

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

//go:embed testdata/service.c
var serviceC []byte

// services is an executor of testdata/service.c.
func services(t *testing.T) *Exec {
	t.Helper()
	testenv.Require(t, testenv.Cage)
	program := testenv.Compile(t, serviceSource(t))
	e, err := New(Options{Program: program, Cage: &cage.Options{Expose: []string{filepath.Dir(program)}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// serviceSource is a copy of testdata/service.c for the compiler.
func serviceSource(t *testing.T) string {
	t.Helper()
	source := filepath.Join(t.TempDir(), "service.c")
	if err := os.WriteFile(source, serviceC, 0o600); err != nil {
		t.Fatal(err)
	}
	return source
}

func serving(how string, acts ...fuzz.Act) *fuzz.Scenario {
	return &fuzz.Scenario{Argv: []string{"service", how}, Stdin: fuzz.StdinNull, Acts: acts}
}

func say(to fuzz.Socket, client uint8, data string) fuzz.Act {
	return fuzz.Act{Do: fuzz.DeedSend, To: to, Client: client, Data: []byte(data)}
}

func signaled(sig unix.Signal) fuzz.Act { return fuzz.Act{Do: fuzz.DeedSignal, Signal: sig} }

func TestAServiceIsTalkedTo(t *testing.T) {
	e := services(t)
	const at = fuzz.Socket("tcp/7000")
	on := func(d fuzz.Deed, client uint8) fuzz.Act { return fuzz.Act{Do: d, To: at, Client: client} }
	one := fuzz.Exchange{Socket: at, Sent: 1, Answered: 1, First: []byte("hello")}
	with := func(change func(*fuzz.Exchange)) []fuzz.Exchange {
		x := one
		change(&x)
		return []fuzz.Exchange{x}
	}
	many := fuzz.Act{Do: fuzz.DeedSend, To: at, Client: 1, Data: []byte(strings.Repeat("x", 1000)), Times: 400}
	for _, tt := range []struct {
		name string
		s    *fuzz.Scenario
		said []fuzz.Exchange
		want string // of what it prints; "" for anything
	}{
		{"a message", serving("echo", say(at, 1, "hello")), []fuzz.Exchange{one}, "got 5\nend\n"},
		{"three, each when the last was answered", serving("echo", say(at, 1, "hello"), say(at, 1, "a"), say(at, 1, "bc")), with(func(x *fuzz.Exchange) { x.Sent, x.Answered = 3, 3 }), "got 5\ngot 1\ngot 2\nend\n"},
		{"byte by byte", serving("echo", fuzz.Act{Do: fuzz.DeedDrip, To: at, Client: 1, Data: []byte("abc")}), nil, "got 1\ngot 1\ngot 1\nend\n"},
		{"a half-closed connection", serving("echo", say(at, 1, "hello"), on(fuzz.DeedFinish, 1), say(at, 2, "a")), with(func(x *fuzz.Exchange) { x.Sent, x.Answered = 2, 2 }), "got 5\nend\ngot 1\nend\n"},
		{"a closed one", serving("echo", say(at, 1, "hello"), on(fuzz.DeedLeave, 1), say(at, 1, "a")), with(func(x *fuzz.Exchange) { x.Sent, x.Answered = 2, 2 }), "got 5\nend\ngot 1\nend\n"},
		{"a reset", serving("echo", say(at, 1, "hello"), on(fuzz.DeedReset, 1)), []fuzz.Exchange{one}, "got 5\nreset\n"},
		{"a signal in between", serving("echo", say(at, 1, "hello"), signaled(unix.SIGUSR1), say(at, 1, "a")), with(func(x *fuzz.Exchange) { x.Sent, x.Answered = 2, 2 }), "got 5\nsignal 10\ngot 1\nend\n"},
		{"a hard end", serving("echo", say(at, 1, "hello"), signaled(unix.SIGKILL)), []fuzz.Exchange{one}, "got 5\n"},
		{"much, all of which comes back", serving("echo", many), with(func(x *fuzz.Exchange) { x.First = []byte(strings.Repeat("x", fuzz.FirstSize)) }), ""},
		{"several at once", serving("forks", say(at, 1, "hello"), say(at, 2, "b"), say(at, 1, "c"), say(at, 2, "d")), with(func(x *fuzz.Exchange) { x.Sent, x.Answered = 4, 4 }), ""},
		{"a crowd", serving("forks", fuzz.Act{Do: fuzz.DeedCrowd, To: at, Data: []byte("hello"), Times: 20}), with(func(x *fuzz.Exchange) { x.Sent, x.Answered = 20, 20 }), ""},
		{"a socket that it does not have", serving("echo", say("tcp/7001", 1, "hello")), []fuzz.Exchange{one}, "got 5\nend\n"},
		{"a kind of socket that it does not have", serving("echo", say("udp/7000", 1, "hello")), nil, ""},
		{"who speaks first", serving("banner", say(at, 1, "x")), nil, "got 1\nend\n"},
		{"datagrams", serving("udp", say("udp/5300", 1, "hello"), say("udp/5300", 1, "hi")), []fuzz.Exchange{{Socket: "udp/5300", Sent: 2, Answered: 2, First: []byte("hello")}}, "got 5\ngot 2\n"},
		{"a Unix socket in its directory", serving("unix", say("unix/s", 1, "hello")), []fuzz.Exchange{{Socket: "unix/s", Sent: 1, Answered: 1, First: []byte("hello")}}, "got 5\nend\n"},
		{"an abstract one", serving("abstract", say("packet/@name", 1, "hello")), []fuzz.Exchange{{Socket: "packet/@name", Sent: 1, Answered: 1, First: []byte("hello")}}, "got 5\nend\n"},
		{"a daemon", serving("daemon", say(at, 1, "hello"), signaled(unix.SIGUSR1)), []fuzz.Exchange{one}, "got 5\nsignal 10\nend\n"},
		{"one that a script waits for", serving("wrapped", say(at, 1, "hello"), signaled(unix.SIGUSR1), say(at, 1, "a")), nil, "got 5\nsignal 10\ngot 1\nend\n"},
		{"who takes time to begin", serving("late", say(at, 1, "hello")), []fuzz.Exchange{one}, "got 5\nend\n"},
		{"who ends by itself", serving("nothing", say(at, 1, "hello")), nil, ""},
		{"who does not end when told to", serving("ignores", say(at, 1, "hello")), []fuzz.Exchange{one}, "got 5\nend\n"},
	} {
		r := run(t, e, tt.s)
		if !r.Clean() || r.ExitCode != 0 {
			t.Errorf("%s: %+v, want a clean end", tt.name, r)
		}
		if tt.said != nil && fmt.Sprint(r.Said) != fmt.Sprint(tt.said) {
			t.Errorf("%s: was said %+v, want %+v", tt.name, r.Said, tt.said)
		}
		if got := string(e.Output()); tt.want != "" && got != tt.want {
			t.Errorf("%s: the service prints %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Those whom the service could call listen on its network too, and are not talked to in its place.
func TestPeersOfAServiceAreNotTalkedTo(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	e := services(t)
	if !e.Can().Peers {
		t.Fatal("there can be no peers")
	}
	echoed := func(at fuzz.Socket) []fuzz.Exchange {
		return []fuzz.Exchange{{Socket: at, Sent: 1, Answered: 1, First: []byte("hello")}}
	}
	for _, tt := range []struct {
		how  string
		to   fuzz.Socket
		said []fuzz.Exchange
	}{
		{"echo", "tcp/7000", echoed("tcp/7000")},
		{"echo", "tcp/80", echoed("tcp/7000")}, // the one that it has
		{"late", "tcp/7000", echoed("tcp/7000")},
		{"udp", "udp/5300", echoed("udp/5300")},
		{"udp", "tcp/80", nil},
		{"unix", "tcp/80", nil},
	} {
		s := serving(tt.how, say(tt.to, 1, "hello"))
		s.World.Peers.Conduct = fuzz.ConductProper
		if r := run(t, e, s); !r.Clean() || fmt.Sprint(r.Said) != fmt.Sprint(tt.said) || len(r.Asked) > 0 {
			t.Errorf("%s: %+v, want a clean end, and %+v alone", tt.how, r, tt.said)
		}
	}
}

// What a service does wrong ends its run, and nothing else.
func TestAServiceThatMisbehavesIsEnded(t *testing.T) {
	e := services(t)
	const at = fuzz.Socket("tcp/7000")
	crowd := fuzz.Act{Do: fuzz.DeedCrowd, To: at, Data: []byte("hello"), Times: 100}
	for _, tt := range []struct {
		how   string
		acts  []fuzz.Act
		hangs bool
	}{
		{"deaf", []fuzz.Act{say(at, 1, "hello"), crowd}, false},
		{"closes", []fuzz.Act{say(at, 1, "hello"), say(at, 1, "hello"), crowd}, false},
		{"floods", []fuzz.Act{say(at, 1, "hello"), say(at, 2, "hello")}, false},
		{"busy", []fuzz.Act{say(at, 1, "hello"), say(at, 1, "hello")}, false},
		{"forks", []fuzz.Act{crowd, say(at, 1, "hello")}, false},
		{"ports", []fuzz.Act{say("tcp/6000", 1, "hello"), say("udp/6099", 1, "hello"), say(at, 1, "hello")}, false},
		{"waits", []fuzz.Act{say(at, 1, "hello")}, true}, // nobody can tell that it will never be a service
	} {
		r := run(t, e, serving(tt.how, tt.acts...))
		if r.TimedOut != tt.hangs || !tt.hangs && !r.Clean() {
			t.Errorf("%s: %+v, want an end by the time limit: %v", tt.how, r, tt.hangs)
		}
		if r = run(t, e, serving("echo", say(at, 1, "hello"))); len(r.Said) != 1 || r.Said[0].Answered != 1 {
			t.Errorf("after %s another service says %+v", tt.how, r)
		}
	}
	run(t, e, serving("bombs", say(at, 1, "hello"))) // how it ends depends on what bounds it
	if r := run(t, e, serving("echo", say(at, 1, "hello"))); len(r.Said) != 1 {
		t.Errorf("after bombs another service says %+v", r)
	}
}

func TestASurveyFindsTheSocketsOfAService(t *testing.T) {
	e := services(t)
	get := "GET / HTTP/1.0\r\n\r\n"
	for _, tt := range []struct {
		how    string
		want   fuzz.Socket
		banner string
		answer string
		n      int
	}{
		{"echo", "tcp/7000", "", get, 1},
		{"banner", "tcp/7000", "220 hello\r\n", "", 1},
		{"unix", "unix/s", "", get, 1},
		{"abstract", "packet/@name", "", get, 1},
		{"daemon", "tcp/7000", "", get, 1},
		{"deaf", "tcp/7000", "", "", 1},
		{"ports", "tcp/6000", "", "", 101},
		{"nothing", "", "", "", 0},
	} {
		found, r, err := e.Survey(t.Context(), serving(tt.how))
		if err != nil {
			t.Fatal(err)
		}
		if len(found) != tt.n || !r.Clean() {
			t.Errorf("%s: %d sockets, %+v, want %d and a clean end: %+v", tt.how, len(found), r, tt.n, found)
			continue
		}
		if tt.n > 0 && (found[0].Socket != tt.want || string(found[0].Banner) != tt.banner || string(found[0].Answer) != tt.answer) {
			t.Errorf("%s: got %+v, want %q that says %q and answers %q", tt.how, found[0], tt.want, tt.banner, tt.answer)
		}
	}
}

// A rotated log is another file than the one that the service still writes to.
func TestLogsOfAServiceAreRotated(t *testing.T) {
	e := services(t)
	s := serving("log", fuzz.Act{Do: fuzz.DeedRotate}, signaled(unix.SIGKILL))
	names := func(s *fuzz.Scenario) []string {
		next := &fuzz.Scenario{Argv: []string{"service", "nothing"}, Stdin: fuzz.StdinNull, Before: []fuzz.Step{{Argv: s.Argv, Acts: s.Acts}}}
		var tr tree
		e.onThread(func() {
			var err error
			if tr, err = e.before(next); err != nil {
				t.Error(err)
			}
		})
		var out []string
		for _, n := range tr {
			out = append(out, n.name)
		}
		return out
	}
	if got := names(s); !slices.Equal(got, []string{"service.log.1"}) {
		t.Errorf("the directory has %q, want service.log.1", got)
	}
	if got := names(serving("log", signaled(unix.SIGKILL))); !slices.Equal(got, []string{"service.log"}) {
		t.Errorf("without a rotation the directory has %q, want service.log", got)
	}
}
