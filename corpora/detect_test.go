package corpora

import (
	"slices"
	"testing"
)

// Other fuzzers' files have hashes for names: the bytes are all that tells the format.
func TestFormatsAreDetectedByContent(t *testing.T) {
	told := []string{ // of these each valid member shows its format
		"ar", "au", "bmp", "bzip2", "cab", "class", "cpio", "csv", "deb", "elf", "empty", "gif", "gzip", "ics", "jpeg", "macho", "mail",
		"midi", "mp3", "ndjson", "pcap", "pdf", "pe", "perl", "php", "playlist", "png", "postscript", "rtf", "ruby", "sqlite",
		"subtitles", "svg", "tar", "text", "tiff", "tsv", "tzif", "wasm", "wav", "webp", "xpm", "xz", "zip", "zlib", "zstd",
	}
	general := map[string]string{ // what stands for a format of which there is no sign, or one of its members that has none
		"eps": "postscript", "plist": "xml", "shar": "sh", "jsonrpc": "json", "tga": "ico", "json": "text", "xml": "text", "html": "text",
		"sh": "text", "python": "text", "pnm": "text", "sql": "text", "http-request": "text", "pem": "text", "utf16": "text", "latin1": "text",
	}
	for _, s := range Pack() {
		got := Detect(s.Data)
		if got != "" && !slices.Contains(Formats(), got) {
			t.Errorf("%s: got %q, which is no format of the pack", s.Name, got)
		}
		if s.Kind != Valid {
			continue
		}
		switch {
		case slices.Contains(told, s.Format) && got != s.Format:
			t.Errorf("%s: got %q, want %q", s.Name, got, s.Format)
		case got != "" && got != s.Format && got != "text" && got != general[s.Format]:
			t.Errorf("%s: got %q, want %q or nothing", s.Name, got, s.Format)
		}
	}
	if got := Detect([]byte{0x80, 0, 1, 0xfe}); got != "" {
		t.Errorf("bytes: got %q, want nothing", got)
	}
}

func TestManyFormatsHaveValidOddAndBrokenMembers(t *testing.T) {
	kinds := map[string]map[Kind]bool{}
	for _, s := range Pack() {
		if kinds[s.Format] == nil {
			kinds[s.Format] = map[Kind]bool{}
		}
		kinds[s.Format][s.Kind] = true
	}
	complete := 0
	for _, k := range kinds {
		if k[Valid] && k[Odd] && k[Broken] {
			complete++
		}
	}
	if complete < 80 {
		t.Errorf("%d of %d formats have all kinds of members, want at least 80", complete, len(kinds))
	}
	// Those of go-fuzz-corpus that the pack has an encoder for.
	for _, f := range []string{
		"asn1", "bmp", "bson", "bzip2", "csv", "deflate", "der", "elf", "gif", "gob", "gzip", "html", "http-request", "http-response", "http2",
		"jpeg", "json", "jsonrpc", "macho", "mail", "multipart", "pem", "png", "protobuf", "regex", "smtp", "snappy", "sql", "tar", "tiff",
		"tls", "url", "webp", "websocket", "xml", "zip", "zlib",
	} {
		for _, k := range []Kind{Valid, Odd, Broken} {
			if !kinds[f][k] {
				t.Errorf("%s has no member that is %s", f, k)
			}
		}
	}
}
