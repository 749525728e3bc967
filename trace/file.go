package trace

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// The types of the evidence file. Pointers tell a missing member from a zero.
type (
	fileTrace struct {
		Version      *uint64            `json:"version"`
		Target       *fileTarget        `json:"target"`
		Arch         string             `json:"arch"`
		Kernel       text               `json:"kernel"`
		Runs         *uint64            `json:"runs"`
		CleanRuns    *uint64            `json:"clean_runs"`
		AtLeast      bool               `json:"at_least"`
		Lost         *fileLost          `json:"lost"`
		Operations   []fileOperation    `json:"operations"`
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
		Tasks   *uint64 `json:"tasks"`
		Beyond  *uint64 `json:"beyond"`
		Late    *uint64 `json:"late"`
		Details uint64  `json:"details"`
	}
	fileOperation struct {
		Code *uint8 `json:"code"`
		Name string `json:"name,omitempty"`
	}
	fileObservation struct {
		Syscall   string       `json:"syscall,omitempty"`
		Arch      string       `json:"arch"`
		NR        *uint32      `json:"nr"`
		Runs      *uint64      `json:"runs"`
		CleanRuns *uint64      `json:"clean_runs"`
		Phases    []string     `json:"phases,omitempty"`
		Returns   *fileReturns `json:"returns,omitempty"`
		Args      []fileArg    `json:"args,omitempty"`
		Sites     []fileSite   `json:"sites,omitempty"`
		MoreSites bool         `json:"more_sites,omitempty"`
		Witness   *fileWitness `json:"witness,omitempty"`
	}
	fileReturns struct {
		Success bool     `json:"success,omitempty"`
		Errnos  []uint16 `json:"errnos,omitempty"`
		Refused bool     `json:"refused,omitempty"`
	}
	fileArg struct {
		Index  *int  `json:"index"`
		Values []hex `json:"values,omitempty"`
		Any    bool  `json:"any,omitempty"`
	}
	fileSite struct {
		Module  text   `json:"module,omitempty"`
		BuildID string `json:"build_id,omitempty"`
		Offset  *hex   `json:"offset"`
		Symbol  text   `json:"symbol,omitempty"`
	}
	fileWitness struct {
		ID      string `json:"id,omitempty"`
		Command text   `json:"command,omitempty"`
	}
)

// second are the members that version 1 of the file did not have.
func second() []string {
	return []string{"at_least", "details", "operations", "phases", "returns", "args", "sites", "more_sites"}
}

// phaseNames are the names of phases in the file, in the order of the bits.
func phaseNames() []string { return []string{"startup", "main"} }

func newFileObservation(o Observation) fileObservation {
	f := fileObservation{Arch: o.ID.Arch.String(), NR: &o.ID.NR, Runs: &o.Runs, CleanRuns: &o.CleanRuns, MoreSites: o.MoreSites}
	f.Syscall, _ = o.ID.Name()
	f.Phases = o.Phases.Words()
	if o.Returns.known() || o.Returns.Refused {
		f.Returns = &fileReturns{o.Returns.Success, o.Returns.Errnos, o.Returns.Refused}
	}
	f.Args = newFileArgs(o.Args)
	for _, s := range o.Sites {
		offset := hex(s.Offset)
		f.Sites = append(f.Sites, fileSite{text(s.Module), s.BuildID, &offset, text(s.Symbol)})
	}
	if o.Witness != (Witness{}) {
		f.Witness = &fileWitness{o.Witness.ID, text(o.Witness.Command)}
	}
	return f
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
		Runs:   *f.Runs, CleanRuns: *f.CleanRuns, AtLeast: f.AtLeast,
		Lost: Lost{Tasks: *f.Lost.Tasks, Beyond: *f.Lost.Beyond, Late: *f.Lost.Late, Details: f.Lost.Details},
	}
	for _, l := range f.Target.Libraries {
		t.Target.Libraries = append(t.Target.Libraries, Library{Path: string(l.Path), BuildID: l.BuildID})
	}
	for i, op := range f.Operations {
		if op.Code == nil {
			return nil, fmt.Errorf(`operations[%d]: "code" is missing`, i)
		}
		t.Operations = append(t.Operations, Operation{Code: *op.Code, Name: op.Name})
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
	o := Observation{ID: sysno.ID{Arch: arch, NR: *f.NR}, Runs: *f.Runs, CleanRuns: *f.CleanRuns, MoreSites: f.MoreSites}
	if err := f.details(&o); err != nil {
		return Observation{}, err
	}
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

func newFileArgs(args []Arg) []fileArg {
	var all []fileArg
	for _, a := range args {
		arg := fileArg{Index: &a.Index, Any: a.Any}
		for _, v := range a.Values {
			arg.Values = append(arg.Values, hex(v))
		}
		all = append(all, arg)
	}
	return all
}

// readArgs is the inverse of newFileArgs.
func readArgs(files []fileArg) ([]Arg, error) {
	var all []Arg
	for _, a := range files {
		if a.Index == nil {
			return nil, errors.New(`an argument's "index" is missing`)
		}
		arg := Arg{Index: *a.Index, Any: a.Any}
		for _, v := range a.Values {
			arg.Values = append(arg.Values, uint64(v))
		}
		all = append(all, arg)
	}
	return all, nil
}

// details reads what version 2 of the file added to an observation.
func (f *fileObservation) details(o *Observation) error {
	for _, name := range f.Phases {
		i := slices.Index(phaseNames(), name)
		if i < 0 || o.Phases&(1<<i) != 0 {
			return fmt.Errorf("phase %q is unknown or listed twice", name)
		}
		o.Phases |= 1 << i
	}
	if f.Returns != nil {
		o.Returns = Returns{Success: f.Returns.Success, Errnos: f.Returns.Errnos, Refused: f.Returns.Refused}
	}
	var err error
	if o.Args, err = readArgs(f.Args); err != nil {
		return err
	}
	for _, s := range f.Sites {
		if s.Offset == nil {
			return errors.New(`a call site's "offset" is missing`)
		}
		o.Sites = append(o.Sites, Site{Module: string(s.Module), BuildID: s.BuildID, Offset: uint64(*s.Offset), Symbol: string(s.Symbol)})
	}
	return nil
}
