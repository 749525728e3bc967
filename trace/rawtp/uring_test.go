package rawtp

import (
	"slices"
	"testing"

	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
)

func TestOperationsOfIOUringAreSeen(t *testing.T) {
	program := compile(t, "uring.c", []string{"-static", "-O1"})
	for _, c := range []struct {
		mode string
		want []trace.Operation
	}{
		{"enter", []trace.Operation{{Code: 0, Name: "NOP"}, {Code: 19, Name: "CLOSE"}}},
		{"poll", []trace.Operation{{Code: 0, Name: "NOP"}, {Code: 22, Name: "READ"}}},
	} {
		t.Run(c.mode, func(t *testing.T) {
			r := mustOpen(t, Options{Slots: 1})
			if submission() == "" {
				t.Skip("this kernel shows no io_uring requests")
			}
			s := launcher(t, r, 0)
			run(t, program, c.mode)
			if got := r.Operations(); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if got := s.Seen(); !slices.Contains(got, id(t, sysno.Native(), "io_uring_setup")) {
				t.Errorf("no io_uring_setup in %v", got)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			if got := r.Operations(); !slices.Equal(got, c.want) {
				t.Errorf("after Close: got %v, want %v", got, c.want)
			}
		})
	}
}

// Kernels add operations at the end.
func TestNamesOfOperationsAreTheKernels(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		t.Fatal(err)
	}
	var codes *btf.Enum
	if err := kernel.TypeByName("io_uring_op", &codes); err != nil {
		t.Skipf("a kernel without io_uring: %v", err)
	}
	var got, want []string
	for _, v := range codes.Values {
		if name, ok := sysno.Operation(uint8(v.Value)); ok && v.Name != "IORING_OP_LAST" {
			got, want = append(got, "IORING_OP_"+name), append(want, v.Name)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got) == 0 {
		t.Errorf("the kernel's (-), those of the table (+):\n%s", diff)
	}
}
