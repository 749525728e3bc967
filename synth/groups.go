package synth

import (
	"slices"
	"strings"
	"sync"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// GroupKind says which of the catalogues a group belongs to.
type GroupKind uint8

// The catalogues.
const (
	GroupInvalid GroupKind = iota
	Functional             // one ability; these groups partition the syscall tables
	Systemd                // systemd's group of that name; these nest and overlap
	Ability                // one ability with conditions on arguments; these overlap
)

func (k GroupKind) String() string {
	switch k {
	case Functional:
		return "functional"
	case Systemd:
		return "systemd"
	case Ability:
		return "ability"
	}
	return "invalid"
}

// GroupDef defines a named set of syscalls. Members are names, because a group
// spans ABIs; each is in at least one ABI's table.
type GroupDef struct {
	Name        string // with the leading @
	Description string // a fragment, lower case
	Kind        GroupKind
	Nested      []string    // groups whose members belong to this one too, sorted
	Members     []string    // syscall names, sorted
	Calls       []GroupCall // of an Ability: the members with their conditions
}

// catalogue lists the groups of all tables, sorted by name. It is built once and never
// changed.
var catalogue = sync.OnceValue(func() []GroupDef {
	groups := slices.Concat(functionalGroups(), systemdGroups(), abilityGroups())
	groups = append(groups, GroupDef{
		Name: "@known", Description: "every syscall of the tables", Kind: Systemd,
		Nested: []string{"@obsolete"}, Members: sysno.NamesKnown(),
	})
	slices.SortFunc(groups, func(a, b GroupDef) int { return strings.Compare(a.Name, b.Name) })
	for _, g := range groups {
		slices.Sort(g.Members)
	}
	return groups
})

// Groups lists all groups of all kinds, sorted by name. The caller may change
// what it gets.
func Groups() []GroupDef {
	groups := slices.Clone(catalogue())
	for i := range groups {
		groups[i].Nested = slices.Clone(groups[i].Nested)
		groups[i].Members = slices.Clone(groups[i].Members)
	}
	return groups
}

// GroupByName finds a group by its name, which starts with @.
func GroupByName(name string) (GroupDef, bool) {
	groups := catalogue()
	i, found := slices.BinarySearchFunc(groups, name, func(g GroupDef, name string) int {
		return strings.Compare(g.Name, name)
	})
	if !found {
		return GroupDef{}, false
	}
	g := groups[i]
	g.Nested, g.Members = slices.Clone(g.Nested), slices.Clone(g.Members)
	return g, true
}

// Expand lists the syscall names of a group and of all groups nested in it,
// sorted, without duplicates. It is nil for a name that is no group.
func Expand(name string) []string {
	g, ok := GroupByName(name)
	if !ok {
		return nil
	}
	members := g.Members
	for _, nested := range g.Nested {
		members = append(members, Expand(nested)...)
	}
	slices.Sort(members)
	return slices.Compact(members)
}

// FunctionalGroup is the one functional group that a syscall belongs to. It is
// false for a number that the tables do not name.
func FunctionalGroup(id sysno.ID) (GroupDef, bool) {
	name, _ := id.Name()
	of := map[string]int{name: noOwner}
	findOwners(of)
	if of[name] == noOwner {
		return GroupDef{}, false
	}
	g := functionalGroup(of[name])
	slices.Sort(g.Members)
	return g, true
}

func words(s string) []string { return strings.Fields(s) }
