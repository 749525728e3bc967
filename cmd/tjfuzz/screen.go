package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/clipperhouse/displaywidth"
	"golang.org/x/term"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/synth"
)

// screen shows progress in the last rows of a terminal, and writes over them. What is written
// to it meanwhile appears above. It needs no alternate screen, which a kill would leave behind.
type screen struct {
	view view

	mu    sync.Mutex
	f     *os.File
	shown []row         // the rows that are there now
	last  fuzz.Progress // of which they are
	drawn time.Duration // when, as Progress.Session
}

// redraw is how often the rows are written over.
const redraw = 250 * time.Millisecond

func newScreen(f *os.File, v view) *screen { return &screen{view: v, f: f, drawn: -redraw} }

func (s *screen) show(p fuzz.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The clock that progress is told by may be early by a little.
	if p.Session-s.drawn < redraw-10*time.Millisecond {
		return
	}
	s.drawn, s.last = p.Session, p
	s.paint("")
}

// Write shows a message above the rows.
func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown == nil {
		return s.f.Write(b)
	}
	s.paint(string(b))
	return len(b), nil
}

// paint writes text, and the rows anew below it.
func (s *screen) paint(text string) {
	width, height, err := term.GetSize(int(s.f.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		width, height = 80, 24
	}
	rows := s.view.rows(s.last, width, height-1)
	var all strings.Builder
	all.WriteString(erase(s.shown, width) + text)
	for _, r := range rows {
		all.WriteString(s.view.style(r) + "\n")
	}
	_, _ = s.f.WriteString(all.String()) // at once, so that no half of it is seen
	s.shown = rows
}

func (s *screen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	width, _, err := term.GetSize(int(s.f.Fd()))
	if err != nil {
		width = 80
	}
	_, _ = s.f.WriteString(erase(s.shown, width))
	s.shown = nil
}

// erase goes back to where the first of rows begins and clears from there. A terminal that
// has become narrower has broken them.
func erase(rows []row, width int) string {
	if len(rows) == 0 {
		return ""
	}
	n := 0
	for _, r := range rows {
		n += max(1, (r.width()+width-1)/max(width, 1))
	}
	return fmt.Sprintf("\r\x1b[%dA\x1b[J", n)
}

// view is how progress looks, on a screen of any size.
type view struct {
	program  string
	duration time.Duration // of the session, at most; 0: no limit
	execs    uint64        // likewise
	plain    bool          // without bold and faint
}

// row is a line of text that begins with a title or a label.
type row struct {
	title, label, text string
}

func (r row) width() int { return displaywidth.String(r.title + r.label + r.text) }

// fit cuts off what is beyond a width.
func (r row) fit(width int) row {
	for _, part := range []*string{&r.title, &r.label, &r.text} {
		if width <= 0 {
			*part = ""
			continue
		}
		*part = displaywidth.TruncateString(*part, width, "…")
		width -= displaywidth.String(*part)
	}
	return r
}

// style is the row for the terminal: a bold title, a faint label.
func (v view) style(r row) string {
	if v.plain {
		return r.title + r.label + r.text
	}
	styled := r.text
	if r.label != "" {
		styled = "\x1b[2m" + r.label + "\x1b[m" + styled
	}
	if r.title != "" {
		styled = "\x1b[1m" + r.title + "\x1b[m" + styled
	}
	return styled
}

// indent is the width of what stands before a row's text.
const indent = 11

// rows are at most height lines that are at most width wide.
func (v view) rows(p fuzz.Progress, width, height int) []row {
	out := []row{{title: "learning " + legible(v.program), text: fmt.Sprintf("  %v  %s", p.Phase, v.left(p))}}
	for _, r := range []row{
		{label: "runs", text: fmt.Sprintf("%d, %.0f a second; %d ended normally, %d kept", p.Runs, rate(p.Stats), p.CleanRuns, p.Corpus)},
		{label: "syscalls", text: evident(p)},
		{label: "chance", text: bound(p.Stats)},
		{label: "failures", text: failing(p.Stats)},
		{label: "deliberate", text: deliberate(p.Firsts())},
		{label: "random", text: random(p.Varied)},
	} {
		for _, text := range wrapped(r.text, width-indent) {
			out = append(out, row{label: fmt.Sprintf("%-*s", indent, r.label), text: text})
			r.label = ""
		}
	}
	const most = 10
	if room := min(height-len(out)-1, most); room > 0 && len(p.Found) > 0 {
		out = append(out, row{label: "newest"})
		out = append(out, latest(p, room)...)
	}
	out = out[:max(0, min(len(out), height))]
	for i, r := range out {
		out[i] = r.fit(width)
	}
	return out
}

// wrapped breaks text between words into lines of a width, where its words permit.
func wrapped(text string, width int) []string {
	var out []string
	for word := range strings.FieldsSeq(text) {
		if n := len(out); n > 0 && displaywidth.String(out[n-1]+" "+word) <= width {
			out[n-1] += " " + word
		} else {
			out = append(out, word)
		}
	}
	return out
}

// left says for how long it goes on, at most.
func (v view) left(p fuzz.Progress) string {
	text := p.Session.Truncate(time.Second).String()
	if v.duration > 0 {
		text += fmt.Sprintf(", at most %s left", max(v.duration-p.Session, 0).Round(time.Second))
	}
	if v.execs > 0 {
		text += fmt.Sprintf(", at most %d runs", v.execs)
	}
	return text
}

// evident says on what evidence the syscalls stand.
func evident(p fuzz.Progress) string {
	if len(p.Found) == 0 {
		return "none yet"
	}
	text := fmt.Sprintf("%d: %d observed", len(p.Found), p.Observed)
	if failed := len(p.Found) - p.Observed; failed > 0 {
		text += fmt.Sprintf(", %d error-path", failed)
	}
	return text + fmt.Sprintf("; the last new one %s ago", (p.Elapsed-p.LastNew).Truncate(time.Second))
}

func bound(p fuzz.Stats) string {
	if !synth.Telling(p.Chance) {
		return "not known yet"
	}
	return fmt.Sprintf("that one more run needs another: < %s (95 %%)", synth.Percent(p.Chance))
}

func failing(p fuzz.Stats) string {
	var parts []string
	if p.Crashes > 0 {
		parts = append(parts, "crashed in "+ways(p.Crashes))
	}
	if p.Hangs > 0 {
		parts = append(parts, "hung in "+ways(p.Hangs))
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}

// latest are the syscalls that were found last, the last first, each with what shows it.
func latest(p fuzz.Progress, n int) []row {
	found := slices.Clone(p.Found)
	slices.Reverse(found)
	found = found[:min(len(found), n)]
	wide := 0
	for _, f := range found {
		wide = max(wide, len(f.ID.String()))
	}
	var out []row
	for _, f := range found {
		age := max(p.Elapsed-f.At, 0).Truncate(time.Second)
		how := cmp.Or(strings.Join(f.Varied, "+"), f.Phase.String())
		out = append(out, row{text: fmt.Sprintf("  %-*s  %6v  %s: %s", wide, f.ID, age, how, legible(f.Scenario.Brief()))})
	}
	return out
}

// random says what draws have found, by what they varied.
func random(varied []fuzz.Varied) string {
	var found, none []string
	for _, d := range varied {
		if d.Found > 0 {
			found = append(found, fmt.Sprintf("%d %s", d.Found, d.Dimension))
		} else {
			none = append(none, d.Dimension)
		}
	}
	if len(none) > 0 {
		found = append(found, "0 "+strings.Join(none, " "))
	}
	return strings.Join(found, ", ")
}
