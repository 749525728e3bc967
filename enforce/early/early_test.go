package early

import (
	"slices"
	"strings"
	"testing"
)

func TestOnlyThePlainestStartIsEarly(t *testing.T) {
	for _, tt := range []struct {
		line    string
		profile string
		argv    string // empty where the command is to do it
	}{
		{"tjfuzz enforce --quiet -- jq . --policy x", "", "jq . --policy x"},
		{"tjfuzz enforce --quiet jq -- .", "", "jq -- ."},
		{"tjfuzz enforce --quiet --policy a.json -- ./jq", "a.json", "./jq"},
		{"tjfuzz enforce --policy=a.json --quiet --quiet ./jq", "a.json", "./jq"},
		{"tjfuzz enforce --policy --quiet --quiet -- jq", "--quiet", "jq"},
		{"tjfuzz enforce -- jq --quiet", "", ""},
		{"tjfuzz enforce --policy a.json -- jq", "", ""},
		{"tjfuzz enforce --quiet --policy a.json --policy b.json -- jq", "", ""},
		{"tjfuzz enforce --quiet --allow ptrace -- jq", "", ""},
		{"tjfuzz enforce --quiet=false -- jq", "", ""},
		{"tjfuzz enforce --quiet --help", "", ""},
		{"tjfuzz enforce --quiet --policy a.json --", "", ""},
		{"tjfuzz enforce --quiet --policy", "", ""},
		{"tjfuzz enforce --quiet -- -jq", "", ""},
		{"tjfuzz enforce --quiet -- ", "", ""},
		{"tjfuzz --quiet enforce -- jq", "", ""},
		{"tjfuzz verify --quiet -- jq", "", ""},
		{"tjfuzz enforce", "", ""},
		{"tjfuzz", "", ""},
	} {
		profile, argv, ok := plain(strings.Split(tt.line, " "))
		var want []string
		if tt.argv != "" {
			want = strings.Split(tt.argv, " ")
		}
		if ok != (want != nil) || profile != tt.profile || !slices.Equal(argv, want) {
			t.Errorf("%s: profile %q, argv %q, %v; want %q, %q", tt.line, profile, argv, ok, tt.profile, want)
		}
	}
}
