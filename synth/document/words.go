package document

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// Override is the policy with what a person says in one line: a verdict for a list,
// separated by commas, of
//
//	ptrace                          a call, of every architecture that has it
//	i386:ptrace                     of one
//	$165                            a number, of the native architecture
//	@network-io                     a group
//	socket{domain: [AF_INET]}       a call with conditions, as in a document
//	!recvmsg                        but not this call or group
//
// What the list says wins over the policy. A call that is taken out is left as it was,
// where it was in the list by its group; else the policy's own rules for it that have
// the verdict go, and the default decides. group and reason are those of the new
// rules. The result need not be valid.
func Override(p *synth.Policy, v synth.Verdict, list, group, reason string) (*synth.Policy, error) {
	words, err := splitWords(list)
	if err != nil {
		return nil, err
	}
	var rules []synth.Rule
	for _, word := range words {
		if strings.HasPrefix(word, "!") {
			continue
		}
		more, err := wordRules(word, v, p.Archs, reason)
		if err != nil {
			return nil, err
		}
		rules = append(rules, more...)
	}
	for _, word := range words {
		name, out := strings.CutPrefix(word, "!")
		if !out {
			continue
		}
		named, err := wordRules(name, v, p.Archs, reason)
		if err != nil {
			return nil, err
		}
		found := false
		for _, n := range named {
			if len(n.Args) > 0 {
				return nil, fmt.Errorf("%s: what is taken out has no conditions; take the call out, and say it with other conditions", word)
			}
			had := len(rules)
			rules = slices.DeleteFunc(rules, func(r synth.Rule) bool { return r.ID == n.ID })
			if len(rules) < had {
				found = true
				continue
			}
			var count int
			p, count = p.Withdraw(n.ID, v)
			found = found || count > 0
		}
		if !found {
			return nil, fmt.Errorf("%s: there is no rule with %q for it to take out; all other calls get %q", word, v, p.Default)
		}
	}
	return p.Override(group, rules)
}

// wordRules reads one word without its exclamation mark.
func wordRules(text string, v synth.Verdict, archs []sysno.Arch, reason string) ([]synth.Rule, error) {
	name, conditions, braces := strings.Cut(text, "{")
	name = strings.TrimSpace(name)
	if name == "" {
		return nil, errors.New("a call is missing; write names separated by commas")
	}
	if strings.HasPrefix(name, "$") {
		name = sysno.Native().String() + ":" + name
	}
	value := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	if braces {
		var doc yaml.Node
		from := yaml.NewDecoder(strings.NewReader("{" + conditions))
		if err := from.Decode(&doc); err != nil {
			return nil, fmt.Errorf("%s: %v", text, err)
		}
		if err := from.Decode(new(yaml.Node)); err != io.EOF {
			return nil, fmt.Errorf("%s: something follows the conditions", text)
		}
		if value = doc.Content[0]; value.Kind != yaml.MappingNode {
			return nil, fmt.Errorf("%s: conditions are like {domain: AF_UNIX}", text)
		}
		for i := 0; i < len(value.Content); i += 2 {
			if key := value.Content[i].Value; key == keyThen || key == keyBecause {
				return nil, fmt.Errorf("%s: %q has no place here", text, key)
			}
		}
	}
	key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name}
	placed, err := readRule(entry{key, value}, synth.Manual, archs, reason)
	var e *Error
	if errors.As(err, &e) { // a line of text has no lines and columns to speak of
		e.Line, e.Column = 0, 0
	}
	if err != nil {
		return nil, err
	}
	var rules []synth.Rule
	for _, r := range placed {
		r.Verdict = v
		rules = append(rules, r.Rule)
	}
	return rules, nil
}

// splitWords splits a list at the commas outside of brackets and quotes.
func splitWords(list string) ([]string, error) {
	var words []string
	depth, start := 0, 0
	quote := byte(0)
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case c == ',' && depth == 0:
			words = append(words, strings.TrimSpace(list[start:i]))
			start = i + 1
		}
	}
	if depth != 0 || quote != 0 {
		return nil, fmt.Errorf("%s: a bracket or a quote is not closed", list)
	}
	words = append(words, strings.TrimSpace(list[start:]))
	if slices.Contains(words, "") {
		return nil, errors.New("a call is missing; write names separated by commas")
	}
	return words, nil
}
