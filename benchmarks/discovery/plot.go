package main

import (
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"time"

	"github.com/tjfuzz/tjfuzz/benchmarks/learning"
)

// The plot has a panel for each program, in rows, and a curve for each mode in a panel.
const (
	panelsInRow = 3
	panelWide   = 250.0
	panelHigh   = 150.0
	panelGap    = 45.0 // for names and numbers
)

// curveColors tell the modes apart in light and dark, and for most who do not see all colours.
var curveColors = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7"}

// plot draws, as SVG, how many syscalls each session had found by a time. Time is logarithmic from
// a tenth of a second on.
func plot(w io.Writer, duration time.Duration, modes []mode, subjects []subject) error {
	measured := slices.DeleteFunc(slices.Clone(subjects), func(s subject) bool { return s.failed != "" })
	rows := (len(measured) + panelsInRow - 1) / panelsInRow
	wide, high := panelsInRow*(panelWide+panelGap)+panelGap, float64(rows)*(panelHigh+panelGap)+2*panelGap
	p := &pen{w: w}
	p.draw(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="11">`, wide, high)
	p.draw(`<rect width="100%%" height="100%%" fill="#fff"/>`)
	for i, m := range modes {
		x := panelGap + float64(i)*150
		p.draw(`<line x1="%.0f" y1="20" x2="%.0f" y2="20" stroke="%s" stroke-width="2"/>`, x, x+20, curveColors[i])
		p.draw(`<text x="%.0f" y="24">%s</text>`, x+26, html.EscapeString(m.name))
	}
	for i, s := range measured {
		p.panel(s, panelGap+float64(i%panelsInRow)*(panelWide+panelGap), panelGap+float64(i/panelsInRow)*(panelHigh+panelGap), duration.Seconds())
	}
	p.draw(`</svg>`)
	return p.err
}

// pen writes lines until one fails.
type pen struct {
	w   io.Writer
	err error
}

func (p *pen) draw(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// panel draws the curves of a program with the upper left corner at x, y.
func (p *pen) panel(s subject, x, y, end float64) {
	const begin = .1
	most := 1
	for _, session := range s.sessions {
		if session.failed == "" {
			most = max(most, len(session.Found))
		}
	}
	across := func(seconds float64) float64 {
		return x + panelWide*math.Log(max(seconds, begin)/begin)/math.Log(max(end, 2*begin)/begin)
	}
	up := func(n int) float64 { return y + panelHigh*(1-float64(n)/float64(most)) }
	p.draw(`<rect x="%.1f" y="%.1f" width="%.0f" height="%.0f" fill="none" stroke="#999"/>`, x, y, panelWide, panelHigh)
	p.draw(`<text x="%.1f" y="%.1f" font-weight="bold">%s</text>`, x, y-5, html.EscapeString(s.name))
	p.draw(`<text x="%.1f" y="%.1f" text-anchor="end">%d</text>`, x-4, y+9, most)
	p.draw(`<text x="%.1f" y="%.1f" text-anchor="end">0</text>`, x-4, y+panelHigh)
	const label = 28 // is as wide
	for _, t := range ticks(time.Duration(end * float64(time.Second))) {
		if at := across(t.Seconds()); at > across(end)-label && at < across(end) {
			continue
		}
		p.draw(`<text x="%.1f" y="%.1f" text-anchor="middle">%v</text>`, across(t.Seconds()), y+panelHigh+13, t)
	}
	for i, session := range s.sessions {
		if session.failed == "" {
			p.draw(`<path d="%s" fill="none" stroke="%s" stroke-width="1.5"/>`, stairs(session.Found, end, across, up), curveColors[i])
		}
	}
}

// stairs is the path of a curve that rises by one where something was found.
func stairs(found []learning.Found, end float64, across func(seconds float64) float64, up func(n int) float64) string {
	path := fmt.Sprintf("M%.1f,%.1f", across(0), up(0))
	for i, f := range found {
		path += fmt.Sprintf("H%.1fV%.1f", across(f.Seconds), up(i+1))
	}
	return path + fmt.Sprintf("H%.1f", across(end))
}
