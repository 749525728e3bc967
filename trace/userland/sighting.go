package userland

import (
	"maps"
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// sighting is what is known of one syscall.
type sighting struct {
	run     uint64 // that saw it last, 0 for none
	denied  uint64 // run in which it was refused last, 0 for none
	success bool
	refused bool
	errnos  map[uint16]bool
	args    map[int]map[uint64]bool // nil at an index: too many
	sites   map[trace.Site]bool
	more    bool // there are other sites
}

func newSighting() *sighting {
	return &sighting{errnos: map[uint16]bool{}, args: map[int]map[uint64]bool{}, sites: map[trace.Site]bool{}}
}

// call keeps the values of the typed arguments and reports whether a further value
// did not fit.
func (d *sighting) call(id sysno.ID, args [6]uint64) (overflow bool) {
	typed := id.Args()
	for _, i := range id.Choices() {
		a := typed[i]
		values, known := d.args[i]
		switch {
		case !known:
			values = map[uint64]bool{}
			d.args[i] = values
		case values == nil:
			continue
		}
		values[args[i]&a.Mask()] = true
		if len(values) > trace.MaxValues {
			d.args[i] = nil
			overflow = true
		}
	}
	return overflow
}

// site keeps a call site and reports whether it did not fit.
func (d *sighting) site(s trace.Site) (overflow bool) {
	if d.sites[s] {
		return false
	}
	if len(d.sites) == trace.MaxSites {
		d.more = true
		return true
	}
	d.sites[s] = true
	return false
}

func (d *sighting) observation(id sysno.ID) trace.Observation {
	o := trace.Observation{
		ID: id,
		Returns: trace.Returns{
			Success: d.success,
			Refused: d.refused,
			Errnos:  slices.Sorted(maps.Keys(d.errnos)),
		},
		MoreSites: d.more,
	}
	for _, i := range slices.Sorted(maps.Keys(d.args)) {
		o.Args = append(o.Args, trace.Arg{Index: i, Values: slices.Sorted(maps.Keys(d.args[i])), Any: d.args[i] == nil})
	}
	o.Sites = slices.SortedFunc(maps.Keys(d.sites), trace.Site.Compare)
	return o
}
