// Package peer decides what a target hears from the machines that it calls: name servers,
// web servers and all others, by the protocol that is spoken to them and as a scenario
// says. It refuses to know how connections come here. Its main hazard is an answer that
// is not the same in the next run: nothing here looks at a clock or draws at random, but for
// what cryptography needs.
package peer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

// Peer is all machines in one run. Its methods may be called concurrently.
type Peer struct {
	how   fuzz.Peers
	input []byte // what the scenario has peers say; empty: something that fits
	auth  *Authority

	transfers chan transfer // what is to be done with FTP's data connections

	mu    sync.Mutex
	talks map[string]uint64
}

// New makes the peers of a scenario.
func New(s *fuzz.Scenario, a *Authority) *Peer {
	return &Peer{how: s.World.Peers, input: s.Input, auth: a, transfers: make(chan transfer), talks: map[string]uint64{}}
}

// Talks are how many conversations there were, by protocol.
func (p *Peer) Talks() map[string]uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.talks
}

func (p *Peer) note(protocol string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.talks[protocol]++
}

// call is one conversation.
type call struct {
	*Peer
	ctx  context.Context
	conn net.Conn
	in   *bufio.Reader
	port int
	tls  bool
}

// maxTurns bounds the questions of one conversation, however long a target goes on.
const maxTurns = 256

// errOver ends a conversation.
var errOver = errors.New("the conversation is over")

// Stream answers a connection.
func (p *Peer) Stream(ctx context.Context, c net.Conn) {
	port := 0
	if a, ok := c.LocalAddr().(*net.TCPAddr); ok {
		port = a.Port
	}
	_ = (&call{Peer: p, ctx: ctx, conn: c, in: bufio.NewReader(c), port: port}).talk()
}

// servers are the protocols in which the server speaks first, by port.
func servers(port int) (name string, talk func(*call) error) {
	switch port {
	case 21, 990:
		return "ftp", (*call).ftp
	case ftpDataPort:
		return "ftp-data", (*call).ftpData
	case 22, 2222:
		return "ssh", (*call).ssh
	case 23:
		return "telnet", (*call).telnet
	case 25, 465, 587, 2525:
		return "smtp", (*call).smtp
	case 110, 995:
		return "pop3", (*call).pop3
	case 143, 993:
		return "imap", (*call).imap
	}
	return "", nil
}

// impliedTLS are ports at which TLS comes before the server's first word.
var impliedTLS = map[int]bool{465: true, 990: true, 993: true, 995: true}

// patience is how long a client may say nothing at a port that is nobody's in particular,
// until it is taken for one that waits for the server's first word.
const patience = time.Second

// clientFirst reports whether at a port, as far as it is known, the client speaks first.
func clientFirst(port int) bool {
	switch port {
	case 3000, 3128, 5000, 5432, 6379, 8000, 8008, 8080, 8081, 8443, 8888, 9000, 9200, 9418, 11211:
		return true
	}
	return port < 1024
}

var request = lazyregexp.New(`^[A-Z]{3,16} \S+ HTTP/1\.[01]\r?\n`)

// talk finds out the protocol and speaks it.
func (c *call) talk() error {
	if c.how.Conduct == fuzz.ConductClosing && !c.tls {
		c.note("closed")
		c.drain()
		return errOver
	}
	if name, talk := servers(c.port); talk != nil && (c.tls || !impliedTLS[c.port]) {
		c.note(name)
		return talk(c)
	}
	silent := !c.tls && !clientFirst(c.port)
	if silent {
		_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	}
	head, err := c.in.Peek(1)
	if silent {
		_ = c.conn.SetReadDeadline(time.Time{})
	}
	var late net.Error
	switch {
	case errors.As(err, &late) && late.Timeout():
		c.note("unknown")
		if err := c.say([]byte("220 example.com ready\r\n")); err != nil {
			return err
		}
		return c.echo()
	case err != nil:
		c.note("unknown")
		return err
	case head[0] == 0x16 && !c.tls && c.how.Trust != fuzz.TrustNone: // a TLS record of a handshake
		c.note("tls")
		return c.startTLS()
	}
	if c.port == 53 {
		c.note("dns")
		return c.dns()
	}
	line := c.line()
	switch {
	case request.Match(line):
		c.note("http")
		return c.http()
	case bytes.HasPrefix(line, []byte("SSH-")):
		c.note("ssh")
		return c.ssh()
	case len(line) > 8 && bytes.HasPrefix(line[4:], []byte("git-")):
		c.note("git")
		return c.gitDaemon()
	}
	c.note("unknown")
	return c.echo()
}

// line peeks at the first line, as far as it has come.
func (c *call) line() []byte {
	for n := 1; ; {
		head, err := c.in.Peek(max(n, c.in.Buffered()))
		if i := bytes.IndexByte(head, '\n'); i >= 0 {
			return head[:i+1]
		}
		// A line is longer than this in no protocol that is known here, but that of TLS and git.
		if err != nil || len(head) > 8 && !bytes.Contains(head, []byte(" ")) || len(head) >= 4000 || bytes.IndexByte(head, 0) >= 0 {
			return head
		}
		n = len(head) + 1
	}
}

// echo answers with what was said.
func (c *call) echo() error {
	b := make([]byte, 4096)
	for range maxTurns {
		n, err := c.in.Read(b)
		if n > 0 {
			if err := c.say(b[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
	return errOver
}

// body is what is got where something is asked for.
func (c *call) body() []byte {
	switch {
	case c.how.Conduct == fuzz.ConductLarge:
		const size = 1 << 20
		b := c.input
		if len(b) == 0 {
			b = []byte(page)
		}
		return bytes.Repeat(b, size/len(b)+1)[:size]
	case len(c.input) > 0:
		return c.input
	}
	return []byte(page)
}

// page is what is got where nothing else is known.
const page = `<!DOCTYPE html><html><head><title>Example</title></head>
<body><h1>Example</h1><p>One, two &amp; three. <a href="/other.html">Another page</a>, <img src="image.png" alt="">
</body></html>
`

// lines has a conversation of lines: each is answered by what reply returns, until it says
// that it is the last one.
func (c *call) lines(reply func(verb, rest string) (answer string, last bool, err error)) error {
	for range maxTurns {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		verb, rest, _ := strings.Cut(strings.TrimRight(string(line), "\r\n"), " ")
		answer, last, err := reply(verb, rest)
		if err != nil {
			return err
		}
		if answer != "" {
			if err := c.say([]byte(answer)); err != nil {
				return err
			}
		}
		if last {
			return errOver
		}
	}
	return errOver
}

// drain reads what still comes, so that closing the connection is no reset.
func (c *call) drain() {
	if h, ok := c.conn.(interface{ CloseWrite() error }); ok && h.CloseWrite() == nil {
		_, _ = io.CopyN(io.Discard, c.in, 1<<20)
	}
}
