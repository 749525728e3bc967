package service

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
)

// socket is where somebody can be talked to.
type socket struct {
	name fuzz.Socket
	at   netip.AddrPort // of TCP and UDP
	path string         // of Unix sockets; "@..." is abstract
	kind int            // SOCK_*
}

// maxSockets bounds how many sockets of a service are looked at.
const maxSockets = 1024

// sockets lists where the service can be talked to, each name once, sorted.
func (t *talker) sockets() ([]socket, error) {
	var all []socket
	listeners, err := t.diag.listeners()
	if err != nil {
		return nil, err
	}
	add := func(kind string, of int, addresses []netip.AddrPort) {
		for _, at := range addresses {
			if t.foreign == nil || !t.foreign(kind, at) {
				all = append(all, inetSocket(kind, of, at))
			}
		}
	}
	add(fuzz.SocketTCP, unix.SOCK_STREAM, listeners)
	for _, table := range []string{"udp", "udp6", "unix"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", t.init, table))
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
			continue // no IPv6 in this kernel, or the run has ended
		}
		if err != nil {
			return nil, fmt.Errorf("list the sockets of a service: %w", err)
		}
		if table == "unix" {
			all = append(all, unixSockets(text)...)
		} else {
			add(fuzz.SocketUDP, unix.SOCK_DGRAM, udpAddresses(text))
		}
	}
	slices.SortStableFunc(all, func(a, b socket) int {
		return cmp.Or(cmp.Compare(a.name.Kind(), b.name.Kind()), cmp.Compare(a.at.Port(), b.at.Port()), cmp.Compare(a.path, b.path))
	})
	all = slices.CompactFunc(all, func(a, b socket) bool { return a.name == b.name })
	return all[:min(len(all), maxSockets)], nil
}

// inetSocket is the socket with an address. For all addresses of the machine it is the one of the loopback device.
func inetSocket(kind string, of int, at netip.AddrPort) socket {
	if at.Addr().IsUnspecified() {
		addr := netip.IPv6Loopback()
		if at.Addr().Is4() {
			addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
		at = netip.AddrPortFrom(addr, at.Port())
	}
	return socket{name: fuzz.Socket(kind + "/" + strconv.Itoa(int(at.Port()))), at: at, kind: of}
}

// udpAddresses reads a table of proc_net_udp(5): what sockets are bound to that are connected to nobody.
func udpAddresses(text []byte) (all []netip.AddrPort) {
	for line := range bytes.Lines(text) {
		fields := strings.Fields(string(line))
		if len(fields) < 4 || fields[3] != "07" { // TCP_CLOSE
			continue
		}
		if at, ok := parseAddress(fields[1]); ok && !fromKernel(at.Port()) {
			all = append(all, at)
		}
	}
	return all
}

// delivered reports whether nothing is under way on the TCP connections of the clients: what was sent and is not
// acknowledged lies with the receiver. The loopback device delivers at once, but not always in the call of who sends.
func (t *talker) delivered() bool {
	for _, p := range t.all() {
		if p.closed || !p.local.IsValid() {
			continue
		}
		other, ok, err := t.diag.other(p.local, p.remote)
		if err != nil || !ok {
			continue
		}
		switch other.state {
		case tcpSynReceived, tcpNewReceived:
			return false
		case tcpEstablished, tcpCloseWait:
			if unsent, err := unix.IoctlGetInt(p.fd, unix.SIOCOUTQ); err == nil && unsent > 0 && other.unread == 0 {
				return false
			}
		}
		if other.unsent == 0 {
			continue
		}
		if unread, err := unix.IoctlGetInt(p.fd, unix.SIOCINQ); err == nil && unread == 0 && !p.over {
			return false
		}
	}
	return true
}

// fromKernel reports whether the kernel gives out a port by itself, so that a UDP socket with it is
// mostly that of a client (net.ipv4.ip_local_port_range).
func fromKernel(port uint16) bool { return port >= 32768 && port <= 60999 }

// parseAddress reads an address as these tables have it: 32-bit words in the byte order of the machine, and a port.
func parseAddress(s string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(s, ":")
	raw, err := hex.DecodeString(host)
	n, e := strconv.ParseUint(port, 16, 16)
	if err != nil || e != nil || n == 0 || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.BigEndian.PutUint32(raw[i:], binary.NativeEndian.Uint32(raw[i:]))
	}
	addr, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), true
}

