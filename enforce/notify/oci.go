package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Container is what a container runtime tells an agent together with the descriptor:
// the container process state of the OCI runtime specification (config-linux.md).
type Container struct {
	Version  string   `json:"ociVersion"`
	FDs      []string `json:"fds"`
	PID      int      `json:"pid"`
	Metadata string   `json:"metadata,omitempty"`
	State    State    `json:"state"`
}

// State is the state of the container.
type State struct {
	Version     string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Status      string            `json:"status"`
	PID         int               `json:"pid,omitempty"`
	Bundle      string            `json:"bundle"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// fdName is the name of the descriptor of a filter.
const fdName = "seccompFd"

// maxState bounds what is read of a connection; runtimes write some hundred bytes.
const maxState = 1 << 20

// Listen opens the socket that runtimes connect to, as the listenerPath of a profile
// names it. What is at path is replaced if it is a socket that nobody listens on.
func Listen(path string) (*net.UnixListener, error) {
	addr := &net.UnixAddr{Name: path, Net: "unix"}
	l, err := net.ListenUnix("unix", addr)
	if errors.Is(err, unix.EADDRINUSE) {
		if st, e := os.Lstat(path); e == nil && st.Mode()&os.ModeSocket != 0 {
			if c, e := net.DialUnix("unix", nil, addr); e == nil {
				c.Close()
				return nil, fmt.Errorf("listen on %s: another agent does", path)
			}
			if e := os.Remove(path); e == nil {
				l, err = net.ListenUnix("unix", addr)
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

// Accept serves runtimes until ctx is done: serve is called for each container, beside
// others, and owns the descriptor. failed is told of a connection that says no such thing.
func Accept(ctx context.Context, l *net.UnixListener, serve func(Container, int), failed func(error)) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		c, err := l.AcceptUnix()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept a runtime: %w", err)
		}
		go func() {
			defer c.Close()
			state, fd, err := receive(c)
			if err != nil {
				failed(err)
				return
			}
			serve(state, fd)
		}()
	}
}

// receive reads one state, in however many pieces, and the descriptor that comes along.
func receive(c *net.UnixConn) (Container, int, error) {
	var (
		text  []byte
		fds   []int
		state Container
	)
	drop := func(err error) (Container, int, error) {
		for _, fd := range fds {
			unix.Close(fd)
		}
		return state, -1, fmt.Errorf("receive a container's state: %w", err)
	}
	buf, oob := make([]byte, 65536), make([]byte, unix.CmsgSpace(4*16))
	for {
		n, m, _, _, err := c.ReadMsgUnix(buf, oob)
		more, e := descriptors(oob[:m])
		fds = append(fds, more...)
		if e != nil {
			return drop(e)
		}
		text = append(text, buf[:n]...)
		if json.Unmarshal(text, &state) == nil {
			break
		}
		switch {
		case err != nil:
			return drop(fmt.Errorf("no complete JSON object came: %w", err))
		case n == 0:
			return drop(errors.New("no complete JSON object came"))
		case len(text) > maxState:
			return drop(fmt.Errorf("more than %d bytes", maxState))
		}
	}
	for i, name := range state.FDs {
		if name != fdName || i >= len(fds) {
			continue
		}
		fd := fds[i]
		for j, other := range fds {
			if j != i {
				unix.Close(other)
			}
		}
		return state, fd, nil
	}
	return drop(fmt.Errorf("no descriptor is named %s", fdName))
}

func descriptors(oob []byte) ([]int, error) {
	var all []int
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue // other than descriptors
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
		}
		all = append(all, fds...)
	}
	return all, nil
}

// Send gives a listener to the agent at path, as a container runtime does.
func Send(path string, state Container, fd int) error {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return fmt.Errorf("connect to the agent: %w", err)
	}
	defer c.Close()
	state.FDs = []string{fdName}
	text, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("tell the agent: %w", err)
	}
	if _, _, err := c.WriteMsgUnix(text, unix.UnixRights(fd), nil); err != nil {
		return fmt.Errorf("tell the agent: %w", err)
	}
	return nil
}
