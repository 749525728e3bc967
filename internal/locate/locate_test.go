package locate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const (
	idA = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9"
	idB = "0a1b2c3d4e5fffffffffffffffffffffffffffffffffffffffffffffffffffff"
	idC = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
)

// v1 and v2 are mountinfo lines of a machine of the old kind, with v2 beside it,
// and of one of the new kind.
const (
	v1 = `30 24 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime shared:10 - cgroup2 cgroup2 rw,nsdelegate
32 30 0:28 / /sys/fs/cgroup/systemd rw,nosuid,nodev,noexec,relatime shared:11 - cgroup cgroup rw,xattr,name=systemd
35 30 0:31 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev,noexec,relatime shared:15 - cgroup cgroup rw,cpu,cpuacct
36 30 0:32 / /sys/fs/cgroup/pids rw,nosuid,nodev,noexec,relatime shared:16 - cgroup cgroup rw,pids
`
	v2 = "30 24 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
)

// tree is a fake root: the files that it has, each with its text.
type tree map[string]string

// process adds what /proc says of a process, and the process to the cgroups that
// it names, below the directories in which the hierarchies are mounted.
func (f tree) process(pid int, name, exe string, start uint64, cgroups string, dirs ...string) tree {
	f[fmt.Sprintf("/proc/%d/status", pid)] = fmt.Sprintf("Name:\t%s\nState:\tS (sleeping)\nTgid:\t%d\nPid:\t%d\nPPid:\t1\nVmSize:\t  100 kB\n", name, pid, pid)
	f[fmt.Sprintf("/proc/%d/stat", pid)] = fmt.Sprintf("%d (%s) S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 %d 1000 1 18446744073709551615\n", pid, name, start)
	f[fmt.Sprintf("/proc/%d/exe", pid)] = "-> " + exe
	f[fmt.Sprintf("/proc/%d/cgroup", pid)] = cgroups
	for _, d := range dirs {
		f[d+"/cgroup.procs"] += fmt.Sprintf("%d\n", pid)
	}
	return f
}

