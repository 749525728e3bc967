package corpora

import (
	"slices"
	"strings"
	"testing"
)

func TestFileNamesAreOfFormatsThatThereAre(t *testing.T) {
	formats := Formats()
	seen := map[string]bool{}
	for _, pair := range strings.Fields(suffixes) {
		format, _, _ := strings.Cut(pair, ":")
		if !slices.Contains(formats, format) || seen[format] {
			t.Errorf("%s is not a format of the pack, or stands there twice", format)
		}
		seen[format] = true
	}
	for format, want := range map[string]string{"gzip": "input.gz", "json": "input.json", "make": "Makefile", "passwd": "", "": "", "no-such-format": ""} {
		if got := FileName(format); got != want {
			t.Errorf("FileName(%q) = %q, want %q", format, got, want)
		}
	}
}
