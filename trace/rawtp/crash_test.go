package rawtp

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// codeAt is where the executable part of an ELF file begins, as an offset in the file.
func codeAt(t *testing.T, path string) uint64 {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 {
			return p.Off
		}
	}
	t.Fatalf("%s has no code", path)
	return 0
}

func TestACrashIsWhereTheProgramIsAtFault(t *testing.T) {
	program := compile(t, "crash.c", []string{"-O1", "-pie", "-fPIE"})
	s := launcher(t, mustOpen(t, Options{Slots: 1, Crashes: true}), 0)
	crash := func(mode string, signal syscall.Signal, args ...string) (Crash, bool) {
		t.Helper()
		s.Begin()
		cmd := exec.Command(program, append([]string{mode}, args...)...)
		err := cmd.Run()
		if w, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || signal != 0 && w.Signal() != signal {
			t.Fatalf("%s: ended with %v", mode, err)
		}
		return s.Crash(int(signal))
	}
	begin := codeAt(t, program)
	places := make(map[Crash]string)
	for _, c := range []struct {
		mode   string
		signal syscall.Signal
		own    bool // the instruction is the program's
	}{
		{"stores", syscall.SIGSEGV, true},
		{"divides", syscall.SIGFPE, true},
		{"aborts", syscall.SIGABRT, false},
		{"aborts_elsewhere", syscall.SIGABRT, false},
		{"copies", syscall.SIGSEGV, false},
	} {
		got, ok := crash(c.mode, c.signal)
		if !ok {
			t.Errorf("%s: no crash", c.mode)
			continue
		}
		for range 3 { // at other addresses
			if again, _ := crash(c.mode, c.signal, "another", "argument"); again != got {
				t.Errorf("%s: %+v, then %+v", c.mode, got, again)
			}
		}
		if other := places[got]; other != "" {
			t.Errorf("%s and %s are in the same place: %+v", c.mode, other, got)
		}
		places[got] = c.mode
		if own := got.Module == filepath.Base(program); own != c.own {
			t.Errorf("%s: in %q", c.mode, got.Module)
		}
		if at := functionAt(t, program, got.Offset); c.own && at != c.mode {
			t.Errorf("%s: in %s", c.mode, at)
		}
		if from := functionAt(t, program, begin+got.Caller-1); !c.own && from != c.mode {
			t.Errorf("%s: called from %q", c.mode, from)
		}
		if _, ok := s.Crash(int(syscall.SIGKILL)); ok {
			t.Errorf("%s: a crash by another signal", c.mode)
		}
	}
	if got, ok := crash("handled", 0); ok {
		t.Errorf("a signal that the program handles: %+v", got)
	}
	if got, ok := crash("killed", syscall.SIGTERM); ok {
		t.Errorf("a signal that is no fault: %+v", got)
	}
	if got, ok := crash("none", 0); ok {
		t.Errorf("without a signal, after crashes in other runs: %+v", got)
	}
}

func TestAHangIsWhereTheProgramWaits(t *testing.T) {
	program := compile(t, "crash.c", []string{"-O1", "-pie", "-fPIE"})
	input, open, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer input.Close()
	defer open.Close()
	s := launcher(t, mustOpen(t, Options{Slots: 1, Crashes: true}), 0)
	begin := codeAt(t, program)
	hang := func(mode, in string) (Crash, bool) {
		t.Helper()
		s.Begin()
		cmd := exec.Command(program, mode)
		cmd.Stdin = input
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for { // until it is where it stays; proc_pid_syscall(5)
			now, err := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", cmd.Process.Pid))
			if err != nil {
				t.Fatal(err)
			}
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
			if err != nil {
				t.Fatal(err)
			}
			// The name and then, as the 14th, the ticks in user mode; proc_pid_stat(5). Nothing
			// but what spins takes some.
			fields := strings.Fields(string(stat))
			ticks, err := strconv.Atoi(fields[13])
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(string(now), in) && fields[1] == "("+filepath.Base(program)+")" && (in != "running" || ticks >= 5) {
				break
			}
			time.Sleep(time.Millisecond)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		return s.Crash(int(syscall.SIGKILL))
	}
	var places []Crash
	for mode, in := range map[string]string{"pauses": fmt.Sprintf("%d ", unix.SYS_RT_SIGSUSPEND), "reads": fmt.Sprintf("%d 0x0 ", unix.SYS_READ)} {
		got, ok := hang(mode, in)
		if again, _ := hang(mode, in); !ok || again != got {
			t.Errorf("%s: %+v, %v, then %+v", mode, got, ok, again)
		}
		if from := functionAt(t, program, begin+got.Caller-1); from != mode {
			t.Errorf("%s: called from %q", mode, from)
		}
		places = append(places, got)
	}
	if places[0] == places[1] {
		t.Errorf("both wait in %+v", places[0])
	}
	if got, ok := hang("spins", "running"); ok {
		t.Errorf("what runs is found in %+v", got)
	}
}
