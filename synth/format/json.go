package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of a profile. The largest in use, docker's default, has 20 KiB.
const (
	maxProfileSize = 4 << 20
	maxDepth       = 16
)

// ProfileError says what is wrong with a profile, where, and what to do about it.
type ProfileError struct {
	Where  string // the place in the JSON, such as syscalls[3].args[0].op; "profile" for the whole
	Detail string
	Mend   string // empty when there is nothing to add
	Err    error  // the *synth.Problem behind it, or nil
}

func (e *ProfileError) Error() string {
	if e.Mend == "" {
		return e.Where + ": " + e.Detail
	}
	return e.Where + ": " + e.Detail + "; " + e.Mend
}

func (e *ProfileError) Unwrap() error { return e.Err }

// A node is a JSON value that knows its place. encoding/json alone is not strict
// enough: it takes repeated members, members in another case and trailing data.
type node struct {
	where place
	value any // map[string]node, []node, string, json.Number, bool or nil
}

// place is where a node stands. Most are never told, so it becomes words when one is.
type place struct {
	in     *place // nil for the whole
	member string // of an object
	item   int    // of a list, from 1; 0 in an object
}

func (p *place) String() string {
	switch {
	case p.in == nil:
		return "profile"
	case p.item > 0:
		return p.in.String() + "[" + strconv.Itoa(p.item-1) + "]"
	case p.in.in == nil:
		return p.member
	}
	return p.in.String() + "." + p.member
}

// parse reads one JSON value and nothing else.
func parse(r io.Reader) (node, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxProfileSize+1))
	if err != nil {
		return node{}, err
	}
	var whole node
	switch {
	case len(data) > maxProfileSize:
		return node{}, whole.errorf("", "larger than %d bytes", maxProfileSize)
	case !utf8.Valid(data):
		return node{}, whole.errorf("", "not UTF-8")
	case len(bytes.TrimSpace(data)) == 0:
		return node{}, whole.errorf("", "empty")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	n, err := parseValue(d, whole.where, 0)
	if err != nil {
		return node{}, err
	}
	if _, err := d.Token(); err != io.EOF {
		return node{}, whole.errorf("remove what follows it", "data behind the JSON value")
	}
	return n, nil
}

func parseValue(d *json.Decoder, where place, depth int) (node, error) {
	n := node{where: where}
	if depth > maxDepth {
		return n, n.errorf("", "nested deeper than %d", maxDepth)
	}
	token, err := d.Token()
	if err != nil {
		return n, n.syntax(err)
	}
	switch token {
	case json.Delim('{'):
		members, in := map[string]node{}, n.inside()
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return n, n.syntax(err)
			}
			name := key.(string) // the decoder accepts nothing else as a key
			if _, twice := members[name]; twice {
				return n, n.errorf("keep one", "member %q is repeated", name)
			}
			if members[name], err = parseValue(d, place{in: in, member: name}, depth+1); err != nil {
				return n, err
			}
		}
		n.value = members
	case json.Delim('['):
		items, in := []node{}, n.inside()
		for d.More() {
			item, err := parseValue(d, place{in: in, item: len(items) + 1}, depth+1)
			if err != nil {
				return n, err
			}
			items = append(items, item)
		}
		n.value = items
	default:
		n.value = token
		return n, nil
	}
	if _, err := d.Token(); err != nil { // the closing bracket
		return n, n.syntax(err)
	}
	return n, nil
}

func (n node) errorf(mend, format string, args ...any) *ProfileError {
	return &ProfileError{Where: n.where.String(), Detail: fmt.Sprintf(format, args...), Mend: mend}
}

func (n node) syntax(err error) *ProfileError {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return n.errorf("", "the JSON ends too early")
	}
	return n.errorf("", "%v", err)
}

// inside is where the members and the items of n stand.
func (n node) inside() *place { return &n.where }

// kind is the word for the node's JSON type.
func (n node) kind() string {
	switch n.value.(type) {
	case map[string]node:
		return "an object"
	case []node:
		return "a list"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case bool:
		return "a boolean"
	}
	return "null"
}

// object returns the members of n, which must all be known.
func (n node) object(known ...string) (map[string]node, error) {
	members, ok := n.value.(map[string]node)
	if !ok {
		return nil, n.errorf("", "%s where an object belongs", n.kind())
	}
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names) // of several errors, always the same one
	for _, name := range names {
		if slices.Contains(known, name) {
			continue
		}
		at := members[name]
		for _, k := range known {
			if strings.EqualFold(name, k) {
				return nil, at.errorf(fmt.Sprintf("write %q", k), "the member %q is spelled in the wrong case", name)
			}
		}
		if mend := foreignMember(name); mend != "" {
			return nil, at.errorf(mend, "%q is no member of an OCI profile", name)
		}
		return nil, at.errorf("known here are "+strings.Join(known, ", "), "unknown member %q", name)
	}
	return members, nil
}

// foreignMember explains members that others put into their profiles.
func foreignMember(name string) string {
	switch name {
	case "archMap":
		return `it is docker's; list the machine's own under "architectures" instead`
	case "includes", "excludes", "minKernel":
		return "it is docker's; keep the entry if the condition holds where the profile is used, and remove the member"
	case "name":
		return `it is docker's; write "names" with a list`
	case "ociVersion", "linux":
		return `this is a runtime's whole configuration; the profile is its "seccomp" in "linux"`
	case "apiVersion", "spec":
		return "this is a Kubernetes object; the profile is the file that it names"
	}
	return ""
}

// list returns the items of n; null and an absent node are an empty list.
func (n node) list() ([]node, error) {
	if n.value == nil {
		return nil, nil
	}
	items, ok := n.value.([]node)
	if !ok {
		return nil, n.errorf("", "%s where a list belongs", n.kind())
	}
	return items, nil
}

func (n node) text() (string, error) {
	s, ok := n.value.(string)
	if !ok {
		return "", n.errorf("", "%s where a string belongs", n.kind())
	}
	return s, nil
}

// number returns a whole number of at most bits bits.
func (n node) number(bits int) (uint64, error) {
	s, ok := n.value.(json.Number)
	if !ok {
		return 0, n.errorf("", "%s where a number belongs", n.kind())
	}
	v, err := strconv.ParseUint(string(s), 10, bits)
	if err != nil {
		return 0, n.errorf("", "%s is not a whole number from 0 to 2^%d-1", s, bits)
	}
	return v, nil
}
