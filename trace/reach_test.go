package trace

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

func someReach() *Reach {
	return &Reach{
		Target: Target{Path: "/bin/x\xff", BuildID: "ab", Libraries: []Library{{"/lib/libc.so.6", "cd"}}},
		Arch:   sysno.AMD64,
		Reached: []Reached{
			{ID: sysno.ID{Arch: sysno.AMD64, NR: 0}, Path: []Step{{"/bin/x\xff", "main", 0x1000, Begin}, {"/lib/libc.so.6", "", 1 << 60, Pointer}}},
			{ID: sysno.ID{Arch: sysno.AMD64, NR: 158}, Startup: true, BeforeMain: true, Args: []Arg{{Index: 0, Values: []uint64{0x1002, 0x1003}}, {Index: 3, Any: true}}},
			{ID: sysno.ID{Arch: sysno.I386, NR: 99999}},
		},
		Gaps: []string{"a", "b"}, Assumed: []string{"c"},
	}
}

func TestReachIsReadAsItWasWritten(t *testing.T) {
	for _, want := range []*Reach{someReach(), {Target: Target{Path: "/x"}, Arch: sysno.AMD64}} {
		var b bytes.Buffer
		if err := EncodeReach(&b, want); err != nil {
			t.Fatal(err)
		}
		got, err := DecodeReach(bytes.NewReader(b.Bytes()))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
}

func TestBrokenReachIsRefused(t *testing.T) {
	var b bytes.Buffer
	if err := EncodeReach(&b, someReach()); err != nil {
		t.Fatal(err)
	}
	for _, r := range [][2]string{
		{`"reach": 3`, `"reach": 4`}, {`"reach": 3`, `"reach": 0`}, {`"reach": 3,`, ``}, {`"complete": false`, `"complete": true`}, {`"read"`, `"write"`},
		{`"link":"begin"`, `"link":"magic"`}, {`"nr":158`, `"nr":0`}, {`"nr":158,`, ``}, {`"arch": "x86_64"`, `"arch": "vax"`}, {`"gaps"`, `"Gaps"`},
		{`"index":3`, `"index":0`}, {`"index":3,`, ``}, {`"0x1002","0x1003"`, `"0x1003","0x1002"`}, {`"any":true`, `"any":false`},
	} {
		broken := strings.Replace(b.String(), r[0], r[1], 1)
		if broken == b.String() {
			t.Fatalf("%s is not in the file", r[0])
		}
		if _, err := DecodeReach(strings.NewReader(broken)); err == nil {
			t.Errorf("%s instead of %s is accepted", r[1], r[0])
		}
	}
}

func TestBeyondIsWhatWasSeenAndIsNotReached(t *testing.T) {
	see := func(arch sysno.Arch, nr uint32) Observation { return Observation{ID: sysno.ID{Arch: arch, NR: nr}} }
	seen := &Trace{Observations: []Observation{see(sysno.AMD64, 0), see(sysno.AMD64, 1), see(sysno.I386, 1), see(sysno.AMD64, 99999)}}
	beyond := someReach().Beyond(seen)
	if len(beyond) != 2 || beyond[0].ID.NR != 1 || beyond[1].ID.Arch != sysno.I386 {
		t.Errorf("beyond are %+v", beyond)
	}
}

func TestFilesWithoutArgumentsAreRead(t *testing.T) {
	old := `{"reach": 1, "target": {"path": "/x"}, "arch": "x86_64", "complete": true, "gaps": [], "assumed": [], "reached": [{"syscall":"read","arch":"x86_64","nr":0}]}`
	r, err := DecodeReach(strings.NewReader(old))
	if err != nil || len(r.Reached) != 1 || r.Reached[0].Args != nil {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestValuesOfArgumentsAreBeyondWhatTheCodeHas(t *testing.T) {
	seen := &Trace{Observations: []Observation{
		{ID: sysno.ID{Arch: sysno.AMD64, NR: 0}, Args: []Arg{{Index: 1, Values: []uint64{7}}}}, // nothing is said of it
		{ID: sysno.ID{Arch: sysno.AMD64, NR: 158}, Args: []Arg{{Index: 0, Values: []uint64{0x1001, 0x1002}}, {Index: 3, Values: []uint64{9}}}},
		{ID: sysno.ID{Arch: sysno.AMD64, NR: 5}, Args: []Arg{{Index: 0, Values: []uint64{1}}}}, // not reached at all
	}}
	got := someReach().BeyondArgs(seen)
	want := []Observation{{ID: sysno.ID{Arch: sysno.AMD64, NR: 158}, Args: []Arg{{Index: 0, Values: []uint64{0x1001}}}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if len(seen.Observations[1].Args) != 2 {
		t.Error("the trace was changed")
	}
}

func FuzzDecodeReach(f *testing.F) {
	var b bytes.Buffer
	if err := EncodeReach(&b, someReach()); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := DecodeReach(bytes.NewReader(data))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := EncodeReach(&b, r); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
	})
}
