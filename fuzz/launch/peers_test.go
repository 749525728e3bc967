package launch

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

// newClient runs and records clients in a cage. A client that waits in vain is a failure, so the
// time limit is longer than any machine needs.
func newClient(t *testing.T, program string) *Exec {
	t.Helper()
	testenv.Require(t, testenv.BPF, testenv.Cage)
	r, err := rawtp.Open(rawtp.Options{Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	e, err := New(Options{
		Program: testenv.Program(t, program), Env: os.Environ(), Timeout: time.Minute, Grace: 10 * time.Second, Cage: &cage.Options{},
		Watch: func() (Watcher, error) {
			s, err := r.Launcher(0)
			return recorded{s}, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	if !e.Can().Peers {
		t.Fatal("there can be no peers")
	}
	return e
}

func TestClientsAreAnswered(t *testing.T) {
	proper := fuzz.Peers{Conduct: fuzz.ConductProper}
	reply := func(r fuzz.Reply) fuzz.Peers { return fuzz.Peers{Conduct: fuzz.ConductProper, Reply: r} }
	names := func(n fuzz.Names) fuzz.Peers { return fuzz.Peers{Conduct: fuzz.ConductProper, Names: n} }
	clients := map[string]*Exec{}
	for _, c := range []struct {
		argv  string
		peers fuzz.Peers
		want  string // in what it writes
		code  int
		talks string
	}{
		{"curl -sS http://name.example/", proper, "<h1>Example</h1>", 0, "http"},
		{"curl -sS -4 http://127.0.0.1:81/", proper, "<h1>Example</h1>", 0, "http"},
		{"curl -sS -g http://[2001:db8::1]:8080/", proper, "<h1>Example</h1>", 0, "http"},
		{"curl -sS https://name.example/", proper, "<h1>Example</h1>", 0, "http2"},
		{"curl -sS ftp://name.example/file", proper, "<h1>Example</h1>", 0, "ftp"},
		{"curl -sS -T /etc/hostname ftp://name.example/file", proper, "", 0, "ftp-data"},
		{"curl -sSL http://name.example/", reply(fuzz.ReplyMoved), "<h1>Example</h1>", 0, "http"},
		{"curl -sS -u a:b --digest http://name.example/", reply(fuzz.ReplyLogin), "<h1>Example</h1>", 0, "http"},
		{"curl -sS --compressed http://name.example/", reply(fuzz.ReplyPacked), "<h1>Example</h1>", 0, "http"},
		{"curl -sS http://name.example/", reply(fuzz.ReplyChunked), "<h1>Example</h1>", 0, "http"},
		{"curl -sS http://name.example/", reply(fuzz.ReplyShort), "transfer closed", 18, "http"},
		{"curl -sSf http://name.example/", reply(fuzz.ReplyMissing), "404", 22, "http"},
		{"curl -sS http://name.example/", fuzz.Peers{Conduct: fuzz.ConductReset}, "reset", 56, "http"},
		{"curl -sS http://name.example/", fuzz.Peers{Conduct: fuzz.ConductRefusing}, "connect", 7, "dns"},
		{"curl -sS http://name.example/", fuzz.Peers{Conduct: fuzz.ConductClosing}, "", 52, "closed"},
		{"curl -sS http://name.example/", fuzz.Peers{Conduct: fuzz.ConductGarbage}, "", 1, "http"},
		{"curl -sS http://name.example/", fuzz.Peers{Conduct: fuzz.ConductSlow}, "<h1>Example</h1>", 0, "http"},
		{"curl -sS https://name.example/", fuzz.Peers{Conduct: fuzz.ConductProper, Trust: fuzz.TrustStranger}, "self-signed certificate", 60, "tls"},
		{"curl -sS https://name.example/", fuzz.Peers{Conduct: fuzz.ConductProper, Trust: fuzz.TrustExpired}, "expired", 60, "tls"},
		{"curl -sS https://name.example/", fuzz.Peers{Conduct: fuzz.ConductProper, Trust: fuzz.TrustOther}, "subject name", 60, "tls"},
		{"curl -sS https://name.example/", fuzz.Peers{Conduct: fuzz.ConductProper, Trust: fuzz.TrustNone}, "SSL", 35, "unknown"},
		{"curl -sS http://name.example/", names(fuzz.NamesMissing), "not resolve", 6, "dns"},
		{"curl -sS http://name.example/", names(fuzz.NamesFailing), "not resolve", 6, "dns"},
		{"curl -sS http://name.example/", names(fuzz.NamesTruncated), "<h1>Example</h1>", 0, "dns"},
		{"curl -sS http://name.example/", names(fuzz.NamesSix), "<h1>Example</h1>", 0, "http"},
		{"curl -sS http://name.example/", names(fuzz.NamesAlias), "<h1>Example</h1>", 0, "http"},
		{"curl -sS --mail-from a@b.example --mail-rcpt c@d.example -T /etc/hostname smtp://name.example", proper, "", 0, "smtp"},
		{"curl -sS -u a:b pop3://name.example/1", proper, "hello", 0, "pop3"},
		{"curl -sS -u a:b imaps://name.example/INBOX;MAILINDEX=1", proper, "Subject: one", 0, "imap"},
		{"wget -q -O - https://name.example/x", proper, "<h1>Example</h1>", 0, "http"},
		{"git ls-remote https://name.example/x.git", proper, "refs/heads/main", 0, "http2"},
		{"git clone -q git://name.example/x.git y", proper, "", 0, "git"},
		{"git clone -q http://name.example/x.git y", proper, "", 0, "http"},
		{"ssh user@name.example cat", proper, "<h1>Example</h1>", 0, "ssh"},
		{"ssh -p 2222 -o BatchMode=yes name.example cat", fuzz.Peers{Conduct: fuzz.ConductProper, Trust: fuzz.TrustStranger}, "Host key verification failed", 255, "ssh"},
		{"git ls-remote ssh://user@name.example/x.git", proper, "refs/heads/main", 0, "ssh"},
		{"dig +short name.example MX", proper, "host.example.com.", 0, "dns"},
		{"dig +tcp +short name.example AAAA", proper, "2001:db8::7", 0, "dns"},
	} {
		argv := strings.Fields(c.argv)
		if clients[argv[0]] == nil {
			clients[argv[0]] = newClient(t, argv[0])
		}
		t.Run(c.argv+" "+c.peers.String(), func(t *testing.T) {
			e := clients[argv[0]]
			r, err := e.Run(context.Background(), &fuzz.Scenario{Argv: argv, Stdin: fuzz.StdinNull, World: fuzz.World{Peers: c.peers}})
			if err != nil {
				t.Fatal(err)
			}
			if out := string(e.Output()); !strings.Contains(out, c.want) || r.ExitCode != c.code || r.Asked[c.talks] == 0 {
				t.Errorf("exit %d, %v, conversations %v, output %q; want exit %d, one of %s, and %q", r.ExitCode, r, r.Asked, out, c.code, c.talks, c.want)
			}
		})
	}
}

// Few objects are stored one by one and many as they come, which takes other calls: a client meets both.
func TestAClientOfGitIsGivenFewObjectsAndMany(t *testing.T) {
	e := newClient(t, "git")
	for url, many := range map[string]bool{"https://name.example/x.git": true, "http://name.example/x.git": false} {
		s := fuzz.Scenario{Argv: []string{"git", "clone", "-q", url, "y"}, Stdin: fuzz.StdinNull, World: fuzz.World{Peers: fuzz.Peers{Conduct: fuzz.ConductProper}}}
		r := run(t, e, &s)
		packed := slices.ContainsFunc(r.Seen, func(id sysno.ID) bool { name, _ := id.Name(); return name == "fsync" })
		if r.ExitCode != 0 || packed != many {
			t.Errorf("%s: exit %d, a pack is stored: %v, want %v: %q", url, r.ExitCode, packed, many, e.Output())
		}
	}
}

// with runs a Python program that meets proper peers and returns what it writes.
func with(t *testing.T, program string) string {
	t.Helper()
	e := newClient(t, "python3")
	s := fuzz.Scenario{Argv: []string{"python3", "-c", program}, Stdin: fuzz.StdinNull, World: fuzz.World{Peers: fuzz.Peers{Conduct: fuzz.ConductProper}}}
	r, err := e.Run(context.Background(), &s)
	if err != nil {
		t.Fatal(err)
	}
	if r.ExitCode != 0 || r.TimedOut {
		t.Fatalf("%+v\n%s", r, e.Output())
	}
	return string(e.Output())
}

func TestNoPacketLeavesTheCage(t *testing.T) {
	// Whoever listens here must not be called, whichever of the host's addresses is.
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	came := make(chan string, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			came <- c.RemoteAddr().String()
			c.Close()
		}
	}()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var hosts []string
	for _, a := range addresses {
		if ip := a.(*net.IPNet).IP; !ip.IsLinkLocalUnicast() {
			hosts = append(hosts, ip.String())
		}
	}
	port := l.Addr().(*net.TCPAddr).Port
	out := with(t, fmt.Sprintf(`
import os, socket
print("devices", os.listdir("/sys/class/net"))
for host in %q.split():
    s = socket.create_connection((host, %d))
    s.sendall(b"hello\n")
    print("heard", s.recv(100))
`, strings.Join(hosts, " "), port))
	if !strings.Contains(out, "devices ['lo']") || strings.Count(out, `heard b'hello\n'`) != len(hosts) {
		t.Errorf("the target has other devices than lo, or one of %q was not answered by the peers: %s", hosts, out)
	}
	select {
	case who := <-came:
		t.Errorf("the host was called by %s", who)
	default:
	}
}

func TestWhereTheTargetItselfListensItIsNotAnsweredByPeers(t *testing.T) {
	out := with(t, `
import socket, threading
def own(host, family):
    l = socket.socket(family, socket.SOCK_STREAM)
    l.bind((host, 0))
    l.listen()
    def serve():
        for _ in range(3):
            c, _ = l.accept()
            c.sendall(b"own")
            c.close()
    t = threading.Thread(target=serve)
    t.start()
    for _ in range(3): # what is accepted was a copy of the listener
        s = socket.create_connection(l.getsockname()[:2])
        print(s.recv(100))
    t.join()
    l.close()
own("127.0.0.1", socket.AF_INET)
own("::1", socket.AF_INET6)
l = socket.create_server(("127.0.0.1", 0))
port = l.getsockname()[1]
l.close()
s = socket.create_connection(("127.0.0.1", port))
s.sendall(b"peer\n")
print(s.recv(100))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("127.0.0.1", 0))
v = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
v.sendto(b"datagram", u.getsockname())
print(u.recv(100))
v.sendto(b"far", ("198.51.100.1", 9))
print(v.recvfrom(100))
`)
	want := strings.Repeat("b'own'\n", 6) + "b'peer\\n'\nb'datagram'\n(b'far', ('198.51.100.1', 9))\n"
	if out != want {
		t.Errorf("got %s, want %s", out, want)
	}
}

func TestACallIsToldOfWhereNobodyAnswers(t *testing.T) {
	e := newClient(t, "python3")
	for _, c := range []struct {
		program string
		want    bool
	}{
		{"import socket; s = socket.socket(); s.connect_ex(('192.0.2.1', 80))", true},
		{"import socket; s = socket.socket(); s.connect_ex(('127.0.0.1', 80))", true},
		{"import socket; s = socket.socket(socket.AF_INET6); s.connect_ex(('2001:db8::1', 80))", true},
		{"import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect_ex(('192.0.2.1', 53))", true},
		{"import socket; s = socket.socket(socket.AF_UNIX); s.connect_ex('/run/nobody')", false},
		{"import socket; s = socket.create_server(('127.0.0.1', 0))", false},
	} {
		r, err := e.Run(context.Background(), &fuzz.Scenario{Argv: []string{"python3", "-c", c.program}, Stdin: fuzz.StdinNull})
		if err != nil {
			t.Fatal(err)
		}
		if r.Called != c.want {
			t.Errorf("%s: called %v, want %v", c.program, r.Called, c.want)
		}
	}
}

// Where a service has been talked to, what went over the network is no call of its own, but that nobody was there.
func TestACallOfAServiceIsToldOfWhereNobodyAnswers(t *testing.T) {
	e := newClient(t, "python3")
	for _, c := range []struct {
		calls string
		want  bool
	}{
		{"pass", false},
		{"socket.socket().connect_ex(('127.0.0.1', 9000))", true},
		{"socket.socket().connect_ex(('192.0.2.1', 80))", true},
		{"socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 53))", true},
	} {
		program := "import socket; l = socket.create_server(('127.0.0.1', 7)); c, _ = l.accept(); c.recv(9); " + c.calls + "; c.send(b'y'); l.accept()"
		r, err := e.Run(context.Background(), &fuzz.Scenario{Argv: []string{"python3", "-c", program}, Stdin: fuzz.StdinNull, Acts: []fuzz.Act{say("tcp/7", 1, "x")}})
		if err != nil {
			t.Fatal(err)
		}
		if r.Called != c.want {
			t.Errorf("%s: called %v, want %v", c.calls, r.Called, c.want)
		}
	}
}

// To answer from another port, or when who has asked has left, is to call nobody.
func TestAnswersOfAServiceAreNoCalls(t *testing.T) {
	e := newClient(t, "python3")
	const program = `
import socket
for family, host, port in (socket.AF_INET, "127.0.0.1", 69), (socket.AF_INET6, "::1", 70):
    asked, answers = socket.socket(family, socket.SOCK_DGRAM), socket.socket(family, socket.SOCK_DGRAM)
    asked.bind((host, port))
    message, first = asked.recvfrom(9)
    answers.sendto(message, first)
    message, first = (answers if port == 69 else asked).recvfrom(9) # only TFTP goes on there
    print(message, flush=True)
    answers.sendto(message, first)
    message, second = asked.recvfrom(9)
    answers.sendto(message, first)
    answers.sendto(message, second)
`
	leave := func(to fuzz.Socket) fuzz.Act { return fuzz.Act{Do: fuzz.DeedLeave, To: to, Client: 1} }
	s := &fuzz.Scenario{Argv: []string{"python3", "-c", program}, Stdin: fuzz.StdinNull}
	for _, to := range []fuzz.Socket{"udp/69", "udp/70"} {
		s.Acts = append(s.Acts, say(to, 1, "read"), say(to, 1, "next"), leave(to), say(to, 1, "other"))
	}
	r, err := e.Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	want := []fuzz.Exchange{{Socket: "udp/69", Sent: 3, Answered: 3, First: []byte("read")}, {Socket: "udp/70", Sent: 3, Answered: 3, First: []byte("read")}}
	if r.Called || fmt.Sprint(r.Said) != fmt.Sprint(want) {
		t.Errorf("called %v, was said %+v, want no call and %+v", r.Called, r.Said, want)
	}
	if got := string(e.Output()); got != "b'next'\nb'next'\n" {
		t.Errorf("it writes %q", got)
	}
}

// A name server is asked on loopback addresses, and what it asks others reaches them, not itself.
func TestANameServerIsAskedAndAsksOthers(t *testing.T) {
	e := newClient(t, "python3")
	const program = `
import select, socket, struct
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("0.0.0.0", 53))
six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
six.bind(("::", 53))
tcp = socket.create_server(("0.0.0.0", 53))
while True:
    for s in select.select([udp, tcp], [], [])[0]:
        if s is udp:
            question, sender = udp.recvfrom(4096)
            for family, host in (socket.AF_INET6, "2001:db8::53"), (socket.AF_INET, "192.0.2.53"):
                up = socket.socket(family, socket.SOCK_DGRAM)
                up.sendto(question, (host, 53))
                answer, who = up.recvfrom(4096)
                print(who[0], len(answer) > len(question), flush=True)
            udp.sendto(answer, sender)
        else:
            c, _ = tcp.accept()
            question = c.recv(4096)
            up = socket.create_connection(("192.0.2.53", 53))
            who = up.getpeername()
            up.sendall(question)
            answer = up.recv(4096)
            c.sendall(answer)
            print(who[0], "by TCP", len(answer) > len(question), flush=True)
`
	const question = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04name\x07example\x00\x00\x01\x00\x01"
	s := &fuzz.Scenario{Argv: []string{"python3", "-c", program}, Stdin: fuzz.StdinNull, World: fuzz.World{Peers: fuzz.Peers{Conduct: fuzz.ConductProper}},
		Acts: []fuzz.Act{say("udp/53", 1, question), say("tcp/53", 2, "\x00\x1e"+question)}}
	r, err := e.Run(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	if want := "2001:db8::53 True\n192.0.2.53 True\n192.0.2.53 by TCP True\n"; string(e.Output()) != want {
		t.Errorf("it writes %q, want %q", e.Output(), want)
	}
	if r.Asked["dns"] != 3 {
		t.Errorf("the peers were asked %v, want three questions of DNS", r.Asked)
	}
}

// What refuses it is not the name server itself.
func TestANameServerThatIsRefusedDoesNotReachItself(t *testing.T) {
	e := newClient(t, "python3")
	const program = `
import socket
tcp = socket.create_server(("0.0.0.0", 53))
c, _ = tcp.accept()
try:
    socket.create_connection(("192.0.2.53", 53))
    print("connected")
except OSError as e:
    print(e.strerror)
`
	s := &fuzz.Scenario{Argv: []string{"python3", "-c", program}, Stdin: fuzz.StdinNull, World: fuzz.World{Peers: fuzz.Peers{Conduct: fuzz.ConductRefusing}},
		Acts: []fuzz.Act{say("tcp/53", 1, "x")}}
	if _, err := e.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if got := string(e.Output()); got != "Connection refused\n" {
		t.Errorf("it writes %q", got)
	}
}
