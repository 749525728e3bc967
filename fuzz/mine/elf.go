package mine

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// The bounds of what is read of a program file.
const (
	maxData    = 16 << 20
	maxStrings = 1 << 16
	maxString  = 4 << 10
)

// Strings returns the printable strings of a program, at least two bytes long,
// in the order of the file: of an ELF file those of .rodata, of any other file,
// which is mostly a script, its words. At most 16 MiB are read.
func Strings(r io.ReaderAt) ([]string, error) {
	data, isELF, err := readOnlyData(r)
	if err != nil {
		return nil, err
	}
	var out []string
	if !isELF {
		for w := range bytes.FieldsFuncSeq(data, func(c rune) bool {
			return c > unicode.MaxASCII || !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("-_.=", c)
		}) {
			if len(out) < maxStrings && len(w) >= 2 && len(w) <= maxString {
				out = append(out, string(w))
			}
		}
		return out, nil
	}
	for len(data) > 0 && len(out) < maxStrings {
		n := bytes.IndexFunc(data, func(c rune) bool { return c > unicode.MaxASCII || !unicode.IsPrint(c) })
		if n < 0 {
			n = len(data)
		}
		if n >= 2 && n <= maxString {
			out = append(out, string(data[:n]))
		}
		data = data[min(n+1, len(data)):]
	}
	return out, nil
}

// readOnlyData is .rodata of an ELF file, or the whole of another file.
func readOnlyData(r io.ReaderAt) (data []byte, isELF bool, err error) {
	var magic [4]byte
	if _, err := r.ReadAt(magic[:], 0); err != nil || string(magic[:]) != elf.ELFMAG {
		data, err := io.ReadAll(io.NewSectionReader(r, 0, maxData))
		if err != nil {
			return nil, false, fmt.Errorf("read program: %w", err)
		}
		return data, false, nil
	}
	f, err := elf.NewFile(r)
	if err != nil {
		return nil, true, fmt.Errorf("read program: %w", err)
	}
	s := f.Section(".rodata")
	if s == nil || s.Type == elf.SHT_NOBITS {
		return nil, true, nil
	}
	data, err = io.ReadAll(io.LimitReader(s.Open(), maxData))
	if err != nil {
		return nil, true, fmt.Errorf("read .rodata: %w", err)
	}
	return data, true, nil
}

// optionSize is sizeof(struct option) on LP64: name, has_arg, flag, val.
const optionSize = 32

