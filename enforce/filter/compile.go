//go:build cgo

package filter

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	seccomp "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// treeFrom is the number of rules from which libseccomp's binary tree takes fewer
// instructions on average than its list of comparisons.
const treeFrom = 32

// Compile turns a policy into a filter for this machine, through libseccomp 2.5 or
// newer. It loads nothing. The policy must be valid and list the native
// architecture; a *synth.Problem says what is wrong with it.
//
// A call through an ABI that the policy does not list gets p.ForeignABI, whatever
// the default is: its numbers mean other calls, so nothing else that the policy
// says applies to it. On x86_64, x32 is such an ABI: without it in the list that
// verdict meets all numbers from 0x40000000 on, but for -1, which is what a tracer
// writes to skip a call and gets the default.
//
// Pass the result to Check before it is loaded.
func Compile(p *synth.Policy) (Program, error) {
	return compile(p, sysno.Native(), treeFrom)
}

// CompileFlat is Compile without a binary tree, as container runtimes let libseccomp
// compile. It is there to be compared with.
func CompileFlat(p *synth.Policy) (Program, error) {
	return compile(p, sysno.Native(), math.MaxInt)
}

// compile uses a binary tree from so many rules on.
func compile(p *synth.Policy, native sysno.Arch, tree int) (Program, error) {
	program, err := compileABIs(p, native, tree)
	if err != nil {
		return nil, fmt.Errorf("compile filter: %w", err)
	}
	return program, nil
}

func compileABIs(p *synth.Policy, native sysno.Arch, tree int) (Program, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if err := p.RunsOn(native); err != nil {
		return nil, err
	}
	def, err := Return(p.Default)
	if err != nil {
		return nil, fmt.Errorf("default verdict: %w", err)
	}
	foreign, err := Return(p.ForeignABI())
	if err != nil {
		return nil, fmt.Errorf("verdict for foreign architectures: %w", err)
	}
	abis := split(p, native)
	programs := make([]Program, len(abis))
	for i, a := range abis {
		layers := make([]Program, len(a.layers))
		for j, rules := range a.layers {
			layers[j], err = compileLayer(p, a, rules, native, tree)
			if err != nil {
				return nil, err
			}
		}
		programs[i] = chain(layers, def)
	}
	program := programs[0]
	if len(abis) > 1 {
		program = join(abis, programs, foreign)
	}
	if len(program) > MaxInstructions {
		return nil, fmt.Errorf("%d instructions, and %w; use fewer argument conditions or architectures", len(program), ErrTooLong)
	}
	return program, nil
}

// compileLayer lets libseccomp compile rules of one ABI as if it were the native
// one, the only one whose numbers it takes as they are: for another it looks up the
// name that the number has natively, which fails for names that it does not know,
// and adds socketcall to every socket call of i386.
func compileLayer(p *synth.Policy, a abi, rules []synth.Rule, native sysno.Arch, tree int) (Program, error) {
	def, err := action(p.Default)
	if err != nil {
		return nil, fmt.Errorf("default verdict: %w", err)
	}
	foreign, err := action(p.ForeignABI())
	if err != nil {
		return nil, fmt.Errorf("verdict for foreign architectures: %w", err)
	}
	f, err := seccomp.NewFilter(def)
	if err != nil {
		return nil, err
	}
	defer f.Release()
	if err := f.SetBadArchAction(foreign); err != nil {
		return nil, fmt.Errorf("set verdict for foreign architectures: %w", err)
	}
	if len(rules) >= tree {
		if err := f.SetOptimize(2); err != nil {
			return nil, fmt.Errorf("choose binary tree: %w", err)
		}
	}
	for _, r := range rules {
		if err := addRule(f, r); err != nil {
			return nil, fmt.Errorf("libseccomp refuses the rule %q: %w", r.String(), err)
		}
	}
	if native == sysno.AMD64 && (a.x32 || a.audit != native.Audit()) {
		// Rules do not reach an architecture that is added after them. All that
		// changes is that numbers from x32First on are no longer foreign.
		if err := f.AddArch(seccomp.ArchX32); err != nil {
			return nil, fmt.Errorf("add x32: %w", err)
		}
	}
	program, err := export(f)
	if err != nil {
		return nil, err
	}
	if err := retarget(program, native.Audit(), a.audit); err != nil {
		return nil, err
	}
	return program, nil
}

