// Package campaign decides what a scenario file, tjfuzz.yaml, says: which program is
// learned, by which command lines, with which files and environment, for how long, and what
// policy is made of it. It is strict: what it does not know is an error with its line, and with the
// word that was probably meant. It reads no other files and knows no flag's meaning: the caller
// says which settings there are. Its main hazard is a line that is passed over in silence.
package campaign

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
	"github.com/tjfuzz/tjfuzz/internal/nearest"
)

// maxSize bounds a file, in bytes.
const maxSize = 1 << 20

// Campaign is a scenario file.
type Campaign struct {
	Version     int       `yaml:"version"`
	Program     Words     `yaml:"program"`
	Commands    []Words   `yaml:"commands"`    // arguments behind the program; empty stands for none
	Files       Files     `yaml:"files"`       // in the directory that each run starts in
	Config      Words     `yaml:"config"`      // which of these files, or paths of others, are configurations
	Sockets     Sockets   `yaml:"sockets"`     // where the program can be talked to, if it is a service
	Users       []string  `yaml:"users"`       // whose process it is
	Environment Variables `yaml:"environment"` // changes of tjfuzz's own
	Workload    []string  `yaml:"workload"`    // shell commands that start the program
	Output      string    `yaml:"output"`
	State       string    `yaml:"state"`
	Inputs      Settings  `yaml:"inputs"`
	Budget      Settings  `yaml:"budget"`
	Policy      Settings  `yaml:"policy"`
}

// Words are a part of a command line: a list, or a text that is split at white space, in
// which quotes hold words together as in a shell. Nothing is expanded.
type Words []string

// File is a file for the target to find.
type File struct {
	Name    string
	Content string
	From    string // the path of a file that has the content, empty where Content has it
	Line    int
}

// Files are in the order in which they are written.
type Files []File

// Socket is where a service can be talked to.
type Socket struct {
	Name     string
	Protocol string // that it speaks; empty where it is to be found out
	Messages []Text // to begin with
	Line     int
}

// Sockets are in the order in which they are written.
type Sockets []Socket

// Text is a text, or the path of a file that has it.
type Text struct {
	Content, From string
	Line          int
}

// Variables are environment variables, NAME=VALUE or, to unset one, NAME.
type Variables []string

// Setting is one flag of learn.
type Setting struct {
	Name, Value string
	Line        int
}

// Settings are in the order in which they are written.
type Settings []Setting

// Error says what is wrong with a file, and where.
type Error struct {
	Line   int // from 1; 0 where the place is the whole file
	Detail string
	Mend   string // what to do about it; may be empty
}

func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("line %d: %s", e.Line, e.Detail)
	}
	return e.Detail
}

func at(line int, mend, format string, args ...any) *Error {
	return &Error{Line: line, Detail: fmt.Sprintf(format, args...), Mend: mend}
}

// Known are the settings that each section may have.
type Known struct {
	Inputs, Budget, Policy []string
}

// Parse reads a file. The error is an *Error.
func Parse(data []byte, known Known) (*Campaign, error) {
	switch {
	case len(data) > maxSize:
		return nil, at(0, "", "larger than %d bytes", maxSize)
	case !utf8.Valid(data):
		return nil, at(0, "", "not UTF-8")
	}
	var c Campaign
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&c); errors.Is(err, io.EOF) {
		return nil, at(0, "begin with version: 1; 'tjfuzz init -- PROGRAM' writes one", "it is empty")
	} else if err != nil {
		return nil, explained(err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, at(0, "keep one in a file", "something follows the scenario")
	}
	switch {
	case c.Version != 1:
		return nil, at(0, "write version: 1", "version %d is not known", c.Version)
	case len(c.Program) == 0:
		return nil, at(0, "write program: ./target", "no program is named")
	}
	for _, section := range []struct {
		name     string
		settings Settings
		known    []string
	}{{"inputs", c.Inputs, known.Inputs}, {"budget", c.Budget, known.Budget}, {"policy", c.Policy, known.Policy}} {
		for i, s := range section.settings {
			if !slices.Contains(section.known, s.Name) {
				return nil, unknown(s.Line, s.Name, section.name, section.known)
			}
			if slices.ContainsFunc(section.settings[:i], func(o Setting) bool { return o.Name == s.Name }) {
				return nil, at(s.Line, "keep one", "%q is repeated", s.Name)
			}
		}
	}
	for i, f := range c.Files {
		if !filepath.IsLocal(f.Name) || f.Name != filepath.Clean(f.Name) || f.Name == "." || strings.Contains(f.Name, "\x00") {
			return nil, at(f.Line, "name it relative to the directory of the run", "the file name %q leads out of that directory", f.Name)
		}
		for j, o := range c.Files {
			if i != j && (o.Name == f.Name || strings.HasPrefix(o.Name, f.Name+"/")) {
				return nil, at(f.Line, "rename one", "the file %q is there twice, or is the directory of another", f.Name)
			}
		}
	}
	return &c, nil
}

