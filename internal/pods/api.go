package pods

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Accounts is where a container finds its service account.
const Accounts = "/var/run/secrets/kubernetes.io/serviceaccount"

// Error says what keeps the API from being asked, and the next step.
type Error struct {
	Problem string
	Mend    string
	last    error
}

func (e *Error) Error() string { return e.Problem }
func (e *Error) Unwrap() error { return e.last }

// API is the Kubernetes API as a service account may use it.
type API struct {
	base  string // https://host:port
	token string // the file; it is replaced every hour
	http  *http.Client
}

// InCluster finds the API as any container of a pod does, by its environment and the directory of its
// service account.
func InCluster(env func(string) string, account string) (*API, error) {
	host, port := env("KUBERNETES_SERVICE_HOST"), env("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, &Error{"this is no pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set",
			"run it as a DaemonSet: 'tjfuzz daemonset' writes one", nil}
	}
	token := filepath.Join(account, "token")
	ca, err := os.ReadFile(filepath.Join(account, "ca.crt"))
	if err == nil {
		_, err = os.ReadFile(token)
	}
	if err != nil {
		return nil, &Error{fmt.Sprintf("the pod has no service account: %v", err), "set automountServiceAccountToken, as 'tjfuzz daemonset' does", err}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, &Error{fmt.Sprintf("%s/ca.crt has no certificate", account), "mount the service account anew", nil}
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig, t.Proxy = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
	return &API{"https://" + net.JoinHostPort(host, port), token, &http.Client{Transport: t}}, nil
}

// Selection says which pods are meant.
type Selection struct {
	Node      string // their node's name
	Labels    string // a label selector
	Namespace string // "" for all
}

// Watcher is told what the API says.
type Watcher struct {
	Changed func([]Pod)                           // all that are selected, sorted by their UIDs, whenever that has changed
	Warn    func(error)                           // what is tried again
	Pause   func(ctx context.Context, failed int) // before it is, after the number of failures in a row
}

// Watch tells a watcher of the pods of a selection until the context is done. What the API forbids, before
// it has answered both to list and to watch, is an [*Error]; all else is tried again.
func (a *API) Watch(ctx context.Context, s Selection, w Watcher) error {
	known, version, failed, settled := map[string]Pod{}, "", 0, false
	for ctx.Err() == nil {
		begin, heard := time.Now(), false
		var err error
		if version == "" {
			if version, err = a.list(ctx, s, known, w.Warn); err == nil {
				w.Changed(sorted(known))
			}
		} else {
			version, err = a.follow(ctx, s, version, known, w.Warn, func() {
				heard = true
				w.Changed(sorted(known))
			})
			settled = settled || heard || err == nil
			if err == nil && !heard && time.Since(begin) < time.Second {
				w.Pause(ctx, 1) // it is ended at once, as it would be the next time
			}
		}
		if err == nil || heard {
			failed = 0
		}
		if err == nil || ctx.Err() != nil {
			continue
		}
		var forbidden *Error
		if errors.As(err, &forbidden) && !settled {
			return err
		}
		failed++
		w.Warn(err)
		w.Pause(ctx, failed)
	}
	return nil
}

func sorted(known map[string]Pod) []Pod {
	all := make([]Pod, 0, len(known))
	for _, uid := range slices.Sorted(maps.Keys(known)) {
		all = append(all, known[uid])
	}
	return all
}

// list makes known what there is, and returns the version of that.
func (a *API) list(ctx context.Context, s Selection, known map[string]Pod, warn func(error)) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	body, err := a.get(ctx, s, "list", nil)
	if err != nil {
		return "", err
	}
	defer body.Close()
	var list struct {
		Metadata struct{ ResourceVersion string }
		Items    []json.RawMessage
	}
	if err := json.NewDecoder(body).Decode(&list); err != nil {
		return "", fmt.Errorf("list pods: %w", err)
	}
	if list.Metadata.ResourceVersion == "" {
		return "", errors.New("list pods: the answer is no list")
	}
	clear(known)
	for _, item := range list.Items {
		p, err := parse(item)
		if err != nil {
			warn(err)
			continue
		}
		known[p.UID] = p
	}
	return list.Metadata.ResourceVersion, nil
}

// patience is for an answer that is not waited for on purpose, and watching for one that is.
const (
	patience = 30 * time.Second
	watching = 5 * time.Minute
)

