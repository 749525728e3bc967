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
	where string
	value any // map[string]node, []node, string, json.Number, bool or nil
}

// parse reads one JSON value and nothing else.
func parse(r io.Reader) (node, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxProfileSize+1))
	if err != nil {
		return node{}, err
	}
	whole := node{where: "profile"}
	switch {
	case len(data) > maxProfileSize:
		return node{}, whole.errorf("", "larger than %d bytes", maxProfileSize)
	case !utf8.Valid(data):
		return node{}, whole.errorf("", "not UTF-8")
	case len(bytes.TrimSpace(data)) == 0:
		return node{}, whole.errorf("", "empty")
	}
	rest := &reader{data}
	n, err := rest.value(whole.where, 0)
	if err != nil {
		return node{}, err
	}
	if rest.skip(); len(rest.data) > 0 {
		return node{}, whole.errorf("remove what follows it", "data behind the JSON value")
	}
	return n, nil
}

// reader reads JSON (RFC 8259) off data, which is UTF-8. The tokens of encoding/json take more than
// twice as long, for which each start of a program under a profile waits.
type reader struct{ data []byte }

// skip takes away the white space that comes next.
func (r *reader) skip() {
	for len(r.data) > 0 && (r.data[0] == ' ' || r.data[0] == '\n' || r.data[0] == '\t' || r.data[0] == '\r') {
		r.data = r.data[1:]
	}
}

// take takes a byte away if it comes next.
func (r *reader) take(c byte) bool {
	r.skip()
	if len(r.data) == 0 || r.data[0] != c {
		return false
	}
	r.data = r.data[1:]
	return true
}

// value reads what stands at a place.
func (r *reader) value(where string, depth int) (node, error) {
	n := node{where: where}
	if depth > maxDepth {
		return n, n.errorf("", "nested deeper than %d", maxDepth)
	}
	switch {
	case r.take('{'):
		members := map[string]node{}
		for !r.take('}') {
			if len(members) > 0 && !r.take(',') {
				return n, r.wrong(n, "a comma")
			}
			name, err := r.text(n, "the name of a member")
			if err != nil {
				return n, err
			}
			if _, twice := members[name]; twice {
				return n, n.errorf("keep one", "member %q is repeated", name)
			}
			if !r.take(':') {
				return n, r.wrong(n, "a colon")
			}
			if members[name], err = r.value(n.member(name), depth+1); err != nil {
				return n, err
			}
		}
		n.value = members
	case r.take('['):
		items := []node{}
		for !r.take(']') {
			if len(items) > 0 && !r.take(',') {
				return n, r.wrong(n, "a comma")
			}
			item, err := r.value(where+"["+strconv.Itoa(len(items))+"]", depth+1)
			if err != nil {
				return n, err
			}
			items = append(items, item)
		}
		n.value = items
	case len(r.data) > 0 && r.data[0] == '"':
		text, err := r.text(n, "a value")
		if err != nil {
			return n, err
		}
		n.value = text
	default:
		end := bytes.IndexAny(r.data, ",:]}\" \t\n\r")
		if end < 0 {
			end = len(r.data)
		}
		switch word := string(r.data[:end]); word {
		case "true", "false":
			n.value = word == "true"
		case "null":
		default:
			if !json.Valid(r.data[:end]) {
				return n, r.wrong(n, "a value")
			}
			n.value = json.Number(word)
		}
		r.data = r.data[end:]
	}
	return n, nil
}

// text reads a string of n, as which part of it is said.
func (r *reader) text(n node, part string) (string, error) {
	r.skip()
	if len(r.data) == 0 || r.data[0] != '"' {
		return "", r.wrong(n, part)
	}
	plain := true
	for i := 1; i < len(r.data); i++ {
		switch c := r.data[i]; {
		case c == '\\':
			i++
			plain = false
		case c < ' ':
			plain = false // and no JSON
		case c == '"':
			quoted := r.data[:i+1]
			r.data = r.data[i+1:]
			if plain {
				return string(quoted[1:i]), nil
			}
			var s string
			if err := json.Unmarshal(quoted, &s); err != nil {
				return "", n.errorf("", "%v", err)
			}
			return s, nil
		}
	}
	r.data = nil
	return "", r.wrong(n, part)
}

// wrong says what n has instead of what belongs there.
func (r *reader) wrong(n node, what string) *ProfileError {
	if len(r.data) == 0 {
		return n.errorf("", "the JSON ends too early")
	}
	c, _ := utf8.DecodeRune(r.data)
	return n.errorf("", "%q where %s belongs", c, what)
}

func (n node) errorf(mend, format string, args ...any) *ProfileError {
	return &ProfileError{Where: n.where, Detail: fmt.Sprintf(format, args...), Mend: mend}
}

// member is the place of a member of n.
func (n node) member(name string) string {
	if n.where == "profile" {
		return name
	}
	return n.where + "." + name
}

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
