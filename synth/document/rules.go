package document

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// The members of a rule that are no arguments. A test holds that no argument has
// such a name.
const (
	keyThen    = "then"
	keyBecause = "because"
)

// placed is a rule that knows where it was written.
type placed struct {
	synth.Rule
	file string
	node *yaml.Node
}

// rules reads the sections of all tiers, and the groups that are included, for the
// given architectures.
func (d *Document) rules(archs []sysno.Arch) ([]placed, error) {
	var all []placed
	for _, inc := range d.head.includes {
		if !strings.HasPrefix(inc.name, "@") {
			continue
		}
		rules, err := readRule(entry{inc.node, &yaml.Node{Kind: yaml.MappingNode}}, synth.Manual, archs, "included")
		if err != nil {
			return nil, err
		}
		all = append(all, rules...)
	}
	top, err := mapping(d.root)
	if err != nil {
		return nil, err
	}
	for _, section := range top {
		tier, err := synth.ParseTier(section.key.Value)
		if err != nil {
			continue // readHead knows the others
		}
		if section.value.ShortTag() == "!!null" {
			continue
		}
		calls, err := mapping(section.value)
		if err != nil {
			return nil, err
		}
		for _, call := range calls {
			rules, err := readRule(call, tier, archs, "")
			if err != nil {
				return nil, err
			}
			all = append(all, rules...)
		}
	}
	return all, nil
}

// readRule reads one call, or one group, with what is said of it.
func readRule(call entry, tier synth.Tier, archs []sysno.Arch, reason string) ([]placed, error) {
	calls, err := readCall(call.key, archs)
	if err != nil {
		return nil, err
	}
	alternatives := []*yaml.Node{call.value}
	if call.value.Kind == yaml.SequenceNode {
		alternatives = call.value.Content
		if len(alternatives) == 0 {
			return nil, at(call.value, "remove the rule", "%s has an empty list of rules", call.key.Value)
		}
		if len(alternatives) > synth.MaxAlternatives {
			return nil, at(call.value, "unite some", "%s has %d rules; at most %d are compiled", call.key.Value, len(alternatives), synth.MaxAlternatives)
		}
	}
	var rules []placed
	for _, n := range alternatives {
		fields := []entry{}
		if n.ShortTag() != "!!null" {
			if fields, err = mapping(n); err != nil {
				return nil, err
			}
		}
		clause := synth.Clause{Verdict: synth.Verdict{Action: synth.Allow}, Tier: tier, Reason: reason}
		var conditions []entry
		for _, f := range fields {
			switch f.key.Value {
			case keyThen:
				text, err := word(f.value)
				if err != nil {
					return nil, err
				}
				if clause.Verdict, err = synth.ParseVerdict(text); err != nil {
					return nil, at(f.value, "", "%v", err)
				}
			case keyBecause:
				if clause.Reason, err = word(f.value); err != nil {
					return nil, err
				}
			default:
				conditions = append(conditions, f)
			}
		}
		if tier == synth.Manual && strings.TrimSpace(clause.Reason) == "" {
			return nil, at(call.key, `add "because", for those who read it later`, "%s is a rule of a person, without a reason", call.key.Value)
		}
		if len(conditions) > 0 && strings.HasPrefix(call.key.Value, "@") {
			return nil, at(conditions[0].key, "write the calls that it is for", "a group has no argument %q", conditions[0].key.Value)
		}
		for _, of := range calls {
			clause.ID, clause.Args = of.ID, of.Args
			for _, f := range conditions {
				choice, err := readChoice(of.ID, f)
				if err != nil {
					return nil, err
				}
				clause.Args = append(clause.Args, choice)
			}
			more, err := clause.Rules()
			if err != nil {
				return nil, at(n, "", "%v", err)
			}
			for _, r := range more {
				rules = append(rules, placed{Rule: r, node: call.key})
			}
		}
	}
	return rules, nil
}

// readCall finds the syscalls that a key stands for, with the conditions of a group.
func readCall(n *yaml.Node, archs []sysno.Arch) ([]synth.Clause, error) {
	name, err := word(n)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(name, "@") {
		return readGroup(n, name, archs)
	}
	if prefix, _, ok := strings.Cut(name, ":"); ok {
		id, err := sysno.Parse(archs[0], name)
		if err != nil {
			return nil, at(n, "", "%v", err)
		}
		if !slices.Contains(archs, id.Arch) {
			return nil, at(n, `add it to "architectures", or remove the rule`, "the policy does not list %s", prefix)
		}
		return []synth.Clause{{ID: id}}, nil
	}
	var calls []synth.Clause
	for _, a := range archs {
		if id, ok := sysno.Lookup(a, name); ok {
			calls = append(calls, synth.Clause{ID: id})
		}
	}
	if len(calls) > 0 {
		return calls, nil
	}
	_, err = sysno.Parse(archs[0], name)
	if err == nil { // "$257", which Lookup does not take
		return nil, at(n, "write the ABI before it", "%q is a number, which is another call in each ABI", name)
	}
	var unknown *sysno.UnknownNameError
	if errors.As(err, &unknown) && len(unknown.Elsewhere) > 0 {
		return nil, at(n, fmt.Sprintf(`remove it, or add %v to "architectures"`, unknown.Elsewhere[0]), "%v", err)
	}
	return nil, at(n, "", "%v", err)
}

