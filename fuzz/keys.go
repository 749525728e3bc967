package fuzz

import (
	"fmt"
	"slices"
	"strings"
)

// Types reports whether something is done at the scenario's terminal while the program runs.
func (s *Scenario) Types() bool {
	return slices.ContainsFunc(s.Acts, func(a Act) bool { return a.Do.atTerminal() })
}

// onTerminal reports whether a stream of the scenario is a terminal.
func (s *Scenario) onTerminal() bool {
	return s.Stdin == StdinTerminal || s.World.Stdout == OutputTerminal || s.World.Stderr == OutputTerminal
}

// namedKeys are the keys that a terminal sends more than a character for, as xterm does, or one that has a name.
var namedKeys = []struct{ name, sent string }{
	{"Up", "\x1b[A"}, {"Down", "\x1b[B"}, {"Right", "\x1b[C"}, {"Left", "\x1b[D"}, {"Home", "\x1b[H"}, {"End", "\x1b[F"},
	{"Insert", "\x1b[2~"}, {"Delete", "\x1b[3~"}, {"PageUp", "\x1b[5~"}, {"PageDown", "\x1b[6~"},
	{"F1", "\x1bOP"}, {"F2", "\x1bOQ"}, {"F3", "\x1bOR"}, {"F4", "\x1bOS"}, {"F5", "\x1b[15~"}, {"F6", "\x1b[17~"}, {"F7", "\x1b[18~"},
	{"F8", "\x1b[19~"}, {"F9", "\x1b[20~"}, {"F10", "\x1b[21~"}, {"F11", "\x1b[23~"}, {"F12", "\x1b[24~"}, {"Shift-Tab", "\x1b[Z"},
	{"Escape", "\x1b"}, {"Return", "\r"}, {"Tab", "\t"}, {"Backspace", "\x7f"},
}

// keys is what is typed as the keys that a person would press: "ihello" Escape ":wq" Return.
func keys(data []byte) string {
	var out []string
	text := ""
	flush := func() {
		if text != "" {
			out, text = append(out, fmt.Sprintf("%q", text)), ""
		}
	}
	for rest := string(data); rest != ""; {
		i := slices.IndexFunc(namedKeys, func(k struct{ name, sent string }) bool { return strings.HasPrefix(rest, k.sent) })
		switch {
		case i >= 0:
			flush()
			out, rest = append(out, namedKeys[i].name), rest[len(namedKeys[i].sent):]
		case rest[0] < ' ':
			flush()
			out, rest = append(out, "^"+string(rest[0]+'@')), rest[1:]
		default:
			text, rest = text+rest[:1], rest[1:]
		}
	}
	flush()
	return strings.Join(out, " ")
}

// together are the acts with what is typed one after the other as one, for people.
func together(acts []Act) (out []Act) {
	for _, a := range acts {
		if n := len(out); n > 0 && a.Do == DeedType && out[n-1].Do == DeedType {
			out[n-1].Data = slices.Concat(out[n-1].Data, a.Data)
		} else {
			out = append(out, a)
		}
	}
	return out
}
