package notify

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

func TestAddressesMatchPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, address string
		want             bool
	}{
		{"127.0.0.1:80", "127.0.0.1:80", true},
		{"127.0.0.1:80", "127.0.0.1:81", false},
		{"127.0.0.0/8:*", "127.9.9.9:1", true},
		{"127.0.0.0/8:*", "128.0.0.1:1", false},
		{"127.0.0.0/8:*", "[::ffff:127.0.0.1]:1", true},
		{"*:443", "[2001:db8::1]:443", true},
		{"[::1]:*", "[::1]:22", true},
		{"[fe80::]/10:*", "[fe80::2]:22", true},
		{"[fe80::]/10:*", "[::2]:22", false},
		{"unix:/run/*", "unix:/run/x", true},
		{"unix:/run/*", "unix:/run/x/y", false},
		{"unix:/run/**", "unix:/run/x/y", true},
		{"unix:@x", "unix:@x", true},
		{"*:*", "unix:/run/x", false},
		{"netlink", "netlink", true},
		{"*:*", "netlink", false},
	} {
		if err := checkAddress(c.pattern); err != nil {
			t.Errorf("%s: %v", c.pattern, err)
		}
		if got := matchAddress(c.pattern, c.address); got != c.want {
			t.Errorf("%s matches %s: %v", c.pattern, c.address, got)
		}
	}
}

func TestAddressesAreReadAsTheKernelReadsThem(t *testing.T) {
	family := func(f byte, rest ...byte) []byte { return append([]byte{f, 0}, rest...) }
	for want, b := range map[string][]byte{
		"1.2.3.4:80":  family(unix.AF_INET, 0, 80, 1, 2, 3, 4),
		"unix:/run/x": family(unix.AF_UNIX, []byte("/run/x\x00junk")...),
		"unix:@ab":    family(unix.AF_UNIX, 0, 'a', 'b'),
		"[::1]:443":   append(family(unix.AF_INET6, 1, 187, 0, 0, 0, 0), append(make([]byte, 15), 1)...),
		"family 38":   family(unix.AF_ALG),
		"family 2":    family(unix.AF_INET, 0),
		"unspecified": family(0),
		"netlink":     family(unix.AF_NETLINK),
	} {
		if got := formatAddress(b); got != want {
			t.Errorf("%v: got %s, want %s", b, got, want)
		}
	}
}

func TestPathsMatchPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"/etc/*", "/etc/passwd", true},
		{"/etc/*", "/etc/ssl/x", false},
		{"/etc/**", "/etc/ssl/x", true},
		{"/etc/**", "/etc", false},
		{"/etc/**", "/etcetera/x", false},
		{"/home/*/x/**", "/home/me/x/y/z", true},
		{"/home/*/x/**", "/home/me/y/x/z", false},
		{"/lib*/**", "/lib64/ld.so", true},
		{"/**", "/a/b", true},
	} {
		if got := matchPath(c.pattern, c.path); got != c.want {
			t.Errorf("%s matches %s: %v", c.pattern, c.path, got)
		}
	}
}

func TestTheFirstRuleThatFitsDecides(t *testing.T) {
	r, err := ReadRules([]byte(`version: 1
rules:
  - {syscall: socket, args: {domain: AF_UNIX}, answer: continue}
  - {syscall: [socket, connect], answer: errno EACCES}
  - {syscall: getpid, answer: value 1}
otherwise: ask
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		call string
		arg  uint64
		want string
		ask  bool
	}{
		{"socket", unix.AF_UNIX, "continue", false},
		{"socket", unix.AF_INET, "errno EACCES", false},
		{"connect", 0, "errno EACCES", false},
		{"getpid", 0, "value 1", false},
		{"read", 0, "nothing", true},
	} {
		id, _ := sysno.Lookup(sysno.Native(), c.call)
		v, _ := r.find(&Call{ID: id, Args: [6]uint64{c.arg}})
		if v.String() != c.want || v.ask != c.ask {
			t.Errorf("%s(%d): %v, ask %v", c.call, c.arg, v.Answer, v.ask)
		}
	}
	if a, slow := (&Agent{Rules: r}).Decide(t.Context(), &Call{}); slow != nil || a.Errno != unix.EPERM {
		t.Errorf("without a person: %v", a)
	}
}

func TestWhatIsWrongWithRulesIsSaid(t *testing.T) {
	const begin, end = "version: 1\nrules:\n- ", "\notherwise: errno EPERM\n"
	for text, want := range map[string]string{
		"":                                 "empty",
		"version: 2\notherwise: continue":  "unknown version",
		"version: 1\nelse: continue":       "field else not found",
		"version: 1\nrules: []\n":          "no answer",
		"version: 1\notherwise: open\n":    "not every call opens a file",
		begin + "{answer: continue}" + end: "no syscall",
		begin + "{syscall: opn, answer: continue}" + end:                          `did you mean "open"`,
		begin + "{syscall: read, answer: allow}" + end:                            `unknown answer "allow"`,
		begin + "{syscall: read, answer: errno EFOO}" + end:                       "neither the name of an errno",
		begin + "{syscall: read, answer: open}" + end:                             "opens no file",
		begin + "{syscall: read, path: /x, answer: continue}" + end:               "has no path",
		begin + "{syscall: openat, path: x, answer: continue}" + end:              "no pattern of absolute paths",
		begin + "{syscall: read, address: '*:*', answer: continue}" + end:         "has no address",
		begin + "{syscall: connect, address: 1.2.3.4, answer: continue}" + end:    "has no port",
		begin + "{syscall: connect, address: 'host:80', answer: continue}" + end:  "neither an address nor a network",
		begin + "{syscall: connect, address: '*:99999', answer: continue}" + end:  "no port",
		begin + "{syscall: socket, args: {family: AF_INET}, answer: kill}" + end:  "no argument",
		"version: 1\notherwise: continue\n---\nversion: 1\notherwise: continue\n": "data behind",
	} {
		if _, err := ReadRules([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func FuzzReadRules(f *testing.F) {
	f.Add([]byte("version: 1\nrules:\n- {syscall: [open, connect], path: /etc/**, address: '[::1]/8:*', args: {flags: O_RDONLY}, answer: open}\notherwise: ask\n"))
	f.Add([]byte("version: 1\nrules:\n- {syscall: connect, address: ['unix:/run/*', '10.0.0.0/8:80'], answer: value -3}\notherwise: errno 13\n"))
	connect, _ := sysno.Lookup(sysno.Native(), "getpid")
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ReadRules(data)
		if err != nil {
			return
		}
		r.find(&Call{ID: connect})
		for _, rule := range r.rules {
			for _, p := range rule.paths {
				matchPath(p, "/etc/x/y")
			}
			for _, a := range rule.addresses {
				matchAddress(a, "127.0.0.1:80")
			}
		}
	})
}
