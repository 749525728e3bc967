package synth

import (
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

func TestCallsAreReadAsTheyAreShown(t *testing.T) {
	for _, c := range []struct {
		text, want string
		args       [6]uint64
	}{
		{"getpid", "getpid()", [6]uint64{}},
		{"getpid()", "getpid()", [6]uint64{}},
		{"openat(AT_FDCWD, …, O_RDONLY|O_CREAT)", "openat(AT_FDCWD, ..., O_RDONLY|O_CREAT, ...)", [6]uint64{0xffffff9c, 0, 0x40}},
		{`openat(3, "a, (b)\"", flags=O_WRONLY, 0644)`, "openat(3, ..., O_WRONLY, 0644)", [6]uint64{3, 0, 1, 0o644}},
		{"openat(flags=O_RDONLY)", "openat(..., ..., O_RDONLY, ...)", [6]uint64{}},
		{" socket ( AF_UNIX , _ , -1 ) ", "socket(AF_UNIX, ..., -1)", [6]uint64{1, 0, 0xffffffff}},
		{"i386:socket(AF_INET6)", "i386:socket(AF_INET6, ..., ...)", [6]uint64{10}},
		{"$257(0x10)", "openat(16, ..., ..., ...)", [6]uint64{16}},
		{"$999(1, arg3=7)", "syscall_999(1, ..., ..., 7, ..., ...)", [6]uint64{1, 0, 0, 7}},
		{"read(0, NULL, 18446744073709551615)", "read(0, NULL, 18446744073709551615)", [6]uint64{0, 0, ^uint64(0)}},
	} {
		got, err := ParseCall(sysno.AMD64, c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got.Args != c.args {
			t.Errorf("%s: arguments %#x, want %#x", c.text, got.Args, c.args)
		}
		if sysno.Native() == sysno.AMD64 && got.String() != c.want {
			t.Errorf("%s: got %s, want %s", c.text, got, c.want)
		}
	}
}

func TestCallsThatAreNoneAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "syscall",
		"opemat(1)":             "openat",
		"read(1":                "parenthesis",
		"read(1, 2, 3, 4)":      "has 3 arguments",
		"read(colour=1)":        `no argument "colour"`,
		"read(, 1)":             "write ...",
		"openat(0, 0, O_CREAD)": "unknown value",
		"$999(1,2,3,4,5,6,7)":   "at most 6",
		"socket(0x100000000)":   "32 bits",
	} {
		if _, err := ParseCall(sysno.AMD64, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", text, err, want)
		}
	}
}

func FuzzParseCall(f *testing.F) {
	f.Add("openat(AT_FDCWD, …, O_CREAT)")
	f.Add(`i386:$5("a\",b", mode=0600)`)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCall(sysno.AMD64, text)
		if err != nil {
			return
		}
		// What is shown reads as the same call.
		again, err := ParseCall(sysno.AMD64, c.String())
		if err != nil {
			t.Fatalf("%q is shown as %q: %v", text, c.String(), err)
		}
		if again.Args != c.Args || again.Open != c.Open || again.ID != c.ID {
			t.Fatalf("%q is shown as %q, which is %+v, not %+v", text, c.String(), again, c)
		}
	})
}
