package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/kballard/go-shellquote"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/synth/format"
	"github.com/tjfuzz/tjfuzz/trace/foreign"
	"github.com/tjfuzz/tjfuzz/trace/static"
)

// other is a policy that is made without what tjfuzz adds, as the syscalls that it allows.
type other struct {
	how    string
	allows map[sysno.ID]bool
	took   time.Duration // to make it; 0 for what everybody has
	failed error
}

// missed counts the calls of a suite that are not allowed.
func (o *other) missed(calls []call) int {
	n := 0
	for _, c := range calls {
		if !o.allows[c.id] {
			n++
		}
	}
	return n
}

// others are made of the same program: as recorders do of one run, by its code alone, by a
// fuzzer of bytes, and for all containers alike. more is what learn is told besides.
func (b *bench) others(ctx context.Context, r *recipe, dir, real string, more []string) []other {
	var all []other
	add := func(how string, make func() (map[sysno.ID]bool, time.Duration, error)) {
		o := other{how: how}
		if o.allows, o.took, o.failed = make(); o.failed != nil {
			b.say("%s: %s: %v", r.name, how, o.failed)
		}
		all = append(all, o)
	}
	timed := func(make func() (map[sysno.ID]bool, error)) (map[sysno.ID]bool, time.Duration, error) {
		begin := time.Now()
		allows, err := make()
		return allows, time.Since(begin), err
	}
	add("docker's default", func() (map[sysno.ID]bool, time.Duration, error) {
		p, err := format.DockerDefault(sysno.Native())
		if err != nil {
			return nil, 0, err
		}
		return permitted(p), 0, nil
	})
	add("static analysis alone", func() (map[sysno.ID]bool, time.Duration, error) {
		return timed(func() (map[sysno.ID]bool, error) {
			reach, err := static.Analyze(ctx, real, static.Options{})
			if err != nil {
				return nil, err
			}
			all := map[sysno.ID]bool{}
			for _, x := range reach.Reached {
				all[x.ID] = true
			}
			return all, nil
		})
	})
	add("strace -f "+r.once, func() (map[sysno.ID]bool, time.Duration, error) {
		return timed(func() (map[sysno.ID]bool, error) { return once(ctx, r, real, filepath.Join(dir, "once")) })
	})
	add("learn --only bytes", func() (map[sysno.ID]bool, time.Duration, error) {
		bytes := filepath.Join(dir, "bytes")
		if err := os.MkdirAll(bytes, 0o755); err != nil {
			return nil, 0, err
		}
		l, err := b.learn(ctx, bytes, append([]string{real}, r.args...), append([]string{"--only", "bytes"}, more...)...)
		if err != nil {
			return nil, 0, err
		}
		p, err := readPolicy(filepath.Join(bytes, "profile.json"))
		if err != nil {
			return nil, 0, err
		}
		return permitted(p), l.took, nil
	})
	return all
}

// permitted are the calls of this machine that a policy allows, in whatever company of conditions.
func permitted(p *synth.Policy) map[sysno.ID]bool {
	all := map[sysno.ID]bool{}
	for _, r := range p.Rules() {
		if r.ID.Arch == sysno.Native() && r.Verdict.Action.Permits() {
			all[r.ID] = true
		}
	}
	return all
}

// materials are what somebody has who tries a program.
var materials = map[string]string{
	"text": "one fish\ntwo fish\n", "more": "one fish\nred fish\n", "data.json": `{"a": [1, 2]}` + "\n", "page.xml": "<a><b>c</b></a>\n",
}

// patience is how long a run that is recorded once goes on before it is told to end, as a service has to be. Others end long before.
const patience = 10 * time.Second

// once is what strace sees of one run. How the run ends is of no interest: diff ends with 1.
func once(ctx context.Context, r *recipe, real, dir string) (map[sysno.ID]bool, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for name, text := range materials {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	argv, err := shellquote.Split(r.once)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.once, err)
	}
	log := dir + ".strace"
	cmd := exec.CommandContext(ctx, "strace", append([]string{"-f", "-I", "4", "-o", log, real}, argv[1:]...)...)
	cmd.Dir = dir
	var messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.Discard, &messages
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	failure := cmd.Start()
	if failure == nil {
		// Both get it, and strace takes no notice: it stays to the end of the program.
		end := time.AfterFunc(patience, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) })
		failure = cmd.Wait()
		end.Stop()
	}
	f, err := os.Open(log)
	if err != nil {
		return nil, fmt.Errorf("strace left no log: %w (%v) %s", err, failure, &messages)
	}
	defer f.Close()
	recording, err := foreign.ReadStrace(foreign.Options{}, foreign.Log{Name: log, Reader: f})
	if err != nil {
		return nil, err
	}
	all := map[sysno.ID]bool{}
	for _, o := range recording.Trace.Observations {
		all[o.ID] = true
	}
	return all, nil
}

// beside is the table of policies that were made otherwise.
func beside(out *strings.Builder, rows []tableRow) {
	out.WriteString("\nPolicies made otherwise, and the same suites\n")
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "program\tpolicy\tallowed\tin the suite\tmissed\tmade in")
	for _, r := range rows {
		if r.failed != "" {
			continue
		}
		for _, o := range r.others {
			if o.failed != nil {
				fmt.Fprintf(t, "%s\t%s\tnot measured\n", r.name, o.how)
				continue
			}
			took := "-"
			if o.took > 0 {
				took = fmt.Sprintf("%.2f s", o.took.Seconds())
			}
			fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%s\n", r.name, o.how, len(o.allows), len(r.watched.calls), o.missed(r.watched.calls), took)
		}
		fmt.Fprintf(t, "%s\tlearn\t%d\t%d\t%d\t%.2f s\n", r.name, len(r.allows), len(r.watched.calls), len(r.missed), r.learned.took.Seconds())
	}
	_ = t.Flush() // a strings.Builder does not fail
	out.WriteString(`
Made in is the time of all: for learn, from its start until the profile is proved and
written. Neither it nor the suite knows what the run under strace was. What a suite makes by
other programs, which the program starts, is missed by static analysis of the program.
`)
}
