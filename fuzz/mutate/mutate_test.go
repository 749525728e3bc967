package mutate

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func TestBytesStayBelowTheCapAndLeaveTheirInputsAlone(t *testing.T) {
	data, other := bytes.Repeat([]byte("12 abc "), 40), bytes.Repeat([]byte{7}, 500)
	dict := Dictionary{[]byte("token"), bytes.Repeat([]byte{9}, 128)}
	wantData, wantOther := bytes.Clone(data), bytes.Clone(other)
	for _, limit := range []int{1, 2, 3, 64, 280, 300} {
		r := newRand(1)
		for range 3000 {
			if got := Bytes(r, data, ByteOptions{Dictionary: dict, Other: other, Max: limit}); len(got) > limit {
				t.Fatalf("%d bytes, cap %d", len(got), limit)
			}
		}
	}
	r := newRand(2)
	for range 3000 {
		Bytes(r, nil, ByteOptions{})
	}
	if !bytes.Equal(data, wantData) || !bytes.Equal(other, wantOther) {
		t.Error("the input or the splice partner was written to")
	}
}

func TestTheSameStreamGivesTheSameMutants(t *testing.T) {
	table := Table{Options: []Option{{Name: "-x", Arity: NeedsValue, Values: []string{"1", "2"}}}, Commands: []string{"run"}}
	all := func() (out []string) {
		r := newRand(7)
		for range 200 {
			out = append(out, string(Bytes(r, []byte("hello 42"), ByteOptions{Other: []byte("world")})))
			out = append(out, Args(r, &table, nil, []string{"a"})...)
			out = append(out, Env(r, []string{"FOO_BAR"}, nil)...)
		}
		return out
	}
	if !slices.Equal(all(), all()) {
		t.Error("two streams of one seed differ")
	}
}

// What operators make alone is in TestEachOperatorKeepsItsPromises; here they are
// reached through Bytes, with the options that they need.
func TestBytesReachEveryKindOfChange(t *testing.T) {
	zeros := make([]byte, 64)
	cases := []struct {
		name string
		data []byte
		o    ByteOptions
		hit  func(got []byte) bool
	}{
		{"token inserted", zeros, ByteOptions{Dictionary: Dictionary{[]byte("TOKEN")}}, func(b []byte) bool { return len(b) == 69 && bytes.Contains(b, []byte("TOKEN")) }},
		{"token overwritten", zeros, ByteOptions{Dictionary: Dictionary{[]byte("TOKEN")}}, func(b []byte) bool { return len(b) == 64 && bytes.Contains(b, []byte("TOKEN")) }},
		{"one bit", zeros, ByteOptions{}, func(b []byte) bool { return bytes.Count(b, []byte{0}) == 63 && bytes.Contains(b, []byte{0x40}) }},
		{"number incremented", []byte("size=41;"), ByteOptions{}, func(b []byte) bool { return string(b) == "size=42;" }},
		{"number extreme", []byte("size=41;"), ByteOptions{}, func(b []byte) bool { return string(b) == "size=4294967296;" }},
		{"splice", bytes.Repeat([]byte("a"), 20), ByteOptions{Other: bytes.Repeat([]byte("b"), 20)}, func(b []byte) bool {
			return bytes.HasPrefix(b, []byte("aaa")) && bytes.HasSuffix(b, []byte("bbb"))
		}},
		{"deletion", []byte("0123456789abcdef"), ByteOptions{}, func(b []byte) bool { return string(b) == "0123cdef" }},
		{"duplication", []byte("start-end"), ByteOptions{}, func(b []byte) bool { return string(b) == "start-start-end" }},
		{"growth from nothing", nil, ByteOptions{}, func(b []byte) bool { return len(b) > 2 }},
		{"deep repetition", []byte("([{"), ByteOptions{}, func(b []byte) bool { return bytes.Contains(b, []byte(strings.Repeat("([{", 20))) }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRand(3)
			for range 200_000 {
				if c.hit(Bytes(r, c.data, c.o)) {
					return
				}
			}
			t.Error("not seen in 200000 mutants")
		})
	}
}

