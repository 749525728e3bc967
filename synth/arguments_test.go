package synth

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

func TestTraitsAreOfTheTables(t *testing.T) {
	twice := map[string]bool{}
	for _, tr := range traits() {
		if tr.danger != "" && tr.why == "" {
			t.Errorf("%s: nobody says why %s is dangerous", tr.calls, tr.danger)
		}
		found := map[string]bool{} // words that some ABI has
		for _, call := range words(tr.calls) {
			if key := call + " " + tr.arg; twice[key] {
				t.Errorf("%s twice", key)
			} else {
				twice[key] = true
			}
			some := false
			for _, arch := range sysno.Archs() {
				id, ok := sysno.Lookup(arch, call)
				if !ok {
					continue
				}
				some = true
				index, arg, err := argument(id, tr.arg)
				if err != nil && arch == sysno.I386 {
					continue // its mmap takes the address of all arguments
				}
				if err != nil || arg.Set == nil || !slices.Contains(id.Choices(), int(index)) {
					t.Errorf("%v: %s is no choice: %v", id, tr.arg, err)
					continue
				}
				for _, list := range append([]string{tr.danger, tr.harmless}, append(tr.together, tr.apart...)...) {
					for _, word := range words(list) {
						if _, err := valueOf(arg, word); err == nil {
							found[word] = true
						}
					}
				}
				dangerous, _ := tr.dangers(arg)
				for _, v := range tr.values(arg, tr.harmless) {
					if slices.Contains(dangerous, v) {
						t.Errorf("%v: %#x is dangerous and harmless", id, v)
					}
				}
			}
			if !some {
				t.Errorf("no ABI has %s", call)
			}
		}
		for _, list := range append([]string{tr.danger, tr.harmless}, append(tr.together, tr.apart...)...) {
			for _, word := range words(list) {
				if word != "*" && !found[word] {
					t.Errorf("%s: no value %s", tr.calls, word)
				}
			}
		}
	}
}

// withArgs is the sample with a call of which values were seen.
func withArgs(t testing.TB, call string, args ...trace.Arg) *trace.Trace {
	tr := sample(t)
	id := lookup(t, sysno.AMD64, call)
	tr.Observations = slices.DeleteFunc(tr.Observations, func(o trace.Observation) bool { return o.ID == id })
	tr.Observations = append(tr.Observations, trace.Observation{ID: id, Runs: 10, CleanRuns: 9, Args: args})
	return tr
}

func valuesOf(index int, values ...uint64) trace.Arg {
	slices.Sort(values)
	return trace.Arg{Index: index, Values: values}
}

func clausesOf(p *Policy, id sysno.ID) []string {
	var lines []string
	for _, c := range Clauses(p.Rules()) {
		if c.ID == id {
			lines = append(lines, strings.TrimPrefix(c.String(), id.String()+": allow"))
		}
	}
	return lines
}

