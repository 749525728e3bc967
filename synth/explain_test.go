package synth

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

func TestExplainSaysWhatWhyAndHowToSeeIt(t *testing.T) {
	if sysno.Native() != sysno.AMD64 {
		t.Skip("the texts name syscalls as they are called on x86_64")
	}
	tr := sample(t)
	p := generate(t, tr, Options{})
	conditional := policyOf(t, Rule{
		ID: lookup(t, sysno.AMD64, "socket"), Verdict: Verdict{Action: Allow},
		Args: []Cond{{Op: Equal, Value: 1}}, Tier: Manual, Reason: "local only",
	})
	detailed := sample(t)
	for i := range detailed.Observations {
		if o := &detailed.Observations[i]; o.ID == lookup(t, sysno.AMD64, "openat") {
			o.Args = []trace.Arg{{Index: 2, Values: []uint64{0, 0x80000}}}
			o.Sites = []trace.Site{{Module: "/usr/lib/libc.so.6", Offset: 0xf8011, Symbol: "open+0x51"}}
		}
	}
	cases := []struct {
		name string
		got  Explanation
		want string
	}{
		{"allowed", Explain(p, tr, lookup(t, sysno.AMD64, "openat")), `openat: allow
  tier:    observed
  reason:  seen in 10 of 10 runs
  group:   @file-open (open or create files by name)
  seen:    in 10 of 10 runs, 9 of them ended normally
  witness: prog openat`},
		{"denied", Explain(p, tr, lookup(t, sysno.AMD64, "ptrace")), `ptrace: errno EPERM, the default action, because no rule names it
  group:   @process-inspect (trace, read, write and compare other processes)
  seen:    in none of 10 runs`},
		{"denied, and a like call seen", Explain(p, tr, lookup(t, sysno.AMD64, "openat2")), `openat2: errno EPERM, the default action, because no rule names it
  group:   @file-open (open or create files by name)
  seen:    in none of 10 runs
  near:    openat does the same and was seen in 10`},
		{"denied, and one of its group seen", Explain(p, tr, lookup(t, sysno.AMD64, "mremap")), `mremap: errno EPERM, the default action, because no rule names it
  group:   @memory (map, unmap and resize memory)
  seen:    in none of 10 runs
  near:    mmap is in the same group and was seen in 10
  near:    munmap is in the same group and was seen in 10
  near:    brk is in the same group and was seen in 10`},
		{"with details", Explain(p, detailed, lookup(t, sysno.AMD64, "openat")), `openat: allow
  tier:    observed
  reason:  seen in 10 of 10 runs
  group:   @file-open (open or create files by name)
  seen:    in 10 of 10 runs, 9 of them ended normally
  values:  flags: O_RDONLY, O_RDONLY|O_CLOEXEC
  from:    open+0x51 (/usr/lib/libc.so.6)
  witness: prog openat`},
		{"without evidence", Explain(p, nil, lookup(t, sysno.AMD64, "exit")), `exit: allow
  tier:    always
  reason:  ends the program
  group:   @process-exit (end the thread or the process)
  seen:    no evidence at hand`},
		{"conditional", Explain(conditional, nil, lookup(t, sysno.AMD64, "socket")), `socket: allow if domain == 0x1
  tier:    manual
  reason:  local only
socket: otherwise errno EPERM, the default action
  group:   @socket-create (create sockets of any family)
  seen:    no evidence at hand`},
		{"another ABI", Explain(p, tr, lookup(t, sysno.I386, "ptrace")), `i386:ptrace: kill thread, because the policy does not list i386
  group:   @process-inspect (trace, read, write and compare other processes)
  seen:    in none of 10 runs`},
		{"no name", Explain(p, tr, sysno.ID{Arch: sysno.AMD64, NR: 9999}), `syscall_9999: errno EPERM, the default action, because no rule names it
  seen:    in none of 10 runs`},
	}
	for _, c := range cases {
		if diff := cmp.Diff(c.want, c.got.String()); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.name, diff)
		}
	}
}

func TestSizesCountWhatIsAllowedOfWhatThereIs(t *testing.T) {
	p := generate(t, sample(t), Options{})
	sizes := map[string]GroupSize{}
	total, allowed := 0, 0
	for _, s := range p.Sizes() {
		sizes[s.Name] = s
		total += s.Total
		allowed += s.Allowed
	}
	if want := len(sysno.All(sysno.AMD64)); total != want {
		t.Errorf("the groups have %d syscalls, the table %d", total, want)
	}
	if want := len(p.Rules()) - 1; allowed != want { // clone3 has a rule, but is not allowed
		t.Errorf("the groups allow %d syscalls, the rules %d", allowed, want)
	}
	if got, want := sizes["@process-exit"], (GroupSize{"@process-exit", "end the thread or the process", 2, 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := sizes["@process-create"]; got.Allowed != 0 || got.Total != 4 {
		t.Errorf("got %+v, want none of 4 allowed", got)
	}
}
