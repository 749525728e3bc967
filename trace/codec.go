package trace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// MaxSize bounds an evidence file in bytes. A trace of every known syscall with a
// long witness each is far below it.
const MaxSize = 32 << 20

// The evidence file is JSON, described member by member in docs/evidence.md:
//
//	{
//	  "version": 2,
//	  "target": {"path": "/usr/bin/jq", "sha256": "…", "build_id": "…", "libraries": [
//	    {"path": "/lib/libc.so.6", "build_id": "…"}
//	  ]},
//	  "arch": "x86_64",
//	  "kernel": "6.18.44",
//	  "runs": 100,
//	  "clean_runs": 99,
//	  "at_least": true,
//	  "lost": {"tasks": 0, "beyond": 0, "late": 0, "details": 1},
//	  "operations": [
//	    {"code": 1, "name": "READV"}
//	  ],
//	  "observations": [
//	    {"syscall": "madvise", "arch": "x86_64", "nr": 28, "runs": 100, "clean_runs": 99, "phases": ["main"],
//	     "returns": {"success": true, "errnos": [22], "refused": true}, "args": [{"index": 2, "values": ["0x4"]}],
//	     "sites": [{"module": "/lib/libc.so.6", "build_id": "…", "offset": "0x10a8d7", "symbol": "madvise+0x7"}],
//	     "more_sites": true, "witness": {"id": "…", "command": "…"}}
//	  ]
//	}
//
// Each observation has one line, sorted by ABI and number, so that two files
// compare well. The number decides; the name is for readers, and one that
// contradicts the number is an error. A number that no table knows has no
// "syscall". What version 2 added is left out where it is zero, and so are empty
// strings and lists; everything else is mandatory. A string that is no UTF-8, which
// a path of Linux may be, is written {"base64": "…"}.

// Encode writes t as an evidence file. The bytes depend on the meaning of t alone,
// not on the order of its parts. It refuses a trace that Validate refuses.
func Encode(w io.Writer, t *Trace) error {
	if err := t.Validate(); err != nil {
		return fmt.Errorf("encode evidence: %w", err)
	}
	t = t.sorted()
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("{")
	line(`  "version": %d,`, Version)
	target := fmt.Sprintf(`{"path": %s`, compact(text(t.Target.Path)))
	if t.Target.SHA256 != "" {
		target += fmt.Sprintf(`, "sha256": %s`, compact(t.Target.SHA256))
	}
	if t.Target.BuildID != "" {
		target += fmt.Sprintf(`, "build_id": %s`, compact(t.Target.BuildID))
	}
	if len(t.Target.Libraries) == 0 {
		line(`  "target": %s},`, target)
	} else {
		line(`  "target": %s, "libraries": [`, target)
		for i, l := range t.Target.Libraries {
			line(`    %s%s`, compact(fileLibrary{text(l.Path), l.BuildID}), comma(i, len(t.Target.Libraries)))
		}
		line(`  ]},`)
	}
	line(`  "arch": %s,`, compact(t.Arch.String()))
	line(`  "kernel": %s,`, compact(text(t.Kernel)))
	line(`  "runs": %d,`, t.Runs)
	line(`  "clean_runs": %d,`, t.CleanRuns)
	if t.AtLeast {
		line(`  "at_least": true,`)
	}
	details := ""
	if t.Lost.Details != 0 {
		details = fmt.Sprintf(`, "details": %d`, t.Lost.Details)
	}
	line(`  "lost": {"tasks": %d, "beyond": %d, "late": %d%s},`, t.Lost.Tasks, t.Lost.Beyond, t.Lost.Late, details)
	if len(t.Operations) > 0 {
		line(`  "operations": [`)
		for i, op := range t.Operations {
			line(`    %s%s`, compact(fileOperation{&op.Code, op.Name}), comma(i, len(t.Operations)))
		}
		line(`  ],`)
	}
	line(`  "observations": [`)
	for i, o := range t.Observations {
		line(`    %s%s`, compact(newFileObservation(o)), comma(i, len(t.Observations)))
	}
	line("  ]")
	line("}")
	_, err := w.Write(b.Bytes())
	return err
}

// compact is v as JSON on one line. The types of this file cannot fail to encode.
func compact(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return string(bytes.TrimSpace(b.Bytes()))
}

func comma(i, n int) string {
	if i == n-1 {
		return ""
	}
	return ","
}

// Decode reads an evidence file of this version or of the first. It refuses what
// Encode never wrote: another version, unknown, repeated or missing members,
// trailing data, a name that contradicts its number, counts and lists that cannot
// be. The trace comes out sorted.
func Decode(r io.Reader) (*Trace, error) {
	t, err := decode(r)
	if err != nil {
		return nil, fmt.Errorf("decode evidence: %w", err)
	}
	return t, nil
}

func decode(r io.Reader) (*Trace, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxSize {
		return nil, fmt.Errorf("larger than %d bytes", MaxSize)
	}
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8")
	}
	members, err := checkMembers(data)
	if err != nil {
		return nil, err
	}
	var version struct {
		Version *uint64 `json:"version"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, err
	}
	if version.Version == nil {
		return nil, errors.New(`"version" is missing; this is no evidence file`)
	}
	switch *version.Version {
	case Version:
	case 1:
		for _, name := range second() {
			if slices.Contains(members, name) {
				return nil, fmt.Errorf("version 1 has no member %q", name)
			}
		}
	default:
		return nil, fmt.Errorf("version %d; this program reads versions 1 and %d", *version.Version, Version)
	}
	var f fileTrace
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, err
	}
	t, err := f.trace()
	if err != nil {
		return nil, err
	}
	if err := t.Validate(); err != nil {
		return nil, err
	}
	return t.sorted(), nil
}

// maxDepth is more than the depth of any evidence file.
const maxDepth = 8

// checkMembers refuses what encoding/json lets pass: repeated members, members
// whose name matches but for case, and data behind the value. It returns the names
// of all members, at whatever depth.
func checkMembers(data []byte) ([]string, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var open []map[string]bool // the members of each open object, nil for an array
	var names []string
	key := false
	for {
		token, err := d.Token()
		if err == io.EOF {
			return nil, io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		switch token {
		case json.Delim('{'):
			open = append(open, map[string]bool{})
		case json.Delim('['):
			open = append(open, nil)
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		default:
			if !key {
				break
			}
			name := token.(string)
			if !plain(name) {
				return nil, fmt.Errorf("unknown member %q", name)
			}
			if open[len(open)-1][name] {
				return nil, fmt.Errorf("member %q is repeated", name)
			}
			open[len(open)-1][name] = true
			names = append(names, name)
			key = false
			continue
		}
		if len(open) > maxDepth {
			return nil, fmt.Errorf("nested deeper than %d", maxDepth)
		}
		if len(open) == 0 {
			if _, err := d.Token(); err != io.EOF {
				return nil, fmt.Errorf("data after the end, at byte %d", d.InputOffset())
			}
			return names, nil
		}
		key = open[len(open)-1] != nil
	}
}

// plain reports whether a name is spelled in the letters that this file uses.
// encoding/json matches names without regard to case, in all of Unicode.
func plain(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}
