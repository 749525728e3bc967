package launch

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// selfSigned writes a key and a certificate that nobody has signed but its owner.
func selfSigned(t *testing.T) (key, certificate string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	put := func(name, kind string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return put("key.pem", "PRIVATE KEY", secret), put("cert.pem", "CERTIFICATE", der)
}

// A service that speaks TLS, with a certificate that nobody trusts, is found to do so, and talked to through it.
func TestAServiceOfTLSIsTalkedTo(t *testing.T) {
	testenv.Require(t, testenv.Cage)
	key, certificate := selfSigned(t)
	e, err := New(Options{
		Program: testenv.Program(t, "openssl"), Env: os.Environ(), Timeout: time.Minute, Grace: 10 * time.Second,
		Cage: &cage.Options{Expose: []string{filepath.Dir(key)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	const at = fuzz.Socket("tls/4433")
	s := &fuzz.Scenario{Argv: []string{"openssl", "s_server", "-www", "-port", "4433", "-key", key, "-cert", certificate}, Stdin: fuzz.StdinNull}
	found, _, err := e.Survey(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || found[0].Socket != at || !bytes.HasPrefix(found[0].Answer, []byte("HTTP/1.0 200 ok")) {
		t.Fatalf("found %+v, want %s and a page", found, at)
	}
	s.Acts = []fuzz.Act{say(at, 1, "GET / HTTP/1.0\r\n\r\n"), say(at, 1, "GET /none HTTP/1.0\r\n\r\n"), say("tcp/4433", 2, "no TLS"), signaled(unix.SIGKILL)}
	r := run(t, e, s)
	i := slices.IndexFunc(r.Said, func(x fuzz.Exchange) bool { return x.Socket == at })
	if !r.Clean() || i < 0 || r.Said[i].Sent != 2 || r.Said[i].Answered != 2 {
		t.Errorf("%+v, want a clean end, and two messages at %s that are answered", r, at)
	}
}
