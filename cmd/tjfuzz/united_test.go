package main

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSessionsBesideEachOtherTellOfThemselvesAsOne(t *testing.T) {
	one := sessionSummary{StartsIn: "/etc/p", Profile: "p", State: "a", Stop: "time is up", Runs: 10, CleanRuns: 8, Seconds: 3, Chance: .2, Replays: 4, Recommended: &summaryRecommended{},
		Found:   []summaryFound{{"read", 1, .5, "base", nil}, {"mkdir", 9, 2, "explore", []string{"argv", "env"}}},
		Varied:  []summaryVaried{{"argv", 5, 1, .3}, {"env", 2, 1, 1}},
		Asked:   map[string]uint64{"DNS": 2},
		Service: []summaryTalk{{"tcp 80", "", 3, 2, "200"}},
		Unshown: []summaryUnshown{{"fork", "no way"}, {"rmdir", "an option"}}}
	two := sessionSummary{State: "b", Stop: "more runs are unlikely to show more", Runs: 20, CleanRuns: 20, Seconds: 2, Chance: .1, Replays: 5, Violations: 1,
		Found:   []summaryFound{{"read", 1, .25, "base", nil}, {"mkdir", 7, 1, "explore", []string{"argv"}}, {"rmdir", 8, 2, "options", nil}},
		Varied:  []summaryVaried{{"argv", 6, 1, .1}},
		Asked:   map[string]uint64{"DNS": 1, "HTTP": 1},
		Service: []summaryTalk{{"tcp 80", "HTTP", 4, 4, "404"}},
		Unshown: []summaryUnshown{{"fork", "no way"}}}
	want := sessionSummary{StartsIn: "/etc/p", State: "all", Stop: "2 sessions beside each other, more runs are unlikely to show more; time is up; 1 more had not ended, and do not count here",
		Runs: 30, CleanRuns: 28, Seconds: 3, Chance: .2, Replays: 9, Violations: 1, Syscalls: 3, Groups: []summaryGroup{}, Failures: []summaryFailure{},
		Found:   []summaryFound{{"read", 1, .25, "base", nil}, {"mkdir", 7, 1, "explore", []string{"argv"}}, {"rmdir", 8, 2, "options", nil}},
		Varied:  []summaryVaried{{"argv", 11, 1, .3}, {"env", 2, 0, 1}},
		Asked:   map[string]uint64{"DNS": 3, "HTTP": 1},
		Service: []summaryTalk{{"tcp 80", "HTTP", 7, 6, "200"}},
		Unshown: []summaryUnshown{{"fork", "no way"}}}
	all := []sessionSummary{one, two}
	if diff := cmp.Diff(want, unite("all", all, 1)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	slices.Reverse(all)
	want.Service[0].First = "404" // of whoever is named first
	if diff := cmp.Diff(want, unite("all", all, 1)); diff != "" {
		t.Errorf("in the other order, -want +got:\n%s", diff)
	}
}
