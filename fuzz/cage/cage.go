// Package cage decides in which world a fuzzed target lives: fresh mount, pid,
// ipc, uts and network namespaces, the host's files under an overlay that is
// thrown away, a private /tmp, /run and /dev, the capabilities that containers
// get, and limits on memory, processes and file sizes. It knows neither what is
// run nor who watches. Its main hazard is a path that leads out: whatever is
// writable in the world must be backed by the run's own scratch file system,
// which dies with the run.
package cage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

// WorkDir is the directory, empty but for the run's own files, in which a caged
// target starts unless Options.Dir says otherwise.
const WorkDir = "/tmp/work"

// Limits bounds what the processes of one run may use together. Zero values
// mean the defaults.
type Limits struct {
	Memory    int64 // bytes, default 1 GiB; needs a memory cgroup
	Processes int   // processes and threads, default 512; needs a pids cgroup, or an ordinary user
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
	// Expose lists absolute paths of the host, regular files and directories, that
	// are seen although they lie below a directory that is private to the world, such
	// as a target in /tmp.
	Expose []string
	// Dir is the host's directory in which targets start, as it is but for what
	// runs write, which is thrown away. Empty means WorkDir.
	Dir string
	// Hide lists names in Dir that targets do not see.
	Hide []string
	// Run lists directories that targets find in /run, which is empty otherwise.
	Run []RunDir
}

// RunDir is a directory in /run, as an init system makes them for services.
type RunDir struct {
	Name string `json:"name"` // a path there; its parents come before it
	Mode uint32 `json:"mode"` // permission bits
	UID  int    `json:"uid"`  // an ordinary user's cage leaves these out
	GID  int    `json:"gid"`
}

// Cage makes worlds for one worker. Its methods, but for Remove, are called on the
// thread that made it.
type Cage struct {
	limits    Limits
	mounts    []mount  // of the host, what a world shows beside the root file system
	expose    []string // sorted
	exposeDir []bool   // which of them are directories
	run       []RunDir // Options.Run
	dir       string   // Options.Dir
	hide      []string
	locked    []string // what a world's /proc shows read-only
	points    []mount  // of the host, all, sorted
	ordinary  bool     // made in a user namespace, see Admission
	group     *group
	used      bool     // the thread's network and ipc namespaces may hold something
	bundles   []string // of the host, what Trust adds to
	proc      int      // the host's /proc
}

// ErrRights says that the process may not make namespaces or mounts.
var ErrRights = errors.New("the cage needs CAP_SYS_ADMIN")

// New makes a cage around the calling thread, which must be locked for good and
// is the one that starts the targets: it leaves the host's file system for a small
// tree that worlds are made from, see lobby. Needs Linux 5.12, and CAP_SYS_ADMIN,
// which an ordinary user has in a process started with Admission; then Linux 5.14.
func New(o Options) (*Cage, error) {
	if !Permitted() {
		return nil, ErrRights
	}
	o.Limits.defaults()
	// Not of the process, which is its first thread: that may be in a lobby already.
	info, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read the host's mounts: %w", err)
	}
	mounts, err := parseMounts(string(info))
	if err != nil {
		return nil, err
	}
	c := &Cage{limits: o.Limits, dir: o.Dir, hide: o.Hide, run: o.Run, points: mounts, bundles: findBundles(), proc: -1, expose: slices.DeleteFunc(slices.Clone(o.Expose), func(p string) bool { return !hidden(p) })}
	if c.ordinary, err = inUserNamespace(); err != nil {
		return nil, err
	}
	if c.ordinary {
		if err := c.checkOrdinary(); err != nil {
			return nil, err
		}
		c.mounts = c.writable()
	} else {
		for _, m := range mounts {
			if !m.shown() {
				continue
			}
			if m.look() == nil {
				c.mounts = append(c.mounts, m)
			}
		}
	}
	slices.Sort(c.expose)
	c.expose = slices.Compact(c.expose)
	for _, p := range c.expose {
		c.exposeDir = append(c.exposeDir, isDir(p))
	}
	// What the OCI runtimes make read-only: these files change the host.
	for _, p := range []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"} {
		if exists(p) {
			c.locked = append(c.locked, p)
		}
	}
	if c.ordinary {
		c.group = &group{warnings: []string{"running as an ordinary user: the memory of a target is bounded by time only"}}
	} else if c.group, err = newGroup(o.Limits); err != nil {
		return nil, err
	}
	if c.proc, err = unix.Open("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
		err = c.enter()
	}
	if err != nil {
		return nil, errors.Join(err, c.Leave(), c.Remove())
	}
	return c, nil
}

