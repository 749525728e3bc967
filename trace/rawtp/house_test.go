package rawtp

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
)

// entering is a caller that enters a cgroup, and executes what sets up the container, as runc
// executes itself, and then the program.
func entering(t *testing.T, cgroup, program string) *caller {
	t.Helper()
	return newCaller(t, "/bin/sh", "-c", `echo $$ >"$0/cgroup.procs" && exec unshare --mount "$1"`, cgroup, program)
}

func houses(t *testing.T, r *Recorder) *Houses {
	t.Helper()
	h, err := r.Houses()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// rooms are those that are new, by their names.
func rooms(t *testing.T, h *Houses) map[string]Room {
	t.Helper()
	all, err := h.Let()
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]Room{}
	for _, room := range all {
		byName[room.Name] = room
	}
	return byName
}

func TestEachCgroupInAHouseIsRecordedByItselfFromItsFirstExecOn(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	for _, version := range []string{"v1", "v2"} {
		t.Run(version, func(t *testing.T) {
			r := mustOpen(t, Options{Denials: true})
			program := compileCaller(t)
			h := houses(t, r)
			top := newCgroup(t, version)
			house, other := subCgroup(t, top, "house"), subCgroup(t, top, "other")
			if err := h.Add(house); err != nil {
				t.Fatal(err)
			}
			one, two := subCgroup(t, house, "one"), subCgroup(t, house, "two")
			below := subCgroup(t, one, "below") // as systemd in a container makes them
			for i, dir := range []string{one, below, two, other} {
				c := entering(t, dir, program)
				c.call(t, 2000+uint32(i))
				c.end(t)
			}
			got := rooms(t, h)
			if len(got) != 2 || got["one"].Slot == nil || got["two"].Slot == nil {
				t.Fatalf("rooms %v, want one and two", got)
			}
			for name, want := range map[string][]uint32{"one": {2000, 2001}, "two": {2002}} {
				room := got[name]
				if seen := oddOnes(room.Seen()); !slices.Equal(seen, want) {
					t.Errorf("%s: got %v, want %v", name, seen, want)
				}
				if seen := names(room.Seen()); slices.Contains(seen, "unshare") || !slices.Contains(seen, "execve") {
					t.Errorf("%s: got %v, want no unshare, which came before the execve, and that", name, seen)
				}
				if room.House != house || room.Program != program {
					t.Errorf("%s: in %s, executed %s; want %s, %s", name, room.House, room.Program, house, program)
				}
			}
			if again := rooms(t, h); len(again) != 0 {
				t.Errorf("rooms %v are told of twice", again)
			}
			if err := h.Remove(house); err != nil {
				t.Fatal(err)
			}
			entering(t, subCgroup(t, house, "late"), program).end(t)
			if more := rooms(t, h); len(more) != 0 {
				t.Errorf("rooms %v of a house that was removed", more)
			}
			if len(h.dirs) != 0 {
				t.Errorf("%v are kept of houses that were removed", h.dirs)
			}
			if got := r.Lost(); got != (trace.Lost{}) {
				t.Errorf("lost %+v, want nothing", got)
			}
		})
	}
}

func TestWhatRunsInARoomAlreadyIsRecordedWhenItIsAdopted(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	r := mustOpen(t, Options{Denials: true})
	program := compileCaller(t)
	house := newCgroup(t, "v2")
	room := subCgroup(t, house, "room")
	c := entering(t, room, program)
	h := houses(t, r)
	if err := h.Add(house); err != nil {
		t.Fatal(err)
	}
	c.call(t, 2000)
	if got := rooms(t, h); len(got) != 0 {
		t.Fatalf("rooms %v before anything was executed or adopted", got)
	}
	if err := h.Adopt(house, "room"); err != nil {
		t.Fatal(err)
	}
	c.call(t, 2001)
	another := entering(t, room, program)
	another.call(t, 2002)
	got := rooms(t, h)["room"]
	if got.Slot == nil {
		t.Fatal("the room has no slot")
	}
	if seen := oddOnes(got.Seen()); !slices.Equal(seen, []uint32{2001, 2002}) || got.Program != "" || got.House != house {
		t.Errorf("got %v of %q in %s; want 2001 and 2002 of a program that is not known, in %s", seen, got.Program, got.House, house)
	}
	another.end(t)
	c.end(t)
	if err := h.Adopt(house, "room"); !errors.Is(err, ErrNothing) {
		t.Errorf("of an empty room: %v, want that there is nothing", err)
	}
	if err := h.Adopt(filepath.Dir(house), "none"); err == nil {
		t.Error("a room that is not there was adopted")
	}
}

