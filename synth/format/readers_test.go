package format

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

func TestReadersRefuseWhatWouldBePassedOver(t *testing.T) {
	unit := func(lines string) string { return "[Service]\nSystemCallArchitectures=x86-64\n" + lines }
	moby := func(entry string) string {
		return `{"defaultAction": "SCMP_ACT_ERRNO", "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
			"syscalls": [{"names": ["execve"], "action": "SCMP_ACT_ALLOW"}, ` + entry + `]}`
	}
	for _, c := range []struct{ format, name, text, message string }{
		{"systemd", "nothing", "", "profile: empty"},
		{"systemd", "no filter", unit("User=nobody\n"), "there is no SystemCallFilter="},
		{"systemd", "a misspelled name", unit("SystemCallFilter=execve opnat\n"), `line 3, SystemCallFilter: x86_64 has no syscall "opnat"; did you mean "openat"?; systemd ignores`},
		{"systemd", "an unknown group", unit("SystemCallFilter=@file-sytem\n"), `line 3, SystemCallFilter: systemd has no group "@file-sytem" and ignores it`},
		{"systemd", "a group of another catalogue", unit("SystemCallFilter=@file-read\n"), `systemd has no group "@file-read"`},
		{"systemd", "an answer of what is allowed", unit("SystemCallFilter=execve clone3:ENOSYS\n"), `systemd ignores "clone3:ENOSYS"`},
		{"systemd", "an unknown errno", unit("SystemCallFilter=~ptrace:ENOPE\n"), `"ENOPE" is no errno`},
		{"systemd", "errno 0", unit("SystemCallErrorNumber=0\nSystemCallFilter=~ptrace\n"), `there is no errno 0`},
		{"systemd", "a number", unit("SystemCallFilter=~$5\n"), `"$5" is no name`},
		{"systemd", "another filter", unit("RestrictNamespaces=yes\nSystemCallFilter=~ptrace\n"), "line 3, RestrictNamespaces: systemd makes another filter of it"},
		{"systemd", "an architecture without a table", unit("SystemCallArchitectures=s390x\nSystemCallFilter=~ptrace\n"), `no syscall table for "s390x"`},
		{"systemd", "architectures without the native one", "[Service]\nSystemCallArchitectures=x86\nSystemCallFilter=~ptrace\n", "architectures: "},
		{"systemd", "another section", "[Unit]\nSystemCallFilter=~ptrace\n", "it stands in [Unit]"},
		{"systemd", "no section", "SystemCallFilter=~ptrace\n", "line 1: it stands before any section"},
		{"systemd", "no assignment", unit("SystemCallFilter\n"), "line 3: this is no assignment"},
		{"systemd", "half a line", unit("SystemCallFilter=~ptrace \\"), "the file ends in the middle of the line"},
		{"systemd", "half a section", "[Service\n", "line 1: the name of the section does not end"},
		{"systemd", "execve taken away", unit("SystemCallFilter=read\nSystemCallFilter=~execve\n"), "execve: it is not allowed"},

		{"minijail", "a misspelled name", "execve: 1\nopnat: 1\n", `line 2: x86_64 has no syscall "opnat"`},
		{"minijail", "a number", "execve: 1\n$5: 1\n", `line 2: "$5" is no name`},
		{"minijail", "an include", "@include /etc/other.policy\n", "line 1: @include is not read"},
		{"minijail", "a late default", "execve: 1\n@default trap\n", "line 2: @default comes too late"},
		{"minijail", "a default that allows", "@default allow\n", `line 1: "allow" cannot be the default`},
		{"minijail", "one name twice", "execve: 1\nread: 1\nread: arg0 == 1\n", "line 3: read has a line already, line 2"},
		{"minijail", "what the two readers understand differently", "execve: 1\nsocket: arg0 == 1; return 1\n", "line 2: minijail0 takes what stands behind ;"},
		{"minijail", "braces", "execve: 1\nsocket: { arg0 == 1: allow, trap }\n", "line 2: filters in braces"},
		{"minijail", "metadata", "execve: 1\nread[arch=arm]: 1\n", "line 2: conditions on the architecture"},
		{"minijail", "no filter", "execve\n", "line 1: there is no colon"},
		{"minijail", "an unknown filter", "execve: 1\nread: deny\n", `line 2: "deny" is no filter`},
		{"minijail", "errno 0", "execve: 1\nread: return 0\n", `line 2: "return 0" is no filter`},
		{"minijail", "argument 6", "execve: 1\nread: arg6 == 1\n", `line 2: there is no argument "arg6"`},
		{"minijail", "an unknown comparison", "execve: 1\nread: arg0 =~ 1\n", `line 2: unknown comparison "=~"`},
		{"minijail", "an unknown constant", "execve: 1\nsocket: arg0 == AF_NOPE\n", `line 2: "AF_NOPE" is neither a number nor a value of argument 0`},
		{"minijail", "an open parenthesis", "execve: 1\nsocket: arg0 == (1|2\n", "line 2: no ) in"},
		{"minijail", "what never holds", "execve: 1\nopenat: arg2 & 1 && arg2 in 0xfffe\n", "line 2: "},
		{"minijail", "a range", "execve: 1\nsocket: arg0 >= 1 && arg0 <= 5\n", "line 2: arg0 >= 0x1 and arg0 <= 0x5 together cannot be one condition"},
		{"minijail", "too many combinations", "execve: 1\nsocket: arg0 & 255 && arg1 & 255 && arg2 & 255\n", "line 2: more than 128 combinations"},
		{"minijail", "depth", "execve: 1\nsocket: arg0 == " + strings.Repeat("(", 100) + "\n", "nested deeper"},

		{"moby", "a misspelled name", moby(`{"names": ["opnat"], "action": "SCMP_ACT_ALLOW"}`), `syscalls[1].names[0]: x86_64 has no syscall "opnat"`},
		{"moby", "name with names", moby(`{"names": ["read"], "name": "read", "action": "SCMP_ACT_ALLOW"}`), `it stands beside "names"`},
		{"moby", "archMap with architectures", `{"defaultAction": "SCMP_ACT_ERRNO", "archMap": [], "architectures": ["SCMP_ARCH_X86_64"], "syscalls": []}`, `archMap: it stands beside "architectures"`},
		{"moby", "another machine's map", `{"defaultAction": "SCMP_ACT_ERRNO", "archMap": [{"architecture": "SCMP_ARCH_S390X"}], "syscalls": []}`, `archMap: SCMP_ARCH_X86_64 is not among`},
		{"moby", "an unknown member", moby(`{"names": ["read"], "action": "SCMP_ACT_ALLOW", "includes": {"kernel": "5"}}`), `unknown member "kernel"`},
		{"moby", "an unknown release", moby(`{"names": ["read"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "new"}}`), `"new" is no release`},
		{"moby", "no names", moby(`{"action": "SCMP_ACT_ALLOW"}`), `"names" is missing`},
	} {
		t.Run(c.format+"/"+c.name, func(t *testing.T) {
			p, err := formatNamed(t, c.format).Read(strings.NewReader(c.text), here())
			if err == nil || !strings.Contains(err.Error(), c.message) {
				t.Errorf("got %+v, error %v, want one with %q", p, err, c.message)
			}
		})
	}
}

