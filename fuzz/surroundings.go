package fuzz

import (
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// surroundings are the most telling worlds, each tried once: every kind of stream and of
// input file, with something to work on.
func surroundings(o *Options, base *Scenario, ways []Scenario, seed func() []byte, add func(rank, Scenario)) {
	try := func(s Scenario, change func(*Scenario)) {
		if s.Input == nil {
			s.Input = seed()
		}
		change(&s)
		s.settle()
		r := rankWorlds
		if s.World.Interruption.Moment == MomentLimit {
			r = rankSignals
		}
		add(r, s)
	}
	way := ways[0]
	if o.varies(dimStreams) {
		for _, k := range o.Can.stdins() {
			if k > StdinPipe && base.Stdin == StdinInvalid { // what the user gave is kept until mutation
				try(way, func(s *Scenario) { s.Stdin = k })
			}
		}
		for _, k := range o.Can.outputs() {
			try(way, func(s *Scenario) {
				if s.World.Stdout = k; k == OutputInput && base.Stdin == StdinInvalid {
					s.Stdin = StdinFile
				}
			})
			try(way, func(s *Scenario) { s.World.Stderr = k })
		}
		if o.Can.Terminal && base.Stdin == StdinInvalid {
			try(way, func(s *Scenario) {
				s.Stdin, s.World.Stdout, s.World.Stderr = StdinTerminal, OutputTerminal, OutputTerminal
			})
		}
	}
	if i := slices.IndexFunc(ways, func(s Scenario) bool { return s.usesFile() }); i >= 0 && o.varies(dimFiles) {
		for _, k := range inputKinds() {
			try(ways[i], func(s *Scenario) { s.World.Input = k })
			if (k == FileUnreadable || k == FileReadOnly) && o.Can.User {
				try(ways[i], func(s *Scenario) { s.World.Input, s.World.User = k, UserNobody })
			}
		}
	}
	if i := slices.IndexFunc(ways, func(s Scenario) bool { return s.dates() }); i >= 0 && o.varies(dimFiles) {
		for t := TimesMade + 1; t < fileTimes; t++ {
			try(ways[i], func(s *Scenario) { s.World.Times = t })
		}
	}
	if o.varies(dimProcess) {
		for _, c := range o.Can.clocks() {
			try(way, func(s *Scenario) { s.World.Clock = c })
		}
		for _, l := range []Limit{{ResourceFiles, 4}, {ResourceMemory, 64 << 20}, {ResourceFile, 0}, {ResourceStack, 256 << 10}} {
			try(way, func(s *Scenario) { s.World.Limits = []Limit{l} })
		}
		if o.Can.User {
			try(way, func(s *Scenario) { s.World.User = UserNobody })
		}
		for _, sig := range []syscall.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGUSR1, unix.SIGWINCH, unix.SIGCHLD} {
			for m := MomentRead; m < moments; m++ {
				try(way, func(s *Scenario) {
					stdin := s.Stdin // what the user gave is kept
					s.interrupt(sig, m)
					s.Stdin = stdin
				})
			}
		}
		if o.Can.Terminal {
			try(way, func(s *Scenario) {
				s.World.Stdout, s.World.Stderr = OutputTerminal, OutputTerminal
				s.interrupt(unix.SIGINT, MomentLimit)
			})
		}
	}
	if o.Can.Faults && o.varies(dimFaults) {
		for k := KernelHost + 1; k < kernels; k++ {
			try(way, func(s *Scenario) { s.World.Kernel = k })
		}
		for _, f := range telling() {
			try(way, func(s *Scenario) { s.World.Faults = []Fault{f} })
		}
	}
	if o.varies(dimProcess) {
		for _, function := range o.Can.Calls {
			for at := OccasionMain; at < occasions; at++ {
				try(way, func(s *Scenario) { s.World.Call = Call{function, at} })
			}
		}
	}
}

// around are the worlds that the plan tries, where the program does much: faults of what it does in each of these
// places, and then the others in the first, with the kinds of a file that is named there. There are
// none for a place where the plan tries them anyway.
func (c *corpus) around(at []start) []Scenario {
	var faults, others []Scenario
	for i, at := range at {
		if way := &c.starts[0]; slices.Equal(way.Argv, at.s.Argv) && way.Stdin == at.s.Stdin {
			continue
		}
		surroundings(c.o, &Scenario{}, []Scenario{at.s}, func() []byte { return at.s.Input }, func(r rank, s Scenario) {
			if f := s.World.Faults; len(f) == 0 {
				if i == 0 && r == rankWorlds {
					others = append(others, s)
				}
			} else if _, made := slices.BinarySearchFunc(at.seen, f[0].ID, sysno.ID.Compare); made {
				faults = append(faults, s)
			}
		})
		if file := at.s.operand(); i == 0 && file >= 0 && c.o.varies(dimFiles) {
			others = append(others, kindsOf(at.s, file)...)
		}
	}
	return append(faults, others...)
}

// kindsOf is a scenario with a file of each kind but the usual.
func kindsOf(s Scenario, file int) (out []Scenario) {
	for _, k := range inputKinds() {
		s := s
		s.Files = slices.Clone(s.Files)
		if s.Files[file].Kind = k; k == FileMissing {
			s.Files = slices.Delete(s.Files, file, file+1)
		} else if !k.holds() {
			s.Files[file].Data = nil
		}
		out = append(out, s)
	}
	return out
}

// telling are the faults that most programs meet, and most treat in some way.
func telling() []Fault {
	var out []Fault
	for _, s := range []string{"clone3:ENOSYS", "close:EIO", "copy_file_range:EXDEV", "fadvise64:ESPIPE", "fcntl:EINVAL", "getcwd:ENOENT",
		"getdents64:EIO", "getrandom:ENOSYS", "ioctl:ENOTTY", "lseek:ESPIPE", "mmap:ENOMEM", "newfstatat:EACCES", "openat:EMFILE", "openat:EACCES",
		"pipe2:EMFILE", "prlimit64:EPERM", "read:EIO", "rename:EXDEV", "renameat:EXDEV", "renameat2:ENOSYS", "renameat2:EXDEV", "socket:EAFNOSUPPORT", "statx:ENOSYS", "unlink:EACCES", "write:EIO"} {
		if f, err := ParseFault(s); err == nil { // arm64 lacks some
			out = append(out, f)
		}
	}
	return out
}
