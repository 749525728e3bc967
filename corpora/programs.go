package corpora

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"
)

// For returns the pack's seeds in the order in which they are worth trying with a
// program. The program may be a path and carry a version ("/usr/bin/python3.13").
// For a known one these are all members of the formats that it reads, the
// likeliest format first, and within it valid members, then odd, then broken
// ones; plain text and bytes come last. For a program that reads anything it is
// one member of every format, for an unknown program one of each common format.
func For(program string) []Seed {
	byFormat := map[string][]Seed{}
	for _, s := range Pack() {
		byFormat[s.Format] = append(byFormat[s.Format], s)
	}
	var seeds []Seed
	formats, known := formatsOf(program)
	switch {
	case !known:
		for _, f := range commonFormats() {
			seeds = append(seeds, probe(byFormat[f]))
		}
	case formats == everyFormat:
		for _, f := range unique(append(commonFormats(), Formats()...)) {
			seeds = append(seeds, probe(byFormat[f]))
		}
	default:
		for _, f := range unique(append(strings.Fields(formats), "empty", "text", "bytes")) {
			members := byFormat[f]
			slices.SortStableFunc(members, func(a, b Seed) int { return cmp.Compare(a.Kind, b.Kind) })
			seeds = append(seeds, members...)
		}
	}
	return seeds
}

// Others are seeds of the pack, one of each format that none of the seeds has.
func Others(seeds []Seed) []Seed {
	byFormat := map[string][]Seed{}
	for _, s := range Pack() {
		byFormat[s.Format] = append(byFormat[s.Format], s)
	}
	var out []Seed
	for _, f := range Formats() {
		if !slices.ContainsFunc(seeds, func(s Seed) bool { return s.Format == f }) {
			out = append(out, probe(byFormat[f]))
		}
	}
	return out
}

// Packed are seeds that hold files, compressed or put together: a valid one of each such format.
func Packed() []Seed {
	var out []Seed
	for _, s := range Pack() {
		if n := len(out); s.Kind == Valid && IsPacked(s.Format) && (n == 0 || out[n-1].Format != s.Format) {
			out = append(out, s)
		}
	}
	return out
}

// IsPacked reports whether data of the format holds files, compressed or put together.
func IsPacked(format string) bool {
	switch format {
	case "ar", "bzip2", "cab", "compress", "cpio", "deb", "gzip", "lz4", "tar", "xz", "zip", "zlib", "zstd":
		return true
	}
	return false
}

// unique drops what occurred before.
func unique(names []string) []string {
	var kept []string
	for _, n := range names {
		if !slices.Contains(kept, n) {
			kept = append(kept, n)
		}
	}
	return kept
}

// Rank orders seeds by what the target accepts: it asks accept about one seed of
// each format, a valid one if there is one, and puts the seeds of the accepted
// formats first. The order is otherwise kept. Where nobody has said whether seeds are
// valid, it asks about up to four of a format, of which one suffices. Seeds without a
// format speak for themselves, the first 64 of them. The slices that it returns are new: all seeds, and
// the accepted formats in the order of the seeds.
func Rank(seeds []Seed, accept func(Seed) bool) (ranked []Seed, formats []string) {
	byFormat := map[string][]Seed{}
	for _, s := range seeds {
		byFormat[s.Format] = append(byFormat[s.Format], s)
	}
	good := map[string]bool{} // formats
	asked := map[string]int{} // of a format
	verdicts := make([]bool, len(seeds))
	for i, s := range seeds {
		most := 4
		switch {
		case s.Format == "":
			most = 64
		case s.Kind != KindUnknown:
			most, s = 1, probe(byFormat[s.Format])
		}
		if asked[s.Format] == most {
			continue
		}
		asked[s.Format]++
		verdicts[i] = accept(s)
		if verdicts[i] && s.Format != "" && !good[s.Format] {
			good[s.Format] = true
			formats = append(formats, s.Format)
		}
	}
	var others []Seed
	for i, s := range seeds {
		if good[s.Format] || verdicts[i] {
			ranked = append(ranked, s)
		} else {
			others = append(others, s)
		}
	}
	return append(ranked, others...), formats
}

