package launch

import (
	"fmt"
	"math"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/internal/image"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// faultFilter is the cBPF program, as struct sock_filter[], that makes a scenario's faults
// happen and an older kernel's missing calls be missing; nil where there are none. The
// calls are refused in the child itself, so recorders see them as attempted and refused.
// What is pretended succeeds without effect, unless it is to fail.
func faultFilter(s *fuzz.Scenario, pretended []sysno.ID) ([]byte, error) {
	type refusal struct {
		id    sysno.ID
		errno uint16
	}
	var refusals []refusal
	for _, f := range s.World.Faults {
		refusals = append(refusals, refusal{f.ID, uint16(f.Errno)})
	}
	for _, id := range pretended {
		refusals = append(refusals, refusal{id, 0}) // the first of a number decides
	}
	for _, id := range s.World.Kernel.Lacks() {
		refusals = append(refusals, refusal{id, uint16(unix.ENOSYS)})
	}
	if len(refusals) == 0 {
		return nil, nil
	}
	audit := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	if !canFault() {
		return nil, fmt.Errorf("make syscalls fail: not on %s", runtime.GOARCH)
	}
	prog := program{}
	prog.load(offsetArch)
	prog.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, audit, 1, 0)
	prog.ret(unix.SECCOMP_RET_ALLOW) // calls of another ABI are as they are
	prog.load(offsetNR)
	for _, r := range refusals {
		name, _ := r.id.Name()
		block := spare(name)
		block.ret(unix.SECCOMP_RET_ERRNO | uint32(r.errno))
		prog.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, r.id.NR, 0, uint8(len(block)))
		prog = append(prog, block...)
	}
	prog.ret(unix.SECCOMP_RET_ALLOW)
	if len(prog) > unix.BPF_MAXINSNS {
		return nil, fmt.Errorf("make syscalls fail: the filter has %d instructions", len(prog))
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&prog[0])), len(prog)*int(unsafe.Sizeof(prog[0]))), nil
}

// pretended are the syscalls that seem to succeed for a service in a cage, since it calls them, may not make them there, and
// would do nothing without: that is chroot, by which many a service puts away what talks to strangers. A target in a cage cannot
// change its root, see [cage.Cage], so it sees more files than it thinks.
func pretended(program string) []sysno.ID {
	called, err := image.Callees(program, []string{"chroot"})
	id, known := sysno.Lookup(sysno.Native(), "chroot")
	if err != nil || len(called) == 0 || !known || !canFault() {
		return nil
	}
	return []sysno.ID{id}
}

// canFault reports whether faultFilter knows this machine.
func canFault() bool { return runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64" }

// spare allows those calls without which no dynamic program starts; in the loader of
// glibc, their arguments are telling. An older kernel lacks none of these syscalls.
func spare(name string) program {
	var p program
	switch name {
	case "open":
		p.spareEqual(1, unix.O_CLOEXEC) // of libraries; fopen does without O_CLOEXEC
	case "openat":
		p.spareEqual(2, unix.O_CLOEXEC)
	case "read":
		p.spareEqual(2, 832) // the ELF header of a library, sizeof(struct filebuf.buf)
	case "pread64":
		p.spareEqual(3, 64) // its program headers
	case "close", "fstat", "newfstatat":
		p.load(offsetArg(0)) // a descriptor of a library; AT_FDCWD is negative
		p.add(unix.BPF_JMP|unix.BPF_JGT|unix.BPF_K, math.MaxInt32, 2, 0)
		p.add(unix.BPF_JMP|unix.BPF_JGT|unix.BPF_K, 2, 0, 1)
		p.ret(unix.SECCOMP_RET_ALLOW)
	case "mmap":
		// The allocator's own: anonymous, anywhere, and larger than what the loader wants.
		p.load(offsetArg(3))
		p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS, 1, 0)
		p.ret(unix.SECCOMP_RET_ALLOW)
		p.load(offsetArg(1))
		p.add(unix.BPF_JMP|unix.BPF_JGT|unix.BPF_K, 64<<10, 1, 0)
		p.ret(unix.SECCOMP_RET_ALLOW)
	}
	return p
}

// program is a cBPF program over struct seccomp_data.
type program []unix.SockFilter

// Offsets in struct seccomp_data (linux/seccomp.h) on little-endian machines.
const (
	offsetNR   = 0
	offsetArch = 4
)

// offsetArg is where the low half of an argument is. The high half decides nothing here.
func offsetArg(i uint32) uint32 { return 16 + 8*i }

func (p *program) add(code uint16, k uint32, yes, no uint8) {
	*p = append(*p, unix.SockFilter{Code: code, K: k, Jt: yes, Jf: no})
}

func (p *program) load(offset uint32) { p.add(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset, 0, 0) }

func (p *program) ret(action uint32) { p.add(unix.BPF_RET|unix.BPF_K, action, 0, 0) }

// spareEqual allows the call if an argument has a value.
func (p *program) spareEqual(arg, value uint32) {
	p.load(offsetArg(arg))
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, value, 0, 1)
	p.ret(unix.SECCOMP_RET_ALLOW)
}
