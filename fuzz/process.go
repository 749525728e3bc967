package fuzz

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Resource is what a Limit limits. The zero value is invalid.
type Resource uint8

// The resources of setrlimit(2), in its units.
const (
	ResourceInvalid Resource = iota
	ResourceFiles            // RLIMIT_NOFILE
	ResourceMemory           // RLIMIT_AS
	ResourceFile             // RLIMIT_FSIZE
	ResourceStack            // RLIMIT_STACK
	ResourceLocked           // RLIMIT_MEMLOCK
	resources
)

// resourceNames are also those of prlimit(1).
var resourceNames = [resources]string{"", "nofile", "as", "fsize", "stack", "memlock"}

// String is the resource's name in files, empty for an invalid one.
func (r Resource) String() string {
	if r >= resources {
		return ""
	}
	return resourceNames[r]
}

// Limit is a resource limit, soft and hard.
type Limit struct {
	Resource Resource
	Value    uint64
}

// String is the limit in files, as in "nofile=4".
func (l Limit) String() string { return l.Resource.String() + "=" + strconv.FormatUint(l.Value, 10) }

func parseLimit(s string) (Limit, error) {
	name, number, _ := strings.Cut(s, "=")
	r, err := parse(name, resources)
	value, e := strconv.ParseUint(number, 10, 64)
	l := Limit{r, value}
	if err != nil || e != nil || l.String() != s { // one form only
		return Limit{}, fmt.Errorf("%q is no limit; one is as in nofile=4", s)
	}
	return l, nil
}

// User says whose process the target is: nobody's, or, as in "33:33", that of a user and a group by their numbers, who
// are in no other group and have no rights. The zero value is the usual.
type User string

// The users that draws choose from.
const (
	UserSame   User = ""       // who runs tjfuzz
	UserNobody User = "nobody" // NobodyID
)

// UserOf is a user by numbers.
func UserOf(uid, gid uint32) User {
	if uid == NobodyID && gid == NobodyID {
		return UserNobody
	}
	return User(fmt.Sprintf("%d:%d", uid, gid))
}

// IDs are the numbers of a user and its group. It is false for UserSame and for what is no user.
func (u User) IDs() (uid, gid uint32, ok bool) {
	if u == UserNobody {
		return NobodyID, NobodyID, true
	}
	user, group, _ := strings.Cut(string(u), ":")
	a, errA := strconv.ParseUint(user, 10, 32)
	b, errB := strconv.ParseUint(group, 10, 32)
	uid, gid = uint32(a), uint32(b)
	const unchanged = math.MaxUint32                                                                             // setresuid(2)
	return uid, gid, errA == nil && errB == nil && uid != unchanged && gid != unchanged && UserOf(uid, gid) == u // one form only
}

// NobodyID is the user and the group that own nothing, the kernel's overflow id.
const NobodyID = 65534

// Moment is when a signal is sent. The zero value is never.
type Moment uint8

// The moments. All are events, not times, so that a run can be repeated.
const (
	MomentNever Moment = iota
	MomentRead         // with each read from standard input, a pipe, but perhaps the last; never for an input of less than two bytes
	MomentLimit        // when the run has had its time, as if typed where standard output is a terminal; it is given as much again
	MomentWrite        // with each write to standard output, a pipe, or as if typed when the first came to a terminal
	moments
)

// String is the moment's name in files, empty for an invalid one.
func (m Moment) String() string {
	if m >= moments {
		return ""
	}
	return [moments]string{"never", "read", "limit", "write"}[m]
}

// Interruption is a signal that the target gets.
type Interruption struct {
	Signal syscall.Signal // 0 for none
	Moment Moment
}

// String is the interruption in files, as in "SIGHUP@read".
func (i Interruption) String() string { return unix.SignalName(i.Signal) + "@" + i.Moment.String() }

func parseInterruption(s string) (Interruption, error) {
	name, word, _ := strings.Cut(s, "@")
	m, err := parse(word, moments)
	i := Interruption{unix.SignalNum(name), m}
	if err != nil || !slices.Contains(signals, i.Signal) || m == MomentNever {
		return Interruption{}, fmt.Errorf("%q is no interruption; one is as in SIGHUP@read", s)
	}
	return i, nil
}

