package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// kin is the processes that descend from this one, those that have ended too, as the
// kernel's process connector tells of them (drivers/connector/cn_proc.c): it tells before a
// process runs. A number stays in the set until it is given to a process of others, for
// the record of a call may arrive after the end of its process.
type kin struct {
	fd   int
	own  uint32
	pids map[uint32]bool
	lost uint64 // how often the kernel had more to tell than the socket could hold
}

// The messages of linux/connector.h and linux/cn_proc.h.
const (
	connectorProc    = 1  // CN_IDX_PROC, CN_VAL_PROC
	connectorHeader  = 20 // struct cn_msg
	eventHeader      = 16 // of struct proc_event, before what depends on its kind
	eventNone        = 0
	eventFork        = 1
	listen           = 1 // PROC_CN_MCAST_LISTEN
	netlinkHeader    = unix.SizeofNlMsghdr
	receiveBuffer    = 32 << 20
	largestDatagram  = 64 << 10
	acknowledgedSize = netlinkHeader + connectorHeader + eventHeader
)

// openKin follows this process' children from now on. Needs CAP_NET_ADMIN before Linux 6.6,
// and the initial user, pid and network namespaces.
func openKin() (_ *kin, err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_CONNECTOR)
	if err != nil {
		return nil, unavailable(fmt.Sprintf("the kernel tells of no processes (CONFIG_PROC_EVENTS): %v", err), "use a kernel that has it")
	}
	k := &kin{fd: fd, own: uint32(os.Getpid()), pids: map[uint32]bool{}}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	enlarge(fd)
	const initial = "the process is not in the initial user, pid and network namespaces, as in a container, and the kernel tells of calls there alone"
	const outside = "run outside of it, as root of the host"
	switch err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: connectorProc}); {
	case errors.Is(err, unix.EPERM):
		return nil, unavailable("CAP_NET_ADMIN is missing", "run as root")
	case err != nil:
		return nil, unavailable(initial, outside)
	}
	request := make([]byte, netlinkHeader+connectorHeader+4)
	order := binary.NativeEndian
	order.PutUint32(request[0:], uint32(len(request)))
	order.PutUint16(request[4:], unix.NLMSG_DONE)
	order.PutUint32(request[netlinkHeader:], connectorProc)
	order.PutUint32(request[netlinkHeader+4:], connectorProc)
	order.PutUint16(request[netlinkHeader+16:], 4)
	order.PutUint32(request[netlinkHeader+connectorHeader:], listen)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, unavailable(initial, outside)
	}
	// The answer is there when sendto returns, where one is given at all.
	answered := false
	if err := k.drain(func(what uint32, body []byte) {
		if what == eventNone && len(body) >= 4 {
			answered = true
			if errno := order.Uint32(body); errno != 0 {
				err = unix.Errno(errno)
			}
		}
	}); err != nil {
		return nil, err
	}
	switch {
	case errors.Is(err, unix.EPERM):
		return nil, unavailable("CAP_NET_ADMIN is missing", "run as root")
	case err != nil:
		return nil, fmt.Errorf("ask the kernel to tell of processes: %w", err)
	case !answered:
		return nil, unavailable(initial, outside)
	}
	return k, nil
}

// enlarge gives a socket much room. Without CAP_NET_ADMIN it gets what the sysctl
// net.core.rmem_max permits.
func enlarge(fd int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
}

// catchUp takes in all that the kernel has told so far.
func (k *kin) catchUp() error {
	return k.drain(k.event)
}

func (k *kin) event(what uint32, body []byte) {
	if what != eventFork || len(body) < 16 {
		return
	}
	order := binary.NativeEndian
	parent, child := order.Uint32(body[4:]), order.Uint32(body[12:]) // the thread groups
	switch {
	case parent == child || child == k.own: // a thread
	case parent == k.own || k.pids[parent]:
		k.pids[child] = true
	default:
		delete(k.pids, child)
	}
}

// drain reads messages until there are no more.
func (k *kin) drain(each func(what uint32, body []byte)) error {
	buf := make([]byte, largestDatagram)
	for {
		n, from, err := unix.Recvfrom(k.fd, buf, unix.MSG_DONTWAIT)
		switch {
		case err == unix.EAGAIN:
			return nil
		case err == unix.EINTR:
			continue
		case err == unix.ENOBUFS:
			k.lost++
			continue
		case err != nil:
			return fmt.Errorf("read what the kernel tells of processes: %w", err)
		}
		if !fromKernel(from) || n < acknowledgedSize || binary.NativeEndian.Uint32(buf[netlinkHeader:]) != connectorProc {
			continue
		}
		event := buf[netlinkHeader+connectorHeader : n]
		each(binary.NativeEndian.Uint32(event), event[eventHeader:])
	}
}

// fromKernel reports whether a message is not another process'.
func fromKernel(from unix.Sockaddr) bool {
	a, ok := from.(*unix.SockaddrNetlink)
	return ok && a.Pid == 0
}
