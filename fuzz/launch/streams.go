package launch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/service"
	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

// streams are the three standard descriptors of a run.
type streams struct {
	of     [3]*os.File // what the target gets, nil for a closed one, and for a directory of its own
	kept   *kept       // whose the output is, and what else is not in of; nil where it is all the run's own
	alarm  *alarm      // nil where no signal comes with a read or a write
	here   bool        // standard input is the target's working directory
	ours   []*os.File  // what is ours and has to be open until the target has ended
	output *os.File    // what the target has written
	slave  *os.File    // the terminal, which all streams that are one share
	master *os.File    // its other end, which whoever follows it closes
	typed  unix.Signal // comes from there when something was written, 0 for none

	readers sync.WaitGroup // of what the target writes to pipes and terminals
	read    []*os.File     // what they read from
	mu      sync.Mutex     // of output, for them
}

// alarm is the signal that comes when something was read from the other end of a pipe, or was
// written there. The descriptor is open until the target has read it all, or has ended.
type alarm struct {
	fd     int
	signal unix.Signal
	flags  int // of the descriptor
}

// readAlarm is the signal that comes when the other end of r, which does not block, was written to.
func readAlarm(r *os.File, signal unix.Signal) (*alarm, error) {
	c, err := r.SyscallConn()
	if err != nil {
		return nil, err
	}
	a := &alarm{signal: signal, flags: unix.O_NONBLOCK}
	return a, c.Control(func(fd uintptr) { a.fd = int(fd) }) // r.Fd would make it block
}

// openStreams makes the streams of a scenario. On an error nothing is left open.
func openStreams(s *fuzz.Scenario) (_ *streams, err error) {
	st := &streams{}
	defer func() {
		if err != nil {
			st.close()
		}
	}()
	if st.output, err = memfile("output", nil); err != nil {
		return nil, err
	}
	if i := s.World.Interruption; i.Moment == fuzz.MomentWrite && s.World.TypesSignal() {
		st.typed = i.Signal
	}
	if st.of[0], err = st.input(s); err != nil {
		return nil, fmt.Errorf("make standard input: %w", err)
	}
	for i, k := range []fuzz.OutputKind{s.World.Stdout, s.World.Stderr} {
		if k == fuzz.OutputInput && s.Stdin == fuzz.StdinFile {
			st.of[i+1], err = duplicate(st.of[0])
		} else {
			st.of[i+1], err = st.target(k)
		}
		if i == 0 && k == fuzz.OutputPipe && err == nil && s.World.Interruption.Moment == fuzz.MomentWrite {
			st.alarm, err = readAlarm(st.read[0], s.World.Interruption.Signal)
		}
		if err != nil {
			return nil, fmt.Errorf("make output %d: %w", i+1, err)
		}
	}
	return st, nil
}

