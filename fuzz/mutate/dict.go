package mutate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
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

// ReadDictionary reads the format of `afl-fuzz -x`: a token a line, as "token",
// name="token" or name@level="token", with the escapes \\, \" and \xNN; empty
// lines and lines that start with # are skipped. Levels are checked and then
// ignored: every token is used. Whatever else stands in the file is an error
// that names its line. Source: AFLplusplus dictionaries/README.md and
// load_extras_file in afl-fuzz-extras.c.
func ReadDictionary(r io.Reader) (Dictionary, error) {
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
		token, err := parseToken(line)
		if err != nil {
			return nil, fmt.Errorf("dictionary line %d: %w", n, err)
		}
		d = append(d, token)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("dictionary line %d: %w", n+1, err)
	}
	return d, nil
}

func parseToken(line string) ([]byte, error) {
	label, rest, ok := strings.Cut(line, `"`)
	if !ok {
		return nil, errors.New("no quoted token")
	}
	if label != "" {
		name, ok := strings.CutSuffix(strings.TrimSpace(label), "=")
		if !ok || !isLabel(strings.TrimSpace(name)) {
			return nil, fmt.Errorf("%q is not a name and '='", label)
		}
	}
	body, ok := strings.CutSuffix(rest, `"`)
	if !ok {
		return nil, errors.New("no closing quote")
	}
	token, err := unescape(body)
	if err != nil {
		return nil, err
	}
	if len(token) == 0 || len(token) > maxToken {
		return nil, fmt.Errorf("token of %d bytes; 1 to %d are allowed", len(token), maxToken)
	}
	return token, nil
}

// isLabel accepts name and name@level.
func isLabel(s string) bool {
	name, level, leveled := strings.Cut(s, "@")
	digits := strings.Trim(level, "0123456789") == "" && level != ""
	word := strings.IndexFunc(name, func(c rune) bool {
		return c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
	}) < 0
	return name != "" && word && digits == leveled
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
