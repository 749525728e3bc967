package fuzz

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// rank is how soon a deliberate run is made. A session may end before all of them are
// made, so breadth comes before depth: each option once before any of them twice. The
// zero value is valid: it indexes arrays.
type rank uint8

// The ranks. Those from rankLate on take turns with draws.
const (
	rankBase     rank = iota
	rankImported      // scenarios of other sessions
	rankFavoured      // the seeds that the target likes best
	rankOperands      // files and directories, and what most programs know
	rankTalks         // what is said to a service, and what happens to it
	rankExamples      // command lines that the target's own texts show
	rankCommands      // each sub-command alone

	rankOptions      // each option alone
	rankUnmade       // examples without files that they may make
	rankMoreExamples // those that come later in long texts
	rankTold         // options with what their descriptions speak of
	rankToldAround   // the same, where it is found a second time or at a terminal
	rankFirstShown   // each option in the first example
	rankFiles        // each option with a file to work on
	rankOperated     // each sub-command with something to work on
	rankSeeds        // all other seeds
	rankShown        // options in examples, and with small programs and queries as operands
	rankLarge        // options with much to read, and those that name a program beside those that take an amount
	rankConfigs      // configurations with a directive changed
	rankWorlds       // other streams, kinds of file, limits, faults
	rankSub          // each option of a sub-command
	rankEnv          // variables set and unset
	rankDirs         // each option with a directory
	rankPairs        // each option with two operands
	rankFlows        // each option where much flows, where nobody reads what is written, and at a terminal
	rankValues       // what else is known of the values of options
	rankOwnEnv       // variables that the target alone seems to know, set
	rankSubFiles     // each option of a sub-command with something to work on
	rankMoreShown    // options in further examples
	rankSeedWays     // all other seeds in all other ways
	rankSignals      // which may cost a time limit each
	rankWays         // options in all other ways
	rankSpellings    // options that have another spelling, which is tried before
	rankGuessed      // options for which only a string in a file speaks: whether there are such
	rankGuessedMore  // what is tried of those that are not refused
	rankStages       // of others, each option where the program does much; which these are shows when it runs
	ranks

	rankLate = rankOptions
)

// prospects are what to expect of the late ranks, one beside the other, before anything is known.
var prospects = [ranks]float64{
	rankOptions: 4, rankUnmade: 8, rankMoreExamples: 4, rankTold: 16, rankToldAround: 8, rankFirstShown: 4, rankFiles: 4, rankOperated: 4, rankSeeds: 4, rankShown: 2, rankLarge: 1, rankConfigs: 8,
	rankWorlds: 4, rankSub: 3,
	rankEnv: 2, rankDirs: 3, rankPairs: 2, rankFlows: 2, rankValues: 2, rankOwnEnv: 1, rankSubFiles: 2, rankMoreShown: 1, rankSeedWays: 1, rankSignals: 1,
	rankWays: 1, rankSpellings: 1, rankGuessed: 2, rankGuessedMore: 1, rankStages: 24,
}

// around reports whether runs of the kind change what is around the program. Those that do not, which vary nothing but words
// and inputs, are planned where only these are varied, too.
func (r rank) around() bool {
	switch r {
	case rankToldAround, rankConfigs, rankWorlds, rankEnv, rankOwnEnv, rankFlows, rankSignals:
		return true
	}
	return false
}

// favoured is how many of the first seeds, which the target likes best, every
// second probe is made with.
const favoured = 4

// firstExamples is how many examples come before all draws: the first of a text are mostly
// the most usual.
const firstExamples = 24

// linked is which of pairs are symbolic links.
const linked = 4