// install makes the streams those of the program.
func (st *streams) install(target *spawn.Script) {
	for fd, f := range st.of {
		switch {
		case f != nil:
			target.Dup(int(f.Fd()), fd)
		case st.kept == nil:
			target.Try("close", unix.SYS_CLOSE, uintptr(fd))
		}
	}
	if st.here {
		target.Call("open the working directory", unix.SYS_OPENAT, ^uintptr(99), target.String("."), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	}
	if st.alarm != nil {
		target.Signal(st.alarm.fd, st.alarm.signal, st.alarm.flags)
	}
	if st.slave != nil {
		// The target leads a session, and this is its terminal: /dev/tty, job control,
		// and SIGHUP for all when the target has ended.
		target.Call("make the terminal the controlling one", unix.SYS_IOCTL, target.Descriptor(int(st.slave.Fd())), unix.TIOCSCTTY, 0)
	}
}

// finish returns what the target, which has ended, wrote, cut at 1 MiB.
func (st *streams) finish() []byte {
	st.release()
	st.readers.Wait()
	if st.kept != nil {
		return st.kept.finish()
	}
	return readAll(st.output)
}

// release closes all but the output. Readers come to the end of what was written when
// no target is left; should there be one, they wait for it no longer.
func (st *streams) release() {
	for i, f := range st.of {
		if f != nil && f != st.output && f != st.slave {
			f.Close()
		}
		st.of[i] = nil
	}
	if st.slave != nil {
		st.slave.Close()
		st.slave = nil
	}
	for _, f := range st.ours {
		f.Close()
	}
	st.ours = nil
	for _, f := range st.read {
		_ = f.SetReadDeadline(time.Now().Add(time.Second))
	}
	st.read = nil
}

func (st *streams) close() {
	st.release()
	st.readers.Wait()
	if st.output != nil && st.kept == nil {
		st.output.Close()
	}
}

// input makes standard input.
func (st *streams) input(s *fuzz.Scenario) (*os.File, error) {
	switch s.Stdin {
	case fuzz.StdinNull:
		// os.Open would ask whether it can be polled, with five calls.
		fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		return os.NewFile(uintptr(fd), os.DevNull), nil
	case fuzz.StdinFile:
		return memfile("input", s.Input)
	case fuzz.StdinPipe:
		if s.World.Interruption.Moment != fuzz.MomentRead || len(s.Input) < 2 {
			return filledPipe(s.Input)
		}
		r, w, err := interruptingPipe(s.Input)
		if err != nil {
			return nil, err
		}
		st.alarm = &alarm{int(w.Fd()), s.World.Interruption.Signal, unix.O_WRONLY}
		go deliver(w, s.Input)
		return r, nil
	case fuzz.StdinTerminal:
		return st.typeIn(s)
	case fuzz.StdinSocket:
		return filledSocket(s.Input)
	case fuzz.StdinDirectory:
		st.here = true // any directory of ours would lead out of the cage
		return nil, nil
	case fuzz.StdinClosed:
		return nil, nil
	}
	return nil, fmt.Errorf("unknown kind %d", s.Stdin)
}

// target makes an output.
func (st *streams) target(k fuzz.OutputKind) (*os.File, error) {
	switch k {
	case fuzz.OutputFile, fuzz.OutputInput:
		return st.output, nil
	case fuzz.OutputPipe:
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		_ = w.Fd() // blocking, as the target expects it
		st.follow(r, true)
		return w, nil
	case fuzz.OutputNull:
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	case fuzz.OutputTerminal:
		return st.terminal(true)
	case fuzz.OutputClosed:
		return nil, nil
	case fuzz.OutputFull:
		return os.OpenFile("/dev/full", os.O_WRONLY, 0)
	case fuzz.OutputBroken:
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		_ = w.Fd()
		return w, r.Close()
	case fuzz.OutputBusy:
		return st.fullPipe()
	}
	return nil, fmt.Errorf("unknown kind %d", k)
}

// follow takes what is written to the other end of r, and copies it to the output, as far
// as anybody reads that, or not.
func (st *streams) follow(r *os.File, output bool) {
	st.read = append(st.read, r)
	st.readers.Go(func() {
		defer r.Close()
		buf := make([]byte, 64<<10)
		for taken := 0; ; {
			n, err := r.Read(buf)
			if r == st.master && n > 0 && taken == 0 && st.typed != 0 {
				typeSignal(r, st.typed) // before more is read, so that who writes much has not ended
			}
			if taken += n; output && taken <= outputSize+len(buf) {
				st.mu.Lock()
				_, _ = st.output.Write(buf[:n]) // memory that is short makes the output short
				st.mu.Unlock()
			}
			if err != nil { // io.EOF of a pipe, EIO of a terminal
				return
			}
		}
	})
}

// typeSignal does what a key does that is one for a signal.
func typeSignal(master *os.File, signal unix.Signal) {
	c, err := master.SyscallConn()
	if err == nil {
		_ = c.Control(func(fd uintptr) { _ = unix.IoctlSetInt(int(fd), unix.TIOCSIG, int(signal)) })
	}
}

// fullPipe is a pipe of one page that takes nothing more and says so.
func (st *streams) fullPipe() (*os.File, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, err
	}
	st.ours = append(st.ours, os.NewFile(uintptr(p[0]), "full"))
	w := os.NewFile(uintptr(p[1]), "full")
	size, err := unix.FcntlInt(uintptr(p[1]), unix.F_SETPIPE_SZ, os.Getpagesize())
	for err == nil && size > 0 {
		var n int
		n, err = unix.Write(p[1], make([]byte, size))
		size -= n
	}
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("fill a pipe: %w", err)
	}
	return w, nil
}

