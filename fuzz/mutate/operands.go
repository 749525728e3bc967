package mutate

import (
	"slices"
	"strings"
)

// addOperand adds an operand: a text, an entry of the dictionary or another value.
func (m *argv) addOperand() bool {
	at := len(m.w)
	if m.r.IntN(4) == 0 {
		at = m.r.IntN(len(m.w) + 1)
	}
	v := m.t.Value(m.r, nil)
	switch n := m.r.IntN(8); {
	case len(m.t.Texts) > 0 && n < 2:
		v = one(m.r, m.t.Texts)
	case len(m.dict) > 0 && n < 4:
		v = strings.ReplaceAll(string(one(m.r, m.dict)), "\x00", "")
	}
	m.insert(at, v)
	return true
}

// addCommand puts a sub-command where they stand, or replaces the one there.
func (m *argv) addCommand() bool {
	if len(m.t.Commands) == 0 {
		return false
	}
	c := strings.Fields(one(m.r, m.t.Commands))
	for n := min(2, len(m.w)); n > 0; n-- {
		if slices.Contains(m.t.Commands, strings.Join(m.w[:n], " ")) {
			m.w = slices.Delete(m.w, 0, n)
			break
		}
	}
	m.insert(0, c...)
	return true
}

// takeExample puts a command line that the target's texts show in the place of all words.
func (m *argv) takeExample() bool {
	if len(m.t.Examples) == 0 {
		return false
	}
	m.w = slices.Clone(one(m.r, m.t.Examples))
	return true
}

// dropAll takes all words away.
func (m *argv) dropAll() bool {
	m.w = nil
	return true
}
