package mine

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestRoutesOfAScriptAreThoseInQuotes(t *testing.T) {
	text := "@app.route('/notes/<int:id>')\napp.post(\"/upload\")\nopen('/etc/hosts')\nre.sub('/', '//')\nprint('/ and more')\n"
	got, err := Routes(strings.NewReader(text))
	if want := []string{"/notes/<int:id>", "/upload"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

// Nothing stands between the texts of such a program.
func TestRoutesOfAProgramInGoEndWhereItsCodeSays(t *testing.T) {
	const source = `package main

import (
	"os"
	"strings"
)

//go:noinline
func handle(pattern string, f func()) {
	if strings.HasPrefix(os.Args[0], pattern) {
		f()
	}
}

func main() {
	handle("/notes/{name}", func() {})
	handle("POST /upload", func() {})
	handle("/proxied/", func() {})
}
`
	dir := t.TempDir()
	file, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", program, file)
	build.Env = append(os.Environ(), "GOARCH=amd64", "GOOS=linux", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := os.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := Routes(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"/notes/{name}", "POST /upload", "/proxied/"} {
		if !slices.Contains(got, want) {
			t.Errorf("no %q among %q", want, got)
		}
	}
	for _, r := range got {
		if strings.HasPrefix(r, "/dev/") {
			t.Errorf("%q is of the system", r)
		}
	}
}
