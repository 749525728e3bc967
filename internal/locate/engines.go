package locate

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// dockerFiles reads containers/ID/config.v2.json below docker's data directory.
func (s System) dockerFiles() ([]container, error) {
	data := "/var/lib/docker"
	if b, err := s.read("/etc/docker/daemon.json"); err == nil {
		var daemon struct {
			Data string `json:"data-root"`
		}
		if json.Unmarshal(b, &daemon) == nil && daemon.Data != "" {
			data = daemon.Data
		}
	}
	var all []container
	err := s.each(path.Join(data, "containers"), "config.v2.json", func(_ string, b []byte) error {
		c, err := parseDocker(b)
		if err != nil {
			return err
		}
		c.runtime = "docker"
		all = append(all, c)
		return nil
	})
	return all, err
}

// inspected is a container in docker's file and in what docker and podman inspect
// print; the key is "ID" there and "Id" here, which JSON in Go does not tell apart.
type inspected struct {
	ID    string
	Name  string
	State struct {
		Running bool
		Status  string // not in docker's file
		Pid     int
	}
}

func (i inspected) container() (container, error) {
	if i.ID == "" || i.State.Pid < 0 {
		return container{}, errors.New("it is not the state of a container")
	}
	c := container{id: i.ID, pid: i.State.Pid, state: i.State.Status}
	if name := strings.TrimPrefix(i.Name, "/"); name != "" {
		c.names = []string{name}
	}
	if !i.State.Running {
		c.pid = 0
	}
	return c, nil
}

func parseDocker(b []byte) (container, error) {
	var i inspected
	if err := json.Unmarshal(b, &i); err != nil {
		return container{}, err
	}
	return i.container()
}

func (s System) askDocker(ctx context.Context, name string) ([]container, error) {
	return s.inspect(ctx, "docker", name)
}

func (s System) askPodman(ctx context.Context, name string) ([]container, error) {
	return s.inspect(ctx, "podman", name)
}

func (s System) inspect(ctx context.Context, program, name string) ([]container, error) {
	out, err := s.run(ctx, program, "container", "inspect", "--", name)
	if err != nil {
		// How both say that they do not know it.
		if strings.Contains(strings.ToLower(err.Error()), "no such container") {
			err = nil
		}
		return nil, err
	}
	all, err := parseInspect(out)
	for i := range all {
		all[i].runtime = program
	}
	return all, err
}

func parseInspect(b []byte) ([]container, error) {
	var list []inspected
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, err
	}
	var all []container
	for _, i := range list {
		c, err := i.container()
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// podmanFiles reads the lists of containers/storage, and the pidfile of each
// container that conmon wrote. CRI-O keeps its containers there too.
func (s System) podmanFiles() ([]container, error) {
	all, err := s.storage()
	var own []container
	for _, c := range all {
		if c.pod == "" {
			own = append(own, c)
		}
	}
	return own, err
}

func (s System) storage() ([]container, error) {
	type store struct{ graph, run string }
	stores := []store{{"/var/lib/containers/storage", "/run/containers/storage"}}
	if home, dir := s.env("HOME"), s.env("XDG_RUNTIME_DIR"); home != "" && dir != "" {
		stores = append(stores, store{path.Join(home, ".local/share/containers/storage"), path.Join(dir, "containers")})
	}
	var all []container
	var bad []error
	for _, st := range stores {
		// Those that are removed when they end are listed apart.
		for _, list := range []string{
			st.graph + "/overlay-containers/containers.json",
			st.graph + "/overlay-containers/volatile-containers.json",
			st.run + "/overlay-containers/volatile-containers.json",
		} {
			b, err := s.read(list)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			var listed []container
			if err == nil {
				listed, err = parseStorage(b)
			}
			if err != nil {
				bad = append(bad, s.unreadable(err))
			}
			for _, c := range listed {
				b, err := s.read(path.Join(st.run, "overlay-containers", c.id, "userdata/pidfile"))
				if err == nil {
					c.pid, err = strconv.Atoi(strings.TrimSpace(string(b)))
				}
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					bad = append(bad, s.unreadable(err))
				}
				all = append(all, c)
			}
		}
	}
	return all, errors.Join(bad...)
}

func parseStorage(b []byte) ([]container, error) {
	var list []struct {
		ID    string   `json:"id"`
		Names []string `json:"names"`
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, err
	}
	var all []container
	for _, l := range list {
		if l.ID == "" || strings.Contains(l.ID, "/") {
			continue
		}
		c := container{runtime: "podman", id: l.ID, names: l.Names}
		for _, name := range l.Names {
			// CRI-O: k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT
			if parts := strings.Split(name, "_"); len(parts) == 6 && parts[0] == "k8s" {
				c.inPod("crio:"+parts[4], parts[3], parts[2], parts[1])
			}
		}
		all = append(all, c)
	}
	return all, nil
}

