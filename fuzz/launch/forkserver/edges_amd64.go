package forkserver

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// countEdges makes the program, which is where copies begin, count in the map.
func (s *Server) countEdges(t tracee, o *Options, entry uint64) error {
	last := uint32(0)
	if o.LastEdge != 0 {
		var b [4]byte
		if _, err := unix.PtracePeekData(t.pid, uintptr(entry+uint64(o.LastEdge)), b[:]); err != nil {
			return fmt.Errorf("read the number of edges: %w", err)
		}
		last = binary.LittleEndian.Uint32(b[:])
	}
	if last < edgesSize { // else it would count beyond the map
		area, err := t.call(unix.SYS_MMAP, 0, edgesSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED, edgesFD)
		if err != nil {
			return fmt.Errorf("map the map of edges: %w", err)
		}
		pointer := binary.LittleEndian.AppendUint64(nil, uint64(area))
		if _, err := unix.PtracePokeData(t.pid, uintptr(entry+uint64(o.Edges)), pointer); err != nil {
			return fmt.Errorf("point to the map of edges: %w", err)
		}
		s.counted = max(usualEdges, int(last)+1)
	}
	if _, err := t.call(unix.SYS_CLOSE, edgesFD); err != nil {
		return fmt.Errorf("close the map of edges: %w", err)
	}
	return nil
}
