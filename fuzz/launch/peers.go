package launch

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/network"
	"github.com/tjfuzz/tjfuzz/fuzz/peer"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// peers are who answers on the network of one run.
type peers struct {
	*peer.Peer
	host *network.Host
}

// invite lets a scenario's peers answer on the network of a world, which trusts them.
func (e *Exec) invite(in place, s *fuzz.Scenario) (_ *peers, err error) {
	w, ok := in.(*cage.World)
	if !ok {
		return nil, errors.New("peers answer in a cage only: without one the target would call others")
	}
	if e.catcher == nil {
		if e.catcher, err = elsewhere(network.New); err != nil {
			return nil, err
		}
		if e.authority, err = peer.NewAuthority(); err != nil {
			return nil, err
		}
	}
	ns, err := w.Network()
	if err != nil {
		return nil, err
	}
	defer unix.Close(ns)
	pem := e.authority.PEM()
	err = errors.Join(w.Trust(pem), w.Configure("/etc/ssl/certs/"+e.authority.Hash(), pem),
		w.Configure("/etc/ssh/ssh_known_hosts", e.authority.KnownHosts()))
	if err != nil {
		return nil, fmt.Errorf("let the target trust its peers: %w", err)
	}
	p := peer.New(s, e.authority)
	host, err := e.catcher.Open(ns, p, s.World.Peers.Conduct == fuzz.ConductRefusing, s.AsksNames())
	if err != nil {
		return nil, err
	}
	return &peers{p, host}, nil
}

// leave ends the peers. The target is gone.
func (p *peers) leave() error { return p.host.Close() }

// canInvite reports whether a cage's targets can have peers here. It must be called on the
// thread of the cage.
func (e *Exec) canInvite() bool {
	if e.cage == nil {
		return false
	}
	permitted, _ := elsewhere(func() (bool, error) { return network.Permitted(), nil })
	return permitted
}

// calling reports whether a call can be one to somebody on the network.
func calling(id sysno.ID) bool {
	switch name, _ := id.Name(); name {
	case "connect", "sendto", "sendmsg", "sendmmsg", "socketcall", "io_uring_setup":
		return true
	}
	return false
}
