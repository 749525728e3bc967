package synth

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// The width of the comparison is that of the kernel: what stands in the upper half
// of a register means nothing to it, and an attacker may put anything there.
func TestPatternsCompareTheBitsThatTheKernelReads(t *testing.T) {
	const low, all = 1<<32 - 1, 1<<64 - 1
	for _, c := range []struct {
		call    string
		pattern Pattern
		want    Cond
		words   string
	}{
		{"socket", Pattern{Arg: "domain", Is: "AF_INET"}, Cond{Index: 0, Op: MaskedEqual, Mask: low, Value: 2}, "domain is AF_INET"},
		{"socket", Pattern{Arg: "type", Is: "SOCK_DGRAM"}, Cond{Index: 1, Op: MaskedEqual, Mask: 0xf, Value: 2}, "type is SOCK_DGRAM"},
		{"socket", Pattern{Arg: "protocol", Is: "6"}, Cond{Index: 2, Op: MaskedEqual, Mask: low, Value: 6}, "protocol is 6"},
		{"mmap", Pattern{Arg: "prot", Forbid: []string{"PROT_EXEC"}}, Cond{Index: 2, Op: MaskedEqual, Mask: 4}, "prot without PROT_EXEC"},
		{"mmap", Pattern{Arg: "len", Is: "4096"}, Cond{Index: 1, Op: Equal, Value: 4096}, "len is 0x1000"},
		{"mmap", Pattern{Arg: "prot", Only: []string{}}, Cond{Index: 2, Op: Equal}, "prot without any flag"},
		{"openat", Pattern{Arg: "flags", Is: "O_RDONLY", Forbid: []string{"O_CREAT", "O_TRUNC"}}, Cond{Index: 2, Op: MaskedEqual, Mask: 0x243}, "flags is O_RDONLY without O_CREAT, O_TRUNC"},
		{"openat", Pattern{Arg: "flags", Is: "O_WRONLY", Require: []string{"O_EXCL"}, Only: []string{"O_CREAT"}},
			Cond{Index: 2, Op: MaskedEqual, Mask: low &^ 0x40, Value: 0x81}, "flags is O_WRONLY with O_EXCL with no flag but O_CREAT"},
		{"openat", Pattern{Arg: "dirfd", Is: "-100"}, Cond{Index: 0, Op: MaskedEqual, Mask: low, Value: 0xffffff9c}, "dirfd is 0xffffff9c"},
		{"chmod", Pattern{Arg: "mode", Is: "0600"}, Cond{Index: 1, Op: MaskedEqual, Mask: 0xffff, Value: 0o600}, "mode is 0x180"},
		{"read", Pattern{Arg: "count", Op: "<=", Value: 5}, Cond{Index: 2, Op: LessEqual, Value: 5}, "count <= 0x5"},
		{"socket", Pattern{Arg: "domain", Op: "&", Mask: all, Value: 1}, Cond{Index: 0, Op: MaskedEqual, Mask: all, Value: 1}, "domain & 0xffffffffffffffff == 0x1"},
	} {
		id := lookup(t, sysno.AMD64, c.call)
		got, err := c.pattern.Cond(id)
		if err != nil {
			t.Errorf("%s %v: %v", c.call, c.pattern, err)
			continue
		}
		if got != c.want {
			t.Errorf("%s %v: got %+v, want %+v", c.call, c.pattern, got, c.want)
		}
		if words := PatternOf(id, c.want).String(); words != c.words {
			t.Errorf("%s %+v: got %q, want %q", c.call, c.want, words, c.words)
		}
	}
}

func TestPatternsThatSayNothingOrTheImpossibleAreRefused(t *testing.T) {
	for _, c := range []struct {
		call    string
		pattern Pattern
		want    string
	}{
		{"socket", Pattern{Arg: "family", Is: "AF_INET"}, `no argument "family"; it has domain, type, protocol`},
		{"socket", Pattern{Arg: "arg6", Is: "1"}, "no argument"},
		{"socket", Pattern{Arg: "domain", Is: "AF_INTE"}, `unknown value "AF_INTE"; known are AF_UNSPEC AF_UNIX`},
		{"socket", Pattern{Arg: "domain", Is: "0x100000000"}, "more than the 32 bits"},
		{"socket", Pattern{Arg: "protocol", Is: "tcp"}, `"tcp" is not a number`},
		{"socket", Pattern{Arg: "domain"}, "says nothing"},
		{"socket", Pattern{Arg: "domain", Op: "~", Value: 1}, `unknown operator "~"`},
		{"socket", Pattern{Arg: "domain", Op: "==", Value: 1, Mask: 1}, "takes no mask"},
		{"socket", Pattern{Arg: "domain", Op: "==", Value: 1, Is: "AF_UNIX"}, "stands alone"},
		{"mmap", Pattern{Arg: "prot", Forbid: []string{"PROT_NONE"}}, "PROT_NONE is no bit"},
		{"mmap", Pattern{Arg: "prot", Require: []string{"PROT_EXEC"}, Forbid: []string{"PROT_EXEC"}}, "PROT_EXEC must be both set and clear"},
		{"openat", Pattern{Arg: "flags", Forbid: []string{"O_RDWR"}}, `write "is: O_RDWR"`},
	} {
		_, err := c.pattern.Cond(lookup(t, sysno.AMD64, c.call))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %+v: got %v, want %q", c.call, c.pattern, err, c.want)
		}
	}
}

