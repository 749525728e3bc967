package acceptance

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// program is a program with what a person learns it by and uses it for.
type program struct {
	name string
	// learn is the command line that learn is given: what a person types who does
	// not think about it. Words that start with ./ are files that build makes.
	learn []string
	files map[string]string // lie in the working directory of every invocation
	// build makes programs and further files in dir, plainly. It may be nil.
	build func(t testing.TB, dir string)
	// uses are held-out: learn never sees them. The first is one that the planned
	// runs, which come before all random ones, contain in essence; it must work
	// after any budget.
	uses []use
}

// use is an ordinary invocation.
type use struct {
	args   string            // separated by blanks; '…' keeps words together
	stdin  string            // comes through a pipe when not empty
	from   string            // a file of the working directory as standard input
	random bool              // what it writes differs each time: only that it writes is compared
	files  map[string]string // further files
}

// own are the words of the command line that are files of ours.
func (p *program) own() []string {
	var names []string
	for _, w := range p.learn {
		if name, ok := strings.CutPrefix(w, "./"); ok {
			names = append(names, name)
		}
	}
	return names
}

const (
	text    = "one fish\ntwo fish\nred fish\nBlue fish\n\nthe end 42\n"
	numbers = "10 ten\n9 nine\n-3 minus\n10 ten\n2.5 some\n"
	table   = "name,age\nzoe,31\nadam,7\n\"o, brien\",55\n"
	logs    = "alice login\nbob login\nalice logout\ncarol login\nalice login\n"
	person  = `{"name": "Ada", "born": 1815, "tags": ["math", "code"], "wife": null}` + "\n"
	book    = "<?xml version=\"1.0\"?>\n<book id=\"1\"><title>Zwölf</title><page n=\"1\"/><page n=\"2\"/></book>\n"
)

// large is n bytes of lines in no order.
func large(n int) string {
	var b strings.Builder
	for x := uint32(1); b.Len() < n; x = x*1664525 + 1013904223 {
		fmt.Fprintf(&b, "%d line %x\n", x>>8, x)
	}
	return b.String()
}

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s)) // a bytes.Buffer takes everything
	_ = w.Close()
	return b.String()
}

// plainly runs commands, one a line, to prepare files.
func plainly(t testing.TB, dir, script string) {
	t.Helper()
	cmd := exec.Command("sh", "-euc", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("prepare files with %q: %v\n%s", script, err, out)
	}
}

