package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"maps"
	"math/bits"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

//go:embed sets.txt
var setsText string

// abis are the ABIs whose constants may differ, and where x/sys has them. X32 has
// the constants of x86_64, so it needs none of its own.
var abis = []struct{ name, goarch, variable string }{
	{"x86_64", "amd64", "setsAMD64"},
	{"i386", "386", "setsI386"},
	{"aarch64", "arm64", "setsARM64"},
}

type value struct {
	name  string
	value uint64
}

// set is a ValueSet in the making.
type set struct {
	name        string
	mask        uint64
	enum, flags []value
}

// writeSets returns the Go source of the value sets. Sets that an ABI shares with
// x86_64 are written once.
func writeSets(unixDir, origin string) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(origin + " and gen/sets.txt. DO NOT EDIT.\n\npackage sysno\n")
	var common map[string]set
	known := map[string]uint64{}
	for _, abi := range abis {
		constants, err := readConstants(unixDir, abi.goarch)
		if err != nil {
			return nil, err
		}
		maps.Copy(known, constants)
		sets, err := parseSets(setsText, abi.name, constants)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", abi.name, err)
		}
		fmt.Fprintf(&b, "\nvar %s = [...]ValueSet{\n", abi.variable)
		for _, name := range slices.Sorted(maps.Keys(sets)) {
			if s := sets[name]; !reflect.DeepEqual(s, common[name]) {
				writeSet(&b, s)
			}
		}
		b.WriteString("}\n")
		if common == nil {
			common = sets
		}
	}
	if err := checkNames(setsText, known); err != nil {
		return nil, err
	}
	return format.Source(b.Bytes())
}

func writeSet(b *bytes.Buffer, s set) {
	fmt.Fprintf(b, "{\nName: %q,\nMask: %#x,\n", s.name, s.mask)
	for _, part := range []struct {
		name   string
		values []value
	}{{"Enum", s.enum}, {"Flags", s.flags}} {
		if len(part.values) == 0 {
			continue
		}
		fmt.Fprintf(b, "%s: []Value{\n", part.name)
		for _, v := range part.values {
			fmt.Fprintf(b, "{%q, %#x},\n", v.name, v.value)
		}
		b.WriteString("},\n")
	}
	b.WriteString("},\n")
}

// readConstants reads the constants of x/sys/unix for one GOARCH whose value is a
// plain number.
func readConstants(dir, goarch string) (map[string]uint64, error) {
	constants := map[string]uint64{}
	for _, file := range []string{"zerrors_linux.go", "zerrors_linux_" + goarch + ".go", "ztypes_linux.go", "ztypes_linux_" + goarch + ".go"} {
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, file), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, decl := range parsed.Decls {
			consts, ok := decl.(*ast.GenDecl)
			if !ok || consts.Tok != token.CONST {
				continue
			}
			for _, spec := range consts.Specs {
				v := spec.(*ast.ValueSpec)
				if len(v.Names) != 1 || len(v.Values) != 1 {
					continue
				}
				if n, ok := number(v.Values[0]); ok {
					constants[v.Names[0].Name] = n
				}
			}
		}
	}
	return constants, nil
}

// number evaluates 0x1, -0x1 and syscall.Signal(0x1). Negative numbers become the
// 32 bits that the kernel sees of an int.
func number(e ast.Expr) (uint64, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		n, err := strconv.ParseUint(e.Value, 0, 64)
		return n, err == nil
	case *ast.UnaryExpr:
		n, ok := number(e.X)
		return uint64(uint32(-n)), ok && e.Op == token.SUB
	case *ast.CallExpr:
		if len(e.Args) == 1 {
			return number(e.Args[0])
		}
	}
	return 0, false
}

