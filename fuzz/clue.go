package fuzz

import (
	"encoding/binary"
	"math/rand/v2"
	"path"
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
		args = slices.DeleteFunc(args, func(w string) bool { return d.banned[wordKey(w)] && r.IntN(32) != 0 })
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

// join adds what some of the scenarios have, all of which have set something: only together may they do
// what is looked at. It reports whether it did.
func (a *attempt) join(all []Scenario, banned map[string]bool) bool {
	if len(all) == 0 || a.r.IntN(3) != 0 {
		return false
	}
	const most = 4
	n := 1 + a.r.IntN(min(len(all), most))
	for _, i := range a.r.Perm(len(all))[:n] {
		s := &all[i]
		if words := s.Argv[min(a.o.Fixed, len(s.Argv)):]; a.o.varies(dimArgv) {
			words = slices.DeleteFunc(slices.Clone(words), func(w string) bool {
				return w == mutate.Input && slices.Contains(a.s.Argv, w) || banned[wordKey(w)] && a.r.IntN(32) != 0
			})
			if a.r.IntN(2) == 0 { // what is set is the value of an option, perhaps
				a.revalue(words)
			}
			if len(words) > 0 && len(a.s.Argv)-a.o.Fixed+len(words) <= maxWords {
				a.s.Argv = slices.Concat(a.s.Argv[:a.o.Fixed], words, a.s.Argv[a.o.Fixed:])
			}
		}
		for _, e := range s.Env {
			name, v, set := strings.Cut(e, "=")
			switch {
			case !a.o.varies(dimEnv) || len(a.s.Env) >= mutate.MaxEnv:
			case set:
				if a.r.IntN(2) == 0 {
					v = a.term()
				}
				a.set(name, &v)
			default:
				a.set(name, nil)
			}
		}
		for _, f := range s.Files {
			if a.o.varies(dimFiles) && a.s.File(f.Name) == nil && roomFor(a.s.Files, f.Name) && len(a.s.Files) < maxFiles {
				if f.Kind.holds() && len(f.Data) < 1<<12 && a.r.IntN(2) == 0 {
					f.Data = a.amend(f.Data, a.lines())
				}
				a.s.Files = append(slices.Clone(a.s.Files), f)
				slices.SortFunc(a.s.Files, func(x, y File) int { return strings.Compare(x.Name, y.Name) })
			}
		}
	}
	return true
}

// revalue puts a term in the place of one of the words that are values, or have one.
func (a *attempt) revalue(words []string) {
	var values []int
	for i, w := range words {
		if w != mutate.Input && (!strings.HasPrefix(w, "-") || strings.Contains(w, "=") || len(w) > 2 && w[1] != '-') {
			values = append(values, i)
		}
	}
	if len(values) == 0 {
		return
	}
	w := &words[one(a.r, values)]
	key, _, named := strings.Cut(*w, "=")
	switch term := clean(a.term()); {
	case named:
		*w = key + "=" + term
	case strings.HasPrefix(*w, "-"):
		*w = (*w)[:2] + term
	default:
		*w = term
	}
}

// tweak changes a byte of the first ones, where headers are, or says there how long all is: what is computed, no clue tells.
func (a *attempt) tweak() {
	const head = 32
	n := len(a.s.Input)
	if n == 0 { // by now
		return
	}
	a.s.Input = slices.Clone(a.s.Input)
	if size := 2 << a.r.IntN(3); n >= 2*size && a.r.IntN(4) == 0 {
		b := binary.LittleEndian.AppendUint64(nil, uint64(n))[:size]
		if a.r.IntN(2) == 0 {
			slices.Reverse(b)
		}
		copy(a.s.Input[size*a.r.IntN(min(n, head)/size):], b)
		return
	}
	a.s.Input[a.r.IntN(min(n, head))] = byte(a.r.IntN(256))
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

// maxFiles bounds those of a scenario that is aimed.
const maxFiles = 16

// fileName is what files are called: settings.conf, %s/.toolrc, and not 1.5.
var fileName = lazyregexp.New(`^(?:%s/)?[\w.%-]*\.[\w-]*[a-z][\w-]*$`)

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

func (a *attempt) insert(words ...string) {
	args := a.s.Argv[a.o.Fixed:]
	if len(args)+len(words) > maxWords {
		args = nil
	}
	at := 0
	if a.r.IntN(3) == 0 {
		at = a.r.IntN(len(args) + 1)
	}
	a.s.Argv = slices.Concat(a.s.Argv[:a.o.Fixed], args[:at], words, args[at:])
}

// word puts a text on the command line: as an operand, or as an option.
func (a *attempt) word() {
	t := clean(a.term())
	switch a.r.IntN(5) {
	case 0:
		t += one(a.r, []string{"=", ":", ""}) + clean(a.term())
	case 1:
		if !strings.HasPrefix(t, "-") && a.r.IntN(2) == 0 {
			t = one(a.r, []string{"-", "--"}) + t
		}
	case 2:
		a.insert(t, clean(a.term()))
		return
	case 3:
		a.insert(t, mutate.Input)
		return
	case 4:
		if letters := a.letters(t); letters != "" {
			a.insert(letters)
			return
		}
	}
	a.insert(t)
}

// letters are some of those in a text, as options in one word, if they can be such of which each is looked for.
func (a *attempt) letters(of string) string {
	const most = 24
	if len(of) > most || strings.ContainsFunc(of, func(r rune) bool {
		return strings.Count(of, string(r)) > 1 && r != ':' || r != ':' && !('a' <= r|0x20 && r|0x20 <= 'z' || '0' <= r && r <= '9')
	}) {
		return ""
	}
	of = strings.ReplaceAll(of, ":", "")
	if len(of) < 2 {
		return ""
	}
	b := []byte("-")
	for _, i := range a.r.Perm(len(of))[:1+a.r.IntN(min(len(of), 4))] {
		b = append(b, of[i])
	}
	return string(b)
}

// value gives a text to an option that takes one.
func (a *attempt) value() {
	options := a.o.Table.For(a.s.Argv[a.o.Fixed:])
	taking := slices.DeleteFunc(slices.Clone(options), func(o mutate.Option) bool { return o.Arity == mutate.NoValue })
	if len(taking) == 0 {
		a.word()
		return
	}
	opt := one(a.r, taking)
	if a.r.IntN(6) == 0 && a.o.varies(dimBytes) { // it names a file, in which the text is looked for
		a.insert(opt.Words(mutate.Input)...)
		a.content()
		return
	}
	a.insert(opt.Words(clean(a.term()))...)
}

// reword puts a text in the place of a word, or of the value in one.
func (a *attempt) reword() {
	if len(a.s.Argv) == a.o.Fixed { // by now
		return
	}
	i := a.o.Fixed + a.r.IntN(len(a.s.Argv)-a.o.Fixed)
	a.s.Argv = slices.Clone(a.s.Argv)
	word := clean(a.term())
	if key, _, ok := strings.Cut(a.s.Argv[i], "="); ok {
		word = key + "=" + word
	}
	a.s.Argv[i] = word
}

// options adds some that nothing is known to be told by, for letters are no clues, and a file or a directory for them.
func (a *attempt) options() {
	options := a.o.Table.For(a.s.Argv[a.o.Fixed:])
	for n := 0; len(options) > 0 && n < 4 && (n == 0 || a.r.IntN(3) != 0); n++ {
		opt := one(a.r, options)
		a.insert(opt.Words(a.o.Table.Value(a.r, opt.Likely()))...)
	}
	if names := a.o.Table.Names; len(names) > 0 && len(a.s.Argv) < maxWords && a.r.IntN(2) == 0 {
		a.s.Argv = slices.Concat(a.s.Argv, []string{one(a.r, names)})
	}
}

// set sets a variable, or unsets it.
func (a *attempt) set(name string, value *string) {
	if !mutate.EnvUsable(name) {
		return
	}
	env := slices.DeleteFunc(slices.Clone(a.s.Env), func(e string) bool {
		key, _, _ := strings.Cut(e, "=")
		return key == name
	})
	if value == nil {
		env = append(env, name)
	} else {
		env = append(env, name+"="+clean(*value))
	}
	a.s.Env = env
}

// variable sets one that the way depends on.
func (a *attempt) variable() {
	name := nearest(a.r, a.clues[ClueVariable]).Text
	var v string
	switch a.r.IntN(8) {
	case 0:
		a.set(name, nil)
		return
	case 1, 2:
		v = a.some()
	case 3:
		v = a.decimal()
	case 4:
		if v = a.some(); a.r.IntN(2) == 0 {
			v = a.term()
		}
		v += one(a.r, []string{",", ":", "=", " ", ""}) + a.term()
	default:
		v = a.term()
	}
	a.set(name, &v)
}

// reset gives one that is set another value.
func (a *attempt) reset() {
	name, _, _ := strings.Cut(one(a.r, a.s.Env), "=")
	v := a.term()
	a.set(name, &v)
}

// setting sets one that is known otherwise, or has a text as its name.
func (a *attempt) setting() {
	names := a.o.EnvNames
	if len(names) == 0 || a.r.IntN(2) == 0 {
		names = mutate.CommonEnv()
	}
	name, v := one(a.r, names), a.term()
	if t := a.text(); a.r.IntN(2) == 0 && strings.Trim(t, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == "" {
		name, v = t+one(a.r, []string{"", "X", "_X"}), one(a.r, []string{v, "1"})
	}
	a.set(name, &v)
}

// file makes one that the way depends on, or makes it something else than a file.
func (a *attempt) file() { a.make(nearest(a.r, a.clues[ClueFile]).Text) }

// held are the indices of files that have lines.
func (a *attempt) held() (files []int) {
	for i, f := range a.s.Files {
		if f.Kind.holds() && len(f.Data) < 1<<12 {
			files = append(files, i)
		}
	}
	return files
}

// edit writes lines into one that is there.
func (a *attempt) edit() {
	files := a.held()
	if len(files) == 0 { // any more
		return
	}
	i := one(a.r, files)
	a.s.Files = slices.Clone(a.s.Files)
	a.s.Files[i].Data = a.amend(a.s.Files[i].Data, a.lines())
}

// named makes a file whose name is a text, if it can be one.
func (a *attempt) named() { a.make(a.text()) }

func (a *attempt) make(name string) {
	// A name that is put together begins with a directory mostly: here, that of the run.
	if rest, ok := strings.CutPrefix(name, "%s/"); ok {
		name = rest
		dirs := []string{"HOME"}
		for _, k := range a.clues[ClueVariable] {
			dirs = append(dirs, k.Text)
		}
		here := "."
		a.set(one(a.r, dirs), &here)
	}
	name = directive.ReplaceAllStringFunc(name, func(string) string { return a.some() })
	name = path.Clean(strings.TrimPrefix(name, "./"))
	if name == "" || name == "." || name == ".." || strings.HasPrefix(name, "/") || strings.HasPrefix(name, "../") || strings.ContainsAny(name, "\n\x00") || len(name) > 64 {
		return
	}
	f := File{Name: name}
	if a.r.IntN(6) == 0 {
		if f.Kind = one(a.r, inputKinds()); f.Kind == FileMissing {
			f.Kind = FileRegular
		}
	}
	if f.Kind.holds() {
		var before []byte
		if old := a.s.File(name); old != nil {
			before = old.Data
		}
		f.Data = a.amend(before, a.lines())
	}
	files := slices.DeleteFunc(slices.Clone(a.s.Files), func(o File) bool { return o.Name == name })
	if !roomFor(files, name) || len(files) > maxFiles {
		return
	}
	a.s.Files = append(files, f)
	slices.SortFunc(a.s.Files, func(x, y File) int { return strings.Compare(x.Name, y.Name) })
}

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