// A house can be removed between a program's execve and the look at it.
func TestARoomIsOfTheHouseThatItWasInWhenThatIsRemoved(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	r := mustOpen(t, Options{Denials: true})
	h := houses(t, r)
	house := newCgroup(t, "v2")
	if err := h.Add(house); err != nil {
		t.Fatal(err)
	}
	entering(t, subCgroup(t, house, "room"), compileCaller(t)).end(t)
	if err := h.Remove(house); err != nil {
		t.Fatal(err)
	}
	if got := rooms(t, h)["room"]; got.House != house {
		t.Errorf("the room is in %q, want %s", got.House, house)
	}
	// It can come back.
	if err := h.Add(house); err != nil {
		t.Fatal(err)
	}
	if err := h.Remove(house); err != nil {
		t.Fatal(err)
	}
	if err := h.Add(house); err != nil {
		t.Fatal(err)
	}
	rooms(t, h)
	entering(t, subCgroup(t, house, "more"), compileCaller(t)).end(t)
	if got := rooms(t, h)["more"]; got.House != house {
		t.Errorf("the room is in %q, want %s", got.House, house)
	}
}

// The kernel can give a room its slot after it was looked whether it has one.
func TestARoomHasOneSlotWhoeverGivesItFirst(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	r := mustOpen(t, Options{Slots: 2, Denials: true})
	program := compileCaller(t)
	h := houses(t, r)
	house := newCgroup(t, "v2")
	if err := h.Add(house); err != nil {
		t.Fatal(err)
	}
	dir := subCgroup(t, house, "room")
	c := entering(t, dir, program)
	has := rooms(t, h)["room"]
	if has.Slot == nil {
		t.Fatal("the room has no slot")
	}
	serial, err := r.attaching.serial(dir)
	if err != nil {
		t.Fatal(err)
	}
	slot, fresh, err := h.claim(house, "room", serial)
	if err != nil || fresh || int(slot) != has.index {
		t.Errorf("slot %d, fresh %t, %v; want slot %d, which it has", slot, fresh, err, has.index)
	}
	other := entering(t, subCgroup(t, house, "other"), program)
	if got := rooms(t, h); len(got) != 1 || got["other"].Slot == nil || r.Lost() != (trace.Lost{}) {
		t.Errorf("rooms %v, lost %+v; want that the other slot is still to be had", got, r.Lost())
	}
	other.end(t)
	c.end(t)
}

func TestASlotServesOneRoomAfterTheOther(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	r := mustOpen(t, Options{Slots: 1, Denials: true})
	program := compileCaller(t)
	h := houses(t, r)
	house := newCgroup(t, "v2")
	if err := h.Add(house); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"a", "b"} {
		c := entering(t, subCgroup(t, house, name), program)
		nr := 2000 + uint32(i)
		c.call(t, nr)
		c.end(t)
		room := rooms(t, h)[name]
		if room.Slot == nil {
			t.Fatalf("%s has no slot", name)
		}
		if err := h.Vacate(room); err != nil {
			t.Fatal(err)
		}
		var seen []uint32
		for _, o := range room.Observations() {
			seen = append(seen, o.ID.NR)
		}
		if !slices.Contains(seen, nr) || slices.Contains(seen, nr-1) {
			t.Errorf("%s: %v was observed, want %d and nothing of the room before", name, seen, nr)
		}
	}
	if got := r.Lost(); got != (trace.Lost{}) {
		t.Errorf("lost %+v, want nothing", got)
	}
	entering(t, subCgroup(t, house, "c"), program).end(t)
	entering(t, subCgroup(t, house, "d"), program).end(t)
	if got := rooms(t, h); len(got) != 1 || r.Lost().Tasks == 0 {
		t.Errorf("rooms %v with one slot, lost %+v; want one, and a task lost", got, r.Lost())
	}
}
