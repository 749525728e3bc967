package launch

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
)

// The bounds of what is taken over from one run to the next. What is beyond is not there
// for the next one.
const (
	maxNodes     = 1024
	maxTreeBytes = 4 << 20
	maxDepth     = 16
	maxTrees     = 32 // that are remembered
)

// node is a file of any kind but a device, as a run has left it.
type node struct {
	name   string // below the working directory; what it lies in comes before
	mode   uint32 // as st_mode
	size   int64
	data   []byte // of a regular file, its first bytes; zeros follow
	target string // of a symbolic link
	time   unix.Timespec
}

// tree is what lies in a working directory.
type tree []node

// before returns what a scenario's run finds, but for its input. It is called on the thread that
// starts targets. What a step leaves is remembered, so that a run costs the writing of files and
// no more processes than any other.
func (e *Exec) before(s *fuzz.Scenario) (tree, error) {
	key := sha256.Sum256(appendPast(nil, s))
	if t, ok := e.trees[key]; ok {
		return t, nil
	}
	last := len(s.Before) - 1
	step := s.Before[last]
	run := fuzz.Scenario{Argv: step.Argv, Env: step.Env, Stdin: fuzz.StdinNull, Files: s.Files, Before: s.Before[:last], Acts: step.Acts}
	if f := s.File(step.Stdin); f != nil {
		run.Stdin, run.Input = fuzz.StdinFile, f.Data
	}
	st, err := e.stage(&run, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("prepare a step: %w", err)
	}
	defer st.close()
	var watch Watcher
	if r, ok := e.watch.(Rejoiner); ok { // others see no run that they are not told of
		watch = doubtful{r}
	}
	r, err := e.perform(&run, st, watch, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("a step: %w", err)
	}
	t, err := takeTree(st.place)
	if err != nil {
		return nil, fmt.Errorf("take over what a step has left: %w", err)
	}
	if r.TimedOut || r.Signal == int(unix.SIGKILL) { // by us perhaps, and in another place at another time
		return t, nil
	}
	if len(e.trees) >= maxTrees {
		clear(e.trees)
	}
	e.trees[key] = t
	return t, nil
}

// appendPast appends what tells apart the states that steps leave.
func appendPast(b []byte, s *fuzz.Scenario) []byte {
	b = appendFiles(b, s.Files)
	for _, step := range s.Before {
		for _, list := range [][]string{step.Argv, step.Env, {step.Stdin}, fuzz.ActWords(step.Acts)} {
			b = appendWords(b, list)
		}
	}
	return b
}

// walk visits what lies in a directory and below, each directory before what is in it, and the
// names of one in order. It follows no link: the target has made what it likes there. It closes fd.
func walk(fd int, prefix string, depth int, visit func(dir int, base, name string, st *unix.Stat_t) error) error {
	dir := os.NewFile(uintptr(fd), ".")
	defer dir.Close()
	names, err := dir.Readdirnames(maxNodes)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	slices.Sort(names)
	for _, base := range names {
		var st unix.Stat_t
		if unix.Fstatat(fd, base, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			continue // an ordinary user may not look at all that he has made
		}
		name := filepath.Join(prefix, base)
		if err := visit(fd, base, name, &st); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR || depth == maxDepth {
			continue
		}
		sub, err := unix.Openat(fd, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		if err := walk(sub, name, depth+1, visit); err != nil {
			return err
		}
	}
	return nil
}

// errFull ends a walk that has reached its bound.
var errFull = errors.New("enough")

// visitAll walks the working directory of a place, which may be gone, and as much of it as is
// worth a look.
func visitAll(p place, visit func(dir int, base, name string, st *unix.Stat_t) error) error {
	fd, err := p.Open()
	if err != nil {
		return nil // the target has removed it, or forbidden it
	}
	seen := 0
	err = walk(fd, "", 0, func(dir int, base, name string, st *unix.Stat_t) error {
		if seen++; seen > 4*maxNodes {
			return errFull
		}
		return visit(dir, base, name, st)
	})
	if err != errFull {
		return err
	}
	return nil
}

// takeTree reads what lies in the working directory of a place, in which nothing lives any more.
func takeTree(p place) (tree, error) {
	var t tree
	room := maxTreeBytes
	err := visitAll(p, func(dir int, base, name string, st *unix.Stat_t) error {
		if len(t) == maxNodes {
			return errFull
		}
		n := node{name: name, mode: st.Mode, time: st.Mtim}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			n.size = st.Size
			n.data = readAt(dir, base, int(min(st.Size, int64(room))))
			room -= len(n.data)
		case unix.S_IFLNK:
			b := make([]byte, unix.PathMax)
			size, err := unix.Readlinkat(dir, base, b)
			if err != nil {
				return err
			}
			n.target = string(b[:size])
		case unix.S_IFDIR, unix.S_IFIFO, unix.S_IFSOCK:
		default: // what an overlay keeps of a removed file, too
			return nil
		}
		t = append(t, n)
		return nil
	})
	return t, err
}

