package format

import (
	"fmt"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// The words of the OCI runtime specification (config-linux.md, "Seccomp"). The
// first word for a meaning is the one that is written.

type actionWord struct {
	word   specs.LinuxSeccompAction
	action synth.Action
}

func actionWords() []actionWord {
	return []actionWord{
		{specs.ActAllow, synth.Allow},
		{specs.ActLog, synth.Log},
		{specs.ActNotify, synth.Notify},
		{specs.ActTrace, synth.Trace},
		{specs.ActErrno, synth.Errno},
		{specs.ActTrap, synth.Trap},
		{specs.ActKillThread, synth.KillThread},
		{specs.ActKill, synth.KillThread}, // its older name
		{specs.ActKillProcess, synth.KillProcess},
	}
}

type archWord struct {
	word specs.Arch
	arch sysno.Arch
}

func archWords() []archWord {
	return []archWord{
		{specs.ArchX86_64, sysno.AMD64},
		{specs.ArchX86, sysno.I386},
		{specs.ArchX32, sysno.X32},
		{specs.ArchAARCH64, sysno.ARM64},
	}
}

// archsWithoutTable are architectures of the specification that cannot be
// represented here.
func archsWithoutTable() []specs.Arch {
	return []specs.Arch{
		specs.ArchARM, specs.ArchMIPS, specs.ArchMIPS64, specs.ArchMIPS64N32, specs.ArchMIPSEL, specs.ArchMIPSEL64,
		specs.ArchMIPSEL64N32, specs.ArchPPC, specs.ArchPPC64, specs.ArchPPC64LE, specs.ArchS390, specs.ArchS390X,
		specs.ArchPARISC, specs.ArchPARISC64, specs.ArchRISCV64, specs.ArchLOONGARCH64, specs.ArchM68K, specs.ArchSH,
		specs.ArchSHEB,
	}
}

type opWord struct {
	word specs.LinuxSeccompOperator
	op   synth.Op
}

func opWords() []opWord {
	return []opWord{
		{specs.OpEqualTo, synth.Equal},
		{specs.OpNotEqual, synth.NotEqual},
		{specs.OpLessThan, synth.Less},
		{specs.OpLessEqual, synth.LessEqual},
		{specs.OpGreaterThan, synth.Greater},
		{specs.OpGreaterEqual, synth.GreaterEqual},
		{specs.OpMaskedEqual, synth.MaskedEqual},
	}
}

func flagWords() []specs.LinuxSeccompFlag {
	return []specs.LinuxSeccompFlag{
		"SECCOMP_FILTER_FLAG_TSYNC", specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow,
		specs.LinuxSeccompFlagWaitKillableRecv,
	}
}

// choose finds a word in a list of known ones. what names the list.
func choose[W ~string](n node, what string, known []W) (int, error) {
	s, err := n.text()
	if err != nil {
		return 0, err
	}
	for i, w := range known {
		if s == string(w) {
			return i, nil
		}
	}
	for _, w := range known {
		if strings.EqualFold(s, string(w)) {
			return 0, n.errorf(fmt.Sprintf("write %q", string(w)), "the %s %q is spelled in the wrong case", what, s)
		}
	}
	words := make([]string, len(known))
	for i, w := range known {
		words[i] = string(w)
	}
	return 0, n.errorf("known are "+strings.Join(words, ", "), "unknown %s %q", what, s)
}
