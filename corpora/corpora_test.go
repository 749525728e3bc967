package corpora

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"crypto/x509"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"encoding/asn1"
	"encoding/csv"
	"encoding/gob"
	"encoding/json"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"image"
	_ "image/gif"
	_ "image/jpeg"
	_ "image/png"
	"io"
	"maps"
	"net/http"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"golang.org/x/net/dns/dnsmessage"
	"gopkg.in/yaml.v3"
)

func TestPackIsTheSameEveryTime(t *testing.T) {
	a, b := Pack(), Pack()
	if len(a) != len(b) {
		t.Fatalf("got %d seeds, then %d", len(a), len(b))
	}
	for i := range a {
		if a[i].Name != b[i].Name || !bytes.Equal(a[i].Data, b[i].Data) {
			t.Errorf("seed %d: got %s, then %s, or other bytes", i, a[i].Name, b[i].Name)
		}
	}
}

func TestPackIsSmallSortedAndNamedWithoutDoubt(t *testing.T) {
	name := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)+$`)
	seen := map[string]bool{}
	total := 0
	var order, formats []string
	for _, s := range Pack() {
		if !name.MatchString(s.Name) || !strings.HasPrefix(s.Name, s.Format+"-") {
			t.Errorf("%q is no good name for a seed of %q", s.Name, s.Format)
		}
		if seen[s.Name] {
			t.Errorf("%s is there twice", s.Name)
		}
		seen[s.Name] = true
		if len(s.Data) >= maxPackSeed {
			t.Errorf("%s has %d bytes, want fewer than %d", s.Name, len(s.Data), maxPackSeed)
		}
		if s.Kind == KindUnknown {
			t.Errorf("%s does not say whether it is valid", s.Name)
		}
		total += len(s.Data)
		order = append(order, s.Format+" "+s.Name)
		formats = append(formats, s.Format)
	}
	if total >= maxPack {
		t.Errorf("the pack has %d bytes, want fewer than %d", total, maxPack)
	}
	if !slices.IsSorted(order) {
		t.Error("the pack is not sorted by format and name")
	}
	if got, want := Formats(), slices.Compact(formats); !slices.Equal(got, want) {
		t.Errorf("Formats: got %v, want those of the pack: %v", got, want)
	}
	if n := len(Formats()); n < 40 {
		t.Errorf("got %d formats, want at least 40", n)
	}
}

// decoders read a seed as strictly as the standard library does.
func decoders() map[string]func([]byte) error {
	return map[string]func([]byte) error{
		"json": func(b []byte) error {
			if !json.Valid(b) {
				return errors.New("not valid")
			}
			return nil
		},
		"ndjson": func(b []byte) error {
			for line := range bytes.Lines(b) {
				if !json.Valid(line) {
					return fmt.Errorf("not valid: %s", line)
				}
			}
			return nil
		},
		"jsonrpc": func(b []byte) error { return json.Unmarshal(b, new(any)) },
		"xml":     readXML, "xsd": readXML, "xslt": readXML, "svg": readXML, "plist": readXML,
		"csv": func(b []byte) error {
			_, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
			return err
		},
		"tsv": func(b []byte) error {
			r := csv.NewReader(bytes.NewReader(b))
			r.Comma = '\t'
			_, err := r.ReadAll()
			return err
		},
		"yaml": func(b []byte) error {
			d := yaml.NewDecoder(bytes.NewReader(b))
			for {
				if err := d.Decode(new(any)); err != nil {
					return ignoreEOF(err)
				}
			}
		},
		"utf8": func(b []byte) error {
			if !utf8.Valid(b) {
				return errors.New("not UTF-8")
			}
			return nil
		},
		"png":  readImage,
		"gif":  readImage,
		"jpeg": readImage,
		"gzip": func(b []byte) error {
			r, err := gzip.NewReader(bytes.NewReader(b))
			if err != nil {
				return err
			}
			return drain(r)
		},
		"zlib": func(b []byte) error {
			r, err := zlib.NewReader(bytes.NewReader(b))
			if err != nil {
				return err
			}
			return drain(r)
		},
		"deflate": func(b []byte) error { return drain(flate.NewReader(bytes.NewReader(b))) },
		"bzip2":   func(b []byte) error { return drain(bzip2.NewReader(bytes.NewReader(b))) },
		"tar": func(b []byte) error {
			r := tar.NewReader(bytes.NewReader(b))
			for {
				if _, err := r.Next(); err != nil {
					return ignoreEOF(err)
				}
				if err := drain(r); err != nil {
					return err
				}
			}
		},
		"zip": func(b []byte) error {
			r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				return err
			}
			for _, f := range r.File {
				body, err := f.Open()
				if err != nil {
					return err
				}
				if err := drain(body); err != nil {
					return err
				}
			}
			return nil
		},
		"elf": func(b []byte) error {
			f, err := elf.NewFile(bytes.NewReader(b))
			if err != nil {
				return err
			}
			if len(f.Sections) > 0 {
				symbols, err := f.Symbols()
				if err != nil {
					return err
				}
				if len(symbols) != 1 || symbols[0].Name != "_start" || f.Section(".text") == nil {
					return fmt.Errorf("symbols: %v, sections: %v", symbols, f.Sections)
				}
			}
			return nil
		},
		"pe":    func(b []byte) error { _, err := pe.NewFile(bytes.NewReader(b)); return err },
		"macho": func(b []byte) error { _, err := macho.NewFile(bytes.NewReader(b)); return err },
		"go": func(b []byte) error {
			_, err := parser.ParseFile(token.NewFileSet(), "", b, 0)
			return err
		},
		"gob": func(b []byte) error {
			d := gob.NewDecoder(bytes.NewReader(b))
			for _, v := range []any{new(string), new(int), new(float64), new([]byte)} {
				if err := d.Decode(v); err != nil {
					return err
				}
			}
			return nil
		},
		"pem": func(b []byte) error {
			block, _ := pem.Decode(b)
			if block == nil {
				return errors.New("no block")
			}
			return parseKeyOrCertificate(block.Bytes)
		},
		"der": parseKeyOrCertificate,
		"asn1": func(b []byte) error {
			rest, err := asn1.Unmarshal(b, new(asn1.RawValue))
			if err == nil && len(rest) > 0 {
				return errors.New("something follows")
			}
			return err
		},
		"http-request": func(b []byte) error {
			r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
			if err != nil {
				return err
			}
			return drain(r.Body)
		},
		"http-response": func(b []byte) error {
			r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), nil)
			if err != nil {
				return err
			}
			defer r.Body.Close()
			return drain(r.Body)
		},
		"mail": func(b []byte) error {
			m, err := mail.ReadMessage(bytes.NewReader(b))
			if err != nil {
				return err
			}
			_, err = m.Header.AddressList("To")
			return err
		},
		"dns": func(b []byte) error { return new(dnsmessage.Message).Unpack(b) },
	}
}

func readXML(b []byte) error {
	d := xml.NewDecoder(bytes.NewReader(b))
	for {
		if _, err := d.Token(); err != nil {
			return ignoreEOF(err)
		}
	}
}

func readImage(b []byte) error {
	_, _, err := image.Decode(bytes.NewReader(b))
	return err
}

func parseKeyOrCertificate(der []byte) error {
	_, err1 := x509.ParseCertificate(der)
	request, err2 := x509.ParseCertificateRequest(der)
	if err2 == nil {
		return request.CheckSignature()
	}
	_, err3 := x509.ParseRevocationList(der)
	_, err4 := x509.ParsePKCS8PrivateKey(der)
	key, err5 := x509.ParsePKCS1PrivateKey(der)
	if err5 == nil {
		return key.Validate()
	}
	_, err6 := x509.ParseECPrivateKey(der)
	_, err7 := x509.ParsePKIXPublicKey(der)
	for _, err := range []error{err1, err3, err4, err6, err7} {
		if err == nil {
			return nil
		}
	}
	return errors.Join(err1, err2, err3, err4, err5, err6, err7)
}

func drain(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func ignoreEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// A seed that claims too much or too little makes a target show the wrong paths.
func TestDecodersAgreeWithWhatSeedsClaim(t *testing.T) {
	blind := []string{"der-signature"} // parsing does not verify
	decoders := decoders()
	checked := map[string]int{}
	for _, s := range Pack() {
		decode, ok := decoders[s.Format]
		if !ok || s.Kind == Odd || slices.Contains(blind, s.Name) {
			continue
		}
		checked[s.Format]++
		err := decode(s.Data)
		if s.Kind == Valid && err != nil {
			t.Errorf("%s is marked valid, but: %v", s.Name, err)
		}
		if s.Kind == Broken && err == nil {
			t.Errorf("%s is marked broken, but decodes", s.Name)
		}
	}
	for _, f := range slices.Sorted(maps.Keys(decoders)) {
		if checked[f] == 0 {
			t.Errorf("no seed of %s was decoded", f)
		}
	}
}

// The formats that the standard library does not read are tried on programs that
// do. {} stands for the seed's path.
func TestProgramsAcceptSeedsOfTheirFormat(t *testing.T) {
	cases := []struct {
		seed, argv string
		want       string // part of the output
	}{
		{"sqlite-table", "sqlite3 -readonly {} PRAGMA\tintegrity_check;SELECT\tb\tFROM\tt", "ok\none\ntwo"},
		{"sqlite-empty", "sqlite3 -readonly {} PRAGMA\tintegrity_check", "ok"},
		{"xz-text", "xz -dc --format=xz {}", prose},
		{"zstd-text", "zstd -dcf {}", prose},
		{"compress-text", "gzip -dcf {}", prose},
		{"bzip2-runs", "bzip2 -dc {}", strings.Repeat("aaaaaaaabc", 60)},
		{"ar-files", "ar t {}", "a.txt\nb.txt"},
		{"deb-package", "dpkg-deb -f {} Package", "tjfuzz-test"},
		{"tar-links", "tar -tvf {}", "soft -> e.txt"},
		{"zip-files", "unzip -t {}", "No errors detected"},
		{"cab-files", "cabextract -t {}", "no errors"},
		{"elf-sections", "readelf -hlS {}", ".shstrtab"},
		{"pdf-page", "file -b {}", "PDF document"},
		{"bmp-rgb", "file -b {}", "5 x 4 x 24"},
		{"wav-pcm8", "file -b {}", "8 bit, mono 8000 Hz"},
		{"class-empty", "file -b {}", "Java class"},
		{"pcap-dns", "file -b {}", "Ethernet"},
		{"jq-filter", "jq -n -r -f {}", "\n"},
		{"awk-program", "awk -f {}", "0.00"},
		{"sh-script", "sh {}", "c: 3"},
		{"perl-script", "perl {}", "bar foo"},
		{"sed-script", "sed -n -f {}", ""},
		{"pem-certificate", "openssl x509 -noout -subject -in {}", "example.org"},
		{"pem-rsa-key", "openssl rsa -noout -check -in {}", "ok"},
		{"pem-ec-key", "openssl ec -noout -check -in {}", "valid"},
		{"svg-shapes", "xmllint --noout --nonet {}", ""},
	}
	seeds := map[string]Seed{}
	for _, s := range Pack() {
		seeds[s.Name] = s
	}
	for _, c := range cases {
		t.Run(c.seed, func(t *testing.T) {
			argv := strings.Fields(strings.ReplaceAll(c.argv, "\t", "\x00"))
			program := testenv.Program(t, argv[0])
			s, ok := seeds[c.seed]
			if !ok {
				t.Fatalf("the pack has no seed %s", c.seed)
			}
			path := filepath.Join(t.TempDir(), "seed")
			if err := os.WriteFile(path, s.Data, 0o600); err != nil {
				t.Fatal(err)
			}
			for i, a := range argv {
				argv[i] = strings.ReplaceAll(strings.ReplaceAll(a, "{}", path), "\x00", " ")
			}
			out, err := exec.Command(program, argv[1:]...).CombinedOutput()
			if err != nil || !strings.Contains(string(out), c.want) {
				t.Errorf("%v: %v; got %q, want %q in it", argv, err, out, c.want)
			}
		})
	}
}
