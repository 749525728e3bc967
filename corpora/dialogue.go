package corpora

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Dialogue is what one peer says to a service: a message after the other, each when the service has
// answered the last one.
type Dialogue struct {
	Name     string // unique among those of a protocol
	Messages [][]byte
}

// Protocol guesses what a service speaks: by what it says first, by what it answers to a question, "GET / HTTP/1.0"
// where messages have no bounds and one of DNS elsewhere, and else by its port, 0 for none. It is one of
// those that Dialogues knows, or "" for a service of which nothing is known.
func Protocol(port int, banner, answer []byte) string {
	for _, sign := range signs {
		said := answer
		if sign.first {
			said = banner
		}
		if bytes.HasPrefix(said, []byte(sign.prefix)) && bytes.Contains(said, []byte(sign.has)) && len(said) > 0 {
			return sign.protocol
		}
	}
	if len(answer) > 12 && binary.BigEndian.Uint16(answer) == 0x1234 && answer[2]&0x80 != 0 { // the number of the question, and that it is answered
		return "dns"
	}
	return ports[port]
}

// signs are how services are known, the most telling first.
var signs = []struct {
	first       bool // said before anything is asked
	prefix, has string
	protocol    string
}{
	{true, "SSH-", "", "ssh"},
	{true, "220", "FTP", "ftp"},
	{true, "220", "ftp", "ftp"},
	{true, "220", "", "smtp"},
	{true, "+OK", "", "pop3"},
	{true, "* OK", "", "imap"},
	{true, "@RSYNCD:", "", "rsync"},
	{true, "200", "NNTP", "nntp"},
	{true, "201", "NNTP", "nntp"},
	{true, "INFO {", "", "nats"},
	{true, "RFB 003.", "", "vnc"},
	{false, "HTTP/", "", "http"},
	{false, "", "<html", "http"},
	{false, "-ERR", "", "redis"},
	{false, "-NOAUTH", "", "redis"},
	{false, "ERROR\r\n", "", "memcached"},
	{false, "UNKNOWN_COMMAND\r\n", "", "beanstalk"},
	{false, "", "<stream:stream", "xmpp"},
	{false, "RTSP/", "", "rtsp"},
	{false, "SIP/2.0", "", "sip"},
	{false, ":", " 451 ", "irc"},
}

// ports are those of protocols whose services may say nothing that they are known by.
var ports = map[int]string{
	21: "ftp", 22: "ssh", 25: "smtp", 53: "dns", 67: "dhcp", 69: "tftp", 80: "http", 110: "pop3", 119: "nntp", 123: "ntp", 143: "imap", 161: "snmp", 389: "ldap",
	443: "http", 514: "syslog", 554: "rtsp", 587: "smtp", 631: "http", 873: "rsync", 1080: "socks", 1883: "mqtt", 3128: "http", 3306: "mysql", 4222: "nats",
	5060: "sip", 5222: "xmpp", 5432: "postgres", 5900: "vnc", 6379: "redis", 6667: "irc", 8000: "http", 8080: "http", 8443: "http", 11211: "memcached",
	11300: "beanstalk", 61613: "stomp",
}

