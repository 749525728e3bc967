package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"gopkg.in/yaml.v3"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/synth/document"
)

// Rules say what becomes of calls. They are read from YAML:
//
//	version: 1
//	rules:
//	  - syscall: [open, openat]
//	    path: [/etc/*, /srv/**]       # absolute, as the caller sees it
//	    args: {flags: {forbid: [O_CREAT]}}
//	    answer: open                  # or continue, errno NAME, value N, kill, ask
//	  - syscall: connect
//	    address: ["127.0.0.0/8:80", "[::1]:*", "unix:/run/*"]
//	    answer: continue
//	otherwise: errno EPERM
//
// The first rule decides of which everything fits. In a path, * is any part of a name,
// and ** at the end all that is below. A rule with a path or an address does not fit a
// call of which that cannot be read.
type Rules struct {
	rules     []rule
	otherwise verdict
	line      int // of otherwise
}

// rule is one of the Rules, for one syscall.
type rule struct {
	id        sysno.ID
	choices   []synth.Choice
	paths     []string
	addresses []string
	then      verdict
	line      int
}

// verdict is an answer, or that a person is asked.
type verdict struct {
	Answer
	ask bool
}

// maxRules bounds the size of the file of rules.
const maxRules = 1 << 20

// ReadRules reads rules for calls of any ABI that this machine has. An error says where.
func ReadRules(data []byte) (*Rules, error) {
	if len(data) > maxRules {
		return nil, fmt.Errorf("larger than %d bytes", maxRules)
	}
	var file struct {
		Version   string
		Otherwise yaml.Node
		Rules     []struct {
			Syscall yaml.Node
			Path    yaml.Node
			Address yaml.Node
			Args    yaml.Node
			Answer  yaml.Node
		}
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&file); errors.Is(err, io.EOF) {
		return nil, errors.New("empty; begin with version: 1")
	} else if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("data behind the rules; keep one list in a file")
	}
	if file.Version != "1" {
		return nil, fmt.Errorf("unknown version %q; this is version 1", file.Version)
	}
	r := &Rules{line: file.Otherwise.Line}
	var err error
	if r.otherwise, err = readAnswer(&file.Otherwise); err != nil {
		return nil, err
	}
	if r.otherwise.Kind == Open {
		return nil, at(&file.Otherwise, "not every call opens a file; write a rule for those that do")
	}
	for i := range file.Rules {
		f := &file.Rules[i]
		names, err := wordsOf(&f.Syscall)
		if err != nil {
			return nil, err
		}
		if len(names) == 0 {
			return nil, fmt.Errorf("rule %d: no syscall; name one, or several as a list", i+1)
		}
		t := rule{line: f.Syscall.Line}
		if t.then, err = readAnswer(&f.Answer); err != nil {
			return nil, fmt.Errorf("rule %d: %w", i+1, err)
		}
		if t.paths, err = wordsOf(&f.Path); err != nil {
			return nil, err
		}
		if t.addresses, err = wordsOf(&f.Address); err != nil {
			return nil, err
		}
		for _, p := range t.paths {
			if _, err := path.Match(strings.TrimSuffix(p, "/**"), ""); err != nil || !strings.HasPrefix(p, "/") {
				return nil, at(&f.Path, "%q is no pattern of absolute paths; begin with a slash", p)
			}
		}
		for _, a := range t.addresses {
			if err := checkAddress(a); err != nil {
				return nil, at(&f.Address, "%v", err)
			}
		}
		for _, name := range names {
			more, err := t.of(name, &f.Syscall, &f.Args)
			if err != nil {
				return nil, err
			}
			r.rules = append(r.rules, more...)
		}
	}
	return r, nil
}

// of makes a rule for a name, for each ABI of this machine that has it.
func (t rule) of(name string, where, args *yaml.Node) ([]rule, error) {
	var rules []rule
	for _, a := range sysno.Archs() {
		if a.Audit() != sysno.Native().Audit() && (sysno.Native() != sysno.AMD64 || a != sysno.I386) {
			continue
		}
		id, ok := sysno.Lookup(a, name)
		if !ok {
			continue
		}
		t.id = id
		if t.then.Kind == Open && name != "open" && name != "openat" {
			return nil, at(where, "%s opens no file that could be opened here; open and openat do", name)
		}
		hasPath := slices.ContainsFunc(id.Args(), func(a sysno.Arg) bool { return a.Kind == sysno.KindPath })
		if len(t.paths) > 0 && !hasPath {
			return nil, at(where, "%s has no path", name)
		}
		if _, _, has := addressArgs(id); len(t.addresses) > 0 && !has {
			return nil, at(where, "%s has no address in its arguments; connect, bind and sendto have", name)
		}
		if args.Kind != 0 {
			var err error
			if t.choices, err = document.Arguments(id, args); err != nil {
				return nil, err
			}
		}
		rules = append(rules, t)
	}
	if len(rules) == 0 {
		_, err := sysno.Parse(sysno.Native(), name)
		return nil, at(where, "%v", err)
	}
	return rules, nil
}