// pairs are two files, two directories, one of each, a directory and what is not there yet, and two symbolic links: what
// compares, copies or joins does nothing with one operand.
func pairs(files []File) [][]string {
	var names, dirs, links []string
	for _, f := range files {
		switch f.Kind {
		case FileRegular:
			names = append(names, f.Name)
		case FileSymlink, FileDangling, FileLoop:
			links = append(links, f.Name)
		}
		for d := filepath.Dir(f.Name); ; d = filepath.Dir(d) {
			dirs = append(dirs, d)
			if d == "." {
				break
			}
		}
	}
	slices.Sort(dirs)
	dirs = slices.Compact(dirs)
	if len(names) < 2 || len(dirs) < 2 {
		return nil
	}
	file, dir := names[len(names)-1], dirs[0]
	out := [][]string{{names[0], file}, {dir, dirs[1]}, {file, dirs[1]}, {dirs[1], freshName}}
	if n := len(links); n > 1 {
		out = append(out, []string{links[n-1], links[0]})
	}
	return out
}

// prober puts together what to try of one base scenario.
type prober struct {
	o         *Options
	put       func(planned)
	guess     string      // the option at hand, if it is a guess
	again     bool        // it has been tried in another spelling
	stage     stage       // of the option at hand
	bare      stage       // without any option
	alone     Scenario    // nothing but the words that are never changed
	ways      []Scenario  // to give the target an input
	light     []Seed      // to choose inputs from
	both      [][]string  // two operands
	turn      int         // of the seeds
	likedTurn int         // of those that the target likes
	rounds    [][]planned // see told
	much      []byte      // see bulk
	line      []byte      // see large

	packed     []Seed // one of each kind
	packedTurn int
}

// probe lists single variations of a base scenario: words, options and sub-commands,
// each alone and in all the ways to give the target a seed; variables; worlds.
func probe(o *Options, base Scenario, put func(planned)) {
	p := prober{o: o, put: put, alone: base, ways: templates(base, o.Fixed), both: pairs(base.Files)}
	p.alone.Argv = base.Argv[:o.Fixed]
	p.alone.Stdin, p.alone.Input = StdinNull, nil
	p.packed = packs(o.Seeds)
	p.light = slices.DeleteFunc(slices.Clone(o.Seeds), func(s Seed) bool { return s.heavy() })
	talks(o, base, p.add)
	sittings(o, base, p.ways, p.add)
	// Words come first, so that they get the same inputs whatever else is varied.
	if o.varies(dimArgv) {
		p.arguments()
	}
	configurations(o, &base, p.ways[0], p.seed, p.add)
	p.variables()
	surroundings(o, &base, p.ways, p.seed, p.add)
}

// arguments tries words, sub-commands and options.
func (p *prober) arguments() {
	o := p.o
	p.bareOf(stage{rankOptions, 0}, rankOperands, p.alone)
	p.bareOf(stage{rankFiles, 0}, rankOperands, p.ways[len(p.ways)-1])
	p.bareOf(stage{rankWays, 0}, rankOperands, p.ways[0])
	if s, ok := p.found(); ok {
		p.bareOf(stage{rankSeeds, 0}, rankOperands, s)
	}
	p.words()
	p.commands()
	// Where no text tells of any option, the strings are all that there is to go by.
	documented := slices.ContainsFunc(o.Table.Options, func(opt mutate.Option) bool { return !opt.Guessed })
	if documented && slices.ContainsFunc(o.Table.Options, func(opt mutate.Option) bool { return opt.Guessed }) {
		p.trials(rankOperands, nil)
		p.trials(rankOperands, []string{unknownWord})
	}
	each := func(try func(i int)) {
		for i := range o.Table.Options {
			if opt := &o.Table.Options[i]; opt.Guessed && documented {
				p.guess = opt.Name
			}
			p.again = spelledOtherwise(o.Table.Options, i)
			try(i)
			p.guess, p.again = "", false
		}
	}
	each(p.told)
	for _, round := range p.rounds {
		for _, run := range round {
			p.put(run)
		}
	}
	each(p.option)
}

