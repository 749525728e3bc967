package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/synth/report"
)

// summaryName is the name of the summary in a state directory.
const summaryName = "session.json"

// sessionSummary is what machines read of a session of learn: it ends what learn --json prints, and
// stays in the state directory for report.
type sessionSummary struct {
	Profile    string            `json:"profile"`
	State      string            `json:"state"`
	Stop       string            `json:"stop"`
	Runs       uint64            `json:"runs"`
	CleanRuns  uint64            `json:"clean_runs"`
	Seconds    float64           `json:"seconds"`
	Syscalls   int               `json:"syscalls_observed"`
	Allowed    int               `json:"syscalls_allowed"`
	Chance     float64           `json:"chance_of_another"`
	Crashes    int               `json:"crashes"`
	Hangs      int               `json:"hangs"`
	Replays    int               `json:"replays"`
	Violations int               `json:"violations"`
	Groups     []summaryGroup    `json:"groups"`
	Found      []summaryFound    `json:"found"`
	Varied     []summaryVaried   `json:"varied"`
	Asked      map[string]uint64 `json:"talks_with_peers,omitempty"` // by protocol
	Failures   []summaryFailure  `json:"failures"`
	StartsIn   string            `json:"starts_in,omitempty"` // the directory of its configurations, where runs start in that
	RunDirs    []cage.RunDir     `json:"run_dirs,omitempty"`  // those in /run of its cage, as files that its command line does not name ask for some
	Service    []summaryTalk     `json:"service,omitempty"`   // a socket each, where the program is a service

	// Recommended is for --unobserved; nil where the program could not be analyzed.
	Recommended *summaryRecommended `json:"recommended,omitempty"`
	Unshown     []summaryUnshown    `json:"reachable_unshown,omitempty"`
}

// summaryUnshown is a call that the code can reach, and why no run has shown it.
type summaryUnshown struct {
	Syscall string `json:"syscall"`
	Why     string `json:"why"`
}

type summaryRecommended struct {
	Unobserved string   `json:"unobserved"`
	Why        string   `json:"why"`
	Reached    int      `json:"reachable"`
	Unseen     int      `json:"unseen"`
	Dangerous  []string `json:"dangerous,omitempty"`
	Complete   bool     `json:"complete"`
}

type summaryGroup struct {
	Group   string `json:"group"`
	Allowed int    `json:"allowed"`
	Total   int    `json:"total"`
}

type summaryFound struct {
	Syscall string   `json:"syscall"`
	Run     uint64   `json:"run"`
	Seconds float64  `json:"seconds"`
	Phase   string   `json:"phase"`
	Varied  []string `json:"varied,omitempty"`
}

type summaryVaried struct {
	Dimension string  `json:"dimension"`
	Draws     uint64  `json:"draws"`
	Found     int     `json:"found"`
	Chance    float64 `json:"chance_of_another"`
}

type summaryFailure struct {
	Kind    string `json:"kind"` // the folder of the state directory that has it
	ID      string `json:"id"`
	How     string `json:"how"`
	Command string `json:"command"`
	Runs    uint64 `json:"runs"`
}

type summaryTalk struct {
	Socket   string `json:"socket"`
	Protocol string `json:"protocol,omitempty"`
	Messages uint64 `json:"messages"`
	Answered uint64 `json:"answered"`
	First    string `json:"first_answer,omitempty"`
}

