package main

import (
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/tjfuzz/tjfuzz/fuzz"
)

// events writes what happens in a session as JSON, an object a line. docs/formats.md describes them.
type events struct {
	e     *json.Encoder
	known map[string]bool // syscalls that were told of
	told  time.Duration
	err   error // of the first line that could not be written; nothing is written after it
}

func newEvents(w io.Writer) *events {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return &events{e: e, known: map[string]bool{}, told: -second}
}

// second is how often the numbers are told.
const second = time.Second

type eventBegin struct {
	Event    string   `json:"event"` // begin
	Command  []string `json:"command"`
	Options  int      `json:"options"`
	Commands int      `json:"sub_commands"`
	Seeds    int      `json:"seeds"`
	Jobs     int      `json:"jobs"`
	Seed     uint64   `json:"seed"`
}

type eventFound struct {
	Event string `json:"event"` // found
	summaryFound
	Command string `json:"command"`
}

type eventStatus struct {
	Event    string          `json:"event"` // status
	Phase    string          `json:"phase"`
	Seconds  float64         `json:"seconds"`
	Runs     uint64          `json:"runs"`
	Syscalls int             `json:"syscalls"`
	Observed int             `json:"observed"`
	Chance   float64         `json:"chance_of_another"`
	Crashes  int             `json:"crashes"`
	Hangs    int             `json:"hangs"`
	Varied   []summaryVaried `json:"varied"`
}

type eventResult struct {
	Event string `json:"event"` // result
	sessionSummary
}

func (e *events) write(event any) {
	if e.err == nil {
		e.err = e.e.Encode(event)
	}
}

// begin says what is learned with what.
func (e *events) begin(l *learning) {
	e.write(eventBegin{"begin", l.args, len(l.found.Table.Options), len(l.found.Table.Commands), len(l.initial), l.jobs, l.seed})
}

func (e *events) show(p fuzz.Progress) {
	for _, f := range p.Found {
		if name := f.ID.String(); !e.known[name] {
			e.known[name] = true
			e.write(eventFound{"found", foundSummary(f.Found), f.Scenario.Brief()})
		}
	}
	if p.Elapsed-e.told < second {
		return
	}
	e.told = p.Elapsed
	e.write(eventStatus{"status", p.Phase.String(), p.Elapsed.Seconds(), p.Runs, len(p.Found), p.Observed, p.Chance, p.Crashes, p.Hangs, variedSummary(p.Varied)})
}

func (e *events) end() {}

// result writes the last event, and says whether all could be written.
func (e *events) result(s sessionSummary) error {
	e.write(eventResult{"result", s})
	if e.err != nil {
		return errors.Join(errors.New("write the events"), e.err)
	}
	return nil
}
