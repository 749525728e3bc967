package main

import (
	"encoding/binary"
	"hash/fnv"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// noticing is a watcher that also tells the engine of details of calls that are new, which
// lead to scenarios that make new calls, and where the program crashed.
type noticing struct{ attempts }

func (n noticing) Signals(of []sysno.ID) []fuzz.Signal {
	var signals []fuzz.Signal
	for _, s := range n.Fresh(of) {
		kind := fuzz.SignalValue
		switch unix.Errno(s.Errno) {
		case 0:
		case unix.EINTR, unix.EAGAIN, unix.ETIMEDOUT:
			continue // as time would have it
		default:
			kind = fuzz.SignalErrno
		}
		hash := fnv.New64a()
		_ = binary.Write(hash, binary.LittleEndian, []uint64{uint64(s.ID.Arch), uint64(s.ID.NR), uint64(s.Errno), uint64(s.Arg), s.Value})
		signals = append(signals, fuzz.Signal{Kind: kind, Key: hash.Sum64()})
	}
	return signals
}

func (n noticing) Crash(signal int) fuzz.Place {
	c, _ := n.Slot.Crash(signal)
	return fuzz.Place{Module: c.Module, Offset: c.Offset, Caller: c.Caller}
}
