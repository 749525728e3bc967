package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// mouth is what datagrams are sent from, which have one address and port as their source.
type mouth interface {
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
	Close() error
}

// openMouth makes one in the namespace of the thread. Where the target has bound the port at all addresses nobody else can bind it, and
// of IPv6 only addresses that a device has, which a route to all of them does not give it. Then datagrams are put together here.
func openMouth(at netip.AddrPort) (mouth, error) {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err == nil {
		return c, nil
	}
	if !errors.Is(err, unix.EADDRINUSE) && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return nil, err
	}
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	family := unix.AF_INET
	if at.Addr().Is6() {
		family = unix.AF_INET6
	}
	// The header is ours for this protocol, see raw(7); in IPv6 it has to be said (RFC 3542).
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, fmt.Errorf("make a socket for whole packets: %w", err)
	}
	if family == unix.AF_INET6 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_HDRINCL, 1); err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("make a socket for whole packets: %w", err)
		}
	}
	return &forger{fd, at}, nil
}

// forger sends from an address that it has not bound.
type forger struct {
	fd int
	at netip.AddrPort
}

func (f *forger) Close() error { return unix.Close(f.fd) }

func (f *forger) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	p, err := packet(f.at, to, b)
	if err != nil {
		return 0, err
	}
	var sa unix.Sockaddr = &unix.SockaddrInet6{Addr: to.Addr().As16()} // a port would be taken for a protocol
	if to.Addr().Is4() {
		sa = &unix.SockaddrInet4{Addr: to.Addr().As4()}
	}
	return len(b), unix.Sendto(f.fd, p, 0, sa)
}

// packet is a datagram of UDP (RFC 768) with its header of IP. That of IPv4 lacks what the kernel fills in, see raw(7).
func packet(from, to netip.AddrPort, data []byte) ([]byte, error) {
	const headerUDP, ttl = 8, 64
	length := headerUDP + len(data)
	if from.Addr().Is4() != to.Addr().Is4() || length > 0xffff-20 {
		return nil, errors.New("no datagram can be so")
	}
	var p []byte
	if from.Addr().Is4() {
		p = append(p, 0x45, 0, 0, 0, 0, 0, 0, 0, ttl, unix.IPPROTO_UDP, 0, 0)
	} else {
		p = binary.BigEndian.AppendUint16(append(p, 0x60, 0, 0, 0), uint16(length))
		p = append(p, unix.IPPROTO_UDP, ttl)
	}
	p = append(append(p, from.Addr().AsSlice()...), to.Addr().AsSlice()...)
	head := len(p)
	for _, word := range []int{int(from.Port()), int(to.Port()), length, 0} {
		p = binary.BigEndian.AppendUint16(p, uint16(word))
	}
	p = append(p, data...)
	if from.Addr().Is6() { // where it may not be left out (RFC 8200, 8.1)
		sum := uint32(unix.IPPROTO_UDP + length)
		words := append(append([]byte(nil), p[8:]...), make([]byte, length%2)...)
		for ; len(words) > 0; words = words[2:] {
			sum += uint32(binary.BigEndian.Uint16(words))
		}
		for sum > 0xffff {
			sum = sum&0xffff + sum>>16
		}
		if sum = ^sum & 0xffff; sum == 0 {
			sum = 0xffff
		}
		binary.BigEndian.PutUint16(p[head+6:], uint16(sum))
	}
	return p, nil
}
