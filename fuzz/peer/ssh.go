package peer

import (
	"bufio"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/tjfuzz/tjfuzz/fuzz"
)

// sshKey makes a host key for all servers.
func sshKey() (ssh.Signer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a host key: %w", err)
	}
	return ssh.NewSignerFromSigner(key)
}

// KnownHosts is a file, as sshd(8) describes it, by which clients know all servers.
func (a *Authority) KnownHosts() []byte {
	return append([]byte("* "), ssh.MarshalAuthorizedKey(a.host.PublicKey())...)
}

// ssh lets everybody in; with a login only who has a password.
func (c *call) ssh() error {
	switch c.how.Conduct {
	case fuzz.ConductProper, fuzz.ConductLarge, fuzz.ConductSlow:
	default: // what is not said properly is the greeting
		if err := c.say([]byte("SSH-2.0-OpenSSH_9.2p1\r\n")); err != nil {
			return err
		}
		return c.echo()
	}
	key := c.auth.host
	if c.how.Trust != fuzz.TrustGood {
		other, err := stranger()
		if err != nil {
			return err
		}
		key = other.host
	}
	config := &ssh.ServerConfig{
		NoClientAuth:  c.how.Reply != fuzz.ReplyLogin && c.how.Reply != fuzz.ReplyMissing,
		ServerVersion: "SSH-2.0-OpenSSH_9.2p1",
		PasswordCallback: func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) {
			if c.how.Reply == fuzz.ReplyMissing {
				return nil, errors.New("no such user")
			}
			return nil, nil
		},
		PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil },
	}
	config.AddHostKey(key)
	conn, channels, requests, err := ssh.NewServerConn(&buffered{c.conn, c.in}, config)
	if err != nil {
		return err
	}
	defer conn.Close()
	go ssh.DiscardRequests(requests)
	for asked := range channels {
		channel, requests, err := asked.Accept()
		if err != nil {
			return err
		}
		c.sshChannel(asked, channel, requests)
	}
	return errOver
}

// sshChannel serves one channel: a command or a shell, each of which says what it is told, git,
// or a connection that is forwarded.
func (c *call) sshChannel(asked ssh.NewChannel, channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	if asked.ChannelType() != "session" {
		go ssh.DiscardRequests(requests)
		_, _ = io.Copy(channel, io.LimitReader(channel, maxBody))
		return
	}
	for r := range requests {
		var command string
		if n := len(r.Payload); r.Type == "exec" && n >= 4 {
			command = string(r.Payload[4:min(n, 4+int(binary.BigEndian.Uint32(r.Payload)))])
		}
		if r.WantReply {
			_ = r.Reply(r.Type != "subsystem", nil)
		}
		if r.Type != "exec" && r.Type != "shell" {
			continue
		}
		go ssh.DiscardRequests(requests)
		status := uint32(0)
		switch service, _, _ := strings.Cut(command, " "); {
		case c.how.Reply == fuzz.ReplyFailing:
			_, _ = io.WriteString(channel.Stderr(), "failed\n")
			status = 1
		case strings.HasPrefix(service, "git-"):
			inside := &call{Peer: c.Peer, ctx: c.ctx, conn: &sshStream{c.conn, channel}, in: bufio.NewReader(channel), port: c.port}
			_ = inside.git(service)
		case command != "":
			_, _ = channel.Write(c.body())
		default:
			_, _ = io.Copy(channel, io.LimitReader(channel, maxBody))
		}
		_, _ = channel.SendRequest("exit-status", false, binary.BigEndian.AppendUint32(nil, status))
		return
	}
}

// sshStream is a channel of a connection.
type sshStream struct {
	net.Conn
	channel ssh.Channel
}

func (s *sshStream) Read(b []byte) (int, error)  { return s.channel.Read(b) }
func (s *sshStream) Write(b []byte) (int, error) { return s.channel.Write(b) }
