package testenv

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// exit32 is a 32-bit program for x86 that calls exit(0) by int 0x80 and does nothing else.
var exit32 = []byte("\x7fELF\x01\x01\x01" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x02\x00\x03\x00\x01\x00\x00\x00\x54\x80\x04\x08\x34\x00\x00\x00" + // an executable for i386, the entry point, where the segments stand
	"\x00\x00\x00\x00\x00\x00\x00\x00\x34\x00\x20\x00\x01\x00\x00\x00\x00\x00\x00\x00" +
	"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x80\x04\x08\x00\x80\x04\x08" + // one segment, from the file's start on
	"\x5d\x00\x00\x00\x5d\x00\x00\x00\x05\x00\x00\x00\x00\x10\x00\x00" +
	"\x31\xdb\x31\xc0\x40\xcd\x80\x90\x90") // xor %ebx, %ebx; xor %eax, %eax; inc %eax; int $0x80

// RunsCompat reports whether the kernel runs 32-bit programs of x86. One that is built or
// booted without them does not, nor does one whose hypervisor cannot: that is no matter of
// set-up, so TJFUZZ_REQUIRE=all does not ask for it.
var RunsCompat = sync.OnceValue(func() bool {
	if runtime.GOARCH != "amd64" {
		return false
	}
	dir, err := os.MkdirTemp("", "compat")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "exit32")
	if err := os.WriteFile(program, exit32, 0o755); err != nil {
		panic(err)
	}
	// Another goroutine's child may hold the file open for writing until it has made its exec.
	for range 1000 {
		if err = exec.Command(program).Run(); !errors.Is(err, syscall.ETXTBSY) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err != nil && !errors.Is(err, syscall.ENOEXEC) {
		panic(err)
	}
	return err == nil
})

// RequireCompat skips t where the kernel runs no 32-bit programs.
func RequireCompat(t testing.TB) {
	t.Helper()
	if !RunsCompat() {
		t.Skip("this kernel runs no 32-bit programs of x86")
	}
}