func addRule(f *seccomp.ScmpFilter, r synth.Rule) error {
	act, err := action(r.Verdict)
	if err != nil {
		return err
	}
	call := seccomp.ScmpSyscall(r.ID.Raw())
	if len(r.Args) == 0 {
		return f.AddRuleExact(call, act)
	}
	conds := make([]seccomp.ScmpCondition, len(r.Args))
	for i, c := range r.Args {
		if conds[i], err = condition(c); err != nil {
			return err
		}
	}
	return f.AddRuleConditionalExact(call, act, conds)
}

func condition(c synth.Cond) (seccomp.ScmpCondition, error) {
	ops := map[synth.Op]seccomp.ScmpCompareOp{
		synth.Equal:        seccomp.CompareEqual,
		synth.NotEqual:     seccomp.CompareNotEqual,
		synth.Less:         seccomp.CompareLess,
		synth.LessEqual:    seccomp.CompareLessOrEqual,
		synth.Greater:      seccomp.CompareGreater,
		synth.GreaterEqual: seccomp.CompareGreaterEqual,
		synth.MaskedEqual:  seccomp.CompareMaskedEqual,
	}
	op, ok := ops[c.Op]
	if !ok {
		return seccomp.ScmpCondition{}, fmt.Errorf("argument %d: invalid operator %d", c.Index, c.Op)
	}
	if c.Op == synth.MaskedEqual {
		return seccomp.MakeCondition(uint(c.Index), op, c.Mask, c.Value)
	}
	return seccomp.MakeCondition(uint(c.Index), op, c.Value)
}

func action(v synth.Verdict) (seccomp.ScmpAction, error) {
	if _, err := Return(v); err != nil {
		return seccomp.ActInvalid, err
	}
	if v.Action == synth.Errno && v.Errno == maxErrno {
		return seccomp.ActInvalid, fmt.Errorf("errno %d, and libseccomp takes only those below", maxErrno)
	}
	switch v.Action {
	case synth.Allow:
		return seccomp.ActAllow, nil
	case synth.Log:
		return seccomp.ActLog, nil
	case synth.Notify:
		return seccomp.ActNotify, nil
	case synth.Trace:
		return seccomp.ActTrace.SetReturnCode(int16(v.Errno)), nil
	case synth.Errno:
		return seccomp.ActErrno.SetReturnCode(int16(v.Errno)), nil
	case synth.Trap:
		return seccomp.ActTrap, nil
	case synth.KillThread:
		return seccomp.ActKillThread, nil
	default: // Return knows no other
		return seccomp.ActKillProcess, nil
	}
}

// export reads the compiled program from a file in memory, because seccomp_export_bpf_mem
// came with libseccomp 2.6. A pipe takes a reader beside the writer, for nothing promises
// its size: it is for where files may not grow.
func export(f *seccomp.ScmpFilter) (Program, error) {
	var most unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &most); err != nil || most.Cur != unix.RLIM_INFINITY {
		return exportThrough(f)
	}
	fd, err := unix.MemfdCreate("filter", unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate("filter", unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, fmt.Errorf("export filter: make a file in memory: %w", err)
	}
	file := os.NewFile(uintptr(fd), "filter")
	defer file.Close()
	if err := f.ExportBPF(file); err != nil {
		return nil, fmt.Errorf("export filter: %w", err)
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("export filter: %w", err)
	}
	b := make([]byte, size)
	if _, err := file.ReadAt(b, 0); err != nil {
		return nil, fmt.Errorf("export filter: %w", err)
	}
	return Parse(b)
}

func exportThrough(f *seccomp.ScmpFilter) (Program, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("export filter: %w", err)
	}
	written := make(chan error, 1)
	go func() {
		err := f.ExportBPF(w)
		written <- errors.Join(err, w.Close())
	}()
	b, err := io.ReadAll(r)
	r.Close() // or what is not read would be waited for
	if err := errors.Join(<-written, err); err != nil {
		return nil, fmt.Errorf("export filter: %w", err)
	}
	return Parse(b)
}
