package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/pods"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

// node is one of the cluster with a pod that has a container, and the pod's cgroup.
func (c *cluster) node(slots int) (n *node, said *bytes.Buffer, p pods.Pod, cgroup string) {
	c.t.Helper()
	rec, err := rawtp.Open(rawtp.Options{Slots: slots, Denials: true})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if err := rec.Close(); err != nil {
			c.t.Error(err)
		}
	})
	houses, err := rec.Houses()
	if err != nil {
		c.t.Fatal(err)
	}
	pod := copyOf("db", 1, map[string]string{})
	cgroup = namings["cgroupfs, containerd"].of(pod)
	c.house(cgroup)
	tree, err := pods.OpenTree(c.root)
	if err != nil {
		c.t.Fatal(err)
	}
	said = &bytes.Buffer{}
	v := voice{said, false}
	p = pods.Pod{UID: string(pod.UID), Namespace: "market", Name: pod.Name, Owner: "deployment-db", Containers: []pods.Container{{Name: "pg", IDs: []string{containerID(1)}, Running: true}}}
	n = &node{v: v, rec: rec, houses: houses, tree: tree, book: newBook(v, c.dir, synth.Options{}), pods: map[string]*housed{}}
	n.tell([]pods.Pod{p})
	return n, said, p, cgroup
}

func (c *cluster) look(n *node) {
	c.t.Helper()
	if err := n.look(); err != nil {
		c.t.Fatal(err)
	}
}

func TestWhatIsLostWhileAContainerRunsIsInItsEvidence(t *testing.T) {
	c := newCluster(t)
	n, said, p, cgroup := c.node(1)
	n.move()
	end := c.loop(containerID(1), filepath.Join(cgroup, containerID(1)))
	c.look(n)
	w, _, _ := p.Find(containerID(1))
	profile := filepath.Join(c.dir, w.Path()+profileSuffix)
	write := func() {
		t.Helper()
		n.snapshot(func(pods.Workload) bool { return true })
		if err := n.book.write(); err != nil {
			t.Fatal(err)
		}
	}
	write()
	path := filepath.Join(c.dir, w.Path()+evidenceSuffix)
	if e := evidence(t, path); !e.Lost.Complete() || !allowedBy(t, profile)["execve"] {
		t.Fatalf("lost %+v before anything was, and said\n%s", e.Lost, said)
	}
	c.run(containerID(2), filepath.Join(cgroup, containerID(2)), nil, "true") // has no slot
	write()
	if e := evidence(t, path); e.Lost.Tasks == 0 || !strings.Contains(said.String(), "no new profile: the evidence is incomplete") {
		t.Errorf("lost %+v, want tasks; said\n%s", e.Lost, said)
	}
	// What has ended is not counted with what runs, too.
	end()
	c.look(n)
	if e := evidence(t, path); e.Runs != 1 {
		t.Errorf("%d runs of one container", e.Runs)
	}
}

func TestOnlyTheSandboxOfAPodNeedsNoName(t *testing.T) {
	c := newCluster(t)
	n, said, p, cgroup := c.node(4)
	n.move()
	c.run(containerID(2), filepath.Join(cgroup, containerID(2)), nil, sandbox)
	c.look(n)
	n.tell(nil)
	if strings.Contains(said.String(), "warning") {
		t.Errorf("of the sandbox it says\n%s", said)
	}
	n.tell([]pods.Pod{p})
	n.move()
	c.run(containerID(3), filepath.Join(cgroup, containerID(3)), nil, "sync")
	c.look(n)
	n.tell(nil)
	if !strings.Contains(said.String(), "pod market/"+p.Name+" had containers of which Kubernetes has not told the id") || !strings.Contains(said.String(), "/sync\n") {
		t.Errorf("of a container that has no name it says\n%s", said)
	}
}

func TestAPodThatCannotBeRecordedIsTriedAgain(t *testing.T) {
	c := newCluster(t)
	n, said, p, cgroup := c.node(1)
	dir := filepath.Join(c.root, cgroup)
	if err := n.houses.Add(dir); err != nil { // so that it cannot be added
		t.Fatal(err)
	}
	n.move()
	n.move()
	if strings.Count(said.String(), "pod market/"+p.Name+" is not recorded") != 1 {
		t.Errorf("it says\n%s\nwant a warning, and that once", said)
	}
	if err := n.houses.Remove(dir); err != nil {
		t.Fatal(err)
	}
	n.move()
	if !strings.Contains(said.String(), "recording pod market/"+p.Name) {
		t.Errorf("it says\n%s", said)
	}
}
