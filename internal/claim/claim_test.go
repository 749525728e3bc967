package claim

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// The test's own program holds a claim when it is told to.
func TestMain(m *testing.M) {
	if dir := os.Getenv("CLAIM_BELOW"); dir != "" {
		path, _, err := Make(func() (string, error) { return os.MkdirTemp(dir, "claimed-") })
		if err != nil {
			panic(err)
		}
		os.Stdout.WriteString(path + "\n")
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestAKilledProcessClaimsNothing(t *testing.T) {
	dir := t.TempDir()
	holder := exec.CommandContext(t.Context(), os.Args[0])
	holder.Env = append(os.Environ(), "CLAIM_BELOW="+dir)
	stdin, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	claimed := line[:len(line)-1]
	sweep := func() (swept []string) {
		Sweep(filepath.Join(dir, "claimed-*"), func(path string) error {
			swept = append(swept, path)
			return os.RemoveAll(path)
		})
		return swept
	}
	if got := sweep(); len(got) > 0 {
		t.Errorf("swept %q of a living process", got)
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait()
	if got := sweep(); !slices.Equal(got, []string{claimed}) {
		t.Errorf("swept %q, want %q", got, claimed)
	}
}

func TestOnlyOwnDirectoriesAreSwept(t *testing.T) {
	dir := t.TempDir()
	elsewhere := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		os.Mkdir(in("x-mine"), 0o755),
		os.WriteFile(in("x-file"), nil, 0o644),
		os.Symlink(elsewhere, in("x-link")),
		os.Mkdir(in("y-other"), 0o755),
	); err != nil {
		t.Fatal(err)
	}
	want := []string{in("x-mine")}
	if os.Geteuid() == 0 {
		if err := errors.Join(os.Mkdir(in("x-theirs"), 0o755), os.Chown(in("x-theirs"), 65534, 65534)); err != nil {
			t.Fatal(err)
		}
	}
	held, claim, err := Make(func() (string, error) { return in("x-held"), os.Mkdir(in("x-held"), 0o755) })
	if err != nil {
		t.Fatal(err)
	}
	var swept []string
	note := func(path string) error {
		swept = append(swept, path)
		return nil
	}
	Sweep(in("x-*"), note)
	if !slices.Equal(swept, want) {
		t.Errorf("swept %q, want %q", swept, want)
	}
	if err := claim.Release(); err != nil {
		t.Fatal(err)
	}
	swept = nil
	Sweep(in("x-*"), note)
	if !slices.Equal(swept, append([]string{held}, want...)) {
		t.Errorf("after the release: swept %q", swept)
	}
}

// Between making and claiming, another process may sweep.
func TestWhatIsSweptBeforeItIsClaimedIsMadeAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	made := 0
	path, claim, err := Make(func() (string, error) {
		made++
		err := os.Mkdir(dir, 0o755)
		if made == 1 {
			err = errors.Join(err, os.Remove(dir))
		}
		return dir, err
	})
	if err != nil || path != dir || made != 2 {
		t.Fatalf("%q, made %d times, %v", path, made, err)
	}
	if _, err := os.Lstat(dir); err != nil {
		t.Error(err)
	}
	if err := claim.Release(); err != nil {
		t.Error(err)
	}
	failed := errors.New("full")
	if _, _, err := Make(func() (string, error) { return "", failed }); !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
}