// parseSets reads sets.txt for one ABI.
func parseSets(text, abi string, constants map[string]uint64) (map[string]set, error) {
	sets := map[string]set{}
	var current set
	finish := func() error {
		if current.name == "" {
			return nil
		}
		if _, ok := sets[current.name]; ok {
			return fmt.Errorf("two sets %q", current.name)
		}
		if current.mask == 0 && len(current.flags) == 0 {
			current.mask = 1<<64 - 1
		}
		if err := current.check(); err != nil {
			return fmt.Errorf("set %s: %w", current.name, err)
		}
		// A value of several bits must be tried before its parts.
		slices.SortStableFunc(current.flags, func(a, b value) int {
			return bits.OnesCount64(b.value) - bits.OnesCount64(a.value)
		})
		sets[current.name] = current
		return nil
	}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if fields[0] == "set" {
			if err := finish(); err != nil {
				return nil, err
			}
			if len(fields) != 2 {
				return nil, fmt.Errorf("%q: want one name", line)
			}
			current = set{name: fields[1]}
			continue
		}
		if fields[0] == "mask" && len(fields) == 2 {
			if n, err := strconv.ParseUint(fields[1], 0, 64); err == nil {
				current.mask = n
				continue
			}
		}
		values, err := parseValues(fields[1:], abi, constants)
		if err != nil {
			return nil, fmt.Errorf("set %s: %w", current.name, err)
		}
		switch {
		case fields[0] == "mask" && len(values) == 1:
			current.mask = values[0].value
		case fields[0] == "enum":
			current.enum = append(current.enum, values...)
		case fields[0] == "flags":
			current.flags = append(current.flags, values...)
		default:
			return nil, fmt.Errorf("set %s: cannot read %q", current.name, line)
		}
	}
	return sets, finish()
}

// parseValues reads words of the form [ABI/]NAME[=VALUE].
func parseValues(words []string, abi string, constants map[string]uint64) ([]value, error) {
	var values []value
	for _, word := range words {
		only, item, hasABI := strings.Cut(word, "/")
		if !hasABI {
			item = word
		} else if !slices.ContainsFunc(abis, func(a struct{ name, goarch, variable string }) bool { return a.name == only }) {
			return nil, fmt.Errorf("%q: no such ABI", word)
		} else if only != abi {
			continue
		}
		name, number, hasNumber := strings.Cut(item, "=")
		v := value{name: name}
		if hasNumber {
			n, err := strconv.ParseUint(number, 0, 64)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", word, err)
			}
			v.value = n
		} else if n, ok := constants[name]; ok {
			v.value = n
		} else {
			continue
		}
		if i := slices.IndexFunc(values, func(have value) bool { return have.name == name }); i >= 0 {
			values[i] = v // the ABI's own value after the common one
		} else {
			values = append(values, v)
		}
	}
	return values, nil
}

// check refuses sets that cannot be read back from a number.
func (s set) check() error {
	seen := map[uint64]string{}
	for _, v := range s.enum {
		if v.value&^s.mask != 0 {
			return fmt.Errorf("%s is outside of the mask", v.name)
		}
		if other, ok := seen[v.value]; ok {
			return fmt.Errorf("%s and %s have one value", other, v.name)
		}
		seen[v.value] = v.name
	}
	clear(seen)
	for _, v := range s.flags {
		if v.value&s.mask != 0 {
			return fmt.Errorf("%s is inside of the mask", v.name)
		}
		if other, ok := seen[v.value]; ok {
			return fmt.Errorf("%s and %s have one value", other, v.name)
		}
		seen[v.value] = v.name
	}
	if len(s.enum)+len(s.flags) == 0 {
		return errors.New("no values")
	}
	return nil
}

// checkNames refuses a name without a value that no ABI has: it is misspelled.
func checkNames(text string, known map[string]uint64) error {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "set" || strings.HasPrefix(line, "#") {
			continue
		}
		for _, word := range fields[1:] {
			_, ok := known[word]
			_, err := strconv.ParseUint(word, 0, 64)
			if !ok && err != nil && !strings.Contains(word, "=") {
				return fmt.Errorf("sets.txt: x/sys has no constant %s", word)
			}
		}
	}
	return nil
}
