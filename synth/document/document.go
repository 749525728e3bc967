// Package document decides how people write a policy: as YAML, in which calls,
// arguments and their values have names, with comments, includes and additions of
// their own. It is strict: what it does not know is an error with its line and
// column, never skipped. It reads no files; whoever calls it does. Its main hazard is
// what a person wrote and a regeneration loses.
//
//	version: 1
//	default: errno EPERM
//	architectures: [x86_64]
//	include: [common.yaml]
//	observed:
//	  read: {because: seen in 10 of 10 runs}
//	  socket:
//	    domain: [AF_UNIX, AF_INET]
//	    type: SOCK_STREAM
//	    because: seen in 3 of 10 runs
//	  mmap: {prot: {forbid: [PROT_EXEC]}}
//	manual:
//	  "@file-watch": {because: the follow mode needs it}
//	  ptrace: {then: errno ENOSYS, because: the program probes for it}
//
// A name without an architecture stands for the call of every listed architecture
// that has it, "i386:read" for that of one. Several rules for one call are a list.
// What an argument may be is a value or a list of them, or a mapping: is, require,
// forbid and only (see synth.Pattern), or op, value and mask.
package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// version is the version of the form that this package reads and writes.
const version = "1"

// Bounds of a document and of the documents that it includes.
const (
	maxSize     = 4 << 20
	maxIncludes = 32
)

// Error says what is wrong with a document, where, and what to do about it.
type Error struct {
	File   string // as it was included, empty for the document itself
	Line   int    // from 1; 0 where the place is the whole document
	Column int
	Detail string
	Mend   string // empty when there is nothing to add
	Err    error  // the *synth.Problem behind it, or nil
}

func (e *Error) Error() string {
	s := e.Detail
	if e.Mend != "" {
		s += "; " + e.Mend
	}
	if e.Line > 0 {
		s = fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, s)
	}
	if e.File != "" {
		s = e.File + ": " + s
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Document is one file: a policy as a person keeps it.
type Document struct {
	root *yaml.Node // the top mapping
	all  *yaml.Node // the document node around it, which has comments too
	head head
}

// head are the members that are not rules.
type head struct {
	verdict  synth.Verdict // zero where there is none
	archs    []sysno.Arch  // sorted, nil where there are none
	flags    []string
	listener string
	metadata string
	includes []include
	unnamed  []sysno.ID
}

// include is a name under which another document is found, or a group.
type include struct {
	name string
	node *yaml.Node
}

// members lists the members of a document in the order in which they are written.
func members() []string {
	list := []string{"version", "default", "architectures", "flags", "listener", "include"}
	for t := synth.Observed; t <= synth.Manual; t++ {
		list = append(list, t.String())
	}
	return append(list, "unnamed")
}

// Parse reads a document, and finds everything wrong with it that can be found
// without the documents that it includes.
func Parse(data []byte) (*Document, error) {
	switch {
	case len(data) > maxSize:
		return nil, &Error{Detail: fmt.Sprintf("larger than %d bytes", maxSize)}
	case !utf8.Valid(data):
		return nil, &Error{Detail: "not UTF-8"}
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	d := &Document{all: &yaml.Node{}}
	if err := dec.Decode(d.all); errors.Is(err, io.EOF) {
		return nil, &Error{Detail: "empty", Mend: "begin with version: " + version}
	} else if err != nil {
		return nil, &Error{Detail: strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	if err := dec.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, &Error{Detail: "data behind the document", Mend: "keep one policy in a file"}
	}
	d.root = d.all.Content[0]
	if err := d.readHead(); err != nil {
		return nil, err
	}
	// The rules are read again where the architectures are known. What is wrong with
	// them for any is found here.
	archs := d.head.archs
	if archs == nil {
		archs = sysno.Archs()
	}
	if _, err := d.rules(archs); err != nil {
		return nil, err
	}
	return d, nil
}

// Encode is the document as a file.
func (d *Document) Encode() ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(d.all), e.Close()); err != nil {
		return nil, fmt.Errorf("write policy: %w", err)
	}
	return b.Bytes(), nil
}

// entry is a member of a mapping.
type entry struct{ key, value *yaml.Node }

// mapping returns the members of a mapping, whose keys must be different words.
func mapping(n *yaml.Node) ([]entry, error) {
	if n.Kind != yaml.MappingNode {
		return nil, at(n, "", "%s where a mapping belongs", kind(n))
	}
	var list []entry
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		name, err := word(key)
		if err != nil {
			return nil, err
		}
		if seen[name] {
			return nil, at(key, "keep one", "%q is repeated", name)
		}
		seen[name] = true
		list = append(list, entry{key, n.Content[i+1]})
	}
	return list, nil
}

