package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/corpora"
	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/launch"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/service"
	"github.com/tjfuzz/tjfuzz/fuzz/mine"
)

// door is a socket of a service with what it speaks there, "" where that is not known, and what somebody who knows it
// says first.
type door struct {
	socket   fuzz.Socket
	protocol string
	messages [][]byte
	pages    []string // what a web server's own page refers to
}

func (d door) String() string {
	if d.protocol == "" {
		return string(d.socket)
	}
	return fmt.Sprintf("%s (%s)", d.socket, d.protocol)
}

// protocolHTTP is what corpora calls it.
const protocolHTTP = "http"

// maxDoors bounds the sockets that are talked to: a program may bind any number.
const maxDoors = 16

// survey finds out whether the command line, as it was given, starts a service, and what to say to it.
// Without a cage there is no network in which only the target can be met.
func (s *session) survey(ctx context.Context, e *launch.Exec) error {
	if s.cage == nil || !s.can.Talk {
		return nil
	}
	base := s.base()
	base.Stdin = fuzz.StdinNull
	found, r, err := e.Survey(ctx, &base)
	if err != nil {
		return runError(err, s.args[0])
	}
	if len(found) == 0 {
		s.complained = complained(r, e.Output())
	}
	s.doors = withSaid(doors(found), s.said)
	routes, err := s.routes()
	if err != nil {
		return err
	}
	s.talks = talks(s.doors, pagesOf(slices.Concat(s.args[1:], s.guessed)), routes)
	verbs, err := s.verbs()
	s.verbTalks = commandTalks(s.doors, verbs)
	return err
}

// verbs are what may be commands of a service, if it has a socket at which they would be said. In a script words of lower case
// that stand in a row are a sentence mostly.
func (s *session) verbs() ([]string, error) {
	if !slices.ContainsFunc(s.doors, door.ofLines) {
		return nil, nil
	}
	strs, compiled, err := s.strings()
	if err != nil {
		return nil, err
	}
	verbs := mine.Verbs(strs)
	if !compiled {
		verbs = slices.DeleteFunc(verbs, func(v string) bool { return v[0] >= 'a' })
	}
	return verbs, nil
}

// ofLines reports whether the socket may be one at which commands are said, each in a line.
func (d door) ofLines() bool {
	return d.socket.Kind() != fuzz.SocketUDP && (d.protocol == "" || corpora.OfLines(d.protocol))
}

// rounds are words that are said one after the other. After some a service hangs up, or takes what follows for a text: each
// of those is said by itself.
func rounds(verbs []string) [][]string {
	const together = 8 // some let who says much wait
	var last, others []string
	for _, v := range verbs {
		if slices.ContainsFunc([]string{"quit", "exit", "bye", "data", "die", "shutdown"}, func(end string) bool { return strings.HasPrefix(strings.ToLower(v), end) }) {
			last = append(last, v)
		} else {
			others = append(others, v)
		}
	}
	return slices.AppendSeq(slices.Collect(slices.Chunk(others, together)), slices.Chunk(last, 1))
}

// commandTalks say words as commands: alone, and with a number, a file and a name behind them.
func commandTalks(doors []door, verbs []string) (out [][]fuzz.Act) {
	for _, d := range doors[:min(len(doors), maxDoors)] {
		if !d.ofLines() {
			continue
		}
		for _, with := range []string{"", " 1", " " + fixtureFile, " #a a 1"} {
			for _, some := range rounds(verbs) {
				var acts []fuzz.Act
				say := func(m []byte) { acts = append(acts, fuzz.Act{Do: fuzz.DeedSend, To: d.socket, Client: 1, Data: m}) }
				opening := corpora.Opening(d.protocol)
				for _, m := range opening {
					say(m)
				}
				for _, v := range some {
					if with != "" || !strings.HasSuffix(v, " ") {
						say([]byte(strings.TrimSpace(v) + with + "\r\n"))
					}
				}
				if len(acts) > len(opening) {
					out = append(out, acts)
				}
			}
		}
	}
	return out
}

