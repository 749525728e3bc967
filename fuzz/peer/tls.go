package peer

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/tjfuzz/tjfuzz/fuzz"
)

// Authority is a throwaway certification authority. Its key is never stored.
type Authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	leaf *ecdsa.PrivateKey
	host ssh.Signer // of all SSH servers

	mu     sync.Mutex
	leaves map[leafName]*tls.Certificate
}

type leafName struct {
	name    string
	expired bool
}

// maxLeaves bounds the certificates that are remembered; a target chooses the names.
const maxLeaves = 256

const commonName = "tjfuzz throwaway authority"

// The certificates are valid for as long as any date that a certificate can have
// (RFC 5280, 4.1.2.5), but for those that have expired.
var (
	begin   = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	expired = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	forever = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// NewAuthority makes one.
func NewAuthority() (*Authority, error) {
	a := &Authority{leaves: map[leafName]*tls.Certificate{}}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("make a certification authority: %w", err)
	}
	if a.leaf, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("make a certification authority: %w", err)
	}
	if a.host, err = sshKey(); err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: commonName}, NotBefore: begin, NotAfter: forever,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("make a certification authority: %w", err)
	}
	a.cert, err = x509.ParseCertificate(der)
	return a, err
}

// PEM is the authority's certificate.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// Hash is the name by which OpenSSL looks for the certificate in a directory, as
// "openssl x509 -hash" has it: of the name in lower case, X509_NAME_hash in x509_cmp.c.
func (a *Authority) Hash() string {
	value := asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(strings.ToLower(commonName))}
	canonical, err := asn1.Marshal(struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}{asn1.ObjectIdentifier{2, 5, 4, 3}, value})
	if err != nil {
		panic(err) // of a constant
	}
	canonical, err = asn1.Marshal(asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: canonical})
	if err != nil {
		panic(err)
	}
	sum := sha1.Sum(canonical)
	return fmt.Sprintf("%08x.0", binary.LittleEndian.Uint32(sum[:]))
}

// certificate is one for a host, made when it is first asked for.
func (a *Authority) certificate(name string, old bool) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := leafName{name, old}
	if c := a.leaves[key]; c != nil {
		return c, nil
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(len(a.leaves) + 2)), Subject: pkix.Name{CommonName: name}, NotBefore: begin, NotAfter: forever,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if old {
		template.NotAfter = expired
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, a.leaf.Public(), a.key)
	if err != nil {
		return nil, err
	}
	c := &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: a.leaf}
	if len(a.leaves) < maxLeaves {
		a.leaves[key] = c
	}
	return c, nil
}

// stranger is an authority that nobody trusts.
var stranger = sync.OnceValues(NewAuthority)

// config is how this peer speaks TLS.
func (c *call) config() (*tls.Config, error) {
	from := c.auth
	if c.how.Trust == fuzz.TrustStranger {
		var err error
		if from, err = stranger(); err != nil {
			return nil, err
		}
	}
	local, _, _ := net.SplitHostPort(c.conn.LocalAddr().String())
	config := &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		name := hello.ServerName
		if name == "" {
			name = local
		}
		if c.how.Trust == fuzz.TrustOther {
			name = "somebody-else.example.net"
		}
		return from.certificate(name, c.how.Trust == fuzz.TrustExpired)
	}}
	if _, server := servers(c.port); server == nil {
		config.NextProtos = []string{"http/1.1"}
		if plain(c.how.Reply) {
			config.NextProtos = []string{"h2", "http/1.1"}
		}
	}
	return config, nil
}

// startTLS goes on in TLS.
func (c *call) startTLS() error {
	config, err := c.config()
	if err != nil {
		return err
	}
	t := tls.Server(&buffered{c.conn, c.in}, config)
	if c.how.Conduct == fuzz.ConductReset || c.how.Conduct == fuzz.ConductSilent {
		return c.say(nil)
	}
	if err := t.HandshakeContext(c.ctx); err != nil {
		return err
	}
	inside := &call{Peer: c.Peer, ctx: c.ctx, conn: t, in: bufio.NewReader(t), port: c.port, tls: true}
	if t.ConnectionState().NegotiatedProtocol == "h2" {
		c.note("http2")
		return inside.http2()
	}
	err = inside.talk()
	_ = t.CloseWrite()
	return err
}

// buffered is a connection of which something was read ahead.
type buffered struct {
	net.Conn
	in *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.in.Read(p) }
