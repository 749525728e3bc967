package locate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path"
	"slices"
	"strings"
)

// container is what a runtime knows of one of its containers.
type container struct {
	runtime string
	id      string
	names   []string // other names that stand for it alone
	pod     string   // NAMESPACE/POD, "" outside of Kubernetes
	sandbox string   // what tells pods of the same name apart
	pid     int      // of its first process; 0 when it does not run
	start   uint64   // of that process, in clock ticks since the boot; 0 when unknown
	state   string   // why it does not run: "exited"
	cgroups []string // directories or paths that its state names as its own
}

// runtime knows where the state of its containers lies.
type runtime struct {
	name string
	// files are all containers that it has left the state of. An error is for a
	// place that is there and cannot be read.
	files func(System) ([]container, error)
	// ask asks its command line for one container, nil for those that have none
	// that knows more. It returns none for a name that is not known.
	ask func(s System, ctx context.Context, name string) ([]container, error)
	// prefixes says that its users shorten ids.
	prefixes bool
}

// runtimes are in the order of how much they know of a container: podman runs its
// containers through crun, docker its own through containerd and runc.
func runtimes() []runtime {
	return []runtime{
		{"docker", System.dockerFiles, System.askDocker, true},
		{"podman", System.podmanFiles, System.askPodman, true},
		{"k8s", System.kubernetesFiles, System.askCRI, true},
		{"containerd", System.containerdFiles, nil, true},
		{"runc", System.runcFiles, nil, false},
		{"crun", System.crunFiles, nil, false},
	}
}

// Runtimes are the names that may stand before a container's, as in "runc:web".
func Runtimes() []string {
	var names []string
	for _, r := range runtimes() {
		names = append(names, r.name)
	}
	return names
}

// Container is the processes of a running container, which is named by its name,
// its id, or as much of the id as is unique. A Kubernetes pod is POD or
// NAMESPACE/POD, and one of its containers has /CONTAINER behind that. A runtime
// and a colon before the name choose among several that have it.
func (s System) Container(ctx context.Context, name string) (Place, error) {
	chosen := runtimes()
	want := name
	if before, after, ok := strings.Cut(name, ":"); ok {
		i := slices.IndexFunc(chosen, func(r runtime) bool { return r.name == before })
		if i < 0 {
			return Place{}, &Error{fmt.Sprintf("%q is no container runtime", before), "the runtimes are " + strings.Join(Runtimes(), ", ")}
		}
		chosen, want = chosen[i:i+1], after
	}
	if want == "" {
		return Place{}, &Error{"a container has a name", "give its name, or the first digits of its id"}
	}
	matches, unread := s.matches(ctx, chosen, want)
	if len(matches) == 0 {
		e := &Error{fmt.Sprintf("there is no container %s", name), "docker ps, podman ps or crictl ps lists them; a process in it is found with --pid"}
		if unread != nil {
			e.Problem += fmt.Sprintf(", as far as can be seen: %v", unread)
			if errors.Is(unread, fs.ErrPermission) {
				e.Mend = "run as root, as the runtime does"
			}
		}
		return Place{}, e
	}
	groups := group(matches)
	if len(groups) > 1 {
		return Place{}, ambiguous(name, groups)
	}
	return s.place(want, groups[0])
}

// matches are the containers that a name may stand for. What is on disk comes
// before what command lines say, and a whole name before the first digits of an id.
func (s System) matches(ctx context.Context, chosen []runtime, want string) ([]container, error) {
	var whole, prefix []container
	var unread []error
	for _, r := range chosen {
		all, err := r.files(s)
		if err != nil {
			unread = append(unread, err)
		}
		for _, c := range all {
			switch {
			case c.id == want || slices.Contains(c.names, want) || c.isOfPod(want):
				whole = append(whole, c)
			case r.prefixes && strings.HasPrefix(c.id, want):
				prefix = append(prefix, c)
			}
		}
	}
	if len(whole) > 0 {
		return whole, nil
	}
	if len(prefix) > 0 {
		return prefix, nil
	}
	for _, r := range chosen {
		if r.ask == nil {
			continue
		}
		asked, err := r.ask(s, ctx, want)
		if err != nil && !errors.Is(err, exec.ErrNotFound) {
			unread = append(unread, err)
		}
		whole = append(whole, asked...)
	}
	return whole, errors.Join(unread...)
}

// isOfPod reports whether name is POD or NAMESPACE/POD of the container's.
func (c container) isOfPod(name string) bool {
	return c.pod != "" && (name == c.pod || name == path.Base(c.pod))
}

