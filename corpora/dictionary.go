package corpora

import "strings"

// Dictionary returns tokens of a format for a mutator to insert, or nil when
// there are none. A token may be binary. The caller owns the result.
func Dictionary(format string) [][]byte {
	var tokens [][]byte
	for _, d := range dictionaries() {
		for f := range strings.FieldsSeq(d.formats) {
			if f != format {
				continue
			}
			for w := range strings.FieldsSeq(d.words) {
				tokens = append(tokens, []byte(w))
			}
			for _, w := range d.exact {
				tokens = append(tokens, []byte(w))
			}
		}
	}
	return tokens
}

// A dictionary has words without white space, and tokens that cannot be written
// so.
type dictionary struct {
	formats string
	words   string
	exact   []string
}

func dictionaries() []dictionary {
	return []dictionary{
		{"json ndjson jsonrpc", `{ } [ ] : , " {} [] "" "": null true false 0 -1 1e9 -0 1E+400 0.1 \u0000 \ud83d\ude00 \" \\ \n \/ NaN Infinity // /*`, []string{"\x1e", "\ufeff"}},
		{"xml xsd xslt svg plist html", `< > </ /> <a> </a> <a/> a="" &amp; &lt; &#0; &#x10FFFF; &e; <!-- --> <![CDATA[ ]]> <? ?> <!DOCTYPE <!ENTITY <!ELEMENT <!ATTLIST SYSTEM PUBLIC xmlns= xmlns:a= xml:lang= xml:space= xml:base= xml:id= standalone= #PCDATA #REQUIRED CDATA ANY EMPTY`,
			[]string{`<?xml version="1.0" encoding="UTF-8"?>`, `encoding="UTF-16"`, `<!DOCTYPE a [`, `]>`, `<xi:include href="`}},
		{"html", `<p> <table> <tr> <td> <script> </script> <style> <svg> <math> <template> <iframe> <input <br> <img onclick= href= src= style= class= &nbsp; &notit; <plaintext> <select> <!--> javascript:`, []string{"<!DOCTYPE html>"}},
		{"svg", `<path <rect <use <g> <text> <defs> <linearGradient d="M0 viewBox= transform= rotate( url(# fill= stroke= xlink:href=`, nil},
		{"csv tsv", `, ; " "" | # -1 1e9 ,, = @ NULL 0x1F 2026-01-02`, []string{"\t", "\r\n", "\n", "\"\n\"", "\ufeff"}},
		{"yaml", `--- ... - : ? & * ! | > % @ [ ] { } , # ~ << !!str !!int !!binary !!map null true .inf .nan &a *a <<: %YAML %TAG |- >+`, []string{": ", "- ", "\n  ", "\t", "? "}},
		{"toml ini properties", `[ ] [[ ]] = . # ; : " ' """ ''' true false inf nan 0x 0o 0b 1979-05-27T07:32:00Z include %include`, []string{"\n", "\\\n"}},
		{"sql sqlite-commands", `SELECT INSERT UPDATE DELETE FROM WHERE GROUP ORDER BY HAVING LIMIT OFFSET JOIN LEFT CROSS NATURAL USING UNION EXCEPT INTERSECT CREATE DROP ALTER TABLE INDEX VIEW TRIGGER VIRTUAL TEMP REPLACE VALUES SET DEFAULT NULL NOT UNIQUE PRIMARY FOREIGN KEY CHECK REFERENCES BEGIN COMMIT ROLLBACK SAVEPOINT VACUUM ANALYZE REINDEX ATTACH DETACH EXPLAIN PRAGMA WITH RECURSIVE CASE WHEN THEN ELSE END CAST COLLATE LIKE GLOB MATCH BETWEEN IN EXISTS DISTINCT AS ON * ( ) , ; ' '' -- /* */ || == <> X'00' count(*) max( random() load_extension( readfile( writefile( json( date('now') 9223372036854775808 1e400`,
			[]string{"IF NOT EXISTS ", "ON CONFLICT DO NOTHING", "OVER (PARTITION BY ", "PRAGMA journal_mode=WAL;", "PRAGMA mmap_size=1000000;", "PRAGMA temp_store=1;"}},
		{"sqlite-commands", `.mode .read .dump .schema .tables .import .output .once .open .backup .restore .save .shell .system .timer .stats .log .excel .cd`, []string{".shell true\n", ".output /dev/null\n", ".open :memory:\n"}},
		{"http-request http2", `GET HEAD POST PUT DELETE OPTIONS TRACE CONNECT PATCH PROPFIND HTTP/1.0 HTTP/1.1 HTTP/2.0 Host: Connection: close keep-alive Upgrade: websocket h2c Content-Length: Content-Type: Transfer-Encoding: chunked Expect: 100-continue Range: bytes=0- If-Modified-Since: If-None-Match: Authorization: Basic Cookie: Accept-Encoding: gzip Accept: */* User-Agent: Referer: X-Forwarded-For: /../ %2e%2e %00 ? #`,
			[]string{"\r\n", "\r\n\r\n", "0\r\n\r\n", "Content-Length: -1\r\n", "Transfer-Encoding: chunked\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}},
		{"http-response", `HTTP/1.1 HTTP/1.0 100 101 200 204 206 301 302 304 401 404 407 416 500 Content-Length: Content-Type: Content-Encoding: gzip deflate br Transfer-Encoding: chunked Location: Set-Cookie: WWW-Authenticate: Digest Negotiate Connection: close Retry-After: Alt-Svc: Strict-Transport-Security: Trailer:`, []string{"\r\n", "\r\n\r\n", "0\r\n\r\n", "Location: file:///etc/hostname\r\n"}},
		{"url", `http:// https:// ftp:// file:/// data: mailto: ws:// // @ : [::1] :0 :65536 ? # % %00 %2F .. ; & = + user:pw@ xn--`, nil},
		{"mail mbox smtp", `From: To: Cc: Subject: Date: Message-ID: MIME-Version: Content-Type: text/plain text/html multipart/mixed message/rfc822 boundary= charset= Content-Transfer-Encoding: base64 quoted-printable 7bit Content-Disposition: filename= =?UTF-8?Q? =?UTF-8?B? ?= <a@b> -- Received: Return-Path: EHLO MAIL RCPT DATA RSET NOOP STARTTLS AUTH QUIT VRFY`, []string{"\r\n.\r\n", "\nFrom ", "\r\n ", "MAIL FROM:<", "RCPT TO:<"}},
		{"png", `IHDR PLTE IDAT IEND tRNS cHRM gAMA iCCP sBIT sRGB tEXt zTXt iTXt bKGD hIST pHYs sPLT tIME acTL fcTL fdAT eXIf`, []string{"\x89PNG\r\n\x1a\n", "\x00\x00\x00\x00", "\x00\x00\x00\x0dIHDR", "\x00\x00\x00\x00IEND\xaeB`\x82"}},
		{"gif", `GIF87a GIF89a NETSCAPE2.0`, []string{"\x21\xf9\x04", "\x21\xfe", "\x21\x01\x0c", "\x21\xff\x0b", "\x2c\x00\x00\x00\x00", "\x3b"}},
		{"jpeg", `JFIF Exif Adobe ICC_PROFILE`, []string{"\xff\xd8", "\xff\xd9", "\xff\xe0\x00\x10", "\xff\xe1", "\xff\xc0", "\xff\xc2", "\xff\xc4", "\xff\xda", "\xff\xdb", "\xff\xdd", "\xff\xd0", "\xff\xfe", "\xff\xee"}},
		{"bmp tiff ico tga", `BM BA CI II MM`, []string{"II*\x00", "MM\x00*", "\x00\x00\x01\x00", "TRUEVISION-XFILE.\x00", "\x28\x00\x00\x00"}},
		{"wav au midi mp4", `RIFF RIFX RF64 WAVE LIST INFO ftyp moov mvhd trak mdia minf stbl stsd stts stco mdat free moof uuid MThd MTrk .snd`, []string{"fmt ", "data", "fact", "\x00\x00\x00\x01", "\xff\x2f\x00", "\xfe\xff"}},
		{"pdf", `%PDF-1.7 %%EOF obj endobj stream endstream xref trailer startxref /Type /Catalog /Pages /Page /Kids /Count /Length /Filter /FlateDecode /LZWDecode /ASCII85Decode /DCTDecode /JBIG2Decode /Encrypt /ObjStm /XRef /Prev /Font /Image /JavaScript /OpenAction /Annots << >> [ ] ( ) R null`, []string{"1 0 R", "1 0 obj", "0000000000 65535 f"}},
		{"postscript eps", `%!PS def dup pop exch roll index copy mul div add moveto lineto curveto stroke fill showpage setpagedevice currentfile readstring file run deletefile findfont scalefont show gsave grestore { } [ ] << >> ( ) exec if ifelse for loop forall stopped quit %pipe%`, nil},
		{"rtf", `{\rtf1 \ansi {\fonttbl {\colortbl {\pict \par \b \i \u8364? \'e9 \bin {\* {\object \objdata } {`, nil},
		{"elf", `.text .data .bss .symtab .strtab .shstrtab .dynamic .dynsym .dynstr .interp .note .debug_info .debug_line .debug_str .eh_frame .rela.plt .gnu.hash GNU CORE`, []string{"\x7fELF", "\x02\x01\x01", "\x01\x02\x01", "\xff\xff\xff\xff", "/lib64/ld-linux-x86-64.so.2\x00"}},
		{"pe", `MZ .text .rdata .rsrc .reloc`, []string{"PE\x00\x00", "\x4c\x01", "\x64\x86", "\x0b\x01", "\x0b\x02"}},
		{"macho class wasm", `__TEXT __DATA __LINKEDIT Code SourceFile java/lang/Object`, []string{"\xcf\xfa\xed\xfe", "\xce\xfa\xed\xfe", "\xca\xfe\xba\xbe", "\x00asm", "\xff\xff\xff\xff\x0f", "\x0b"}},
		{"gzip zlib deflate compress", ``, []string{"\x1f\x8b\x08", "\x1f\x9d\x90", "\x78\x01", "\x78\x9c", "\x78\xda", "\x78\xbb", "\x03\x00", "\x00\x00\x00\xff\xff", "\x1f\x8b\x08\x1f", "\x01\x00\x00\xff\xff"}},
		{"bzip2 xz zstd lz4", `BZh9 BZh1`, []string{"1AY&SY", "\x17rE8P\x90", "\xfd7zXZ\x00", "YZ", "\x28\xb5\x2f\xfd", "\x50\x2a\x4d\x18", "\x04\x22\x4d\x18", "\x02\x21\x4c\x18", "\x5d\x00\x00\x80\x00"}},
		{"zip", `PK`, []string{"PK\x01\x02", "PK\x03\x04", "PK\x05\x06", "PK\x06\x06", "PK\x06\x07", "PK\x07\x08", "\x01\x00", "UT\x05\x00", "ux\x0b\x00", "../", "\x63\x00", "\x0c\x00", "\x0e\x00"}},
		{"tar", `ustar ././@LongLink ././@PaxHeader path= linkpath= size= mtime= uid= GNU.sparse.major= GNU.sparse.map= SCHILY.xattr. ../`, []string{"ustar\x00" + "00", "ustar  \x00", "0000644\x00", "00000000000\x00", "\x80\x00\x00\x00\x00\x00\x00\x00", "11 path=a\n", "L", "K", "x", "g", "S"}},
		{"cpio ar deb", `070701 070702 070707 TRAILER!!! !<arch> !<thin> debian-binary control.tar.gz data.tar.xz // /SYM64/`, []string{"!<arch>\n", "`\n", "\xc7\x71", "2.0\n"}},
		{"pem der asn1 ssh-key", `-----BEGIN -----END ----- CERTIFICATE----- KEY----- ENCRYPTED Proc-Type: DEK-Info: ssh-rsa ssh-ed25519 AAAA`, []string{"\x30\x80", "\x30\x82", "\x02\x01", "\x03\x02\x01", "\x05\x00", "\x06\x03\x55\x04\x03", "\x06\x03\x55\x1d\x11", "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b", "\x17\x0d", "\x18\x0f", "\xa0\x03\x02\x01\x02", "\x84\xff\xff\xff\xff", "-----BEGIN PRIVATE KEY-----\n", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"}},
		{"dns", ``, []string{"\xc0\x0c", "\x00\x00\x01\x00\x01", "\x00\xff\x00\x01", "\x00\x00\x29\x10\x00", "\x00\x1c", "\x00\x0f", "\x00\x10", "\x00\x06", "\x03www"}},
		{"tls", ``, []string{"\x16\x03\x01", "\x16\x03\x03", "\x14\x03\x03\x00\x01\x01", "\x15\x03\x03\x00\x02\x02\x28", "\x17\x03\x03", "\x00\x2b\x00\x03\x02\x03\x04", "\x13\x01", "\x00\x10\x00\x05\x00\x03\x02h2"}},
		{"redis memcached", `PING GET SET DEL INCR LPUSH LRANGE ZADD HSET EXPIRE KEYS SCAN INFO CONFIG EVAL SAVE BGSAVE BGREWRITEAOF DEBUG CLIENT MULTI EXEC SUBSCRIBE PUBLISH SHUTDOWN FLUSHALL SLAVEOF MONITOR AUTH SELECT DUMP RESTORE stats flush_all gets cas incr touch`, []string{"*1\r\n", "$4\r\n", "\r\n", "$-1\r\n"}},
		{"regex", `^ $ . * + ? | ( ) [ ] [^ { } {2,} {1,255} \( \) \{ \} \1 \b \B \w \W \s \d \< \> [[:alpha:]] [[:space:]] [a-z] (?i) (?: (?= (?! (?<= (?P<n> \x41 \p{L} \Q .* .*? [[.a.]] [[=a=]]`, nil},
		{"sh shar", `$ $$ $? $! $# $@ $* ${ } $( ) $(( )) < > >> << <<- <<< >& <& >| | || & && ; ;; ( { [ ] [[ if then else fi for in do done while until case esac function ! # " ' \ ~ * ? = exit exec eval set shift trap wait cd read umask ulimit export unset local return . : test -d -f -x 2>&1 /dev/null /dev/tcp/127.0.0.1/9`, []string{"`", "\n", "$IFS", "exec 3<>/dev/null\n"}},
		{"awk", `BEGIN END FS OFS RS NF NR $0 $1 ~ !~ getline printf print close( system( substr( split( gsub( match( sprintf( toupper( srand( rand() delete in for while function next exit | > >> /dev/stderr ENVIRON`, nil},
		{"sed", `s/// s/a/b/g s/a/b/w y/// p d q a i c n N h H g G x l = r w D P b t : ! $ // \( \) \1 & {} e F z`, []string{"w /dev/stdout", "r /dev/null", "1~2", "$!N"}},
		{"jq", `. .. .[] .a ? // | , [] {} reduce foreach as if then elif else end def try catch import include select( map( keys length test( sub( input inputs debug env $ENV now strftime( getpath( limit( @base64 @csv @json input_filename $__loc__ ltrimstr( tojson fromjson`, nil},
		{"python", `import from as def class return yield lambda with open( print( eval( exec( for in while if elif else try except finally raise async await None True self __name__ f"{ } """ os.fork() os.system( os.listdir( socket.socket( threading.Thread( subprocess.run( mmap.mmap( signal.alarm( select.select( ctypes`, []string{"\n    ", "import os\n", "import socket\n", "import mmap\n"}},
		{"perl", `my our sub use strict; $_ @_ %h => -> =~ s/// m// qw( q{ open( close( print printf system( exec( fork; wait; local $| $0 $@ eval { die sort map grep sprintf( pack( unpack( __END__ =pod =cut <STDIN> socket( stat( opendir(`, nil},
		{"c cpp", `#include #define #if #ifdef #endif #error #pragma <stdio.h> int char void struct union enum typedef static extern const volatile sizeof return if else for while do switch case default goto { } ( ) [ ] ; , * & -> ... == != <<= ## 0x 'a' "a" \n /* */ // _Generic _Static_assert __attribute__ asm template class namespace operator constexpr`, nil},
		{"make", `all: .PHONY: := ?= += != $@ $< $^ $(shell $(wildcard $(foreach $(eval $(call include -include ifeq else endif define endef export .ONESHELL: .SILENT: MAKEFLAGS`, []string{"\n\t", "\t@", "\\\n"}},
		{"diff", `--- +++ @@ diff --git index rename from to new file mode 100644 120000 Binary GIT binary patch ***`, []string{"@@ -1,1 +1,1 @@\n", "\\ No newline at end of file\n", "--- a/x\n+++ b/x\n", "/dev/null", "literal 0\n", "deleted file mode 100644\n"}},
		{"markdown", "# ## - * + > ``` ~~~ ** __ [a](b) [a]: ![ ]( <http://a> | --- === &amp; <div> \\* 1. [^1] ~~ $$", []string{"    ", "  \n"}},
		{"roff", `.TH .SH .SS .PP .TP .IP .B .I .BR .nf .fi .so .de .. .ds .nr .if .ie .el .while .pso .sy .TS .TE .EQ .EN \fB \fR \- \(bu \*( \n( \s-1 \h' \X'`, nil},
		{"latex", `\documentclass{ \begin{ \end{ \input{ \include{ \write18 \def \newcommand \loop \csname \expandafter $ $$ { } % & # _ ^ \catcode \openin \openout \jobname`, nil},
		{"text utf8 words log", `-1 0 1 00 0x 1e9 % %s %n %d \n \\ / // ../ ~ $HOME * ? - -- = + @ # | NaN inf`, []string{" ", "\t", "\n", "\r\n", "\x00", "\ufeff", "\u202e", "\u0301", "\xff", "\xc0\x80", "\x1b[31m", "\b"}},
		{"bytes utf16", ``, []string{"\x00", "\xff", "\x7f", "\x80", "\x00\x00\x00\x00", "\xff\xff\xff\xff", "\xff\xff\xff\x7f", "\x00\x00\x00\x80", "\xff\xfe", "\xfe\xff", "\x00\xd8", "\x00\xdc"}},
	}
}