// signals are those that can be sent: what people and init systems send, and what tells
// programs of something. None stops a process.
var signals = []syscall.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGCHLD, unix.SIGQUIT, unix.SIGALRM, unix.SIGCONT, unix.SIGPIPE}

// limits are those worth trying.
var limits = []Limit{
	{ResourceFiles, 3}, {ResourceFiles, 4}, {ResourceFiles, 5}, {ResourceFiles, 8}, {ResourceFiles, 16},
	{ResourceMemory, 16 << 20}, {ResourceMemory, 64 << 20}, {ResourceMemory, 256 << 20},
	{ResourceFile, 0}, {ResourceFile, 1}, {ResourceFile, 4096},
	{ResourceStack, 256 << 10}, {ResourceStack, 1 << 20}, {ResourceLocked, 0},
}

func (s *Scenario) checkProcess() error {
	w := &s.World
	for i, l := range w.Limits {
		if l.Resource.String() == "" || l.Value > math.MaxInt64 {
			return errors.New("an unknown limit")
		}
		if i > 0 && l.Resource <= w.Limits[i-1].Resource {
			return errors.New("limits are not sorted, or two are of one resource")
		}
	}
	if _, _, other := w.User.IDs(); !other && w.User != UserSame {
		return errors.New("an unknown user")
	}
	if w.Interruption == (Interruption{}) {
		return nil
	}
	if back, err := parseInterruption(w.Interruption.String()); err != nil || back != w.Interruption {
		return errors.New("an unknown interruption")
	}
	if w.Interruption.Moment == MomentRead && s.Stdin != StdinPipe {
		return errors.New("a signal is to come with a read, and standard input is no pipe")
	}
	if w.Interruption.Moment == MomentWrite && !w.bringsSignals() {
		return errors.New("a signal is to come with a write, and standard output brings none")
	}
	return nil
}

// interrupt makes a signal come, and the stream that brings it a pipe, where the moment asks for one.
func (s *Scenario) interrupt(sig syscall.Signal, m Moment) {
	s.World.Interruption = Interruption{sig, m}
	switch m {
	case MomentRead:
		s.Stdin = StdinPipe
	case MomentWrite:
		if !s.World.bringsSignals() {
			s.World.Stdout = OutputPipe
		}
	}
}

// bringsSignals reports whether the signal can come with a write to standard output.
func (w *World) bringsSignals() bool { return w.Stdout == OutputPipe || w.TypesSignal() }

// TypesSignal reports whether the signal is typed at a terminal, unless it comes with a read. Then all that the
// program has started and waits for gets it, too. Only two can be typed that stop no process.
func (w *World) TypesSignal() bool {
	return w.Stdout == OutputTerminal && (w.Interruption.Signal == unix.SIGINT || w.Interruption.Signal == unix.SIGQUIT)
}

// interruptible reports whether a read can bring a signal: of two parts of the input the
// first is read for certain before the second can be.
func (s *Scenario) interruptible() bool { return s.Stdin == StdinPipe && len(s.Input) > 1 }

// delays reports whether the target may wait for ever by no fault of its own: the kernel, which it asks to wake
// it at a time of day, has another one, a peer keeps it waiting, or it is in the midst of what its code did not begin.
func (s *Scenario) delays() bool {
	_, shifted := s.World.Clock.TimeOfDay()
	return shifted || s.World.Peers.stalls() || s.World.Call != (Call{})
}

// provokes reports whether a signal that ends the target is what the scenario brings
// about, and no crash. Such a run is not clean: it does not show what the program would
// have done next.
func (s *Scenario) provokes(signal int) bool {
	w := &s.World
	sig := syscall.Signal(signal)
	if w.Call != (Call{}) {
		return true
	}
	// Who reads has gone: a standard stream of the scenario, a peer, or a child of the program's.
	if sig == unix.SIGPIPE || sig == w.Interruption.Signal && sig != 0 {
		return true
	}
	return slices.ContainsFunc(w.Limits, func(l Limit) bool {
		switch l.Resource {
		case ResourceFile:
			return sig == unix.SIGXFSZ
		case ResourceMemory, ResourceStack: // how programs and the kernel answer to having no memory
			return sig == unix.SIGSEGV || sig == unix.SIGABRT || sig == unix.SIGKILL || sig == unix.SIGBUS
		}
		return false
	})
}
