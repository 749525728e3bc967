package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

// Ask shows a call and waits for what the person says. What was said of all equal calls is
// remembered. An interrupt refuses the call. A caller that is killed meanwhile is not asked about any
// longer than until the next answer.
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
	answer := refused
	question := fmt.Sprintf("tjfuzz: %s, pid %d, wants %s\ntjfuzz: allow [y]es, [a]lways, [n]o, n[e]ver? ", printable(e.Comm), e.PID, call)
	err := t.line(ctx, question, func(line string) bool {
		switch strings.ToLower(line) {
		case "y", "yes":
			answer = Answer{Kind: Continue, By: "a person"}
		case "n", "no":
		case "a", "always":
			answer = Answer{Kind: Continue, By: "a person"}
			t.answers[call] = answer
		case "e", "never":
			t.answers[call] = answer
		default:
			return false
		}
		return true
	})
	if errors.Is(err, io.EOF) {
		answer.By = "nobody, who answers no more"
	}
	return answer
}
