// Package external decides how a mutator that is a program of the user is run and
// talked to: docs/mutators.md has the protocol. It knows nothing of what is fuzzed.
// Its main hazard is a program that does not answer: every exchange has a time limit,
// and none outlives the session.
package external

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrMutator is in every error that is the mutator's doing.
var ErrMutator = errors.New("the external mutator failed")

// Version is of the protocol, and the value of Variable in the mutator's environment.
const (
	Version  = "1"
	Variable = "TJFUZZ_MUTATOR"
)

// DefaultTimeout is how long an answer may take when Options does not say.
const DefaultTimeout = 10 * time.Second

// Options says what to run. Command is required, and is given to /bin/sh.
type Options struct {
	Command string
	Timeout time.Duration // for one exchange; 0 means DefaultTimeout
}

// Mutator is a running program. It is used by one goroutine at a time.
type Mutator struct {
	timeout  time.Duration
	pid      int // and process group
	to, from *os.File
	said     tail // standard error
	ended    chan struct{}
	how      error // of the end; to be read after ended
	broken   error
	unwatch  func() bool
}

// Start runs the command. The program ends with Close, and with ctx: it and what it
// has started in its process group are killed then. The kernel kills the shell when
// this process dies in another way, and whoever else reads requests sees their end.
func Start(ctx context.Context, o Options) (*Mutator, error) {
	m := &Mutator{timeout: o.Timeout, ended: make(chan struct{})}
	if m.timeout <= 0 {
		m.timeout = DefaultTimeout
	}
	stdin, to, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start external mutator: %w", err)
	}
	from, stdout, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start external mutator: %w", err), stdin.Close(), to.Close())
	}
	m.to, m.from = to, from
	cmd := exec.Command("/bin/sh", "-c", o.Command)
	cmd.Env = append(os.Environ(), Variable+"="+Version)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, &m.said
	cmd.WaitDelay = time.Second // a descendant may hold standard error open
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// The signal comes when the thread that started the program ends, so that
		// thread stays with it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		m.how = cmd.Wait()
		close(m.ended)
	}()
	err = <-started
	// The program has its own copies.
	_ = stdin.Close()
	_ = stdout.Close()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start external mutator: %w", err), to.Close(), from.Close())
	}
	m.pid = cmd.Process.Pid
	m.unwatch = context.AfterFunc(ctx, m.kill)
	return m, nil
}

// kill ends the process group, which may be gone.
func (m *Mutator) kill() { _ = syscall.Kill(-m.pid, syscall.SIGKILL) }

// Mutate sends a request and returns the answer. Once it has failed it fails for ever.
func (m *Mutator) Mutate(r *rand.Rand, data, other []byte, limit int) ([]byte, error) {
	if m.broken != nil {
		return nil, m.broken
	}
	answer, err := m.exchange(request(r.Uint64(), data, other, limit), limit)
	if err != nil {
		m.broken = m.explain(err)
		return nil, m.broken
	}
	return answer, nil
}

// request is a message to the mutator.
func request(seed uint64, data, other []byte, limit int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, seed)
	b = binary.LittleEndian.AppendUint32(b, uint32(limit))
	b = append(binary.LittleEndian.AppendUint32(b, uint32(len(data))), data...)
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(other))), other...)
}

func (m *Mutator) exchange(request []byte, limit int) ([]byte, error) {
	deadline := time.Now().Add(m.timeout)
	if err := errors.Join(m.to.SetWriteDeadline(deadline), m.from.SetReadDeadline(deadline)); err != nil {
		return nil, err
	}
	if _, err := m.to.Write(request); err != nil {
		return nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(m.from, head[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if uint64(n) > uint64(limit) {
		return nil, fmt.Errorf("its answer has %d bytes, and %d were the limit", n, limit)
	}
	answer := make([]byte, n)
	_, err := io.ReadFull(m.from, answer)
	return answer, err
}

// explain ends the mutator and says what became of it.
func (m *Mutator) explain(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("no answer within %v", m.timeout)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.EPIPE):
		// It has ended, or closed its ends of the pipes and will not do more.
		select {
		case <-m.ended:
		case <-time.After(m.timeout):
			m.kill()
			<-m.ended
		}
		if err = errors.New("it ended"); m.how != nil {
			err = fmt.Errorf("it ended: %w", m.how)
		}
	}
	m.kill()
	<-m.ended
	if said := m.said.String(); said != "" {
		return fmt.Errorf("%w: %w; it said: %s", ErrMutator, err, said)
	}
	return fmt.Errorf("%w: %w", ErrMutator, err)
}

// Close lets the mutator end, which it should when its standard input does, and kills
// it if it has not within the time of an answer. It returns how the mutator ended if
// that was not well and no other call has said so.
func (m *Mutator) Close() error {
	err := m.to.Close()
	select {
	case <-m.ended:
	case <-time.After(m.timeout):
		if m.broken == nil {
			m.broken = fmt.Errorf("%w: it did not end within %v of its standard input", ErrMutator, m.timeout)
			err = errors.Join(err, m.broken)
		}
	}
	live := m.unwatch() // false: ctx has ended, and has ended the mutator
	m.kill()
	<-m.ended
	if live && m.broken == nil && m.how != nil {
		err = errors.Join(err, m.explain(fmt.Errorf("it ended: %w", m.how)))
	}
	return errors.Join(err, m.from.Close())
}

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const maxTail = 1 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-maxTail):]
	return len(p), nil
}

// String is the last line that is not empty, which mostly says what is wrong.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := bytes.Split(bytes.TrimSpace(t.b), []byte("\n"))
	return strings.ToValidUTF8(string(lines[len(lines)-1]), "?")
}
