package document

import (
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// Add is the document with more rules in the section of what people say: those are
// valid, have a reason, and are of the tier Manual. Everything else stays as it was
// written. A rule that looks at no argument takes the place of those for the same call
// that stand in that section; another comes beside them. archs are those of the policy.
func (d *Document) Add(rules []synth.Rule, archs []sysno.Arch) (*Document, error) {
	root := copyNode(d.root)
	all := copyNode(d.all)
	all.Content = []*yaml.Node{root}
	if d.head.verdict.Action == synth.Allow {
		return d.without(rules)
	}
	key := synth.Manual.String()
	at := -1
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == key {
			at = i + 1
		}
	}
	if at < 0 {
		root.Content = append(root.Content, scalar(key), &yaml.Node{Kind: yaml.MappingNode})
		at = len(root.Content) - 1
	}
	section := copyNode(root.Content[at])
	if section.Kind != yaml.MappingNode { // nothing, as in "manual:"
		section = &yaml.Node{Kind: yaml.MappingNode}
	}
	section.Style = 0
	root.Content[at] = section
	general := map[string]bool{}
	for _, r := range rules {
		if name, named := r.ID.Name(); named && len(r.Args) == 0 {
			general[name] = true
		}
	}
	nodes := callNodes(rules, archs)
	for i := 0; i+1 < len(nodes); i += 2 {
		k, v := nodes[i], nodes[i+1]
		j := slices.IndexFunc(section.Content, func(n *yaml.Node) bool { return n.Value == k.Value && n.Kind == yaml.ScalarNode })
		switch {
		case j < 0 || j%2 != 0:
			section.Content = append(section.Content, k, v)
		case general[k.Value]:
			section.Content[j+1] = v
		default:
			list := &yaml.Node{Kind: yaml.SequenceNode}
			for _, n := range []*yaml.Node{section.Content[j+1], v} {
				if n.Kind == yaml.SequenceNode {
					list.Content = append(list.Content, n.Content...)
				} else {
					list.Content = append(list.Content, n)
				}
			}
			section.Content[j+1] = list
		}
	}
	return again(root, all)
}

// without is the document without what it says of the calls of some rules.
func (d *Document) without(rules []synth.Rule) (*Document, error) {
	root := copyNode(d.root)
	all := copyNode(d.all)
	all.Content = []*yaml.Node{root}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if _, err := synth.ParseTier(root.Content[i].Value); err != nil || root.Content[i+1].Kind != yaml.MappingNode {
			continue
		}
		section := copyNode(root.Content[i+1])
		root.Content[i+1] = section
		section.Content = nil
		for _, e := range entries(d.root.Content[i+1]) {
			if !slices.ContainsFunc(rules, func(r synth.Rule) bool { return r.ID.String() == e.key.Value || nameOf(r.ID) == e.key.Value }) {
				section.Content = append(section.Content, e.key, e.value)
			}
		}
	}
	return again(root, all)
}

func entries(n *yaml.Node) []entry {
	var list []entry
	for i := 0; i+1 < len(n.Content); i += 2 {
		list = append(list, entry{n.Content[i], n.Content[i+1]})
	}
	return list
}

func nameOf(id sysno.ID) string {
	name, _ := id.Name()
	return name
}

// again is a changed tree as a document that was read.
func again(root, all *yaml.Node) (*Document, error) {
	data, err := (&Document{root: root, all: all}).Encode()
	if err != nil {
		return nil, err
	}
	return Parse(data)
}
