package clock

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

// Shift is how the time of day of programs is shifted. In the vDSO of a program that was
// just executed, the entries by which C libraries and runtimes find the functions lead to others,
// which call the kernel's and add to what those return. They lie behind the kernel's code in the last page,
// which the mapping has in any case. So the program has no mapping that it would not have.
//
// What the program asks the kernel for by a syscall stays as it is: times of files, and
// clock_gettime(2) of who makes that call without the vDSO. So do waits until a time of day, and what
// the program executes.
type Shift struct {
	vdso []byte
}

const atVDSO = 33 // AT_SYSINFO_EHDR, getauxval(3)

// Prepare looks whether the time of day can be shifted for a program. The error is ErrFixed where
// it cannot: that takes a 64-bit program, or a script that names one.
func Prepare(program string) (*Shift, error) {
	if err := native(program); err != nil {
		return nil, err
	}
	at, err := vdsoOf(os.Getpid())
	if err != nil {
		return nil, err
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil, fmt.Errorf("look for the vDSO: %w", err)
	}
	var start, end uint64
	for line := range strings.Lines(string(maps)) {
		if _, err := fmt.Sscanf(line, "%x-%x ", &start, &end); err == nil && start == at && strings.HasSuffix(line, "[vdso]\n") {
			s := &Shift{make([]byte, end-start)}
			mem, err := os.Open("/proc/self/mem")
			if err == nil {
				_, err = mem.ReadAt(s.vdso, int64(start))
				mem.Close()
			}
			if err != nil {
				return nil, fmt.Errorf("read the vDSO: %w", err)
			}
			_, err = patches(s.vdso, 1)
			return s, err
		}
	}
	return nil, fixed("this process has no vDSO")
}

// native reports whether the kernel gives a program the vDSO that this process has.
func native(program string) error {
	for range 5 { // scripts that interpret one another, exec_binprm in fs/exec.c
		f, err := os.Open(program)
		if err != nil {
			return fixed(err.Error())
		}
		head := make([]byte, 256)
		n, err := f.ReadAt(head, 0)
		f.Close()
		if head = head[:n]; n == 0 {
			return fixed(err.Error())
		}
		line, script := bytes.CutPrefix(head, []byte("#!"))
		if !script {
			if len(head) > elf.EI_CLASS && bytes.HasPrefix(head, []byte(elf.ELFMAG)) && elf.Class(head[elf.EI_CLASS]) == elf.ELFCLASS64 {
				return nil
			}
			return fixed(program + " is no 64-bit program")
		}
		line, _, _ = bytes.Cut(line, []byte("\n"))
		fields := bytes.Fields(line)
		if len(fields) == 0 {
			break
		}
		program = string(fields[0])
	}
	return fixed("no program interprets the script")
}

// vdsoOf is where a process has its vDSO.
func vdsoOf(pid int) (uint64, error) {
	b, err := spawn.Look(pid, "auxv")
	if err != nil {
		return 0, err
	}
	for ; len(b) >= 16; b = b[16:] {
		if binary.LittleEndian.Uint64(b) == atVDSO {
			return binary.LittleEndian.Uint64(b[8:]), nil
		}
	}
	return 0, fixed("the kernel gives no vDSO")
}

// patch is what is to be written to a vDSO.
type patch struct {
	at       int // in it
	old, new []byte
}

// patches shift the time of day by so many seconds. vdso is the whole mapping.
func patches(vdso []byte, seconds int64) ([]patch, error) {
	f, err := elf.NewFile(bytes.NewReader(vdso))
	if err != nil {
		return nil, fixed("the vDSO: " + err.Error())
	}
	table := f.SectionByType(elf.SHT_DYNSYM)
	symbols, err := f.DynamicSymbols()
	if err != nil || table == nil || table.Addr != table.Offset {
		return nil, fixed("the vDSO has no symbols")
	}
	// What nothing is in: behind the segments, and behind the section headers.
	const sectionsAt, sectionSize = 40, 64 // e_shoff
	used := binary.LittleEndian.Uint64(vdso[sectionsAt:]) + sectionSize*uint64(len(f.Sections))
	for _, p := range f.Progs {
		used = max(used, p.Vaddr+p.Memsz)
	}
	at := (used + 15) &^ 15
	var all []patch
	for _, fn := range []struct {
		name string
		code func(from, to, shift uint64) []byte
	}{{"clock_gettime", clockGettime}, {"gettimeofday", gettimeofday}, {"time", timeOf}} {
		var original uint64
		for _, s := range symbols {
			if s.Name == "__vdso_"+fn.name {
				original = s.Value
			}
		}
		if original == 0 {
			return nil, fixed("the vDSO lacks " + fn.name)
		}
		code := fn.code(at, original, uint64(seconds))
		if at+uint64(len(code)) > uint64(len(vdso)) {
			return nil, fixed("the vDSO has no room")
		}
		all = append(all, patch{int(at), vdso[at : at+uint64(len(code))], code})
		for i, s := range symbols {
			if s.Value != original || s.Section == elf.SHN_UNDEF || s.Section == elf.SHN_ABS {
				continue
			}
			const valueAt, symbolSize = 8, 24                   // st_value of Elf64_Sym
			v := int(table.Offset) + (i+1)*symbolSize + valueAt // debug/elf leaves out the first, which is none
			all = append(all, patch{v, vdso[v : v+8], binary.LittleEndian.AppendUint64(nil, at)})
		}
		at = (at + uint64(len(code)) + 15) &^ 15
	}
	return all, nil
}

