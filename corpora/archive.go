package corpora

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"
)

// archiveFamilies are formats that hold several files. No member leaves the
// folder that it is unpacked in, but for the ones that say so.
func archiveFamilies() []family {
	tarFiles, zipFiles := encodeTar(false), encodeZip()
	cpio, cab := encodeCPIO(), encodeCAB(0)
	return []family{
		{"tar", []Seed{
			valid("ustar", tarFiles),
			valid("links", encodeTar(true)),
			valid("pax", encodeTarHeader(tar.Header{Name: strings.Repeat("long/", 30) + "ü.txt", Typeflag: tar.TypeReg, Mode: 0o644, Format: tar.FormatPAX, PAXRecords: map[string]string{"TJFUZZ.note": "x"}}, "")),
			valid("gnu", encodeTarHeader(tar.Header{Name: strings.Repeat("long/", 30) + "a.txt", Typeflag: tar.TypeReg, Mode: 0o644, Format: tar.FormatGNU}, "")),
			odd("empty", make([]byte, 1024)),
			odd("no-end", tarFiles[:1024]),
			odd("modes", encodeTarHeader(tar.Header{Name: "bin", Typeflag: tar.TypeReg, Mode: 0o6755, Uid: 65534, Gid: 65534, Uname: "nobody", ModTime: time.Unix(1, 0)}, "x")),
			odd("leaves-the-folder", encodeTarHeader(tar.Header{Name: "../escape.txt", Typeflag: tar.TypeReg, Mode: 0o600}, "x")),
			broken("checksum", flip(tarFiles, 148)),
			broken("truncated", tarFiles[:700]),
		}},
		{"zip", []Seed{
			valid("files", zipFiles),
			odd("empty", "PK\x05\x06"+strings.Repeat("\x00", 18)),
			odd("prefix", slices.Concat([]byte("#!/bin/sh\nexit 0\n"), zipFiles)),
			broken("crc", flip(zipFiles, bytes.Index(zipFiles, []byte(prose[:20])))),
			broken("no-directory", cut(zipFiles)),
		}},
		{"ar", []Seed{
			valid("files", encodeAr(file{"a.txt/", "hello\n"}, file{"b.txt/", "odd"})),
			valid("long-names", encodeAr(file{"//", "a_name_longer_than_16.o/\n"}, file{"/0", "x\n"})),
			odd("empty", "!<arch>\n"),
			broken("size", "!<arch>\na.txt/          0           0     0     644     99999     `\nshort"),
		}},
		{"deb", []Seed{
			valid("package", encodeDeb()),
			broken("no-data", encodeAr(file{"debian-binary", "2.0\n"})),
		}},
		{"cpio", []Seed{
			valid("newc", cpio),
			odd("odc", "070707"+strings.Repeat("0", 53)+"000013"+strings.Repeat("0", 11)+"TRAILER!!!\x00"),
			broken("truncated", cut(cpio)),
		}},
		{"cab", []Seed{
			valid("files", cab),
			broken("checksum", encodeCAB(1)),
			broken("truncated", cut(cab)),
		}},
		{"shar", []Seed{
			valid("file", "#!/bin/sh\n# This is a shell archive\nsed 's/^X//' >a.txt <<'SHAR_EOF'\nXhello\nSHAR_EOF\nexit 0\n"),
		}},
	}
}

// encodeTar writes a folder and two files, or a folder and the kinds of members
// that are not files.
func encodeTar(links bool) []byte {
	members := []tar.Header{
		{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "d/a.txt", Typeflag: tar.TypeReg, Mode: 0o644},
		{Name: "b.txt", Typeflag: tar.TypeReg, Mode: 0o400},
	}
	if links {
		members = []tar.Header{
			{Name: "e.txt", Typeflag: tar.TypeReg, Mode: 0o644},
			{Name: "soft", Typeflag: tar.TypeSymlink, Linkname: "e.txt"},
			{Name: "hard", Typeflag: tar.TypeLink, Linkname: "e.txt"},
			{Name: "fifo", Typeflag: tar.TypeFifo, Mode: 0o600},
		}
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range members {
		body := ""
		if h.Typeflag == tar.TypeReg && !links {
			body = "content of " + h.Name + "\n"
		}
		writeTar(w, h, body)
	}
	err := w.Close()
	return must(b.Bytes(), err)
}

func encodeTarHeader(h tar.Header, body string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	writeTar(w, h, body)
	err := w.Close()
	return must(b.Bytes(), err)
}

func writeTar(w *tar.Writer, h tar.Header, body string) {
	h.Size = int64(len(body))
	must(nil, w.WriteHeader(&h))
	_, err := w.Write([]byte(body))
	must(nil, err)
}

func encodeZip() []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range []struct {
		name, body string
		method     uint16
	}{
		{"d/", "", zip.Store},
		{"d/stored.txt", prose, zip.Store},
		{"deflated.txt", strings.Repeat(prose, 3), zip.Deflate},
		{"ü.txt", "", zip.Deflate},
	} {
		e, err := w.CreateHeader(&zip.FileHeader{Name: f.name, Method: f.method, Modified: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC)})
		must(nil, err)
		if f.body != "" {
			_, err = e.Write([]byte(f.body))
			must(nil, err)
		}
	}
	must(nil, w.SetComment("comment"))
	err := w.Close()
	return must(b.Bytes(), err)
}

