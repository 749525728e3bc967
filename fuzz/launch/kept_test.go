package launch

import (
	"testing"

	"github.com/tjfuzz/tjfuzz/fuzz"
)

// Copies that share streams see those that the first one saw, whatever one has done with
// them, and share them as long as nothing was done that could be told.
func TestCopiesDoNotSeeWhatBecameOfTheirStreams(t *testing.T) {
	e, do := reader(t, fuzz.StdinFile)
	const probe = `cd /proc/self
		for n in 0 1 2; do
			stat -L -c '%s %a %u %g %h %b' fd/$n; grep -vE '^(ino|mnt_id):' fdinfo/$n
			flock -n $n echo free
		done
		perl -MFcntl -e 'for $f (STDIN, STDOUT) { print join(" ", map { fcntl($f, $_, 0) } F_GETOWN, 11, 1025), "\n" }' # F_GETSIG, F_GETLEASE
		lsattr /proc/self/fd/1 | cut -c1-22
		cat fd/0 fd/1`
	served(t, e, do)
	_, want := do(probe)
	shared := func() bool {
		for _, c := range e.copies.classes {
			if c.server != nil && c.server.kept != nil {
				return true
			}
		}
		return false
	}
	for _, c := range []struct {
		script string
		told   bool
	}{
		{":", false},
		{"echo out", false},
		{"exec cat", false},
		{"perl -e 'syscall(8, 1, 100, 0)'", false}, // lseek
		{"truncate -s 10000 /proc/self/fd/1", false},
		{"truncate -s 5 /proc/self/fd/0", false},
		{"dd if=/dev/zero of=/proc/self/fd/0 bs=1000 count=3 conv=notrunc status=none", false},
		{"perl -MFcntl -e 'fcntl(STDOUT, F_SETFL, O_APPEND | O_NONBLOCK)'", false},
		{"perl -MFcntl -e 'fcntl(STDIN, F_SETOWN, 1); fcntl(STDIN, 10, 12)'", false},          // F_SETSIG
		{"perl -e '$l = pack(\"ssqqi\", 1, 0, 0, 0, 0); fcntl(STDIN, 37, $l) or die'", false}, // F_OFD_SETLK, F_WRLCK
		{"perl -e 'fcntl(STDOUT, 1024, 1) or die'", false},                                    // F_SETLEASE, F_WRLCK
		{"flock 1", false},
		{"perl -e '$l = pack(\"q\", 64); ioctl(STDOUT, 0x40086602, $l) or die'", true}, // FS_IOC_SETFLAGS, FS_NODUMP_FL
		{"chmod 600 /proc/self/fd/1 /proc/self/fd/0", true},
		{"perl -e 'chown(3, 4, \"/proc/self/fd/1\") or die'", true},
		{"touch -d 2001-01-01 /proc/self/fd/1", true},
		{"fallocate -n -l 100000 /proc/self/fd/1", true},
	} {
		t.Run(c.script, func(t *testing.T) {
			for _, class := range e.copies.classes { // a new server begins with shared streams
				e.copies.drop(class)
			}
			served(t, e, do)
			if !shared() {
				t.Fatal("a new server shares no streams")
			}
			do(c.script)
			served(t, e, do)
			if shared() == c.told {
				t.Errorf("shared: %t, want %t", shared(), !c.told)
			}
			if _, got := do(probe); got != want {
				t.Errorf("the next run sees %s", differences(got, want))
			}
			served(t, e, do)
			if _, got := do(probe); got != want {
				t.Errorf("a later copy sees %s", differences(got, want))
			}
		})
	}
}