// word is the text of a scalar. Aliases are refused: they hide what a rule says.
func word(n *yaml.Node) (string, error) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		return "", at(n, "", "%s where a word belongs", kind(n))
	}
	if t := n.ShortTag(); t != "!!str" && t != "!!int" && t != "!!merge" && t != "!!bool" && t != "!!float" && t != "!!timestamp" {
		return "", at(n, "remove it", "unknown tag %q", t)
	}
	return n.Value, nil
}

// sequence returns the items of a list; a single word is a list of one.
func sequence(n *yaml.Node) ([]*yaml.Node, error) {
	switch n.Kind {
	case yaml.SequenceNode:
		return n.Content, nil
	case yaml.ScalarNode:
		return []*yaml.Node{n}, nil
	}
	return nil, at(n, "", "%s where a list belongs", kind(n))
}

func kind(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "an alias"
	case n.ShortTag() == "!!null":
		return "nothing"
	}
	return "a word"
}

func at(n *yaml.Node, mend, format string, args ...any) *Error {
	return &Error{Line: n.Line, Column: n.Column, Detail: fmt.Sprintf(format, args...), Mend: mend}
}

// unknown is the error for a member that nobody knows.
func unknown(n *yaml.Node, known []string) *Error {
	for _, k := range known {
		if strings.EqualFold(n.Value, k) {
			return at(n, fmt.Sprintf("write %q", k), "%q is spelled in the wrong case", n.Value)
		}
	}
	return at(n, "known here are "+strings.Join(known, ", "), "unknown key %q", n.Value)
}

func (d *Document) readHead() error {
	top, err := mapping(d.root)
	if err != nil {
		return err
	}
	known := members()
	if len(top) == 0 || top[0].key.Value != "version" {
		return at(d.root, "write it first: version: "+version, "the version is missing")
	}
	for _, e := range top {
		if !slices.Contains(known, e.key.Value) {
			return unknown(e.key, known)
		}
		if err := d.readMember(e); err != nil {
			return err
		}
	}
	return nil
}

func (d *Document) readMember(e entry) error {
	h := &d.head
	switch e.key.Value {
	case "version":
		if v, err := word(e.value); err != nil || v != version {
			return at(e.value, "this is version "+version, "unknown version %q", e.value.Value)
		}
	case "default":
		text, err := word(e.value)
		if err != nil {
			return err
		}
		if h.verdict, err = synth.ParseVerdict(text); err != nil {
			return at(e.value, "", "%v", err)
		}
	case "architectures":
		return each(e.value, func(n *yaml.Node, text string) error {
			a, err := sysno.ParseArch(text)
			switch {
			case err != nil:
				return at(n, "", "%v", err)
			case slices.Contains(h.archs, a):
				return at(n, "keep one", "%v is repeated", a)
			}
			h.archs = append(h.archs, a)
			slices.Sort(h.archs)
			return nil
		})
	case "flags":
		return each(e.value, func(n *yaml.Node, text string) error {
			h.flags = append(h.flags, text)
			slices.Sort(h.flags)
			return nil
		})
	case "listener":
		return d.readListener(e.value)
	case "include":
		return each(e.value, func(n *yaml.Node, text string) error {
			h.includes = append(h.includes, include{text, n})
			return nil
		})
	case "unnamed":
		return each(e.value, func(n *yaml.Node, text string) error {
			id, err := sysno.Parse(sysno.ArchInvalid, text)
			if err != nil {
				return at(n, "write ABI:$NUMBER", "%v", err)
			}
			h.unnamed = append(h.unnamed, id)
			return nil
		})
	}
	return nil
}

func (d *Document) readListener(n *yaml.Node) error {
	fields, err := mapping(n)
	if err != nil {
		return err
	}
	for _, f := range fields {
		to := map[string]*string{"path": &d.head.listener, "metadata": &d.head.metadata}[f.key.Value]
		if to == nil {
			return unknown(f.key, []string{"path", "metadata"})
		}
		if *to, err = word(f.value); err != nil {
			return err
		}
	}
	return nil
}

// each calls f with every word of a list.
func each(n *yaml.Node, f func(n *yaml.Node, text string) error) error {
	items, err := sequence(n)
	if err != nil {
		return err
	}
	for _, item := range items {
		text, err := word(item)
		if err != nil {
			return err
		}
		if err := f(item, text); err != nil {
			return err
		}
	}
	return nil
}
