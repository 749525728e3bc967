package service

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
)

// client is one connection to the service, or a datagram socket.
type client struct {
	t      *talker
	to     fuzz.Socket // as the act says
	name   fuzz.Socket // what that stood for
	fd     int
	kind   int
	tls    *tls.Conn // nil without
	over   bool      // nothing more comes
	deaf   bool      // what comes is not read
	open   bool      // a message was sent that nothing was answered to yet
	heard  []byte    // the beginning of all that came
	closed bool

	// Of a UDP socket: whom to send to. It is connected to nobody, for some services answer from another port. Those of
	// TFTP are talked to there from then on (RFC 1350), others where they listen. nil for all other sockets.
	peer unix.Sockaddr

	local, remote netip.AddrPort // of a TCP connection
}

// tftp is the socket of services that answer from a port of their own for each transfer.
const tftp fuzz.Socket = "udp/69"

// maxHeard bounds client.heard.
const maxHeard = 4096

// connect makes a connection. It is nil where there is no such socket or nobody lets us in.
func (t *talker) connect(to fuzz.Socket) (*client, error) {
	s, ok, err := t.find(to)
	if err != nil || !ok {
		return nil, err
	}
	sa, family, free, ok := t.address(&s)
	defer free()
	if !ok {
		return nil, nil
	}
	fd, err := unix.Socket(family, s.kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket: %w", err)
	}
	p := &client{t: t, to: to, name: s.name, fd: fd, kind: s.kind}
	if to.Kind() == fuzz.SocketTLS {
		p.name = to
	}
	if family == unix.AF_UNIX && s.kind == unix.SOCK_DGRAM {
		// Without a name of its own nobody can answer it; an empty one makes the kernel choose (unix(7)).
		_ = unix.Bind(fd, &unix.SockaddrUnix{})
	}
	if s.kind == unix.SOCK_DGRAM && s.path == "" {
		p.peer = sa
		return p, nil
	}
	err = unix.Connect(fd, sa)
	if err == unix.EINPROGRESS {
		err = t.await(p, unix.POLLOUT)
		if errno, e := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err == nil && (e != nil || errno != 0) {
			err = unix.ECONNREFUSED
		}
	}
	if err == errEnded {
		p.close(true)
		return nil, err
	}
	if err != nil {
		p.close(true)
		return nil, nil
	}
	if s.kind == unix.SOCK_STREAM && s.path == "" {
		p.local, p.remote = addressOf(unix.Getsockname(fd)), s.at
	}
	if to.Kind() == fuzz.SocketTLS && !p.secure() {
		p.close(false)
		return nil, nil
	}
	return p, nil
}

