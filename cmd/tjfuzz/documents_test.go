package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// block is a fenced block of a page, or what a page has run unseen: a comment that begins
// with "<!-- run".
type block struct {
	page     string
	line     int // where it begins
	language string
	note     string // the rest of the fence
	text     string
}

func (b *block) String() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

// What may be said of a block after its language:
const (
	varies  = "varies: " // and why; it is run, and what it prints is not compared
	written = "file: "   // and where it is written to, for what follows
)

// languages are those of blocks that are run, or read into a program. Only text is neither.
var languages = []string{"console", "dockerfile", "json", "make", "python", "sh", "yaml"}

// blocks are those of a page that somebody could run, or read into a program, in their order; and
// what is wrong with the others, through which a command would escape the test.
func blocks(page string, text string) (out []block, wrong []string) {
	fence := regexp.MustCompile("^```([^ `]*) ?(.*)$")
	command := regexp.MustCompile(`^(\$ |sudo |apt-get |docker |git |go (run|test) |kubectl |make |podman |tjfuzz [a-z]+ [^ \[])`)
	var open *block
	hidden, before := false, ""
	for i, line := range strings.Split(text, "\n") {
		complain := func(what string) { wrong = append(wrong, fmt.Sprintf("%s:%d: %s: %q", page, i+1, what, line)) }
		switch m := fence.FindStringSubmatch(line); {
		case open == nil && line == "<!-- run":
			open, hidden = &block{page: page, line: i + 1, language: "sh"}, true
		case open == nil && m != nil:
			open, hidden = &block{page: page, line: i + 1, language: m[1], note: m[2]}, false
		case open != nil && (hidden && line == "-->" || !hidden && line == "```"):
			if slices.Contains(languages, open.language) {
				out = append(out, *open)
			}
			open = nil
		case open != nil:
			open.text += line + "\n"
			// The reference of the commands is what they say of themselves.
			if open.language == "text" && command.MatchString(line) && page != "docs/commands.md" {
				complain("a command in a block that is not run")
			}
		case strings.HasPrefix(strings.TrimLeft(line, " \t>"), "```"), before == "" && (strings.HasPrefix(line, "    ") || strings.HasPrefix(line, "\t")):
			complain("a block that is not between fences at the margin")
		}
		if open != nil && open.line == i+1 && open.language != "text" && !slices.Contains(languages, open.language) {
			complain("a block in a language that nothing here reads")
		}
		before = line
	}
	return out, wrong
}

// Every command that the documents show runs, prints what they show, and what they show of
// files can be read. Each page has a directory of its own, in which its blocks run one after the other.
func TestWhatTheDocumentsShowRuns(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	for _, program := range []string{"afl-plot", "afl-whatsup", "bash", "crun", "curl", "git", "jq", "make", "nginx", "python3", "redis-server", "runc", "systemd-analyze"} {
		testenv.Program(t, program)
	}
	testenv.FewFiles(t)
	// What a page pulls is served from the cache of Go, which has the form of a proxy.
	testenv.GoFuzzCorpus(t)
	// make in the pages makes targets of this Makefile.
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	target := regexp.MustCompile("`make ([a-z-]+)")
	var pages []string
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../docs/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	for _, path := range pages {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		page := strings.TrimPrefix(path, "../../")
		all, wrong := blocks(page, string(text))
		for _, w := range wrong {
			t.Error(w)
		}
		for _, m := range target.FindAllSubmatch(text, -1) {
			if !regexp.MustCompile(`(?m)^` + string(m[1]) + ":").Match(makefile) {
				t.Errorf("%s: the Makefile does not make %s", page, m[1])
			}
		}
		if len(all) > 0 {
			t.Run(page, func(t *testing.T) {
				t.Parallel()
				runPage(t, all)
			})
		}
	}
}

