package main

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/tjfuzz/tjfuzz/corpora"
)

const module = "github.com/dvyukov/go-fuzz-corpus"

// A corpus package that comes within reach of the standard library alone must
// become a target, or be named as an exception.
func TestEveryFuzzPackageOfTheStandardLibraryIsATarget(t *testing.T) {
	out, err := exec.Command("go", "list", "-e", "-f",
		`{{if not .Incomplete}}{{.ImportPath}} {{.Dir}} {{join .Deps ","}}{{end}}`, module+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var want []string
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) != 3 || !hasFuzz(t, fields[1]) { // without imports it does nothing
			continue
		}
		own := func(dep string) bool { return strings.HasPrefix(dep, module+"/") }
		foreign := func(dep string) bool {
			return !own(dep) && strings.Contains(strings.Split(dep, "/")[0], ".")
		}
		if !slices.ContainsFunc(strings.Split(fields[2], ","), foreign) {
			want = append(want, path.Base(fields[0]))
		}
	}
	want = slices.DeleteFunc(want, func(p string) bool { return p == "tls" || p == "regexp" }) // see targets

	var got []string
	for _, f := range targets() {
		got = append(got, folderOf(f))
	}
	slices.Sort(got)
	got = slices.Compact(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("packages with targets:\ngot  %v\nwant %v", got, want)
	}
}

// folderOf is where the module has a Fuzz function.
func folderOf(f func([]byte) int) string {
	name := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
	folder, _, _ := strings.Cut(strings.TrimPrefix(name, module+"/"), ".")
	return folder
}

// Each target takes the files of its own corpus: it accepts or rejects them, or has found what its authors call a bug.
func TestEveryTargetRunsOnItsOwnCorpus(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	program := build(t)
	const few = 3
	ran := 0
	for name, f := range targets() {
		files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), folderOf(f), "corpus", "*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(files) == 0 { // some share a corpus with another
			files = []string{os.DevNull}
		}
		for _, file := range files[:min(few, len(files))] {
			cmd := exec.Command(program, name, file)
			out, _ := cmd.CombinedOutput()
			status := cmd.ProcessState.Sys().(syscall.WaitStatus)
			found := status.Signaled() && status.Signal() == syscall.SIGABRT && bytes.Contains(out, []byte("panic: "))
			if code := status.ExitStatus(); !found && code != exitAccepted && code != exitRejected {
				t.Errorf("%v: %v: %s", cmd.Args, cmd.ProcessState, out)
			}
			ran++
		}
	}
	if ran < 2*len(targets()) {
		t.Errorf("%d runs of %d targets", ran, len(targets()))
	}
}

func hasFuzz(t *testing.T, dir string) bool {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		source, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(source, []byte("\nfunc Fuzz")) {
			return true
		}
	}
	return false
}

func TestTargetsAcceptTheirFormatAndRejectOthers(t *testing.T) {
	cases := []struct{ target, seed, other string }{
		{"bzip2", "bzip2-text", "text-lines"},
		{"csv", "csv-header", "csv-open-quote"},
		{"elf", "elf-sections", "elf-header-only"},
		{"gif-all", "gif-animation", "gif-truncated"},
		{"gzip", "gzip-text", "gzip-truncated"},
		{"httpresp", "http-response-chunked", "text-lines"},
		{"httpserver", "http-request-get", "empty-file"},
		{"jpeg", "jpeg-colour", "jpeg-truncated"},
		{"json", "json-object", "json-truncated"},
		{"pem", "pem-certificate", "pem-no-end"},
		{"png", "png-rgba", "png-truncated"},
		{"tar", "tar-ustar", "tar-truncated"},
		{"x509-certificate", "der-certificate", "der-truncated"},
		{"zlib", "zlib-text", "zlib-truncated"},
	}
	program := build(t)
	seeds := map[string][]byte{}
	for _, s := range corpora.Pack() {
		seeds[s.Name] = s.Data
	}
	for _, c := range cases {
		t.Run(c.target, func(t *testing.T) {
			for name, want := range map[string]int{c.seed: exitAccepted, c.other: exitRejected} {
				data, ok := seeds[name]
				if !ok {
					t.Fatalf("the pack has no seed %s", name)
				}
				file := filepath.Join(t.TempDir(), name)
				if err := os.WriteFile(file, data, 0o600); err != nil {
					t.Fatal(err)
				}
				byFile := exec.Command(program, c.target, file)
				byStdin := exec.Command(program, c.target)
				byStdin.Stdin = bytes.NewReader(data)
				for _, cmd := range []*exec.Cmd{byFile, byStdin} {
					out, _ := cmd.CombinedOutput()
					if got := cmd.ProcessState.ExitCode(); got != want {
						t.Errorf("%v < %s: got exit %d, want %d: %s", cmd.Args, name, got, want, out)
					}
				}
			}
		})
	}
}

// archive/tar today writes this file of the module's corpus back with another
// header than it read, which the Fuzz function takes for a bug.
func TestAPanicEndsTheProgramBySignal(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	input := filepath.Join(strings.TrimSpace(string(dir)), "tar/corpus/0f26eda5efae5b81a32b6e3cecc5744f24f3e15f-13")
	cmd := exec.Command(build(t), "tar", input)
	out, _ := cmd.CombinedOutput()
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !status.Signaled() || status.Signal() != syscall.SIGABRT || !bytes.Contains(out, []byte("panic: headers diffs")) {
		t.Errorf("got %v, want SIGABRT from the panic: %s", cmd.ProcessState, out)
	}
}

func TestUsage(t *testing.T) {
	cases := []struct {
		args   []string
		exit   int
		stdout string
		stderr string // a part of it
	}{
		{[]string{"-list"}, 0, strings.Join(slices.Sorted(maps.Keys(targets())), "\n") + "\n", ""},
		{nil, exitUsage, "", "usage:"},
		{[]string{"json", "a", "b"}, exitUsage, "", "usage:"},
		{[]string{"nosuch"}, exitUsage, "", `no target "nosuch"`},
		{[]string{"json", "/nonexistent"}, exitInput, "", "no such file"},
	}
	for _, c := range cases {
		var stdout, stderr bytes.Buffer
		exit := run(c.args, strings.NewReader(""), &stdout, &stderr)
		if exit != c.exit || stdout.String() != c.stdout || !strings.Contains(stderr.String(), c.stderr) {
			t.Errorf("gofuzz %v: got %d, %q, %q, want %d, %q, %q", c.args, exit, &stdout, &stderr, c.exit, c.stdout, c.stderr)
		}
	}
}

func build(t *testing.T) string {
	program := filepath.Join(t.TempDir(), "gofuzz")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}