func TestArgumentsAreGeneralized(t *testing.T) {
	const exec, write = 4, 2
	for _, c := range []struct {
		call         string
		args         []trace.Arg
		safe, strict string
	}{
		{"mprotect", []trace.Arg{valuesOf(2, 0, 1, 3)}, " if prot without PROT_EXEC", " if prot with no flag but PROT_READ, PROT_WRITE"},
		{"mmap", []trace.Arg{valuesOf(2, 1, 1|exec, 1|write), valuesOf(3, 2, 0x22)},
			" if prot without PROT_WRITE or prot without PROT_EXEC",
			" if prot with no flag but PROT_READ, PROT_EXEC or prot with no flag but PROT_READ, PROT_WRITE and flags is MAP_PRIVATE with no flag but MAP_ANONYMOUS"},
		{"mmap", []trace.Arg{valuesOf(2, 1|exec|write)}, "", " if prot with no flag but PROT_READ, PROT_WRITE, PROT_EXEC"},
		{"socket", []trace.Arg{valuesOf(0, 2), valuesOf(1, 1, 0x80002)},
			" if domain is AF_UNIX or AF_INET or AF_INET6 and type is SOCK_STREAM with no flag but SOCK_CLOEXEC, SOCK_NONBLOCK or type is SOCK_DGRAM with no flag but SOCK_CLOEXEC, SOCK_NONBLOCK or type is SOCK_SEQPACKET with no flag but SOCK_CLOEXEC, SOCK_NONBLOCK",
			" if domain is AF_INET and type is SOCK_STREAM with no flag but SOCK_CLOEXEC or type is SOCK_DGRAM with no flag but SOCK_CLOEXEC"},
		{"openat", []trace.Arg{valuesOf(2, 0, 0x80000)},
			" if flags is O_RDONLY without O_CREAT, O_TRUNC, 0x400000", " if flags is O_RDONLY with no flag but O_CLOEXEC"},
		{"openat", []trace.Arg{valuesOf(2, 0x241)},
			" if flags is O_RDONLY without 0x400000 or flags is O_WRONLY without 0x400000 or flags is O_RDWR without 0x400000",
			" if flags is O_WRONLY with no flag but O_CREAT, O_TRUNC"},
		{"open", []trace.Arg{valuesOf(1, 0x42)}, // O_RDWR|O_CREAT
			" if flags is O_RDONLY without 0x400000 or flags is O_WRONLY without 0x400000 or flags is O_RDWR without 0x400000",
			" if flags is O_RDWR with no flag but O_CREAT"},
		{"clone", []trace.Arg{valuesOf(0, 0x1200011)},
			" if flags without CLONE_PTRACE, CLONE_UNTRACED, CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET",
			" if flags is SIGCHLD with no flag but CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID"},
		{"personality", []trace.Arg{valuesOf(0, 0xffffffff)},
			" if personality is 0xffffffff or personality with no flag but UNAME26, FDPIC_FUNCPTRS, ADDR_LIMIT_32BIT, SHORT_INODE, WHOLE_SECONDS, STICKY_TIMEOUTS, ADDR_LIMIT_3GB",
			" if personality is 0xffffffff"},
		{"kill", []trace.Arg{valuesOf(1, 0, 15)}, "", " if sig is 0 or SIGTERM"},
		{"ioctl", []trace.Arg{{Index: 1, Any: true}}, "", ""},
		{"ioctl", nil, "", ""},
		{"futex", []trace.Arg{valuesOf(1, 0x81)},
			" if op is FUTEX_WAIT or FUTEX_WAKE or FUTEX_REQUEUE…", " if op is FUTEX_WAIT or FUTEX_WAKE or FUTEX_REQUEUE…"},
		{"prctl", []trace.Arg{valuesOf(0, 22)}, " if option is PR_GET_PDEATHSIG or PR_GET_DUMPABLE…", " if option is PR_SET_SECCOMP"},
	} {
		for mode, want := range map[ArgMode]string{ArgsOff: "", ArgsSafe: c.safe, ArgsStrict: c.strict} {
			id := lookup(t, sysno.AMD64, c.call)
			p := generate(t, withArgs(t, c.call, c.args...), Options{Args: mode})
			got := strings.Join(clausesOf(p, id), "; ")
			if begin, ok := strings.CutSuffix(want, "…"); ok && strings.HasPrefix(got, begin) {
				continue
			}
			if got != want {
				t.Errorf("%s %v %v:\n got %q\nwant %q", c.call, mode, c.args, got, want)
			}
		}
	}
}

func conditionsOn(p *Policy, id sysno.ID, index uint8) []Cond {
	var conds []Cond
	for _, r := range p.Rules() {
		for _, c := range r.Args {
			if r.ID == id && c.Index == index {
				conds = append(conds, c)
			}
		}
	}
	return conds
}