// group puts together what several runtimes know of one container, and the
// containers of one pod.
func group(matches []container) [][]container {
	var groups [][]container
	for _, c := range matches {
		i := slices.IndexFunc(groups, func(g []container) bool {
			return slices.ContainsFunc(g, func(o container) bool {
				return o.id == c.id && len(c.id) == idLength ||
					o.pid == c.pid && c.pid != 0 ||
					o.sandbox == c.sandbox && c.sandbox != ""
			})
		})
		if i < 0 {
			groups = append(groups, []container{c})
		} else {
			groups[i] = append(groups[i], c)
		}
	}
	return groups
}

// idLength is that of the ids which docker, podman and Kubernetes' runtimes draw
// at random. Other ids are names that people gave.
const idLength = 64

func ambiguous(name string, groups [][]container) error {
	var choices []string
	for _, g := range groups {
		choices = append(choices, g[0].choice())
	}
	return &Error{
		fmt.Sprintf("%s stands for more than one container: %s", name, strings.Join(choices, ", ")),
		"choose one: " + choices[0],
	}
}

// choice is a name that stands for this container and no other.
func (c container) choice() string {
	if len(c.id) == idLength {
		return c.runtime + ":" + c.id[:12]
	}
	return c.runtime + ":" + c.id
}

// place unites what is known of one container, or of the containers of one pod.
func (s System) place(name string, g []container) (Place, error) {
	p := Place{Name: g[0].runtime + " container " + name}
	if g[0].isOfPod(name) {
		p.Name = "pod " + g[0].pod
	}
	hierarchies, err := s.hierarchies()
	if err != nil {
		return Place{}, err
	}
	var why error
	var known []string // ids whose place is known
	for _, c := range g {
		if slices.Contains(known, c.id) {
			continue
		}
		if err := s.check(c); err != nil {
			if why == nil {
				why = err
			}
			continue
		}
		dir, err := s.ownCgroup(c, hierarchies)
		if err != nil {
			return Place{}, err
		}
		known = append(known, c.id)
		switch {
		case dir == "" && !slices.Contains(p.PIDs, c.pid):
			p.PIDs = append(p.PIDs, c.pid)
		case dir != "" && !slices.Contains(p.Cgroups, dir):
			p.Cgroups = append(p.Cgroups, dir)
		}
		if p.Program == "" {
			p.Program = s.program(c.pid)
		}
	}
	if len(known) == 0 {
		return Place{}, why
	}
	return p, nil
}

// check reports why the state of a container does not lead to a process.
func (s System) check(c container) error {
	what := c.runtime + " container " + c.label()
	if c.pid == 0 {
		state := c.state
		if state == "" {
			state = "stopped"
		}
		return &Error{fmt.Sprintf("%s does not run, it is %s", what, state), "start it, then try again"}
	}
	p, err := s.process(c.pid)
	var none *Error
	switch {
	case errors.As(err, &none):
		return &Error{fmt.Sprintf("%s does not run: its process %d is gone", what, c.pid), "start it, then try again"}
	case err != nil:
		return err
	case p.dead:
		return &Error{fmt.Sprintf("%s does not run: its process %d has ended", what, c.pid), "start it, then try again"}
	case c.start != 0 && p.start != 0 && c.start != p.start:
		return &Error{fmt.Sprintf("%s does not run: process %d is another one by now", what, c.pid), "start it, then try again"}
	}
	return nil
}

// label is the name that people know the container by.
func (c container) label() string {
	if len(c.names) > 0 {
		return c.names[0]
	}
	return c.id
}

// ownCgroup is the cgroup that has all processes of a container and no others, ""
// where it has none: its state names the cgroup, or the id is part of its name. A
// process of the container may have made cgroups below it for itself, as systemd
// does. What else the process is in may be shared with anything.
func (s System) ownCgroup(c container, all []hierarchy) (string, error) {
	dirs, err := s.ofProcess(c.pid, all)
	if err != nil {
		return "", err
	}
	for _, d := range dirs {
		for _, own := range c.cgroups {
			for _, p := range []string{d.path, d.dir} {
				below, ok := within(p, own)
				if !ok || own == "/" || own == "" {
					continue
				}
				dir := strings.TrimSuffix(d.dir, "/"+below)
				if dir != d.hierarchy.dir {
					return dir, nil
				}
			}
		}
		if above, ok := namedAfter(d.path, c.id); ok {
			dir, _ := d.directory(above)
			return dir, nil
		}
	}
	return "", nil
}

// namedAfter cuts a cgroup's path behind the element that has a container's id:
// /docker/ID, /system.slice/docker-ID.scope, /machine.slice/libpod-ID.scope/container.
func namedAfter(cgroup, id string) (string, bool) {
	elements := strings.Split(cgroup, "/")
	for i, e := range elements {
		if e != "" && e == id || len(id) == idLength && strings.Contains(e, id) {
			return strings.Join(elements[:i+1], "/"), true
		}
	}
	return "", false
}
