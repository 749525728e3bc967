package mine

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

// The bounds of what is taken for a path that a web server answers to.
const (
	maxRoutes = 48
	maxRoute  = 64 // bytes
	nearby    = 32 // bytes of code around the address of a text in which its length is
)

var (
	// Of net/http, and of others that write a part that may be anything as {name}, :name, <name> or *.
	route       = lazyregexp.New(`^(?:(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) )?(?:/(?:[\w.~@$+-]*|\{[\w.$]*\}|:\w+|<[\w:]+>|\*\w*))+$`)
	quotedRoute = lazyregexp.New("[\"'`]((?:(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) )?/[^\"'`\\s]*)[\"'`]")
	ofSystem    = lazyregexp.New(`^/(?:bin|boot|dev|etc|home|lib\d*|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp|usr|var)(?:/|$)`)
	worded      = lazyregexp.New(`/[A-Za-z]{2}`)
)

// Routes are the paths that a program which serves web pages probably answers to, some with the method before it, as its file has
// them: texts of a compiled program, also where nothing but its code says where one ends, as in those of Go, or what a script has in quotes.
// Paths of the system's files are none. Of many the last are taken: what a program has of its own comes behind its libraries.
func Routes(r io.ReaderAt) ([]string, error) {
	data, compiled, err := readOnlyData(r)
	if err != nil {
		return nil, err
	}
	var out []string
	add := func(s string) {
		_, path, ok := strings.Cut(s, "/")
		if path = "/" + path; ok && len(s) <= maxRoute && route.MatchString(s) && worded.MatchString(path) && !ofSystem.MatchString(path) && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	if !compiled {
		for _, m := range quotedRoute.FindAllStringSubmatch(string(data), -1) {
			add(m[1])
		}
		return last(out), nil
	}
	f, err := elf.NewFile(r)
	if err != nil {
		return nil, err
	}
	rodata := f.Section(".rodata")
	if rodata == nil {
		return nil, nil
	}
	for s := range bytes.SplitSeq(data, []byte{0}) {
		if text := string(s[:min(len(s), maxRoute+1)]); strings.Contains(text, "/") {
			add(text)
		}
	}
	text := f.Section(".text")
	if f.Machine != elf.EM_X86_64 || text == nil || f.Section(".gopclntab") == nil {
		return last(out), nil
	}
	code, err := io.ReadAll(io.LimitReader(text.Open(), maxData))
	if err != nil {
		return nil, err
	}
	for at := 0; at+7 <= len(code); at++ {
		// lea disp32(%rip), any of the 16 registers
		if code[at]&0xfb != 0x48 || code[at+1] != 0x8d || code[at+2]&0xc7 != 0x05 {
			continue
		}
		disp := int64(int32(binary.LittleEndian.Uint32(code[at+3:])))
		to := int64(text.Addr) + int64(at) + 7 + disp - int64(rodata.Addr)
		if to < 0 || to >= int64(len(data)) || !bytes.ContainsRune(data[to:min(to+8, int64(len(data)))], '/') {
			continue
		}
		if n := lengthNear(code, at); n > 0 && to+n <= int64(len(data)) {
			add(string(data[to : to+n]))
		}
	}
	return last(out), nil
}

// lengthNear is the small number that code moves to a register nearest to the instruction of 7 bytes at an offset; what comes behind
// it is more often the length of what it is the address of than what comes before. It is 0 where there is none.
func lengthNear(code []byte, at int) int64 {
	length := func(i int) int64 {
		if i < 0 || i+5 > len(code) || code[i]&0xf8 != 0xb8 { // mov imm32, any of the 8 or, with a prefix, 16 registers
			return 0
		}
		if n := binary.LittleEndian.Uint32(code[i+1:]); n > 1 && n <= maxRoute {
			return int64(n)
		}
		return 0
	}
	for d := range nearby {
		if n := length(at + 7 + d); n > 0 {
			return n
		}
		if n := length(at - 5 - d); n > 0 && d > 2 {
			return n
		}
	}
	return 0
}

func last(routes []string) []string { return routes[max(0, len(routes)-maxRoutes):] }
