package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// unite is what sessions that went on beside each other tell together of the state directory that was
// made of theirs. Of those that have not ended there is no summary; they are named as missing. Sums are over the
// others, and the profile, which is made later, is not spoken of.
//
// The chances are the largest of any: what none of them has shown, the next run of the one shows no more
// often than what that one has not shown.
func unite(state string, sessions []sessionSummary, missing int) sessionSummary {
	u := sessionSummary{State: state, Groups: []summaryGroup{}, Asked: map[string]uint64{}, Found: []summaryFound{}, Failures: []summaryFailure{}}
	first, varied, service, unshown := map[string]summaryFound{}, map[string]summaryVaried{}, map[string]summaryTalk{}, map[string]int{}
	var stops []string
	for _, s := range sessions {
		stops = append(stops, s.Stop)
		u.Runs += s.Runs
		u.CleanRuns += s.CleanRuns
		u.Seconds = max(u.Seconds, s.Seconds)
		u.Chance = max(u.Chance, s.Chance)
		u.Replays += s.Replays
		u.Violations += s.Violations
		u.StartsIn = cmp.Or(u.StartsIn, s.StartsIn) // the same in all, by the same command line
		if u.RunDirs == nil {
			u.RunDirs = s.RunDirs // likewise
		}
		for _, f := range s.Found {
			if known, ok := first[f.Syscall]; !ok || compareFound(f, known) < 0 {
				first[f.Syscall] = f
			}
		}
		for _, v := range s.Varied {
			all := varied[v.Dimension]
			varied[v.Dimension] = summaryVaried{v.Dimension, all.Draws + v.Draws, 0, max(all.Chance, v.Chance)}
		}
		for protocol, n := range s.Asked {
			u.Asked[protocol] += n
		}
		for _, t := range s.Service {
			all := service[t.Socket]
			service[t.Socket] = summaryTalk{t.Socket, cmp.Or(all.Protocol, t.Protocol), all.Messages + t.Messages, all.Answered + t.Answered, cmp.Or(all.First, t.First)}
		}
		for _, x := range s.Unshown {
			if unshown[x.Syscall]++; unshown[x.Syscall] == len(sessions) {
				u.Unshown = append(u.Unshown, x)
			}
		}
	}
	u.Found = slices.SortedFunc(maps.Values(first), compareFound)
	u.Syscalls = len(u.Found)
	u.Varied = slices.SortedFunc(maps.Values(varied), func(a, b summaryVaried) int { return strings.Compare(a.Dimension, b.Dimension) })
	for i := range u.Varied {
		for _, f := range u.Found {
			if slices.Contains(f.Varied, u.Varied[i].Dimension) {
				u.Varied[i].Found++
			}
		}
	}
	u.Service = slices.SortedFunc(maps.Values(service), func(a, b summaryTalk) int { return strings.Compare(a.Socket, b.Socket) })
	slices.SortFunc(u.Unshown, func(a, b summaryUnshown) int { return strings.Compare(a.Syscall, b.Syscall) })
	slices.Sort(stops)
	u.Stop = fmt.Sprintf("%d sessions beside each other, %s", len(sessions), strings.Join(slices.Compact(stops), "; "))
	if missing > 0 {
		u.Stop += fmt.Sprintf("; %d more had not ended, and do not count here", missing)
	}
	return u
}

// compareFound orders discoveries by their time, and those of one time by what does not depend on who made them.
func compareFound(a, b summaryFound) int {
	return cmp.Or(cmp.Compare(a.Seconds, b.Seconds), cmp.Compare(a.Run, b.Run), strings.Compare(a.Syscall, b.Syscall),
		strings.Compare(a.Phase, b.Phase), slices.Compare(a.Varied, b.Varied))
}
