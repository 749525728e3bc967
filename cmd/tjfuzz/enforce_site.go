package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/image"
	"github.com/tjfuzz/tjfuzz/internal/symbol"
	"github.com/tjfuzz/tjfuzz/trace"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

// place puts a call site into words: "libc.so.6:mkdir+0xb". It is called by one goroutine
// at a time.
func (a *account) place(s trace.Site) string {
	if s.Module == "" {
		return ""
	}
	if name := a.table().Find(s.Module, s.BuildID, s.Offset).Symbol(); name != "" {
		return filepath.Base(s.Module) + ":" + name
	}
	return fmt.Sprintf("%s+%#x", filepath.Base(s.Module), s.Offset)
}

// caller puts into words where the program's own code has called for the call, if that was
// made elsewhere. The file of the program is known again by its inode; that of another program,
// as long as it runs or where its name leads to it.
func (a *account) caller(e rawtp.Event) string {
	key := [2]uint64{e.Program, e.Caller}
	if known, ok := a.callers[key]; ok || e.Caller == 0 {
		return known
	}
	if a.callers == nil {
		a.callers = map[[2]uint64]string{}
	}
	named, _ := exec.LookPath(e.Comm)
	for _, path := range []string{a.program, fmt.Sprintf("/proc/%d/exe", e.PID), named} {
		var st unix.Stat_t
		if unix.Stat(path, &st) != nil || st.Ino != e.Program {
			continue
		}
		a.callers[key] = a.calledFrom(path, e)
		return a.callers[key]
	}
	return ""
}

// calledFrom is caller for the file of the program. A name that a link in /proc leads to may be that of another
// file here, so it is only shown.
func (a *account) calledFrom(path string, e rawtp.Event) string {
	name, err := filepath.EvalSymlinks(path)
	if err != nil || filepath.Base(name) == e.Site.Module {
		return ""
	}
	offset, ok, err := image.Returns(path, e.Caller)
	if err != nil || !ok {
		return ""
	}
	id, err := image.BuildID(path)
	if err != nil {
		return ""
	}
	return a.place(trace.Site{Module: filepath.Base(name), BuildID: id, Offset: offset})
}

// table is what names functions.
func (a *account) table() *symbol.Table {
	if a.symbols == nil {
		paths := []string{a.program}
		if id, err := image.Identify(a.program); err == nil {
			if libs, _, err := id.Libraries(os.Getenv("LD_LIBRARY_PATH")); err == nil {
				for _, l := range libs {
					paths = append(paths, l.Path)
				}
			}
		}
		a.symbols = symbol.New(paths...)
	}
	return a.symbols
}
