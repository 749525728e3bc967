package notify

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// maxPath is PATH_MAX of linux/limits.h.
const maxPath = 4096

// read copies from the caller's memory. It stops where a page is missing.
func (c *Call) read(at uint64, size int) ([]byte, error) {
	buf := make([]byte, size)
	got := 0
	for got < size {
		// A read that crosses into a missing page fails as a whole on some kernels.
		n := min(size-got, os.Getpagesize()-int((at+uint64(got))%uint64(os.Getpagesize())))
		m, err := unix.ProcessVMReadv(c.TID, []unix.Iovec{iovec(buf[got : got+n])}, []unix.RemoteIovec{{Base: uintptr(at) + uintptr(got), Len: n}}, 0)
		if err != nil || m <= 0 {
			if got > 0 {
				break
			}
			return nil, fmt.Errorf("read the memory of thread %d: %w", c.TID, err)
		}
		got += m
	}
	return buf[:got], nil
}

func iovec(b []byte) unix.Iovec {
	v := unix.Iovec{Base: &b[0]}
	v.SetLen(len(b))
	return v
}

// text reads a string that ends in NUL, of at most PATH_MAX bytes.
func (c *Call) text(at uint64) (string, bool) {
	var all []byte
	for len(all) < maxPath {
		b, err := c.read(at+uint64(len(all)), 256)
		if err != nil {
			return "", false
		}
		if i := bytes.IndexByte(b, 0); i >= 0 {
			return string(append(all, b[:i]...)), true
		}
		if len(b) < 256 {
			return "", false
		}
		all = append(all, b...)
	}
	return "", false
}

// Texts are the strings and the socket address that the arguments of a call point to, by
// argument. Nothing is returned of a caller that waits no more.
func (c *Call) Texts() map[int]string {
	texts := map[int]string{}
	for i, a := range c.ID.ArgsOf(c.Args) {
		if a.Kind == sysno.KindPath || a.Kind == sysno.KindString {
			if s, ok := c.text(c.Args[i] & a.Mask()); ok {
				texts[i] = s
			}
		}
	}
	if !c.Valid() {
		return nil
	}
	return texts
}

// Path is the path that the i-th argument of the caller stands for as the caller sees its
// file system, absolute and without dots, its symbolic links not followed.
func (c *Call) path(i int) (string, bool) {
	s, ok := c.text(c.Args[i])
	if !ok || s == "" {
		return "", false
	}
	if !strings.HasPrefix(s, "/") {
		base := fmt.Sprintf("/proc/%d/cwd", c.TID)
		args := c.ID.Args()
		if i > 0 && args[i-1].Kind == sysno.KindDirFD && int32(c.Args[i-1]) != unix.AT_FDCWD {
			base = fmt.Sprintf("/proc/%d/fd/%d", c.TID, int32(c.Args[i-1]))
		}
		dir, err := os.Readlink(base)
		if err != nil || !strings.HasPrefix(dir, "/") {
			return "", false
		}
		if root, err := os.Readlink(fmt.Sprintf("/proc/%d/root", c.TID)); err == nil && root != "/" {
			dir = strings.TrimPrefix(dir, root)
		}
		s = dir + "/" + s
	}
	return path.Clean(s), true
}

// Paths are the absolute paths of all arguments that are paths; ok is false where one
// could not be read.
func (c *Call) paths() (paths []string, ok bool) {
	ok = true
	for i, a := range c.ID.Args() {
		if a.Kind != sysno.KindPath {
			continue
		}
		p, read := c.path(i)
		ok = ok && read
		paths = append(paths, p)
	}
	return paths, ok && c.Valid()
}

// addressArgs says where a call has a socket address: the arguments of its pointer and of
// its length.
func addressArgs(id sysno.ID) (pointer, length int, ok bool) {
	switch name, _ := id.Name(); name {
	case "connect", "bind":
		return 1, 2, true
	case "sendto":
		return 4, 5, true
	}
	return 0, 0, false
}

// Address is the socket address of a call: "127.0.0.1:80", "[::1]:80", "unix:/run/x",
// "unix:@abstract", "netlink", "family 38". A call without one has "none".
func (c *Call) Address() (string, bool) {
	pointer, length, has := addressArgs(c.ID)
	if !has {
		return "", false
	}
	if c.Args[pointer] == 0 {
		return "none", true
	}
	size := int(uint32(c.Args[length]))
	if size < 2 || size > 128 { // struct sockaddr_storage
		return "", false
	}
	b, err := c.read(c.Args[pointer], size)
	if err != nil || len(b) < size || !c.Valid() {
		return "", false
	}
	return formatAddress(b), true
}

func formatAddress(b []byte) string {
	family := binary.NativeEndian.Uint16(b)
	switch {
	case family == unix.AF_INET && len(b) >= 8:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:])).String()
	case family == unix.AF_INET6 && len(b) >= 24:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), binary.BigEndian.Uint16(b[2:])).String()
	case family == unix.AF_UNIX:
		name := b[2:]
		if len(name) > 0 && name[0] == 0 {
			return "unix:@" + string(name[1:])
		}
		name, _, _ = bytes.Cut(name, []byte{0})
		return "unix:" + string(name)
	case family == unix.AF_NETLINK:
		return "netlink"
	case family == unix.AF_UNSPEC:
		return "unspecified"
	}
	return fmt.Sprintf("family %d", family)
}

// Thread is what /proc tells of a caller.
type status struct {
	comm                     string
	tgid                     int
	umask                    uint32
	blocked, ignored, caught uint64
}

// readStatus reads /proc/TID/status (proc_pid_status(5)).
func readStatus(tid int) (status, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", tid))
	if err != nil {
		return status{}, err
	}
	defer f.Close()
	var st status
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimSpace(value)
		hex := func() uint64 {
			n, _ := strconv.ParseUint(value, 16, 64)
			return n
		}
		switch key {
		case "Name":
			st.comm = value
		case "Tgid":
			st.tgid, _ = strconv.Atoi(value)
		case "Umask":
			n, _ := strconv.ParseUint(value, 8, 32)
			st.umask = uint32(n)
		case "SigBlk":
			st.blocked = hex()
		case "SigIgn":
			st.ignored = hex()
		case "SigCgt":
			st.caught = hex()
		}
	}
	if st.tgid == 0 {
		return st, fmt.Errorf("read the status of thread %d: it has no process", tid)
	}
	return st, nil
}

// Process is the process and the name of the calling thread; pid 0 where it is gone.
func (c *Call) Process() (pid int, comm string) {
	st, err := readStatus(c.TID)
	if err != nil || !c.Valid() {
		return 0, ""
	}
	return st.tgid, st.comm
}
