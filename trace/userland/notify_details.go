package userland

import (
	"maps"
	"slices"
	"sync"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/unotify"
	"github.com/tjfuzz/tjfuzz/trace"
)

// details is what a Notify knows of calls beyond that they were made.
type details struct {
	args, sites bool

	mu     sync.Mutex
	of     map[sysno.ID]*sighting
	places locator
	asked  map[caller]bool
	lost   uint64
}

// caller is a thread at an instruction, whose place in a file need not be looked up
// for every turn of a loop.
type caller struct {
	id  sysno.ID
	tid uint32
	ip  uint64
}

// maxCallers bounds what is remembered of callers.
const maxCallers = 1 << 14

// add notes a call whose thread is stopped in it. The first one of a run is the
// execve of the program itself, which is made from our memory.
func (d *details) add(id sysno.ID, c *unotify.Call, first bool) {
	if !d.args && !d.sites {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.of == nil {
		d.of = map[sysno.ID]*sighting{}
	}
	s := d.of[id]
	if s == nil {
		s = newSighting()
		d.of[id] = s
	}
	if d.args && s.call(id, c.Args) {
		d.lost++
	}
	if !d.sites {
		return
	}
	if name, _ := id.Name(); name == "execve" || name == "execveat" || len(d.asked) >= maxCallers {
		clear(d.asked) // the same address may soon be another place
	}
	if first {
		return
	}
	if at := (caller{id, c.TID, c.IP}); !d.asked[at] {
		if d.asked == nil {
			d.asked = map[caller]bool{}
		}
		d.asked[at] = true
		if site := d.places.at(int(c.TID), c.IP); site != (trace.Site{}) && s.site(site) {
			d.lost++
		}
	}
}

func (d *details) count() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lost
}

func (d *details) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.of)
	d.lost = 0
}

func (d *details) observations() []trace.Observation {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []trace.Observation
	for _, id := range slices.SortedFunc(maps.Keys(d.of), sysno.ID.Compare) {
		out = append(out, d.of[id].observation(id))
	}
	return out
}
