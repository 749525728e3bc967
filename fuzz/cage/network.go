package cage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// own are the world's addresses beside the loopback ones: programs that look whether the
// machine has a network at all want to see some, and calls to others come from there.
var own = []netip.Addr{netip.MustParseAddr("10.0.2.15"), netip.MustParseAddr("fd00::2:15")}

// Network makes the world's network a new one in which every address is the world's
// own: it has no device but lo, so nothing leaves it, and whoever listens there is
// whom a program calls. It returns a descriptor of the network namespace, which the caller
// closes. IPv6 is left out where the kernel has none or it is switched off.
func (w *World) Network() (namespace int, err error) {
	c := w.cage
	if c.used {
		if err := renew(); err != nil {
			return -1, err
		}
	}
	c.used = true // the next world gets another one
	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return -1, fmt.Errorf("make every address local: %w", err)
	}
	defer unix.Close(s)
	for _, a := range own {
		if err := errors.Join(newAddress(s, a), newRoute(s, a)); err != nil && a.Is4() {
			return -1, fmt.Errorf("make every address local: %w", err)
		}
	}
	namespace, err = unix.IoctlRetInt(s, unix.SIOCGSKNS)
	if err != nil {
		return -1, fmt.Errorf("open the network namespace: %w", err)
	}
	unix.CloseOnExec(namespace)
	return namespace, nil
}

const loopback = 1 // the index of lo in every network namespace

// newAddress gives lo one more address (rtnetlink(7)).
func newAddress(s int, a netip.Addr) error {
	// struct ifaddrmsg: family, length of the prefix, flags, scope, index
	m := []byte{family(a), uint8(a.BitLen()), unix.IFA_F_NODAD, unix.RT_SCOPE_UNIVERSE, loopback, 0, 0, 0}
	m = attribute(attribute(m, unix.IFA_LOCAL, a.AsSlice()), unix.IFA_ADDRESS, a.AsSlice())
	return change(s, unix.RTM_NEWADDR, m)
}

// newRoute is "ip route add local default dev lo src ADDRESS".
func newRoute(s int, from netip.Addr) error {
	// struct rtmsg: family, lengths of destination and source, tos, table, protocol, scope, type, flags
	m := []byte{family(from), 0, 0, 0, unix.RT_TABLE_LOCAL, unix.RTPROT_STATIC, unix.RT_SCOPE_HOST, unix.RTN_LOCAL, 0, 0, 0, 0}
	m = attribute(m, unix.RTA_OIF, binary.NativeEndian.AppendUint32(nil, loopback))
	return change(s, unix.RTM_NEWROUTE, attribute(m, unix.RTA_PREFSRC, from.AsSlice()))
}

