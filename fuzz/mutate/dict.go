package mutate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"strconv"
	"strings"
)

// Dictionary holds tokens that byte mutation inserts.
type Dictionary [][]byte

// The bounds of AFL's own reader (MAX_DICT_FILE, and lines that fit a token
// whose every byte is escaped).
const (
	maxToken = 128
	maxLine  = 4*maxToken + 1024
)

// AllLevels is the level that leaves no token out.
const AllLevels = math.MaxInt32

// ReadDictionary reads the format of `afl-fuzz -x`: a token a line, as "token",
// name="token" or name@level="token", with the escapes \\, \" and \xNN; empty
// lines and lines that start with # are skipped. Tokens above level are left out; one
// without a level has level 0. Whatever else stands in the file is an error
// that names its line. Source: AFLplusplus dictionaries/README.md and
// load_extras_file in afl-fuzz-extras.c.
func ReadDictionary(r io.Reader, level int) (Dictionary, error) {
	var d Dictionary
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	n := 0
	for lines.Scan() {
		n++
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		token, of, err := parseToken(line)
		if err != nil {
			return nil, fmt.Errorf("dictionary line %d: %w", n, err)
		}
		if of <= level {
			d = append(d, token)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("dictionary line %d: %w", n+1, err)
	}
	return d, nil
}

// ReadTokens reads a directory in which every file is a token, as afl-fuzz -x does.
func ReadTokens(dir fs.FS) (Dictionary, error) {
	entries, err := fs.ReadDir(dir, ".") // sorted by name
	if err != nil {
		return nil, err
	}
	var d Dictionary
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		if n := info.Size(); !info.Mode().IsRegular() || n < 1 || n > maxToken {
			return nil, fmt.Errorf("%s is not a file of 1 to %d bytes", e.Name(), maxToken)
		}
		token, err := fs.ReadFile(dir, e.Name())
		if err != nil {
			return nil, err
		}
		d = append(d, token)
	}
	if len(d) == 0 {
		return nil, errors.New("no tokens in it")
	}
	return d, nil
}

// parseToken reads a line with a token.
func parseToken(line string) (token []byte, level int, err error) {
	label, rest, ok := strings.Cut(line, `"`)
	if !ok {
		return nil, 0, errors.New("no quoted token")
	}
	if label != "" {
		name, ok := strings.CutSuffix(strings.TrimSpace(label), "=")
		if ok {
			level, ok = parseLabel(strings.TrimSpace(name))
		}
		if !ok {
			return nil, 0, fmt.Errorf("%q is not a name and '='", label)
		}
	}
	body, ok := strings.CutSuffix(rest, `"`)
	if !ok {
		return nil, 0, errors.New("no closing quote")
	}
	if token, err = unescape(body); err != nil {
		return nil, 0, err
	}
	if len(token) == 0 || len(token) > maxToken {
		return nil, 0, fmt.Errorf("token of %d bytes; 1 to %d are allowed", len(token), maxToken)
	}
	return token, level, nil
}

// parseLabel reads name and name@level.
func parseLabel(s string) (level int, ok bool) {
	name, digits, leveled := strings.Cut(s, "@")
	if leveled {
		n, err := strconv.ParseUint(digits, 10, 31) // no sign
		if err != nil {
			return 0, false
		}
		level = int(n)
	}
	word := strings.IndexFunc(name, func(c rune) bool {
		return c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
	}) < 0
	return level, name != "" && word
}

func unescape(s string) ([]byte, error) {
	var out []byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c < 0x20 || c > 0x7e:
			return nil, fmt.Errorf("byte 0x%02x must be written as \\x%02x", c, c)
		case c == '"':
			return nil, errors.New(`a quote inside a token must be written as \"`)
		case c != '\\':
			out = append(out, c)
		case i+1 < len(s) && (s[i+1] == '\\' || s[i+1] == '"'):
			out = append(out, s[i+1])
			i++
		case i+3 < len(s) && s[i+1] == 'x':
			hi, lo := nibble(s[i+2]), nibble(s[i+3])
			if hi < 0 || lo < 0 {
				return nil, fmt.Errorf("%q is not an escape", s[i:i+4])
			}
			out = append(out, byte(hi<<4|lo))
			i += 3
		default:
			return nil, fmt.Errorf("%q is not an escape", s[i:min(i+4, len(s))])
		}
	}
	return out, nil
}

// nibble is the value of a hexadecimal digit, or -1.
func nibble(c byte) int {
	i := strings.IndexByte("0123456789abcdefABCDEF", c)
	if i >= 16 {
		return i - 6
	}
	return i
}

// Write writes the tokens in the format that ReadDictionary reads, one a line. Tokens that
// are empty or longer than afl-fuzz takes are left out, and counted.
func (d Dictionary) Write(w io.Writer) (left int, err error) {
	for _, token := range d {
		if len(token) == 0 || len(token) > maxToken {
			left++
			continue
		}
		line := []byte{'"'}
		for _, c := range token {
			switch {
			case c == '"' || c == '\\':
				line = append(line, '\\', c)
			case c < 0x20 || c > 0x7e:
				line = fmt.Appendf(line, `\x%02x`, c)
			default:
				line = append(line, c)
			}
		}
		if _, err := w.Write(append(line, "\"\n"...)); err != nil {
			return left, err
		}
	}
	return left, nil
}