// randomArgs is evidence with values of the arguments of many calls.
func randomArgs(t testing.TB, r *rand.Rand) *trace.Trace {
	tr := sample(t)
	tr.Observations = nil
	for _, id := range sysno.All(sysno.AMD64) {
		name, _ := id.Name()
		if name != "execve" && r.IntN(4) == 0 || name == "clone3" {
			continue
		}
		obs := trace.Observation{ID: id, Runs: 10, CleanRuns: 9}
		for _, index := range id.Choices() {
			arg := argumentAt(id, uint8(index))
			seen := trace.Arg{Index: index}
			for range 1 + r.IntN(4) {
				v := r.Uint64N(64)
				if arg.Set != nil {
					if n := len(arg.Set.Enum); n > 0 {
						v = arg.Set.Enum[r.IntN(n)].Value
					}
					for _, f := range arg.Set.Flags {
						if r.IntN(4) == 0 {
							v |= f.Value
						}
					}
				}
				seen.Values = append(seen.Values, v&arg.Mask())
			}
			slices.Sort(seen.Values)
			seen.Values = slices.Compact(seen.Values)
			if r.IntN(8) == 0 {
				seen = trace.Arg{Index: index, Any: true}
			}
			if r.IntN(8) > 0 {
				obs.Args = append(obs.Args, seen)
			}
		}
		tr.Observations = append(tr.Observations, obs)
	}
	return tr
}

// Whatever was seen is allowed, alone and in every combination, whatever stands in
// the bits that the kernel does not read; and a stricter mode allows no more.
func TestWhatWasSeenIsAllowedInEveryMode(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for round := range 10 {
		tr := randomArgs(t, r)
		policies := map[ArgMode]*Policy{}
		for mode := ArgsOff; mode <= ArgsStrict; mode++ {
			policies[mode] = generate(t, tr, Options{Args: mode, Default: Verdict{Action: KillProcess}})
		}
		for _, obs := range tr.Observations {
			for range 8 {
				var args, wild [6]uint64
				for i := range args {
					args[i], wild[i] = r.Uint64(), r.Uint64N(1<<r.IntN(64))
				}
				for _, a := range obs.Args {
					if !a.Any {
						mask := argumentAt(obs.ID, uint8(a.Index)).Mask()
						args[a.Index] = a.Values[r.IntN(len(a.Values))]&mask | args[a.Index]&^mask
					}
				}
				for mode, p := range policies {
					if v := p.Decide(obs.ID, args); v.Action != Allow {
						t.Fatalf("round %d, %v: %s was seen (%+v), and gets %v", round, mode, sysno.FormatCall(obs.ID, args), obs.Args, v)
					}
				}
				if policies[ArgsStrict].Decide(obs.ID, wild).Action == Allow && policies[ArgsSafe].Decide(obs.ID, wild).Action != Allow {
					t.Fatalf("round %d: strict allows %s, and safe does not", round, sysno.FormatCall(obs.ID, wild))
				}
			}
		}
	}
}

func TestDangerousValuesThatWereNotSeenAreRefused(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 10 {
		tr := randomArgs(t, r)
		p := generate(t, tr, Options{Args: ArgsSafe})
		for _, obs := range tr.Observations {
			name, _ := obs.ID.Name()
			for _, known := range traitsByCall()[name] {
				index, arg, _ := argument(obs.ID, known.arg)
				i := slices.IndexFunc(obs.Args, func(a trace.Arg) bool { return a.Index == int(index) })
				conds := conditionsOn(p, obs.ID, index)
				if i < 0 || obs.Args[i].Any || len(conds) == 0 {
					continue
				}
				let, _ := Dangers(obs.ID, index, conds)
				var values []uint64
				for _, v := range obs.Args[i].Values {
					values = append(values, v&arg.Set.Mask, v)
				}
				allowed := known.companions(arg, values)
				for _, word := range let {
					v, _ := valueOf(arg, word)
					seen := slices.Contains(allowed, v) || known.harmless == "" && v&^arg.Set.Mask == 0
					for _, s := range obs.Args[i].Values {
						seen = seen || known.companionBits(arg, s)&v == v
					}
					if !seen {
						t.Fatalf("%v: %s is let through; seen were %#x", obs.ID, word, obs.Args[i].Values)
					}
				}
			}
		}
	}
}