type file struct{ name, body string }

// encodeAr writes the System V form; names come with their slash.
func encodeAr(files ...file) []byte {
	b := []byte("!<arch>\n")
	for _, f := range files {
		b = fmt.Appendf(b, "%-16s%-12d%-6d%-6d%-8o%-10d`\n%s", f.name, 0, 0, 0, 0o644, len(f.body), f.body)
		if len(f.body)%2 == 1 {
			b = append(b, '\n')
		}
	}
	return b
}

// encodeCAB writes a cabinet, as [MS-CAB] has it, of two folders: one is stored, the other compressed. No checksum is 0.
func encodeCAB(checksum uint32) []byte {
	const (
		header, folder          = 36, 8
		stored, mszip           = 0, 1
		date, clock, attributes = 0x5c22, 0x1883, 0x20 // 2026-01-02 03:04:06, to be archived
	)
	folders := []struct {
		method uint16
		file
		data []byte
	}{
		{stored, file{`d\a.txt`, "hello\n"}, []byte("hello\n")},
		{mszip, file{"b.txt", prose}, slices.Concat([]byte("CK"), encodeDeflate(prose))},
	}
	le := binary.LittleEndian
	var heads, files, blocks []byte
	start := header + folder*len(folders)
	data := start // of the data: behind all files
	for _, f := range folders {
		data += 16 + len(f.name) + 1
	}
	for i, f := range folders {
		heads = le.AppendUint32(heads, uint32(data+len(blocks)))
		heads = le.AppendUint16(le.AppendUint16(heads, 1), f.method)
		files = le.AppendUint32(le.AppendUint32(files, uint32(len(f.body))), 0)
		for _, v := range []uint16{uint16(i), date, clock, attributes} {
			files = le.AppendUint16(files, v)
		}
		files = append(append(files, f.name...), 0)
		blocks = le.AppendUint32(blocks, checksum)
		blocks = le.AppendUint16(le.AppendUint16(blocks, uint16(len(f.data))), uint16(len(f.body)))
		blocks = append(blocks, f.data...)
	}
	b := []byte("MSCF")
	for _, v := range []uint32{0, uint32(data + len(blocks)), 0, uint32(start), 0} {
		b = le.AppendUint32(b, v)
	}
	const version = 0x0103
	for _, v := range []uint16{version, uint16(len(folders)), uint16(len(folders)), 0, 1, 0} {
		b = le.AppendUint16(b, v)
	}
	return slices.Concat(b, heads, files, blocks)
}

func encodeDeb() []byte {
	control := "Package: tjfuzz-test\nVersion: 1.0\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\nDescription: test\n"
	return encodeAr(
		file{"debian-binary", "2.0\n"},
		file{"control.tar.gz", gzipped(encodeTarHeader(tar.Header{Name: "./control", Typeflag: tar.TypeReg, Mode: 0o644}, control))},
		file{"data.tar.gz", gzipped(encodeTarHeader(tar.Header{Name: "./usr/share/doc/t", Typeflag: tar.TypeReg, Mode: 0o644}, "x\n"))},
	)
}

func gzipped(b []byte) string { return string(encodeGzip(string(b), "")) }

// encodeCPIO writes the "newc" form, which initramfs and rpm use.
func encodeCPIO() []byte {
	var b []byte
	pad := func() { b = append(b, make([]byte, -len(b)&3)...) }
	for i, f := range []struct {
		name, body string
		mode       int
	}{
		{"d", "", 0o40755},
		{"d/a.txt", "hello\n", 0o100644},
		{"link", "d/a.txt", 0o120777},
		{"TRAILER!!!", "", 0},
	} {
		b = fmt.Appendf(b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
			i, f.mode, 0, 0, 1, 0, len(f.body), 0, 0, 0, 0, len(f.name)+1, 0, f.name)
		pad()
		b = append(b, f.body...)
		pad()
	}
	return b
}
