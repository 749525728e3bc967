// Lines prints the lines of files, directories or standard input, each once, and
// how often it was there. It stands for the command lines that are written in Go.
package main

import (
	"bufio"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "lines:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	output := flag.String("o", "", "write to this `file`")
	packed := flag.Bool("z", false, "compress the output with gzip")
	least := flag.Int("n", 1, "print lines that are there at least this `number` of times")
	flag.Parse()

	counts, err := count(flag.Args())
	if err != nil {
		return err
	}
	var out io.WriteCloser = os.Stdout
	if *output != "" {
		// Renamed when it is complete, as careful programs do.
		tmp, err := os.CreateTemp(filepath.Dir(*output), ".lines-*")
		if err != nil {
			return err
		}
		out = tmp
		defer func() {
			if err == nil {
				err = os.Rename(tmp.Name(), *output)
			}
		}()
	}
	if *packed {
		out = gzip.NewWriter(out)
	}
	for _, l := range sorted(counts) {
		if counts[l] >= *least {
			fmt.Fprintf(out, "%d %s\n", counts[l], l)
		}
	}
	return out.Close()
}

// count reads all files at once, a goroutine each.
func count(paths []string) (map[string]int, error) {
	counts := map[string]int{}
	if len(paths) == 0 {
		return counts, add(counts, new(sync.Mutex), os.Stdin)
	}
	var files []string
	for _, p := range paths {
		err := filepath.WalkDir(p, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	errs := make([]error, len(files))
	for i, name := range files {
		all.Go(func() {
			f, err := os.Open(name)
			if err == nil {
				err = add(counts, &mu, f)
				f.Close()
			}
			errs[i] = err
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return counts, nil
}

func add(counts map[string]int, mu *sync.Mutex, r io.Reader) error {
	s := bufio.NewScanner(r)
	for s.Scan() {
		mu.Lock()
		counts[s.Text()]++
		mu.Unlock()
	}
	return s.Err()
}

func sorted(counts map[string]int) []string {
	var lines []string
	for l := range counts {
		lines = append(lines, l)
	}
	slices.Sort(lines)
	return lines
}
