package sysno

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/nearest"
)

//go:generate go run ./gen

// names is the table of an ABI, indexed by number; a hole is an empty string.
func (a Arch) names() []string {
	switch a {
	case AMD64:
		return namesAMD64[:]
	case I386:
		return namesI386[:]
	case X32:
		return namesX32[:]
	case ARM64:
		return namesARM64[:]
	}
	return nil
}

// Name is the kernel's name of the syscall, which is also libseccomp's. It is
// false for a number that the table does not have.
func (id ID) Name() (string, bool) {
	table := id.Arch.names()
	if uint64(id.NR) >= uint64(len(table)) || table[id.NR] == "" {
		return "", false
	}
	return table[id.NR], true
}

// byName are the numbers of an ABI that have names, in the order of these. A map would have to
// be filled at every start of a program under a policy.
func (a Arch) byName() []uint16 {
	switch a {
	case AMD64:
		return sortedAMD64[:]
	case I386:
		return sortedI386[:]
	case X32:
		return sortedX32[:]
	case ARM64:
		return sortedARM64[:]
	}
	return nil
}

// Lookup finds a syscall by its exact name.
func Lookup(a Arch, name string) (ID, bool) {
	names, numbers := a.names(), a.byName()
	at, ok := slices.BinarySearchFunc(numbers, name, func(nr uint16, name string) int { return strings.Compare(names[nr], name) })
	if !ok {
		return ID{}, false
	}
	return ID{a, uint32(numbers[at])}, true
}

// All lists the syscalls of an ABI, sorted.
func All(a Arch) []ID {
	var ids []ID
	for nr, name := range a.names() {
		if name != "" {
			ids = append(ids, ID{a, uint32(nr)})
		}
	}
	return ids
}

// Last is the highest number of an ABI that has a name.
func Last(a Arch) uint32 { return uint32(max(len(a.names()), 1) - 1) }

// NamesKnown lists the names of all ABIs that have tables, sorted, without
// duplicates.
func NamesKnown() []string {
	var names []string
	for _, a := range Archs() {
		for _, name := range a.names() {
			if name != "" {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Foreign reports whether the name is a syscall of Linux, but of none of the ABIs
// that have tables. Profiles that serve many architectures are full of these; they
// are no misspellings.
func Foreign(name string) bool {
	_, found := slices.BinarySearch(namesForeign[:], name)
	return found
}

// UnknownNameError says that an ABI has no syscall of that name.
type UnknownNameError struct {
	Arch      Arch
	Name      string
	Elsewhere []Arch // the ABIs that do have it, sorted
	Near      string // the name of this ABI that it most resembles, or empty
}

func (e *UnknownNameError) Error() string {
	msg := fmt.Sprintf("%s has no syscall %q", e.Arch, e.Name)
	switch {
	case len(e.Elsewhere) > 0:
		return fmt.Sprintf("%s; %s has", msg, e.Elsewhere[0])
	case Foreign(e.Name):
		return msg + "; another architecture has"
	case e.Near != "":
		return fmt.Sprintf("%s; did you mean %q?", msg, e.Near)
	}
	return msg
}

// Parse reads one syscall as people write it: a name of the ABI ("openat"), a
// number ("$257" or "syscall_257", decimal, whether the table has it or not), and
// either with the ABI before it ("i386:getpid", "x32:$1"). It reads all that
// ID.String writes where a is the native ABI. A name that the table does not have
// is an *UnknownNameError.
func Parse(a Arch, word string) (ID, error) {
	if prefix, rest, ok := strings.Cut(word, ":"); ok {
		named, err := ParseArch(prefix)
		if err != nil {
			return ID{}, fmt.Errorf("syscall %q: %w", word, err)
		}
		a, word = named, rest
	}
	if a.names() == nil {
		return ID{}, fmt.Errorf("syscall %q: no architecture", word)
	}
	for _, prefix := range []string{"$", "syscall_"} {
		if digits, ok := strings.CutPrefix(word, prefix); ok {
			return parseNumber(a, word, digits)
		}
	}
	if word == "" {
		return ID{}, fmt.Errorf("empty syscall name")
	}
	if id, ok := Lookup(a, word); ok {
		return id, nil
	}
	err := &UnknownNameError{Arch: a, Name: word, Near: nearest.To(word, names(a))}
	for _, other := range Archs() {
		if _, ok := Lookup(other, word); ok {
			err.Elsewhere = append(err.Elsewhere, other)
		}
	}
	return ID{}, err
}

func parseNumber(a Arch, word, digits string) (ID, error) {
	// ParseUint also takes a sign or underscores; a number has one spelling here.
	nr, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || strconv.FormatUint(nr, 10) != digits {
		return ID{}, fmt.Errorf("syscall %q: not a decimal number below 2^32", word)
	}
	id := ID{a, uint32(nr)}
	switch back := FromRaw(a.Audit(), id.Raw()); {
	case back == id:
		return id, nil
	case nr&(x32Bit|1<<31) == x32Bit:
		return ID{}, fmt.Errorf("syscall %q: the number has the x32 bit; write x32:$%d", word, nr&^x32Bit)
	}
	return ID{}, fmt.Errorf("syscall %q: the numbers of x32 end at %d", word, x32Bit-1)
}

// names are those of an ABI, sorted.
func names(a Arch) []string {
	var all []string
	for _, id := range All(a) {
		name, _ := id.Name()
		all = append(all, name)
	}
	return all
}
