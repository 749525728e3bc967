package peer

import (
	"fmt"
	"strings"

	"github.com/tjfuzz/tjfuzz/fuzz"
)

// choose picks what a server says in a protocol of lines by what the scenario has it reply.
func (c *call) choose(done, login, missing, failing string) string {
	switch c.how.Reply {
	case fuzz.ReplyLogin:
		return login
	case fuzz.ReplyMissing:
		return missing
	case fuzz.ReplyFailing:
		return failing
	}
	return done
}

// smtp is a mail server (RFC 5321).
func (c *call) smtp() error {
	if err := c.say([]byte(c.choose("220 mail.example.com ESMTP\r\n", "220-mail.example.com\r\n220 ESMTP\r\n", "220 mail.example.com ESMTP\r\n", "421 mail.example.com too busy\r\n"))); err != nil {
		return err
	}
	data, asked := false, 0
	return c.lines(func(verb, rest string) (string, bool, error) {
		if data {
			if verb == "." {
				data = false
				return c.choose("250 queued\r\n", "250 queued\r\n", "554 no\r\n", "451 later\r\n"), false, nil
			}
			return "", false, nil
		}
		if asked > 0 { // a name or a password comes
			if asked--; asked > 0 {
				return "334 UGFzc3dvcmQ6\r\n", false, nil
			}
			return "235 welcome\r\n", false, nil
		}
		switch strings.ToUpper(verb) {
		case "EHLO":
			start := "250-STARTTLS\r\n"
			if c.tls {
				start = ""
			}
			return "250-mail.example.com\r\n250-SIZE 10000000\r\n250-PIPELINING\r\n" + start + "250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n", false, nil
		case "STARTTLS":
			return "", true, c.upgrade("220 go ahead\r\n")
		case "AUTH":
			switch {
			case strings.EqualFold(rest, "LOGIN"):
				asked = 2
				return "334 VXNlcm5hbWU6\r\n", false, nil
			case strings.EqualFold(rest, "PLAIN"):
				asked = 1
				return "334 \r\n", false, nil
			}
			return c.choose("235 welcome\r\n", "535 no\r\n", "535 no\r\n", "454 later\r\n"), false, nil
		case "RCPT":
			return c.choose("250 ok\r\n", "530 log in first\r\n", "550 no such user\r\n", "451 later\r\n"), false, nil
		case "DATA":
			data = true
			return "354 go on\r\n", false, nil
		case "VRFY", "EXPN":
			return "252 user@example.com\r\n", false, nil
		case "QUIT":
			return "221 bye\r\n", true, nil
		}
		return "250 ok\r\n", false, nil
	})
}

// upgrade says yes, and goes on in TLS.
func (c *call) upgrade(yes string) error {
	if err := c.say([]byte(yes)); err != nil {
		return err
	}
	if c.how.Trust == fuzz.TrustNone {
		return c.echo()
	}
	c.note("tls")
	return c.startTLS()
}

const message = "From: a@example.com\r\nTo: b@example.com\r\nSubject: one\r\n\r\nhello\r\n"

// pop3 is a mailbox (RFC 1939).
func (c *call) pop3() error {
	if err := c.say([]byte("+OK ready\r\n")); err != nil {
		return err
	}
	return c.lines(func(verb, rest string) (string, bool, error) {
		switch strings.ToUpper(verb) {
		case "STLS":
			return "", true, c.upgrade("+OK\r\n")
		case "CAPA":
			return "+OK\r\nUSER\r\nUIDL\r\nTOP\r\nSTLS\r\nSASL PLAIN\r\n.\r\n", false, nil
		case "AUTH":
			if strings.EqualFold(rest, "PLAIN") {
				return "+ \r\n", false, nil
			}
		case "STAT":
			return fmt.Sprintf("+OK 1 %d\r\n", len(message)), false, nil
		case "LIST", "UIDL":
			return c.choose("+OK\r\n1 100\r\n.\r\n", "-ERR log in first\r\n", "-ERR no\r\n", "-ERR failed\r\n"), false, nil
		case "RETR", "TOP":
			return c.choose("+OK\r\n"+message+".\r\n", "-ERR log in first\r\n", "-ERR no such message\r\n", "-ERR failed\r\n"), false, nil
		case "QUIT":
			return "+OK bye\r\n", true, nil
		}
		return "+OK\r\n", false, nil
	})
}

// imap is a mailbox, too (RFC 3501).
func (c *call) imap() error {
	if err := c.say([]byte("* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n")); err != nil {
		return err
	}
	return c.lines(func(tag, rest string) (string, bool, error) {
		verb, _, _ := strings.Cut(rest, " ")
		done := tag + " OK done\r\n"
		switch strings.ToUpper(verb) {
		case "":
			return tag + " OK\r\n", false, nil
		case "STARTTLS":
			return "", true, c.upgrade(done)
		case "CAPABILITY":
			return "* CAPABILITY IMAP4rev1 STARTTLS\r\n" + done, false, nil
		case "LIST", "LSUB":
			return "* LIST (\\HasNoChildren) \"/\" INBOX\r\n" + done, false, nil
		case "SELECT", "EXAMINE":
			return "* 1 EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY 1]\r\n" + done, false, nil
		case "SEARCH":
			return "* SEARCH 1\r\n" + done, false, nil
		case "FETCH", "UID":
			return c.choose(fmt.Sprintf("* 1 FETCH (BODY[] {%d}\r\n%s)\r\n", len(message), message)+done,
				tag+" NO log in first\r\n", tag+" NO no such message\r\n", tag+" BAD failed\r\n"), false, nil
		case "LOGOUT":
			return "* BYE\r\n" + done, true, nil
		}
		return done, false, nil
	})
}

// telnet asks who is there, and then says what it hears (RFC 854).
func (c *call) telnet() error {
	if err := c.say([]byte("\xff\xfd\x18\xff\xfb\x01login: ")); err != nil { // DO TERMINAL-TYPE, WILL ECHO
		return err
	}
	return c.echo()
}
