package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/synth"
)

// watching is somebody who is told how far learn is. show is never called concurrently.
type watching interface {
	show(fuzz.Progress)
	end()
}

// watched says who watches, and through which voice the rest of the session is to speak meanwhile:
// a screen on a terminal, lines elsewhere, nothing for who wants quiet. What a machine reads comes beside.
func (l *learning) watched() (watching, voice) {
	var all watchers
	v := l.v
	stdout := voice{w: l.c.OutOrStdout()}
	switch f, _ := l.v.w.(*os.File); {
	case l.quiet:
	case l.v.terminal() && movable() && !(l.events != nil && stdout.terminal()): // where events come, too
		s := newScreen(f, view{program: filepath.Base(l.args[0]), duration: l.duration, execs: l.execs, plain: os.Getenv("NO_COLOR") != ""})
		v.w = s
		all = append(all, s)
	default:
		all = append(all, &lines{v: l.v})
	}
	if l.events != nil {
		all = append(all, l.events)
	}
	return all, v
}

// movable reports whether the terminal says that its cursor can be moved.
func movable() bool {
	name := os.Getenv("TERM")
	return name != "" && name != "dumb"
}

// watchers are several at once.
type watchers []watching

func (all watchers) show(p fuzz.Progress) {
	for _, w := range all {
		w.show(p)
	}
}

func (all watchers) end() {
	for _, w := range all {
		w.end()
	}
}

// lines tells of progress where nothing can be written over, in a line now and then.
type lines struct {
	v    voice
	told time.Duration
}

// every is how often a line is written.
const every = 10 * time.Second

func (l *lines) show(p fuzz.Progress) {
	if p.Elapsed-l.told < every {
		return
	}
	l.told = p.Elapsed
	line := fmt.Sprintf("%s  %s  %d runs (%.0f/s)  %d syscalls  last new %s ago",
		p.Elapsed.Round(time.Second), p.Phase, p.Runs, rate(p.Stats), p.Syscalls, (p.Elapsed - p.LastNew).Round(time.Second))
	if synth.Telling(p.Chance) {
		line += "  chance that one more needs another < " + synth.Percent(p.Chance)
	}
	l.v.say("%s", line)
}

func (l *lines) end() {}

func rate(s fuzz.Stats) float64 {
	if s.Elapsed <= 0 {
		return 0
	}
	return float64(s.Runs) / s.Elapsed.Seconds()
}