// unknown is the error for a name that nobody knows.
func unknown(line int, name, where string, known []string) *Error {
	mend := "known there are " + strings.Join(known, ", ")
	if near := nearest.To(name, known); near != "" {
		mend = fmt.Sprintf("did you mean %q?", near)
	}
	return at(line, mend, "%s has no %q", where, name)
}

// The messages of the YAML library that concern what somebody has written.
var (
	ofField = lazyregexp.New(`^line (\d+): field (.*) not found in type `)
	ofLine  = lazyregexp.New(`^(?:yaml: )?line (\d+): (.*)`)
)

// explained makes the library's error one of ours: the first, if there are several.
func explained(err error) *Error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	text := err.Error()
	var typed *yaml.TypeError
	if errors.As(err, &typed) && len(typed.Errors) > 0 {
		text = typed.Errors[0]
	}
	var line int
	if m := ofField.FindStringSubmatch(text); m != nil {
		_, _ = fmt.Sscan(m[1], &line) // digits, as the expression says
		return unknown(line, m[2], "a scenario file", fields())
	}
	if m := ofLine.FindStringSubmatch(text); m != nil {
		_, _ = fmt.Sscan(m[1], &line)
		text = m[2]
	}
	return at(line, "docs/scenario.md has what a file looks like", "%s", strings.TrimPrefix(text, "yaml: "))
}

// fields are the names of a scenario file's members.
func fields() []string {
	var names []string
	t := reflect.TypeFor[Campaign]()
	for i := range t.NumField() {
		names = append(names, t.Field(i).Tag.Get("yaml"))
	}
	return names
}

// UnmarshalYAML reads a text or a list.
func (w *Words) UnmarshalYAML(n *yaml.Node) error {
	switch n.Kind {
	case yaml.ScalarNode:
		words, err := Split(n.Value)
		if err != nil {
			return at(n.Line, "", "%v", err)
		}
		*w = words
		return nil
	case yaml.SequenceNode:
		for _, item := range n.Content {
			if item.Kind != yaml.ScalarNode {
				return at(item.Line, "", "a word belongs here")
			}
			*w = append(*w, item.Value)
		}
		return nil
	}
	return at(n.Line, "write [a, b] or a text", "words belong here")
}

// Split splits a text at white space. Single and double quotes hold words together; a
// backslash makes the next character, outside of single quotes, stand for itself.
func Split(text string) ([]string, error) {
	var words []string
	var word strings.Builder
	begun := false
	quote := rune(0)
	escaped := false
	for _, c := range text {
		switch {
		case escaped:
			word.WriteRune(c)
			escaped = false
		case c == '\\' && quote != '\'':
			escaped, begun = true, true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '"' || c == '\'':
			quote, begun = c, true
		case strings.ContainsRune(" \t\n\r", c):
			if begun {
				words = append(words, word.String())
				word.Reset()
				begun = false
			}
		default:
			word.WriteRune(c)
			begun = true
		}
	}
	if quote != 0 || escaped {
		return nil, fmt.Errorf("%q ends inside a quote", text)
	}
	if begun {
		words = append(words, word.String())
	}
	return words, nil
}

// pairs are the members of a mapping.
func pairs(n *yaml.Node, what string) ([][2]*yaml.Node, error) {
	if n.Kind != yaml.MappingNode {
		return nil, at(n.Line, "write NAME: VALUE", "%s belong here", what)
	}
	var list [][2]*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Kind != yaml.ScalarNode {
			return nil, at(n.Content[i].Line, "", "a name belongs here")
		}
		list = append(list, [2]*yaml.Node{n.Content[i], n.Content[i+1]})
	}
	return list, nil
}