func TestEveryConditionHasWordsThatMeanIt(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	values := []uint64{0, 1, 2, 4, 0x40, 0x243, 0xff, 1<<32 - 1, 1 << 32, 1<<64 - 1, 0x5401}
	for _, arch := range sysno.Archs() {
		for _, id := range sysno.All(arch) {
			for range 20 {
				c := Cond{Index: uint8(r.IntN(6)), Op: Op(1 + r.IntN(7)), Value: values[r.IntN(len(values))]}
				if c.Op == MaskedEqual {
					c.Mask = values[r.IntN(len(values))]
					c.Value &= c.Mask
				}
				got, err := PatternOf(id, c).Cond(id)
				if err != nil || got != c {
					t.Fatalf("%v: %+v in words is %+v, and that %+v, %v", id, c, PatternOf(id, c), got, err)
				}
			}
		}
	}
}

func TestArgumentsOfACallHaveDifferentNames(t *testing.T) {
	for _, arch := range sysno.Archs() {
		for _, id := range sysno.All(arch) {
			names := map[string]bool{}
			for i := range uint8(6) {
				name := argumentAt(id, i).Name
				if names[name] {
					t.Errorf("%v of %v has two arguments %q", id, arch, name)
				}
				names[name] = true
			}
		}
	}
}

func TestClausesAreTheRulesThatWereGiven(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	socket := lookup(t, sysno.AMD64, "socket")
	for range 500 {
		var rules []Rule
		for range 1 + r.IntN(8) {
			rule := Rule{ID: socket, Verdict: Verdict{Action: Allow}, Tier: Observed, Reason: "seen"}
			for i := range uint8(3) {
				if r.IntN(4) > 0 {
					rule.Args = append(rule.Args, Cond{Index: i, Op: MaskedEqual, Mask: 1<<32 - 1, Value: uint64(r.IntN(3))})
				}
			}
			rules = append(rules, rule)
		}
		var back []Rule
		for _, c := range Clauses(rules) {
			more, err := c.Rules()
			if err != nil {
				t.Fatal(err)
			}
			back = append(back, more...)
		}
		if want, got := Arrange(rules), Arrange(back); !reflect.DeepEqual(got, want) {
			t.Fatalf("(-want +got)\n%s", cmp.Diff(want, got))
		}
	}
}

func TestAProductIsOneClause(t *testing.T) {
	socket := lookup(t, sysno.AMD64, "socket")
	is := func(index uint8, mask uint64, values ...uint64) Choice {
		c := Choice{Index: index}
		for _, v := range values {
			c.OneOf = append(c.OneOf, Cond{Index: index, Op: MaskedEqual, Mask: mask, Value: v})
		}
		return c
	}
	want := Clause{ID: socket, Verdict: Verdict{Action: Allow}, Tier: Observed, Reason: "seen",
		Args: []Choice{is(0, 1<<32-1, 1, 2, 10), is(1, 15, 1, 2)}}
	rules, err := want.Rules()
	if err != nil || len(rules) != 6 {
		t.Fatalf("got %v, %v", rules, err)
	}
	got := Clauses(rules)
	if diff := cmp.Diff([]Clause{want}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	const words = ": allow if domain is AF_UNIX or AF_INET or AF_INET6 and type is SOCK_STREAM or SOCK_DGRAM"
	if s := got[0].String(); !strings.HasSuffix(s, "socket"+words) {
		t.Errorf("got %q", s)
	}
}

func TestTooManyCombinationsAreRefused(t *testing.T) {
	c := Clause{ID: lookup(t, sysno.AMD64, "socket"), Verdict: Verdict{Action: Allow}, Tier: Manual}
	for i := range uint8(3) {
		choice := Choice{Index: i}
		for v := range uint64(6) {
			choice.OneOf = append(choice.OneOf, Cond{Index: i, Op: Equal, Value: v})
		}
		c.Args = append(c.Args, choice)
	}
	if _, err := c.Rules(); err == nil || !strings.Contains(err.Error(), "216 combinations") {
		t.Errorf("got %v", err)
	}
	c.Args = []Choice{{Index: 0}}
	if _, err := c.Rules(); err == nil || !strings.Contains(err.Error(), "nothing at all") {
		t.Errorf("got %v", err)
	}
}