func (r *learned) summary() sessionSummary {
	st := r.outcome.Stats
	s := sessionSummary{Profile: r.profile, State: r.state, Stop: r.outcome.Stop.String(), Runs: st.Runs, CleanRuns: st.CleanRuns,
		Seconds: st.Elapsed.Seconds(), Syscalls: len(r.evidence.Observations), Chance: st.Chance,
		Replays: r.check.Replays, Violations: len(r.check.Violations), StartsIn: r.moved, RunDirs: r.runDirs,
		Groups: []summaryGroup{}, Found: []summaryFound{}, Asked: r.outcome.Asked}
	if x := r.recommended; x != nil {
		s.Recommended = &summaryRecommended{x.Unobserved, x.Why, x.Reached, len(x.Unseen), x.Dangerous, x.Complete}
	}
	for _, x := range r.unshown() {
		s.Unshown = append(s.Unshown, summaryUnshown{x.ID.String(), whyShort(x)})
	}
	for _, d := range r.doors {
		s.Service = append(s.Service, summaryTalk{Socket: string(d.socket), Protocol: d.protocol})
	}
	for _, x := range r.outcome.Said {
		i := slices.IndexFunc(s.Service, func(t summaryTalk) bool { return t.Socket == string(x.Socket) })
		if i < 0 {
			i = len(s.Service)
			s.Service = append(s.Service, summaryTalk{Socket: string(x.Socket)})
		}
		t := &s.Service[i]
		t.Messages, t.Answered, t.First = x.Sent, x.Answered, strings.ToValidUTF8(string(x.First), "\uFFFD")
	}
	for _, f := range r.outcome.Found {
		s.Found = append(s.Found, foundSummary(f))
	}
	s.Varied = variedSummary(r.outcome.Varied)
	for _, g := range r.policy.Sizes() {
		if g.Allowed > 0 {
			s.Allowed += g.Allowed
			s.Groups = append(s.Groups, summaryGroup{g.Name, g.Allowed, g.Total})
		}
	}
	s.fail(r.outcome.Crashes, r.outcome.Hangs)
	return s
}

// fail tells of crashes and hangs, which lie in the state directory.
func (s *sessionSummary) fail(crashes, hangs []fuzz.Failure) {
	s.Crashes, s.Hangs, s.Failures = len(crashes), len(hangs), []summaryFailure{}
	for _, kinds := range []struct {
		folder fuzz.Folder
		all    []fuzz.Failure
	}{{fuzz.Crashes, crashes}, {fuzz.Hangs, hangs}} {
		for _, k := range kinds.all {
			command := k.Scenario.Command(s.State + "/" + string(kinds.folder) + "/" + k.ID)
			s.Failures = append(s.Failures, summaryFailure{string(kinds.folder), k.ID, k.How(), command, k.Count})
		}
	}
}

func foundSummary(f fuzz.Found) summaryFound {
	return summaryFound{f.ID.String(), f.Run, f.At.Seconds(), f.Phase.String(), f.Varied}
}

// variedSummary is never nil.
func variedSummary(varied []fuzz.Varied) []summaryVaried {
	out := []summaryVaried{}
	for _, d := range varied {
		out = append(out, summaryVaried{d.Dimension, d.Draws, d.Found, d.Chance})
	}
	return out
}

func (s sessionSummary) encode(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(s)
}

// loadSummary reads what learn left; nil where there is none, as after an interruption.
func loadSummary(path string) (*sessionSummary, error) {
	if !exists(path) {
		return nil, nil
	}
	f, err := openNamed(path, "summary", "'tjfuzz learn' writes it")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := new(sessionSummary)
	if err := json.NewDecoder(io.LimitReader(f, 32<<20)).Decode(s); err != nil {
		return nil, hinted(fmt.Errorf("%s: %w", path, err), "'tjfuzz learn --resume' writes it anew")
	}
	return s, nil
}

// session is the summary for a report.
func (s *sessionSummary) session() *report.Session {
	if s == nil {
		return nil
	}
	out := &report.Session{Runs: s.Runs, Seconds: s.Seconds, Stop: s.Stop, Chance: s.Chance}
	for _, f := range s.Found {
		out.Found = append(out.Found, report.Found(f))
	}
	for _, v := range s.Varied {
		out.Varied = append(out.Varied, report.Varied(v))
	}
	for _, f := range s.Failures {
		failure := report.Failure{How: f.How, Command: f.Command, Count: f.Runs}
		if f.Kind == string(fuzz.Crashes) {
			out.Crashes = append(out.Crashes, failure)
		} else {
			out.Hangs = append(out.Hangs, failure)
		}
	}
	return out
}
