package main

import (
	"bytes"
	"cmp"
	"fmt"
	"html"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/corpora"
	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/mine"
	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

var directoryName = lazyregexp.New(`/[\w.@+-]+(?:/[\w.@+-]+)+`)

// pagesOf are the paths, as they stand in a URL, of what a web server can be asked for: of each directory that its command
// line names, or a text file that this names, the largest file and the smallest that is not empty, and of the directory where
// it starts what lies there in each run. Servers send large files in another way, and no request finds one whose name nobody knows.
func pagesOf(words []string) (all []string) {
	const (
		mostDirs    = 8
		mostEntries = 1000
	)
	var dirs []string
	add := func(path string) {
		system := slices.ContainsFunc([]string{"/dev", "/etc", "/proc", "/run", "/sys", "/usr/bin", "/usr/lib", "/usr/sbin", "/usr/share/man"}, func(d string) bool {
			return path == d || strings.HasPrefix(path, d+"/")
		})
		if st, err := os.Stat(path); err == nil && st.IsDir() && !system && !slices.Contains(dirs, path) && len(dirs) < mostDirs {
			dirs = append(dirs, path)
		}
	}
	for _, w := range words {
		if _, value, ok := strings.Cut(w, "="); ok && strings.HasPrefix(w, "-") {
			w = value
		}
		add(w)
		if f, err := readConfig(w); err == nil {
			for _, m := range directoryName.FindAllString(string(f.Data), -1) {
				add(m)
			}
		}
	}
	type page struct {
		path string
		size int64
	}
	for _, dir := range dirs {
		var found []page
		seen := 0
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error { // what cannot be read is not served
			if seen++; seen > mostEntries {
				return fs.SkipAll
			}
			if err != nil || !d.Type().IsRegular() {
				return nil
			}
			if info, err := d.Info(); err == nil && info.Size() > 0 {
				found = append(found, page{strings.TrimPrefix(path, strings.TrimSuffix(dir, "/")), info.Size()})
			}
			return nil
		})
		if len(found) > 0 {
			bySize := func(a, b page) int { return cmp.Compare(a.size, b.size) }
			all = append(all, escaped(slices.MaxFunc(found, bySize).path), escaped(slices.MinFunc(found, bySize).path))
		}
	}
	return append(slices.Compact(all), "/"+webPage().Name, "/"+fixtureFile, "/"+fixtureDir+"/")
}

// webPage lies where a web server starts. It is larger than what servers send as they send no more than headers: those in Go
// hand to the kernel what follows the first 512 bytes.
func webPage() fuzz.File {
	return fuzz.File{Name: "page.html", Data: bytes.Repeat([]byte("<p>Some words.</p>\n"), 200)}
}

func escaped(path string) string { return (&url.URL{Path: path}).EscapedPath() }

var reference = lazyregexp.New(`(?i)\b(?:href|src|action)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))`)

// linkedFrom are the paths, with what is asked of them, that the answer of a web server to a request for / refers to: pages of its own.
func linkedFrom(answer []byte) (all []string) {
	const most = 8
	root := &url.URL{Scheme: "http", Host: "localhost", Path: "/"}
	for _, m := range reference.FindAllStringSubmatch(string(answer), -1) {
		to, err := root.Parse(html.UnescapeString(strings.Join(m[1:], "")))
		if err != nil || to.Hostname() != root.Host || to.Scheme != root.Scheme {
			continue
		}
		to.RawQuery = strings.ReplaceAll(to.RawQuery, " ", "%20")
		if path := to.RequestURI(); path != "/" && !slices.Contains(all, path) && len(all) < most {
			all = append(all, path)
		}
	}
	return all
}

// dialogueOf asks for pages.
func dialogueOf(pages []string) corpora.Dialogue {
	d := corpora.Dialogue{Name: "served"}
	for _, p := range pages {
		d.Messages = append(d.Messages, fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", p))
	}
	return d
}

// routes are what a web server probably answers to, as its own file has it.
func (s *session) routes() ([]string, error) {
	if !slices.ContainsFunc(s.doors, func(d door) bool { return d.protocol == protocolHTTP }) {
		return nil, nil
	}
	f, err := os.Open(s.text)
	if err != nil {
		return nil, fmt.Errorf("read the program: %w", err)
	}
	defer f.Close()
	found, err := mine.Routes(f)
	if err != nil {
		return nil, fmt.Errorf("read the program: %w", err)
	}
	return found, nil
}

var anything = lazyregexp.New(`\{[^}]*\}|<[^>]*>|:\w+|\*\w*`)

// dialoguesOf ask for routes, and give each that may take it something: as JSON, of a form, and a file.
func dialoguesOf(routes []string) (out []corpora.Dialogue) {
	const parts = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\ntwo words\n\r\n--b--\r\n"
	given := []struct{ method, kind, body string }{
		{"POST", "application/json", `{"id": 1, "name": "a", "text": "two words", "url": "http://www.example.com/"}`},
		{"POST", "application/x-www-form-urlencoded", "id=1&name=a&text=two+words&url=http%3A%2F%2Fwww.example.com%2F"},
		{"POST", "multipart/form-data; boundary=b", parts},
		{"PUT", "application/json", `"text"`},
		{"PUT", "application/json", `{"id": 1, "name": "a"}`},
		{"PATCH", "application/json", `{"id": 1, "name": "a"}`},
		{"DELETE", "", ""},
	}
	asked := corpora.Dialogue{Name: "routes"}
	var changed []corpora.Dialogue
	for i, r := range routes {
		method, path, found := strings.Cut(r, " ")
		if !found {
			method, path = "", r
		}
		path = anything.ReplaceAllString(path, "1")
		if method == "" || method == "GET" || method == "HEAD" {
			asked.Messages = append(asked.Messages, fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: localhost\r\n\r\n", cmp.Or(method, "GET"), path))
		}
		d := corpora.Dialogue{Name: fmt.Sprintf("routes-%d", i+1)}
		for _, g := range given {
			if method == "" || method == g.method {
				head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n", g.method, path, len(g.body))
				if g.kind != "" {
					head += "Content-Type: " + g.kind + "\r\n"
				}
				d.Messages = append(d.Messages, []byte(head+"\r\n"+g.body))
			}
		}
		if len(d.Messages) > 0 {
			changed = append(changed, d)
		}
	}
	if len(asked.Messages) > 0 {
		out = append(out, asked)
	}
	return append(out, changed...)
}