// spelledOtherwise reports whether another of the options, which are sorted, is to be tried in the place of one.
func spelledOtherwise(options []mutate.Option, i int) bool {
	_, found := slices.BinarySearchFunc(options, options[i].Same, func(o mutate.Option, name string) int { return strings.Compare(o.Name, name) })
	return found
}

// add plans a run.
func (p *prober) add(r rank, s Scenario) { p.put(p.made(r, s)) }

// made is a run to plan. What builds on a guess waits until it is known whether that is one.
func (p *prober) made(r rank, s Scenario) planned {
	if p.guess != "" {
		r = rankGuessedMore
	} else if p.again {
		r = rankSpellings
	}
	return planned{s: s, rank: r, guess: p.guess, stage: p.stage, bare: p.bare}
}

// on tries words in a stage, with a seed that the target likes: with one that it refuses no option does anything.
func (p *prober) on(st stage, r rank, s Scenario, words ...string) {
	s.Argv = slices.Concat(s.Argv[:p.o.Fixed], words, s.Argv[p.o.Fixed:])
	if n := min(favoured, len(p.light)); n > 0 && s.usesInput() {
		s.Input = p.light[p.likedTurn%n].Data
		p.likedTurn++
	}
	p.stage = st
	p.add(r, s)
	p.stage = stage{}
}

// bareOf tries words that are a stage when options are added to them.
func (p *prober) bareOf(st stage, r rank, s Scenario, words ...string) {
	p.bare = st
	p.try(r, s, words...)
	p.bare = stage{}
}

// found is the program with a seed that it finds by itself. It reports whether there is one.
func (p *prober) found() (Scenario, bool) {
	for i := range p.light {
		if s, ok := lying(p.alone, &p.light[i]); ok {
			return s, true
		}
	}
	return p.alone, false
}

// trials plans the runs that tell whether a word is refused, for which the input is always the same.
func (p *prober) trials(r rank, words []string) {
	for _, t := range []struct {
		setting setting
		s       Scenario
	}{{settingAlone, p.alone}, {settingOperand, p.ways[len(p.ways)-1]}} {
		t.s.Argv = slices.Concat(t.s.Argv[:p.o.Fixed], words, t.s.Argv[p.o.Fixed:])
		if t.s.usesInput() && len(p.light) > 0 {
			t.s.Input = p.light[0].Data
		}
		word := p.guess
		if r != rankGuessed && len(words) > 0 {
			word = words[0]
		}
		p.put(planned{s: t.s, rank: r, trial: trial{t.setting, word}})
	}
}

// seed is the next input for a probe.
func (p *prober) seed() []byte {
	n := len(p.light)
	if n == 0 {
		return nil
	}
	p.turn++
	if p.turn%2 == 0 {
		return p.light[p.turn/2%min(favoured, n)].Data
	}
	return p.light[p.turn/2%n].Data
}

// try puts words before those of s.
func (p *prober) try(r rank, s Scenario, words ...string) {
	s.Argv = slices.Concat(s.Argv[:p.o.Fixed], words, s.Argv[p.o.Fixed:])
	if s.usesInput() {
		s.Input = p.seed()
	}
	p.add(r, s)
}

// variables tries common variables unset, and others set.
func (p *prober) variables() {
	if !p.o.varies(dimEnv) {
		return
	}
	with := func(r rank, env ...string) {
		s := p.ways[0]
		s.Env = env
		p.try(r, s)
	}
	with(rankEnv, mutate.CommonEnv()...)
	for _, name := range mutate.CommonEnv() {
		with(rankEnv, name)
	}
	for _, entry := range mutate.TellingEnv(nil) {
		with(rankEnv, entry)
	}
	for _, entry := range mutate.TellingEnv(p.o.EnvNames) { // those that it has tried are left out
		with(rankOwnEnv, entry)
	}
}

