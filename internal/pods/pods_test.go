package pods

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	idA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	idB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	idC = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
)

// written is a pod as Kubernetes' own types write it.
func written(t testing.TB, change func(*core.Pod)) []byte {
	t.Helper()
	yes := true
	p := &core.Pod{
		ObjectMeta: meta.ObjectMeta{
			Name: "web-7d9c5b8f6d-x2x4z", Namespace: "shop", UID: "8c1c3a52-1f3b-4a5e-9f5d-0d2d6a4b7c11", ResourceVersion: "7",
			Labels:          map[string]string{"app": "web", "pod-template-hash": "7d9c5b8f6d"},
			OwnerReferences: []meta.OwnerReference{{Kind: "ReplicaSet", Name: "web-7d9c5b8f6d", Controller: &yes}},
		},
		Status: core.PodStatus{
			InitContainerStatuses: []core.ContainerStatus{{Name: "prepare", ContainerID: "containerd://" + idC, State: core.ContainerState{
				Terminated: &core.ContainerStateTerminated{ContainerID: "containerd://" + idC}}}},
			ContainerStatuses: []core.ContainerStatus{{Name: "nginx", ContainerID: "containerd://" + idA, State: core.ContainerState{Running: &core.ContainerStateRunning{}},
				LastTerminationState: core.ContainerState{Terminated: &core.ContainerStateTerminated{ContainerID: "containerd://" + idB}}}},
		},
	}
	if change != nil {
		change(p)
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAPodIsReadAsKubernetesWritesIt(t *testing.T) {
	got, err := parse(written(t, nil))
	want := Pod{UID: "8c1c3a52-1f3b-4a5e-9f5d-0d2d6a4b7c11", Namespace: "shop", Name: "web-7d9c5b8f6d-x2x4z", Owner: "deployment-web",
		Containers: []Container{{"prepare", []string{idC}, false}, {"nginx", []string{idA, idB}, true}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	for dir, want := range map[string]string{
		"cri-containerd-" + idA + ".scope": "shop/deployment-web/nginx running",
		idA:                                "shop/deployment-web/nginx running",
		"crio-" + idB + ".scope":           "shop/deployment-web/nginx",
		"crio-" + idC:                      "shop/deployment-web/prepare",
		"docker-" + idC + ".scope":         "shop/deployment-web/prepare",
		"crio-conmon-" + idA + ".scope":    "",
		"x" + idA:                          "",
		idA[1:]:                            "",
		idA + idB:                          "",
		"":                                 "",
	} {
		w, running, ok := got.Find(dir)
		said := ""
		if ok {
			said = w.Path()
		}
		if running {
			said += " running"
		}
		if said != want {
			t.Errorf("%s is %q, want %q", dir, said, want)
		}
	}
}

func TestCopiesOfAPodHaveOneOwner(t *testing.T) {
	for want, change := range map[string]func(*core.Pod){
		"replicaset-web-7d9c5b8f6d": func(p *core.Pod) { p.Labels = nil },
		"statefulset-db":            func(p *core.Pod) { p.OwnerReferences[0].Kind, p.OwnerReferences[0].Name = "StatefulSet", "db" },
		"pod-web-7d9c5b8f6d-x2x4z":  func(p *core.Pod) { p.OwnerReferences = nil },
		"pod-kube-proxy-node1": func(p *core.Pod) { // the mirror of a manifest on the node
			p.Name, p.OwnerReferences[0].Kind, p.OwnerReferences[0].Name = "kube-proxy-node1", "Node", "node1"
		},
		"deployment-web": func(p *core.Pod) {
			p.OwnerReferences = append([]meta.OwnerReference{{Kind: "Other", Name: "no-controller"}}, p.OwnerReferences...)
		},
	} {
		if got, err := parse(written(t, change)); err != nil || got.Owner != want {
			t.Errorf("got %q, %v; want %q", got.Owner, err, want)
		}
	}
}

func TestAPodOfAManifestHasTheIDThatItsNodeKnows(t *testing.T) {
	got, err := parse(written(t, func(p *core.Pod) {
		p.Annotations = map[string]string{"kubernetes.io/config.mirror": "0123456789abcdef0123456789abcdef"}
	}))
	if err != nil || got.UID != "0123456789abcdef0123456789abcdef" {
		t.Errorf("got %q, %v", got.UID, err)
	}
}

func TestAPodThatHasEndedIsOver(t *testing.T) {
	for phase, want := range map[core.PodPhase]bool{core.PodPending: false, core.PodRunning: false, core.PodSucceeded: true, core.PodFailed: true} {
		if got, err := parse(written(t, func(p *core.Pod) { p.Status.Phase = phase })); err != nil || got.Over != want {
			t.Errorf("%s: over %t, %v; want %t", phase, got.Over, err, want)
		}
	}
}

func TestADebuggerIsNoWorkload(t *testing.T) {
	got, err := parse(written(t, func(p *core.Pod) {
		p.Status.EphemeralContainerStatuses = []core.ContainerStatus{{Name: "debugger", ContainerID: "containerd://" + strings.Repeat("d", 64)}}
	}))
	dir := "cri-containerd-" + strings.Repeat("d", 64) + ".scope"
	if _, _, ok := got.Find(dir); err != nil || ok || !got.Debugs(dir) || got.Debugs(idA) {
		t.Errorf("%+v, %v", got, err)
	}
}

// What becomes part of a path may not lead out of it.
func FuzzParse(f *testing.F) {
	f.Add(written(f, nil))
	f.Add(written(f, func(p *core.Pod) { p.Namespace = "../.." }))
	f.Add(written(f, func(p *core.Pod) { p.UID = types.UID("a/../b") }))
	f.Add(written(f, func(p *core.Pod) { p.Status.ContainerStatuses[0].Name = ".." }))
	f.Add(written(f, func(p *core.Pod) { p.OwnerReferences[0].Kind = "a/b" }))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parse(text)
		if err != nil {
			return
		}
		for _, c := range p.Containers {
			path := Workload{p.Namespace, p.Owner, c.Name}.Path()
			if strings.Count(path, "/") != 2 || filepath.Clean("/"+path) != "/"+path {
				t.Errorf("%q is the path of a workload", path)
			}
		}
		if dir := podName("kubepods.slice", p.UID); strings.Contains(dir, "/") {
			t.Errorf("%q is the directory of a pod", dir)
		}
	})
}

func TestThePodsCgroupIsFoundWhoeverMakesIt(t *testing.T) {
	const uid = "8c1c3a52-1f3b-4a5e-9f5d-0d2d6a4b7c11"
	const slice = "8c1c3a52_1f3b_4a5e_9f5d_0d2d6a4b7c11.slice"
	for _, dir := range []string{
		"kubepods/pod" + uid,
		"kubepods/burstable/pod" + uid,
		"kubepods/besteffort/pod" + uid,
		"kubelet/kubepods/burstable/pod" + uid,
		"kubepods.slice/kubepods-pod" + slice,
		"kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + slice,
		"kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod" + slice,
	} {
		root := t.TempDir()
		for _, other := range []string{"system.slice/a.service", "user.slice", "kubepods-like/podx"} {
			if err := os.MkdirAll(filepath.Join(root, other), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		tree := &Tree{root: root}
		if got := tree.Find(uid); got != "" {
			t.Errorf("found %s, which is not there", got)
		}
		want := filepath.Join(root, dir)
		if err := os.MkdirAll(filepath.Join(want, "child"), 0o755); err != nil {
			t.Fatal(err)
		}
		if got := tree.Find(uid); got != want {
			t.Errorf("found %q, want %s", got, want)
		}
		if got, err := Children(want); err != nil || fmt.Sprint(got) != "[child]" {
			t.Errorf("children %v, %v", got, err)
		}
	}
	if _, err := OpenTree(t.TempDir()); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("%v, want that it is no cgroup file system", err)
	}
}