// terminal is the terminal of the run. What is written to it counts as output where an
// output is one; where only the input is, it is the echo of what was typed.
func (st *streams) terminal(output bool) (*os.File, error) {
	if st.slave == nil {
		master, slave, err := openTerminal()
		if err != nil {
			return nil, err
		}
		st.slave, st.master = slave, master
		st.follow(master, output)
	}
	return st.slave, nil
}

// forTalks is the terminal for a conversation, nil where the run has none.
func (st *streams) forTalks() *service.Terminal {
	if st.slave == nil {
		return nil
	}
	return &service.Terminal{Keyboard: st.master, Program: st.slave}
}

// typeIn makes a terminal at which some input was typed.
func (st *streams) typeIn(s *fuzz.Scenario) (*os.File, error) {
	slave, err := st.terminal(s.World.Stdout == fuzz.OutputTerminal || s.World.Stderr == fuzz.OutputTerminal)
	if err != nil {
		return nil, err
	}
	if _, err := st.master.Write(typed(s)); err != nil {
		return nil, fmt.Errorf("type at a terminal: %w", err)
	}
	return slave, nil
}

// typed is what is typed before anything is waited for: control characters would be signals, or the end. What acts
// type comes after it.
func typed(s *fuzz.Scenario) []byte {
	const endOfFile = 4 // ^D
	out := make([]byte, 0, fuzz.TypedSize+2)
	for _, c := range s.Input {
		if (c >= ' ' || c == '\n' || c == '\t') && c != 0x7f && len(out) < fuzz.TypedSize {
			out = append(out, c)
		}
	}
	if s.Types() {
		return out
	}
	if len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, endOfFile) // it ends the line only
	}
	return append(out, endOfFile)
}

// openTerminal makes a pair of 80 columns and 24 lines. Needs Linux 4.13 for TIOCGPTPEER.
func openTerminal() (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open /dev/ptmx: %w", err)
	}
	master = os.NewFile(uintptr(fd), "terminal")
	peer, err := func() (uintptr, error) {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return 0, err
		}
		if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
			return 0, err
		}
		peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
		if errno != 0 {
			return 0, errno
		}
		return peer, nil
	}()
	if err != nil {
		master.Close()
		return nil, nil, fmt.Errorf("make a terminal: %w", err)
	}
	return master, os.NewFile(peer, "terminal"), nil
}

// canHaveTerminals tries it out, on the thread that is to make them.
func canHaveTerminals() bool {
	master, slave, err := openTerminal()
	if err != nil {
		return false
	}
	master.Close()
	slave.Close()
	return true
}

func memfile(name string, data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if len(data) == 0 {
		return f, nil
	}
	if _, err := f.Write(data); err != nil {
		f.Close()
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// duplicate is another descriptor of the same open file.
func duplicate(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicate a descriptor: %w", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// filledPipe is the read end of a pipe that delivers data and then ends. What
// does not fit into the pipe is written meanwhile, until the read end is closed.
func filledPipe(data []byte) (*os.File, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	const capacity = 64 << 10 // pipe(7)
	return filled(p[0], p[1], data, capacity)
}

// filledSocket is a connected socket that does the same. What is written to it is lost.
func filledSocket(data []byte) (*os.File, error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket: %w", err)
	}
	const capacity = 32 << 10 // far less than net.core.wmem_default
	return filled(p[0], p[1], data, capacity)
}

func filled(read, write int, data []byte, capacity int) (*os.File, error) {
	r := os.NewFile(uintptr(read), "stdin")
	if err := unix.SetNonblock(write, true); err != nil {
		unix.Close(write)
		r.Close()
		return nil, fmt.Errorf("fill standard input: %w", err)
	}
	w := os.NewFile(uintptr(write), "stdin")
	if len(data) <= capacity {
		_, err := w.Write(data)
		return r, errors.Join(err, w.Close())
	}
	go func() {
		defer w.Close()
		_, _ = w.Write(data) // the target need not read it all
	}()
	return r, nil
}

// outputSize is how much of a target's output is kept.
const outputSize = 1 << 20

func readAll(f *os.File) []byte {
	b, _ := io.ReadAll(io.NewSectionReader(f, 0, outputSize))
	return b
}
