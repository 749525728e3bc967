package fuzz

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Peers says who is at the other end of the network, and how they all answer. The zero value is
// the usual: nobody, and no way to anybody but the target itself. Otherwise any
// name resolves, and any address and port answers in the protocol that is spoken to it.
type Peers struct {
	Conduct Conduct
	Names   Names
	Trust   Trust
	Reply   Reply
}

// Conduct is what peers do with a connection. The zero value: there are none.
type Conduct uint8

// The conducts.
const (
	ConductNone     Conduct = iota
	ConductProper           // they answer
	ConductRefusing         // names resolve, connections are refused
	ConductReset            // the connection is reset when something was said
	ConductClosing          // the connection is closed as soon as it is made
	ConductSilent           // nobody says anything, or hangs up
	ConductCut              // the answer ends in the middle
	ConductSlow             // it comes in small pieces
	ConductGarbage          // it is bytes without meaning
	ConductVerbatim         // it is Scenario.Input, whatever was asked
	ConductLarge            // they have much to say
	conducts
)

// Names is how name servers answer.
type Names uint8

// The answers of name servers.
const (
	NamesFound     Names = iota // every name has one address of each kind
	NamesMissing                // there is no such name
	NamesFailing                // SERVFAIL
	NamesTruncated              // the answer does not fit into a datagram
	NamesSilent                 // there is no answer
	NamesSix                    // IPv6 addresses only
	NamesFour                   // IPv4 addresses only
	NamesAlias                  // through a chain of other names
	NamesMany                   // many addresses
	NamesGarbled                // what comes is no answer
	nameAnswers
)

// Trust is what TLS clients are shown.
type Trust uint8

// What TLS clients are shown.
const (
	TrustGood     Trust = iota // a certificate for the name, by an authority that the target trusts
	TrustStranger              // by one that it does not
	TrustExpired
	TrustOther // for another name
	TrustNone  // peers do not know TLS
	trusts
)

// Reply is what peers say in their protocol.
type Reply uint8

// The replies.
const (
	ReplyDone    Reply = iota // what was asked for
	ReplyEmpty                // nothing, successfully
	ReplyMoved                // it is elsewhere, where it is found
	ReplyLogin                // who asks is to say who he is, and is believed
	ReplyMissing              // it does not exist
	ReplyFailing              // the server has failed
	ReplyChunked              // in parts of which each says how long it is
	ReplyPacked               // compressed
	ReplyShort                // less than was promised
	ReplyLong                 // more than was promised
	ReplyPart                 // a part of it
	ReplyLater                // after a provisional reply
	replies
)

var (
	conductNames = [conducts]string{"none", "proper", "refusing", "reset", "closing", "silent", "cut", "slow", "garbage", "verbatim", "large"}
	nameNames    = [nameAnswers]string{"found", "no-name", "names-fail", "names-truncated", "names-silent", "names-6", "names-4", "names-alias", "names-many", "names-garbled"}
	trustNames   = [trusts]string{"trusted", "tls-stranger", "tls-expired", "tls-other", "tls-none"}
	replyNames   = [replies]string{"done", "empty", "moved", "login", "missing", "failing", "chunked", "packed", "short", "long", "part", "later"}
)

// String is the peers in files, as in "proper+no-name+moved", "none" where there are none.
// What is as usual is not said.
func (p Peers) String() string {
	if p.Conduct >= conducts || p.Names >= nameAnswers || p.Trust >= trusts || p.Reply >= replies {
		return ""
	}
	words := []string{conductNames[p.Conduct]}
	if p.Names != NamesFound {
		words = append(words, nameNames[p.Names])
	}
	if p.Trust != TrustGood {
		words = append(words, trustNames[p.Trust])
	}
	if p.Reply != ReplyDone {
		words = append(words, replyNames[p.Reply])
	}
	return strings.Join(words, "+")
}

// parsePeers is the inverse of String, but that "none" is not said.
func parsePeers(s string) (Peers, error) {
	var p Peers
	for i, word := range strings.Split(s, "+") {
		if i == 0 {
			p.Conduct = Conduct(max(0, slices.Index(conductNames[:], word)))
		} else if n := slices.Index(nameNames[:], word); n > 0 {
			p.Names = Names(n)
		} else if n := slices.Index(trustNames[:], word); n > 0 {
			p.Trust = Trust(n)
		} else if n := slices.Index(replyNames[:], word); n > 0 {
			p.Reply = Reply(n)
		}
	}
	if p.Conduct == ConductNone || p.String() != s { // one form only
		return Peers{}, fmt.Errorf("%q are no peers; some are as in proper+no-name+moved", s)
	}
	return p, nil
}

