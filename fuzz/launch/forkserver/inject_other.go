//go:build !amd64

package forkserver

func (*Server) infiltrate(*Options, bool) error {
	return ineligible("there is no fork server for this architecture")
}
