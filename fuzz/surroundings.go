package fuzz

import (
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
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
	}
	if o.Can.Faults && o.varies(dimFaults) {
		for k := KernelHost + 1; k < kernels; k++ {
			try(way, func(s *Scenario) { s.World.Kernel = k })
		}
		for _, f := range telling() {
			try(way, func(s *Scenario) { s.World.Faults = []Fault{f} })
		}
	}
}

// telling are the faults that most programs meet, and most treat in some way.
func telling() []Fault {
	var out []Fault
	for _, s := range []string{"clone3:ENOSYS", "close:EIO", "copy_file_range:EXDEV", "fadvise64:ESPIPE", "fcntl:EINVAL", "getcwd:ENOENT",
		"getdents64:EIO", "getrandom:ENOSYS", "ioctl:ENOTTY", "lseek:ESPIPE", "mmap:ENOMEM", "newfstatat:EACCES", "openat:EMFILE", "openat:EACCES",
		"pipe2:EMFILE", "prlimit64:EPERM", "read:EIO", "renameat2:ENOSYS", "socket:EAFNOSUPPORT", "statx:ENOSYS", "unlink:EACCES", "write:EIO"} {
		if f, err := ParseFault(s); err == nil { // arm64 lacks some
			out = append(out, f)
		}
	}
	return out
}
