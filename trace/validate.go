package trace

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// maxErrno is MAX_ERRNO of linux/err.h: the largest number that a call returns as
// an error.
const maxErrno = 4095

// registers is how many arguments a syscall can have.
const registers = 6

// Validate says what in a trace cannot be: counts that exceed the runs, the same
// syscall twice, an ABI that is none, a list that is out of order or too long.
func (t *Trace) Validate() error {
	switch {
	case !slices.Contains(sysno.Archs(), t.Arch):
		return errors.New("the machine's architecture is missing")
	case t.CleanRuns > t.Runs:
		return fmt.Errorf("%d clean runs, but %d runs", t.CleanRuns, t.Runs)
	}
	if s := t.Target.SHA256; s != "" && (len(s) != 64 || !isHex(s)) {
		return fmt.Errorf("target: %q is no SHA-256 in lower case hexadecimal", s)
	}
	for _, l := range append([]Library{{t.Target.Path, t.Target.BuildID}}, t.Target.Libraries...) {
		if !isHex(l.BuildID) {
			return fmt.Errorf("%q: build id %q is not lower case hexadecimal", l.Path, l.BuildID)
		}
	}
	seen := make(map[sysno.ID]bool, len(t.Observations))
	for _, o := range t.Observations {
		switch {
		case !slices.Contains(sysno.Archs(), o.ID.Arch):
			return fmt.Errorf("syscall %d has no architecture", o.ID.NR)
		case seen[o.ID]:
			return fmt.Errorf("%v is listed twice", o.ID)
		case o.Runs > t.Runs || o.CleanRuns > t.CleanRuns || o.CleanRuns > o.Runs:
			return fmt.Errorf("%v: seen in %d runs, %d of them clean, but there are %d and %d", o.ID, o.Runs, o.CleanRuns, t.Runs, t.CleanRuns)
		case !utf8.ValidString(o.Witness.ID):
			return fmt.Errorf("%v: the witness's key is no UTF-8", o.ID)
		}
		seen[o.ID] = true
		if err := o.validateDetails(); err != nil {
			return fmt.Errorf("%v: %w", o.ID, err)
		}
	}
	for i, op := range t.Operations {
		if i > 0 && op.Code <= t.Operations[i-1].Code {
			return fmt.Errorf("io_uring operation %d is out of order or listed twice", op.Code)
		}
		if !utf8.ValidString(op.Name) {
			return fmt.Errorf("io_uring operation %d: the name is no UTF-8", op.Code)
		}
	}
	return nil
}

func (o *Observation) validateDetails() error {
	if o.Phases&^(PhaseStartup|PhaseMain) != 0 {
		return fmt.Errorf("phases %#x: there is no such phase", uint8(o.Phases))
	}
	for i, e := range o.Returns.Errnos {
		if e == 0 || e > maxErrno {
			return fmt.Errorf("errno %d is not between 1 and %d", e, maxErrno)
		}
		if i > 0 && e <= o.Returns.Errnos[i-1] {
			return fmt.Errorf("errno %d is out of order or listed twice", e)
		}
	}
	if err := validateArgs(o.Args); err != nil {
		return err
	}
	if len(o.Sites) > MaxSites {
		return fmt.Errorf("%d call sites; at most %d are kept", len(o.Sites), MaxSites)
	}
	for i, s := range o.Sites {
		if !isHex(s.BuildID) {
			return fmt.Errorf("call site in %q: build id %q is not lower case hexadecimal", s.Module, s.BuildID)
		}
		if i > 0 && o.Sites[i-1].Compare(s) >= 0 {
			return fmt.Errorf("call site %#x in %q is out of order or listed twice", s.Offset, s.Module)
		}
	}
	return nil
}

func validateArgs(args []Arg) error {
	for i, a := range args {
		if a.Index < 0 || a.Index >= registers {
			return fmt.Errorf("argument %d: there are only 0 to %d", a.Index, registers-1)
		}
		if i > 0 && a.Index <= args[i-1].Index {
			return fmt.Errorf("argument %d is out of order or listed twice", a.Index)
		}
		if err := a.validate(); err != nil {
			return fmt.Errorf("argument %d: %w", a.Index, err)
		}
	}
	return nil
}

func (a *Arg) validate() error {
	switch {
	case a.Any && len(a.Values) > 0:
		return errors.New("any value, and a list of values")
	case !a.Any && len(a.Values) == 0:
		return errors.New("no value")
	case len(a.Values) > MaxValues:
		return fmt.Errorf("%d values; at most %d are told apart", len(a.Values), MaxValues)
	}
	for i, v := range a.Values {
		if i > 0 && v <= a.Values[i-1] {
			return fmt.Errorf("value %#x is out of order or listed twice", v)
		}
	}
	return nil
}

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