// assemble puts machine code together: bytes, and numbers in them.
func assemble(parts ...any) []byte {
	var code []byte
	for _, p := range parts {
		switch p := p.(type) {
		case []byte:
			code = append(code, p...)
		case uint32:
			code = binary.LittleEndian.AppendUint32(code, p)
		case uint64:
			code = binary.LittleEndian.AppendUint64(code, p)
		}
	}
	return code
}

// The functions that take the place of the kernel's. All keep what a call must leave as it
// is, and the stack aligned for the one that they make.

func clockGettime(at, to, shift uint64) []byte {
	const called = 8 // where the call ends
	// Of the clocks that tell the time of day.
	const clocks = 1<<unix.CLOCK_REALTIME | 1<<unix.CLOCK_REALTIME_COARSE | 1<<unix.CLOCK_REALTIME_ALARM | 1<<unix.CLOCK_TAI
	return assemble(
		[]byte{0x57, 0x56, 0x50, 0xe8}, uint32(to-at-called), // push %rdi; push %rsi; push %rax; call
		[]byte{0x59, 0x5e, 0x5f},             // pop %rcx; pop %rsi; pop %rdi
		[]byte{0x85, 0xc0, 0x75, 0x1c},       // test %eax, %eax; jne end
		[]byte{0x83, 0xff, 0x0b, 0x77, 0x17}, // cmp $11, %edi; ja end
		[]byte{0xb9}, uint32(clocks),         // mov $clocks, %ecx
		[]byte{0x0f, 0xa3, 0xf9, 0x73, 0x0d}, // bt %edi, %ecx; jae end
		[]byte{0x48, 0xb9}, shift,            // movabs $shift, %rcx
		[]byte{0x48, 0x01, 0x0e}, // add %rcx, (%rsi)
		[]byte{0xc3},             // end: ret
	)
}

func gettimeofday(at, to, shift uint64) []byte {
	const called = 6
	return assemble(
		[]byte{0x57, 0xe8}, uint32(to-at-called), // push %rdi; call
		[]byte{0x5f},                         // pop %rdi
		[]byte{0x85, 0xc0, 0x75, 0x12},       // test %eax, %eax; jne end
		[]byte{0x48, 0x85, 0xff, 0x74, 0x0d}, // test %rdi, %rdi; je end
		[]byte{0x48, 0xb9}, shift,            // movabs $shift, %rcx
		[]byte{0x48, 0x01, 0x0f}, // add %rcx, (%rdi)
		[]byte{0xc3},             // end: ret
	)
}

func timeOf(at, to, shift uint64) []byte {
	const called = 6
	return assemble(
		[]byte{0x57, 0xe8}, uint32(to-at-called), // push %rdi; call
		[]byte{0x5f},              // pop %rdi
		[]byte{0x48, 0xb9}, shift, // movabs $shift, %rcx
		[]byte{0x48, 0x01, 0xc8},             // add %rcx, %rax
		[]byte{0x48, 0x85, 0xff, 0x74, 0x03}, // test %rdi, %rdi; je end
		[]byte{0x48, 0x89, 0x07},             // mov %rax, (%rdi)
		[]byte{0xc3},                         // end: ret
	)
}

// Start is what is begun for one run.
type Start struct{ ended <-chan error }

// Begin makes the first program that a child executes have a time of day: now it is so many seconds
// after 1970 there. The child is held, and executes the program itself, or is the init that
// starts who does. Needs the right to trace it, and that nobody else does.
func (s *Shift) Begin(pid int, seconds int64) (*Start, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
		return nil, fmt.Errorf("read the time of day: %w", err)
	}
	all, err := patches(s.vdso, seconds-now.Sec)
	if err != nil {
		return nil, err
	}
	const options = unix.PTRACE_O_EXITKILL | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEEXEC
	ended, err := spawn.Follow(pid, options, func(pid int, ws unix.WaitStatus) (bool, error) { return serve(pid, ws, all) })
	if err != nil {
		return nil, fmt.Errorf("trace the start of the program: %w", err)
	}
	return &Start{ended}, nil
}

// Wait returns when the program has the time of day, or will never be executed. After an error it
// has been killed.
func (s *Start) Wait() error {
	if err := <-s.ended; err != nil {
		return fmt.Errorf("shift the time of day: %w", err)
	}
	return nil
}

// serve lets a stopped process go on. done says that its program has got the time.
func serve(pid int, ws unix.WaitStatus, all []patch) (done bool, err error) {
	if !ws.Stopped() {
		return false, nil
	}
	switch ws >> 16 {
	case 0:
		return false, spawn.Ptrace(unix.PTRACE_CONT, pid, 0, uintptr(ws.StopSignal()))
	case unix.PTRACE_EVENT_FORK: // by the init; the other process is traced from its birth
		return false, spawn.Ptrace(unix.PTRACE_DETACH, pid, 0, 0)
	case unix.PTRACE_EVENT_EXEC:
		if err := apply(pid, all); err != nil {
			return false, err
		}
		return true, spawn.Ptrace(unix.PTRACE_DETACH, pid, 0, 0)
	}
	return false, spawn.Ptrace(unix.PTRACE_CONT, pid, 0, 0)
}

// apply writes to the vDSO of a process; the page becomes its own.
func apply(pid int, all []patch) error {
	base, err := vdsoOf(pid)
	if err != nil {
		return err
	}
	for _, p := range all {
		at, is := uintptr(base)+uintptr(p.at), make([]byte, len(p.old))
		if _, err := unix.PtracePeekText(pid, at, is); err != nil {
			return fmt.Errorf("read the vDSO: %w", err)
		}
		if !bytes.Equal(is, p.old) {
			return errors.New("the program has another vDSO than this process")
		}
		if _, err := unix.PtracePokeText(pid, at, p.new); err != nil {
			return fmt.Errorf("write to the vDSO: %w", err)
		}
	}
	return nil
}
