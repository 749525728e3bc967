package trace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// ReachVersion is the version of the file that EncodeReach writes. Version 1 had no values
// of arguments, version 2 does not say what is called before main() only.
const ReachVersion = 3

// The file of a Reach is JSON, one line for each syscall; docs/reach.md describes it. The
// number of a syscall decides, its name is for readers.
type (
	fileReach struct {
		Reach    *uint64       `json:"reach"` // the version
		Target   fileTarget    `json:"target"`
		Arch     string        `json:"arch"`
		Complete *bool         `json:"complete"`
		Gaps     []text        `json:"gaps"`
		Assumed  []text        `json:"assumed"`
		Reached  []fileReached `json:"reached"`
	}
	fileReached struct {
		Syscall string     `json:"syscall,omitempty"`
		Arch    string     `json:"arch"`
		NR      *uint32    `json:"nr"`
		Startup bool       `json:"startup,omitempty"`
		Before  bool       `json:"before_main,omitempty"`
		Args    []fileArg  `json:"args,omitempty"`
		Path    []fileStep `json:"path,omitempty"`
		Short   text       `json:"short,omitempty"`
	}
	fileStep struct {
		Link     string `json:"link"`
		Module   text   `json:"module"`
		Function text   `json:"function,omitempty"`
		Offset   hex    `json:"address"`
	}
)

func texts(words []string) []text {
	all := make([]text, 0, len(words))
	for _, w := range words {
		all = append(all, text(w))
	}
	return all
}

func words(texts []text) []string {
	var all []string
	for _, t := range texts {
		all = append(all, string(t))
	}
	return all
}

// EncodeReach writes r as a file, the same bytes for the same meaning.
func EncodeReach(w io.Writer, r *Reach) error {
	if err := r.validate(); err != nil {
		return fmt.Errorf("encode what is reached: %w", err)
	}
	target := fileTarget{Path: text(r.Target.Path), SHA256: r.Target.SHA256, BuildID: r.Target.BuildID}
	for _, l := range r.Target.Libraries {
		target.Libraries = append(target.Libraries, fileLibrary{text(l.Path), l.BuildID})
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\n  \"reach\": %d,\n  \"target\": %s,\n  \"arch\": %s,\n  \"complete\": %v,\n", ReachVersion, compact(target), compact(r.Arch.String()), r.Complete())
	fmt.Fprintf(&b, "  \"gaps\": %s,\n  \"assumed\": %s,\n  \"reached\": [\n", compact(texts(r.Gaps)), compact(texts(r.Assumed)))
	for i, x := range r.Reached {
		f := fileReached{Arch: x.ID.Arch.String(), NR: &x.ID.NR, Startup: x.Startup, Before: x.BeforeMain, Args: newFileArgs(x.Args), Short: text(x.Short)}
		f.Syscall, _ = x.ID.Name()
		for _, s := range x.Path {
			f.Path = append(f.Path, fileStep{string(s.Link), text(s.Module), text(s.Function), hex(s.Offset)})
		}
		fmt.Fprintf(&b, "    %s%s\n", compact(f), comma(i, len(r.Reached)))
	}
	b.WriteString("  ]\n}\n")
	_, err := w.Write(b.Bytes())
	return err
}

// DecodeReach reads what EncodeReach writes.
func DecodeReach(in io.Reader) (*Reach, error) {
	data, err := io.ReadAll(io.LimitReader(in, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read what is reached: %w", err)
	}
	if len(data) > MaxSize {
		return nil, fmt.Errorf("read what is reached: more than %d MiB", MaxSize>>20)
	}
	r, err := decodeReach(data)
	if err != nil {
		return nil, fmt.Errorf("read what is reached: %w", err)
	}
	return r, nil
}

func decodeReach(data []byte) (*Reach, error) {
	if _, err := checkMembers(data); err != nil {
		return nil, err
	}
	var f fileReach
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, err
	}
	switch {
	case f.Reach == nil || f.Complete == nil:
		return nil, errors.New(`"reach" or "complete" is missing; 'tjfuzz analyze --json' writes such a file`)
	case *f.Reach < 1 || *f.Reach > ReachVersion:
		return nil, fmt.Errorf("version %d; this program reads versions 1 to %d", *f.Reach, ReachVersion)
	}
	arch, err := sysno.ParseArch(f.Arch)
	if err != nil {
		return nil, err
	}
	r := &Reach{Target: Target{Path: string(f.Target.Path), SHA256: f.Target.SHA256, BuildID: f.Target.BuildID}, Arch: arch, Gaps: words(f.Gaps), Assumed: words(f.Assumed)}
	for _, l := range f.Target.Libraries {
		r.Target.Libraries = append(r.Target.Libraries, Library{string(l.Path), l.BuildID})
	}
	for i, x := range f.Reached {
		if x.NR == nil {
			return nil, fmt.Errorf(`reached[%d]: "nr" is missing`, i)
		}
		a, err := sysno.ParseArch(x.Arch)
		if err != nil {
			return nil, fmt.Errorf("reached[%d]: %w", i, err)
		}
		y := Reached{ID: sysno.ID{Arch: a, NR: *x.NR}, Startup: x.Startup, BeforeMain: x.Before, Short: string(x.Short)}
		if name, named := y.ID.Name(); named && x.Syscall != "" && name != x.Syscall {
			return nil, fmt.Errorf("number %d of %v is %q, not %q", *x.NR, a, name, x.Syscall)
		}
		if y.Args, err = readArgs(x.Args); err != nil {
			return nil, fmt.Errorf("reached[%d]: %w", i, err)
		}
		for _, s := range x.Path {
			y.Path = append(y.Path, Step{string(s.Module), string(s.Function), uint64(s.Offset), Link(s.Link)})
		}
		r.Reached = append(r.Reached, y)
	}
	if *f.Complete != r.Complete() {
		return nil, errors.New(`"complete" contradicts "gaps"`)
	}
	return r, r.validate()
}

// validate checks what readers rely on.
func (r *Reach) validate() error {
	if r.Arch == sysno.ArchInvalid || r.Target.Path == "" {
		return errors.New("no architecture or no target")
	}
	for i, x := range r.Reached {
		if !x.ID.Valid() || i > 0 && r.Reached[i-1].ID.Compare(x.ID) >= 0 {
			return fmt.Errorf("syscall %v is invalid, repeated or not in order", x.ID)
		}
		if err := validateArgs(x.Args); err != nil {
			return fmt.Errorf("%v: %w", x.ID, err)
		}
		for _, s := range x.Path {
			if !slices.Contains([]Link{Begin, Called, Jumped, Pointer, Datum, Found, Exec}, s.Link) {
				return fmt.Errorf("%v is reached by the unknown link %q", x.ID, s.Link)
			}
		}
	}
	return nil
}
