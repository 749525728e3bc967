package goproxy

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/dirhash"
)

// The module has a capital letter, which the protocol escapes.
const (
	path    = "example.org/Corpus"
	version = "v0.0.0-20190920191254-c42c1b2914c7"
	served  = "/example.org/!corpus/@v/" + version + ".zip"
)

func archive(t *testing.T, files map[string]string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, data := range files {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// good is the module's zip file, and its name.
func good(t *testing.T) ([]byte, Module) {
	data := archive(t, map[string]string{path + "@" + version + "/json/corpus/1": "{}"})
	file := filepath.Join(t.TempDir(), "m.zip")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	sum, err := dirhash.HashZip(file, dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	return data, Module{path, version, sum}
}

// server answers every request for the module so; it fails the test when it is asked for
// anything else.
func server(t *testing.T, status int, body []byte) (address string, asked *int) {
	asked = new(int)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked++
		if !strings.HasSuffix(r.URL.Path, served) {
			t.Errorf("asked for %s, want %s", r.URL.Path, served)
		}
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

func TestAModuleIsLoadedOnceAndThenFoundInTheCache(t *testing.T) {
	data, m := good(t)
	address, asked := server(t, http.StatusOK, data)
	cache := t.TempDir()
	for i, want := range []string{address + "/prefix", "", ""} {
		proxies := address + "/prefix"
		if i == 2 {
			proxies = "off" // as without a network
		}
		got, err := Fetch(t.Context(), m, proxies, cache)
		if err != nil || got.From != want {
			t.Fatalf("fetch %d: got %+v, %v; want it from %q", i+1, got, err, want)
		}
		if b, err := os.ReadFile(got.Zip); err != nil || !bytes.Equal(b, data) {
			t.Errorf("fetch %d: the file is not what was served: %v", i+1, err)
		}
	}
	if *asked != 1 {
		t.Errorf("the proxy was asked %d times, want once", *asked)
	}
}

func TestWhatFailsItsHashIsNeitherKeptNorUsed(t *testing.T) {
	data, m := good(t)
	other := archive(t, map[string]string{path + "@" + version + "/json/corpus/1": "{ }"})
	outside := archive(t, map[string]string{"../../evil": "x"})
	fine, _ := server(t, http.StatusOK, data)
	for name, body := range map[string][]byte{
		"another file": other, "a part": data[:len(data)/2], "a name that leads out": outside, "no zip file": []byte("<html>"), "nothing": nil,
	} {
		t.Run(name, func(t *testing.T) {
			address, _ := server(t, http.StatusOK, body)
			cache := t.TempDir()
			_, err := Fetch(t.Context(), m, address+"|"+fine, cache)
			var sum *SumError
			if !errors.As(err, &sum) {
				t.Fatalf("got %v, want a SumError, and no other proxy asked", err)
			}
			if left := files(t, cache); len(left) > 0 {
				t.Errorf("left in the cache: %v", left)
			}
		})
	}
	t.Run("a damaged cache", func(t *testing.T) {
		cache := t.TempDir()
		got, err := Fetch(t.Context(), m, fine, cache)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(got.Zip, other, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Fetch(t.Context(), m, "off", cache); !errors.Is(err, ErrOff) {
			t.Errorf("offline: got %v, want ErrOff", err)
		}
		if got, err = Fetch(t.Context(), m, fine, cache); err != nil || got.From != fine {
			t.Errorf("got %+v, %v; want it loaded anew", got, err)
		}
	})
}

func files(t *testing.T, dir string) []string {
	var all []string
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestProxiesAreAskedInTheOrderAndUnderTheConditionsOfTheList(t *testing.T) {
	data, m := good(t)
	fine, _ := server(t, http.StatusOK, data)
	missing, _ := server(t, http.StatusNotFound, nil)
	gone, _ := server(t, http.StatusGone, nil)
	broken, _ := server(t, http.StatusInternalServerError, nil)
	dir := t.TempDir()
	file := filepath.Join(dir, filepath.FromSlash(served))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		proxies string
		from    string // empty for an error
		part    string // of the error
		is      error
	}{
		{missing + "," + fine, fine, "", nil},
		{gone + " , " + fine, fine, "", nil},
		{broken + "," + fine, "", "500", nil},
		{broken + "|" + fine, fine, "", nil},
		{missing + "," + "off" + "," + fine, "", "404", ErrOff},
		{"direct," + fine, fine, "", nil},
		{missing + ",direct", "", "404", os.ErrNotExist},
		{"direct", "", "", ErrNoProxy},
		{"", "", "", ErrNoProxy},
		{"file://" + dir, "file://" + dir, "", nil},
		{"file://" + dir + "/nosuch", "", "no such file", os.ErrNotExist},
		{"file://" + dir + "/nosuch," + fine, fine, "", nil},
		{"ftp://user:secret@example.org", "", `"ftp"`, nil},
		{"%zz:secret", "", "no address", nil},
	}
	for _, c := range cases {
		got, err := Fetch(t.Context(), m, c.proxies, t.TempDir())
		switch {
		case c.from != "" && (err != nil || got.From != c.from):
			t.Errorf("%q: got %+v, %v; want it from %s", c.proxies, got, err, c.from)
		case c.from == "" && (err == nil || !strings.Contains(err.Error(), c.part) || c.is != nil && !errors.Is(err, c.is)):
			t.Errorf("%q: got %v, want %v with %q", c.proxies, err, c.is, c.part)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("%q: the error shows the password: %v", c.proxies, err)
		}
	}
}

func TestFetchIsInterrupted(t *testing.T) {
	_, m := good(t)
	ctx, cancel := context.WithCancel(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done() // the client has gone
	}))
	defer s.Close()
	if _, err := Fetch(ctx, m, s.URL+"|"+s.URL, t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
