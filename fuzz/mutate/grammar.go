package mutate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Grammar is a context-free grammar of what a program reads. It is immutable.
type Grammar struct {
	names  []string // by symbol; symbol 0 is <start>
	rules  [][]rule // by symbol: its alternatives
	height []int    // by symbol: of the flattest tree that it can stand for
	empty  []bool   // by symbol: whether it can stand for nothing
}

// rule is one alternative: text and symbols, one after the other.
type rule []part

// part is a symbol, or where text is not nil that text.
type part struct {
	symbol int
	text   []byte
}

const startSymbol = "<start>"

// The bounds of a grammar.
const (
	maxGrammar = 1 << 20
	maxRules   = 1 << 14
)

// ReadGrammar reads a grammar in the JSON form of The Fuzzing Book: an object whose
// keys are symbols, "<name>", and whose values are lists of alternatives, each a
// string in which <name> stands for that symbol and all else for itself:
//
//	{"<start>": ["<list>"], "<list>": ["[]", "[<list>,<list>]", "<digit>"], "<digit>": ["0", "1"]}
//
// In an alternative \\ is a backslash and \xNN is a byte, after JSON has read its own
// escapes: "\\x3ca>" is the text <a>. The grammar begins with <start>. An error names
// line and column: what is not of this form, a symbol that is not defined, that is
// never used, or that stands for nothing finite.
func ReadGrammar(r io.Reader) (*Grammar, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxGrammar+1))
	if err != nil {
		return nil, fmt.Errorf("read grammar: %w", err)
	}
	if len(data) > maxGrammar {
		return nil, fmt.Errorf("grammar of more than %d bytes", maxGrammar)
	}
	p := grammarReader{data: data, dec: json.NewDecoder(bytes.NewReader(data)), index: make(map[string]int)}
	if err := p.read(); err != nil {
		line, column := position(data, p.at)
		return nil, fmt.Errorf("grammar line %d, column %d: %w", line, column, err)
	}
	return p.g, nil
}

// position is the line and column, in bytes, of an offset.
func position(data []byte, at int) (line, column int) {
	before := data[:min(max(at, 0), len(data))]
	return 1 + bytes.Count(before, []byte("\n")), len(before) - bytes.LastIndexByte(before, '\n')
}

type grammarReader struct {
	data    []byte
	dec     *json.Decoder
	at      int // of what is being read, or of what is wrong
	g       *Grammar
	index   map[string]int
	defined []int // by symbol: offset of its definition
	used    []int // by symbol: offset of its first use, or -1
	count   int
}

// next is the next token. at is where it begins.
func (p *grammarReader) next() (json.Token, error) {
	p.at = int(p.dec.InputOffset())
	t, err := p.dec.Token()
	if err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			p.at = int(syntax.Offset) - 1
		}
		if errors.Is(err, io.EOF) {
			p.at = len(p.data)
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	p.at += len(p.data[p.at:]) - len(bytes.TrimLeft(p.data[p.at:], " \t\r\n,:"))
	return t, nil
}

func (p *grammarReader) delim(want json.Delim) error {
	t, err := p.next()
	if err == nil && t != want {
		err = fmt.Errorf("want %q, got %v", want.String(), t)
	}
	return err
}

// symbol is the number of a name, which gets one when it is seen first.
func (p *grammarReader) symbol(name string) int {
	if i, ok := p.index[name]; ok {
		return i
	}
	i := len(p.g.names)
	p.index[name] = i
	p.g.names = append(p.g.names, name)
	p.g.rules = append(p.g.rules, nil)
	p.defined, p.used = append(p.defined, -1), append(p.used, -1)
	return i
}

func (p *grammarReader) read() error {
	p.g = &Grammar{}
	p.used[p.symbol(startSymbol)] = 0
	if err := p.delim('{'); err != nil {
		return err
	}
	for p.dec.More() {
		if err := p.define(); err != nil {
			return err
		}
	}
	if err := p.delim('}'); err != nil {
		return err
	}
	p.at = int(p.dec.InputOffset())
	if rest := bytes.TrimLeft(p.data[p.at:], " \t\r\n"); len(rest) > 0 {
		p.at = len(p.data) - len(rest)
		return errors.New("text after the grammar")
	}
	return p.check()
}

