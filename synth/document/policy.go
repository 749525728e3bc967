package document

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// Policy is what the document says, together with the documents that it includes.
// open reads one of these by its name, which is relative to the document that is
// asked; nil permits no includes but groups. A document without architectures is for
// native alone.
//
// Included are the rules; the default and the architectures are those of the
// including document. Of rules for one call:
//
//   - those of a person (manual) replace what others say, if they are for the call
//     whatever its arguments are, and else stand beside it;
//   - one without conditions takes the place of those with conditions that come to
//     the same, from other documents and tiers;
//   - everything else that contradicts is an error.
func (d *Document) Policy(native sysno.Arch, open func(name string) ([]byte, error)) (*synth.Policy, error) {
	h := d.head
	if h.verdict == (synth.Verdict{}) {
		return nil, at(d.root, "say what happens to all other calls, such as default: errno EPERM", "the default is missing")
	}
	p := &synth.Policy{Default: h.verdict, Archs: h.archs, Flags: h.flags, Listener: h.listener, ListenerMetadata: h.metadata}
	if p.Archs == nil {
		p.Archs = []sysno.Arch{native}
	}
	c := collector{archs: p.Archs, open: open}
	if err := c.add(d, "", nil); err != nil {
		return nil, err
	}
	rules := reconcile(c.rules)
	var plain []synth.Rule
	for _, r := range rules {
		plain = append(plain, r.Rule)
	}
	p.Groups = synth.Arrange(plain)
	p.Unnamed = slices.Clone(c.unnamed)
	slices.SortFunc(p.Unnamed, sysno.ID.Compare)
	p.Unnamed = slices.Compact(p.Unnamed)
	if err := p.Validate(); err != nil {
		return nil, locate(d, err, rules)
	}
	return p, nil
}

// collector gathers the rules of a document and of all that it includes.
type collector struct {
	archs   []sysno.Arch
	open    func(name string) ([]byte, error)
	rules   []placed
	unnamed []sysno.ID
	count   int
}

// add takes the rules of a document. above are the names of those that include it.
func (c *collector) add(d *Document, file string, above []string) error {
	rules, err := d.rules(c.archs)
	if err != nil {
		return in(file, err)
	}
	for _, r := range rules {
		r.file = file
		c.rules = append(c.rules, r)
	}
	c.unnamed = append(c.unnamed, d.head.unnamed...)
	for _, inc := range d.head.includes {
		if strings.HasPrefix(inc.name, "@") {
			continue
		}
		name := inc.name
		if !path.IsAbs(name) {
			name = path.Join(path.Dir(file), name)
		}
		c.count++
		switch {
		case c.open == nil:
			return in(file, at(inc.node, "write its rules here", "%s cannot be included: there are no files here", inc.name))
		case slices.Contains(append(above, file), name):
			return in(file, at(inc.node, "remove one include", "%s includes itself, by way of %s", name, file))
		case c.count > maxIncludes:
			return in(file, at(inc.node, "", "more than %d includes", maxIncludes))
		}
		data, err := c.open(name)
		if err != nil {
			e := at(inc.node, "", "%v", err)
			e.Err = err
			return in(file, e)
		}
		included, err := Parse(data)
		if err != nil {
			return in(name, err)
		}
		if err := c.add(included, name, append(slices.Clone(above), file)); err != nil {
			return err
		}
	}
	return nil
}

// in says in which file an error is, unless it knows.
func in(file string, err error) error {
	var e *Error
	if errors.As(err, &e) && e.File == "" {
		e.File = file
	}
	return err
}

// reconcile lets rules without conditions take the place of others, as Policy says.
func reconcile(rules []placed) []placed {
	manual := map[sysno.ID]bool{}
	general := map[sysno.ID]placed{}
	for _, r := range rules {
		if len(r.Args) > 0 {
			continue
		}
		if r.Tier == synth.Manual {
			manual[r.ID] = true
		}
		if g, ok := general[r.ID]; !ok || r.Tier == synth.Manual && g.Tier != synth.Manual {
			general[r.ID] = r
		}
	}
	return slices.DeleteFunc(slices.Clone(rules), func(r placed) bool {
		g, ok := general[r.ID]
		switch {
		case !ok || r.node == g.node:
			return false
		case manual[r.ID] && r.Tier != synth.Manual:
			return r.Verdict != g.Verdict || len(r.Args) > 0
		}
		return len(r.Args) > 0 && r.Verdict == g.Verdict && (r.file != g.file || r.Tier != g.Tier)
	})
}

// locate says where in the documents a policy's problem comes from.
func locate(d *Document, err error, rules []placed) error {
	var problem *synth.Problem
	if !errors.As(err, &problem) {
		return err
	}
	e := &Error{Detail: fmt.Sprintf("%s: %s", problem.Where, problem.Detail), Mend: problem.Mend, Err: problem}
	for _, member := range []struct{ where, key string }{{"default action", "default"}, {"architectures", "architectures"}, {"listener", "listener"}} {
		if problem.Where == member.where {
			top, _ := mapping(d.root)
			for _, t := range top {
				if t.key.Value == member.key {
					e.Line, e.Column = t.key.Line, t.key.Column
				}
			}
			e.Detail = problem.Detail
		}
	}
	for _, wanted := range problem.Rules {
		i := slices.IndexFunc(rules, func(r placed) bool { return r.Compare(&wanted) == 0 && r.Tier == wanted.Tier })
		if i < 0 {
			continue
		}
		r := rules[i]
		e.File, e.Line, e.Column = r.file, r.node.Line, r.node.Column // of two, the second: it is the one too many
		e.Detail = fmt.Sprintf("%v: %s", wanted.ID, problem.Detail)
	}
	return e
}