// Getopt returns the options that stand in getopt_long(3) tables of a 64-bit
// little-endian ELF file. A file of another kind has none. It finds a table by
// its shape, two entries or more one after the other: a pointer to a plausible
// name, has_arg below 3, zero padding. Other tables have that shape too, so a
// dynamic program that does not import getopt_long has no options either.
func Getopt(r io.ReaderAt) ([]mutate.Option, error) {
	f, err := elf.NewFile(r)
	if err != nil || f.Class != elf.ELFCLASS64 || f.ByteOrder != binary.LittleEndian {
		return nil, nil
	}
	if imports, err := f.ImportedSymbols(); err == nil && !slices.ContainsFunc(imports, func(s elf.ImportedSymbol) bool {
		return strings.HasPrefix(s.Name, "getopt_long")
	}) {
		return nil, nil
	}
	text := f.Section(".rodata")
	names, _, err := readOnlyData(r)
	if err != nil || text == nil {
		return nil, err
	}
	fix, err := relatives(f)
	if err != nil {
		return nil, err
	}
	var out []mutate.Option
	for _, section := range []string{".data.rel.ro", ".rodata", ".data"} {
		s := f.Section(section)
		if s == nil || s.Type == elf.SHT_NOBITS {
			continue
		}
		data, err := io.ReadAll(io.LimitReader(s.Open(), maxData))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", section, err)
		}
		entry := func(at int) (mutate.Option, bool) {
			if at+optionSize > len(data) {
				return mutate.Option{}, false
			}
			e := data[at : at+optionSize]
			ptr, ok := fix[s.Addr+uint64(at)]
			if !ok {
				ptr = binary.LittleEndian.Uint64(e)
			}
			hasArg, pad := binary.LittleEndian.Uint32(e[8:]), binary.LittleEndian.Uint32(e[12:])
			tail := binary.LittleEndian.Uint32(e[28:])
			if hasArg > 2 || pad != 0 || tail != 0 || ptr < text.Addr || ptr-text.Addr >= uint64(len(names)) {
				return mutate.Option{}, false
			}
			name := cString(names[ptr-text.Addr:])
			return mutate.Option{Name: "--" + name, Arity: mutate.NoValue + mutate.Arity(hasArg)}, longName(name)
		}
		for at := 0; at+optionSize <= len(data) && len(out) < maxOptions; {
			first, ok := entry(at)
			if _, more := entry(at + optionSize); !ok || !more {
				at += 8
				continue
			}
			for ; ok && len(out) < maxOptions; first, ok = entry(at) {
				out = append(out, first)
				// val is the letter of the short option, where flag does not say that it is stored.
				_, stored := fix[s.Addr+uint64(at)+16]
				if flag, val := binary.LittleEndian.Uint64(data[at+16:]), data[at+24:at+28]; flag == 0 && !stored && letter(val) {
					out = append(out, mutate.Option{Name: "-" + string(val[:1]), Arity: first.Arity, Same: first.Name})
				}
				at += optionSize
			}
		}
	}
	return out, nil
}

// relatives maps addresses to the pointers that the loader of a position-
// independent file writes there (R_X86_64_RELATIVE, R_AARCH64_RELATIVE).
func relatives(f *elf.File) (map[uint64]uint64, error) {
	fix := make(map[uint64]uint64)
	s := f.Section(".rela.dyn")
	if s == nil || s.Type != elf.SHT_RELA {
		return fix, nil
	}
	data, err := io.ReadAll(io.LimitReader(s.Open(), maxData))
	if err != nil {
		return nil, fmt.Errorf("read .rela.dyn: %w", err)
	}
	for ; len(data) >= 24; data = data[24:] {
		kind := binary.LittleEndian.Uint32(data[8:])
		if f.Machine == elf.EM_X86_64 && elf.R_X86_64(kind) == elf.R_X86_64_RELATIVE ||
			f.Machine == elf.EM_AARCH64 && elf.R_AARCH64(kind) == elf.R_AARCH64_RELATIVE {
			fix[binary.LittleEndian.Uint64(data)] = binary.LittleEndian.Uint64(data[16:])
		}
	}
	return fix, nil
}

// letter reports whether the number is the code of an ASCII letter or digit.
func letter(val []byte) bool {
	c := val[0]
	return val[1] == 0 && val[2] == 0 && val[3] == 0 && ('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9')
}

func cString(b []byte) string {
	b = b[:min(len(b), 64)]
	if n := bytes.IndexByte(b, 0); n >= 0 {
		return string(b[:n])
	}
	return ""
}

// longName reports whether s can be the name of a long option.
func longName(s string) bool {
	for i, c := range []byte(s) {
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alnum && (i == 0 || !strings.ContainsRune("-_.", rune(c))) {
			return false
		}
	}
	return len(s) >= 2
}

// Found is what a program seems to understand.
type Found struct {
	Table      mutate.Table
	EnvNames   []string          // sorted
	Dictionary mutate.Dictionary // sorted
}

// Program puts together what the file of a program, the text that it prints for
// --help and the source of its manual page suggest; both texts may be empty.
func Program(file io.ReaderAt, help, page []byte) (Found, error) {
	strs, err := Strings(file)
	if err != nil {
		return Found{}, err
	}
	long, err := Getopt(file)
	if err != nil {
		return Found{}, err
	}
	f := Guess(strs)
	f.Table = f.Table.Merge(Help(help)).Merge(Man(page)).Merge(mutate.Table{Options: long})
	return f, nil
}

