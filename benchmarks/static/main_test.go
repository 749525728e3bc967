package main

import (
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

func id(t *testing.T, name string) sysno.ID {
	t.Helper()
	id, ok := sysno.Lookup(sysno.AMD64, name)
	if !ok {
		t.Fatalf("there is no %s", name)
	}
	return id
}

func TestStartupAndWhatIsOfferedAreNotCounted(t *testing.T) {
	path := []trace.Step{{Module: "/bin/x"}}
	r := &trace.Reach{Reached: []trace.Reached{
		{ID: id(t, "read"), Path: path}, {ID: id(t, "access"), Path: path, Startup: true}, {ID: id(t, "execve"), Path: path},
		{ID: id(t, "time")}, {ID: id(t, "clock_gettime"), Path: path},
	}}
	if got := after(r); got != 2 {
		t.Errorf("%d syscalls are counted, want read and clock_gettime", got)
	}
}

func TestAReportNamesWhatWasSeenBeyondTheAnalysis(t *testing.T) {
	seen := &trace.Trace{Observations: []trace.Observation{{ID: id(t, "read")}, {ID: id(t, "mount"), Sites: []trace.Site{{Module: "/lib/x.so", Offset: 16}}}}}
	r := row{program: program{name: "prog"}, observed: seen, reach: &trace.Reach{Reached: []trace.Reached{{ID: id(t, "read")}}, Gaps: []string{"it loads something"}}}
	r.beyond = r.reach.Beyond(seen)
	r.reach.Reached[0].Args = []trace.Arg{{Index: 1, Values: []uint64{1}}, {Index: 2, Any: true}}
	r.values = []trace.Observation{{ID: id(t, "read"), Args: []trace.Arg{{Index: 1, Values: []uint64{2}}}}}
	var b strings.Builder
	report(&b, []row{r}, nil)
	for _, want := range []string{"prog was seen to call what is not reached", "mount from /lib/x.so+0x10", "gap: it loads something", "of 0 the analysis is complete", " 1/2 ", "with values that are not found"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, b.String())
		}
	}
}

func TestEachProgramIsListedOnceAndUsed(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range programs {
		if seen[p.name] || len(p.uses) == 0 {
			t.Errorf("%s is listed twice, or has no uses", p.name)
		}
		seen[p.name] = true
	}
	if len(programs) < 60 {
		t.Errorf("%d programs, want 60 and more", len(programs))
	}
}
