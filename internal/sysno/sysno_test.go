package sysno

import (
	"bufio"
	"os"
	"slices"
	"strings"
	"testing"
)

// must finds a syscall that the test needs.
func must(t *testing.T, a Arch, name string) ID {
	t.Helper()
	id, ok := Lookup(a, name)
	if !ok {
		t.Fatalf("%s has no %s", a, name)
	}
	return id
}

// The numbers are those of the kernel's syscall_64.tbl, syscall_32.tbl and
// asm-generic/unistd.h.
func TestTablesHaveTheNumbersOfTheKernel(t *testing.T) {
	for _, tt := range []struct {
		arch Arch
		name string
		nr   uint32
	}{
		{AMD64, "read", 0},
		{AMD64, "execve", 59},
		{AMD64, "_sysctl", 156},
		{AMD64, "umount2", 166},
		{AMD64, "openat", 257},
		{AMD64, "newfstatat", 262},
		{AMD64, "rseq", 334},
		{AMD64, "uretprobe", 335},
		{AMD64, "uprobe", 336},
		{AMD64, "clone3", 435},
		{AMD64, "file_setattr", 469},
		{AMD64, "listns", 470},
		{I386, "restart_syscall", 0},
		{I386, "umount", 22},
		{I386, "umount2", 52},
		{I386, "_llseek", 140},
		{I386, "pread64", 180},
		{I386, "openat", 295},
		{I386, "fstatat64", 300},
		{I386, "clock_gettime64", 403},
		{I386, "file_setattr", 469},
		{X32, "read", 0},
		{X32, "openat", 257},
		{X32, "ioctl", 514},
		{X32, "pwritev2", 547},
		{X32, "file_setattr", 469},
		{ARM64, "io_setup", 0},
		{ARM64, "openat", 56},
		{ARM64, "newfstatat", 79},
		{ARM64, "execve", 221},
		{ARM64, "file_setattr", 469},
	} {
		id, ok := Lookup(tt.arch, tt.name)
		if want := (ID{tt.arch, tt.nr}); !ok || id != want {
			t.Errorf("Lookup(%s, %s) = %d, %v, want %d", tt.arch, tt.name, id.NR, ok, tt.nr)
		}
	}
	for _, tt := range []struct {
		arch Arch
		name string
	}{
		{AMD64, "socketcall"}, {ARM64, "open"}, {ARM64, "arch_specific_syscall"}, {X32, "uselib"}, {ArchInvalid, "read"},
		{AMD64, ""}, {AMD64, "READ"}, {I386, "newfstatat"},
	} {
		if id, ok := Lookup(tt.arch, tt.name); ok {
			t.Errorf("Lookup(%s, %q) = %d, want none", tt.arch, tt.name, id.NR)
		}
	}
}

func TestEveryTableNameFindsItsNumber(t *testing.T) {
	for _, a := range Archs() {
		ids := All(a)
		if len(ids) < 300 {
			t.Errorf("%s has only %d syscalls", a, len(ids))
		}
		if !slices.IsSortedFunc(ids, ID.Compare) {
			t.Errorf("All(%s) is not sorted", a)
		}
		for _, id := range ids {
			name, ok := id.Name()
			if !ok {
				t.Fatalf("All(%s) has %d, which has no name", a, id.NR)
			}
			if got, ok := Lookup(a, name); !ok || got != id {
				t.Errorf("Lookup(%s, %s) = %v, %v, want %d", a, name, got.NR, ok, id.NR)
			}
			if raw := FromRaw(a.Audit(), id.Raw()); raw != id {
				t.Errorf("%s comes back from the kernel as %s", id, raw)
			}
		}
	}
}

func TestNumbersWithoutANameStayNumbers(t *testing.T) {
	for _, id := range []ID{{AMD64, 337}, {AMD64, 100000}, {X32, 13}, {ARM64, 244}, {I386, 1<<32 - 1}, {ArchInvalid, 0}, {200, 0}} {
		if name, ok := id.Name(); ok {
			t.Errorf("%d:%d is called %s", id.Arch, id.NR, name)
		}
		if !strings.HasSuffix(id.String(), "syscall_"+formatDecimal(id.NR)) {
			t.Errorf("%d:%d reads %q", id.Arch, id.NR, id)
		}
	}
}