func addressOf(sa unix.Sockaddr, err error) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// secure begins to speak TLS.
func (p *client) secure() bool {
	p.tls = tls.Client(conn{p}, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"}) // any certificate will do: nothing of this leaves the machine
	return p.tls.Handshake() == nil
}

// errRest says that a service rests, and so will not do what is waited for.
var errRest = os.ErrDeadlineExceeded

// await waits for events on a client. The error is errRest where the service rests before they come.
func (t *talker) await(p *client, events int16) error {
	began, first := time.Now(), true
	var start time.Duration
	var asleep time.Time
	for wait := 50 * time.Microsecond; ; wait = min(2*wait, 2*time.Millisecond) {
		// The look comes first: what comes after it is waited for once more.
		rest, idle, used := t.rests()
		if first {
			first, start = false, used
		}
		switch {
		case !idle:
			asleep = time.Time{}
		case asleep.IsZero():
			asleep = time.Now()
		case time.Since(asleep) > stuck:
			rest = true
			t.giveUp()
		}
		fds := []unix.PollFd{{Fd: int32(t.pidfd), Events: unix.POLLIN}, {Fd: int32(p.fd), Events: events}}
		ts := unix.NsecToTimespec(int64(wait))
		if rest {
			ts = unix.Timespec{}
		}
		n, err := unix.Ppoll(fds, &ts, nil)
		switch {
		case err != nil && err != unix.EINTR:
			return fmt.Errorf("wait for a service: %w", err)
		case n > 0 && fds[1].Revents != 0:
			return nil
		case n > 0 && fds[0].Revents != 0:
			return errEnded
		case rest || t.overdue(used-start, time.Since(began)):
			return errRest
		}
	}
}

// send sends data as often as it says. It gives up where the service rests and reads no more. With
// listens, what is answered meanwhile is read.
func (t *talker) send(p *client, data []byte, times int, listens bool) error {
	x := t.said[p.name]
	if x == nil {
		x = &fuzz.Exchange{Socket: p.name}
		t.said[p.name] = x
	}
	if len(data) == 0 && p.kind != unix.SOCK_DGRAM {
		return nil
	}
	p.open = true
	x.Sent++
	for range times {
		for rest := data; ; {
			n, err := p.write(rest)
			rest = rest[max(n, 0):]
			if err == unix.EINTR || err == nil && len(rest) > 0 {
				continue
			}
			if err == nil {
				break
			}
			if err != unix.EAGAIN {
				p.over = err != unix.ECONNREFUSED // a datagram that nobody took
				return nil
			}
			events := int16(unix.POLLOUT)
			if listens {
				if err := p.listen(); err != nil {
					return err
				}
				events |= unix.POLLIN
			}
			switch err := t.await(p, events); err {
			case nil:
			case errRest:
				return nil
			default:
				return err
			}
		}
	}
	return nil
}

// write sends some of the data. It fails with EAGAIN where there is no room.
func (p *client) write(data []byte) (int, error) {
	if p.tls == nil {
		return unix.SendmsgN(p.fd, data, nil, p.peer, unix.MSG_NOSIGNAL)
	}
	n, err := p.tls.Write(data) // waits by itself
	if err != nil {
		p.over = true
		return len(data), nil
	}
	return n, nil
}

// listen reads what all clients have to say. It reports whether anybody said anything.
func (t *talker) listen() (read bool, err error) {
	for _, p := range t.all() {
		before := p.open
		n := len(p.heard)
		if err := p.listen(); err != nil {
			return read, err
		}
		read = read || p.open != before || len(p.heard) != n
	}
	return read, nil
}

// listen reads what there is, up to a bound: who sends without end is not listened to for ever.
func (p *client) listen() error {
	if p.over || p.deaf {
		return nil
	}
	if p.t.heard == nil {
		p.t.heard = make([]byte, 32<<10)
	}
	const most = 64
	for i := range most {
		n, err := p.read(p.t.heard)
		switch {
		case n > 0:
			p.note(p.t.heard[:n])
			continue
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN, errors.Is(err, errRest):
			if i > 0 {
				p.acknowledge()
			}
			return nil
		case errors.Is(err, errEnded):
			return err
		case p.kind == unix.SOCK_DGRAM: // an empty one, or an error that somebody was not there
			return nil
		}
		p.over = true // the end, or a reset
		return nil
	}
	return nil
}

// acknowledge makes the kernel acknowledge what was read now, and not some time later: see delivered.
func (p *client) acknowledge() {
	if p.kind == unix.SOCK_STREAM {
		_ = unix.SetsockoptInt(p.fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) // a Unix socket has no such option
	}
}

func (p *client) note(data []byte) {
	p.heard = append(p.heard, data[:min(len(data), maxHeard-len(p.heard))]...)
	if !p.open {
		return
	}
	p.open = false
	x := p.t.said[p.name]
	x.Answered++
	if len(x.First) == 0 {
		x.First = append(x.First, data[:min(len(data), fuzz.FirstSize)]...)
	}
}

func (p *client) read(buf []byte) (int, error) {
	if p.tls != nil {
		return p.tls.Read(buf)
	}
	if p.peer == nil {
		return unix.Read(p.fd, buf)
	}
	n, from, err := unix.Recvfrom(p.fd, buf, 0)
	if err == nil && from != nil && p.to == tftp {
		p.peer = from
	}
	return n, err
}

func (p *client) finish() {
	if p.tls != nil {
		_ = p.tls.CloseWrite()
	}
	_ = unix.Shutdown(p.fd, unix.SHUT_WR)
}

func (p *client) close(reset bool) {
	if p.closed {
		return
	}
	p.closed, p.over = true, true
	if p.peer != nil {
		// What is still answered is to find somebody, or the service seems to have called who is not there, see cage.Cage.Called.
		p.t.departed = append(p.t.departed, p.fd)
		return
	}
	if p.tls != nil && !reset {
		_ = p.tls.CloseWrite()
	}
	if reset {
		_ = unix.SetsockoptLinger(p.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // close(2) sends a reset then, see tcp(7)
	}
	unix.Close(p.fd)
}

// conn is a client below TLS. A read waits until the service rests, and a write too.
type conn struct{ p *client }

func (c conn) Read(buf []byte) (int, error) {
	for {
		n, err := unix.Read(c.p.fd, buf)
		switch {
		case n > 0:
			return n, nil
		case err == unix.EINTR:
			continue
		case err == nil:
			return 0, io.EOF
		case err != unix.EAGAIN:
			return 0, err
		}
		if err := c.p.t.await(c.p, unix.POLLIN); err != nil {
			return 0, err
		}
	}
}

func (c conn) Write(buf []byte) (int, error) {
	for done := 0; ; {
		n, err := unix.SendmsgN(c.p.fd, buf[done:], nil, nil, unix.MSG_NOSIGNAL)
		done += max(n, 0)
		switch {
		case err == nil && done == len(buf):
			return done, nil
		case err == nil, err == unix.EINTR:
			continue
		case err != unix.EAGAIN:
			return done, err
		}
		if err := c.p.t.await(c.p, unix.POLLOUT); err != nil {
			return done, err
		}
	}
}

// What tls.Conn does not use.

func (c conn) Close() error                     { return nil }
func (c conn) LocalAddr() net.Addr              { return nil }
func (c conn) RemoteAddr() net.Addr             { return nil }
func (c conn) SetDeadline(time.Time) error      { return nil }
func (c conn) SetReadDeadline(time.Time) error  { return nil }
func (c conn) SetWriteDeadline(time.Time) error { return nil }
