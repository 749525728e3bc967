package mine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestWordsOfAFileAreCalledInEveryWay(t *testing.T) {
	strs := []string{"syscmd", "two words", "%s: error", "syscmd", "UPPER", "in", "include"}
	got := Calls(strs, "a.txt")
	want := []string{
		"syscmd(\"ls\")\nsyscmd(\"a.txt\")\ninclude(\"ls\")\ninclude(\"a.txt\")\n",
		"syscmd(`ls')\nsyscmd(`a.txt')\ninclude(`ls')\ninclude(`a.txt')\n",
		"syscmd ls\nsyscmd a.txt\ninclude ls\ninclude a.txt\n",
		"(syscmd \"ls\")\n(syscmd \"a.txt\")\n(include \"ls\")\n(include \"a.txt\")\n",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	var many []string
	for i := range 3 * maxCalled {
		many = append(many, fmt.Sprintf("word%d", i))
	}
	got = Calls(many, "f")
	if n := strings.Count(strings.Join(got, ""), `("ls")`); n != maxCalled || len(got) != 4*maxCalled/callsAtime {
		t.Errorf("%d words in %d scripts, want %d words", n, len(got), maxCalled)
	}
	if got := Calls(nil, "f"); len(got) > 0 {
		t.Errorf("nothing is called as %q", got)
	}
}