// Pick keeps all seeds of the formats, and the first few of each other format. It is for
// more seeds than there is time to try.
func Pick(seeds []Seed, formats []string, few int) []Seed {
	taken := map[string]int{}
	var kept []Seed
	for _, s := range seeds {
		if !slices.Contains(formats, s.Format) {
			if taken[s.Format]++; taken[s.Format] > few {
				continue
			}
		}
		kept = append(kept, s)
	}
	return kept
}

// probe returns the seed that stands for its format: the first valid one, or the
// first.
func probe(seeds []Seed) Seed {
	for _, s := range seeds {
		if s.Kind == Valid {
			return s
		}
	}
	return seeds[0]
}

// commonFormats is the mix for a program that nothing is known of.
func commonFormats() []string {
	return []string{
		"text", "empty", "bytes", "utf8", "json", "csv", "xml", "html", "ini", "yaml",
		"sh", "sql", "http-request", "png", "gzip", "tar", "zip", "elf", "pdf", "pem",
		"mail", "gif", "jpeg", "wav", "bzip2", "xz", "zstd", "sqlite", "c", "python",
		"toml", "markdown",
	}
}

// everyFormat stands for all formats, one member each.
const everyFormat = "*"

// formatsOf looks a program up, and again without what looks like a version.
func formatsOf(program string) (formats string, known bool) {
	name := strings.ToLower(filepath.Base(program))
	for _, n := range []string{name, strings.TrimRight(name, "-.0123456789")} {
		for _, p := range programs() {
			if slices.Contains(strings.Fields(p.names), n) {
				return p.formats, true
			}
		}
	}
	return "", false
}

