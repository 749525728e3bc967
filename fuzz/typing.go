package fuzz

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// The bounds of what is typed before chance decides: so many command lines are known to wait for keys, and so many
// of them are typed all at that there is to try.
const (
	maxSittings = 24
	maxStudied  = 2
)

// glance is to wait until a program waits at its terminal, and then to leave.
func glance() []Act { return []Act{{Do: DeedHangUp}} }

// press types one thing after the other.
func press(all ...string) (acts []Act) {
	for _, keys := range all {
		acts = append(acts, Act{Do: DeedType, Data: []byte(keys)})
	}
	return acts
}

// sittings finds out whether the base scenario waits for keys at a terminal, alone and with something to
// work on. Few programs have a screen where they do not know the terminal.
func sittings(o *Options, base Scenario, ways []Scenario, add func(rank, Scenario)) {
	if !o.varies(dimKeys) || len(base.Acts) > 0 || base.Stdin != StdinInvalid && base.Stdin != StdinTerminal {
		return
	}
	for i, s := range []Scenario{base, ways[len(ways)-1]} {
		if i > 0 && slices.Equal(s.Argv, base.Argv) {
			break
		}
		s.atScreen()
		s.Input, s.Acts = nil, glance()
		add(rankBase, s)
	}
}

// atScreen makes all streams a terminal that programs know.
func (s *Scenario) atScreen() {
	s.Stdin, s.World.Stdout, s.World.Stderr = StdinTerminal, OutputTerminal, OutputTerminal
	if !slices.ContainsFunc(s.Env, func(e string) bool { return strings.HasPrefix(e, "TERM=") }) {
		s.Env = append(slices.Clip(s.Env), "TERM=xterm")
	}
}

// seated puts planned runs of a program that waits for keys at a terminal, where it belongs, and presses some: every
// second one, and most of a program that fails without. Such programs do little then, and some wait for
// seconds so that a person can read why.
func (c *corpus) seated(s Scenario, of *planned) Scenario {
	elsewhere := of.turn%2 == 0
	if !c.plain {
		elsewhere = of.turn%8 == 0
	}
	if !c.keyed || elsewhere || of.trial != (trial{}) || len(s.Acts) > 0 || s.Stdin > StdinPipe || len((&Scenario{World: s.World}).world()) > 0 {
		return s
	}
	all := c.o.brief()
	s.atScreen()
	s.Acts = all[of.turn%len(all)]
	if !s.usesFile() {
		s.Input = nil
	}
	return s
}

// sit lists what to type at a program that was seen to wait for it. The scenario is remembered for draws.
func (c *corpus) sit(s *Scenario, r *Result) (out []Scenario) {
	if !c.o.varies(dimKeys) || !s.onTerminal() || len(s.Acts) > 0 && !s.Types() || len(c.sittings) >= maxSittings {
		return nil
	}
	if slices.ContainsFunc(c.sittings, func(o Scenario) bool { return slices.Equal(o.Argv, s.Argv) }) {
		return nil
	}
	c.sittings, c.keyed = append(c.sittings, *s), c.keyed || r.Keyed
	scripts := c.o.brief()
	if len(c.sittings) == 1 {
		c.budget.share()
	}
	switch {
	case len(c.sittings) > maxStudied:
	case r.Keyed:
		scripts = append(scripts, c.o.scripts()...)
	default: // single keys make no difference
		scripts = slices.Concat(scripts, c.o.lines(), c.o.spoken())
	}
	seen := make(map[string]bool)
	for _, acts := range scripts {
		with := *s
		with.Acts, with.Input = acts, nil
		if s.usesFile() { // which is not what is typed
			with.Input = s.Input
		}
		if id := with.ID(); !seen[id] {
			seen[id] = true
			out = append(out, with)
		}
	}
	return out
}