// words tries what most programs know, operands, and the examples of the target's own
// texts, whatever options they use.
func (p *prober) words() {
	for _, w := range []string{"--version", "--help", "-h", unknownWord} {
		p.try(rankOperands, p.alone, w)
	}
	p.try(rankOperands, p.alone, mutate.Roundabout)
	for i, pair := range p.both {
		p.bareOf(stage{rankPairs, i}, rankOperands, p.alone, pair...)
	}
	if len(p.o.Table.Texts) > 0 {
		p.bareOf(stage{rankShown, 0}, rankOperands, p.alone, p.o.Table.Texts[0], mutate.Input)
	}
	const texts = 32
	for _, text := range p.o.Table.Texts[:min(len(p.o.Table.Texts), texts)] {
		p.try(rankShown, p.alone, text, mutate.Input)
		p.try(rankShown, p.alone, mutate.Input, text)
	}
	p.assignments()
	for i, words := range p.o.Table.Examples {
		r := rankExamples
		if i >= firstExamples {
			r = rankMoreExamples
		}
		for j, s := range p.staged(words) {
			if s.usesInput() && s.Input == nil {
				s.Input = p.seed()
			}
			if i < shownExamples {
				p.bare = stage{rankExamples, ways*i + j}
			}
			p.add(r, s)
			p.bare = stage{}
		}
		if i < firstExamples {
			for _, s := range p.o.unmade(p.alone, words, p.ways[0].Stdin) {
				if s.usesInput() {
					s.Input = p.seed()
				}
				p.add(rankUnmade, s)
			}
		}
	}
}

// staged are the ways to carry out an example. One that names no file may have to be fed, and some programs are fed with names.
func (p *prober) staged(words []string) []Scenario {
	out := p.o.staged(p.alone, words)
	if fed := out[0]; p.ways[0].Stdin.carries() {
		fed.Stdin = p.ways[0].Stdin
		if len(out) == 1 {
			out = append(out, fed)
		}
		if p.o.Table.Listed {
			fed.Input = listed(fed.Files, words)
			out = append(out, fed)
		}
	}
	return out
}

// option tries the option with an index.
func (p *prober) option(i int) {
	opt := &p.o.Table.Options[i]
	values := likely(opt)
	first := opt.Words(values[0])
	if p.guess != "" {
		p.trials(rankGuessed, first)
	}
	p.on(stage{rankOptions, 0}, rankOptions, p.alone, first...)
	last := len(p.ways) - 1 // an operand, where there can be one
	p.on(stage{rankFiles, 0}, rankFiles, p.ways[last], first...)
	if len(p.light) > 0 {
		liked := &p.light[i%min(favoured, len(p.light))]
		for _, s := range p.ways {
			if s, ok := named(s, liked); ok {
				p.try(rankFiles, s, first...)
			}
		}
	}
	if s, ok := p.found(); ok {
		p.on(stage{rankSeeds, 0}, rankFiles, s, first...)
	}
	p.shown(i, first)
	if len(p.both) > 0 {
		p.try(rankDirs, p.alone, slices.Concat(first, p.both[1][:1])...)
	}
	without := first
	if opt.Arity == mutate.MayHaveValue {
		without = []string{opt.Name} // that may be an operand, whatever a text makes of it
	}
	p.try(rankDirs, p.alone, slices.Concat(without, []string{freshName})...) // what is not there is complained of, or made
	for i, pair := range p.both {
		p.on(stage{rankPairs, i}, rankPairs, p.alone, slices.Concat(first, pair)...)
	}
	for _, v := range values[1:] {
		p.try(rankValues, p.alone, opt.Words(v)...)
		p.try(rankValues, p.ways[last], opt.Words(v)...)
		if len(p.both) > 0 {
			p.try(rankValues, p.alone, slices.Concat(opt.Words(v), p.both[0])...)
		}
	}
	if opt.Takes("file") {
		p.try(rankValues, p.ways[last], opt.Words(mutate.Roundabout)...)
	}
	if opt.Arity == mutate.MayHaveValue {
		p.try(rankValues, p.ways[last], opt.Name)
	}
	p.large(opt, first)
	const most = 4
	for _, v := range values[:min(len(values), most)] {
		p.flows(i, opt.Words(v))
	}
	for _, v := range values {
		for i, s := range p.ways[:last] {
			if v == values[0] {
				p.on(stage{rankWays, i}, rankWays, s, first...)
			} else {
				p.try(rankWays, s, opt.Words(v)...)
			}
		}
	}
	if opt.Arity == mutate.NoValue {
		for _, name := range p.o.Table.Names {
			p.try(rankWays, p.alone, slices.Concat(first, []string{name})...)
		}
	}
}

