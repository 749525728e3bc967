package cage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// The lobby is the root file system of the thread that starts the targets. A run
// begins with a copy of the starting thread's mounts; those of the lobby are few,
// and all that runs can share is mounted in it once, read-only.
//
//	/host      the host's root, with the mounts that worlds show
//	/dev /sys  as every world has them
//	/proc      with an ordinary user, the host's, which no world has
//	/expose/N  the N-th exposed path
//	/start     Options.Dir
//	/world     where the world of a run is mounted
const (
	host  = "/host"
	start = "/start"
	world = "/world"
)

const readOnly = unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY

func exposed(i int) string { return "/expose/" + strconv.Itoa(i) }

// enter takes the calling thread into namespaces of its own and into a new lobby.
func (c *Cage) enter() error {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWUTS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	proc := -1
	if c.ordinary {
		// Where no /proc is in sight, a user may not mount one (mount_too_revealing in
		// the kernel's fs/namespace.c).
		var err error
		proc, err = unix.OpenTree(unix.AT_FDCWD, "/proc", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		if err != nil {
			return fmt.Errorf("open /proc: %w", err)
		}
		defer unix.Close(proc)
	}
	// Built over /proc, a directory that every host has and nobody exposes.
	const lobby = "/proc"
	if err := unix.Mount("lobby", lobby, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID, "mode=0755"); err != nil {
		return fmt.Errorf("mount the lobby: %w", err)
	}
	if err := renew(); err != nil { // before sysfs, which shows the network namespace it is mounted in
		return err
	}
	for _, d := range []string{host, "/dev", "/proc", "/sys", "/expose", start, world} {
		if err := os.Mkdir(lobby+d, 0o755); err != nil {
			return err
		}
	}
	show := c.showMounts
	if c.ordinary {
		show = c.showAll
	}
	if err := show(lobby + host); err != nil {
		return err
	}
	for i, p := range c.expose {
		at := lobby + exposed(i)
		if err := mountPoint(unix.AT_FDCWD, at, c.exposeDir[i]); err != nil {
			return fmt.Errorf("expose %s: %w", p, err)
		}
		if err := bind(p, at, lent); err != nil {
			return err
		}
	}
	if c.dir != "" {
		if err := bind(c.dir, lobby+start, 0); err != nil {
			return err
		}
	}
	if err := c.mountSys(lobby + "/sys"); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	if err := showCgroups(lobby + "/sys/fs/cgroup"); err != nil {
		return fmt.Errorf("show cgroups: %w", err)
	}
	if err := c.mountDev(lobby + "/dev"); err != nil {
		return fmt.Errorf("make /dev: %w", err)
	}
	if c.ordinary {
		if err := unix.MoveMount(proc, "", unix.AT_FDCWD, lobby+"/proc", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("keep /proc: %w", err)
		}
	}
	if err := unix.Chdir(lobby); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the host: %w", err)
	}
	return unix.Chdir("/")
}

// showMounts makes the host's root and the mounts that worlds show appear at a path.
func (c *Cage) showMounts(at string) error {
	if err := bind("/", at, 0); err != nil {
		return err
	}
	for _, m := range c.mounts {
		var ro uint64
		if !m.overlay() {
			ro = lent
		}
		if err := bind(m.point, at+m.point, ro); err != nil {
			return err
		}
	}
	return nil
}

// lent are the flags of what a world shows of the host without an overlay.
const lent = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSUID

// bind makes what is at one path appear at another, with flags added (mount_setattr(2)).
func bind(from, to string, flags uint64) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", from, err)
	}
	if flags != 0 {
		if err := unix.MountSetattr(unix.AT_FDCWD, to, 0, &unix.MountAttr{Attr_set: flags}); err != nil {
			return fmt.Errorf("make %s read-only: %w", from, err)
		}
	}
	return nil
}

// mountSys shows the kernel's objects, and the devices of the world's own network.
func (c *Cage) mountSys(at string) error {
	err := unix.Mount("sysfs", at, "sysfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	if err == unix.EPERM && c.ordinary {
		// Where parts of /sys are hidden, as in containers, users may not see a new one.
		return bindAll("/sys", at)
	}
	return err
}

// bindAll makes all that is at a path, with what is mounted there, appear at another,
// read-only.
func bindAll(from, to string) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return unix.MountSetattr(unix.AT_FDCWD, to, unix.AT_RECURSIVE, &unix.MountAttr{
		Attr_set: lent | unix.MOUNT_ATTR_NOEXEC,
	})
}

// showCgroups shows the host's cgroups, read-only: language runtimes read there how
// much of the machine is theirs.
func showCgroups(at string) error {
	if !exists(cgroups) || !exists(at) {
		return nil
	}
	return bindAll(cgroups, at)
}

// devices are the nodes of a container's /dev (OCI runtime specification,
// "Default Devices").
var devices = []struct {
	name         string
	major, minor uint32
}{
	{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0},
}

// mountDev makes a container's /dev. It ends up read-only, which does not keep
// anybody from writing to a device.
func (c *Cage) mountDev(dir string) error {
	if err := unix.Mount("dev", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=0755"); err != nil {
		return err
	}
	for _, d := range devices {
		path := filepath.Join(dir, d.name)
		if c.ordinary { // who may not make devices
			if err := errors.Join(mountPoint(unix.AT_FDCWD, path, false), bind("/dev/"+d.name, path, 0)); err != nil {
				return err
			}
			continue
		}
		if err := unix.Mknod(path, unix.S_IFCHR, int(unix.Mkdev(d.major, d.minor))); err != nil {
			return err
		}
		if err := unix.Chmod(path, 0o666); err != nil { // mknod minded the umask
			return err
		}
	}
	for name, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0",
		"stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	for _, d := range []string{"pts", "shm"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("devpts", filepath.Join(dir, "pts"), "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620"); err != nil {
		return err
	}
	return unix.Mount("", dir, "", readOnly|unix.MS_NOSUID|unix.MS_NOEXEC, "")
}

// renew takes the calling thread into new network and ipc namespaces, in which
// lo is up, so that a target can talk to itself.
func renew() error {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWIPC); err != nil {
		return fmt.Errorf("make network and ipc namespaces: %w", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("bring up lo: %w", err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("bring up lo: %w", err)
	}
	return nil
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}