// define reads a symbol with its alternatives.
func (p *grammarReader) define() error {
	t, err := p.next()
	if err != nil {
		return err
	}
	name := t.(string) // Token gives no other key
	if n := symbolLength(name); n == 0 || n != len(name) {
		return fmt.Errorf("%q is not the name of a symbol, such as %q", name, startSymbol)
	}
	s := p.symbol(name)
	if p.defined[s] >= 0 {
		return fmt.Errorf("%s is defined twice", name)
	}
	p.defined[s] = p.at
	if err := p.delim('['); err != nil {
		return fmt.Errorf("alternatives of %s: %w", name, err)
	}
	for p.dec.More() {
		t, err := p.next()
		if err != nil {
			return err
		}
		text, ok := t.(string)
		if !ok {
			return fmt.Errorf("an alternative of %s is not a string", name)
		}
		if p.count++; p.count > maxRules {
			return fmt.Errorf("more than %d alternatives", maxRules)
		}
		alternative, err := p.alternative(text)
		if err != nil {
			return err
		}
		p.g.rules[s] = append(p.g.rules[s], alternative)
	}
	if err := p.delim(']'); err != nil {
		return err
	}
	if len(p.g.rules[s]) == 0 {
		p.at = p.defined[s]
		return fmt.Errorf("%s has no alternative", name)
	}
	return nil
}

// symbolLength is how long the name of a symbol is that s begins with, 0 for none.
func symbolLength(s string) int {
	if !strings.HasPrefix(s, "<") {
		return 0
	}
	n := strings.IndexAny(s[1:], "<> \t\r\n\\")
	if n < 1 || s[1+n] != '>' {
		return 0
	}
	return n + 2
}

func (p *grammarReader) alternative(s string) (rule, error) {
	out := rule{} // not nil: an empty alternative
	text := []byte(nil)
	flush := func() {
		if len(text) > 0 {
			out = append(out, part{text: text})
			text = nil
		}
	}
	for i := 0; i < len(s); {
		if n := symbolLength(s[i:]); n > 0 {
			flush()
			symbol := p.symbol(s[i : i+n])
			if p.used[symbol] < 0 {
				p.used[symbol] = p.at
			}
			out = append(out, part{symbol: symbol})
			i += n
			continue
		}
		switch {
		case s[i] != '\\':
			text = append(text, s[i])
			i++
		case strings.HasPrefix(s[i:], `\\`):
			text = append(text, '\\')
			i += 2
		case strings.HasPrefix(s[i:], `\x`) && i+3 < len(s) && nibble(s[i+2]) >= 0 && nibble(s[i+3]) >= 0:
			text = append(text, byte(nibble(s[i+2])<<4|nibble(s[i+3])))
			i += 4
		default:
			return nil, fmt.Errorf("%q is not an escape; \\\\ and \\xNN are", s[i:min(len(s), i+4)])
		}
	}
	flush()
	return out, nil
}

// endless is the height of what stands for nothing finite.
const endless = 1 << 30

// check finds symbols that are wrong, and fills in what generation and parsing need.
func (p *grammarReader) check() error {
	g := p.g
	for s, name := range g.names {
		switch {
		case p.defined[s] < 0 && name == startSymbol:
			p.at = 0
			return fmt.Errorf("%s is not defined", name)
		case p.defined[s] < 0:
			p.at = p.used[s]
			return fmt.Errorf("%s is not defined; write <a> as \\x3ca> where it is a text", name)
		case p.used[s] < 0:
			p.at = p.defined[s]
			return fmt.Errorf("%s is never used", name)
		}
	}
	g.height, g.empty = make([]int, len(g.names)), make([]bool, len(g.names))
	for s := range g.height {
		g.height[s] = endless
	}
	for changed := true; changed; {
		changed = false
		for s, rules := range g.rules {
			for _, r := range rules {
				if h := 1 + g.ruleHeight(r); h < g.height[s] {
					g.height[s] = h
					changed = true
				}
				if !g.empty[s] && g.ruleEmpty(r) {
					g.empty[s] = true
					changed = true
				}
			}
		}
	}
	for s, h := range g.height {
		if h >= endless {
			p.at = p.defined[s]
			return fmt.Errorf("every alternative of %s goes on for ever", g.names[s])
		}
	}
	return nil
}

// ruleHeight is the height of the flattest trees below a rule.
func (g *Grammar) ruleHeight(r rule) int {
	h := 0
	for _, p := range r {
		if p.text == nil {
			h = max(h, g.height[p.symbol])
		}
	}
	return h
}

func (g *Grammar) ruleEmpty(r rule) bool {
	for _, p := range r {
		if p.text != nil || !g.empty[p.symbol] {
			return false
		}
	}
	return true
}