// follow makes known what changes after a version, until the server ends the connection, and returns the version that it
// has come to: "" where the server does not remember the changes since then.
func (a *API) follow(ctx context.Context, s Selection, version string, known map[string]Pod, warn func(error), changed func()) (string, error) {
	// The server ends it in time; this is for one that is gone.
	ctx, cancel := context.WithTimeout(ctx, watching+patience)
	defer cancel()
	body, err := a.get(ctx, s, "watch", url.Values{
		"watch": {"1"}, "allowWatchBookmarks": {"true"}, "resourceVersion": {version}, "timeoutSeconds": {fmt.Sprint(int(watching.Seconds()))},
	})
	if errors.Is(err, errGone) {
		return "", nil
	}
	if err != nil {
		return version, err
	}
	defer body.Close()
	events := json.NewDecoder(body)
	for {
		var e event
		err := events.Decode(&e)
		if errors.Is(err, io.EOF) {
			return version, nil
		}
		if err != nil {
			return version, fmt.Errorf("watch pods: %w", err)
		}
		next, relevant, err := e.apply(known)
		if errors.Is(err, errGone) {
			return "", nil
		}
		if err != nil && next == "" {
			return "", fmt.Errorf("watch pods: %w", err) // what is known may be wrong now
		}
		if err != nil {
			warn(err)
		}
		version = next
		if relevant {
			changed()
		}
	}
}

// errGone says that a version is too old to go on from.
var errGone = errors.New("too old a version")

// event is one of a watch.
type event struct {
	Type   string
	Object json.RawMessage
}

// apply makes known what an event tells, and returns the version that it leads to, also where it
// is about a pod that cannot be.
func (e event) apply(known map[string]Pod) (version string, relevant bool, err error) {
	if e.Type == "ERROR" {
		var s struct {
			Code    int
			Message string
		}
		if json.Unmarshal(e.Object, &s) == nil && s.Code == http.StatusGone {
			return "", false, errGone
		}
		return "", false, fmt.Errorf("the server says: %s", s.Message)
	}
	var o object
	if err := json.Unmarshal(e.Object, &o); err != nil {
		return "", false, err
	}
	version = o.Metadata.ResourceVersion
	if version == "" {
		return "", false, fmt.Errorf("%q without a version", e.Type)
	}
	if e.Type == "BOOKMARK" {
		return version, false, nil
	}
	p, err := parse(e.Object)
	if err != nil {
		return version, false, err
	}
	switch e.Type {
	case "ADDED", "MODIFIED":
		known[p.UID] = p
	case "DELETED":
		delete(known, p.UID)
	default:
		return "", false, fmt.Errorf("%q is no kind of event", e.Type)
	}
	return version, true, nil
}

// get asks for the pods of a selection. The error is an [*Error] where asking again will not help.
func (a *API) get(ctx context.Context, s Selection, verb string, query url.Values) (io.ReadCloser, error) {
	token, err := os.ReadFile(a.token)
	if err != nil {
		return nil, fmt.Errorf("%s pods: %w", verb, err)
	}
	if query == nil {
		query = url.Values{}
	}
	query.Set("fieldSelector", "spec.nodeName="+s.Node)
	query.Set("labelSelector", s.Labels)
	path := "/api/v1/pods"
	if s.Namespace != "" {
		path = "/api/v1/namespaces/" + url.PathEscape(s.Namespace) + "/pods"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, fmt.Errorf("%s pods: %w", verb, err)
	}
	request.Header.Set("Authorization", "Bearer "+string(bytes.TrimSpace(token)))
	request.Header.Set("Accept", "application/json")
	answer, err := a.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%s pods: %w", verb, err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	return nil, refusal(verb, answer)
}

// refusal is what an answer other than the one asked for means.
func refusal(verb string, answer *http.Response) error {
	var status struct{ Message string }
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
	if json.Unmarshal(text, &status) != nil || status.Message == "" {
		status.Message = answer.Status
	}
	said := strings.TrimSpace(status.Message)
	switch answer.StatusCode {
	case http.StatusGone:
		return errGone
	case http.StatusUnauthorized:
		return &Error{"the API does not know the service account: " + said, "mount its token anew: delete the pod, and its DaemonSet makes another", nil}
	case http.StatusForbidden:
		return &Error{fmt.Sprintf("the service account may not %s pods: %s", verb, said),
			fmt.Sprintf("bind it to a ClusterRole with the verb %s on pods, as 'tjfuzz daemonset' does", verb), nil}
	case http.StatusBadRequest:
		return &Error{"the API does not understand the selection: " + said, "look at --selector and --namespace", nil}
	}
	return fmt.Errorf("%s pods: %s", verb, said)
}
