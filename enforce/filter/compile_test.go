//go:build cgo && amd64

package filter

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"golang.org/x/sys/unix"
)

var (
	allowed = synth.Verdict{Action: synth.Allow}
	eperm   = synth.Verdict{Action: synth.Errno, Errno: uint16(unix.EPERM)}
	killed  = synth.Verdict{Action: synth.KillProcess}
)

// rule parses "i386:openat" or "openat", and gives it a verdict and conditions.
func rule(t testing.TB, word string, v synth.Verdict, args ...synth.Cond) synth.Rule {
	t.Helper()
	arch := sysno.AMD64
	if prefix, name, ok := strings.Cut(word, ":"); ok {
		a, err := sysno.ParseArch(prefix)
		if err != nil {
			t.Fatal(err)
		}
		arch, word = a, name
	}
	id, ok := sysno.Lookup(arch, word)
	if !ok {
		t.Fatalf("no syscall %s of %s", word, arch)
	}
	return synth.Rule{ID: id, Verdict: v, Args: args, Tier: synth.Manual, Reason: "for the test"}
}

// policy has the rules, and one that allows execve.
func policy(t testing.TB, def synth.Verdict, archs []sysno.Arch, rules ...synth.Rule) *synth.Policy {
	t.Helper()
	for _, a := range archs {
		if def != allowed {
			rules = append(rules, rule(t, a.String()+":execve", allowed))
		}
	}
	slices.SortFunc(rules, func(a, b synth.Rule) int { return a.Compare(&b) })
	return &synth.Policy{Default: def, Archs: archs, Groups: []synth.Group{{Name: "@test", Rules: rules}}, Listener: "/run/test.sock"}
}

// compiled is the policy's filter, which Check has passed.
func compiled(t testing.TB, p *synth.Policy) Program {
	t.Helper()
	program, err := Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(program, p); err != nil {
		t.Fatalf("%v\n%v", err, program)
	}
	return program
}

const (
	x86_64  = unix.AUDIT_ARCH_X86_64
	i386    = unix.AUDIT_ARCH_I386
	aarch64 = unix.AUDIT_ARCH_AARCH64
	x32Bit  = 0x40000000
)

// call is a Data with its first arguments.
func call(arch, nr uint32, args ...uint64) Data {
	d := Data{NR: nr, Arch: arch}
	copy(d.Args[:], args)
	return d
}

