package main

import "testing"

func TestWhatATerminalWouldObeyIsEscaped(t *testing.T) {
	for line, want := range map[string]string{
		"  witness:   jq '.a' \"b\"": "  witness:   jq '.a' \"b\"",
		"naïve → 1\ufffd":            "naïve → 1\ufffd",
		"a\x1b]0;title\x07b\r\n":     `a\x1b]0;title\ab\r\n`,
		"\xff\u202e":                 `\xff\u202e`,
	} {
		if got := legible(line); got != want {
			t.Errorf("%q: got %s, want %s", line, got, want)
		}
	}
}
