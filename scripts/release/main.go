// Command release makes of a static binary what else is released of it: an OCI image
// layout, and the list of what is linked into the binary. It is a module of its own, with what it
// needs, so that the program's own stays small. The same binary and the same time make the same bytes.
//
//	release image -binary FILE -arch ARCH -version V -o DIR NAME=FILE...
//	release sbom -binary FILE -version V -o FILE LIBRARY=VERSION...
//
// SOURCE_DATE_EPOCH is the time of everything, in seconds.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

type options struct {
	binary, arch, version, output string
	at                            time.Time
	more                          []pair
}

// pair is NAME=VALUE.
type pair struct{ name, value string }

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("say what to make: image or sbom")
	}
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	o := options{at: time.Unix(seconds, 0).UTC()}
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	f.StringVar(&o.binary, "binary", "", "the `file` that is released")
	f.StringVar(&o.arch, "arch", "", "the `architecture`, as Go names it")
	f.StringVar(&o.version, "version", "", "the `version`")
	f.StringVar(&o.output, "o", "", "write to this `path`")
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	for _, word := range f.Args() {
		name, value, found := strings.Cut(word, "=")
		if !found || value == "" {
			return fmt.Errorf("%q is not NAME=VALUE", word)
		}
		o.more = append(o.more, pair{name, value})
	}
	switch args[0] {
	case "image":
		return o.image()
	case "sbom":
		return o.sbom()
	}
	return fmt.Errorf("%s is neither image nor sbom", args[0])
}
