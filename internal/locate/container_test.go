package locate

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// The files of the runtimes, as these programs write them, shortened by what is
// not read.
func dockerFile(id, name string, pid int) string {
	return fmt.Sprintf(`{"StreamConfig":{},"State":{"Running":%t,"Paused":false,"Restarting":false,"OOMKilled":false,"RemovalInProgress":false,"Dead":false,"Pid":%d,"ExitCode":0,"Error":"","StartedAt":"2024-03-07T03:59:12.4Z","Health":null},"ID":"%s","Created":"2024-03-07T03:59:11.5Z","Managed":false,"Path":"nginx","Args":["-g"],"Config":{"Hostname":"86199ab4c77b"},"Name":"/%s","Driver":"overlay2"}`, pid != 0, pid, id, name)
}

func runcFile(id string, pid int, start uint64, cgroups string) string {
	return fmt.Sprintf(`{"id":"%s","init_process_pid":%d,"init_process_start":%d,"created":"2024-11-24T02:14:05.1Z","config":{"rootfs":"/b/rootfs","cgroups":{"name":"%s","path":""}},"rootless":false,"cgroup_paths":%s,"namespace_paths":{},"external_descriptors":[]}`, id, pid, start, id, cgroups)
}

func crunFile(pid int, start uint64, cgroup string) string {
	return fmt.Sprintf(`{"pid":%d,"process-start-time":%d,"cgroup-path":"%s","scope":"","rootfs":"rootfs","systemd-cgroup":false,"bundle":"/b","created":"2024-11-24T02:14:06Z","owner":"root","detached":true}`, pid, start, cgroup)
}

func criSpec(sandbox, namespace, pod, name string) string {
	kind := "container"
	if name == "" {
		kind = "sandbox"
	}
	return fmt.Sprintf(`{"ociVersion":"1.1.0","annotations":{"io.kubernetes.cri.container-name":"%s","io.kubernetes.cri.container-type":"%s","io.kubernetes.cri.sandbox-id":"%s","io.kubernetes.cri.sandbox-name":"%s","io.kubernetes.cri.sandbox-namespace":"%s"}}`, name, kind, sandbox, pod, namespace)
}

const (
	docker  = "/var/lib/docker/containers/"
	tasks   = "/run/containerd/io.containerd.runtime.v2.task/"
	storage = "/var/lib/containers/storage/overlay-containers/"
	running = "/run/containers/storage/overlay-containers/"

	again   = "start it, then try again"
	listing = "docker ps, podman ps or crictl ps lists them; a process in it is found with --pid"
)

