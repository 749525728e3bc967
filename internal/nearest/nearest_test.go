package nearest

import "testing"

func TestToIsTheWordThatWasMeantOrNone(t *testing.T) {
	known := []string{"commands", "command", "environment", "seeds", "time"}
	for word, want := range map[string]string{
		"comands": "commands", "enviroment": "environment", "seed": "seeds", "tiem": "", "budget": "", "": "", "time": "time",
	} {
		if got := To(word, known); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}