func (s *Scenario) checkPeers() error {
	p := s.World.Peers
	if p == (Peers{}) {
		return nil
	}
	if back, err := parsePeers(p.String()); err != nil || back != p {
		return errors.New("unknown peers")
	}
	return nil
}

// answers reports whether what peers say has the bytes of Input in it.
func (p Peers) answers() bool { return p.Conduct != ConductNone && p.Conduct != ConductRefusing }

// stalls reports whether the target may wait for ever for what does not come.
func (p Peers) stalls() bool {
	return p.Conduct == ConductSilent || p.Conduct == ConductSlow || p.Names == NamesSilent || p.Names == NamesGarbled || p.Reply == ReplyShort
}

// tellingPeers are those that a target which calls somebody meets once each, the most usual first
// and what keeps it waiting last.
func tellingPeers() []Peers {
	out := []Peers{{Conduct: ConductProper}}
	for r := ReplyDone + 1; r < replies; r++ {
		out = append(out, Peers{Conduct: ConductProper, Reply: r})
	}
	for c := ConductProper + 1; c < conducts; c++ {
		out = append(out, Peers{Conduct: c})
	}
	for n := NamesFound + 1; n < nameAnswers; n++ {
		out = append(out, Peers{Conduct: ConductProper, Names: n})
	}
	for t := TrustGood + 1; t < trusts; t++ {
		out = append(out, Peers{Conduct: ConductProper, Trust: t})
	}
	slices.SortStableFunc(out, func(a, b Peers) int {
		switch {
		case a.stalls() == b.stalls():
			return 0
		case b.stalls():
			return -1
		}
		return 1
	})
	return out
}

// drawPeers changes who is at the other end: mostly in one thing.
func drawPeers(r *rand.Rand, s *Scenario) {
	p := &s.World.Peers
	if p.Conduct == ConductNone {
		*p = one(r, tellingPeers())
		return
	}
	switch r.IntN(8) {
	case 0:
		*p = Peers{}
	case 1:
		*p = Peers{Conduct: ConductProper}
	case 2:
		p.Names = Names(r.IntN(int(nameAnswers)))
	case 3:
		p.Trust = Trust(r.IntN(int(trusts)))
	case 4, 5:
		p.Reply = Reply(r.IntN(int(replies)))
	default:
		p.Conduct = ConductProper + Conduct(r.IntN(int(conducts-ConductProper)))
	}
}

// varies reports whether draws change the dimension. Peers are for targets that call
// somebody, and keys for those that wait for some: to nobody else do they make a difference, and runs with them cost more.
func (c *corpus) varies(d dimension) bool {
	return c.o.varies(d) && (d != dimPeers || c.called) && (d != dimKeys || len(c.sittings) > 0)
}

// The bounds of what is tried with peers before chance decides: of so many command lines all
// that peers may do, and of so many whether anybody answers.
const (
	maxSwept    = 3
	maxAnswered = 256
	maxLives    = 32 // of a service, in the place of command lines
)

// answer lists what to try of a scenario that has called somebody.
func (c *corpus) answer(s *Scenario) (out []Scenario) {
	if !c.o.varies(dimPeers) {
		return nil
	}
	if !c.called {
		c.called = true
		c.budget.share()
	}
	known, line, most := c.calls, strings.Join(s.Argv, "\x00"), maxAnswered
	if len(s.Acts) > 0 && !s.Types() { // whom a service calls, it is told
		known, line, most = c.lives, lifeOf(s), maxLives
	}
	if known[line] || len(known) >= most {
		return nil
	}
	known[line] = true
	all := tellingPeers()
	if len(known) > maxSwept {
		all = all[:1]
	}
	for _, p := range all {
		if p.stalls() && len(known) > 1 { // each costs a time limit
			break
		}
		with := *s
		if with.World.Peers = p; p != s.World.Peers {
			out = append(out, with)
		}
	}
	return out
}

// lifeOf names what a service is told: in whatever world that is, and however soon it is ended, the talk is the same.
func lifeOf(s *Scenario) string {
	acts := s.Acts
	if len(acts) > 1 && isKilled(acts) {
		acts = acts[:len(acts)-1]
	}
	return (&Scenario{Argv: s.Argv, Acts: acts}).ID()
}

// accompanied makes what is planned for a target that calls others meet some.
func (c *corpus) accompanied(s Scenario) Scenario {
	if c.called && s.World.Peers == (Peers{}) && c.o.varies(dimPeers) {
		s.World.Peers.Conduct = ConductProper
	}
	return s
}