func TestContainerOfEveryRuntime(t *testing.T) {
	for _, c := range []struct {
		name          string
		tree          tree
		env           string // XDG_RUNTIME_DIR, and the home directory's name
		container     string
		want          Place
		problem, mend string
	}{
		{
			name: "docker, by name, with systemd as cgroup driver",
			tree: tree{docker + idA + "/config.v2.json": dockerFile(idA, "web", 12), "/proc/self/mountinfo": v2}.
				process(12, "nginx", "/usr/sbin/nginx", 7, "0::/system.slice/docker-"+idA+".scope\n", "/sys/fs/cgroup/system.slice/docker-"+idA+".scope"),
			container: "web",
			want:      Place{Name: "docker container web", Cgroups: []string{"/sys/fs/cgroup/system.slice/docker-" + idA + ".scope"}, Program: "/usr/sbin/nginx"},
		},
		{
			name: "docker, by the first digits, with v1, and containerd and runc know it too",
			tree: tree{
				docker + idA + "/config.v2.json":                       dockerFile(idA, "web", 12),
				tasks + "moby/" + idA + "/init.pid":                    "12",
				tasks + "moby/" + idA + "/config.json":                 `{"annotations":null}`,
				"/run/docker/runtime-runc/moby/" + idA + "/state.json": runcFile(idA, 12, 7, "{}"),
				"/proc/self/mountinfo":                                 v1,
			}.process(12, "nginx", "/usr/sbin/nginx", 7, "9:pids:/docker/"+idA+"\n3:cpu,cpuacct:/docker/"+idA+"\n1:name=systemd:/docker/"+idA+"\n0::/\n",
				"/sys/fs/cgroup/systemd/docker/"+idA, "/sys/fs/cgroup/pids/docker/"+idA),
			container: idA[:5],
			want:      Place{Name: "docker container " + idA[:5], Cgroups: []string{"/sys/fs/cgroup/systemd/docker/" + idA}, Program: "/usr/sbin/nginx"},
		},
		{
			name: "docker with systemd inside",
			tree: tree{docker + idA + "/config.v2.json": dockerFile(idA, "web", 12), "/proc/self/mountinfo": v2}.
				process(12, "systemd", "/usr/lib/systemd/systemd", 7, "0::/docker/"+idA+"/init.scope\n", "/sys/fs/cgroup/docker/"+idA+"/init.scope"),
			container: "web",
			want:      Place{Name: "docker container web", Cgroups: []string{"/sys/fs/cgroup/docker/" + idA}, Program: "/usr/lib/systemd/systemd"},
		},
		{
			name: "docker with its data elsewhere",
			tree: tree{"/etc/docker/daemon.json": `{"data-root": "/big/docker"}`, "/big/docker/containers/" + idA + "/config.v2.json": dockerFile(idA, "web", 12), "/proc/self/mountinfo": v2}.
				process(12, "nginx", "/nginx", 7, "0::/docker/"+idA+"\n", "/sys/fs/cgroup/docker/"+idA),
			container: "docker:web",
			want:      Place{Name: "docker container web", Cgroups: []string{"/sys/fs/cgroup/docker/" + idA}, Program: "/nginx"},
		},
		{
			name:      "docker, stopped",
			tree:      tree{docker + idA + "/config.v2.json": dockerFile(idA, "web", 0), "/proc/self/mountinfo": v2},
			container: "web",
			problem:   "docker container web does not run, it is stopped", mend: again,
		},
		{
			name:      "docker, killed without its daemon",
			tree:      tree{docker + idA + "/config.v2.json": dockerFile(idA, "web", 12), "/proc/self/mountinfo": v2},
			container: "web",
			problem:   "docker container web does not run: its process 12 is gone", mend: again,
		},
		{
			name: "digits of two containers",
			tree: tree{
				docker + idA + "/config.v2.json": dockerFile(idA, "web", 12),
				docker + idB + "/config.v2.json": dockerFile(idB, "db", 13),
				"/proc/self/mountinfo":           v2,
			},
			container: "0a1b2",
			problem:   "0a1b2 stands for more than one container: docker:" + idA[:12] + ", docker:" + idB[:12], mend: "choose one: docker:" + idA[:12],
		},
		{
			name: "a name that begins like an id",
			tree: tree{
				docker + idA + "/config.v2.json": dockerFile(idA, "cc", 12),
				docker + idC + "/config.v2.json": dockerFile(idC, "db", 13),
				"/proc/self/mountinfo":           v2,
			}.process(12, "nginx", "/nginx", 7, "0::/docker/"+idA+"\n", "/sys/fs/cgroup/docker/"+idA),
			container: "cc",
			want:      Place{Name: "docker container cc", Cgroups: []string{"/sys/fs/cgroup/docker/" + idA}, Program: "/nginx"},
		},
		{
			name: "podman, which crun knows too",
			tree: tree{
				storage + "containers.json":         `[{"id":"` + idA + `","names":["web"],"image":"d7af","layer":"67b0","metadata":"{}","created":"2024-01-01T00:00:00Z"}]`,
				running + idA + "/userdata/pidfile": "12",
				"/run/crun/" + idA + "/status":      crunFile(12, 7, "/machine.slice/libpod-"+idA+".scope"),
				"/proc/self/mountinfo":              v2,
			}.process(12, "nginx", "/nginx", 7, "0::/machine.slice/libpod-"+idA+".scope/container\n", "/sys/fs/cgroup/machine.slice/libpod-"+idA+".scope/container"),
			container: "web",
			want:      Place{Name: "podman container web", Cgroups: []string{"/sys/fs/cgroup/machine.slice/libpod-" + idA + ".scope"}, Program: "/nginx"},
		},
		{
			name: "podman, of those that are removed when they end",
			tree: tree{
				storage + "volatile-containers.json": `[{"id":"` + idA + `","names":["web"]}]`,
				running + idA + "/userdata/pidfile":  "12\n",
				"/proc/self/mountinfo":               v2,
			}.process(12, "nginx", "/nginx", 7, "0::/machine.slice/libpod-"+idA+".scope\n", "/sys/fs/cgroup/machine.slice/libpod-"+idA+".scope"),
			container: "podman:web",
			want:      Place{Name: "podman container web", Cgroups: []string{"/sys/fs/cgroup/machine.slice/libpod-" + idA + ".scope"}, Program: "/nginx"},
		},
		{
			name: "podman of a user, without cgroups of its own",
			tree: tree{
				"/home/u/.local/share/containers/storage/overlay-containers/containers.json": `[{"id":"` + idA + `","names":["web"]}]`,
				"/run/user/1000/containers/overlay-containers/" + idA + "/userdata/pidfile":  "12",
				"/proc/self/mountinfo": v2,
			}.process(12, "nginx", "/nginx", 7, "0::/user.slice/user-1000.slice/session-1.scope\n", "/sys/fs/cgroup/user.slice/user-1000.slice/session-1.scope"),
			env: "/run/user/1000", container: "web",
			want: Place{Name: "podman container web", PIDs: []int{12}, Program: "/nginx"},
		},
		{
			name:      "podman, stopped",
			tree:      tree{storage + "containers.json": `[{"id":"` + idA + `","names":["web"]}]`, "/proc/self/mountinfo": v2},
			container: "web",
			problem:   "podman container web does not run, it is stopped", mend: again,
		},
		{
			name: "runc with v1 and v2",
			tree: tree{
				"/run/runc/web/state.json": runcFile("web", 12, 7, `{"":"/sys/fs/cgroup/unified/x/y","pids":"/sys/fs/cgroup/pids/x/y","name=systemd":"/sys/fs/cgroup/systemd/x/y"}`),
				"/proc/self/mountinfo":     v1,
			}.process(12, "nginx", "/nginx", 7, "9:pids:/x/y\n1:name=systemd:/x/y\n0::/x/y\n",
				"/sys/fs/cgroup/unified/x/y", "/sys/fs/cgroup/systemd/x/y", "/sys/fs/cgroup/pids/x/y"),
			container: "web",
			want:      Place{Name: "runc container web", Cgroups: []string{"/sys/fs/cgroup/unified/x/y"}, Program: "/nginx"},
		},
		{
			name: "runc of a user that may not make cgroups",
			tree: tree{
				"/run/user/1000/runc/web/state.json": runcFile("web", 12, 7, `{"":"/sys/fs/cgroup/user.slice/web"}`),
				"/proc/self/mountinfo":               v2,
			}.process(12, "nginx", "/nginx", 7, "0::/user.slice/session-1.scope\n", "/sys/fs/cgroup/user.slice/session-1.scope"),
			env: "/run/user/1000", container: "runc:web",
			want: Place{Name: "runc container web", PIDs: []int{12}, Program: "/nginx"},
		},
		{
			name:      "runc, whose process' number another one has",
			tree:      tree{"/run/runc/web/state.json": runcFile("web", 12, 6, "{}"), "/proc/self/mountinfo": v2}.process(12, "nginx", "/nginx", 7, "0::/\n"),
			container: "web",
			problem:   "runc container web does not run: process 12 is another one by now", mend: again,
		},
		{
			name:      "crun, in the root of v1",
			tree:      tree{"/run/crun/web/status": crunFile(12, 7, "/"), "/proc/self/mountinfo": v1}.process(12, "nginx", "/nginx", 7, "9:pids:/\n0::/\n", "/sys/fs/cgroup/pids"),
			container: "web",
			want:      Place{Name: "crun container web", PIDs: []int{12}, Program: "/nginx"},
		},
		{
			name: "crun with v1",
			tree: tree{"/run/crun/web/status": crunFile(12, 7, "/web"), "/proc/self/mountinfo": v1}.
				process(12, "nginx", "/nginx", 7, "9:pids:/web\n1:name=systemd:/web\n0::/\n", "/sys/fs/cgroup/pids/web", "/sys/fs/cgroup/systemd/web"),
			container: "web",
			want:      Place{Name: "crun container web", Cgroups: []string{"/sys/fs/cgroup/systemd/web"}, Program: "/nginx"},
		},
		{
			name:      "names are no ids of runc to shorten",
			tree:      tree{"/run/runc/web-1/state.json": runcFile("web-1", 12, 7, "{}"), "/proc/self/mountinfo": v2}.process(12, "nginx", "/nginx", 7, "0::/\n"),
			container: "web",
			problem:   "there is no container web", mend: listing,
		},
		{
			name: "a name that two runtimes have",
			tree: tree{
				docker + idA + "/config.v2.json": dockerFile(idA, "web", 12),
				"/run/runc/web/state.json":       runcFile("web", 13, 7, "{}"),
				"/proc/self/mountinfo":           v2,
			},
			container: "web",
			problem:   "web stands for more than one container: docker:" + idA[:12] + ", runc:web", mend: "choose one: docker:" + idA[:12],
		},
		{
			name: "the runtime chooses",
			tree: tree{
				docker + idA + "/config.v2.json": dockerFile(idA, "web", 12),
				"/run/runc/web/state.json":       runcFile("web", 13, 7, "{}"),
				"/proc/self/mountinfo":           v2,
			}.process(13, "nginx", "/nginx", 7, "0::/\n"),
			container: "runc:web",
			want:      Place{Name: "runc container web", PIDs: []int{13}, Program: "/nginx"},
		},
		{
			name: "containerd, with the start time from runc",
			tree: tree{
				tasks + "default/web/init.pid":                "12",
				tasks + "default/web/config.json":             `{"annotations":{"nerdctl/name":"shop"}}`,
				"/run/containerd/runc/default/web/state.json": runcFile("web", 12, 7, `{"":"/sys/fs/cgroup/default/web"}`),
				"/proc/self/mountinfo":                        v2,
			}.process(12, "nginx", "/nginx", 7, "0::/default/web\n", "/sys/fs/cgroup/default/web"),
			container: "shop",
			want:      Place{Name: "containerd container shop", Cgroups: []string{"/sys/fs/cgroup/default/web"}, Program: "/nginx"},
		},
		{
			name: "pod of containerd",
			tree: pod(), container: "shop/web-1",
			want: Place{Name: "pod shop/web-1", Cgroups: []string{"/sys/fs/cgroup/kubepods/p/" + idA, "/sys/fs/cgroup/kubepods/p/" + idC}, Program: "/nginx"},
		},
		{
			name: "container of a pod",
			tree: pod(), container: "k8s:web-1/nginx",
			want: Place{Name: "k8s container web-1/nginx", Cgroups: []string{"/sys/fs/cgroup/kubepods/p/" + idA}, Program: "/nginx"},
		},
		{
			name: "pod, by the runtime",
			tree: pod(), container: "k8s:web-1",
			want: Place{Name: "pod shop/web-1", Cgroups: []string{"/sys/fs/cgroup/kubepods/p/" + idA, "/sys/fs/cgroup/kubepods/p/" + idC}, Program: "/nginx"},
		},
		{
			name: "container of a pod of CRI-O",
			tree: tree{
				storage + "containers.json":         `[{"id":"` + idA + `","names":["k8s_nginx_web-1_shop_0-0-0_0"]},{"id":"` + idC + `","names":["k8s_POD_web-1_shop_0-0-0_0"]}]`,
				running + idA + "/userdata/pidfile": "12", running + idC + "/userdata/pidfile": "13",
				"/proc/self/mountinfo": v2,
			}.process(12, "nginx", "/nginx", 7, "0::/kubepods.slice/crio-"+idA+".scope\n", "/sys/fs/cgroup/kubepods.slice/crio-"+idA+".scope").
				process(13, "pause", "/pause", 7, "0::/kubepods.slice/crio-"+idC+".scope\n", "/sys/fs/cgroup/kubepods.slice/crio-"+idC+".scope"),
			container: "web-1/nginx",
			want:      Place{Name: "k8s container web-1/nginx", Cgroups: []string{"/sys/fs/cgroup/kubepods.slice/crio-" + idA + ".scope"}, Program: "/nginx"},
		},
		{
			name:      "nothing of that name",
			tree:      tree{"/proc/self/mountinfo": v2},
			container: "web",
			problem:   "there is no container web", mend: listing,
		},
		{
			name:      "no such runtime",
			container: "lxc:web",
			problem:   `"lxc" is no container runtime`, mend: "the runtimes are docker, podman, k8s, containerd, runc, crun",
		},
		{
			name:      "no name",
			container: "runc:",
			problem:   "a container has a name", mend: "give its name, or the first digits of its id",
		},
		{
			name:      "state that is no state",
			tree:      tree{"/run/crun/web/status": "{", "/proc/self/mountinfo": v2},
			container: "web",
			problem:   "there is no container web, as far as can be seen: read /run/crun/web/status: unexpected end of JSON input", mend: listing,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := c.tree.system(t)
			if c.env != "" {
				s.Env = func(name string) string {
					return map[string]string{"XDG_RUNTIME_DIR": c.env, "HOME": "/home/u"}[name]
				}
			}
			got, err := s.Container(t.Context(), c.container)
			is(t, got, err, c.want, c.problem, c.mend)
		})
	}
}

