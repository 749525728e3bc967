package synth

import (
	"slices"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

func TestFunctionalGroupsPartitionTheTables(t *testing.T) {
	owners := map[string][]string{}
	for _, g := range Groups() {
		if g.Kind != Functional {
			continue
		}
		if len(g.Nested) > 0 {
			t.Errorf("%s nests %v: functional groups do not nest", g.Name, g.Nested)
		}
		for _, name := range g.Members {
			owners[name] = append(owners[name], g.Name)
		}
	}
	known := sysno.NamesKnown()
	if len(known) < 400 {
		t.Fatalf("only %d names are known: the tables are broken", len(known))
	}
	for _, name := range known {
		if len(owners[name]) != 1 {
			t.Errorf("%s is in %d functional groups %v, want exactly one", name, len(owners[name]), owners[name])
		}
		delete(owners, name)
	}
	for name, groups := range owners {
		t.Errorf("%v names %q, which no table knows", groups, name)
	}
}

func TestEverySyscallOfEveryABIHasAFunctionalGroup(t *testing.T) {
	for _, arch := range sysno.Archs() {
		for _, id := range sysno.All(arch) {
			name, _ := id.Name()
			g, ok := FunctionalGroup(id)
			if !ok || !slices.Contains(g.Members, name) {
				t.Errorf("%v: got group %q, %v", id, g.Name, ok)
			}
		}
	}
}

func TestSystemdGroupsAreComplete(t *testing.T) {
	want := []string{
		"@aio", "@basic-io", "@chown", "@clock", "@cpu-emulation", "@debug", "@default", "@file-system", "@io-event",
		"@ipc", "@keyring", "@known", "@memlock", "@module", "@mount", "@network-io", "@obsolete", "@pkey",
		"@privileged", "@process", "@raw-io", "@reboot", "@resources", "@setuid", "@signal", "@swap", "@sync",
		"@system-service", "@timer",
	}
	var got []string
	for _, g := range Groups() {
		if g.Kind == Systemd {
			got = append(got, g.Name)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("systemd groups\n got %v\nwant %v", got, want)
	}
}

func TestGroupsAreSortedDescribedAndFreeOfCycles(t *testing.T) {
	known := sysno.NamesKnown()
	groups := Groups()
	var visit func(name string, path []string)
	visit = func(name string, path []string) {
		if slices.Contains(path, name) {
			t.Errorf("cycle %v -> %s", path, name)
			return
		}
		g, ok := GroupByName(name)
		if !ok {
			t.Errorf("%v nests %q, which does not exist", path, name)
			return
		}
		for _, nested := range g.Nested {
			visit(nested, append(slices.Clone(path), name))
		}
	}
	for i, g := range groups {
		if i > 0 && groups[i-1].Name >= g.Name {
			t.Errorf("%s and %s: not sorted, or the same name twice", groups[i-1].Name, g.Name)
		}
		if g.Description == "" || g.Kind == GroupInvalid || len(g.Members) == 0 {
			t.Errorf("%s is not fully described: %+v", g.Name, g)
		}
		if !slices.IsSorted(g.Members) || len(slices.Compact(slices.Clone(g.Members))) != len(g.Members) {
			t.Errorf("%s: members are not sorted or repeat: %v", g.Name, g.Members)
		}
		if !slices.IsSorted(g.Nested) {
			t.Errorf("%s: nested groups are not sorted: %v", g.Name, g.Nested)
		}
		for _, name := range g.Members {
			if _, found := slices.BinarySearch(known, name); !found {
				t.Errorf("%s has %q, which no table knows", g.Name, name)
			}
		}
		visit(g.Name, nil)
	}
}

func TestExpandFollowsNesting(t *testing.T) {
	service := Expand("@system-service")
	for _, name := range []string{"openat", "fchownat", "setuid", "timerfd_create", "ioctl"} {
		if !slices.Contains(service, name) {
			t.Errorf("@system-service lacks %s", name)
		}
	}
	if slices.Contains(service, "mount") {
		t.Error("@system-service has mount")
	}
	if !slices.IsSorted(service) || len(slices.Compact(slices.Clone(service))) != len(service) {
		t.Error("@system-service is not sorted or repeats names")
	}
	if got := Expand("@nosuch"); got != nil {
		t.Errorf("a group that does not exist expands to %v", got)
	}
}

func TestGroupsHandsOutCopies(t *testing.T) {
	Groups()[0].Members[0] = "changed"
	if Groups()[0].Members[0] == "changed" {
		t.Error("a caller can change the catalogue")
	}
}

func TestAbilitiesAreLessThanTheirCalls(t *testing.T) {
	if n := len(Groups()); n < 100 {
		t.Errorf("%d groups", n)
	}
	for _, g := range Groups() {
		if g.Kind != Ability {
			continue
		}
		conditions := false
		seen := map[string]bool{}
		for _, arch := range sysno.Archs() {
			clauses, err := g.Clauses(arch)
			if err != nil {
				t.Errorf("%v: %v", arch, err)
			}
			for _, c := range clauses {
				name, _ := c.ID.Name()
				seen[name] = true
				conditions = conditions || len(c.Args) > 0
				c.Verdict = Verdict{Action: Allow}
				if _, err := c.Rules(); err != nil {
					t.Errorf("%s: %v", g.Name, err)
				}
			}
		}
		if !conditions {
			t.Errorf("%s has no condition: it is a functional group", g.Name)
		}
		for _, name := range g.Members {
			if !seen[name] {
				t.Errorf("%s: no ABI has a clause for %s", g.Name, name)
			}
		}
	}
}

func TestAnAbilityAdmitsNoDanger(t *testing.T) {
	for name, want := range map[string]int{"@memory-w-xor-x": 1, "@memory-data": 0, "@thread-create": 0, "@fork": 0, "@terminal-control": 0, "@open-read-only": 0} {
		g, ok := GroupByName(name)
		if !ok {
			t.Fatalf("no %s", name)
		}
		clauses, err := g.Clauses(sysno.AMD64)
		if err != nil {
			t.Fatal(err)
		}
		dangers := map[string]bool{}
		for _, c := range clauses {
			for _, choice := range c.Args {
				names, _ := Dangers(c.ID, choice.Index, choice.OneOf)
				for _, d := range names {
					dangers[d] = true
				}
			}
		}
		if len(dangers) != want { // the loader maps code
			t.Errorf("%s lets through %v", name, dangers)
		}
	}
}
