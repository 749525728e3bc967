package format

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// unitLine is an assignment of a unit file.
type unitLine struct {
	number     int // of its first line
	key, value string
}

func (l unitLine) errorf(mend, format string, args ...any) error {
	return &ProfileError{Where: fmt.Sprintf("line %d, %s", l.number, l.key), Detail: fmt.Sprintf(format, args...), Mend: mend}
}

// systemdOthers are settings that systemd carries out by a filter of its own. A
// policy without it would permit more than the unit does.
func systemdOthers() []string {
	return []string{
		"LockPersonality", "MemoryDenyWriteExecute", "PrivateDevices", "ProtectClock", "ProtectHostname",
		"ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables", "RestrictAddressFamilies", "RestrictNamespaces",
		"RestrictRealtime", "RestrictSUIDSGID", "SystemCallLog",
	}
}

// systemdState is what the assignments add up to.
type systemdState struct {
	archs  []sysno.Arch
	answer synth.Verdict
	begun  bool
	allows bool                     // the list allows
	list   map[string]synth.Verdict // Allow stands for the list's own answer
	place  map[string]int
}

// readSystemd reads a unit or a drop-in: what its SystemCallFilter=,
// SystemCallErrorNumber= and SystemCallArchitectures= say together. Other settings
// are passed over, but for those that are filters as well.
func readSystemd(r io.Reader, m Machine) (*synth.Policy, error) {
	p, err := systemdPolicy(r, m.Native)
	if err != nil {
		return nil, fmt.Errorf("read unit: %w", err)
	}
	return p, nil
}

func systemdPolicy(r io.Reader, native sysno.Arch) (*synth.Policy, error) {
	lines, err := unitLines(r)
	if err != nil {
		return nil, err
	}
	s := systemdState{answer: synth.Verdict{Action: synth.KillProcess}}
	for _, l := range lines {
		if slices.Contains(systemdOthers(), l.key) && !slices.Contains([]string{"", "no", "false", "0", "off"}, l.value) {
			return nil, l.errorf("remove the line; a policy cannot hold it", "systemd makes another filter of it")
		}
		switch l.key {
		case "SystemCallFilter":
			err = s.filter(l)
		case "SystemCallErrorNumber":
			s.answer, err = systemdVerdict(l, l.value)
		case "SystemCallArchitectures":
			err = s.architectures(l, native)
		}
		if err != nil {
			return nil, err
		}
	}
	if !s.begun {
		return nil, &ProfileError{Where: "profile", Detail: "there is no SystemCallFilter=", Mend: "such a unit has no filter to convert"}
	}
	return s.policy(native)
}

