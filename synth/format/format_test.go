package format

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// here is the machine of all tests.
func here() Machine {
	return Machine{Native: sysno.AMD64, Kernel: sysno.Release{Major: 6, Minor: 18}, Capabilities: DockerCapabilities()}
}

func formatNamed(t testing.TB, name string) Format {
	t.Helper()
	for _, f := range Formats() {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("there is no format %s", name)
	return Format{}
}

// samples are policies in which the formats differ.
func samples(t testing.TB) map[string]*synth.Policy {
	t.Helper()
	generate := func(o synth.Options) *synth.Policy {
		p, err := synth.Generate(evidence(t), o)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	policy := func(def synth.Verdict, rules ...synth.Rule) *synth.Policy {
		return &synth.Policy{Default: def, Archs: []sysno.Arch{sysno.AMD64}, Groups: synth.Arrange(rules)}
	}
	rule := func(name string, v synth.Verdict, args ...synth.Cond) synth.Rule {
		return synth.Rule{ID: id(t, sysno.AMD64, name), Verdict: v, Args: args, Tier: synth.Manual}
	}
	allow := synth.Verdict{Action: synth.Allow}
	var basic []synth.Rule
	for _, name := range synth.Expand("@basic-io") {
		if _, ok := sysno.Lookup(sysno.AMD64, name); ok {
			basic = append(basic, rule(name, allow))
		}
	}
	return map[string]*synth.Policy{
		"errno": generate(synth.Options{}),
		"kill":  generate(synth.Options{Default: synth.Verdict{Action: synth.KillProcess}}),
		"groups": policy(synth.Verdict{Action: synth.KillProcess}, append(basic, rule("execve", allow),
			rule("mseal", allow), rule("clone3", synth.Verdict{Action: synth.Errno, Errno: 38}))...),
		"conditions": policy(synth.Verdict{Action: synth.KillProcess},
			rule("execve", allow), rule("personality", allow),
			rule("socket", allow, synth.Cond{Index: 0, Op: synth.Equal, Value: 1}),
			rule("socket", allow, synth.Cond{Index: 0, Op: synth.Equal, Value: 2}, synth.Cond{Index: 1, Op: synth.MaskedEqual, Mask: 0xf, Value: 3}),
			rule("mmap", allow, synth.Cond{Index: 2, Op: synth.MaskedEqual, Mask: 4}),
			rule("ioctl", synth.Verdict{Action: synth.Log}, synth.Cond{Index: 1, Op: synth.LessEqual, Value: 0x5413}),
			rule("mount", synth.Verdict{Action: synth.Trap}),
			rule("kill", synth.Verdict{Action: synth.Errno, Errno: 3}, synth.Cond{Index: 1, Op: synth.NotEqual, Value: 0})),
		"refuses": policy(allow,
			rule("ptrace", synth.Verdict{Action: synth.Errno, Errno: 1}), rule("bpf", synth.Verdict{Action: synth.KillProcess}),
			rule("ioctl", synth.Verdict{Action: synth.Errno, Errno: 1}, synth.Cond{Index: 1, Op: synth.Equal, Value: 0x5412})),
		"large": policy(synth.Verdict{Action: synth.Errno, Errno: 1}, rule("execve", allow),
			rule("ioctl", allow, synth.Cond{Index: 1, Op: synth.Less, Value: 1 << 63})),
	}
}

// written is what a format makes of a policy: what it cannot say, and the file.
func written(f Format, p *synth.Policy) (string, *synth.Policy) {
	fit, other, err := f.Fit(p)
	if err != nil {
		return fmt.Sprintf("refused: %v\n", err), nil
	}
	var b bytes.Buffer
	for _, line := range other {
		fmt.Fprintf(&b, "differs: %s\n", line)
	}
	if err := f.Write(&b, fit, "sample"); err != nil {
		return fmt.Sprintf("failed: %v\n", err), nil
	}
	return b.String(), fit
}

func TestEachFormatIsWrittenAsTheGoldenFilesSay(t *testing.T) {
	for name, p := range samples(t) {
		for _, f := range Formats() {
			if f.Name == "oci" {
				continue // it has golden files of its own
			}
			t.Run(name+"/"+f.Name, func(t *testing.T) {
				path := filepath.Join("testdata/formats", name+"."+f.Name)
				got, _ := written(f, p)
				if *update {
					if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(path)
				if err != nil {
					t.Fatalf("%v; 'go test ./synth/format -update' writes it", err)
				}
				if diff := cmp.Diff(string(want), got); diff != "" {
					t.Errorf("%s (-want +got); 'go test ./synth/format -update' writes it anew\n%s", path, diff)
				}
			})
		}
	}
}

// random makes a valid policy from a seed.
func random(r *rand.Rand) *synth.Policy {
	pick := func(vs []synth.Verdict) synth.Verdict { return vs[r.IntN(len(vs))] }
	defaults := []synth.Verdict{{Action: synth.Allow}, {Action: synth.Log}, {Action: synth.Errno, Errno: 1}, {Action: synth.Errno, Errno: 38},
		{Action: synth.Trap}, {Action: synth.KillThread}, {Action: synth.KillProcess}}
	verdicts := append([]synth.Verdict{{Action: synth.Allow}, {Action: synth.Allow}, {Action: synth.Allow}}, defaults...)
	for {
		p := &synth.Policy{Default: pick(defaults), Archs: []sysno.Arch{sysno.AMD64}}
		if r.IntN(4) == 0 {
			p.Archs = []sysno.Arch{sysno.AMD64, sysno.I386}
		}
		exec, _ := sysno.Lookup(sysno.AMD64, "execve")
		rules := []synth.Rule{{ID: exec, Verdict: synth.Verdict{Action: synth.Allow}, Tier: synth.Manual}}
		for _, arch := range p.Archs {
			all := sysno.All(arch)
			for range r.IntN(40) {
				rule := synth.Rule{ID: all[r.IntN(len(all))], Verdict: pick(verdicts), Tier: synth.Manual}
				alternatives := 1
				if r.IntN(3) == 0 {
					alternatives = 1 + r.IntN(3)
				}
				for range alternatives {
					one := rule
					if alternatives > 1 || r.IntN(4) == 0 {
						for i := range uint8(1 + r.IntN(2)) {
							c := synth.Cond{Index: i, Op: synth.Op(1 + r.IntN(7)), Value: uint64(r.IntN(16))}
							if c.Op == synth.MaskedEqual {
								c.Mask = uint64(1 + r.IntN(15))
								c.Value &= c.Mask
							}
							one.Args = append(one.Args, c)
						}
					}
					rules = append(rules, one)
				}
			}
		}
		// Rules that contradict others are left out, so that the rest is valid.
		for len(rules) > 0 {
			p.Groups = synth.Arrange(rules)
			problems := p.Problems()
			if len(problems) == 0 {
				return p
			}
			if len(problems[0].Rules) == 0 {
				break
			}
			bad := problems[0].Rules[0]
			rules = slices.DeleteFunc(rules, func(r synth.Rule) bool { return r.ID == bad.ID })
		}
	}
}

// arguments draws numbers near those that random's conditions compare with.
func arguments(r *rand.Rand) (args [6]uint64) {
	for i := range args {
		args[i] = uint64(r.IntN(18))
	}
	return args
}

func TestNothingIsRefusedThatThePolicyPermitsAndReadersReadWhatWritersWrite(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 7))
		p := random(r)
		for _, f := range Formats() {
			text, fit := written(f, p)
			if fit == nil {
				if !strings.HasPrefix(text, "refused: ") {
					t.Fatalf("seed %d, %s: %s", seed, f.Name, text)
				}
				continue
			}
			exact := !strings.Contains("\n"+text, "\ndiffers: ")
			for _, arch := range p.Archs {
				for _, id := range sysno.All(arch) {
					for range 3 {
						args := arguments(r)
						want, got := p.Decide(id, args), fit.Decide(id, args)
						if got.Action > want.Action || exact && got != want {
							t.Fatalf("seed %d, %s: %v%v is %v in the policy, %v in the file\n%s", seed, f.Name, id, args, want, got, text)
						}
					}
				}
			}
			again, more, err := f.Fit(fit)
			if err != nil || len(more) > 0 && f.can.beyond == nil && len(Widenings(fit)) == 0 {
				t.Fatalf("seed %d, %s: what fits does not fit: %v %v\n%s", seed, f.Name, more, err, text)
			}
			if diff := sameDecisions(fit, again); diff != "" {
				t.Fatalf("seed %d, %s: what fits changes\n%s", seed, f.Name, diff)
			}
			if f.Read == nil {
				continue
			}
			var file bytes.Buffer
			if err := f.Write(&file, fit, "sample"); err != nil {
				t.Fatal(err)
			}
			back, err := f.Read(&file, here())
			if err != nil {
				t.Fatalf("seed %d, %s: what was written does not read: %v\n%s", seed, f.Name, err, text)
			}
			if diff := sameDecisions(fit, back); diff != "" {
				t.Fatalf("seed %d, %s (-written +read)\n%s%s", seed, f.Name, diff, text)
			}
		}
	}
}