func TestNoConditionsWhereTwoABIsOrTheRuntimeMakeTheCall(t *testing.T) {
	tr := withArgs(t, "openat", valuesOf(2, 0))
	openat := lookup(t, sysno.AMD64, "openat")
	if r, _ := ruleOf(generate(t, tr, Options{Args: ArgsStrict}), openat); len(r.Args) == 0 {
		t.Errorf("one ABI: got %v", r.String())
	}
	if r, _ := ruleOf(generate(t, tr, Options{Args: ArgsStrict, Runtime: "runc"}), openat); len(r.Args) > 0 {
		t.Errorf("runc opens files: got %v", r.String())
	}
	tr.Observations = append(tr.Observations, trace.Observation{ID: lookup(t, sysno.I386, "read"), Runs: 1})
	if r, _ := ruleOf(generate(t, tr, Options{Args: ArgsStrict}), openat); len(r.Args) > 0 {
		t.Errorf("two ABIs: got %v", r.String())
	}
}

func TestTheOrderOfEvidenceWithArgumentsHasNoEffect(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	tr := randomArgs(t, r)
	for mode := ArgsOff; mode <= ArgsStrict; mode++ {
		want := generate(t, tr, Options{Args: mode})
		for range 5 {
			r.Shuffle(len(tr.Observations), reflect.Swapper(tr.Observations))
			if diff := cmp.Diff(want, generate(t, tr, Options{Args: mode})); diff != "" {
				t.Fatalf("%v (-want +got)\n%s", mode, diff)
			}
		}
	}
}

func TestConditionedCountsCalls(t *testing.T) {
	p := generate(t, withArgs(t, "socket", valuesOf(0, 2), valuesOf(1, 1)), Options{Args: ArgsSafe})
	c, n := p.Conditioned() // of socket, mmap, openat, futex, tgkill and two that read clocks
	if got, want := fmt.Sprint(c, n), "2 7"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A program that makes its threads with clone3 makes them with clone where arguments
// matter, for nobody sees the flags of clone3.
func TestClone3FallsBackWhereArgumentsMatter(t *testing.T) {
	clone, clone3 := lookup(t, sysno.AMD64, "clone"), lookup(t, sysno.AMD64, "clone3")
	for _, mode := range []ArgMode{ArgsSafe, ArgsStrict} {
		p := generate(t, withArgs(t, "clone3"), Options{Args: mode})
		if got := p.Decide(clone3, [6]uint64{}); got != (Verdict{Action: Errno, Errno: 38}) {
			t.Errorf("%v: clone3 gets %v", mode, got)
		}
		const thread, newUser = 0x3d0f00, 0x10000000
		if got := p.Decide(clone, [6]uint64{thread}); got.Action != Allow {
			t.Errorf("%v: a thread gets %v", mode, got)
		}
		if got := p.Decide(clone, [6]uint64{newUser}); got.Action == Allow {
			t.Errorf("%v: a user namespace gets %v", mode, got)
		}
		for _, f := range Lint(p) {
			if f.Severity == Fault {
				t.Errorf("%v: %+v", mode, f)
			}
		}
	}
	p := generate(t, withArgs(t, "clone3"), Options{})
	if got := p.Decide(clone3, [6]uint64{}); got.Action != Allow {
		t.Errorf("off: clone3 gets %v", got)
	}
	p = generate(t, withArgs(t, "clone3"), Options{Args: ArgsSafe, Default: Verdict{Action: Errno, Errno: 38}})
	if got := p.Decide(clone3, [6]uint64{}); got.Action != Errno {
		t.Errorf("where all is answered ENOSYS: clone3 gets %v", got)
	}
	p = generate(t, withArgs(t, "clone3"), Options{Args: ArgsSafe, Default: Verdict{Action: Log}})
	if got := p.Decide(clone3, [6]uint64{}); got.Action != Allow {
		t.Errorf("where all is logged: clone3 gets %v", got)
	}
}
