package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// archive is the source side of the package archive that this machine installs from.
// The machine's own configuration of apt stays as it is.
type archive struct{ dir string }

// openArchive fetches the list of source packages, once a directory.
func openArchive(ctx context.Context, dir string) (*archive, error) {
	a := &archive{dir: dir}
	parts, lists := filepath.Join(dir, "parts"), filepath.Join(dir, "lists")
	if _, err := os.Stat(filepath.Join(dir, "complete")); err == nil {
		return a, nil
	}
	if err := errors.Join(os.MkdirAll(parts, 0o755), os.MkdirAll(filepath.Join(lists, "partial"), 0o755)); err != nil {
		return nil, err
	}
	entries, err := filepath.Glob("/etc/apt/sources.list.d/*")
	if err != nil {
		return nil, err
	}
	n := 0
	for _, path := range append(entries, "/etc/apt/sources.list") {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // one of the two forms is not there
		}
		if src := sourceEntries(string(text), filepath.Ext(path) == ".sources"); src != "" {
			n++
			if err := os.WriteFile(filepath.Join(parts, filepath.Base(path)), []byte(src), 0o644); err != nil {
				return nil, err
			}
		}
	}
	if n == 0 {
		return nil, errors.New("apt has no entry for an archive of Debian here")
	}
	if out, err := a.apt(ctx, "apt-get", "-q", "update"); err != nil {
		return nil, fmt.Errorf("fetch the list of source packages: %w\n%s", err, tail(out))
	}
	return a, os.WriteFile(filepath.Join(dir, "complete"), nil, 0o644)
}

// debian tells the archives of Debian from those of others, which rarely have sources.
var debian = regexp.MustCompile(`debian-archive|/debian(-security)?/? `)

// sourceEntries turns entries for binary packages into those for sources.
func sourceEntries(text string, deb822 bool) string {
	var out []string
	if deb822 {
		for _, stanza := range strings.Split(text, "\n\n") {
			if debian.MatchString(strings.ReplaceAll(stanza, "\n", " ")) {
				out = append(out, regexp.MustCompile(`(?m)^Types:.*$`).ReplaceAllString(strings.Trim(stanza, "\n"), "Types: deb-src")+"\n")
			}
		}
		return strings.Join(out, "\n")
	}
	for _, line := range strings.Split(text, "\n") {
		if rest, ok := strings.CutPrefix(line, "deb "); ok && debian.MatchString(line) {
			out = append(out, "deb-src "+rest+"\n")
		}
	}
	return strings.Join(out, "")
}

func (a *archive) apt(ctx context.Context, argv ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, argv[0], append([]string{
		"-o", "Dir::Etc::SourceList=/dev/null", "-o", "Dir::Etc::SourceParts=" + filepath.Join(a.dir, "parts"),
		"-o", "Dir::State::Lists=" + filepath.Join(a.dir, "lists"), "-o", "APT::Sandbox::User=root",
		"-o", "Dir::Cache::srcpkgcache=", "-o", "Dir::Cache::pkgcache=",
	}, argv[1:]...)...)
	cmd.Dir = a.dir
	return cmd.CombinedOutput()
}

// fetch unpacks the source of an installed package to dir and returns its version:
// that of the binary package or, where the archive has moved on, one that it still has.
func (a *archive) fetch(ctx context.Context, pkg, dir string) (version string, err error) {
	out, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${source:Package} ${source:Version}", pkg).Output()
	if err != nil {
		return "", fmt.Errorf("%s is not installed; run scripts/setup bench services", pkg)
	}
	source, installed, _ := strings.Cut(string(out), " ")
	versions := []string{installed}
	list, err := a.apt(ctx, "apt-cache", "showsrc", source)
	if err != nil {
		return "", fmt.Errorf("look for the source of %s: %w\n%s", pkg, err, tail(list))
	}
	for _, m := range regexp.MustCompile(`(?m)^Version: (.*)$`).FindAllStringSubmatch(string(list), -1) {
		if !slices.Contains(versions, m[1]) {
			versions = append(versions, m[1])
		}
	}
	var failed error
	for _, v := range versions {
		if out, err := a.apt(ctx, "apt-get", "-q", "source", "--download-only", source+"="+v); err != nil {
			failed = fmt.Errorf("fetch the source of %s: %w\n%s", pkg, err, tail(out))
			continue
		}
		_, short, found := strings.Cut(v, ":") // an epoch is in no file name
		if !found {
			short = v
		}
		dsc := filepath.Join(a.dir, source+"_"+short+".dsc")
		if out, err := exec.CommandContext(ctx, "dpkg-source", "--no-check", "-x", dsc, dir).CombinedOutput(); err != nil {
			return "", fmt.Errorf("unpack the source of %s: %w\n%s", pkg, err, tail(out))
		}
		if v != installed {
			return fmt.Sprintf("%s (the program is of %s)", v, installed), nil
		}
		return v, nil
	}
	return "", failed
}

// installed makes dir for a suite that needs no source, and returns the version of the program's package.
func installed(ctx context.Context, pkg, dir string) (version string, err error) {
	out, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "this benchmark, with ${Version}", pkg).Output()
	if err != nil {
		return "", fmt.Errorf("%s is not installed; run scripts/setup bench services", pkg)
	}
	return string(out), os.MkdirAll(dir, 0o755)
}

// tail is the end of what a command wrote.
func tail(out []byte) string {
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}
