package kube

import (
	"fmt"
	"io"
	"strings"
)

// Recorder is a DaemonSet that records pods. Image, Name and Selector are required.
type Recorder struct {
	Name      string // of all objects
	Namespace string // of the recorder
	Image     string // has tjfuzz in its PATH
	Selector  string // of the labels of the pods that are recorded
	Pods      string // their namespace; "": all
	Directory string // on each node, that is written to
	Memory    string // at most, of each pod
	Record    []string
}

// NodeName is the environment variable that has the name of the node.
const NodeName = "NODE_NAME"

// cgroups is where the node's are in each pod.
const cgroups = "/host/cgroup"

// RecorderCapabilities are what the recorder takes, as Kubernetes writes them. To other files than its own, and to
// the processes of the node, which it sees, it may do what root may who has no other capability.
var RecorderCapabilities = []string{"BPF", "PERFMON"}

func (r *Recorder) check() error {
	switch {
	case !label.MatchString(r.Name):
		return fmt.Errorf("%q cannot be the name: Kubernetes takes up to 42 lower case letters, digits and dashes", r.Name)
	case !label.MatchString(r.Namespace):
		return fmt.Errorf("%q cannot be the namespace", r.Namespace)
	case r.Pods != "" && !label.MatchString(r.Pods):
		return fmt.Errorf("%q cannot be the namespace of the pods", r.Pods)
	case r.Image == "" || strings.ContainsAny(r.Image, " \t\n"):
		return fmt.Errorf("%q cannot be the image", r.Image)
	case r.Selector == "":
		return fmt.Errorf("no selector says which pods are recorded")
	case !strings.HasPrefix(r.Directory, "/") || strings.Contains(r.Directory, ".."):
		return fmt.Errorf("%q cannot be the directory on the nodes: it is not absolute", r.Directory)
	case !quantity.MatchString(r.Memory):
		return fmt.Errorf("%q is not an amount of bytes, such as 256Mi", r.Memory)
	}
	return nil
}

// Write writes the objects as YAML: the service account, the right to list and watch pods and its binding, cluster-wide
// unless one namespace is recorded, and the DaemonSet.
func (r Recorder) Write(w io.Writer) error {
	if err := r.check(); err != nil {
		return err
	}
	scope, of := "Cluster", r.meta("")
	of.Namespace = ""
	if r.Pods != "" {
		scope, of.Namespace = "", r.Pods
	}
	of.Name = r.Name
	rules := []rule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list", "watch"}}}
	const rbac = "rbac.authorization.k8s.io"
	return write(w, fmt.Sprintf(`# Records on each node the pods that have %[3]s, and writes their profiles:
#
#   kubectl apply -f FILE
#   kubectl --namespace %[2]s logs daemonset/%[1]s --follow
#
# Evidence and profiles are on each node in %[4]s. The namespace %[2]s has to
# be there, and to admit privileged pods (pod-security.kubernetes.io/enforce: privileged).
`, r.Name, r.Namespace, printable(r.Selector), printable(r.Directory)),
		account{"v1", "ServiceAccount", r.meta(r.Name), false},
		role{rbac + "/v1", scope + "Role", of, rules},
		binding{rbac + "/v1", scope + "RoleBinding", of, reference{rbac, scope + "Role", r.Name}, []subject{{"ServiceAccount", r.Name, r.Namespace}}},
		object{"apps/v1", "DaemonSet", r.meta(r.Name), daemonSpec{labels{r.meta("").Labels}, r.template()}},
	)
}

func (r *Recorder) meta(name string) metadata {
	return metadata{name, r.Namespace, map[string]string{"app.kubernetes.io/name": "tjfuzz", "app.kubernetes.io/instance": r.Name}}
}

func (r *Recorder) template() template {
	argv := []string{"tjfuzz", "record", "--selector", r.Selector, "--cgroups", cgroups, "-o", Volume}
	if r.Pods != "" {
		argv = append(argv, "--namespace", r.Pods)
	}
	m := r.meta("")
	m.Namespace = ""
	return template{m, podSpec{
		// The kernel shows what runs already to the pid namespace only that it is in, or one above.
		HostPID:            true,
		ServiceAccountName: r.Name, ServiceAccount: true,
		Tolerations: []toleration{{"Exists"}},
		Containers: []container{{
			Name: "record", Image: r.Image, Command: literal(append(argv, r.Record...)),
			Env: []variable{{NodeName, source{field{"spec.nodeName"}}}},
			Resources: resources{
				Requests: map[string]string{"cpu": "50m", "memory": "128Mi"}, Limits: map[string]string{"memory": r.Memory},
			},
			SecurityContext: security{
				ReadOnlyRoot: true, Capabilities: capabilities{Drop: []string{"ALL"}, Add: RecorderCapabilities},
				SeccompProfile: &confinement{"Unconfined"},
			},
			VolumeMounts: []mount{{"output", Volume, false}, {"cgroup", cgroups, true}},
		}},
		Volumes: []volume{
			{Name: "output", Host: &hostPath{r.Directory, "DirectoryOrCreate"}},
			{Name: "cgroup", Host: &hostPath{"/sys/fs/cgroup", "Directory"}},
		},
	}}
}
