package format

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
	"github.com/tjfuzz/tjfuzz/synth"
)

// The language of kafel (github.com/google/kafel, README.md and src/parser.y), which
// nsjail compiles. Rules for one syscall are tried in order, the first that matches
// decides.

func kafelCan() abilities {
	says := func(v synth.Verdict) bool { return kafelAction(v) != "" }
	return abilities{
		archs: 1, defaults: oneOf(says), mend: "choose another action",
		call: func(_ *synth.Policy, rules []synth.Rule) bool {
			return !slices.ContainsFunc(rules, func(r synth.Rule) bool { return !says(r.Verdict) })
		},
	}
}

// kafelAction is the target for a verdict, empty where there is none.
func kafelAction(v synth.Verdict) string {
	switch v.Action {
	case synth.Allow:
		return "ALLOW"
	case synth.Log:
		return "LOG"
	case synth.Errno:
		return fmt.Sprintf("ERRNO(%d)", v.Errno)
	case synth.Trace:
		return fmt.Sprintf("TRACE(%d)", v.Errno)
	case synth.Trap:
		return "TRAP(0)"
	case synth.KillThread:
		return "KILL"
	case synth.KillProcess:
		return "KILL_PROCESS"
	}
	return ""
}

var kafelWord = lazyregexp.New(`[^A-Za-z0-9]+`)

// writeKafel names arguments itself: without that, names depend on kafel's version.
func writeKafel(w io.Writer, p *synth.Policy, name string) error {
	name = "P_" + kafelWord.ReplaceAllString(name, "_")
	entries := map[string][]string{}
	for _, c := range callsOf(p) {
		for _, r := range c.rules {
			action := kafelAction(r.Verdict)
			entry := c.name
			if len(r.Args) > 0 {
				var tests []string
				for _, cond := range r.Args {
					tests = append(tests, kafelTest(cond))
				}
				entry += "(a0, a1, a2, a3, a4, a5) { " + strings.Join(tests, " && ") + " }"
			}
			entries[action] = append(entries[action], entry)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "// For %v.\nPOLICY %s {\n", p.Archs[0], name)
	actions := slices.Sorted(keys(entries))
	for i, action := range actions {
		end := ","
		if i == len(actions)-1 {
			end = ""
		}
		fmt.Fprintf(&b, "  %s {\n    %s\n  }%s\n", action, strings.Join(entries[action], ",\n    "), end)
	}
	fmt.Fprintf(&b, "}\nUSE %s DEFAULT %s\n", name, kafelAction(p.Default))
	_, err := io.WriteString(w, b.String())
	return err
}

func kafelTest(c synth.Cond) string {
	if c.Op == synth.MaskedEqual {
		return fmt.Sprintf("(a%d & %#x) == %#x", c.Index, c.Mask, c.Value)
	}
	ops := map[synth.Op]string{synth.Equal: "==", synth.NotEqual: "!=", synth.Less: "<", synth.LessEqual: "<=",
		synth.Greater: ">", synth.GreaterEqual: ">="}
	return fmt.Sprintf("a%d %s %#x", c.Index, ops[c.Op], c.Value)
}
