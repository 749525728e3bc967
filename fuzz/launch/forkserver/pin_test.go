package forkserver

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// The main thread, of which /proc/self tells, is no test's: one leaves a filter on its own.
func init() { runtime.LockOSThread() }

// What a kernel takes of pages that are offered: some of a mapped file, and others.
func TestAsManyPagesAreRegisteredAsTheKernelTakes(t *testing.T) {
	s := &Server{mappings: []area{
		{start: 0x10000, end: 0x20000, of: "00:10 5 /some/file"}, {start: 0x20000, end: 0x30000}, {start: 0x40000, end: 0x400000},
	}}
	pages := func(from uint64, n int) (all []uint64) {
		for i := range n {
			all = append(all, from+uint64(i)*pageBytes)
		}
		return all
	}
	ofFile, anonymous := pages(0x10000, 4), pages(0x40000, 600)
	all := slices.Concat(ofFile, anonymous)
	for name, tt := range map[string]struct {
		offered []uint64
		files   bool // may be registered
		most    int  // pages that may be locked
		want    []uint64
	}{
		"all":                            {all[:10], true, 1000, all[:10]},
		"more than are wanted":           {all, true, 1000, all[:mostPinned]},
		"little may be locked":           {all[:100], true, 30, all[:25]},
		"nothing may be locked":          {all, true, 0, nil},
		"no files":                       {all[:10], false, 1000, anonymous[:6]},
		"no files, little may be locked": {all[:100], false, 30, anonymous[:24]},
		"nothing but files":              {ofFile, false, 1000, nil},
	} {
		t.Run(name, func(t *testing.T) {
			offered := slices.Clone(tt.offered)
			var got []uint64
			ok, err := s.offer(offered, func(pages []uint64) (unix.Errno, error) {
				switch {
				case !tt.files && pages[0] < 0x20000:
					return unix.EOPNOTSUPP, nil
				case len(pages) > tt.most:
					return unix.ENOMEM, nil
				}
				got = slices.Clone(pages)
				return 0, nil
			})
			if err != nil || ok != (tt.want != nil) || !slices.Equal(got, tt.want) {
				t.Errorf("got %x, %v, %v, want %x", got, ok, err, tt.want)
			}
			if !slices.Equal(offered, tt.offered) {
				t.Error("what was offered has changed")
			}
		})
	}
	failing := func([]uint64) (unix.Errno, error) { return unix.EFAULT, nil }
	if ok, err := s.offer(all, failing); ok || err != nil {
		t.Errorf("what fails otherwise: got %v, %v", ok, err)
	}
}

// A child is killed in the place of who would make an io_uring.
func TestWhetherRingsAreDeadlyAChildFindsOut(t *testing.T) {
	type answer struct {
		ok  bool
		err error
	}
	answers := make(chan answer)
	go func() {
		runtime.LockOSThread() // and ends with its filter
		filter := []unix.SockFilter{
			{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // seccomp_data.nr
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_IO_URING_SETUP, Jf: 1},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_KILL_PROCESS},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		}
		program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			answers <- answer{err: err}
			return
		}
		if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
			answers <- answer{err: err}
			return
		}
		ok, err := makesRing()
		answers <- answer{ok, err}
	}()
	if a := <-answers; a.ok || a.err != nil {
		t.Errorf("got %v, %v", a.ok, a.err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if ok, err := makesRing(); !ok {
		testenv.Lack(t, "io_uring", fmt.Sprint(err))
	}
}
