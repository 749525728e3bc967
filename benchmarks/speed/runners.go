package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/fuzz/launch"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/coverage"
	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/trace"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

//go:embed testdata/tiny.c
var tinyC []byte

type bench struct {
	dir     string
	window  time.Duration
	targets []*target
	runners []runner
	covers  bool // what breakpoints cost is asked for

	tjfuzz  string        // built for sessions
	session time.Duration // how long each is
	talks   []*talk
}

// target is a program that reads a file.
type target struct {
	name         string
	program      string
	instrumented string // the same with AFL's instrumentation, or empty
	args         []string
	seeds        []string
	bar          float64 // how many times as fast as afl-fuzz -n tjfuzz has to be

	rates  map[string][]float64 // by runner, in the order of the rounds
	costs  []cost
	failed map[string]string
}

// runner runs a target again and again.
type runner struct {
	name         string
	instrumented bool // needs the instrumented program
	rate         func(context.Context, *bench, *target) (float64, error)
}

const (
	dumb         = "afl-fuzz -n"
	instrumented = "afl-fuzz, instrumented"
)

func (b *bench) prepare(ctx context.Context, targets, runners *regexp.Regexp) error {
	all := []runner{
		{name: dumb, rate: afl(false)},
		{name: instrumented, instrumented: true, rate: afl(true)},
	}
	for _, caged := range []bool{false, true} {
		for _, way := range []struct {
			name   string
			server bool
			rung   launch.Rung
			edges  bool // of the instrumented program
		}{
			{"execve", false, 0, false},
			{"copies at the entry", true, launch.AtEntry, false},
			{"copies at main", true, launch.AtMain, false},
			{"copies at the input", true, launch.AtInput, false},
			{"copies of AFL, instrumented", true, launch.AtAFL, true},
		} {
			if way.edges && !caged {
				continue // there are none
			}
			name := "tjfuzz, " + way.name
			if caged {
				name += ", cage"
			}
			all = append(all, runner{name: name, instrumented: way.edges, rate: func(ctx context.Context, b *bench, t *target) (float64, error) {
				o := launch.Options{Program: t.program, ForkServer: way.server, Highest: way.rung}
				if way.edges {
					o.Program, o.Coverage = t.instrumented, new(coverage.Map)
				}
				return b.executor(ctx, t, o, caged)
			}})
		}
	}
	for _, r := range all {
		if runners.MatchString(r.name) {
			b.runners = append(b.runners, r)
		}
	}
	b.covers = runners.MatchString(breakpoints)
	for _, t := range []*target{
		{name: "tiny", args: []string{"@@"}, seeds: []string{"abc", "FUxx"}, bar: 3.5},
		{name: "xmllint", args: []string{"--nonet", "@@"}, seeds: []string{"<a b=\"c\"><d/>text</a>\n", "<?xml version=\"1.0\"?>\n<x>&lt;</x>\n"}, bar: 5},
		{name: "jq", args: []string{".", "@@"}, seeds: []string{"{\"a\":[1,true,null]}\n", "[\"b\",2.5e3]\n"}, bar: 15},
		{name: "file", args: []string{"@@"}, seeds: []string{"#!/bin/sh\n", "\x7fELF\x02\x01\x01"}},
	} {
		if len(b.runners) == 0 && !b.covers || !targets.MatchString(t.name) {
			continue
		}
		t.rates, t.failed = map[string][]float64{}, map[string]string{}
		if t.name == "tiny" {
			if err := b.build(ctx, t); err != nil {
				return err
			}
		} else if path, err := exec.LookPath(t.name); err != nil {
			return err
		} else if t.program, err = filepath.EvalSymlinks(path); err != nil {
			return err
		}
		if err := os.Mkdir(b.path("seeds-"+t.name), 0o755); err != nil {
			return err
		}
		for i, s := range t.seeds {
			if err := os.WriteFile(filepath.Join(b.path("seeds-"+t.name), strconv.Itoa(i)), []byte(s), 0o644); err != nil {
				return err
			}
		}
		b.targets = append(b.targets, t)
	}
	for _, t := range services() {
		if targets.MatchString(t.name()) && runners.MatchString(sessions) {
			b.talks = append(b.talks, t)
		}
	}
	if len(b.talks) == 0 && len(b.targets) == 0 {
		return errors.New("nothing to measure")
	}
	return nil
}

