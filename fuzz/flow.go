package fuzz

import (
	"bytes"
	"slices"
	"syscall"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// large tries an option that takes an amount, or names a program, on the seeds that are large, an amount also where all of it is one line.
// A program is mostly started when there is much to do, or little to do it with, so it is tried
// with each amount. The others would cost too much: every such run is slow.
func (p *prober) large(opt *mutate.Option, words []string) {
	amount := func(o *mutate.Option) bool { return o.Takes("size") || o.Takes("number") }
	if !amount(opt) && !opt.Takes("program") {
		return
	}
	for _, seed := range p.o.Seeds {
		if !seed.heavy() {
			continue
		}
		try := func(input []byte, words []string) {
			s := p.ways[len(p.ways)-1]
			s.Argv = slices.Concat(s.Argv[:p.o.Fixed], words, s.Argv[p.o.Fixed:])
			s.Input = input
			p.add(rankLarge, s)
		}
		try(seed.Data, words)
		if amount(opt) { // a buffer of little may have to grow for a line
			if p.line == nil {
				p.line = bytes.ReplaceAll(seed.Data, []byte("\n"), []byte(" "))
			}
			try(p.line, words)
		}
		for i := range p.o.Table.Options {
			if other := &p.o.Table.Options[i]; opt.Takes("program") && amount(other) {
				try(seed.Data, slices.Concat(words, other.Words(likely(other)[0])))
			}
		}
	}
}

// bulk is more than a pipe and most buffers hold, and less than what makes runs slow: lines
// of the large seed, or those that the target likes again and again.
func (p *prober) bulk() []byte {
	const size = 192 << 10
	for _, seed := range p.o.Seeds {
		if seed.heavy() {
			return seed.Data[:size]
		}
	}
	for _, seed := range p.light {
		if len(seed.Data) > 0 {
			return bytes.Repeat(seed.Data, size/len(seed.Data)+1)
		}
	}
	return nil
}

// flows tries an option where much flows: from a pipe, of which the program may want only the
// beginning, the more so where its output goes nowhere, and from two files to a pipe that nobody reads, or with whose writes a signal comes, which ends most programs while they are
// at it; and an option where a person reads and types.
func (p *prober) flows(i int, words []string) {
	if !p.o.varies(dimStreams) || len(p.ways) == 0 {
		return
	}
	try := func(s Scenario, change func(*Scenario), words ...string) {
		s.Argv = slices.Concat(s.Argv[:p.o.Fixed], words, s.Argv[p.o.Fixed:])
		change(&s)
		s.settle()
		p.add(rankFlows, s)
	}
	if p.much == nil {
		p.much = p.bulk()
	}
	way, last := p.ways[0], p.ways[len(p.ways)-1]
	// What looks for something has to be told what, and most lines of the large seed have a one.
	try(way, func(s *Scenario) { s.Input, s.World.Stdout = p.much, OutputNull }, slices.Concat(words, []string{"1"})...)
	t := &p.o.Table
	if len(t.Texts) > 0 {
		words = slices.Concat(words, []string{t.Texts[i%len(t.Texts)]})
	}
	try(way, func(s *Scenario) { s.Input = p.much }, words...)
	try(last, func(s *Scenario) { s.Input, s.World.Stdout = p.much, OutputBroken }, words...)
	for _, change := range []func(*Scenario){
		func(s *Scenario) { s.World.Stdout = OutputBroken },
		func(s *Scenario) { // programs that colour or move about set a terminal right before they end
			if p.o.Can.Terminal {
				s.Stdin, s.World.Stdout, s.World.Stderr = StdinTerminal, OutputTerminal, OutputTerminal
			}
			s.interrupt(syscall.SIGINT, MomentWrite)
		},
	} {
		if len(p.both) == 0 || len(t.Texts) > 0 {
			break
		}
		pair := p.both[0]
		try(p.alone, func(s *Scenario) {
			change(s)
			s.Files = slices.Clone(s.Files)
			for i := range s.Files {
				switch s.Files[i].Name {
				case pair[0]:
					s.Files[i].Data = p.much
				case pair[1]:
					s.Files[i].Data = p.much[len(p.much)/2:]
				}
			}
		}, slices.Concat(words, pair)...)
	}
	if p.o.Can.Terminal && last.Stdin != StdinInvalid {
		try(last, func(s *Scenario) {
			if len(p.light) > 0 {
				s.Input = p.light[i%len(p.light)].Data
			}
			s.Stdin, s.World.Stdout, s.World.Stderr = StdinTerminal, OutputTerminal, OutputTerminal
		}, words...)
	}
}
