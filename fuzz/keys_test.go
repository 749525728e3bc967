package fuzz

import (
	"strings"
	"syscall"
	"testing"
)

func TestKeysAreShownAsAPersonWouldPressThem(t *testing.T) {
	for data, want := range map[string]string{
		"ihello\x1b:wq\r":       `"ihello" Escape ":wq" Return`,
		"\x1b[A\x1bOP\x1b[24~q": `Up F1 F12 "q"`,
		"\x03\x04\x1c\x00":      `^C ^D ^\ ^@`,
		"\"\xff\x7f\t":          `"\"\xff" Backspace Tab`,
		"":                      "",
	} {
		if got := keys([]byte(data)); got != want {
			t.Errorf("%q: got %s, want %s", data, got, want)
		}
	}
}

func TestActsAtATerminalAreChecked(t *testing.T) {
	long := []byte(strings.Repeat("x", TypedSize+1))
	for _, tt := range []struct {
		a  Act
		ok bool
	}{
		{Act{Do: DeedType, Data: []byte("q")}, true},
		{Act{Do: DeedResize}, true},
		{Act{Do: DeedHangUp}, true},
		{Act{Do: DeedPause}, true},
		{Act{Do: DeedType, Data: long}, false},
		{Act{Do: DeedType, Data: []byte("q"), To: "tcp/80"}, false},
		{Act{Do: DeedType, Data: []byte("q"), Client: 1}, false},
		{Act{Do: DeedType, Data: []byte("q"), Times: 2}, false},
		{Act{Do: DeedResize, Data: []byte("q")}, false},
		{Act{Do: DeedPause, Signal: syscall.SIGHUP}, false},
	} {
		if err := checkActs([]Act{tt.a}); (err == nil) != tt.ok {
			t.Errorf("%+v: got %v, want an error: %v", tt.a, err, !tt.ok)
		}
	}
}
