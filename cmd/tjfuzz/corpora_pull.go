package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/corpora"
	"github.com/tjfuzz/tjfuzz/corpora/goproxy"
)

// goFuzzCorpus is the module in the version that go.mod has too; a test compares them.
func goFuzzCorpus() goproxy.Module {
	return goproxy.Module{
		Path:    "github.com/dvyukov/go-fuzz-corpus",
		Version: "v0.0.0-20190920191254-c42c1b2914c7",
		Sum:     "h1:dECcCtiFwubOBYviX4zj9ggx9ucw2lLEGlU3O+Q7tuk=",
	}
}

// proxies is set by the linker: what GOPROXY is on the machine that builds, without
// configuration.
var proxies string

// goProxies is what Go itself would take for GOPROXY: the variable, what `go env -w` has
// written, or the default.
func goProxies() string {
	if v := os.Getenv("GOPROXY"); v != "" {
		return v
	}
	file := os.Getenv("GOENV")
	if file == "" {
		if dir, err := os.UserConfigDir(); err == nil {
			file = filepath.Join(dir, "go", "env")
		}
	}
	f, err := os.Open(file) // there need be none
	if err != nil {
		return proxies
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if v, ok := strings.CutPrefix(lines.Text(), "GOPROXY="); ok && v != "" {
			return v
		}
	}
	return proxies
}

// corporaCache is where modules are kept.
func corporaCache() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", hinted(fmt.Errorf("find a place for what is loaded: %w", err), "set XDG_CACHE_HOME to a directory")
	}
	return filepath.Join(dir, "tjfuzz", "corpora"), nil
}

func newCorporaPull() *cobra.Command {
	return &cobra.Command{
		Use:   "pull " + gofuzz,
		Short: "Load github.com/dvyukov/go-fuzz-corpus from a Go module proxy",
		Long: `Load the seeds of go-fuzz-corpus, some 60,000 files of 73 formats, in one
archive of 46 MB. It comes from the module proxies that GOPROXY names, in the
environment or as 'go env -w' has set it; Go itself is not needed. The archive is
held against a hash that is built in, each time that it is used, and is kept in
$XDG_CACHE_HOME/tjfuzz (~/.cache/tjfuzz): a second pull loads nothing.

'direct' in GOPROXY is passed over, since it would need version control.`,
		Example: `  tjfuzz corpora pull gofuzz
  tjfuzz corpora list gofuzz
  tjfuzz learn --seeds gofuzz -- ./parser @@

  # from a directory or a proxy of one's own
  GOPROXY=file:///srv/goproxy tjfuzz corpora pull gofuzz`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] != gofuzz {
				return usage(c, fmt.Errorf("what can be loaded is %s", gofuzz))
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return pull(c) },
	}
}

func pull(c *cobra.Command) error {
	v := voiceOf(c, false)
	cache, err := corporaCache()
	if err != nil {
		return err
	}
	m := goFuzzCorpus()
	got, err := goproxy.Fetch(c.Context(), m, goProxies(), cache)
	if err != nil {
		return hinted(err, "%s", pullHint(err, cache))
	}
	seeds, err := corpora.GoFuzzCorpus(got.Zip)
	if err != nil {
		return err
	}
	if got.From == "" {
		v.say("%s is here already", m)
	} else {
		v.say("loaded %s from %s; its hash is right", m, got.From)
	}
	v.say("%d seeds of %d formats: tjfuzz corpora list %s", len(seeds), len(tallies(seeds)), gofuzz)
	v.say("next: tjfuzz learn --seeds %s -- PROGRAM", gofuzz)
	return nil
}

func pullHint(err error, cache string) string {
	var sum *goproxy.SumError
	switch {
	case errors.As(err, &sum):
		return "nothing was kept; the proxy or the connection changes what it passes on: try another GOPROXY"
	case errors.Is(err, goproxy.ErrOff):
		return "set GOPROXY to a proxy, or bring " + cache + " from a machine that has loaded it"
	case errors.Is(err, goproxy.ErrNoProxy):
		return "set GOPROXY to the address of a module proxy; 'direct' needs version control, which tjfuzz does not use"
	}
	return "is the network there? GOPROXY and HTTPS_PROXY say what is asked; or bring " + cache + " from a machine that has loaded it"
}