func TestArchNamesAreReadBack(t *testing.T) {
	for _, a := range Archs() {
		if got, err := ParseArch(a.String()); err != nil || got != a {
			t.Errorf("ParseArch(%s) = %v, %v", a, got, err)
		}
	}
	for word, want := range map[string]Arch{"amd64": AMD64, "386": I386, "arm64": ARM64} {
		if got, err := ParseArch(word); err != nil || got != want {
			t.Errorf("ParseArch(%s) = %v, %v, want %v", word, got, err, want)
		}
	}
	for _, word := range []string{"", "invalid", "X86_64", "SCMP_ARCH_X86_64", "riscv64"} {
		if got, err := ParseArch(word); err == nil {
			t.Errorf("ParseArch(%q) = %v, want an error", word, got)
		}
	}
}

func TestX32IsToldFromX86_64ByTheNumberAlone(t *testing.T) {
	const audit = 0xc000003e
	for _, tt := range []struct {
		nr   uint32
		want ID
	}{
		{0, ID{AMD64, 0}},
		{0x40000000, ID{X32, 0}},
		{0x40000000 | 514, ID{X32, 514}},
		{0xffffffff, ID{AMD64, 0xffffffff}}, // the -1 of a tracer that skips the call
		{4000000000, ID{AMD64, 4000000000}},
	} {
		id := FromRaw(audit, tt.nr)
		if id != tt.want {
			t.Errorf("FromRaw(%#x) = %v, want %v", tt.nr, id, tt.want)
		}
		if id.Raw() != tt.nr || id.Arch.Audit() != audit {
			t.Errorf("%v goes back to %#x %#x, want %#x", id, id.Arch.Audit(), id.Raw(), tt.nr)
		}
	}
	if id := FromRaw(0xc00000f3, 1); id.Valid() { // AUDIT_ARCH_RISCV64
		t.Errorf("an architecture without a table gives %v", id)
	}
}

func TestParseReadsWhatPeopleWrite(t *testing.T) {
	for _, tt := range []struct {
		arch Arch
		word string
		want ID
	}{
		{AMD64, "openat", ID{AMD64, 257}},
		{AMD64, "$257", ID{AMD64, 257}},
		{AMD64, "syscall_257", ID{AMD64, 257}},
		{AMD64, "$9999", ID{AMD64, 9999}},
		{AMD64, "i386:getpid", ID{I386, 20}},
		{AMD64, "386:$20", ID{I386, 20}},
		{AMD64, "x32:ioctl", ID{X32, 514}},
		{AMD64, "x86_64:read", ID{AMD64, 0}},
		{I386, "$4294967295", ID{I386, 1<<32 - 1}},
		{AMD64, "$4294967295", ID{AMD64, 1<<32 - 1}}, // what ID.String writes for a call of -1
		{ArchInvalid, "aarch64:openat", ID{ARM64, 56}},
	} {
		if got, err := Parse(tt.arch, tt.word); err != nil || got != tt.want {
			t.Errorf("Parse(%s, %q) = %v, %v, want %v", tt.arch, tt.word, got, err, tt.want)
		}
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		arch Arch
		word string
		want string
	}{
		{AMD64, "opnat", `x86_64 has no syscall "opnat"; did you mean "openat"?`},
		{AMD64, "clock_getime", `x86_64 has no syscall "clock_getime"; did you mean "clock_gettime"?`},
		{AMD64, "socketcall", `x86_64 has no syscall "socketcall"; i386 has`},
		{ARM64, "open", `aarch64 has no syscall "open"; x86_64 has`},
		{AMD64, "riscv_hwprobe", `x86_64 has no syscall "riscv_hwprobe"; another architecture has`},
		{AMD64, "frobnicate_everything", `x86_64 has no syscall "frobnicate_everything"`},
		{AMD64, "Read", `x86_64 has no syscall "Read"; did you mean "read"?`},
		{AMD64, "", "empty syscall name"},
		{AMD64, "i386:", "empty syscall name"},
		{AMD64, "vax:read", `syscall "vax:read": unknown architecture "vax"; known are x86_64, i386, x32, aarch64`},
		{AMD64, "$", `syscall "$": not a decimal number below 2^32`},
		{AMD64, "$0x10", `syscall "$0x10": not a decimal number below 2^32`},
		{AMD64, "$+1", `syscall "$+1": not a decimal number below 2^32`},
		{AMD64, "$007", `syscall "$007": not a decimal number below 2^32`},
		{AMD64, "syscall_4294967296", `syscall "syscall_4294967296": not a decimal number below 2^32`},
		{AMD64, "$1073741825", `syscall "$1073741825": the number has the x32 bit; write x32:$1`},
		{ArchInvalid, "read", `syscall "read": no architecture`},
	} {
		got, err := Parse(tt.arch, tt.word)
		if err == nil {
			t.Errorf("Parse(%s, %q) = %v, want an error", tt.arch, tt.word, got)
		} else if err.Error() != tt.want {
			t.Errorf("Parse(%s, %q): got error\n\t%s\nwant\n\t%s", tt.arch, tt.word, err, tt.want)
		}
	}
}

