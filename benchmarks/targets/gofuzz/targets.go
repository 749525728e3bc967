package main

import (
	"github.com/dvyukov/go-fuzz-corpus/aes"
	"github.com/dvyukov/go-fuzz-corpus/asn1"
	"github.com/dvyukov/go-fuzz-corpus/bzip2"
	"github.com/dvyukov/go-fuzz-corpus/csv"
	"github.com/dvyukov/go-fuzz-corpus/elf"
	"github.com/dvyukov/go-fuzz-corpus/elliptic"
	"github.com/dvyukov/go-fuzz-corpus/flag"
	"github.com/dvyukov/go-fuzz-corpus/flate"
	"github.com/dvyukov/go-fuzz-corpus/fmt"
	"github.com/dvyukov/go-fuzz-corpus/gif"
	"github.com/dvyukov/go-fuzz-corpus/goast"
	"github.com/dvyukov/go-fuzz-corpus/gob"
	"github.com/dvyukov/go-fuzz-corpus/gofmt"
	"github.com/dvyukov/go-fuzz-corpus/gzip"
	"github.com/dvyukov/go-fuzz-corpus/htmltemplate"
	"github.com/dvyukov/go-fuzz-corpus/httpreq"
	"github.com/dvyukov/go-fuzz-corpus/httpresp"
	"github.com/dvyukov/go-fuzz-corpus/httpserver"
	"github.com/dvyukov/go-fuzz-corpus/jpeg"
	"github.com/dvyukov/go-fuzz-corpus/json"
	"github.com/dvyukov/go-fuzz-corpus/jsonrpc"
	"github.com/dvyukov/go-fuzz-corpus/lzw"
	"github.com/dvyukov/go-fuzz-corpus/macho"
	"github.com/dvyukov/go-fuzz-corpus/mail"
	"github.com/dvyukov/go-fuzz-corpus/mime"
	"github.com/dvyukov/go-fuzz-corpus/multipart"
	"github.com/dvyukov/go-fuzz-corpus/path"
	"github.com/dvyukov/go-fuzz-corpus/pem"
	"github.com/dvyukov/go-fuzz-corpus/png"
	"github.com/dvyukov/go-fuzz-corpus/smtp"
	"github.com/dvyukov/go-fuzz-corpus/stdhtml"
	"github.com/dvyukov/go-fuzz-corpus/strings"
	suffix "github.com/dvyukov/go-fuzz-corpus/suffixrray"
	"github.com/dvyukov/go-fuzz-corpus/tar"
	"github.com/dvyukov/go-fuzz-corpus/testcover"
	"github.com/dvyukov/go-fuzz-corpus/texttemplate"
	"github.com/dvyukov/go-fuzz-corpus/time"
	"github.com/dvyukov/go-fuzz-corpus/tlsclient"
	"github.com/dvyukov/go-fuzz-corpus/url"
	"github.com/dvyukov/go-fuzz-corpus/x509"
	"github.com/dvyukov/go-fuzz-corpus/xml"
	"github.com/dvyukov/go-fuzz-corpus/zip"
	"github.com/dvyukov/go-fuzz-corpus/zlib"
)

// targets returns the Fuzz functions by name: the package's folder in the
// corpus module, with what follows "Fuzz" where a package has several.
//
// It holds every package of the module that builds with the standard library
// alone, but for two. Of tls and httpserver only one can be linked, since the
// init functions of both register "/" at http.DefaultServeMux, and only
// httpserver's Fuzz ever reports that it accepted an input. The body of nss is
// commented out. The others stay out because they import what this module does
// not require for them, or what nobody may import:
//
//	bmp, tiff, webp                   golang.org/x/image
//	bson                              gopkg.in/mgo.v2
//	flatbuffers, protobuf, snappy     github.com/google/flatbuffers, github.com/golang/...
//	freetype, truetype, ttf           github.com/golang/freetype
//	gopacket, gorillamux              github.com/google/gopacket, github.com/gorilla/mux
//	gotypes, newparser                golang.org/x/tools/go/ssa
//	html, idna, webdav, websocket*    golang.org/x/net
//	http2                             github.com/bradfitz/http2
//	parser, sqlparser                 cockroachdb, vitess
//	asm, trace                        cmd/asm/internal/..., internal/trace
//	regexp                            "C", with a C++ file beside it
func targets() map[string]func([]byte) int {
	return map[string]func([]byte) int{
		"aes":              aes.Fuzz,
		"asn1":             asn1.Fuzz,
		"bzip2":            bzip2.Fuzz,
		"csv":              csv.Fuzz,
		"elf":              elf.Fuzz,
		"elliptic":         elliptic.Fuzz,
		"flag":             flag.Fuzz,
		"flate":            flate.Fuzz,
		"fmt":              fmt.Fuzz,
		"gif":              gif.Fuzz,
		"gif-all":          gif.FuzzAll,
		"goast":            goast.Fuzz,
		"gob":              gob.Fuzz,
		"gofmt":            gofmt.Fuzz,
		"gzip":             gzip.Fuzz,
		"htmltemplate":     htmltemplate.Fuzz,
		"httpreq":          httpreq.Fuzz,
		"httpresp":         httpresp.Fuzz,
		"httpserver":       httpserver.Fuzz,
		"jpeg":             jpeg.Fuzz,
		"json":             json.Fuzz,
		"jsonrpc":          jsonrpc.Fuzz,
		"lzw":              lzw.Fuzz,
		"macho":            macho.Fuzz,
		"mail":             mail.Fuzz,
		"mail-addresses":   mail.FuzzParseAddressList,
		"mime":             mime.Fuzz,
		"multipart":        multipart.Fuzz,
		"path":             path.Fuzz,
		"pem":              pem.Fuzz,
		"png":              png.Fuzz,
		"smtp":             smtp.Fuzz,
		"stdhtml":          stdhtml.Fuzz,
		"strings":          strings.Fuzz,
		"suffixrray":       suffix.Fuzz,
		"tar":              tar.Fuzz,
		"testcover":        testcover.Fuzz,
		"texttemplate":     texttemplate.Fuzz,
		"time":             time.Fuzz,
		"tlsclient":        tlsclient.Fuzz,
		"url":              url.Fuzz,
		"url-values":       url.FuzzValues,
		"x509-crl":         x509.FuzzCRL,
		"x509-dercrl":      x509.FuzzDERCRL,
		"x509-certificate": x509.FuzzCertificate,
		"x509-pem":         x509.FuzzPEM,
		"x509-pkix":        x509.FuzzPKIX,
		"x509-ec":          x509.FuzzEC,
		"x509-pkcs":        x509.FuzzPKCS,
		"xml":              xml.Fuzz,
		"zip":              zip.Fuzz,
		"zlib":             zlib.Fuzz,
	}
}
