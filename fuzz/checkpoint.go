package fuzz

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tjfuzz/tjfuzz/internal/atomicfile"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// A session that is killed leaves its scenarios, which its successor runs again, and
// a checkpoint with what these runs do not tell: the syscalls that nobody may forget
// again, how often each was seen, how often nothing was, and which runs of the plan
// are done. It is written when a syscall is new, when its witness is found, at each
// new crash or timeout, and every second. So a kill takes away a part of a
// second's counts, and no syscall but those that were just being reported.
//
// Nothing is overstated by what is missing: a draw that was made and is not counted
// makes the bound on the chance of another larger, and a syscall that such draws
// have found is counted as one that was known.

const (
	checkpointName    = "checkpoint.json"
	checkpointVersion = 1
)

// past is what earlier sessions left, as far as it does not change any more.
type past struct {
	sessions uint64 // each has random numbers of its own
	elapsed  time.Duration
	lost     trace.Lost
	aside    []sysno.ID
	shown    []sysno.ID
	done     turns
	refused  []string // words
	stages   []savedStage
}

// asked is what the options ask for.
type asked struct {
	runs   int    // deliberate ones
	digest string // of these and of what draws are made from
}

// The JSON form.
type (
	checkpoint struct {
		Version  int              `json:"version"`
		Evidence word             `json:"evidence"`          // Options.Evidence
		Subject  json.RawMessage  `json:"subject,omitempty"` // Options.Subject, encoded
		Sessions uint64           `json:"sessions"`
		Digest   string           `json:"digest"`           // asked.digest
		Done     int              `json:"done"`             // deliberate runs, up to the first that is not
		Beyond   turns            `json:"beyond,omitempty"` // those done after that
		Refused  []word           `json:"refused,omitempty"`
		Stats    Stats            `json:"stats"`
		Drawn    savedExposure    `json:"drawn"`
		Quiet    savedExposure    `json:"quiet"`
		Syscalls []savedRecord    `json:"syscalls"`
		Aside    []savedID        `json:"aside,omitempty"`
		Lost     trace.Lost       `json:"lost"`
		Crashes  []savedFailure   `json:"crashes,omitempty"`
		Hangs    []savedFailure   `json:"hangs,omitempty"`
		Corpus   savedExperiences `json:"corpus"`
		Called   bool             `json:"called,omitempty"` // corpus.called
		Stages   []savedStage     `json:"stages,omitempty"`
		Swept    []string         `json:"swept,omitempty"` // those of coordinator.swept that were made
	}
	savedID struct {
		Arch string `json:"arch"`
		NR   uint32 `json:"nr"`
	}
	savedRecord struct {
		savedID
		First     Found  `json:"first"`
		Runs      uint64 `json:"runs"`
		Clean     uint64 `json:"clean_runs"`
		Draws     uint64 `json:"draws,omitempty"`
		ByDraw    bool   `json:"by_draw,omitempty"`
		Witness   string `json:"witness"` // its ID
		Hung      bool   `json:"hung,omitempty"`
		Confirmed bool   `json:"confirmed,omitempty"`
		Pursued   bool   `json:"pursued,omitempty"`
	}
	savedFailure struct {
		Kind   word   `json:"kind"`
		ID     string `json:"id"`
		Signal int    `json:"signal,omitempty"`
		Module word   `json:"module,omitempty"`
		Offset uint64 `json:"offset,omitempty"`
		Caller uint64 `json:"caller,omitempty"`
		Words  []word `json:"words,omitempty"`
		Count  uint64 `json:"count"`
	}
)

// checkpoint stores what is known now.
func (c *coordinator) checkpoint() error {
	if c.o.State == nil {
		return nil
	}
	c.saving.Lock()
	defer c.saving.Unlock()
	k := c.known()
	if c.o.Aside != nil { // asked after the numbers, so that no loss in what they count is left out
		seen, lost := c.o.Aside()
		k.Lost = c.before.lost.Plus(lost)
		k.Aside = saveIDs(append(seen, c.before.aside...), k.Syscalls)
	}
	b, err := json.MarshalIndent(k, "", " ")
	if err != nil {
		return fmt.Errorf("write the checkpoint: %w", err)
	}
	if err := atomicfile.Write(filepath.Join(c.o.State.dir, checkpointName), append(b, '\n')); err != nil {
		return fmt.Errorf("write the checkpoint: %w", err)
	}
	return nil
}

