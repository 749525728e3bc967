package corpora

import "strings"

// dataFamilies are the textual formats that carry data.
func dataFamilies() []family {
	return []family{
		{"json", []Seed{
			valid("object", `{"name":"tjfuzz","n":42,"list":[1,2.5,-3e8,true,false,null],"nested":{"a":{"b":["c"]}},"text":"tab\t quote\" \u00e9 \ud83d\ude00"}`+"\n"),
			valid("records", `[{"id":1,"name":"alice","tags":["x","y"]},{"id":2,"name":"bob","tags":[]},{"id":3,"name":"carol","age":41}]`+"\n"),
			valid("scalar", "42\n"),
			odd("deep", strings.Repeat("[", 300)+strings.Repeat("]", 300)),
			odd("big-numbers", `[1e308,1e-400,123456789012345678901234567890,-0,0.1e+1,9007199254740993]`),
			odd("same-key-twice", `{"a":1,"a":2,"":3}`),
			broken("truncated", `{"a":[1,2,{"b":"c`),
			broken("not-a-value", `{"a":NaN,b:'c',}`),
			broken("lone-surrogate", `"\ud800 \u12"`),
		}},
		{"ndjson", []Seed{
			valid("events", `{"t":1,"event":"start"}`+"\n"+`{"t":2,"event":"work","n":[1,2]}`+"\n"+`{"t":3,"event":"stop"}`+"\n"),
			broken("bad-line", `{"t":1}`+"\n"+`{"t":`+"\n"+`{"t":3}`+"\n"),
			odd("separators", "\x1e{\"a\":1}\n\n  null  \r\n[]\n"),
		}},
		{"csv", []Seed{
			valid("header", "id,name,price\n1,\"pear, green\",0.5\n2,\"say \"\"hi\"\"\",12\n3,\"two\nlines\",-7\n"),
			valid("numbers", "x,y\n1,2\n3,4\n5.5,-6e2\n"),
			odd("semicolons", "id;name;price\r\n1;pear;0,5\r\n"),
			odd("ragged", "a,b,c\n1,2\n1,2,3,4\n,,\n\n"),
			broken("open-quote", "a,b\n\"1,2\n3,4\n"),
		}},
		{"tsv", []Seed{
			valid("header", "id\tname\tprice\n1\tpear\t0.5\n2\tfig\t12\n2\tfig\t12\n"),
			odd("empty-fields", "\t\t\n\ta\t\n"),
			broken("open-quote", "a\tb\n\"1\t2\n"),
		}},
		{"yaml", []Seed{
			valid("document", "# comment\nname: tjfuzz\nlist:\n  - one\n  - 2\n  - yes\nmap: {a: 1, b: [x, y]}\ntext: |\n  two\n  lines\nfolded: >-\n  joined\n  up\n"),
			valid("anchors", "---\nbase: &b {cpu: 1}\nuse:\n  <<: *b\n  mem: 2Gi\n---\nsecond: 2026-01-02\n...\n"),
			odd("tags", "%YAML 1.2\n---\n!!map {a: !!binary aGVsbG8=, ? [complex, key] : ~}\n"),
			broken("bad-indent", "a:\n  b: 1\n c: 2\n\t- d\n"),
		}},
		{"toml", []Seed{
			valid("document", "title = \"tjfuzz\"\n[owner]\nborn = 1979-05-27T07:32:00Z\nports = [8000, 8001]\n[[item]]\nname = 'a'\n[[item]]\nname = \"\"\"b\nc\"\"\"\n"),
			broken("twice", "a = 1\na = 2\n[b\n"),
			odd("dotted", "a.\"b.c\".d = [ { x = 0xff, y = -inf }, ]\nm = '''\n'raw''''\ndate = 1979-05-27\n[a.e]\n"),
		}},
		{"ini", []Seed{
			valid("sections", "; comment\n[core]\nname = tjfuzz\ndebug=yes\n\n[remote \"origin\"]\n\turl = https://example.org/x.git\n"),
			odd("no-section", "key\nkey=\n=value\nkey : value # end\n"),
			broken("open-section", "[core\nname = x\n"),
		}},
		{"properties", []Seed{
			valid("java", "# comment\nname=tjfuzz\npath : /tmp/x\nlong = one \\\n  two\nunicode=\\u00e9\n"),
		}},
		{"passwd", []Seed{
			valid("users", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"),
			broken("short", "root:x:0\n::::::\n"),
		}},
		{"hosts", []Seed{
			valid("names", "127.0.0.1 localhost\n::1 localhost ip6-localhost\n192.0.2.1 example.org www # comment\n"),
		}},
		{"log", []Seed{
			valid("access", "192.0.2.1 - - [02/Jan/2026:03:04:05 +0000] \"GET /index.html HTTP/1.1\" 200 612 \"-\" \"curl/8.0\"\n192.0.2.2 - bob [02/Jan/2026:03:04:06 +0000] \"POST /login HTTP/1.1\" 302 0 \"-\" \"-\"\n"),
			valid("syslog", "Jan  2 03:04:05 host sshd[123]: Failed password for root from 192.0.2.1 port 22 ssh2\nJan  2 03:04:06 host cron[124]: (root) CMD (true)\n"),
		}},
		{"crontab", []Seed{
			valid("jobs", "SHELL=/bin/sh\n*/5 * * * * true\n0 3 1-7 * mon echo hi\n@reboot :\n"),
			broken("fields", "99 * * * *\n* * true\n"),
			odd("names", "TZ=UTC\nMAILTO=\"\"\n*/1,2-3 */23 31 feb sun-sat echo a%b%c\n@yearly root :\n"),
		}},
		{"po", []Seed{
			valid("messages", "msgid \"\"\nmsgstr \"Content-Type: text/plain; charset=UTF-8\\n\"\n\n#: a.c:1\nmsgid \"file\"\nmsgid_plural \"files\"\nmsgstr[0] \"Datei\"\nmsgstr[1] \"Dateien\"\n"),
		}},
		{"ics", []Seed{
			valid("event", "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//tjfuzz//EN\r\nBEGIN:VEVENT\r\nUID:1@example.org\r\nDTSTAMP:20260102T030405Z\r\nDTSTART:20260102T030405Z\r\nSUMMARY:Test\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"),
			odd("rule", "BEGIN:VCALENDAR\r\nBEGIN:VTODO\r\nRRULE:FREQ=SECONDLY;COUNT=99999999\r\nDESCRIPTION;LANGUAGE=de:Gr\r\n \u00fc\u00dfe\r\nBEGIN:VALARM\r\nEND:VALARM\r\nEND:VTODO\r\nEND:VCALENDAR\r\n"),
			broken("nesting", "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nEND:VCALENDAR\r\nDTSTART:99999999T999999Z\r\n"),
		}},
		{"base64", []Seed{
			valid("lines", "VGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZy4K\n"),
			broken("alphabet", "VGhl!IHF1\n=aWNr\n"),
			odd("url-alphabet", "_-_-\nVGhl\r\n\r\nIA"),
		}},
		{"uuencode", []Seed{
			valid("cat", "begin 644 cat.txt\n#0V%T\n`\nend\n"),
			broken("no-end", "begin 644 cat.txt\n#0V%T\n"),
			odd("base64", "begin-base64 600 ../a\nYQ==\n====\n"),
		}},
		{"checksums", []Seed{
			valid("md5", "d41d8cd98f00b204e9800998ecf8427e  /dev/null\n"),
			valid("sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  /dev/null\n"),
			broken("short", "d41d8cd98f00b204  /dev/null\n# none\n"),
		}},
	}
}