// policies are what the tests compile, with some calls and what becomes of them,
// said without synth's help.
func policies(t testing.TB) []policyCase {
	native := []sysno.Arch{sysno.AMD64}
	enosys := synth.Verdict{Action: synth.Errno, Errno: uint16(unix.ENOSYS)}
	largest := synth.Verdict{Action: synth.Errno, Errno: 4094}
	foreign := (&synth.Policy{}).ForeignABI()
	with := func(v synth.Verdict, calls ...Data) []expectation {
		var e []expectation
		for _, d := range calls {
			e = append(e, expectation{d, v})
		}
		return e
	}

	var many []synth.Rule
	for _, id := range sysno.All(sysno.AMD64) {
		if id.NR%3 == 0 && id.NR != unix.SYS_EXECVE {
			many = append(many, synth.Rule{ID: id, Verdict: allowed, Tier: synth.Manual, Reason: "for the test"})
		}
	}
	const getpid, ioctl, read = unix.SYS_GETPID, unix.SYS_IOCTL, unix.SYS_READ
	return []policyCase{{
		name:   "allow list",
		policy: policy(t, eperm, native, rule(t, "getpid", allowed), rule(t, "read", allowed)),
		want: slices.Concat(
			with(allowed, call(x86_64, getpid), call(x86_64, read, 1, 2, 3)),
			with(eperm, call(x86_64, getppid), call(x86_64, 2000), call(x86_64, 0xffffffff)),
			with(foreign, call(i386, 20), call(i386, 3), call(aarch64, 172), call(0, getpid),
				call(x86_64, x32Bit|getpid), call(x86_64, x32Bit), call(x86_64, 0x80000000))),
	}, {
		name: "deny list, every verdict",
		policy: policy(t, allowed, native, rule(t, "getppid", eperm), rule(t, "getuid", enosys), rule(t, "geteuid", largest),
			rule(t, "getgid", killed), rule(t, "getegid", synth.Verdict{Action: synth.KillThread}),
			rule(t, "getpgrp", synth.Verdict{Action: synth.Trap}), rule(t, "gettid", synth.Verdict{Action: synth.Log}),
			rule(t, "getpgid", synth.Verdict{Action: synth.Trace, Errno: 0xfffe}), rule(t, "getsid", synth.Verdict{Action: synth.Notify})),
		want: slices.Concat(
			with(allowed, call(x86_64, getpid)),
			with(eperm, call(x86_64, getppid)),
			with(enosys, call(x86_64, unix.SYS_GETUID)),
			with(largest, call(x86_64, unix.SYS_GETEUID)),
			with(killed, call(x86_64, unix.SYS_GETGID)),
			with(synth.Verdict{Action: synth.KillThread}, call(x86_64, unix.SYS_GETEGID)),
			with(synth.Verdict{Action: synth.Trap}, call(x86_64, unix.SYS_GETPGRP)),
			with(synth.Verdict{Action: synth.Log}, call(x86_64, unix.SYS_GETTID)),
			with(synth.Verdict{Action: synth.Trace, Errno: 0xfffe}, call(x86_64, unix.SYS_GETPGID)),
			with(synth.Verdict{Action: synth.Notify}, call(x86_64, unix.SYS_GETSID)),
			with(foreign, call(i386, 64), call(x86_64, x32Bit|getpid))),
	}, {
		name:   "default that kills",
		policy: policy(t, killed, native, rule(t, "getpid", allowed), rule(t, "getppid", eperm)),
		want: slices.Concat(
			with(allowed, call(x86_64, getpid)), with(eperm, call(x86_64, getppid)),
			with(killed, call(x86_64, unix.SYS_GETUID)), with(foreign, call(i386, 20))),
	}, {
		name:   "names that libseccomp does not know",
		policy: policy(t, eperm, []sysno.Arch{sysno.AMD64, sysno.I386}, rule(t, "file_setattr", allowed), rule(t, "i386:mseal", allowed)),
		want: slices.Concat(
			with(allowed, call(x86_64, 469), call(i386, 462)),
			with(eperm, call(x86_64, 462), call(i386, 469))),
	}, {
		name:   "binary tree of many rules",
		policy: policy(t, eperm, native, many...),
		want: slices.Concat(
			with(allowed, call(x86_64, 0), call(x86_64, 39), call(x86_64, 300)),
			with(eperm, call(x86_64, 1), call(x86_64, 40), call(x86_64, 301))),
	}, {
		name: "every operator, over 32 and over 64 bits",
		policy: policy(t, eperm, native,
			rule(t, "getpid", allowed, synth.Cond{Index: 0, Op: synth.Equal, Value: 1<<32 + 5}),
			rule(t, "getppid", allowed, synth.Cond{Index: 1, Op: synth.NotEqual, Value: 5}),
			rule(t, "getuid", allowed, synth.Cond{Index: 2, Op: synth.Less, Value: 1<<32 + 5}),
			rule(t, "geteuid", allowed, synth.Cond{Index: 3, Op: synth.LessEqual, Value: 5}),
			rule(t, "getgid", allowed, synth.Cond{Index: 4, Op: synth.Greater, Value: 1<<32 + 5}),
			rule(t, "getegid", allowed, synth.Cond{Index: 0, Op: synth.GreaterEqual, Value: 5}),
			rule(t, "gettid", allowed, synth.Cond{Index: 0, Op: synth.MaskedEqual, Mask: 3 << 31, Value: 1 << 32})),
		want: slices.Concat(
			with(allowed, call(x86_64, getpid, 1<<32+5), call(x86_64, getppid, 5, 1<<32+5), call(x86_64, unix.SYS_GETUID, 9, 9, 1<<32+4),
				call(x86_64, unix.SYS_GETEUID, 9, 9, 9, 5), call(x86_64, unix.SYS_GETGID, 0, 0, 0, 0, 2<<32),
				call(x86_64, unix.SYS_GETEGID, 1<<63), call(x86_64, unix.SYS_GETTID, ^uint64(1<<31))),
			with(eperm, call(x86_64, getpid, 5), call(x86_64, getpid, 2<<32+5), call(x86_64, getppid, 0, 5), call(x86_64, unix.SYS_GETUID, 0, 0, 1<<32+5),
				call(x86_64, unix.SYS_GETEUID, 0, 0, 0, 1<<32), call(x86_64, unix.SYS_GETGID, 0, 0, 0, 0, 1<<32+5),
				call(x86_64, unix.SYS_GETEGID, 4), call(x86_64, unix.SYS_GETTID, 3<<31), call(x86_64, unix.SYS_GETTID, 0))),
	}, {
		name: "alternatives of values, with two verdicts",
		policy: policy(t, eperm, native,
			rule(t, "ioctl", allowed, synth.Cond{Index: 1, Op: synth.Equal, Value: unix.TCGETS}),
			rule(t, "ioctl", allowed, synth.Cond{Index: 1, Op: synth.Equal, Value: unix.TIOCGWINSZ}),
			rule(t, "ioctl", killed, synth.Cond{Index: 1, Op: synth.Equal, Value: unix.TIOCSTI})),
		want: slices.Concat(
			with(allowed, call(x86_64, ioctl, 0, unix.TCGETS), call(x86_64, ioctl, 0, unix.TIOCGWINSZ)),
			with(killed, call(x86_64, ioctl, 0, unix.TIOCSTI)),
			with(eperm, call(x86_64, ioctl, unix.TCGETS, 0), call(x86_64, ioctl, 0, 1<<32|unix.TCGETS))),
	}, {
		name: "alternatives that libseccomp 2.5.4 would merge into too much",
		policy: policy(t, eperm, native,
			rule(t, "getpid", allowed,
				synth.Cond{Index: 0, Op: synth.Greater, Value: 1 << 63}, synth.Cond{Index: 2, Op: synth.Greater, Value: 0xfffffffe}),
			rule(t, "getpid", allowed,
				synth.Cond{Index: 0, Op: synth.GreaterEqual, Value: 1 << 63}, synth.Cond{Index: 1, Op: synth.Greater, Value: 1 << 32})),
		want: slices.Concat(
			with(allowed, call(x86_64, getpid, 1<<63+1, 0, 0xffffffff), call(x86_64, getpid, 1<<63, 1<<33)),
			with(eperm, call(x86_64, getpid, 1<<63, 0, 0xffffffff))),
	}, {
		name: "alternatives that libseccomp 2.5.4 would merge into too little",
		policy: policy(t, eperm, native,
			rule(t, "getpid", allowed, synth.Cond{Index: 2, Op: synth.LessEqual, Value: 1 << 63}, synth.Cond{Index: 0, Op: synth.Equal}),
			rule(t, "getpid", allowed, synth.Cond{Index: 2, Op: synth.LessEqual, Value: 1<<32 + 5}, synth.Cond{Index: 1, Op: synth.Equal})),
		want: slices.Concat(
			with(allowed, call(x86_64, getpid, 0, 1, 1<<33-1), call(x86_64, getpid, 1, 0, 1<<32)),
			with(eperm, call(x86_64, getpid, 1, 0, 1<<33-1), call(x86_64, getpid, 0, 1, 1<<63+1))),
	}, {
		name: "alternatives from which libseccomp 2.5.4 would not return",
		policy: policy(t, eperm, native,
			rule(t, "getpid", allowed, synth.Cond{Index: 1, Op: synth.Less, Value: 5}),
			rule(t, "getpid", allowed,
				synth.Cond{Index: 0, Op: synth.LessEqual, Value: 0xffffffff}, synth.Cond{Index: 1, Op: synth.LessEqual, Value: 0xffffffff}),
			rule(t, "getpid", allowed,
				synth.Cond{Index: 1, Op: synth.Equal, Value: 0x40}, synth.Cond{Index: 0, Op: synth.LessEqual, Value: 0xffffffff}),
			rule(t, "getpid", allowed, synth.Cond{Index: 2, Op: synth.NotEqual, Value: 5})),
		want: slices.Concat(
			with(allowed, call(x86_64, getpid, 1<<32, 4, 5), call(x86_64, getpid, 9, 9, 5), call(x86_64, getpid, 1<<32, 9, 6)),
			with(eperm, call(x86_64, getpid, 1<<32, 9, 5), call(x86_64, getpid, 9, 1<<32, 5))),
	}, {
		name: "i386 has its own numbers, and no socketcall for a socket",
		policy: policy(t, eperm, []sysno.Arch{sysno.AMD64, sysno.I386},
			rule(t, "getpid", allowed), rule(t, "i386:socket", allowed), rule(t, "i386:getpid", killed)),
		want: slices.Concat(
			with(allowed, call(x86_64, getpid), call(i386, 359), call(i386, 11)),
			with(killed, call(i386, 20)),
			with(eperm, call(x86_64, 20), call(x86_64, 359), call(i386, getpid), call(i386, 102, 1), call(i386, x32Bit|20)),
			with(foreign, call(x86_64, x32Bit|getpid), call(aarch64, 172))),
	}, {
		name: "x32 has its own numbers",
		policy: policy(t, eperm, []sysno.Arch{sysno.AMD64, sysno.X32},
			rule(t, "rt_sigaction", allowed), rule(t, "x32:rt_sigaction", killed), rule(t, "x32:getpid", allowed)),
		want: slices.Concat(
			with(allowed, call(x86_64, unix.SYS_RT_SIGACTION), call(x86_64, x32Bit|getpid)),
			with(killed, call(x86_64, x32Bit|512)),
			with(eperm, call(x86_64, getpid), call(x86_64, x32Bit|unix.SYS_RT_SIGACTION), call(x86_64, 512), call(x86_64, 0xffffffff)),
			with(foreign, call(i386, 20))),
	}, {
		name: "all architectures",
		policy: policy(t, killed, sysno.Archs(), rule(t, "getpid", allowed), rule(t, "aarch64:getpid", allowed),
			rule(t, "i386:getpid", allowed, synth.Cond{Index: 3, Op: synth.Less, Value: 7}),
			rule(t, "i386:getpid", allowed, synth.Cond{Index: 4, Op: synth.Less, Value: 7})),
		want: slices.Concat(
			with(allowed, call(x86_64, getpid), call(aarch64, 172), call(i386, 20, 0, 0, 0, 6, 9), call(i386, 20, 0, 0, 0, 9, 6)),
			with(killed, call(x86_64, x32Bit|getpid), call(aarch64, getpid), call(i386, 20, 0, 0, 0, 7, 7)),
			with(foreign, call(0, getpid), call(unix.AUDIT_ARCH_ARM, 20))),
	}}
}