func at(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("line %d, column %d: %s", n.Line, n.Column, fmt.Sprintf(format, args...))
}

// wordsOf are the words of a list, or a word by itself.
func wordsOf(n *yaml.Node) ([]string, error) {
	items := n.Content
	switch n.Kind {
	case 0:
		return nil, nil
	case yaml.ScalarNode:
		items = []*yaml.Node{n}
	case yaml.SequenceNode:
	default:
		return nil, at(n, "a word or a list of words belongs here")
	}
	var words []string
	for _, item := range items {
		if item.Kind != yaml.ScalarNode || item.Value == "" {
			return nil, at(item, "a word belongs here")
		}
		words = append(words, item.Value)
	}
	return words, nil
}

func readAnswer(n *yaml.Node) (verdict, error) {
	if n.Kind != yaml.ScalarNode {
		return verdict{}, errors.New("no answer; write continue, errno NAME, value N, open, kill or ask")
	}
	v, err := parseAnswer(n.Value)
	if err != nil {
		return v, at(n, "%v", err)
	}
	return v, nil
}

func parseAnswer(text string) (verdict, error) {
	word, datum, takes := strings.Cut(text, " ")
	switch {
	case word == "errno" && takes:
		if e, ok := sysno.Errno(datum); ok {
			return verdict{Answer: Answer{Kind: Errno, Errno: e}}, nil
		}
		n, err := strconv.ParseUint(datum, 10, 12)
		if err != nil || n == 0 {
			return verdict{}, fmt.Errorf("%q is neither the name of an errno nor a number from 1 to 4095", datum)
		}
		return verdict{Answer: Answer{Kind: Errno, Errno: unix.Errno(n)}}, nil
	case word == "value" && takes:
		n, err := strconv.ParseInt(datum, 0, 64)
		if err != nil {
			return verdict{}, fmt.Errorf("%q is not a number", datum)
		}
		return verdict{Answer: Answer{Kind: Value, Value: n}}, nil
	}
	for k, name := range map[Kind]string{Continue: "continue", Open: "open", Kill: "kill"} {
		if text == name {
			return verdict{Answer: Answer{Kind: k}}, nil
		}
	}
	if text == "ask" {
		return verdict{ask: true}, nil
	}
	return verdict{}, fmt.Errorf("unknown answer %q; known are continue, errno NAME, value N, open, kill and ask", text)
}

// Default are rules that say the same of every call: "continue", "errno NAME", "ask".
func Default(answer string) (*Rules, error) {
	v, err := parseAnswer(answer)
	if err == nil && v.Kind == Open {
		err = errors.New("not every call opens a file; write a rule for those that do")
	}
	return &Rules{otherwise: v}, err
}

// Asks reports whether a person may be asked.
func (r *Rules) Asks() bool {
	return r.otherwise.ask || slices.ContainsFunc(r.rules, func(t rule) bool { return t.then.ask })
}

// Trusting reports whether a call may go on because of what its pointers lead to, which
// its caller can change before the kernel reads it. A person sees the same.
func (r *Rules) Trusting() bool {
	return r.Asks() || slices.ContainsFunc(r.rules, func(t rule) bool {
		return t.then.Kind == Continue && len(t.paths)+len(t.addresses) > 0
	})
}

