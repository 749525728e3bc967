package corpora

import (
	"encoding/binary"
	"slices"
	"strings"
)

// networkFamilies are messages of protocols, one direction of a conversation
// each, and captures of them.
func networkFamilies() []family {
	query, answer := encodeDNS(false), encodeDNS(true)
	packet := encodeUDP(query)
	hello := encodeClientHello()
	return []family{
		{"http-request", []Seed{
			valid("get", "GET /index.html?a=1&b=%20 HTTP/1.1\r\nHost: example.org\r\nUser-Agent: tjfuzz\r\nAccept: */*\r\nConnection: close\r\n\r\n"),
			valid("post", "POST /form HTTP/1.1\r\nHost: example.org\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 13\r\n\r\nname=a&go=yes"),
			valid("chunked", "PUT /upload HTTP/1.1\r\nHost: example.org\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
			valid("range", "GET /file HTTP/1.1\r\nHost: a\r\nRange: bytes=0-9,20-\r\nIf-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT\r\nAccept-Encoding: gzip, br\r\nCookie: a=b; c=d\r\n\r\n"),
			odd("http10", "HEAD / HTTP/1.0\r\n\r\n"),
			odd("pipelined", strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 3)),
			odd("upgrade", "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"),
			odd("proxy", "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\nProxy-Authorization: Basic YTpi\r\n\r\n"),
			odd("dot-dot", "GET /../../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n"),
			broken("method", "G\x00T / HTTP/9.9\r\nHost a\r\n\r\n"),
			broken("two-lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
			broken("long-header", "GET / HTTP/1.1\r\nX: "+strings.Repeat("a", 3000)),
		}},
		{"http-response", []Seed{
			valid("ok", "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n"),
			valid("chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n3;ext=1\r\nabc\r\n0\r\nX: y\r\n\r\n"),
			valid("redirect", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nSet-Cookie: a=b; Path=/; HttpOnly\r\nContent-Length: 0\r\n\r\n"),
			odd("continue", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"a\", nonce=\"b\"\r\nContent-Length: 0\r\n\r\n"),
			broken("chunk-size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"),
			broken("status", "HTTP/1.1 99999 \r\n: \r\n\r\n"),
		}},
		{"http2", []Seed{
			valid("preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"+
				"\x00\x00\x03\x01\x05\x00\x00\x00\x01\x82\x84\x86"), // SETTINGS; HEADERS of GET http /
			broken("frame", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
			odd("ping-and-goaway", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
		}},
		{"websocket", []Seed{
			valid("text", "\x81\x85\x01\x02\x03\x04ig\x6f\x68n"), // "hello" under a mask, RFC 6455
			odd("fragments", "\x01\x01a\x89\x00\x80\x01b\x88\x02\x03\xe8"),
			broken("length", "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
		}},
		{"multipart", []Seed{
			valid("form", "--xx\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--xx\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--xx--\r\n"),
			odd("nested", "preamble\r\n--xx\r\nContent-Type: multipart/mixed; boundary=yy\r\n\r\n--yy\r\n\r\n--yy--\r\n--xx--\r\nepilogue"),
			broken("no-end", "--xx\r\nContent-Disposition: form-data; name=\"a\r\n\r\n1\r\n--x"),
		}},
		{"url", []Seed{
			valid("list", "http://example.org/\nhttps://user:pw@[::1]:8443/a/b;c?d=e&f=%C3%A9#g\nftp://ftp.example.org/x\nfile:///etc/hostname\nmailto:a@example.org\ndata:text/plain;base64,aGk=\n"),
			broken("hosts", "http://[::1\nhttp://a:999999/\n%zz\n://\n"),
			odd("relative", "//host\n?q\n#f\n../a/./b\nhttp:\nHTTP://EXAMPLE.org:80/%7Ea;x=1//b?a=1&a=2&&=\nhttp://xn--bcher-kva.example/\nhttp://a@b@c/\n"),
		}},
		{"mail", []Seed{
			valid("plain", "From: Alice <alice@example.org>\r\nTo: bob@example.org, \"C, D\" <c@example.org>\r\nSubject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n\r\nHello,\r\n\r\nbye.\r\n"),
			valid("mime", "From: a@example.org\r\nTo: b@example.org\r\nSubject: attachment\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"xx\"\r\n\r\npreamble\r\n--xx\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=3Db=\r\nc\r\n--xx\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=\"a.bin\"\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC/w==\r\n--xx--\r\n"),
			broken("boundary", "From: a\r\nContent-Type: multipart/mixed; boundary=\r\n\r\n--\r\n----\r\n"),
			odd("folded", "From: =?utf-8?B?w6k=?=\r\n\t<a@example.org>\r\nTo: undisclosed-recipients:;\r\nReceived: from a (b [192.0.2.1])\r\n by c; Thu, 1 Jan 26 00:00 GMT\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\n.\r\n"),
		}},
		{"mbox", []Seed{
			valid("two", "From alice@example.org Thu Jan  1 00:00:00 2026\nFrom: alice@example.org\nSubject: one\n\nfirst\n>From quoted\n\nFrom bob@example.org Thu Jan  1 00:00:01 2026\nFrom: bob@example.org\nSubject: two\n\nsecond\n\n"),
			odd("one-empty", "From - Thu Jan  1 00:00:00 2026\n\n"),
			broken("no-separator", "Subject: one\n\nFrom\nFrom x\n"),
		}},
		{"smtp", []Seed{
			valid("session", "EHLO example.org\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nSubject: hi\r\n\r\n..dot\r\n.\r\nQUIT\r\n"),
			broken("order", "DATA\r\nRCPT TO:\r\nMAIL\r\nBDAT 99999999999\r\n"),
			odd("extensions", "HELO [127.0.0.1]\r\nEHLO a\r\nSTARTTLS\r\nAUTH PLAIN AGEAYg==\r\nMAIL FROM:<> SIZE=99999999 BODY=8BITMIME\r\nVRFY root\r\nEXPN all\r\nHELP\r\nRSET\r\nNOOP x\r\n"),
		}},
		{"ftp", []Seed{
			valid("session", "USER anonymous\r\nPASS a@example.org\r\nSYST\r\nPWD\r\nTYPE I\r\nPASV\r\nLIST\r\nQUIT\r\n"),
			odd("active", "USER a\r\nPASS \r\nEPRT |2|::1|1234|\r\nPORT 127,0,0,1,4,1\r\nREST 5\r\nRETR ../a\r\nSTOR b\r\nRNFR a\r\nRNTO b\r\nSITE CHMOD 777 a\r\nABOR\r\n"),
			broken("verbs", "PORT 1,2\r\nRNTO x\r\nPASS\r\n\xff\xf4\xffABOR\r\n"),
		}},
		{"redis", []Seed{
			valid("commands", "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$4\r\nINCR\r\n$1\r\na\r\n*1\r\n$4\r\nPING\r\n"),
			valid("inline", "PING\r\nSET k v EX 10\r\nGET k\r\nLPUSH l a b c\r\nLRANGE l 0 -1\r\nINFO\r\n"),
			broken("counts", "*-2\r\n*1\r\n$99999999999\r\nA\r\n"),
			odd("transaction", "MULTI\r\nEVAL \"return redis.call('ping')\" 0\r\nSUBSCRIBE a\r\nEXEC\r\nCONFIG GET *\r\nDEBUG SLEEP 0\r\nBGSAVE\r\nHELLO 3\r\nCLIENT LIST\r\n"),
		}},
		{"memcached", []Seed{
			valid("commands", "set a 0 0 1\r\n1\r\nget a b\r\nincr a 2\r\nstats\r\nquit\r\n"),
			odd("meta", "mn\r\nms k 1 T0\r\na\r\nmg k v t\r\nmd k\r\nflush_all noreply\r\nverbosity 1\r\nslabs reassign 1 2\r\n"),
			broken("length", "set a 0 0 -1\r\nset b 0 0 99999999\r\nget\r\n\x80\x00\xff\xff"),
		}},
		{"dns", []Seed{
			valid("query", query),
			valid("answer", answer),
			broken("pointer-loop", slices.Concat(query[:12], []byte{0xc0, 12, 0, 1, 0, 1})),
			broken("truncated", query[:17]),
			odd("edns", slices.Concat(query[:10], []byte{0, 1}, query[12:], []byte("\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00"))),
		}},
		{"tls", []Seed{
			valid("client-hello", hello),
			broken("length", flip(hello, 7)),
			odd("ssl2-hello", "\x80\x1f\x01\x03\x01\x00\x06\x00\x00\x00\x10\x00\x00\x2f\x00\x00\x35"+strings.Repeat("\x5a", 16)),
			odd("alert", "\x15\x03\x03\x00\x02\x02\x28"),
		}},
		{"ssh", []Seed{
			valid("banner", "SSH-2.0-tjfuzz_1\r\n"),
			odd("comment", "hello\r\nSSH-1.99-x y z\n"),
			broken("packet", "SSH-2.0-tjfuzz_1\r\n\xff\xff\xff\xff\xff\x14"),
		}},
		{"pcap", []Seed{
			valid("dns", encodePcap(packet)),
			odd("no-packets", encodePcap()),
			broken("length", flip(encodePcap(packet), 34)),
		}},
		{"socks", []Seed{
			valid("v5", "\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50"),
			odd("v4a", "\x04\x01\x00\x50\x00\x00\x00\x01user\x00example.org\x00"),
			broken("methods", "\x05\xff\x00"),
		}},
		{"jsonrpc", []Seed{
			valid("call", `{"jsonrpc":"2.0","id":1,"method":"sum","params":[1,2]}`+"\n"),
			odd("batch", `[{"jsonrpc":"2.0","method":"notify"},{"id":null,"method":"","params":{}}]`+"\n"),
			broken("truncated", `{"jsonrpc":"2.0","id":1,"method":`),
		}},
		{"robots", []Seed{
			valid("txt", "User-agent: *\nDisallow: /private\nSitemap: https://example.org/s.xml\n"),
		}},
	}
}

// encodeDNS writes a question for the address of example.org, and its answer
// behind it when wanted (RFC 1035).
func encodeDNS(withAnswer bool) []byte {
	flags, answers := uint16(0x0100), uint16(0)
	if withAnswer {
		flags, answers = 0x8180, 1
	}
	var b []byte
	for _, v := range []uint16{0x1234, flags, 1, answers, 0, 0} {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	b = append(b, "\x07example\x03org\x00\x00\x01\x00\x01"...)
	if withAnswer {
		b = append(b, "\xc0\x0c\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04\xc0\x00\x02\x01"...)
	}
	return b
}

// encodeUDP puts a payload for port 53 into UDP, IPv4 and Ethernet. The UDP
// checksum is absent, as IPv4 permits.
func encodeUDP(payload []byte) []byte {
	be := binary.BigEndian
	udp := be.AppendUint16([]byte{0x80, 1, 0, 53}, uint16(8+len(payload)))
	udp = append(be.AppendUint16(udp, 0), payload...)

	ip := be.AppendUint16([]byte{0x45, 0}, uint16(20+len(udp)))
	ip = append(ip, 0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2)
	sum := uint32(0)
	for i := 0; i < len(ip); i += 2 {
		sum += uint32(be.Uint16(ip[i:]))
	}
	be.PutUint16(ip[10:], ^uint16(sum+sum>>16))

	ethernet := []byte("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x00")
	return slices.Concat(ethernet, ip, udp)
}

// encodePcap writes a capture file of version 2.4, link type Ethernet.
func encodePcap(packets ...[]byte) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0xa1b2c3d4)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = le.AppendUint32(b, 65535)
	b = le.AppendUint32(b, 1)
	for _, p := range packets {
		b = append(b, make([]byte, 8)...) // captured at 0
		b = le.AppendUint32(b, uint32(len(p)))
		b = le.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	return b
}

// encodeClientHello writes a TLS 1.2 hello for example.org with two cipher suites
// (RFC 5246, RFC 6066).
func encodeClientHello() []byte {
	be := binary.BigEndian
	sized := func(body []byte) []byte { return append(be.AppendUint16(nil, uint16(len(body))), body...) }

	name := sized(append([]byte{0}, sized([]byte("example.org"))...))
	extensions := slices.Concat(
		[]byte{0, 0}, sized(name), // server_name
		[]byte{0, 10}, sized(sized([]byte{0, 29, 0, 23})), // supported_groups
		[]byte{0, 13}, sized(sized([]byte{4, 3, 8, 4})), // signature_algorithms
	)
	body := slices.Concat(
		[]byte{3, 3}, make([]byte, 32), // version, random
		[]byte{0},                             // no session
		sized([]byte{0xc0, 0x2b, 0xc0, 0x2f}), // ECDHE with AES-128-GCM
		[]byte{1, 0},                          // no compression
		sized(extensions),
	)
	handshake := append([]byte{1, 0}, sized(body)...)
	return append([]byte{22, 3, 1}, sized(handshake)...)
}
