package fuzz

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/tjfuzz/tjfuzz/internal/atomicfile"
	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

// The bounds of one exchange.
const (
	exchangeEvery  = 5 * time.Second
	maxTaken       = 256
	maxTakenBytes  = 32 << 20
	maxUnreadable  = 10   // times a scenario is tried that cannot be read
	maxLastMinutes = 1024 // runs after the end of a session, on what others have found
)

// Share is a folder in which sessions on the same program share what they find, on one
// machine or on several. Each has a folder there in AFL's layout, which it alone
// writes to:
//
//	<instance>/queue/        its scenarios that showed something new
//	<instance>/fuzzer_stats  its numbers, for afl-whatsup
//
// No locks are needed, only a rename that is atomic. A file that is there only in
// part, as happens between machines, is read again later; what is no scenario is let
// alone. A Share is used by one goroutine at a time.
type Share struct {
	own    *State
	dir    string
	given  map[string]bool // by ID: written there, or taken from there
	failed map[string]int  // by path
}

// instanceName is what a folder may be called: no path, and nothing hidden.
var instanceName = lazyregexp.New(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// OpenShare makes the folder of an instance in dir, which it makes too. Two running
// sessions must not have the same instance name.
func OpenShare(dir, instance string) (*Share, error) {
	if !instanceName.MatchString(instance) {
		return nil, fmt.Errorf("open share: %q cannot be the name of an instance; use letters, digits, _ . and -", instance)
	}
	own := &State{dir: filepath.Join(dir, instance)}
	if err := os.MkdirAll(filepath.Join(own.dir, string(Queue)), 0o755); err != nil {
		return nil, fmt.Errorf("open share: %w", err)
	}
	return &Share{own: own, dir: dir, given: make(map[string]bool), failed: make(map[string]int)}, nil
}

// give copies to the share what the queue of s holds and the share does not.
func (x *Share) give(s *State) error {
	err := s.each(Queue, func(id string, read func() (Scenario, error)) error {
		if x.given[id] {
			return nil
		}
		sc, err := read()
		if err != nil {
			return err
		}
		if err := x.own.Save(Queue, &sc); err != nil {
			return err
		}
		x.given[id] = true
		return nil
	})
	// The numbers are for people: a session that has none yet is shared too.
	b, e := os.ReadFile(filepath.Join(s.dir, statsName))
	if e == nil {
		e = atomicfile.Write(filepath.Join(x.own.dir, statsName), b)
	}
	if err = errors.Join(err, ignore(e, fs.ErrNotExist)); err != nil {
		return fmt.Errorf("share scenarios: %w", err)
	}
	return nil
}

func ignore(err, target error) error {
	if errors.Is(err, target) {
		return nil
	}
	return err
}

// take returns what the others have put there since the last time, in the order of
// instances and IDs, and whether there is more than fits into one exchange.
func (x *Share) take() (news []Scenario, more bool, err error) {
	entries, err := os.ReadDir(x.dir)
	if err != nil {
		return nil, false, fmt.Errorf("read what others share: %w", err)
	}
	size := 0
	for _, e := range entries {
		other := &State{dir: filepath.Join(x.dir, e.Name())}
		if other.dir == x.own.dir {
			continue
		}
		// An instance that cannot be read must not keep us from the others.
		err := other.each(Queue, func(id string, read func() (Scenario, error)) error {
			path := other.Prefix(Queue, id)
			if x.given[id] || x.failed[path] >= maxUnreadable {
				return nil
			}
			if len(news) >= maxTaken || size >= maxTakenBytes {
				return errEnough
			}
			sc, err := read()
			if err != nil {
				x.failed[path]++
				return nil
			}
			x.given[id] = true
			size += sc.size()
			news = append(news, sc)
			return nil
		})
		if err == errEnough {
			return news, true, nil
		}
	}
	return news, false, nil
}

// exchange gives and takes, if it is time to. It is called between runs; when another
// worker is at it, it returns at once.
func (c *coordinator) exchange() {
	if c.o.Share == nil || !c.exchanging.TryLock() {
		return
	}
	defer c.exchanging.Unlock()
	c.mu.Lock()
	now := c.o.Now()
	due := len(c.inbox) == 0 && (c.lastCall == callWanted || c.exchanged.IsZero() || now.Sub(c.exchanged) >= exchangeEvery)
	c.mu.Unlock()
	if !due {
		return
	}
	c.exchangeNow()
}

// exchangeNow needs c.exchanging. What fails is tried again the next time: a folder on
// another machine may be away for a while.
func (c *coordinator) exchangeNow() {
	given := c.o.Share.give(c.o.State)
	news, more, taken := c.o.Share.take()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unshared = errors.Join(given, taken)
	for _, s := range news {
		if s, ok := c.o.adopt(s); ok {
			c.inbox = append(c.inbox, s)
		}
	}
	c.exchanged = c.o.Now()
	if more {
		c.exchanged = time.Time{}
	}
	if c.lastCall == callWanted && len(news) == 0 {
		c.lastCall = callDone
	}
}

// A session on a share is not saturated before it has asked the others once more.
type lastCall uint8

const (
	callNone lastCall = iota
	callWanted
	callDone
)

// saturated reports whether the exploration may end. It needs c.mu.
func (c *coordinator) saturated() bool {
	if c.o.Confidence <= 0 || c.chance() >= c.o.Confidence {
		c.lastCall = callNone
		return false
	}
	if c.o.Share == nil || c.lastCall == callDone {
		return true
	}
	c.lastCall = callWanted
	return false
}

// lastMinute runs what the others have shared when this session has come to its end
// by itself, so that it ends with all that they knew then.
func (w *worker) lastMinute(ctx context.Context) error {
	c := w.c
	if c.o.Share == nil {
		return nil
	}
	c.exchanging.Lock()
	defer c.exchanging.Unlock()
	c.mu.Lock()
	c.extra = maxLastMinutes
	c.mu.Unlock()
	for ctx.Err() == nil {
		c.exchangeNow()
		j, ok := c.received()
		if !ok {
			break
		}
		for ; ok; j, ok = c.received() {
			if err := w.explore(ctx, &j); err != nil {
				return err
			}
		}
	}
	return nil
}

// giveLast is called when no worker is left.
func (c *coordinator) giveLast() {
	if c.o.Share != nil {
		c.unshared = errors.Join(c.unshared, c.o.Share.give(c.o.State))
	}
}

// received is the next scenario of another session.
func (c *coordinator) received() (job, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.inbox) == 0 {
		return job{}, false
	}
	s := c.inbox[0]
	c.inbox = c.inbox[1:]
	return job{s: s, phase: PhaseShared}, true
}