// programs says which formats a program reads, the likeliest first.
func programs() []struct{ names, formats string } {
	const (
		text     = "text utf8 csv tsv words log latin1 utf16"
		pictures = "png jpeg gif bmp tiff svg pnm ico tga xpm xbm farbfeld pdf"
		sounds   = "wav mp3 au midi mp4 y4m subtitles playlist"
		archives = "tar zip gzip bzip2 xz zstd cpio ar deb"
		objects  = "elf ar macho pe"
		dns      = "dns hosts"
		tls      = "pem der asn1"
	)
	return []struct{ names, formats string }{
		// anything
		{"file binwalk exiftool", everyFormat},

		// data
		{"jq gojq jaq yq", "json ndjson yaml jq"},
		{"jo json_pp json_verify python-json", "json ndjson"},
		{"xmllint xmlstarlet xmlwf", "xml html svg xsd xslt plist"},
		{"xsltproc saxon", "xslt xml xsd"},
		{"tidy lynx w3m links html2text", "html xml svg"},
		{"sqlite sqlite3", "sql sqlite-commands sqlite csv"},
		{"psql mysql mariadb duckdb", "sql csv json"},
		{"yamllint", "yaml json"},
		{"csvtool xsv mlr csvcut datamash", "csv tsv json"},
		{"rsvg-convert inkscape", "svg png"},
		{"protoc", "protobuf"},
		{"msgfmt msgunfmt msgcat", "po mo"},

		// text
		{"grep egrep fgrep rg ag", text + " regex bytes"},
		{"sed gsed", "sed " + text},
		{"awk gawk mawk nawk busybox", "awk " + text},
		{"sort uniq join comm tsort shuf", text + " hosts"},
		{"cut paste tr wc head tail tac nl rev fold", text},
		{"expand unexpand fmt pr column split csplit", text},
		{"cat tee more less od xxd hexdump hd", text + " bytes png elf gzip"},
		{"strings", objects + " bytes text"},
		{"iconv recode", "utf8 utf16 latin1 text"},
		{"dos2unix unix2dos", "text utf16"},
		{"diff diff3 sdiff cmp wdiff colordiff", "text diff c"},
		{"patch git", "diff text ini"},
		{"look aspell hunspell", "words text utf8"},
		{"base64 base32 basenc", "base64 bytes text"},
		{"uudecode uuencode", "uuencode bytes text"},
		{"md5sum sha1sum sha256sum sha512sum cksum", "checksums bytes text"},
		{"markdown pandoc cmark", "markdown html latex"},
		{"man groff troff nroff mandoc", "roff text"},
		{"latex pdflatex tex", "latex"},
		{"makeinfo info", "texinfo"},
		{"dot neato", "dot"},

		// languages
		{"sh bash dash zsh ksh mksh ash", "sh shar"},
		{"python python3 pypy", "python json zip"},
		{"perl", "perl text"},
		{"ruby irb", "ruby"},
		{"lua luajit", "lua"},
		{"node nodejs deno qjs", "javascript json"},
		{"php", "php html"},
		{"tclsh", "tcl"},
		{"cc gcc clang tcc cpp", "c cpp asm"},
		{"g++ c++ clang++", "cpp c asm"},
		{"as nasm", "asm"},
		{"go gofmt", "go"},
		{"make gmake", "make"},
		{"bc dc", "bc"},
		{"m4", "m4"},
		{"ed", "ed text"},
		{"vi vim nano ex", "vim text"},
		{"gnuplot", "gnuplot csv"},
		{"docker podman buildah", "dockerfile json"},
		{"java javap javac", "class zip"},
		{"wasmtime wasmer wasm-objdump", "wasm"},
		{"crontab cron", "crontab"},
		{"systemd-analyze systemctl crudini", "ini"},
		{"zdump zic", "tzif text"},

		// compression and archives
		{"gzip gunzip zcat pigz uncompress", "gzip compress text bytes zip"},
		{"bzip2 bunzip2 bzcat lbzip2", "bzip2 text bytes"},
		{"xz unxz xzcat lzma unlzma", "xz text bytes"},
		{"zstd unzstd zstdcat", "zstd lz4 gzip xz text bytes"},
		{"lz4 unlz4", "lz4 text bytes"},
		{"compress", "compress text bytes"},
		{"tar bsdtar gtar star", archives + " text"},
		{"zip unzip zipinfo funzip", "zip text bytes"},
		{"7z 7za 7zr p7zip unar", archives + " cab"},
		{"cabextract", "cab"},
		{"cpio pax", "cpio tar text"},
		{"ar ranlib dpkg-deb dpkg", "ar deb elf"},

		// pictures, sound, documents
		{"convert magick identify mogrify gm", pictures},
		{"pngcheck optipng pngquant", "png"},
		{"djpeg cjpeg jpegoptim jpegtran", "jpeg pnm png"},
		{"gifsicle giftext", "gif"},
		{"tiffinfo tiffdump", "tiff"},
		{"ffmpeg ffprobe mpv mplayer vlc", sounds + " " + pictures},
		{"sox soxi aplay lame flac opusenc oggenc", sounds},
		{"pdftotext pdfinfo mutool qpdf pdftoppm", "pdf"},
		{"gs ghostscript ps2pdf", "postscript eps pdf"},
		{"unrtf", "rtf"},

		// objects
		{"readelf objdump nm size objcopy strip ld", objects + " class ihex srec"},
		{"eu-readelf gdb ldd patchelf", objects},

		// keys, mail, network
		{"openssl certtool certutil", tls + " text"},
		{"ssh-keygen ssh-add", "ssh-key pem text"},
		{"gpg gpgv", "text base64 bytes"},
		{"curl wget http aria2c", "http-response url html text"},
		{"nginx httpd apache2 lighttpd caddy", "http-request http2 tls"},
		{"haproxy varnishd squid", "http-request http2 tls"},
		{"redis-server redis-cli valkey-server", "redis"},
		{"memcached", "memcached"},
		{"named unbound dnsmasq dig", dns},
		{"sshd ssh", "ssh bytes"},
		{"postfix exim sendmail", "smtp mail"},
		{"vsftpd proftpd ftp", "ftp"},
		{"tcpdump tshark", "pcap dns"},
		{"mail mutt procmail formail", "mbox mail"},
		{"munpack ripmime", "mail"},
	}
}
