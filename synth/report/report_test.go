package report

import (
	"bytes"
	"flag"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/trace"
)

var update = flag.Bool("update", false, "write the golden files anew")

func id(t *testing.T, name string) sysno.ID {
	t.Helper()
	id, ok := sysno.Lookup(sysno.AMD64, name)
	if !ok {
		t.Fatalf("no call is named %s", name)
	}
	return id
}

// hostile is what a program may be called, or have in its options, to break a page.
const hostile = "</script><script>alert(1)</script> `|` ![x](http://example.invalid/x) \"' onload=\nnext"

// sample is a whole input, all of whose words that a target chooses are given.
func sample(t *testing.T, word string) Input {
	t.Helper()
	e := &trace.Trace{
		Target: trace.Target{Path: "/usr/bin/target", SHA256: strings.Repeat("ab", 32), BuildID: "0123", Libraries: []trace.Library{{Path: "/lib/libc.so.6", BuildID: "4567"}}},
		Arch:   sysno.AMD64, Kernel: "6.18.0", Runs: 90, CleanRuns: 80,
		Observations: []trace.Observation{
			{ID: id(t, "read"), Runs: 90, CleanRuns: 80, Phases: trace.PhaseStartup | trace.PhaseMain, Returns: trace.Returns{Success: true, Errnos: []uint16{4}}, Witness: trace.Witness{ID: "1", Command: "target " + word}},
			{ID: id(t, "execve"), Runs: 90, CleanRuns: 80, Phases: trace.PhaseStartup, Witness: trace.Witness{ID: "1", Command: "target"}},
			{ID: id(t, "exit_group"), Runs: 80, CleanRuns: 80, Phases: trace.PhaseMain, Witness: trace.Witness{ID: "1", Command: "target"}},
			{ID: id(t, "openat"), Runs: 12, CleanRuns: 12, Phases: trace.PhaseMain, Args: []trace.Arg{{Index: 2, Values: []uint64{0, 0x80000}}},
				Sites: []trace.Site{{Module: "/lib/" + word, Offset: 0x1234, Symbol: word}}, Witness: trace.Witness{ID: "2", Command: "target -o " + word}},
			{ID: id(t, "ptrace"), Runs: 2, Witness: trace.Witness{ID: "3", Command: "target --debug"}},
		},
	}
	p, err := synth.Generate(e, synth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// The policy before did not have ptrace, and had socket.
	earlier := *e
	earlier.Observations = append(e.Observations[:4:4], trace.Observation{ID: id(t, "socket"), Runs: 1, CleanRuns: 1})
	previous, err := synth.Generate(&earlier, synth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	docker, err := synth.Generate(&trace.Trace{Target: e.Target, Arch: e.Arch, Runs: 90, CleanRuns: 80, Observations: append(earlier.Observations[:5:5],
		trace.Observation{ID: id(t, "connect"), Runs: 1, CleanRuns: 1}, trace.Observation{ID: id(t, "chmod"), Runs: 1, CleanRuns: 1})}, synth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return Input{
		Program: "target", Policy: p, Evidence: e, Previous: previous, Docker: docker,
		Session: &Session{
			Runs: 90, Seconds: 12.5, Stop: "time is up", Chance: 0.0123,
			Found:   []Found{{Syscall: "execve", Run: 1, Seconds: 0.5, Phase: "base"}, {Syscall: "openat", Run: 40, Seconds: 7, Phase: "explore", Varied: []string{"argv", "env"}}},
			Varied:  []Varied{{Dimension: "argv", Draws: 40, Found: 1, Chance: 0.01}, {Dimension: "env", Draws: 2, Chance: 1}},
			Crashes: []Failure{{How: "segmentation fault at " + word, Command: "target " + word, Count: 3}},
			Hangs:   []Failure{{How: "no end in time", Command: "target --wait", Count: 1}},
		},
		Reach: &trace.Reach{
			Target: e.Target, Arch: e.Arch, Gaps: []string{"a number at " + word + " is not known"},
			Reached: []trace.Reached{
				{ID: id(t, "read")},
				{ID: id(t, "kill"), Path: []trace.Step{{Module: "/usr/bin/target", Function: "main", Link: trace.Begin}, {Module: "/usr/bin/target", Function: word, Link: trace.Called}}},
			},
		},
	}
}

func written(t *testing.T, write func(*bytes.Buffer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func html(t *testing.T, in Input) string {
	return written(t, func(b *bytes.Buffer) error { return New(in).HTML(b) })
}

func markdownOf(t *testing.T, in Input) string {
	return written(t, func(b *bytes.Buffer) error { return New(in).Markdown(b) })
}

func TestTheReportIsAsTheGoldenFilesSay(t *testing.T) {
	for name, got := range map[string]string{"report.html": html(t, sample(t, "word")), "report.md": markdownOf(t, sample(t, "word"))} {
		testenv.Golden(t, filepath.Join("testdata", name), got, *update)
	}
}

// What a target says stays text: a page has no element, and Markdown no link, image or
// line, that it has with a harmless word not.
func TestWordsOfAHostileTargetStayText(t *testing.T) {
	tag := regexp.MustCompile(`<[a-zA-Z/!][^>]*>`)
	plain := func(page string) int { return len(tag.FindAllString(page, -1)) }
	if want, got := plain(html(t, sample(t, "word"))), plain(html(t, sample(t, hostile))); got != want {
		t.Errorf("the page has %d tags, with a harmless word %d", got, want)
	}
	md, harmless := markdownOf(t, sample(t, hostile)), markdownOf(t, sample(t, "word"))
	if want, got := strings.Count(harmless, "\n"), strings.Count(md, "\n"); got != want {
		t.Errorf("Markdown has %d lines, with a harmless word %d", got, want)
	}
	// Outside of code, markup is escaped; within it, the fence holds all.
	code := regexp.MustCompile("(`+)[^`](?s:.*?)[^`]?(`+)")
	for line := range strings.Lines(md) {
		outside := code.ReplaceAllString(line, "")
		for _, markup := range []string{"![", "<script", "](http"} {
			if i := strings.Index(outside, markup); i >= 0 && (i == 0 || outside[i-1] != '\\') {
				t.Errorf("%q has %q outside of code", line, markup)
			}
		}
	}
}

func TestAReportWithoutWhatMayBeMissingSaysSo(t *testing.T) {
	in := sample(t, "word")
	in.Session, in.Reach, in.Docker, in.Previous = nil, nil, nil, nil
	in.Evidence.Lost.Tasks = 2
	r := New(in)
	if got := strings.Join(r.Cautions, "\n"); !strings.Contains(got, "no confidence to state") || !strings.Contains(got, "lost 2 processes") {
		t.Errorf("cautions: %s", got)
	}
	for _, page := range []string{html(t, in), markdownOf(t, in)} {
		for _, absent := range []string{"Discovery", "reachable, not seen", "ocker", "Changes", "Crashes"} {
			if strings.Contains(page, absent) {
				t.Errorf("a report without it speaks of %q", absent)
			}
		}
	}
}

// No dimension is listed that no run varied, and a session that came to no draw is not said to have found something lately.
func TestASessionWithoutDrawsSaysSo(t *testing.T) {
	in := sample(t, "word")
	in.Session.Chance, in.Session.Varied = 1, []Varied{{Dimension: "dimension-x", Chance: 1}}
	if got := strings.Join(New(in).Cautions, "\n"); !strings.Contains(got, "No run was drawn at random") || strings.Contains(got, "The last new syscall") {
		t.Errorf("cautions: %s", got)
	}
	for _, page := range []string{html(t, in), markdownOf(t, in)} {
		if strings.Contains(page, "dimension-x") || strings.Contains(page, "what was varied") {
			t.Error("it lists what was not varied")
		}
	}
	in.Session.Varied[0].Draws = 1
	in.Session.Chance, in.Session.Varied[0].Chance = 0.632, 0.632 // as after one draw since
	if pages := html(t, in) + markdownOf(t, in); strings.Contains(pages, "63 %") || !strings.Contains(pages, "there is no confidence yet") {
		t.Error("a bound that says nothing is stated")
	}
	if got := strings.Join(New(in).Cautions, "\n"); !strings.Contains(got, "The last new syscall") || !strings.Contains(html(t, in), "dimension-x") {
		t.Errorf("cautions after a draw: %s", got)
	}
}

// A policy that permits by default is not called one that refuses.
func TestAPolicyThatPermitsByDefaultIsSaidToPermit(t *testing.T) {
	in := sample(t, "word")
	in.Policy.Default = synth.Verdict{Action: synth.Log}
	if got := New(in).Verdict; !strings.Contains(got, "may make every syscall") {
		t.Errorf("got %q", got)
	}
}
