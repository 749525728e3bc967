//go:build amd64

package filter

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"golang.org/x/sys/unix"
)

// kernelCase is a filter and a call under it. The call goes through int $0x80 if
// its architecture is that of i386.
type kernelCase struct {
	program Program
	second  Program // loaded after the first, if any
	call    Data
}

// askKernel returns what the running kernel does with each case, as
// testdata/kernel.c words it.
func askKernel(t *testing.T, cases []kernelCase) []string {
	t.Helper()
	helper := filepath.Join(t.TempDir(), "kernel")
	gcc := testenv.Program(t, "gcc")
	if out, err := exec.Command(gcc, "-O1", "-Wall", "-Werror", "-o", helper, "testdata/kernel.c").CombinedOutput(); err != nil {
		t.Fatalf("compile testdata/kernel.c: %v\n%s", err, out)
	}
	var in []byte
	for _, c := range cases {
		in = binary.NativeEndian.AppendUint32(in, uint32(len(c.program)))
		in = append(in, c.program.Bytes()...)
		in = binary.NativeEndian.AppendUint32(in, uint32(len(c.second)))
		in = append(in, c.second.Bytes()...)
		int80 := uint32(0)
		if c.call.Arch == sysno.I386.Audit() {
			int80 = 1
		}
		in = binary.NativeEndian.AppendUint32(in, int80)
		in = binary.NativeEndian.AppendUint32(in, c.call.NR)
		for _, arg := range c.call.Args {
			in = binary.NativeEndian.AppendUint64(in, arg)
		}
	}
	cmd := exec.Command(helper)
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("testdata/kernel.c: %v", err)
	}
	answers := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(answers) != len(cases) {
		t.Fatalf("testdata/kernel.c answered %d of %d cases", len(answers), len(cases))
	}
	return answers
}

// getppid takes no arguments, so that a filter may be shown any.
const getppid = unix.SYS_GETPPID

func TestValidateRefusesTheInstructionsThatTheKernelRefuses(t *testing.T) {
	var cases []kernelCase
	for code := range uint16(0x200) {
		for _, k := range []uint32{0, 4, 31, 32, 60, 64} {
			cases = append(cases, kernelCase{program: Program{
				{Code: st, K: 0}, {Code: st, K: 4}, {Code: code, K: k}, {Code: retK, K: unix.SECCOMP_RET_ALLOW},
			}})
		}
	}
	for _, c := range invalid {
		cases = append(cases, kernelCase{program: c.program})
	}
	for i := range cases {
		cases[i].call.NR = getppid
	}
	refused := 0
	for i, answer := range askKernel(t, cases) {
		kernel := answer == fmt.Sprintf("refused %d", unix.EINVAL)
		err := cases[i].program.Validate()
		if (err != nil) != kernel {
			t.Errorf("Validate() = %v, and the kernel says %q to\n%v", err, answer, cases[i].program)
		}
		if kernel {
			refused++
		}
	}
	if refused == 0 || refused == len(cases) {
		t.Errorf("the kernel refused %d of %d: the test shows nothing", refused, len(cases))
	}
}

func TestRunComputesAsTheKernelDoes(t *testing.T) {
	const programs, seed = 400, 1
	random := rand.New(rand.NewPCG(seed, 0))
	cases := make([]kernelCase, programs)
	for i := range cases {
		cases[i] = kernelCase{program: randomProgram(random), call: Data{
			NR:   getppid,
			Arch: sysno.AMD64.Audit(),
			Args: [6]uint64{random.Uint64(), random.Uint64() >> 40, random.Uint64(), 0, ^uint64(0), random.Uint64()},
		}}
	}
	seen := map[string]bool{}
	for i, answer := range askKernel(t, cases) {
		ret, _, err := cases[i].program.Run(cases[i].call)
		if err != nil {
			t.Fatalf("program %d of seed %d: %v\n%v", i, seed, err, cases[i].program)
		}
		want := fmt.Sprintf("value %d", -int(ret&unix.SECCOMP_RET_DATA))
		if ret == unix.SECCOMP_RET_KILL_THREAD { // a division by zero
			want = fmt.Sprintf("signal %d", unix.SIGSYS)
		}
		if answer != want {
			t.Errorf("program %d of seed %d: the kernel says %q, the interpreter %q\n%#x\n%v",
				i, seed, answer, want, cases[i].call.Args, cases[i].program)
		}
		seen[answer] = true
	}
	if len(seen) < programs/2 {
		t.Errorf("only %d different results: the test shows little", len(seen))
	}
}

// randomProgram computes on words of the arguments and returns 11 bits of what it
// gets as an errno, for getppid; it allows all else.
func randomProgram(random *rand.Rand) Program {
	p := Program{
		{Code: ldAbs, K: offNR},
		{Code: jeq, K: getppid, Jt: 1},
		{Code: retK, K: unix.SECCOMP_RET_ALLOW},
		{Code: st, K: 0}, {Code: st, K: 15},
	}
	word := func() uint32 { return offArgs + 4*random.Uint32N(12) }
	body := []uint16{ldAbs, ldAbs, ldAbs, ldLen, ldImm, ldMem, ldxLen, ldxImm, ldxMem, st, stx, tax, txa, ja, jeq, jgt, jge, jset,
		add, sub, mul, div, and, or, xor, lsh, rsh, neg}
	const length = 24
	for i := range length {
		in := unix.SockFilter{Code: body[random.IntN(len(body))], K: random.Uint32() >> random.IntN(32)}
		rest := length - i - 1
		switch in.Code {
		case ldAbs:
			in.K = word()
		case ldMem, ldxMem, st, stx:
			in.K = 15 * random.Uint32N(2)
		case ja:
			in.K = random.Uint32N(uint32(min(rest, 3) + 1))
		case jeq, jgt, jge, jset:
			in.Jt, in.Jf = uint8(random.IntN(min(rest, 3)+1)), uint8(random.IntN(min(rest, 3)+1))
			in.Code |= regX * uint16(random.IntN(2))
		case lsh, rsh:
			in.Code |= regX * uint16(random.IntN(2))
			if in.Code&regX == 0 {
				in.K %= 32
			}
		case div:
			in.Code |= regX * uint16(random.IntN(2))
			in.K = max(in.K, 1)
		case add, sub, mul, and, or, xor:
			in.Code |= regX * uint16(random.IntN(2))
		}
		p = append(p, in)
	}
	// Errnos are kept below 2048: the kernel cuts those above 4095.
	return append(p,
		unix.SockFilter{Code: st, K: 1},
		unix.SockFilter{Code: rsh, K: 16},
		unix.SockFilter{Code: tax},
		unix.SockFilter{Code: ldMem, K: 1},
		unix.SockFilter{Code: xor | regX},
		unix.SockFilter{Code: and, K: 0x7ff},
		unix.SockFilter{Code: or, K: unix.SECCOMP_RET_ERRNO},
		unix.SockFilter{Code: retA})
}
