// Package cage decides in which world a fuzzed target lives: fresh mount, pid,
// ipc, uts and network namespaces for every run, the host's files under an
// overlay that is thrown away, a private /tmp, /run and /dev, the capabilities
// that containers get, and limits on memory, processes and file sizes. It knows
// neither what is run nor who watches. Its main hazard is a path that leads out:
// whatever is writable in the world must be backed by the run's own scratch
// file system, which dies with the run.
package cage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

// WorkDir is the directory, empty but for the run's own files, in which a caged
// target starts.
const WorkDir = "/tmp/work"

// Limits bounds what the processes of one run may use together. Zero values
// mean the defaults.
type Limits struct {
	Memory    int64 // bytes, default 1 GiB; needs a memory cgroup
	Processes int   // processes and threads, default 512; needs a pids cgroup
	Scratch   int64 // bytes in all files that a run writes, default 256 MiB
	FileSize  int64 // bytes in one file, default 64 MiB
}

func (l *Limits) defaults() {
	if l.Memory == 0 {
		l.Memory = 1 << 30
	}
	if l.Processes == 0 {
		l.Processes = 512
	}
	if l.Scratch == 0 {
		l.Scratch = 256 << 20
	}
	if l.FileSize == 0 {
		l.FileSize = 64 << 20
	}
}

// Options describes a cage.
type Options struct {
	Limits Limits
	// Expose lists absolute paths of the host that stay readable although they
	// lie below a directory that is private to the world, such as a target in /tmp.
	Expose []string
}

// Cage makes worlds for one worker. It is not safe for concurrent use.
type Cage struct {
	limits Limits
	expose []string
	mounts []mount // of the host, what the world must show beside the root file system
	locked []string
	group  *group
}

// ErrRights says that the process may not create namespaces or mounts.
var ErrRights = errors.New("the cage needs CAP_SYS_ADMIN")

// New prepares a cage. It must be called on the locked thread that will start
// the targets, for where the host has cgroup v1 that thread joins the group.
// Needs Linux 5.12.
func New(o Options) (*Cage, error) {
	if os.Geteuid() != 0 {
		return nil, ErrRights
	}
	o.Limits.defaults()
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read the host's mounts: %w", err)
	}
	mounts, err := parseMounts(string(info))
	if err != nil {
		return nil, err
	}
	c := &Cage{limits: o.Limits}
	for _, m := range mounts {
		if !m.shown() {
			continue
		}
		if st, err := os.Stat(m.point); err == nil {
			m.dir = st.IsDir()
			c.mounts = append(c.mounts, m)
		}
	}
	for _, p := range o.Expose {
		if hidden(p) {
			c.expose = append(c.expose, filepath.Clean(p))
		}
	}
	slices.Sort(c.expose)
	c.expose = slices.Compact(c.expose)
	// What the OCI runtimes make read-only: these files change the host.
	for _, p := range []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"} {
		if _, err := os.Lstat(p); err == nil {
			c.locked = append(c.locked, p)
		}
	}
	if c.group, err = newGroup(o.Limits); err != nil {
		return nil, err
	}
	return c, nil
}

// Warnings says, a sentence each, which limits this host does not let us set.
func (c *Cage) Warnings() []string { return c.group.warnings }

// Close removes what the cage left on the host: its cgroup.
func (c *Cage) Close() error { return c.group.remove() }

// World is the place of one run.
type World struct {
	scratch int // the detached mount of the run's scratch file system
	cage    *Cage
}

