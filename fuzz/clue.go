package fuzz

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

// attempt puts clues into a scenario where a program might look for them. What stands for what
// is not known: a text may be an option, a word of the input, a line of a file.
type attempt struct {
	r     *rand.Rand
	o     *Options
	s     Scenario
	clues [clueKinds][]Clue // nearest first
	all   [][]Fault         // that the target's syscalls can have
}

// attempt makes what a draft that is aimed at something stands for.
func (d *draft) attempt(r *rand.Rand, o *Options, p *plugin) Scenario {
	a := attempt{r: r, o: o, s: d.s, all: d.faults}
	a.sort(d.clues)
	joined := a.join(d.setters, d.banned)
	ways := a.ways()
	if d.from != nil && o.varies(dimBytes) && a.s.usesInput() && len(a.s.Input) > 0 {
		ways = append(ways, placing{1, a.tweak})
	}
	total := sum(ways)
	const most = 6
	for n := 0; (!joined || r.IntN(2) == 0) && total > 0 && n < most && (n == 0 || r.IntN(3) != 0); n++ {
		use(r, ways, total)
	}
	if o.varies(dimArgv) && (total == 0 || r.IntN(4) == 0) {
		args := mutate.Args(r, &o.Table, d.dict, a.s.Argv[o.Fixed:])
		args = slices.DeleteFunc(args, func(w string) bool { return avoids(r, d.banned, w) })
		a.s.Argv = slices.Concat(a.s.Argv[:o.Fixed], args)
	}
	if o.varies(dimBytes) && a.s.usesInput() && (total == 0 || r.IntN(4) == 0) {
		a.s.Input = p.bytes(r, a.s.Input, mutate.ByteOptions{Dictionary: d.dict, Other: d.other, Max: o.MaxInput})
	}
	for _, clues := range d.beside {
		a.sort(clues)
		if ways := a.beside(); len(ways) > 0 {
			use(r, ways, sum(ways))
		}
	}
	a.s.settle()
	if a.s.Check() != nil {
		return d.s
	}
	return a.s
}

// sort takes clues in the place of those so far.
func (a *attempt) sort(clues []Clue) {
	a.clues = [clueKinds][]Clue{}
	for _, k := range clues {
		a.clues[k.Kind] = append(a.clues[k.Kind], k)
		if k.Kind == ClueText && fileName.MatchString(k.Text) {
			a.clues[ClueFile] = append(a.clues[ClueFile], k)
		}
	}
}

// placing is a way to use a clue.
type placing struct {
	weight int
	place  func()
}

func sum(ways []placing) (total int) {
	for _, w := range ways {
		total += w.weight
	}
	return total
}

// use draws a way by its weight.
func use(r *rand.Rand, ways []placing, total int) {
	x := r.IntN(total)
	for _, w := range ways {
		if x -= w.weight; x < 0 {
			w.place()
			return
		}
	}
}

// has reports whether there is a clue of one of the kinds.
func (a *attempt) has(kinds ...ClueKind) bool {
	return slices.ContainsFunc(kinds, func(k ClueKind) bool { return len(a.clues[k]) > 0 })
}

// beside are the ways that hardly disturb others.
func (a *attempt) beside() (out []placing) {
	if a.o.varies(dimEnv) && a.has(ClueVariable) {
		out = append(out, placing{1, a.variable})
	}
	if a.o.varies(dimFiles) && a.has(ClueFile) {
		out = append(out, placing{1, a.file})
	}
	return out
}

// ways are those for which there are clues, and that may be varied.
func (a *attempt) ways() []placing {
	var out []placing
	add := func(weight int, d dimension, place func(), kinds ...ClueKind) {
		if a.o.varies(d) && a.has(kinds...) {
			out = append(out, placing{weight, place})
		}
	}
	// What the scenario has may be what brought it so far, and where is looked for more.
	if len(a.held()) > 0 {
		add(5, dimFiles, a.edit, ClueText, ClueNumber)
	}
	if len(a.s.Env) > 0 {
		add(3, dimEnv, a.reset, ClueText, ClueNumber)
	}
	if len(a.s.Argv) > a.o.Fixed {
		add(3, dimArgv, a.reword, ClueText, ClueNumber)
	}
	add(4, dimArgv, a.word, ClueText, ClueNumber)
	if len(a.o.Table.Options) > 0 {
		add(4, dimArgv, a.options, ClueText, ClueNumber, ClueFailure)
	}
	add(3, dimArgv, a.value, ClueText, ClueNumber)
	add(4, dimBytes, a.content, ClueText, ClueNumber)
	add(3, dimBytes, a.magic, ClueNumber)
	add(1, dimBytes, a.size, ClueNumber)
	add(4, dimEnv, a.variable, ClueVariable)
	add(1, dimEnv, a.setting, ClueText)
	add(5, dimFiles, a.file, ClueFile)
	add(1, dimFiles, a.named, ClueText)
	add(3, dimProcess, a.signal, ClueSignal)
	add(4, dimFaults, a.fault, ClueFailure, ClueErrno)
	return out
}

