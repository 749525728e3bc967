package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/tjfuzz/tjfuzz/synth"
)

//go:embed page.html
var page string

var htmlPage = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page").Funcs(template.FuncMap{
		"join":    func(words []string) string { return strings.Join(words, " ") },
		"seconds": seconds,
		"percent": synth.Percent,
		"telling": synth.Telling,
		"curve":   newCurve,
	}).Parse(page))
})

// HTML writes the report as one page that needs nothing else: it loads nothing, and what
// scripts may do is bound by its own Content-Security-Policy. #filter=WORDS in its address
// shows the rules with these words.
func (r *Report) HTML(w io.Writer) error {
	if err := htmlPage().Execute(w, r); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(100 * time.Millisecond).String()
}

// curve is the picture of a discovery, in a frame of 750 by 220 at (40, 10).
type curve struct {
	Points   string
	Total    int
	Duration string
}

// newCurve draws how many syscalls were known at which time; nil where there is nothing
// to draw.
func newCurve(found []Found, duration float64) *curve {
	if len(found) == 0 || duration <= 0 {
		return nil
	}
	const left, bottom, width, height = 40, 230, 750, 210
	c := &curve{Total: len(found), Duration: seconds(duration)}
	at := func(seconds float64, n int) string {
		return fmt.Sprintf("%.1f,%.1f", left+width*min(seconds/duration, 1), bottom-height*float64(n)/float64(len(found)))
	}
	points := []string{at(0, 0)}
	for i, f := range found {
		points = append(points, at(f.Seconds, i), at(f.Seconds, i+1))
	}
	c.Points = strings.Join(append(points, at(duration, len(found))), " ")
	return c
}
