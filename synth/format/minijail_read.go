package format

import (
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// readMinijail reads a policy file of minijail for the machine's own ABI. Names of
// constants are those that the syscall's argument has. What the two readers of
// minijail understand in different ways, "expression; return N", is refused, and so
// is what one policy cannot hold: @include, lists in braces behind a syscall, and
// what depends on the architecture.
func readMinijail(r io.Reader, m Machine) (*synth.Policy, error) {
	p, err := minijailPolicy(r, m.Native)
	if err != nil {
		return nil, fmt.Errorf("read policy of minijail: %w", err)
	}
	return p, nil
}

// minijailLine is a statement and its first line.
type minijailLine struct {
	number int
	text   string
}

func (l minijailLine) errorf(mend, format string, args ...any) error {
	return &ProfileError{Where: fmt.Sprintf("line %d", l.number), Detail: fmt.Sprintf(format, args...), Mend: mend}
}

func minijailPolicy(r io.Reader, native sysno.Arch) (*synth.Policy, error) {
	text, err := readText(r)
	if err != nil {
		return nil, err
	}
	p := &synth.Policy{Default: synth.Verdict{Action: synth.KillProcess}, Archs: []sysno.Arch{native}}
	var rules []synth.Rule
	seen := map[sysno.ID]int{}
	begun := false
	for _, l := range minijailLines(text) {
		if word, ok := strings.CutPrefix(l.text, "@"); ok {
			directive, rest, _ := strings.Cut(word, " ")
			if directive != "default" {
				return nil, l.errorf("write its lines here, or remove it", "@%s is not read", directive)
			}
			if begun {
				return nil, l.errorf("write it once, before all syscalls", "@default comes too late")
			}
			v, ok := minijailVerdict(strings.TrimSpace(rest))
			if _, may := minijailCan().defaults(v); !ok || !may {
				return nil, l.errorf("there are kill-process, kill-thread, kill and trap", "%q cannot be the default", rest)
			}
			p.Default, begun = v, true
			continue
		}
		begun = true
		ids, filter, err := minijailStatement(l, native)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			if at, twice := seen[id]; twice {
				return nil, l.errorf("keep one", "%v has a line already, line %d", id, at)
			}
			seen[id] = l.number
			own, err := minijailRules(l, id, filter)
			if err != nil {
				return nil, err
			}
			rules = append(rules, own...)
		}
	}
	rules = slices.DeleteFunc(rules, func(r synth.Rule) bool { return r.Verdict == p.Default })
	p.Groups = synth.Arrange(rules)
	if err := p.Validate(); err != nil {
		return nil, locate(err, rules)
	}
	return p, nil
}