type policyCase struct {
	name   string
	policy *synth.Policy
	want   []expectation
}

type expectation struct {
	call Data
	want synth.Verdict
}

func TestFiltersDecideAsTheirPolicies(t *testing.T) {
	for _, c := range policies(t) {
		t.Run(c.name, func(t *testing.T) {
			program := compiled(t, c.policy)
			for _, e := range c.want {
				ret, _, err := program.Run(e.call)
				if got := ParseReturn(ret); err != nil || got != e.want {
					t.Errorf("%+v: got %s, %v, want %s", e.call, got, err, e.want)
				}
			}
			if t.Failed() {
				t.Logf("the filter is\n%v", program)
			}
		})
	}
}

func TestKernelDecidesAsTheInterpreter(t *testing.T) {
	pass := Program{allow}
	var cases []kernelCase // each call under its filter, then without one
	for _, c := range policies(t) {
		program := compiled(t, c.policy)
		for _, e := range c.want {
			// Only what has no effect is made: getpid and its like, which take no
			// arguments, and numbers without a call.
			id := sysno.FromRaw(e.call.Arch, e.call.NR)
			name, known := id.Name()
			if id.Arch == sysno.ARM64 || !id.Valid() || known && !strings.HasPrefix(name, "get") {
				continue
			}
			cases = append(cases, kernelCase{program: program, call: e.call}, kernelCase{program: pass, call: e.call})
		}
	}
	answers := askKernel(t, cases)
	seen := map[synth.Action]int{}
	for i := 0; i < len(cases); i += 2 {
		c, got, unfiltered := cases[i], answers[i], answers[i+1]
		if unfiltered == fmt.Sprintf("signal %d", unix.SIGSEGV) {
			t.Logf("this kernel has no int $0x80; not tried: %+v", c.call)
			continue
		}
		ret, _, err := c.program.Run(c.call)
		if err != nil {
			t.Fatal(err)
		}
		verdict := ParseReturn(ret)
		var want string
		switch verdict.Action {
		case synth.Allow, synth.Log:
			got, want = anyID(got), anyID(unfiltered)
		case synth.Errno:
			want = fmt.Sprintf("value %d", -int(verdict.Errno))
		case synth.Trace, synth.Notify: // nobody traces or listens: seccomp(2)
			want = fmt.Sprintf("value %d", -int(unix.ENOSYS))
		default:
			want = fmt.Sprintf("signal %d", unix.SIGSYS)
		}
		seen[verdict.Action]++
		if got != want {
			t.Errorf("%+v: the kernel says %q, the interpreter %s, which is %q\n%v", c.call, got, verdict, want, c.program)
		}
	}
	for a := synth.Allow; a <= synth.KillProcess; a++ {
		if seen[a] == 0 {
			t.Errorf("no call was decided with %s", a)
		}
	}
}

