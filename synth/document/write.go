package document

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// New writes a valid policy as a document, in one canonical form: the same policy
// makes the same bytes. Policy of the result is the policy again.
func New(p *synth.Policy) (*Document, error) {
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("write policy: %w", err)
	}
	root := &yaml.Node{Kind: yaml.MappingNode}
	add := func(key string, value *yaml.Node) {
		root.Content = append(root.Content, scalar(key), value)
	}
	add("version", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: version})
	add("default", scalar(p.Default.String()))
	var archs []string
	for _, a := range p.Archs {
		archs = append(archs, a.String())
	}
	add("architectures", flow(archs...))
	if len(p.Flags) > 0 {
		add("flags", flow(p.Flags...))
	}
	if p.Listener != "" || p.ListenerMetadata != "" {
		listener := &yaml.Node{Kind: yaml.MappingNode}
		for _, f := range []struct{ key, value string }{{"path", p.Listener}, {"metadata", p.ListenerMetadata}} {
			if f.value != "" {
				listener.Content = append(listener.Content, scalar(f.key), scalar(f.value))
			}
		}
		add("listener", listener)
	}
	for tier := synth.Observed; tier <= synth.Manual; tier++ {
		section := &yaml.Node{Kind: yaml.MappingNode}
		for _, g := range p.Groups {
			rules := slices.DeleteFunc(slices.Clone(g.Rules), func(r synth.Rule) bool { return r.Tier != tier })
			section.Content = append(section.Content, callNodes(rules, p.Archs)...)
		}
		if len(section.Content) > 0 {
			add(tier.String(), section)
		}
	}
	if len(p.Unnamed) > 0 {
		var numbers []string
		for _, id := range p.Unnamed {
			numbers = append(numbers, fmt.Sprintf("%v:$%d", id.Arch, id.NR))
		}
		add("unnamed", flow(numbers...))
	}
	return reparsed(root)
}

// reparsed gives a tree that was made here its lines, and proves that it is a
// document.
func reparsed(root *yaml.Node) (*Document, error) {
	made := &Document{root: root, all: &yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{root}}}
	data, err := made.Encode()
	if err != nil {
		return nil, err
	}
	d, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("write policy: %w", err)
	}
	return d, nil
}

// callNodes makes the members of a section from rules of one tier: a key and a value
// for each call.
func callNodes(rules []synth.Rule, archs []sysno.Arch) []*yaml.Node {
	clauses := synth.Clauses(rules)
	byID := map[sysno.ID][]synth.Clause{}
	for _, c := range clauses {
		byID[c.ID] = append(byID[c.ID], c)
	}
	var nodes []*yaml.Node
	written := map[sysno.ID]bool{}
	for _, c := range clauses {
		if written[c.ID] {
			continue
		}
		name, named := c.ID.Name()
		key := name
		var twins []sysno.ID
		for _, a := range archs {
			if id, ok := sysno.Lookup(a, name); ok {
				twins = append(twins, id)
			}
		}
		same := func(id sysno.ID) bool { return sameWords(byID[c.ID], byID[id]) }
		switch {
		case !named:
			key, twins = fmt.Sprintf("%v:$%d", c.ID.Arch, c.ID.NR), []sysno.ID{c.ID}
		case slices.ContainsFunc(twins, func(id sysno.ID) bool { return !same(id) }):
			key, twins = fmt.Sprintf("%v:%s", c.ID.Arch, name), []sysno.ID{c.ID}
		}
		for _, id := range twins {
			written[id] = true
		}
		nodes = append(nodes, scalar(key), callNode(byID[c.ID]))
	}
	return nodes
}

