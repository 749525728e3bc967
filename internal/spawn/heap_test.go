package spawn

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"
)

func TestTheHeapIsFoundWithWhatAdjoinsIt(t *testing.T) {
	const maps = `00400000-00572000 r-xp 00000000 fe:00 9997189    /bin/x y
00572000-00573000 rw-p 00172000 fe:00 9997189    /bin/x y
00573000-00574000 rw-p 00000000 00:00 0
32dc1c000000-32dc1d800000 ---p 00000000 00:00 0
32dc1d800000-32dc1dc00000 rw-p 00000000 00:00 0    [anon: Go: heap]
32dc1dc00000-32dc20000000 ---p 00000000 00:00 0
7f3c5d820000-7f3c5da00000 rw-p 00000000 00:00 0
7f3c5da00000-7f3c5da01000 rw-s 00000000 00:10 1038    anon_inode:bpf-map
7f3c5da01000-7f3c5da02000 rw-p 00000000 00:00 0
7f3c5da02000-7f3c5da03000 rw-s 00000000 00:01 0    /dev/zero (deleted)
`
	heap := span{0x32dc1c000000, 0x4000000}
	for _, at := range []uintptr{0x32dc1d800000, 0x32dc1dbfffff} {
		around, bpf := memory([]byte(maps), at)
		if around != heap {
			t.Errorf("around %x: got %x, want %x", at, around, heap)
		}
		if want := []span{{0x7f3c5da00000, 0x1000}}; !slices.Equal(bpf, want) {
			t.Errorf("maps of BPF: got %x, want %x", bpf, want)
		}
	}
	for _, text := range []string{"", "x", "1-2 rw-p 0 0 0\nzz", strings.Replace(maps, "-00574000", "-00000001", 1), maps[:40]} {
		if around, bpf := memory([]byte(text), 0x32dc1d800000); around != (span{}) || bpf != nil {
			t.Errorf("of %q: got %x, %x", text, around, bpf)
		}
	}
}

// What is big in this process is not in its children, whatever the heap has become since it
// was looked for, and they start all the same.
func TestChildrenHaveNothingOfTheHeap(t *testing.T) {
	var kept [][]byte
	for range 70 {
		kept = append(kept, make([]byte, 1<<20))
		b := kept[len(kept)-1]
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		st, err := start(t, &Spec{Init: true}, Limits{}, "exit 7")
		if err != nil || st.ExitStatus() != 7 {
			t.Fatalf("got %+v, %v, want exit 7", st, err)
		}
	}
	at := uintptr(unsafe.Pointer(&kept[0][0]))
	if forks.heap.size == 0 || at-forks.heap.from >= forks.heap.size {
		t.Errorf("%x, in the heap, is not in what was found, %x", at, forks.heap)
	}
	p := held(t, false, t.TempDir())
	mem, err := os.Open("/proc/" + strconv.Itoa(p.Pid) + "/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	var b [1]byte
	if _, err := mem.ReadAt(b[:], int64(at)); err == nil {
		t.Errorf("a child can read %x, in the heap", at)
	}
	if _, err := mem.ReadAt(b[:], int64(uintptr(unsafe.Pointer(p.share.plan)))); err != nil {
		t.Errorf("a child cannot read its plan: %v", err)
	}
	if err := p.Resume(); err != nil {
		t.Fatal(err)
	}
	if st, err := p.Wait(Limits{}); err != nil || st.ExitStatus() != 0 {
		t.Errorf("got %+v, %v, want exit 0", st, err)
	}
}
