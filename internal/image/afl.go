package image

import (
	"bytes"
	"fmt"
	"io"
)

// AFL is what the compilers of AFL and AFL++ have put into a program. The zero value is that
// of one that others have made.
type AFL struct {
	Instrumented bool // it counts its edges, and can make copies of itself
	Deferred     bool // it says itself where copies begin

	// Edges is where the pointer to its map of edges lies, and Last where the highest
	// number of an edge does, both relative to the entry point in memory; 0 where no symbol says it.
	Edges, Last int64
}

// FindAFL looks for AFL's instrumentation in the ELF file that the kernel executes for the
// program at path. What identifies it are the texts that afl-fuzz looks for too (check_binary in
// src/afl-fuzz-init.c): they are in stripped files as well.
func FindAFL(path string) (AFL, error) {
	file, _, err := Entry(path)
	if err != nil {
		return AFL{}, err
	}
	whole, r, err := open(file)
	if err != nil {
		return AFL{}, fmt.Errorf("look for AFL in %s: %w", path, err)
	}
	defer whole.Close()
	var found AFL
	if err := findTexts(r, map[string]*bool{"__AFL_SHM_ID": &found.Instrumented, "##SIG_AFL_DEFER_FORKSRV##": &found.Deferred}); err != nil {
		return AFL{}, fmt.Errorf("look for AFL in %s: %w", path, err)
	}
	if !found.Instrumented {
		return AFL{}, nil
	}
	x, f, err := openCode(file)
	if err != nil { // of another architecture, whose memory nobody changes here
		return found, nil
	}
	defer f.Close()
	sections, err := x.sections()
	if err != nil {
		return AFL{}, fmt.Errorf("look for AFL in %s: %w", path, err)
	}
	for name, to := range map[string]*int64{"__afl_area_ptr": &found.Edges, "__afl_final_loc": &found.Last} {
		at, err := x.symbolAt(sections, name, elfSymbol.data)
		if err != nil {
			return AFL{}, fmt.Errorf("look for AFL in %s: %w", path, err)
		}
		if at != 0 {
			*to = int64(at - x.Entry)
		}
	}
	return found, nil
}

// findTexts notes which texts occur in a file.
func findTexts(r io.Reader, texts map[string]*bool) error {
	const step, overlap = 1 << 20, 64 // which no text is longer than
	window := make([]byte, overlap, overlap+step)
	for {
		n, err := io.ReadFull(r, window[overlap:overlap+step])
		for text, found := range texts {
			*found = *found || bytes.Contains(window[:overlap+n], []byte(text))
		}
		switch err {
		case nil:
			copy(window[:overlap], window[step:step+overlap])
		case io.EOF, io.ErrUnexpectedEOF:
			return nil
		default:
			return err
		}
	}
}