func TestParseReadsWhatStringWrites(t *testing.T) {
	for _, a := range Archs() {
		for _, id := range append(All(a), ID{a, 5000}) {
			if got, err := Parse(Native(), id.String()); err != nil || got != id {
				t.Errorf("Parse(%s) = %v, %v", id, got, err)
			}
		}
	}
}

func TestNamesOfAllKindsAreSortedAndDistinct(t *testing.T) {
	known := NamesKnown()
	for _, names := range [][]string{known, namesForeign[:]} {
		if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
			t.Errorf("names are not sorted, or double: %q", names)
		}
	}
	for _, name := range []string{"openat", "socketcall", "newfstatat", "_llseek"} {
		if _, ok := slices.BinarySearch(known, name); !ok || Foreign(name) {
			t.Errorf("%s: known %v, foreign %v, want a known one", name, ok, Foreign(name))
		}
	}
	// The names of Docker's default profile that are of other architectures.
	for _, name := range []string{
		"arm_fadvise64_64", "arm_sync_file_range", "sync_file_range2", "breakpoint", "cacheflush", "set_tls",
		"s390_pci_mmio_read", "s390_pci_mmio_write", "s390_runtime_instr", "riscv_flush_icache", "riscv_hwprobe", "subpage_prot", "swapcontext", "switch_endian",
	} {
		if _, ok := slices.BinarySearch(known, name); ok || !Foreign(name) {
			t.Errorf("%s: known %v, foreign %v, want a foreign one", name, ok, Foreign(name))
		}
	}
	if Foreign("opnat") || Foreign("") {
		t.Error("a misspelling counts as foreign")
	}
}

// What no kernel implements has a number and no arguments.
func TestEverySyscallThatKernelsImplementIsDescribed(t *testing.T) {
	unimplemented := strings.Fields(`afs_syscall break epoll_ctl_old epoll_wait_old ftime getpmsg gtty idle lock mpx prof profil
		putpmsg security stty tuxcall ulimit vserver`)
	var missing []string
	for _, a := range Archs() {
		for _, id := range All(a) {
			if name, _ := id.Name(); !id.Described() {
				missing = append(missing, name)
			}
		}
	}
	slices.Sort(missing)
	if missing = slices.Compact(missing); !slices.Equal(missing, unimplemented) {
		t.Errorf("not described: %q\nwant: %q", missing, unimplemented)
	}
}

