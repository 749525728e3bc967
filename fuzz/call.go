package fuzz

import (
	"fmt"
	"strings"
)

// Call is a function that the target calls at a moment, whatever its code would do then. It is one by which programs
// end that find themselves broken, as abort(3): the code calls it somewhere, but hardly for any input
// that a session comes upon. The zero value is none.
type Call struct {
	Function string // as the linker calls it
	At       Occasion
}

// Occasion is when a Call is made. The zero value is never.
type Occasion uint8

// The occasions.
const (
	OccasionNever Occasion = iota
	OccasionMain           // in the place of main()
	OccasionWrite          // right after it has first written to standard output or standard error; never where it writes nothing
	occasions
)

// String is the occasion's name in files, empty for an invalid one.
func (o Occasion) String() string {
	if o >= occasions {
		return ""
	}
	return [occasions]string{"never", "main", "write"}[o]
}

// String is the call in files, as in "abort@main".
func (c Call) String() string { return c.Function + "@" + c.At.String() }

// parseCall is the inverse of String.
func parseCall(s string) (Call, error) {
	name, word, _ := strings.Cut(s, "@")
	at, err := parse(word, occasions)
	c := Call{name, at}
	if err != nil || at == OccasionNever || name == "" || strings.Trim(name, identifier) != "" {
		return Call{}, fmt.Errorf("%q is no call; one is as in abort@main", s)
	}
	return c, nil
}

// identifier are the characters of a function's name.
const identifier = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

func (w *World) checkCall() error {
	if w.Call == (Call{}) {
		return nil
	}
	if back, err := parseCall(w.Call.String()); err != nil || back != w.Call {
		return fmt.Errorf("no function can be named %q, or there is no such occasion", w.Call.Function)
	}
	if _, shifted := w.Clock.TimeOfDay(); shifted { // a process has one tracer
		return fmt.Errorf("a call of %s, and another time of day: the target has one or the other", w.Call.Function)
	}
	return nil
}

// note says in a line what is called and when.
func (c Call) note() string {
	if c.At == OccasionWrite {
		return c.Function + " called when it has written"
	}
	return c.Function + " called in the place of main"
}
