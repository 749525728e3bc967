package main

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/corpora"
	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

// page is a file that a web server may have, by the path that it is asked for by.
type page struct {
	path string
	size int64
}

var directoryName = lazyregexp.New(`/[\w.@+-]+(?:/[\w.@+-]+)+`)

// pagesOf are what a web server can be asked for: of each directory that its command line names, or a text file that
// this names, the largest file and the smallest that is not empty. Servers send large files in another way, and no
// request finds one whose name nobody knows.
func pagesOf(words []string) (all []page) {
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
			all = append(all, slices.MaxFunc(found, bySize), slices.MinFunc(found, bySize))
		}
	}
	return slices.Compact(all)
}

// dialogueOf asks for pages.
func dialogueOf(pages []page) corpora.Dialogue {
	d := corpora.Dialogue{Name: "served"}
	for _, p := range pages {
		d.Messages = append(d.Messages, fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", strings.ReplaceAll(p.path, " ", "%20")))
	}
	return d
}
