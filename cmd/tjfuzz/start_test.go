package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// What packages make before main is waited for at each start, by programs under enforce too.
// So they make what is expensive, such as regular expressions, when it is first used. What they
// allocate tells, whatever else the machine does.
func TestAStartMakesNoTables(t *testing.T) {
	cmd := exec.Command("tjfuzz", "version")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	var trace bytes.Buffer
	cmd.Stderr = &trace
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	const most = 200 // allocations, of all packages of this module; one regular expression may be 100
	packages, all := 0, 0
	for line := range strings.Lines(trace.String()) {
		name, rest, _ := strings.Cut(strings.TrimPrefix(line, "init "), " @")
		if !strings.HasPrefix(name, "github.com/tjfuzz/tjfuzz/") || strings.HasSuffix(name, "/cmd/tjfuzz") { // the tests have tables
			continue
		}
		var at, took float64
		var size, allocs int
		if _, err := fmt.Sscanf(rest, "%f ms, %f ms clock, %d bytes, %d allocs", &at, &took, &size, &allocs); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		packages, all = packages+1, all+allocs
	}
	if packages < 10 || all > most {
		t.Errorf("%d packages of this module make %d allocations before main, want some and at most %d\n%s", packages, all, most, &trace)
	}
}

// What a program under a policy waits for is initialised in the order of the paths of packages, which
// an import of enforce/early can change.
func TestAStartIsBeforeThePackagesOfOtherCommands(t *testing.T) {
	cmd := exec.Command("tjfuzz", "enforce", "--quiet", "--policy", permissive(t), "--", "true")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("init os @")) {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, late := range []string{"net/http", "golang.org/x/crypto/ssh", "html/template", "github.com/cilium/ebpf", "main"} {
		if bytes.Contains(out, []byte("init "+late+" @")) {
			t.Errorf("the start waited for %s", late)
		}
	}
	if t.Failed() {
		t.Logf("GODEBUG=inittrace=1: %s", out)
	}
}
