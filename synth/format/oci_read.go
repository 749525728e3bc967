package format

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// ReadOCI reads a profile for this machine. See ReadOCIFor.
func ReadOCI(r io.Reader) (*synth.Policy, error) { return ReadOCIFor(r, sysno.Native()) }

// ReadOCIFor reads a profile for a machine whose own architecture is native. A
// profile that lists no architectures means that one alone. The policy says what
// runc and crun would do with the file:
//
//   - a name stands for the syscall of every listed architecture that has it;
//   - an entry's conditions on different arguments must all hold, but conditions on
//     one argument are alternatives;
//   - an errno that is not given is EPERM.
//
// A file whose member "x-tjfuzz-groups" is true may name groups, such as "@tcp-client".
// No runtime understands it: it is for people to write, and WriteOCI never does.
//
// Rules come out in their functional groups, each with the tier Manual and its
// place in the file as the reason; entries, their order and their comments are not
// kept. Whatever is not exactly a profile, or would do less than it says, is a
// *ProfileError.
func ReadOCIFor(r io.Reader, native sysno.Arch) (*synth.Policy, error) {
	root, err := parse(r)
	if err != nil {
		return nil, fmt.Errorf("read profile: %w", err)
	}
	p, err := readProfile(root, native)
	if err != nil {
		return nil, fmt.Errorf("read profile: %w", err)
	}
	return p, nil
}

func readProfile(root node, native sysno.Arch) (*synth.Policy, error) {
	m, err := root.object("defaultAction", "defaultErrnoRet", "architectures", "flags", "listenerPath",
		"listenerMetadata", "syscalls", "comment", groupsMember)
	if err != nil {
		return nil, err
	}
	p := &synth.Policy{}
	action, ok := m["defaultAction"]
	if !ok {
		return nil, root.errorf(`say what happens to all other syscalls, such as "defaultAction": "SCMP_ACT_ERRNO"`,
			`"defaultAction" is missing; runtimes run such a container without any filter`)
	}
	if p.Default, err = readVerdict(action, m["defaultErrnoRet"]); err != nil {
		return nil, err
	}
	if p.Archs, err = readArchs(m["architectures"], native); err != nil {
		return nil, err
	}
	if p.Flags, err = readFlags(m["flags"]); err != nil {
		return nil, err
	}
	var comment string // for readers; runtimes skip it
	for _, field := range []struct {
		name string
		to   *string
	}{
		{"listenerPath", &p.Listener},
		{"listenerMetadata", &p.ListenerMetadata},
		{"comment", &comment},
	} {
		if n, ok := m[field.name]; ok {
			if *field.to, err = n.text(); err != nil {
				return nil, err
			}
		}
	}
	entries, err := m["syscalls"].list()
	if err != nil {
		return nil, err
	}
	groups := false
	if n, ok := m[groupsMember]; ok {
		if groups, ok = n.value.(bool); !ok {
			return nil, n.errorf("write true, or remove it", "%s where a boolean belongs", n.kind())
		}
	}
	var rules []synth.Rule
	for _, n := range entries {
		entry, err := readEntry(n, p.Archs, groups)
		if err != nil {
			return nil, err
		}
		rules = append(rules, entry...)
	}
	p.Groups = synth.Arrange(rules)
	if err := p.Validate(); err != nil {
		return nil, locate(err, rules)
	}
	return p, nil
}

// groupsMember is the extension that permits groups among the names.
const groupsMember = "x-tjfuzz-groups"

// readVerdict reads an action with its errno, which may be absent.
func readVerdict(action, errno node) (synth.Verdict, error) {
	known := actionWords()
	words := make([]specs.LinuxSeccompAction, len(known))
	for i, k := range known {
		words[i] = k.word
	}
	i, err := choose(action, "action", words)
	if err != nil {
		return synth.Verdict{}, err
	}
	v := synth.Verdict{Action: known[i].action}
	takesErrno := v.Action == synth.Errno || v.Action == synth.Trace
	if errno.value == nil {
		if takesErrno {
			v.Errno = uint16(syscall.EPERM) // runc and crun
		}
		return v, nil
	}
	n, err := errno.number(64)
	switch {
	case err != nil:
		return v, err
	case !takesErrno:
		return v, errno.errorf("remove it, or choose SCMP_ACT_ERRNO", "%s returns no errno", known[i].word)
	case v.Action == synth.Errno && n == 0:
		return v, errno.errorf("choose 1 to 4095, such as 1 for EPERM", "errno 0 makes the denied call look like a success")
	case v.Action == synth.Errno && n > 4095:
		return v, errno.errorf("choose 1 to 4095", "errno %d; the kernel cuts off what is above 4095", n)
	case n > 0xffff:
		return v, errno.errorf("choose 0 to 65535", "the message %d for the tracer has more than 16 bits", n)
	}
	v.Errno = uint16(n)
	return v, nil
}