// sameWords reports whether clauses for a call of two ABIs are written alike.
func sameWords(a, b []synth.Clause) bool {
	return slices.EqualFunc(a, b, func(x, y synth.Clause) bool {
		return x.Verdict == y.Verdict && x.Reason == y.Reason && slices.EqualFunc(x.Args, y.Args, func(s, t synth.Choice) bool {
			return slices.EqualFunc(s.OneOf, t.OneOf, func(c, d synth.Cond) bool {
				p, q := synth.PatternOf(x.ID, c), synth.PatternOf(y.ID, d)
				back, err := p.Cond(y.ID)
				return err == nil && back == d && p.String() == q.String()
			})
		})
	})
}

// callNode is the value for a call: one rule, or a list of them.
func callNode(clauses []synth.Clause) *yaml.Node {
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, c := range clauses {
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, choice := range c.Args {
			n.Content = append(n.Content, scalar(synth.PatternOf(c.ID, choice.OneOf[0]).Arg), choiceNode(c.ID, choice))
		}
		if c.Verdict.Action != synth.Allow {
			n.Content = append(n.Content, scalar(keyThen), scalar(c.Verdict.String()))
		}
		if c.Reason != "" {
			n.Content = append(n.Content, scalar(keyBecause), scalar(c.Reason))
		}
		if len(c.Args) == 0 {
			n.Style = yaml.FlowStyle
		}
		list.Content = append(list.Content, n)
	}
	if len(list.Content) == 1 {
		return list.Content[0]
	}
	return list
}

// choiceNode is the value for an argument.
func choiceNode(id sysno.ID, choice synth.Choice) *yaml.Node {
	type shape struct {
		synth.Pattern
		is []string
	}
	var shapes []shape
	for _, c := range choice.OneOf {
		p := synth.PatternOf(id, c)
		i := slices.IndexFunc(shapes, func(s shape) bool {
			return p.Is != "" && len(s.is) > 0 && slices.Equal(s.Require, p.Require) && slices.Equal(s.Forbid, p.Forbid) &&
				slices.Equal(s.Only, p.Only) && (s.Only == nil) == (p.Only == nil)
		})
		if i < 0 {
			i = len(shapes)
			shapes = append(shapes, shape{Pattern: p})
		}
		if p.Is != "" {
			shapes[i].is = append(shapes[i].is, p.Is)
		}
	}
	slices.SortStableFunc(shapes, func(a, b shape) int {
		return cmp.Or(cmp.Compare(a.Op, b.Op), strings.Compare(a.Pattern.String(), b.Pattern.String()))
	})
	list := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, s := range shapes {
		if s.Op == "" && len(s.Require)+len(s.Forbid) == 0 && s.Only == nil {
			for _, v := range s.is {
				list.Content = append(list.Content, scalar(v))
			}
			continue
		}
		list.Content = append(list.Content, patternNode(s.Pattern, s.is))
	}
	if len(list.Content) == 1 {
		return list.Content[0]
	}
	return list
}

func patternNode(p synth.Pattern, is []string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	add := func(key string, value *yaml.Node) { n.Content = append(n.Content, scalar(key), value) }
	if p.Op != "" {
		add("op", scalar(p.Op))
		if p.Op == "&" {
			add("mask", scalar(fmt.Sprintf("%#x", p.Mask)))
		}
		add("value", scalar(fmt.Sprintf("%#x", p.Value)))
		return n
	}
	switch len(is) {
	case 0:
	case 1:
		add("is", scalar(is[0]))
	default:
		add("is", flow(is...))
	}
	if len(p.Require) > 0 {
		add("require", flow(p.Require...))
	}
	if len(p.Forbid) > 0 {
		add("forbid", flow(p.Forbid...))
	}
	if p.Only != nil {
		add("only", flow(p.Only...))
	}
	return n
}

// scalar is a word; the encoder quotes it where it must. Numbers stay numbers.
func scalar(text string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(text)
	if len(text) > 0 && text[0] >= '0' && text[0] <= '9' && !strings.ContainsAny(text, " :") {
		n.Tag = "!!int"
	}
	return n
}

func flow(list ...string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, text := range list {
		n.Content = append(n.Content, scalar(text))
	}
	return n
}