// Warnings says, a sentence each, which limits this host does not let us set.
func (c *Cage) Warnings() []string { return c.group.warnings }

// CPUTime is a function that tells how much CPU time the targets have used so far,
// or nil where the host does not count it.
func (c *Cage) CPUTime() func() time.Duration {
	if c.group.used == nil {
		return nil
	}
	return c.group.cpuTime
}

// Leave takes the calling thread out of the cage's cgroup; there will be no
// further world.
func (c *Cage) Leave() error {
	if c.proc >= 0 {
		unix.Close(c.proc)
		c.proc = -1
	}
	return c.group.leave()
}

// Remove removes what the cage left on the host, its cgroup. It is called last,
// on a thread of the host.
func (c *Cage) Remove() error { return c.group.remove() }

// World is the place of one run.
type World struct {
	scratch int // the detached mount of the run's scratch file system
	changes int // tells of changes in it, for a lasting world, else -1
	events  []byte
	cage    *Cage
	covers  []cover
}

// NewWorld makes the world of one run with an empty working directory.
func (c *Cage) NewWorld() (*World, error) {
	if c.used {
		if err := renew(); err != nil {
			return nil, err
		}
		c.used = false
	}
	fd, err := newTmpfs(fmt.Sprint(c.limits.Scratch))
	if err != nil {
		return nil, fmt.Errorf("make the scratch file system: %w", err)
	}
	w := &World{scratch: fd, changes: -1, cage: c}
	if err := w.furnish(); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// Used says that the last run may have left something in the network or ipc
// namespace, so that the next one gets new ones. Making them costs as much as a
// small program's whole run.
func (c *Cage) Used() { c.used = true }

// Close releases the world. The target must be gone.
func (w *World) Close() {
	unix.Close(w.scratch)
	if w.changes >= 0 {
		unix.Close(w.changes)
	}
}

// Dir is the directory in which the target starts, as the target sees it.
func (w *World) Dir() string {
	if w.cage.dir != "" {
		return w.cage.dir
	}
	return WorkDir
}

// Open opens what the run has and writes in Dir, to look at it when the run is over. It follows no
// link: the target may have put one in the place of what it found. Needs Linux 5.6.
func (w *World) Open() (int, error) {
	return unix.Openat2(w.scratch, w.files(), &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
}

// files is where the scratch file system has the files of Dir.
func (w *World) files() string {
	if w.cage.dir != "" {
		return "here"
	}
	return "tmp/work"
}

// Location is where something of a world is before its target runs: a path below the
// directory that a descriptor is of, and the path by which the target sees it.
type Location struct {
	Dir  int
	Path string
	Seen string
}

// File is where a file below World.Dir is to be made. The name is relative and may have
// directories, which are made. Once the target runs, the path may lead anywhere.
func (w *World) File(name string) (Location, error) {
	if !filepath.IsLocal(name) {
		return Location{}, fmt.Errorf("file %q is not below the working directory", name)
	}
	at := Location{Dir: w.scratch, Path: filepath.Join(w.files(), name), Seen: filepath.Join(w.Dir(), name)}
	return at, w.mkdirs(filepath.Dir(at.Path))
}

// Pipe is where a FIFO is to be made whose other end is opened outside of the world:
// in WorkDir, for an overlay has pipes of its own.
func (w *World) Pipe(name string) Location {
	return Location{Dir: w.scratch, Path: filepath.Join("tmp/work", name), Seen: filepath.Join(WorkDir, name)}
}

func newTmpfs(size string) (int, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	for _, kv := range [][2]string{{"size", size}, {"nr_inodes", "16384"}, {"mode", "0755"}} {
		if err := unix.FsconfigSetString(fs, kv[0], kv[1]); err != nil {
			return -1, err
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NODEV)
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

// furnish fills the scratch file system:
//
//	root     where the overlay of the host's root is mounted
//	upN      what the run writes over the host's N-th file system, wkN overlayfs's own
//	tmp run shm  private directories
//	xupN     what the run writes over the N-th exposed directory, xwkN overlayfs's own
//	here     what the run has and writes in Options.Dir, there overlayfs's own
func (w *World) furnish() error {
	dirs := []string{"root", "up", "wk", "up/proc", "up/sys", "up/dev", "up/tmp", "up/run",
		"shm", "tmp", "tmp/work", "run", "run/lock"}
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
	for _, d := range []string{"shm", "tmp", "run/lock", "up/tmp"} {
		if err := unix.Fchmodat(w.scratch, d, 0o1777, 0); err != nil {
			return fmt.Errorf("chmod %s: %w", d, err)
		}
	}
	for i, m := range w.cage.mounts {
		if m.overlay() {
			if err := unix.Fchmodat(w.scratch, fmt.Sprintf("up%d", i), m.mode, 0); err != nil {
				return fmt.Errorf("chmod of what lies over %s: %w", m.point, err)
			}
		}
	}
	if err := w.furnishRun(); err != nil {
		return err
	}
	if w.cage.dir != "" {
		if err := w.furnishDir(); err != nil {
			return err
		}
	}
	for i, p := range w.cage.expose {
		in := inScratch(p)
		if err := w.mkdirs(filepath.Dir(in)); err != nil {
			return err
		}
		if err := mountPoint(w.scratch, in, w.cage.exposeDir[i]); err != nil {
			return fmt.Errorf("expose %s: %w", p, err)
		}
		if !w.cage.exposeDir[i] {
			continue
		}
		for _, d := range []string{"xup", "xwk"} {
			if err := w.mkdirs(d + strconv.Itoa(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// furnishDir prepares what lies over Options.Dir.
func (w *World) furnishDir() error {
	for _, d := range []string{"here", "there"} {
		if err := unix.Mkdirat(w.scratch, d, 0o755); err != nil {
			return fmt.Errorf("make %s in the scratch file system: %w", d, err)
		}
	}
	for _, name := range w.cage.hide {
		// overlayfs takes the device 0/0 for a deleted file (Documentation/filesystems/overlayfs.rst).
		if err := unix.Mknodat(w.scratch, "here/"+name, unix.S_IFCHR, 0); err != nil {
			return fmt.Errorf("hide %s: %w", name, err)
		}
	}
	if !hidden(w.cage.dir) {
		return nil
	}
	return w.mkdirs(inScratch(w.cage.dir))
}

// inScratch is where a hidden path lies in the scratch file system.
func inScratch(path string) string {
	return strings.TrimPrefix(strings.Replace(path, "/dev/shm", "/shm", 1), "/")
}

// mountPoint makes a directory or an empty file to mount on.
func mountPoint(dir int, path string, isDir bool) error {
	if isDir {
		if err := unix.Mkdirat(dir, path, 0o755); err != nil && err != unix.EEXIST {
			return err
		}
		return nil
	}
	fd, err := unix.Openat(dir, path, unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o755)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// private are the directories whose host contents a world does not show: they
// hold other people's files and the sockets of the host's services.
var private = []string{"/tmp", "/run", "/dev", "/proc", "/sys"}

// hidden reports whether a path must be exposed to be seen.
func hidden(path string) bool {
	return slices.ContainsFunc([]string{"/tmp/", "/run/", "/dev/shm/"}, func(p string) bool { return strings.HasPrefix(path, p) })
}

// Spec fills in how a run in this world starts; the caller adds descriptors and
// the program to spec.Target.
func (w *World) Spec() *spawn.Spec {
	s := &spawn.Spec{
		Init:       true,
		Namespaces: unix.CLONE_NEWNS | unix.CLONE_NEWPID,
		Cgroup:     w.cage.group.fd,
	}
	w.build(&s.World)
	w.cage.newSession(&s.Target)
	w.cage.confine(&s.Target)
	return s
}

// build mounts the world in the lobby and makes it the root.
func (w *World) build(s *spawn.Script) {
	const root = world + "/root"
	s.DieWithParent()
	s.Call("mount the scratch file system", unix.SYS_MOVE_MOUNT, s.Descriptor(w.scratch), s.String(""),
		^uintptr(99), s.String(world), unix.MOVE_MOUNT_F_EMPTY_PATH)
	if w.cage.ordinary {
		s.Mount(host, root, "", unix.MS_BIND|unix.MS_REC, "")
	} else {
		w.cage.overlay(s, host, root, "up", "wk")
	}
	for i, m := range w.cage.mounts {
		if m.overlay() {
			w.cage.overlay(s, host+m.point, root+m.point, fmt.Sprintf("up%d", i), fmt.Sprintf("wk%d", i))
			continue
		}
		s.Mount(host+m.point, root+m.point, "", unix.MS_BIND, "")
	}
	s.Mount("/dev", root+"/dev", "", unix.MS_BIND|unix.MS_REC, "")
	s.Mount("/sys", root+"/sys", "", unix.MS_BIND|unix.MS_REC, "")
	s.Mount(world+"/shm", root+"/dev/shm", "", unix.MS_BIND, "")
	s.Mount(world+"/tmp", root+"/tmp", "", unix.MS_BIND, "")
	s.Mount(world+"/run", root+"/run", "", unix.MS_BIND, "")
	s.Mount("proc", root+"/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	for _, p := range w.cage.locked {
		s.Mount(root+p, root+p, "", unix.MS_BIND, "")
		s.Mount("", root+p, "", readOnly|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	}
	for i, p := range w.cage.expose {
		if w.cage.exposeDir[i] {
			w.cage.overlay(s, exposed(i), root+p, fmt.Sprintf("xup%d", i), fmt.Sprintf("xwk%d", i))
			continue
		}
		s.Mount(exposed(i), root+p, "", unix.MS_BIND, "")
	}
	if w.cage.dir != "" {
		w.cage.overlay(s, start, root+w.cage.dir, "here", "there")
	}
	for _, c := range w.covers {
		s.Mount(world+"/"+c.file, root+c.path, "", unix.MS_BIND, "")
	}
	s.Chdir(world)
	s.Call("pivot_root", unix.SYS_PIVOT_ROOT, s.String("."), s.String("."))
	s.Call("unmount the lobby", unix.SYS_UMOUNT2, s.String("."), unix.MNT_DETACH)
	if w.cage.ordinary {
		bound(s)
	}
	// Who is chrooted cannot make a user namespace, user_namespaces(7), and in one it
	// would have the capabilities that confine takes away: to mount cgroups and kill
	// or freeze the host's processes, to begin with. confine takes CAP_SYS_CHROOT too.
	s.Chdir("/root")
	s.Call("chroot", unix.SYS_CHROOT, s.String("."))
	s.Chdir(w.Dir())
}

// overlay mounts what lies at lower, and over it what a run writes to the directory
// upper of the scratch file system, at a path; work is overlayfs's own.
func (c *Cage) overlay(s *spawn.Script, lower, at, upper, work string) {
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s/%s,workdir=%s/%s", lower, world, upper, world, work)
	if c.ordinary {
		options += ",userxattr" // it may not set those that it otherwise uses
	}
	s.Mount("overlay", at, "overlay", unix.MS_NODEV, options)
}

// kept are the capabilities that podman gives to a container (containers.conf
// default_capabilities), less CAP_SYS_CHROOT, see build. Without CAP_MKNOD no
// device of the host can be made.
var kept = []int{
	unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_KILL,
	unix.CAP_NET_BIND_SERVICE, unix.CAP_SETFCAP, unix.CAP_SETGID, unix.CAP_SETPCAP,
	unix.CAP_SETUID,
}

// newSession gives the target what each has for itself, and its limits.
func (c *Cage) newSession(s *spawn.Script) {
	s.Call("setsid", unix.SYS_SETSID)
	s.Try("join a new session keyring", unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0)
	s.Rlimit(unix.RLIMIT_CORE, 0, 0)
	s.Rlimit(unix.RLIMIT_NOFILE, 1024, 4096)
	if c.ordinary {
		s.Rlimit(unix.RLIMIT_NPROC, uint64(c.limits.Processes), uint64(c.limits.Processes))
	}
	s.Rlimit(unix.RLIMIT_FSIZE, uint64(c.limits.FileSize), uint64(c.limits.FileSize))
}

// confine takes from the target what a container would not have, and from an
// ordinary user's what he has not.
func (c *Cage) confine(s *spawn.Script) {
	kept := kept
	if c.ordinary {
		kept = leftTo(os.Geteuid())
	}
	s.Call("close the descriptors of tjfuzz at exec", unix.SYS_CLOSE_RANGE, 3, ^uintptr(0)>>32, unix.CLOSE_RANGE_CLOEXEC)
	for k := range unix.CAP_LAST_CAP + 1 {
		if !slices.Contains(kept, k) {
			drop(s, k)
		}
	}
	permit(s, kept)
}

// drop takes a capability for good.
func drop(s *spawn.Script, capability int) {
	// EINVAL: a kernel older than this capability.
	s.Try("drop a capability", unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(capability))
}

// permit leaves a process certain capabilities of those that it has.
func permit(s *spawn.Script, caps []int) {
	var set [2]unix.CapUserData
	for _, k := range caps {
		set[k/32].Effective |= 1 << (k % 32)
	}
	for i := range set {
		set[i].Permitted = set[i].Effective
	}
	s.Call("drop capabilities", unix.SYS_CAPSET,
		spawn.Struct(s, &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}), spawn.Struct(s, &set))
}
