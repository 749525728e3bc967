package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

func TestWriteReplacesAndLeavesNothingElse(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, text := range []string{"first", "second"} {
		if err := Writable(path); err != nil {
			t.Fatal(err)
		}
		if err := Write(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(path); string(b) != text || err != nil {
			t.Errorf("got %q, %v, want %q", b, err, text)
		}
	}
	if names := list(t, dir); !slices.Equal(names, []string{"f"}) {
		t.Errorf("the directory holds %q", names)
	}
}

func TestASymbolicLinkStays(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(file, nil, 0o644), os.Symlink("file", link), Write(link, []byte("x"))); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(file); string(b) != "x" {
		t.Errorf("the link's target holds %q", b)
	}
	if st, err := os.Lstat(link); err != nil || st.Mode().Type() != os.ModeSymlink {
		t.Errorf("the link became %v, %v", st.Mode(), err)
	}
}

// Writing to /dev/null replaced the device of the whole machine once.
func TestWhatIsNoRegularFileStaysWhatItIs(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := errors.Join(Writable(fifo), Write(fifo, []byte("data"))); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4)
	if _, err := r.Read(buf); err != nil || string(buf) != "data" {
		t.Errorf("the FIFO delivers %q, %v", buf, err)
	}
	if st, err := os.Lstat(fifo); err != nil || st.Mode().Type() != os.ModeNamedPipe {
		t.Errorf("the FIFO became %v, %v", st.Mode(), err)
	}
}

func TestWhatCannotBeWrittenIsToldBefore(t *testing.T) {
	dir := t.TempDir()
	if err := Writable(dir); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("a directory: got %v", err)
	}
	if err := Writable(filepath.Join(dir, "missing", "f")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing directory: got %v", err)
	}
	if err := Write(filepath.Join(dir, "missing", "f"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing directory: got %v", err)
	}
	if names := list(t, dir); len(names) > 0 {
		t.Errorf("the directory holds %q", names)
	}
}

func list(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
