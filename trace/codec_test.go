package trace

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

var update = flag.Bool("update", false, "write the golden files")

// sample is a trace with one of everything that the file can say.
func sample() *Trace {
	return &Trace{
		Target: Target{
			Path: "/usr/bin/jq", SHA256: strings.Repeat("a1", 32), BuildID: "00ff",
			Libraries: []Library{{"/lib/b.so", "bb"}, {"/lib/a.so", ""}},
		},
		Arch: sysno.AMD64, Kernel: "6.18.44", Runs: 100, CleanRuns: 99, AtLeast: true,
		Operations: []Operation{{Code: 1, Name: "READV"}, {Code: 200}},
		Observations: []Observation{
			{
				ID: sysno.ID{Arch: sysno.AMD64, NR: 257}, Runs: 100, CleanRuns: 99, Phases: PhaseStartup | PhaseMain,
				Returns: Returns{Success: true, Errnos: []uint16{2, 13}},
				Args:    []Arg{{Index: 2, Values: []uint64{0, 0x80000, 1<<64 - 1}}, {Index: 3, Any: true}},
				Sites: []Site{
					{Offset: 0x7f},
					{Module: "/lib/a\xff.so", Offset: 0xe, Symbol: "f"},
					{Module: "/lib/b.so", BuildID: "bb", Offset: 0x1139, Symbol: "open64+0x12"},
				},
				MoreSites: true, Witness: Witness{"w1", "jq . <a> & 'b'"},
			},
			{ID: sysno.ID{Arch: sysno.I386, NR: 3}, Runs: 1, CleanRuns: 0, Phases: PhaseMain, Returns: Returns{Refused: true}},
			{ID: sysno.ID{Arch: sysno.AMD64, NR: 59}, Runs: 100, CleanRuns: 99, Witness: Witness{"", "jq \xff"}},
			{ID: sysno.ID{Arch: sysno.AMD64, NR: 99999}, Runs: 2, CleanRuns: 1},
		},
		Lost: Lost{Tasks: 1, Beyond: 2, Late: 3, Details: 4},
	}
}

// plainSample is what version 1 of the file can say of the sample.
func plainSample() *Trace {
	tr := sample()
	tr.AtLeast, tr.Operations, tr.Lost.Details = false, nil, 0
	for i, o := range tr.Observations {
		tr.Observations[i] = Observation{ID: o.ID, Runs: o.Runs, CleanRuns: o.CleanRuns, Witness: o.Witness}
	}
	return tr
}

