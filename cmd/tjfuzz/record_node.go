package main

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

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
	dir    string         // its cgroup, "" while it has none
	failed string         // why that cannot be recorded, as it was said last
	late   map[string]int // those in it that were there before they were recorded, to how often they were adopted
}

// enough is how often it is tried to record what runs already: what is found the first time may be about to end.
const enough = 2

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
			n.pods[p.UID] = &housed{Pod: p, late: map[string]int{}}
		}
	}
	for uid, p := range n.pods {
		if !there[uid] {
			n.leave(p)
		}
	}
}

// move has the containers of new pods recorded as soon as these have a cgroup.
func (n *node) move() {
	for _, p := range n.pods {
		if p.dir != "" || p.Over {
			continue
		}
		dir := n.tree.Find(p.UID)
		if dir == "" {
			continue
		}
		if err := n.houses.Add(dir); err != nil {
			// One that is removed at this moment fails in several ways.
			if _, none := os.Stat(dir); none == nil && err.Error() != p.failed {
				p.failed = err.Error()
				n.v.warn("pod %s/%s is not recorded: %v; trying again", p.Namespace, p.Name, err)
			}
			continue
		}
		p.dir = dir
		n.v.say("recording pod %s/%s", p.Namespace, p.Name)
		// What is made from now on is recorded from its first execve on.
		children, err := pods.Children(dir)
		if err != nil {
			continue
		}
		for _, name := range children {
			p.late[name] = 0
		}
	}
}

// look finds which containers have begun, which have ended, and what they are called.
func (n *node) look() error {
	lost := n.rec.Lost()
	defer func() { n.lost = lost }()
	if err := n.enter(); err != nil {
		return err
	}
	for _, p := range n.pods {
		for name, tried := range p.late {
			// Before Kubernetes says that it runs, what is in it may be the container runtime.
			if w, running, ok := p.Find(name); ok && running && tried < enough {
				n.adopt(p, name, w.Container)
			}
		}
	}
	if err := n.enter(); err != nil {
		return err
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

// enter takes over the cgroups that are recorded since it was looked last.
func (n *node) enter() error {
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
	return nil
}

// adopt records also what runs already in one of a pod's cgroups, and says what keeps it from that.
func (n *node) adopt(p *housed, name, container string) {
	p.late[name]++
	err := n.houses.Adopt(p.dir, name)
	dir := filepath.Join(p.dir, name)
	running, _ := pods.Occupied(dir)
	switch {
	case running && pods.Hidden(dir):
		n.v.warn("%s in %s, which runs already, is not recorded, only what it starts is: the recorder's pid namespace does not show it; set hostPID in the recorder's pod, as 'tjfuzz daemonset' does", container, p.Name)
	case err == nil:
		n.v.say("recording %s in %s, which runs already", container, p.Name)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, rawtp.ErrNothing) && (!running || n.records(p, name)):
	case errors.Is(err, rawtp.ErrNothing) && p.late[name] < enough:
		return
	default:
		n.v.warn("%s in %s, which runs already, is not recorded: %v", container, p.Name, err)
	}
	p.late[name] = enough
}

func (n *node) records(p *housed, name string) bool {
	return slices.ContainsFunc(n.rooms, func(o *occupied) bool { return o.pod == p && o.Name == name && !o.ended })
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
	done := map[pods.Workload]bool{}
	for _, room := range n.rooms {
		w, _, ok := room.pod.Find(room.Name)
		if !room.ended || !ok {
			rest = append(rest, room)
			continue
		}
		n.book.add(w, n.evidence(room), room.whole())
		done[w] = true
	}
	clear(n.rooms[len(rest):])
	n.rooms = rest
	if len(done) == 0 {
		return nil
	}
	n.snapshot(func(w pods.Workload) bool { return done[w] })
	return n.book.write()
}

// snapshot enters in the book what runs of some workloads, in place of what did.
func (n *node) snapshot(of func(pods.Workload) bool) {
	live := map[pods.Workload][]recorded{}
	for w := range n.book.live {
		if of(w) {
			live[w] = nil
		}
	}
	for _, room := range n.rooms {
		if w, _, ok := room.pod.Find(room.Name); ok && of(w) {
			live[w] = append(live[w], recorded{n.evidence(room), room.whole()})
		}
	}
	for w, all := range live {
		n.book.run(w, all)
	}
}

// isSandbox reports whether a program is what keeps a pod's sandbox alive: /pause of Kubernetes itself, also
// where others have packaged it, and what OpenShift has instead.
func isSandbox(program string) bool {
	return path.Base(program) == "pause" || program == "/usr/bin/pod"
}

// leave ends the recording of a pod that is selected no more. Its sandbox never has a name; of
// a container that lives for a moment only Kubernetes may never tell the id.
func (n *node) leave(p *housed) {
	delete(n.pods, p.UID)
	if err := n.houses.Remove(p.dir); err != nil {
		n.v.warn("%v", err)
	}
	var unnamed []string
	done := map[pods.Workload]bool{}
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
			n.book.add(w, n.evidence(room), room.whole())
			done[w] = true
		} else if !p.Debugs(room.Name) && !isSandbox(room.Program) {
			unnamed = append(unnamed, room.Program)
		}
	}
	n.rooms = slices.DeleteFunc(n.rooms, func(o *occupied) bool { return o.pod == p })
	n.snapshot(func(w pods.Workload) bool { return done[w] })
	if len(unnamed) > 0 {
		n.v.warn("pod %s/%s had containers of which Kubernetes has not told the id; what ran in them is in no profile: %s", p.Namespace, p.Name, strings.Join(unnamed, ", "))
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
}

// evidence is the recording as one run, and as one that ended well, as for all that 'tjfuzz trace' attaches to.
func (n *node) evidence(o *occupied) *trace.Trace {
	observed := o.observed
	lost := o.lost
	if !o.ended {
		observed, lost = o.Observations(), since(o.begin, n.rec.Lost())
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
