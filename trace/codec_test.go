package trace

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// sample is a trace with one of everything that the file can say.
func sample() *Trace {
	return &Trace{
		Target: Target{
			Path: "/usr/bin/jq", SHA256: strings.Repeat("a1", 32), BuildID: "00ff",
			Libraries: []Library{{"/lib/b.so", "bb"}, {"/lib/a.so", ""}},
		},
		Arch: sysno.AMD64, Kernel: "6.18.44", Runs: 100, CleanRuns: 99,
		Observations: []Observation{
			{ID: sysno.ID{Arch: sysno.AMD64, NR: 257}, Runs: 100, CleanRuns: 99, Witness: Witness{"w1", "jq . <a> & 'b'"}},
			{ID: sysno.ID{Arch: sysno.I386, NR: 3}, Runs: 1, CleanRuns: 0},
			{ID: sysno.ID{Arch: sysno.AMD64, NR: 59}, Runs: 100, CleanRuns: 99, Witness: Witness{"", "jq \xff"}},
			{ID: sysno.ID{Arch: sysno.AMD64, NR: 99999}, Runs: 2, CleanRuns: 1},
		},
		Lost: Lost{Tasks: 1, Beyond: 2, Late: 3},
	}
}

const sampleFile = `{
  "version": 1,
  "target": {"path": "/usr/bin/jq", "sha256": "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1", "build_id": "00ff", "libraries": [
    {"path":"/lib/a.so"},
    {"path":"/lib/b.so","build_id":"bb"}
  ]},
  "arch": "x86_64",
  "kernel": "6.18.44",
  "runs": 100,
  "clean_runs": 99,
  "lost": {"tasks": 1, "beyond": 2, "late": 3},
  "observations": [
    {"syscall":"execve","arch":"x86_64","nr":59,"runs":100,"clean_runs":99,"witness":{"command":{"base64":"anEg/w=="}}},
    {"syscall":"openat","arch":"x86_64","nr":257,"runs":100,"clean_runs":99,"witness":{"id":"w1","command":"jq . <a> & 'b'"}},
    {"arch":"x86_64","nr":99999,"runs":2,"clean_runs":1},
    {"syscall":"read","arch":"i386","nr":3,"runs":1,"clean_runs":0}
  ]
}
`

func encode(t testing.TB, tr *Trace) string {
	t.Helper()
	var b bytes.Buffer
	if err := Encode(&b, tr); err != nil {
		t.Fatalf("encode: %v", err)
	}
	return b.String()
}

func TestTheFileHasOneObservationALineWithNameAndNumber(t *testing.T) {
	if diff := cmp.Diff(sampleFile, encode(t, sample())); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestEncodeLeavesItsArgumentAsItIs(t *testing.T) {
	tr := sample()
	encode(t, tr)
	if diff := cmp.Diff(sample(), tr); diff != "" {
		t.Error(diff)
	}
}

func TestTheOrderOfObservationsDoesNotReachTheFile(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		tr := sample()
		r.Shuffle(len(tr.Observations), func(i, j int) {
			tr.Observations[i], tr.Observations[j] = tr.Observations[j], tr.Observations[i]
		})
		r.Shuffle(len(tr.Target.Libraries), func(i, j int) {
			tr.Target.Libraries[i], tr.Target.Libraries[j] = tr.Target.Libraries[j], tr.Target.Libraries[i]
		})
		if got := encode(t, tr); got != sampleFile {
			t.Fatalf("shuffled evidence\n%s", cmp.Diff(sampleFile, got))
		}
	}
}

