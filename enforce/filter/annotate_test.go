//go:build cgo && amd64

package filter

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write the golden files")

func TestAnnotatedFilterReadsAsItsPolicy(t *testing.T) {
	p := policy(t, eperm, []sysno.Arch{sysno.AMD64, sysno.I386},
		rule(t, "read", allowed), rule(t, "ptrace", killed), rule(t, "i386:read", allowed),
		rule(t, "openat", allowed, synth.Cond{Index: 2, Op: synth.MaskedEqual, Mask: unix.O_CREAT | unix.O_TRUNC}),
		rule(t, "socket", allowed, synth.Cond{Index: 0, Op: synth.MaskedEqual, Mask: 0xffffffff, Value: unix.AF_UNIX}),
		rule(t, "socket", allowed, synth.Cond{Index: 0, Op: synth.MaskedEqual, Mask: 0xffffffff, Value: unix.AF_INET}),
		rule(t, "lseek", allowed, synth.Cond{Index: 1, Op: synth.Less, Value: 1 << 33}))
	lines, err := compiled(t, p).Annotate()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, l := range lines {
		if l.Label != "" {
			b.WriteString(l.Label + ":\n")
		}
		b.WriteString("\t" + l.Text + "\n")
	}
	const golden = "testdata/annotated.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s\n(go test ./enforce/filter -run %s -update)", b.String(), want, t.Name())
	}
}

// What is annotated can be followed: every label that is named is there, once, and a
// comparison leads to where the instruction does.
func TestEveryLabelThatAJumpNamesIsThere(t *testing.T) {
	for _, c := range policies(t) {
		program := compiled(t, c.policy)
		lines, err := program.Annotate()
		if err != nil {
			t.Fatal(err)
		}
		at := map[string]int{}
		for pc, l := range lines {
			if l.Label == "" {
				continue
			}
			if other, twice := at[l.Label]; twice {
				t.Fatalf("%s: %s is the label of %d and %d", c.name, l.Label, other, pc)
			}
			at[l.Label] = pc
		}
		targets := regexp.MustCompile(`(?:goto|else) (\S+)`)
		for pc, l := range lines {
			var want []int
			switch in := program[pc]; in.Code {
			case ja:
				want = []int{pc + 1 + int(in.K)}
			case jeq, jgt, jge, jset:
				for _, offset := range []uint8{in.Jt, in.Jf} {
					if offset != 0 {
						want = append(want, pc+1+int(offset))
					}
				}
			}
			var got []int
			for _, m := range targets.FindAllStringSubmatch(l.Text, -1) {
				got = append(got, at[m[1]])
			}
			if fmt.Sprint(got) != fmt.Sprint(want) && !strings.HasPrefix(l.Text, "test ") {
				t.Fatalf("%s: %d, %s, leads to %v, and says %v", c.name, pc, l.Text, want, got)
			}
		}
	}
}

func TestSimulateTellsAllVerdictsThatOpenArgumentsCanMeet(t *testing.T) {
	p := policy(t, eperm, []sysno.Arch{sysno.AMD64},
		rule(t, "socket", allowed, synth.Cond{Index: 0, Op: synth.Equal, Value: unix.AF_UNIX}),
		rule(t, "socket", killed, synth.Cond{Index: 0, Op: synth.Equal, Value: unix.AF_INET}, synth.Cond{Index: 1, Op: synth.MaskedEqual, Mask: 0xf, Value: unix.SOCK_RAW}),
		rule(t, "getpid", allowed))
	program := compiled(t, p)
	for text, want := range map[string]string{
		"getpid()":                   "allow",
		"getppid()":                  "errno EPERM",
		"socket":                     "errno EPERM allow kill process",
		"socket(AF_UNIX)":            "allow",
		"socket(AF_INET)":            "errno EPERM kill process",
		"socket(AF_INET, SOCK_RAW)":  "kill process",
		"socket(AF_INET, 3|0x80000)": "kill process",
		"socket(AF_INET6, _, 0)":     "errno EPERM",
		"i386:getpid":                "kill thread",
	} {
		call, err := synth.ParseCall(sysno.AMD64, text)
		if err != nil {
			t.Fatal(err)
		}
		outcomes, err := Simulate(program, p.Rules(), call)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, o := range outcomes {
			got = append(got, o.Verdict.String())
			if v := p.Decide(o.Call.ID, o.Call.Args); v != o.Verdict {
				t.Errorf("%s: %v is said to get %v, and gets %v", text, o.Call, o.Verdict, v)
			}
			for i, pc := range o.Path {
				if i > 0 && pc <= o.Path[i-1] || i == 0 && pc != 0 {
					t.Errorf("%s: the path is %v", text, o.Path)
				}
			}
			if last := program[o.Path[len(o.Path)-1]]; last.Code != retK || ParseReturn(last.K) != o.Verdict {
				t.Errorf("%s: the path to %v ends with %s", text, o.Verdict, listing(0, last))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, want %q", text, strings.Join(got, " "), want)
		}
	}
}
