package foreign

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

const profileLacks = "results, arguments, call sites, io_uring operations, how often and in which part of the program a call was seen, " +
	"which program it was and what is missing; most recorders also add calls of the container runtime"

// ErrNoRecording says that a profile is more than a list of what was seen.
var ErrNoRecording = errors.New("the profile is no recording")

// The parts of a profile that matter, as oci-seccomp-bpf-hook and Inspektor Gadget
// write them in JSON, and as the specification of a SeccompProfile, a resource of
// the Security Profiles Operator, has them. Where it is a node the profile may
// have it, and a recording needs none of it.
type (
	profile struct {
		DefaultAction    word      `yaml:"defaultAction"`
		DefaultErrno     yaml.Node `yaml:"defaultErrno"`
		DefaultErrnoRet  yaml.Node `yaml:"defaultErrnoRet"`
		Architectures    []word    `yaml:"architectures"`
		ArchMap          []archMap `yaml:"archMap"`
		Flags            yaml.Node `yaml:"flags"`
		ListenerPath     yaml.Node `yaml:"listenerPath"`
		ListenerMetadata yaml.Node `yaml:"listenerMetadata"`
		BaseProfileName  word      `yaml:"baseProfileName"`
		Disabled         yaml.Node `yaml:"disabled"`
		Syscalls         []rule    `yaml:"syscalls"`
	}
	archMap struct {
		Architecture     word   `yaml:"architecture"`
		SubArchitectures []word `yaml:"subArchitectures"`
	}
	rule struct {
		Name     word      `yaml:"name"`
		Names    []word    `yaml:"names"`
		Action   word      `yaml:"action"`
		Args     yaml.Node `yaml:"args"`
		Includes yaml.Node `yaml:"includes"`
		Excludes yaml.Node `yaml:"excludes"`
		Comment  yaml.Node `yaml:"comment"`
		Errno    yaml.Node `yaml:"errno"`
		ErrnoRet yaml.Node `yaml:"errnoRet"`
	}
	resource struct {
		APIVersion string    `yaml:"apiVersion"`
		Kind       string    `yaml:"kind"`
		Metadata   yaml.Node `yaml:"metadata"`
		Spec       profile   `yaml:"spec"`
		Status     yaml.Node `yaml:"status"`
	}
	list struct {
		APIVersion string     `yaml:"apiVersion"`
		Kind       string     `yaml:"kind"`
		Metadata   yaml.Node  `yaml:"metadata"`
		Items      []resource `yaml:"items"`
	}
)

