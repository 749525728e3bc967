package format

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// WriteOCI writes a policy as an OCI profile, in the one form that this package
// gives to its meaning: one entry for each functional group, verdict and list of
// conditions, sorted. The file has no members beyond the specification's, so that
// old runtimes take it; tiers and reasons stay behind in the evidence.
//
// A name in a profile stands for all listed architectures. Where the policy tells
// them apart, the file says more than the policy; Widenings lists what. Where the
// policy answers them differently, and where it has a number without a name, no
// profile can say it, and WriteOCI fails. It also refuses what Validate refuses.
func WriteOCI(w io.Writer, p *synth.Policy) error {
	profile, err := profileOf(p)
	if err != nil {
		return fmt.Errorf("write profile: %w", err)
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(profile); err != nil {
		return fmt.Errorf("write profile: %w", err)
	}
	return nil
}

// Widenings lists the rules that a profile of the policy has beyond the policy's
// own, because a name in a profile stands for every listed architecture. It is
// empty for a policy with one architecture.
func Widenings(p *synth.Policy) []string {
	own := p.Rules()
	var wider []string
	for _, r := range expand(p) {
		if !slices.ContainsFunc(own, func(o synth.Rule) bool { return o.Compare(&r) == 0 }) {
			wider = append(wider, r.String())
		}
	}
	slices.Sort(wider)
	return slices.Compact(wider)
}

// expand is what the policy's rules become when each is written by name: rules for
// every listed architecture that has the name.
func expand(p *synth.Policy) []synth.Rule {
	var rules []synth.Rule
	for _, r := range p.Rules() {
		name, ok := r.ID.Name()
		if !ok {
			continue
		}
		for _, a := range p.Archs {
			if id, ok := sysno.Lookup(a, name); ok {
				twin := r
				twin.ID = id
				rules = append(rules, twin)
			}
		}
	}
	return rules
}

func profileOf(p *synth.Policy) (*specs.LinuxSeccomp, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	for _, r := range p.Rules() {
		if _, ok := r.ID.Name(); !ok {
			return nil, fmt.Errorf("%v has no name; a profile can say names only; drop the rule", r.ID)
		}
	}
	written := *p
	written.Groups = synth.Arrange(expand(p))
	if err := written.Validate(); err != nil {
		return nil, fmt.Errorf("a profile cannot answer architectures differently: %w", err)
	}

	if !utf8.ValidString(p.Listener) || !utf8.ValidString(p.ListenerMetadata) {
		return nil, errors.New("the listener is not UTF-8; JSON cannot hold it")
	}
	profile := &specs.LinuxSeccomp{
		DefaultAction:    actionName(p.Default.Action),
		DefaultErrnoRet:  errnoOf(p.Default),
		ListenerPath:     p.Listener,
		ListenerMetadata: p.ListenerMetadata,
	}
	for _, a := range p.Archs {
		profile.Architectures = append(profile.Architectures, archName(a))
	}
	for _, f := range p.Flags {
		if !slices.Contains(flagWords(), specs.LinuxSeccompFlag(f)) {
			return nil, fmt.Errorf("unknown flag %q", f)
		}
		profile.Flags = append(profile.Flags, specs.LinuxSeccompFlag(f))
	}
	slices.Sort(profile.Flags)
	for _, g := range written.Groups {
		profile.Syscalls = append(profile.Syscalls, entriesOf(g)...)
	}
	return profile, nil
}

// entriesOf makes one entry of all rules in a group that share verdict and
// conditions.
func entriesOf(g synth.Group) []specs.LinuxSyscall {
	rules := slices.Clone(g.Rules)
	shape := func(a, b synth.Rule) int {
		return cmp.Or(
			cmp.Compare(a.Verdict.Action, b.Verdict.Action),
			cmp.Compare(a.Verdict.Errno, b.Verdict.Errno),
			slices.CompareFunc(a.Args, b.Args, synth.Cond.Compare),
		)
	}
	slices.SortStableFunc(rules, shape)
	var entries []specs.LinuxSyscall
	for i, r := range rules {
		if i == 0 || shape(rules[i-1], r) != 0 {
			entries = append(entries, specs.LinuxSyscall{
				Action: actionName(r.Verdict.Action), ErrnoRet: errnoOf(r.Verdict), Args: argsOf(r.Args),
			})
		}
		entry := &entries[len(entries)-1]
		name, _ := r.ID.Name()
		entry.Names = append(entry.Names, name)
	}
	for i := range entries {
		slices.Sort(entries[i].Names)
		entries[i].Names = slices.Compact(entries[i].Names)
	}
	return entries
}

func argsOf(conds []synth.Cond) []specs.LinuxSeccompArg {
	var args []specs.LinuxSeccompArg
	for _, c := range conds {
		arg := specs.LinuxSeccompArg{Index: uint(c.Index), Value: c.Value}
		for _, k := range opWords() {
			if k.op == c.Op {
				arg.Op = k.word
			}
		}
		if c.Op == synth.MaskedEqual {
			arg.Value, arg.ValueTwo = c.Mask, c.Value
		}
		args = append(args, arg)
	}
	return args
}

func actionName(a synth.Action) specs.LinuxSeccompAction {
	for _, k := range actionWords() {
		if k.action == a {
			return k.word
		}
	}
	return ""
}

// errnoOf is always explicit: runtimes differ in what they take for granted.
func errnoOf(v synth.Verdict) *uint {
	if v.Action != synth.Errno && v.Action != synth.Trace {
		return nil
	}
	n := uint(v.Errno)
	return &n
}

// NewerNames lists the syscalls of the policy that libseccomp 2.5.4 does not know,
// sorted. Runtimes skip such names without a word, so on a host with that version
// these rules have no effect. Upstream's 2.5.4 knows the syscalls of Linux 5.17; the
// package of Debian 12 has those up to futex_requeue besides.
func NewerNames(p *synth.Policy) []string {
	newer := []string{
		"cachestat", "fchmodat2", "file_getattr", "file_setattr", "futex_requeue", "futex_wait", "futex_wake",
		"getxattrat", "listmount", "listns", "listxattrat", "lsm_get_self_attr", "lsm_list_modules",
		"lsm_set_self_attr", "map_shadow_stack", "mseal", "open_tree_attr", "removexattrat", "rseq_slice_yield",
		"setxattrat", "statmount", "uprobe", "uretprobe",
	}
	var found []string
	for _, r := range p.Rules() {
		if name, ok := r.ID.Name(); ok && slices.Contains(newer, name) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}
