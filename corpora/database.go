package corpora

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// databaseFamilies are files of databases and binary encodings of values.
func databaseFamilies() []family {
	table := encodeSQLite(true)
	wal := bytes.Clone(table)
	wal[18], wal[19] = 2, 2 // read and write versions: write-ahead log
	return []family{
		{"sqlite", []Seed{
			valid("table", table),
			valid("empty", encodeSQLite(false)),
			odd("wal", wal),
			broken("page-size", flip(table, 16)),
			broken("cell-offset", flip(table, sqlitePage+8)),
			broken("truncated", cut(table)),
		}},
		{"gob", []Seed{
			valid("values", gobValues),
			odd("empty", ""),
			broken("length", flip(gobValues, 0)),
			broken("truncated", cut(gobValues)),
		}},
		{"msgpack", []Seed{
			valid("map", "\x82\xa1a\x01\xa1b\x93\xc0\xc3\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"),
			broken("length", "\xdd\xff\xff\xff\xff\x01"),
			odd("extension", "\xc7\x03\x05abc\xd9\x00\xc4\x01\x00\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
		}},
		{"cbor", []Seed{
			valid("map", "\xa2\x61a\x01\x61b\x83\xf6\xf5\xf9\x3e\x00"),
			odd("indefinite", "\x9f\x01\x7f\x61a\x61b\xff\xff"),
			broken("length", "\x9b\xff\xff\xff\xff\xff\xff\xff\xff"),
		}},
		{"bson", []Seed{
			valid("document", "\x13\x00\x00\x00\x10a\x00\x01\x00\x00\x00\x08b\x00\x01\x0a"+"c\x00\x00"),
			odd("nested", "\x1b\x00\x00\x00\x03a\x00\x0d\x00\x00\x00\x05b\x00\x00\x00\x00\x00\x80\x00\x0ac\x00\x7fd\x00\x00"),
			odd("empty", "\x05\x00\x00\x00\x00"),
			broken("length", "\xff\xff\xff\x7f\x10a\x00\x01\x00\x00\x00\x00"),
		}},
		{"protobuf", []Seed{
			valid("fields", "\x08\x96\x01\x12\x07testing\x1d\x00\x00\x80\x3f"),
			odd("text", "id: 150\nname: \"testing\"\nnested { x: 1.0 }\n"),
			broken("varint", "\x08"+strings.Repeat("\xff", 11)),
		}},
	}
}

const sqlitePage = 512

// encodeSQLite writes a database of one page, the schema, or of two, with the
// table t(a,b) and its three rows (https://www.sqlite.org/fileformat2.html).
func encodeSQLite(withTable bool) []byte {
	be := binary.BigEndian
	pages := uint32(1)
	var schema [][]byte
	if withTable {
		pages = 2
		schema = [][]byte{sqliteRow(1, "table", "t", "t", 2, "CREATE TABLE t(a,b)")}
	}

	header := append([]byte("SQLite format 3\x00"), sqlitePage>>8, sqlitePage&0xff, 1, 1, 0, 64, 32, 32)
	for _, v := range []uint32{
		1, pages, // change counter, size
		0, 0, // no free pages
		1, 4, // schema cookie, schema format
		0, 0, 1, // cache, vacuum, UTF-8
		0, 0, 0, // user version, vacuum, application
		0, 0, 0, 0, 0,
		1, 3040000, // the size is valid for change 1; version of the writer
	} {
		header = be.AppendUint32(header, v)
	}
	b := append(header, sqliteLeaf(len(header), schema)...)
	if withTable {
		b = append(b, sqliteLeaf(0, [][]byte{
			sqliteRow(1, 1, "one"),
			sqliteRow(2, 2, "two"),
			sqliteRow(3, -3, ""),
		})...)
	}
	return b
}

// sqliteLeaf writes a page of a table's B-tree that begins behind the used bytes;
// the cells grow from the end of the page.
func sqliteLeaf(used int, cells [][]byte) []byte {
	page := make([]byte, sqlitePage)
	page[used] = 13
	end := sqlitePage
	for i, c := range cells {
		end -= len(c)
		copy(page[end:], c)
		binary.BigEndian.PutUint16(page[used+8+2*i:], uint16(end))
	}
	binary.BigEndian.PutUint16(page[used+3:], uint16(len(cells)))
	binary.BigEndian.PutUint16(page[used+5:], uint16(end))
	return page[used:]
}

// sqliteRow writes a cell of small values: int8 and strings of up to 50 bytes, so
// that every varint is one byte.
func sqliteRow(id byte, values ...any) []byte {
	var types, body []byte
	for _, v := range values {
		switch v := v.(type) {
		case int:
			types = append(types, 1)
			body = append(body, byte(v))
		case string:
			types = append(types, byte(13+2*len(v)))
			body = append(body, v...)
		}
	}
	record := append([]byte{byte(1 + len(types))}, types...)
	record = append(record, body...)
	return append([]byte{byte(len(record)), id}, record...)
}

// gobValues are "test", -42, 1.5 and []byte{1, 2, 3} as encoding/gob writes them. They are not
// made by it, for whoever links that waits for it at each start.
var gobValues = []byte("\x07\x0c\x00\x04test\x03\x04\x00\x53\x05\x08\x00\xfe\xf8\x3f\x06\x0a\x00\x03\x01\x02\x03")
