// Package dag decides which package may import which, and holds the tree to it.
// It knows imports only, not what the code does with them. Its main hazard is a
// package that nobody put in the table: that is a failure too.
package dag

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/tjfuzz/tjfuzz/"

// anything, as the only element of a row's own, permits all rows above it.
const anything = "..."

// row permits a package its imports. Test files are not bound by it.
type row struct {
	pkg     string
	own     []string // packages of this module, each of which stands above
	foreign []string // of the fenced imports, those that it may use itself
}

// fenced are the imports that few packages may have: each is a part of the world
// (the kernel, C, the terminal) that the rest must stay testable without.
var fenced = []string{ebpf, libseccomp, cgo, cobra}

const (
	ebpf       = "github.com/cilium/ebpf"
	libseccomp = "github.com/seccomp/libseccomp-golang"
	cobra      = "github.com/spf13/cobra"
	cgo        = "C"
)

// table is the design. A row may name only rows above it, so the table is a
// directed graph without cycles by the way it is written. A row whose package
// does not exist is the plan for it.
var table = []row{
	{pkg: "internal/dag"},
	{pkg: "internal/testenv"},
	{pkg: "internal/atomicfile"},
	{pkg: "internal/claim"},
	{pkg: "internal/lazyregexp"},
	{pkg: "internal/nearest"},
	{pkg: "internal/campaign", own: []string{"internal/lazyregexp", "internal/nearest"}},
	{pkg: "internal/sysno", own: []string{"internal/nearest"}},
	{pkg: "internal/sysno/gen"},
	{pkg: "internal/image"},
	{pkg: "internal/unotify", own: []string{"internal/sysno"}},
	{pkg: "internal/spawn", own: []string{"internal/sysno"}},
	{pkg: "internal/kube", own: []string{"internal/lazyregexp"}},
	{pkg: "internal/locate"},
	{pkg: "internal/pods", own: []string{"internal/lazyregexp"}},
	{pkg: "internal/symbol"},
	{pkg: "corpora", own: []string{"internal/lazyregexp"}},
	{pkg: "corpora/goproxy", own: []string{"internal/atomicfile"}},

	{pkg: "trace", own: []string{"internal/sysno"}},
	{pkg: "trace/rawtp", own: []string{"trace", "internal/sysno"}, foreign: []string{ebpf}},
	{pkg: "trace/userland", own: []string{"trace", "internal/image", "internal/spawn", "internal/sysno", "internal/unotify"}},
	{pkg: "trace/foreign", own: []string{"trace", "internal/lazyregexp", "internal/sysno"}},
	{pkg: "trace/static", own: []string{"trace", "internal/sysno", "internal/image"}},

	{pkg: "synth", own: []string{"trace", "internal/sysno"}},
	{pkg: "synth/format", own: []string{"synth", "internal/lazyregexp", "internal/sysno"}},
	{pkg: "synth/report", own: []string{"synth", "trace", "internal/sysno"}},
	{pkg: "synth/document", own: []string{"synth", "internal/sysno"}},

	{pkg: "fuzz/mutate", own: []string{"internal/lazyregexp"}},
	{pkg: "fuzz/mine", own: []string{"fuzz/mutate", "internal/lazyregexp"}},
	{pkg: "fuzz", own: []string{"fuzz/mutate", "trace", "internal/atomicfile", "internal/lazyregexp", "internal/sysno"}},
	{pkg: "fuzz/external"},
	{pkg: "fuzz/cage", own: []string{"internal/claim", "internal/spawn"}},
	{pkg: "fuzz/launch/forkserver", own: []string{"internal/spawn"}},
	{pkg: "fuzz/launch/aflserver", own: []string{"internal/spawn"}},
	{pkg: "fuzz/launch/clock", own: []string{"internal/spawn"}},
	{pkg: "fuzz/launch/coverage", own: []string{"internal/image", "internal/spawn"}},
	{pkg: "fuzz/launch/forced", own: []string{"fuzz/launch/coverage", "internal/image", "internal/spawn"}},
	{pkg: "fuzz/launch/network", foreign: []string{ebpf}},
	{pkg: "fuzz/launch/service", own: []string{"fuzz", "internal/sysno"}},
	{pkg: "fuzz/peer", own: []string{"fuzz", "internal/lazyregexp"}},
	{pkg: "fuzz/launch", own: []string{"fuzz", "fuzz/cage", "fuzz/launch/aflserver", "fuzz/launch/clock", "fuzz/launch/coverage", "fuzz/launch/forced", "fuzz/launch/forkserver", "fuzz/launch/network", "fuzz/launch/service", "fuzz/peer", "internal/claim", "internal/image", "internal/spawn", "internal/sysno"}},

	{pkg: "enforce/filter", own: []string{"synth", "internal/sysno"}, foreign: []string{libseccomp, cgo}},
	{pkg: "enforce/audit", own: []string{"internal/sysno"}},
	{pkg: "enforce/container"},
	{pkg: "enforce/denial", own: []string{"synth", "internal/sysno"}},
	{pkg: "enforce/notify", own: []string{"enforce/denial", "synth", "synth/document", "internal/sysno", "internal/unotify"}},
	{pkg: "enforce", own: []string{"synth", "internal/spawn", "internal/sysno"}},
	{pkg: "enforce/early", own: []string{"enforce", "enforce/filter", "synth", "synth/format"}},

	{pkg: "cmd/tjfuzz", own: []string{anything}, foreign: []string{cobra}},
	{pkg: "benchmarks", own: []string{anything}},
	{pkg: "benchmarks/acceptance"},
	{pkg: "benchmarks/harness"},
	{pkg: "benchmarks/enforcement", own: []string{"benchmarks/harness", "enforce", "enforce/filter", "internal/sysno", "synth", "synth/format"}},
	{pkg: "benchmarks/learning"},
	{pkg: "benchmarks/everyday", own: []string{"benchmarks/harness", "benchmarks/learning", "internal/sysno", "synth", "synth/format", "trace"}},
	{pkg: "benchmarks/discovery", own: []string{"benchmarks/harness", "benchmarks/learning"}},
	{pkg: "benchmarks/newcomer", own: []string{"benchmarks/harness"}},
	{pkg: "benchmarks/overhead", own: []string{"benchmarks/harness"}},
	{
		pkg: "benchmarks/recall",
		own: []string{"benchmarks/harness", "benchmarks/learning", "enforce/filter", "internal/sysno", "synth", "synth/format", "trace", "trace/foreign", "trace/rawtp", "trace/static"},
	},
	{pkg: "benchmarks/seeds", own: []string{"benchmarks/harness", "benchmarks/learning"}},
	{pkg: "benchmarks/runtimes", own: []string{"benchmarks/harness", "synth"}},
	{pkg: "benchmarks/results", own: []string{"benchmarks/harness", "internal/atomicfile"}},
	{pkg: "benchmarks/directed", own: []string{"benchmarks/harness", "benchmarks/learning", "internal/sysno", "trace/static"}},
	{pkg: "benchmarks/static", own: []string{"benchmarks/harness", "benchmarks/learning", "trace", "trace/static"}},
	{pkg: "benchmarks/speed", own: []string{"benchmarks/harness", "benchmarks/learning", "fuzz", "fuzz/cage", "fuzz/launch", "fuzz/launch/coverage", "internal/spawn", "trace", "trace/rawtp"}},
	{pkg: "benchmarks/targets/gofuzz"},
	{pkg: "benchmarks/targets/webserver"},
	{pkg: "benchmarks/victims"},
}