// anyID makes the process ids that two children get equal.
func anyID(answer string) string {
	var id int
	if n, err := fmt.Sscanf(answer, "value %d", &id); n == 1 && err == nil && id > 0 {
		return "value of an id"
	}
	return answer
}

func TestCompileRefusesWhatItWouldGetWrong(t *testing.T) {
	native := []sysno.Arch{sysno.AMD64}
	cond := func(index uint8, op synth.Op, value uint64) synth.Cond {
		return synth.Cond{Index: index, Op: op, Value: value}
	}
	unlisted := policy(t, eperm, native)
	unlisted.Groups[0].Rules = append(unlisted.Groups[0].Rules, rule(t, "i386:getpid", allowed))
	var long []synth.Rule
	for _, id := range sysno.All(sysno.AMD64)[60:] {
		for n := range uint64(4) {
			long = append(long, synth.Rule{ID: id, Verdict: killed, Tier: synth.Manual, Reason: "for the test", Args: []synth.Cond{
				cond(0, synth.Equal, uint64(id.NR)<<40+n), cond(1, synth.Equal, 1<<40+n)}})
		}
	}
	for _, c := range []struct {
		name   string
		policy *synth.Policy
		want   string
	}{
		{"invalid policy", &synth.Policy{}, "default action"},
		{"foreign machine", policy(t, eperm, []sysno.Arch{sysno.ARM64}), "x86_64"},
		{"architecture of a rule not listed", unlisted, "i386"},
		{"verdict that is the default", policy(t, eperm, native, rule(t, "getpid", eperm)), "default"},
		{"two conditions on one argument", policy(t, eperm, native,
			rule(t, "getpid", allowed, cond(1, synth.Greater, 3), cond(1, synth.Less, 9))), "argument 1"},
		{"argument 6", policy(t, eperm, native, rule(t, "getpid", allowed, cond(6, synth.Equal, 3))), "6"},
		{"errno that libseccomp cannot return", policy(t, eperm, native,
			rule(t, "getpid", synth.Verdict{Action: synth.Errno, Errno: 4095})), "libseccomp takes only those below"},
		{"too long", policy(t, eperm, native, long...), "the kernel takes at most 4096"},
	} {
		t.Run(c.name, func(t *testing.T) {
			program, err := Compile(c.policy)
			if err == nil || program != nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Compile() = %d instructions, %v; want an error with %q", len(program), err, c.want)
			}
		})
	}
}

