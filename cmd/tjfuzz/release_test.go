package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

const releaseVersion = "v0.0.1"

// What is released is the same wherever it is made, and works where it is installed. It is built
// twice, once from nothing, so this takes TJFUZZ_LONG.
func TestWhatIsReleased(t *testing.T) {
	if os.Getenv("TJFUZZ_LONG") == "" {
		t.Skip("builds a release twice; set TJFUZZ_LONG")
	}
	testenv.Require(t, testenv.Root, testenv.BPF)
	first := release(t)
	second := release(t, "GOCACHE="+t.TempDir())
	if diff := cmp.Diff(read(t, first, "SHA256SUMS"), read(t, second, "SHA256SUMS")); diff != "" {
		t.Errorf("two builds differ (-first +second):\n%s", diff)
	}
	binary := filepath.Join(first, "tjfuzz-"+releaseVersion+"-linux-amd64")
	t.Run("deb", func(t *testing.T) { installed(t, binary+".deb") })
	t.Run("rpm", func(t *testing.T) {
		list := combined(t, exec.Command(testenv.Program(t, "rpm"), "-qlp", binary+".rpm"))
		for _, name := range []string{"/usr/bin/tjfuzz", "/usr/share/man/man1/tjfuzz-learn.1", "/usr/share/bash-completion/completions/tjfuzz"} {
			if !strings.Contains(list, name+"\n") {
				t.Errorf("the package has no %s:\n%s", name, list)
			}
		}
		combined(t, exec.Command("rpm", "--checksig", "--nosignature", binary+".rpm"))
	})
	t.Run("image", func(t *testing.T) { runImage(t, binary+".oci") })
	t.Run("empty root", func(t *testing.T) { runInEmptyRoot(t, binary) })
	t.Run("sbom", func(t *testing.T) {
		text := read(t, first, filepath.Base(binary)+".cdx.json")
		for _, name := range []string{`"pkg:golang/stdlib@`, `"pkg:golang/github.com/cilium/ebpf@v`, `"pkg:generic/libseccomp@`, `"pkg:generic/glibc@`} {
			if !strings.Contains(text, name) {
				t.Errorf("the list of what is linked in lacks %s", name)
			}
		}
	})
}

// release makes a release in a copy of the tree, and returns its directory.
func release(t *testing.T, env ...string) string {
	t.Helper()
	dir := t.TempDir()
	combined(t, exec.Command("sh", "-c", `tar -C ../.. -c --exclude=./.git --exclude=./bin --exclude=./dist --exclude=.tjfuzz . | tar -x -C "$0"`, dir))
	c := exec.Command("make", "release", "VERSION="+releaseVersion)
	c.Dir, c.Env = dir, append(append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000"), env...)
	combined(t, c)
	return filepath.Join(dir, "dist")
}

func combined(t *testing.T, c *exec.Cmd) string {
	t.Helper()
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", c.Args, err, out)
	}
	return string(out)
}

// installed installs the package in a root of its own, runs it there, and takes it away again.
func installed(t *testing.T, deb string) {
	root := t.TempDir()
	for _, dir := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg/status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	dpkg := func(args ...string) {
		combined(t, exec.Command("dpkg", append([]string{"--root=" + root}, args...)...))
	}
	dpkg("--install", deb)
	if got, want := combined(t, exec.Command("chroot", root, "/usr/bin/tjfuzz", "version")), "tjfuzz "+releaseVersion+"\n"; got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
	for _, name := range []string{"usr/share/man/man1/tjfuzz.1", "usr/share/bash-completion/completions/tjfuzz", "usr/share/zsh/vendor-completions/_tjfuzz",
		"usr/share/fish/vendor_completions.d/tjfuzz.fish", "usr/share/doc/tjfuzz/copyright", "usr/share/doc/tjfuzz/sbom.cdx.json"} {
		if st, err := os.Stat(filepath.Join(root, name)); err != nil || st.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	dpkg("--purge", "tjfuzz")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasPrefix(path, filepath.Join(root, "var/lib/dpkg")) {
			t.Errorf("%s is left", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// runImage runs the program from the layout as it lies there.
func runImage(t *testing.T, made string) {
	storage := shortDir(t)
	layout := filepath.Join(shortDir(t), "layout") // podman wants a path in lower case
	if err := os.CopyFS(layout, os.DirFS(made)); err != nil {
		t.Fatal(err)
	}
	got := combined(t, exec.Command("unshare", "--mount", "sh", "-c", `if [ -d /sys/fs/cgroup/unified ]; then umount /sys/fs/cgroup/unified; fi; exec "$0" "$@"`,
		testenv.Program(t, "podman"), "--root", storage, "--runroot", storage+"/run", "--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--runtime", testenv.Program(t, "runc"),
		"run", "--rm", "--quiet", "--network=none", "--ulimit=nofile=1024:1024", "--ulimit=nproc=100:100", "oci:"+layout+":"+releaseVersion, "version"))
	if want := "tjfuzz " + releaseVersion + "\n"; got != want {
		t.Errorf("the container says %q, want %q", got, want)
	}
}

// runInEmptyRoot learns a program and enforces its profile where nothing but the two is, and /proc and /sys.
func runInEmptyRoot(t *testing.T, binary string) {
	root := t.TempDir()
	for _, dir := range []string{"proc", "sys"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, from := range map[string]string{"tjfuzz": binary, "target": testenv.Compile(t, "testdata/options.c", "-static")} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), text, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	inside := func(args ...string) string {
		return combined(t, exec.Command("unshare", append([]string{"--mount", "sh", "-ec",
			`mount --make-rprivate /; mount --bind "$0" "$0"; mount -t proc proc "$0/proc"; mount --rbind /sys "$0/sys"; exec chroot "$0" /tjfuzz "$@"`, root}, args...)...))
	}
	inside("learn", "--execs", "300", "--jobs", "1", "--seed", "1", "--only", "argv", "--", "/target")
	if got := inside("enforce", "--", "/target", "--help"); !strings.Contains(got, "usage: options") {
		t.Errorf("under its profile it says %q", got)
	}
}
