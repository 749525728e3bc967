package main

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/enforce"
)

func TestJUnitHasACaseForEachScenario(t *testing.T) {
	var b bytes.Buffer
	err := writeJUnit(&b, "p.json", []enforce.Result{
		{ID: "a", Command: "x", End: "exit 0"},
		{ID: "b", Command: "x <\x1b", End: "signal 31", Violations: []enforce.Violation{{Syscall: "mkdir"}, {Syscall: "i386:open"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="p.json" tests="2" failures="1">
  <testcase name="a" classname="p.json"></testcase>
  <testcase name="b" classname="p.json">
    <failure message="refused: mkdir, i386:open" type="violation">x &lt;\x1b&#xA;signal 31</failure>
  </testcase>
</testsuite>
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}