func readGroup(n *yaml.Node, name string, archs []sysno.Arch) ([]synth.Clause, error) {
	g, ok := synth.GroupByName(name)
	if !ok {
		return nil, at(n, "'tjfuzz groups' lists them", "there is no group %s", name)
	}
	var calls []synth.Clause
	for _, a := range archs {
		clauses, err := g.Clauses(a)
		if err != nil {
			return nil, at(n, "", "%v", err)
		}
		calls = append(calls, clauses...)
	}
	if len(calls) == 0 {
		return nil, at(n, "remove it", "none of %v has a call of %s", archs, name)
	}
	return calls, nil
}

// readChoice reads what an argument may be.
func readChoice(id sysno.ID, f entry) (synth.Choice, error) {
	var choice synth.Choice
	items, single := []*yaml.Node{f.value}, f.value.Kind != yaml.SequenceNode
	if !single {
		items = f.value.Content
	}
	if len(items) == 0 {
		return choice, at(f.value, "name a value, or remove the argument", "%s may be nothing at all", f.key.Value)
	}
	for _, item := range items {
		patterns, err := readPatterns(f.key.Value, item)
		if err != nil {
			return choice, err
		}
		for _, p := range patterns {
			c, err := p.Cond(id)
			if err != nil {
				return choice, at(item, "", "%v", err)
			}
			choice.Index = c.Index
			choice.OneOf = append(choice.OneOf, c)
		}
	}
	slices.SortFunc(choice.OneOf, synth.Cond.Compare)
	choice.OneOf = slices.Compact(choice.OneOf)
	return choice, nil
}

// readPatterns reads a value, or a mapping, in which "is" may be a list.
func readPatterns(arg string, n *yaml.Node) ([]synth.Pattern, error) {
	if n.Kind != yaml.MappingNode {
		text, err := word(n)
		if err == nil && text == "" {
			err = at(n, "name a value", "the value is empty")
		}
		return []synth.Pattern{{Arg: arg, Is: text}}, err
	}
	fields, err := mapping(n)
	if err != nil {
		return nil, err
	}
	p := synth.Pattern{Arg: arg}
	values := []string{""}
	for _, f := range fields {
		switch f.key.Value {
		case "is":
			values, err = words(f.value)
			if err == nil && (len(values) == 0 || slices.Contains(values, "")) {
				err = at(f.value, "name a value", "a value is empty")
			}
		case "require":
			p.Require, err = words(f.value)
		case "forbid":
			p.Forbid, err = words(f.value)
		case "only":
			p.Only, err = words(f.value)
		case "op":
			p.Op, err = word(f.value)
		case "value":
			p.Value, err = readNumber(f.value)
		case "mask":
			p.Mask, err = readNumber(f.value)
		default:
			err = unknown(f.key, []string{"is", "require", "forbid", "only", "op", "value", "mask"})
		}
		if err != nil {
			return nil, err
		}
	}
	if has := func(name string) bool {
		return slices.ContainsFunc(fields, func(f entry) bool { return f.key.Value == name })
	}; (has("value") || has("mask")) && !has("op") {
		return nil, at(n, "add it, or write is, require, forbid or only", `"value" and "mask" need an "op"`)
	}
	var patterns []synth.Pattern
	for _, v := range values {
		p.Is = v
		patterns = append(patterns, p)
	}
	return patterns, nil
}

// words is a list of words, not nil.
func words(n *yaml.Node) ([]string, error) {
	list := []string{}
	err := each(n, func(_ *yaml.Node, text string) error {
		list = append(list, text)
		return nil
	})
	return list, err
}

func readNumber(n *yaml.Node) (uint64, error) {
	text, err := word(n)
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseUint(text, 0, 64)
	if err != nil {
		return 0, at(n, "", "%q is not a whole number from 0 to 2^64-1", text)
	}
	return v, nil
}

// Arguments reads a mapping from names of a call's arguments to what they may be, as it
// stands in a rule: all have to fit.
func Arguments(id sysno.ID, n *yaml.Node) ([]synth.Choice, error) {
	fields, err := mapping(n)
	if err != nil {
		return nil, err
	}
	var all []synth.Choice
	for _, f := range fields {
		choice, err := readChoice(id, f)
		if err != nil {
			return nil, err
		}
		all = append(all, choice)
	}
	return all, nil
}