// pod is two containers of one pod, of which one is the pause container, and one of
// another pod.
func pod() tree {
	return tree{
		tasks + "k8s.io/" + idA + "/init.pid":    "12",
		tasks + "k8s.io/" + idA + "/config.json": criSpec(idC, "shop", "web-1", "nginx"),
		tasks + "k8s.io/" + idC + "/init.pid":    "13",
		tasks + "k8s.io/" + idC + "/config.json": criSpec(idC, "shop", "web-1", ""),
		tasks + "k8s.io/" + idB + "/init.pid":    "14",
		tasks + "k8s.io/" + idB + "/config.json": criSpec(idB, "shop", "web-2", ""),
		"/proc/self/mountinfo":                   v2,
	}.
		process(12, "nginx", "/nginx", 7, "0::/kubepods/p/"+idA+"\n", "/sys/fs/cgroup/kubepods/p/"+idA).
		process(13, "pause", "/pause", 7, "0::/kubepods/p/"+idC+"\n", "/sys/fs/cgroup/kubepods/p/"+idC).
		process(14, "pause", "/pause", 7, "0::/kubepods/p/"+idB+"\n", "/sys/fs/cgroup/kubepods/p/"+idB)
}

func TestCommandLinesAreAskedWhereFilesSayNothing(t *testing.T) {
	inspect := func(name string) string {
		return `[{"Id":"` + idA + `","Name":"` + name + `","State":{"Status":"running","Running":true,"Pid":12}}]`
	}
	answers := map[string]string{
		"docker container inspect -- web":    inspect("/web"),
		"podman container inspect -- pod":    inspect("pod"),
		"podman container inspect -- ended":  `[{"Id":"` + idA + `","Name":"ended","State":{"Status":"exited","Running":false,"Pid":0}}]`,
		"podman container inspect -- broken": `{`,
		"crictl ps --output json": `{"containers":[{"id":"` + idA + `","podSandboxId":"` + idC + `","metadata":{"name":"nginx","attempt":0},"state":"CONTAINER_RUNNING","labels":{"io.kubernetes.container.name":"nginx","io.kubernetes.pod.name":"web-1","io.kubernetes.pod.namespace":"shop"}},
			{"id":"` + idB + `","podSandboxId":"` + idB + `","metadata":{"name":"nginx"},"labels":{"io.kubernetes.pod.name":"web-2","io.kubernetes.pod.namespace":"shop"}}]}`,
		"crictl inspect --output json " + idA: `{"status":{"id":"` + idA + `"},"info":{"sandboxID":"` + idC + `","pid":12}}`,
	}
	s := tree{"/proc/self/mountinfo": v2}.process(12, "nginx", "/nginx", 7, "0::/own/"+idA+"\n", "/sys/fs/cgroup/own/"+idA).system(t)
	s.Run = func(_ context.Context, name string, args ...string) ([]byte, error) {
		if a, ok := answers[name+" "+strings.Join(args, " ")]; ok {
			return []byte(a), nil
		}
		switch args[len(args)-1] {
		case "down":
			return nil, errors.New(name + ": cannot connect to the daemon (exit status 1)")
		case "json":
			return nil, exec.ErrNotFound
		}
		return nil, errors.New(name + ": Error: No such container: x (exit status 1)")
	}
	dir := []string{"/sys/fs/cgroup/own/" + idA}
	for _, c := range []struct {
		name          string
		want          Place
		problem, mend string
	}{
		{"web", Place{Name: "docker container web", Cgroups: dir, Program: "/nginx"}, "", ""},
		{"podman:pod", Place{Name: "podman container pod", Cgroups: dir, Program: "/nginx"}, "", ""},
		{"shop/web-1", Place{Name: "pod shop/web-1", Cgroups: dir, Program: "/nginx"}, "", ""},
		{"web-1/nginx", Place{Name: "k8s container web-1/nginx", Cgroups: dir, Program: "/nginx"}, "", ""},
		{"ended", Place{}, "podman container ended does not run, it is exited", again},
		{"unknown", Place{}, "there is no container unknown", listing},
		{"podman:broken", Place{}, "there is no container podman:broken, as far as can be seen: unexpected end of JSON input", listing},
		{"docker:down", Place{}, "there is no container docker:down, as far as can be seen: docker: cannot connect to the daemon (exit status 1)", listing},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := s.Container(t.Context(), c.name)
			is(t, got, err, c.want, c.problem, c.mend)
		})
	}
}