func TestUnitsAreReadAsSystemdReadsThem(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       map[string]string
	}{
		{"a list that allows", "[Service]\nSystemCallArchitectures=native\nSystemCallFilter=read write\n",
			map[string]string{"read": "allow", "mmap": "allow", "socket": "kill process"}},
		{"taking away", "[Service]\nSystemCallArchitectures=native\nSystemCallErrorNumber=EPERM\nSystemCallFilter=@basic-io\nSystemCallFilter=~lseek clone3:ENOSYS mmap:kill\n",
			map[string]string{"read": "allow", "lseek": "errno EPERM", "clone3": "errno ENOSYS", "mmap": "kill process"}},
		{"a list that refuses", "[Service]\nSystemCallArchitectures=native\nSystemCallFilter=~@swap ptrace:1\nSystemCallFilter=swapon\n",
			map[string]string{"swapoff": "kill process", "ptrace": "errno EPERM", "swapon": "allow", "read": "allow"}},
		{"beginning anew", "[Service]\nSystemCallArchitectures=native\nSystemCallFilter=read\nSystemCallFilter=\nSystemCallFilter=~ptrace\n",
			map[string]string{"ptrace": "kill process", "socket": "allow"}},
		{"lines that go on, comments and other settings",
			"# one\n[Unit]\nDescription=x\n[Service]\nUser=a\nRestrictNamespaces=no\nSystemCallArchitectures=x86-64\nSystemCallFilter=read \\\n; two\n  socket\n",
			map[string]string{"read": "allow", "socket": "allow", "ptrace": "kill process"}},
		{"a name of another architecture", "[Service]\nSystemCallArchitectures=native\nSystemCallFilter=read fstatat64 riscv_hwprobe\n",
			map[string]string{"read": "allow"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := formatNamed(t, "systemd").Read(strings.NewReader(c.text), here())
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range c.want {
				if got := p.Decide(id(t, sysno.AMD64, name), [6]uint64{}); got.String() != want {
					t.Errorf("%s: got %v, want %s", name, got, want)
				}
			}
		})
	}
}

