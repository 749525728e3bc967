package rawtp

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/trace"
)

// Entry is the place where a program's startup ends.
type Entry struct {
	Path   string // of the ELF file; for a script, that of its interpreter
	Offset uint64 // of the entry point, in the file
}

// phaseOf is what the kind of a sighting says about the part of life.
func phaseOf(kind recorderKind) trace.Phase {
	switch kind {
	case recorderKindSTARTUP, recorderKindDENIED_STARTUP:
		return trace.PhaseStartup
	case recorderKindMAIN, recorderKindDENIED_MAIN:
		return trace.PhaseMain
	}
	return trace.PhaseUnknown
}

// sightings are the kinds of what was seen.
func sightings() []recorderKind {
	return []recorderKind{recorderKindSEEN, recorderKindSTARTUP, recorderKindMAIN}
}

// refusals are the kinds of what a filter has refused.
func refusals() []recorderKind {
	return []recorderKind{recorderKindDENIED, recorderKindDENIED_STARTUP, recorderKindDENIED_MAIN}
}

// NoPhases says why the Recorder does not tell startup from main, nil when it does.
func (r *Recorder) NoPhases() error { return r.noPhases }

// canPhase says what of the kernel is missing to tell startup from main. Without
// the perf device a uprobe would be made through tracefs, and stay there when this
// process is killed.
func canPhase(e *Entry) error {
	if e == nil {
		return errors.New("no entry point was named")
	}
	const device = "/sys/bus/event_source/devices/uprobe"
	if _, err := os.Stat(device); err != nil {
		return fmt.Errorf("no uprobes: %w", err)
	}
	return canFindFiles()
}

// canFindFiles says why the programs cannot see which file is mapped where.
func canFindFiles() error {
	if err := features.HaveProgramHelper(ebpf.RawTracepoint, asm.FnFindVma); err != nil {
		return fmt.Errorf("bpf_find_vma, of Linux 5.17: %w", err)
	}
	return nil
}

// watchEntry tells the programs which file the entry is in, and puts a uprobe on
// it. The mapping shows whether the kernel could do that: a task that waited for a
// breakpoint that is not there would stay in startup for ever. It stays mapped so
// that the inode, by which the programs know the file, is not another's one day.
func (r *Recorder) watchEntry(e *Entry) error {
	f, err := os.Open(e.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	page := uint64(os.Getpagesize())
	const word = 8 // no breakpoint is longer
	if !info.Mode().IsRegular() || e.Offset == 0 || e.Offset+word > uint64(info.Size()) {
		return fmt.Errorf("%s has no entry point at %#x", e.Path, e.Offset)
	}
	start := e.Offset / page * page
	mem, err := unix.Mmap(int(f.Fd()), int64(start), int(2*page), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("map %s: %w", e.Path, err)
	}
	r.mapped = append(r.mapped, mem)
	code := mem[e.Offset-start:][:word]
	var plain [word]byte
	if _, err := f.ReadAt(plain[:], int64(e.Offset)); err != nil {
		return fmt.Errorf("read %s: %w", e.Path, err)
	}

	address := uint64(uintptr(unsafe.Pointer(&code[0])))
	if _, err := r.coll.Programs["entry_file"].Run(&ebpf.RunOptions{Context: []uint64{address}}); err != nil {
		return fmt.Errorf("find the file behind a mapping: %w", err)
	}
	if r.session.Entry == 0 {
		return fmt.Errorf("the kernel shows no file behind a mapping of %s", e.Path)
	}
	executable, err := link.OpenExecutable(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return err
	}
	probe, err := executable.Uprobe("", r.coll.Programs["entry_point"], &link.UprobeOptions{Address: e.Offset})
	if err != nil {
		return fmt.Errorf("put a probe on the entry point: %w", err)
	}
	// Compared with the file, not with what was mapped before: there another recorder
	// may have had its breakpoint already.
	if bytes.Equal(code, plain[:]) {
		return errors.Join(fmt.Errorf("the kernel puts no probe on the entry point of %s", e.Path), probe.Close())
	}
	r.links = append(r.links, probe)
	return nil
}
