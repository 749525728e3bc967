package cage

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mount is one mount of the host.
type mount struct {
	point  string
	fstype string
	dir    bool   // the mount point is a directory, not a file
	mode   uint32 // of the directory, as in chmod(2)
}

// look finds out what is at the mount point.
func (m *mount) look() error {
	var st unix.Stat_t
	if err := unix.Stat(m.point, &st); err != nil {
		return err
	}
	m.dir, m.mode = st.Mode&unix.S_IFMT == unix.S_IFDIR, st.Mode&^unix.S_IFMT
	return nil
}

// overlaid are file systems of which overlayfs is known to take any as a lower
// layer. All others are shown read-only.
var overlaid = []string{"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "overlay", "erofs", "squashfs", "zfs"}

func (m mount) overlay() bool {
	// The options of overlayfs are a list with separators of their own.
	return m.dir && slices.Contains(overlaid, m.fstype) && !strings.ContainsAny(m.point, ",:\\")
}

// shown reports whether a world shows the mount beside the root file system.
func (m mount) shown() bool {
	// To look at an autofs mount would make it mount something.
	if m.point == "/" || m.fstype == "autofs" || m.fstype == "nsfs" {
		return false
	}
	return !slices.ContainsFunc(private, func(p string) bool {
		return m.point == p || strings.HasPrefix(m.point, p+"/")
	})
}

// parseMounts reads the form of /proc/PID/mountinfo, proc_pid_mountinfo(5). Of
// several mounts on one point the last is kept, for it covers the others; the
// result is sorted, so that a mount follows what it lies on.
func parseMounts(info string) ([]mount, error) {
	byPoint := map[string]mount{}
	for line := range strings.Lines(info) {
		before, after, ok := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 6 || len(kind) < 1 {
			return nil, fmt.Errorf("mountinfo: unexpected line %q", line)
		}
		point, err := unescape(fields[4])
		if err != nil {
			return nil, fmt.Errorf("mountinfo: %w", err)
		}
		byPoint[point] = mount{point: point, fstype: kind[0]}
	}
	mounts := make([]mount, 0, len(byPoint))
	for _, m := range byPoint {
		mounts = append(mounts, m)
	}
	slices.SortFunc(mounts, func(a, b mount) int { return strings.Compare(a.point, b.point) })
	return mounts, nil
}

// unescape resolves the \040-like escapes of the kernel's mangle_path.
func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i+4 > len(s) {
			return "", fmt.Errorf("cut escape in %q", s)
		}
		v, err := strconv.ParseUint(s[i+1:i+4], 8, 8)
		if err != nil {
			return "", fmt.Errorf("bad escape in %q", s)
		}
		b.WriteByte(byte(v))
		i += 3
	}
	return b.String(), nil
}
