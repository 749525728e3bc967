package synth

import (
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Payload is a class of what exploits do once they have a program, and whether a policy
// lets it work.
type Payload struct {
	Class    string
	Possible bool
	Calls    []string // those that it needs: permitted ones if possible, else the first refused one
}

// attempt is a call that a payload makes, one of several that would do.
type attempt struct {
	names string
	args  []Pattern // arguments that it has to be able to have
}

// Payloads grades a policy by the classes of exploit payloads: a count of the calls that
// it allows tells little, for a payload needs few. The first native ABI is looked at.
func (p *Policy) Payloads() []Payload {
	classes := []struct {
		name  string
		steps []attempt
	}{
		{"execute a program", []attempt{{names: "execve execveat"}}},
		{"a shell that calls back", []attempt{
			{names: "socket", args: []Pattern{{Arg: "domain", Is: "AF_INET"}, {Arg: "type", Is: "SOCK_STREAM"}}},
			{names: "connect"}, {names: "dup2 dup3 fcntl"}, {names: "execve execveat"}}},
		{"a shell that waits", []attempt{
			{names: "socket", args: []Pattern{{Arg: "domain", Is: "AF_INET"}, {Arg: "type", Is: "SOCK_STREAM"}}},
			{names: "bind"}, {names: "listen"}, {names: "accept accept4"}, {names: "execve execveat"}}},
		{"bring own code into memory", []attempt{
			{names: "mmap mprotect pkey_mprotect", args: []Pattern{{Arg: "prot", Require: []string{"PROT_WRITE", "PROT_EXEC"}}}}}},
		{"make own code executable", []attempt{
			{names: "mprotect pkey_mprotect", args: []Pattern{{Arg: "prot", Require: []string{"PROT_EXEC"}}}}}},
		{"read any file", []attempt{
			{names: "open openat openat2", args: []Pattern{{Arg: "flags", Is: "O_RDONLY"}}}, {names: "read pread64 readv mmap sendfile"}}},
		{"write any file", []attempt{
			{names: "open openat openat2 creat", args: []Pattern{{Arg: "flags", Is: "O_WRONLY"}}}, {names: "write pwrite64 writev"}}},
		{"change permissions", []attempt{{names: "chmod fchmod fchmodat fchmodat2"}}},
		{"send data out", []attempt{
			{names: "socket", args: []Pattern{{Arg: "domain", Is: "AF_INET"}}}, {names: "connect sendto sendmsg"}}},
		{"take over another process", []attempt{{names: "ptrace process_vm_writev"}}},
		{"attack the kernel from a user namespace", []attempt{
			{names: "unshare clone clone3", args: []Pattern{{Arg: "flags", Require: []string{"CLONE_NEWUSER"}}}}}},
		{"load code into the kernel", []attempt{{names: "bpf init_module finit_module kexec_load"}}},
	}
	var graded []Payload
	for _, class := range classes {
		g := Payload{Class: class.name, Possible: true}
		for _, step := range class.steps {
			name, ok := p.admits(step)
			if !ok {
				g.Possible, g.Calls = false, []string{words(step.names)[0]}
				break
			}
			g.Calls = append(g.Calls, name)
		}
		slices.Sort(g.Calls)
		g.Calls = slices.Compact(g.Calls)
		graded = append(graded, g)
	}
	return graded
}

// admits finds the first call of a step that the policy permits with the step's
// arguments.
func (p *Policy) admits(step attempt) (string, bool) {
	for _, arch := range p.Archs {
		if !primary(arch) {
			continue
		}
		for _, name := range words(step.names) {
			id, ok := sysno.Lookup(arch, name)
			if !ok {
				continue
			}
			var want []Cond
			for _, pattern := range step.args {
				// A call that has the argument in memory can have any.
				if c, err := pattern.Cond(id); err == nil {
					want = append(want, c)
				}
			}
			permitted, refused := p.decided(id)
			if slices.ContainsFunc(permitted, func(conds []Cond) bool { return meet(conds, want) }) {
				return name, true
			}
			if all, _ := covered(want, refused); p.permitsRest(id) && !all {
				return name, true
			}
		}
	}
	return "", false
}

// ReachableCVEs lists the holes that kernels had in the calls that the policy permits.
// Conditions on arguments are not looked at.
func (p *Policy) ReachableCVEs() []string {
	var calls []string
	for _, r := range risks() {
		for _, name := range words(r.Calls) {
			if _, ok := p.admits(attempt{names: name}); ok {
				calls = append(calls, name)
			}
		}
	}
	return cvesOf(calls)
}
