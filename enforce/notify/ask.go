package notify

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Terminal asks a person about calls, one after the other. What was said of all equal
// calls is remembered.
type Terminal struct {
	out io.Writer

	mu      sync.Mutex
	lines   chan string
	answers map[string]Answer
}

// NewTerminal asks on out and reads the answers from in, a line each. It reads in until
// its end: then every further call is refused.
func NewTerminal(in io.Reader, out io.Writer) *Terminal {
	t := &Terminal{out: out, lines: make(chan string), answers: map[string]Answer{}}
	go func() {
		defer close(t.lines)
		for s := bufio.NewScanner(in); s.Scan(); {
			t.lines <- s.Text()
		}
	}()
	return t
}

// Ask shows a call and waits for what the person says. A caller that is killed meanwhile
// is not asked about any longer than until the next answer.
func (t *Terminal) Ask(ctx context.Context, c *Call) Answer {
	refused := Answer{Kind: Errno, Errno: unix.EPERM, By: "a person"}
	t.mu.Lock()
	defer t.mu.Unlock()
	e := c.Event()
	call := e.Call()
	if a, known := t.answers[call]; known {
		return a
	}
	if !c.Valid() {
		return refused // for none to hear
	}
	for {
		fmt.Fprintf(t.out, "tjfuzz: %s, pid %d, wants %s\ntjfuzz: allow [y]es, [a]lways, [n]o, n[e]ver? ", printable(e.Comm), e.PID, call)
		var line string
		select {
		case <-ctx.Done():
			return refused
		case l, ok := <-t.lines:
			if !ok {
				fmt.Fprintln(t.out)
				return Answer{Kind: Errno, Errno: unix.EPERM, By: "nobody, who answers no more"}
			}
			line = l
		}
		allowed := Answer{Kind: Continue, By: "a person"}
		switch strings.ToLower(strings.TrimSpace(line)) {
		case "y", "yes":
			return allowed
		case "n", "no":
			return refused
		case "a", "always":
			t.answers[call] = allowed
			return allowed
		case "e", "never":
			t.answers[call] = refused
			return refused
		}
	}
}
