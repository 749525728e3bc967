package fuzz

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// talks lists what is tried with a service before chance decides: each talk of the options, guesses last, and,
// with the first one of each socket, all that can happen to a service beside what is said to it.
func talks(o *Options, base Scenario, add func(rank, Scenario)) {
	if !o.varies(dimMessages) {
		return
	}
	base.Stdin = max(base.Stdin, StdinNull)
	try := func(r rank, acts ...[]Act) {
		s := base
		if s.Acts = slices.Concat(acts...); len(s.Acts) <= MaxActs && sent(s.Acts) <= maxSent {
			add(r, s)
		}
	}
	liked := o.Talks[:min(favoured, len(o.Talks))]
	for _, acts := range lives(liked) {
		try(rankFavoured, acts)
	}
	firsts := firstTalks(o.Talks)
	if len(firsts) > 0 {
		events(firsts[0], try)
	}
	others := slices.Clone(o.Talks[len(liked):])
	for _, t := range firsts {
		manners(t, func(acts ...[]Act) { others = append(others, slices.Concat(acts...)) })
	}
	for i, t := range firsts[min(1, len(firsts)):] { // two connections at a time
		others = append(others, weave(firsts[i], t))
	}
	for _, acts := range slices.Concat(lives(others), lives(o.Commands)) {
		try(rankTalks, acts)
	}
}

// firstTalks are the first of each socket: who knows the protocol has put what is valid there.
func firstTalks(talks [][]Act) (out [][]Act) {
	seen := make(map[Socket]bool)
	for _, t := range talks {
		if len(t) > 0 && !seen[t[0].To] {
			seen[t[0].To] = true
			out = append(out, t)
		}
	}
	return out
}

// events are what happens to a service around a talk: it is told to read its configuration again, to open its
// logs anew, to make way for a successor, to end in each way.
func events(t []Act, try func(rank, ...[]Act)) {
	again := renumbered(t, 1)
	for _, sig := range []syscall.Signal{unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGALRM, unix.SIGCHLD, unix.SIGCONT, unix.SIGPIPE} {
		try(rankTalks, t, []Act{send(sig)}, again)
	}
	for _, sig := range endings {
		try(rankTalks, t, []Act{send(sig)})
	}
	rotate := Act{Do: DeedRotate}
	for _, sig := range []syscall.Signal{unix.SIGUSR1, unix.SIGHUP} {
		try(rankTalks, t, []Act{rotate, send(sig)}, again)
	}
	try(rankTalks, t, []Act{send(unix.SIGUSR2), send(unix.SIGWINCH)}, again, []Act{send(unix.SIGQUIT)})
	try(rankTalks, []Act{send(unix.SIGHUP), send(unix.SIGHUP), send(unix.SIGTERM)})
	try(rankTalks, []Act{ending()})
}

// manners are how clients behave badly.
func manners(t []Act, try func(...[]Act)) {
	first := t[0]
	if !first.Do.sends() {
		return
	}
	client := func(d Deed) Act { return Act{Do: d, To: first.To, Client: first.Client} }
	with := func(change func(*Act)) []Act {
		a := first
		change(&a)
		return []Act{a}
	}
	half := with(func(a *Act) { a.Data = a.Data[:len(a.Data)/2] })
	for _, end := range []Deed{DeedFinish, DeedLeave, DeedReset} {
		try(half, []Act{client(end)})
		try(t, []Act{client(end)}, renumbered(t, 1))
	}
	try(with(func(a *Act) { a.Data = nil }), []Act{client(DeedReset)})
	try(with(func(a *Act) { a.Do = DeedDrip }), t[1:])
	for _, times := range []int{16, 1024} {
		many := func(a *Act) { a.Do, a.Times = DeedShout, min(times, maxSent/(8*max(1, len(a.Data)))) }
		if times*len(first.Data) > 0 {
			try(with(many), []Act{client(DeedSend)})
			try(with(many), []Act{client(DeedReset)})
		}
	}
	const crowd = 48
	try(with(func(a *Act) { a.Do, a.Client, a.Times = DeedCrowd, 0, crowd }), renumbered(t, 1))
	large := bytes.Repeat([]byte("0123456789abcde\n"), 256)
	try(with(func(a *Act) { a.Data, a.Times = large, 64 }))
	try(half, with(func(a *Act) { a.Data, a.Times = large, 64 }))
}