func TestWhatIsEncodedIsDecoded(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		tr := randomTrace(r)
		got, err := Decode(strings.NewReader(encode(t, tr)))
		if err != nil {
			t.Fatalf("%v\n%s", err, encode(t, tr))
		}
		if diff := cmp.Diff(tr.sorted(), got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-encoded +decoded)\n%s", diff)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	edit := func(old, replacement string) string {
		if !strings.Contains(sampleFile, old) {
			panic("the sample lacks " + old)
		}
		return strings.Replace(sampleFile, old, replacement, 1)
	}
	cases := []struct{ name, file, message string }{
		{"nothing", "", "EOF"},
		{"an empty object", "{}", `"version" is missing; this is no evidence file`},
		{"an OCI profile", `{"defaultAction": "SCMP_ACT_ERRNO"}`, `unknown member "defaultAction"`},
		{"a list", "[]", "cannot unmarshal array"},
		{"another version", edit(`"version": 1`, `"version": 2`), "version 2; this program reads version 1"},
		{"half a file", sampleFile[:len(sampleFile)/2], "EOF"},
		{"trailing data", sampleFile + "{}", "data after the end"},
		{"an unknown member", edit(`"kernel"`, `"colonel"`), `unknown field "colonel"`},
		{"a miscased member", edit(`"kernel"`, `"Kernel"`), `unknown member "Kernel"`},
		{"a member that folds in Unicode", edit(`"runs"`, `"run`+"\u017f"+`"`), "unknown member"},
		{"a repeated member", edit(`"kernel": "6.18.44",`, `"kernel": "a", "kernel": "b",`), `member "kernel" is repeated`},
		{"a missing loss", edit(`  "lost": {"tasks": 1, "beyond": 2, "late": 3},`+"\n", ""), `"lost" is missing`},
		{"half a loss", edit(`"beyond": 2, `, ""), `"lost" is missing or not whole`},
		{"missing runs", edit(`  "runs": 100,`+"\n", ""), `"runs" is missing`},
		{"no observations", sampleFile[:strings.Index(sampleFile, ",\n  \"observations\"")] + "}", `"observations" is missing`},
		{"a missing number", edit(`"nr":59,`, ""), `observations[0]: "nr", "runs" or "clean_runs" is missing`},
		{"a name against its number", edit(`"nr":257`, `"nr":256`), `number 256 of x86_64 is "migrate_pages", not "openat"`},
		{"a known name for an unknown number", edit(`"syscall":"openat","arch":"x86_64","nr":257`, `"syscall":"openat","arch":"x86_64","nr":99998`), `"openat" is number 257 of x86_64, not 99998`},
		{"an unknown architecture", edit(`"arch":"i386"`, `"arch":"vax"`), `unknown architecture "vax"`},
		{"a negative number", edit(`"nr":59`, `"nr":-1`), "cannot unmarshal number -1"},
		{"a number beyond 32 bits", edit(`"nr":59`, `"nr":4294967296`), "cannot unmarshal number 4294967296"},
		{"a syscall twice", edit(`"syscall":"openat","arch":"x86_64","nr":257`, `"syscall":"execve","arch":"x86_64","nr":59`), "execve is listed twice"},
		{"more clean runs than runs", edit(`"clean_runs": 99`, `"clean_runs": 101`), "101 clean runs, but 100 runs"},
		{"an observation in more runs than there are", edit(`"nr":59,"runs":100`, `"nr":59,"runs":101`), "seen in 101 runs"},
		{"a hash that is none", edit(`"sha256": "a1`, `"sha256": "zz`), "no SHA-256"},
		{"a build id that is none", edit(`"00ff"`, `"00FF"`), "not lower case hexadecimal"},
		{"bytes that are no base64", edit("anEg/w==", "?"), "base64"},
		{"an object for a text", edit(`{"base64":"anEg/w=="}`, "{}"), `a text is a string or {"base64": …}`},
		{"bytes that are no UTF-8", edit("6.18", "\xff"), "not UTF-8"},
		{"depth", strings.Repeat("[", 100000), "nested deeper than 8"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Decode(strings.NewReader(c.file))
			if err == nil || !strings.Contains(err.Error(), c.message) {
				t.Errorf("got error %v, want one with %q", err, c.message)
			}
		})
	}
}

func TestDecodeIsBounded(t *testing.T) {
	_, err := Decode(endless{})
	if want := fmt.Sprintf("larger than %d bytes", MaxSize); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got error %v, want one with %q", err, want)
	}
}

// endless is a file without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestANumberThatAYoungerProgramNamedIsKept(t *testing.T) {
	file := strings.Replace(sampleFile, `{"arch":"x86_64","nr":99999`, `{"syscall":"from_the_future","arch":"x86_64","nr":99999`, 1)
	got, err := Decode(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample().sorted(), got); diff != "" {
		t.Error(diff)
	}
}

func TestEncodeRefusesWhatCannotBe(t *testing.T) {
	for name, spoil := range map[string]func(*Trace){
		"no architecture":           func(t *Trace) { t.Arch = sysno.ArchInvalid },
		"an architecture past all":  func(t *Trace) { t.Arch = 200 },
		"an observation of nothing": func(t *Trace) { t.Observations[0].ID.Arch = sysno.ArchInvalid },
		"a witness key in no UTF-8": func(t *Trace) { t.Observations[0].Witness.ID = "\xff" },
	} {
		tr := sample()
		spoil(tr)
		if err := Encode(&bytes.Buffer{}, tr); err == nil {
			t.Errorf("%s: encoded", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(sampleFile))
	f.Add([]byte(`{"version": 1}`))
	f.Add([]byte(`{}{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := Decode(bytes.NewReader(data))
		if err != nil {
			return
		}
		again, err := Decode(strings.NewReader(encode(t, first)))
		if err != nil {
			t.Fatalf("what Decode read and Encode wrote does not decode: %v", err)
		}
		if diff := cmp.Diff(first, again, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-first +again)\n%s", diff)
		}
	})
}

// randomTrace is a valid trace of one fixed program.
func randomTrace(r *rand.Rand) *Trace {
	strange := []string{"", "a", "jq .", "jq -r", "jq \x80\xff", "\u2028<&>\"\\\x00"}
	pick := func() string { return strange[r.IntN(len(strange))] }
	tr := &Trace{
		Target: Target{Path: "/usr/bin/jq" + pick(), SHA256: strings.Repeat("0f", 32)},
		Arch:   sysno.AMD64,
		Kernel: []string{"", "6.1.0", "6.18.44"}[r.IntN(3)],
		Runs:   r.Uint64N(1000),
		Lost:   Lost{Tasks: r.Uint64N(3), Beyond: r.Uint64N(3), Late: r.Uint64N(3)},
	}
	tr.CleanRuns = r.Uint64N(tr.Runs + 1)
	if r.IntN(2) == 0 {
		tr.Target.BuildID = "abcd"
	}
	for range r.IntN(4) {
		tr.Target.Libraries = append(tr.Target.Libraries, Library{Path: "/lib/" + pick(), BuildID: "cd"})
	}
	archs := sysno.Archs()
	seen := map[sysno.ID]bool{}
	for range r.IntN(40) {
		id := sysno.ID{Arch: archs[r.IntN(len(archs))], NR: r.Uint32N(600)}
		if seen[id] {
			continue
		}
		seen[id] = true
		o := Observation{ID: id, Runs: r.Uint64N(tr.Runs + 1), Witness: Witness{[]string{"", "w1", "w2"}[r.IntN(3)], pick()}}
		o.CleanRuns = r.Uint64N(min(o.Runs, tr.CleanRuns) + 1)
		tr.Observations = append(tr.Observations, o)
	}
	return tr
}
