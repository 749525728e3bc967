package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tjfuzz/tjfuzz/fuzz"
)

func TestWebServersAreAskedForWhatTheyServe(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "www")
	for name, size := range map[string]int{"a/large": 300, "small": 2, "empty": 0, "middle": 20} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	conf := filepath.Join(dir, "server.conf")
	if err := os.WriteFile(conf, []byte("document-root = \""+root+"\"\nmodules = /usr/lib/modules\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	want := []page{{"/a/large", 300}, {"/small", 2}}
	for _, words := range [][]string{{"-f", conf}, {"--config=" + conf}, {root}, {"--root=" + root, "-v"}} {
		if got := pagesOf(words); !slices.Equal(got, want) {
			t.Errorf("%v: got %v, want %v", words, got, want)
		}
	}
	if got := pagesOf([]string{"/etc", "-x", "80"}); got != nil {
		t.Errorf("of the system: %v", got)
	}

	all := talks([]door{{socket: "tcp/80", protocol: "http"}, {socket: "tcp/25", protocol: "smtp"}}, want)
	asked := slices.IndexFunc(all, func(acts []fuzz.Act) bool {
		return len(acts) == 2 && acts[0].To == "tcp/80" && string(acts[0].Data) == "GET /a/large HTTP/1.1\r\nHost: localhost\r\n\r\n"
	})
	if asked < 0 {
		t.Errorf("nobody asks for the large file: %v", all)
	}
}
