package rawtp

import (
	"github.com/cilium/ebpf/btf"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// submission is the name of the tracepoint that shows io_uring requests, empty where
// there is none that the program can read: it had other arguments before Linux 5.19,
// and another name before 6.4. Reading the kernel's types costs more than the load of
// a program.
func submission() string {
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		return ""
	}
	for _, name := range []string{"io_uring_submit_req", "io_uring_submit_sqe"} {
		var point *btf.Typedef
		if kernel.TypeByName("btf_trace_"+name, &point) == nil && showsRequest(point.Type) {
			return name
		}
	}
	return ""
}

// showsRequest reports whether the first argument of a tracepoint's function, after
// its own data, is an io_uring request.
func showsRequest(t btf.Type) bool {
	function, ok := pointee(t).(*btf.FuncProto)
	if !ok || len(function.Params) < 2 {
		return false
	}
	request, ok := pointee(function.Params[1].Type).(*btf.Struct)
	return ok && request.Name == "io_kiocb"
}

func pointee(t btf.Type) btf.Type {
	if p, ok := t.(*btf.Pointer); ok {
		return p.Target
	}
	return nil
}

func (r *Recorder) operationSet() []trace.Operation {
	var all []trace.Operation
	for code, marked := range r.session.Operations {
		if marked != 0 {
			name, _ := sysno.Operation(uint8(code))
			all = append(all, trace.Operation{Code: uint8(code), Name: name})
		}
	}
	return all
}
