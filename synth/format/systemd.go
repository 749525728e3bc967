package format

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// systemd.exec(5), "System call filtering", of version 252, and what that version
// does (src/core/load-fragment.c, src/shared/seccomp-util.c):
//
//   - The first SystemCallFilter= decides whether the list allows or refuses, and a
//     list that allows begins with @default.
//   - A later one that begins with ~ takes away from a list that allows; with an
//     errno behind a name, the call is answered with it.
//   - The names hold for every architecture that SystemCallArchitectures= lists.

type systemdArch struct {
	word string
	arch sysno.Arch
}

func systemdArchs() []systemdArch {
	return []systemdArch{{"x86-64", sysno.AMD64}, {"x86", sysno.I386}, {"x32", sysno.X32}, {"arm64", sysno.ARM64}}
}

// systemdCan is what a unit can say: no conditions; kill the process or an errno.
func systemdCan() abilities {
	return abilities{
		defaults: oneOf(func(v synth.Verdict) bool {
			return v.Action == synth.Allow || v.Action == synth.KillProcess || v.Action == synth.Errno
		}),
		mend: "generate with --default kill or --default errno",
		call: unconditional(func(p *synth.Policy, v synth.Verdict) bool {
			return v.Action == synth.KillProcess || v.Action == synth.Errno || v.Action == synth.Allow && p.Default.Action != synth.Allow
		}),
	}
}

func writeSystemd(w io.Writer, p *synth.Policy, name string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# A drop-in for the unit, such as /etc/systemd/system/%s.service.d/seccomp.conf\n", name)
	b.WriteString("# Groups are those of systemd 252 with the younger calls that later versions put into them.\n")
	b.WriteString("[Service]\nSystemCallArchitectures=")
	var words []string
	for _, a := range systemdArchs() {
		if slices.Contains(p.Archs, a.arch) {
			words = append(words, a.word)
		}
	}
	b.WriteString(strings.Join(words, " ") + "\n")

	calls := callsOf(p)
	if p.Default.Action == synth.Allow {
		b.WriteString("SystemCallErrorNumber=kill\n")
		var refused []string
		for _, c := range calls {
			refused = append(refused, refusal(c, synth.Verdict{Action: synth.KillProcess}))
		}
		systemdList(&b, "~", refused)
		_, err := io.WriteString(w, b.String())
		return err
	}
	fmt.Fprintf(&b, "SystemCallErrorNumber=%s\n", systemdAnswer(p.Default))
	allowed := map[string]bool{}
	var refused []string
	for _, c := range calls {
		if c.rules[0].Verdict.Action == synth.Allow {
			allowed[c.name] = true
		} else {
			refused = append(refused, refusal(c, p.Default))
		}
	}
	groups, rest := systemdGroups(allowed, p.Archs)
	systemdList(&b, "", append(groups, rest...))
	// A list that allows has @default without being asked.
	var unasked []string
	for _, m := range synth.Expand("@default") {
		if _, ok := lookupAny(p.Archs, m); ok && !allowed[m] && !slices.ContainsFunc(refused, func(r string) bool {
			return strings.HasPrefix(r, m+":")
		}) {
			unasked = append(unasked, m)
		}
	}
	systemdList(&b, "~", unasked)
	systemdList(&b, "~", refused)
	_, err := io.WriteString(w, b.String())
	return err
}

// refusal is a refused syscall in a list whose own answer is def.
func refusal(c call, def synth.Verdict) string {
	if v := c.rules[0].Verdict; v != def {
		return c.name + ":" + systemdAnswer(v)
	}
	return c.name
}

func systemdAnswer(v synth.Verdict) string {
	if v.Action == synth.KillProcess {
		return "kill"
	}
	if name := unix.ErrnoName(syscall.Errno(v.Errno)); name != "" {
		return name
	}
	return strconv.Itoa(int(v.Errno))
}

// systemdGroups takes the groups of which every member is allowed, the largest
// first, and the names that are in none of them.
func systemdGroups(allowed map[string]bool, archs []sysno.Arch) (groups, rest []string) {
	type candidate struct {
		name    string
		members []string // that an architecture of the policy has
	}
	var all []candidate
	for _, g := range synth.Groups() {
		if g.Kind != synth.Systemd {
			continue
		}
		c := candidate{name: g.Name}
		for _, m := range synth.Expand(g.Name) {
			if _, ok := lookupAny(archs, m); ok {
				c.members = append(c.members, m)
			}
		}
		covered := !slices.ContainsFunc(c.members, func(m string) bool { return !allowed[m] })
		if covered && len(c.members) > 1 {
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return len(b.members) - len(a.members) })
	done := map[string]bool{}
	for _, c := range all {
		if slices.ContainsFunc(c.members, func(m string) bool { return !done[m] }) {
			groups = append(groups, c.name)
			for _, m := range c.members {
				done[m] = true
			}
		}
	}
	for name := range allowed {
		if !done[name] {
			rest = append(rest, name)
		}
	}
	slices.Sort(groups)
	slices.Sort(rest)
	return groups, rest
}

// systemdList writes a list in lines of a readable length. Lists add up.
func systemdList(b *strings.Builder, sign string, names []string) {
	const width = 100
	line := ""
	for _, name := range names {
		if line != "" && len(line)+len(name) > width {
			b.WriteString(line + "\n")
			line = ""
		}
		if line == "" {
			line = "SystemCallFilter=" + sign + name
		} else {
			line += " " + name
		}
	}
	if line != "" {
		b.WriteString(line + "\n")
	}
}
