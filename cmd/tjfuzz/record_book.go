package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/atomicfile"
	"github.com/tjfuzz/tjfuzz/internal/pods"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/synth/format"
	"github.com/tjfuzz/tjfuzz/trace"
)

// book is the evidence on workloads, in a directory, with the profiles that it makes.
type book struct {
	v       voice
	dir     string
	options synth.Options
	past    map[pods.Workload]*entry     // of what runs, or is not written yet
	live    map[pods.Workload][]recorded // what runs, as it was when it was looked last
	changed map[pods.Workload]bool       // since they were written
}

// recorded is the evidence of one container.
type recorded struct {
	*trace.Trace
	whole bool // from its start on
}

// entry is what is known of a workload from containers that have ended.
type entry struct {
	recorded        // Trace is nil while there is nothing
	written  []byte // what the file of the evidence has
	told     string // why there is no profile
	broken   bool   // what the directory has cannot be read, and is left alone
}

func newBook(v voice, dir string, o synth.Options) *book {
	return &book{v: v, dir: dir, options: o, past: map[pods.Workload]*entry{}, live: map[pods.Workload][]recorded{}, changed: map[pods.Workload]bool{}}
}

func (b *book) file(w pods.Workload, suffix string) string {
	return filepath.Join(b.dir, filepath.FromSlash(w.Path())+suffix)
}

const (
	evidenceSuffix = ".evidence.json"
	profileSuffix  = ".seccomp.json"
)

// entry is that of a workload, with what the directory has of it. A profile is there if one of the
// containers was recorded from its start on.
func (b *book) entry(w pods.Workload) *entry {
	if e := b.past[w]; e != nil {
		return e
	}
	e := &entry{}
	b.past[w] = e
	text, err := os.ReadFile(b.file(w, evidenceSuffix))
	if errors.Is(err, os.ErrNotExist) {
		return e
	}
	if err == nil {
		e.Trace, err = trace.Decode(bytes.NewReader(text))
	}
	if err != nil {
		b.v.warn("%s cannot be read, and is left as it is: %v", b.file(w, evidenceSuffix), err)
		e.broken = true
		return e
	}
	e.written = text
	_, err = os.Stat(b.file(w, profileSuffix))
	e.whole = err == nil
	return e
}

// add enters a recording that has ended.
func (b *book) add(w pods.Workload, t *trace.Trace, whole bool) {
	e := b.entry(w)
	all, err := together(w, e.recorded, recorded{t, whole})
	if err != nil {
		b.v.warn("%v: %v", w, err)
		return
	}
	e.recorded = all
	b.changed[w] = true
	how := "from its start on"
	if !whole {
		how = "without its start"
	}
	b.v.say("%v: %d syscalls recorded of a container %s, %d of %d containers", w, len(t.Observations), how, len(all.Observations), all.Runs)
}

// run enters what runs of a workload, in place of what did before.
func (b *book) run(w pods.Workload, live []recorded) {
	b.live[w], b.changed[w] = live, true
	if len(live) == 0 {
		delete(b.live, w)
	}
}

// together unites recordings of one workload. What makes them one is its name: the program can differ from
// image to image, and is not known of what ran before.
func together(w pods.Workload, all ...recorded) (recorded, error) {
	var sum recorded
	var parts []*trace.Trace
	for _, r := range all {
		if r.Trace == nil {
			continue
		}
		part := *r.Trace
		parts = append(parts, &part)
		sum.whole = sum.whole || r.whole
	}
	if len(parts) == 0 {
		return sum, nil
	}
	target := trace.Target{Path: w.Path()}
	for _, p := range parts {
		if strings.HasPrefix(p.Target.Path, "/") {
			target = p.Target
			break
		}
	}
	for _, p := range parts {
		p.Target = target
	}
	var err error
	sum.Trace, err = trace.Merge(parts...)
	return sum, err
}

// write writes all that has changed. Of what runs no more it keeps nothing: the directory has it.
func (b *book) write() error {
	for _, w := range slices.SortedFunc(maps.Keys(b.changed), func(x, y pods.Workload) int { return cmp.Compare(x.Path(), y.Path()) }) {
		if err := b.writeOne(w); err != nil {
			return hinted(fmt.Errorf("write %v: %w", w, err), "see that the directory can be written, and has room")
		}
		delete(b.changed, w)
		if len(b.live[w]) == 0 {
			delete(b.past, w)
		}
	}
	return nil
}

func (b *book) writeOne(w pods.Workload) error {
	e := b.entry(w)
	if e.broken {
		return nil
	}
	all, err := together(w, append([]recorded{e.recorded}, b.live[w]...)...)
	if err != nil || all.Trace == nil {
		return err
	}
	var text bytes.Buffer
	if err := trace.Encode(&text, all.Trace); err != nil {
		return err
	}
	if bytes.Equal(text.Bytes(), e.written) {
		return nil
	}
	// First the profile: where it is there, the evidence has a start.
	if err := os.MkdirAll(filepath.Dir(b.file(w, "")), 0o777); err != nil {
		return err
	}
	if err := b.writeProfile(w, e, all); err != nil {
		return err
	}
	if err := atomicfile.Write(b.file(w, evidenceSuffix), text.Bytes()); err != nil {
		return err
	}
	e.written = text.Bytes()
	return nil
}

// writeProfile makes the profile of evidence that can carry one, and says why of other.
func (b *book) writeProfile(w pods.Workload, e *entry, all recorded) error {
	policy, err := synth.Generate(all.Trace, b.options)
	var why string
	switch {
	case !all.whole:
		why = "no container was recorded from its start on; restart one"
	case errors.Is(err, synth.ErrIncomplete), errors.Is(err, synth.ErrNoExecSeen), errors.Is(err, synth.ErrEmpty):
		why = err.Error()
	case err != nil:
		return err
	}
	if why != "" {
		if why != e.told {
			b.v.warn("%v has no new profile: %s", w, why)
		}
		e.told = why
		return nil
	}
	e.told = ""
	var text bytes.Buffer
	if err := format.WriteOCI(&text, policy); err != nil {
		return err
	}
	return atomicfile.Write(b.file(w, profileSuffix), text.Bytes())
}
