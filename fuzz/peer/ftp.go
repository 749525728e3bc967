package peer

import (
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/tjfuzz/tjfuzz/fuzz"
)

// ftpDataPort is where data connections are made to.
const ftpDataPort = 20021

// transfer is what is to be done with a data connection.
type transfer struct {
	send []byte // nil: receive
	done chan error
}

// ftp is a file server (RFC 959), whose data connections the client makes.
func (c *call) ftp() error {
	if err := c.say([]byte(c.choose("220 ready\r\n", "220-hello\r\n220 ready\r\n", "220 ready\r\n", "421 too many users\r\n"))); err != nil {
		return err
	}
	return c.lines(func(verb, rest string) (string, bool, error) {
		switch strings.ToUpper(verb) {
		case "USER":
			return "331 password?\r\n", false, nil
		case "PASS":
			return c.choose("230 welcome\r\n", "530 no\r\n", "230 welcome\r\n", "230 welcome\r\n"), false, nil
		case "AUTH":
			return "", true, c.upgrade("234 go on\r\n")
		case "FEAT":
			return "211-\r\n SIZE\r\n MDTM\r\n EPSV\r\n REST STREAM\r\n UTF8\r\n211 end\r\n", false, nil
		case "SYST":
			return "215 UNIX Type: L8\r\n", false, nil
		case "PWD":
			return "257 \"/\"\r\n", false, nil
		case "CWD", "CDUP", "DELE", "RMD", "RNTO":
			return c.choose("250 ok\r\n", "250 ok\r\n", "550 no such directory\r\n", "450 later\r\n"), false, nil
		case "MKD":
			return "257 \"/made\"\r\n", false, nil
		case "RNFR", "REST":
			return "350 go on\r\n", false, nil
		case "SIZE":
			return c.choose(fmt.Sprintf("213 %d\r\n", len(c.body())), "530 log in\r\n", "550 no such file\r\n", "450 later\r\n"), false, nil
		case "MDTM":
			return "213 20260101000000\r\n", false, nil
		case "EPSV":
			return fmt.Sprintf("229 (|||%d|)\r\n", ftpDataPort), false, nil
		case "PASV":
			host, _, _ := net.SplitHostPort(c.conn.LocalAddr().String())
			ip := net.ParseIP(host).To4()
			if ip == nil {
				return "425 IPv4 only\r\n", false, nil
			}
			return fmt.Sprintf("227 (%d,%d,%d,%d,%d,%d)\r\n", ip[0], ip[1], ip[2], ip[3], ftpDataPort>>8, ftpDataPort&0xff), false, nil
		case "EPRT", "PORT":
			return "502 passive only\r\n", false, nil
		case "LIST", "NLST", "MLSD":
			return "", false, c.transfer([]byte("-rw-r--r-- 1 user user 6 Jan 01 2026 file\r\ndrwxr-xr-x 2 user user 4096 Jan 01 2026 dir\r\n"))
		case "RETR":
			return "", false, c.transfer(c.body())
		case "STOR", "APPE", "STOU":
			return "", false, c.transfer(nil)
		case "QUIT":
			return "221 bye\r\n", true, nil
		}
		return "200 ok\r\n", false, nil
	})
}

// transfer does something with the client's data connection.
func (c *call) transfer(send []byte) error {
	if no := c.choose("", "530 log in first\r\n", "550 no such file\r\n", "451 failed\r\n"); no != "" {
		return c.say([]byte(no))
	}
	if c.how.Reply == fuzz.ReplyEmpty && send != nil {
		send = []byte{}
	}
	if err := c.say([]byte("150 here it comes\r\n")); err != nil {
		return err
	}
	t := transfer{send, make(chan error, 1)}
	select {
	case c.transfers <- t:
	case <-c.ctx.Done():
		return errOver
	}
	select {
	case <-t.done:
	case <-c.ctx.Done():
		return errOver
	}
	return c.say([]byte("226 done\r\n"))
}

// ftpData is a data connection.
func (c *call) ftpData() error {
	var t transfer
	select {
	case t = <-c.transfers:
	case <-c.ctx.Done():
		return errOver
	}
	var err error
	if t.send != nil {
		err = c.say(t.send)
		c.conn.Close()
	} else {
		_, err = io.Copy(io.Discard, io.LimitReader(c.in, maxBody))
	}
	t.done <- err
	return err
}