// build compiles the tiny program, plain and instrumented.
func (b *bench) build(ctx context.Context, t *target) error {
	source := b.path("tiny.c")
	if err := os.WriteFile(source, tinyC, 0o644); err != nil {
		return err
	}
	t.program = b.path("tiny")
	if err := output(ctx, nil, "gcc", "-O2", "-o", t.program, source); err != nil {
		return err
	}
	t.instrumented = b.path("tiny-afl")
	return output(ctx, []string{"AFL_QUIET=1"}, "afl-clang-fast", "-O2", "-o", t.instrumented, source)
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// afl is afl-fuzz for as many whole seconds as the window has, and two at least.
func afl(instrumented bool) func(context.Context, *bench, *target) (float64, error) {
	return func(ctx context.Context, b *bench, t *target) (float64, error) {
		program, flags := t.program, []string{"-n"}
		if instrumented {
			program, flags = t.instrumented, nil
		}
		out := b.path("out")
		defer os.RemoveAll(out)
		argv := append([]string{"afl-fuzz"}, flags...)
		argv = append(argv, "-V", strconv.Itoa(max(2, int(b.window.Seconds()))), "-i", b.path("seeds-"+t.name), "-o", out, "--", program)
		env := []string{"AFL_NO_UI=1", "AFL_NO_AFFINITY=1", "AFL_SKIP_CPUFREQ=1", "AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1"}
		if err := output(ctx, env, append(argv, t.args...)...); err != nil {
			return 0, err
		}
		// With -n there are no fuzzer_stats, and no directory of the instance.
		plot, err := os.ReadFile(filepath.Join(out, "default/plot_data"))
		if errors.Is(err, os.ErrNotExist) {
			plot, err = os.ReadFile(filepath.Join(out, "plot_data"))
		}
		if err != nil {
			return 0, err
		}
		return lastRate(string(plot))
	}
}

// lastRate is the column execs_per_sec of the last line, or, as afl-fuzz may have come to
// no rate by then, what follows from the number of all runs and the whole seconds.
func lastRate(plot string) (float64, error) {
	lines := strings.Split(strings.TrimSpace(plot), "\n")
	names, values := strings.Split(strings.TrimPrefix(lines[0], "# "), ", "), strings.Split(lines[len(lines)-1], ", ")
	column := func(name string) float64 {
		i := slices.Index(names, name)
		if i < 0 || i >= len(values) {
			return 0
		}
		v, _ := strconv.ParseFloat(values[i], 64)
		return v
	}
	if rate := column("execs_per_sec"); rate > 0 {
		return rate, nil
	}
	if seconds, runs := column("relative_time"), column("total_execs"); seconds > 0 && runs > 0 {
		return runs / seconds, nil
	}
	return 0, fmt.Errorf("plot_data tells of no runs: %q", lines[len(lines)-1])
}

// recorded lets a slot of the recorder watch an executor.
type recorded struct{ *rawtp.Slot }

func (r recorded) Begin(*spawn.Spec) error {
	r.Slot.Begin()
	return nil
}

func (recorded) Started(*spawn.Process) error { return nil }

// executor is how fast one of tjfuzz's is.
func (b *bench) executor(ctx context.Context, t *target, o launch.Options, caged bool) (rate float64, err error) {
	x, err := start(t, o, caged)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, x.close()) }()
	const first = 16 // runs in which servers start and copies are compared
	if err := x.run(ctx, first); err != nil {
		return 0, err
	}
	before := x.Copies()[o.Highest]
	runs, began := 0, time.Now()
	for time.Since(began) < b.window {
		if err := x.run(ctx, 1); err != nil {
			return 0, err
		}
		runs++
	}
	passed := time.Since(began)
	if err := x.check(o, before, runs); err != nil {
		return 0, err
	}
	return float64(runs) / passed.Seconds(), nil
}

// check returns an error unless runs were what they were to be: nearly all of them copies, if any, of which there
// were so many before, and all recorded.
func (x *executor) check(o launch.Options, before, runs int) error {
	if copies := x.Copies()[o.Highest] - before; o.ForkServer && copies < runs*9/10 {
		return fmt.Errorf("only %d of %d runs were such copies", copies, runs)
	}
	if lost := x.recorder.Lost(); lost != (trace.Lost{}) {
		return fmt.Errorf("the recorder lost %+v", lost)
	}
	return nil
}

// executor is one of tjfuzz's, recorded by eBPF.
type executor struct {
	*launch.Exec
	recorder *rawtp.Recorder
	target   *target
	program  string
	random   *rand.Rand
	fresh    int // runs that were the first to reach some block
}

func start(t *target, o launch.Options, caged bool) (*executor, error) {
	r, err := rawtp.Open(rawtp.Options{Slots: 1})
	if err != nil {
		return nil, err
	}
	o.Env = os.Environ()
	o.Watch = func() (launch.Watcher, error) {
		s, err := r.Launcher(0)
		return recorded{s}, err
	}
	if caged {
		o.Cage = &cage.Options{Expose: []string{o.Program}}
	}
	e, err := launch.New(o)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &executor{Exec: e, recorder: r, target: t, program: o.Program, random: rand.New(rand.NewPCG(1, 2))}, nil
}

// run makes runs, each with a new input. All executors get the same inputs in the same order.
func (x *executor) run(ctx context.Context, runs int) error {
	for range runs {
		input := []byte(x.target.seeds[x.random.IntN(len(x.target.seeds))])
		for range 1 + x.random.IntN(4) {
			input[x.random.IntN(len(input))] = byte(x.random.Uint32())
		}
		s := &fuzz.Scenario{Argv: append([]string{x.program}, x.target.args...), Stdin: fuzz.StdinNull, Input: input}
		res, err := x.Run(ctx, s)
		if err != nil {
			return err
		}
		if len(res.Seen) == 0 {
			return errors.New("nothing was recorded")
		}
		if slices.ContainsFunc(res.Signals, func(s fuzz.Signal) bool { return s.Kind == fuzz.SignalBlock }) {
			x.fresh++
		}
	}
	return nil
}

func (x *executor) close() error { return errors.Join(x.Close(), x.recorder.Close()) }