// brief is what people try first, and how they leave.
func (o *Options) brief() [][]Act {
	resize, pause, leave := Act{Do: DeedResize}, Act{Do: DeedPause}, Act{Do: DeedHangUp}
	return [][]Act{
		press("q"), press("\x04"), press("\x03"), press("exit\r"), press("\x1b:q!\r"), press("ihello\x1b", ":wq\r"), press("\x18", "y", "\r"),
		press("h", "q", "q"), press("?", "q"), press("help\r", "quit\r"), press("\x1bOP", "\x1b"),
		press("\x1b[B", "\x1b[A", "\x1b[6~", "\x1b[5~", "\x1b[F", "\x1b[H", "\r"),
		{resize, resize, resize}, {pause, leave}, {send(unix.SIGTERM), leave}, {send(unix.SIGHUP), leave}, press("\x1a"), press("\x1c"),
		press("hello\r", "world\r", "\x04"),
	}
}

// scripts are what else to type, the broadest first.
func (o *Options) scripts() (out [][]Act) {
	add := func(all ...string) { out = append(out, press(all...)) }
	var each []string
	for _, k := range namedKeys {
		each = append(each, k.sent)
	}
	add(each...)
	runes := func(from, to byte) (keys []string) {
		for c := from; c <= to; c++ {
			keys = append(keys, string(c))
		}
		return keys
	}
	control, lower, upper, signs := runes(0, 31), runes('a', 'z'), runes('A', 'Z'), runes('!', '@')
	for _, keys := range [][]string{lower, upper, signs, control} {
		add(keys...)
	}
	// What a terminal answers when it is asked where the cursor is, and what it is.
	add("\x1b[1;1R", "\x1b[?1;2c", "\x1b[>0;276;0c", "\x1b[200~paste\x1b[201~", "\x1b[M !!", "\x1b[I", "\x1b[O")
	// Write something, change it, take it back, and keep it, in the manners of editors and of command lines.
	add("some text", "\x7f\x7f", "\x01", "\x0b", "\x19", "\x05", "\x15", "\x17", "\x12some", "\x0c", "\r", "\t\t", "\x1b[A", "\r")
	add("hello", "\x18\x13", "name\r", "\x18\x03", "y", "y\r")
	add("hello", "\x0f", "name\r", "\x18")
	add("ohello\x1b", "yyp", "dd", "u", "\x12", "/hello\r", "n", ":w name\r", ":e name\r", ":x\r")
	for _, line := range []string{":w out\r:q\r", ":wq! out\r", ":!ls\r\r", ":r !ls\r\r", ":help\r", ":set all\r \r", ":sh\rexit\r", ":e .\r", ":n\r", ":sp\r", "!ls\r", "|ls\r", "s out\r", "v", "=", "/a\r", "&a\r"} {
		add("\x1b", line, "\x1b", ":q!\r")
		add(line, "q")
	}
	// Interrupted, and stopped: a shell that waits for what it runs ends itself by the signal that has ended that.
	for _, line := range []string{"sleep 1000\r", "cat\r", "sh -c 'sleep 1000; :'\r"} {
		add(line, "\x03", "exit\r")
		add(line, "\x1a", "jobs\r", "bg\r", "fg\r", "\x03", "exit\r")
		add(line, "\x1c", "exit\r")
	}
	add("sleep 1000 &\r", "jobs\r", "kill %1\r", "wait\r", "history\r", "exit\r")
	out = append(out, o.lines()...)
	out = append(out, o.spoken()...)
	for _, keys := range [][]string{lower, upper, signs, control} {
		for _, k := range keys {
			add(k, "1\r", "y", "\x1b", "q")
		}
	}
	for _, k := range namedKeys {
		add(k.sent, "\r", "y", "\x1b", "\x1b[21~")
	}
	return out
}

// lines are the seeds that are text, typed a line at a time.
func (o *Options) lines() (out [][]Act) {
	const most, longest = 32, 48
	for i := range o.Seeds {
		if len(out) == most {
			break
		}
		data := string(o.Seeds[i].Data)
		if len(data) > 4<<10 || strings.ContainsFunc(data, func(c rune) bool { return c < ' ' && c != '\n' && c != '\t' || c == 0xfffd }) {
			continue
		}
		var acts []Act
		for line := range strings.Lines(data) {
			if len(acts) < longest && len(line) < TypedSize {
				acts = append(acts, press(strings.TrimRight(line, "\n")+"\r")...)
			}
		}
		if len(acts) > 0 {
			out = append(out, append(acts, press("\x04")...))
		}
	}
	return out
}

