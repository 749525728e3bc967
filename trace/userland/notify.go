package userland

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// NotifyOptions says what a Notify records. The zero value records everything.
type NotifyOptions struct {
	// Known are syscalls that are not looked for, as after Settle.
	Known []sysno.ID

	// Judge, when not nil, answers for each call that is seen; a call that it
	// refuses is not executed. It is called from several goroutines.
	Judge func(id sysno.ID, args [6]uint64) Ruling

	Args  bool // also record typed enum and flag arguments
	Sites bool // and where calls are made from, which takes as long as several calls
}

// Ruling is what becomes of a call. The zero value lets it pass.
type Ruling struct {
	Errno unix.Errno // the call fails with it
	Kill  bool       // the process is killed; by SIGKILL, although a filter would use SIGSYS
}

// Notify records through seccomp user notification: the target starts under a
// filter that stops each call until the recorder has taken note and let it go on.
// It needs no rights.
//
// A stopped call costs some microseconds, hundreds of times what it costs
// otherwise. So a caller that makes many runs tells by Settle which syscalls it
// need not see any more; they pass the filters of later runs as fast as without
// one. A filter that is loaded cannot be changed: a single long run of a busy
// program is slow to its end, but for what NotifyOptions.Known names.
//
// What it changes about the target: a program executed without CAP_SYS_ADMIN has
// no_new_privs, so that setuid programs and file capabilities gain no rights. The
// target cannot get a notification listener of its own (EBUSY). /proc/PID/status
// shows the filter. Before Linux 5.19 a signal can interrupt a call while it is
// stopped, also one that is never interrupted otherwise.
//
// What it does not see: calls that a filter of the target's own refuses, which takes
// precedence; what the kernel executes without a call, as io_uring does. Processes
// that outlive their run go on being watched until Close; from then on each of
// their calls that is not known fails with ENOSYS. Needs Linux 5.9.
type Notify struct {
	judge func(sysno.ID, [6]uint64) Ruling
	quit  int // eventfd that ends all goroutines

	mu      sync.Mutex // is taken last
	known   map[sysno.ID]bool
	program []byte // for known; nil when that has changed
	seen    map[sysno.ID]bool
	lost    trace.Lost
	slots   map[int]bool
	closed  bool

	details details

	threads sync.WaitGroup
	left    sync.WaitGroup // of what outlived its run
}

// ErrClosed says that the recorder was closed.
var ErrClosed = errors.New("recorder is closed")

// OpenNotify opens the recorder. The error is a *NotifyError where the kernel or a
// container is known to refuse it. Each launcher takes four descriptors.
func OpenNotify(o NotifyOptions) (*Notify, error) {
	host, err := readNotifyHost()
	if err != nil {
		return nil, fmt.Errorf("open recorder: read the host's features: %w", err)
	}
	if e := host.check(); e != nil {
		return nil, e
	}
	n := &Notify{details: details{args: o.Args, sites: o.Sites}, judge: o.Judge, known: map[sysno.ID]bool{}, seen: map[sysno.ID]bool{}, slots: map[int]bool{}}
	n.Settle(o.Known...)
	if _, err := n.filter(); err != nil {
		return nil, fmt.Errorf("open recorder: %w", err)
	}
	if n.quit, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		return nil, fmt.Errorf("open recorder: make an eventfd: %w", err)
	}
	if err := n.try(); err != nil {
		return nil, errors.Join(fmt.Errorf("open recorder: %w", refusedListener(err)), n.Close())
	}
	return n, nil
}

// try makes a run that ends at its first call: nothing shows better whether a
// filter can be loaded and is answered.
func (n *Notify) try() error {
	failed := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		failed <- func() error {
			s, err := n.Launcher(0)
			if err != nil {
				return err
			}
			defer s.Release()
			spec := &spawn.Spec{}
			spec.Target.Exec("", nil, nil, nil)
			if err := s.Begin(spec); err != nil {
				return err
			}
			p, err := spawn.Start(spec)
			if err != nil {
				return err
			}
			_, err = p.Wait(spawn.Limits{})
			seen := s.Seen()
			if !errors.Is(err, unix.ENOENT) {
				return err
			}
			if exec, _ := sysno.Lookup(sysno.Native(), "execve"); !n.known[exec] && !slices.Contains(seen, exec) {
				return errors.New("the kernel notifies nobody of a call")
			}
			return nil
		}()
	}()
	err := <-failed
	clear(n.seen)
	n.details.forget()
	return err
}

// Settle says that the caller need not see some syscalls any more. Runs that begin
// from now on make them unnoticed. A number without a name is looked for all the
// same: there is no end to these.
func (n *Notify) Settle(ids ...sysno.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, id := range ids {
		if _, named := id.Name(); named && !n.known[id] {
			n.known[id] = true
			n.program = nil
		}
	}
}

// filter is the program for the next run.
func (n *Notify) filter() ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.program == nil {
		var err error
		if n.program, err = compile(slices.SortedFunc(maps.Keys(n.known), sysno.ID.Compare)); err != nil {
			return nil, err
		}
	}
	return n.program, nil
}

// Seen is every syscall that any run was seen to make since OpenNotify, sorted.
func (n *Notify) Seen() []sysno.ID {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.SortedFunc(maps.Keys(n.seen), sysno.ID.Compare)
}

// Lost is what the recorder knows that it missed.
func (n *Notify) Lost() trace.Lost {
	n.mu.Lock()
	defer n.mu.Unlock()
	lost := n.lost
	lost.Details = n.details.count()
	return lost
}

// Observations is what is known of the syscalls that were seen, sorted, beyond
// which these are: what NotifyOptions asks for. A settled syscall may have been called
// from elsewhere too, and with other arguments. What came of a call is not known to
// who lets it pass.
func (n *Notify) Observations() []trace.Observation {
	out := n.details.observations()
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range out {
		if n.known[out[i].ID] {
			out[i].MoreSites = n.details.sites
			for j := range out[i].Args {
				out[i].Args[j].Values, out[i].Args[j].Any = nil, true
			}
		}
	}
	return out
}

// Linger waits until what outlived its run has ended, or ctx has.
func (n *Notify) Linger(ctx context.Context) {
	ended := make(chan struct{})
	go func() {
		n.left.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// Close ends the recorder. The launchers must have been released, and their runs
// should have ended.
func (n *Notify) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil
	}
	n.closed = true
	n.mu.Unlock()
	if err := ring(n.quit); err != nil {
		return fmt.Errorf("close recorder: %w", err)
	}
	n.threads.Wait()
	n.left.Wait()
	return unix.Close(n.quit)
}

func (n *Notify) missed() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost.Tasks++
}

func (n *Notify) beyond() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost.Beyond++
}
