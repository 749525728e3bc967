package fuzz

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Act is one thing that is done to a service while it runs, or at the terminal of a program. The acts of a scenario are done in their
// order: the first when the service has come to rest with a socket to talk to, and each further one
// when it has come to rest after the one before. After the last one the service is told to end. So a
// scenario with acts is one run: start, talk, stop. Where nothing is said at sockets and the program has a terminal,
// each act comes when the program waits there, and the end is that the terminal is hung up.
type Act struct {
	Do     Deed
	To     Socket         // of what talks to a socket
	Client uint8          // of what is done on a connection: which one; it is made by the first act that has it
	Data   []byte         // what is sent
	Times  int            // how often Data is sent in a row, or how many connections; 0 means once
	Signal syscall.Signal // of DeedSignal
}

// Deed says what an Act does. The zero value is invalid.
type Deed uint8

// The deeds.
const (
	DeedInvalid Deed = iota
	DeedSend         // sends, and reads all that is answered
	DeedDrip         // the same, the first bytes one by one
	DeedShout        // sends without reading what is answered, which later acts on the connection read
	DeedCrowd        // sends on Times new connections, which stay open until the end
	DeedFinish       // sends no more: the service reads an end of file, and may answer
	DeedLeave        // closes the connection
	DeedReset        // closes it so that the service gets ECONNRESET
	DeedSignal       // sends a signal to the service's first process, or what that has left behind
	DeedRotate       // renames the regular files that the service appends to
	DeedType         // types Data at the terminal
	DeedResize       // gives the terminal another size
	DeedHangUp       // hangs the terminal up
	DeedPause        // stops the first process, and lets it go on
	deeds
)

var deedNames = [deeds]string{"", "send", "drip", "shout", "crowd", "finish", "leave", "reset", "signal", "rotate", "type", "resize", "hangup", "pause"}

// String is the deed's name in files, empty for an invalid one.
func (d Deed) String() string {
	if d >= deeds {
		return ""
	}
	return deedNames[d]
}

// sends reports whether the deed has data.
func (d Deed) sends() bool { return DeedSend <= d && d <= DeedCrowd }

// talks reports whether the deed is done at a socket.
func (d Deed) talks() bool { return DeedSend <= d && d <= DeedReset }

// atTerminal reports whether the deed is done at a terminal.
func (d Deed) atTerminal() bool { return DeedType <= d && d <= DeedHangUp }

// connected reports whether the deed is done on a connection that other acts may use.
func (d Deed) connected() bool { return DeedSend <= d && d <= DeedReset && d != DeedCrowd }

// Socket is where a service can be talked to: a kind and, after a slash, a port or a name, as in "tcp/80",
// "udp/53", "unix//run/s" or "unix/@abstract". The kind "tls" is TCP with TLS on top of it. Where the
// service has no such socket it stands for the first other one of the kind, for ports and names may be
// other ones in each run.
type Socket string

// The kinds of socket.
const (
	SocketTCP       = "tcp"
	SocketTLS       = "tls"
	SocketUDP       = "udp"
	SocketUnix      = "unix"   // SOCK_STREAM
	SocketUnixGram  = "dgram"  // SOCK_DGRAM
	SocketUnixSeqed = "packet" // SOCK_SEQPACKET
)

// AsksNames reports whether the acts take the service for a name server: they talk to it where those are asked. On a network
// that has peers, questions to loopback addresses are for it then, and for the peers in all other runs.
func (s *Scenario) AsksNames() bool {
	return slices.ContainsFunc(s.Acts, func(a Act) bool { return a.To.Port() == 53 })
}

// Kind is the part before the slash.
func (s Socket) Kind() string {
	kind, _, _ := strings.Cut(string(s), "/")
	return kind
}

// Name is the part behind it.
func (s Socket) Name() string {
	_, name, _ := strings.Cut(string(s), "/")
	return name
}

// Port is the number of a TCP or UDP port, 0 for other sockets.
func (s Socket) Port() int {
	switch s.Kind() {
	case SocketTCP, SocketTLS, SocketUDP:
		n, _ := strconv.Atoi(s.Name())
		return n
	}
	return 0
}

// Check reports what makes it no socket.
func (s Socket) Check() error {
	switch s.Kind() {
	case SocketTCP, SocketTLS, SocketUDP:
		if n := s.Port(); n < 1 || n > 65535 || strconv.Itoa(n) != s.Name() {
			return fmt.Errorf("%q is no port", string(s))
		}
	case SocketUnix, SocketUnixGram, SocketUnixSeqed:
		if s.Name() == "" {
			return fmt.Errorf("%q has no name", string(s))
		}
	default:
		return fmt.Errorf("%q is no socket; one is as in tcp/80", string(s))
	}
	return nil
}

