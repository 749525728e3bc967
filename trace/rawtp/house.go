package rawtp

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// house stands for a slot where each cgroup in a directory gets its own, HOUSE in C.
const house = ^uint32(0)

// Houses records containers by the cgroups that theirs lie in, as those of a pod do: each in
// a slot of its own, which the kernel gives it when a program is executed in it for the
// first time. So nobody has to be fast who learns of a container: all is recorded from the
// first execve on that has other mounts than its parent, which tells the container's program
// from the runtime, and then with all that it starts. Where there is no slot left, a task counts as lost.
// It belongs to one goroutine.
type Houses struct {
	r       *Recorder
	slots   map[uint32]*Slot  // all, as they were prepared last
	serials map[string]uint64 // of the houses, by their directories
	dirs    map[uint64]string // the reverse, with those in gone
	gone    []uint64          // houses of which rooms may not have been told of yet
}

// Room is a cgroup in a house. Its slot is given back by [Houses.Vacate].
type Room struct {
	*Slot
	House   string // the directory
	Name    string // of the room's directory in that
	Program string // what was executed in it first, as execve was given it; "" of what ran before
}

// Houses takes all slots that are free. It needs what Attach needs.
func (r *Recorder) Houses() (*Houses, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.final != nil {
		return nil, fmt.Errorf("record cgroups: %w", ErrClosed)
	}
	if err := r.prepareAttach(); err != nil {
		return nil, fmt.Errorf("record cgroups: load: %w", err)
	}
	h := &Houses{r: r, slots: map[uint32]*Slot{}, serials: map[string]uint64{}, dirs: map[uint64]string{}}
	for i := range r.slots {
		if r.taken[i] {
			continue
		}
		if err := h.prepare(uint32(i)); err != nil {
			return nil, fmt.Errorf("record cgroups: %w", err)
		}
	}
	atomic.StoreUint64(&r.session.Joins, 1)
	if err := r.joinHomes(); err != nil {
		return nil, fmt.Errorf("record cgroups: %w", err)
	}
	return h, nil
}

// prepare makes a slot one that the kernel may give away.
func (h *Houses) prepare(slot uint32) error {
	s, err := h.r.own(int(slot))
	if err != nil {
		return err
	}
	s.attached = true
	h.r.taken[int(slot)] = true
	h.slots[slot] = s
	maps := h.r.attaching.coll.Maps
	if err := maps["rooms"].Put(slot, recorderRoom{}); err != nil {
		return err
	}
	return maps["vacant"].Put(nil, slot)
}

// Add makes a directory of a mounted cgroup hierarchy a house. What runs in it already
// is not recorded until it executes a program, see Adopt.
func (h *Houses) Add(dir string) error {
	h.r.mu.Lock()
	defer h.r.mu.Unlock()
	if h.r.final != nil {
		return fmt.Errorf("cgroup %s: %w", dir, ErrClosed)
	}
	serial, err := h.r.attaching.serial(dir)
	if err == nil {
		err = h.r.attaching.coll.Maps["homes"].Update(serial, house, ebpf.UpdateNoExist)
	}
	if err != nil {
		return fmt.Errorf("cgroup %s: %w", dir, err)
	}
	h.serials[dir], h.dirs[serial] = serial, dir
	return nil
}

// Remove ends that new rooms of a house are recorded; those that are go on. It may be
// gone already.
func (h *Houses) Remove(dir string) error {
	h.r.mu.Lock()
	defer h.r.mu.Unlock()
	serial, ok := h.serials[dir]
	if !ok || h.r.final != nil {
		return nil
	}
	delete(h.serials, dir)
	if err := h.r.attaching.coll.Maps["homes"].Delete(serial); err != nil {
		return fmt.Errorf("cgroup %s: %w", dir, err)
	}
	// Who had found the house before has told of its room after this.
	if err := settle(); err != nil {
		return fmt.Errorf("cgroup %s: %w", dir, err)
	}
	h.gone = append(h.gone, serial)
	return nil
}

