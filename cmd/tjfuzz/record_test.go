package main

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/tjfuzz/tjfuzz/internal/kube"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// cluster is an API server with the pods of one node, as far as record asks for them, and the node: a tree of cgroups,
// and containers of runc in it.
type cluster struct {
	t      *testing.T
	server *httptest.Server
	dir    string // has the service account, the bundles and what is recorded
	root   string // of the cgroups
	runc   string

	mu      sync.Mutex
	log     []string // of events; the version of an event is its place, counted from 1
	pods    map[types.UID]*core.Pod
	changed chan struct{} // closed and made anew with each event
	cut     chan struct{} // the same, when connections are to be lost
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	testenv.Require(t, testenv.Root, testenv.BPF)
	c := &cluster{t: t, dir: t.TempDir(), runc: testenv.Program(t, "runc"), pods: map[types.UID]*core.Pod{}, changed: make(chan struct{}), cut: make(chan struct{})}
	testenv.FewFiles(t)
	c.root = filepath.Join(c.dir, "cgroup")
	if err := os.Mkdir(c.root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", c.root, "cgroup2", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(c.root, 0); err != nil {
			t.Error(err)
		}
	})
	c.server = httptest.NewTLSServer(c)
	t.Cleanup(c.server.Close)
	t.Cleanup(c.lose)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.server.Certificate().Raw})
	if err := errors.Join(os.WriteFile(filepath.Join(c.dir, "ca.crt"), ca, 0o600), os.WriteFile(filepath.Join(c.dir, "token"), []byte("secret\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if r.URL.Path != "/api/v1/pods" || q.Get("labelSelector") != "app=shop" || q.Get("fieldSelector") != "spec.nodeName=node1" || r.Header.Get("Authorization") != "Bearer secret" {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	c.mu.Lock()
	if q.Get("watch") == "" {
		items := []core.Pod{}
		for _, p := range c.pods {
			items = append(items, *p)
		}
		list := core.PodList{ListMeta: meta.ListMeta{ResourceVersion: fmt.Sprint(len(c.log))}, Items: items}
		c.mu.Unlock()
		_ = json.NewEncoder(w).Encode(list)
		return
	}
	c.mu.Unlock()
	var sent int
	_, _ = fmt.Sscan(q.Get("resourceVersion"), &sent)
	for {
		c.mu.Lock()
		news, changed, cut := strings.Join(c.log[sent:], ""), c.changed, c.cut
		sent = len(c.log)
		c.mu.Unlock()
		_, _ = fmt.Fprint(w, news)
		w.(http.Flusher).Flush()
		select {
		case <-changed:
		case <-cut:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// lose ends all connections that watch.
func (c *cluster) lose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.cut)
	c.cut = make(chan struct{})
}

// tell makes an event of a pod that has the label; others are selected by nobody.
func (c *cluster) tell(kind string, p *core.Pod) {
	if p.Labels["app"] != "shop" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p.ResourceVersion = fmt.Sprint(len(c.log) + 1)
	text, err := json.Marshal(p)
	if err != nil {
		c.t.Fatal(err)
	}
	c.log = append(c.log, fmt.Sprintf(`{"type":%q,"object":%s}`+"\n", kind, text))
	if kind == "DELETED" {
		delete(c.pods, p.UID)
	} else {
		c.pods[p.UID] = p.DeepCopy()
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// copyOf is a pod of a Deployment.
func copyOf(owner string, number int, labels map[string]string) *core.Pod {
	labels["pod-template-hash"] = "7d9c5b8f6d"
	yes := true
	return &core.Pod{ObjectMeta: meta.ObjectMeta{
		Name: fmt.Sprintf("%s-7d9c5b8f6d-%d", owner, number), Namespace: "market", Labels: labels,
		UID:             types.UID(fmt.Sprintf("00000000-0000-%04x-%04x-%012x", os.Getpid()&0xffff, number, len(owner))),
		OwnerReferences: []meta.OwnerReference{{Kind: "ReplicaSet", Name: owner + "-7d9c5b8f6d", Controller: &yes}},
	}}
}

// naming is how a kubelet and a runtime name cgroups.
type naming struct{ pod, container string }

var namings = map[string]naming{
	"cgroupfs, containerd": {"/kubepods/burstable/pod%s", "%s"},
	"systemd, CRI-O":       {"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod%s.slice", "crio-%s.scope"},
}

func (n naming) of(p *core.Pod) string {
	uid := string(p.UID)
	if strings.HasSuffix(n.pod, ".slice") {
		uid = strings.ReplaceAll(uid, "-", "_")
	}
	return fmt.Sprintf(n.pod, uid)
}

// house makes the cgroup of a pod, as the kubelet does before there is a container.
func (c *cluster) house(cgroup string) {
	c.t.Helper()
	if err := os.MkdirAll(filepath.Join(c.root, cgroup), 0o755); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		for dir := cgroup; dir != "/"; dir = filepath.Dir(dir) {
			_ = unix.Rmdir(filepath.Join(c.root, dir)) // those of others stay
		}
	})
}

// containerID is of a container, as a runtime draws it.
func containerID(number int) string { return fmt.Sprintf("%064x", os.Getpid()<<16+number) }

// sandbox is the program that keeps the sandbox of a pod. Here it ends at once.
const sandbox = "/pause"

// run has runc run a program in a container, in a world in which all cgroups are of version 2, and returns what it says.
func (c *cluster) run(id, cgroup string, profile json.RawMessage, argv ...string) string {
	c.t.Helper()
	out, err := c.command(id, cgroup, profile, argv...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s%v", out, err)
	}
	return string(out)
}

func (c *cluster) command(id, cgroup string, profile json.RawMessage, argv ...string) *exec.Cmd {
	c.t.Helper()
	root := hostRoot(c.t)
	bundle := filepath.Dir(root)
	if err := os.Symlink("usr/bin/true", root+sandbox); err != nil {
		c.t.Fatal(err)
	}
	cmd := exec.Command(c.runc, "spec")
	cmd.Dir = bundle
	if out, err := cmd.CombinedOutput(); err != nil {
		c.t.Fatalf("runc spec: %v\n%s", err, out)
	}
	var spec map[string]any
	if err := json.Unmarshal([]byte(read(c.t, bundle, "config.json")), &spec); err != nil {
		c.t.Fatal(err)
	}
	process, linux := spec["process"].(map[string]any), spec["linux"].(map[string]any)
	process["terminal"], process["args"], linux["cgroupsPath"] = false, argv, cgroup
	spec["root"].(map[string]any)["readonly"] = false
	if profile != nil {
		linux["seccomp"] = profile
	}
	for _, dir := range []string{"/usr", "/etc"} {
		spec["mounts"] = append(spec["mounts"].([]any), map[string]any{"destination": dir, "type": "bind", "source": dir, "options": []string{"bind", "ro"}})
	}
	text, err := json.Marshal(spec)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), text, 0o644); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = exec.Command(c.runc, "delete", "--force", id).Run() })
	return exec.Command("unshare", "--mount", "sh", "-c", `umount -R -l /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec "$@"`, "sh",
		c.runc, "run", "--bundle", bundle, id)
}