func TestArgsTextHasNoErrors(t *testing.T) {
	if _, err := parseCalls(argsText); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ text, want string }{
		{"opnat path:path", "no such syscall"},
		{"vax:open path:path", "unknown architecture"},
		{"open path", "neither argument nor condition"},
		{"open path:paths", `no set "paths"`},
		{"open path:path/16", "neither 32 nor 64"},
		{"open path:path flags", "want NAME:TYPE"},
		{"open a:fd b:fd c:fd d:fd e:fd f:fd g:fd", "7 arguments"},
		{"open path:path flags:open\nopen mode=O_CREAT path:path", "no such argument"},
		{"open path:path flags:open\nopen flags=O_CREATE path:path", `no value "O_CREATE"`},
	} {
		if _, err := parseCalls(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want an error with %q", tt.text, err, tt.want)
		}
	}
}

// A filter that compares more than the kernel reads can be evaded, one that
// compares less does not see the difference.
func TestArgumentsAreAsWideAsTheKernelReadsThem(t *testing.T) {
	renamed := map[string]string{
		"newstat": "stat", "newfstat": "fstat", "newlstat": "lstat", "newuname": "uname", "sendfile64": "sendfile", "umount": "umount2",
	}
	// The signature says long, but the kernel goes on with an int.
	narrowed := map[string]int{
		"clone": 0,                                                                                  // lower_32_bits in kernel/fork.c
		"mmap":  4, "readv": 0, "writev": 0, "preadv": 0, "pwritev": 0, "preadv2": 0, "pwritev2": 0, // fget takes an unsigned int
		"ptrace": 1, // a pid_t in find_get_task_by_vpid
	}
	file, err := os.Open("testdata/signatures.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	checked := 0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		fields := strings.Split(lines.Text(), "|")
		name, params := fields[0], fields[1:]
		if r, ok := renamed[name]; ok {
			name = r
		}
		args := must(t, AMD64, name).Args()
		if len(args) != len(params) {
			t.Errorf("%s: %d arguments, the kernel has %d: %q", name, len(args), len(params), params)
			continue
		}
		for i, arg := range args {
			want := widthInC(params[i])
			if n, ok := narrowed[name]; ok && n == i {
				if want != 64 {
					t.Errorf("%s: argument %d needs no exception", name, i)
				}
				want = 32
			}
			if arg.Bits != want {
				t.Errorf("%s: %s has %d bits, %q has %d", name, arg.Name, arg.Bits, params[i], want)
			}
			isPointer := strings.Contains(params[i], "*") || strings.Contains(params[i], "cap_user_")
			saysPointer := arg.Kind == KindPtr || arg.Kind == KindPath || arg.Kind == KindString
			if isPointer && !saysPointer || saysPointer && want != 64 {
				t.Errorf("%s: %s is of kind %d, the kernel has %q", name, arg.Name, arg.Kind, params[i])
			}
		}
		checked++
	}
	if checked < 350 {
		t.Errorf("only %d signatures checked", checked)
	}
}

// widthInC is the width in bits of a parameter declaration on x86_64.
func widthInC(param string) uint8 {
	kind := param[:strings.LastIndexByte(param, ' ')]
	for _, word := range strings.Fields(kind) {
		switch word {
		case "umode_t":
			return 16
		case "*", "*const", "long", "size_t", "loff_t", "off_t", "aio_context_t", "__u64", "cap_user_header_t", "cap_user_data_t":
			return 64
		}
	}
	return 32
}

func TestI386ReadsNoMoreThan32Bits(t *testing.T) {
	for _, id := range All(I386) {
		for _, arg := range id.Args() {
			if arg.Bits > 32 || arg.Bits == 0 {
				t.Errorf("%s: %s has %d bits", id, arg.Name, arg.Bits)
			}
		}
	}
}

