package format

import (
	"bytes"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// The fields that the objects have by their definitions (api/core/v1 of Kubernetes, the custom
// resource seccompprofiles.security-profiles-operator.x-k8s.io), as far as they are used here.
type (
	pod struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Metadata   struct{ Name string }
		Spec       struct {
			SecurityContext struct {
				SeccompProfile struct {
					Type             string
					LocalhostProfile string `yaml:"localhostProfile"`
				} `yaml:"seccompProfile"`
			} `yaml:"securityContext"`
			Containers []struct{ Name, Image string }
		}
	}
	seccompProfile struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Metadata   struct{ Name string }
		Spec       struct {
			DefaultAction    string `yaml:"defaultAction"`
			Architectures    []string
			Flags            []string
			ListenerPath     string `yaml:"listenerPath"`
			ListenerMetadata string `yaml:"listenerMetadata"`
			Syscalls         []struct {
				Action   string
				ErrnoRet string `yaml:"errnoRet"`
				Names    []string
				Args     []struct {
					Index    uint
					Value    int64
					ValueTwo int64 `yaml:"valueTwo"`
					Op       string
				}
			}
		}
	}
)

// strict reads what a format writes, with known fields only.
func strict(t *testing.T, name string, b *bytes.Buffer, v any) {
	t.Helper()
	d := yaml.NewDecoder(bytes.NewReader(b.Bytes()))
	d.KnownFields(true)
	if err := d.Decode(v); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, b)
	}
}

func TestObjectsOfKubernetesHaveTheFieldsOfTheirKind(t *testing.T) {
	actions := []string{"SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP", "SCMP_ACT_ERRNO", "SCMP_ACT_TRACE", "SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY"}
	comparisons := []string{"SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"}
	tried := map[string]int{}
	for seed := range uint64(60) {
		for _, name := range []string{"kubernetes", "security-profiles-operator"} {
			f := formatNamed(t, name)
			_, fit := written(f, random(rand.New(rand.NewPCG(seed, 11))))
			if fit == nil {
				continue
			}
			tried[name]++
			var b bytes.Buffer
			if err := f.Write(&b, fit, "a-sample"); err != nil {
				t.Fatal(err)
			}
			if name == "kubernetes" {
				var got pod
				strict(t, name, &b, &got)
				profile := got.Spec.SecurityContext.SeccompProfile
				// "Must be a descending path, relative to the kubelet's configured seccomp profile location."
				if got.APIVersion != "v1" || got.Kind != "Pod" || got.Metadata.Name != "a-sample" || profile.Type != "Localhost" || len(got.Spec.Containers) != 1 ||
					path.IsAbs(profile.LocalhostProfile) || strings.Contains(profile.LocalhostProfile, "..") || !strings.Contains(b.String(), "/var/lib/kubelet/seccomp/"+profile.LocalhostProfile+"\n") {
					t.Errorf("%s, seed %d:\n%s", name, seed, &b)
				}
				continue
			}
			var got seccompProfile
			strict(t, name, &b, &got)
			ok := got.APIVersion == "security-profiles-operator.x-k8s.io/v1beta1" && got.Kind == "SeccompProfile" && got.Metadata.Name == "a-sample" &&
				slices.Contains(actions, got.Spec.DefaultAction) && len(got.Spec.Architectures) > 0
			for _, s := range got.Spec.Syscalls {
				ok = ok && slices.Contains(actions, s.Action) && len(s.Names) > 0
				for _, a := range s.Args {
					ok = ok && a.Index <= 5 && a.Value >= 0 && a.ValueTwo >= 0 && slices.Contains(comparisons, a.Op)
				}
			}
			if !ok {
				t.Errorf("%s, seed %d:\n%s", name, seed, &b)
			}
		}
	}
	if len(tried) != 2 {
		t.Errorf("policies that fit: %v", tried)
	}
}
