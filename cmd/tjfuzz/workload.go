package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/tjfuzz/tjfuzz/enforce"
	"github.com/tjfuzz/tjfuzz/enforce/early"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// workload runs a shell command in the world as it is, and records the program wherever
// the command starts it: from its execve on, with all that it starts itself, and nothing
// of the command's own. The program is known by its file, so copies and links of other
// inodes are others. The witness of what was seen is the command.
func (s *session) workload(ctx context.Context, v voice, target trace.Target, command string, args bool) (*trace.Trace, error) {
	if s.runs.backend != backendEBPF {
		return nil, hinted(fmt.Errorf("--workload cannot tell the program from others by %s", s.runs.backend.how()), "run as root, for eBPF; or record one run with 'tjfuzz trace -- PROGRAM' and unite it with 'tjfuzz merge'")
	}
	what := recording{slots: 1, only: true, details: details{program: s.path, sites: true, args: args}}
	if what.entry() == nil {
		return nil, hinted(fmt.Errorf("--workload tells the program by its file, and %s is no ELF file with an entry point", s.path), "record its runs with 'tjfuzz trace -- PROGRAM', and unite them with 'tjfuzz merge'")
	}
	rec, err := s.runs.backend.open(what)
	if err != nil {
		return nil, err
	}
	defer rec.Close()
	v.say("running the workload: %s", command)
	shell, err := resolve("/bin/sh")
	if err != nil {
		return nil, err
	}
	// Standard output is for the result of learn.
	cmd := early.AsIs([]string{shell, "-c", "exec >&2\n" + command}, shell)
	cmd.Adopt = true
	cmd.Watch = func() (enforce.Watcher, error) { return rec.launcher(0) }
	status, err := enforce.Run(ctx, cmd)
	switch {
	case ctx.Err() != nil:
		return nil, hinted(errors.New("interrupted; no profile was written"), "the same command runs the workload again")
	case err != nil:
		return nil, runError(err, shell)
	case status.Left:
		return nil, hinted(errors.New("the workload left processes behind"), "let the command end what it starts, so that all of it is recorded")
	case status.Signaled() || status.ExitStatus() != 0:
		return nil, hinted(fmt.Errorf("the workload failed (%v), so it is not known what it would have shown", ended(status.WaitStatus)), "mend it; if it may fail, append '|| true' to the command")
	case len(status.Seen) == 0:
		return nil, hinted(fmt.Errorf("the workload did not start %s", s.path), "it may start another file of that name; name the one that it starts")
	}
	t := &trace.Trace{Target: target, Arch: sysno.Native(), Kernel: kernelRelease(), Runs: 1, CleanRuns: 1, Lost: rec.Lost()}
	for _, id := range status.Seen {
		t.Observations = append(t.Observations, trace.Observation{ID: id, Runs: 1, CleanRuns: 1, Witness: trace.Witness{Command: command}})
	}
	if err := rec.describe(t); err != nil {
		return nil, fmt.Errorf("describe what was recorded: %w", err)
	}
	v.say("the workload showed %d syscalls", len(status.Seen))
	return t, rec.Close()
}

// workloads runs commands one after the other and returns what they showed; nil without any.
func (s *session) workloads(ctx context.Context, v voice, target trace.Target, commands []string, args bool) ([]*trace.Trace, error) {
	var all []*trace.Trace
	for _, c := range commands {
		t, err := s.workload(ctx, v, target, c, args)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

// united adds what workloads showed to what fuzzing showed. A witness that can be replayed
// stays, however short the command of a workload is.
func united(fuzzed *trace.Trace, workloads []*trace.Trace) (*trace.Trace, error) {
	if len(workloads) == 0 {
		return fuzzed, nil
	}
	all, err := trace.Merge(append([]*trace.Trace{fuzzed}, workloads...)...)
	if err != nil {
		return nil, fmt.Errorf("unite the evidence: %w", err)
	}
	for _, o := range fuzzed.Observations {
		for i := range all.Observations {
			if all.Observations[i].ID == o.ID {
				all.Observations[i].Witness = o.Witness
			}
		}
	}
	return all, nil
}
