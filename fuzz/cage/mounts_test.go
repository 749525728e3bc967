package cage

import (
	"reflect"
	"strings"
	"testing"
)

func TestMountsAreReadAsTheKernelWritesThem(t *testing.T) {
	for _, tt := range []struct {
		name, info string
		want       []mount
		err        string
	}{
		{name: "nothing"},
		{
			name: "sorted, optional fields skipped",
			info: "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root rw\n35 1 98:0 / / rw - overlay overlay rw\n",
			want: []mount{{point: "/", fstype: "overlay"}, {point: "/mnt2", fstype: "ext3"}},
		},
		{
			name: "the last of two on one point covers the other",
			info: "1 0 0:1 / /a rw - ext4 x rw\n2 1 0:2 / /a rw - tmpfs x rw\n",
			want: []mount{{point: "/a", fstype: "tmpfs"}},
		},
		{
			name: "escapes",
			info: `1 0 0:1 / /with\040space\134\012 rw - ext4 x rw` + "\n",
			want: []mount{{point: "/with space\\\n", fstype: "ext4"}},
		},
		{name: "no separator", info: "1 0 0:1 / /a rw ext4 x rw\n", err: "unexpected line"},
		{name: "too short", info: "1 0 0:1 - ext4\n", err: "unexpected line"},
		{name: "cut escape", info: `1 0 0:1 / /a\04 rw - ext4 x rw`, err: "escape"},
		{name: "bad escape", info: `1 0 0:1 / /a\999 rw - ext4 x rw`, err: "bad escape"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseMounts(tt.info)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v, %v, want an error with %q", got, err, tt.err)
				}
				return
			}
			if err != nil || len(got) != len(tt.want) || len(got) > 0 && !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func TestAWorldShowsFilesAndNotTheHostsServices(t *testing.T) {
	for _, tt := range []struct {
		mount          mount
		shown, overlay bool
	}{
		{mount{point: "/", fstype: "ext4", dir: true}, false, true}, // it is the world's root already
		{mount{point: "/home", fstype: "ext4", dir: true}, true, true},
		{mount{point: "/usr", fstype: "vfat", dir: true}, true, false},
		{mount{point: "/etc/hosts", fstype: "ext4"}, true, false},
		{mount{point: "/odd,name", fstype: "ext4", dir: true}, true, false},
		{mount{point: "/proc", fstype: "proc", dir: true}, false, false},
		{mount{point: "/proc/sys/fs/binfmt_misc", fstype: "binfmt_misc", dir: true}, false, false},
		{mount{point: "/run/docker.sock", fstype: "tmpfs"}, false, false},
		{mount{point: "/tmp", fstype: "tmpfs", dir: true}, false, false},
		{mount{point: "/tmpfiles", fstype: "ext4", dir: true}, true, true},
		{mount{point: "/net", fstype: "autofs", dir: true}, false, false},
	} {
		if tt.mount.shown() != tt.shown || tt.mount.overlay() != tt.overlay {
			t.Errorf("%+v: shown %v, overlay %v, want %v, %v", tt.mount, tt.mount.shown(), tt.mount.overlay(), tt.shown, tt.overlay)
		}
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add("36 35 98:0 /mnt1 /mnt2 rw master:1 - ext3 /dev/root rw\n")
	f.Add(`1 0 0:1 / /a\040b rw - ext4 x rw`)
	f.Fuzz(func(t *testing.T, info string) {
		mounts, err := parseMounts(info)
		if err != nil {
			return
		}
		for i, m := range mounts {
			if m.fstype == "" || i > 0 && mounts[i-1].point >= m.point {
				t.Errorf("%q gives %+v", info, mounts)
			}
		}
	})
}
