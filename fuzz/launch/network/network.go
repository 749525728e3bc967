// Package network decides who gets what a target sends: in a network namespace in which
// every address is local, it hands each connection and each datagram, whatever
// address and port it is for, to a Peer of this process. It refuses to know what peers
// say. Its main hazard is a run that others than its own peer answer: so each Host
// belongs to one namespace, and when it is closed nobody is there any more.
package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Peer is whoever the target reaches. Its methods are called on goroutines of their own.
type Peer interface {
	// Stream has a conversation; its end is when ctx is done, which closes the connection.
	// The local address is the one that was called.
	Stream(ctx context.Context, c net.Conn)
	// Datagram answers one, that was sent to a port, with any number.
	Datagram(ctx context.Context, port uint16, data []byte) [][]byte
}

// Catcher makes hosts, one at a time. It needs Linux 5.9 with BTF, and the rights to load
// BPF programs and to be in the namespaces that it is given.
type Catcher struct {
	objects divertObjects
	states  link.Link
	run     uint32
}

// New loads what catches connections.
func New() (*Catcher, error) {
	c := &Catcher{}
	if err := loadDivertObjects(&c.objects, nil); err != nil {
		return nil, fmt.Errorf("load the diversion of connections: %w", err)
	}
	var err error
	if c.states, err = link.AttachTracing(link.TracingOptions{Program: c.objects.State}); err != nil {
		return nil, fmt.Errorf("watch for listeners: %w", errors.Join(err, c.objects.Close()))
	}
	return c, nil
}

// Close releases what New has loaded. There is no Host any more.
func (c *Catcher) Close() error { return errors.Join(c.states.Close(), c.objects.Close()) }

// Host is all machines that the target can reach.
type Host struct {
	peer   Peer
	ctx    context.Context
	cancel context.CancelFunc
	busy   sync.WaitGroup
	caught link.Link
	close  []func() error
	own    []net.Addr // of the sockets that listen made
	bind   chan bind  // asks the thread that is in the namespace
	answer sync.Mutex
	from   map[netip.AddrPort]mouth // sockets to answer from

	waits   sync.Mutex
	open    map[syscall.Conn]bool // listeners and sockets for datagrams
	talks   map[*talk]bool
	working atomic.Int32 // connections that are being accepted, and datagrams that are being answered
}

// maxSockets bounds the addresses that datagrams are answered from, which a target chooses.
const maxSockets = 64

type bind struct {
	addr netip.AddrPort
	done chan mouth // nil: nothing can be sent from there
}

// Open lets a Peer answer in a network namespace, of which it gets a descriptor that stays the
// caller's. With deaf, connections and datagrams are refused, but for questions to name servers. With named the
// target is a name server: what is sent to port 53 of a loopback address is for it.
func (c *Catcher) Open(namespace int, p Peer, deaf, named bool) (*Host, error) {
	h := &Host{peer: p, bind: make(chan bind), from: map[netip.AddrPort]mouth{}, open: map[syscall.Conn]bool{}, talks: map[*talk]bool{}}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	ready := make(chan error)
	h.busy.Go(func() { h.inside(namespace, func() error { return c.listen(h, namespace, deaf, named) }, ready) })
	if err := <-ready; err != nil {
		h.Close()
		return nil, fmt.Errorf("answer for the network: %w", err)
	}
	return h, nil
}

// inside owns a thread that is in the namespace and ends with it: a socket is of the namespace in which
// it was made.
func (h *Host) inside(namespace int, listen func() error, ready chan<- error) {
	runtime.LockOSThread()
	err := unix.Setns(namespace, unix.CLONE_NEWNET)
	if err == nil {
		err = listen()
	}
	ready <- err
	for {
		select {
		case <-h.ctx.Done():
			return
		case b := <-h.bind:
			m, err := openMouth(b.addr)
			if err != nil {
				m = nil
			}
			b.done <- m
		}
	}
}

// listen makes the four sockets, those of IPv6 where there is one.
func (c *Catcher) listen(h *Host, namespace int, deaf, named bool) error {
	c.run++
	for key := range uint32(4) {
		if err := c.objects.Sockets.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) && !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(namespace, &st); err != nil {
		return err
	}
	config := net.ListenConfig{Control: originalDestination}
	config.SetMultipathTCP(false) // no socket map takes such listeners
	for i, kind := range []string{"4", "6"} {
		if !deaf {
			l, err := config.Listen(h.ctx, "tcp"+kind, net.JoinHostPort("", "0"))
			if err != nil && kind == "6" {
				continue
			}
			if err != nil {
				return err
			}
			h.close, h.own = append(h.close, l.Close), append(h.own, l.Addr())
			if err := c.take(uint32(i), l.(*net.TCPListener)); err != nil {
				return err
			}
			waiting, err := pollable(l.(*net.TCPListener))
			if err != nil {
				return err
			}
			h.close = append(h.close, waiting.Close)
			h.open[l.(*net.TCPListener)] = true
			h.busy.Go(func() { h.accept(l.(*net.TCPListener), waiting) })
		}
		p, err := config.ListenPacket(h.ctx, "udp"+kind, net.JoinHostPort("", "0"))
		if err != nil && kind == "6" {
			continue
		}
		if err != nil {
			return err
		}
		h.close, h.own = append(h.close, p.Close), append(h.own, p.LocalAddr())
		if err := c.take(uint32(2+i), p.(*net.UDPConn)); err != nil {
			return err
		}
		h.open[p.(*net.UDPConn)] = true
		h.busy.Go(func() { h.receive(p.(*net.UDPConn), deaf) })
	}
	// From here on, what begins to listen is the target's.
	asked := uint32(0)
	if named {
		asked = 1
	}
	if err := errors.Join(c.objects.Generation.Set(c.run), c.objects.Namespace.Set(uint32(st.Ino)), c.objects.Named.Set(asked)); err != nil {
		return err
	}
	var err error
	if h.caught, err = link.AttachNetNs(namespace, c.objects.Divert); err != nil {
		return fmt.Errorf("divert connections: %w", err)
	}
	return nil
}