func readArchs(n node, native sysno.Arch) ([]sysno.Arch, error) {
	items, err := n.list()
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return []sysno.Arch{native}, nil
	}
	known := archWords()
	words := make([]specs.Arch, len(known))
	for i, k := range known {
		words[i] = k.word
	}
	var archs []sysno.Arch
	for _, item := range items {
		if s, ok := item.value.(string); ok && slices.Contains(archsWithoutTable(), specs.Arch(s)) {
			return nil, item.errorf("remove it", "there is no syscall table for %s here", s)
		}
		i, err := choose(item, "architecture", words)
		if err != nil {
			return nil, err
		}
		archs = append(archs, known[i].arch)
	}
	slices.Sort(archs)
	archs = slices.Compact(archs)
	if err := (&synth.Policy{Archs: archs}).RunsOn(native); err != nil {
		return nil, locate(err, nil)
	}
	return archs, nil
}

func readFlags(n node) ([]string, error) {
	items, err := n.list()
	if err != nil {
		return nil, err
	}
	known := flagWords()
	var flags []string
	for _, item := range items {
		i, err := choose(item, "flag", known)
		if err != nil {
			return nil, err
		}
		flags = append(flags, string(known[i]))
	}
	slices.Sort(flags)
	return slices.Compact(flags), nil
}

// placed begins the reason of every rule that is read; its place follows.
const placed = "the profile says so at "

// readEntry reads one of the syscalls into rules: one for each name, architecture
// and alternative. groups says that a name may be a group.
func readEntry(n node, archs []sysno.Arch, groups bool) ([]synth.Rule, error) {
	m, err := n.object("names", "action", "errnoRet", "args", "comment")
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"names", "action"} {
		if _, ok := m[name]; !ok {
			return nil, n.errorf("add it", "%q is missing", name)
		}
	}
	if c, ok := m["comment"]; ok {
		if _, err := c.text(); err != nil {
			return nil, err
		}
	}
	verdict, err := readVerdict(m["action"], m["errnoRet"])
	if err != nil {
		return nil, err
	}
	alternatives, err := readArgs(m["args"])
	if err != nil {
		return nil, err
	}
	names, err := m["names"].list()
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, m["names"].errorf("name a syscall, or remove the entry", "the list is empty")
	}
	reason := placed + n.where.String()
	rules := make([]synth.Rule, 0, len(names)*len(alternatives))
	for _, item := range names {
		if text, _ := item.value.(string); groups && strings.HasPrefix(text, "@") {
			more, err := readGroup(item, text, archs, alternatives, synth.Rule{Verdict: verdict, Tier: synth.Manual, Reason: reason})
			if err != nil {
				return nil, err
			}
			rules = append(rules, more...)
			continue
		}
		ids, err := readName(item, archs)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			for _, conds := range alternatives {
				rules = append(rules, synth.Rule{
					ID: id, Verdict: verdict, Args: conds, Tier: synth.Manual, Reason: reason,
				})
			}
		}
	}
	return rules, nil
}

// readGroup is the rules for the members of a group. like has all that they share.
func readGroup(n node, name string, archs []sysno.Arch, alternatives [][]synth.Cond, like synth.Rule) ([]synth.Rule, error) {
	g, ok := synth.GroupByName(name)
	if !ok {
		return nil, n.errorf("'tjfuzz groups' lists them", "there is no group %q", name)
	}
	if len(alternatives) > 1 || len(alternatives[0]) > 0 {
		return nil, n.errorf("name the syscalls that they are for", "a group has no arguments of its own, and the entry has conditions")
	}
	var rules []synth.Rule
	for _, a := range archs {
		clauses, err := g.Clauses(a)
		if err != nil {
			return nil, n.errorf("", "%v", err)
		}
		for _, c := range clauses {
			c.Verdict, c.Tier, c.Reason = like.Verdict, like.Tier, like.Reason
			more, err := c.Rules()
			if err != nil {
				return nil, n.errorf("", "%v", err)
			}
			rules = append(rules, more...)
		}
	}
	if len(rules) == 0 {
		return nil, n.errorf("remove it", "none of %v has a call of %s", archs, name)
	}
	return rules, nil
}

// readName finds the syscall of that name in every listed architecture.
func readName(n node, archs []sysno.Arch) ([]sysno.ID, error) {
	name, err := n.text()
	if err != nil {
		return nil, err
	}
	var ids []sysno.ID
	for _, a := range archs {
		if id, ok := sysno.Lookup(a, name); ok {
			ids = append(ids, id)
		}
	}
	switch {
	case len(ids) > 0:
		return ids, nil
	case name == "":
		return nil, n.errorf("remove it", "the name is empty; runtimes skip it")
	case strings.ContainsRune(name, 0):
		return nil, n.errorf("remove what begins with it", "the name %q holds a NUL; runtimes read only what is before it", name)
	case strings.HasPrefix(name, "@"):
		mend := "write its syscalls instead"
		if _, ok := synth.GroupByName(name); ok {
			mend = fmt.Sprintf("write its syscalls instead; 'tjfuzz groups %s' lists them, and 'tjfuzz convert' does it where the file says \"%s\": true", name, groupsMember)
		}
		return nil, n.errorf(mend, "%q is a group; runtimes know syscalls only", name)
	}
	_, err = sysno.Parse(archs[0], name)
	if err == nil {
		return nil, n.errorf("write the syscall's name", "%q is a number; runtimes know names only", name)
	}
	mend := "runtimes skip a name that they do not know"
	var unknown *sysno.UnknownNameError
	if errors.As(err, &unknown) && len(unknown.Elsewhere) > 0 {
		mend = fmt.Sprintf("remove it, or list %s under \"architectures\"", archName(unknown.Elsewhere[0]))
	}
	return nil, n.errorf(mend, "%v", err)
}

