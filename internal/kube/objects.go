package kube

import "cmp"

// The parts of Kubernetes' objects that are written, in the order in which people read them.
type (
	object struct {
		APIVersion string   `yaml:"apiVersion"`
		Kind       string   `yaml:"kind"`
		Metadata   metadata `yaml:"metadata"`
		Spec       any      `yaml:"spec"`
	}
	metadata struct {
		Name      string            `yaml:"name,omitempty"`
		Namespace string            `yaml:"namespace,omitempty"`
		Labels    map[string]string `yaml:"labels"`
	}
	claimSpec struct {
		AccessModes []string  `yaml:"accessModes"`
		Resources   resources `yaml:"resources"`
	}
	resources struct {
		Requests map[string]string `yaml:"requests,omitempty"`
		Limits   map[string]string `yaml:"limits,omitempty"`
	}
	jobSpec struct {
		Suspend              bool     `yaml:"suspend,omitempty"`
		CompletionMode       string   `yaml:"completionMode,omitempty"`
		Completions          int      `yaml:"completions"`
		Parallelism          int      `yaml:"parallelism"`
		BackoffLimitPerIndex int      `yaml:"backoffLimitPerIndex,omitempty"`
		BackoffLimit         int      `yaml:"backoffLimit,omitempty"`
		Template             template `yaml:"template"`
	}
	template struct {
		Metadata metadata `yaml:"metadata"`
		Spec     podSpec  `yaml:"spec"`
	}
	podSpec struct {
		RestartPolicy      string       `yaml:"restartPolicy,omitempty"`
		HostPID            bool         `yaml:"hostPID,omitempty"`
		ServiceAccountName string       `yaml:"serviceAccountName,omitempty"`
		ServiceAccount     bool         `yaml:"automountServiceAccountToken"`
		EnableServiceLinks bool         `yaml:"enableServiceLinks"`
		Tolerations        []toleration `yaml:"tolerations,omitempty"`
		InitContainers     []container  `yaml:"initContainers,omitempty"`
		Containers         []container  `yaml:"containers"`
		Volumes            []volume     `yaml:"volumes"`
	}
	container struct {
		Name            string     `yaml:"name"`
		Image           string     `yaml:"image"`
		Command         []string   `yaml:"command"`
		Env             []variable `yaml:"env,omitempty"`
		Resources       resources  `yaml:"resources"`
		SecurityContext security   `yaml:"securityContext"`
		VolumeMounts    []mount    `yaml:"volumeMounts"`
	}
	security struct {
		RunAsUser                int          `yaml:"runAsUser"`
		ReadOnlyRoot             bool         `yaml:"readOnlyRootFilesystem,omitempty"`
		AllowPrivilegeEscalation bool         `yaml:"allowPrivilegeEscalation"`
		Capabilities             capabilities `yaml:"capabilities"`
		SeccompProfile           *confinement `yaml:"seccompProfile,omitempty"`
		AppArmorProfile          *confinement `yaml:"appArmorProfile,omitempty"`
	}
	capabilities struct {
		Drop []string `yaml:"drop"`
		Add  []string `yaml:"add,omitempty"`
	}
	confinement struct {
		Type string `yaml:"type"`
	}
	mount struct {
		Name      string `yaml:"name"`
		MountPath string `yaml:"mountPath"`
		ReadOnly  bool   `yaml:"readOnly,omitempty"`
	}
	volume struct {
		Name  string     `yaml:"name"`
		Claim *claimName `yaml:"persistentVolumeClaim,omitempty"`
		Host  *hostPath  `yaml:"hostPath,omitempty"`
	}
	claimName struct {
		Name string `yaml:"claimName"`
	}
	hostPath struct {
		Path string `yaml:"path"`
		Type string `yaml:"type"`
	}
	variable struct {
		Name string `yaml:"name"`
		From source `yaml:"valueFrom"`
	}
	source struct {
		Field field `yaml:"fieldRef"`
	}
	field struct {
		Path string `yaml:"fieldPath"`
	}
	toleration struct {
		Operator string `yaml:"operator"`
	}
	daemonSpec struct {
		Selector labels   `yaml:"selector"`
		Template template `yaml:"template"`
	}
	labels struct {
		Match map[string]string `yaml:"matchLabels"`
	}
	account struct {
		APIVersion string   `yaml:"apiVersion"`
		Kind       string   `yaml:"kind"`
		Metadata   metadata `yaml:"metadata"`
		Automount  bool     `yaml:"automountServiceAccountToken"`
	}
	role struct {
		APIVersion string   `yaml:"apiVersion"`
		Kind       string   `yaml:"kind"`
		Metadata   metadata `yaml:"metadata"`
		Rules      []rule   `yaml:"rules"`
	}
	rule struct {
		APIGroups []string `yaml:"apiGroups"`
		Resources []string `yaml:"resources"`
		Verbs     []string `yaml:"verbs"`
	}
	binding struct {
		APIVersion string    `yaml:"apiVersion"`
		Kind       string    `yaml:"kind"`
		Metadata   metadata  `yaml:"metadata"`
		Role       reference `yaml:"roleRef"`
		Subjects   []subject `yaml:"subjects"`
	}
	reference struct {
		APIGroup string `yaml:"apiGroup"`
		Kind     string `yaml:"kind"`
		Name     string `yaml:"name"`
	}
	subject struct {
		Kind      string `yaml:"kind"`
		Name      string `yaml:"name"`
		Namespace string `yaml:"namespace"`
	}
)

func (j *Job) meta(name string) metadata {
	return metadata{name, j.Namespace, map[string]string{"app.kubernetes.io/name": "tjfuzz", "app.kubernetes.io/instance": j.Name}}
}

func (j *Job) template(first []container, then container) template {
	v := volume{Name: "shared", Claim: &claimName{cmp.Or(j.Claim, j.Name)}}
	labels := j.meta("")
	labels.Namespace = ""
	return template{labels, podSpec{RestartPolicy: "Never", InitContainers: first, Containers: []container{then}, Volumes: []volume{v}}}
}

func (j *Job) container(name string, command []string) container {
	return container{
		Name: name, Image: j.Image, Command: command, SecurityContext: privileges(),
		Resources:    resources{Requests: map[string]string{"cpu": "1"}, Limits: map[string]string{"memory": j.Memory}},
		VolumeMounts: []mount{{Name: "shared", MountPath: Volume}},
	}
}

// Capabilities are those that learn and verify take, as Kubernetes writes them: to record (BPF, PERFMON), to
// make worlds and their networks (SYS_ADMIN, SYS_CHROOT, NET_ADMIN, MKNOD), and those that a container has by
// default, which the cage leaves to the program.
var Capabilities = []string{
	"BPF", "PERFMON", "SYS_ADMIN", "SYS_CHROOT", "NET_ADMIN", "MKNOD",
	"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID",
}

// privileges are of what runs the program in its cage, which mounts and calls bpf(2); profiles for
// ordinary containers refuse that.
func privileges() security {
	return security{AllowPrivilegeEscalation: true, Capabilities: capabilities{Drop: []string{"ALL"}, Add: Capabilities},
		SeccompProfile: &confinement{"Unconfined"}, AppArmorProfile: &confinement{"Unconfined"}}
}

// unprivileged is of what reads and writes files on the volume, which the shards have written as root.
func unprivileged() security {
	return security{Capabilities: capabilities{Drop: []string{"ALL"}}, SeccompProfile: &confinement{"RuntimeDefault"}}
}
