package fuzz

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// The bounds of what is tried with one configuration before chance decides.
const (
	maxConfigured = 1 << 10  // runs
	maxConfigText = 16 << 20 // bytes in all of them
)

// configurations lists what is tried with each configuration: one directive changed at a time, with something to work on.
func configurations(o *Options, base *Scenario, way Scenario, seed func() []byte, add func(rank, Scenario)) {
	if !o.varies(dimConfig) {
		return
	}
	var files []File
	var of [][][]byte // of each, by turns
	longest := 0
	for _, name := range o.Configs {
		file := base.Files[slices.IndexFunc(base.Files, func(f File) bool { return f.Name == name })]
		for i, data := range slices.Concat([][]byte{file.Data}, o.References[name]) {
			some := mutate.Configurations(data, o.included(name), min(maxConfigured, maxConfigText/max(1, len(data))))
			if i > 0 {
				some = slices.Insert(some, 0, data)
			} else if name == o.Configs[0] && len(o.Includable) > 0 {
				files, of = append(files, file), append(of, mutate.Including(data, o.Includable))
			}
			files, of = append(files, file), append(of, some)
			longest = max(longest, len(some))
		}
	}
	for i := range longest {
		for n, changed := range of {
			if i >= len(changed) {
				continue
			}
			s := way
			if s.usesInput() {
				s.Input = seed()
			}
			s.Files = withData(base.Files, files[n], changed[i])
			add(rankConfigs, s)
		}
	}
}

// included are the names of files that a configuration is made to include: itself, none, and several; of the first one, also
// what lies beside it.
func (o *Options) included(name string) []string {
	some := []string{filepath.Base(name), "nowhere.conf", "*.conf"}
	if name == o.Configs[0] {
		some = append(some, o.Includable...)
	}
	return some
}

// withData is a copy of files in which f is a regular one that holds data.
func withData(files []File, f File, data []byte) []File {
	f.Data, f.Kind = data, FileRegular
	out := slices.DeleteFunc(slices.Clone(files), func(o File) bool { return o.Name == f.Name })
	out = append(out, f)
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// drawConfig changes one of the configurations, which the scenario may have lost.
func drawConfig(r *rand.Rand, s *Scenario, o *Options, dict mutate.Dictionary) {
	name := one(r, o.Configs)
	named := func(f File) bool { return f.Name == name }
	from := o.Bases[0].Files[slices.IndexFunc(o.Bases[0].Files, named)]
	data := from.Data
	if i := slices.IndexFunc(s.Files, named); i >= 0 && s.Files[i].Kind.holds() {
		data = s.Files[i].Data
	} else if i < 0 && !roomFor(s.Files, name) {
		return
	}
	other := one(r, slices.Concat([][]byte{from.Data}, o.References[name]))
	data = mutate.Configuration(r, data, mutate.ByteOptions{Dictionary: dict, Other: other, Max: max(o.MaxInput, 2*len(from.Data), 2*len(data))}, o.included(name))
	s.Files = withData(s.Files, from, data)
}

// configured is what dress keeps of a scenario: how its configurations were changed.
func (o *Options) configured(files, own []File) []File {
	for _, f := range own {
		if slices.Contains(o.Configs, f.Name) && f.Kind == FileRegular {
			files = withData(files, f, f.Data)
		}
	}
	return files
}