// word is a string and the line that it stands in, 0 where it is missing.
type word struct {
	text string
	line int
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (w *word) UnmarshalYAML(n *yaml.Node) error {
	w.line = n.Line
	return n.Decode(&w.text)
}

// seccompKind finds what a Kubernetes resource is, wherever the member stands.
var seccompKind = lazyregexp.New(`(?m)^\s*(?:- )?kind:\s*["']?SeccompProfile`)

func isKubernetes(head []byte) bool { return seccompKind.Match(head) }

// ReadProfile reads a profile that a tool has recorded: what it allows was seen. It
// refuses, with ErrNoRecording, a profile that has conditions, exceptions or
// denials: no recorder writes that. Such a file is believed to be a recording,
// for nothing in it tells one from a list that a person wrote.
//
// Recorders list ABIs of which they have seen no call, because libseccomp wants
// them listed. So a name is taken for a call of o.Arch, or of the first ABI of the
// list where that is not listed, and for another one's only where that alone has it.
func ReadProfile(o Options, r io.Reader) (*Recording, error) {
	data, err := io.ReadAll(io.LimitReader(r, trace.MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > trace.MaxSize {
		return nil, fmt.Errorf("larger than %d bytes", trace.MaxSize)
	}
	p, err := parseProfile(data)
	if err != nil {
		return nil, err
	}
	archs, err := p.archs(o)
	if err != nil {
		return nil, err
	}
	calls := collector{}
	if err := p.names(archs, calls); err != nil {
		return nil, err
	}
	t, err := calls.trace(machineOf(archs[0]), true)
	if err != nil {
		return nil, err
	}
	return &Recording{Trace: t, Lacks: profileLacks}, nil
}

func parseProfile(data []byte) (*profile, error) {
	data, err := plainJSON(data)
	if err != nil {
		return nil, err
	}
	var kind struct {
		Kind word `yaml:"kind"`
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&kind); err != nil {
		return nil, err
	}
	var more yaml.Node
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("line %d: a second document; one recording is one program's", more.Line)
	}
	switch kind.Kind.text {
	case "":
		p := &profile{}
		return p, strict(data, p)
	case "SeccompProfile":
		var r resource
		return &r.Spec, strict(data, &r)
	case "List", "SeccompProfileList":
		var l list
		if err := strict(data, &l); err != nil {
			return nil, err
		}
		if len(l.Items) != 1 || l.Items[0].Kind != "SeccompProfile" {
			return nil, fmt.Errorf("line %d: a list of %d resources; one recording is one program's", kind.Kind.line, len(l.Items))
		}
		return &l.Items[0].Spec, nil
	}
	return nil, fmt.Errorf("line %d: a %s is no SeccompProfile", kind.Kind.line, kind.Kind.text)
}

// strict decodes into a struct that must have a member for each in the file.
func strict(data []byte, into any) error {
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	return d.Decode(into)
}

// plainJSON makes JSON, if that is what it is, fit for a parser of YAML, which
// knows the lines: without tabs, and without the comment in which Inspektor Gadget
// names the container.
func plainJSON(data []byte) ([]byte, error) {
	var lines [][]byte
	commented := true
	for line := range bytes.Lines(data) {
		if commented && bytes.HasPrefix(bytes.TrimSpace(line), []byte("//")) {
			line = []byte("\n")
		} else if len(bytes.TrimSpace(line)) > 0 {
			commented = false
		}
		lines = append(lines, line)
	}
	plain := bytes.Join(lines, nil)
	if !bytes.HasPrefix(bytes.TrimSpace(plain), []byte("{")) {
		return data, nil
	}
	d := json.NewDecoder(bytes.NewReader(plain))
	lineAt := func(offset int64) int { return 1 + bytes.Count(plain[:min(int(offset), len(plain))], []byte("\n")) }
	var value json.RawMessage
	if err := d.Decode(&value); err != nil {
		at := int64(len(plain))
		if bad := (*json.SyntaxError)(nil); errors.As(err, &bad) {
			at = bad.Offset
		}
		return nil, fmt.Errorf("line %d: %w", lineAt(at), err)
	}
	end := d.InputOffset()
	if rest := bytes.TrimLeft(plain[end:], " \t\r\n"); len(rest) > 0 {
		return nil, fmt.Errorf("line %d: %s follows the profile; one recording is one program's",
			lineAt(int64(len(plain)-len(rest))), shorten(string(rest)))
	}
	return bytes.ReplaceAll(plain, []byte("\t"), []byte(" ")), nil
}

// archs are the ABIs that names are looked up in, the first before the others.
func (p *profile) archs(o Options) ([]sysno.Arch, error) {
	words := slices.Clone(p.Architectures)
	for _, m := range p.ArchMap {
		words = append(append(words, m.Architecture), m.SubArchitectures...)
	}
	known := map[string]sysno.Arch{
		"SCMP_ARCH_NATIVE": o.arch(), "SCMP_ARCH_X86_64": sysno.AMD64, "SCMP_ARCH_X86": sysno.I386,
		"SCMP_ARCH_X32": sysno.X32, "SCMP_ARCH_AARCH64": sysno.ARM64,
	}
	var archs []sysno.Arch
	for _, w := range words {
		a, ok := known[w.text]
		switch {
		case ok && !slices.Contains(archs, a):
			archs = append(archs, a)
		case !strings.HasPrefix(w.text, "SCMP_ARCH_"):
			return nil, fmt.Errorf("line %d: %q is no architecture", w.line, w.text)
		}
	}
	if len(words) == 0 {
		return []sysno.Arch{o.arch()}, nil
	}
	if len(archs) == 0 {
		return nil, fmt.Errorf("line %d: %s and the others of the list have no tables here", words[0].line, words[0].text)
	}
	if i := slices.Index(archs, o.arch()); i > 0 {
		archs = slices.Insert(slices.Delete(archs, i, i+1), 0, o.arch())
	}
	return archs, nil
}

// names notes every name that the profile allows.
func (p *profile) names(archs []sysno.Arch, calls collector) error {
	switch p.DefaultAction.text {
	case "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP", "SCMP_ACT_LOG":
	case "":
		return errors.New(`"defaultAction" is missing; this is no profile`)
	default:
		return fmt.Errorf("line %d: %w: its default action is %s", p.DefaultAction.line, ErrNoRecording, p.DefaultAction.text)
	}
	if w := p.BaseProfileName; w.text != "" {
		return fmt.Errorf("line %d: the profile goes on in another, %q; join them first", w.line, w.text)
	}
	for _, r := range p.Syscalls {
		words := r.Names
		if r.Name.line != 0 {
			words = append([]word{r.Name}, words...)
		}
		if r.Action.text != "SCMP_ACT_ALLOW" {
			return fmt.Errorf("line %d: %w: it has the action %q", r.Action.line, ErrNoRecording, r.Action.text)
		}
		for _, n := range []yaml.Node{r.Args, r.Includes, r.Excludes} {
			if len(n.Content) > 0 {
				return fmt.Errorf("line %d: %w: it allows a call under a condition", n.Line, ErrNoRecording)
			}
		}
		for _, w := range words {
			id, err := profileID(archs, w.text)
			if err != nil {
				return fmt.Errorf("line %d: %w", w.line, err)
			}
			if id.Valid() {
				calls.observe(id)
			}
		}
	}
	return nil
}

// gadgetCount is SYSCALLS_COUNT of Inspektor Gadget's advise_seccomp: it keeps a
// byte for each number below, and one more that says whether it records. That one
// comes out as the name of a syscall, syscall_1f4.
const gadgetCount = 500

// profileID reads a name, or a number without a name as Inspektor Gadget writes it:
// syscall_1c7 in base 16, unknown_syscall_455 in base 10. The ID of the number that
// is no syscall is invalid.
func profileID(archs []sysno.Arch, name string) (sysno.ID, error) {
	if name == "" {
		return sysno.ID{}, errors.New("an empty name: the recorder met a number that it had no name for")
	}
	for prefix, base := range map[string]int{"syscall_": 16, "unknown_syscall_": 10} {
		digits, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		nr, err := strconv.ParseUint(digits, base, 16)
		if err != nil {
			return sysno.ID{}, fmt.Errorf("%q has no number", name)
		}
		if nr == gadgetCount {
			return sysno.ID{}, nil
		}
		return sysno.ID{Arch: archs[0], NR: uint32(nr)}, nil
	}
	for _, a := range archs {
		if id, ok := sysno.Lookup(a, name); ok {
			return id, nil
		}
	}
	return sysno.Parse(archs[0], name)
}
