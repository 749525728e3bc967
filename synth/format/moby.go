package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	moby "github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// The profile of docker (github.com/moby/profiles/seccomp): that of the OCI
// specification, but with a map of architectures, comments, and entries that hold
// for some machines and containers only.

type mobyProfile struct {
	DefaultAction    specs.LinuxSeccompAction `json:"defaultAction"`
	DefaultErrnoRet  *uint                    `json:"defaultErrnoRet,omitempty"`
	ArchMap          []mobyArch               `json:"archMap"`
	Flags            []specs.LinuxSeccompFlag `json:"flags,omitempty"`
	ListenerPath     string                   `json:"listenerPath,omitempty"`
	ListenerMetadata string                   `json:"listenerMetadata,omitempty"`
	Syscalls         []mobySyscall            `json:"syscalls"`
}

type mobyArch struct {
	Architecture     specs.Arch   `json:"architecture"`
	SubArchitectures []specs.Arch `json:"subArchitectures"`
}

type mobySyscall struct {
	specs.LinuxSyscall
	Comment string `json:"comment,omitempty"`
}

func writeMoby(w io.Writer, p *synth.Policy, _ string) error {
	oci, err := profileOf(p)
	if err != nil {
		return fmt.Errorf("write profile: %w", err)
	}
	m := mobyProfile{
		DefaultAction: oci.DefaultAction, DefaultErrnoRet: oci.DefaultErrnoRet, Flags: oci.Flags,
		ListenerPath: oci.ListenerPath, ListenerMetadata: oci.ListenerMetadata,
	}
	// docker looks for the machine's own among the primary architectures.
	main := oci.Architectures[0]
	others := slices.Delete(slices.Clone(oci.Architectures), 0, 1)
	if i := slices.Index(oci.Architectures, specs.ArchX86_64); i > 0 {
		main, others = specs.ArchX86_64, slices.Delete(slices.Clone(oci.Architectures), i, i+1)
	}
	m.ArchMap = []mobyArch{{Architecture: main, SubArchitectures: append([]specs.Arch{}, others...)}}
	for _, entry := range oci.Syscalls {
		comment := ""
		if id, ok := lookupAny(p.Archs, entry.Names[0]); ok {
			if g, ok := synth.FunctionalGroup(id); ok {
				comment = g.Name + ": " + g.Description
			}
		}
		m.Syscalls = append(m.Syscalls, mobySyscall{entry, comment})
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(m); err != nil {
		return fmt.Errorf("write profile: %w", err)
	}
	return nil
}

func lookupAny(archs []sysno.Arch, name string) (sysno.ID, bool) {
	for _, a := range archs {
		if id, ok := sysno.Lookup(a, name); ok {
			return id, true
		}
	}
	return sysno.ID{}, false
}

// ReadMoby reads a profile for docker as docker does on the machine: entries whose
// conditions on kernel, architecture or capabilities do not hold are left out, and
// so are names of architectures that are not listed. A name that no architecture
// has is refused, like all that ReadOCIFor refuses.
func ReadMoby(r io.Reader, m Machine) (*synth.Policy, error) {
	root, err := parse(r)
	if err != nil {
		return nil, fmt.Errorf("read profile: %w", err)
	}
	plain, err := resolveMoby(root, m)
	if err != nil {
		return nil, fmt.Errorf("read profile: %w", err)
	}
	p, err := readProfile(plain, m.Native)
	if err != nil {
		return nil, fmt.Errorf("read profile: %w", err)
	}
	return p, nil
}

// DockerDefault is docker's default policy as docker applies it on a machine of an architecture, with a
// kernel of today, to a container without further capabilities.
func DockerDefault(native sysno.Arch) (*synth.Policy, error) {
	profile, err := json.Marshal(moby.DefaultProfile())
	if err != nil {
		return nil, fmt.Errorf("docker's default policy: %w", err)
	}
	p, err := ReadMoby(bytes.NewReader(profile), Machine{Native: native, Kernel: sysno.Release{Major: 6}, Capabilities: DockerCapabilities()})
	if err != nil {
		return nil, fmt.Errorf("docker's default policy: %w", err)
	}
	return p, nil
}

// resolveMoby makes an OCI profile of docker's. Places in messages stay those of the
// file.
func resolveMoby(root node, m Machine) (node, error) {
	members, ok := root.value.(map[string]node)
	if !ok {
		return root, root.errorf("", "%s where an object belongs", root.kind())
	}
	plain := map[string]node{}
	for name, n := range members {
		plain[name] = n
	}
	if archMap, ok := plain["archMap"]; ok {
		if other, ok := plain["architectures"]; ok && other.value != nil {
			return root, archMap.errorf("keep one", `it stands beside "architectures"; docker refuses both together`)
		}
		archs, err := mobyArchs(archMap, m.Native)
		if err != nil {
			return root, err
		}
		delete(plain, "archMap")
		plain["architectures"] = archs
	}
	archs, err := readArchs(plain["architectures"], m.Native)
	if err != nil {
		return root, err
	}
	entries, err := plain["syscalls"].list()
	if err != nil {
		return root, err
	}
	kept := []node{}
	for _, n := range entries {
		entry, err := mobyEntry(n, m, archs)
		if err != nil {
			return root, err
		}
		if entry.value != nil {
			kept = append(kept, entry)
		}
	}
	plain["syscalls"] = node{where: place{in: root.inside(), member: "syscalls"}, value: kept}
	return node{where: root.where, value: plain}, nil
}

// mobyArchs finds the machine's own architecture in the map, and what goes with it
// as far as there are tables.
func mobyArchs(archMap node, native sysno.Arch) (node, error) {
	items, err := archMap.list()
	if err != nil {
		return archMap, err
	}
	for _, item := range items {
		pair, err := item.object("architecture", "subArchitectures")
		if err != nil {
			return item, err
		}
		main, err := pair["architecture"].text()
		if err != nil {
			return item, err
		}
		if main != string(archName(native)) {
			continue
		}
		archs := []node{pair["architecture"]}
		others, err := pair["subArchitectures"].list()
		if err != nil {
			return item, err
		}
		for _, other := range others {
			if s, err := other.text(); err != nil {
				return other, err
			} else if !slices.Contains(archsWithoutTable(), specs.Arch(s)) {
				archs = append(archs, other)
			}
		}
		return node{where: item.where, value: archs}, nil
	}
	return archMap, archMap.errorf("add it, or use the profile on a machine of its own architecture",
		"%s is not among the architectures", archName(native))
}

// mobyEntry is an entry as an OCI profile has it. It has no value where the entry
// does not hold, or names only syscalls of other architectures.
func mobyEntry(n node, m Machine, archs []sysno.Arch) (node, error) {
	members, err := n.object("name", "names", "action", "errnoRet", "args", "comment", "includes", "excludes")
	if err != nil {
		return n, err
	}
	plain := map[string]node{}
	for name, n := range members {
		plain[name] = n
	}
	holds := true
	for _, name := range []string{"includes", "excludes"} {
		if c, ok := plain[name]; ok {
			met, err := mobyCondition(c, m, name == "includes")
			if err != nil {
				return n, err
			}
			holds = holds && met
		}
		delete(plain, name)
	}
	if single, ok := plain["name"]; ok {
		if both, ok := plain["names"]; ok && both.value != nil {
			return n, single.errorf("keep one", `it stands beside "names"; docker refuses both together`)
		}
		delete(plain, "name")
		plain["names"] = node{where: single.where, value: []node{single}}
	}
	if args, ok := plain["args"]; ok && args.value == nil {
		delete(plain, "args")
	}
	if !holds {
		return node{}, nil
	}
	names, err := plain["names"].list()
	if err != nil || len(names) == 0 {
		return node{where: n.where, value: plain}, err // readEntry says what is wrong
	}
	here := []node{}
	for _, item := range names {
		name, err := item.text()
		if err != nil {
			return n, err
		}
		_, listed := lookupAny(archs, name)
		_, known := lookupAny(sysno.Archs(), name)
		if listed || !known && !sysno.Foreign(name) {
			here = append(here, item)
		}
	}
	if len(here) == 0 {
		return node{}, nil
	}
	plain["names"] = node{where: plain["names"].where, value: here}
	return node{where: n.where, value: plain}, nil
}

// mobyCondition tells whether an entry with these includes, or excludes, holds.
func mobyCondition(n node, m Machine, includes bool) (bool, error) {
	if n.value == nil {
		return true, nil
	}
	members, err := n.object("arches", "caps", "minKernel")
	if err != nil {
		return false, err
	}
	words := func(name string) ([]string, error) {
		items, err := members[name].list()
		var all []string
		for _, item := range items {
			s, bad := item.text()
			if bad != nil {
				return nil, bad
			}
			all = append(all, s)
		}
		return all, err
	}
	arches, err := words("arches")
	if err != nil {
		return false, err
	}
	caps, err := words("caps")
	if err != nil {
		return false, err
	}
	own := map[sysno.Arch]string{sysno.AMD64: "amd64", sysno.I386: "x86", sysno.ARM64: "arm64"}[m.Native]
	holds := true
	if len(arches) > 0 {
		holds = slices.Contains(arches, own) == includes
	}
	for _, c := range caps {
		holds = holds && slices.Contains(m.Capabilities, c) == includes
	}
	if k, ok := members["minKernel"]; ok && k.value != nil {
		least, err := mobyKernel(k)
		if err != nil {
			return false, err
		}
		holds = holds && !m.Kernel.Before(least) == includes
	}
	return holds, nil
}

func mobyKernel(n node) (sysno.Release, error) {
	text, err := n.text()
	if err != nil {
		return sysno.Release{}, err
	}
	major, minor, ok := strings.Cut(text, ".")
	a, errA := strconv.ParseUint(major, 10, 16)
	b, errB := strconv.ParseUint(minor, 10, 16)
	if !ok || errA != nil || errB != nil {
		return sysno.Release{}, n.errorf(`write it as "4.8"`, "%q is no release of the kernel", text)
	}
	return sysno.Release{Major: int(a), Minor: int(b)}, nil
}

// DockerCapabilities are what docker gives to a container unless it is told
// otherwise (moby, oci/caps, DefaultCapabilities).
func DockerCapabilities() []string {
	return []string{
		"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
		"CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
	}
}
