// Package format decides how a policy is written for others and how their files are
// read: the seccomp profile of the OCI runtime specification above all, and what
// docker, Kubernetes, systemd and several sandboxes take. It refuses to know evidence
// and enforcement. Its main hazard is a file that says more than it does: container
// runtimes and systemd skip names that they do not know, and a format without words
// for a condition would drop it. So the readers refuse whatever would be passed over
// in silence, and what a format cannot say is found before it is written (see
// Format.Fit).
package format

import (
	"io"
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// Format is one way to write a policy down.
type Format struct {
	Name  string // as --to and --from spell it
	About string // a fragment, lower case

	// Write writes a policy that Fit returned. name is what the thing is called where
	// a format wants a name; see Name for what it may be.
	Write func(w io.Writer, p *synth.Policy, name string) error

	// Read reads such a file; nil where files of the format are not read. What is
	// read has the tier Manual.
	Read func(r io.Reader, m Machine) (*synth.Policy, error)

	// SkipsUnknown says that whoever reads the file passes over names that it does not
	// know, without a word.
	SkipsUnknown bool

	can abilities
}

// Machine is where a profile is to be used, for formats whose meaning depends on it.
type Machine struct {
	Native       sysno.Arch
	Kernel       sysno.Release
	Capabilities []string // that the container has, as in CAP_NET_RAW
}

// Formats lists the formats that are written in text, in the order of their names.
func Formats() []Format {
	formats := []Format{
		{
			Name: "oci", SkipsUnknown: true, About: "seccomp profile of the OCI runtime specification",
			Write: func(w io.Writer, p *synth.Policy, _ string) error { return WriteOCI(w, p) },
			Read:  func(r io.Reader, m Machine) (*synth.Policy, error) { return ReadOCIFor(r, m.Native) },
			can:   ociCan(),
		},
		{
			Name: "moby", SkipsUnknown: true, About: "profile for docker run --security-opt seccomp=FILE",
			Write: writeMoby, Read: ReadMoby, can: ociCan(),
		},
		{
			Name: "kubernetes", SkipsUnknown: true, About: "pod that uses the OCI profile as a Localhost profile",
			Write: writeKubernetes, can: kubernetesCan(),
		},
		{
			Name: "security-profiles-operator", SkipsUnknown: true, About: "SeccompProfile object of the Security Profiles Operator, v1beta1",
			Write: writeOperator, can: operatorCan(),
		},
		{
			Name: "systemd", SkipsUnknown: true, About: "drop-in for a unit: SystemCallFilter and what belongs to it",
			Write: writeSystemd, Read: readSystemd, can: systemdCan(),
		},
		{
			Name: "minijail", About: "policy file for minijail0 -S",
			Write: writeMinijail, Read: readMinijail, can: minijailCan(),
		},
		{
			Name: "firejail", About: "lines for a profile of firejail",
			Write: writeFirejail, can: firejailCan(),
		},
		{
			Name: "kafel", About: "policy in kafel's language, for nsjail --seccomp_policy",
			Write: writeKafel, can: kafelCan(),
		},
		{
			Name: "flatpak", About: "C table of refused calls, as flatpak's own filter is written",
			Write: writeFlatpak, can: flatpakCan(),
		},
	}
	slices.SortFunc(formats, func(a, b Format) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return formats
}

// call is a syscall by name with its rules, which are alternatives.
type call struct {
	name  string
	rules []synth.Rule
}

// callsOf lists the syscalls of a policy for which each name means the same in all
// ABIs, sorted by name.
func callsOf(p *synth.Policy) []call {
	byName := map[string]*call{}
	owner := map[string]sysno.Arch{}
	for _, r := range p.Rules() {
		name, _ := r.ID.Name()
		if byName[name] == nil {
			byName[name], owner[name] = &call{name: name}, r.ID.Arch
		}
		if owner[name] == r.ID.Arch {
			byName[name].rules = append(byName[name].rules, r)
		}
	}
	calls := make([]call, 0, len(byName))
	for _, c := range byName {
		slices.SortFunc(c.rules, func(a, b synth.Rule) int { return a.Compare(&b) })
		calls = append(calls, *c)
	}
	slices.SortFunc(calls, func(a, b call) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return calls
}

// named lists the names of calls.
func named(calls []call) []string {
	names := make([]string, len(calls))
	for i, c := range calls {
		names[i] = c.name
	}
	return names
}
