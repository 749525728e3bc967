package pods

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// server is an API server of which each request is answered by a step. After the last the context is done.
type server struct {
	*httptest.Server
	asked []string // verb and version of each request
	steps []func(http.ResponseWriter)
}

func newServer(t *testing.T, end func(), steps ...func(http.ResponseWriter)) (*server, *API) {
	t.Helper()
	s := &server{steps: steps}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if r.Method != http.MethodGet || r.URL.Path != "/api/v1/pods" || r.Header.Get("Authorization") != "Bearer secret" ||
			q.Get("labelSelector") != "app in (web),!no" || q.Get("fieldSelector") != "spec.nodeName=node1" {
			t.Errorf("unexpected request %s, authorization %q", r.URL, r.Header.Get("Authorization"))
		}
		verb := "list"
		if q.Get("watch") != "" {
			verb = "watch"
		}
		s.asked = append(s.asked, verb+q.Get("resourceVersion"))
		if len(s.steps) == 0 {
			end()
			return
		}
		step := s.steps[0]
		s.steps = s.steps[1:]
		step(w)
	}))
	t.Cleanup(s.Close)
	account := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := errors.Join(os.WriteFile(filepath.Join(account, "ca.crt"), ca, 0o600), os.WriteFile(filepath.Join(account, "token"), []byte("secret\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"KUBERNETES_SERVICE_HOST": u.Hostname(), "KUBERNETES_SERVICE_PORT": u.Port()}
	a, err := InCluster(func(name string) string { return env[name] }, account)
	if err != nil {
		t.Fatal(err)
	}
	return s, a
}

func list(version string, pods ...[]byte) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		items := []json.RawMessage{}
		for _, p := range pods {
			items = append(items, p)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "PodList", "metadata": map[string]any{"resourceVersion": version}, "items": items})
	}
}

func events(lines ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { fmt.Fprint(w, strings.Join(lines, "\n")) }
}

func of(kind string, object []byte) string {
	return fmt.Sprintf(`{"type":%q,"object":%s}`, kind, object)
}

func refused(code int, message string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"kind":"Status","code":%d,"message":%q}`, code, message)
	}
}

func called(name, version string) func(*core.Pod) {
	return func(p *core.Pod) {
		p.Name, p.ResourceVersion, p.OwnerReferences = name, version, nil
		p.UID = types.UID("00000000-0000-0000-0000-00000000000" + name)
	}
}

// watch collects what is told until the server has no more steps.
func watch(t *testing.T, steps ...func(http.ResponseWriter)) (s *server, told, warned []string, err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, a := newServer(t, cancel, steps...)
	err = a.Watch(ctx, Selection{Node: "node1", Labels: "app in (web),!no"}, Watcher{
		Changed: func(all []Pod) {
			var names []string
			for _, p := range all {
				names = append(names, p.Name)
			}
			told = append(told, strings.Join(names, " "))
		},
		Warn:  func(err error) { warned = append(warned, err.Error()) },
		Pause: func(context.Context, int) {},
	})
	return s, told, warned, err
}

func TestTheWatcherKnowsAtEachTimeWhatTheServerHas(t *testing.T) {
	a, b := written(t, called("a", "11")), written(t, called("b", "12"))
	s, told, warned, err := watch(t,
		list("10", a),
		events(of("ADDED", b), of("BOOKMARK", []byte(`{"metadata":{"resourceVersion":"15"}}`))),
		events(of("DELETED", written(t, called("a", "16")))), // the connection ended, and is made again from where it was
		func(w http.ResponseWriter) { panic(http.ErrAbortHandler) },
		events(of("MODIFIED", written(t, called("b", "17"))), of("ADDED", a)[:40]), // cut off
		refused(500, "etcdserver: leader changed"),
		events(of("ERROR", []byte(`{"kind":"Status","code":410,"message":"too old resource version"}`))),
		list("20", a),
		refused(410, "gone"),
		list("30", a, b),
		events(of("ADDED", written(t, func(p *core.Pod) { p.Namespace = "../.."; p.ResourceVersion = "31" }))),
	)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(told, ", "), "a, a b, b, b, a, a b"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	if got, want := strings.Join(s.asked, " "), "list watch10 watch15 watch16 watch16 watch17 watch17 list watch20 list watch30 watch31"; got != want {
		t.Errorf("asked %q\nwant  %q", got, want)
	}
	// The first lost connection may have been made again without a word.
	if all := strings.Join(warned, ", "); !strings.Contains(all, "unexpected EOF") || !strings.Contains(all, "leader changed") || !strings.Contains(all, "not all names") || len(warned) > 4 {
		t.Errorf("warned %q, want of the lost connections, of the error, and of the pod that cannot be", warned)
	}
}

func TestWhatTheAPIForbidsIsSaid(t *testing.T) {
	for want, steps := range map[string][]func(http.ResponseWriter){
		"may not list pods":                {refused(403, "pods is forbidden")},
		"may not watch pods":               {list("1"), refused(403, "pods is forbidden")},
		"does not know the service":        {refused(401, "Unauthorized")},
		"does not understand the sel":      {refused(400, "unable to parse requirement")},
		"cannot list resource \"pods\" in": {refused(403, `User "x" cannot list resource "pods" in API group ""`)},
	} {
		_, _, _, err := watch(t, steps...)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Problem, want) || e.Mend == "" {
			t.Errorf("%v, want %s, and what to do", err, want)
		}
	}
}

func TestASettledWatcherOutlivesARefusal(t *testing.T) {
	_, told, warned, err := watch(t, list("1"), events(of("ADDED", written(t, called("a", "2")))), refused(403, "pods is forbidden"), events(of("ADDED", written(t, called("b", "3")))))
	if err != nil || len(warned) != 1 || told[len(told)-1] != "a b" {
		t.Errorf("%v, warned %q, told %q", err, warned, told)
	}
}

func TestWhoIsInNoClusterIsTold(t *testing.T) {
	env := map[string]string{}
	get := func(name string) string { return env[name] }
	dir := t.TempDir()
	want := func(what string) {
		t.Helper()
		_, err := InCluster(get, dir)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Problem, what) || e.Mend == "" {
			t.Errorf("%v, want %s, and what to do", err, what)
		}
	}
	want("this is no pod")
	env["KUBERNETES_SERVICE_HOST"], env["KUBERNETES_SERVICE_PORT"] = "10.0.0.1", "443"
	want("no service account")
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "ca.crt"), []byte("none"), 0o600), os.WriteFile(filepath.Join(dir, "token"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	want("no certificate")
}

// FuzzEvents lets any stream change what is known: no pod under a key that is not its own.
func FuzzEvents(f *testing.F) {
	f.Add(of("ADDED", written(f, nil)) + of("DELETED", written(f, nil)))
	f.Add(`{"type":"ERROR","object":{"code":410}}{"type":"BOOKMARK","object":{"metadata":{}}}`)
	f.Fuzz(func(t *testing.T, stream string) {
		known := map[string]Pod{}
		for d := json.NewDecoder(strings.NewReader(stream)); ; {
			var e event
			if d.Decode(&e) != nil {
				break
			}
			version, relevant, err := e.apply(known)
			if relevant && (err != nil || version == "") {
				t.Errorf("%s: relevant with %q, %v", e.Type, version, err)
			}
		}
		for uid, p := range known {
			if uid != p.UID {
				t.Errorf("%q is known as %q", p.UID, uid)
			}
		}
	})
}