func family(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// attribute appends a struct rtattr. All that is appended here is a multiple of four bytes long.
func attribute(m []byte, kind uint16, value []byte) []byte {
	m = binary.NativeEndian.AppendUint16(m, uint16(unix.SizeofRtAttr+len(value)))
	m = binary.NativeEndian.AppendUint16(m, kind)
	return append(m, value...)
}

// change sends one request and reads what became of it.
func change(s int, kind uint16, body []byte) error {
	m := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	m = binary.NativeEndian.AppendUint16(m, kind)
	m = binary.NativeEndian.AppendUint16(m, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	m = append(m, make([]byte, 8)...) // sequence number and port
	if err := unix.Sendto(s, append(m, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(s, answer, 0)
	switch {
	case err != nil:
		return err
	case n < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR:
		return errors.New("the kernel's answer is of an unknown kind")
	}
	if code := int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}

// Called reports whether anybody tried to reach somebody over the network since the
// network namespace was made, by the kernel's counters: a connection or datagram was sent, or
// there was no way to send it. What is looked up or bound alone does not count. Without alone, somebody
// has talked to the program there, who calls nobody that is not there: only that there was no way tells, and that nobody was.
func (c *Cage) Called(alone bool) (bool, error) {
	old, err := c.counters("snmp")
	if err != nil {
		return false, err
	}
	// A line of names is followed by one of values.
	lines := strings.Split(old, "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		names, values := strings.Fields(lines[i]), strings.Fields(lines[i+1])
		for j := range min(len(names), len(values)) {
			switch names[0] + names[j] {
			case "Ip:OutNoRoutes", "Tcp:AttemptFails", "Udp:NoPorts":
				if values[j] != "0" {
					return true, nil
				}
			case "Tcp:ActiveOpens", "Udp:OutDatagrams":
				if alone && values[j] != "0" {
					return true, nil
				}
			}
		}
	}
	six, err := c.counters("snmp6")
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	for line := range strings.Lines(six) {
		if f := strings.Fields(line); len(f) == 2 && (f[0] == "Ip6OutNoRoutes" || f[0] == "Udp6NoPorts" || alone && f[0] == "Udp6OutDatagrams") && f[1] != "0" {
			return true, nil
		}
	}
	return false, err
}

// counters reads a file of the calling thread's network namespace, /proc/net.
func (c *Cage) counters(name string) (string, error) {
	fd, err := unix.Openat(c.proc, "thread-self/net/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("read the counters of the network: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	b := make([]byte, 16<<10)
	n := 0
	for n < len(b) {
		m, err := f.Read(b[n:])
		if n += m; err != nil || m == 0 {
			break
		}
	}
	return string(b[:n]), nil
}

// bundles are files in which distributions keep the certificates that programs trust
// (crypto/x509/root_linux.go).
var bundles = []string{
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/pki/tls/cacert.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
}

// findBundles are those that the host has, without links to them.
func findBundles() []string {
	var found []string
	for _, p := range bundles {
		if real, err := filepath.EvalSymlinks(p); err == nil && !hidden(real) && !isDir(real) {
			found = append(found, real)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// Trust makes programs in the world trust one more authority, by its certificate in PEM. The host's
// files stay what they are.
func (w *World) Trust(pem []byte) error {
	for i, path := range w.cage.bundles {
		old, err := os.ReadFile(host + path)
		if err != nil {
			return fmt.Errorf("add to %s: %w", path, err)
		}
		name := "trust" + strconv.Itoa(i)
		if err := w.write(name, append(old, pem...)); err != nil {
			return fmt.Errorf("add to %s: %w", path, err)
		}
		w.covers = append(w.covers, cover{name, path})
	}
	return nil
}

// Configure makes a file of the host's configuration another one in the world, or adds it. It
// has no effect in an ordinary user's cage, where nothing can be added to directories of the system.
func (w *World) Configure(path string, data []byte) error {
	if w.cage.ordinary || hidden(path) {
		return nil
	}
	for i := 1; i < len(path); i++ {
		if path[i] != '/' {
			continue
		}
		// Of a directory in both layers, that of the upper one tells mode and owner.
		mode := uint32(0o755)
		var st unix.Stat_t
		if err := unix.Stat(host+path[:i], &st); err == nil {
			mode = st.Mode & 0o7777
		}
		if err := unix.Mkdirat(w.scratch, "up"+path[:i], mode); err != nil && err != unix.EEXIST {
			return fmt.Errorf("configure %s: %w", path, err)
		}
	}
	if err := w.write("up"+path, data); err != nil {
		return fmt.Errorf("configure %s: %w", path, err)
	}
	return nil
}

// furnishRun makes the directories in /run.
func (w *World) furnishRun() error {
	for _, d := range w.cage.run {
		path := "run/" + d.Name
		err := unix.Mkdirat(w.scratch, path, d.Mode)
		if err == nil && !w.cage.ordinary {
			err = errors.Join(unix.Fchownat(w.scratch, path, d.UID, d.GID, unix.AT_SYMLINK_NOFOLLOW), unix.Fchmodat(w.scratch, path, d.Mode, 0))
		}
		if err != nil && err != unix.EEXIST {
			return fmt.Errorf("make /%s in the scratch file system: %w", path, err)
		}
	}
	return nil
}

// cover is a file of the scratch file system that is seen in the place of one of the host.
type cover struct{ file, path string }

func (w *World) write(name string, data []byte) error {
	fd, err := unix.Openat(w.scratch, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