func archName(a sysno.Arch) specs.Arch {
	for _, k := range archWords() {
		if k.arch == a {
			return k.word
		}
	}
	return ""
}

// readArgs reads conditions into alternatives, each a list of conditions that must
// all hold. No conditions are one alternative that always holds.
func readArgs(n node) ([][]synth.Cond, error) {
	items, err := n.list()
	if err != nil {
		return nil, err
	}
	if len(items) > 6 {
		return nil, n.errorf("split the entry", "%d conditions, but a syscall has 6 arguments", len(items))
	}
	var conds []synth.Cond
	indexes := map[uint8]int{}
	for _, item := range items {
		c, err := readCond(item)
		if err != nil {
			return nil, err
		}
		conds = append(conds, c)
		indexes[c.Index]++
	}
	if len(indexes) == len(conds) {
		slices.SortFunc(conds, synth.Cond.Compare)
		return [][]synth.Cond{conds}, nil
	}
	// Where one argument has several conditions, runc and crun make every condition
	// of the entry a rule of its own (runc: libcontainer/seccomp, matchCall).
	if len(indexes) > 1 {
		return nil, n.errorf("write one entry for each combination",
			"several conditions on one argument beside conditions on others; runtimes would take each alone for enough")
	}
	var alternatives [][]synth.Cond
	for i, c := range conds {
		for _, earlier := range conds[:i] {
			if coverAll(earlier, c) {
				return nil, n.errorf("remove the conditions, or say what is meant with one condition",
					"%v or %v always holds; runtimes take conditions on one argument for alternatives", earlier, c)
			}
		}
		alternatives = append(alternatives, []synth.Cond{c})
	}
	return alternatives, nil
}

// coverAll proves that every value satisfies one of the conditions or the other.
func coverAll(a, b synth.Cond) bool {
	notA, okA := opposite(a)
	notB, okB := opposite(b)
	return okA && okB && synth.Disjoint([]synth.Cond{notA}, []synth.Cond{notB})
}

func readCond(n node) (synth.Cond, error) {
	var c synth.Cond
	m, err := n.object("index", "value", "valueTwo", "op")
	if err != nil {
		return c, err
	}
	for _, name := range []string{"index", "value", "op"} {
		if _, ok := m[name]; !ok {
			return c, n.errorf("add it", "%q is missing", name)
		}
	}
	index, err := m["index"].number(64)
	if err != nil {
		return c, err
	}
	if index > 5 {
		return c, m["index"].errorf("count arguments from 0 to 5", "there is no argument %d", index)
	}
	value, err := m["value"].number(64)
	if err != nil {
		return c, err
	}
	var second uint64
	if s, ok := m["valueTwo"]; ok {
		if second, err = s.number(64); err != nil {
			return c, err
		}
	}
	known := opWords()
	words := make([]specs.LinuxSeccompOperator, len(known))
	for i, k := range known {
		words[i] = k.word
	}
	i, err := choose(m["op"], "operator", words)
	if err != nil {
		return c, err
	}
	c = synth.Cond{Index: uint8(index), Op: known[i].op, Value: value}
	if c.Op != synth.MaskedEqual {
		if second != 0 {
			return c, m["valueTwo"].errorf("remove it, or choose SCMP_CMP_MASKED_EQ", "%s does not use it", known[i].word)
		}
		return c, nil
	}
	// OCI and libseccomp: value is the mask, valueTwo what must remain.
	c.Mask, c.Value = value, second
	if c.Value&^c.Mask != 0 {
		return c, n.errorf("value is the mask and valueTwo what must remain; did you swap them?",
			"%#x has bits outside the mask %#x, so the condition can never hold", c.Value, c.Mask)
	}
	return c, nil
}

// locate says where in the file a policy's problem comes from.
func locate(err error, rules []synth.Rule) error {
	var problem *synth.Problem
	if !errors.As(err, &problem) {
		return err
	}
	e := &ProfileError{Where: problem.Where, Detail: problem.Detail, Mend: problem.Mend, Err: problem}
	switch problem.Where {
	case "default action":
		e.Where = "defaultAction"
	case "listener":
		e.Where = "listenerPath"
	}
	var places []string
	for _, wanted := range problem.Rules {
		i := slices.IndexFunc(rules, func(r synth.Rule) bool { return r.Compare(&wanted) == 0 })
		places = append(places, strings.TrimPrefix(rules[i].Reason, placed))
	}
	slices.Sort(places)
	if len(places) > 0 {
		e.Where = strings.Join(slices.Compact(places), " and ")
		e.Detail = fmt.Sprintf("%v: %s", problem.Rules[0].ID, problem.Detail)
	}
	return e
}