// The bounds of what is done to a service in one run.
const (
	MaxActs  = 256
	MaxTimes = 4096
	maxSent  = 8 << 20 // bytes in all acts, each as often as it is sent
)

// endings are the signals by which people and init systems tell a service to end.
var endings = []syscall.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGQUIT, unix.SIGKILL}

// announced are the signals that can be sent to a service.
var announced = slices.Concat(signals, []syscall.Signal{unix.SIGKILL})

// ending is an act that tells a service to end, as it is told anyway after the last act.
func ending() Act { return send(unix.SIGTERM) }

func send(sig syscall.Signal) Act { return Act{Do: DeedSignal, Signal: sig} }

// times is how often an act's data is sent.
func (a *Act) times() int { return max(a.Times, 1) }

// sent is how many bytes the acts send.
func sent(acts []Act) int {
	n := 0
	for i := range acts {
		n += len(acts[i].Data) * acts[i].times()
	}
	return n
}

func checkActs(acts []Act) error {
	if len(acts) > MaxActs {
		return fmt.Errorf("%d acts, and more than %d are too many", len(acts), MaxActs)
	}
	if sent(acts) > maxSent {
		return fmt.Errorf("more than %d bytes are sent", maxSent)
	}
	for i := range acts {
		if err := acts[i].check(); err != nil {
			return fmt.Errorf("act %d: %w", i+1, err)
		}
	}
	return nil
}

func (a *Act) check() error {
	if a.Do.String() == "" {
		return errors.New("it does nothing that is known")
	}
	if a.Times < 0 || a.Times > MaxTimes || a.Times == 1 || a.Times > 0 && !a.Do.sends() {
		return fmt.Errorf("%d times", a.Times) // one form only: once is 0
	}
	if !a.Do.sends() && a.Do != DeedType && len(a.Data) > 0 || a.Do.connected() != (a.Client > 0) {
		return fmt.Errorf("%s with data or a connection, or without", a.Do)
	}
	if a.Do == DeedSignal {
		if !slices.Contains(announced, a.Signal) || a.To != "" {
			return errors.New("an unknown signal, or one to a socket")
		}
		return nil
	}
	if a.Signal != 0 || !a.Do.talks() && a.To != "" {
		return fmt.Errorf("%s with a signal or a socket", a.Do)
	}
	if len(a.Data) > TypedSize && a.Do == DeedType {
		return fmt.Errorf("more than %d bytes are typed at once", TypedSize)
	}
	if !a.Do.talks() {
		return nil
	}
	return a.To.Check()
}

// String is the act for people, with the beginning of what it sends.
func (a Act) String() string {
	const shown = 40
	switch a.Do {
	case DeedSignal:
		return unix.SignalName(a.Signal)
	case DeedRotate:
		return "log files renamed"
	case DeedType:
		return "typed " + keys(a.Data)
	case DeedResize:
		return "another size of the terminal"
	case DeedHangUp:
		return "the terminal hung up"
	case DeedPause:
		return "SIGSTOP and SIGCONT"
	}
	out := fmt.Sprintf("%s %s", a.Do, a.To)
	if a.Client > 1 {
		out += fmt.Sprintf(" #%d", a.Client)
	}
	if a.Times > 1 {
		out += fmt.Sprintf(" ×%d", a.Times)
	}
	if a.Do.sends() {
		data, more := a.Data, ""
		if len(data) > shown {
			data, more = data[:shown], "..."
		}
		out += " " + strconv.Quote(string(data)) + more
	}
	return out
}

// ActWords are all that makes acts differ, as part of a scenario's ID.
func ActWords(acts []Act) (out []string) {
	for _, a := range acts {
		out = append(out, fmt.Sprint(a.Do, " ", a.Client, " ", a.Times, " ", int(a.Signal)), string(a.To), string(a.Data))
	}
	return out
}

// Exchange is what was said at one socket of a service.
type Exchange struct {
	Socket   Socket
	Sent     uint64 // messages that could be sent
	Answered uint64 // of these, how many something was answered to
	First    []byte // the beginning of the first answer
}

// FirstSize bounds Exchange.First.
const FirstSize = 80

// mergeExchanges adds up what was said, sorted by socket.
func mergeExchanges(all, more []Exchange) []Exchange {
	const most = 256 // sockets: a target may have another one in each run
	for _, x := range more {
		i, found := slices.BinarySearchFunc(all, x.Socket, func(a Exchange, s Socket) int { return strings.Compare(string(a.Socket), string(s)) })
		switch {
		case found:
			all[i].Sent += x.Sent
			all[i].Answered += x.Answered
			if len(all[i].First) == 0 {
				all[i].First = x.First
			}
		case len(all) < most:
			all = slices.Insert(all, i, x)
		}
	}
	return all
}
