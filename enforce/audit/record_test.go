package audit

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// The texts are of Linux 6.18, 5.15 with AppArmor, and 4.14, but for their names.
var texts = []struct {
	name, text string
	want       Record
}{
	{
		"an errno",
		`audit(1795974788.969:142): auid=4294967295 uid=0 gid=0 ses=4294967295 pid=11002 comm="mkdir" exe="/usr/bin/mkdir" sig=0 arch=c000003e syscall=83 compat=0 ip=0x7f8b6bfa3f37 code=0x50000`,
		Record{sysno.ID{Arch: sysno.AMD64, NR: 83}, 11002, "mkdir", "/usr/bin/mkdir", 0x7f8b6bfa3f37, unix.SECCOMP_RET_ERRNO},
	},
	{
		"a kill under a security module, ended by NUL",
		"audit(1.000:2): auid=1000 uid=1000 gid=1000 ses=3 subj=snap.x (enforce) pid=7 comm=\"a\" exe=\"/a\" sig=31 arch=40000003 syscall=39 compat=1 ip=0xf7f1a549 code=0x80000000\x00",
		Record{sysno.ID{Arch: sysno.I386, NR: 39}, 7, "a", "/a", 0xf7f1a549, unix.SECCOMP_RET_KILL_PROCESS},
	},
	{
		"names that look like fields",
		`audit(1.000:3): auid=0 uid=0 gid=0 ses=1 pid=8 comm=612070 exe=2F746D702F782220706964 sig=0 arch=c000003e syscall=1073741913 compat=0 ip=0x1 code=0x7ffc0000`,
		Record{sysno.ID{Arch: sysno.X32, NR: 89}, 8, "a p", `/tmp/x" pid`, 1, unix.SECCOMP_RET_LOG},
	},
	{
		"number -1, of a program that nobody can name, on ARM",
		`audit(1.000:4): auid=0 uid=0 gid=0 ses=1 pid=9 comm="b" exe=(null) sig=31 arch=c00000b7 syscall=-1 compat=0 ip=0x2 code=0x0`,
		Record{sysno.ID{Arch: sysno.ARM64, NR: 0xffffffff}, 9, "b", "", 2, unix.SECCOMP_RET_KILL_THREAD},
	},
	{
		"an architecture without a table",
		`audit(1.000:5): pid=10 comm="c" exe="/c" sig=0 arch=15 syscall=4 compat=0 ip=0x3 code=0x30000`,
		Record{sysno.ID{}, 10, "c", "/c", 3, unix.SECCOMP_RET_TRAP},
	},
}

func TestARecordIsReadAsTheKernelWritesIt(t *testing.T) {
	for _, c := range texts {
		got, err := parse(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: want (-), got (+):\n%s", c.name, diff)
		}
	}
}

func TestWhatIsNoRecordIsAnError(t *testing.T) {
	const rest = ` arch=c000003e syscall=83 compat=0 ip=0x1 code=0x50000`
	for name, text := range map[string]string{
		"nothing":              "",
		"no header":            `pid=1 comm="a"` + rest,
		"no pid":               `audit(1.000:1): comm="a" exe="/a"` + rest,
		"a negative pid":       `audit(1.000:1): pid=-1 comm="a" exe="/a"` + rest,
		"no syscall":           `audit(1.000:1): pid=1 comm="a" exe="/a" arch=c000003e ip=0x1 code=0x50000`,
		"a syscall of 64 bits": `audit(1.000:1): pid=1 comm="a" exe="/a" arch=c000003e syscall=4294967379 ip=0x1 code=0x50000`,
		"an open quote":        `audit(1.000:1): pid=1 comm="a exe=/a` + rest,
		"a lone quote":         `audit(1.000:1): pid=1 comm=" exe="/a"` + rest,
		"odd digits":           `audit(1.000:1): pid=1 comm=616 exe="/a"` + rest,
		"two pids":             `audit(1.000:1): pid=1 pid=2 comm="a" exe="/a"` + rest,
	} {
		if got, err := parse(text); err == nil {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

// No text makes the parser panic, and what it reads is of the text alone.
func FuzzRecord(f *testing.F) {
	for _, c := range texts {
		f.Add(c.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parse(text)
		again, err2 := parse(text)
		if r != again || (err == nil) != (err2 == nil) {
			t.Errorf("%q: got %+v, %v, and then %+v, %v", text, r, err, again, err2)
		}
		if err == nil && r.PID < 0 {
			t.Errorf("%q: pid %d", text, r.PID)
		}
	})
}
