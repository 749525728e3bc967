package peer

import (
	"errors"
	"net"
	"time"

	"github.com/tjfuzz/tjfuzz/fuzz"
)

// A slow answer comes in so many pieces, with a pause before each.
const (
	pieces = 8
	pause  = 5 * time.Millisecond
)

// say says one answer as peers do. An error ends the conversation.
func (c *call) say(b []byte) error {
	switch c.how.Conduct {
	case fuzz.ConductReset:
		if t, ok := raw(c.conn).(*net.TCPConn); ok {
			_ = t.SetLinger(0)
			t.Close()
		}
		return errOver
	case fuzz.ConductSilent:
		<-c.ctx.Done()
		return errOver
	case fuzz.ConductCut:
		_, _ = c.conn.Write(b[:len(b)/2])
		return errOver
	case fuzz.ConductGarbage:
		_, _ = c.conn.Write(garbage(len(b) + 64))
		c.drain()
		return errOver
	case fuzz.ConductVerbatim:
		_, _ = c.conn.Write(c.input)
		c.drain()
		return errOver
	case fuzz.ConductSlow:
		for size := (len(b) + pieces - 1) / pieces; len(b) > 0; b = b[min(size, len(b)):] {
			select {
			case <-c.ctx.Done():
				return errOver
			case <-time.After(pause):
			}
			if _, err := c.conn.Write(b[:min(size, len(b))]); err != nil {
				return err
			}
		}
		return nil
	}
	_, err := c.conn.Write(b)
	return errors.Join(err, c.ctx.Err())
}

// raw is the connection below TLS.
func raw(c net.Conn) net.Conn {
	for {
		t, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		c = t.NetConn()
	}
	if b, ok := c.(*buffered); ok {
		return b.Conn
	}
	return c
}

// garbage is a number of bytes without meaning, the same each time (Numerical Recipes' ranqd1).
func garbage(n int) []byte {
	b, x := make([]byte, n), uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}
