// Package pods decides which containers of a node somebody wants to be recorded, by what the
// Kubernetes API says of its pods, and which cgroups are theirs. It refuses to know what recording
// is. Its main hazard is a cgroup that is taken for that of another container: an id is compared
// as a whole, and what cannot be told apart is not told.
package pods

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

// Pod is what is known of a pod.
type Pod struct {
	UID        string // that its cgroup is named after
	Namespace  string
	Name       string
	Owner      string // what it is a copy of, as "deployment-web"; "pod-web" of one by itself
	Containers []Container
	Debuggers  []string // ids of ephemeral containers, which are nobody's workload
	Over       bool     // all of it has ended for good
}

// Container is one of a pod's, which may have been started several times.
type Container struct {
	Name    string
	IDs     []string // the last first, as far as the status still names them
	Running bool     // the first of IDs
}

// Workload is what has one profile: the containers of one name in all copies of a pod.
type Workload struct{ Namespace, Owner, Container string }

// Path is where a workload has its place below a directory.
func (w Workload) Path() string { return path.Join(w.Namespace, w.Owner, w.Container) }

func (w Workload) String() string { return w.Path() }

// Find returns the workload of the container that a cgroup in the pod's belongs to, by the name of
// the cgroup's directory, and whether Kubernetes says that it runs.
func (p Pod) Find(dir string) (w Workload, running, ok bool) {
	for _, c := range p.Containers {
		for i, id := range c.IDs {
			if isOf(dir, id) {
				return Workload{p.Namespace, p.Owner, c.Name}, i == 0 && c.Running, true
			}
		}
	}
	return Workload{}, false, false
}

// Debugs reports whether a cgroup in the pod's is that of an ephemeral container.
func (p Pod) Debugs(dir string) bool {
	return slices.ContainsFunc(p.Debuggers, func(id string) bool { return isOf(dir, id) })
}

// name is what Kubernetes takes for names that become parts of paths: RFC 1123 subdomains.
var name = lazyregexp.New(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)

// uid is of a pod, and of one whose manifest lies on the node.
var uid = lazyregexp.New(`^[0-9a-f][-0-9a-f]{0,62}$`)

// The parts of the API's Pod that say all this.
type object struct {
	Metadata struct {
		Name, Namespace, UID, ResourceVersion string
		Labels, Annotations                   map[string]string
		OwnerReferences                       []struct {
			Kind, Name string
			Controller bool
		}
	}
	Status struct {
		Phase                                                                string
		ContainerStatuses, InitContainerStatuses, EphemeralContainerStatuses []status
	}
}

type status struct {
	Name, ContainerID string
	State, LastState  struct {
		Running    *struct{}
		Terminated struct{ ContainerID string }
	}
}

// parse reads a pod as the API writes it.
func parse(text []byte) (Pod, error) {
	var o object
	if err := json.Unmarshal(text, &o); err != nil {
		return Pod{}, fmt.Errorf("read a pod: %w", err)
	}
	p := Pod{UID: o.Metadata.UID, Namespace: o.Metadata.Namespace, Name: o.Metadata.Name, Owner: owner(o)}
	p.Over = o.Status.Phase == "Succeeded" || o.Status.Phase == "Failed"
	// The API has the pods of manifests on the node under another id than the node itself.
	if hash := o.Metadata.Annotations["kubernetes.io/config.mirror"]; hash != "" {
		p.UID = hash
	}
	for _, s := range slices.Concat(o.Status.InitContainerStatuses, o.Status.ContainerStatuses) {
		if !name.MatchString(s.Name) {
			return Pod{}, fmt.Errorf("read a pod: %q is no name of a container", s.Name)
		}
		p.Containers = append(p.Containers, Container{s.Name, s.ids(), s.State.Running != nil})
	}
	for _, s := range o.Status.EphemeralContainerStatuses {
		p.Debuggers = append(p.Debuggers, s.ids()...)
	}
	if !uid.MatchString(p.UID) || !name.MatchString(p.Namespace) || !name.MatchString(p.Name) || !name.MatchString(p.Owner) {
		return Pod{}, fmt.Errorf("read a pod: %q, %q, %q and %q are not all names", p.UID, p.Namespace, p.Name, p.Owner)
	}
	return p, nil
}

// owner is the controller, or the Deployment behind it: a ReplicaSet is called after that and the hash
// of the pods' template, which is a label of the pods.
func owner(o object) string {
	for _, r := range o.Metadata.OwnerReferences {
		if !r.Controller || r.Kind == "Node" {
			continue
		}
		kind, called := r.Kind, r.Name
		if hash := o.Metadata.Labels["pod-template-hash"]; kind == "ReplicaSet" && hash != "" {
			if of, ok := strings.CutSuffix(called, "-"+hash); ok {
				kind, called = "Deployment", of
			}
		}
		return strings.ToLower(kind) + "-" + called
	}
	return "pod-" + o.Metadata.Name
}

// ids are those that a container has had, without the scheme of the runtime.
func (s status) ids() []string {
	var ids []string
	for _, full := range []string{s.ContainerID, s.State.Terminated.ContainerID, s.LastState.Terminated.ContainerID} {
		if _, id, ok := strings.Cut(full, "://"); ok && id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}
