package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/fuzz/launch"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
	"github.com/tjfuzz/tjfuzz/trace/userland"
)

// finding is one thing that doctor looked at.
type finding struct {
	What   string `json:"what"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Mend   string `json:"mend,omitempty"`
}

func newDoctor() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Say what works on this machine, what does not, and what to do about it",
		Example: `  tjfuzz doctor

  # as the user who will run tjfuzz, for a machine
  tjfuzz doctor --json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			findings := examine(c.Context())
			sick := false
			for _, f := range findings {
				sick = sick || !f.OK
			}
			out := c.OutOrStdout()
			if asJSON {
				e := json.NewEncoder(out)
				e.SetIndent("", "  ")
				if err := e.Encode(findings); err != nil {
					return err
				}
			} else {
				for _, f := range findings {
					mark := "ok  "
					if !f.OK {
						mark = "NO  "
					}
					fmt.Fprintf(out, "%s%-10s %s\n", mark, f.What, f.Detail)
					if f.Mend != "" {
						fmt.Fprintf(out, "    %-10s %s\n", "", f.Mend)
					}
				}
			}
			if sick {
				return exitStatus(exitError)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return c
}

func examine(ctx context.Context) []finding {
	return []finding{
		{What: "kernel", OK: true, Detail: "Linux " + kernelRelease()},
		examineRecorder(), examineCage(ctx), examineFilter(), examineLog(),
	}
}

func examineRecorder() finding {
	rec, err := rawtp.Open(rawtp.Options{Slots: 1, Denials: true, Events: true})
	var pre *rawtp.PreflightError
	switch {
	case errors.As(err, &pre):
		n, err := userland.OpenNotify(userland.NotifyOptions{})
		if err != nil {
			return finding{"recorder", false, fmt.Sprintf("no eBPF: %s; no seccomp notification: %v; learn, trace and verify cannot run, enforce does not show what it refuses", pre.Missing, err), pre.Mend}
		}
		_ = n.Close()
		return finding{"recorder", true, "by seccomp notification, not by eBPF: " + pre.Missing +
			"; so busy programs are slow until what they do is known, calls that a program's own filter refuses are not recorded," +
			" setuid programs run without their rights, and enforce does not show what it refuses", pre.Mend}
	case err != nil:
		return finding{"recorder", false, err.Error(), ""}
	}
	_ = rec.Close()
	return finding{"recorder", true, "the eBPF recorder loads and attaches", ""}
}

func examineCage(ctx context.Context) finding {
	if !cage.Permitted() {
		return examineAdmitted(ctx)
	}
	e, err := launch.New(launch.Options{Program: "/proc/self/exe", Cage: &cage.Options{}})
	if err != nil {
		return noCage(err)
	}
	defer e.Close()
	if _, err := e.Run(ctx, &fuzz.Scenario{Argv: []string{"tjfuzz", "version"}, Stdin: fuzz.StdinNull}); err != nil {
		return noCage(err)
	}
	w := strings.Join(e.Warnings(), "; ")
	switch {
	case w == "":
		return finding{"cage", true, "targets run in namespaces of their own with bounded memory and processes", ""}
	case os.Geteuid() != 0:
		return finding{"cage", true, w, "as root, cgroups bound it"}
	}
	return finding{"cage", true, "namespaces and overlay work, but " + w, "mount cgroups writable to bound them"}
}

// noCage is what to say where targets cannot be caged.
func noCage(err error) finding {
	mend := "run as root"
	var f *failure
	if errors.As(err, &f) {
		mend, _, _ = strings.Cut(f.hint, "\n")
	} else if os.Geteuid() != 0 {
		_, mend = refusesUsers(err)
	}
	return finding{"cage", false, err.Error() + "; learn and verify need --no-cage", strings.TrimSpace(mend)}
}

func examineFilter() finding {
	native := sysno.Native()
	exec, _ := sysno.Lookup(native, "execve")
	p := &synth.Policy{
		Default: synth.Verdict{Action: synth.KillProcess},
		Archs:   []sysno.Arch{native},
		Groups:  synth.Arrange([]synth.Rule{{ID: exec, Verdict: synth.Verdict{Action: synth.Allow}, Tier: synth.Manual}}),
	}
	if _, err := compile(p); err != nil {
		return finding{"filter", false, err.Error() + "; enforce, verify and learn cannot run", "install a build with libseccomp"}
	}
	return finding{"filter", true, "libseccomp compiles policies to what they say", ""}
}

func examineLog() finding {
	b, err := os.ReadFile("/proc/sys/kernel/seccomp/actions_logged")
	if err != nil {
		return finding{"log", true, "this kernel does not say which seccomp actions it logs", ""}
	}
	words := strings.Fields(string(b))
	for _, w := range words {
		if w == "log" {
			return finding{"log", true, "the kernel records calls that a policy logs", ""}
		}
	}
	return finding{"log", true, "the kernel leaves no record of calls that a policy logs; enforce still shows them",
		"sysctl kernel.seccomp.actions_logged lists the actions; add log"}
}