func doors(found []service.Found) (out []door) {
	for _, f := range found {
		d := door{socket: f.Socket, protocol: corpora.Protocol(f.Socket.Port(), f.Banner, f.Answer)}
		if d.protocol == protocolHTTP {
			d.pages = linkedFrom(f.Answer)
		}
		out = append(out, d)
	}
	return out
}

// withSaid adds what is said of sockets to what was found. They may be there later only.
func withSaid(found, said []door) []door {
	for _, d := range slices.Backward(said) {
		i := slices.IndexFunc(found, func(f door) bool { return f.socket == d.socket })
		if i < 0 {
			d.protocol = cmp.Or(d.protocol, corpora.Protocol(d.socket.Port(), nil, nil))
		} else {
			d.protocol, d.pages = cmp.Or(d.protocol, found[i].protocol), found[i].pages
			found = slices.Delete(found, i, i+1)
		}
		found = slices.Insert(found, 0, d)
	}
	return found
}

// talks are what to say at each socket, those first that come first for each; pages are what each web server is asked for, and routes
// what it probably answers to.
func talks(doors []door, pages, routes []string) (out [][]fuzz.Act) {
	var each [][][]fuzz.Act
	most := 0
	for _, d := range doors[:min(len(doors), maxDoors)] {
		dialogues := corpora.Dialogues(d.protocol)
		if d.protocol == protocolHTTP {
			more := dialoguesOf(routes)
			if pages := slices.Concat(d.pages, pages); len(pages) > 0 {
				more = append([]corpora.Dialogue{dialogueOf(pages)}, more...)
			}
			dialogues = slices.Insert(dialogues, min(1, len(dialogues)), more...)
		}
		if len(d.messages) > 0 {
			dialogues = append([]corpora.Dialogue{{Messages: d.messages}}, dialogues...)
		}
		if d.protocol == "dns" && d.socket.Kind() != fuzz.SocketUDP {
			dialogues = corpora.OverTCP(dialogues)
		}
		var of [][]fuzz.Act
		for _, dialogue := range dialogues {
			var acts []fuzz.Act
			for _, m := range dialogue.Messages {
				acts = append(acts, fuzz.Act{Do: fuzz.DeedSend, To: d.socket, Client: 1, Data: m})
			}
			of = append(of, acts)
		}
		each = append(each, of)
		most = max(most, len(of))
	}
	for i := range most {
		for _, of := range each {
			if i < len(of) {
				out = append(out, of[i])
			}
		}
	}
	return out
}

// told is the list of sockets for people.
func told(doors []door) string {
	const most = 8
	var words []string
	for _, d := range doors[:min(len(doors), most)] {
		words = append(words, d.String())
	}
	if more := len(doors) - len(words); more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, ", ")
}

// conversations tells what was said to a service, and whether it answered.
func (r *learned) conversations(v voice) {
	if len(r.doors) == 0 {
		return
	}
	const most = 8
	for i, x := range r.outcome.Said {
		if i == most {
			v.say("  and at %d more sockets", len(r.outcome.Said)-most)
			break
		}
		line := fmt.Sprintf("talked to %s: %d messages, %d answered", r.door(x.Socket), x.Sent, x.Answered)
		if len(x.First) > 0 {
			first, _, _ := strings.Cut(strings.TrimRight(string(x.First), "\r\n"), "\n")
			line += fmt.Sprintf(", the first with %.60q", strings.TrimRight(first, "\r"))
		}
		v.say("%s", line)
	}
	if len(r.outcome.Said) == 0 {
		v.warn("no message could be sent to %s", told(r.doors))
	}
}

// door is a socket as it was found, or one that only later runs had.
func (r *learned) door(s fuzz.Socket) door {
	if i := slices.IndexFunc(r.doors, func(d door) bool { return d.socket == s }); i >= 0 {
		return r.doors[i]
	}
	return door{socket: s}
}
