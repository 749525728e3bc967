package document

import (
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/tjfuzz/tjfuzz/synth"
)

// Regenerate is the document with what a new policy says in the place of what was
// generated before. What a person wrote stays: the section manual, the includes,
// flags and the listener, and every comment on something that is still there.
func (d *Document) Regenerate(p *synth.Policy) (*Document, error) {
	fresh, err := New(p)
	if err != nil {
		return nil, err
	}
	old, err := mapping(d.root)
	if err != nil {
		return nil, err
	}
	now, err := mapping(fresh.root)
	if err != nil {
		return nil, err
	}
	keep := []string{"include", "flags", "listener", synth.Manual.String()}
	root := copyNode(d.root)
	root.Content = nil
	for _, key := range members() {
		byKey := func(e entry) bool { return e.key.Value == key }
		was, is := slices.IndexFunc(old, byKey), slices.IndexFunc(now, byKey)
		switch {
		case was >= 0 && slices.Contains(keep, key):
			root.Content = append(root.Content, old[was].key, old[was].value)
		case is >= 0:
			k, v := now[is].key, now[is].value
			if was >= 0 {
				k = withComments(k, old[was].key)
				v = recommented(v, old[was].value)
			}
			root.Content = append(root.Content, k, v)
		}
	}
	all := copyNode(d.all)
	all.Content = []*yaml.Node{root}
	out := &Document{root: root, all: all}
	data, err := out.Encode()
	if err != nil {
		return nil, err
	}
	return Parse(data)
}

// recommented gives a new value the comments of the old one, member by member.
func recommented(now, old *yaml.Node) *yaml.Node {
	n := withComments(now, old)
	if n.Kind != yaml.MappingNode || old.Kind != yaml.MappingNode {
		return n
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		for j := 0; j+1 < len(old.Content); j += 2 {
			if n.Content[i].Value == old.Content[j].Value {
				n.Content[i] = withComments(n.Content[i], old.Content[j])
				n.Content[i+1] = recommented(n.Content[i+1], old.Content[j+1])
			}
		}
	}
	return n
}

func withComments(now, old *yaml.Node) *yaml.Node {
	n := copyNode(now)
	n.HeadComment, n.LineComment, n.FootComment = old.HeadComment, old.LineComment, old.FootComment
	return n
}

func copyNode(n *yaml.Node) *yaml.Node {
	c := *n
	c.Content = slices.Clone(n.Content)
	return &c
}
