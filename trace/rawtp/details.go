package rawtp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"

	"github.com/cilium/ebpf"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// siteTable and valueTable are the kernel's tables of one moment, by call.
type (
	siteTable  map[uint16][]trace.Site
	valueTable map[uint16]map[uint16][]uint64
)

// callOf is the number of a syscall in the tables, ok false for one beyond.
func callOf(id sysno.ID) (call int, ok bool) {
	for abi := range recorderAbiABIS {
		if archOf(abi) == id.Arch && id.NR < uint32(cells) {
			return int(abi)*cells + int(id.NR), true
		}
	}
	return 0, false
}

// describer reads what is kept of calls in detail, and returns what adds it to an
// observation. What a failed read does not show is marked as missing.
func (s *Slot) describer() func(*trace.Observation) {
	want := s.r.want
	if !want.detailed() {
		return func(*trace.Observation) {}
	}
	d := s.r.details[s.index]
	sites, noSites := s.siteTable()
	values, noValues := s.valueTable()
	for _, err := range []error{noSites, noValues} {
		if err != nil {
			s.r.unlisted.Add(1)
		}
	}
	return func(o *trace.Observation) {
		call, ok := callOf(o.ID)
		if !ok {
			o.MoreSites = want.Sites
			return
		}
		if want.Sites {
			o.Sites = sites[uint16(call)]
			o.MoreSites = d.MoreSites[call] != 0 || noSites != nil
		}
		if want.Args {
			o.Args = arguments(o.ID, d.Any[call], values[uint16(call)])
		}
		if want.Returns {
			o.Returns.Success, o.Returns.Errnos = results(&d.Results[call])
		}
	}
}

// results reads bits of which the first is success, and the others are errnos.
func results(words *[3]uint64) (success bool, errnos []uint16) {
	for i := range len(words) * 64 {
		if atomic.LoadUint64(&words[i/64])>>(i%64)&1 == 0 {
			continue
		}
		if i == 0 {
			success = true
		} else {
			errnos = append(errnos, uint16(i))
		}
	}
	return success, errnos
}

func arguments(id sysno.ID, any [6]uint8, values map[uint16][]uint64) []trace.Arg {
	var args []trace.Arg
	for _, i := range id.Choices() {
		arg := trace.Arg{Index: i, Values: slices.Compact(slices.Sorted(slices.Values(values[uint16(i)])))}
		if any[i] != 0 || len(arg.Values) > trace.MaxValues {
			arg.Any, arg.Values = true, nil
		}
		if arg.Any || len(arg.Values) > 0 {
			args = append(args, arg)
		}
	}
	return args
}

func (s *Slot) siteTable() (siteTable, error) {
	table := siteTable{}
	var (
		key   recorderSiteKey
		value recorderSite
	)
	entries := s.r.coll.Maps["sites"].Iterate()
	for entries.Next(&key, &value) {
		if int(key.Slot) == s.index {
			table[key.Call] = append(table[key.Call], value.site())
		}
	}
	for call, sites := range table {
		slices.SortFunc(sites, trace.Site.Compare)
		table[call] = slices.Compact(sites)
	}
	return table, entries.Err()
}

// site is what the kernel side knows of a site: the module is the last part of a
// file's name, or one of the names that the kernel gives to its own pages.
func (s *recorderSite) site() trace.Site {
	const (
		valid    = 1 // BPF_STACK_BUILD_ID_VALID
		vsyscall = 0xffffffffff600000
	)
	name, _, _ := bytes.Cut(s.Name[:], []byte{0})
	site := trace.Site{Module: string(name)}
	switch {
	case site.Module != "":
		site.Offset = s.Offset + s.Page*uint64(os.Getpagesize())
	case s.Ip >= vsyscall:
		site.Module, site.Offset = "[vsyscall]", s.Ip-vsyscall
	}
	if s.Frame.Status == valid {
		site.BuildID = hex.EncodeToString(buildID(s.Frame.BuildId[:]))
		site.Offset = s.Frame.Offset
	}
	return site
}

// buildID cuts off what the kernel has filled up: linkers make 8, 16 or 20 bytes.
func buildID(id []byte) []byte {
	for _, size := range []int{8, 16} {
		if len(bytes.Trim(id[size:], "\x00")) == 0 {
			return id[:size]
		}
	}
	return id
}

func (s *Slot) valueTable() (valueTable, error) {
	table := valueTable{}
	var (
		key recorderValue
		one uint8
	)
	entries := s.r.coll.Maps["values"].Iterate()
	for entries.Next(&key, &one) {
		if int(key.Slot) != s.index {
			continue
		}
		if table[key.Call] == nil {
			table[key.Call] = map[uint16][]uint64{}
		}
		table[key.Call][key.Arg] = append(table[key.Call][key.Arg], key.Value)
	}
	return table, entries.Err()
}

// forget empties what is kept for a slot, for its next owner.
func (r *Recorder) forget(slot int) error {
	if r.details == nil {
		return nil
	}
	*r.details[slot] = recorderDetail{}
	err := forget(r.coll.Maps["values"], func(key recorderValue) bool { return int(key.Slot) == slot })
	return errors.Join(err, forget(r.coll.Maps["sites"], func(key recorderSiteKey) bool { return int(key.Slot) == slot }))
}

func forget[K any](m *ebpf.Map, of func(K) bool) error {
	var (
		key   K
		stale []K
	)
	value := make([]byte, m.ValueSize())
	entries := m.Iterate()
	for entries.Next(&key, &value) {
		if of(key) {
			stale = append(stale, key)
		}
	}
	for _, key := range stale {
		if err := m.Delete(&key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("empty the table %s: %w", m, err)
		}
	}
	if err := entries.Err(); err != nil {
		return fmt.Errorf("read the table %s: %w", m, err)
	}
	return nil
}

// choiceArgs lists how many bits the kernel reads of each argument whose values are
// kept.
func choiceArgs() *recorderChoices {
	var table recorderChoices
	for i := range table.Bits {
		id := sysno.ID{Arch: archOf(recorderAbi(i / cells)), NR: uint32(i % cells)}
		args := id.Args()
		for _, n := range id.Choices() {
			table.Bits[i][n] = args[n].Bits
		}
	}
	return &table
}