// unixSockets reads the table of unix(7) sockets: those with a name at which somebody listens, or that take
// datagrams.
func unixSockets(text []byte) (all []socket) {
	const listens = 1 << 16 // __SO_ACCEPTCON
	for line := range bytes.Lines(text) {
		fields := strings.SplitN(strings.TrimSuffix(string(line), "\n"), " ", 8)
		if len(fields) < 8 {
			continue
		}
		// Num RefCount Protocol Flags Type St Inode Path; the inode is padded with spaces.
		flags, err := strconv.ParseUint(fields[3], 16, 32)
		kind, e := strconv.ParseUint(fields[4], 16, 16)
		path := strings.TrimLeft(fields[7], " ")
		if fields[6] == "" { // the padding was split
			_, path, _ = strings.Cut(path, " ")
		}
		names := map[int]string{unix.SOCK_STREAM: fuzz.SocketUnix, unix.SOCK_DGRAM: fuzz.SocketUnixGram, unix.SOCK_SEQPACKET: fuzz.SocketUnixSeqed}
		name := names[int(kind)]
		if err != nil || e != nil || name == "" || path == "" || kind != unix.SOCK_DGRAM && flags&listens == 0 {
			continue
		}
		all = append(all, socket{name: fuzz.Socket(name + "/" + path), path: path, kind: int(kind)})
	}
	return all
}

// find is the socket that a name stands for, see [fuzz.Socket].
func (t *talker) find(name fuzz.Socket) (socket, bool, error) {
	all, err := t.sockets()
	if err != nil {
		return socket{}, false, err
	}
	secure := name.Kind() == fuzz.SocketTLS
	if secure {
		name = fuzz.Socket(fuzz.SocketTCP + "/" + name.Name())
	}
	i := slices.IndexFunc(all, func(s socket) bool { return s.name == name })
	if i < 0 {
		i = slices.IndexFunc(all, func(s socket) bool { return s.name.Kind() == name.Kind() })
	}
	if i < 0 {
		return socket{}, false, nil
	}
	return all[i], true, nil
}

// address is the address of a socket for connect(2). What it holds open is closed by free.
func (t *talker) address(s *socket) (sa unix.Sockaddr, family int, free func(), ok bool) {
	free = func() {}
	switch {
	case s.path == "" && s.at.Addr().Is4():
		return &unix.SockaddrInet4{Port: int(s.at.Port()), Addr: s.at.Addr().As4()}, unix.AF_INET, free, true
	case s.path == "":
		return &unix.SockaddrInet6{Port: int(s.at.Port()), Addr: s.at.Addr().As16()}, unix.AF_INET6, free, true
	case s.path[0] == '@':
		return &unix.SockaddrUnix{Name: s.path}, unix.AF_UNIX, free, true
	}
	// The path is the target's, and so is what lies there: no link may lead out of its world.
	at, path := fmt.Sprintf("/proc/%d/root", t.init), s.path
	if !filepath.IsAbs(path) {
		for _, pid := range t.first() {
			at = fmt.Sprintf("/proc/%d/cwd", pid)
		}
	}
	root, err := unix.Open(at, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, 0, free, false
	}
	defer unix.Close(root)
	fd, err := unix.Openat2(root, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return nil, 0, free, false
	}
	return &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d", fd)}, unix.AF_UNIX, func() { unix.Close(fd) }, true
}
