package document

import (
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

func wordPolicy(t *testing.T) *synth.Policy {
	t.Helper()
	d, err := Parse([]byte(`
version: 1
default: errno EPERM
architectures: [x86_64, i386]
observed:
  execve: {}
  read: {}
  socket: {domain: [AF_UNIX, AF_INET]}
  i386:socket: {domain: AF_UNIX}
  recvmsg: {}
  sendmsg: {then: log}
`))
	if err != nil {
		t.Fatal(err)
	}
	p, err := d.Policy(sysno.AMD64, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWordsWinOverThePolicy(t *testing.T) {
	if sysno.Native() != sysno.AMD64 {
		t.Skip("the numbers are those of x86_64")
	}
	const (
		afUnix, afInet, afInet6 = 1, 2, 10
		nrMount                 = 165
	)
	for _, c := range []struct {
		verdict, list string
		call          string
		arg0          uint64
		want          string
	}{
		{"kill process", "read", "read", 0, "kill process"},
		{"kill process", "read", "i386:read", 0, "kill process"},
		{"kill process", "i386:read", "read", 0, "allow"},
		{"kill process", "read, ptrace", "ptrace", 0, "kill process"},
		{"allow", "$165", "mount", 0, "allow"},
		{"allow", "$165", "i386:mount", 0, "errno EPERM"},
		{"errno EACCES", "@network-io", "recvmsg", 0, "errno EACCES"},
		{"errno EACCES", "@network-io,!recvmsg", "recvmsg", 0, "allow"},
		{"errno EACCES", "!recvmsg,@network-io", "recvmsg", 0, "allow"},
		{"errno EACCES", "@network-io,!recvmsg", "sendmsg", 0, "errno EACCES"},
		{"allow", "!recvmsg", "recvmsg", 0, "errno EPERM"},
		{"log", "!sendmsg", "sendmsg", 0, "errno EPERM"},
		{"log", "socket{domain: AF_INET}", "socket", afInet, "log"},
		{"log", "socket{domain: AF_INET}", "socket", afUnix, "allow"},
		{"log", "socket{domain: AF_INET}", "socket", afInet6, "errno EPERM"},
		{"log", "socket{domain: [AF_INET, AF_INET6]}, read", "socket", afInet6, "log"},
		{"log", "socket{domain: [AF_INET, AF_INET6]}, read", "read", 0, "log"},
		{"errno EPERM", "read{fd: 0}", "read", 0, "errno EPERM"},
		{"errno EPERM", "read{fd: 0}", "read", 1, "allow"},
		{"errno EPERM", "read{fd: 0}", "read", 1 << 31, "allow"},
	} {
		v, err := synth.ParseVerdict(c.verdict)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Override(wordPolicy(t), v, c.list, "@test", "a test")
		if err != nil {
			t.Errorf("%s %s: %v", c.verdict, c.list, err)
			continue
		}
		if err := p.Validate(); err != nil {
			t.Errorf("%s %s: %v", c.verdict, c.list, err)
		}
		id, err := sysno.Parse(sysno.AMD64, c.call)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Decide(id, [6]uint64{c.arg0}); got.String() != c.want {
			t.Errorf("%s %s: %s of %#x gets %v, want %s\n%v", c.verdict, c.list, c.call, c.arg0, got, c.want, p.Rules())
		}
	}
}

func TestWordsThatSayNothingAreRefused(t *testing.T) {
	for list, want := range map[string]string{
		"":                         "a call is missing",
		"read,,write":              "a call is missing",
		"raed":                     "no syscall",
		"@netwrok-io":              "there is no group",
		"!ptrace":                  "no rule",
		"socket{domain: AF_INET":   "not closed",
		"socket{domain: AF_INTE}":  "unknown value",
		"socket{then: log}":        "no place here",
		"@file-read{fd: 0}":        "a group has no argument",
		"!socket{domain: AF_INET}": "no conditions",
		"x32:read":                 "does not list",
		"aarch64:read":             "does not list",
		"socket{domain: {is: []}}": "empty",
		"socket{colour: red}":      "colour",
		"socket}{":                 "",
		"read{fd: 0}{}":            "",
		"i386:$5000000000000000":   "",
		"socket{domain: *a}":       "",
	} {
		if _, err := Override(wordPolicy(t), synth.Verdict{Action: synth.Allow}, list, "@test", "a test"); err == nil {
			t.Errorf("%q is taken", list)
		} else if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "line ") && want != "" {
			t.Errorf("%q: %v, want an error with %q", list, err, want)
		}
	}
}

func FuzzOverride(f *testing.F) {
	f.Add("read,@network-io,!recvmsg,$165,i386:open")
	f.Add(`socket{domain: [AF_UNIX, {op: "<=", value: 3}], "type": SOCK_STREAM},!mmap`)
	f.Fuzz(func(t *testing.T, list string) {
		p := wordPolicy(t)
		v := synth.Verdict{Action: synth.KillProcess}
		got, err := Override(p, v, list, "@test", "a test")
		if err != nil {
			return
		}
		for _, r := range got.Rules() {
			if r.Tier == synth.Manual && r.Verdict != v && r.Reason == "a test" {
				t.Fatalf("%q makes the rule %v", list, r)
			}
		}
	})
}
