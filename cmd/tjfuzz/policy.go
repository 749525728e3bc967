package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/synth/document"
	"github.com/tjfuzz/tjfuzz/synth/format"
)

// isDocument reports whether a file holds a policy as people write it rather than a
// profile: its name says so.
func isDocument(path string) bool {
	return slices.Contains([]string{".yaml", ".yml"}, strings.ToLower(filepath.Ext(path)))
}

// loadPolicy reads the policy at path or, without one, the profile of the program.
func loadPolicy(path, program string) (string, *synth.Policy, error) {
	if path == "" {
		path = defaultProfile(program)
	}
	p, err := readPolicy(path, "learn one with 'tjfuzz learn -- "+program+"', or name one with --policy")
	return path, p, err
}

// readPolicy reads a policy or a profile; hint says how to come by one.
func readPolicy(path, hint string) (*synth.Policy, error) {
	f, err := openNamed(path, "profile", hint)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if !isDocument(path) {
		p, err := format.ReadOCI(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return p, nil
	}
	d, err := readDocument(f, path)
	if err != nil {
		return nil, err
	}
	p, err := d.Policy(sysno.Native(), includedBy(path))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// includedBy opens what a document at path includes.
func includedBy(path string) func(name string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(path), name)
		}
		return os.ReadFile(name)
	}
}

func readDocument(r io.Reader, path string) (*document.Document, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read the policy: %w", err)
	}
	d, err := document.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

// policyWriter is what writes a policy to path: a profile, or a document. One that is
// there already keeps what a person wrote; if it cannot be read, that is an error
// here, before any work.
func policyWriter(path string) (func(io.Writer, *synth.Policy) error, error) {
	if !isDocument(path) {
		return format.WriteOCI, nil
	}
	var old *document.Document
	switch f, err := os.Open(path); {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("open the policy: %w", err)
	default:
		defer f.Close()
		if old, err = readDocument(f, path); err != nil {
			return nil, hinted(err, "what a person wrote there would be lost; mend it, or choose another file with -o")
		}
	}
	return func(w io.Writer, p *synth.Policy) error {
		write := document.New
		if old != nil {
			write = old.Regenerate
		}
		d, err := write(p)
		if err != nil {
			return err
		}
		data, err := d.Encode()
		if err != nil {
			return err
		}
		_, err = io.Copy(w, bytes.NewReader(data))
		return err
	}, nil
}
