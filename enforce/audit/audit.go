// Package audit reads what the kernel's audit system tells of calls that met a seccomp
// filter. It decides which records are of programs that this process has started, and what
// is known to be lost. It refuses to know policies, and what becomes of a record.
//
// Its main hazard is what the kernel does not tell: it records a refusal by ERRNO, TRAP,
// TRACE or USER_NOTIF only for filters that were loaded with SECCOMP_FILTER_FLAG_LOG, and of
// all actions only those that the sysctl kernel.seccomp.actions_logged lists. And it tells
// late, from a thread of its own: so a record is made on purpose at the end, behind which
// there can be none of before.
package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Error says why audit records cannot be read, or would not tell all.
type Error struct {
	Missing string // the right or the feature that is missing
	Mend    string // what to do about it
}

func (e *Error) Error() string {
	return fmt.Sprintf("audit records cannot be read: %s; %s", e.Missing, e.Mend)
}

func unavailable(missing, mend string) error { return &Error{missing, mend} }

// Of linux/audit.h.
const (
	groupRead = 1    // AUDIT_NLGRP_READLOG
	get       = 1000 // AUDIT_GET
	lostAt    = 24   // the offset of lost in struct audit_status
)

// patience is how long the kernel may take to tell of a call. It tells within
// milliseconds where it tells at all.
const patience = 10 * time.Second

// Log is the audit records of what this process starts.
type Log struct {
	records *os.File
	reader  syscall.RawConn
	note    func(Record)
	begun   uint64 // that counter at the beginning

	mu   sync.Mutex // of kin
	kin  *kin
	stop *os.File // of kin's descriptor

	marks   chan uint32 // numbers of calls made on purpose, as they are read
	ended   sync.WaitGroup
	lost    uint64 // datagrams, at least; after ended
	failure error
}

// Open reads records from now on. note is called, by one goroutine, for each that is of a
// process which this one has started, or that descends from such a one; until Close has
// returned. actions are the words of those that the caller's filters use, as the sysctl
// spells them. The error is an *Error where the kernel, a right or a setting is known to be in the way.
//
// It needs CAP_AUDIT_READ, CAP_AUDIT_CONTROL to learn of losses, CAP_NET_ADMIN before Linux
// 6.6, and the initial namespaces.
func Open(actions []string, note func(Record)) (_ *Log, err error) {
	if err := recorded(actions); err != nil {
		return nil, err
	}
	k, err := openKin()
	if err != nil {
		return nil, err
	}
	l := &Log{note: note, kin: k, stop: os.NewFile(uintptr(k.fd), "processes"), marks: make(chan uint32, 2)}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_AUDIT)
	if err != nil {
		l.stop.Close()
		return nil, unavailable(fmt.Sprintf("the kernel has no audit, or was started with audit=0: %v", err), "use a kernel with CONFIG_AUDIT, and start it without audit=0")
	}
	l.records = os.NewFile(uintptr(fd), "audit")
	defer func() {
		if err != nil {
			l.records.Close()
			l.stop.Close()
		}
	}()
	enlarge(fd)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groupRead}); err != nil {
		return nil, unavailable("CAP_AUDIT_READ is missing", "run as root, or give the program it: setcap cap_audit_read,cap_audit_control+ep $(command -v tjfuzz)")
	}
	if l.begun, err = lost(); err != nil {
		return nil, err
	}
	if l.reader, err = l.records.SyscallConn(); err != nil {
		return nil, err
	}
	processes, err := l.stop.SyscallConn()
	if err != nil {
		return nil, err
	}
	l.ended.Go(func() { l.read() })
	l.ended.Go(func() { l.follow(processes) })
	if err := l.await(); err != nil {
		_ = l.end()
		return nil, err
	}
	return l, nil
}

// recorded reports which of the actions leave no record. Log has to, for what is made on
// purpose.
func recorded(actions []string) error {
	b, err := os.ReadFile("/proc/sys/kernel/seccomp/actions_logged")
	if err != nil {
		return unavailable(fmt.Sprintf("which actions leave a record is not known: %v", err), "mount /proc")
	}
	logged := strings.Fields(string(b))
	var missing []string
	for _, a := range append([]string{"log"}, actions...) {
		if !slices.Contains(logged, a) && !slices.Contains(missing, a) {
			missing = append(missing, a)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return unavailable("the kernel leaves no record of "+strings.Join(missing, ", "),
		fmt.Sprintf("sysctl -w kernel.seccomp.actions_logged='%s'", strings.Join(append(logged, missing...), " ")))
}

// lost is how many records the kernel has thrown away since it started.
func lost() (uint64, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_AUDIT)
	if err != nil {
		return 0, fmt.Errorf("ask for the state of audit: %w", err)
	}
	defer unix.Close(fd)
	request := make([]byte, netlinkHeader)
	order := binary.NativeEndian
	order.PutUint32(request, uint32(len(request)))
	order.PutUint16(request[4:], get)
	order.PutUint16(request[6:], unix.NLM_F_REQUEST)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, fmt.Errorf("ask for the state of audit: %w", err)
	}
	limit := unix.NsecToTimeval(int64(patience))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return 0, fmt.Errorf("ask for the state of audit: %w", err)
	}
	buf := make([]byte, largestDatagram)
	for {
		n, from, err := unix.Recvfrom(fd, buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("ask for the state of audit: %w", err)
		}
		if !fromKernel(from) || n < netlinkHeader+4 {
			continue
		}
		body := buf[netlinkHeader:n]
		switch order.Uint16(buf[4:]) {
		case unix.NLMSG_ERROR:
			if errno := -int32(order.Uint32(body)); errno != 0 {
				return 0, unavailable("CAP_AUDIT_CONTROL is missing, without which nobody knows what is lost: "+unix.Errno(errno).Error(),
					"run as root, or give the program it: setcap cap_audit_read,cap_audit_control+ep $(command -v tjfuzz)")
			}
		case get:
			if len(body) < lostAt+4 {
				return 0, errors.New("ask for the state of audit: the answer is too short")
			}
			return uint64(order.Uint32(body[lostAt:])), nil
		}
	}
}

