package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/service"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

func TestWebServersAreAskedForWhatTheyServe(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "www")
	for name, size := range map[string]int{"a/lar ge": 300, "small": 2, "empty": 0, "middle": 20} {
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
	start := []string{"/page.html", "/file", "/dir/"}
	want := append([]string{"/a/lar%20ge", "/small"}, start...)
	for _, words := range [][]string{{"-f", conf}, {"--config=" + conf}, {root}, {"--root=" + root, "-v"}} {
		if got := pagesOf(words); !slices.Equal(got, want) {
			t.Errorf("%v: got %v, want %v", words, got, want)
		}
	}
	if got := pagesOf([]string{"/etc", "-x", "80"}); !slices.Equal(got, start) {
		t.Errorf("of the system: got %v, want %v", got, start)
	}

	all := talks([]door{{socket: "tcp/80", protocol: "http"}, {socket: "tcp/25", protocol: "smtp"}}, want, nil)
	asked := slices.IndexFunc(all, func(acts []fuzz.Act) bool {
		return len(acts) == len(want) && acts[0].To == "tcp/80" && string(acts[0].Data) == "GET /a/lar%20ge HTTP/1.1\r\nHost: localhost\r\n\r\n"
	})
	if asked < 0 {
		t.Errorf("nobody asks for the large file: %v", all)
	}
}

func TestWebServersAreAskedForWhatTheirPageRefersTo(t *testing.T) {
	answer := []byte("HTTP/1.0 200 OK\r\n\r\n<a href=\"dir/\">dir/</a><A HREF='/a b?c=1&amp;d=2 3#e'>x</A><img src=i.png>" +
		`<a href="https://example.org/x"><a href="http://localhost/own"><a href="mailto:a@example.org"><a href="/"><a href="dir/"><a href=":"><a href="`)
	want := []string{"/dir/", "/a%20b?c=1&d=2%203", "/i.png", "/own"}
	if got := linkedFrom(answer); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	found := []service.Found{{Socket: "tcp/8080", Answer: answer}}
	for _, said := range [][]door{nil, {{socket: "tcp/8080"}}} {
		all := talks(withSaid(doors(found), said), nil, nil)
		if !slices.ContainsFunc(all, func(acts []fuzz.Act) bool {
			return len(acts) == len(want) && strings.HasPrefix(string(acts[3].Data), "GET /own ")
		}) {
			t.Errorf("with %v said nobody asks for what it refers to: %v", said, all)
		}
	}
}

func TestWebServersAreAskedForWhatTheirFilesAnswerTo(t *testing.T) {
	script := filepath.Join(t.TempDir(), "server.py")
	if err := os.WriteFile(script, []byte("@get('/notes')\n@put('PUT /notes/{id}')\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := session{text: script, doors: []door{{socket: "tcp/80", protocol: "http"}}}
	routes, err := s.routes()
	if err != nil {
		t.Fatal(err)
	}
	first := map[string]int{}
	for _, acts := range talks(s.doors, nil, routes) {
		for _, a := range acts {
			line, _, _ := strings.Cut(string(a.Data), "\r\n")
			first[line]++
		}
	}
	for line, want := range map[string]int{"GET /notes HTTP/1.1": 1, "POST /notes HTTP/1.1": 3, "DELETE /notes HTTP/1.1": 1, "PUT /notes/1 HTTP/1.1": 2, "DELETE /notes/1 HTTP/1.1": 0} {
		if first[line] != want {
			t.Errorf("%q is said %d times, want %d", line, first[line], want)
		}
	}
	s.doors = []door{{socket: "tcp/25", protocol: "smtp"}}
	if routes, err := s.routes(); err != nil || routes != nil {
		t.Errorf("of a mail server: %q, %v", routes, err)
	}
}

func TestServicesOfLinesAreToldTheCommandsOfTheirFiles(t *testing.T) {
	doors := []door{{socket: "tcp/6667", protocol: "irc"}, {socket: "tcp/80", protocol: "http"}, {socket: "udp/99"}, {socket: "tcp/99"}}
	said := map[fuzz.Socket][]string{}
	for _, acts := range commandTalks(doors, []string{"PING", "QUIT ", "put "}) {
		var text string
		for _, a := range acts {
			text += string(a.Data)
		}
		said[acts[0].To] = append(said[acts[0].To], text)
	}
	const irc = "NICK tj\r\nUSER tj 0 * :tj\r\n"
	// Nothing follows what a service may hang up at, and an opening alone is not said.
	alone := []string{"PING\r\n", "PING 1\r\nput 1\r\n", "QUIT 1\r\n", "PING file\r\nput file\r\n", "QUIT file\r\n", "PING #a a 1\r\nput #a a 1\r\n", "QUIT #a a 1\r\n"}
	want := map[fuzz.Socket][]string{"tcp/99": alone}
	for _, text := range alone {
		want["tcp/6667"] = append(want["tcp/6667"], irc+text)
	}
	if !reflect.DeepEqual(said, want) {
		t.Errorf("got %q, want %q", said, want)
	}
}

func TestSentencesOfAScriptAreNoCommands(t *testing.T) {
	const text = "#!/usr/bin/python3\n# this server knows some words and these are\n# NICK USER JOIN PART QUIT PING PONG\n"
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := session{text: script, doors: []door{{socket: "tcp/6667"}}}
	want := []string{"NICK", "USER", "JOIN", "PART", "QUIT", "PING", "PONG"}
	if got, err := s.verbs(); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// Go's server hands a file to the kernel where it is larger than what tells of what kind it is.
func TestAServerOfFilesIsSeenToSendThem(t *testing.T) {
	testenv.Require(t, testenv.BPF, testenv.Cage)
	dir := t.TempDir()
	server, profile := filepath.Join(dir, "server"), filepath.Join(dir, "p.json")
	if out, err := exec.Command(testenv.Program(t, "go"), "build", "-o", server, "./testdata/goserver").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// What Go's runtime does now and then, and the more the busier the machine is, is sought in many runs, before the first talk.
	t.Setenv("GODEBUG", "asyncpreemptoff=1")
	t.Setenv("GOMAXPROCS", "1")
	mustRun(t, "learn", "--quiet", "--execs", "150", "--duration", "0", "--confidence", "0", "--seed", "1", "--jobs", "1", "-o", profile, "--state", filepath.Join(dir, "state"), "--", server)
	if text, err := os.ReadFile(profile); err != nil || !strings.Contains(string(text), `"sendfile"`) {
		t.Errorf("sendfile was not seen: %v\n%s", err, text)
	}
}
