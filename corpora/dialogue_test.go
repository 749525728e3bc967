package corpora

import "testing"

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