// saveIDs are those that no record has.
func saveIDs(ids []sysno.ID, known []savedRecord) []savedID {
	slices.SortFunc(ids, sysno.ID.Compare)
	var out []savedID
	for _, id := range slices.Compact(ids) {
		if s := saveID(id); !slices.ContainsFunc(known, func(k savedRecord) bool { return k.savedID == s }) {
			out = append(out, s)
		}
	}
	return out
}

func saveID(id sysno.ID) savedID { return savedID{id.Arch.String(), id.NR} }

func (s savedID) id() (sysno.ID, error) {
	arch, err := sysno.ParseArch(s.Arch)
	return sysno.ID{Arch: arch, NR: s.NR}, err
}

// known is all that a checkpoint holds but for what the recorder knows.
func (c *coordinator) known() *checkpoint {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := &checkpoint{
		Version: checkpointVersion, Evidence: word(c.o.Evidence), Subject: c.subject, Sessions: c.before.sessions + 1,
		Digest: c.asked.digest, Refused: toWords(c.agenda.all()), Stats: c.stats, Lost: c.before.lost,
		Crashes: saveFailures(c.crashes), Hangs: saveFailures(c.hangs), Corpus: c.corpus.save(), Called: c.corpus.called,
		Syscalls: []savedRecord{}, Stages: c.agenda.stages.save(),
	}
	for _, id := range slices.Sorted(maps.Keys(c.swept)) {
		if c.swept[id] {
			k.Swept = append(k.Swept, id)
		}
	}
	if k.Beyond = c.done(); len(k.Beyond) > 0 && k.Beyond[0][0] == 1 {
		k.Done, k.Beyond = k.Beyond[0][1], k.Beyond[1:]
	}
	k.Stats.Elapsed = c.elapsed()
	k.Drawn, k.Quiet = c.drawn.save(), c.quiet.save()
	for _, id := range c.ids() {
		r := c.books[id]
		k.Syscalls = append(k.Syscalls, savedRecord{saveID(id), r.first, r.runs, r.clean, r.draws, r.byDraw, r.witness.ID(), r.hung, r.confirmed, r.pursued})
	}
	return k
}

func saveFailures(kinds map[string]*Failure) []savedFailure {
	var out []savedFailure
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		f := kinds[kind]
		out = append(out, savedFailure{word(kind), f.ID, f.Signal, word(f.Place.Module), f.Place.Offset, f.Place.Caller, toWords(f.Words), f.Count})
	}
	return out
}

// done are the deliberate runs that need not be made again.
func (c *coordinator) done() turns {
	todo := make([]bool, c.asked.runs)
	for turn := range c.flying {
		if turn > 0 {
			todo[turn-1] = true
		}
	}
	for p := range c.agenda.left {
		if p.turn > 0 {
			todo[p.turn-1] = true
		}
	}
	var out turns
	for i, open := range todo {
		switch n := len(out); {
		case open:
		case n > 0 && out[n-1][1] == i:
			out[n-1][1]++
		default:
			out = append(out, [2]int{i + 1, i + 1})
		}
	}
	return out
}

// turns are ranges of planned.turn, first and last.
type turns [][2]int

func (t turns) has(turn int) bool {
	return slices.ContainsFunc(t, func(r [2]int) bool { return r[0] <= turn && turn <= r[1] })
}

