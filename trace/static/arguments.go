package static

import (
	"maps"
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/image"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// choices are the values that the typed arguments of a syscall may have, by their index. One
// that is nil may have any.
type choices map[int]map[uint64]bool

// choices are those of a syscall: so far it has none of any value.
func (a *analysis) choices(id sysno.ID) choices {
	c, ok := a.chosen[id]
	if !ok {
		c = choices{}
		for _, index := range id.Choices() {
			c[index] = map[uint64]bool{}
		}
		a.chosen[id] = c
	}
	return c
}

// free says that all arguments may have any value.
func (c choices) free() {
	for index := range c {
		c[index] = nil
	}
}

// merge adds what another program hands on.
func (c choices) merge(args []trace.Arg) {
	for index := range c {
		i := slices.IndexFunc(args, func(a trace.Arg) bool { return a.Index == index })
		if i < 0 || args[i].Any {
			c[index] = nil
			continue
		}
		for _, v := range args[i].Values {
			c.add(index, v)
		}
	}
}

func (c choices) add(index int, v uint64) {
	if c[index] == nil {
		return
	}
	if c[index][v] = true; len(c[index]) > trace.MaxValues {
		c[index] = nil
	}
}

// list is the choices in order. None is known of a call that no code makes.
func (c choices) list(id sysno.ID) []trace.Arg {
	var all []trace.Arg
	for _, index := range id.Choices() {
		arg := trace.Arg{Index: index, Values: slices.Sorted(maps.Keys(c[index]))}
		arg.Any = len(arg.Values) == 0
		all = append(all, arg)
	}
	return all
}

// registers are those that the kernel takes arguments from (syscall(2)).
var registers = [...]uint8{image.RDI, image.RSI, image.RDX, 10, 8, 9}

// What bounds the search for arguments: the calls in a row that lead to a syscall, for one
// that is handed its number, and how many such rows there are for one instruction.
const (
	maxChain    = 6
	maxContexts = 1 << 12
)

// arguments looks for the values of arguments. It has steps of its own, so that the search
// for numbers, which counts for more, is not cut short.
type arguments struct {
	*analysis
	left steps
}

func (a *analysis) arguments() *arguments { return &arguments{a, maxSteps} }

// of finds the values that arguments may have at a syscall instruction, to which numbers
// were found.
func (a *arguments) of(p place, arch sysno.Arch, numbers []found) {
	ids := map[sysno.ID]bool{}
	for _, v := range numbers {
		if id := idOf(arch, uint32(v.value)); len(id.Choices()) > 0 {
			ids[id] = true
		}
	}
	if len(ids) == 0 {
		return
	}
	known := map[sysno.ID]bool{}
	if arch == sysno.AMD64 {
		contexts := maxContexts
		a.contexts(p, nil, &contexts, func(nr uint32, chain []place) {
			id := idOf(arch, nr)
			known[id] = true
			a.at(p, chain, id)
		})
	}
	for id := range ids {
		if !known[id] {
			a.choices(id).free()
		}
	}
}

// contexts visits the numbers that a syscall instruction may find in its register, each with
// the calls, the innermost first, that must have led to it for that. So the arguments of
// functions like syscall(2) are told apart by what the callers want.
func (a *arguments) contexts(p place, chain []place, left *int, visit func(nr uint32, chain []place)) {
	*left--
	last := len(chain) == maxChain || *left < 0
	r := a.left.search(p, location{reg: image.RAX}, search{chain: chain, open: last})
	for _, v := range r.all {
		visit(uint32(v.value), chain)
	}
	for _, c := range r.crossed {
		a.contexts(p, append(slices.Clone(chain), c), left, visit)
	}
}

// at notes the values that the arguments of a syscall have after some calls.
func (a *arguments) at(p place, chain []place, id sysno.ID) {
	c := a.choices(id)
	args := id.Args()
	for index := range c {
		if c[index] == nil {
			continue
		}
		r := a.left.search(p, location{reg: registers[index]}, search{chain: chain, open: true, strict: true})
		if r.unknown != nil {
			c[index] = nil
			continue
		}
		mask := args[index].Mask()
		for _, v := range r.all {
			c.add(index, v.value&mask)
			if mask>>32 != 0 { // whether the upper half was written is not told
				c.add(index, v.value&(1<<32-1))
			}
		}
	}
}
