package peer

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

func with(t testing.TB, p fuzz.Peers, input string) *Peer {
	t.Helper()
	a, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	return New(&fuzz.Scenario{Input: []byte(input), World: fuzz.World{Peers: p}}, a)
}

func TestTheHashIsThatOfOpenSSL(t *testing.T) {
	openssl := testenv.Program(t, "openssl")
	a, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, a.PEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(openssl, "x509", "-noout", "-hash", "-in", path).Output()
	if want := strings.TrimSpace(string(out)) + ".0"; err != nil || a.Hash() != want {
		t.Errorf("got %s, want %s (%v)", a.Hash(), want, err)
	}
}

func question(t testing.TB, name string, of dnsmessage.Type) []byte {
	t.Helper()
	b, err := (&dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 7, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: of, Class: dnsmessage.ClassINET}},
	}).Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNameServersAnswerAsTheScenarioSays(t *testing.T) {
	for _, c := range []struct {
		names   fuzz.Names
		name    string
		of      dnsmessage.Type
		code    dnsmessage.RCode
		answers int
		cut     bool
	}{
		{fuzz.NamesFound, "a.example.", dnsmessage.TypeA, 0, 1, false},
		{fuzz.NamesFound, "a.example.", dnsmessage.TypeAAAA, 0, 1, false},
		{fuzz.NamesFound, "a.example.", dnsmessage.TypeMX, 0, 1, false},
		{fuzz.NamesFound, "a.example.", dnsmessage.Type(257), 0, 0, false},
		{fuzz.NamesFound, "localhost.", dnsmessage.TypeA, dnsmessage.RCodeNameError, 0, false},
		{fuzz.NamesMissing, "a.example.", dnsmessage.TypeA, dnsmessage.RCodeNameError, 0, false},
		{fuzz.NamesFailing, "a.example.", dnsmessage.TypeA, dnsmessage.RCodeServerFailure, 0, false},
		{fuzz.NamesTruncated, "a.example.", dnsmessage.TypeA, 0, 0, true},
		{fuzz.NamesSix, "a.example.", dnsmessage.TypeA, 0, 0, false},
		{fuzz.NamesSix, "a.example.", dnsmessage.TypeAAAA, 0, 1, false},
		{fuzz.NamesFour, "a.example.", dnsmessage.TypeAAAA, 0, 0, false},
		{fuzz.NamesAlias, "a.example.", dnsmessage.TypeA, 0, 3, false},
		{fuzz.NamesMany, "a.example.", dnsmessage.TypeA, 0, 16, false},
	} {
		p := with(t, fuzz.Peers{Conduct: fuzz.ConductProper, Names: c.names}, "")
		answers := p.Datagram(t.Context(), 53, question(t, c.name, c.of))
		if len(answers) != 1 {
			t.Fatalf("%+v: %d answers", c, len(answers))
		}
		var m dnsmessage.Message
		if err := m.Unpack(answers[0]); err != nil || m.ID != 7 || !m.Response || m.RCode != c.code || len(m.Answers) != c.answers || m.Truncated != c.cut {
			t.Errorf("%+v: got %+v, %v", c, m, err)
		}
		if again := p.Datagram(t.Context(), 53, question(t, c.name, c.of)); !bytes.Equal(again[0], answers[0]) {
			t.Errorf("%+v: another answer the second time", c)
		}
	}
	if a := with(t, fuzz.Peers{Conduct: fuzz.ConductProper, Names: fuzz.NamesSilent}, "").Datagram(t.Context(), 53, question(t, "a.example.", dnsmessage.TypeA)); a != nil {
		t.Errorf("a silent name server says %q", a)
	}
}

// called is a connection that was made to a port.
type called struct {
	net.Conn
	port int
}

func (c called) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: c.port} }

// converse says all of it, and returns what was answered when the peer hangs up or ctx is done.
func converse(ctx context.Context, p *Peer, port int, say string) []byte {
	ours, theirs := net.Pipe()
	stop := context.AfterFunc(ctx, func() { theirs.Close() })
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer theirs.Close()
		p.Stream(ctx, called{theirs, port})
	}()
	go func() { _, _ = io.WriteString(ours, say) }()
	heard, _ := io.ReadAll(ours)
	ours.Close()
	<-done
	return heard
}

func TestWhatIsSaidVerbatimIsTheInput(t *testing.T) {
	p := with(t, fuzz.Peers{Conduct: fuzz.ConductVerbatim}, "anything\x00at all")
	if got := converse(t.Context(), p, 80, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); string(got) != "anything\x00at all" {
		t.Errorf("got %q", got)
	}
}

// Whatever a target says, and however its peers answer, the conversation ends when the run does.
func FuzzStream(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=1-3\r\n\r\n", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", "0032git-upload-pack /x\x00host=a\x00\n0000",
		"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", "EHLO a\r\nDATA\r\nx\r\n.\r\nSTARTTLS\r\n", "USER a\r\nPASV\r\nRETR x\r\n",
		"a LOGIN b c\r\na FETCH 1\r\n", "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "SSH-2.0-x\r\n", "\x00\x0c\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", "\n",
	} {
		for _, port := range []uint16{80, 21, 22, 25, 53, 143, 20021} {
			f.Add([]byte(s), port, uint8(fuzz.ConductProper), uint8(0))
		}
	}
	a, err := NewAuthority()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, say []byte, port uint16, conduct, reply uint8) {
		s := fuzz.Scenario{Argv: []string{"x"}, Stdin: fuzz.StdinNull, World: fuzz.World{Peers: fuzz.Peers{Conduct: fuzz.Conduct(conduct), Reply: fuzz.Reply(reply)}}}
		if s.Check() != nil || conduct == 0 {
			t.Skip()
		}
		p := New(&s, a)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		converse(ctx, p, int(port), string(say))
		p.Datagram(ctx, port, say)
	})
}
