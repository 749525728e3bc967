package mine

import (
	"maps"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

// remote is what usage lines and options call something on the network.
var remote = lazyregexp.New(`(?i)\b(url|uri|host|hostname|server|domain|destination|repo|repository)\b`)

// What programs that call somebody can be told to call: by URL, and by name. The names
// are reserved (RFC 2606).
var (
	urls = []string{
		"http://www.example.com/", "https://www.example.com/file.html", "ftp://ftp.example.com/file", "http://user:password@host.example.com:8080/dir/?query=1",
		"https://host.example.com/repo.git", "git://host.example.com/repo.git", "ssh://user@host.example.com/repo.git", "smtp://mail.example.com/", "imap://user:password@mail.example.com/INBOX",
		"http://[2001:db8::1]/", "dict://host.example.com/show:db", "telnet://host.example.com/",
	}
	hosts = []string{
		"host.example.com", "user@host.example.com", "192.0.2.1", "host.example.com:8080", "www.example.com", "@ns.example.com", "2001:db8::1", "user@host.example.com:file",
	}
)

// Callees are command lines, without the program, for one that calls somebody over the network, by
// what its help says that it takes. The first few are the most usual. There are none for others.
func Callees(help []byte, t *mutate.Table) [][]string {
	usage, _, _ := strings.Cut(string(help), "\n\n")
	calls := remote.MatchString(usage)
	kinds := usage
	look := func(options []mutate.Option) {
		for _, o := range options {
			if remote.MatchString(o.Kind) {
				calls = true
				kinds += " " + o.Kind
			}
		}
	}
	look(t.Options)
	for _, command := range slices.Sorted(maps.Keys(t.Sub)) {
		look(t.Sub[command])
	}
	if !calls {
		return nil
	}
	lower := strings.ToLower(kinds)
	first, then := hosts, urls
	if strings.Contains(lower, "url") || strings.Contains(lower, "uri") {
		first, then = urls, hosts
	}
	var out [][]string
	for _, w := range slices.Concat(first[:3], then[:1], first[3:], then[1:]) {
		out = append(out, []string{w})
	}
	for _, c := range t.Commands {
		out = append(out, append(strings.Fields(c), "https://host.example.com/repo.git"))
	}
	return out
}