// The grammars of minijail (tools/parser.py) and of kafel (src/parser.y), as far as
// the writers use them, written down once more.
var grammars = map[string]string{
	"minijail": `(#[^\n]*\n)*(@default (kill-process|kill-thread|trap)\n)?` +
		`(NAME: (1|log|trap|kill-process|kill-thread|return [0-9]+|ATOM( && ATOM)*( \|\| ATOM( && ATOM)*)*)\n)+`,
	"kafel": `//[^\n]*\nPOLICY WORD \{\nBLOCK(,\nBLOCK)*\n\}\nUSE WORD DEFAULT ACTION\n`,
}

func grammar(name string) *regexp.Regexp {
	text := grammars[name]
	for _, part := range [][2]string{
		{"BLOCK", `  ACTION \{\n    ENTRY(,\n    ENTRY)*\n  \}`},
		{"ENTRY", `NAME(\(a0, a1, a2, a3, a4, a5\) \{ TEST( && TEST)* \})?`},
		{"TEST", `(a[0-5] (==|!=|<|<=|>|>=) 0x[0-9a-f]+|\(a[0-5] & 0x[0-9a-f]+\) == 0x[0-9a-f]+)`},
		{"ACTION", `(ALLOW|LOG|KILL|KILL_PROCESS|TRAP\(0\)|(ERRNO|TRACE)\([0-9]+\))`},
		{"ATOM", `arg[0-5] (==|!=|<|<=|>|>=|&|in) 0x[0-9a-f]+`},
		{"WORD", `[A-Za-z][A-Za-z0-9_]*`},
		{"NAME", `[a-z_0-9]+`},
	} {
		text = strings.ReplaceAll(text, part[0], part[1])
	}
	return regexp.MustCompile(`^` + text + `$`)
}