func TestArgsReachEveryKindOfChange(t *testing.T) {
	table := Table{
		Options: []Option{
			{Name: "--flag", Arity: NoValue},
			{Name: "--when", Arity: MayHaveValue, Values: []string{"dawn", "dusk"}},
			{Name: "-o", Arity: NeedsValue},
			{Name: "-O", Arity: MayHaveValue},
		},
		Commands: []string{"build", "clean"},
	}
	base := []string{"build", "file"}
	cases := []struct {
		name string
		hit  func(got []string) bool
	}{
		{"flag in front", func(w []string) bool { return slices.Equal(w, []string{"--flag", "build", "file"}) }},
		{"flag at the end", func(w []string) bool { return slices.Equal(w, []string{"build", "file", "--flag"}) }},
		{"known value joined", func(w []string) bool { return slices.Contains(w, "--when=dusk") }},
		{"bad value", func(w []string) bool { return slices.Contains(w, "--when=-1") }},
		{"value in the next word", func(w []string) bool { i := slices.Index(w, "-o"); return i >= 0 && i+1 < len(w) && w[i+1] == Input }},
		{"value in the same word", func(w []string) bool { return slices.Contains(w, "-O/dev/null") }},
		{"value missing", func(w []string) bool { return w != nil && slices.Index(w, "-o") == len(w)-1 && len(w) == 3 }},
		{"value too many", func(w []string) bool { return slices.Contains(w, "--flag=1") }},
		{"two options", func(w []string) bool { return slices.Contains(w, "--flag") && slices.Contains(w, "--when=dawn") }},
		{"an option twice", func(w []string) bool {
			return len(slices.DeleteFunc(slices.Clone(w), func(s string) bool { return s != "--flag" })) == 2
		}},
		{"nothing at all", func(w []string) bool { return len(w) == 0 }},
		{"one word less", func(w []string) bool { return slices.Equal(w, []string{"file"}) }},
		{"other command", func(w []string) bool { return slices.Equal(w, []string{"clean", "file"}) }},
		{"the input as operand", func(w []string) bool { return slices.Equal(w, []string{"build", "file", Input}) }},
		{"a directory as operand", func(w []string) bool { return slices.Contains(w, "/tmp") }},
		{"an empty word", func(w []string) bool { return slices.Contains(w, "") }},
		{"a huge word", func(w []string) bool { return slices.ContainsFunc(w, func(s string) bool { return len(s) >= maxHuge }) }},
		{"text edited", func(w []string) bool { return slices.Contains(w, "fil") || slices.Contains(w, "ile") }},
		{"words swapped", func(w []string) bool { return slices.Equal(w, []string{"file", "build"}) }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRand(4)
			for range 100_000 {
				if c.hit(Args(r, &table, nil, base)) {
					return
				}
			}
			t.Error("not seen in 100000 mutants")
		})
	}
	if !slices.Equal(base, []string{"build", "file"}) {
		t.Errorf("base was written to: %q", base)
	}
}

func TestArgsCanAlwaysBeGivenToExecve(t *testing.T) {
	table := Table{Options: []Option{{Name: "--x", Arity: NeedsValue}}}
	dict := Dictionary{{0, 1, 0}, []byte("tok")}
	r := newRand(5)
	args := []string{"a", "b"}
	for range 20_000 {
		args = Args(r, &table, dict, args)
		total := 0
		for _, w := range args {
			total += len(w)
			if strings.Contains(w, "\x00") || len(w) > maxHuge+maxText {
				t.Fatalf("word of %d bytes: %.40q", len(w), w)
			}
		}
		if len(args) > maxArgs || total > 1<<20 {
			t.Fatalf("%d words of %d bytes", len(args), total)
		}
	}
}

func TestEnvNeverTouchesTheLoaderAndNamesNothingTwice(t *testing.T) {
	r := newRand(6)
	names := []string{"LD_PRELOAD", "LD_LIBRARY_PATH", "GLIBC_TUNABLES", "MALLOC_ARENA_MAX", "TJFUZZ_COOKIE", "A=B", "FOO_BAR"}
	var env []string
	set, unset := false, false
	for range 20_000 {
		env = Env(r, names, env)
		seen := make(map[string]bool)
		for _, e := range env {
			key, _, assigned := strings.Cut(e, "=")
			if !EnvUsable(key) || seen[key] {
				t.Fatalf("%.40q in %.200q", e, env)
			}
			seen[key] = true
			set = set || key == "FOO_BAR" && assigned
			unset = unset || key == "HOME" && !assigned
		}
		if len(env) > MaxEnv {
			t.Fatalf("%d variables", len(env))
		}
	}
	if !set || !unset {
		t.Errorf("mined variable set: %t, HOME unset: %t", set, unset)
	}
}

func TestMergeKeepsTheOptionOfWhichMoreIsKnown(t *testing.T) {
	a := Table{Options: []Option{{Name: "--b", Arity: NoValue}, {Name: "--a", Arity: NeedsValue, Values: []string{"1"}}}, Commands: []string{"y", "x"}}
	b := Table{Options: []Option{{Name: "--a", Arity: NoValue}, {Name: "--b", Arity: NeedsValue}}, Commands: []string{"x"}}
	for _, got := range []Table{a.Merge(b), b.Merge(a)} {
		if len(got.Options) != 2 || got.Options[0].Name != "--a" || len(got.Options[0].Values) != 1 || got.Options[1].Arity != NeedsValue {
			t.Errorf("options: %+v", got.Options)
		}
		if !slices.Equal(got.Commands, []string{"x", "y"}) {
			t.Errorf("commands: %q", got.Commands)
		}
	}
}