func runPage(t *testing.T, all []block) {
	dir, bin := t.TempDir(), t.TempDir()
	real, err := exec.LookPath("tjfuzz")
	if err != nil {
		t.Fatal(err)
	}
	tree, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	// Sessions are short here, and may find another profile, which is no failure. An agent is ended when it has
	// begun to listen. Who runs this has the rights already.
	script(t, bin, "tjfuzz", fmt.Sprintf(`case $1 in
learn) shift; %[1]q learn --execs 24 "$@" || { s=$?; [ $s = 4 ] || exit $s; };;
agent) %[1]q "$@" 2>said & until grep -q 'listening on' said; do kill -0 $! || { cat said; exit 1; }; sleep .1; done; kill $!; wait $!;;
*) exec %[1]q "$@";;
esac`, real))
	script(t, bin, "sudo", `exec "$@"`)
	// No test may change what is installed here, and none has a cluster: what these are given to read has to be there.
	script(t, bin, "kubectl", `while [ $# != 0 ]; do [ "$1" != -f ] || [ -s "$2" ] || exit 1; shift; done`)
	script(t, bin, "apt-get", `:`)
	script(t, bin, "dpkg", `:`)
	// Nor an image: the program in it is the one that is installed here. TestProfilesRunUnchangedUnderEngines has engines start such programs.
	for _, engine := range []string{"docker", "podman"} {
		script(t, bin, engine, `profile= && for arg; do shift; case $arg in run|--*) ;; seccomp=*) profile=${arg#*=};; oci:*) exit;; *) break;; esac; done
exec tjfuzz enforce --policy "$profile" -- "$@" </dev/null`)
	}
	// A release is made by TestWhatIsReleased, so here it is said only what make would do.
	script(t, bin, "make", fmt.Sprintf(`[ "$1" != release ] || set -- -n -C "$TREE" "$@"
exec %[1]q "$@"`, testenv.Program(t, "make")))
	caches, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	built, modules, _ := strings.Cut(strings.TrimSpace(string(caches)), "\n")
	shell := func(flags, command string) (string, error) {
		c := exec.CommandContext(t.Context(), "bash", flags, "pipefail", "-c", command)
		c.Dir = dir
		c.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+dir, "LC_ALL=C", "TREE="+tree, "DEMO_UNTIL=--execs 100",
			// What the tests were built from is here already.
			"GOCACHE="+built, "GOMODCACHE="+modules, "GOPROXY=file://"+modules+"/cache/download")
		out, err := c.CombinedOutput()
		return string(out), err
	}
	for _, b := range all {
		if name, ok := strings.CutPrefix(b.note, written); ok {
			path := filepath.Join(dir, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(b.text), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		switch b.language {
		case "yaml":
			d := yaml.NewDecoder(strings.NewReader(b.text))
			var v any
			for err = nil; err == nil; err = d.Decode(&v) {
			}
			if !errors.Is(err, io.EOF) {
				t.Errorf("%v: %v", &b, err)
			}
		case "json":
			if !json.Valid([]byte(b.text)) {
				t.Errorf("%v is no JSON", &b)
			}
		case "dockerfile":
			if m := regexp.MustCompile(`(?m)^(?:FROM|COPY) \S.*\n`).ReplaceAllString(b.text, ""); m != "" {
				t.Errorf("%v has other instructions than FROM and COPY: %q", &b, m)
			}
		case "python":
			c := exec.Command(testenv.Program(t, "python3"), "-c", "import ast, sys; ast.parse(sys.stdin.read())")
			c.Stdin = strings.NewReader(b.text)
			combined(t, c)
		case "make": // all of it, be it up to date or not
			if out, err := shell("-euo", "make -B -f - <<'END'\n"+b.text+"END\n"); err != nil {
				t.Fatalf("%v: %v\n%s", &b, err, out)
			}
		case "sh":
			if out, err := shell("-xeuo", b.text); err != nil {
				t.Fatalf("%v: %v\n%s", &b, err, out)
			}
		case "console":
			for _, s := range steps(b.text) {
				out, err := shell("-euo", s.command)
				if len(s.shown) == 0 && err != nil {
					t.Fatalf("%v: %s: %v\n%s", &b, s.command, err, out)
				}
				if missing := absent(s.shown, out); missing != "" && !strings.HasPrefix(b.note, varies) {
					t.Fatalf("%v: %s prints\n%s\nand not, in this order,\n%s", &b, s.command, out, missing)
				}
			}
		}
	}
}

// shownStep is a command with what it is said to print.
type shownStep struct {
	command string
	shown   []string
}

// steps takes a transcript apart. What stands before the dollar is whose prompt it is.
func steps(transcript string) (out []shownStep) {
	prompt := regexp.MustCompile(`^[a-z0-9]*\$ (.*)$`)
	for line := range strings.Lines(transcript) {
		line = strings.TrimSuffix(line, "\n")
		if m := prompt.FindStringSubmatch(line); m != nil {
			out = append(out, shownStep{command: m[1]})
		} else if n := len(out); n > 0 && strings.TrimSpace(line) != "" && !slices.Contains([]string{"[...]", "…"}, strings.TrimSpace(line)) {
			out[n-1].shown = append(out[n-1].shown, line)
		}
	}
	return out
}

// changing is what differs from run to run and from machine to machine.
var changing = regexp.MustCompile(`0x[0-9a-f]+|[0-9]+(\.[0-9]+)?`)

// absent is the first of the lines that does not come after those before it, but for numbers,
// space between words, and what [...] stands for at its end. Other lines may come between them.
func absent(shown []string, printed string) string {
	same := func(line string) string {
		return changing.ReplaceAllString(strings.Join(strings.Fields(line), " "), "N")
	}
	rest := strings.Split(printed, "\n")
	for _, want := range shown {
		begins, cut := strings.CutSuffix(want, "[...]")
		i := slices.IndexFunc(rest, func(got string) bool {
			return same(got) == same(want) || cut && strings.HasPrefix(same(got), same(begins))
		})
		if i < 0 {
			return want
		}
		rest = rest[i+1:]
	}
	return ""
}

// The test of the documents can fail.
func TestADocumentThatShowsWhatIsNotSoIsFoundOut(t *testing.T) {
	page := "```sh\na\n```\ntext\n<!-- run\nhidden\n-->\n```text\nb\n```\n```console varies: long\n$ c\nshown 12 s\n[...]\nhost2$ d\n```\n"
	var got bytes.Buffer
	all, wrong := blocks("page", page)
	for _, b := range all {
		fmt.Fprintf(&got, "%v %s %q %q\n", &b, b.language, b.note, b.text)
	}
	if len(wrong) > 0 {
		t.Errorf("what is right is called wrong: %q", wrong)
	}
	for _, escape := range []string{"```text\nsudo a\n```\n", "```text\n\ntjfuzz learn -- a\n```\n", "```text\n$ a\n```\n", "```perl\na\n```\n", "```\na\n```\n",
		"```Shell\na\n```\n", "- b\n  ```sh\n  a\n  ```\n", "> ```sh\n", "\n    a\n", "\n\ta\n"} {
		if _, wrong := blocks("page", "text\n"+escape); len(wrong) == 0 {
			t.Errorf("%q escapes", escape)
		}
	}
	want := `page:1 sh "" "a\n"
page:5 sh "" "hidden\n"
page:11 console "varies: long" "$ c\nshown 12 s\n[...]\nhost2$ d\n"
`
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", &got, want)
	}
	if s := steps("$ c\nshown 12 s\n[...]\nhost2$ d\n"); len(s) != 2 || s[0].command != "c" || !slices.Equal(s[0].shown, []string{"shown 12 s"}) || s[1].command != "d" {
		t.Errorf("%+v", s)
	}
	for _, c := range []struct{ printed, want string }{
		{"before\nshown   7 s\nbetween\nthen\n", ""},
		{"then\nshown 7 s\n", "then[...]"},
		{"shown 7 m\nthen", "shown 12 s"},
		{"shown 7 s\nthen and more", ""},
	} {
		if got := absent([]string{"shown 12 s", "then[...]"}, c.printed); got != c.want {
			t.Errorf("%q: got %q, want %q", c.printed, got, c.want)
		}
	}
}
