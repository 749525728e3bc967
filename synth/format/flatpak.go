package format

import (
	"fmt"
	"io"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// flatpak has no policy file: its filter is a table in C (common/flatpak-run.c) of
// calls that are refused, each with an errno and perhaps one condition, and all
// else is allowed. Programs that set up bubblewrap themselves copy that form.

// flatpakCan is what the table can say. A policy that allows some calls is turned
// into the list of all others that the tables know; what kernels will know later
// is allowed then, which is named.
func flatpakCan() abilities {
	return abilities{
		archs:    1,
		defaults: oneOf(func(v synth.Verdict) bool { return v.Action == synth.Errno || v.Action == synth.Allow }),
		mend:     "generate with --default errno; the table knows no other answer",
		call: func(p *synth.Policy, rules []synth.Rule) bool {
			if len(rules) != 1 {
				return false
			}
			r := rules[0]
			if p.Default.Action == synth.Allow {
				return r.Verdict.Action == synth.Errno && len(r.Args) <= 1
			}
			if r.Verdict.Action == synth.Allow && len(r.Args) == 1 {
				_, ok := opposite(r.Args[0])
				return ok
			}
			return (r.Verdict.Action == synth.Allow || r.Verdict.Action == synth.Errno) && len(r.Args) == 0
		},
		beyond: func(p *synth.Policy) []string {
			if p.Default.Action == synth.Allow {
				return nil
			}
			return []string{"numbers that no table here names: allow, because the table lists what is refused"}
		},
	}
}

// opposite is the condition that holds where the other does not.
func opposite(c synth.Cond) (synth.Cond, bool) {
	pairs := map[synth.Op]synth.Op{
		synth.Equal: synth.NotEqual, synth.NotEqual: synth.Equal,
		synth.Less: synth.GreaterEqual, synth.GreaterEqual: synth.Less,
		synth.Greater: synth.LessEqual, synth.LessEqual: synth.Greater,
	}
	op, ok := pairs[c.Op]
	if c.Op == synth.MaskedEqual && c.Mask&(c.Mask-1) == 0 && c.Mask != 0 { // one bit
		op, ok = synth.MaskedEqual, true
		c.Value ^= c.Mask
	}
	c.Op = op
	return c, ok
}

func writeFlatpak(w io.Writer, p *synth.Policy, name string) error {
	arch := p.Archs[0]
	rules := map[string]synth.Rule{}
	for _, c := range callsOf(p) {
		rules[c.name] = c.rules[0]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "/* %s, for %v. */\nstruct\n{\n  int scall;\n  int errnum;\n  struct scmp_arg_cmp *arg;\n} syscall_blocklist[] = {\n", name, arch)
	for _, id := range sysno.All(arch) {
		call, _ := id.Name()
		r, decided := rules[call]
		entry := func(v synth.Verdict, cond *synth.Cond) {
			arg := ""
			if cond != nil {
				arg = ", &" + flatpakArg(*cond)
			}
			errno := unix.ErrnoName(syscall.Errno(v.Errno))
			if errno == "" {
				errno = fmt.Sprint(v.Errno)
			}
			fmt.Fprintf(&b, "  {SCMP_SYS (%s), %s%s},\n", call, errno, arg)
		}
		switch {
		case p.Default.Action == synth.Allow && !decided:
		case p.Default.Action == synth.Allow && len(r.Args) == 1:
			entry(r.Verdict, &r.Args[0])
		case !decided:
			entry(p.Default, nil)
		case r.Verdict.Action == synth.Errno:
			entry(r.Verdict, nil)
		case len(r.Args) == 1:
			refused, _ := opposite(r.Args[0])
			entry(p.Default, &refused)
		}
	}
	b.WriteString("};\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// flatpakArg writes a condition with the macros of libseccomp.
func flatpakArg(c synth.Cond) string {
	op := ""
	for _, k := range opWords() {
		if k.op == c.Op {
			op = string(k.word)
		}
	}
	if c.Op == synth.MaskedEqual {
		return fmt.Sprintf("SCMP_A%d (%s, %#x, %#x)", c.Index, op, c.Mask, c.Value)
	}
	return fmt.Sprintf("SCMP_A%d (%s, %#x)", c.Index, op, c.Value)
}