// unitLines reads the assignments of the section that has a service's settings.
func unitLines(r io.Reader) ([]unitLine, error) {
	text, err := readText(r)
	if err != nil {
		return nil, err
	}
	var out []unitLine
	section, pending, first := "", "", 0
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSuffix(line, "\r")
		trimmed := strings.TrimSpace(line)
		if trimmed == "" && pending == "" || strings.HasPrefix(trimmed, "#") || strings.HasPrefix(trimmed, ";") {
			continue // comments do not end what goes on behind them
		}
		if pending == "" {
			first = i + 1
		}
		if rest, more := strings.CutSuffix(line, `\`); more {
			pending += rest + " "
			continue
		}
		line, pending = strings.TrimSpace(pending+line), ""
		if strings.HasPrefix(line, "[") {
			if !strings.HasSuffix(line, "]") {
				return nil, &ProfileError{Where: fmt.Sprintf("line %d", first), Detail: "the name of the section does not end", Mend: "write ] behind it"}
			}
			section = line
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch {
		case !ok || key == "":
			return nil, &ProfileError{Where: fmt.Sprintf("line %d", first), Detail: "this is no assignment", Mend: "write KEY=VALUE, or # before a comment"}
		case section == "":
			return nil, &ProfileError{Where: fmt.Sprintf("line %d", first), Detail: "it stands before any section, where systemd does not read it", Mend: "write [Service] before it"}
		case slices.Contains([]string{"[Service]", "[Socket]", "[Mount]", "[Swap]"}, section):
			out = append(out, unitLine{first, key, value})
		case strings.HasPrefix(key, "SystemCall"):
			return nil, unitLine{first, key, value}.errorf("move it to [Service]", "it stands in %s, where systemd does not read it", section)
		}
	}
	if pending != "" {
		return nil, &ProfileError{Where: fmt.Sprintf("line %d", first), Detail: "the file ends in the middle of the line", Mend: `remove the \`}
	}
	return out, nil
}

// readText reads a whole file of text.
func readText(r io.Reader) (string, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxProfileSize+1))
	var whole node
	switch {
	case err != nil:
		return "", err
	case len(data) > maxProfileSize:
		return "", whole.errorf("", "larger than %d bytes", maxProfileSize)
	case !utf8.Valid(data):
		return "", whole.errorf("", "not UTF-8")
	case strings.ContainsRune(string(data), 0):
		return "", whole.errorf("", "it holds a NUL")
	case strings.TrimSpace(string(data)) == "":
		return "", whole.errorf("", "empty")
	}
	return string(data), nil
}

// systemdVerdict reads an answer: an errno by name or number, or kill.
func systemdVerdict(l unitLine, word string) (synth.Verdict, error) {
	if word == "" || word == "kill" {
		return synth.Verdict{Action: synth.KillProcess}, nil
	}
	if e, ok := sysno.Errno(word); ok {
		return synth.Verdict{Action: synth.Errno, Errno: uint16(e)}, nil
	}
	n, err := strconv.ParseUint(word, 10, 16)
	switch {
	case err != nil:
		return synth.Verdict{}, l.errorf("write a name such as EPERM, a number, or kill", "%q is no errno", word)
	case n == 0 || n > 4095:
		return synth.Verdict{}, l.errorf("choose 1 to 4095", "there is no errno %d", n)
	}
	return synth.Verdict{Action: synth.Errno, Errno: uint16(n)}, nil
}

func (s *systemdState) architectures(l unitLine, native sysno.Arch) error {
	if l.value == "" {
		s.archs = nil
		return nil
	}
	for _, word := range strings.Fields(l.value) {
		if word == "native" {
			s.archs = append(s.archs, native)
			continue
		}
		i := slices.IndexFunc(systemdArchs(), func(a systemdArch) bool { return a.word == word })
		if i < 0 {
			return l.errorf("remove it", "there is no syscall table for %q here", word)
		}
		s.archs = append(s.archs, systemdArchs()[i].arch)
	}
	return nil
}

// filter takes one SystemCallFilter= into account.
func (s *systemdState) filter(l unitLine) error {
	if l.value == "" {
		s.begun, s.list = false, nil
		return nil
	}
	value, takes := strings.CutPrefix(l.value, "~")
	allow := synth.Verdict{Action: synth.Allow}
	if !s.begun {
		s.begun, s.allows = true, !takes
		s.list, s.place = map[string]synth.Verdict{}, map[string]int{}
		if s.allows {
			for _, name := range synth.Expand("@default") {
				s.list[name], s.place[name] = allow, l.number
			}
		}
	}
	for _, word := range strings.Fields(value) {
		name, suffix, answered := strings.Cut(word, ":")
		v := allow
		if answered {
			if !takes {
				return l.errorf("write it in a line of its own, SystemCallFilter=~"+word, "systemd ignores %q, because it is allowed and answered", word)
			}
			if suffix == "" {
				return l.errorf("write an errno behind it, or remove it", "%q ends in a colon", word)
			}
			var err error
			if v, err = systemdVerdict(l, suffix); err != nil {
				return err
			}
		}
		names := []string{name}
		if strings.HasPrefix(name, "@") {
			g, ok := synth.GroupByName(name)
			if !ok || g.Kind != synth.Systemd {
				return l.errorf("'tjfuzz groups' lists those of systemd", "systemd has no group %q and ignores it", name)
			}
			names = synth.Expand(name)
		} else if _, known := lookupAny(sysno.Archs(), name); !known && !sysno.Foreign(name) {
			_, err := sysno.Parse(sysno.Native(), name)
			if err == nil { // a number
				err = fmt.Errorf("%q is no name", name)
			}
			return l.errorf("systemd ignores a name that it does not know", "%v", err)
		}
		for _, name := range names {
			if takes == s.allows && !answered {
				delete(s.list, name)
				continue
			}
			s.list[name], s.place[name] = v, l.number
		}
	}
	return nil
}

// policy is what systemd makes of the list on a machine.
func (s *systemdState) policy(native sysno.Arch) (*synth.Policy, error) {
	p := &synth.Policy{Default: s.answer, Archs: slices.Clone(s.archs)}
	if !s.allows {
		p.Default = synth.Verdict{Action: synth.Allow}
	}
	if len(p.Archs) == 0 { // then the filter holds for all that the machine runs
		if native != sysno.AMD64 {
			return nil, &ProfileError{Where: "profile", Detail: "without SystemCallArchitectures= the filter is for 32-bit programs too, and there is no syscall table for them here",
				Mend: "add SystemCallArchitectures=native"}
		}
		p.Archs = []sysno.Arch{sysno.AMD64, sysno.I386, sysno.X32}
	}
	slices.Sort(p.Archs)
	p.Archs = slices.Compact(p.Archs)
	if err := p.RunsOn(native); err != nil {
		return nil, locate(err, nil)
	}
	var rules []synth.Rule
	for name, v := range s.list {
		if v.Action == synth.Allow && !s.allows {
			v = s.answer
		}
		if v == p.Default {
			continue
		}
		for _, a := range p.Archs {
			if id, ok := sysno.Lookup(a, name); ok {
				rules = append(rules, synth.Rule{ID: id, Verdict: v, Tier: synth.Manual, Reason: placed + fmt.Sprintf("line %d", s.place[name])})
			}
		}
	}
	p.Groups = synth.Arrange(rules)
	if err := p.Validate(); err != nil {
		return nil, locate(err, rules)
	}
	return p, nil
}
