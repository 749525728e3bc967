package format

import (
	"fmt"
	"io"
	"strings"

	"github.com/tjfuzz/tjfuzz/synth"
)

// minijail's policy files (minijail0(5) and tools/parser.py): a line a syscall.
// minijail0 reads them itself, and compile_seccomp_policy.py knows more words. What
// both read is written wherever it says the policy; what only the compiler reads is
// named in the file's first lines.

// minijailCan is what both together can say of one ABI.
func minijailCan() abilities {
	return abilities{
		archs: 1,
		defaults: oneOf(func(v synth.Verdict) bool {
			return v.Action == synth.KillProcess || v.Action == synth.KillThread || v.Action == synth.Trap
		}),
		mend: "generate with --default kill, kill-thread or trap",
		call: func(_ *synth.Policy, rules []synth.Rule) bool {
			if len(rules) == 1 && len(rules[0].Args) == 0 {
				return minijailAction(rules[0].Verdict) != ""
			}
			for _, r := range rules { // those of one line have one action
				if r.Verdict.Action != synth.Allow {
					return false
				}
			}
			return true
		},
	}
}

// minijailAction is the word for a verdict, empty where there is none.
func minijailAction(v synth.Verdict) string {
	switch v.Action {
	case synth.Allow:
		return "1"
	case synth.Log:
		return "log"
	case synth.Errno:
		return fmt.Sprintf("return %d", v.Errno)
	case synth.Trap:
		return "trap"
	case synth.KillThread:
		return "kill-thread"
	case synth.KillProcess:
		return "kill-process"
	}
	return ""
}

func writeMinijail(w io.Writer, p *synth.Policy, name string) error {
	var lines strings.Builder
	compiled := p.Default.Action != synth.KillProcess
	for _, c := range callsOf(p) {
		if len(c.rules) == 1 && len(c.rules[0].Args) == 0 {
			v := c.rules[0].Verdict
			compiled = compiled || v.Action != synth.Allow && v.Action != synth.Errno
			fmt.Fprintf(&lines, "%s: %s\n", c.name, minijailAction(v))
			continue
		}
		var clauses []string
		for _, r := range c.rules {
			var atoms []string
			for _, cond := range r.Args {
				atoms = append(atoms, minijailAtoms(cond)...)
			}
			clauses = append(clauses, strings.Join(atoms, " && "))
		}
		fmt.Fprintf(&lines, "%s: %s\n", c.name, strings.Join(clauses, " || "))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# %s, for %v. All else: %v.\n", name, p.Archs[0], p.Default)
	if compiled {
		b.WriteString("# Only compile_seccomp_policy.py --use-kill-process reads all of this, not minijail0 -S.\n")
	}
	if p.Default.Action != synth.KillProcess {
		fmt.Fprintf(&b, "@default %s\n", minijailAction(p.Default))
	}
	_, err := io.WriteString(w, b.String()+lines.String())
	return err
}

// minijailAtoms writes a condition. "&" asks whether any bit of the mask is set, so
// each bit that must be has an atom; "in" forbids all bits outside its mask.
func minijailAtoms(c synth.Cond) []string {
	atom := func(op string, v uint64) string { return fmt.Sprintf("arg%d %s %#x", c.Index, op, v) }
	for _, k := range minijailOps() {
		if k.op == c.Op {
			return []string{atom(k.word, c.Value)}
		}
	}
	var atoms []string
	for bit := uint64(1); bit != 0; bit <<= 1 {
		if c.Value&bit != 0 {
			atoms = append(atoms, atom("&", bit))
		}
	}
	if clear := c.Mask &^ c.Value; clear != 0 || len(atoms) == 0 {
		atoms = append(atoms, atom("in", ^clear))
	}
	return atoms
}

type minijailOp struct {
	word string
	op   synth.Op
}

func minijailOps() []minijailOp {
	return []minijailOp{
		{"==", synth.Equal}, {"!=", synth.NotEqual}, {"<", synth.Less}, {"<=", synth.LessEqual},
		{">", synth.Greater}, {">=", synth.GreaterEqual},
	}
}
