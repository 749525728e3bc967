package main

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

func TestAProgramFindsTheDirectoriesInRunThatItsUnitAsksFor(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"program":   "\x7fELF\x00/run/tjfuzz-asked\x00/var/run/tjfuzz-too.pid\x00/run/tjfuzz-two/x\x00/run/tjfuzz-not-asked\x00",
		"p.conf":    "secure_chroot_dir=/var/run/tjfuzz-three/empty\nlock = /run/tjfuzz-four/x.lock # /run/tjfuzz-three/other\npid /run/tjfuzz-five/pid\nsocket /run/tjfuzz-six/s\n",
		"a.conf":    "# d /run/tjfuzz-not-asked\nd /var/run/tjfuzz-three/empty/ 0750 root nogroup - -\nD! /run/tjfuzz-four 2775 - - -\nf /run/tjfuzz-three/other\nd /run/%u\nd\n",
		"a.service": "[Service]\nRuntimeDirectory=tjfuzz-asked tjfuzz-two\nRuntimeDirectoryMode=0711\nUser=nobody\n",
		"b.service": "RuntimeDirectory=tjfuzz-of-another\n",
		"c.service": "ExecStartPre=/bin/mkdir -m 740 -p /run/tjfuzz-five\nExecStartPre=/bin/chown -R nobody /run/tjfuzz-five\nExecStartPre=-/usr/bin/install -d -o nobody -g nogroup /var/run/tjfuzz-six\nExecStartPre=/bin/rm -rf /run/tjfuzz-not-asked\nExecStartPre=install -m 600 p.conf /run/tjfuzz-not-asked\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	nogroup, err := user.LookupGroup("nogroup")
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(nogroup.Gid)
	if err != nil {
		t.Fatal(err)
	}
	uid, own := userNumbers("nobody")
	if uid == 0 || own == 0 {
		t.Fatal("there is no user nobody")
	}
	want := []cage.RunDir{
		{Name: "tjfuzz-asked", Mode: 0o711, UID: uid, GID: own}, {Name: "tjfuzz-five", Mode: 0o740, UID: uid}, {Name: "tjfuzz-four", Mode: 0o2775},
		{Name: "tjfuzz-six", Mode: 0o755, UID: uid, GID: gid}, {Name: "tjfuzz-three", Mode: 0o755}, {Name: "tjfuzz-three/empty", Mode: 0o750, GID: gid}, {Name: "tjfuzz-two", Mode: 0o711, UID: uid, GID: own},
	}
	if got := runDirs(textsOf(filepath.Join(dir, "program"), []string{"-c", filepath.Join(dir, "p.conf")}), initFiles{dir, dir}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// systemd refuses an absolute name; a name with a slash too many is that of the same directory.
func TestNamesThatUnitsHaveWrongAskForNothing(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.conf":    "d /run//tjfuzz-a/ 0700 - - -\nd /run/../tjfuzz-b - - - -\nd /run/ - - - -\nd / - - - -\n",
		"a.service": "RuntimeDirectory=/tjfuzz-c tjfuzz-d/../../e .. :f\n",
		"b.service": "[Service]\nRuntimeDirectory = tjfuzz-g\nRuntimeDirectoryMode = 0700\nUser = nobody\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	uid, gid := userNumbers("nobody")
	want := map[string]cage.RunDir{"tjfuzz-a": {Name: "tjfuzz-a", Mode: 0o700}, "tjfuzz-g": {Name: "tjfuzz-g", Mode: 0o700, UID: uid, GID: gid}}
	if got := (initFiles{dir, dir}).directories(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A name that comes often is read once; what is a link out of /etc, such as /etc/mtab, says nothing of the program.
func TestEachConfigurationThatAProgramNamesIsReadOnce(t *testing.T) {
	testenv.Require(t, testenv.Root)
	const etc = "/etc/tjfuzz-test"
	t.Cleanup(func() { _ = os.RemoveAll(etc) })
	program := filepath.Join(t.TempDir(), "program")
	names := strings.Repeat(etc+"/a\x00", maxTexts) + etc + "/mounts\x00" + etc + "/out\x00" + etc + "/none\x00" + etc + "/link\x00"
	if err := errors.Join(os.Mkdir(etc, 0o755), os.WriteFile(etc+"/a", []byte("a"), 0o600), os.WriteFile(etc+"/b", []byte("b"), 0o600),
		os.WriteFile(program, []byte(names), 0o700), os.Symlink("/proc/mounts", etc+"/mounts"), os.Symlink(program, etc+"/out"), os.Symlink("b", etc+"/link")); err != nil {
		t.Fatal(err)
	}
	if got, want := textsOf(program, []string{"/proc/mounts"}), [][]byte{[]byte(names), []byte("a"), []byte("b")}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A directory whose parent is a link on the host would be made in nothing.
func TestADirectoryBehindALinkInRunIsLeftOut(t *testing.T) {
	testenv.Require(t, testenv.Root)
	real, link := "/run/tjfuzz-test-real", "/run/tjfuzz-test-link"
	t.Cleanup(func() { _ = errors.Join(os.Remove(link), os.RemoveAll(real)) })
	if err := errors.Join(os.MkdirAll(real+"/sub", 0o750), os.Symlink(real, link)); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte(link+"/sub\x00"+real+"/sub\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range runDirs(textsOf(program, nil), initFiles{}) {
		names = append(names, d.Name)
	}
	if want := []string{"tjfuzz-test-real", "tjfuzz-test-real/sub"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}

// The configuration may be one that only --config names.
func TestAConfigurationIsSearchedForDirectoriesInRun(t *testing.T) {
	testenv.Require(t, testenv.Root)
	there := "/run/tjfuzz-test-there"
	t.Cleanup(func() { _ = os.Remove(there) })
	dir := t.TempDir()
	program, conf := filepath.Join(dir, "program"), filepath.Join(dir, "p.conf")
	if err := errors.Join(os.MkdirAll(there, 0o750), os.WriteFile(program, nil, 0o700), os.WriteFile(conf, []byte("pid "+there+"/pid\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	s := &session{path: program, args: []string{program}, cage: &cage.Options{}}
	if err := s.configure([]string{conf}); err != nil {
		t.Fatal(err)
	}
	if want := []cage.RunDir{{Name: "tjfuzz-test-there", Mode: 0o750}}; !reflect.DeepEqual(s.cage.Run, want) {
		t.Errorf("got %+v, want %+v", s.cage.Run, want)
	}
}

// A replay finds the directory there that only --config asked for: without it the program does not come to what it does.
func TestVerifyHasTheDirectoriesInRunOfItsSession(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	there := "/run/tjfuzz-test-verified"
	t.Cleanup(func() { _ = os.Remove(there) })
	dir := t.TempDir()
	program, conf := filepath.Join(dir, "program"), filepath.Join(dir, "p.conf")
	text := "#!/bin/sh\n[ -d /run/tjfuzz-test-v* ] && exec mkdir -p /tmp/new\n"
	if err := errors.Join(os.MkdirAll(there, 0o755), os.WriteFile(program, []byte(text), 0o700), os.WriteFile(conf, []byte("pid "+there+"/pid\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	tjfuzz := func(args ...string) (string, error) {
		cmd := exec.Command("tjfuzz", args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := tjfuzz("learn", "--config", conf, "--execs", "20", "--jobs", "1", "--seed", "1", "--", "./program"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	profile := filepath.Join(dir, "program.seccomp.json")
	data, err := os.ReadFile(profile)
	if err != nil {
		t.Fatal(err)
	}
	less := strings.ReplaceAll(string(data), `"mkdir"`, `"acct"`)
	if less == string(data) {
		t.Fatalf("mkdir is not in the profile:\n%s", data)
	}
	if err := os.WriteFile(profile, []byte(less), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := tjfuzz("verify", "--", "./program"); err == nil || !strings.Contains(out, "mkdir is refused") {
		t.Errorf("verify under a policy without mkdir: %v\n%s", err, out)
	}
}
