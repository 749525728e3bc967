package main

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth/format"
)

var update = flag.Bool("update", false, "write the figures of the README anew")

func file(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What the README says was measured is what was.
func TestTheFiguresOfTheReadmeAreThoseOfTheResults(t *testing.T) {
	results := file(t, "../RESULTS.md")
	if *update {
		if err := showIn("../../README.md", results); err != nil {
			t.Fatal(err)
		}
	}
	readme := file(t, "../../README.md")
	f, err := figures(results)
	if err != nil {
		t.Fatal(err)
	}
	want, err := show(readme, f)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, readme); diff != "" {
		t.Errorf("-results +README; -update writes the README anew:\n%s", diff)
	}
	said := regexp.MustCompile(`allows more than (\d+) syscalls`).FindStringSubmatch(readme)
	if said == nil {
		t.Fatal("the README does not say how much docker's default policy allows")
	}
	docker, err := format.DockerDefault(sysno.AMD64)
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[sysno.ID]bool{}
	for _, r := range docker.Rules() {
		if r.ID.Arch == sysno.AMD64 && r.Verdict.Action.Permits() {
			allowed[r.ID] = true
		}
	}
	if more, err := strconv.Atoi(said[1]); err != nil || len(allowed) <= more {
		t.Errorf("docker's default allows %d syscalls, and the README says more than %s", len(allowed), said[1])
	}
}

func TestFiguresThatAreNotThereAreMissed(t *testing.T) {
	// Each part with a line for each row.
	var results strings.Builder
	for _, e := range excerpts {
		i := slices.IndexFunc(parts, func(p part) bool { return p.name == e.part })
		results.WriteString(parts[i].heading() + "\n")
		for _, row := range e.rows {
			results.WriteString(strings.NewReplacer("+", "", "[a-z]", "a").Replace(row) + "  1\n")
		}
	}
	all, err := figures(results.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range excerpts {
		if !strings.Contains(all, e.about) {
			t.Errorf("%s is not shown:\n%s", e.part, all)
		}
		none := results.String()
		for _, row := range e.rows {
			line := regexp.MustCompile("(?m)^" + row + ".*\n")
			if row != e.rows[0] { // the head stays where a part was ended before its time
				none = line.ReplaceAllString(none, "")
			}
			if _, err := figures(line.ReplaceAllString(results.String(), "")); err == nil || !strings.Contains(err.Error(), strconv.Quote(row)) {
				t.Errorf("without %q: %v", row, err)
			}
		}
		if f, err := figures(none); err != nil || strings.Contains(f, e.about) {
			t.Errorf("%s was not measured, and is shown: %v", e.part, err)
		}
	}
	if _, err := show("a README", "figures"); err == nil {
		t.Error("there was a place for figures")
	}
}
