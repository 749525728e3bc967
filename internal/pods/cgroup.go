package pods

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNotUnified says that a directory is not where version 2 of cgroups is mounted.
var ErrNotUnified = errors.New("is no cgroup file system of version 2")

// Tree is where the kubelet keeps the cgroups of pods. It makes them below kubepods, those of the
// burstable and of the best-effort ones one level deeper; systemd wants the names of all slices
// above in the name of one (kubernetes/pkg/kubelet/cm).
type Tree struct {
	root    string
	parents []string // of pods
	misses  int
}

// OpenTree expects a cgroup file system of version 2, Linux's only one with the files that Occupied reads.
func OpenTree(root string) (*Tree, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(root, &st); err != nil {
		return nil, fmt.Errorf("%s: %w", root, err)
	}
	if st.Type != unix.CGROUP2_SUPER_MAGIC {
		return nil, fmt.Errorf("%s %w", root, ErrNotUnified)
	}
	return &Tree{root: root}, nil
}

// lookAgain is after how many misses in a row the kubelet may have made other directories.
const lookAgain = 500

// Find is the cgroup of a pod, "" while there is none.
func (t *Tree) Find(uid string) string {
	if len(t.parents) == 0 || t.misses >= lookAgain {
		t.parents, t.misses = parents(t.root), 0
	}
	for _, parent := range t.parents {
		dir := filepath.Join(parent, podName(filepath.Base(parent), uid))
		if st, err := os.Stat(dir); err == nil && st.IsDir() {
			t.misses = 0
			return dir
		}
	}
	t.misses++
	return ""
}

// podName is the directory of a pod in one of the parents.
func podName(parent, uid string) string {
	if slice, ok := strings.CutSuffix(parent, ".slice"); ok {
		return slice + "-pod" + strings.ReplaceAll(uid, "-", "_") + ".slice"
	}
	return "pod" + uid
}

// deepest is how far below the root kubepods may lie: a kubelet in a container has a root of its own.
const deepest = 4

// parents are the directories that pods can be in.
func parents(root string) []string {
	var all []string
	// What vanishes meanwhile has no pods.
	_ = filepath.WalkDir(root, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		below, _ := filepath.Rel(root, dir)
		slice, is := d.Name(), false
		for _, end := range []string{"kubepods", "kubepods.slice"} {
			is = is || slice == end || strings.HasSuffix(slice, "-"+end) && strings.HasSuffix(end, ".slice")
		}
		switch {
		case is:
			all = append(all, dir)
			for _, class := range []string{"burstable", "besteffort"} {
				if prefix, ok := strings.CutSuffix(slice, ".slice"); ok {
					class = prefix + "-" + class + ".slice"
				}
				all = append(all, filepath.Join(dir, class))
			}
			return fs.SkipDir
		case strings.Count(below, "/")+1 >= deepest:
			return fs.SkipDir
		}
		return nil
	})
	return all
}

// isOf reports whether a directory is that of a container in its pod's cgroup: it has the id as its name, or
// the runtime's and the id, as in cri-containerd-ID.scope. That of CRI-O's monitor has one more word.
func isOf(dir, id string) bool {
	dir = strings.TrimSuffix(dir, ".scope")
	if dir == id {
		return true
	}
	runtime, ok := strings.CutSuffix(dir, "-"+id)
	return ok && slices.Contains([]string{"cri-containerd", "crio", "docker"}, runtime)
}

// Children are the directories in a cgroup.
func Children(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Hidden reports whether something runs in a cgroup, or below it, that is not of this process' pid namespace
// or one below that: the number that the kernel has for it is 0.
func Hidden(dir string) bool {
	hidden := false
	// What vanishes meanwhile has no processes.
	_ = filepath.WalkDir(dir, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		procs, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		hidden = hidden || slices.Contains(strings.Split(string(procs), "\n"), "0")
		return nil
	})
	return hidden
}

// Occupied reports whether anything runs in a cgroup, or below it. In one that is gone nothing does.
func Occupied(dir string) (bool, error) {
	events, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return false, nil
	}
	return slices.Contains(strings.Split(string(events), "\n"), "populated 1"), err
}
