package format

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzJSON compares what is read, and what is refused, with encoding/json, which reads members
// twice and whatever is nested.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{
		`{"a": [1, -2.5e3, "x\u00e9\\\"\n", true, false, null, {}, []], "": {"b": ""}}`, ` [ ] `, `{"a":1,}`, `[1,]`, `[,1]`, `{,}`, `{"a" 1}`, `[1 2]`, `01`,
		`"\ud800"`, "\"\x00\"", `"\`, `"\"`, `tru`, `nulll`, `-`, `1{}`, `{"a":1}}`, `{"a":1,"a":1}`, "\ufeff1", "1\f", "[1\u00a0]", `{1:1}`, `{"a":}`, `[}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := parse(bytes.NewReader(data))
		if err != nil && (strings.Contains(err.Error(), "is repeated") || strings.Contains(err.Error(), "nested deeper")) {
			return
		}
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		var want any
		wrong := d.Decode(&want)
		if _, more := d.Token(); wrong == nil && more != io.EOF || !utf8.Valid(data) {
			wrong = io.ErrUnexpectedEOF
		}
		if (err == nil) != (wrong == nil) {
			t.Fatalf("%q: %v, and encoding/json says %v", data, err, wrong)
		}
		if err == nil && !reflect.DeepEqual(bare(n), want) {
			t.Fatalf("%q: got %v, want %v", data, bare(n), want)
		}
	})
}

// bare is the value of a node without places.
func bare(n node) any {
	switch v := n.value.(type) {
	case map[string]node:
		m := map[string]any{}
		for name, member := range v {
			m[name] = bare(member)
		}
		return m
	case []node:
		items := []any{}
		for _, item := range v {
			items = append(items, bare(item))
		}
		return items
	}
	return n.value
}
