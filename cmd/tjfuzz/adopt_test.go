package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

func TestOwnConfigurationsAreThoseThatTheProgramsTextsName(t *testing.T) {
	texts := []string{
		"/etc/nginx/nginx.conf", "/etc/nginx/", "-c %s (default: /etc/nginxd/nginx.cfg)", "/etc/ssl/openssl.cnf", "/etc/resolv.conf",
		"/etc/nginx/mime.types", "/etc/nginx/key.pem", "/etc/ssh/sshd_config", "apache2.conf", "/etc/apache2", "magic.conf",
	}
	for program, want := range map[string][]string{
		"nginx":        {"/etc/nginx/nginx.conf", "/etc/nginxd/nginx.cfg"},
		"sshd":         {"/etc/ssh/sshd_config"},
		"apache2":      {"/etc/apache2/apache2.conf"},
		"apache2ctl":   {"/etc/apache2/apache2.conf"},
		"redis-server": nil,
	} {
		got := ownConfigs(program, texts)
		got = slices.DeleteFunc(got, func(p string) bool { return strings.Contains(p, ".pem") || strings.Contains(p, ".types") }) // no file is there
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", program, got, want)
		}
	}
}

func TestIncludedConfigurationsAreThoseBelowTheDirectory(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	in := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
		return p
	}
	if err := os.WriteFile(filepath.Join(other, "o.conf"), []byte("a b;\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	main := in("p.conf", "include p.types;\ninclude enabled/*;\n# include off.conf;\ninclude "+other+"/*.conf;\ninclude secret.conf;\n")
	in("p.types", "text/html html;\n")
	in("off.conf", "a b;\n")
	if err := os.Chmod(in("secret.conf", "a b;\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	site, nested := in("available/site", "listen 80;\ninclude nested.conf;\n"), in("nested.conf", "include p.conf;\n")
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "enabled"), 0o755), os.Symlink("../available/site", filepath.Join(dir, "enabled/site"))); err != nil {
		t.Fatal(err)
	}
	if got, want := withIncluded([]string{main}, main), []string{main, site, nested}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := beside(main, []string{main, site, nested}), []string{filepath.Join(dir, "off.conf")}; !slices.Equal(got, want) {
		t.Errorf("beside them: got %q, want %q", got, want)
	}
}

// It lies in /etc, where no test directory is.
func TestAServicesOwnConfigurationIsAdopted(t *testing.T) {
	testenv.Require(t, testenv.Root)
	const dir = "/etc/tjfuzz-test-own"
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	conf, more, program := dir+"/tjfuzz-test-own.conf", dir+"/more.conf", filepath.Join(t.TempDir(), "tjfuzz-test-own")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(conf, []byte("include more.conf\nport 80\n"), 0o644), os.WriteFile(more, []byte("a b\n"), 0o644),
		os.WriteFile(program, []byte("\x7fnone\x00"+conf+"\x00"), 0o755)); err != nil {
		t.Fatal(err)
	}
	s := &session{path: program, exec: program, text: program, args: []string{program}, fixed: 1, cage: &cage.Options{}}
	adopted, err := s.adopt()
	if err != nil || !adopted {
		t.Fatalf("adopted: %t, %v", adopted, err)
	}
	if want := []string{"tjfuzz-test-own.conf", "more.conf"}; !slices.Equal(s.confs, want) || s.moved != dir {
		t.Errorf("got %q in %s, want %q in %s", s.confs, s.moved, want, dir)
	}
}

func TestExamplesOfAConfigurationAreRead(t *testing.T) {
	dir := t.TempDir()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte("a: 2\n")); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"own/p.conf": "a: 1\n", "one/p.conf.example.gz": packed.String(), "two/p.conf.md5sum": "0", "three/p.conf.dist": "a: 3\n", "four/q.conf": "a: 4\n",
	} {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	got := exampleConfigs("p.conf", []byte("a: 1\n"), []string{dir + "/*/"})
	if want := [][]byte{[]byte("a: 2\n"), []byte("a: 3\n")}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
