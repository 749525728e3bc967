package forkserver

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// A program that AFL's compilers have built counts its edges in a map which it finds by a
// pointer: in memory of its own, unless the environment names one that is shared. So
// nothing about it changes, neither its environment nor its calls, when the
// pointer leads its copies to a map of ours.
const (
	edgesSize  = 8 << 20  // FS_OPT_MAX_MAPSIZE of AFL++; what nobody writes to takes no memory
	usualEdges = 64 << 10 // of programs that number none, but take a hash of where they are
)

// mapEdges makes the map, and returns its descriptor.
func (s *Server) mapEdges() (fd int, err error) {
	fd, err = unix.MemfdCreate("edges", unix.MFD_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("make the map of edges: %w", err)
	}
	if err = unix.Ftruncate(fd, edgesSize); err == nil {
		s.edges, err = unix.Mmap(fd, 0, edgesSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("make the map of edges: %w", err)
	}
	return fd, nil
}

// Edges is how often each edge was taken in the last run, modulo 256. It is empty where the
// program does not count them.
func (s *Server) Edges() []byte { return s.edges[:s.counted] }
