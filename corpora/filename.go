package corpora

import "strings"

// FileName is what a file of a format is called where programs look at names:
// "input.gz" for gzip. It is empty for formats whose files have no common suffix, and
// for those that are not known.
func FileName(format string) string {
	switch format {
	case "make":
		return "Makefile"
	case "dockerfile":
		return "Dockerfile"
	case "roff":
		return "input.1"
	}
	for _, pair := range strings.Fields(suffixes) {
		f, suffix, differs := strings.Cut(pair, ":")
		if f != format {
			continue
		}
		if !differs {
			suffix = format
		}
		return "input." + suffix
	}
	return ""
}

// suffixes has a word for each format whose files have one: the format, and after a
// colon the suffix where that is another.
const suffixes = `
ar:a asm:s asn1 au awk base64:b64 bc bmp bson bzip2:bz2 c cab cbor class compress:Z cpio cpp css csv deb der diff dot ed elf:o eps
gif gnuplot:gp go gob gzip:gz html ico ics ihex:hex ini javascript:js jpeg:jpg jq json latex:tex log lua lz4 m4 mail:eml markdown:md
mbox midi:mid mo mp3 mp4 msgpack ndjson pcap pdf pem perl:pl php playlist:m3u plist png pnm:pnm po postscript:ps properties
protobuf:pb python:py rtf ruby:rb sed sh shar sql sqlite:db srec subtitles:srt svg tar tcl texinfo:texi text:txt tga tiff:tif
toml tsv uuencode:uu vim wasm wav xbm xml xpm xsd xslt:xsl xz y4m yaml zip zlib:zz zstd:zst`