// Whatever lies in a state directory, reading it ends, and what comes out can be
// looked up.
func FuzzState(f *testing.F) {
	for _, seed := range []string{
		dockerFile(idA, "web", 12), runcFile("web", 12, 7, `{"":"/sys/fs/cgroup/web"}`), crunFile(12, 7, "/web"),
		`[{"id":"` + idA + `","names":["k8s_nginx_web-1_shop_0_0"]}]`, criSpec(idC, "shop", "web-1", "nginx"), "[" + dockerFile(idA, "web", 12) + "]",
		`{"containers":[{"id":"a","podSandboxId":"b","metadata":{"name":"c"},"labels":{}}]}`, `{"info":{"pid":-1}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var all []container
		for _, parse := range []func([]byte) (container, error){parseDocker, parseRunc, parseCrun} {
			if c, err := parse(b); err == nil {
				all = append(all, c)
			}
		}
		for _, parse := range []func([]byte) ([]container, error){parseInspect, parseStorage, parseCRI} {
			if more, err := parse(b); err == nil {
				all = append(all, more...)
			}
		}
		var c container
		if c.readSpec(b) == nil {
			all = append(all, c)
		}
		if pid, err := parseCRIPid(b); err == nil {
			all = append(all, container{pid: pid})
		}
		for _, c := range all {
			if c.pid < 0 {
				t.Errorf("pid %d", c.pid)
			}
			if dir, ok := namedAfter("/a/"+c.id+"/b", c.id); ok && !strings.HasPrefix("/a/"+c.id+"/b", dir) {
				t.Errorf("%q lies not above %q", dir, c.id)
			}
		}
	})
}

// The kernel's own files are read line by line; what is no line of theirs is left out.
func FuzzKernel(f *testing.F) {
	f.Add(v1+v2, "9:pids:/a:b\n1:name=systemd:/x (deleted)\n0::/\n")
	f.Fuzz(func(t *testing.T, mounts, cgroups string) {
		for _, h := range parseMounts(mounts) {
			for _, m := range parseMemberships(cgroups) {
				if dir, ok := h.directory(m.path); ok && dir == "" {
					t.Errorf("%+v has no directory in %+v", m, h)
				}
			}
		}
	})
}