// spoken are words that the program knows, as commands: alone, and behind the sign that many want.
func (o *Options) spoken() (out [][]Act) {
	const most, together = 96, 8
	var words []string
	for _, list := range [][]string{o.Table.Commands, o.Table.Texts} {
		words = append(words, list[:min(len(list), most)]...)
	}
	for _, token := range o.Dictionary[:min(len(o.Dictionary), most)] {
		words = append(words, string(token))
	}
	words = slices.DeleteFunc(words, func(w string) bool {
		return w == "" || len(w) > 64 || strings.ContainsFunc(w, func(c rune) bool { return c < ' ' || c > '~' })
	})
	for some := range slices.Chunk(words, together) {
		for _, form := range []string{"%s\r", "\x1b:%s\r"} {
			var acts []Act
			for _, w := range some {
				acts = append(acts, press(fmt.Sprintf(form, w))...)
			}
			out = append(out, acts)
		}
	}
	return out
}

// atTheTerminal makes a draw begin where the program is known to wait for keys.
func (c *corpus) atTheTerminal(r *rand.Rand, d *draft) {
	if len(d.s.Acts) == 0 || !d.s.Types() {
		d.s = one(r, c.sittings)
	}
	d.known = append(c.o.brief(), one(r, c.o.scripts()))
	if e := c.parent(r); e != nil && e.s.Types() {
		d.known = append(d.known, e.s.Acts)
	}
}

// drawKeys changes what is typed.
func drawKeys(r *rand.Rand, acts []Act, known [][]Act, dict mutate.Dictionary, change func([]byte) []byte) []Act {
	acts = slices.Clone(acts)
	if len(acts) == 0 || len(acts) == 1 && acts[0].Do == DeedHangUp || r.IntN(8) == 0 {
		acts = slices.Clone(one(r, known))
	}
	for n := 1 + r.IntN(4); n > 0; n-- {
		i := r.IntN(len(acts) + 1)
		switch n := r.IntN(12); {
		case n < 6:
			acts = slices.Insert(acts, i, press(drawKey(r, dict))...)
		case n == 6:
			acts = slices.Insert(acts, i, one(r, known)...)
		case n == 7 && i < len(acts):
			acts = slices.Delete(acts, i, i+1)
		case n == 8:
			acts = slices.Insert(acts, i, one(r, []Act{{Do: DeedResize}, {Do: DeedPause}, {Do: DeedHangUp}, send(one(r, signals))}))
		case n == 9 && i < len(acts):
			acts = slices.Insert(acts, i, acts[i])
		case n == 10 && i < len(acts):
			j := r.IntN(len(acts))
			acts[i], acts[j] = acts[j], acts[i]
		case n == 11 && i < len(acts) && acts[i].Do == DeedType:
			data := change(acts[i].Data)
			acts[i].Data = data[:min(len(data), TypedSize)]
		}
	}
	const most = 96 // a person who is patient
	if acts = acts[:min(len(acts), most)]; len(acts) == 0 {
		return glance()
	}
	return acts
}

// drawKey is a key, or a word with what mostly ends one.
func drawKey(r *rand.Rand, dict mutate.Dictionary) string {
	switch n := r.IntN(8); {
	case n == 0:
		return one(r, namedKeys).sent
	case n == 1:
		return string(rune(r.IntN(' ')))
	case n < 4:
		return string(rune(' ' + r.IntN(0x7f-' ')))
	case n == 4:
		return one(r, []string{"y\r", "n\r", "\r", "\x1b", "1\r", "q", ":q!\r", "\x03", "\x04", "100"})
	case len(dict) == 0:
		return "word\r"
	}
	word := string(one(r, dict))
	word = word[:min(len(word), TypedSize/2)]
	return one(r, []string{"", "", ":", "\x1b:", "/", "\x1b"}) + word + one(r, []string{"\r", "\r", "\r", " ", "\t", "\x1b"})
}