// pure are the packages that must not reach a fenced import on any path: they
// decide things, and run in any test, on any machine.
var pure = []string{
	"internal/nearest", "internal/campaign", "internal/sysno", "internal/image", "trace", "trace/foreign", "trace/static", "synth", "synth/document", "synth/format", "synth/report",
	"corpora", "fuzz", "fuzz/mine", "fuzz/mutate", "fuzz/peer",
}

func TestTableNamesOnlyRowsAbove(t *testing.T) {
	above := map[string]bool{}
	for _, r := range table {
		for _, own := range r.own {
			if own != anything && !above[own] {
				t.Errorf("%s may import %s, which does not stand above it", r.pkg, own)
			}
		}
		if above[r.pkg] {
			t.Errorf("%s stands in the table twice", r.pkg)
		}
		above[r.pkg] = true
	}
	for _, p := range pure {
		if !above[p] {
			t.Errorf("%s is called pure but has no row", p)
		}
	}
}

func TestImportsFollowTheTable(t *testing.T) {
	for _, build := range builds {
		t.Run(build.name, func(t *testing.T) {
			for _, p := range list(t, build.env) {
				name := strings.TrimPrefix(p.ImportPath, module)
				i := slices.IndexFunc(table, func(r row) bool { return r.pkg == name })
				if i < 0 {
					t.Errorf("%s is not in the table of internal/dag: decide what it may import and add a row for it, there and in docs/architecture.md", name)
					continue
				}
				for _, bad := range forbidden(table[i], p.Imports) {
					t.Errorf("%s imports %s, which its row in internal/dag does not permit", name, bad)
				}
			}
		})
	}
}