// Let returns the rooms that have got a slot since the last call.
func (h *Houses) Let() ([]Room, error) {
	h.r.mu.Lock()
	defer h.r.mu.Unlock()
	if h.r.final != nil {
		return nil, fmt.Errorf("list rooms: %w", ErrClosed)
	}
	maps := h.r.attaching.coll.Maps
	var all []Room
	for {
		var slot uint32
		err := maps["let"].LookupAndDelete(nil, &slot)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			for _, serial := range h.gone {
				if h.serials[h.dirs[serial]] != serial { // it has not come back
					delete(h.dirs, serial)
				}
			}
			h.gone = nil
			return all, nil
		}
		var room recorderRoom
		if err == nil {
			err = maps["rooms"].Lookup(slot, &room)
		}
		if err != nil {
			return all, fmt.Errorf("list rooms: %w", err)
		}
		all = append(all, Room{h.slots[slot], h.dirs[room.House], unix.ByteSliceToString(room.Name[:]), unix.ByteSliceToString(room.Program[:])})
	}
}

// Adopt records also what runs already in a cgroup of a house, as Attach does. The error is
// ErrNothing if all of it is recorded, or has ended. A room that had no slot is one that Let returns.
func (h *Houses) Adopt(house, name string) error {
	h.r.mu.Lock()
	defer h.r.mu.Unlock()
	if err := h.adopt(house, name); err != nil {
		return fmt.Errorf("record what runs in cgroup %s: %w", filepath.Join(house, name), err)
	}
	return nil
}

func (h *Houses) adopt(house, name string) error {
	if h.r.final != nil {
		return ErrClosed
	}
	dir, maps := filepath.Join(house, name), h.r.attaching.coll.Maps
	serial, err := h.r.attaching.serial(dir)
	if err != nil {
		return err
	}
	var slot uint32
	fresh := false
	err = maps["homes"].Lookup(serial, &slot)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		slot, fresh, err = h.claim(house, name, serial)
	}
	if err != nil {
		return err
	}
	err = h.r.adopt(int(slot), Attachment{Cgroups: []string{dir}})
	if !fresh {
		return err
	}
	if errors.Is(err, ErrNothing) {
		// What has executed a program since the claim is in the slot already.
		if more := h.r.attaching.run("census", int(slot)); more != nil {
			err = errors.Join(err, more)
		} else if atomic.LoadUint64(&h.r.attaching.pass.Alive) > 0 {
			err = nil
		}
	}
	if err != nil {
		return errors.Join(err, h.r.disown(int(slot)), h.prepare(slot))
	}
	return maps["let"].Put(nil, slot)
}

// claim gives a room a slot. It is not a fresh one where the kernel has given the room one meanwhile.
func (h *Houses) claim(house, name string, serial uint64) (slot uint32, fresh bool, err error) {
	maps := h.r.attaching.coll.Maps
	if err := maps["vacant"].LookupAndDelete(nil, &slot); errors.Is(err, ebpf.ErrKeyNotExist) {
		return 0, false, fmt.Errorf("all %d slots are taken", len(h.slots))
	} else if err != nil {
		return 0, false, err
	}
	room := recorderRoom{House: h.serials[house]}
	copy(room.Name[:len(room.Name)-1], name)
	if err := maps["rooms"].Put(slot, room); err != nil {
		return 0, false, errors.Join(err, h.prepare(slot))
	}
	err = maps["homes"].Update(serial, slot, ebpf.UpdateNoExist)
	if err == nil {
		return slot, true, nil
	}
	back := h.prepare(slot)
	if errors.Is(err, ebpf.ErrKeyExist) {
		err = maps["homes"].Lookup(serial, &slot)
	}
	return slot, false, errors.Join(err, back)
}

// Vacate ends the recording of a room, and lets another have its slot. What was observed
// stays as it is.
func (h *Houses) Vacate(room Room) error {
	if err := room.Release(); err != nil {
		return err
	}
	h.r.mu.Lock()
	defer h.r.mu.Unlock()
	if h.r.final != nil {
		return nil
	}
	if err := h.prepare(uint32(room.index)); err != nil {
		return fmt.Errorf("vacate slot %d: %w", room.index, err)
	}
	return nil
}