// system writes the tree and looks names up in it. No command line is installed.
func (f tree) system(t *testing.T) System {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for p, text := range f {
		p = filepath.Join(root, p)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(target, p)
		} else {
			err = os.WriteFile(p, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return System{
		Root: root,
		Env:  func(string) string { return "" },
		Run:  func(context.Context, string, ...string) ([]byte, error) { return nil, exec.ErrNotFound },
	}
}

// is compares what a name was found to be with what it should be: a place, or an
// error with the text and the mend in it.
func is(t *testing.T, got Place, err error, want Place, problem, mend string) {
	t.Helper()
	if problem == "" {
		if err != nil {
			t.Fatalf("error: %v, want %+v", err, want)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("\n got %+v\nwant %+v", got, want)
		}
		return
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %+v, %v; want the error %q", got, err, problem)
	}
	if err.Error() != problem || e.Mend != mend {
		t.Errorf("\n got %q, %q\nwant %q, %q", err, e.Mend, problem, mend)
	}
}

func TestPIDIsTheProcessOfAThread(t *testing.T) {
	s := tree{
		"/proc/13/status": "Name:\tworker\nState:\tS (sleeping)\nTgid:\t12\nPid:\t13\nPPid:\t1\nVmSize:\t 1 kB\n",
		"/proc/2/status":  "Name:\tkthreadd\nState:\tS (sleeping)\nTgid:\t2\nPid:\t2\nPPid:\t0\n",
		"/proc/2/stat":    "2 (kthreadd) S 0 0 0",
		"/proc/20/status": "Name:\tgone\nState:\tZ (zombie)\nTgid:\t20\nPid:\t20\nPPid:\t1\n",
		"/proc/20/stat":   "20 (gone) Z 1",
		"/proc/30/root":   "-> /srv/jail",
		"/proc/31/root":   "-> /",
	}.
		process(12, "nginx) (", "/usr/sbin/nginx (deleted)", 7, "0::/\n").
		process(30, "jailed", "/srv/jail/bin/sh", 7, "0::/\n").
		process(31, "free", "/bin/sh", 7, "0::/\n").system(t)
	for _, c := range []struct {
		pid           int
		want          Place
		problem, mend string
	}{
		{12, Place{Name: "process 12 (nginx) ()", PIDs: []int{12}, Program: "/usr/sbin/nginx"}, "", ""},
		{13, Place{Name: "process 12 (worker)", PIDs: []int{12}, Program: "/usr/sbin/nginx"}, "", ""},
		{30, Place{Name: "process 30 (jailed)", PIDs: []int{30}, Program: "/bin/sh"}, "", ""},
		{31, Place{Name: "process 31 (free)", PIDs: []int{31}, Program: "/bin/sh"}, "", ""},
		{2, Place{}, "process 2 (kthreadd) is a kernel thread, which makes no syscalls", ""},
		{20, Place{}, "process 20 (gone) has ended, its parent has not waited for it yet", ""},
		{99, Place{}, "there is no process 99", "ps -e lists those that are there"},
		{0, Place{}, "there is no process 0", "ps -e lists those that are there"},
		{-1, Place{}, "there is no process -1", "ps -e lists those that are there"},
	} {
		t.Run(fmt.Sprint(c.pid), func(t *testing.T) {
			got, err := s.PID(c.pid)
			is(t, got, err, c.want, c.problem, c.mend)
		})
	}
}

func TestCgroupIsADirectoryOrAPathInTheHierarchies(t *testing.T) {
	const lists = "systemd-cgls lists them; /proc/PID/cgroup has those of a process"
	s := tree{
		"/proc/self/mountinfo": "21 1 8:1 / / rw - ext4 /dev/sda rw\n" + v1,
		"/sys/fs/cgroup/cpu":   "-> cpu,cpuacct",
		"/sys/fs/cgroup/systemd/system.slice/idle.service/cgroup.procs": "",
		"/etc/passwd": "",
	}.process(12, "nginx", "/usr/sbin/nginx", 7, "",
		"/sys/fs/cgroup/unified/system.slice/nginx.service",
		"/sys/fs/cgroup/systemd/system.slice/nginx.service",
		"/sys/fs/cgroup/cpu,cpuacct/batch/deep").system(t)
	for _, c := range []struct {
		name          string
		cgroups       []string
		problem, mend string
	}{
		{name: "/system.slice/nginx.service", cgroups: []string{"/sys/fs/cgroup/unified/system.slice/nginx.service", "/sys/fs/cgroup/systemd/system.slice/nginx.service"}},
		{name: "system.slice/nginx.service/", cgroups: []string{"/sys/fs/cgroup/unified/system.slice/nginx.service", "/sys/fs/cgroup/systemd/system.slice/nginx.service"}},
		{name: "/sys/fs/cgroup/systemd/system.slice/nginx.service", cgroups: []string{"/sys/fs/cgroup/systemd/system.slice/nginx.service"}},
		{name: "/sys/fs/cgroup/cpu/batch", cgroups: []string{"/sys/fs/cgroup/cpu,cpuacct/batch"}},
		{name: "/batch", cgroups: []string{"/sys/fs/cgroup/cpu,cpuacct/batch"}},
		{name: "/", problem: "cgroup / is the whole machine", mend: "name a cgroup below it; systemd-cgls lists them"},
		{name: "", problem: "cgroup  is the whole machine", mend: "name a cgroup below it; systemd-cgls lists them"},
		{name: "/sys/fs/cgroup/cpu", problem: "cgroup /sys/fs/cgroup/cpu is the whole machine", mend: "name a cgroup below it; systemd-cgls lists them"},
		{name: "/system.slice/idle.service", problem: "no process is in cgroup /system.slice/idle.service", mend: "start what runs in it, then try again"},
		{name: "/system.slice/none.service", problem: "there is no cgroup /system.slice/none.service", mend: lists},
		{name: "/etc/passwd", problem: "there is no cgroup /etc/passwd", mend: lists},
		{name: "../../../etc", problem: "there is no cgroup ../../../etc", mend: lists},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := s.Cgroup(c.name)
			is(t, got, err, Place{Name: "cgroup " + c.name, Cgroups: c.cgroups, Program: "/usr/sbin/nginx"}, c.problem, c.mend)
		})
	}
}

// A container that shows a part of a hierarchy has it at its own place, and what
// lies outside of that part is nowhere.
func TestCgroupOfAPartOfAHierarchy(t *testing.T) {
	s := tree{
		"/proc/self/mountinfo": "30 24 0:26 /docker/x\\040y /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n",
	}.process(12, "nginx", "/nginx", 7, "", "/sys/fs/cgroup/app").system(t)
	got, err := s.Cgroup("/docker/x y/app")
	is(t, got, err, Place{Name: "cgroup /docker/x y/app", Cgroups: []string{"/sys/fs/cgroup/app"}, Program: "/nginx"}, "", "")
	got, err = s.Cgroup("/app")
	is(t, got, err, Place{}, "there is no cgroup /app", "systemd-cgls lists them; /proc/PID/cgroup has those of a process")
	got, err = tree{"/proc/self/mountinfo": ""}.system(t).Cgroup("/app")
	is(t, got, err, Place{}, "no cgroup file system is mounted here", "mount -t cgroup2 none /sys/fs/cgroup")
}
