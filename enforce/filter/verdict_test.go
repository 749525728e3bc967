package filter

import (
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"golang.org/x/sys/unix"
)

func TestReturnAndParseReturnAreInverse(t *testing.T) {
	for _, c := range []struct {
		verdict synth.Verdict
		ret     uint32
	}{
		{synth.Verdict{Action: synth.Allow}, 0x7fff0000},
		{synth.Verdict{Action: synth.Log}, 0x7ffc0000},
		{synth.Verdict{Action: synth.Notify}, 0x7fc00000},
		{synth.Verdict{Action: synth.Trace, Errno: 0xffff}, 0x7ff0ffff},
		{synth.Verdict{Action: synth.Errno, Errno: 1}, 0x00050001},
		{synth.Verdict{Action: synth.Errno, Errno: 4095}, 0x00050fff},
		{synth.Verdict{Action: synth.Trap}, 0x00030000},
		{synth.Verdict{Action: synth.KillThread}, 0},
		{synth.Verdict{Action: synth.KillProcess}, 0x80000000},
	} {
		if ret, err := Return(c.verdict); ret != c.ret || err != nil {
			t.Errorf("Return(%s) = %#x, %v, want %#x", c.verdict, ret, err, c.ret)
		}
		if v := ParseReturn(c.ret); v != c.verdict {
			t.Errorf("ParseReturn(%#x) = %s, want %s", c.ret, v, c.verdict)
		}
	}
}

func TestReturnRefusesWhatTheKernelWouldReadOtherwise(t *testing.T) {
	for _, v := range []synth.Verdict{
		{},
		{Action: synth.KillProcess + 1},
		{Action: synth.Errno, Errno: 4096},
		{Action: synth.Allow, Errno: 1},
		{Action: synth.KillProcess, Errno: 1},
	} {
		if ret, err := Return(v); err == nil {
			t.Errorf("Return(%+v) = %#x, want an error", v, ret)
		}
	}
}

func TestParseReturnReadsAsTheKernel(t *testing.T) {
	for ret, want := range map[uint32]synth.Verdict{
		unix.SECCOMP_RET_ALLOW | 7:      {Action: synth.Allow},
		unix.SECCOMP_RET_ERRNO | 0xffff: {Action: synth.Errno, Errno: 4095},
		0x12340000:                      {Action: synth.KillProcess},
		0xffffffff:                      {Action: synth.KillProcess},
	} {
		if got := ParseReturn(ret); got != want {
			t.Errorf("ParseReturn(%#x) = %s, want %s", ret, got, want)
		}
	}
}

func TestMismatchSaysWhichCallGotWhat(t *testing.T) {
	// A filter that allows close, where the policy kills.
	p := &synth.Policy{Default: synth.Verdict{Action: synth.KillProcess}, Archs: []sysno.Arch{sysno.ARM64}}
	foreign, err := Return(p.ForeignABI())
	if err != nil {
		t.Fatal(err)
	}
	err = Check(Program{
		{Code: ldAbs, K: offArch},
		{Code: jeq, K: unix.AUDIT_ARCH_AARCH64, Jt: 1},
		{Code: retK, K: foreign},
		{Code: ldAbs, K: offNR},
		{Code: jeq, K: 57, Jt: 1},
		{Code: retK, K: unix.SECCOMP_RET_KILL_PROCESS},
		allow,
	}, p)
	if err == nil {
		t.Fatal("Check found nothing")
	}
	for _, want := range []string{"aarch64", "close", "0xc00000b7", "0x39", "want kill process, got allow"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error %q lacks %q", err, want)
		}
	}
}

func TestStringShowsWhereJumpsLead(t *testing.T) {
	got := Program{{Code: ldAbs, K: 4}, {Code: jset | regX, Jt: 1, Jf: 2}, {Code: ja, K: 1}, {Code: retA}, allow}.String()
	want := `   0: a = data[4]
   1: if a & x goto 3 else 4
   2: goto 4
   3: return a
   4: return 0x7fff0000
`
	if got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}
