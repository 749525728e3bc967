package service

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
)

// maxSurveyed bounds how many sockets are asked what they speak.
const maxSurveyed = 16

// survey finds out where the service can be talked to, and asks each of the first sockets: who
// speaks first is listened to, others are asked whether they speak TLS, and then a question.
func (t *talker) survey() error {
	all, err := t.sockets()
	if err != nil {
		return err
	}
	for i, s := range all {
		f := Found{Socket: s.name}
		if i < maxSurveyed {
			if err := t.question(&f, s.kind); err != nil {
				return err
			}
		}
		t.found = append(t.found, f)
	}
	return nil
}

func (t *talker) question(f *Found, kind int) error {
	hear := func(to fuzz.Socket, say string) ([]byte, bool, error) {
		p, err := t.connect(to)
		if err != nil || p == nil {
			return nil, false, err
		}
		t.clients[1] = p
		defer func() {
			p.close(false)
			clear(t.clients)
		}()
		if say != "" {
			if err := t.send(p, []byte(say), 1, true); err != nil {
				return nil, true, err
			}
		}
		err = t.settle()
		return slices.Clone(p.heard), true, err
	}
	var err error
	if kind == unix.SOCK_DGRAM {
		f.Answer, _, err = hear(f.Socket, dnsQuestion)
		return err
	}
	if f.Banner, _, err = hear(f.Socket, ""); err != nil || len(f.Banner) > 0 {
		return err
	}
	if f.Socket.Kind() == fuzz.SocketTCP {
		secure := fuzz.Socket(fuzz.SocketTLS + "/" + f.Socket.Name())
		_, ok, err := hear(secure, "")
		if err != nil {
			return err
		}
		if ok {
			f.Socket = secure
		}
	}
	f.Answer, _, err = hear(f.Socket, "GET / HTTP/1.0\r\n\r\n")
	return err
}

// dnsQuestion asks for the address of localhost (RFC 1035).
const dnsQuestion = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x09localhost\x00\x00\x01\x00\x01"
