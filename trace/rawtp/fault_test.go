package rawtp

import (
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
)

// refuseMarks makes the kernel side believe that there is no memory for the mark of
// a child: it replaces the calls that would create one.
func refuseMarks(t *testing.T) func(*ebpf.CollectionSpec) {
	return func(spec *ebpf.CollectionSpec) {
		code := spec.Programs["task_newtask"].Instructions
		flags, replaced := int64(0), 0
		for i, in := range code {
			if in.OpCode.Class().IsALU() && in.Dst == asm.R4 {
				flags = in.Constant
			}
			if in.IsBuiltinCall() && in.Constant == int64(asm.FnTaskStorageGet) && flags == 1 {
				code[i] = asm.Mov.Imm(asm.R0, 0).WithMetadata(in.Metadata)
				replaced++
			}
		}
		if replaced == 0 {
			t.Error("task_newtask creates no marks: the test has to be written anew")
		}
	}
}

// madvise64 is the number of a call that the victim makes often.
const madvise64 = 28

// What is true of a recording must stay true when the kernel side has no room: a
// syscall is in the set, or the trace says that some are missing; a detail is in its
// list, or the list says so.
func TestWhatDoesNotFitIsNeverMissingInSilence(t *testing.T) {
	program := compile(t, "details.c", []string{"-static", "-O1"})
	all := Options{Slots: 1, Events: true, Denials: true, Returns: true, Args: true, Sites: true}
	works := [][]string{{"arguments", "many"}, {"returns"}, {"many"}, {"odds"}, {"x32"}}
	if testenv.RunsCompat() {
		works = append(works, []string{"i386"})
	}
	work := func(t *testing.T, b bounds) (*Recorder, []trace.Observation) {
		r := mustOpenBounded(t, all, b)
		s := launcher(t, r, 0)
		for _, args := range works {
			s.Begin()
			run(t, append([]string{program}, args...)...)
		}
		for range 2 { // the table of what the table has no room for has as little
			s.Begin()
			runFiltered(t, refuse(13), []uint32{getpgid64, madvise64}, false, program, "arguments")
		}
		return r, s.Observations()
	}
	_, want := work(t, defaultBounds())

	for _, c := range []struct {
		name       string
		change     func(*bounds)
		incomplete bool // the set may lack syscalls
		details    bool // lists may be cut
		dropped    Dropped
	}{
		{"a ring buffer of one page", func(b *bounds) { b.events = 4096 }, false, false, Dropped{Events: 1}},
		{"a full table of odd numbers", func(b *bounds) { b.odds = 4 }, true, false, Dropped{}},
		{"a full table of values", func(b *bounds) { b.values = 5 }, false, true, Dropped{}},
		{"a full table of sites", func(b *bounds) { b.sites = 5 }, false, true, Dropped{}},
		{"a full table of denials", func(b *bounds) { b.denials = 1 }, false, false, Dropped{Denials: 1}},
		{"no memory for the mark of a task", func(b *bounds) { b.fault = refuseMarks(t) }, true, false, Dropped{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := defaultBounds()
			c.change(&b)
			r, got := work(t, b)
			lost, dropped := r.Lost(), r.Dropped()
			if lost.Complete() == c.incomplete {
				t.Errorf("lost %+v: complete %v, want %v", lost, lost.Complete(), !c.incomplete)
			}
			if (lost.Details > 0) != c.details {
				t.Errorf("%d details lost, want some: %v", lost.Details, c.details)
			}
			if (dropped.Events > 0) != (c.dropped.Events > 0) || (dropped.Denials > 0) != (c.dropped.Denials > 0) {
				t.Errorf("dropped %+v, want as %+v", dropped, c.dropped)
			}
			if !c.incomplete {
				if diff := cmp.Diff(ids(want), ids(got)); diff != "" {
					t.Errorf("want (-), got (+):\n%s", diff)
				}
			}
			for _, o := range got {
				i := slices.IndexFunc(want, func(w trace.Observation) bool { return w.ID == o.ID })
				if i < 0 {
					t.Errorf("%v is none of the program's", o.ID)
					continue
				}
				if !c.incomplete {
					wantNoSilence(t, o, want[i])
				}
			}
		})
	}
}

// wantNoSilence holds each list of an observation to the whole one.
func wantNoSilence(t *testing.T, got, want trace.Observation) {
	t.Helper()
	if len(got.Sites) < len(want.Sites) && !got.MoreSites {
		t.Errorf("%v: %d sites of %d, and no more are said to exist", got.ID, len(got.Sites), len(want.Sites))
	}
	if diff := cmp.Diff(want.Returns, got.Returns); diff != "" {
		t.Errorf("%v: returns: want (-), got (+):\n%s", got.ID, diff)
	}
	if len(got.Args) != len(want.Args) {
		t.Errorf("%v: arguments %v, want those of %v", got.ID, got.Args, want.Args)
		return
	}
	for i, arg := range got.Args {
		if !arg.Any && !slices.Equal(arg.Values, want.Args[i].Values) {
			t.Errorf("%v: argument %d: %v without a word, want %v", got.ID, arg.Index, arg.Values, want.Args[i].Values)
		}
	}
}

func ids(all []trace.Observation) []sysno.ID {
	var ids []sysno.ID
	for _, o := range all {
		ids = append(ids, o.ID)
	}
	return ids
}
