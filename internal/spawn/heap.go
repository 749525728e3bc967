package spawn

import (
	"bytes"
	"os"
	"strconv"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// forks are those of this process, one at a time: a child that needs the heap must not
// be made while it is kept from another. (os/exec copies no memory but where it makes a user
// namespace, which tjfuzz does before it makes any child.)
var forks struct {
	sync.Mutex
	heap span
	age  int // forks since the memory was looked at
}

// span is a part of the address space, in whole pages.
type span struct{ from, size uintptr }

// theHeap is where the heap of Go lies, empty where that is not known: who makes few children
// does not look for it. The maps of BPF, which are copied though they are shared, and the race
// detector's memory are kept from all children from here on. To copy the page tables of all that a session has takes as long as
// half of a short run; what the heap has grown by since it was looked for is copied, too. Nothing
// else is left out: the kernel looks at where threads of the C library have registered
// their restartable sequences (rseq(2)), and kills who has nothing there. forks is locked.
func theHeap() span {
	const first, again = 4, 64
	if forks.age%again == first {
		read := make(chan []byte)
		go func() { // on another thread, for the caller's may have another /proc
			maps, _ := os.ReadFile("/proc/self/maps")
			read <- maps
		}()
		maps := <-read
		var needless []span
		forks.heap, needless = memory(maps, uintptr(unsafe.Pointer(unsafe.SliceData(maps))))
		for _, s := range needless {
			_, _, _ = unix.RawSyscall(unix.SYS_MADVISE, s.from, s.size, unix.MADV_DONTFORK)
		}
	}
	forks.age++
	return forks.heap
}

// memory returns, of what a text as /proc/PID/maps has it tells (proc_pid_maps(5)), the private
// memory without a file around an address, with what adjoins it, and the maps of BPF and what
// the race detector has. What is not understood is not there.
func memory(maps []byte, at uintptr) (around span, needless []span) {
	var last span // the private memory without a file that ends with the last line, if that is such
	for line := range bytes.Lines(maps) {
		fields := bytes.Fields(line) // from-to, rights, offset, device, inode, name
		if len(fields) < 5 {
			return span{}, nil
		}
		low, high, _ := bytes.Cut(fields[0], []byte("-"))
		from, err1 := strconv.ParseUint(string(low), 16, 64)
		to, err2 := strconv.ParseUint(string(high), 16, 64)
		if err1 != nil || err2 != nil || to <= from {
			return span{}, nil
		}
		s := span{uintptr(from), uintptr(to - from)}
		if len(fields) > 5 && bytes.HasPrefix(fields[5], []byte("anon_inode:bpf")) || s.from-shadowFrom < shadowTo-shadowFrom {
			needless = append(needless, s)
		}
		switch {
		case string(fields[4]) != "0" || !bytes.HasSuffix(fields[1], []byte("p")):
			last = span{}
		case last.from+last.size == s.from:
			last.size += s.size
		default:
			last = s
		}
		if at-last.from < last.size {
			around = last
		}
	}
	return around, needless
}

// pageSize is that of memory.
var pageSize = uintptr(os.Getpagesize())

// leave makes the children from here on have nothing of a span but the pages of the stack that
// this function's caller is on, of which they need little: nothing that they run may grow it.
// Where that cannot be, they have all of it.
//
//go:norace
//go:nosplit
func leave(s span) {
	if s.size == 0 {
		return
	}
	var here byte
	page := uintptr(unsafe.Pointer(&here)) &^ (pageSize - 1)
	from, to := max(page-pageSize, s.from), min(page+2*pageSize, s.from+s.size)
	_, _, e1 := syscall.RawSyscall6(unix.SYS_MADVISE, s.from, s.size, unix.MADV_DONTFORK, 0, 0, 0)
	_, _, e2 := syscall.RawSyscall6(unix.SYS_MADVISE, from, to-from, unix.MADV_DOFORK, 0, 0, 0)
	if e1 != 0 || e2 != 0 { // a mapping that cannot be split
		take(s)
	}
}

// take undoes leave.
//
//go:norace
//go:nosplit
func take(s span) {
	if s.size != 0 {
		syscall.RawSyscall6(unix.SYS_MADVISE, s.from, s.size, unix.MADV_DOFORK, 0, 0, 0)
	}
}
