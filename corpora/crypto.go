package corpora

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"math/big"
	"net"
	"slices"
	"time"
)

// cryptoFamilies are keys, certificates and signed things. The keys are published
// here and protect nothing. The only signatures are of Ed25519, which needs no
// randomness.
func cryptoFamilies() []family {
	signer := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	certificate := encodeCertificate(signer)
	request := encodeRequest(signer)
	crl := encodeCRL(signer, certificate)
	rsaKey := weakRSAKey()
	ecKey := smallECKey()
	pkcs8 := must(x509.MarshalPKCS8PrivateKey(signer))
	public := must(x509.MarshalPKIXPublicKey(signer.Public()))
	certificatePEM := pemBlock("CERTIFICATE", certificate)
	return []family{
		{"pem", []Seed{
			valid("certificate", certificatePEM),
			valid("request", pemBlock("CERTIFICATE REQUEST", request)),
			valid("crl", pemBlock("X509 CRL", crl)),
			valid("ed25519-key", pemBlock("PRIVATE KEY", pkcs8)),
			valid("rsa-key", pemBlock("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey))),
			valid("ec-key", pemBlock("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(ecKey)))),
			valid("public-key", pemBlock("PUBLIC KEY", public)),
			odd("bundle", slices.Concat([]byte("subject=/CN=example.org\n"), certificatePEM, pemBlock("PRIVATE KEY", pkcs8))),
			broken("base64", flip(certificatePEM, 40)),
			broken("no-end", cut(certificatePEM)),
		}},
		{"der", []Seed{
			valid("certificate", certificate),
			valid("request", request),
			valid("pkcs8-key", pkcs8),
			valid("public-key", public),
			broken("length", flip(certificate, 3)),
			broken("signature", flip(certificate, -1)),
			broken("truncated", cut(certificate)),
			odd("indefinite", "\x30\x80\x02\x01\x01\x00\x00"),
		}},
		{"asn1", []Seed{
			valid("sequence", "\x30\x11\x02\x01\x2a\x06\x03\x2a\x03\x04\x0c\x02hi\x05\x00\x01\x01\xff"), // 42, OID 1.2.3.4, "hi", NULL, TRUE
			odd("indefinite", "\x30\x80\x04\x01a\x00\x00"),
			broken("deep", "\x30\x84\x7f\xff\xff\xff\x30\x80\x30\x80"),
		}},
		{"ssh-key", []Seed{
			valid("public", sshPublicKey(signer)),
		}},
	}
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// sshPublicKey writes a line of authorized_keys (RFC 4253, RFC 8709).
func sshPublicKey(signer ed25519.PrivateKey) string {
	var blob []byte
	for _, field := range []string{"ssh-ed25519", string(signer.Public().(ed25519.PublicKey))} {
		blob = binary.BigEndian.AppendUint32(blob, uint32(len(field)))
		blob = append(blob, field...)
	}
	return "ssh-ed25519 " + base64.StdEncoding.EncodeToString(blob) + " test@example.org\n"
}

func notBefore() time.Time { return time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC) }

func encodeCertificate(signer ed25519.PrivateKey) []byte {
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "example.org", Organization: []string{"tjfuzz"}},
		NotBefore:             notBefore(),
		NotAfter:              notBefore().AddDate(100, 0, 0),
		DNSNames:              []string{"example.org", "*.example.org"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	return must(x509.CreateCertificate(nil, template, template, signer.Public(), signer))
}

func encodeRequest(signer crypto.Signer) []byte {
	return must(x509.CreateCertificateRequest(nil, &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: "example.org"},
		DNSNames: []string{"example.org"},
	}, signer))
}

func encodeCRL(signer crypto.Signer, issuer []byte) []byte {
	ca, err := x509.ParseCertificate(issuer)
	must(nil, err)
	return must(x509.CreateRevocationList(nil, &x509.RevocationList{
		Number:     big.NewInt(1),
		ThisUpdate: notBefore(),
		NextUpdate: notBefore().AddDate(100, 0, 0),
		RevokedCertificateEntries: []x509.RevocationListEntry{
			{SerialNumber: big.NewInt(2), RevocationTime: notBefore()},
		},
	}, ca, signer))
}

// weakRSAKey returns a key of 1024 bits whose primes lie next to round numbers:
// anyone can factor it.
func weakRSAKey() *rsa.PrivateKey {
	prime := func(high int64, shift uint, low int64) *big.Int {
		p := new(big.Int).Lsh(big.NewInt(high), shift)
		return p.Add(p, big.NewInt(low))
	}
	p, q := prime(7, 509, 15), prime(3, 510, 761)
	one := big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	const e = 65537
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: e},
		D:         new(big.Int).ModInverse(big.NewInt(e), phi),
		Primes:    []*big.Int{p, q},
	}
	key.Precompute()
	return key
}

// smallECKey returns the P-256 key whose scalar is 1.
func smallECKey() *ecdsa.PrivateKey {
	scalar := make([]byte, 32)
	scalar[31] = 1
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	must(nil, err)
	return key
}
