package format

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"syscall"

	"gopkg.in/yaml.v3"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
	"github.com/tjfuzz/tjfuzz/synth"
)

// objectName is what Kubernetes takes for the name of an object (RFC 1123).
var objectName = lazyregexp.New(`^[a-z0-9]([-a-z0-9.]{0,250}[a-z0-9])?$`)

// NameError says that a format cannot call a thing that.
type NameError struct{ Name, Wants string }

func (e *NameError) Error() string {
	return fmt.Sprintf("%q cannot be the name; %s", e.Name, e.Wants)
}

func checkObjectName(name string) error {
	if !objectName.MatchString(name) {
		return &NameError{name, "Kubernetes takes lower case letters, digits, dots and dashes"}
	}
	return nil
}

// kubernetesCan is what the node's runtime reads: the OCI profile that the pod
// names. Objects of Kubernetes hold no more than 63 bits.
func kubernetesCan() abilities {
	can := ociCan()
	can.whole = signed
	return can
}

func signed(p *synth.Policy) error {
	for _, r := range p.Rules() {
		for _, c := range r.Args {
			if c.Value > math.MaxInt64 || c.Mask > math.MaxInt64 {
				return fmt.Errorf("%v: Kubernetes keeps values as signed numbers, and one of %v is larger", r.ID, c)
			}
		}
	}
	return nil
}

// writeKubernetes writes a pod that uses the profile. It holds none of the policy:
// the OCI profile has to be on every node.
func writeKubernetes(w io.Writer, p *synth.Policy, name string) error {
	if err := checkObjectName(name); err != nil {
		return err
	}
	if _, err := profileOf(p); err != nil {
		return fmt.Errorf("write profile: %w", err)
	}
	_, err := fmt.Fprintf(w, `# The OCI profile has to be on every node where the pod may run, as
#   /var/lib/kubelet/seccomp/profiles/%[1]s.json
apiVersion: v1
kind: Pod
metadata:
  name: %[1]s
spec:
  securityContext:
    seccompProfile:
      type: Localhost
      localhostProfile: profiles/%[1]s.json
  containers:
    - name: %[1]s
      image: IMAGE
`, name)
	return err
}

// operatorCan is what a SeccompProfile object has fields for. The default has no
// errno, so runtimes answer EPERM.
func operatorCan() abilities {
	can := kubernetesCan()
	can.defaults = oneOf(func(v synth.Verdict) bool {
		return v.Action != synth.Errno || v.Errno == uint16(syscall.EPERM)
	})
	can.mend = "generate with --default errno, which is EPERM, or --default kill"
	return can
}

type operatorObject struct {
	APIVersion string       `yaml:"apiVersion"`
	Kind       string       `yaml:"kind"`
	Metadata   operatorMeta `yaml:"metadata"`
	Spec       operatorSpec `yaml:"spec"`
}

type operatorMeta struct {
	Name string `yaml:"name"`
}

type operatorSpec struct {
	DefaultAction    specs.LinuxSeccompAction `yaml:"defaultAction"`
	Architectures    []specs.Arch             `yaml:"architectures"`
	Flags            []specs.LinuxSeccompFlag `yaml:"flags,omitempty"`
	ListenerPath     string                   `yaml:"listenerPath,omitempty"`
	ListenerMetadata string                   `yaml:"listenerMetadata,omitempty"`
	Syscalls         []operatorSyscall        `yaml:"syscalls"`
}

// errnoRet is a string in the definition of the object.
type operatorSyscall struct {
	Action   specs.LinuxSeccompAction `yaml:"action"`
	ErrnoRet string                   `yaml:"errnoRet,omitempty"`
	Names    []string                 `yaml:"names"`
	Args     []operatorArg            `yaml:"args,omitempty"`
}

type operatorArg struct {
	Index    uint                       `yaml:"index"`
	Value    uint64                     `yaml:"value"`
	ValueTwo uint64                     `yaml:"valueTwo,omitempty"`
	Op       specs.LinuxSeccompOperator `yaml:"op"`
}

func writeOperator(w io.Writer, p *synth.Policy, name string) error {
	if err := checkObjectName(name); err != nil {
		return err
	}
	oci, err := profileOf(p)
	if err != nil {
		return fmt.Errorf("write profile: %w", err)
	}
	spec := operatorSpec{
		DefaultAction: oci.DefaultAction, Architectures: oci.Architectures, Flags: oci.Flags,
		ListenerPath: oci.ListenerPath, ListenerMetadata: oci.ListenerMetadata,
	}
	for _, s := range oci.Syscalls {
		entry := operatorSyscall{Action: s.Action, Names: s.Names}
		if s.ErrnoRet != nil {
			entry.ErrnoRet = strconv.FormatUint(uint64(*s.ErrnoRet), 10)
		}
		for _, a := range s.Args {
			entry.Args = append(entry.Args, operatorArg{a.Index, a.Value, a.ValueTwo, a.Op})
		}
		spec.Syscalls = append(spec.Syscalls, entry)
	}
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(operatorObject{"security-profiles-operator.x-k8s.io/v1beta1", "SeccompProfile", operatorMeta{name}, spec}); err != nil {
		return fmt.Errorf("write profile: %w", err)
	}
	return e.Close()
}