// find is the verdict on a call.
func (r *Rules) find(c *Call) (verdict, *rule) {
	var (
		paths           []string
		address         string
		gotPaths, gotIt bool
		read            bool
	)
	for i := range r.rules {
		t := &r.rules[i]
		if t.id != c.ID || !t.fits(c.Args) {
			continue
		}
		if len(t.paths)+len(t.addresses) > 0 && !read {
			read = true
			paths, gotPaths = c.paths()
			address, gotIt = c.Address()
		}
		if len(t.paths) > 0 && (!gotPaths || !every(paths, func(p string) bool { return anyMatches(t.paths, p) })) {
			continue
		}
		if len(t.addresses) > 0 && (!gotIt || !slices.ContainsFunc(t.addresses, func(a string) bool { return matchAddress(a, address) })) {
			continue
		}
		v := t.then
		v.By = fmt.Sprintf("line %d of the rules", t.line)
		if v.Kind == Open {
			v.file = &file{path: paths[0], flags: c.Args[t.flagsArg()]}
		}
		return v, t
	}
	v := r.otherwise
	v.By = "what is said of all other calls"
	return v, nil
}

// flagsArg is the argument of open and openat that has the flags.
func (t *rule) flagsArg() int {
	if name, _ := t.id.Name(); name == "open" {
		return 1
	}
	return 2
}

func (t *rule) fits(args [6]uint64) bool {
	return every(t.choices, func(c synth.Choice) bool {
		return slices.ContainsFunc(c.OneOf, func(cond synth.Cond) bool { return cond.Matches(args[cond.Index]) })
	})
}

func every[T any](all []T, holds func(T) bool) bool {
	return !slices.ContainsFunc(all, func(x T) bool { return !holds(x) })
}

func anyMatches(patterns []string, p string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matchPath(pattern, p) })
}

// matchPath matches as path.Match does, and what ends in /** with all that is below.
func matchPath(pattern, p string) bool {
	dir, below := strings.CutSuffix(pattern, "/**")
	if !below {
		ok, _ := path.Match(pattern, p)
		return ok
	}
	depth := strings.Count(dir, "/")
	for i := range p {
		if p[i] == '/' && depth == strings.Count(p[:i], "/") {
			ok, _ := path.Match(dir, p[:i])
			if ok {
				return true
			}
		}
	}
	return false
}

// checkAddress refuses what matchAddress would never match.
func checkAddress(pattern string) error {
	if strings.HasPrefix(pattern, "unix:") || slices.Contains([]string{"netlink", "unspecified", "none"}, pattern) || strings.HasPrefix(pattern, "family ") {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("%q is no pattern", pattern)
		}
		return nil
	}
	host, port, err := cutPort(pattern)
	if err != nil {
		return err
	}
	if host != "*" {
		if _, err := prefix(host); err != nil {
			return fmt.Errorf("%q is neither an address nor a network such as 10.0.0.0/8", host)
		}
	}
	if port != "*" {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return fmt.Errorf("%q is no port", port)
		}
	}
	return nil
}

func cutPort(s string) (host, port string, err error) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", "", fmt.Errorf("%q has no port; write it behind a colon, * for any", s)
	}
	host = s[:i]
	if rest, six := strings.CutPrefix(host, "["); six {
		host = strings.Replace(rest, "]", "", 1) // "[fe80::]/10"
	}
	return host, s[i+1:], nil
}

func prefix(host string) (netip.Prefix, error) {
	if strings.Contains(host, "/") {
		return netip.ParsePrefix(host)
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}, err
	}
	return a.Prefix(a.BitLen())
}

func matchAddress(pattern, address string) bool {
	if strings.HasPrefix(pattern, "unix:") || strings.HasPrefix(address, "unix:") {
		return matchPath(pattern, address)
	}
	if pattern == address {
		return true
	}
	is, err := netip.ParseAddrPort(address)
	if err != nil {
		return false
	}
	host, port, err := cutPort(pattern)
	if err != nil || port != "*" && port != strconv.Itoa(int(is.Port())) {
		return false
	}
	if host == "*" {
		return true
	}
	p, err := prefix(host)
	return err == nil && p.Contains(is.Addr().Unmap())
}

// Agent decides by rules, and asks a person where these say so.
type Agent struct {
	Rules *Rules
	Ask   func(ctx context.Context, c *Call) Answer // nil where nobody can be asked: then EPERM
}

// Decide implements Decider.
func (a *Agent) Decide(_ context.Context, c *Call) (Answer, func(context.Context) Answer) {
	v, _ := a.Rules.find(c)
	if !v.ask {
		return v.Answer, nil
	}
	if a.Ask == nil {
		return Answer{Kind: Errno, Errno: unix.EPERM, By: v.By + ", and nobody can be asked"}, nil
	}
	return Answer{}, func(ctx context.Context) Answer { return a.Ask(ctx, c) }
}