// renumbered is a copy of acts whose connections have numbers that are higher by n.
func renumbered(acts []Act, n uint8) []Act {
	out := slices.Clone(acts)
	for i := range out {
		if out[i].Do.connected() {
			out[i].Client = max(1, out[i].Client+n)
		}
	}
	return out
}

// weave takes the acts of two talks by turns, on connections of their own.
func weave(a, b []Act) []Act {
	var most uint8
	for i := range a {
		most = max(most, a[i].Client)
	}
	b = renumbered(b, most)
	var out []Act
	for i := range max(len(a), len(b)) {
		if i < len(a) {
			out = append(out, a[i])
		}
		if i < len(b) {
			out = append(out, b[i])
		}
	}
	return out
}

// drawActs changes what is done to a service; change changes the bytes of a message, and ends are the acts that end it.
func drawActs(r *rand.Rand, acts []Act, known [][]Act, change func([]byte) []byte, ends map[deed]bool) []Act {
	acts = excerpt(r, acts)
	for first := true; first || r.IntN(2) == 0; first = false {
		acts = drawAct(r, acts, known, change)
	}
	acts = cutShort(r, live(r, acts, r.IntN(longLife), known, change, ends))
	if len(acts) > MaxActs {
		acts = acts[:MaxActs]
	}
	for sent(acts) > maxSent {
		acts = acts[:len(acts)-1]
	}
	if len(acts) == 0 {
		return []Act{ending()}
	}
	return acts
}

func drawAct(r *rand.Rand, acts []Act, known [][]Act, change func([]byte) []byte) []Act {
	talk := one(r, known) // has acts, as all talks
	if len(acts) == 0 {
		return slices.Clone(talk)
	}
	i := r.IntN(len(acts))
	at := &acts[i]
	insert := func(a Act) []Act { return slices.Insert(acts, i+1, a) }
	switch n := r.IntN(16); {
	case n == 0: // drop
		return slices.Delete(acts, i, i+1)
	case n == 1: // repeat
		return insert(*at)
	case n == 2 && at.Do.sends():
		at.Times = 2 << r.IntN(8)
	case n == 3: // reorder
		j := r.IntN(len(acts))
		acts[i], acts[j] = acts[j], acts[i]
	case n == 4: // splice
		j := r.IntN(len(talk) + 1)
		return slices.Concat(acts[:i], talk[j:])
	case n == 5:
		return slices.Concat(acts, renumbered(talk, uint8(r.IntN(2))))
	case n == 6:
		return weave(acts, talk)
	case n == 7 && at.Do.sends():
		if at.Do = DeedSend + Deed(r.IntN(4)); at.Do == DeedCrowd {
			at.Client, at.Times = 0, 2+r.IntN(64)
		} else {
			at.Client = max(1, at.Client)
		}
	case n == 8 && at.Do.connected():
		return insert(Act{Do: DeedFinish + Deed(r.IntN(3)), To: at.To, Client: at.Client})
	case n == 9 && at.To != "": // to another socket
		if to := talk[0].To; to != "" {
			at.To = to
		}
	case n == 10:
		return insert(send(one(r, announced)))
	case n == 11 && r.IntN(4) == 0:
		return slices.Insert(acts, i, Act{Do: DeedRotate}, send(one(r, []syscall.Signal{unix.SIGUSR1, unix.SIGHUP})))
	case n == 12:
		return slices.Clone(talk)
	default: // byte havoc in one message
		for range len(acts) {
			if i = (i + 1) % len(acts); acts[i].Do.sends() {
				acts[i].Data = change(acts[i].Data)
				break
			}
		}
	}
	return acts
}