// minijailLines joins what goes on behind a backslash and leaves comments out.
func minijailLines(text string) []minijailLine {
	var out []minijailLine
	pending, first := "", 0
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(strings.TrimSuffix(line, "\r"), "#")
		if pending == "" {
			first = i + 1
		}
		if rest, more := strings.CutSuffix(strings.TrimRight(line, " \t"), `\`); more {
			pending += rest + " "
			continue
		}
		line, pending = strings.TrimSpace(pending+line), ""
		if line != "" {
			out = append(out, minijailLine{first, line})
		}
	}
	if pending = strings.TrimSpace(pending); pending != "" {
		out = append(out, minijailLine{first, pending})
	}
	return out
}

// minijailStatement splits "name: filter" or "{name, name}: filter".
func minijailStatement(l minijailLine, native sysno.Arch) ([]sysno.ID, string, error) {
	head, filter, ok := strings.Cut(l.text, ":")
	if !ok {
		return nil, "", l.errorf("write NAME: 1, or NAME: arg0 == 1", "there is no colon")
	}
	names := []string{strings.TrimSpace(head)}
	if inner, ok := strings.CutPrefix(names[0], "{"); ok {
		inner, ok = strings.CutSuffix(inner, "}")
		if !ok {
			return nil, "", l.errorf("write } before the colon", "the list of names does not end")
		}
		names = strings.Split(inner, ",")
	}
	var ids []sysno.ID
	for _, name := range names {
		name = strings.TrimSpace(name)
		if strings.ContainsAny(name, "[]") {
			return nil, "", l.errorf("write the lines for this architecture alone", "conditions on the architecture are not read")
		}
		id, ok := sysno.Lookup(native, name)
		if !ok {
			_, err := sysno.Parse(native, name)
			if err == nil { // a number
				err = fmt.Errorf("%q is no name", name)
			}
			return nil, "", l.errorf("correct it, or remove the line", "%v", err)
		}
		ids = append(ids, id)
	}
	return ids, strings.TrimSpace(filter), nil
}

// minijailVerdict reads an action.
func minijailVerdict(text string) (synth.Verdict, bool) {
	if n, ok := strings.CutPrefix(text, "return "); ok {
		v, err := strconv.ParseUint(strings.TrimSpace(n), 0, 16)
		return synth.Verdict{Action: synth.Errno, Errno: uint16(v)}, err == nil && v >= 1 && v <= 4095
	}
	actions := map[string]synth.Action{
		"1": synth.Allow, "allow": synth.Allow, "log": synth.Log, "trap": synth.Trap,
		"kill": synth.KillProcess, "kill-process": synth.KillProcess, "kill-thread": synth.KillThread,
	}
	a, ok := actions[text]
	return synth.Verdict{Action: a}, ok
}

// minijailRules reads what stands behind the colon.
func minijailRules(l minijailLine, id sysno.ID, filter string) ([]synth.Rule, error) {
	rule := synth.Rule{ID: id, Verdict: synth.Verdict{Action: synth.Allow}, Tier: synth.Manual, Reason: placed + fmt.Sprintf("line %d", l.number)}
	if v, ok := minijailVerdict(filter); ok {
		rule.Verdict = v
		return []synth.Rule{rule}, nil
	}
	switch {
	case strings.HasPrefix(filter, "{"):
		return nil, l.errorf("write one expression, with || between alternatives", "filters in braces are not read")
	case strings.Contains(filter, ";"):
		return nil, l.errorf("write the expression alone, or return alone",
			"minijail0 takes what stands behind ; for the answer to all other arguments, its compiler for the answer to these")
	case !strings.HasPrefix(filter, "arg"):
		return nil, l.errorf("there are 1, log, trap, kill-process, kill-thread, return ERRNO from 1 to 4095, and expressions such as arg0 == 1", "%q is no filter", filter)
	}
	var rules []synth.Rule
	for _, clause := range strings.Split(filter, "||") {
		alternatives := [][]synth.Cond{nil}
		for _, atom := range strings.Split(clause, "&&") {
			conds, err := minijailAtom(l, id, strings.TrimSpace(atom))
			if err != nil {
				return nil, err
			}
			var next [][]synth.Cond
			for _, a := range alternatives {
				for _, c := range conds {
					united, err := unite(a, c)
					if err != nil {
						return nil, l.errorf("write one condition for each argument", "%v", err)
					}
					next = append(next, united)
				}
			}
			if len(rules)+len(next) > synth.MaxAlternatives {
				return nil, l.errorf("leave conditions out", "more than %d combinations", synth.MaxAlternatives)
			}
			alternatives = next
		}
		for _, a := range alternatives {
			r := rule
			r.Args = slices.DeleteFunc(a, func(c synth.Cond) bool { return c.Op == synth.MaskedEqual && c.Mask == 0 })
			rules = append(rules, r)
		}
	}
	if slices.ContainsFunc(rules, func(r synth.Rule) bool { return len(r.Args) == 0 }) {
		rules = []synth.Rule{rule}
	}
	return rules, nil
}

// unite adds a condition to others, all of which must hold.
func unite(conds []synth.Cond, c synth.Cond) ([]synth.Cond, error) {
	out := slices.Clone(conds)
	for i, o := range out {
		if o.Index != c.Index {
			continue
		}
		if o == c {
			return out, nil
		}
		if o.Op != synth.MaskedEqual || c.Op != synth.MaskedEqual {
			return nil, fmt.Errorf("%v and %v together cannot be one condition", o, c)
		}
		if (o.Value^c.Value)&o.Mask&c.Mask != 0 {
			return nil, fmt.Errorf("%v and %v never hold together", o, c)
		}
		out[i].Mask |= c.Mask
		out[i].Value |= c.Value
		return out, nil
	}
	return append(out, c), nil
}

// minijailAtom reads one comparison, as alternatives.
func minijailAtom(l minijailLine, id sysno.ID, text string) ([]synth.Cond, error) {
	words := strings.Fields(text)
	if len(words) < 3 {
		return nil, l.errorf("write it as arg0 == 1, with blanks between", "%q is no comparison", text)
	}
	index, err := strconv.ParseUint(strings.TrimPrefix(words[0], "arg"), 10, 8)
	if !strings.HasPrefix(words[0], "arg") || err != nil || index > 5 {
		return nil, l.errorf("count arguments from arg0 to arg5", "there is no argument %q", words[0])
	}
	c := synth.Cond{Index: uint8(index)}
	v, err := minijailValue(id, int(index), strings.Join(words[2:], ""))
	if err != nil {
		return nil, l.errorf("write a number", "%v", err)
	}
	for _, k := range minijailOps() {
		if k.word == words[1] {
			c.Op, c.Value = k.op, v
			return []synth.Cond{c}, nil
		}
	}
	c.Op = synth.MaskedEqual
	switch words[1] {
	case "in":
		c.Mask = ^v
		return []synth.Cond{c}, nil
	case "&":
		if v == 0 || bits.OnesCount64(v) > 8 {
			return nil, l.errorf("name one to eight bits", "%q asks for any of %d bits", text, bits.OnesCount64(v))
		}
		var any []synth.Cond
		for bit := uint64(1); bit != 0; bit <<= 1 {
			if v&bit != 0 {
				c.Mask, c.Value = bit, bit
				any = append(any, c)
			}
		}
		return any, nil
	}
	return nil, l.errorf("there are ==, !=, <, <=, >, >=, & and in", "unknown comparison %q", words[1])
}

// minijailValue reads constants with | between them, each a number or a name of the
// argument, with ~ and parentheses.
func minijailValue(id sysno.ID, index int, text string) (uint64, error) {
	v, rest, err := minijailUnion(id, index, text, 0)
	if err == nil && rest != "" {
		err = fmt.Errorf("%q behind the value", rest)
	}
	return v, err
}

func minijailUnion(id sysno.ID, index int, text string, depth int) (v uint64, rest string, err error) {
	for {
		var one uint64
		if one, text, err = minijailConstant(id, index, text, depth); err != nil {
			return 0, "", err
		}
		v |= one
		next, more := strings.CutPrefix(text, "|")
		if !more {
			return v, text, nil
		}
		text = next
	}
}

func minijailConstant(id sysno.ID, index int, text string, depth int) (v uint64, rest string, err error) {
	if depth > maxDepth {
		return 0, "", fmt.Errorf("parentheses nested deeper than %d", maxDepth)
	}
	if inner, ok := strings.CutPrefix(text, "~"); ok {
		v, rest, err = minijailConstant(id, index, inner, depth+1)
		return ^v, rest, err
	}
	if inner, ok := strings.CutPrefix(text, "("); ok {
		v, rest, err = minijailUnion(id, index, inner, depth+1)
		if err != nil {
			return 0, "", err
		}
		after, ok := strings.CutPrefix(rest, ")")
		if !ok {
			return 0, "", fmt.Errorf("no ) in %q", text)
		}
		return v, after, nil
	}
	end := strings.IndexAny(text, "|)~(")
	if end < 0 {
		end = len(text)
	}
	word, rest := text[:end], text[end:]
	if n, err := strconv.ParseUint(word, 0, 64); err == nil {
		return n, rest, nil
	}
	if n, err := strconv.ParseInt(word, 0, 64); err == nil {
		return uint64(n), rest, nil
	}
	if args := id.Args(); index < len(args) && args[index].Set != nil {
		if n, ok := args[index].Set.Find(word); ok {
			return n, rest, nil
		}
	}
	return 0, "", fmt.Errorf("%q is neither a number nor a value of argument %d of %v", word, index, id)
}
