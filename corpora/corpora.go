// Package corpora provides the first inputs of a campaign: a built-in pack of
// seeds, dictionaries of tokens, and readers for the seeds of others. It decides
// which bytes are worth trying for a format and which formats a program is
// likely to read. It refuses to know how anything is executed: whether a target
// accepts a seed is told by the caller.
//
// The pack is made by code, at run time, from the encoders of the standard
// library and small ones beside them; nothing in it is copied from elsewhere. It
// depends on no clock, randomness or environment.
//
// The main hazard is a seed that claims to be valid and is not: targets then
// show their error paths alone, and nobody notices. So the tests decode what the
// standard library can read, and give a part of the rest to programs that read it.
package corpora

import (
	"cmp"
	"slices"
	"strconv"
)

// Seed is one input to start from.
type Seed struct {
	// Name is unique among the seeds of one call. In the pack it is the format
	// and the member, "json-object", and needs no quoting as a file name; for
	// seeds that were read it is the slash-separated path below the folder.
	Name   string
	Format string // one of Formats, another corpus's name of it, or "" when unknown
	Kind   Kind
	Data   []byte
}

// Kind says how a seed relates to its format. The zero value means that nobody
// has said.
type Kind uint8

// The kinds of seeds.
const (
	KindUnknown Kind = iota
	Valid            // an ordinary member of its format
	Odd              // permitted or common, but at a border: empty, deep, huge numbers, old variants
	Broken           // not a member, though it starts like one
)

func (k Kind) String() string {
	switch k {
	case Valid:
		return "valid"
	case Odd:
		return "odd"
	case Broken:
		return "broken"
	default:
		return "unknown"
	}
}

// Limits that the tests hold for the pack.
const (
	maxPackSeed = 4 << 10   // bytes of one seed
	maxPack     = 300 << 10 // bytes of all
)

// A family is the seeds of one format.
type family struct {
	format  string
	members []Seed
}

func valid[T string | []byte](member string, data T) Seed {
	return Seed{Name: member, Kind: Valid, Data: []byte(data)}
}

func odd[T string | []byte](member string, data T) Seed {
	return Seed{Name: member, Kind: Odd, Data: []byte(data)}
}

func broken[T string | []byte](member string, data T) Seed {
	return Seed{Name: member, Kind: Broken, Data: []byte(data)}
}

func families() []family {
	return slices.Concat(
		plainFamilies(),
		dataFamilies(),
		markupFamilies(),
		codeFamilies(),
		imageFamilies(),
		mediaFamilies(),
		compressedFamilies(),
		archiveFamilies(),
		objectFamilies(),
		cryptoFamilies(),
		networkFamilies(),
		documentFamilies(),
		databaseFamilies(),
	)
}

// Pack returns the built-in seeds, sorted by format, then name. Every call makes
// them anew, with the same bytes; the caller owns them.
func Pack() []Seed {
	var seeds []Seed
	for _, f := range families() {
		for _, s := range f.members {
			s.Format = f.format
			s.Name = f.format + "-" + s.Name
			seeds = append(seeds, s)
		}
	}
	slices.SortFunc(seeds, func(a, b Seed) int {
		return cmp.Or(cmp.Compare(a.Format, b.Format), cmp.Compare(a.Name, b.Name))
	})
	return seeds
}

// Large returns most of a megabyte of numbers, a line each, in no order. It is not in the
// Pack: some programs start threads, map files or spill to disk for large inputs
// alone, but every run on one is slow.
func Large() Seed {
	const lines = 160_000 // sort(1) of GNU uses threads from 131072 lines on
	data := make([]byte, 0, 5*lines)
	x := uint32(1)
	for range lines {
		x = x*1664525 + 1013904223 // Numerical Recipes' generator; its high bits are good
		data = append(strconv.AppendUint(data, uint64(x>>20), 10), '\n')
	}
	return Seed{Name: "large-lines", Format: "text", Kind: Valid, Data: data}
}

// Formats returns the formats that Pack has seeds of, sorted.
func Formats() []string {
	var names []string
	for _, f := range families() {
		names = append(names, f.format)
	}
	slices.Sort(names)
	return names
}

// must returns b. The pack's encoders write to memory and cannot fail on the
// constants they are given; if one does, a test run shows it.
func must(b []byte, err error) []byte {
	if err != nil {
		panic("corpora: " + err.Error())
	}
	return b
}
