package trace

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// MaxSize bounds an evidence file in bytes. A trace of every known syscall with a
// long witness each is far below it.
const MaxSize = 32 << 20

// The evidence file is JSON:
//
//	{
//	  "version": 1,
//	  "target": {"path": "/usr/bin/jq", "sha256": "…", "build_id": "…", "libraries": [
//	    {"path": "/lib/libc.so.6", "build_id": "…"}
//	  ]},
//	  "arch": "x86_64",
//	  "kernel": "6.18.44",
//	  "runs": 100,
//	  "clean_runs": 99,
//	  "lost": {"tasks": 0, "beyond": 0, "late": 0},
//	  "observations": [
//	    {"syscall": "read", "arch": "x86_64", "nr": 0, "runs": 100, "clean_runs": 99, "witness": {"id": "…", "command": "…"}}
//	  ]
//	}
//
// Each observation has its own line, sorted by ABI and number, so that two files
// compare well. The number decides; the name is for readers, and one that
// contradicts the number is an error. A number that no table knows has no
// "syscall". Empty strings and lists are left out; everything else is mandatory. A
// string that is no UTF-8, which a path of Linux may be, is written
// {"base64": "…"}.

// The types of the file. Pointers tell a missing member from a zero.
type (
	fileTrace struct {
		Version      *uint64            `json:"version"`
		Target       *fileTarget        `json:"target"`
		Arch         string             `json:"arch"`
		Kernel       text               `json:"kernel"`
		Runs         *uint64            `json:"runs"`
		CleanRuns    *uint64            `json:"clean_runs"`
		Lost         *fileLost          `json:"lost"`
		Observations *[]fileObservation `json:"observations"`
	}
	fileTarget struct {
		Path      text          `json:"path"`
		SHA256    string        `json:"sha256,omitempty"`
		BuildID   string        `json:"build_id,omitempty"`
		Libraries []fileLibrary `json:"libraries,omitempty"`
	}
	fileLibrary struct {
		Path    text   `json:"path"`
		BuildID string `json:"build_id,omitempty"`
	}
	fileLost struct {
		Tasks  *uint64 `json:"tasks"`
		Beyond *uint64 `json:"beyond"`
		Late   *uint64 `json:"late"`
	}
	fileObservation struct {
		Syscall   string       `json:"syscall,omitempty"`
		Arch      string       `json:"arch"`
		NR        *uint32      `json:"nr"`
		Runs      *uint64      `json:"runs"`
		CleanRuns *uint64      `json:"clean_runs"`
		Witness   *fileWitness `json:"witness,omitempty"`
	}
	fileWitness struct {
		ID      string `json:"id,omitempty"`
		Command text   `json:"command,omitempty"`
	}
)

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
	line(`  "lost": {"tasks": %d, "beyond": %d, "late": %d},`, t.Lost.Tasks, t.Lost.Beyond, t.Lost.Late)
	line(`  "observations": [`)
	for i, o := range t.Observations {
		f := fileObservation{Arch: o.ID.Arch.String(), NR: &o.ID.NR, Runs: &o.Runs, CleanRuns: &o.CleanRuns}
		f.Syscall, _ = o.ID.Name()
		if o.Witness != (Witness{}) {
			f.Witness = &fileWitness{o.Witness.ID, text(o.Witness.Command)}
		}
		line(`    %s%s`, compact(f), comma(i, len(t.Observations)))
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

// Decode reads an evidence file. It refuses what Encode would not write: another
// version, unknown, repeated or missing members, trailing data, a name that
// contradicts its number, counts that cannot be. The trace comes out sorted.
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
	if err := checkMembers(data); err != nil {
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
	if *version.Version != Version {
		return nil, fmt.Errorf("version %d; this program reads version %d", *version.Version, Version)
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
// whose name matches but for case, and data behind the value.
func checkMembers(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var open []map[string]bool // the members of each open object, nil for an array
	key := false
	for {
		token, err := d.Token()
		if err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
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
				return fmt.Errorf("unknown member %q", name)
			}
			if open[len(open)-1][name] {
				return fmt.Errorf("member %q is repeated", name)
			}
			open[len(open)-1][name] = true
			key = false
			continue
		}
		if len(open) > maxDepth {
			return fmt.Errorf("nested deeper than %d", maxDepth)
		}
		if len(open) == 0 {
			if _, err := d.Token(); err != io.EOF {
				return fmt.Errorf("data after the end, at byte %d", d.InputOffset())
			}
			return nil
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

func (f *fileTrace) trace() (*Trace, error) {
	for _, m := range []struct {
		name    string
		missing bool
	}{
		{"target", f.Target == nil},
		{"arch", f.Arch == ""},
		{"runs", f.Runs == nil},
		{"clean_runs", f.CleanRuns == nil},
		{"lost", f.Lost == nil || f.Lost.Tasks == nil || f.Lost.Beyond == nil || f.Lost.Late == nil},
		{"observations", f.Observations == nil},
	} {
		if m.missing {
			return nil, fmt.Errorf("%q is missing or not whole", m.name)
		}
	}
	arch, err := sysno.ParseArch(f.Arch)
	if err != nil {
		return nil, err
	}
	t := &Trace{
		Target: Target{Path: string(f.Target.Path), SHA256: f.Target.SHA256, BuildID: f.Target.BuildID},
		Arch:   arch,
		Kernel: string(f.Kernel),
		Runs:   *f.Runs, CleanRuns: *f.CleanRuns,
		Lost: Lost{Tasks: *f.Lost.Tasks, Beyond: *f.Lost.Beyond, Late: *f.Lost.Late},
	}
	for _, l := range f.Target.Libraries {
		t.Target.Libraries = append(t.Target.Libraries, Library{Path: string(l.Path), BuildID: l.BuildID})
	}
	for i, o := range *f.Observations {
		obs, err := o.observation()
		if err != nil {
			return nil, fmt.Errorf("observations[%d]: %w", i, err)
		}
		t.Observations = append(t.Observations, obs)
	}
	return t, nil
}

func (f *fileObservation) observation() (Observation, error) {
	if f.NR == nil || f.Runs == nil || f.CleanRuns == nil {
		return Observation{}, errors.New(`"nr", "runs" or "clean_runs" is missing`)
	}
	arch, err := sysno.ParseArch(f.Arch)
	if err != nil {
		return Observation{}, err
	}
	o := Observation{ID: sysno.ID{Arch: arch, NR: *f.NR}, Runs: *f.Runs, CleanRuns: *f.CleanRuns}
	if f.Witness != nil {
		o.Witness = Witness{ID: f.Witness.ID, Command: string(f.Witness.Command)}
	}
	if f.Syscall == "" {
		return o, nil
	}
	// A younger program may have named a number that this table does not have yet.
	name, named := o.ID.Name()
	if named && name != f.Syscall {
		return Observation{}, fmt.Errorf("number %d of %v is %q, not %q", *f.NR, arch, name, f.Syscall)
	}
	if id, ok := sysno.Lookup(arch, f.Syscall); ok && id != o.ID {
		return Observation{}, fmt.Errorf("%q is number %d of %v, not %d", f.Syscall, id.NR, arch, *f.NR)
	}
	return o, nil
}

// Validate says what in a trace cannot be: counts that exceed the runs, the same
// syscall twice, an ABI that is none.
func (t *Trace) Validate() error {
	switch {
	case !slices.Contains(sysno.Archs(), t.Arch):
		return errors.New("the machine's architecture is missing")
	case t.CleanRuns > t.Runs:
		return fmt.Errorf("%d clean runs, but %d runs", t.CleanRuns, t.Runs)
	}
	if s := t.Target.SHA256; s != "" && (len(s) != 64 || !isHex(s)) {
		return fmt.Errorf("target: %q is no SHA-256 in lower case hexadecimal", s)
	}
	for _, l := range append([]Library{{t.Target.Path, t.Target.BuildID}}, t.Target.Libraries...) {
		if !isHex(l.BuildID) {
			return fmt.Errorf("%q: build id %q is not lower case hexadecimal", l.Path, l.BuildID)
		}
	}
	seen := make(map[sysno.ID]bool, len(t.Observations))
	for _, o := range t.Observations {
		switch {
		case !slices.Contains(sysno.Archs(), o.ID.Arch):
			return fmt.Errorf("syscall %d has no architecture", o.ID.NR)
		case seen[o.ID]:
			return fmt.Errorf("%v is listed twice", o.ID)
		case o.Runs > t.Runs || o.CleanRuns > t.CleanRuns || o.CleanRuns > o.Runs:
			return fmt.Errorf("%v: seen in %d runs, %d of them clean, but there are %d and %d", o.ID, o.Runs, o.CleanRuns, t.Runs, t.CleanRuns)
		case !utf8.ValidString(o.Witness.ID):
			return fmt.Errorf("%v: the witness's key is no UTF-8", o.ID)
		}
		seen[o.ID] = true
	}
	return nil
}

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// sorted is a copy in canonical order, which shares no list with t.
func (t *Trace) sorted() *Trace {
	c := *t
	c.Target.Libraries = slices.Clone(t.Target.Libraries)
	slices.SortFunc(c.Target.Libraries, Library.compare)
	c.Target.Libraries = slices.Compact(c.Target.Libraries)
	c.Observations = slices.Clone(t.Observations)
	slices.SortFunc(c.Observations, func(a, b Observation) int { return a.ID.Compare(b.ID) })
	return &c
}

func (l Library) compare(o Library) int {
	return cmp.Or(cmp.Compare(l.Path, o.Path), cmp.Compare(l.BuildID, o.BuildID))
}

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