// loop starts a container that runs until it is killed, and waits until it does.
func (c *cluster) loop(id, cgroup string) (end func()) {
	c.t.Helper()
	cmd := c.command(id, cgroup, nil, "sh", "-c", "while sleep 0.1; do :; done")
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	eventually(c.t, "the container sleeps", func() bool {
		pids, _ := os.ReadFile(filepath.Join(c.root, cgroup, "cgroup.procs"))
		for _, pid := range strings.Fields(string(pids)) {
			if name, _ := os.ReadFile("/proc/" + pid + "/comm"); string(name) == "sleep\n" {
				return true
			}
		}
		return false
	})
	return func() {
		c.t.Helper()
		if err := exec.Command(c.runc, "kill", id, "KILL").Run(); err != nil {
			c.t.Fatal(err)
		}
		_ = cmd.Wait() // killed
	}
}

// recorder is that of the DaemonSet.
func (c *cluster) recorder(flags ...string) *tool {
	c.t.Helper()
	return c.start(c.daemonSet(flags...))
}

// daemonSet is the pod of the DaemonSet.
func (c *cluster) daemonSet(flags ...string) core.PodSpec {
	c.t.Helper()
	tjfuzzIn(c.t, c.dir, append([]string{"daemonset", "--image", "example/tjfuzz:1", "--selector", "app=shop", "-o", "record.yaml"}, flags...)...)
	var d apps.DaemonSet
	_, text, _ := strings.Cut(read(c.t, c.dir, "record.yaml"), "kind: DaemonSet")
	if err := yaml.UnmarshalStrict([]byte("apiVersion: apps/v1\nkind: DaemonSet"+text), &d); err != nil {
		c.t.Fatal(err)
	}
	return d.Spec.Template.Spec
}

