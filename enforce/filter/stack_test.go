//go:build cgo && amd64

package filter

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"golang.org/x/sys/unix"
)

func TestAStackDecidesAsItsFiltersTogether(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	var stacks []synth.Stack
	cases := policies(t)
	for i := range cases {
		stacks = append(stacks, synth.Stack{cases[i].policy, cases[random.IntN(len(cases))].policy})
	}
	stacks = append(stacks, synth.Stack{cases[0].policy, cases[1].policy, cases[5].policy}, synth.Stack{cases[2].policy})
	for i, stack := range stacks {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			programs := make([]Program, len(stack))
			for j, p := range stack {
				programs[j] = compiled(t, p)
			}
			program, err := Stack(programs...)
			if err != nil {
				t.Fatal(err)
			}
			if err := Check(program, stack...); err != nil {
				t.Error(err)
			}
			for _, c := range cases {
				for _, e := range c.want {
					var want synth.Verdict
					for _, p := range programs {
						ret, _, _ := p.Run(e.call)
						if v := ParseReturn(ret); want.Action == synth.ActionInvalid || !v.Action.Below(want.Action) {
							want = v
						}
					}
					ret, _, err := program.Run(e.call)
					if got := ParseReturn(ret); err != nil || got != want {
						t.Fatalf("%+v: got %v, want %v, %v", e.call, got, want, err)
					}
				}
			}
		})
	}
}

// The order in which the kernel lets actions win is asked of the kernel.
func TestActionsWinAsInTheKernel(t *testing.T) {
	var cases []kernelCase
	var all []synth.Verdict
	for a := synth.Allow; a <= synth.KillProcess; a++ {
		v := synth.Verdict{Action: a}
		if a == synth.Errno {
			v.Errno = 7
		}
		all = append(all, v)
	}
	answer := func(v synth.Verdict) Program {
		ret, err := Return(v)
		if err != nil {
			t.Fatal(err)
		}
		return Program{
			{Code: ldAbs, K: offNR},
			{Code: jeq, K: getppid, Jt: 1},
			allow,
			{Code: retK, K: ret},
		}
	}
	for _, first := range all {
		for _, second := range all {
			stacked, err := Stack(answer(first), answer(second))
			if err != nil {
				t.Fatal(err)
			}
			cases = append(cases, kernelCase{program: stacked, call: call(x86_64, getppid)},
				kernelCase{program: answer(first), second: answer(second), call: call(x86_64, getppid)})
		}
	}
	answers := askKernel(t, cases)
	for i := 0; i < len(answers); i += 2 {
		if one, two := anyID(answers[i]), anyID(answers[i+1]); one != two {
			t.Errorf("%v then %v: stacked %q, loaded one after the other %q", all[i/2/len(all)], all[i/2%len(all)], one, two)
		}
	}
}

func TestStackRefusesWhatItCannotSay(t *testing.T) {
	computes := Program{{Code: ldImm, K: unix.SECCOMP_RET_ALLOW}, {Code: retA}}
	if _, err := Stack(computes, Program{allow}); err == nil || !strings.Contains(err.Error(), "computes") {
		t.Errorf("a filter that computes: %v", err)
	}
	if _, err := Stack(Program{}); err == nil {
		t.Error("an empty filter is taken")
	}
	var p Program
	for range MaxInstructions / 4 {
		p = append(p, unix.SockFilter{Code: jeq, K: uint32(len(p)), Jf: 1}, unix.SockFilter{Code: retK, K: unix.SECCOMP_RET_ERRNO | uint32(len(p)/2+1)&0xfff})
	}
	p = append(p, allow)
	if _, err := Stack(p, p); err == nil || !strings.Contains(err.Error(), "at most 4096") {
		t.Errorf("too many instructions: %v", err)
	}
}

func TestCheckFindsFaultsInStacks(t *testing.T) {
	cases := policies(t)
	stack := synth.Stack{cases[1].policy, cases[0].policy}
	one := compiled(t, stack[0])
	var mismatch *Mismatch
	if err := Check(one, stack...); !errors.As(err, &mismatch) {
		t.Errorf("a policy is left out, and Check() = %v", err)
	}
	read, _ := sysno.Lookup(sysno.AMD64, "read")
	if v, by := stack.Decide(read, [6]uint64{}); v != allowed || by != stack[1] {
		t.Errorf("of equal actions that of the last policy counts; got %v of %p", v, by)
	}
}
