package corpora

import (
	"strings"

	"github.com/gabriel-vasile/mimetype"
)

// Detect names the format that data is of, by the bytes that it begins with; it is one of
// Formats, or "" where the bytes do not tell. Many formats of text look alike: what is
// text and has no sign of its own is "text".
func Detect(data []byte) string {
	if len(data) == 0 {
		return "empty"
	}
	byType := mediaTypes()
	for m := mimetype.Detect(data); m != nil; m = m.Parent() {
		name, _, _ := strings.Cut(m.String(), ";") // a charset may follow
		if f, ok := byType[name]; ok {
			return f
		}
	}
	return ""
}

// mediaTypes are formats by what the library calls them. A type that stands for several formats
// has that of the most general.
func mediaTypes() map[string]string {
	return map[string]string{
		"application/gzip":                              "gzip",
		"application/json":                              "json",
		"application/pdf":                               "pdf",
		"application/postscript":                        "postscript",
		"application/tzif":                              "tzif",
		"application/vnd.apple.mpegurl":                 "playlist",
		"application/vnd.debian.binary-package":         "deb",
		"application/vnd.microsoft.portable-executable": "pe",
		"application/vnd.sqlite3":                       "sqlite",
		"application/vnd.tcpdump.pcap":                  "pcap",
		"application/vnd.ms-cab-compressed":             "cab",
		"application/wasm":                              "wasm",
		"application/x-archive":                         "ar",
		"application/x-bzip2":                           "bzip2",
		"application/x-cpio":                            "cpio",
		"application/x-elf":                             "elf",
		"application/x-java-applet":                     "class",
		"application/x-mach-binary":                     "macho",
		"application/x-ndjson":                          "ndjson",
		"application/x-subrip":                          "subtitles",
		"application/x-tar":                             "tar",
		"application/x-xz":                              "xz",
		"application/zip":                               "zip",
		"application/zlib":                              "zlib",
		"application/zstd":                              "zstd",
		"audio/basic":                                   "au",
		"audio/midi":                                    "midi",
		"audio/mpeg":                                    "mp3",
		"audio/wav":                                     "wav",
		"image/bmp":                                     "bmp",
		"image/gif":                                     "gif",
		"image/jpeg":                                    "jpeg",
		"image/png":                                     "png",
		"image/svg+xml":                                 "svg",
		"image/tiff":                                    "tiff",
		"image/webp":                                    "webp",
		"image/x-icon":                                  "ico",
		"image/x-portable-bitmap":                       "pnm",
		"image/x-portable-graymap":                      "pnm",
		"image/x-portable-pixmap":                       "pnm",
		"image/x-xpixmap":                               "xpm",
		"message/rfc822":                                "mail",
		"text/calendar":                                 "ics",
		"text/csv":                                      "csv",
		"text/html":                                     "html",
		"text/plain":                                    "text",
		"text/rtf":                                      "rtf",
		"text/tab-separated-values":                     "tsv",
		"text/vtt":                                      "subtitles",
		"text/x-lua":                                    "lua",
		"text/x-perl":                                   "perl",
		"text/x-php":                                    "php",
		"text/x-python":                                 "python",
		"text/x-ruby":                                   "ruby",
		"text/x-shellscript":                            "sh",
		"text/x-tcl":                                    "tcl",
		"text/xml":                                      "xml",
		"video/mp4":                                     "mp4",
	}
}
