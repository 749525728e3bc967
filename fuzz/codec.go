package fuzz

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// scenarioVersion is the version of the scenario file that this package writes and reads.
const scenarioVersion = 1

// maxStored bounds what is read of one stored file.
const maxStored = 64 << 20

// scenarioFile is the JSON form of a scenario. Input and file contents lie
// beside it, as files that a shell can use; the ID covers them.
type scenarioFile struct {
	Version int    `json:"version"`
	Argv    []word `json:"argv"`
	Env     []word `json:"env,omitempty"`
	Stdin   string `json:"stdin"`
	Files   []word `json:"files,omitempty"`

	// What is varied of the World; a scenario that varies none of it has none of these.
	Stdout    string   `json:"stdout,omitempty"`
	Stderr    string   `json:"stderr,omitempty"`
	Input     string   `json:"input,omitempty"`
	FileKinds []string `json:"file_kinds,omitempty"` // as many as Files
	Faults    []string `json:"faults,omitempty"`
	Kernel    string   `json:"kernel,omitempty"`
	Limits    []string `json:"limits,omitempty"`
	User      string   `json:"user,omitempty"`
	Signal    string   `json:"signal,omitempty"`
	Clock     string   `json:"clock,omitempty"`
	Times     string   `json:"times,omitempty"`
	Peers     string   `json:"peers,omitempty"`
	Call      string   `json:"call,omitempty"`

	Before []stepFile `json:"before,omitempty"`
	Acts   []actFile  `json:"acts,omitempty"`
}

// stepFile is the JSON form of a Step.
type stepFile struct {
	Argv  []word    `json:"argv"`
	Env   []word    `json:"env,omitempty"`
	Stdin word      `json:"stdin,omitempty"` // as Step.Stdin
	Acts  []actFile `json:"acts,omitempty"`
}

// actFile is the JSON form of an Act.
type actFile struct {
	Do     string `json:"do"`
	To     word   `json:"to,omitempty"`
	Client uint8  `json:"client,omitempty"`
	Data   word   `json:"data,omitempty"`
	Times  int    `json:"times,omitempty"`
	Signal string `json:"signal,omitempty"`
}

// word is a string of any bytes: as JSON a string where it is UTF-8, else {"base64": "..."}.
type word string

type wordBytes struct {
	Base64 []byte `json:"base64"`
}

func (w word) MarshalJSON() ([]byte, error) {
	if !utf8.ValidString(string(w)) {
		return marshal(wordBytes{[]byte(w)})
	}
	return marshal(string(w))
}

func (w *word) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		var raw wordBytes
		if err := unmarshal(b, &raw); err != nil {
			return err
		}
		if utf8.Valid(raw.Base64) {
			return errors.New("a word in base64 that is UTF-8") // one form only, so that equal scenarios are equal files
		}
		*w = word(raw.Base64)
		return nil
	}
	if bytes.Equal(b, []byte("null")) {
		return errors.New("a word that is null")
	}
	var s string
	err := json.Unmarshal(b, &s)
	*w = word(s)
	return err
}

// marshal is json.Marshal without the escapes that are for HTML only.
func marshal(v any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(out.Bytes(), "\n"), nil
}

// unmarshal refuses unknown fields and anything after the value.
func unmarshal(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("data after the end")
	}
	return nil
}

// encodeScenario writes the JSON form. Equal scenarios give equal bytes.
func encodeScenario(s *Scenario) ([]byte, error) {
	f := scenarioFile{Version: scenarioVersion, Argv: toWords(s.Argv), Env: toWords(s.Env), Stdin: s.Stdin.String()}
	for _, file := range s.Files {
		f.Files = append(f.Files, word(file.Name))
	}
	f.encodeWorld(s)
	for _, step := range s.Before {
		f.Before = append(f.Before, stepFile{toWords(step.Argv), toWords(step.Env), word(step.Stdin), encodeActs(step.Acts)})
	}
	f.Acts = encodeActs(s.Acts)
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(f); err != nil {
		return nil, fmt.Errorf("encode scenario: %w", err)
	}
	return out.Bytes(), nil
}

// decodeScenario is the strict inverse of encodeScenario. Input is not in the
// JSON form, and Files come without their data.
func decodeScenario(b []byte) (Scenario, error) {
	var f scenarioFile
	if err := unmarshal(b, &f); err != nil {
		return Scenario{}, fmt.Errorf("decode scenario: %w", err)
	}
	if f.Version != scenarioVersion {
		return Scenario{}, fmt.Errorf("decode scenario: version %d, this program reads %d", f.Version, scenarioVersion)
	}
	s := Scenario{Argv: fromWords(f.Argv), Env: fromWords(f.Env)}
	var err error
	if s.Stdin, err = parse(f.Stdin, stdinKinds); err != nil {
		return Scenario{}, fmt.Errorf("decode scenario: kind of standard input: %w", err)
	}
	for _, name := range f.Files {
		s.Files = append(s.Files, File{Name: string(name)})
	}
	for _, step := range f.Before {
		acts, err := decodeActs(step.Acts)
		if err != nil {
			return Scenario{}, fmt.Errorf("decode scenario: a step: %w", err)
		}
		s.Before = append(s.Before, Step{fromWords(step.Argv), fromWords(step.Env), string(step.Stdin), acts})
	}
	if s.Acts, err = decodeActs(f.Acts); err != nil {
		return Scenario{}, fmt.Errorf("decode scenario: %w", err)
	}
	if err := f.decodeWorld(&s); err != nil {
		return Scenario{}, fmt.Errorf("decode scenario: %w", err)
	}
	if err := s.Check(); err != nil {
		return Scenario{}, fmt.Errorf("decode scenario: %w", err)
	}
	return s, nil
}