// follow keeps the socket that tells of processes from filling up.
func (l *Log) follow(processes syscall.RawConn) {
	_ = processes.Read(func(uintptr) bool { // returns when the deadline is set
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.kin.catchUp() != nil // which the next record comes upon
	})
}

// read takes records in.
func (l *Log) read() {
	defer close(l.marks)
	own := os.Getpid()
	buf := make([]byte, largestDatagram)
	err := l.reader.Read(func(fd uintptr) bool { // returns when the deadline is set
		for {
			n, from, err := unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT)
			switch {
			case err == unix.EAGAIN:
				return false
			case err == unix.EINTR:
				continue
			case err == unix.ENOBUFS:
				l.lost++
				continue
			case err != nil:
				l.failure = fmt.Errorf("read audit records: %w", err)
				return true
			}
			// The length in the header is not always the message's (kauditd_send_multicast_skb).
			if !fromKernel(from) || n < netlinkHeader || binary.NativeEndian.Uint16(buf[4:]) != typeSeccomp {
				continue
			}
			r, err := parse(string(buf[netlinkHeader:n]))
			if err != nil {
				l.lost++
				l.failure = err
				continue
			}
			if r.PID == own && r.ID.Arch == sysno.Native() {
				select {
				case l.marks <- r.ID.NR:
				default: // nobody waits for so many
				}
				continue
			}
			l.mu.Lock()
			err = l.kin.catchUp()
			ours := l.kin.pids[uint32(r.PID)]
			l.mu.Unlock()
			if err != nil {
				l.failure = err
				return true
			}
			if ours {
				l.note(r)
			}
		}
	})
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		l.failure = errors.Join(l.failure, err)
	}
}

// await makes a record and waits for it: then all that were made before have been read.
func (l *Log) await() error {
	nr := 0x10000 + rand.Uint32N(1<<24) // there is no such call
	if err := leaveRecord(nr); err != nil {
		return fmt.Errorf("make an audit record: %w", err)
	}
	over := time.NewTimer(patience)
	defer over.Stop()
	for {
		select {
		case got, ok := <-l.marks:
			if !ok {
				return fmt.Errorf("audit records end: %w", l.failure)
			}
			if got == nr {
				return nil
			}
		case <-over.C:
			return unavailable("the kernel tells of no call, though it should", "see whether 'auditctl -l' lists a rule that excludes msgtype=SECCOMP")
		}
	}
}

// leaveRecord makes a call that has an effect on nothing but the audit log. The thread
// that makes it is under a filter then, and so it is not used any more.
func leaveRecord(nr uint32) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		done <- callUnderFilter(nr)
	}()
	return <-done
}

func callUnderFilter(nr uint32) error {
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // nr of struct seccomp_data
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_LOG},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	load := func() unix.Errno {
		_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog)))
		return errno
	}
	errno := load()
	if errno == unix.EACCES { // no CAP_SYS_ADMIN
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return err
		}
		errno = load()
	}
	if errno != 0 {
		return errno
	}
	_, _, _ = unix.RawSyscall(uintptr(nr), 0, 0, 0) // ENOSYS
	return nil
}

// end stops reading.
func (l *Log) end() error {
	now := time.Now()
	_ = l.records.SetReadDeadline(now)
	_ = l.stop.SetReadDeadline(now)
	l.ended.Wait()
	return errors.Join(l.records.Close(), l.stop.Close())
}

// Close ends the reading once all records of before have been read. It returns how many
// records or processes are known to be missing, at least: the kernel's own count is of
// the whole machine, and what a socket could not hold counts as one.
func (l *Log) Close() (uint64, error) {
	waited := l.await()
	now, err := lost()
	closed := l.end()
	missing := l.lost + l.kin.lost
	if err == nil && now > l.begun {
		missing += now - l.begun
	}
	if waited != nil || err != nil {
		missing++
	}
	return missing, errors.Join(waited, err, l.failure, closed)
}