// inPod makes it a container of a Kubernetes pod. The pod's sandbox, which only
// holds its namespaces, is part of the pod but has no name.
func (c *container) inPod(sandbox, namespace, pod, name string) {
	c.runtime, c.sandbox, c.pod = "k8s", sandbox, namespace+"/"+pod
	if name != "" && name != "POD" {
		c.names = append(c.names, c.pod+"/"+name, pod+"/"+name)
	}
}

// tasks are the containers in the state of containerd: in a directory for each
// there is the OCI bundle, with the pid beside it.
func (s System) tasks() ([]container, error) {
	const below = "io.containerd.runtime.v2.task"
	var all []container
	var bad []error
	for _, root := range []string{"/run/containerd", "/run/k3s/containerd", "/run/docker/containerd/daemon"} {
		bad = append(bad, s.namespaces(path.Join(root, below), func(namespace, dir string) error {
			return s.each(dir, "init.pid", func(id string, b []byte) error {
				pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
				if err != nil {
					return err
				}
				c := container{runtime: "containerd", id: id, pid: pid}
				if spec, err := s.read(path.Join(dir, id, "config.json")); err == nil {
					if err := c.readSpec(spec); err != nil {
						return err
					}
				}
				// runc's own state tells whether the pid is still the same process.
				if state, err := s.read(path.Join(root, "runc", namespace, id, "state.json")); err == nil {
					if r, err := parseRunc(state); err == nil && r.pid == pid {
						c.start, c.cgroups = r.start, r.cgroups
					}
				}
				all = append(all, c)
				return nil
			})
		}))
	}
	return all, errors.Join(bad...)
}

// namespaces visits the directories in dir, if it is there.
func (s System) namespaces(dir string, visit func(namespace, dir string) error) error {
	entries, err := os.ReadDir(s.path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return s.unreadable(err)
	}
	var bad []error
	for _, e := range entries {
		bad = append(bad, visit(e.Name(), path.Join(dir, e.Name())))
	}
	return errors.Join(bad...)
}

// readSpec takes the names from the annotations that Kubernetes' plugin and nerdctl
// leave in a container's config.json.
func (c *container) readSpec(b []byte) error {
	var spec struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(b, &spec); err != nil {
		return err
	}
	a := spec.Annotations
	const cri = "io.kubernetes.cri."
	if pod := a[cri+"sandbox-name"]; pod != "" {
		c.inPod(a[cri+"sandbox-id"], a[cri+"sandbox-namespace"], pod, a[cri+"container-name"])
	} else if name := a["nerdctl/name"]; name != "" {
		c.names = []string{name}
	}
	return nil
}

func (s System) containerdFiles() ([]container, error) {
	all, err := s.tasks()
	var own []container
	for _, c := range all {
		if c.pod == "" {
			own = append(own, c)
		}
	}
	return own, err
}

// kubernetesFiles are the containers of pods, whether containerd runs them or CRI-O.
func (s System) kubernetesFiles() ([]container, error) {
	tasks, err := s.tasks()
	stored, err2 := s.storage()
	var pods []container
	for _, c := range append(tasks, stored...) {
		if c.pod != "" {
			pods = append(pods, c)
		}
	}
	return pods, errors.Join(err, err2)
}

// askCRI asks crictl for the running containers, and for the pids of those that
// the name stands for.
func (s System) askCRI(ctx context.Context, name string) ([]container, error) {
	out, err := s.run(ctx, "crictl", "ps", "--output", "json")
	if err != nil {
		return nil, err
	}
	all, err := parseCRI(out)
	if err != nil {
		return nil, err
	}
	var meant []container
	for _, c := range all {
		if !strings.HasPrefix(c.id, name) && !slices.Contains(c.names, name) && !c.isOfPod(name) {
			continue
		}
		out, err := s.run(ctx, "crictl", "inspect", "--output", "json", c.id)
		if err != nil {
			return nil, err
		}
		if c.pid, err = parseCRIPid(out); err != nil {
			return nil, err
		}
		meant = append(meant, c)
	}
	return meant, nil
}

func parseCRI(b []byte) ([]container, error) {
	var answer struct {
		Containers []struct {
			ID       string            `json:"id"`
			Sandbox  string            `json:"podSandboxId"`
			Labels   map[string]string `json:"labels"`
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
		} `json:"containers"`
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return nil, err
	}
	var all []container
	for _, a := range answer.Containers {
		if a.ID == "" {
			continue
		}
		c := container{id: a.ID}
		c.inPod(a.Sandbox, a.Labels["io.kubernetes.pod.namespace"], a.Labels["io.kubernetes.pod.name"], a.Metadata.Name)
		all = append(all, c)
	}
	return all, nil
}

func parseCRIPid(b []byte) (int, error) {
	var answer struct {
		Info struct {
			PID int `json:"pid"`
		} `json:"info"`
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return 0, err
	}
	return max(answer.Info.PID, 0), nil
}
