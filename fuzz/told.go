package fuzz

import (
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// freshName is a name at which nothing is: the destination of what copies, and what is made.
const freshName = "new"

// maxTold bounds the values of an option that are tried with what it is about, maxPacked the runs with packed seeds of all
// options together: of some programs most speak of archives.
const (
	maxTold   = 4
	maxPacked = 64
)

// told tries an option with what its description speaks of: without that it mostly does nothing. Of
// all options what has shown most comes first, then the first of each topic, then the second.
func (p *prober) told(i int) {
	opt := &p.o.Table.Options[i]
	words := opt.Words(likely(opt)[0])
	last := p.ways[len(p.ways)-1]
	round := 0
	add := func(r rank, s Scenario) {
		for round >= len(p.rounds) {
			p.rounds = append(p.rounds, nil)
		}
		p.rounds[round] = append(p.rounds[round], p.made(r, s))
		round++
	}
	about := func(of mutate.Topic) bool {
		round = 1
		return opt.Speaks(of)
	}
	reads := func(s Scenario, input []byte, words ...string) {
		s.Argv = slices.Concat(s.Argv[:p.o.Fixed], words, s.Argv[p.o.Fixed:])
		if s.usesInput() {
			s.Input = input
		}
		r := rankTold
		if s.Stdin == StdinTerminal {
			r = rankToldAround
		}
		add(r, s)
	}
	if len(p.both) > 0 && opt.Speaks(mutate.TopicDirectory) {
		dir := p.both[1][1]
		for _, operands := range [][]string{{dir, freshName}, {freshName, dir}, {dir}} {
			reads(p.alone, nil, slices.Concat(words, operands)...)
		}
	}
	if len(p.both) > linked && about(mutate.TopicLink) {
		link := p.both[linked][0]
		for _, operands := range [][]string{{link, freshName}, {link}} {
			reads(p.alone, nil, slices.Concat(words, operands)...)
		}
	}
	if about(mutate.TopicNames) && p.o.varies(dimBytes) {
		names := []byte(strings.Join(operands(p.alone.Files), "\n") + "\n")
		reads(p.ways[0], names, words...)
		reads(last, names, words...)
	}
	if about(mutate.TopicHoles) && p.o.varies(dimBytes) {
		values, input := likely(opt), holes()
		for _, v := range values[:min(len(values), maxTold)] {
			reads(p.alone, input, slices.Concat(opt.Words(v), []string{mutate.Input, freshName})...)
			reads(last, input, opt.Words(v)...)
		}
	}
	if about(mutate.TopicPacked) && !p.again {
		for range p.packedEach() {
			seed := &p.packed[p.packedTurn%len(p.packed)]
			p.packedTurn++
			s, _ := named(last, seed)
			reads(s, seed.Data, words...)
		}
	}
	var liked []byte
	if len(p.light) > 0 {
		liked = p.light[i%min(favoured, len(p.light))].Data
	}
	if about(mutate.TopicExisting) && p.o.varies(dimHistory) {
		for _, operands := range [][]string{{mutate.Input}, {mutate.Input, freshName}, {freshName, mutate.Input}} {
			if s, ok := p.twice(words, operands, liked); ok {
				add(rankToldAround, s)
			}
		}
	}
	if about(mutate.TopicTerminal) && p.o.Can.Terminal && p.o.varies(dimStreams) && last.Stdin != StdinInvalid {
		s := last
		s.Stdin, s.World.Stdout, s.World.Stderr = StdinTerminal, OutputTerminal, OutputTerminal
		reads(s, liked, words...)
	}
}

// packs are the first of the packed seeds of each kind: what begins a decompressor differs by kind, some of which a program
// may unpack by itself.
func packs(seeds []Seed) (out []Seed) {
	for _, s := range seeds {
		if s.Packed && s.File != "" && !slices.ContainsFunc(out, func(o Seed) bool { return o.File == s.File }) {
			out = append(out, s)
		}
	}
	return out
}

// packedEach is how many packed seeds each option is tried with that speaks of such: all where few do, else the next ones.
func (p *prober) packedEach() int {
	n := 0
	for i := range p.o.Table.Options {
		if p.o.Table.Options[i].Speaks(mutate.TopicPacked) && !spelledOtherwise(p.o.Table.Options, i) {
			n++
		}
	}
	return min(len(p.packed), max(1, maxPacked/max(1, n)))
}

// twice makes the program find what it has made itself, without the option and then with it.
func (p *prober) twice(words, operands []string, input []byte) (Scenario, bool) {
	s := p.alone
	s.Argv = slices.Concat(s.Argv, operands)
	s.Input = input
	before, files, ok := s.past()
	if ok {
		step := before[len(before)-1].Argv[p.o.Fixed:]
		s.Argv = slices.Concat(s.Argv[:p.o.Fixed], words, step)
		s.Before, s.Files, s.Input = before, files, nil
	}
	return s, ok
}

// holes is a file of which most is zeros, in blocks of any usual size, and so is its end.
func holes() []byte {
	const block = 64 << 10
	b := make([]byte, 3*block)
	copy(b[block:], "some words\n")
	return b
}

// assignments tries operands of the form name=value, as dd(1) has them, beside those that name its files: of
// those with the names of files the first is the input, and the others are made.
func (p *prober) assignments() {
	var base, names []string
	for _, text := range p.o.Table.Texts {
		if name, isFile := strings.CutSuffix(text, "=out"); isFile {
			value := freshName
			if len(base) == 0 {
				value = mutate.Input
			}
			base, names = append(base, name+"="+value), append(names, name)
		}
	}
	if len(base) == 0 {
		return
	}
	p.bareOf(stage{rankTold, 0}, rankOperands, p.alone, base...)
	for _, text := range p.o.Table.Texts {
		if name, _, ok := strings.Cut(text, "="); ok && !slices.Contains(names, name) {
			p.try(rankTold, p.alone, slices.Concat(base, []string{text})...)
		}
	}
}
