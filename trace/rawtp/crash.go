package rawtp

import "sync/atomic"

// Crash is where a signal ended a process by its own fault, in terms that address space
// randomization does not change.
type Crash struct {
	Module string // the last part of the name of the file that is mapped there, or the kernel's name for it
	Offset uint64 // of the instruction in the file
	Caller uint64 // of the innermost word on the stack that points into the program's own code, from where that begins; 0 for none
}

// Crash says where the last process of the current run that was ended by the signal was
// then; for SIGKILL, where the first waited in a system call, if it did, and if no process was ended
// by a fault before. It is false for other signals that are no fault of the program's, and where
// Options.Crashes was not given or not to be had.
func (s *Slot) Crash(signal int) (Crash, bool) {
	s.r.mu.RLock()
	defer s.r.mu.RUnlock()
	if s.r.final != nil || s.r.crashes == nil {
		return Crash{}, false
	}
	c := s.r.crashes[s.index]
	if atomic.LoadUint64(&c.Gen) != s.gen || int(c.Signal) != signal {
		return Crash{}, false
	}
	site := c.Site.site()
	return Crash{Module: site.Module, Offset: site.Offset, Caller: c.Caller}, true
}