func TestPurePackagesReachNothingFenced(t *testing.T) {
	for _, build := range builds {
		t.Run(build.name, func(t *testing.T) {
			for _, p := range list(t, build.env) {
				name := strings.TrimPrefix(p.ImportPath, module)
				if !slices.Contains(pure, name) {
					continue
				}
				for _, dep := range p.Deps {
					if fence(dep) != "" {
						t.Errorf("%s reaches %s; go mod why and go list -deps show the path", name, dep)
					}
				}
			}
		})
	}
}

// The check is worth its name only if it can fail.
func TestForbiddenSeesEveryKindOfBreach(t *testing.T) {
	r := row{pkg: "synth", own: []string{"trace"}}
	imports := []string{
		"fmt", "golang.org/x/sys/unix", module + "trace",
		module + "trace/rawtp", module + "enforce", "C", ebpf + "/link", libseccomp, cobra,
	}
	want := imports[3:]
	if got := forbidden(r, imports); !slices.Equal(got, want) {
		t.Errorf("forbidden = %q, want %q", got, want)
	}
	all := row{pkg: "cmd/tjfuzz", own: []string{anything}, foreign: []string{cobra}}
	if got, want := forbidden(all, []string{module + "synth", cobra, module + "benchmarks", ebpf}), []string{module + "benchmarks", ebpf}; !slices.Equal(got, want) {
		t.Errorf("forbidden = %q, want %q", got, want)
	}
}

// The document's tables of packages name what is there, no more and no less.
func TestArchitectureNamesThePackagesThatExist(t *testing.T) {
	doc, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	var named, exist []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z/]+)` \\|").FindAllSubmatch(doc, -1) {
		named = append(named, string(m[1]))
	}
	for _, p := range list(t, builds[0].env) {
		exist = append(exist, strings.TrimPrefix(p.ImportPath, module))
	}
	for _, name := range exist {
		if !slices.Contains(named, name) {
			t.Errorf("docs/architecture.md has no row for %s", name)
		}
	}
	for _, name := range named {
		if !slices.Contains(exist, name) {
			t.Errorf("docs/architecture.md has a row for %s, which does not exist", name)
		}
	}
}

// forbidden returns those imports that the row does not permit.
func forbidden(r row, imports []string) []string {
	var bad []string
	for _, path := range imports {
		if own, ok := strings.CutPrefix(path, module); ok {
			if !permits(r, own) {
				bad = append(bad, path)
			}
		} else if f := fence(path); f != "" && !slices.Contains(r.foreign, f) {
			bad = append(bad, path)
		}
	}
	return bad
}

func permits(r row, own string) bool {
	if !slices.Equal(r.own, []string{anything}) {
		return slices.Contains(r.own, own)
	}
	for _, above := range table {
		if above.pkg == r.pkg {
			return false
		}
		if above.pkg == own {
			return true
		}
	}
	return false
}

// fence returns which of the fenced imports path belongs to, "" for none.
func fence(path string) string {
	for _, f := range fenced {
		if path == f || strings.HasPrefix(path, f+"/") {
			return f
		}
	}
	return ""
}

// builds are the settings under which files come and go by their constraints.
var builds = []struct {
	name string
	env  []string
}{
	{"cgo", []string{"GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=1"}},
	{"without cgo", []string{"GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0"}},
	{"arm64", []string{"GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0"}},
}

type goPackage struct {
	ImportPath string
	Imports    []string // direct, without those of tests
	Deps       []string // all that it reaches, without those of tests
}

func list(t *testing.T, env []string) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,Deps", "./...")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var packages []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		packages = append(packages, p)
	}
	if len(packages) == 0 {
		t.Fatalf("go list found no packages in %s", cmd.Dir)
	}
	return packages
}
