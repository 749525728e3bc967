package main

import (
	"context"
	"errors"
	"os"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/coverage"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
	"github.com/tjfuzz/tjfuzz/trace/static"
)

// guide knows by which ways a program can reach syscalls, once it has analyzed it.
type guide struct {
	path  string
	chart *static.Chart
	err   error             // why there is none
	files map[string]string // by path, what coverage calls it
}

// find analyzes the program, and says what runs are aimed at: what the program itself reaches. Nothing where
// its code cannot be followed.
func (g *guide) find(ctx context.Context) []sysno.ID {
	own, err := coverage.Own(g.path)
	if err != nil {
		own = func(file string) bool { return file == g.path }
	}
	o := static.Options{LibraryPath: os.Getenv("LD_LIBRARY_PATH")}
	defer boundMemory()()
	reach, chart, err := static.AnalyzeAndChart(ctx, g.path, o, own)
	if err != nil {
		g.err = err
		return nil
	}
	toCache(cacheOf(g.path, o), reach) // in which it is looked for when the runs are done
	g.chart = chart
	var ids []sysno.ID
	for _, x := range reach.Reached {
		if !x.Startup && len(x.Path) > 0 && x.ID.Arch == sysno.Native() {
			ids = append(ids, x.ID)
		}
	}
	return ids
}

// file is what coverage calls a file, empty where it knows none.
func (g *guide) file(path string) string {
	id, known := g.files[path]
	if !known {
		id, _ = coverage.FileID(path) // one that cannot be read is never seen
		g.files[path] = id
	}
	return id
}

// aims are for a session; nil for none.
func (g *guide) aims() *fuzz.Aims {
	if g == nil {
		return nil
	}
	return &fuzz.Aims{Find: g.find, Aim: g.aim}
}

func (g *guide) aim(id sysno.ID) *fuzz.Aim {
	way := g.chart.Way(id)
	if way == nil || len(way.Blocks) == 0 {
		return nil
	}
	var aim fuzz.Aim
	block := func(b static.Block) fuzz.AimBlock {
		return fuzz.AimBlock{Key: coverage.BlockKey(g.file(b.File), b.Offset), Distance: b.Distance}
	}
	for _, b := range way.Blocks {
		aim.Blocks = append(aim.Blocks, block(b))
	}
	for _, b := range way.Setters() {
		aim.Setters = append(aim.Setters, block(b))
	}
	kinds := map[static.ClueKind]fuzz.ClueKind{
		static.ClueText: fuzz.ClueText, static.ClueVariable: fuzz.ClueVariable, static.ClueFile: fuzz.ClueFile, static.ClueNumber: fuzz.ClueNumber,
		static.ClueSignal: fuzz.ClueSignal, static.ClueFailure: fuzz.ClueFailure, static.ClueErrno: fuzz.ClueErrno,
	}
	for _, k := range way.Clues() {
		aim.Clues = append(aim.Clues, fuzz.Clue{Kind: kinds[k.Kind], Text: k.Text, Number: k.Number, Size: k.Size, ID: k.ID, Distance: k.Distance})
	}
	return &aim
}

// explainShort notes in an analysis, if there is one, why runs have not shown what it reaches.
func (g *guide) explainShort(v voice, r *trace.Reach, t *trace.Trace, code *coverage.Map) {
	if g == nil {
		return
	}
	if g.err != nil && !errors.Is(g.err, static.ErrMachine) && !errors.Is(g.err, context.Canceled) {
		v.say("runs were not aimed at what the code can reach: %v", g.err)
	}
	if g.chart == nil || r == nil {
		return
	}
	for i := range r.Reached {
		x := &r.Reached[i]
		if x.Startup || len(x.Path) == 0 || seen(t, x.ID) {
			continue
		}
		if way := g.chart.Way(x.ID); way != nil {
			x.Short = way.Short(func(file string, offset uint64) bool { return code.Reached(g.file(file), offset) })
		}
	}
}

// whyShort says why runs have not shown a call.
func whyShort(x trace.Reached) string {
	if x.Short != "" {
		return x.Short
	}
	last := x.Path[len(x.Path)-1]
	return "no run whose code was traced came near; it is made by " + stepName(last)
}
