// Package goproxy decides how a Go module comes from a module proxy to this machine, and
// whether it is the one that was meant. It speaks the GOPROXY protocol
// (https://go.dev/ref/mod#goproxy-protocol) by itself, since who wants a corpus need have no Go, and
// takes only a module whose hash is known beforehand, in the form that go.sum has. It
// refuses to know what is in the module.
//
// Its main hazard is a file that is not what was asked for: nothing that fails the hash is
// kept, and what is in the cache is hashed again before it is used.
package goproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/zip"

	"github.com/tjfuzz/tjfuzz/internal/atomicfile"
)

// Module is one version of a module and the hash of its files, "h1:" and base64.
type Module struct {
	Path, Version, Sum string
}

func (m Module) String() string { return m.Path + "@" + m.Version }

var (
	// ErrOff says that the list of proxies forbids downloads.
	ErrOff = errors.New("GOPROXY=off forbids downloads")
	// ErrNoProxy says that the list names no proxy that this package could ask: it is
	// empty, or is "direct" alone, which means version control.
	ErrNoProxy = errors.New("no module proxy is named")
)

// SumError says that what came is not the module that was asked for. No other proxy is
// asked then: somebody may be at work here.
type SumError struct {
	Module Module
	From   string // the proxy, or the file in the cache
	Got    string // its hash
}

func (e *SumError) Error() string {
	return fmt.Sprintf("what came is not %s: its hash is %s, not %s", e.Module, e.Got, e.Module.Sum)
}

// Fetched is a module on this machine.
type Fetched struct {
	Zip  string // the file, below the cache
	From string // the proxy that it was loaded from now; empty where it was in the cache
}

// idle is how long a proxy may take to begin an answer.
const idle = time.Minute

// Fetch returns the zip file of a module from the cache, or loads it into the cache from
// the first proxy in the list that has it. The list has the form of GOPROXY: names are
// followed by a comma, after which the next is asked only when the first says that it has no such module, or by
// a bar, after which it is asked after any error. "off" ends the list with ErrOff;
// "direct" is passed over, since it needs version control. Addresses are http, https and file.
// A file in the cache that fails its hash is loaded anew.
func Fetch(ctx context.Context, m Module, proxies, cache string) (Fetched, error) {
	escaped, err := module.EscapePath(m.Path)
	if err != nil {
		return Fetched{}, err
	}
	version, err := module.EscapeVersion(m.Version)
	if err != nil {
		return Fetched{}, err
	}
	name := filepath.Join(cache, filepath.FromSlash(escaped)+"@"+version+".zip")
	if _, err := os.Stat(name); err == nil && m.verify(name, name) == nil {
		return Fetched{Zip: name}, nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return Fetched{}, fmt.Errorf("make the cache: %w", err)
	}
	var failed []error
	for _, p := range list(proxies) {
		if p.name == "off" {
			failed = append(failed, ErrOff)
			break
		}
		if p.name == "direct" || p.name == "noproxy" {
			continue
		}
		err := m.load(ctx, p.name, escaped, version, name)
		if err == nil {
			return Fetched{Zip: name, From: redact(p.name)}, nil
		}
		failed = append(failed, fmt.Errorf("%s: %w", redact(p.name), err))
		var sum *SumError
		if ctx.Err() != nil || errors.As(err, &sum) || !p.any && !errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	if len(failed) == 0 {
		failed = append(failed, ErrNoProxy)
	}
	return Fetched{}, fmt.Errorf("load %s: %w", m, failures(failed))
}

// failures are errors in one line.
type failures []error

func (f failures) Error() string {
	words := make([]string, len(f))
	for i, err := range f {
		words[i] = err.Error()
	}
	return strings.Join(words, "; ")
}

func (f failures) Unwrap() []error { return f }

// proxy is an element of the list.
type proxy struct {
	name string
	any  bool // after any error the next is asked
}

func list(proxies string) []proxy {
	var all []proxy
	for proxies != "" {
		i := strings.IndexAny(proxies, ",|")
		p := proxy{name: proxies}
		if i < 0 {
			proxies = ""
		} else {
			p = proxy{proxies[:i], proxies[i] == '|'}
			proxies = proxies[i+1:]
		}
		if p.name = strings.TrimSpace(p.name); p.name != "" {
			all = append(all, p)
		}
	}
	return all
}

// redact leaves out a password.
func redact(proxy string) string {
	if u, err := url.Parse(proxy); err == nil {
		return u.Redacted()
	}
	return "a proxy whose address cannot be read"
}

// load loads the module from one proxy. The error is os.ErrNotExist where that has none.
func (m Module) load(ctx context.Context, proxy, path, version, name string) error {
	u, err := url.Parse(proxy)
	if err != nil {
		return errors.New("no address of a proxy") // the error of the library would show a password
	}
	u = u.JoinPath(path, "@v", version+".zip")
	u.RawPath = "" // an escaped path has no character that a URL escapes otherwise
	var body io.ReadCloser
	switch u.Scheme {
	case "http", "https":
		body, err = get(ctx, u)
	case "file":
		body, err = os.Open(filepath.FromSlash(u.Path))
	default:
		return fmt.Errorf("the address begins with %q, not with http, https or file", u.Scheme)
	}
	if err != nil {
		return err
	}
	defer body.Close()
	f, err := os.CreateTemp(filepath.Dir(name), atomicfile.Prefix+"*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing is there after the rename
	n, err := io.Copy(f, io.LimitReader(body, zip.MaxZipFile+1))
	if err == nil && n > zip.MaxZipFile {
		err = fmt.Errorf("the file is larger than %d bytes", int64(zip.MaxZipFile))
	}
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := m.verify(f.Name(), redact(proxy)); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

func get(ctx context.Context, u *url.URL) (io.ReadCloser, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone() // with HTTPS_PROXY and its like
	transport.ResponseHeaderTimeout = idle
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // the address is told by the caller
		}
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return resp.Body, nil
	case http.StatusNotFound, http.StatusGone:
		err = fmt.Errorf("it answers %s: %w", resp.Status, os.ErrNotExist)
	default:
		err = fmt.Errorf("it answers %s", resp.Status)
	}
	return nil, errors.Join(err, resp.Body.Close())
}

// verify holds a zip file to the bounds and names of module zips, and to the hash.
func (m Module) verify(file, from string) error {
	if _, err := zip.CheckZip(module.Version{Path: m.Path, Version: m.Version}, file); err != nil {
		why, _, _ := strings.Cut(err.Error(), "\n") // it lists every file
		return &SumError{m, from, "none: " + why}
	}
	sum, err := dirhash.HashZip(file, dirhash.Hash1)
	if err != nil {
		return &SumError{m, from, "none: " + err.Error()}
	}
	if sum != m.Sum {
		return &SumError{m, from, sum}
	}
	return nil
}