func TestAUnitWithoutArchitecturesIsForAllOfTheMachine(t *testing.T) {
	p, err := formatNamed(t, "systemd").Read(strings.NewReader("[Service]\nSystemCallFilter=~ptrace\n"), here())
	if err != nil {
		t.Fatal(err)
	}
	for _, arch := range []sysno.Arch{sysno.AMD64, sysno.I386, sysno.X32} {
		if got := p.Decide(id(t, arch, "ptrace"), [6]uint64{}); got.Action != synth.KillProcess {
			t.Errorf("%v: %v", arch, got)
		}
	}
}

func TestPoliciesOfMinijailAreReadAsItReadsThem(t *testing.T) {
	text := `# a comment
@default kill-thread
execve: 1   # and another
{read, write}: allow
mount: return EPERM_IS_NO_NUMBER
`
	if _, err := formatNamed(t, "minijail").Read(strings.NewReader(text), here()); err == nil {
		t.Error("a name of an errno was read")
	}
	text = strings.Replace(text, "EPERM_IS_NO_NUMBER", "0x1", 1) + `socket: arg0 == AF_UNIX || arg0 == 2 && \
  arg1 in ~(SOCK_NONBLOCK|0x80000)
openat: arg2 & 3
kill: arg1 != -1
`
	p, err := formatNamed(t, "minijail").Read(strings.NewReader(text), here())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args [6]uint64
		want string
	}{
		{"write", [6]uint64{}, "allow"}, {"mount", [6]uint64{}, "errno EPERM"}, {"bpf", [6]uint64{}, "kill thread"},
		{"socket", [6]uint64{1, 0x800}, "allow"}, {"socket", [6]uint64{2, 1}, "allow"}, {"socket", [6]uint64{2, 0x801}, "kill thread"},
		{"openat", [6]uint64{0, 0, 1}, "allow"}, {"openat", [6]uint64{0, 0, 2}, "allow"}, {"openat", [6]uint64{0, 0, 4}, "kill thread"},
		{"kill", [6]uint64{0, 9}, "allow"}, {"kill", [6]uint64{0, ^uint64(0)}, "kill thread"},
	} {
		if got := p.Decide(id(t, sysno.AMD64, c.name), c.args); got.String() != c.want {
			t.Errorf("%s%v: got %v, want %s", c.name, c.args, got, c.want)
		}
	}
}

