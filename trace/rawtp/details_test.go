package rawtp

import (
	"debug/elf"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
)

// observed is what the slot knows of a syscall, by its name.
func observed(t testing.TB, s *Slot, name string) trace.Observation {
	t.Helper()
	var all []string
	for _, o := range s.Observations() {
		if o.ID.String() == name {
			return o
		}
		all = append(all, o.ID.String())
	}
	t.Fatalf("no %s among %v", name, all)
	return trace.Observation{}
}

// functionAt is the function of an ELF file whose code has a file offset.
func functionAt(t testing.TB, path string, offset uint64) string {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range symbols {
		section := int(s.Section)
		if elf.ST_TYPE(s.Info) != elf.STT_FUNC || section >= len(f.Sections) {
			continue
		}
		at := s.Value - f.Sections[section].Addr + f.Sections[section].Offset
		if at <= offset && offset < at+s.Size {
			return s.Name
		}
	}
	return ""
}

func buildIDOf(t testing.TB, path string) string {
	t.Helper()
	out, err := exec.Command(testenv.Program(t, "readelf"), "-n", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	_, id, _ := strings.Cut(string(out), "Build ID: ")
	id, _, _ = strings.Cut(id, "\n")
	return id
}

func TestCallSitesAreKnownOverRuns(t *testing.T) {
	for name, flags := range map[string][]string{
		"static":                              {"-static"},
		"dynamic at any address":              {"-pie", "-fPIE"},
		"static at any address":               {"-static-pie"},
		"without a build-id":                  {"-static", "-Wl,--build-id=none"},
		"at any address without a build-id":   {"-pie", "-fPIE", "-Wl,--build-id=none"},
		"with a build-id of 16 bytes":         {"-Wl,--build-id=md5"},
		"with one that is given, of 8 bytes":  {"-Wl,--build-id=0x0102030405060700"},
		"with one that is given, of 20 bytes": {"-Wl,--build-id=0x0102030405060708090a0b0c0d0e0f1011121300"},
	} {
		t.Run(name, func(t *testing.T) {
			program := compile(t, "details.c", append(flags, "-O1", "-g0"))
			r := mustOpen(t, Options{Slots: 1, Sites: true})
			s := launcher(t, r, 0)
			for range 3 {
				s.Begin()
				run(t, program, "sites")
			}
			o := observed(t, s, "getsid")
			var functions []string
			for _, site := range o.Sites {
				functions = append(functions, functionAt(t, program, site.Offset))
				if want := buildIDOf(t, program); site.BuildID != want || site.Module != filepath.Base(program) || site.Symbol != "" {
					t.Errorf("site %+v, want module %s and build-id %s", site, filepath.Base(program), want)
				}
			}
			slices.Sort(functions)
			if want := []string{"here", "there"}; !slices.Equal(functions, want) || o.MoreSites {
				t.Errorf("called from %q, more %v; want %q and no more", functions, o.MoreSites, want)
			}
			if got := r.Lost(); got != (trace.Lost{}) {
				t.Errorf("lost %+v, want nothing", got)
			}
		})
	}
}

func TestCallSitesBesideFiles(t *testing.T) {
	program := compile(t, "details.c", []string{"-O1"})
	for _, c := range []struct {
		mode, syscall, module string
	}{
		{"vdso", "clock_gettime", "[vdso]"},
		{"vsyscall", "time", "[vsyscall]"},
		{"anonymous", "getsid", ""},
	} {
		t.Run(c.mode, func(t *testing.T) {
			r := mustOpen(t, Options{Slots: 1, Sites: true})
			s := launcher(t, r, 0)
			run(t, program, c.mode)
			o := observed(t, s, c.syscall)
			if len(o.Sites) != 1 || o.Sites[0].Module != c.module || o.MoreSites {
				t.Errorf("sites %+v, more %v; want one in %q", o.Sites, o.MoreSites, c.module)
			}
			if got := r.Lost(); got != (trace.Lost{}) {
				t.Errorf("lost %+v, want nothing", got)
			}
		})
	}
}

func TestMoreSitesThanAreKeptAreSaidToExist(t *testing.T) {
	program := compile(t, "details.c", []string{"-static", "-O1"})
	s := launcher(t, mustOpen(t, Options{Slots: 1, Sites: true}), 0)
	run(t, program, "many")
	o := observed(t, s, "getpgid")
	if len(o.Sites) != trace.MaxSites || !o.MoreSites {
		t.Errorf("%d sites of 20, more %v; want %d and more", len(o.Sites), o.MoreSites, trace.MaxSites)
	}
	if exit := observed(t, s, "exit_group"); len(exit.Sites) != 1 || exit.MoreSites {
		t.Errorf("exit_group from %+v, more %v; want one site and no more", exit.Sites, exit.MoreSites)
	}
}

// Another thread that changes the memory's map hides it from the recorder for a moment.
func TestThreadsDoNotHideEachOthersSites(t *testing.T) {
	program := compile(t, "details.c", []string{"-static", "-O1", "-pthread"})
	r := mustOpen(t, Options{Slots: 1, Sites: true})
	s := launcher(t, r, 0)
	for range 5 {
		s.Begin()
		run(t, program, "threads")
	}
	for _, name := range []string{"mmap", "munmap"} {
		if o := observed(t, s, name); len(o.Sites) == 0 || o.MoreSites && r.Lost().Details == 0 {
			t.Errorf("%s: sites %+v, more %v, lost %+v", name, o.Sites, o.MoreSites, r.Lost())
		}
	}
}

func TestReturnsAreSuccessAndErrnos(t *testing.T) {
	program := compile(t, "details.c", []string{"-static", "-O1"})
	for _, o := range []Options{{Returns: true}, {Returns: true, Denials: true}} {
		t.Run(fmt.Sprintf("denials %v", o.Denials), func(t *testing.T) {
			o.Slots = 1
			r := mustOpen(t, o)
			s := launcher(t, r, 0)
			s.Begin()
			run(t, program, "returns")
			returns := map[string]trace.Returns{
				"execve":     {Success: true},
				"close":      {Errnos: []uint16{9}},
				"getsid":     {Success: true, Errnos: []uint16{3}},
				"read":       {Success: true},
				"exit_group": {},
				// A return from a signal handler has none, and a fork two.
				"rt_sigreturn": {},
				"clone":        {Success: true},
			}
			if testenv.RunsCompat() {
				s.Begin()
				run(t, program, "i386")
				returns["i386:close"] = trace.Returns{Errnos: []uint16{9}}
			}
			for name, want := range returns {
				if diff := cmp.Diff(want, observed(t, s, name).Returns); diff != "" {
					t.Errorf("%s: want (-), got (+):\n%s", name, diff)
				}
			}
			if got := r.Lost(); got != (trace.Lost{}) {
				t.Errorf("lost %+v, want nothing", got)
			}
		})
	}
}

func TestFreshListsEachDetailOnce(t *testing.T) {
	program := compile(t, "details.c", []string{"-static", "-O1"})
	r := mustOpen(t, Options{Slots: 2, Returns: true, Args: true})
	first, second := launcher(t, r, 0), (*Slot)(nil)
	fresh := func(s *Slot, mode string) map[string]int {
		s.Begin()
		run(t, program, mode)
		n := make(map[string]int)
		for _, f := range s.Fresh(s.Seen()) {
			if name := f.ID.String(); name == "socket" || name == "close" || name == "getsid" || name == "i386:close" {
				n[fmt.Sprintf("%s errno %d argument %d is %#x", name, f.Errno, f.Arg, f.Value)]++
			}
		}
		return n
	}
	arguments := map[string]int{
		"socket errno 0 argument 0 is 0x1": 1, "socket errno 0 argument 1 is 0x2": 1,
		"socket errno 0 argument 1 is 0x80001": 1, "socket errno 0 argument 2 is 0x0": 1,
	}
	returns := map[string]int{"close errno 9 argument 0 is 0x0": 1, "getsid errno 3 argument 0 is 0x0": 1}
	type listed struct {
		mode string
		want map[string]int
	}
	runs := []listed{{"arguments", arguments}, {"arguments", nil}, {"returns", returns}, {"arguments", nil}, {"returns", nil}}
	if testenv.RunsCompat() {
		runs = append(runs, listed{"i386", map[string]int{"i386:close errno 9 argument 0 is 0x0": 1}})
	}
	for _, c := range runs {
		if diff := cmp.Diff(c.want, fresh(first, c.mode), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: want (-), got (+):\n%s", c.mode, diff)
		}
	}
	// Another slot knows nothing of the first.
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	second = launcher(t, r, 1)
	if diff := cmp.Diff(arguments, fresh(second, "arguments")); diff != "" {
		t.Errorf("in another slot: want (-), got (+):\n%s", diff)
	}
}

func TestARefusedCallHasDetailsToo(t *testing.T) {
	program := victim(t)
	r := mustOpen(t, Options{Slots: 1, Returns: true, Sites: true})
	s := launcher(t, r, 0)
	runFiltered(t, refuse(13), []uint32{getpgid64}, false, program, "refused")
	o := observed(t, s, "getpgid")
	if !o.Returns.Refused || o.Returns.Success || len(o.Returns.Errnos) != 0 || len(o.Sites) != 1 {
		t.Errorf("got %+v, want a refused call with a site", o)
	}
	if got := s.Denied(); !slices.Equal(got, []sysno.ID{o.ID}) {
		t.Errorf("denied %v, want %v", got, o.ID)
	}
	if got, err := r.Denials(); err != nil || len(got) != 0 {
		t.Errorf("denials %v, %v; they were not asked for", got, err)
	}
}

func TestAnExecHasTheResultOfTheABIItWasMadeIn(t *testing.T) {
	testenv.RequireCompat(t)
	program := compile(t, "phases.c", []string{"-static"})
	other := compile(t, "trivial32.c", append([]string{"-m32"}, trivialFlags...))
	s := launcher(t, mustOpen(t, Options{Slots: 1, Returns: true}), 0)
	run(t, program, other)
	if got := observed(t, s, "execve").Returns; !got.Success || len(got.Errnos) != 0 {
		t.Errorf("execve: %+v, want success", got)
	}
	for _, o := range s.Observations() {
		if o.ID.Arch == sysno.I386 && (o.Returns.Success || len(o.Returns.Errnos) != 0) {
			t.Errorf("%v: %+v, want nothing: it is exit", o.ID, o.Returns)
		}
	}
}

func arg(index int, values ...uint64) trace.Arg { return trace.Arg{Index: index, Values: values} }

func TestArgumentsAreThoseThatTheKernelReads(t *testing.T) {
	program := compile(t, "details.c", []string{"-static", "-O1"})
	r := mustOpen(t, Options{Slots: 1, Args: true})
	s := launcher(t, r, 0)
	works := [][]string{{"arguments"}, {"arguments", "many"}, {"x32"}}
	if testenv.RunsCompat() {
		works = append(works, []string{"i386"})
	}
	for _, args := range works {
		s.Begin()
		run(t, append([]string{program}, args...)...)
	}
	advices := trace.Arg{Index: 2}
	for i := range uint64(trace.MaxValues) {
		advices.Values = append(advices.Values, 1000+i)
	}
	arguments := map[string][]trace.Arg{
		"socket":  {arg(0, 1), arg(1, 2, 0x80001), arg(2, 0)},
		"ioctl":   {arg(1, 0x5401, 0xdead)},
		"fcntl":   {{Index: 1, Any: true}},
		"madvise": {advices},
		"execve":  nil,
	}
	if testenv.RunsCompat() {
		arguments["i386:ioctl"], arguments["i386:close"] = []trace.Arg{arg(1, 0x5401)}, nil
	}
	for name, want := range arguments {
		if diff := cmp.Diff(want, observed(t, s, name).Args); diff != "" {
			t.Errorf("%s: want (-), got (+):\n%s", name, diff)
		}
	}
	if o := observed(t, s, "x32:ioctl"); len(o.Args) != 1 || o.Args[0].Index != 1 {
		t.Errorf("x32:ioctl: %+v, want its command", o.Args)
	}
	if got := r.Lost(); got != (trace.Lost{}) {
		t.Errorf("lost %+v, want nothing", got)
	}
}

// The argument is the kernel's in its width: of an x86_64 mmap all 64 bits.
func TestTableOfChoicesHasWidths(t *testing.T) {
	table := choiceArgs()
	for _, c := range []struct {
		name string
		want [8]uint8
	}{
		{"mmap", [8]uint8{2: 64, 3: 64}},
		{"socket", [8]uint8{32, 32, 32}},
		{"read", [8]uint8{}},
	} {
		call, ok := callOf(id(t, sysno.Native(), c.name))
		if got := table.Bits[call]; !ok || got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if _, ok := callOf(sysno.ID{Arch: sysno.Native(), NR: math.MaxUint32}); ok {
		t.Error("a number beyond the tables has a place in them")
	}
	for _, a := range sysno.Archs() {
		for _, id := range sysno.All(a) {
			if call, ok := callOf(id); ok != slices.Contains(archs(), a) || ok && (call/cells != slices.Index(archs(), a) || call%cells != int(id.NR)) {
				t.Errorf("%v: place %d, %v", id, call, ok)
			}
		}
	}
}

// archs are the ABIs of the tables, in their order.
func archs() []sysno.Arch {
	var archs []sysno.Arch
	for abi := range recorderAbiABIS {
		if a := archOf(abi); a != sysno.ArchInvalid {
			archs = append(archs, a)
		}
	}
	return archs
}

func TestTablesHaveTheBoundsOfTheTrace(t *testing.T) {
	source, err := os.ReadFile("details.h")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		fmt.Sprintf("#define MAX_SITES %d ", trace.MaxSites),
		fmt.Sprintf("#define MAX_VALUES %d ", trace.MaxValues),
	} {
		if !strings.Contains(string(source), line) {
			t.Errorf("details.h has no line %q", line)
		}
	}
}

// A slot's next owner begins with nothing.
func TestDetailsEndWithTheirLauncher(t *testing.T) {
	program := compile(t, "details.c", []string{"-static", "-O1"})
	r := mustOpen(t, Options{Slots: 1, Sites: true, Args: true, Returns: true})
	var former *Slot
	t.Run("before", func(t *testing.T) {
		former = launcher(t, r, 0)
		run(t, program, "arguments", "many")
		run(t, program, "many")
	})
	s := launcher(t, r, 0)
	if got := s.Observations(); len(got) != 0 {
		t.Errorf("a new launcher's slot holds %v", got)
	}
	run(t, program, "sites")
	if got := observed(t, s, "getsid"); len(got.Sites) != 2 {
		t.Errorf("sites %v, want 2", got.Sites)
	}
	for _, o := range s.Observations() {
		if name := o.ID.String(); name == "fcntl" || name == "getpgid" {
			t.Errorf("%s is of the launcher before", name)
		}
	}
	if got := observed(t, former, "getpgid"); len(got.Sites) != trace.MaxSites {
		t.Errorf("the former launcher's slot: %+v, want what it had seen", got)
	}
}
