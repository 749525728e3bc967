// Package testenv decides whether a test can run here. On a laptop a test whose
// right is missing is skipped; where the environment variable TJFUZZ_REQUIRE
// names the right ("root,bpf", or "all"), it fails. Its hazard is a CI that is
// green because everything was skipped: CI sets TJFUZZ_REQUIRE=all.
package testenv

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Need is a right or a tool that a test asks for.
type Need string

// The rights that tests ask for.
const (
	Root Need = "root" // effective uid 0 with CAP_SYS_ADMIN
	BPF  Need = "bpf"  // root and a kernel with BTF: the recorder loads
	Cage Need = "cage" // CAP_SYS_ADMIN, if only in a user namespace: targets can be caged
)

// Require skips or fails t unless every need is met.
func Require(t testing.TB, needs ...Need) {
	t.Helper()
	for _, n := range needs {
		if why := missing(n); why != "" {
			Lack(t, string(n), why)
		}
	}
}

// Program returns the path of a program that the test runs, and skips or fails
// t when it is not installed.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Lack(t, "programs", name+" is not installed; run 'make setup'")
	}
	return path
}

// Compile makes a program of the C file src with gcc and the given flags
// ("-static", "-m32") and returns its path, which lives as long as t. Where the
// compiler is missing or cannot make any program with these flags, it skips or
// fails t like Program; a source that does not compile always fails t.
func Compile(t testing.TB, src string, flags ...string) string {
	t.Helper()
	gcc := Program(t, "gcc")
	dir := t.TempDir()
	run := func(src, program string) ([]byte, error) {
		return exec.Command(gcc, append([]string{"-Wall", "-O1", "-o", program, src}, flags...)...).CombinedOutput()
	}

	probe := filepath.Join(dir, "probe.c")
	if err := os.WriteFile(probe, []byte("int main(void) { return 0; }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := run(probe, filepath.Join(dir, "probe")); err != nil {
		Lack(t, "programs", fmt.Sprintf("gcc %s: %v; run 'make setup'\n%s", strings.Join(flags, " "), err, out))
	}

	program := filepath.Join(dir, strings.TrimSuffix(filepath.Base(src), ".c"))
	if out, err := run(src, program); err != nil {
		t.Fatalf("gcc %s %s: %v\n%s", strings.Join(flags, " "), src, err, out)
	}
	return program
}

// GoFuzzCorpus returns the folder of github.com/dvyukov/go-fuzz-corpus, and has the go
// command load it first where nothing that was compiled needed the module.
func GoFuzzCorpus(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "mod", "download", "-json", "github.com/dvyukov/go-fuzz-corpus").Output()
	if err != nil {
		t.Fatalf("go mod download: %v\n%s", err, out)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		t.Fatalf("go mod download: %v\n%s", err, out)
	}
	return module.Dir
}

func missing(n Need) string {
	if n == Cage {
		if !hasAdmin() {
			return "needs CAP_SYS_ADMIN, and users may not make user namespaces"
		}
		return ""
	}
	if os.Geteuid() != 0 {
		return "needs root"
	}
	if n == BPF {
		if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
			return "the kernel has no BTF"
		}
	}
	return ""
}

func hasAdmin() bool {
	var caps [2]unix.CapUserData
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	return unix.Capget(&head, &caps[0]) == nil && caps[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0
}

// Lack skips t for the reason why or, where TJFUZZ_REQUIRE names the need or all, fails it.
// It is for needs that only the test itself can look for.
func Lack(t testing.TB, need, why string) {
	t.Helper()
	for _, r := range strings.Split(os.Getenv("TJFUZZ_REQUIRE"), ",") {
		if r == "all" || r == need {
			t.Fatalf("%s is required by TJFUZZ_REQUIRE: %s", need, why)
		}
	}
	t.Skipf("%s: %s", need, why)
}