// nearest draws one of a list, the first ones the most often.
func nearest[T any](r *rand.Rand, of []T) T {
	n := len(of)
	for n > 1 && r.IntN(3) != 0 {
		n = (n + 1) / 2
	}
	return of[r.IntN(n)]
}

// directive is one of printf(3) or of scanf(3).
var directive = lazyregexp.New(`%[-+ #0'*]*[0-9]*(?:\.[0-9]+)?(?:hh|h|ll|l|j|z|t|m)?(?:[a-zA-Z%]|\[\^?\]?[^]]*\])`)

// text is one that is near, with something in the place of what a format leaves open.
func (a *attempt) text() string {
	if len(a.clues[ClueText]) == 0 {
		return a.decimal()
	}
	t := nearest(a.r, a.clues[ClueText]).Text
	return directive.ReplaceAllStringFunc(t, func(d string) string {
		switch d[len(d)-1] {
		case '%':
			return "%"
		case 's', 'c', ']':
			return nearest(a.r, a.clues[ClueText]).Text
		}
		return a.decimal()
	})
}

// number is one that is near, or one beside it.
func (a *attempt) number() uint64 {
	if len(a.clues[ClueNumber]) == 0 {
		return uint64(a.r.IntN(100000))
	}
	k := nearest(a.r, a.clues[ClueNumber])
	v := k.Number
	if k.Size < 8 && a.r.IntN(4) == 0 { // it may be meant with a sign
		v = uint64(int64(v<<(64-8*k.Size)) >> (64 - 8*k.Size))
	}
	switch a.r.IntN(8) {
	case 0, 1:
		v++
	case 2:
		v--
	case 3:
		v += uint64(a.r.IntN(100))
	case 4: // what is compared may be counted in other units than what was given
		v /= one(a.r, units)
	}
	return v
}

// units are those of sizes and times.
var units = []uint64{2, 4, 8, 10, 60, 100, 512, 1000, 1024, 1 << 20}

func (a *attempt) decimal() string {
	if v := a.number(); a.r.IntN(8) == 0 {
		return "0x" + strconv.FormatUint(v, 16)
	} else {
		return strconv.FormatInt(int64(v), 10)
	}
}

// term is a text or a number. One that ends as if something had to follow gets that.
func (a *attempt) term() string {
	texts, numbers := a.clues[ClueText], a.clues[ClueNumber]
	if n := len(texts); len(numbers) > 0 && (a.r.IntN(5) == 0 || n == 0 || numbers[0].Distance < texts[0].Distance && a.r.IntN(2) == 0) {
		return a.decimal()
	}
	t := a.text()
	if t != "" && strings.ContainsRune("=: \t", rune(t[len(t)-1])) {
		switch a.r.IntN(4) {
		case 0:
			t += a.decimal()
		case 1:
			t += a.text()
		default:
			t += a.some()
		}
	}
	return t
}

// some is what may follow.
func (a *attempt) some() string {
	if names := a.o.Table.Names; len(names) > 0 && a.r.IntN(2) == 0 {
		return one(a.r, names)
	}
	return one(a.r, []string{"1", "0", "2", "a", ".", "/tmp", "yes", "on"})
}

// clean is a word without what none can hold.
func clean(word string) string { return strings.ReplaceAll(word, "\x00", "") }

// signal sends one that is handled.
func (a *attempt) signal() {
	sig := syscall.Signal(nearest(a.r, a.clues[ClueSignal]).Number)
	if !slices.Contains(signals, sig) {
		return
	}
	a.s.World.Interruption = Interruption{sig, MomentRead}
	if a.r.IntN(8) == 0 {
		a.s.World.Interruption.Moment = MomentLimit // it costs a time limit
	}
	a.s.Stdin = StdinPipe
	if len(a.s.Input) < 2 {
		a.s.Input = []byte("a\nb\n")
	}
}

// fault makes a call fail whose failure is looked at, as it is looked for.
func (a *attempt) fault() {
	var errnos []syscall.Errno
	for _, k := range a.clues[ClueErrno] {
		errnos = append(errnos, syscall.Errno(k.Number))
	}
	var f Fault
	switch failing := a.clues[ClueFailure]; {
	case len(failing) > 0 && (len(errnos) == 0 || a.r.IntN(4) != 0):
		f.ID = nearest(a.r, failing).ID
	case len(a.all) > 0:
		f.ID = one(a.r, a.all)[0].ID
	default:
		return
	}
	of := one(a.r, possible())
	if i := slices.IndexFunc(possible(), func(of []Fault) bool { return of[0].ID == f.ID }); i >= 0 {
		of = possible()[i]
	}
	f.Errno = one(a.r, of).Errno
	if len(errnos) > 0 && a.r.IntN(4) != 0 {
		f.Errno = nearest(a.r, errnos)
	}
	faults := slices.DeleteFunc(slices.Clone(a.s.World.Faults), func(o Fault) bool { return o.ID == f.ID })
	if a.r.IntN(2) == 0 {
		faults = nil
	}
	faults = append(faults, f)
	slices.SortFunc(faults, func(x, y Fault) int { return x.ID.Compare(y.ID) })
	if checkFaults(faults) == nil {
		a.s.World.Faults = faults
	}
}
