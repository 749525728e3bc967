package service

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
)

const unixTable = `Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 18520 /run/a socket
0000000000000000: 00000002 00000000 00010000 0001 01   185 @abstract
0000000000000000: 00000002 00000000 00010000 0005 01 18521 relative
0000000000000000: 00000002 00000000 00000000 0002 01 18522 /dev/log
0000000000000000: 00000003 00000000 00000000 0001 03 18523 /run/connected
0000000000000000: 00000003 00000000 00000000 0001 03 18524
0000000000000000: 00000003 00000000 00000000 0002 01   185
`

const udpTable = `   sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  10: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0000000000000000 0
  11: 0100007F:14E9 0100007F:0035 01 00000000:00000000 00:00000000 00000000     0        0 1 2 0000000000000000 0
  12: 00000000:9C40 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0000000000000000 0
  13: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0000000000000000 0
`

func TestTheTablesOfTheKernelAreRead(t *testing.T) {
	var got []string
	all := unixSockets([]byte(unixTable))
	for _, at := range udpAddresses([]byte(udpTable)) {
		all = append(all, inetSocket(fuzz.SocketUDP, unix.SOCK_DGRAM, at))
	}
	for _, s := range all {
		got = append(got, fmt.Sprint(s.name, " ", s.at))
	}
	want := "unix//run/a socket invalid AddrPort\nunix/@abstract invalid AddrPort\npacket/relative invalid AddrPort\ndgram//dev/log invalid AddrPort\n" +
		"udp/53 127.0.0.1:53\nudp/53 [::1]:53"
	if g := strings.Join(got, "\n"); g != want {
		t.Errorf("got\n%s\nwant\n%s", g, want)
	}
}

// The names in a table are the target's.
func FuzzTables(f *testing.F) {
	f.Add([]byte(unixTable))
	f.Add([]byte(udpTable))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, s := range unixSockets(text) {
			if s.path == "" || s.name.Name() != s.path {
				t.Errorf("%+v", s)
			}
		}
		for _, at := range udpAddresses(text) {
			if s := inetSocket(fuzz.SocketUDP, unix.SOCK_DGRAM, at); !s.at.IsValid() || s.at.Port() == 0 || s.name.Port() != int(s.at.Port()) {
				t.Errorf("%+v", s)
			}
		}
	})
}