// start runs the command of a pod in the pid namespace and with the capabilities that it has.
func (c *cluster) start(pod core.PodSpec) *tool {
	c.t.Helper()
	container := pod.Containers[0]
	bounds := "--bounding-set=-all"
	for _, name := range container.SecurityContext.Capabilities.Add {
		bounds += ",+" + strings.ToLower(string(name))
	}
	var words []string
	if !pod.HostPID {
		words = []string{testenv.Program(c.t, "unshare"), "--pid", "--fork", "--kill-child", "--mount-proc"}
	}
	words = append(words, testenv.Program(c.t, "setpriv"), bounds, "--inh-caps=-all", "--ambient-caps=-all")
	places := map[string]string{"output": filepath.Join(c.dir, "out"), "cgroup": c.root}
	for _, w := range container.Command {
		for _, m := range container.VolumeMounts {
			if w == m.MountPath {
				w = places[m.Name]
			}
		}
		words = append(words, w)
	}
	u, err := url.Parse(c.server.URL)
	if err != nil {
		c.t.Fatal(err)
	}
	said, err := os.Create(filepath.Join(c.dir, "said"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer said.Close()
	p := &tool{Cmd: exec.CommandContext(c.t.Context(), words[0], append(words[1:], "--service-account", c.dir)...)}
	p.Dir, p.Stdout, p.Stderr = c.dir, said, said
	p.Env = append(os.Environ(), "KUBERNETES_SERVICE_HOST="+u.Hostname(), "KUBERNETES_SERVICE_PORT="+u.Port(), kube.NodeName+"=node1")
	if err := p.Start(); err != nil {
		c.t.Fatal(err)
	}
	return p
}

// says waits until the recorder has said something so many times.
func (c *cluster) says(what string, times int) {
	c.t.Helper()
	eventually(c.t, "the recorder says: "+what, func() bool { return strings.Count(read(c.t, c.dir, "said"), what) >= times })
}

func containerStatus(name, id string, running bool) core.ContainerStatus {
	s := core.ContainerStatus{Name: name, ContainerID: "containerd://" + id}
	if running {
		s.State.Running = &core.ContainerStateRunning{}
	} else {
		s.State.Terminated = &core.ContainerStateTerminated{ContainerID: s.ContainerID}
	}
	return s
}

func TestTheContainersOfLabelledPodsAreRecordedFromTheirFirstCallOn(t *testing.T) {
	for how, names := range namings {
		t.Run(how, func(t *testing.T) {
			c := newCluster(t)
			recorder := c.recorder()
			one, two, other := copyOf("web", 1, map[string]string{"app": "shop"}), copyOf("web", 2, map[string]string{"app": "shop"}), copyOf("cart", 3, map[string]string{})
			// What each calls that nobody else does: sync, getpriority, mknodat, and after a restart mkdir.
			for i, p := range []struct {
				*core.Pod
				argv []string
			}{{one, []string{"sync"}}, {two, []string{"nice"}}, {other, []string{"mkfifo", "/tmp/fifo"}}} {
				c.tell("ADDED", p.Pod)
				c.house(names.of(p.Pod))
				if p.Pod != other {
					c.says("recording pod market/"+p.Name, 1)
				}
				c.run(containerID(10*i), filepath.Join(names.of(p.Pod), fmt.Sprintf(names.container, containerID(10*i))), nil, sandbox) // the sandbox, of which Kubernetes tells nothing
				c.run(containerID(10*i+1), filepath.Join(names.of(p.Pod), fmt.Sprintf(names.container, containerID(10*i+1))), nil, p.argv...)
				c.lose()
				p.Status.ContainerStatuses = []core.ContainerStatus{containerStatus("nginx", containerID(10*i+1), false)}
				c.tell("MODIFIED", p.Pod)
			}
			c.says("market/deployment-web/nginx: ", 2)
			restarted := filepath.Join(names.of(one), fmt.Sprintf(names.container, containerID(2)))
			c.run(containerID(2), restarted, nil, "mkdir", "/tmp/new")
			one.Status.ContainerStatuses = []core.ContainerStatus{containerStatus("nginx", containerID(2), false)}
			c.tell("MODIFIED", one)
			c.says("market/deployment-web/nginx: ", 3)
			for _, p := range []*core.Pod{one, two} {
				c.tell("DELETED", p)
			}
			if err := recorder.Process.Signal(unix.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := recorder.Wait(); err != nil {
				t.Fatalf("%v\n%s", err, read(t, c.dir, "said"))
			}
			if said := read(t, c.dir, "said"); strings.Contains(said, "warning") {
				t.Errorf("it warns:\n%s", said)
			}
			files, err := filepath.Glob(filepath.Join(c.dir, "out/*/*/*"))
			profile := filepath.Join(c.dir, "out/market/deployment-web/nginx.seccomp.json")
			if err != nil || len(files) != 2 || files[1] != profile {
				t.Fatalf("files %v", files)
			}
			e := evidence(t, files[0])
			got := calls(e)
			for _, call := range []string{"execve", "sync", "getpriority", "mkdir", "exit_group"} {
				if !slices.Contains(got, call) {
					t.Errorf("no %s in %v", call, got)
				}
			}
			for _, call := range []string{"mknodat", "mknod", "pivot_root", "capset", "mount", "setns"} {
				if slices.Contains(got, call) {
					t.Errorf("a %s in %v: of runc, or of a pod without the label", call, got)
				}
			}
			if e.Runs != 3 || !e.Lost.Complete() || !filepath.IsAbs(e.Target.Path) {
				t.Errorf("%d runs of %s, lost %+v; want 3 and nothing", e.Runs, e.Target.Path, e.Lost)
			}
			text, err := os.ReadFile(profile)
			if err != nil {
				t.Fatal(err)
			}
			for i, argv := range [][]string{{"nice"}, {"mkdir", "/tmp/new"}, {"sync"}} {
				if out := c.run(containerID(40+i), "/under", text, argv...); strings.Contains(out, "exit status") {
					t.Errorf("%s under the profile: %s", argv, out)
				}
			}
			if out := c.run(containerID(50), "/under", text, "mkfifo", "/tmp/fifo"); !strings.Contains(out, "Operation not permitted") {
				t.Errorf("mkfifo under the profile: %s", out)
			}
			_ = unix.Rmdir(filepath.Join(c.root, "under"))
		})
	}
}

// What runs when the recorder comes, as after its own restart, has no start. It adds to the evidence, and makes no profile.
func TestAContainerThatRunsAlreadyMakesNoProfileByItself(t *testing.T) {
	c := newCluster(t)
	names := namings["cgroupfs, containerd"]
	pod := copyOf("db", 1, map[string]string{"app": "shop"})
	c.house(names.of(pod))
	end := c.loop(containerID(1), filepath.Join(names.of(pod), containerID(1)))
	pod.Status.ContainerStatuses = []core.ContainerStatus{containerStatus("pg", containerID(1), true)}
	c.tell("ADDED", pod)
	recorder := c.recorder("--record=--every=100ms")
	evidencePath := filepath.Join(c.dir, "out/market/deployment-db/pg.evidence.json")
	c.says("recording pg in "+pod.Name+", which runs already", 1)
	c.says("no container was recorded from its start on", 1)
	eventually(t, "there is evidence of what runs", func() bool {
		_, err := os.Stat(evidencePath)
		return err == nil && slices.Contains(calls(evidence(t, evidencePath)), "clock_nanosleep")
	})
	profile := strings.Replace(evidencePath, "evidence", "seccomp", 1)
	if _, err := os.Stat(profile); err == nil {
		t.Error("there is a profile of what nobody has seen start")
	}
	// A pod can lose its label, and get it again.
	c.tell("DELETED", pod)
	c.says("without its start", 1)
	c.tell("ADDED", pod)
	c.says("recording pg in "+pod.Name+", which runs already", 2)
	end()
	c.says("without its start", 2)
	// The recorder is started anew, too, and finds what it had.
	if err := recorder.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := recorder.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, read(t, c.dir, "said"))
	}
	recorder = c.recorder()
	c.says("recording pod market/"+pod.Name, 1)
	c.run(containerID(2), filepath.Join(names.of(pod), containerID(2)), nil, "sync")
	pod.Status.ContainerStatuses = []core.ContainerStatus{containerStatus("pg", containerID(2), false)}
	c.tell("MODIFIED", pod)
	c.says("from its start on", 1)
	if err := recorder.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := recorder.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, read(t, c.dir, "said"))
	}
	if allowed := allowedBy(t, profile); !allowed["sync"] || !allowed["clock_nanosleep"] {
		t.Errorf("the profile allows sync %t, clock_nanosleep %t; want both", allowed["sync"], allowed["clock_nanosleep"])
	}
	if e := evidence(t, evidencePath); e.Runs != 3 {
		t.Errorf("%d runs, want 3: two of the first container, between which it had no label", e.Runs)
	}
	if said := read(t, c.dir, "said"); strings.Contains(said, "hostPID") {
		t.Errorf("it misses what runs:\n%s", said)
	}
}

func TestWhatRunsOutsideTheRecordersPidNamespaceIsMissed(t *testing.T) {
	c := newCluster(t)
	names := namings["cgroupfs, containerd"]
	pod := copyOf("db", 1, map[string]string{"app": "shop"})
	c.house(names.of(pod))
	end := c.loop(containerID(1), filepath.Join(names.of(pod), containerID(1)))
	pod.Status.ContainerStatuses = []core.ContainerStatus{containerStatus("pg", containerID(1), true)}
	c.tell("ADDED", pod)
	spec := c.daemonSet()
	spec.HostPID = false
	recorder := c.start(spec)
	c.says("pg in "+pod.Name+", which runs already, is not recorded, only what it starts is: the recorder's pid namespace does not show it", 1)
	end()
	if err := recorder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = recorder.Wait() // killed
}
