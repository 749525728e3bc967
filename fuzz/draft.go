package fuzz

import (
	"math/rand/v2"
	"slices"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// draft is a scenario about to be changed.
type draft struct {
	s      Scenario
	from   *entry // nil: from a seed
	kind   stratum
	dims   [dimensions]bool
	other  []byte // partner of a splice
	dict   mutate.Dictionary
	banned map[string]bool
	talks  [][]Act // to take from, where dims has dimMessages
	ends   map[deed]bool
	known  [][]Act   // what to type, where dims has dimKeys
	faults [][]Fault // of the syscalls that the target makes, where dims has dimFaults

	clues  []Clue   // of a run that is aimed
	beside [][]Clue // and of what else it may come to

	setters []Scenario // of which it may need several at once
}

// extraNames are the names of files that draws put into the working directory.
var extraNames = [...]string{"a", "b", "1", "input", "config", ".config", "out", "missing", "A.txt"}

// mutate changes the chosen dimensions. It reads nothing that a corpus changes.
func (d *draft) mutate(r *rand.Rand, o *Options, p *plugin) Scenario {
	s := d.s
	change := func(data []byte) []byte {
		return p.bytes(r, data, mutate.ByteOptions{Dictionary: d.dict, Other: d.other, Max: o.MaxInput})
	}
	if d.dims[dimArgv] {
		args := mutate.Args(r, &o.Table, d.dict, s.Argv[o.Fixed:])
		args = slices.DeleteFunc(args, func(w string) bool { return avoids(r, d.banned, w) })
		s.Argv = slices.Concat(s.Argv[:o.Fixed], args)
	}
	if d.dims[dimEnv] {
		s.Env = mutate.Env(r, o.EnvNames, s.Env)
	}
	if d.dims[dimStreams] {
		drawStreams(r, &s, o.Can)
	}
	if i := s.operand(); d.dims[dimBytes] && i >= 0 && (!s.usesInput() || r.IntN(4) == 0) {
		s.Files = slices.Clone(s.Files)
		s.Files[i].Data = change(s.Files[i].Data)
	} else if d.dims[dimBytes] {
		if !s.usesInput() {
			s.Stdin = StdinFile + StdinKind(r.IntN(2))
		}
		s.Input = change(s.Input)
	}
	if n := r.IntN(6); d.dims[dimFiles] && n < 2 {
		drawFileKind(r, &s, o.Can)
	} else if d.dims[dimFiles] && n == 2 && s.dates() {
		drawTimes(r, &s)
	} else if d.dims[dimFiles] {
		name := extraNames[r.IntN(len(extraNames))]
		s.Files = slices.DeleteFunc(slices.Clone(s.Files), func(f File) bool { return f.Name == name })
		if len(s.Files) > 8 || r.IntN(4) == 0 {
			s.Files = s.Files[:len(s.Files)/2]
		} else {
			s.Files = append(s.Files, File{Name: name, Data: change(d.other)})
		}
		if len(s.Argv) < maxWords && r.IntN(2) == 0 {
			s.Argv = slices.Concat(s.Argv, []string{name})
		}
	}
	if d.dims[dimConfig] {
		drawConfig(r, &s, o, d.dict)
	}
	if d.dims[dimProcess] {
		drawProcess(r, &s, o.Can)
	}
	if d.dims[dimPeers] {
		drawPeers(r, &s)
	}
	if d.dims[dimMessages] {
		s.Acts = drawActs(r, s.Acts, d.talks, change, d.ends)
	} else if o.varies(dimMessages) {
		s.Acts = cutShort(r, s.Acts)
	}
	if d.dims[dimKeys] {
		s.Acts = drawKeys(r, s.Acts, d.known, d.dict, change)
	}
	if d.dims[dimFaults] {
		drawFaults(r, &s, d.faults)
	} else if (len(s.World.Faults) > 0 || s.World.Kernel != KernelHost) && r.IntN(2) == 0 {
		s.World.Faults, s.World.Kernel = nil, KernelHost // else few children of such a find would end normally
	}
	s.settle()
	return s
}

// avoids reports whether a word is left out because it is known to make the target hang, which it is mostly.
func avoids(r *rand.Rand, banned map[string]bool, word string) bool {
	return banned[wordKey(word)] && r.IntN(32) != 0
}
