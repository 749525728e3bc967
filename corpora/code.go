package corpora

import "strings"

// codeFamilies are programs, queries and what belongs to writing them. None of
// them does harm when run.
func codeFamilies() []family {
	return []family{
		{"sh", []Seed{
			valid("script", "#!/bin/sh\nset -e\nx=1\nfor f in a b c; do\n  case $f in b) continue;; esac\n  echo \"$f: $((x += 1))\"\ndone\nf() { printf '%s\\n' \"${1:-none}\"; }\nf \"$x\" | tr a-z A-Z\n[ -d /tmp ] && cd /tmp; pwd; exit 0\n"),
			valid("here-document", "cat <<END | sort -r\nb\na $(echo c) ${HOME}\nEND\ntrap 'echo bye' EXIT\n(umask 077; : >/dev/null) & wait\n"),
			valid("builtins", "type cd; ulimit -n; times; hash; read -r x </dev/null || true; export A=1; unset A; getopts ab: o -a; kill -0 $$; echo $?\n"),
			odd("no-commands", "# only a comment"),
			broken("open-quote", "echo \"never closed\nif true; then\n"),
		}},
		{"awk", []Seed{
			valid("program", "BEGIN { FS = \",\"; OFS = \"-\" }\n/^#/ { next }\nNR > 1 && $2 ~ /[0-9]+/ { sum += $2; n[$1]++; print $1, toupper($3) }\nEND { for (k in n) print k, n[k]; printf \"%.2f\\n\", sum / (NR ? NR : 1) }\nfunction f(a, b) { return substr(a, 1, length(b)) }\n"),
			valid("files", "BEGIN { while ((getline line < \"/dev/null\") > 0) n++; print n > \"/dev/stderr\"; \"date -u\" | getline d; close(\"date -u\"); print length(d); system(\"true\") }\n"),
			broken("syntax", "BEGIN { print ( } /unclosed\n"),
		}},
		{"sed", []Seed{
			valid("script", "# comment\n1!G;h;$!d\ns/foo\\(bar\\)*/[&\\1]/gp\n/^$/,/end/{\n  y/abc/xyz/\n  n\n}\n$a\\\nlast\n"),
			valid("branches", ":a\nN\n$!ba\ns/\\n/ /g\nw /dev/stdout\n"),
			broken("command", "s/a/b\n{p\nb nowhere\n"),
		}},
		{"jq", []Seed{
			valid("filter", "def f(x): x | .. | numbers; [.[]? | select(.n > 1) | {name, n: (.n * 2)}] | sort_by(.n) | map(.name // \"none\") | join(\", \")\n"),
			valid("outside", "[(now | strflocaltime(\"%c %Z\")), env.HOME, $ENV.PATH, input_filename, (\"2026-01-02T03:04:05Z\" | fromdate)] | debug\n"),
			odd("modules", "import \"a\" as a; import \"b\" as $b; include \"dir/c\"; a::f($b)\n"),
			broken("syntax", ".a | [ .b, \n"),
		}},
		{"python", []Seed{
			valid("script", "#!/usr/bin/env python3\nimport os, sys, json\n\nclass A:\n    def __init__(self, n=1):\n        self.n = n\n\ndef main():\n    xs = [A(i).n ** 2 for i in range(5) if i % 2]\n    print(json.dumps({'xs': xs, 'cwd': bool(os.getcwd())}), file=sys.stdout)\n    try:\n        open('/nonexistent/file')\n    except OSError as e:\n        print(e.errno)\n\nif __name__ == '__main__':\n    main()\n"),
			valid("system", "import tempfile, threading, subprocess, time, random, hashlib, socket\nwith tempfile.TemporaryFile() as f:\n    f.write(b'x' * 10); f.seek(0); print(len(f.read()))\nt = threading.Thread(target=time.sleep, args=(0,)); t.start(); t.join()\nprint(subprocess.run(['true']).returncode, hashlib.sha256(b'').hexdigest()[:8])\na, b = socket.socketpair(); a.send(b'hi'); print(b.recv(2)); a.close(); b.close()\n"),
			broken("indent", "def f():\nreturn 1\n  x = (\n"),
		}},
		{"perl", []Seed{
			valid("script", "#!/usr/bin/perl\nuse strict; use warnings;\nmy %h = (a => 1, b => 2);\nfor my $k (sort keys %h) { printf \"%s=%d\\n\", $k, $h{$k}; }\nmy $s = 'foo bar'; $s =~ s/(\\w+) (\\w+)/$2 $1/; print \"$s\\n\";\nopen(my $f, '<', '/dev/null') or die $!; close $f;\nprint `echo hi`;\n"),
			broken("syntax", "use strict; my $x = ; print $y\n"),
		}},
		{"ruby", []Seed{
			valid("script", "#!/usr/bin/env ruby\nclass A\n  attr_reader :n\n  def initialize(n) = @n = n\nend\nputs [3, 1, 2].sort.map { |i| A.new(i).n }.inject(:+)\n"),
		}},
		{"lua", []Seed{
			valid("script", "local t = {3, 1, 2, k = 'v'}\ntable.sort(t)\nfor i, v in ipairs(t) do io.write(i, '=', v, '\\n') end\nprint(#t, t.k, string.format('%5.2f', math.pi), os.time{year=2026,month=1,day=2} > 0)\n"),
			broken("syntax", "for i = 1 do print(\n"),
		}},
		{"javascript", []Seed{
			valid("script", "'use strict';\nconst f = async ([a, ...b], {c = 1} = {}) => `${a}${b?.length ?? c}`;\nclass A { #x = 1n; get x() { return this.#x } }\nf([1, 2]).then(v => console.log(v, /a+/gi.test('aA'), new A().x));\n"),
			broken("syntax", "function ( { return }}\n"),
		}},
		{"php", []Seed{
			valid("script", "<?php\nfunction f(int ...$xs): array { return array_map(fn($x) => $x ** 2, $xs); }\necho json_encode(['r' => f(1, 2, 3)]), \"\\n\";\n"),
		}},
		{"tcl", []Seed{
			valid("script", "proc f {n} { expr {$n <= 1 ? 1 : $n * [f [expr {$n - 1}]]} }\nputs [f 5]\nforeach x {a b c} { puts -nonewline $x }\nputs {}\n"),
		}},
		{"c", []Seed{
			valid("program", "#include <stdio.h>\n#define N 3\nstruct s { int a; char *b; };\nstatic int f(int x) { return x > 1 ? x * f(x - 1) : 1; }\nint main(int argc, char **argv)\n{\n\tstruct s v = { f(N), \"hi\" };\n\tfor (int i = 0; i < N; i++)\n\t\tprintf(\"%d %s\\n\", v.a + i, v.b);\n\treturn argc > 99;\n}\n"),
			odd("preprocessor", "#if defined(X) && X > 1\n#error no\n#elif 0\n#endif\n#define CAT(a, b) a ## b\n#define STR(x) #x\nint CAT(a, 1) = sizeof STR(x);\n??=pragma once\n"),
			broken("syntax", "int main( { return 0 }\n#include \"nosuch.h\"\n"),
		}},
		{"cpp", []Seed{
			valid("program", "#include <vector>\n#include <string>\ntemplate <typename T> auto sum(const std::vector<T>& v) { T r{}; for (auto& x : v) r += x; return r; }\nint main() { return sum(std::vector<int>{1, 2, -3}); }\n"),
		}},
		{"go", []Seed{
			valid("program", "package main\n\nimport \"fmt\"\n\ntype T[K comparable] map[K]int\n\nfunc main() {\n\tc := make(chan int, 1)\n\tgo func() { c <- len(T[string]{\"a\": 1}) }()\n\tfmt.Println(<-c)\n}\n"),
			broken("syntax", "package main\nfunc main( {\n"),
		}},
		{"asm", []Seed{
			valid("gas", "\t.text\n\t.globl _start\n_start:\n\tmov $60, %eax\n\txor %edi, %edi\n\tsyscall\n\t.section .rodata\nmsg:\t.asciz \"hi\"\n"),
			broken("operand", "\tmov %nosuch, $\n\t.nosuch\n"),
		}},
		{"make", []Seed{
			valid("makefile", "CC ?= cc\nSRC := $(wildcard *.c)\n.PHONY: all clean\nall: out.txt\nout.txt: ; @echo $(words $(SRC)) $(shell echo hi)\nifeq ($(V),1)\nclean:\n\t@true\nendif\n%.o: %.c\n\t$(CC) -c -o $@ $<\n"),
			broken("separator", "all:\n  echo spaces\nall: all\n\t@false\n"),
		}},
		{"dockerfile", []Seed{
			valid("image", "FROM alpine:3 AS base\nARG V=1\nENV A=$V\nRUN apk add --no-cache curl && \\\n    true\nCOPY --from=base /etc/hosts /h\nENTRYPOINT [\"/bin/sh\", \"-c\"]\n"),
		}},
		{"sql", []Seed{
			valid("script", "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL, n REAL DEFAULT 1.5);\nCREATE INDEX i ON t (name);\nINSERT INTO t (name, n) VALUES ('alice', 1), ('bob', 2), ('it''s', NULL);\nUPDATE t SET n = n * 2 WHERE name LIKE 'a%';\nSELECT name, count(*), sum(n) FROM t GROUP BY name HAVING count(*) > 0 ORDER BY 2 DESC LIMIT 10;\nDELETE FROM t WHERE n IS NULL;\nDROP TABLE t;\n"),
			valid("select", "SELECT 1 + 2 AS x, 'a' || 'b', CASE WHEN 1 < 2 THEN 'y' ELSE 'n' END;\n"),
			valid("transaction", "BEGIN;\nCREATE TABLE a (x);\nINSERT INTO a SELECT 1 UNION ALL SELECT 2;\nSAVEPOINT s; DELETE FROM a; ROLLBACK TO s;\nCREATE VIEW v AS SELECT x FROM a;\nSELECT * FROM v JOIN a USING (x);\nCOMMIT;\n"),
			odd("recursive", "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 50) SELECT max(n), group_concat(n) FROM c;\nPRAGMA integrity_check;\nVACUUM;\nEXPLAIN QUERY PLAN SELECT 1;\n"),
			odd("journals", "CREATE TABLE IF NOT EXISTS p (x);\nPRAGMA journal_mode=DELETE;\nINSERT INTO p VALUES (1);\nPRAGMA journal_mode=TRUNCATE;\nINSERT INTO p VALUES (2);\nPRAGMA journal_mode=PERSIST;\nINSERT INTO p VALUES (3);\nPRAGMA journal_mode=MEMORY;\nINSERT INTO p VALUES (4);\nPRAGMA journal_mode=OFF;\nINSERT INTO p VALUES (5);\nPRAGMA journal_mode=WAL;\nINSERT INTO p VALUES (6);\nPRAGMA wal_checkpoint(TRUNCATE);\nPRAGMA synchronous=FULL;\nPRAGMA temp_store=FILE;\nPRAGMA auto_vacuum=FULL;\nVACUUM;\nATTACH 'other' AS o;\nCREATE TABLE IF NOT EXISTS o.q AS SELECT x FROM p;\nDETACH o;\n"),
			odd("many-rows", "CREATE TABLE IF NOT EXISTS r (x, y);\nBEGIN;\nWITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 20000) INSERT INTO r SELECT n, hex(n * 7919) FROM c;\nCOMMIT;\nCREATE INDEX IF NOT EXISTS ry ON r (y);\nDELETE FROM r WHERE x % 3;\nSELECT count(*) FROM r;\n"),
			odd("dump", "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE b (k TEXT, v BLOB);\nINSERT INTO b VALUES('x',X'00ff10');\nCOMMIT;\n"),
			broken("syntax", "SELEC * FORM t WHERE (;\nSELECT * FROM nosuch;\nSELECT 'open\n"),
		}},
		{"sqlite-commands", []Seed{
			valid("dot", ".mode csv\n.headers on\nCREATE TABLE t(a,b);\nINSERT INTO t VALUES(1,'x');\nSELECT * FROM t;\n.schema\n.tables\n.dump\n.databases\n.quit\n"),
		}},
		{"diff", []Seed{
			valid("unified", "--- a/file.txt\n+++ b/file.txt\n@@ -1,3 +1,4 @@\n The quick brown fox\n-jumps over the lazy dog.\n+jumps over\n+the dog.\n \n"),
			valid("git", "diff --git a/x b/y\nsimilarity index 90%\nrename from x\nrename to y\nindex 257cc56..5716ca5 100644\n--- a/x\n+++ b/y\n@@ -1 +1 @@\n-foo\n+bar\n\\ No newline at end of file\n"),
			valid("no-context", "--- file\n+++ file\n@@ -1,0 +2 @@\n+added\n"), // it fits any file of the name
			valid("new-file", "--- /dev/null\n+++ new/file.txt\n@@ -0,0 +1 @@\n+made\n"),
			valid("ed", "2c\njumps\n.\n1d\n"),
			odd("context", "*** a\tThu Jan  1 00:00:00 1970\n--- b\tThu Jan  1 00:00:00 1970\n***************\n*** 1 ****\n! foo\n--- 1 ----\n! bar\n"),
			broken("counts", "--- a\n+++ b\n@@ -1,99 +1 @@\n-foo\n@@ garbage\n"),
		}},
		{"bc", []Seed{
			valid("program", "scale=5\ndefine f(n) { if (n <= 1) return 1; return n * f(n-1); }\nf(10)\nsqrt(2); 2^64; obase=16; 255\n"),
			valid("dc", "5k 2v p 16o 255 p [la1+dsa p 3>b]sb 0sa lbx q\n"),
			broken("division", "1/0\n(((\n"),
		}},
		{"m4", []Seed{
			valid("macros", "define(`greet', `Hello, $1')dnl\ngreet(`world')\nifelse(eval(1 + 1), 2, yes, no)\nforloop\nsyscmd(`true')\n"),
			// What is diverted beyond half a megabyte lies in files.
			odd("diversions", "define(`twice', `$1$1')dnl\ndefine(`many', `twice(twice(twice(twice(twice(twice(twice(twice(`$1'))))))))')dnl\n"+
				"divert(1)many(many(`0123456789abcdef'))\ndivert(2)many(many(`fedcba9876543210'))\ndivert(1)more\ndivert(3)undivert(1)\ndivert(0)undivert\n"),
			odd("quotes", "changequote([, ])define([x], ["+strings.Repeat("[", 20)+strings.Repeat("]", 20)+"])x\n"),
		}},
		{"ed", []Seed{
			valid("script", "a\none\ntwo\n.\n1,$s/o/0/g\n,p\nq\nQ\n"),
		}},
		{"vim", []Seed{
			valid("script", "set nocompatible\nlet x = [1, 2]\nfor i in x\n  echo i\nendfor\nqa!\n"),
		}},
		{"gnuplot", []Seed{
			valid("script", "set terminal dumb\nset title 'test'\nplot sin(x), x**2 with lines\n"),
		}},
	}
}
