package kube

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// kinds are those that are written, by their apiVersion and kind.
var kinds = map[string]any{
	"v1 PersistentVolumeClaim":                        core.PersistentVolumeClaim{},
	"batch/v1 Job":                                    batch.Job{},
	"apps/v1 DaemonSet":                               apps.DaemonSet{},
	"v1 ServiceAccount":                               core.ServiceAccount{},
	"rbac.authorization.k8s.io/v1 ClusterRole":        rbac.ClusterRole{},
	"rbac.authorization.k8s.io/v1 ClusterRoleBinding": rbac.ClusterRoleBinding{},
	"rbac.authorization.k8s.io/v1 Role":               rbac.Role{},
	"rbac.authorization.k8s.io/v1 RoleBinding":        rbac.RoleBinding{},
}

// checkRequired demands of an object what the OpenAPI schema of Kubernetes requires of its kind.
func checkRequired(t *testing.T, text string) {
	t.Helper()
	var object map[string]any
	if err := yaml.Unmarshal([]byte(text), &object); err != nil {
		t.Fatal(err)
	}
	version, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	of, ok := kinds[version+" "+kind]
	if !ok {
		t.Fatalf("%q %q is no kind that is written", version, kind)
	}
	for _, path := range missing(reflect.TypeOf(of), object, kind) {
		t.Errorf("%s is required in\n%s", path, text)
	}
}

// missing are the required fields that a value lacks. The schema is generated from the types in
// k8s.io/api: a field is required whose tag does not say omitempty (k8s.io/kube-openapi, pkg/generators).
func missing(of reflect.Type, value any, path string) (all []string) {
	for of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	if _, ok := reflect.New(of).Interface().(json.Unmarshaler); ok {
		return nil // quantities and times are words
	}
	switch v := value.(type) {
	case []any:
		for _, element := range v {
			all = append(all, missing(of.Elem(), element, path+"[]")...)
		}
	case map[string]any:
		if of.Kind() == reflect.Map {
			for key, element := range v {
				all = append(all, missing(of.Elem(), element, path+"."+key)...)
			}
			break
		}
		for i := range of.NumField() {
			f := of.Field(i)
			words := strings.Split(f.Tag.Get("json"), ",")
			if slices.Contains(words, "inline") {
				all = append(all, missing(f.Type, v, path)...)
				continue
			}
			field, ok := v[words[0]]
			switch {
			case ok && field != nil:
				all = append(all, missing(f.Type, field, path+"."+words[0])...)
			case !slices.Contains(words, "omitempty") && !slices.Contains(words, "omitzero"):
				all = append(all, path+"."+words[0])
			}
		}
	}
	return all
}

// The check can fail.
func TestWhatTheSchemaRequiresIsMissed(t *testing.T) {
	object := map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
		"containers": []any{map[string]any{"image": "i", "volumeMounts": []any{map[string]any{"name": "v"}}, "resources": map[string]any{"limits": map[string]any{"memory": "1Gi"}}}},
		"volumes":    []any{map[string]any{"name": "v", "persistentVolumeClaim": map[string]any{}}},
	}}}}
	pod := "Job.spec.template.spec."
	want := []string{pod + "containers[].name", pod + "containers[].volumeMounts[].mountPath", pod + "volumes[].persistentVolumeClaim.claimName"}
	got := missing(reflect.TypeFor[batch.Job](), object, "Job")
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := missing(reflect.TypeFor[batch.Job](), map[string]any{"spec": map[string]any{}}, "Job"); !slices.Equal(got, []string{"Job.spec.template"}) {
		t.Errorf("of a job without a template: %q", got)
	}
}