func TestDockersEntriesHoldWhereTheirConditionsDo(t *testing.T) {
	text := `{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
	"archMap": [
		{"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
		{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}],
	"syscalls": [
		{"names": ["execve", "read", "waitpid", "riscv_hwprobe"], "action": "SCMP_ACT_ALLOW"},
		{"name": "getpid", "action": "SCMP_ACT_ALLOW", "comment": "x", "includes": {}, "excludes": {}, "args": null},
		{"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
		{"names": ["kcmp"], "action": "SCMP_ACT_ALLOW", "excludes": {"minKernel": "4.8"}},
		{"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64", "x32"]}},
		{"names": ["s390_pci_mmio_read"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["s390x"]}},
		{"names": ["chroot"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_CHROOT"]}},
		{"names": ["bpf", "clone3"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
		{"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "excludes": {"caps": ["CAP_SYS_ADMIN"]}}]}`
	for _, c := range []struct {
		caps []string
		want map[string]string
	}{
		{DockerCapabilities(), map[string]string{"read": "allow", "getpid": "allow", "ptrace": "allow", "kcmp": "errno EPERM",
			"arch_prctl": "allow", "chroot": "allow", "bpf": "errno EPERM", "clone3": "errno ENOSYS"}},
		{[]string{"CAP_SYS_ADMIN"}, map[string]string{"chroot": "errno EPERM", "bpf": "allow", "clone3": "allow"}},
	} {
		m := here()
		m.Capabilities = c.caps
		p, err := formatNamed(t, "moby").Read(strings.NewReader(text), m)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range c.want {
			if got := p.Decide(id(t, sysno.AMD64, name), [6]uint64{}); got.String() != want {
				t.Errorf("with %v, %s: got %v, want %s", c.caps, name, got, want)
			}
		}
		if got := p.Decide(id(t, sysno.I386, "waitpid"), [6]uint64{}); got.Action != synth.Allow {
			t.Errorf("i386 waitpid: %v", got)
		}
	}
}

// fuzzReader says of any bytes: they are refused, or they are a valid policy that
// the format can say and that reads back the same.
func fuzzReader(f *testing.F, name string, seeds ...string) {
	format := formatNamed(f, name)
	for _, p := range samples(f) {
		if _, fit := written(format, p); fit != nil {
			var b bytes.Buffer
			if err := format.Write(&b, fit, "sample"); err != nil {
				f.Fatal(err)
			}
			f.Add(b.Bytes())
		}
	}
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := format.Read(bytes.NewReader(data), here())
		if err != nil {
			return
		}
		fit, other, err := format.Fit(first)
		if err != nil || len(other) > 0 {
			t.Fatalf("what was read cannot be said: %v %v", other, err)
		}
		var b bytes.Buffer
		if err := format.Write(&b, fit, "sample"); err != nil {
			t.Fatal(err)
		}
		again, err := format.Read(bytes.NewReader(b.Bytes()), here())
		if err != nil {
			t.Fatalf("what was read and written does not read: %v\n%s", err, b.String())
		}
		if diff := sameDecisions(first, again); diff != "" {
			t.Fatalf("(-first +again)\n%s\n%s", diff, b.String())
		}
	})
}

func FuzzReadSystemd(f *testing.F) {
	fuzzReader(f, "systemd", "[Service]\nSystemCallErrorNumber=EPERM\nSystemCallFilter=@system-service\nSystemCallFilter=~@privileged clone3:ENOSYS\n")
}

func FuzzReadMinijail(f *testing.F) {
	fuzzReader(f, "minijail", "@default trap\nexecve: 1\n{read, write}: 1\nsocket: arg0 == AF_UNIX || arg1 & 6 && arg2 in ~(1|2)\n")
}

func FuzzReadMoby(f *testing.F) {
	fuzzReader(f, "moby", `{"defaultAction": "SCMP_ACT_ERRNO", "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
		"syscalls": [{"name": "execve", "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}, "includes": {"minKernel": "4.8"}}]}`)
}
