package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/pods"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

// node is what is recorded on one: the pods that Kubernetes has told of, and the cgroups in theirs.
type node struct {
	v      voice
	rec    *rawtp.Recorder
	houses *rawtp.Houses
	tree   *pods.Tree
	book   *book
	pods   map[string]*housed // by uid
	rooms  []*occupied
	lost   trace.Lost // when it was looked last
}

// housed is a pod of which the containers are recorded.
type housed struct {
	pods.Pod
	dir     string          // its cgroup, "" while it has none
	late    map[string]bool // those in it that were there before they were recorded; true: adopted
	unnamed int             // cgroups that have ended without a name
}

// occupied is a cgroup in a pod's, in which something was executed, or ran already.
type occupied struct {
	rawtp.Room
	pod      *housed
	begin    trace.Lost          // what the recorder had lost when it began
	ended    bool                // then what follows is all of it
	observed []trace.Observation // until its name is known
	lost     trace.Lost
}

func (o *occupied) whole() bool {
	_, late := o.pod.late[o.Name]
	return !late
}

// tell takes over what Kubernetes says: the pods that are selected now.
func (n *node) tell(all []pods.Pod) {
	there := map[string]bool{}
	for _, p := range all {
		there[p.UID] = true
		if known := n.pods[p.UID]; known != nil {
			known.Pod = p
		} else {
			n.pods[p.UID] = &housed{Pod: p, late: map[string]bool{}}
		}
	}
	for uid, p := range n.pods {
		if !there[uid] {
			n.leave(p)
		}
	}
}

// move has the containers of new pods recorded as soon as these have a cgroup.
func (n *node) move() error {
	for _, p := range n.pods {
		if p.dir != "" || p.Over {
			continue
		}
		dir := n.tree.Find(p.UID)
		if dir == "" {
			continue
		}
		if err := n.houses.Add(dir); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return fmt.Errorf("record pod %s/%s: %w", p.Namespace, p.Name, err)
		}
		p.dir = dir
		n.v.say("recording pod %s/%s", p.Namespace, p.Name)
		// What is made from now on is recorded from its first execve on.
		children, err := pods.Children(dir)
		if err != nil {
			continue
		}
		for _, name := range children {
			p.late[name] = false
		}
	}
	return nil
}

// look finds which containers have begun, which have ended, and what they are called.
func (n *node) look() error {
	lost := n.rec.Lost()
	defer func() { n.lost = lost }()
	for _, p := range n.pods {
		for name, adopted := range p.late {
			// Before Kubernetes says that it runs, what is in it may be the container runtime.
			if w, running, ok := p.Find(name); ok && running && !adopted {
				switch err := n.houses.Adopt(p.dir, name); {
				case err == nil:
					n.v.say("recording %s in %s, which runs already", w.Container, p.Name)
				case errors.Is(err, rawtp.ErrNothing), errors.Is(err, fs.ErrNotExist):
				default:
					n.v.warn("%s in %s is not recorded: %v", w.Container, p.Name, err)
				}
				p.late[name] = true
			}
		}
	}
	rooms, err := n.houses.Let()
	if err != nil {
		return err
	}
	for _, room := range rooms {
		if p := n.at(room.House); p != nil {
			n.rooms = append(n.rooms, &occupied{Room: room, pod: p, begin: n.lost})
		} else if err := n.houses.Vacate(room); err != nil {
			return err
		}
	}
	for _, room := range n.rooms {
		if room.ended {
			continue
		}
		running, err := pods.Occupied(filepath.Join(room.House, room.Name))
		if err != nil {
			return err
		}
		if !running {
			if err := n.finish(room); err != nil {
				return err
			}
		}
	}
	return n.settle()
}

func (n *node) at(dir string) *housed {
	for _, p := range n.pods {
		if p.dir == dir {
			return p
		}
	}
	return nil
}

// finish keeps what was recorded of a cgroup, and lets another have its slot.
func (n *node) finish(room *occupied) error {
	room.ended = true
	if err := n.houses.Vacate(room.Room); err != nil {
		return err
	}
	room.observed, room.lost = room.Observations(), since(room.begin, n.rec.Lost())
	return nil
}

// settle enters in the book what has ended and has a name.
func (n *node) settle() error {
	rest := n.rooms[:0]
	done := false
	for _, room := range n.rooms {
		w, _, ok := room.pod.Find(room.Name)
		if !room.ended || !ok {
			rest = append(rest, room)
			continue
		}
		n.book.add(w, room.evidence(), room.whole())
		done = true
	}
	clear(n.rooms[len(rest):])
	n.rooms = rest
	if !done {
		return nil
	}
	return n.book.write()
}

// snapshot enters in the book what runs.
func (n *node) snapshot() {
	live := map[pods.Workload][]recorded{}
	for _, room := range n.rooms {
		if w, _, ok := room.pod.Find(room.Name); ok {
			live[w] = append(live[w], recorded{room.evidence(), room.whole()})
		}
	}
	n.book.live = live
}

// leave ends the recording of a pod that is selected no more. One cgroup without a name is usual, that of the
// pod's sandbox. Of a container that lives for a moment only Kubernetes may never tell the id.
func (n *node) leave(p *housed) {
	delete(n.pods, p.UID)
	if err := n.houses.Remove(p.dir); err != nil {
		n.v.warn("%v", err)
	}
	for _, room := range n.rooms {
		if room.pod != p {
			continue
		}
		if !room.ended {
			if err := n.finish(room); err != nil {
				n.v.warn("%v", err)
			}
		}
		if w, _, ok := p.Find(room.Name); ok {
			n.book.add(w, room.evidence(), room.whole())
		} else if !p.Debugs(room.Name) {
			p.unnamed++
		}
	}
	n.rooms = slices.DeleteFunc(n.rooms, func(o *occupied) bool { return o.pod == p })
	if p.unnamed > 1 {
		n.v.warn("%d cgroups of pod %s/%s had an id that Kubernetes has not told: one is its sandbox, what ran in the others is in no profile", p.unnamed, p.Namespace, p.Name)
	}
}

// end ends the recording of all.
func (n *node) end() {
	if err := n.look(); err != nil {
		n.v.warn("%v", err)
	}
	for _, p := range n.pods {
		n.leave(p)
	}
	n.book.live = nil
}

// evidence is the recording as one run, and as one that ended well, as for all that 'tjfuzz trace' attaches to.
func (o *occupied) evidence() *trace.Trace {
	observed := o.observed
	lost := o.lost
	if !o.ended {
		observed, lost = o.Observations(), trace.Lost{}
	}
	t := &trace.Trace{Target: trace.Target{Path: o.Program}, Arch: sysno.Native(), Kernel: kernelRelease(), Runs: 1, CleanRuns: 1, Lost: lost}
	for _, seen := range observed {
		seen.Runs, seen.CleanRuns, seen.Witness = 1, 1, trace.Witness{Command: o.Program}
		t.Observations = append(t.Observations, seen)
	}
	return t
}

// since is what was lost between two looks.
func since(before, now trace.Lost) trace.Lost {
	return trace.Lost{Tasks: now.Tasks - before.Tasks, Beyond: now.Beyond - before.Beyond, Late: now.Late - before.Late, Details: now.Details - before.Details}
}