func TestCompileIsDeterministic(t *testing.T) {
	for _, c := range policies(t) {
		first, err := Compile(c.policy)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			again, err := Compile(c.policy)
			if err != nil || !bytes.Equal(again.Bytes(), first.Bytes()) {
				t.Fatalf("%s: two filters of one policy, %v:\n%v\n%v", c.name, err, first, again)
			}
		}
	}
}

func TestManyRulesMakeATree(t *testing.T) {
	for _, c := range policies(t) {
		if c.name != "binary tree of many rules" {
			continue
		}
		program := compiled(t, c.policy)
		if _, steps, err := program.Run(call(x86_64, 468)); err != nil || steps > 20 {
			t.Errorf("%d steps, %v, in a filter of %d rules", steps, err, len(c.policy.Rules()))
		}
		return
	}
	t.Fatal("no such policy")
}

func TestRandomPoliciesCompileToWhatTheySay(t *testing.T) {
	valid := 0
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		b := make([]byte, random.IntN(200))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		p := policyFrom(b)
		if p.Validate() != nil {
			continue
		}
		valid++
		program, err := Compile(p)
		if err != nil {
			t.Fatalf("seed %d: %v\n%v", seed, err, p.Rules())
		}
		if err := Check(program, p); err != nil {
			t.Fatalf("seed %d: %v\n%v\n%v", seed, err, p.Rules(), program)
		}
	}
	if valid < 10 {
		t.Errorf("only %d policies were valid: the test shows little", valid)
	}
}