// rest are the runs of the plan that are not among them.
func (t turns) rest(all []planned) []planned {
	done := make([]bool, len(all)+1)
	for _, r := range t { // as a file has them
		for turn := max(r[0], 1); turn <= min(r[1], len(all)); turn++ {
			done[turn] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(p planned) bool { return done[p.turn] })
}

// begin goes on where the sessions before this one stopped, and makes the plan.
func (c *coordinator) begin(stored []Stored) error {
	whole := deliberate(c.o)
	all := c.o.Shard.part(whole)
	c.asked = asked{len(all), digest(c.o, all)}
	if c.o.Subject != nil {
		var b bytes.Buffer
		if err := trace.Encode(&b, c.o.Subject); err != nil {
			return err
		}
		c.subject = b.Bytes()
	}
	if c.o.State != nil {
		k, err := c.o.State.checkpoint()
		if err != nil {
			return err
		}
		if k != nil {
			if err := c.goOn(k, stored); err != nil {
				return fmt.Errorf("read state: %s: %w", filepath.Join(c.o.State.dir, checkpointName), err)
			}
		}
	}
	// What only another executor can run stays known, and waits for one.
	cannot := func(s *Scenario) bool { return !c.o.Can.Allow(s) }
	c.left = slices.DeleteFunc(c.left, func(d discovery) bool { return cannot(&d.s) })
	stored = slices.DeleteFunc(stored, func(s Stored) bool { return cannot(&s.Scenario) })
	known := refusals{
		settled: func(id sysno.ID) bool { return c.books[id] != nil && c.books[id].settled },
		alike:   make(map[trial]bool), before: make(map[string]bool),
	}
	for _, w := range c.before.refused {
		known.before[w] = true
	}
	c.agenda = newAgenda(plan(all, stored, c.before.done), known)
	if err := c.agenda.stages.load(c.before.stages, all); err != nil {
		return fmt.Errorf("read state: %s: %w", filepath.Join(c.o.State.dir, checkpointName), err)
	}
	c.corpus.lines = whole
	if !c.agenda.open { // else that waits until options are tried there
		c.startAt(c.agenda.stages.starts())
	}
	return nil
}

// digest tells whether two sessions draw from the same distribution, as far as
// that is up to the user and to what is known of the target from the start.
func digest(o *Options, all []planned) string {
	h := sha256.New()
	for _, p := range all {
		fmt.Fprintln(h, p.phase, p.s.ID())
	}
	// None of these types can fail to encode; maps come out sorted.
	_ = json.NewEncoder(h).Encode([]any{o.Fixed, o.MaxInput, o.Dictionary, o.EnvNames, o.Table, o.Only, o.NewMutator != nil})
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// checkpoint reads the checkpoint; there may be none.
func (s *State) checkpoint() (*checkpoint, error) {
	path := filepath.Join(s.dir, checkpointName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	k, err := decodeCheckpoint(b)
	if err != nil {
		return nil, fmt.Errorf("read state: %s: %w", path, err)
	}
	return k, nil
}

func decodeCheckpoint(b []byte) (*checkpoint, error) {
	k := &checkpoint{}
	if err := unmarshal(b, k); err != nil {
		return nil, err
	}
	if k.Version != checkpointVersion {
		return nil, fmt.Errorf("version %d, this program reads %d", k.Version, checkpointVersion)
	}
	return k, nil
}

// goOn takes over what still holds of a checkpoint: of another program's runs
// nothing; where something was lost, the syscalls without their numbers; where
// other draws are asked for, all but the statistics of draws.
func (c *coordinator) goOn(k *checkpoint, stored []Stored) error {
	c.before.sessions = k.Sessions
	if string(k.Evidence) != c.o.Evidence {
		return nil
	}
	scenarios := make(map[string]*Scenario)
	for i := range stored {
		scenarios[stored[i].ID] = &stored[i].Scenario
	}
	complete := k.Lost.Complete()
	same := complete && k.Digest == c.asked.digest
	if complete {
		c.stats, c.before.lost, c.before.elapsed = k.Stats, k.Lost, max(k.Stats.Elapsed, 0)
	}
	if k.Called && c.o.varies(dimPeers) {
		c.corpus.called = true
		c.corpus.budget.share()
	}
	if same {
		c.before.done, c.before.refused = append(turns{{1, k.Done}}, k.Beyond...), fromWords(k.Refused)
		c.before.stages = k.Stages
		for _, id := range k.Swept[:min(len(k.Swept), maxMade)] {
			c.swept[id] = true
		}
		c.corpus.load(&k.Corpus)
		c.drawn, c.quiet = k.Drawn.load(), k.Quiet.load()
	}
	c.stats.Singletons = 0
	for _, r := range k.Syscalls {
		id, err := r.id()
		if err != nil {
			return err
		}
		s := scenarios[r.Witness]
		if s == nil { // the kill came before it was stored, or a person has removed it
			c.drawn.lower(r.Draws)
			c.quiet = exposure{}
			continue
		}
		rec := &record{first: r.First, witness: *s, hung: r.Hung}
		rec.first.ID = id
		if complete {
			rec.runs, rec.clean, rec.confirmed, rec.pursued = r.Runs, r.Clean, r.Confirmed, r.Pursued
		}
		if same {
			rec.draws, rec.byDraw = r.Draws, r.ByDraw
		}
		if rec.byDraw && rec.draws == 1 {
			c.stats.Singletons++
		}
		c.books[id] = rec
		c.before.shown = append(c.before.shown, id)
		if rec.pursued {
			c.corpus.add(*s, rec.hung, []sysno.ID{id}, nil)
		} else if i := slices.IndexFunc(c.left, func(d discovery) bool { return d.s.ID() == r.Witness }); i >= 0 {
			c.left[i].ids = append(c.left[i].ids, id)
		} else {
			c.left = append(c.left, discovery{*s, []sysno.ID{id}, r.Hung, nil})
		}
	}
	for _, s := range k.Aside {
		id, err := s.id()
		if err != nil {
			return err
		}
		c.before.aside = append(c.before.aside, id)
	}
	return errors.Join(c.loadFailures(c.crashes, Crashes, k.Crashes), c.loadFailures(c.hangs, Hangs, k.Hangs))
}

// loadFailures takes over the kinds whose scenario is there.
func (c *coordinator) loadFailures(kinds map[string]*Failure, f Folder, saved []savedFailure) error {
	found, err := c.o.State.failures(f, saved)
	maps.Copy(kinds, found)
	return err
}

// failures are the saved ones whose scenario is there, by their kind.
func (s *State) failures(f Folder, saved []savedFailure) (map[string]*Failure, error) {
	stored, err := s.List(f)
	if err != nil {
		return nil, err
	}
	kinds := make(map[string]*Failure)
	for _, k := range saved {
		if i := slices.IndexFunc(stored, func(s Stored) bool { return s.ID == k.ID }); i >= 0 {
			kinds[string(k.Kind)] = &Failure{ID: k.ID, Scenario: stored[i].Scenario, Signal: k.Signal, Place: Place{string(k.Module), k.Offset, k.Caller}, Words: fromWords(k.Words), Count: k.Count}
		}
	}
	return kinds, nil
}

// unfinished is a discovery of an earlier session that was not pursued to its end.
func (c *coordinator) unfinished() (discovery, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.left) == 0 {
		return discovery{}, false
	}
	d := c.left[0]
	c.left = c.left[1:]
	return d, true
}

// savedExposure is an exposure by the names of the kinds. What has none today is not
// counted, which makes the stated chance larger.
type savedExposure map[string]uint64

func (k stratum) String() string {
	if k == youngEntry {
		return "young"
	}
	return dimensionNames[k]
}

func (e *exposure) save() savedExposure {
	s := make(savedExposure)
	for k, n := range e {
		s[stratum(k).String()] = n
	}
	return s
}

func (s savedExposure) load() (e exposure) {
	for k := range strata {
		e[k] = s[k.String()]
	}
	return e
}

// lower takes draws away of which the kind is not known.
func (e *exposure) lower(n uint64) {
	for k := range e {
		e[k] -= min(e[k], n)
	}
}

// savedExperiences is what a corpus has learned beside the scenarios that it holds,
// which are made again by running them.
type savedExperiences struct {
	Tries    map[string]float64 `json:"tries"` // by dimension
	Gains    map[string]float64 `json:"gains"`
	Runs     uint64             `json:"runs"`
	Hung     uint64             `json:"hung"`
	Suspects []savedSuspect     `json:"suspects,omitempty"`
}

type savedSuspect struct {
	Word   word   `json:"word"`
	Uses   uint64 `json:"uses"`
	Hangs  uint64 `json:"hangs"`
	Banned bool   `json:"banned,omitempty"`
}

func (c *corpus) save() savedExperiences {
	s := savedExperiences{Tries: make(map[string]float64), Gains: make(map[string]float64), Runs: c.runs, Hung: c.hung}
	for d, name := range dimensionNames {
		s.Tries[name], s.Gains[name] = c.budget.tries[d], c.budget.gains[d]
	}
	for _, w := range slices.Sorted(maps.Keys(c.suspects)) {
		u := c.suspects[w]
		s.Suspects = append(s.Suspects, savedSuspect{word(w), u.uses, u.hangs, c.banned[w]})
	}
	return s
}

func (c *corpus) load(s *savedExperiences) {
	for d, name := range dimensionNames {
		if tries, known := s.Tries[name]; known { // else it knows other dimensions
			c.budget.tries[d], c.budget.gains[d] = max(tries, 0), max(s.Gains[name], 0)
		}
	}
	c.budget.share()
	c.runs, c.hung = s.Runs, s.Hung
	for _, u := range s.Suspects[:min(len(s.Suspects), maxSuspects)] {
		c.suspects[string(u.Word)] = &suspect{u.Uses, u.Hangs}
		if u.Banned {
			c.banned[string(u.Word)] = true
		}
	}
}
