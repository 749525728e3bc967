package corpora

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
)

func TestEachProtocolHasDialogues(t *testing.T) {
	unknown := Dialogues("")
	const most = 256 << 10 // bytes of all dialogues of a protocol
	for _, p := range append(Protocols(), "") {
		all := Dialogues(p)
		if p != "" && len(all) == len(unknown) && all[0].Name == unknown[0].Name {
			t.Errorf("%s has no dialogues of its own", p)
		}
		names, size := map[string]bool{}, 0
		for _, d := range all {
			if names[d.Name] || d.Name == "" || len(d.Messages) == 0 {
				t.Errorf("%s: %q comes twice, or has no name or no messages", p, d.Name)
			}
			names[d.Name] = true
			for _, m := range d.Messages {
				if size += len(m); len(m) == 0 {
					t.Errorf("%s: %s has an empty message", p, d.Name)
				}
			}
		}
		if size > 2*most {
			t.Errorf("%s: %d bytes", p, size)
		}
	}
}

func TestAServiceIsKnownByWhatItSays(t *testing.T) {
	for _, tt := range []struct {
		port           int
		banner, answer string
		want           string
	}{
		{22, "SSH-2.0-OpenSSH_9.2\r\n", "", "ssh"},
		{2222, "SSH-2.0-dropbear\r\n", "", "ssh"},
		{21, "220 ProFTPD Server (Debian)\r\n", "", "ftp"},
		{25, "220 host ESMTP Postfix\r\n", "", "smtp"},
		{9000, "", "HTTP/1.0 200 OK\r\n", "http"},
		{9000, "", "<html><body>Bad Request", "http"},
		{7777, "", "-ERR wrong number of arguments for 'get' command\r\n", "redis"},
		{11211, "", "ERROR\r\n", "memcached"},
		{5353, "", "\x12\x34\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00\x09", "dns"},
		{5353, "", "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x09", ""}, // an echo of the question
		{8730, "@RSYNCD: 31.0 sha512 md5\n", "", "rsync"},
		{1119, "200 news.example.org InterNetNews NNRP server (NNTP)\r\n", "", "nntp"},
		{7000, "", ":irc.example.net 451 * :Connection not registered\r\n", "irc"},
		{443, "", "", "http"},
		{53, "", "", "dns"},
		{9999, "", "", ""},
		{0, "", "", ""},
	} {
		if got := Protocol(tt.port, []byte(tt.banner), []byte(tt.answer)); got != tt.want {
			t.Errorf("port %d, %q, %q: got %q, want %q", tt.port, tt.banner, tt.answer, got, tt.want)
		}
	}
}

// A service waits for the rest of a message that is longer by its own account, and takes what follows a shorter one for another.
func TestMessagesAreAsLongAsTheySay(t *testing.T) {
	for _, tt := range []struct {
		protocol string
		size     func([]byte) (int, error)
	}{{"ldap", sizeBER}, {"snmp", sizeBER}, {"mqtt", sizeMQTT}, {"mysql", sizeMySQL}, {"postgres", sizePostgres}} {
		for _, d := range Dialogues(tt.protocol) {
			for i, m := range d.Messages {
				if n, err := tt.size(m); err != nil || n != len(m) {
					t.Errorf("%s: %s, message %d says that it has %d bytes, %v; it has %d", tt.protocol, d.Name, i+1, n, err, len(m))
				}
			}
		}
	}
}

// A service of lines that end in either takes the second one for an empty line, which ends the arguments of rsync.
func TestLinesOfRsyncEndOnce(t *testing.T) {
	for _, d := range Dialogues("rsync") {
		for _, m := range d.Messages {
			if bytes.ContainsRune(m, '\r') {
				t.Errorf("%s says %q", d.Name, m)
			}
		}
	}
}

// A second one on the same connection is an error (MQTT 3.1.1, 3.1).
func TestAClientOfMQTTConnectsOnce(t *testing.T) {
	const connect = 0x10
	for _, d := range Dialogues("mqtt") {
		for i, m := range d.Messages {
			if first := i == 0; (m[0] == connect) != first {
				t.Errorf("%s: message %d is %x", d.Name, i+1, m)
			}
		}
	}
}

// sizeBER is the length of an element with a tag and a length of one byte, of which those that are made of others are as long as these.
func sizeBER(m []byte) (int, error) {
	const constructed = 0x20
	if len(m) < 2 || 2+int(m[1]) > len(m) {
		return 0, fmt.Errorf("%x is cut off", m)
	}
	n := 2 + int(m[1])
	if m[0]&constructed != 0 {
		for in := m[2:n]; len(in) > 0; {
			k, err := sizeBER(in)
			if err != nil {
				return 0, err
			}
			in = in[k:]
		}
	}
	return n, nil
}

func sizeMQTT(m []byte) (int, error) {
	if len(m) < 2 {
		return 0, fmt.Errorf("%x is cut off", m)
	}
	return 2 + int(m[1]), nil
}

// sizeMySQL is the length of a packet, which is before the number of the packet.
func sizeMySQL(m []byte) (int, error) {
	if len(m) < 4 {
		return 0, fmt.Errorf("%x is cut off", m)
	}
	return 4 + int(binary.LittleEndian.Uint32(m)&0xffffff), nil
}

// sizePostgres is the length of a message, which has itself in it; but for the first ones there is a letter before it.
func sizePostgres(m []byte) (int, error) {
	typed := 0
	if len(m) > 0 && m[0] != 0 {
		typed = 1
	}
	if len(m) < typed+4 {
		return 0, fmt.Errorf("%x is cut off", m)
	}
	return typed + int(binary.BigEndian.Uint32(m[typed:])), nil
}