func TestCheckFindsEveryFault(t *testing.T) {
	const each, seed = 10, 1
	random := rand.New(rand.NewPCG(seed, 0))
	faults, tried := 0, 0
	for _, c := range policies(t) {
		program, err := Compile(c.policy)
		if err != nil {
			t.Fatal(err)
		}
		for range each {
			pc := random.IntN(len(program))
			all := mutants(program[pc])
			mutant := slices.Clone(program)
			mutant[pc] = all[random.IntN(len(all))]
			if mutant.Validate() != nil {
				continue
			}
			tried++
			var mismatch *Mismatch
			if err := Check(mutant, c.policy); err == nil {
				if w, differs := difference(random, program, mutant); differs {
					t.Errorf("%s: Check misses that instruction %d, %s, became %s, which decides %#x otherwise",
						c.name, pc, listing(pc, program[pc]), listing(pc, mutant[pc]), w)
				}
			} else if !errors.As(err, &mismatch) || mismatch.Want == mismatch.Got {
				t.Errorf("%s: Check() = %v", c.name, err)
			} else {
				faults++
			}
		}
	}
	if faults < tried/2 {
		t.Errorf("only %d of %d changes were faults: the test shows little", faults, tried)
	}
}

// mutants are the instruction with one fault each.
func mutants(in unix.SockFilter) []unix.SockFilter {
	var out []unix.SockFilter
	with := func(change func(*unix.SockFilter)) {
		m := in
		if change(&m); m != in {
			out = append(out, m)
		}
	}
	for _, bit := range []int{0, 1, 2, 5, 16, 30, 31} {
		with(func(m *unix.SockFilter) { m.K ^= 1 << bit })
	}
	with(func(m *unix.SockFilter) { m.Jt, m.Jf = m.Jf, m.Jt })
	with(func(m *unix.SockFilter) { m.Jt++ })
	with(func(m *unix.SockFilter) { m.Jf++ })
	if in.Code&7 == unix.BPF_JMP && in.Code != ja {
		for _, code := range []uint16{jeq, jgt, jge, jset} {
			with(func(m *unix.SockFilter) { m.Code = code })
		}
	}
	if in.Code == retK {
		with(func(m *unix.SockFilter) { m.K = unix.SECCOMP_RET_ALLOW })
		with(func(m *unix.SockFilter) { m.K = unix.SECCOMP_RET_KILL_PROCESS })
	}
	return out
}

// difference looks at random for data that two programs decide otherwise, made of
// what they compare with.
func difference(random *rand.Rand, a, b Program) (words, bool) {
	inA, inB := a.constants(), b.constants()
	for range 2000 {
		var w words
		for i := range w {
			w[i] = random.Uint32() >> random.IntN(32)
			if known := slices.Concat(inA[i], inB[i]); len(known) > 0 && random.IntN(8) > 0 {
				w[i] = known[random.IntN(len(known))] + random.Uint32N(3) - 1
			}
		}
		retA, _ := a.run(&w)
		retB, _ := b.run(&w)
		if ParseReturn(retA) != ParseReturn(retB) {
			return w, true
		}
	}
	return words{}, false
}

func BenchmarkCheck60Rules(b *testing.B) {
	var rules []synth.Rule
	for i, id := range sysno.All(sysno.AMD64)[60:119] {
		r := synth.Rule{ID: id, Verdict: allowed, Tier: synth.Manual, Reason: "for the test"}
		if i%5 == 0 {
			r.Args = []synth.Cond{
				{Index: 1, Op: synth.Op(i/5%7 + 1), Value: uint64(i), Mask: uint64(i)},
				{Index: 2, Op: synth.Equal, Value: uint64(i)},
			}
		}
		rules = append(rules, r)
	}
	for i := range rules {
		for j := range rules[i].Args {
			if c := &rules[i].Args[j]; c.Op != synth.MaskedEqual {
				c.Mask = 0
			}
		}
	}
	p := policy(b, eperm, []sysno.Arch{sysno.AMD64}, rules...)
	program := compiled(b, p)
	b.ReportMetric(float64(len(program)), "instructions")
	for b.Loop() {
		if err := Check(program, p); err != nil {
			b.Fatal(err)
		}
	}
}
