package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// entrypoint is where the binary is in the image.
const entrypoint = "usr/bin/tjfuzz"

// image writes an OCI image layout with one layer: the binary, the further files, and a /tmp,
// which programs expect. Nothing else is needed to run it, or to copy the binary from it.
func (o *options) image() error {
	text, err := o.layer()
	if err != nil {
		return err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil },
		tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return err
	}
	labels := map[string]string{
		"org.opencontainers.image.title":    "tjfuzz",
		"org.opencontainers.image.version":  o.version,
		"org.opencontainers.image.licenses": "Apache-2.0",
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.ConfigFile(base, &v1.ConfigFile{
		Architecture: o.arch, OS: "linux", Created: v1.Time{Time: o.at},
		Config: v1.Config{Entrypoint: []string{"/" + entrypoint}, Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, Labels: labels},
	})
	if err != nil {
		return err
	}
	if img, err = mutate.Append(img, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: o.at}, CreatedBy: "make release"}}); err != nil {
		return err
	}
	at, err := layout.Write(o.output, empty.Index)
	if err != nil {
		return err
	}
	return at.AppendImage(img, layout.WithPlatform(v1.Platform{OS: "linux", Architecture: o.arch}),
		layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": o.version}))
}

// layer is a tar archive of root's files, sorted, all of one time.
func (o *options) layer() ([]byte, error) {
	type entry struct {
		mode int64
		data []byte
	}
	entries := map[string]entry{"tmp/": {mode: 0o1777}}
	add := func(name, file string, mode int64) error {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		entries[name] = entry{mode, data}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			entries[dir+"/"] = entry{mode: 0o755}
		}
		return nil
	}
	if err := add(entrypoint, o.binary, 0o755); err != nil {
		return nil, err
	}
	for _, m := range o.more {
		if err := add(strings.TrimPrefix(path.Clean("/"+m.name), "/"), m.value, 0o644); err != nil {
			return nil, err
		}
	}
	var names []string
	for name := range entries {
		names = append(names, name)
	}
	slices.Sort(names) // a directory comes before what is in it
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		e := entries[name]
		h := &tar.Header{Name: name, Mode: e.mode, ModTime: o.at, Size: int64(len(e.data)), Typeflag: tar.TypeReg, Format: tar.FormatPAX}
		if strings.HasSuffix(name, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if _, err := w.Write(e.data); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return b.Bytes(), w.Close()
}
