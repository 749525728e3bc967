package peer

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/tjfuzz/tjfuzz/fuzz"
)

// What a page is said to be, the same each time.
const (
	modified = "Thu, 01 Jan 2026 00:00:00 GMT"
	etag     = `"a1b2"`
)

// maxBody bounds what is read of a request.
const maxBody = 8 << 20

// http answers requests of HTTP/1 until the client has no more.
func (c *call) http() error {
	for range maxTurns {
		r, err := http.ReadRequest(c.in)
		if err != nil {
			if !errors.Is(err, io.EOF) {
				_ = c.say([]byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
			}
			return err
		}
		if r.Method == http.MethodConnect {
			if err := c.say([]byte("HTTP/1.1 200 Connection established\r\n\r\n")); err != nil {
				return err
			}
			tunnel := *c
			if _, port, err := net.SplitHostPort(r.Host); err == nil {
				tunnel.port, _ = strconv.Atoi(port)
			}
			return tunnel.talk()
		}
		if strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
			if err := c.say([]byte("HTTP/1.1 100 Continue\r\n\r\n")); err != nil {
				return err
			}
		}
		sent, _ := io.ReadAll(io.LimitReader(r.Body, maxBody))
		answer := c.answerTo(r, sent)
		if err := c.say(answer.bytes(r, c.how.Reply)); err != nil {
			return err
		}
		if answer.last || r.Close || c.how.Reply == fuzz.ReplyLong {
			c.drain()
			return errOver
		}
		if c.how.Reply == fuzz.ReplyShort {
			return errOver
		}
	}
	return errOver
}

// response is what is said to a request, before it is decided how.
type response struct {
	status int
	header [][2]string
	body   []byte
	last   bool // the connection is closed
}

func (a *response) add(name, value string) { a.header = append(a.header, [2]string{name, value}) }

// plain reports whether a reply is one that all versions of HTTP can say.
func plain(r fuzz.Reply) bool {
	switch r {
	case fuzz.ReplyDone, fuzz.ReplyEmpty, fuzz.ReplyMoved, fuzz.ReplyLogin, fuzz.ReplyMissing, fuzz.ReplyFailing:
		return true
	}
	return false
}

// answerTo decides what is said to a request.
func (c *call) answerTo(r *http.Request, sent []byte) *response {
	a := &response{status: http.StatusOK}
	a.add("Server", "example")
	switch c.how.Reply {
	case fuzz.ReplyEmpty:
		a.status = http.StatusNoContent
		return a
	case fuzz.ReplyMoved:
		if r.URL.Query().Has("moved") {
			break
		}
		to := *r.URL
		q := to.Query()
		q.Set("moved", "1")
		to.RawQuery = q.Encode()
		a.status = http.StatusFound
		a.add("Location", to.RequestURI())
		return a
	case fuzz.ReplyLogin:
		if r.Header.Get("Authorization") != "" {
			break
		}
		a.status = http.StatusUnauthorized
		a.add("WWW-Authenticate", `Digest realm="example", nonce="1", qop="auth", algorithm=MD5`)
		a.add("WWW-Authenticate", `Basic realm="example"`)
		a.body = []byte("who are you?\n")
		return a
	case fuzz.ReplyMissing:
		a.status, a.body = http.StatusNotFound, []byte("no such page\n")
		return a
	case fuzz.ReplyFailing:
		a.status, a.body, a.last = http.StatusServiceUnavailable, []byte("later\n"), true
		a.add("Retry-After", "1")
		return a
	}
	if kind, body, ok := gitHTTP(r, sent); ok {
		a.add("Content-Type", kind)
		a.add("Cache-Control", "no-cache")
		a.body = body
		return a
	}
	a.add("Last-Modified", modified)
	a.add("ETag", etag)
	if r.Header.Get("If-None-Match") == etag || r.Header.Get("If-Modified-Since") == modified {
		a.status = http.StatusNotModified
		return a
	}
	a.add("Content-Type", "text/html; charset=utf-8")
	a.add("Set-Cookie", "session=1; Path=/; HttpOnly")
	a.add("Accept-Ranges", "bytes")
	a.body = c.body()
	if from, to, ok := byteRange(r.Header.Get("Range"), len(a.body)); ok || c.how.Reply == fuzz.ReplyPart {
		a.status = http.StatusPartialContent
		if !ok {
			from, to = 0, len(a.body)/2
		}
		a.add("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, max(from, to-1), len(a.body)))
		a.body = a.body[from:to]
	}
	return a
}

// byteRange reads a header such as "bytes=0-99" and "bytes=100-".
func byteRange(header string, size int) (from, to int, ok bool) {
	text, found := strings.CutPrefix(header, "bytes=")
	first, last, dash := strings.Cut(text, "-")
	from, err := strconv.Atoi(first)
	if !found || !dash || err != nil || from < 0 || from >= size {
		return 0, 0, false
	}
	to = size
	if n, err := strconv.Atoi(last); err == nil && n >= from && n < size {
		to = n + 1
	}
	return from, to, true
}

// bytes is the response as it is written in HTTP/1.
func (a *response) bytes(r *http.Request, how fuzz.Reply) []byte {
	var b bytes.Buffer
	if how == fuzz.ReplyLater {
		b.WriteString("HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
	}
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", a.status, http.StatusText(a.status))
	for _, h := range a.header {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	body := a.body
	if how == fuzz.ReplyPacked {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write(body) // to memory
		_ = z.Close()
		body = packed.Bytes()
		b.WriteString("Content-Encoding: gzip\r\n")
	}
	bodiless := a.status == http.StatusNoContent || a.status == http.StatusNotModified
	if a.last {
		b.WriteString("Connection: close\r\n")
	}
	switch {
	case bodiless:
	case how == fuzz.ReplyChunked:
		b.WriteString("Transfer-Encoding: chunked\r\n")
	case how == fuzz.ReplyShort:
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body)+1000)
	case how == fuzz.ReplyLong:
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body)/2)
	default:
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	switch {
	case bodiless || r.Method == http.MethodHead:
	case how == fuzz.ReplyChunked:
		const size = 100
		for ; len(body) > 0; body = body[min(size, len(body)):] {
			fmt.Fprintf(&b, "%x\r\n%s\r\n", min(size, len(body)), body[:min(size, len(body))])
		}
		b.WriteString("0\r\n\r\n")
	default:
		b.Write(body)
	}
	return b.Bytes()
}

// http2 answers requests of HTTP/2.
func (c *call) http2() error {
	answer := func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(io.LimitReader(r.Body, maxBody))
		a := c.answerTo(r, sent)
		for _, h := range a.header {
			w.Header().Add(h[0], h[1])
		}
		w.WriteHeader(a.status)
		if r.Method != http.MethodHead && a.status != http.StatusNoContent && a.status != http.StatusNotModified {
			_, _ = w.Write(a.body)
		}
	}
	l := &once{make(chan net.Conn, 1), c.conn.LocalAddr()}
	l.conn <- c.conn
	var end sync.Once
	s := &http.Server{
		Handler: http.HandlerFunc(answer), ErrorLog: log.New(io.Discard, "", 0),
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateClosed { // as it is when the run ends, at the latest
				end.Do(func() { close(l.conn) })
			}
		},
	}
	return s.Serve(l)
}

// once is a listener that has one connection, and is closed with it.
type once struct {
	conn  chan net.Conn
	local net.Addr
}

func (l *once) Accept() (net.Conn, error) {
	c, ok := <-l.conn
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l *once) Close() error   { return nil }
func (l *once) Addr() net.Addr { return l.local }
