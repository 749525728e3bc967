package service

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// diag asks the kernel about the TCP sockets of a network namespace, see sock_diag(7). The tables in
// /proc/net tell the same, and take 5 ms of CPU time each to read: all buckets of a hash that the machine
// has for all of its namespaces.
type diag struct {
	fd  int
	buf []byte
}

// openDiag opens it in the network namespace of the calling thread.
func openDiag() (*diag, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("open a sock_diag socket: %w", err)
	}
	// The kernel answers at once; should it not, nobody is to wait for ever.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open a sock_diag socket: %w", err)
	}
	return &diag{fd: fd, buf: make([]byte, 64<<10)}, nil
}

func (d *diag) close() { unix.Close(d.fd) }

// States of TCP sockets, from include/net/tcp_states.h of the kernel.
const (
	tcpEstablished = 1
	tcpSynReceived = 3
	tcpCloseWait   = 8
	tcpListen      = 10
	tcpNewReceived = 12
)

// state is what inet_diag tells of a socket.
type state struct {
	state          byte
	local          netip.AddrPort
	unread, unsent uint32 // bytes; what was sent is unsent until it is acknowledged
}

// ask sends a request (struct inet_diag_req_v2) and calls got for each answer.
func (d *diag) ask(family byte, flags uint16, states uint32, local, remote netip.AddrPort, got func(state)) error {
	const (
		header = unix.NLMSG_HDRLEN
		size   = header + 56
	)
	var req [size]byte
	ne := binary.NativeEndian
	ne.PutUint32(req[0:], size)
	ne.PutUint16(req[4:], unix.SOCK_DIAG_BY_FAMILY)
	ne.PutUint16(req[6:], unix.NLM_F_REQUEST|flags)
	body := req[header:]
	body[0], body[1] = family, unix.IPPROTO_TCP
	ne.PutUint32(body[4:], states)
	binary.BigEndian.PutUint16(body[8:], local.Port())
	binary.BigEndian.PutUint16(body[10:], remote.Port())
	copy(body[12:28], local.Addr().AsSlice())
	copy(body[28:44], remote.Addr().AsSlice())
	ne.PutUint64(body[48:], ^uint64(0)) // INET_DIAG_NOCOOKIE
	if _, err := unix.Write(d.fd, req[:]); err != nil {
		return fmt.Errorf("ask for sockets: %w", err)
	}
	for {
		n, err := unix.Read(d.fd, d.buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("ask for sockets: %w", err)
		}
		for rest := d.buf[:n]; len(rest) >= header; {
			length, kind := int(ne.Uint32(rest)), ne.Uint16(rest[4:])
			if length < header || length > len(rest) {
				return fmt.Errorf("ask for sockets: an answer of %d bytes in %d", length, len(rest))
			}
			message := rest[header:length]
			rest = rest[min(len(rest), (length+3)&^3):]
			switch {
			case kind == unix.NLMSG_DONE:
				return nil
			case kind == unix.NLMSG_ERROR && len(message) >= 4:
				if errno := unix.Errno(-int32(ne.Uint32(message))); errno != unix.ENOENT && errno != 0 {
					return fmt.Errorf("ask for sockets: %w", errno)
				}
				return nil // there is no such socket
			}
			if len(message) >= 72 { // struct inet_diag_msg
				got(parseState(message))
			}
			if flags&unix.NLM_F_DUMP == 0 {
				return nil
			}
		}
	}
}

func parseState(m []byte) state {
	size := 4
	if m[0] == unix.AF_INET6 {
		size = 16
	}
	addr, _ := netip.AddrFromSlice(m[8 : 8+size])
	return state{
		state: m[1], local: netip.AddrPortFrom(addr.Unmap(), binary.BigEndian.Uint16(m[4:])),
		unread: binary.NativeEndian.Uint32(m[56:]), unsent: binary.NativeEndian.Uint32(m[60:]),
	}
}

// listeners are the addresses at which somebody listens.
func (d *diag) listeners() (all []netip.AddrPort, err error) {
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		err := d.ask(family, unix.NLM_F_DUMP, 1<<tcpListen, netip.AddrPort{}, netip.AddrPort{}, func(s state) { all = append(all, s.local) })
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// other is the service's end of a connection, by the addresses of ours. It is not ok where
// there is none any more.
func (d *diag) other(local, remote netip.AddrPort) (s state, ok bool, err error) {
	family := byte(unix.AF_INET)
	if local.Addr().Is6() {
		family = unix.AF_INET6
	}
	err = d.ask(family, 0, ^uint32(0), remote, local, func(got state) { s, ok = got, got.state != tcpListen })
	return s, ok, err
}
