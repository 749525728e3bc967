package trace

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// text is a string of any bytes. JSON strings hold UTF-8 only.
type text string

type binary struct {
	Base64 *string `json:"base64"`
}

// MarshalJSON writes a string, or {"base64": "…"} for bytes that are no UTF-8.
func (s text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(s)) {
		return []byte(compact(string(s))), nil
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(s))
	return []byte(compact(binary{&encoded})), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *text) UnmarshalJSON(data []byte) error {
	if len(data) == 0 || data[0] != '{' {
		return json.Unmarshal(data, (*string)(s))
	}
	var b binary
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		return err
	}
	if b.Base64 == nil {
		return errors.New(`a text is a string or {"base64": …}`)
	}
	raw, err := base64.StdEncoding.DecodeString(*b.Base64)
	*s = text(raw)
	return err
}

// hex is a number in base 16, in a string: most readers of JSON round a number
// above 2^53.
type hex uint64

// MarshalJSON writes a string such as "0x80000".
func (h hex) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, `"%#x"`, uint64(h)), nil }

// UnmarshalJSON reads what MarshalJSON writes, and no other spelling.
func (h *hex) UnmarshalJSON(data []byte) error {
	var word string
	if err := json.Unmarshal(data, &word); err != nil {
		return err
	}
	n, err := strconv.ParseUint(word, 0, 64)
	if err != nil || fmt.Sprintf("%#x", n) != word {
		return fmt.Errorf("%q is no number of 64 bits in lower case hexadecimal, such as \"0x1f\"", word)
	}
	*h = hex(n)
	return nil
}