// NewWorld makes the world of one run with an empty working directory.
func (c *Cage) NewWorld() (*World, error) {
	fd, err := newTmpfs(fmt.Sprint(c.limits.Scratch), "16384")
	if err != nil {
		return nil, fmt.Errorf("make the scratch file system: %w", err)
	}
	w := &World{scratch: fd, cage: c}
	if err := w.furnish(); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// Close releases the world. The target must be gone.
func (w *World) Close() { unix.Close(w.scratch) }

// Dir is the directory in which the target starts, as the target sees it.
func (w *World) Dir() string { return WorkDir }

// WriteFile creates a file below WorkDir. The name is relative and may have directories.
func (w *World) WriteFile(name string, data []byte) error {
	if !filepath.IsLocal(name) {
		return fmt.Errorf("file %q is not below the working directory", name)
	}
	path := filepath.Join("tmp/work", name)
	if err := w.mkdirs(filepath.Dir(path)); err != nil {
		return err
	}
	fd, err := unix.Openat(w.scratch, path, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return fmt.Errorf("create %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

func newTmpfs(size, inodes string) (int, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	for _, kv := range [][2]string{{"size", size}, {"nr_inodes", inodes}, {"mode", "0755"}} {
		if err := unix.FsconfigSetString(fs, kv[0], kv[1]); err != nil {
			return -1, err
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
}

// mkdirs makes the directories of a path below the scratch file system.
func (w *World) mkdirs(path string) error {
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		if err := unix.Mkdirat(w.scratch, path[:i], 0o755); err != nil && err != unix.EEXIST {
			return fmt.Errorf("make %s in the scratch file system: %w", path[:i], err)
		}
	}
	return nil
}

// devices are the nodes of a container's /dev (OCI runtime specification,
// "Default Devices").
var devices = []struct {
	name         string
	major, minor uint32
}{
	{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0},
}

// furnish fills the scratch file system:
//
//	root    where the overlay of the host's root is mounted
//	upN     what the run writes over the host's N-th file system, wkN overlayfs's own
//	dev tmp run   the private directories
func (w *World) furnish() error {
	dirs := []string{"root", "up", "wk", "up/proc", "up/sys", "up/dev", "up/tmp", "up/run",
		"dev", "dev/pts", "dev/shm", "tmp", "tmp/work", "run", "run/lock"}
	for i, m := range w.cage.mounts {
		if m.overlay() {
			dirs = append(dirs, fmt.Sprintf("up%d", i), fmt.Sprintf("wk%d", i))
		}
	}
	for _, d := range dirs {
		if err := unix.Mkdirat(w.scratch, d, 0o755); err != nil {
			return fmt.Errorf("make %s in the scratch file system: %w", d, err)
		}
	}
	for _, d := range []string{"dev/shm", "tmp", "run/lock", "up/tmp"} {
		if err := unix.Fchmodat(w.scratch, d, 0o1777, 0); err != nil {
			return fmt.Errorf("chmod %s: %w", d, err)
		}
	}
	for _, d := range devices {
		name := "dev/" + d.name
		if err := unix.Mknodat(w.scratch, name, unix.S_IFCHR|0o666, int(unix.Mkdev(d.major, d.minor))); err != nil {
			return fmt.Errorf("make %s: %w", name, err)
		}
		if err := unix.Fchmodat(w.scratch, name, 0o666, 0); err != nil {
			return fmt.Errorf("chmod %s: %w", name, err)
		}
	}
	for _, l := range [][2]string{{"/proc/self/fd", "dev/fd"}, {"/proc/self/fd/0", "dev/stdin"},
		{"/proc/self/fd/1", "dev/stdout"}, {"/proc/self/fd/2", "dev/stderr"}, {"pts/ptmx", "dev/ptmx"}} {
		if err := unix.Symlinkat(l[0], w.scratch, l[1]); err != nil {
			return fmt.Errorf("link %s: %w", l[1], err)
		}
	}
	for _, p := range w.cage.expose {
		if err := w.mountPoint(p); err != nil {
			return err
		}
	}
	return nil
}

// mountPoint makes the file or directory on which an exposed path is bound.
func (w *World) mountPoint(path string) error {
	in := strings.TrimPrefix(path, "/")
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return fmt.Errorf("expose %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return w.mkdirs(in)
	}
	if err := w.mkdirs(filepath.Dir(in)); err != nil {
		return err
	}
	fd, err := unix.Openat(w.scratch, in, unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o755)
	if err != nil {
		return fmt.Errorf("expose %s: %w", path, err)
	}
	return unix.Close(fd)
}

// private are the directories whose host contents a world does not show: they
// hold other people's files and the sockets of the host's services.
var private = []string{"/tmp", "/run", "/dev", "/proc", "/sys"}

func hidden(path string) bool {
	return slices.ContainsFunc(private[:3], func(p string) bool { return strings.HasPrefix(path, p+"/") })
}

// Spec fills in how a run in this world starts; the caller adds descriptors and
// the program to spec.Target.
func (w *World) Spec() *spawn.Spec {
	s := &spawn.Spec{
		Init: true,
		Namespaces: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC |
			unix.CLONE_NEWUTS | unix.CLONE_NEWNET,
		Cgroup: w.cage.group.fd,
	}
	w.build(&s.World)
	confine(&s.Target, w.cage.limits)
	return s
}

// build mounts the world over /proc, a directory that every host has, and makes
// it the root. Until then the host's paths are still there to bind from.
func (w *World) build(s *spawn.Script) {
	const (
		here     = "/proc"
		root     = here + "/root"
		readOnly = unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY
	)
	s.DieWithParent()
	s.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	s.Call("mount the scratch file system", unix.SYS_MOVE_MOUNT, uintptr(w.scratch), s.String(""),
		^uintptr(99), s.String(here), unix.MOVE_MOUNT_F_EMPTY_PATH)
	s.Mount("overlay", root, "overlay", unix.MS_NODEV, "lowerdir=/,upperdir="+here+"/up,workdir="+here+"/wk")
	for i, m := range w.cage.mounts {
		if m.overlay() {
			s.Mount("overlay", root+m.point, "overlay", unix.MS_NODEV,
				fmt.Sprintf("lowerdir=%s,upperdir=%s/up%d,workdir=%s/wk%d", m.point, here, i, here, i))
			continue
		}
		s.Mount(m.point, root+m.point, "", unix.MS_BIND, "")
		s.Mount("", root+m.point, "", readOnly|unix.MS_NODEV|unix.MS_NOSUID, "")
	}
	for _, d := range []string{"dev", "tmp", "run"} {
		s.Mount(here+"/"+d, root+"/"+d, "", unix.MS_BIND, "")
	}
	s.Mount("devpts", root+"/dev/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
	s.Mount("/sys", root+"/sys", "", unix.MS_BIND, "")
	s.Mount("", root+"/sys", "", readOnly|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	s.Mount("proc", root+"/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	for _, p := range w.cage.locked {
		s.Mount(root+p, root+p, "", unix.MS_BIND, "")
		s.Mount("", root+p, "", readOnly|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	}
	for _, p := range w.cage.expose {
		s.Mount(p, root+p, "", unix.MS_BIND, "")
		s.Mount("", root+p, "", readOnly|unix.MS_NOSUID|unix.MS_NODEV, "")
	}
	s.Chdir(root)
	s.Call("pivot_root", unix.SYS_PIVOT_ROOT, s.String("."), s.String("."))
	s.Call("unmount the host", unix.SYS_UMOUNT2, s.String("."), unix.MNT_DETACH)
	s.Chdir(WorkDir)
	loopback(s)
}

// loopback brings up lo, so that a target can talk to itself.
func loopback(s *spawn.Script) {
	req := &struct {
		name  [unix.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}{flags: unix.IFF_UP | unix.IFF_RUNNING}
	copy(req.name[:], "lo")
	s.Try("socket", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	s.Try("bring up lo", unix.SYS_IOCTL, spawn.Last, unix.SIOCSIFFLAGS, spawn.Struct(s, req))
}

// kept are the capabilities that podman gives to a container (containers.conf
// default_capabilities). Without CAP_MKNOD no device of the host can be made.
var kept = []int{
	unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_KILL,
	unix.CAP_NET_BIND_SERVICE, unix.CAP_SETFCAP, unix.CAP_SETGID, unix.CAP_SETPCAP,
	unix.CAP_SETUID, unix.CAP_SYS_CHROOT,
}

// confine takes from the target what a container would not have.
func confine(s *spawn.Script, l Limits) {
	s.Call("setsid", unix.SYS_SETSID)
	s.Rlimit(unix.RLIMIT_CORE, 0, 0)
	s.Rlimit(unix.RLIMIT_NOFILE, 1024, 4096)
	s.Rlimit(unix.RLIMIT_FSIZE, uint64(l.FileSize), uint64(l.FileSize))
	s.Call("close the descriptors of tjfuzz at exec", unix.SYS_CLOSE_RANGE, 3, ^uintptr(0)>>32, unix.CLOSE_RANGE_CLOEXEC)
	for c := range unix.CAP_LAST_CAP + 1 {
		if !slices.Contains(kept, c) {
			// EINVAL: a kernel older than this capability.
			s.Try("drop a capability", unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(c))
		}
	}
	var set [2]unix.CapUserData
	for _, c := range kept {
		set[c/32].Effective |= 1 << (c % 32)
	}
	for i := range set {
		set[i].Permitted = set[i].Effective
	}
	s.Call("drop capabilities", unix.SYS_CAPSET,
		spawn.Struct(s, &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}), spawn.Struct(s, &set))
}