// encodeWorld leaves out all that is as usual.
func (f *scenarioFile) encodeWorld(s *Scenario) {
	if w := &s.World; w.Stdout != OutputFile {
		f.Stdout = w.Stdout.String()
	}
	if w := &s.World; w.Stderr != OutputFile {
		f.Stderr = w.Stderr.String()
	}
	if w := &s.World; w.Input != FileRegular {
		f.Input = w.Input.String()
	}
	if slices.ContainsFunc(s.Files, func(f File) bool { return f.Kind != FileRegular }) {
		for _, file := range s.Files {
			f.FileKinds = append(f.FileKinds, file.Kind.String())
		}
	}
	for _, fault := range s.World.Faults {
		f.Faults = append(f.Faults, fault.String())
	}
	if w := &s.World; w.Kernel != KernelHost {
		f.Kernel = w.Kernel.String()
	}
	for _, l := range s.World.Limits {
		f.Limits = append(f.Limits, l.String())
	}
	f.User = string(s.World.User)
	if w := &s.World; w.Interruption != (Interruption{}) {
		f.Signal = w.Interruption.String()
	}
	if w := &s.World; w.Clock != ClockHost {
		f.Clock = w.Clock.String()
	}
	if w := &s.World; w.Times != TimesMade {
		f.Times = w.Times.String()
	}
	if w := &s.World; w.Peers != (Peers{}) {
		f.Peers = w.Peers.String()
	}
	if w := &s.World; w.Call != (Call{}) {
		f.Call = w.Call.String()
	}
}

// decodeWorld is the strict inverse: what is as usual is not said, so that equal
// scenarios are equal files.
func (f *scenarioFile) decodeWorld(s *Scenario) (err error) {
	if s.World.Stdout, err = varied(f.Stdout, outputKinds); err != nil {
		return fmt.Errorf("kind of standard output: %w", err)
	}
	if s.World.Stderr, err = varied(f.Stderr, outputKinds); err != nil {
		return fmt.Errorf("kind of standard error: %w", err)
	}
	if s.World.Input, err = varied(f.Input, fileKinds); err != nil {
		return fmt.Errorf("kind of the input file: %w", err)
	}
	if s.World.Kernel, err = varied(f.Kernel, kernels); err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	s.World.User = User(f.User)
	if s.World.Clock, err = varied(f.Clock, clocks); err != nil {
		return fmt.Errorf("clock: %w", err)
	}
	if s.World.Times, err = varied(f.Times, fileTimes); err != nil {
		return fmt.Errorf("times of files: %w", err)
	}
	if f.Signal != "" {
		if s.World.Interruption, err = parseInterruption(f.Signal); err != nil {
			return err
		}
	}
	if f.Peers != "" {
		if s.World.Peers, err = parsePeers(f.Peers); err != nil {
			return err
		}
	}
	if f.Call != "" {
		if s.World.Call, err = parseCall(f.Call); err != nil {
			return err
		}
	}
	for _, word := range f.Limits {
		l, err := parseLimit(word)
		if err != nil {
			return err
		}
		s.World.Limits = append(s.World.Limits, l)
	}
	for _, word := range f.Faults {
		fault, err := ParseFault(word)
		if err != nil {
			return err
		}
		s.World.Faults = append(s.World.Faults, fault)
	}
	if f.FileKinds == nil {
		return nil
	}
	if len(f.FileKinds) != len(s.Files) {
		return fmt.Errorf("%d kinds for %d files", len(f.FileKinds), len(s.Files))
	}
	for i, name := range f.FileKinds {
		if s.Files[i].Kind, err = parse(name, fileKinds); err != nil {
			return fmt.Errorf("kind of file %q: %w", s.Files[i].Name, err)
		}
	}
	if !slices.ContainsFunc(s.Files, func(f File) bool { return f.Kind != FileRegular }) {
		return errors.New("all files are regular, which is not said")
	}
	return nil
}

// varied parses the name of a kind that is not the usual one, which has no name.
func varied[K interface {
	~uint8
	String() string
}](name string, kinds K) (K, error) {
	if name == "" {
		return 0, nil
	}
	k, err := parse(name, kinds)
	if err == nil && k == 0 {
		err = fmt.Errorf("%q is the usual, which is not said", name)
	}
	return k, err
}

func encodeActs(acts []Act) (out []actFile) {
	for _, a := range acts {
		f := actFile{Do: a.Do.String(), To: word(a.To), Client: a.Client, Data: word(a.Data), Times: a.Times}
		if a.Signal != 0 {
			f.Signal = unix.SignalName(a.Signal)
		}
		out = append(out, f)
	}
	return out
}

func decodeActs(files []actFile) (out []Act, err error) {
	for _, f := range files {
		a := Act{To: Socket(f.To), Client: f.Client, Times: f.Times}
		if a.Do, err = parse(f.Do, deeds); err != nil {
			return nil, fmt.Errorf("what an act does: %w", err)
		}
		if len(f.Data) > 0 {
			a.Data = []byte(f.Data)
		}
		if f.Signal != "" {
			a.Signal = unix.SignalNum(f.Signal)
			if a.Signal == 0 {
				return nil, fmt.Errorf("%q is no signal", f.Signal)
			}
		}
		out = append(out, a)
	}
	return out, nil
}

func toWords(in []string) []word {
	var out []word
	for _, s := range in {
		out = append(out, word(s))
	}
	return out
}

func fromWords(in []word) []string {
	var out []string
	for _, w := range in {
		out = append(out, string(w))
	}
	return out
}
