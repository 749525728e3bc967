package forkserver

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// state is what /proc says of a process.
type state struct {
	threads  int
	children int
	open     []int
	blocked  uint64 // signals
	shares   bool   // memory that it can write
}

// look reads the state of a process. The calling thread may be in a lobby, where
// there is no /proc: another one looks.
func look(pid int) (*state, error) {
	return elsewhere(func() (*state, error) {
		dir := fmt.Sprintf("/proc/%d/", pid)
		st := &state{}
		tasks, err := os.ReadDir(dir + "task")
		if err != nil {
			return nil, fmt.Errorf("look at the program: %w", err)
		}
		st.threads = len(tasks)
		for _, task := range tasks {
			children, err := os.ReadFile(dir + "task/" + task.Name() + "/children")
			if err != nil {
				return nil, fmt.Errorf("look at the program's children: %w", err)
			}
			st.children += len(strings.Fields(string(children)))
		}
		open, err := os.ReadDir(dir + "fd")
		if err != nil {
			return nil, fmt.Errorf("look at the program's descriptors: %w", err)
		}
		for _, f := range open {
			fd, err := strconv.Atoi(f.Name())
			if err != nil {
				return nil, fmt.Errorf("look at the program's descriptors: %w", err)
			}
			st.open = append(st.open, fd)
		}
		slices.Sort(st.open)
		status, err := os.ReadFile(dir + "status")
		if err != nil {
			return nil, fmt.Errorf("look at the program: %w", err)
		}
		maps, err := os.ReadFile(dir + "maps")
		if err != nil {
			return nil, fmt.Errorf("look at the program's memory: %w", err)
		}
		for line := range strings.Lines(string(maps)) {
			_, rest, _ := strings.Cut(line, " ")
			st.shares = st.shares || len(rest) > 4 && rest[1] == 'w' && rest[3] == 's' // proc_pid_maps(5)
		}
		for line := range strings.Lines(string(status)) {
			if mask, ok := strings.CutPrefix(line, "SigBlk:"); ok {
				if st.blocked, err = strconv.ParseUint(strings.TrimSpace(mask), 16, 64); err != nil {
					return nil, fmt.Errorf("look at the program's signals: %w", err)
				}
			}
		}
		return st, nil
	})
}

// check reports what a copy of the process would not have, or would share with it and
// with other copies. It began with certain descriptors open.
func (st *state) check(began []int) error {
	switch {
	case st.threads != 1:
		return ineligible(fmt.Sprintf("it has %d threads", st.threads))
	case st.children != 0:
		return ineligible("it has children")
	case st.shares:
		return ineligible("it shares memory")
	case !slices.Equal(st.open, began):
		return ineligible(fmt.Sprintf("it has the descriptors %d, and was given %d", st.open, began))
	}
	return nil
}

// inherited returns those of the descriptors that a process began with which are not of
// this package: whoever started tjfuzz left them open.
func inherited(began []int) ([]int, error) {
	var fds []int
	for _, fd := range began {
		switch {
		case fd <= 2, fd >= controlFD && fd <= edgesFD:
		case fd >= transit:
			return nil, ineligible(fmt.Sprintf("it inherits the descriptor %d", fd))
		default:
			fds = append(fds, fd)
		}
	}
	return fds, nil
}

// readAuxv reads the auxiliary vector, see getauxval(3).
func readAuxv(pid int) (map[uint64]uint64, error) {
	raw, err := elsewhere(func() ([]byte, error) { return os.ReadFile(fmt.Sprintf("/proc/%d/auxv", pid)) })
	if err != nil {
		return nil, fmt.Errorf("look at the program: %w", err)
	}
	auxv := map[uint64]uint64{}
	for ; len(raw) >= 16; raw = raw[16:] {
		auxv[binary.LittleEndian.Uint64(raw)] = binary.LittleEndian.Uint64(raw[8:])
	}
	return auxv, nil
}

// elsewhere calls a function on a thread that is not the calling one.
func elsewhere[T any](f func() (T, error)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	c := make(chan answer)
	go func() {
		v, err := f()
		c <- answer{v, err}
	}()
	a := <-c
	return a.v, a.err
}