// readAt reads the beginning of a regular file, as far as that is permitted.
func readAt(dir int, base string, size int) []byte {
	fd, err := unix.Openat(dir, base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), base)
	defer f.Close()
	b := make([]byte, size)
	n, _ := io.ReadFull(f, b)
	return bytes.TrimRight(b[:n], "\x00")
}

// put makes the tree in the empty working directory of a place, but for what has the
// name of the input.
func (t tree) put(p place, input string) error {
	dir, err := p.Open()
	if err != nil {
		return fmt.Errorf("open the working directory: %w", err)
	}
	defer unix.Close(dir)
	var made tree
	for _, n := range t {
		if first, _, _ := strings.Cut(n.name, "/"); first == input {
			continue
		}
		if err := n.put(dir); err != nil {
			return fmt.Errorf("make %s as a step has left it: %w", n.name, err)
		}
		made = append(made, n)
	}
	// Directories last: what is made in them changes their times, and may be forbidden.
	for _, n := range slices.Backward(made) {
		if n.mode&unix.S_IFMT == unix.S_IFLNK {
			continue
		}
		if err := unix.Fchmodat(dir, n.name, n.mode&0o7777, 0); err != nil {
			return fmt.Errorf("change the mode of %s: %w", n.name, err)
		}
		times := []unix.Timespec{n.time, n.time}
		if err := unix.UtimesNanoAt(dir, n.name, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("change the times of %s: %w", n.name, err)
		}
	}
	return nil
}

func (n *node) put(dir int) error {
	switch n.mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return unix.Mkdirat(dir, n.name, 0o755)
	case unix.S_IFLNK:
		return unix.Symlinkat(n.target, dir, n.name)
	case unix.S_IFIFO, unix.S_IFSOCK:
		return unix.Mknodat(dir, n.name, n.mode&unix.S_IFMT|0o644, 0)
	}
	fd, err := unix.Openat(dir, n.name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), n.name)
	_, err = f.Write(n.data)
	if n.size > int64(len(n.data)) {
		err = errors.Join(err, f.Truncate(n.size))
	}
	return errors.Join(err, f.Close())
}

// shape tells kinds of trees apart: by how many files there are in each directory, about, and by
// their suffixes. Names say nothing: they may hold a number of a process, or chance, and a kind must
// be the same each time.
func shape(p place) (uint64, error) {
	type directory struct {
		depth, files int
		suffixes     []string
	}
	all := map[string]*directory{".": {}}
	err := visitAll(p, func(_ int, base, name string, st *unix.Stat_t) error {
		d := all[filepath.Dir(name)]
		d.files++
		if ext := filepath.Ext(base); len(ext) > 1 && len(ext) <= 5 && strings.Trim(ext, "abcdefghijklmnopqrstuvwxyz.") == "" && !slices.Contains(d.suffixes, ext) {
			d.suffixes = append(d.suffixes, ext)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			all[name] = &directory{depth: strings.Count(name, "/") + 1}
		}
		return nil
	})
	var kinds []string
	for _, d := range all {
		slices.Sort(d.suffixes)
		kinds = append(kinds, fmt.Sprint(d.depth, bits.Len(uint(d.files)), d.suffixes))
	}
	slices.Sort(kinds)
	h := fnv.New64a()
	for _, k := range slices.Compact(kinds) { // that there are more of them is no other kind
		io.WriteString(h, k)
		h.Write([]byte{0})
	}
	return h.Sum64(), err
}

// tellTree makes a result tell what kind of tree is left, where that is not the kind that was
// found.
func tellTree(r *fuzz.Result, p place, found uint64) error {
	if !r.Clean() {
		return nil
	}
	left, err := shape(p)
	if err == nil && left != found {
		r.Signals = append(r.Signals, fuzz.Signal{Kind: fuzz.SignalTree, Key: left})
	}
	return err
}

// appendFiles appends what tells files apart.
func appendFiles(b []byte, files []fuzz.File) []byte {
	b = binary.AppendUvarint(b, uint64(len(files)))
	for _, f := range files {
		b = appendWords(b, []string{f.Name})
		b = append(b, byte(f.Kind))
		b = binary.AppendUvarint(b, uint64(len(f.Data)))
		b = append(b, f.Data...)
	}
	return b
}

func appendWords(b []byte, words []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(words)))
	for _, w := range words {
		b = binary.AppendUvarint(b, uint64(len(w)))
		b = append(b, w...)
	}
	return b
}
