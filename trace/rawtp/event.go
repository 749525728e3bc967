package rawtp

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// Kind says what an Event tells of. The zero value is invalid.
type Kind uint8

// The kinds of events.
const (
	KindInvalid Kind = iota
	FirstSeen        // a syscall that no recorded process had made before
	Denied           // a syscall that a seccomp filter refused
	Watched          // a syscall of Options.Watch
)

// Event is one call in detail.
type Event struct {
	Kind Kind
	ID   sysno.ID
	Slot int
	PID  int // thread group, in the initial pid namespace
	TID  int
	Comm string // of the thread, at most 15 bytes, as the target chose it

	// IP and Args are registers as the call found them; Args beyond those that
	// the syscall has hold whatever the program left there. Both are zero for the
	// execve that starts a recorded program.
	IP   uint64
	Args [6]uint64

	// Texts are the strings behind the first two of Args that are addresses of
	// strings, as far as they could be read: not from a page that is not resident.
	// They are what stood there right before the call, or right after its refusal;
	// another thread may have changed it. Paths are the target's own, so they start
	// at its root or working directory. Equal calls have those of the first.
	Texts []Text

	// Return is what a refused call returned, a negated errno as a rule. Where
	// SIGSYS is set the filter trapped or killed instead, and Return is 0.
	Return int64
	SIGSYS bool

	// Count is how many equal calls stand behind the event: 1 when it is
	// delivered, all so far when it comes from Denials.
	Count uint64

	// Cut says that the calls are not known one by one: there was no room for their
	// Args and Texts. Such an event comes from Denials alone.
	Cut bool

	// Site is where the call was made, with Options.Places: the zero Site for the
	// execve that starts a recorded program, for a thread that a filter has killed
	// alone, and where the kernel could not tell at that moment.
	Site trace.Site

	// Caller is, with Site and of native calls, the innermost word on the stack that
	// points into the program's own code, from where that begins, 0 for none: where the
	// program has called the library that Site is in, or something that was left over.
	// Program is the inode of the program's file.
	Caller, Program uint64
}

// Text is the string behind an argument.
type Text struct {
	Arg   int    // index in Args
	Bytes string // without the NUL, at most 256 bytes, as the target chose them
	Cut   bool   // the string is longer
}

// Events calls deliver for each event, one at a time, until ctx is done or the
// Recorder is closed, and returns nil then. Once ctx is done it delivers what is in
// the buffer already, so that a run can be waited for, ctx cancelled, and nothing
// be missed. Events wants Options.Events or Options.Denials, and one caller at a
// time.
//
// FirstSeen comes once a syscall, or twice when two CPUs see it in the same moment;
// Denied and Watched once for each distinct process, syscall and arguments.
func (r *Recorder) Events(ctx context.Context, deliver func(Event)) error {
	if r.reader == nil {
		return errors.New("read events: the recorder was opened without any")
	}
	stop := context.AfterFunc(ctx, func() { r.reader.Flush() })
	defer stop()
	var record ringbuf.Record
	for {
		err := r.reader.ReadInto(&record)
		switch {
		case errors.Is(err, ringbuf.ErrFlushed):
			// A flush can be left over from the cancellation of an earlier call.
			if ctx.Err() != nil {
				return nil
			}
			continue
		case errors.Is(err, os.ErrClosed):
			return nil
		case err != nil:
			return fmt.Errorf("read events: %w", err)
		}
		var raw recorderEvent
		if _, err := binary.Decode(record.RawSample, binary.NativeEndian, &raw); err != nil {
			return fmt.Errorf("decode event: %w", err)
		}
		deliver(raw.event())
	}
}

// Denials is every refused or watched call so far with its count, sorted by process,
// syscall and arguments. Other than through Events, none is missing here but those that
// Dropped counts. It needs Options.Denials.
func (r *Recorder) Denials() ([]Event, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.final != nil {
		return slices.Clone(r.final.denials), nil
	}
	return r.denialTable()
}

func (r *Recorder) denialTable() ([]Event, error) {
	if !r.want.Denials {
		return nil, nil
	}
	var (
		all   []Event
		key   recorderDenial
		value recorderEvent
	)
	for _, table := range []string{"denials", "more_denials"} {
		entries := r.coll.Maps[table].Iterate()
		for entries.Next(&key, &value) {
			e := value.event()
			e.Cut = table == "more_denials"
			all = append(all, e)
		}
		if err := entries.Err(); err != nil {
			return nil, fmt.Errorf("read denials: %w", err)
		}
	}
	slices.SortFunc(all, func(a, b Event) int {
		return cmp.Or(cmp.Compare(a.PID, b.PID), a.ID.Compare(b.ID), cmp.Compare(a.Kind, b.Kind), slices.Compare(a.Args[:], b.Args[:]))
	})
	return all, nil
}

func (e *recorderEvent) event() Event {
	kind := FirstSeen
	switch e.Kind {
	case recorderKindDENIED:
		kind = Denied
	case kindWatched:
		kind = Watched
	}
	comm, _, _ := bytes.Cut(e.Comm[:], []byte{0})
	var texts []Text
	for i := range e.Texts {
		if t := &e.Texts[i]; t.Arg != 0 {
			texts = append(texts, t.text())
		}
	}
	return Event{
		Kind:   kind,
		ID:     sysno.ID{Arch: archOf(e.Abi), NR: e.Nr},
		Slot:   int(e.Slot),
		PID:    int(e.Pid),
		TID:    int(e.Tid),
		Comm:   string(comm),
		IP:     e.Ip,
		Args:   e.Args,
		Texts:  texts,
		Return: e.Ret,
		SIGSYS: e.Sigsys != 0,
		Count:  e.Count,
		Site:   e.Site.site(),

		Caller: e.Caller, Program: e.Program,
	}
}

func (t *recorderText) text() Text {
	const most = len(t.Bytes) - 2
	n := int(t.Size) - 1
	return Text{Arg: int(t.Arg) - 1, Bytes: string(t.Bytes[:min(n, most)]), Cut: n > most}
}

// kindWatched is that of an event only.
const kindWatched = recorderKindKINDS

// shapes lists for each number of each ABI the first arguments that are addresses of
// strings, and how many it has. watch says of which calls each is told.
func shapes(watch func(sysno.ID) bool) *recorderShapes {
	var table recorderShapes
	const others = uint32(1<<32 - 2) // stands for the numbers that no table has
	flag := func(id sysno.ID) uint8 {
		if watch != nil && watch(id) {
			return 1
		}
		return 0
	}
	for i := range table.Of {
		id := sysno.ID{Arch: archOf(recorderAbi(i / cells)), NR: uint32(i % cells)}
		row, found := &table.Of[i], 0
		args := id.Args()
		row.Args, row.Watched = uint8(len(args)), flag(id)
		if !id.Described() {
			row.Args = uint8(len(Event{}.Args))
		}
		for n, arg := range args {
			isString := arg.Kind == sysno.KindPath || arg.Kind == sysno.KindString
			if isString && found < len(row.Texts) {
				row.Texts[found] = uint8(n + 1)
				found++
			}
		}
	}
	for abi := range recorderAbiABIS {
		table.WatchOthers[abi] = flag(sysno.ID{Arch: archOf(abi), NR: others})
	}
	return &table
}
