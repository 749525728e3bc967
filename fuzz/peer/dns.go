package peer

import (
	"context"
	"encoding/binary"
	"io"
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/tjfuzz/tjfuzz/fuzz"
)

// Where every name leads: to documentation addresses (RFC 5737, RFC 3849), which are
// nobody's.
var (
	address4 = [4]byte{192, 0, 2, 7}
	address6 = [16]byte{0x20, 0x01, 0x0d, 0xb8, 15: 7}
)

const lifetime = 300 // seconds, of what is resolved

// Datagram answers one: questions to name servers and what asks for the time as these
// servers do, all else with the same again.
func (p *Peer) Datagram(ctx context.Context, port uint16, data []byte) [][]byte {
	const dns, ntp = 53, 123
	switch {
	case port == dns:
		p.note("dns")
		if a := p.resolve(data, true); a != nil {
			return [][]byte{a}
		}
		return nil
	case p.how.Conduct == fuzz.ConductSilent:
		return nil
	case p.how.Conduct == fuzz.ConductGarbage:
		return [][]byte{garbage(len(data) + 64)}
	case p.how.Conduct == fuzz.ConductVerbatim:
		return [][]byte{p.input}
	case port == ntp && len(data) >= 48:
		p.note("ntp")
		return [][]byte{clock(data)}
	}
	p.note("unknown")
	return [][]byte{data}
}

// clock is the answer of a time server (RFC 5905, 7.3) at which it is the beginning of 2026.
func clock(question []byte) []byte {
	a := make([]byte, 48)
	a[0] = 0<<6 | question[0]&0x38 | 4 // no leap second, the client's version, a server
	a[1], a[2], a[3] = 1, question[2], 0xec
	copy(a[12:], "GPS\x00")
	const now = 3976214400 // seconds since 1900
	for _, at := range []int{16, 32, 40} {
		binary.BigEndian.PutUint32(a[at:], now)
	}
	copy(a[24:32], question[40:48])
	return a
}

// dns answers questions over TCP.
func (c *call) dns() error {
	for range maxTurns {
		var size [2]byte
		if _, err := io.ReadFull(c.in, size[:]); err != nil {
			return err
		}
		question := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c.in, question); err != nil {
			return err
		}
		a := c.resolve(question, false)
		if a == nil {
			<-c.ctx.Done()
			return errOver
		}
		if err := c.say(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...)); err != nil {
			return err
		}
	}
	return errOver
}

// resolve answers a question; nil is no answer.
func (p *Peer) resolve(question []byte, datagram bool) []byte {
	var q dnsmessage.Parser
	head, err := q.Start(question)
	if err != nil || head.Response {
		return nil
	}
	questions, err := q.AllQuestions()
	if err != nil || len(questions) == 0 {
		return nil
	}
	switch p.how.Names {
	case fuzz.NamesSilent:
		return nil
	case fuzz.NamesGarbled:
		return append(question[:min(2, len(question)):2], garbage(100)...)
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: head.ID, Response: true, OpCode: head.OpCode, RecursionDesired: head.RecursionDesired, RecursionAvailable: true},
		Questions: questions[:1],
	}
	of := questions[0]
	switch {
	case local(of.Name.String()) || p.how.Names == fuzz.NamesMissing:
		m.RCode = dnsmessage.RCodeNameError
		m.Authorities = []dnsmessage.Resource{origin()}
	case p.how.Names == fuzz.NamesFailing:
		m.RCode = dnsmessage.RCodeServerFailure
	case p.how.Names == fuzz.NamesTruncated && datagram:
		m.Truncated = true
	default:
		m.Answers = p.records(of)
		if len(m.Answers) == 0 {
			m.Authorities = []dnsmessage.Resource{origin()}
		}
	}
	b, err := m.Pack()
	if err != nil {
		return nil
	}
	return b
}

// local reports whether a name must not be found, for then programs would take others for themselves.
func local(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || strings.HasSuffix(name, ".invalid")
}

func origin() dnsmessage.Resource {
	return record("example.com.", &dnsmessage.SOAResource{
		NS: dnsmessage.MustNewName("ns.example.com."), MBox: dnsmessage.MustNewName("admin.example.com."),
		Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, MinTTL: 60,
	})
}

func record(name string, body dnsmessage.ResourceBody) dnsmessage.Resource {
	return dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET, TTL: lifetime},
		Body:   body,
	}
}

// records are what there is of a name.
func (p *Peer) records(of dnsmessage.Question) (out []dnsmessage.Resource) {
	name := of.Name.String()
	if p.how.Names == fuzz.NamesAlias && (of.Type == dnsmessage.TypeA || of.Type == dnsmessage.TypeAAAA) {
		for _, alias := range []string{"alias.example.com.", "host.example.com."} {
			out = append(out, record(name, &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(alias)}))
			name = alias
		}
	}
	add := func(b dnsmessage.ResourceBody) { out = append(out, record(name, b)) }
	many := 1
	if p.how.Names == fuzz.NamesMany {
		many = 16
	}
	any := of.Type == dnsmessage.TypeALL
	of4 := (any || of.Type == dnsmessage.TypeA) && p.how.Names != fuzz.NamesSix
	of6 := (any || of.Type == dnsmessage.TypeAAAA) && p.how.Names != fuzz.NamesFour
	for i := range many {
		a4, a6 := address4, address6
		a4[3] += byte(i)
		a6[15] += byte(i)
		if of4 {
			add(&dnsmessage.AResource{A: a4})
		}
		if of6 {
			add(&dnsmessage.AAAAResource{AAAA: a6})
		}
	}
	host := dnsmessage.MustNewName("host.example.com.")
	switch of.Type {
	case dnsmessage.TypeMX:
		add(&dnsmessage.MXResource{Pref: 10, MX: host})
	case dnsmessage.TypeNS:
		add(&dnsmessage.NSResource{NS: dnsmessage.MustNewName("ns.example.com.")})
	case dnsmessage.TypePTR:
		add(&dnsmessage.PTRResource{PTR: host})
	case dnsmessage.TypeTXT:
		add(&dnsmessage.TXTResource{TXT: []string{"v=spf1 -all"}})
	case dnsmessage.TypeSRV:
		add(&dnsmessage.SRVResource{Priority: 1, Weight: 1, Port: 8080, Target: host})
	case dnsmessage.TypeSOA:
		add(origin().Body)
	}
	return out
}
