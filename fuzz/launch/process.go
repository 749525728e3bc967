package launch

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

// become makes the program a process of another user, with other limits. It is the last
// before filters and execve: after it, little else succeeds.
func become(target *spawn.Script, w *fuzz.World) {
	if uid, gid, other := w.User.IDs(); other {
		user, group := uintptr(uid), uintptr(gid)
		target.Call("leave all groups", unix.SYS_SETGROUPS, 0, 0)
		target.Call("change the group", unix.SYS_SETRESGID, group, group, group)
		target.Call("change the user", unix.SYS_SETRESUID, user, user, user)
		target.DieWithParent() // the change of user has taken it away, prctl(2)
	}
	for _, l := range w.Limits {
		resource := map[fuzz.Resource]int{
			fuzz.ResourceFiles: unix.RLIMIT_NOFILE, fuzz.ResourceMemory: unix.RLIMIT_AS, fuzz.ResourceFile: unix.RLIMIT_FSIZE,
			fuzz.ResourceStack: unix.RLIMIT_STACK, fuzz.ResourceLocked: unix.RLIMIT_MEMLOCK,
		}[l.Resource]
		target.Rlimit(resource, l.Value, l.Value)
	}
}

// canBeNobody reports whether a program can be run as nobody: it takes the rights, a user
// namespace that has the id, and a program that everybody may read.
func canBeNobody(program, dir string) bool {
	var caps [2]unix.CapUserData
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	const needed = 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID
	if unix.Capget(&head, &caps[0]) != nil || caps[0].Effective&needed != needed || !mapped("/proc/self/uid_map") || !mapped("/proc/self/gid_map") {
		return false
	}
	path, err := filepath.Abs(inDir(program, dir))
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return false
	}
	const executable, passable = 0o005, 0o001
	for want := os.FileMode(executable); ; want = passable {
		st, err := os.Stat(path)
		if err != nil || st.Mode()&want != want {
			return false
		}
		if path == "/" {
			return true
		}
		path = filepath.Dir(path)
	}
}

// inDir is the path of a program as it is seen from here, not from a directory.
func inDir(program, dir string) string {
	if filepath.IsAbs(program) {
		return program
	}
	return filepath.Join(dir, program)
}

// mapped reports whether a map of a user namespace, user_namespaces(7), has nobody's id.
func mapped(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	for {
		var first, parent, n uint64
		if _, err := fmt.Fscan(f, &first, &parent, &n); err != nil {
			return false
		}
		if first <= fuzz.NobodyID && fuzz.NobodyID-first < n {
			return true
		}
	}
}

// bell sends the target a signal when it is rung: who owns one end of a pipe is told when
// the other is written to. So nobody needs to know the number of a process.
type bell struct{ ear, rope *os.File }

func newBell() (*bell, error) {
	ear, rope, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a bell: %w", err)
	}
	return &bell{ear, rope}, nil
}

// hang makes the bell the program's. It is done before the program changes its user.
func (b *bell) hang(target *spawn.Script, sig unix.Signal) {
	target.Signal(int(b.ear.Fd()), sig, unix.O_RDONLY)
}

// ring is for nobody if the target has ended.
func (b *bell) ring() { _, _ = b.rope.Write([]byte{0}) }

func (b *bell) close() {
	b.ear.Close()
	b.rope.Close()
}

// interruptingPipe is a pipe that delivers data in parts, the next one when the last was
// read. Its other end is what brings a signal with each read, as long as it is open.
func interruptingPipe(data []byte) (read, write *os.File, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("make a pipe: %w", err)
	}
	r, w := os.NewFile(uintptr(p[0]), "stdin"), os.NewFile(uintptr(p[1]), "stdin")
	// A pipe of one page is full with one part in it, however small.
	page, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize())
	part := min((len(data)+1)/2, page)
	if err == nil {
		_, err = w.Write(data[:part])
	}
	if err != nil {
		r.Close()
		w.Close()
		return nil, nil, fmt.Errorf("fill a pipe: %w", err)
	}
	return r, w, nil
}

// deliver writes what is left, and closes the pipe when it was read.
func deliver(w *os.File, data []byte) {
	defer w.Close()
	page := os.Getpagesize()
	for rest := data[min((len(data)+1)/2, page):]; ; {
		fds := []unix.PollFd{{Fd: int32(w.Fd()), Events: unix.POLLOUT}}
		for {
			if _, err := unix.Poll(fds, -1); err != unix.EINTR {
				break
			}
		}
		if fds[0].Revents&unix.POLLERR != 0 || len(rest) == 0 { // nobody reads, or all was read
			return
		}
		n, err := w.Write(rest[:min(len(rest), page)])
		if err != nil {
			return
		}
		rest = rest[n:]
	}
}