// UnmarshalYAML reads "name: content" and "name: {from: path}".
func (f *Files) UnmarshalYAML(n *yaml.Node) error {
	members, err := pairs(n, "files")
	if err != nil {
		return err
	}
	for _, m := range members {
		text, ok := textOf(m[1])
		if !ok {
			return at(m[1].Line, "write the content, or {from: PATH}", "the file %q has neither", m[0].Value)
		}
		*f = append(*f, File{Name: m[0].Value, Content: text.Content, From: text.From, Line: m[0].Line})
	}
	return nil
}

// textOf reads a text or {from: path}.
func textOf(n *yaml.Node) (Text, bool) {
	switch {
	case n.Kind == yaml.ScalarNode:
		return Text{Content: n.Value, Line: n.Line}, true
	case n.Kind == yaml.MappingNode && len(n.Content) == 2 && n.Content[0].Value == "from" && n.Content[1].Kind == yaml.ScalarNode && n.Content[1].Value != "":
		return Text{From: n.Content[1].Value, Line: n.Line}, true
	}
	return Text{}, false
}

// UnmarshalYAML reads "socket: protocol" and "socket: {messages: [text, {from: path}]}".
func (s *Sockets) UnmarshalYAML(n *yaml.Node) error {
	members, err := pairs(n, "sockets")
	if err != nil {
		return err
	}
	for _, m := range members {
		socket := Socket{Name: m[0].Value, Line: m[0].Line}
		if slices.ContainsFunc(*s, func(o Socket) bool { return o.Name == socket.Name }) {
			return at(m[0].Line, "keep one", "%q is repeated", socket.Name)
		}
		switch v := m[1]; {
		case v.Kind == yaml.ScalarNode && v.ShortTag() == "!!null":
		case v.Kind == yaml.ScalarNode:
			socket.Protocol = v.Value
		case v.Kind == yaml.MappingNode && len(v.Content) == 2 && v.Content[0].Value == "messages" && v.Content[1].Kind == yaml.SequenceNode && len(v.Content[1].Content) > 0:
			for _, item := range v.Content[1].Content {
				text, ok := textOf(item)
				if !ok {
					return at(item.Line, "write the text, or {from: PATH}", "a message of %q has neither", socket.Name)
				}
				socket.Messages = append(socket.Messages, text)
			}
		default:
			return at(v.Line, "write the protocol, or {messages: [...]}", "the socket %q has neither", socket.Name)
		}
		*s = append(*s, socket)
	}
	return nil
}

// UnmarshalYAML reads "NAME: value"; null unsets.
func (e *Variables) UnmarshalYAML(n *yaml.Node) error {
	members, err := pairs(n, "variables")
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, m := range members {
		name := m[0].Value
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00"):
			return at(m[0].Line, "", "%q names no environment variable", name)
		case seen[name]:
			return at(m[0].Line, "keep one", "%q is repeated", name)
		case m[1].Kind != yaml.ScalarNode || strings.Contains(m[1].Value, "\x00"):
			return at(m[1].Line, "", "the variable %s has no value that is a text", name)
		}
		seen[name] = true
		if m[1].ShortTag() == "!!null" {
			*e = append(*e, name)
		} else {
			*e = append(*e, name+"="+m[1].Value)
		}
	}
	return nil
}

// UnmarshalYAML reads "flag: value"; a list stands for its items, separated by commas.
func (s *Settings) UnmarshalYAML(n *yaml.Node) error {
	members, err := pairs(n, "settings")
	if err != nil {
		return err
	}
	for _, m := range members {
		items := []*yaml.Node{m[1]}
		if m[1].Kind == yaml.SequenceNode {
			items = m[1].Content
		}
		var values []string
		for _, item := range items {
			if item.Kind != yaml.ScalarNode || item.ShortTag() == "!!null" {
				return at(m[0].Line, "give it one, or leave the line out", "%q has no value", m[0].Value)
			}
			values = append(values, item.Value)
		}
		*s = append(*s, Setting{Name: m[0].Value, Value: strings.Join(values, ","), Line: m[0].Line})
	}
	return nil
}