// Protocols are those that Protocol tells apart, and Dialogues knows, sorted.
func Protocols() []string {
	out := []string{"dns"}
	for _, s := range signs {
		out = append(out, s.protocol)
	}
	for _, p := range ports {
		out = append(out, p)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Dialogues are what to say to a service that speaks a protocol, the most usual first. For one that
// is not known they are what services of many kinds answer something to.
func Dialogues(protocol string) []Dialogue {
	switch protocol {
	case "http":
		return httpDialogues()
	case "redis":
		return redisDialogues()
	case "memcached":
		return memcachedDialogues()
	case "dns":
		return dnsDialogues()
	case "ssh":
		return []Dialogue{
			said("banner", "SSH-2.0-tjfuzz_1\r\n"),
			said("kex", "SSH-2.0-tjfuzz_1\r\n", string(sshKexInit())),
			said("old", "SSH-1.5-tjfuzz\n"),
		}
	case "smtp":
		return []Dialogue{
			lines("mail", "EHLO example.org", "MAIL FROM:<a@example.org>", "RCPT TO:<root@localhost>", "DATA", "Subject: hi\r\n\r\nhello\r\n.", "QUIT"),
			lines("talk", "HELO example.org", "NOOP", "VRFY root", "EXPN root", "HELP", "RSET", "AUTH PLAIN AGEAYg==", "STARTTLS"),
			lines("wrong", "MAIL FROM:", "RCPT", "DATA", "BDAT 4 LAST", "XYZZY"),
		}
	case "ftp":
		return []Dialogue{
			lines("list", "USER anonymous", "PASS a@example.org", "SYST", "FEAT", "PWD", "TYPE I", "PASV", "LIST", "CWD /", "QUIT"),
			lines("files", "USER anonymous", "PASS a", "EPSV", "RETR file", "STOR new", "DELE new", "MKD d", "RMD d", "RNFR a", "RNTO b", "SIZE file", "MDTM file", "REST 1", "ABOR"),
			lines("tls", "AUTH TLS", "PBSZ 0", "PROT P"),
		}
	case "pop3":
		return []Dialogue{lines("mail", "CAPA", "USER root", "PASS a", "STAT", "LIST", "RETR 1", "DELE 1", "UIDL", "QUIT"), lines("tls", "STLS")}
	case "imap":
		return []Dialogue{lines("mail", "a CAPABILITY", "b LOGIN root a", "c LIST \"\" *", "d SELECT INBOX", "e FETCH 1 BODY[]", "f APPEND INBOX {5}", "hello", "g IDLE", "DONE", "h LOGOUT"), lines("tls", "a STARTTLS")}
	case "mqtt":
		const connect = "\x10\x10\x00\x04MQTT\x04\x02\x00<\x00\x04test" // version 3.1.1, a clean session
		return []Dialogue{
			said("publish", connect, "\x82\x06\x00\x01\x00\x01t\x00", "0\x04\x00\x01tx", "\xc0\x00", "\xe0\x00"),
			said("assured", connect, "\x82\x08\x00\x02\x00\x03a/#\x02", "2\x08\x00\x03a/b\x00\x01x", "4\x09\x00\x03a/c\x00\x02yz", "\x62\x02\x00\x02", "\xa2\x07\x00\x03\x00\x03a/#", "\xe0\x00"),
			said("will", "\x10\x1a\x00\x04MQTT\x04\xce\x00<\x00\x02c1\x00\x01w\x00\x01z\x00\x01u\x00\x01p"),
			said("kept", "\x10\x0e\x00\x04MQTT\x04\x00\x00\x05\x00\x02c1", "\x82\x06\x00\x01\x00\x01t\x01", "1\x04\x00\x01tx"),
			said("status", connect, "\x82\x0b\x00\x01\x00\x06$SYS/#\x00"),
			said("five", "\x10\x11\x00\x04MQTT\x05\x02\x00<\x00\x00\x04test", "0\x05\x00\x01t\x00x", "\xe0\x00"),
		}
	case "ntp":
		return []Dialogue{said("client", "\x23"+strings.Repeat("\x00", 47)), said("control", "\x16\x02\x00\x01"+strings.Repeat("\x00", 8))}
	case "tftp":
		return []Dialogue{said("read", "\x00\x01file\x00octet\x00", "\x00\x04\x00\x01"), said("write", "\x00\x02new\x00octet\x00", "\x00\x03\x00\x01hello")}
	case "irc":
		return []Dialogue{
			lines("channel", "NICK tj", "USER tj 0 * :tj", "JOIN #x", "MODE #x +o tj", "TOPIC #x :hi", "PRIVMSG #x :hello", "NAMES #x", "WHO #x", "PART #x", "QUIT :bye"),
			lines("queries", "NICK tk", "USER tk 0 * :tk", "MOTD", "LUSERS", "VERSION", "TIME", "ADMIN", "INFO", "LIST", "STATS u", "WHOIS tk", "WHOWAS tj", "USERHOST tk", "ISON tk", "LINKS", "AWAY :x", "PING x", "OPER a b", "REHASH", "CONNECT example.org"),
			lines("server", "PASS x 0210-IRC+ a|b:c", "SERVER a.example.org 1 :x", "CAP LS", "SQUIT a"),
		}
	case "nntp":
		return []Dialogue{lines("read", "CAPABILITIES", "MODE READER", "LIST", "GROUP a.b", "ARTICLE 1", "OVER 1-", "DATE", "POST", "Subject: a", ".", "QUIT")}
	case "beanstalk":
		return []Dialogue{lines("jobs", "use t", "put 0 0 10 5", "hello", "watch t", "reserve-with-timeout 1", "touch 1", "release 1 0 1", "reserve-with-timeout 2", "bury 1 0", "kick 9", "peek 1", "stats", "stats-job 1", "list-tubes", "pause-tube t 1", "delete 1", "put 0 1 1 1", "a", "quit")}
	case "rsync": // a carriage return ends a line, too: another one behind it would end the arguments
		return []Dialogue{
			said("list", "@RSYNCD: 31.0\n", "#list\n"),
			said("module", "@RSYNCD: 29\n", "data\n", "--server\n--sender\n-logDtpr\n.\ndata/\n\n", "\x00\x00\x00\x00", // no filters
				"\x01\x00\x00\x00\x00\x80\x00\x00\x00\x00\xbc\x02\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00", // the second of the files, of which there is nothing yet
				"\xff\xff\xff\xff", "\xff\xff\xff\xff", "\xff\xff\xff\xff", "\xff\xff\xff\xff"),
			said("wrong", "@RSYNCD: 99\n", "none\n"),
		}
	case "sip":
		const to = " sip:a@localhost SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bK1;rport\r\nFrom: <sip:b@localhost>;tag=1\r\nTo: <sip:a@localhost>\r\nCall-ID: 1\r\nMax-Forwards: 70\r\nContact: <sip:b@127.0.0.1:5061>\r\nCSeq: 1 "
		return []Dialogue{said("calls", "OPTIONS"+to+"OPTIONS\r\n\r\n", "REGISTER"+to+"REGISTER\r\n\r\n", "INVITE"+to+"INVITE\r\n\r\n")}
	case "rtsp":
		const of = " rtsp://localhost/a RTSP/1.0\r\nCSeq: 1\r\n\r\n"
		return []Dialogue{said("play", "OPTIONS"+of, "DESCRIBE"+of, "SETUP"+of, "PLAY"+of)}
	case "xmpp":
		return []Dialogue{said("stream", "<?xml version='1.0'?><stream:stream to='localhost' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>", "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>", "</stream:stream>")}
	case "nats":
		return []Dialogue{lines("publish", `CONNECT {"verbose":true}`, "PING", "SUB a.> 1", "PUB a.b 5\r\nhello", "UNSUB 1")}
	case "stomp":
		return []Dialogue{said("send", "CONNECT\naccept-version:1.2\nhost:localhost\n\n\x00", "SUBSCRIBE\nid:0\ndestination:/queue/a\n\n\x00", "SEND\ndestination:/queue/a\n\nhello\x00", "DISCONNECT\n\n\x00")}
	case "vnc":
		return []Dialogue{said("look", "RFB 003.008\n", "\x01", "\x01", "\x03\x00\x00\x00\x00\x00\x00\x10\x00\x10")}
	case "socks":
		return []Dialogue{
			said("five", "\x05\x01\x00", "\x05\x01\x00\x03\x0bexample.org\x00\x50", "GET / HTTP/1.0\r\n\r\n"),
			said("four", "\x04\x01\x00\x50\xc0\x00\x02\x07a\x00", "GET / HTTP/1.0\r\n\r\n"),
			said("datagrams", "\x05\x01\x00", "\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00"),
		}
	case "ldap": // RFC 4511
		const bind, all = "\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00", "\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00\x87\x0bobjectClass\x30\x00"
		return []Dialogue{
			said("root", bind, "\x30\x25\x02\x01\x02\x63\x20\x04\x00\x0a\x01\x00"+all, "\x30\x05\x02\x01\x03\x42\x00"),
			said("tree", bind, "\x30\x30\x02\x01\x02\x63\x2b\x04\x0bdc=nodomain\x0a\x01\x02"+all),
			said("write", "\x30\x14\x02\x01\x01\x60\x0f\x02\x01\x03\x04\x04cn=a\x80\x04pass", "\x30\x09\x02\x01\x02\x4a\x04cn=b", "\x30\x1d\x02\x01\x03\x77\x18\x80\x161.3.6.1.4.1.1466.20037"),
		}
	case "snmp": // RFC 3416
		const get, next = "\xa0\x19\x02\x01\x01\x02\x01\x00\x02\x01\x00\x30\x0e\x30\x0c\x06\x08\x2b\x06\x01\x02\x01\x01\x01\x00\x05\x00", "\xa1\x16\x02\x01\x02\x02\x01\x00\x02\x01\x00\x30\x0b\x30\x09\x06\x05\x2b\x06\x01\x02\x01\x05\x00"
		const many = "\xa5\x16\x02\x01\x03\x02\x01\x00\x02\x01\x40\x30\x0b\x30\x09\x06\x05\x2b\x06\x01\x02\x01\x05\x00"
		return []Dialogue{
			said("get", "\x30\x26\x02\x01\x01\x04\x06public"+get, "\x30\x23\x02\x01\x01\x04\x06public"+next, "\x30\x23\x02\x01\x01\x04\x06public"+many),
			said("denied", "\x30\x24\x02\x01\x00\x04\x04none"+get),
			said("discover", "\x30\x3a\x02\x01\x03\x30\x0f\x02\x02\x4a\x69\x02\x03\x00\xff\xe3\x04\x01\x04\x02\x01\x03\x04\x10\x30\x0e\x04\x00\x02\x01\x00\x02\x01\x00\x04\x00\x04\x00\x04\x00\x30\x12\x04\x00\x04\x00\xa0\x0c\x02\x02\x37\xf0\x02\x01\x00\x02\x01\x00\x30\x00"),
		}
	case "postgres":
		return []Dialogue{
			said("query", "\x00\x00\x00\x08\x04\xd2\x16\x2f"), // whether it speaks TLS
			said("start", "\x00\x00\x00\x22\x00\x03\x00\x00user\x00postgres\x00database\x00a\x00\x00", "Q\x00\x00\x00\x0dselect 1\x00", "X\x00\x00\x00\x04"),
		}
	case "mysql":
		const client = "\x00\x00\x00\x01\x21" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" // how long packets may be, the character set
		return []Dialogue{
			said("log-in", "\x26\x00\x00\x01\x05\xa2\x00\x00"+client+"root\x00\x00", "\x09\x00\x00\x00\x03select 1", "\x01\x00\x00\x00\x01"),
			said("tls", "\x20\x00\x00\x01\x05\xaa\x00\x00"+client),
		}
	case "syslog":
		return []Dialogue{said("lines", "<13>Jan  1 00:00:00 host a: hello\n", "<0>1 2026-01-01T00:00:00Z host a 1 - - hello\n", "<999>")}
	case "dhcp":
		return []Dialogue{said("discover", "\x01\x01\x06\x00\x12\x34\x56\x78"+strings.Repeat("\x00", 20)+"\x02\x00\x00\x00\x00\x01"+strings.Repeat("\x00", 202)+"\x63\x82\x53\x63\x35\x01\x01\xff")}
	}
	return []Dialogue{
		lines("words", "help", "hello", "status", "quit"),
		said("nothing", "\r\n\r\n"),
		said("http", "GET / HTTP/1.0\r\n\r\n"),
		said("json", `{"jsonrpc":"2.0","id":1,"method":"help","params":[]}`+"\n"),
		said("binary", "\x00\x00\x00\x08\x04\xd2\x16/", "\x00\x00\x00\x00", strings.Repeat("\xff", 64)),
		said("long", strings.Repeat("a", 3000)+"\n"),
	}
}

// openings are how many messages of its first dialogue a peer says before others of a protocol whose messages are lines, each a
// command: who it is.
var openings = map[string]int{"beanstalk": 0, "ftp": 2, "irc": 2, "memcached": 0, "nats": 1, "nntp": 0, "pop3": 0, "smtp": 1}

// OfLines reports whether each message of a protocol is a line that begins with a command.
func OfLines(protocol string) bool {
	_, ok := openings[protocol]
	return ok
}

// Opening is what is said before other commands of a protocol.
func Opening(protocol string) [][]byte {
	n := openings[protocol]
	if n == 0 {
		return nil
	}
	return Dialogues(protocol)[0].Messages[:n]
}

// said is a dialogue of messages as they are.
func said(name string, messages ...string) Dialogue {
	d := Dialogue{Name: name}
	for _, m := range messages {
		d.Messages = append(d.Messages, []byte(m))
	}
	return d
}

// lines is a dialogue of lines.
func lines(name string, messages ...string) Dialogue {
	d := said(name, messages...)
	for i := range d.Messages {
		d.Messages[i] = append(d.Messages[i], "\r\n"...)
	}
	return d
}

func httpDialogues() []Dialogue {
	const host = " HTTP/1.1\r\nHost: localhost\r\n"
	get := func(path, headers string) string { return "GET " + path + host + headers + "\r\n" }
	out := []Dialogue{
		said("get", get("/", ""), get("/", "Connection: close\r\n")),
		said("missing", get("/no/such/file?a=1", "")),
		said("range", get("/", "Range: bytes=0-9\r\n"), get("/", "Range: bytes=0-1,4-5,-3\r\n"), get("/", "Range: bytes=999999-\r\n")),
		said("conditional", get("/", "If-Modified-Since: Thu, 01 Jan 2037 00:00:00 GMT\r\n"), get("/", "If-None-Match: *\r\n"), get("/", "If-Match: \"x\"\r\n")),
		said("encoded", get("/", "Accept-Encoding: gzip, br, zstd\r\nUser-Agent: tjfuzz\r\nCookie: a=b\r\n")),
		said("methods", "HEAD /"+host+"\r\n", "OPTIONS *"+host+"\r\n", "TRACE /"+host+"\r\n", "DELETE /x"+host+"\r\n"),
		said("post", "POST /form"+host+"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 13\r\n\r\nname=a&go=yes"),
		said("put", "PUT /new"+host+"Content-Length: 5\r\n\r\nhello", "MKCOL /dir/"+host+"\r\n", "MOVE /new"+host+"Destination: /old\r\n\r\n", "PROPFIND /"+host+"Depth: 1\r\nContent-Length: 0\r\n\r\n"),
		said("upload", "POST /upload"+host+"Content-Length: 200000\r\n\r\n", strings.Repeat("0123456789", 10000), strings.Repeat("0123456789", 10000)),
		said("expect", "POST /x"+host+"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", "hello"),
		said("chunked", "PUT /upload"+host+"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "0\r\n\r\n"),
		said("pipelined", strings.Repeat(get("/", ""), 4)),
		said("old", "GET /\r\n"),
		said("http10", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"),
		said("directory", get("/..", ""), get("/%2e%2e/etc/passwd", ""), get("/.", ""), get("//", "")),
		said("script", get("/cgi-bin/x", ""), get("/index.php?a=b", ""), get("/server-status", "")),
		said("secret", get("/", "Authorization: Basic YTpi\r\nX-Forwarded-For: 10.0.0.1\r\n")),
		said("upgrade", get("/chat", "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"), "\x81\x85\x01\x02\x03\x04iuohn"),
		said("h2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x03\x01\x05\x00\x00\x00\x01\x82\x84\x86"),
		said("proxy", "GET http://example.org/ HTTP/1.1\r\nHost: example.org\r\n\r\n", "GET http://127.0.0.1/"+host+"\r\n"), // by a name, which is looked up, too
		said("tunnel", "CONNECT example.org:80 HTTP/1.1\r\nHost: example.org:80\r\n\r\n", get("/", "")),
		said("method", "G\x00T / HTTP/9.9\r\nHost a\r\n\r\n"),
		said("long", "GET /"+strings.Repeat("a", 9000)+host+"\r\n"),
		said("headers", "GET /"+host+strings.Repeat("X: a\r\n", 400)+"\r\n"),
		said("lengths", "POST /"+host+"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "POST /"+host+"Content-Length: -1\r\n\r\n"),
	}
	return out
}

// resp is a command in the protocol of Redis.
func resp(words ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	return b.String()
}

func redisDialogues() []Dialogue {
	session := func(name string, commands ...string) Dialogue {
		d := Dialogue{Name: name}
		for _, c := range commands {
			d.Messages = append(d.Messages, []byte(resp(strings.Fields(c)...)))
		}
		return d
	}
	return []Dialogue{
		session("strings", "PING", "SET a 1", "GET a", "INCR a", "APPEND a xyz", "GETRANGE a 0 1", "SETEX b 100 x", "MSET c 1 d 2", "MGET a c d", "SETBIT bits 9 1", "BITCOUNT bits", "STRLEN a"),
		session("keys", "SET k v", "EXPIRE k 100", "PEXPIRE k 1", "TTL k", "TYPE k", "RENAME k l", "EXISTS l", "DUMP l", "COPY l m", "SCAN 0", "KEYS *", "RANDOMKEY", "OBJECT ENCODING m", "UNLINK l m", "DEL k"),
		session("lists", "RPUSH l 1 2 3", "LPUSH l 0", "LRANGE l 0 -1", "LPOP l", "RPOP l", "LINSERT l BEFORE 2 x", "LTRIM l 0 1", "SORT l ALPHA", "BLPOP l 1", "BLPOP none 1"),
		session("sets", "SADD s a b c", "SMEMBERS s", "SPOP s", "SINTERSTORE t s s", "ZADD z 1 a 2 b", "ZRANGE z 0 -1 WITHSCORES", "ZINCRBY z 5 a", "ZRANGEBYSCORE z -inf +inf", "GEOADD g 13.3 38.1 p", "GEOSEARCH g FROMMEMBER p BYRADIUS 10 km"),
		session("hashes", "HSET h f 1 g 2", "HGETALL h", "HINCRBY h f 3", "HSCAN h 0", "PFADD p a b", "PFCOUNT p", "XADD x * f v", "XRANGE x - +", "XGROUP CREATE x g 0", "XREADGROUP GROUP g c STREAMS x >"),
		session("save", "SET a 1", "SAVE", "BGSAVE", "LASTSAVE", "DEBUG SLEEP 0", "CONFIG SET appendonly yes", "SET b 2", "BGREWRITEAOF", "CONFIG SET appendonly no", "CONFIG SET save 1"),
		session("transactions", "MULTI", "SET a 1", "INCR a", "EXEC", "WATCH a", "MULTI", "DISCARD", "UNWATCH"),
		session("script", "EVAL return{KEYS[1],redis.call('set',KEYS[1],ARGV[1])} 1 k v", "EVAL error('x') 0", "EVAL x 0", "SCRIPT LOAD return(1)", "SCRIPT FLUSH ASYNC", "FUNCTION LIST", "SCRIPT KILL"),
		session("subscribe", "SUBSCRIBE ch", "PSUBSCRIBE p*", "PING", "UNSUBSCRIBE", "PUBLISH ch x", "RESET"),
		session("server", "INFO", "COMMAND", "CONFIG GET *", "CONFIG REWRITE", "CONFIG RESETSTAT", "CLIENT LIST", "CLIENT SETNAME x", "SLOWLOG GET", "LATENCY DOCTOR", "MEMORY DOCTOR", "MEMORY PURGE", "DBSIZE", "TIME", "ROLE", "ACL WHOAMI", "ACL SAVE", "LOLWUT"),
		// Beyond 4 MB it is written in parts.
		session("large-save", "CONFIG SET rdbcompression no", "SETRANGE large 5000000 x", "SAVE"),
		session("flush", "SET a 1", "FLUSHALL ASYNC", "FLUSHDB", "SWAPDB 0 1", "SELECT 3", "MOVE a 0", "DEBUG JMAP", "DEBUG RELOAD"),
		session("replica", "REPLICAOF 127.0.0.1 6379", "ROLE", "REPLICAOF primary.example.org 6379", "ROLE", "REPLICAOF NO ONE", "REPLCONF listening-port 1", "PSYNC ? -1", "WAIT 0 1"),
		session("cluster", "CLUSTER INFO", "CLUSTER MEET 127.0.0.1 7000", "FAILOVER", "MODULE LIST", "MODULE LOAD /x.so", "AUTH a", "HELLO 3"),
		session("files", "CONFIG SET dir /tmp", "CONFIG SET dbfilename x.rdb", "CONFIG SET logfile x", "CONFIG SET maxclients 64", "CONFIG SET maxmemory 1mb", "CONFIG SET maxmemory-policy allkeys-lru", "CONFIG SET activedefrag yes", "CONFIG SET hz 100", "SAVE"),
		session("monitor", "MONITOR"),
		session("quit", "QUIT"),
		said("inline", "PING\r\n", "SET k v EX 10\r\n", "INFO\r\n"),
		said("large", resp("SET", "big", strings.Repeat("x", 100000)), resp("GET", "big"), resp("APPEND", "big", "y")),
		said("broken", "*-2\r\n", "*1\r\n$99999999999\r\nA\r\n"),
		session("aof", "CONFIG SET appendfsync always", "CONFIG SET appendonly yes", "SET c 3", "INFO persistence", "BGREWRITEAOF", "SHUTDOWN"),
		session("end", "SET a 1", "SHUTDOWN SAVE"),
		session("end-now", "SHUTDOWN NOSAVE"),
		session("pause", "CLIENT PAUSE 1"), // a millisecond ends when the server next looks at the time, mostly ten times a second: as good as an end
	}
}

func memcachedDialogues() []Dialogue {
	return []Dialogue{
		said("store", "set a 0 0 1\r\n1\r\n", "get a b\r\n", "gets a\r\n", "incr a 2\r\n", "append a 0 0 2\r\nxy\r\n", "add b 0 100 1\r\nz\r\n", "cas b 0 0 1 1\r\nq\r\n", "touch b 5\r\n", "delete a\r\n"),
		said("meta", "ms k 2\r\nhi\r\n", "mg k v t f\r\n", "md k\r\n", "mn\r\n", "me k\r\n"),
		said("stats", "version\r\n", "stats\r\n", "stats items\r\n", "stats slabs\r\n", "stats settings\r\n", "stats conns\r\n", "stats reset\r\n", "verbosity 1\r\n"),
		said("admin", "flush_all\r\n", "slabs automove 1\r\n", "slabs reassign 1 2\r\n", "lru_crawler enable\r\n", "lru_crawler metadump all\r\n", "cache_memlimit 64\r\n", "watch fetchers\r\n", "shutdown\r\n"),
		said("binary", "\x80\x0b\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
		said("large", "set big 0 0 100000\r\n"+strings.Repeat("x", 100000)+"\r\n", "get big\r\n"),
		said("quit", "quit\r\n"),
		said("wrong", "set a 0 0 x\r\n", "get "+strings.Repeat("k", 300)+"\r\n", "nonsense\r\n"),
		said("datagram", "\x00\x01\x00\x00\x00\x01\x00\x00version\r\n"),
	}
}

// dnsDialogues are questions as datagrams; behind their length they are those for TCP.
func dnsDialogues() []Dialogue {
	question := func(name string, kind uint16, more string) string {
		b := []byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00")
		if more != "" {
			b[11] = 1 // an additional record
		}
		for label := range strings.SplitSeq(name, ".") {
			b = append(append(b, byte(len(label))), label...)
		}
		b = binary.BigEndian.AppendUint16(append(b, 0), kind)
		return string(append(b, "\x00\x01"+more...))
	}
	const edns = "\x00\x00\x29\x10\x00\x00\x00\x80\x00\x00\x00" // RFC 6891, with DNSSEC wanted
	var out []Dialogue
	for _, q := range []struct {
		name string
		data string
	}{
		{"address", question("localhost", 1, "")},
		{"address6", question("localhost", 28, edns)},
		{"unknown", question("example.org", 1, "")},
		{"reverse", question("1.0.0.127.in-addr.arpa", 12, "")},
		{"any", question("example.org", 255, edns)},
		{"transfer", question("example.org", 252, "")},
		{"version", strings.TrimSuffix(question("version.bind", 16, ""), "\x01") + "\x03"},
		{"short", question("a", 1, "")[:14]},
	} {
		out = append(out, said(q.name, q.data, q.data))
	}
	return out
}

// OverTCP makes dialogues of a protocol of datagrams those of the same over a stream, as DNS has it (RFC 1035, 4.2.2).
func OverTCP(all []Dialogue) []Dialogue {
	var out []Dialogue
	for _, d := range all {
		c := Dialogue{Name: d.Name}
		for _, m := range d.Messages {
			c.Messages = append(c.Messages, append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...))
		}
		out = append(out, c)
	}
	return out
}

// sshKexInit is a packet in which a client says which algorithms it knows (RFC 4253).
func sshKexInit() []byte {
	payload := append([]byte{20}, make([]byte, 16)...)
	for _, list := range []string{"curve25519-sha256,ecdh-sha2-nistp256", "ssh-ed25519,rsa-sha2-512,ecdsa-sha2-nistp256", "aes128-ctr", "aes128-ctr",
		"hmac-sha2-256", "hmac-sha2-256", "none", "none", "", ""} {
		payload = append(binary.BigEndian.AppendUint32(payload, uint32(len(list))), list...)
	}
	payload = append(payload, 0, 0, 0, 0, 0)
	padding := 8 - (5+len(payload))%8 + 8
	packet := binary.BigEndian.AppendUint32(nil, uint32(1+len(payload)+padding))
	packet = append(append(packet, byte(padding)), payload...)
	return append(packet, make([]byte, padding)...)
}