// file reads a file of testdata.
func file(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func encode(t testing.TB, tr *Trace) string {
	t.Helper()
	var b bytes.Buffer
	if err := Encode(&b, tr); err != nil {
		t.Fatalf("encode: %v", err)
	}
	return b.String()
}

func TestTheFileHasOneObservationALineWithNameAndNumber(t *testing.T) {
	got := encode(t, sample())
	if *update {
		if err := os.WriteFile("testdata/evidence.json", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(file(t, "evidence.json"), got); diff != "" {
		t.Errorf("-update writes it anew (-want +got)\n%s", diff)
	}
}

// The description is for those who do not read this code.
func TestTheExampleInTheDocumentationIsAFile(t *testing.T) {
	doc, err := os.ReadFile("../docs/evidence.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(doc), "```json\n")
	example, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("docs/evidence.md has no example")
	}
	tr, err := Decode(strings.NewReader(example))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(example, encode(t, tr)); diff != "" {
		t.Errorf("(-docs/evidence.md +encoded)\n%s", diff)
	}
	for _, name := range second() {
		if !strings.Contains(string(doc), "`"+name+"`") {
			t.Errorf("docs/evidence.md does not describe %q", name)
		}
	}
}

func TestTheFirstVersionIsStillRead(t *testing.T) {
	got, err := Decode(strings.NewReader(file(t, "version1.json")))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plainSample().sorted(), got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestWhatTheFirstVersionCouldNotSayHasNoPlaceInTheFile(t *testing.T) {
	got := strings.Replace(encode(t, plainSample()), `"version": 2`, `"version": 1`, 1)
	if diff := cmp.Diff(file(t, "version1.json"), got); diff != "" {
		t.Errorf("(-version 1 +version 2)\n%s", diff)
	}
}

func TestTheFirstVersionHasNoMembersOfTheSecond(t *testing.T) {
	version1 := strings.Replace(file(t, "evidence.json"), `"version": 2`, `"version": 1`, 1)
	for _, name := range second() {
		if !strings.Contains(version1, `"`+name+`":`) {
			t.Errorf("the sample lacks %q", name)
		}
	}
	plain := file(t, "version1.json")
	for name, c := range map[string][2]string{
		"at_least":   {`"lost"`, `"at_least": false, "lost"`},
		"details":    {`"late": 3`, `"late": 3, "details": 0`},
		"operations": {`"observations"`, `"operations": [], "observations"`},
		"phases":     {`"runs":1,`, `"phases":[],"runs":1,`},
		"returns":    {`"runs":1,`, `"returns":null,"runs":1,`},
		"args":       {`"runs":1,`, `"args":[],"runs":1,`},
		"sites":      {`"runs":1,`, `"sites":[],"runs":1,`},
		"more_sites": {`"runs":1,`, `"more_sites":false,"runs":1,`},
	} {
		_, err := Decode(strings.NewReader(strings.Replace(plain, c[0], c[1], 1)))
		if want := fmt.Sprintf("version 1 has no member %q", name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one with %q", err, want)
		}
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
	sampleFile := file(t, "evidence.json")
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
	for range 50 {
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
	sampleFile := file(t, "evidence.json")
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
		{"another version", edit(`"version": 2`, `"version": 3`), "version 3; this program reads versions 1 and 2"},
		{"half a file", sampleFile[:len(sampleFile)/2], "EOF"},
		{"trailing data", sampleFile + "{}", "data after the end"},
		{"an unknown member", edit(`"kernel"`, `"colonel"`), `unknown field "colonel"`},
		{"a miscased member", edit(`"kernel"`, `"Kernel"`), `unknown member "Kernel"`},
		{"a member that folds in Unicode", edit(`"runs"`, `"run`+"\u017f"+`"`), "unknown member"},
		{"a repeated member", edit(`"kernel": "6.18.44",`, `"kernel": "a", "kernel": "b",`), `member "kernel" is repeated`},
		{"a missing loss", edit(`  "lost": {"tasks": 1, "beyond": 2, "late": 3, "details": 4},`+"\n", ""), `"lost" is missing`},
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
		{"an unknown phase", edit(`"startup"`, `"later"`), `phase "later" is unknown`},
		{"a phase twice", edit(`"startup"`, `"main"`), `phase "main" is unknown or listed twice`},
		{"an errno of zero", edit(`[2,13]`, `[0]`), "openat: errno 0 is not between"},
		{"an errno that is none", edit(`[2,13]`, `[4096]`), "errno 4096 is not between"},
		{"errnos out of order", edit(`[2,13]`, `[13,2]`), "errno 2 is out of order"},
		{"an argument without its number", edit(`"index":2,`, ""), `an argument's "index" is missing`},
		{"an argument past the registers", edit(`"index":3`, `"index":6`), "argument 6: there are only 0 to 5"},
		{"an argument twice", edit(`"index":3`, `"index":2`), "argument 2 is out of order or listed twice"},
		{"any value and some", edit(`"any":true`, `"any":true,"values":["0x1"]`), "argument 3: any value, and a list"},
		{"an argument without values", edit(`,"any":true`, ""), "argument 3: no value"},
		{"values out of order", edit(`"0x0","0x80000"`, `"0x80000","0x0"`), "value 0x0 is out of order"},
		{"too many values", edit(`"0x0","0x80000"`, `"0x`+strings.Join(manyHex(MaxValues), `","0x`)+`"`), "33 values; at most 32 are told apart"},
		{"a value in base 10", edit(`"0x80000"`, `"524288"`), `"524288" is no number of 64 bits in lower case hexadecimal`},
		{"a value in capitals", edit(`"0x1139"`, `"0x11AB"`), "no number of 64 bits"},
		{"a value beyond 64 bits", edit(`"0x1139"`, `"0x10000000000000000"`), "no number of 64 bits"},
		{"a call site without its place", edit(`"offset":"0x1139",`, ""), `a call site's "offset" is missing`},
		{"a call site out of order", edit(`"/lib/b.so","build_id":"bb","offset"`, `"/","offset"`), `call site 0x1139 in "/" is out of order`},
		{"a call site with a build id that is none", edit(`"bb","offset"`, `"BB","offset"`), "not lower case hexadecimal"},
		{"an operation without its number", edit(`"code":200`, ""), `operations[1]: "code" is missing`},
		{"an operation beyond 8 bits", edit(`"code":200`, `"code":256`), "cannot unmarshal number 256"},
		{"an operation twice", edit(`"code":200`, `"code":1`), "io_uring operation 1 is out of order or listed twice"},
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

// manyHex are the numbers below n in base 16.
func manyHex(n int) []string {
	words := make([]string, n)
	for i := range words {
		words[i] = fmt.Sprintf("%x", i)
	}
	return words
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
	younger := strings.Replace(file(t, "evidence.json"), `{"arch":"x86_64","nr":99999`, `{"syscall":"from_the_future","arch":"x86_64","nr":99999`, 1)
	got, err := Decode(strings.NewReader(younger))
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
		"a phase that is none":      func(t *Trace) { t.Observations[0].Phases = 4 },
		"a negative argument":       func(t *Trace) { t.Observations[0].Args[0].Index = -1 },
		"too many call sites": func(t *Trace) {
			t.Observations[0].Sites = nil
			for i := range uint64(MaxSites + 1) {
				t.Observations[0].Sites = append(t.Observations[0].Sites, Site{Offset: i})
			}
		},
		"an operation's name in no UTF-8": func(t *Trace) { t.Operations[0].Name = "\xff" },
	} {
		tr := sample()
		spoil(tr)
		if err := Encode(&bytes.Buffer{}, tr); err == nil {
			t.Errorf("%s: encoded", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(file(f, "evidence.json")))
	f.Add([]byte(file(f, "version1.json")))
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
		Lost:   Lost{Tasks: r.Uint64N(3), Beyond: r.Uint64N(3), Late: r.Uint64N(3), Details: r.Uint64N(3)},
	}
	tr.AtLeast = r.IntN(2) == 0
	for code := range uint8(10) {
		if r.IntN(4) == 0 {
			tr.Operations = append(tr.Operations, Operation{code, []string{"", "NOP"}[r.IntN(2)]})
		}
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
	for range r.IntN(12) {
		id := sysno.ID{Arch: archs[r.IntN(len(archs))], NR: r.Uint32N(20)}
		if seen[id] {
			continue
		}
		seen[id] = true
		o := Observation{ID: id, Runs: r.Uint64N(tr.Runs + 1), Witness: Witness{[]string{"", "w1", "w2"}[r.IntN(3)], pick()}}
		o.CleanRuns = r.Uint64N(min(o.Runs, tr.CleanRuns) + 1)
		randomDetails(r, &o)
		tr.Observations = append(tr.Observations, o)
	}
	return tr
}

// randomDetails fills in what may or may not be recorded of a syscall: few enough
// different values that two traces share some, enough that lists overflow.
func randomDetails(r *rand.Rand, o *Observation) {
	maybe := func() bool { return r.IntN(2) == 0 }
	o.Phases = Phase(r.IntN(4))
	if maybe() {
		o.Returns = Returns{Success: maybe(), Refused: maybe()}
		for e := uint16(1); e < 8; e++ {
			if maybe() {
				o.Returns.Errnos = append(o.Returns.Errnos, e)
			}
		}
	}
	for i := range registers {
		if maybe() {
			continue
		}
		a := Arg{Index: i, Any: r.IntN(4) == 0}
		if few := r.IntN(MaxValues); !a.Any {
			for v := range few + 1 {
				a.Values = append(a.Values, uint64(v)*uint64(1+few%3))
			}
		}
		o.Args = append(o.Args, a)
	}
	for range r.IntN(MaxSites) {
		s := Site{Offset: r.Uint64N(2 * MaxSites)}
		// What a place is called is a matter of the symbols that are at hand.
		s.Symbol = []string{"", fmt.Sprintf("f+%#x", s.Offset)}[r.IntN(2)]
		if i, known := slices.BinarySearchFunc(o.Sites, s, Site.Compare); !known {
			o.Sites = slices.Insert(o.Sites, i, s)
		}
	}
	o.MoreSites = maybe()
}
