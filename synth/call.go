package synth

import (
	"fmt"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Call is a call as a filter sees it, with arguments that may be left open.
type Call struct {
	ID   sysno.ID
	Args [6]uint64
	Open [6]bool // may be anything; the value in Args is 0
}

// String is the call with dots for what is open.
func (c Call) String() string {
	args := c.ID.Args()
	if !c.ID.Described() {
		args = make([]sysno.Arg, registers)
		for i := range args {
			args[i] = argumentAt(c.ID, uint8(i))
		}
	}
	words := make([]string, len(args))
	for i, a := range args {
		if words[i] = a.Format(c.Args[i]); c.Open[i] {
			words[i] = "..."
		}
	}
	return c.ID.String() + "(" + strings.Join(words, ", ") + ")"
}

// ParseCall reads a call as traces show it: "openat(AT_FDCWD, ..., O_RDONLY|O_CREAT)",
// "i386:socket(AF_UNIX)", "$165(1, 2)". An argument is a number, names of its values
// joined by |, NULL, or NAME=VALUE for one out of turn. "...", "…", "_" and a text in
// quotes, of which a filter sees the address only, are open, and so are arguments
// that are not given. A name without an ABI is of the given one.
func ParseCall(arch sysno.Arch, text string) (Call, error) {
	name, rest, given := strings.Cut(strings.TrimSpace(text), "(")
	id, err := sysno.Parse(arch, strings.TrimSpace(name))
	if err != nil {
		return Call{}, err
	}
	c := Call{ID: id, Open: [6]bool{true, true, true, true, true, true}}
	if !given {
		return c, nil
	}
	list, ok := strings.CutSuffix(rest, ")")
	if !ok {
		return Call{}, fmt.Errorf("%q does not end with a parenthesis", text)
	}
	if strings.TrimSpace(list) == "" {
		return c, nil
	}
	for i, word := range splitOutsideQuotes(list) {
		if err := c.set(i, strings.TrimSpace(word)); err != nil {
			return Call{}, err
		}
	}
	return c, nil
}

// set reads one argument. What it means may depend on those before.
func (c *Call) set(i int, word string) error {
	index := uint8(i)
	if name, value, named := strings.Cut(word, "="); named && !strings.HasPrefix(word, `"`) {
		var err error
		if index, _, err = argument(c.ID, strings.TrimSpace(name)); err != nil {
			return err
		}
		word = strings.TrimSpace(value)
	}
	args := c.ID.ArgsOf(c.Args)
	switch {
	case int(index) >= registers:
		return fmt.Errorf("%v: a call has at most %d arguments", c.ID, registers)
	case int(index) >= len(c.ID.Args()) && c.ID.Described():
		return fmt.Errorf("%v has %d arguments", c.ID, len(c.ID.Args()))
	}
	arg := argumentAt(c.ID, index)
	if int(index) < len(args) {
		arg = args[index]
	}
	switch {
	case word == "":
		return fmt.Errorf("%v: %s is empty; write ... for anything", c.ID, arg.Name)
	case word == "..." || word == "…" || word == "_" || strings.HasPrefix(word, `"`):
		return nil
	}
	v, err := callValue(arg, word)
	if err != nil {
		return fmt.Errorf("%v: %s: %w", c.ID, arg.Name, err)
	}
	c.Args[index], c.Open[index] = v, false
	return nil
}

func callValue(arg sysno.Arg, word string) (uint64, error) {
	switch {
	case word == "NULL":
		return 0, nil
	case arg.Kind == sysno.KindDirFD && word == "AT_FDCWD":
		word = "-100"
	}
	return valueOf(arg, word)
}

// splitOutsideQuotes splits at commas.
func splitOutsideQuotes(list string) []string {
	var words []string
	start, quoted := 0, false
	for i := 0; i < len(list); i++ {
		switch {
		case quoted && list[i] == '\\':
			i++
		case list[i] == '"':
			quoted = !quoted
		case list[i] == ',' && !quoted:
			words = append(words, list[start:i])
			start = i + 1
		}
	}
	return append(words, list[start:])
}
