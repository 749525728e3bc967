// Package denial decides what is said of the calls that a policy refuses or logs: each
// once a process, syscall, arguments and action, with a count, in words, as JSON, and as
// the change of the policy that would allow it. It refuses to know who has seen the
// calls, and how. Its main hazard is a report that looks complete and is not: what was
// lost is part of it.
package denial

import (
	"fmt"
	"strconv"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// Event is a call that was refused, or that the policy wants reported.
type Event struct {
	ID    sysno.ID
	Args  [6]uint64
	Texts []Text       // those that are known
	Cut   bool         // Args and Texts are not known: several calls are counted together
	Took  synth.Action // what the kernel says that it did, invalid where it does not say
	PID   int
	TID   int // 0 where it is not known
	Comm  string
	Site  string // where the call was made: "libc.so.6:mkdir+0xb", empty where unknown
	// Caller is where the program seems to have called the library that Site is in:
	// "prog:main+0x12", empty where unknown.
	Caller string
	Count  uint64 // how often this process made this very call, at least 1

	// Passed says that the call was executed, as with calls that are logged, and that no
	// filter refused it.
	Passed bool
}

// Text is what an argument points to, in words.
type Text struct {
	Arg     int // index in Args
	Bytes   string
	Cut     bool // the string is longer
	Literal bool // is shown as it is: a socket address, not a string
}

// String is the text in quotes, escaped so that a terminal shows it harmlessly,
// with dots behind it where it is cut.
func (t Text) String() string {
	s := strconv.Quote(t.Bytes)
	if t.Literal {
		s = s[1 : len(s)-1]
	}
	if t.Cut {
		s += "..."
	}
	return s
}

// Call writes the call with what arguments point to in place of their addresses.
// Arguments of one address have one string.
func (e Event) Call() string {
	if e.Cut {
		return e.ID.String() + "(...)"
	}
	return sysno.FormatCallFunc(e.ID, e.Args, func(a sysno.Arg, v uint64) (string, bool) {
		for _, t := range e.Texts {
			isString := a.Kind == sysno.KindPath || a.Kind == sysno.KindString
			if (isString || t.Literal && a.Kind == sysno.KindPtr) && e.Args[t.Arg]&a.Mask() == v {
				return t.String(), true
			}
		}
		return "", false
	})
}

// who names the thread. Its name is the target's choice, so it is escaped too.
func (e Event) who() string {
	comm := strconv.Quote(e.Comm)
	s := fmt.Sprintf("%s, pid %d", comm[1:len(comm)-1], e.PID)
	if e.TID != e.PID && e.TID != 0 {
		s += fmt.Sprintf(", thread %d", e.TID)
	}
	if e.Site != "" {
		site := strconv.Quote(e.Site)
		s += ", at " + site[1:len(site)-1]
	}
	if e.Caller != "" {
		caller := strconv.Quote(e.Caller)
		s += " from " + caller[1:len(caller)-1]
	}
	return s
}
