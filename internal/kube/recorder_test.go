package kube

import (
	"bytes"
	"flag"
	"reflect"
	"slices"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

var update = flag.Bool("update", false, "write the golden files anew")

func recorder() Recorder {
	return Recorder{Name: "tjfuzz-record", Namespace: "watchers", Image: "registry.example/tjfuzz:1.0", Selector: "app in (shop, $(HOME))",
		Directory: "/var/lib/tjfuzz", Memory: "512Mi", Record: []string{"--runtime=crun"}}
}

// recorded reads what was written as Kubernetes does, in its order.
func recorded(t *testing.T, r Recorder, into ...any) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	texts := strings.Split(b.String(), "\n---\n")
	if len(texts) != len(into)+1 {
		t.Fatalf("%d objects, want %d in\n%s", len(texts)-1, len(into), &b)
	}
	for i, text := range texts[1:] {
		checkRequired(t, text)
		if err := yaml.UnmarshalStrict([]byte(text), into[i]); err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
		if kind := reflect.TypeOf(into[i]).Elem().Name(); !strings.Contains(text, "\nkind: "+kind+"\n") {
			t.Errorf("no %s is\n%s", kind, text)
		}
	}
	return b.String()
}

func TestTheRecorderHasWhatItNeedsAndNoMore(t *testing.T) {
	var a core.ServiceAccount
	var r rbac.ClusterRole
	var b rbac.ClusterRoleBinding
	var d apps.DaemonSet
	text := recorded(t, recorder(), &a, &r, &b, &d)
	testenv.Golden(t, "testdata/recorder.yaml", text, *update)

	if len(r.Rules) != 1 || !slices.Equal(r.Rules[0].Resources, []string{"pods"}) || !slices.Equal(r.Rules[0].Verbs, []string{"list", "watch"}) || !slices.Equal(r.Rules[0].APIGroups, []string{""}) {
		t.Errorf("the role is %+v", r.Rules)
	}
	s := b.Subjects[0]
	if b.RoleRef.Kind != "ClusterRole" || b.RoleRef.Name != r.Name || b.RoleRef.APIGroup != rbac.GroupName || s.Kind != "ServiceAccount" || s.Name != a.Name || s.Namespace != a.Namespace || r.Namespace != "" {
		t.Errorf("the binding is of %+v to %+v", s, b.RoleRef)
	}
	pod := d.Spec.Template.Spec
	if !reflect.DeepEqual(d.Spec.Selector.MatchLabels, d.Spec.Template.Labels) || pod.ServiceAccountName != a.Name || !*pod.AutomountServiceAccountToken || !pod.HostPID || pod.HostNetwork || pod.HostIPC {
		t.Errorf("the pod is %+v", pod)
	}
	c := pod.Containers[0]
	if sc := c.SecurityContext; sc.Privileged != nil || *sc.AllowPrivilegeEscalation || !*sc.ReadOnlyRootFilesystem || len(sc.Capabilities.Add) != 2 || sc.Capabilities.Drop[0] != "ALL" {
		t.Errorf("the security context is %+v", sc)
	}
	for _, m := range c.VolumeMounts {
		i := slices.IndexFunc(pod.Volumes, func(v core.Volume) bool { return v.Name == m.Name })
		if i < 0 || m.ReadOnly != (pod.Volumes[i].HostPath.Path == "/sys/fs/cgroup") || !slices.Contains(c.Command, m.MountPath) {
			t.Errorf("%+v is mounted", m)
		}
	}
	if e := c.Env[0]; e.Name != NodeName || e.ValueFrom.FieldRef.FieldPath != "spec.nodeName" {
		t.Errorf("the environment is %+v", c.Env)
	}
	if got := expand(c.Command[slices.Index(c.Command, "--selector")+1], 0); got != recorder().Selector {
		t.Errorf("it records %q", got)
	}
}

func TestARecorderOfOneNamespaceHasNoRightBeyondIt(t *testing.T) {
	var a core.ServiceAccount
	var r rbac.Role
	var b rbac.RoleBinding
	var d apps.DaemonSet
	of := recorder()
	of.Pods = "shop"
	recorded(t, of, &a, &r, &b, &d)
	if r.Namespace != "shop" || b.Namespace != "shop" || b.RoleRef.Kind != "Role" || a.Namespace != "watchers" || b.Subjects[0].Namespace != "watchers" {
		t.Errorf("role in %q, binding in %q to %+v of %+v", r.Namespace, b.Namespace, b.RoleRef, b.Subjects)
	}
	command := d.Spec.Template.Spec.Containers[0].Command
	if i := slices.Index(command, "--namespace"); i < 0 || command[i+1] != "shop" {
		t.Errorf("it runs %q", command)
	}
}

func TestARecorderThatCannotBeIsRefused(t *testing.T) {
	for what, change := range map[string]func(*Recorder){
		"the name":                  func(r *Recorder) { r.Name = "Recorder" },
		"the namespace":             func(r *Recorder) { r.Namespace = "" },
		"the namespace of the pods": func(r *Recorder) { r.Pods = "a b" },
		"the image":                 func(r *Recorder) { r.Image = "" },
		"selector":                  func(r *Recorder) { r.Selector = "" },
		"directory":                 func(r *Recorder) { r.Directory = "here" },
		"amount":                    func(r *Recorder) { r.Memory = "much" },
	} {
		r := recorder()
		change(&r)
		var b bytes.Buffer
		if err := r.Write(&b); err == nil || !strings.Contains(err.Error(), what) || b.Len() > 0 {
			t.Errorf("%s: %v, and %d bytes", what, err, b.Len())
		}
	}
}