// source is the absolute path of a file below testdata.
func source(t testing.TB, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func programs() []program {
	return []program{
		{
			name: "jq", learn: []string{"jq"},
			files: map[string]string{
				"person.json": person, "stream.json": person + "[1, 2]\n\"three\"\n", "broken.json": `{"a": [1, 2`,
				"filter.jq": "# the first tag\n.tags | first\n", "large.json": "[" + strings.Repeat(strings.TrimSpace(person)+",\n", 15000) + "0]",
			},
			uses: []use{
				{args: ".", stdin: person},
				{args: ".name person.json"},
				{args: "-r '.tags[]' person.json"},
				{args: "--arg key born '.[$key]' person.json"},
				{args: "-n '[range(5)] | add'"},
				{args: "-c -s . stream.json person.json"},
				{args: "-f filter.jq person.json"},
				{args: "length", from: "large.json"},
				{args: "'map(.name?) | unique' large.json"},
				{args: "-r '.born | todate' person.json"},
				{args: ". broken.json"},
				{args: ". missing.json"},
				{args: "-e .wife person.json"},
			},
		},
		{
			name: "file", learn: []string{"file"},
			files: map[string]string{
				"a.txt": text, "b.json": person, "c.gz": gzipped(text), "d.xml": book, "dir/e": "", "names": "a.txt\nc.gz\n",
				"f.png": "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x10\x00\x00\x00\x10\x08\x02\x00\x00\x00",
			},
			uses: []use{
				{args: "a.txt"},
				{args: "a.txt b.json c.gz d.xml dir f.png"},
				{args: "-i a.txt f.png"},
				{args: "-b c.gz"},
				{args: "-z c.gz"},
				{args: "--mime-type -b d.xml"},
				{args: "-f names"},
				{args: "-", stdin: person},
				{args: "-L /bin/sh /dev/null"},
				{args: "-k a.txt"},
				{args: "missing"},
			},
		},
		{
			name: "xmllint", learn: []string{"xmllint"},
			files: map[string]string{
				"book.xml": book, "broken.xml": "<a><b></a>", "book.xml.gz": gzipped(book), "page.html": "<p>one<p>two",
				"valid.xml": "<!DOCTYPE a [<!ELEMENT a (b*)><!ELEMENT b EMPTY>]>\n<a><b/><b/></a>\n",
				"book.dtd":  "<!ELEMENT book (title,page*)><!ATTLIST book id CDATA #REQUIRED><!ELEMENT title (#PCDATA)><!ELEMENT page EMPTY><!ATTLIST page n CDATA #IMPLIED>\n",
				"all.xml":   "<all xmlns:xi=\"http://www.w3.org/2001/XInclude\"><xi:include href=\"book.xml\"/></all>\n",
				"large.xml": "<all>" + strings.Repeat("<a b=\"c\">text</a>\n", 60000) + "</all>\n",
				"book.xsd": `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="book"><xs:complexType><xs:sequence>
<xs:element name="title" type="xs:string"/><xs:element name="page" maxOccurs="9"><xs:complexType><xs:attribute name="n" type="xs:int"/></xs:complexType></xs:element>
</xs:sequence><xs:attribute name="id" type="xs:int"/></xs:complexType></xs:element></xs:schema>`,
			},
			uses: []use{
				{args: "book.xml"},
				{args: "--format book.xml"},
				{args: "--xpath //page/@n book.xml"},
				{args: "--noout broken.xml"},
				{args: "--valid --noout valid.xml"},
				{args: "--dtdvalid book.dtd --noout book.xml"},
				{args: "--schema book.xsd --noout book.xml"},
				{args: "-", stdin: book},
				{args: "--output out.xml book.xml"},
				{args: "--html --xmlout page.html"},
				{args: "--xinclude all.xml"},
				{args: "book.xml.gz"},
				{args: "--noout large.xml"},
				{args: "missing.xml"},
			},
		},
		{
			name: "sqlite3", learn: []string{"sqlite3"},
			files: map[string]string{
				"table.csv": table,
				"make.sql":  "create table t(a integer primary key, b text);\ninsert into t(b) values('x'),('y');\nselect * from t;\n",
			},
			build: func(t testing.TB, dir string) {
				plainly(t, dir, `sqlite3 some.db "create table t(a integer primary key, b text); insert into t(b) values('x'),('y'),('z')"`)
			},
			uses: []use{
				{stdin: "select 1 + 1;\n"},
				{args: ":memory: 'select sqlite_version() is not null'"},
				{args: "some.db 'select * from t order by b desc'"},
				{args: "new.db", from: "make.sql"},
				{args: "new.db 'create table u(x); insert into u values(7); select x from u'"},
				{args: "some.db 'update t set b = b || b; delete from t where a = 2'"},
				{args: "some.db .dump"},
				{args: "-csv -header some.db 'select * from t'"},
				{args: "new.db '.mode csv' '.import table.csv people' 'select count(*) from people'"},
				{args: "some.db '.backup copy.db'"},
				{args: "some.db 'begin; insert into t(b) values(1); rollback; vacuum'"},
				{args: "new.db 'pragma journal_mode=wal; create table w(x); insert into w values(1)'"},
				{args: ":memory: 'with recursive c(x) as (select 1 union all select x+1 from c where x < 300000) select count(*) from (select x from c order by -x)'"},
				{args: "some.db 'select * from missing'"},
			},
		},
		{
			name: "gzip", learn: []string{"gzip"},
			files: map[string]string{
				"a.txt": text, "b.txt": numbers, "c.gz": gzipped(text), "bad.gz": gzipped(text)[:40], "dir/d.txt": text, "dir/sub/e.txt": text,
				"large.txt": large(1 << 20),
			},
			uses: []use{
				{stdin: text},
				{args: "a.txt"},
				{args: "-c a.txt"},
				{args: "-d c.gz"},
				{args: "-dc c.gz"},
				{args: "-dc", from: "c.gz"},
				{args: "-t c.gz bad.gz"},
				{args: "-l c.gz"},
				{args: "-k -9 -v a.txt b.txt"},
				{args: "-r dir"},
				{args: "-f large.txt"},
				{args: "a.txt", files: map[string]string{"a.txt.gz": "old"}},
				{args: "missing"},
			},
		},
		{
			name: "sort", learn: []string{"sort"},
			files: map[string]string{"a.txt": text, "n.txt": numbers, "sorted": "a\nb\nc\n", "large.txt": large(3 << 19)},
			uses: []use{
				{stdin: text},
				{args: "a.txt n.txt"},
				{args: "-n n.txt"},
				{args: "-r -u n.txt"},
				{args: "-t ' ' -k 2 a.txt"},
				{args: "-o n.txt n.txt"},
				{args: "-n large.txt"},
				{args: "-S 200K -o out large.txt"},
				{args: "-u", from: "large.txt"},
				{args: "-c n.txt"},
				{args: "-m sorted n.txt"},
				{args: "-h n.txt"},
				{args: "missing"},
			},
		},
		{
			name: "grep", learn: []string{"grep", "o"},
			files: map[string]string{"a.txt": text, "b.txt": numbers, "dir/c.txt": text, "dir/sub/d.txt": logs, "bin": "\x00\x01fish\x00\n",
				"patterns": "red\ntwo\n", "large.txt": large(1 << 20)},
			uses: []use{
				{args: "o", stdin: text},
				{args: "fish a.txt"},
				{args: "-r fish dir"},
				{args: "-rn --include '*.txt' login ."},
				{args: "-c fish a.txt b.txt"},
				{args: "-E '^(two|red)' a.txt"},
				{args: "-i -v blue a.txt"},
				{args: "-P '\\d{2}$' a.txt"},
				{args: "-f patterns a.txt"},
				{args: "-l fish a.txt b.txt bin"},
				{args: "fish bin"},
				{args: "-o -w 'line [0-9]*' large.txt"},
				{args: "nothing a.txt"},
				{args: "fish missing"},
			},
		},
		{
			name: "sed", learn: []string{"sed", "p"},
			files: map[string]string{"a.txt": text, "b.txt": numbers, "edit.sed": "1d\ns/fish/bird/\n$a\\\nthe very end\n", "large.txt": large(1 << 20)},
			uses: []use{
				{args: "p", stdin: text},
				{args: "s/fish/bird/g a.txt"},
				{args: "-n 2,3p a.txt"},
				{args: "-i s/fish/bird/ a.txt"},
				{args: "-i.bak 2d a.txt b.txt"},
				{args: "-f edit.sed a.txt b.txt"},
				{args: "-E 's/^([a-z]+) (.*)/\\2 \\1/' a.txt"},
				{args: "-n '/fish/w out.txt' a.txt"},
				{args: "-s -n '$=' a.txt b.txt"},
				{args: "'s/1/one/;q' large.txt"},
				{args: "p missing"},
				{args: "'s/x' a.txt"},
			},
		},
		{
			name: "tar", learn: []string{"tar"},
			files: map[string]string{"a.txt": text, "dir/b.txt": numbers, "dir/sub/c.txt": text, "bad.tar": "this is no archive", "into/x": "",
				"large.txt": large(1 << 20)},
			build: func(t testing.TB, dir string) {
				plainly(t, dir, "mkdir q; cd q; echo one >one; mkdir d; echo two >d/two; ln -s one link; chmod 600 one; tar -cf ../some.tar one d link; tar -czf ../some.tar.gz one d link; cd ..; rm -r q")
			},
			uses: []use{
				{},
				{args: "-tf some.tar"},
				{args: "-tvf some.tar.gz"},
				{args: "-cf new.tar a.txt dir"},
				{args: "-czf new.tar.gz dir"},
				{args: "-cf - a.txt"},
				{args: "-xf some.tar"},
				{args: "-xzf some.tar.gz -C into"},
				{args: "-x", from: "some.tar"},
				{args: "-xf some.tar d/two -O"},
				{args: "-cvf new.tar --exclude '*.txt' dir large.txt"},
				{args: "-rf some.tar a.txt"},
				{args: "-tf bad.tar"},
				{args: "-cf new.tar missing"},
			},
		},
		{
			name: "openssl", learn: []string{"openssl"},
			files: map[string]string{"a.txt": text},
			build: func(t testing.TB, dir string) {
				plainly(t, dir, `openssl req -new -x509 -newkey rsa:2048 -nodes -subj /CN=example.org -keyout key.pem -out cert.pem 2>/dev/null
openssl enc -aes-256-cbc -pbkdf2 -pass pass:secret -in a.txt -out a.enc`)
			},
			uses: []use{
				{},
				{args: "version"},
				{args: "dgst -sha256 a.txt"},
				{args: "sha256", stdin: text},
				{args: "enc -aes-256-cbc -pbkdf2 -pass pass:secret -in a.txt -out new.enc", random: true},
				{args: "enc -d -aes-256-cbc -pbkdf2 -pass pass:secret -in a.enc"},
				{args: "base64 -in a.txt"},
				{args: "rand -hex 16", random: true},
				{args: "genrsa -out new.pem 2048", random: true},
				{args: "x509 -text -noout -in cert.pem"},
				{args: "req -new -x509 -key key.pem -subj /CN=example.net -days 9 -out new.pem", random: true},
				{args: "rsa -in key.pem -pubout"},
				{args: "verify -CAfile cert.pem cert.pem"},
				{args: "dgst -sha256 missing"},
			},
		},
		{
			name: "static C", learn: []string{"./count"},
			files: map[string]string{"a.txt": text, "b.txt": numbers, "large.txt": large(1 << 20)},
			build: func(t testing.TB, dir string) {
				plainly(t, dir, "mv "+testenv.Compile(t, source(t, "count.c"), "-static", "-pthread")+" count")
			},
			uses: []use{
				{stdin: text},
				{args: "a.txt"},
				{args: "-l a.txt b.txt"},
				{args: "--words", stdin: text},
				{args: "-j a.txt b.txt large.txt"},
				{args: "-d a.txt"},
				{args: "-o out a.txt"},
				{args: "large.txt"},
				{args: "--help"},
				{args: "missing"},
			},
		},
		{
			name: "Go", learn: []string{"./lines"},
			files: map[string]string{"a.txt": text, "dir/b.txt": numbers, "dir/sub/c.txt": text, "large.txt": large(1 << 20)},
			build: func(t testing.TB, dir string) {
				out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "lines"), source(t, "lines/main.go")).CombinedOutput()
				if err != nil {
					t.Fatalf("go build: %v\n%s", err, out)
				}
			},
			uses: []use{
				{stdin: text},
				{args: "a.txt"},
				{args: "-n 2 a.txt dir"},
				{args: "-o out.txt a.txt"},
				{args: "-z dir"},
				{args: "large.txt"},
				{args: "", from: "large.txt"},
				{args: "-h"},
				{args: "missing"},
			},
		},
		{
			name: "Python", learn: []string{"/usr/bin/python3", "./table.py"},
			files: map[string]string{"a.csv": table, "b.csv": table, "bad.csv": "\xff\xfe\n", "out/x": ""},
			build: func(t testing.TB, dir string) {
				testenv.Program(t, "/usr/bin/python3")
				plainly(t, dir, "cp "+source(t, "table.py")+" .")
			},
			uses: []use{
				{args: "./table.py", stdin: table},
				{args: "./table.py a.csv"},
				{args: "./table.py -f markdown a.csv b.csv"},
				{args: "./table.py --sort age a.csv"},
				{args: "./table.py -o table.json a.csv"},
				{args: "./table.py -f markdown -o out/table.md -", from: "a.csv"},
				{args: "./table.py --help"},
				{args: "./table.py bad.csv"},
				{args: "./table.py missing.csv"},
				{args: "./table.py -f yaml a.csv"},
			},
		},
		{
			name: "shell", learn: []string{"./summary.sh"},
			files: map[string]string{"a.log": logs, "b.log": logs + "dave login\n", "large.log": large(1 << 20)},
			build: func(t testing.TB, dir string) { plainly(t, dir, "cp "+source(t, "summary.sh")+" .") },
			uses: []use{
				{stdin: logs},
				{args: "a.log"},
				{args: "-n 2 a.log b.log"},
				{args: "-o out a.log"},
				{args: "-n 3 -o out large.log"},
				{args: "-", from: "b.log"},
				{args: "-h"},
				{args: "-x"},
				{args: "missing"},
			},
		},
	}
}