func TestArgumentsOfACallHaveDistinctNamesAndCompleteKinds(t *testing.T) {
	for _, a := range Archs() {
		for _, id := range All(a) {
			lists := [][]Arg{id.Args()}
			for _, v := range calls()[id].variants {
				lists = append(lists, v.args)
			}
			for _, args := range lists {
				seen := map[string]bool{}
				for i, arg := range args {
					if seen[arg.Name] || arg.Name == "" {
						t.Errorf("%s: argument %d has the name %q again", id, i, arg.Name)
					}
					seen[arg.Name] = true
					needsSet := arg.Kind == KindEnum || arg.Kind == KindFlags || arg.Kind == KindSignal
					if arg.Kind == KindInvalid || needsSet != (arg.Set != nil) {
						t.Errorf("%s: %s has kind %d and set %v", id, arg.Name, arg.Kind, arg.Set)
					}
					if arg.Set != nil && arg.Set.Mask != 1<<64-1 {
						for _, v := range append(slices.Clone(arg.Set.Enum), arg.Set.Flags...) {
							if v.Value&^arg.Mask() != 0 {
								t.Errorf("%s: %s does not fit into the %d bits of %s", id, v.Name, arg.Bits, arg.Name)
							}
						}
					}
				}
			}
		}
	}
}

// These are the arguments that a filter can check to some use.
func TestArgumentsWorthFilteringHaveNamedValues(t *testing.T) {
	for _, tt := range []struct {
		call    string
		indexes []int
	}{
		{"socket", []int{0, 1}}, {"socketpair", []int{0, 1}}, {"ioctl", []int{1}}, {"fcntl", []int{1}}, {"prctl", []int{0}}, {"clone", []int{0}},
		{"unshare", []int{0}}, {"setns", []int{1}}, {"mmap", []int{2, 3}}, {"mprotect", []int{2}}, {"mremap", []int{3}}, {"madvise", []int{2}},
		{"openat", []int{2}}, {"open", []int{1}}, {"getsockopt", []int{1}}, {"setsockopt", []int{1}}, {"futex", []int{1}}, {"kill", []int{1}},
		{"tgkill", []int{2}}, {"keyctl", []int{0}}, {"prlimit64", []int{1}}, {"getrandom", []int{2}}, {"epoll_ctl", []int{1}}, {"flock", []int{1}},
		{"wait4", []int{2}}, {"personality", []int{0}}, {"bpf", []int{0}}, {"seccomp", []int{0}}, {"ptrace", []int{0}}, {"arch_prctl", []int{0}},
		{"shutdown", []int{1}}, {"accept4", []int{3}}, {"pipe2", []int{1}}, {"dup3", []int{2}}, {"memfd_create", []int{1}}, {"msync", []int{2}},
		{"mlock2", []int{2}}, {"waitid", []int{0}},
	} {
		args := must(t, AMD64, tt.call).Args()
		for _, i := range tt.indexes {
			if i >= len(args) || args[i].Set == nil {
				t.Errorf("%s: argument %d has no set", tt.call, i)
			}
		}
	}
	sock := must(t, AMD64, "setsockopt").ArgsOf([6]uint64{3, 1, 2})
	if sock[2].Set == nil || sock[2].Set.Name != "so" {
		t.Errorf("the option of SOL_SOCKET is %+v", sock[2])
	}
}

func FuzzParse(f *testing.F) {
	for _, word := range []string{"openat", "$165", "syscall_165", "i386:getpid", "x32:$1073741825", ":", "$", "opnat", "x32:x32:read", "\xff"} {
		f.Add(uint8(AMD64), word)
	}
	f.Fuzz(func(t *testing.T, arch uint8, word string) {
		id, err := Parse(Arch(arch), word)
		if err != nil {
			if id.Valid() {
				t.Errorf("Parse(%d, %q) gives both %v and %v", arch, word, id, err)
			}
			return
		}
		qualified := id.Arch.String() + ":"
		if name, ok := id.Name(); ok {
			qualified += name
		} else {
			qualified += "$" + formatDecimal(id.NR)
		}
		if again, err := Parse(ArchInvalid, qualified); err != nil || again != id {
			t.Errorf("Parse(%d, %q) = %v, but Parse(%q) = %v, %v", arch, word, id, qualified, again, err)
		}
		if back := FromRaw(id.Arch.Audit(), id.Raw()); back != id {
			t.Errorf("%v comes back from the kernel as %v", id, back)
		}
	})
}
