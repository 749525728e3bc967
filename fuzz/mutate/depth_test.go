package mutate

import (
	"bytes"
	"encoding/asn1"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"
)

// plainHavoc is Bytes with the operators of AFL's havoc stage alone.
func plainHavoc(r *rand.Rand, data []byte, o ByteOptions) []byte {
	e := edit{r: r, b: append([]byte(nil), data...), max: o.Max, dict: o.Dictionary, other: o.Other}
	changes := 1 + r.IntN(2)
	if r.IntN(2) == 0 {
		changes = 1 << r.IntN(6)
	}
	for range changes {
		for tries := 0; tries < 8; tries++ {
			if one(r, operators[:havocOperators]).apply(&e) {
				break
			}
		}
	}
	return e.b
}

// formats are readers of the standard library. A shape is what one made of an input
// that it accepted, without the values: how far into it the input has come.
var formats = []struct {
	name  string
	seeds []string
	shape func([]byte) (string, bool)
}{
	{"json", []string{`{"a": [1, "b", null], "c": {"d": true}}`, `[1.5, {"x": "y"}]`}, func(b []byte) (string, bool) {
		var v any
		if json.Unmarshal(b, &v) != nil {
			return "", false
		}
		return jsonShape(v), true
	}},
	{"xml", []string{`<a b="c"><d>text</d><!-- e --><f/></a>`, `<?xml version="1.0"?><x><y z="1"/></x>`}, func(b []byte) (string, bool) {
		var shape strings.Builder
		for d := xml.NewDecoder(bytes.NewReader(b)); ; {
			t, err := d.Token()
			if err == io.EOF {
				return shape.String(), true
			}
			if err != nil {
				return "", false
			}
			switch t := t.(type) {
			case xml.StartElement:
				fmt.Fprintf(&shape, "<%d", len(t.Attr))
			case xml.EndElement:
				shape.WriteByte('>')
			default:
				fmt.Fprintf(&shape, "%T", t)
			}
		}
	}},
	{"der", []string{
		"\x30\x0e\x02\x01\x05\x04\x03abc\x30\x04\x02\x02\x01\x00", // SEQUENCE of INTEGER, OCTET STRING, SEQUENCE
		"\x31\x05\x01\x01\xff\x05\x00",                            // SET of BOOLEAN, NULL
	}, func(b []byte) (string, bool) { return derShape(b, 0) }},
	{"go", []string{"package p\n\nfunc f(a int) int {\n\tif a > 1 {\n\t\treturn a\n\t}\n\treturn f(a + 1)\n}\n", "package p\n\nvar x = []int{1, 2}\n"}, func(b []byte) (string, bool) {
		f, err := parser.ParseFile(token.NewFileSet(), "", b, parser.SkipObjectResolution)
		if err != nil {
			return "", false
		}
		var shape strings.Builder
		ast.Inspect(f, func(n ast.Node) bool { fmt.Fprintf(&shape, "%T ", n); return true })
		return shape.String(), true
	}},
}

func jsonShape(v any) string {
	switch v := v.(type) {
	case []any:
		var inner []string
		for _, e := range v {
			inner = append(inner, jsonShape(e))
		}
		return "[" + strings.Join(inner, ",") + "]"
	case map[string]any:
		var inner []string
		for _, e := range v {
			inner = append(inner, jsonShape(e))
		}
		sort.Strings(inner)
		return "{" + strings.Join(inner, ",") + "}"
	}
	return fmt.Sprintf("%T", v)
}

// derShape accepts one value and nothing after it, as those do who read certificates.
func derShape(b []byte, depth int) (string, bool) {
	shape := ""
	for len(b) > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(b, &v)
		if err != nil || depth > 100 || depth == 0 && len(rest) > 0 {
			return "", false
		}
		b = rest
		if !v.IsCompound {
			shape += "."
			continue
		}
		inner, ok := derShape(v.Bytes, depth+1)
		if !ok {
			return "", false
		}
		shape += "(" + inner + ")"
	}
	return shape, true
}

// What knows of structure comes deeper than what does not: from the same seeds, with as
// many mutants, and keeping what is new in the same way, it reaches at least half as
// many shapes again. The mutants are the same in every run of this test.
func TestStructureReachesDeeperThanPlainHavoc(t *testing.T) {
	const mutants, most = 6000, 2 << 10
	for _, f := range formats {
		t.Run(f.name, func(t *testing.T) {
			shapes := func(mutate func(*rand.Rand, []byte, ByteOptions) []byte, seed uint64) (reached, accepted int) {
				r, corpus, known := newRand(seed), [][]byte(nil), make(map[string]bool)
				for _, s := range f.seeds {
					shape, ok := f.shape([]byte(s))
					if !ok {
						t.Fatalf("seed %q is refused", s)
					}
					corpus, known[shape] = append(corpus, []byte(s)), true
				}
				for range mutants {
					b := mutate(r, one(r, corpus), ByteOptions{Other: one(r, corpus), Max: most})
					shape, ok := f.shape(b)
					if ok {
						accepted++
					}
					if ok && !known[shape] {
						known[shape] = true
						corpus = append(corpus, b)
					}
				}
				return len(known), accepted
			}
			plain, aware := 0, 0
			for seed := range uint64(3) {
				p, pa := shapes(plainHavoc, seed)
				a, aa := shapes(Bytes, seed)
				t.Logf("seed %d: %d shapes by plain havoc (%d of %d mutants accepted), %d with structure (%d accepted)", seed, p, pa, mutants, a, aa)
				plain, aware = plain+p, aware+a
			}
			if 2*aware < 3*plain {
				t.Errorf("%d shapes with structure, %d by plain havoc", aware, plain)
			}
		})
	}
}
