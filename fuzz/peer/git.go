package peer

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// The repository that is behind every URL at which git looks for one: one commit with a few files, or with
// many over HTTP/2. Up to 100 objects that come by HTTP git stores one by one, and more as the pack that they come in
// (fetch.unpackLimit, git-config(1)), which takes other calls. Formats: gitprotocol-pack(5), gitformat-pack(5), gitprotocol-http(5).

type object struct {
	kind uint8 // as in a pack
	name string
	data []byte
}

func (o object) id() string {
	return fmt.Sprintf("%x", sha1.Sum(fmt.Appendf(nil, "%s %d\x00%s", o.name, len(o.data), o.data)))
}

// The numbers of files.
const (
	fewFiles  = 1
	manyFiles = 120
)

// repository returns the objects of one with so many files, the commit first.
func repository(files int) []object {
	tree := object{2, "tree", nil}
	var blobs []object
	for i := range files {
		blob := object{3, "blob", fmt.Appendf(nil, "hello %d\n", i)}
		sum := sha1.Sum(fmt.Appendf(nil, "%s %d\x00%s", blob.name, len(blob.data), blob.data))
		tree.data = append(fmt.Appendf(tree.data, "100644 README%03d\x00", i), sum[:]...)
		blobs = append(blobs, blob)
	}
	const who = "Example <user@example.com> 1767225600 +0000"
	commit := object{1, "commit", fmt.Appendf(nil, "tree %s\nauthor %s\ncommitter %s\n\nfirst\n", tree.id(), who, who)}
	return append([]object{commit, tree}, blobs...)
}

// pack has these objects.
func pack(objects []object) []byte {
	var b bytes.Buffer
	b.WriteString("PACK")
	b.Write(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 2), uint32(len(objects))))
	for _, o := range objects {
		size := len(o.data)
		first := o.kind<<4 | byte(size&15)
		for size >>= 4; size > 0; size >>= 7 {
			b.WriteByte(first | 0x80)
			first = byte(size & 0x7f)
		}
		b.WriteByte(first)
		z := zlib.NewWriter(&b)
		_, _ = z.Write(o.data) // to memory
		_ = z.Close()
	}
	h := sha1.New()
	h.Write(b.Bytes())
	return h.Sum(b.Bytes())
}

// packet is a pkt-line.
func packet(format string, args ...any) string {
	text := fmt.Sprintf(format, args...)
	return fmt.Sprintf("%04x%s", len(text)+4, text)
}

const (
	flush   = "0000"
	branch  = "refs/heads/main"
	nothing = "0000000000000000000000000000000000000000"
)

// references are what a service advertises, in version 0 of the protocol, which all clients know.
func references(service string, objects []object) string {
	id := objects[0].id()
	if service == "git-receive-pack" {
		return packet("%s %s\x00report-status delete-refs ofs-delta\n", id, branch) + flush
	}
	return packet("%s HEAD\x00ofs-delta symref=HEAD:%s\n", id, branch) + packet("%s %s\n", id, branch) + flush
}

// received is what is said to a push of the commands that were sent.
func received(commands []byte) string {
	answer := packet("unpack ok\n")
	for rest := string(commands); len(rest) > 4 && rest[:4] != flush; {
		var n int
		if _, err := fmt.Sscanf(rest[:4], "%04x", &n); err != nil || n < 4 || n > len(rest) {
			break
		}
		command, _, _ := strings.Cut(rest[4:n], "\x00")
		if f := strings.Fields(command); len(f) == 3 {
			answer += packet("ok %s\n", f[2])
		}
		rest = rest[n:]
	}
	return answer + flush
}

// gitHTTP answers what git asks of web servers.
func gitHTTP(r *http.Request, sent []byte) (kind string, body []byte, ok bool) {
	service, objects := r.URL.Query().Get("service"), repository(fewFiles)
	if r.ProtoMajor > 1 { // as clients speak it where they can, with TLS
		objects = repository(manyFiles)
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/info/refs") && strings.HasPrefix(service, "git-"):
		return "application/x-" + service + "-advertisement", []byte(packet("# service=%s\n", service) + flush + references(service, objects)), true
	case strings.HasSuffix(r.URL.Path, "/git-upload-pack"):
		return "application/x-git-upload-pack-result", append([]byte(packet("NAK\n")), pack(objects)...), true
	case strings.HasSuffix(r.URL.Path, "/git-receive-pack"):
		return "application/x-git-receive-pack-result", []byte(received(sent)), true
	}
	return "", nil, false
}

// gitDaemon answers what git asks of its own daemon.
func (c *call) gitDaemon() error {
	line, err := readPacket(c.in)
	if err != nil {
		return err
	}
	service, _, _ := strings.Cut(line, " ")
	return c.git(service)
}

// git serves a repository over a connection, of whatever kind.
func (c *call) git(service string) error {
	objects := repository(fewFiles)
	if err := c.say([]byte(references(service, objects))); err != nil {
		return err
	}
	if service == "git-receive-pack" {
		var commands strings.Builder
		for {
			line, err := readPacket(c.in)
			if err != nil || line == "" && commands.Len() == 0 {
				return err
			}
			if line == "" {
				break
			}
			commands.WriteString(packet("%s", line))
		}
		// The pack follows; that it is over only its own content tells.
		if _, err := io.ReadAtLeast(c.in, make([]byte, 64<<10), 32); err != nil {
			return err
		}
		return c.say([]byte(received([]byte(commands.String()))))
	}
	for turn := 0; turn < maxTurns; turn++ {
		line, err := readPacket(c.in)
		switch {
		case err != nil:
			return err
		case line == "" && turn == 0: // it has seen enough
			return errOver
		case strings.HasPrefix(line, "done"):
			return c.say(append([]byte(packet("NAK\n")), pack(objects)...))
		}
	}
	return errOver
}

// readPacket reads a pkt-line; a flush packet is empty.
func readPacket(r io.Reader) (string, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return "", err
	}
	var n int
	if _, err := fmt.Sscanf(string(head[:]), "%04x", &n); err != nil {
		return "", err
	}
	if n <= 4 {
		return "", nil
	}
	b := make([]byte, n-4)
	_, err := io.ReadFull(r, b)
	return string(b), err
}
