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
	made := &Document{root: root, all: all}
	data, err := made.Encode()
	if err != nil {
		return nil, err
	}
	return Parse(data)
}