// take puts a socket into the map.
func (c *Catcher) take(key uint32, s syscall.Conn) error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = c.objects.Sockets.Put(key, uint64(fd)) })
	return errors.Join(err, failed)
}

// originalDestination makes datagrams tell to whom they were sent.
func originalDestination(network, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		switch network {
		case "udp4":
			failed = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_RECVORIGDSTADDR, 1)
		case "udp6":
			failed = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_RECVORIGDSTADDR, 1)
		}
	})
	return errors.Join(err, failed)
}

func (h *Host) accept(l *net.TCPListener, waiting *os.File) {
	raw, err := waiting.SyscallConn()
	if err != nil {
		return
	}
	// As in talk.Read.
	for raw.Read(hasInput) == nil {
		h.working.Add(1)
		c, err := l.AcceptTCP()
		if err != nil { // one connection that ended too soon, or the end
			h.working.Add(-1)
			continue
		}
		t := h.begin(c)
		h.working.Add(-1)
		h.busy.Go(func() {
			defer h.end(t)
			stop := context.AfterFunc(h.ctx, func() { c.Close() })
			defer stop()
			defer c.Close()
			h.peer.Stream(h.ctx, t)
		})
	}
}

func (h *Host) receive(c *net.UDPConn, deaf bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	data, oob := make([]byte, 64<<10), make([]byte, 256)
	// As in talk.Read.
	for raw.Read(hasInput) == nil {
		h.working.Add(1)
		n, m, _, sender, err := c.ReadMsgUDPAddrPort(data, oob)
		called, ok := destination(oob[:m])
		if err != nil || !ok || deaf && called.Port() != 53 {
			h.working.Add(-1)
			continue
		}
		message := append([]byte(nil), data[:n]...)
		h.busy.Go(func() {
			defer h.working.Add(-1)
			for _, answer := range h.peer.Datagram(h.ctx, called.Port(), message) {
				if from := h.at(called); from != nil {
					_, _ = from.WriteToUDPAddrPort(answer, sender)
				}
			}
		})
	}
}

// destination is to whom a datagram was sent.
func destination(oob []byte) (netip.AddrPort, bool) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return netip.AddrPort{}, false
	}
	for _, m := range messages {
		switch a, err := unix.ParseOrigDstAddr(&m); a := a.(type) {
		case *unix.SockaddrInet4:
			return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)), err == nil
		case *unix.SockaddrInet6:
			return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port)), err == nil
		}
	}
	return netip.AddrPort{}, false
}

// at is what sends from an address, nil where there can be none.
func (h *Host) at(a netip.AddrPort) mouth {
	h.answer.Lock()
	defer h.answer.Unlock()
	if c, ok := h.from[a]; ok {
		return c
	}
	if len(h.from) >= maxSockets {
		return nil
	}
	b := bind{a, make(chan mouth, 1)}
	select {
	case h.bind <- b:
		h.from[a] = <-b.done
	case <-h.ctx.Done():
		return nil
	}
	return h.from[a]
}

// Owns reports whether the socket, "tcp" or "udp", that is bound to an address in the namespace is the Host's, not
// one of the target.
func (h *Host) Owns(network string, a netip.AddrPort) bool {
	h.answer.Lock()
	defer h.answer.Unlock()
	if _, bound := h.from[a].(*net.UDPConn); network == "udp" && bound {
		return true
	}
	return slices.ContainsFunc(h.own, func(own net.Addr) bool {
		at, err := netip.ParseAddrPort(own.String())
		return err == nil && own.Network() == network && at == a
	})
}

// Close ends all conversations. When it returns, none of the Host's goroutines calls its Peer.
func (h *Host) Close() error {
	h.cancel()
	var errs []error
	if h.caught != nil {
		if err := h.caught.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	for _, f := range h.close {
		errs = append(errs, f())
	}
	h.busy.Wait()
	for _, c := range h.from {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}

// Permitted reports whether New can do its work: with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, or
// CAP_SYS_ADMIN, of the first user namespace. It asks the kernel, once in a process.
func Permitted() bool {
	_, err := os.Stat("/sys/kernel/btf/vmlinux")
	return err == nil && features.HaveProgramType(ebpf.SkLookup) == nil && features.HaveMapType(ebpf.SockMap) == nil
}