// likely are the values of an option to try, at least one.
func likely(opt *mutate.Option) []string {
	values := opt.Likely()
	switch {
	case opt.Arity == mutate.NoValue:
		return []string{""}
	case len(values) == 0:
		return []string{"1", mutate.Input}
	}
	return values
}

// shown tries an option in a few examples, which do what the option modifies, and with a small
// program before the file, as sed(1) and grep(1) want it.
func (p *prober) shown(i int, words []string) {
	t := &p.o.Table
	const first = 2
	for n := range min(shownExamples, len(t.Examples)) {
		r, example := rankShown, t.Examples[n]
		switch {
		case n == 0:
			r = rankFirstShown
		case n >= first:
			r = rankMoreShown
		}
		with := slices.Concat(words, example)
		if strings.HasPrefix(words[0], "-") && !strings.HasPrefix(words[0], "--") && len(words[0]) > 2 {
			with = slices.Concat(example, words) // find(1) has its words behind the operands
		}
		for j, s := range p.staged(with) {
			if s.usesInput() && s.Input == nil {
				s.Input = p.seed()
			}
			if j > 0 {
				r = max(r, rankShown)
			}
			p.stage = stage{rankExamples, ways*n + j}
			p.add(r, s)
			p.stage = stage{}
		}
	}
	if len(t.Texts) > 0 {
		text := t.Texts[i%len(t.Texts)]
		p.on(stage{rankShown, 0}, rankShown, p.alone, slices.Concat(words, []string{t.Texts[0], mutate.Input})...) // as without any option
		p.try(rankShown, p.alone, slices.Concat(words, []string{text, mutate.Input})...)
		if len(t.Names) > 0 {
			p.try(rankShown, p.alone, slices.Concat(words, []string{text, t.Names[i%len(t.Names)]})...)
		}
	}
}

// commands tries each sub-command, and each of its options: the first of all commands
// before the second of any.
func (p *prober) commands() {
	for _, c := range p.o.Table.Commands {
		words := strings.Fields(c)
		p.try(rankCommands, p.alone, words...)
		for _, s := range p.ways {
			p.try(rankOperated, s, words...)
		}
		if len(p.both) > 0 {
			p.try(rankOperated, p.alone, slices.Concat(words, p.both[1][:1])...)
		}
		p.try(rankOperated, p.alone, slices.Concat(words, []string{freshName})...)
		for _, pair := range p.both {
			p.try(rankOperated, p.alone, slices.Concat(words, pair)...)
		}
	}
	commands := slices.Sorted(maps.Keys(p.o.Table.Sub))
	for i, more := 0, true; more; i++ {
		more = false
		for _, c := range commands {
			if i >= len(p.o.Table.Sub[c]) {
				continue
			}
			more = true
			opt := &p.o.Table.Sub[c][i]
			words := slices.Concat(strings.Fields(c), opt.Words(likely(opt)[0]))
			p.again = spelledOtherwise(p.o.Table.Sub[c], i)
			p.try(rankSub, p.alone, words...)
			p.try(rankSubFiles, p.ways[len(p.ways)-1], words...)
			if len(p.both) > 0 {
				p.try(rankSubFiles, p.alone, slices.Concat(words, p.both[0])...)
			}
			p.again = false
		}
	}
}
