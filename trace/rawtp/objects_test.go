package rawtp

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// There is no arm64 machine among those that test, so what can be compared without
// one is.
func TestBothObjectsHaveTheSameProgramsAndTables(t *testing.T) {
	parts := func(file string) []string {
		spec, err := ebpf.LoadCollectionSpec(file)
		if err != nil {
			t.Fatal(err)
		}
		var parts []string
		for name, p := range spec.Programs {
			if !strings.HasPrefix(name, "emulate_vsyscall") { // x86 has a page that arm64 never had
				parts = append(parts, fmt.Sprintf("program %s: %v on %q", name, p.Type, p.AttachTo))
			}
		}
		for name, m := range spec.Maps {
			parts = append(parts, fmt.Sprintf("map %s: %v of %d, %d to %d bytes", name, m.Type, m.MaxEntries, m.KeySize, m.ValueSize))
		}
		slices.Sort(parts)
		return parts
	}
	x86, arm64 := parts("recorder_x86_bpfel.o"), parts("recorder_arm64_bpfel.o")
	if len(x86) < 10 {
		t.Fatalf("the object for x86 has only %q", x86)
	}
	if !slices.Equal(arm64, x86) {
		t.Errorf("arm64 has:\n%s\nwant what x86 has:\n%s", strings.Join(arm64, "\n"), strings.Join(x86, "\n"))
	}
}

// The numbers that the C knows by itself.
func TestNumbersInTheSourceAreThoseOfTheTables(t *testing.T) {
	source, err := os.ReadFile("recorder.bpf.c")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(source), "#if defined(__TARGET_ARCH_x86)")
	x86, rest, found := strings.Cut(rest, "#elif defined(__TARGET_ARCH_arm64)")
	arm64, _, closed := strings.Cut(rest, "#endif")
	if !ok || !found || !closed {
		t.Fatal("recorder.bpf.c has no part for each architecture")
	}
	number := regexp.MustCompile(`(?m)^#define NR_([A-Z0-9_]+) (\d+)`)
	names := map[sysno.Arch]map[string]bool{}
	for arch, part := range map[sysno.Arch]string{sysno.AMD64: x86, sysno.ARM64: arm64} {
		names[arch] = map[string]bool{}
		for _, m := range number.FindAllStringSubmatch(part, -1) {
			name := strings.ToLower(m[1])
			names[arch][name] = true
			id, ok := sysno.Lookup(arch, name)
			if got, err := strconv.Atoi(m[2]); err != nil || !ok || got != int(id.NR) {
				t.Errorf("%v: the C says %s, want %d", arch, m[0], id.NR)
			}
		}
	}
	if len(names[sysno.AMD64]) == 0 || !maps.Equal(names[sysno.AMD64], names[sysno.ARM64]) {
		t.Errorf("the parts name %v, want some and the same", names)
	}
}
