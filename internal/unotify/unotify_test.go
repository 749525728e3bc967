package unotify

import (
	"encoding/binary"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The layouts are those of linux/seccomp.h, whose sizes are in the ioctl numbers.
func TestStructuresHaveTheKernelsLayout(t *testing.T) {
	var sizes [3]uint16
	_, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_NOTIF_SIZES, 0, uintptr(unsafe.Pointer(&sizes)))
	if e != 0 {
		t.Fatal(e)
	}
	got := [3]uint16{uint16(unsafe.Sizeof(Call{})), uint16(unsafe.Sizeof(Answer{})), 64}
	if got != sizes {
		t.Errorf("call, answer, data: got %d bytes, want %d", got, sizes)
	}
	raw := make([]byte, sizes[0])
	for i := range raw {
		raw[i] = byte(i)
	}
	n := (*Call)(unsafe.Pointer(&raw[0]))
	if n.Args[5] != binary.NativeEndian.Uint64(raw[72:]) || uint32(n.NR) != binary.NativeEndian.Uint32(raw[16:]) {
		t.Error("seccomp_data is not where the kernel puts it")
	}
}
