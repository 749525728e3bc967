package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/fuzz/launch"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
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
			findings := examine()
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

func examine() []finding {
	return []finding{
		{What: "kernel", OK: true, Detail: "Linux " + kernelRelease()},
		examineRecorder(), examineCage(), examineFilter(), examineLog(),
	}
}

func examineRecorder() finding {
	rec, err := rawtp.Open(rawtp.Options{Slots: 1, Denials: true, Events: true})
	var pre *rawtp.PreflightError
	switch {
	case errors.As(err, &pre):
		return finding{"recorder", false, pre.Missing + "; learn, trace and verify cannot run, enforce does not show what it refuses", pre.Mend}
	case err != nil:
		return finding{"recorder", false, err.Error(), ""}
	}
	_ = rec.Close()
	return finding{"recorder", true, "the eBPF recorder loads and attaches", ""}
}

func examineCage() finding {
	e, err := launch.New(launch.Options{Program: "/proc/self/exe", Cage: &cage.Options{}})
	if err != nil {
		return finding{"cage", false, err.Error() + "; learn and verify need --no-cage", "run as root"}
	}
	defer e.Close()
	if w := e.Warnings(); len(w) > 0 {
		return finding{"cage", true, "namespaces and overlay work, but " + strings.Join(w, "; "), "mount cgroups writable to bound them"}
	}
	return finding{"cage", true, "targets run in namespaces of their own with bounded memory and processes", ""}
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
