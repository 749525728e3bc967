package cage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

// An ordinary user makes cages in a user namespace in which he has the ids that he
// has outside, and only those: a target sees itself as the user that it always sees,
// and what belongs to others as nobody's. Three things differ from the cage of
// root, see user_namespaces(7) and mount_namespaces(7):
//
//   - The mounts of the host are locked: none can be shown without what is mounted
//     on it. So no overlay can lie over the root, and a world's root is made of
//     read-only pieces, see show.
//   - Overlayfs cannot copy up what belongs to another user. So it lies over those
//     places only in which the user writes, see writable.
//   - A target has no capabilities, as it has none outside.

// admitted are the capabilities in its user namespace of a process that makes cages:
// to make namespaces and mounts, to bring up a network, to leave the capabilities
// behind, and to copy up whatever files the user has.
var admitted = []int{
	unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_SYS_CHROOT, unix.CAP_SETPCAP,
	unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_FSETID,
}

// Permitted reports whether this process may make cages.
func Permitted() bool {
	var caps [2]unix.CapUserData
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	return unix.Capget(&head, &caps[0]) == nil && caps[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0
}

// Admission says how to start a process that may make cages, for a process that may
// not. It is in a user namespace of its own, so it lacks all other rights that its
// parent may have. The start fails with EPERM, EACCES or ENOSPC where users may not
// make user namespaces.
func Admission() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}},
	}
	for _, c := range slices.Concat(admitted, leftTo(os.Geteuid())) {
		attr.AmbientCaps = append(attr.AmbientCaps, uintptr(c))
	}
	return attr
}

// leftTo are the capabilities that targets of a user have.
func leftTo(uid int) []int {
	if uid == 0 {
		return kept
	}
	return nil
}

// inUserNamespace reports whether this process is in another user namespace than
// the first one, which has a fixed inode (PROC_USER_INIT_INO).
func inUserNamespace() (bool, error) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/user", &st); err != nil {
		return false, fmt.Errorf("look at the user namespace: %w", err)
	}
	return st.Ino != 0xeffffffd, nil
}

// whole reports whether nothing is mounted below a directory.
func (c *Cage) whole(dir string) bool {
	return !slices.ContainsFunc(c.points, func(m mount) bool { return below(m.point, dir) })
}

func below(path, dir string) bool {
	return path != dir && strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// on is the mount on which a path lies.
func (c *Cage) on(path string) mount {
	var found mount
	for _, m := range c.points { // sorted, so the longest is the last
		if m.point == path || below(path, m.point) {
			found = m
		}
	}
	return found
}

// writable are the places where programs of an ordinary user write by habit,
// besides those that are private to a world: the home directory and /var/tmp.
// Worlds have them under an overlay; all else is shown read-only.
func (c *Cage) writable() []mount {
	var found []mount
	for _, p := range []string{os.Getenv("HOME"), "/var/tmp"} {
		p, err := filepath.EvalSymlinks(p)
		if err != nil || !filepath.IsAbs(p) || !c.whole(p) || unix.Access(p, unix.W_OK) != nil {
			continue
		}
		m := mount{point: p, fstype: c.on(p).fstype}
		if m.look() == nil && m.shown() && m.overlay() {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b mount) int { return strings.Compare(a.point, b.point) })
	return slices.Compact(found)
}

// showAll makes the host's root, but for what is private to a world, appear at a
// path, read-only.
func (c *Cage) showAll(at string) error {
	if err := unix.Mount("host", at, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID, "mode=0755"); err != nil {
		return err
	}
	for _, p := range private {
		if err := os.Mkdir(at+p, 0o755); err != nil {
			return err
		}
	}
	if err := c.show("/", at); err != nil {
		return err
	}
	return unix.MountSetattr(unix.AT_FDCWD, at, unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: lent})
}

// show makes a directory appear at another, which exists: by a mount where nothing
// is mounted below it, else entry by entry. What the user may not look at stays empty.
func (c *Cage) show(dir, at string) error {
	if c.whole(dir) {
		return bind(dir, at, 0)
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	for _, e := range entries {
		from, to := filepath.Join(dir, e.Name()), filepath.Join(at, e.Name())
		if slices.Contains(private, from) || slices.Contains([]string{"autofs", "nsfs"}, c.on(from).fstype) {
			continue
		}
		if err := c.showEntry(e, from, to); err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("show %s: %w", from, err)
		}
	}
	return nil
}

func (c *Cage) showEntry(e fs.DirEntry, from, to string) error {
	switch e.Type() {
	case fs.ModeSymlink:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	case fs.ModeDir:
		// Readable by all: an unreadable one is as empty for the target.
		if err := os.Mkdir(to, 0o755); err != nil {
			return err
		}
		return c.show(from, to)
	case 0:
		if err := mountPoint(unix.AT_FDCWD, to, false); err != nil {
			return err
		}
		return bind(from, to, 0)
	}
	return nil // sockets and the like lead out
}

// bound takes a world's init, whose root is the lobby still, into a user namespace of
// its own, in which the ids stay what they are: RLIMIT_NPROC counts the user's
// processes there apart. Of memory it can only be said who is to go first.
func bound(s *spawn.Script) {
	write := func(name, text string) {
		s.Call("open "+name, unix.SYS_OPENAT, ^uintptr(99), s.String("/root/proc/self/"+name), unix.O_WRONLY|unix.O_CLOEXEC)
		s.Call("write "+name, unix.SYS_WRITE, spawn.Last, s.String(text), uintptr(len(text)))
	}
	s.Call("make a user namespace", unix.SYS_UNSHARE, unix.CLONE_NEWUSER)
	write("uid_map", fmt.Sprintf("%d %[1]d 1", os.Geteuid()))
	write("gid_map", fmt.Sprintf("%d %[1]d 1", os.Getegid()))
	write("oom_score_adj", "1000")
}

// checkOrdinary refuses what an ordinary user's cage cannot do: to show directories
// under an overlay in which something is mounted, and to count processes on kernels
// whose RLIMIT_NPROC is for all that the user has on the machine.
func (c *Cage) checkOrdinary() error {
	for _, p := range append(slices.Clone(c.expose), c.dir) {
		if p != "" && !c.whole(p) {
			return fmt.Errorf("%w: an ordinary user cannot show %s, in which other file systems are mounted", ErrRights, p)
		}
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("uname: %w", err)
	}
	var major, minor int
	release := unix.ByteSliceToString(u.Release[:])
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return fmt.Errorf("kernel release %q: %w", release, err)
	}
	if major < 5 || major == 5 && minor < 14 {
		return fmt.Errorf("%w: ordinary users need Linux 5.14, and this is %s", ErrRights, release)
	}
	return nil
}