// The bounds of what Guess returns.
const (
	maxEnvNames = 256
	maxTokens   = 2048
	maxTokenLen = 32
)

// Guess sorts strings of a program: options that are spelled out or stand in a
// getopt(3) string, names of environment variables, and tokens. Results are
// sorted and without duplicates.
func Guess(strs []string) Found {
	var f Found
	var options []mutate.Option
	for _, s := range strs {
		switch {
		case strings.HasPrefix(s, "-"):
			if o, ok := spelled(s); ok {
				options = append(options, o)
			}
		case strings.ContainsAny(s[:1], "+:") && len(s) < 64 && getoptString(s), strings.Contains(s, ":") && getoptString(s):
			options = append(options, shorts(s)...)
		case environment(s):
			f.EnvNames = append(f.EnvNames, s)
		}
		if token(s) {
			f.Dictionary = append(f.Dictionary, []byte(s))
		}
	}
	f.Table = mutate.Table{Options: options[:min(len(options), maxOptions)]}.Merge(mutate.Table{})
	slices.Sort(f.EnvNames)
	f.EnvNames = slices.Compact(f.EnvNames)
	f.EnvNames = f.EnvNames[:min(len(f.EnvNames), maxEnvNames)]
	slices.SortFunc(f.Dictionary, bytes.Compare)
	f.Dictionary = slices.CompactFunc(f.Dictionary, bytes.Equal)
	f.Dictionary = f.Dictionary[:min(len(f.Dictionary), maxTokens)]
	return f
}

// spelled reads "--color", "--color=" and "-x".
func spelled(s string) (mutate.Option, bool) {
	name, joined := strings.CutSuffix(s, "=")
	if spelling.FindString(name) != name || len(name) > maxTokenLen {
		return mutate.Option{}, false
	}
	o := mutate.Option{Name: name, Arity: mutate.NoValue, Guessed: true}
	if joined {
		o.Arity = mutate.NeedsValue
	}
	return o, true
}

// getoptString reports whether s looks like the third argument of getopt(3): at
// least four bytes of letters, none twice, each with up to two colons. The
// caller has seen a colon, or a leading plus sign; without one it could be any word.
func getoptString(s string) bool {
	s = strings.TrimLeft(s, "+-:")
	if len(s) < 4 {
		return false
	}
	for i := 0; i < len(s); {
		c := rune(s[i])
		if !unicode.IsLetter(c) && !unicode.IsDigit(c) || strings.ContainsRune(s[:i], c) {
			return false
		}
		i++
		for n := 0; n < 2 && i < len(s) && s[i] == ':'; n++ {
			i++
		}
	}
	return true
}

func shorts(s string) []mutate.Option {
	s = strings.TrimLeft(s, "+-:")
	var out []mutate.Option
	for i := 0; i < len(s); i++ {
		if s[i] == ':' {
			if o := &out[len(out)-1]; o.Arity == mutate.NeedsValue {
				o.Arity = mutate.MayHaveValue
			} else {
				o.Arity = mutate.NeedsValue
			}
			continue
		}
		out = append(out, mutate.Option{Name: "-" + s[i:i+1], Arity: mutate.NoValue})
	}
	return out
}

// environment accepts names with an underscore: without one, upper-case words
// in a program are mostly not names of variables. Common names without one are
// known to the mutator.
func environment(s string) bool {
	return len(s) <= 64 && s[0] >= 'A' && s[0] <= 'Z' && strings.Contains(s, "_") && !strings.HasSuffix(s, "_") &&
		strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == "" && mutate.EnvUsable(s)
}

// token accepts short strings that can stand in an input: no formats, no prose.
func token(s string) bool {
	return len(s) <= maxTokenLen && !strings.ContainsAny(s, "% \t") && strings.IndexFunc(s, unicode.IsLetter) >= 0
}