func TestWhatIsWrittenIsOfTheFormatsGrammar(t *testing.T) {
	for name := range grammars {
		g := grammar(name)
		f := formatNamed(t, name)
		for seed := range uint64(60) {
			_, fit := written(f, random(rand.New(rand.NewPCG(seed, 9))))
			if fit == nil {
				continue
			}
			var b bytes.Buffer
			if err := f.Write(&b, fit, "a-sample"); err != nil {
				t.Fatal(err)
			}
			if !g.MatchString(b.String()) {
				t.Fatalf("%s, seed %d: not of the grammar %v:\n%s", name, seed, g, b.String())
			}
		}
	}
}

func TestANumberThatKubernetesWouldCutIsRefused(t *testing.T) {
	p := samples(t)["large"]
	for _, name := range []string{"kubernetes", "security-profiles-operator"} {
		if _, _, err := formatNamed(t, name).Fit(p); err == nil || !strings.Contains(err.Error(), "signed numbers") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatNeedsAnotherProcessHasNoSubstitute(t *testing.T) {
	p := samples(t)["kill"]
	p.Listener = "/run/listener"
	p.Groups = append(p.Groups, synth.Group{Name: "@x", Rules: []synth.Rule{
		{ID: id(t, sysno.AMD64, "ptrace"), Verdict: synth.Verdict{Action: synth.Notify}, Tier: synth.Manual}}})
	for _, name := range []string{"systemd", "minijail", "firejail", "kafel"} {
		if _, _, err := formatNamed(t, name).Fit(p); err == nil || !strings.Contains(err.Error(), "ptrace: it cannot be notify") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNamesThatKubernetesRefusesAreRefused(t *testing.T) {
	for _, name := range []string{"", "A", "a_b", "-a", strings.Repeat("a", 254)} {
		for _, f := range []string{"kubernetes", "security-profiles-operator"} {
			if err := formatNamed(t, f).Write(&bytes.Buffer{}, samples(t)["errno"], name); err == nil {
				t.Errorf("%s is called %q", f, name)
			}
		}
	}
}
