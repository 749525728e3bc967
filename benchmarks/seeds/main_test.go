package main

import (
	"errors"
	"regexp"
	"testing"

	"github.com/tjfuzz/tjfuzz/benchmarks/learning"
)

func TestTheReportNamesWhatOnlyOneSessionFound(t *testing.T) {
	found := func(names ...string) *learning.Result {
		r := &learning.Result{}
		for i, n := range names {
			r.Found = append(r.Found, learning.Found{Syscall: n, Run: uint64(10*i + 1)})
		}
		return r
	}
	got := report("command", []subject{
		{name: "jq", with: found("read", "openat", "mremap"), without: found("read", "openat")},
		{name: "tar", with: found("read"), without: found("read", "chdir")},
		{name: "nosuch", failed: errors.New("it is not installed")},
	})
	for _, want := range []string{
		`(?m)^jq +3 +2 +21 +11 +mremap +none$`,
		`(?m)^tar +1 +2 +1 +11 +none +chdir$`,
		`(?m)^- not measured: nosuch: it is not installed$`,
	} {
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("the report has nothing like %s:\n%s", want, got)
		}
	}
}
