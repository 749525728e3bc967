package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/enforce/filter"
	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/fuzz/launch"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

// finding is one thing that doctor looked at.
type finding struct {
	What   string   `json:"what"`
	OK     bool     `json:"ok"`
	Detail string   `json:"detail"`
	Costs  []string `json:"costs,omitempty"` // what tjfuzz cannot do for want of it, or does worse
	Mend   string   `json:"mend,omitempty"`

	// Choice says that tjfuzz works without this: it is one of several ways, of which one is
	// enough, or makes more possible.
	Choice bool `json:"choice,omitempty"`
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
				sick = sick || !f.OK && !f.Choice
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
					if !f.OK && f.Choice {
						mark = "no  "
					} else if !f.OK {
						mark = "NO  "
					}
					fmt.Fprintf(out, "%s%-10s %s\n", mark, f.What, f.Detail)
					for _, c := range f.Costs {
						fmt.Fprintf(out, "    %-10s - %s\n", "", c)
					}
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
	findings := thisMachine().examine()
	ways := examineBackends()
	findings = append(findings, ways...)
	findings = append(findings, examineRecorder(ways))
	findings = append(findings, examineRuns(ctx)...)
	return append(findings, examineFilter(), examineLog(), examineRuntimes(exec.LookPath))
}

// examineBackends looks at each way to record, in the order in which auto prefers them.
func examineBackends() []finding {
	var ways []finding
	for _, b := range backends[1:] {
		f := finding{What: string(b), Choice: true, OK: true, Detail: b.merit()}
		if err := b.use(); err != nil {
			f.OK, f.Detail, f.Costs = false, err.Error(), b.costs()
			if missing, mend, known := lack(err); known {
				f.Detail, f.Mend = missing, mend
			}
		}
		ways = append(ways, f)
	}
	return ways
}

// use does what a recording does first: a preflight does not find out everything.
func (b backend) use() error {
	if b == backendEBPF {
		rec, err := rawtp.Open(rawtp.Options{Slots: 1, Denials: true, Events: true})
		if err != nil {
			return err
		}
		return rec.Close()
	}
	return b.try()
}

// merit is what a backend is good at.
func (b backend) merit() string {
	switch b {
	case backendNotify:
		return "seccomp notification sees what tjfuzz starts, and needs no rights"
	case backendPtrace:
		return "ptrace stops programs at each call, which makes them slow"
	}
	return "eBPF programs load and attach: they see all, at the least cost"
}

// costs are what one has to do without, where a backend cannot be used.
func (b backend) costs() []string {
	switch b {
	case backendNotify:
		return []string{"without eBPF too, programs are slow at each of their calls"}
	case backendPtrace:
		return nil
	}
	return []string{
		"trace cannot attach to programs that run already",
		"busy programs are slow until what they do is known",
		"calls that a program's own filter refuses are not recorded",
		"setuid programs run without their rights",
		"enforce does not show what it refuses",
	}
}

// examineRecorder says which of the ways auto takes.
func examineRecorder(ways []finding) finding {
	var mends []string
	for _, w := range ways {
		if w.OK {
			return finding{What: "recorder", OK: true, Detail: "learn, trace and verify use " + w.What}
		}
		if w.Mend != "" {
			mends = append(mends, w.Mend)
		}
	}
	f := finding{What: "recorder", Detail: "none of the ways to record can be used", Costs: []string{"learn, trace and verify cannot run"}}
	if len(mends) > 0 {
		f.Mend = "do one of these: " + strings.Join(mends, "; ")
	}
	return f
}

// examineRuns looks at the cage, and at the clocks that programs have in it.
func examineRuns(ctx context.Context) []finding {
	if !cage.Permitted() {
		return examineAdmitted(ctx)
	}
	e, err := launch.New(launch.Options{Program: "/proc/self/exe", Cage: &cage.Options{}})
	if err != nil {
		return uncaged(err)
	}
	defer e.Close()
	if _, err := e.Run(ctx, &fuzz.Scenario{Argv: []string{"tjfuzz", "version"}, Stdin: fuzz.StdinNull}); err != nil {
		return uncaged(err)
	}
	return []finding{examineCage(e), examineClock(e.Can())}
}

// uncaged is what to say where targets cannot be caged.
func uncaged(err error) []finding {
	e, failed := launch.New(launch.Options{Program: "/proc/self/exe"})
	if failed != nil {
		return []finding{noCage(err), examineClock(fuzz.Abilities{})}
	}
	defer e.Close()
	return []finding{noCage(err), examineClock(e.Can())}
}

// examineClock says which clocks a program can have that are not the machine's.
func examineClock(can fuzz.Abilities) finding {
	var needed []string
	f := finding{What: "clock", OK: true, Choice: true, Detail: "programs are also run at other times of day, and as if the machine had started at other times"}
	if !can.Uptime {
		f.OK = false
		f.Costs = append(f.Costs, "for how long the machine is up is not varied")
		needed = append(needed, "Linux 5.6 with CONFIG_TIME_NS, and a cage")
	}
	if !can.TimeOfDay {
		f.OK = false
		f.Costs = append(f.Costs, "the time of day is not varied")
		needed = append(needed, "x86-64, and the right to trace a child")
	}
	if !f.OK {
		f.Detail, f.Mend = "what programs do only at other times is not found by itself", "it takes "+strings.Join(needed, "; ")
	}
	return f
}

func examineCage(e *launch.Exec) finding {
	w := strings.Join(e.Warnings(), "; ")
	switch {
	case w == "":
		return finding{What: "cage", OK: true, Detail: "targets run in namespaces of their own with bounded memory and processes"}
	case os.Geteuid() != 0:
		return finding{What: "cage", OK: true, Detail: w, Mend: "as root, cgroups bound it"}
	}
	return finding{What: "cage", OK: true, Detail: "namespaces and overlay work, but " + w, Mend: "mount cgroups writable to bound them"}
}

// noCage is the finding that there is no cage.
func noCage(err error) finding {
	mend := "run as root"
	var f *failure
	if errors.As(err, &f) {
		mend, _, _ = strings.Cut(f.hint, "\n")
	} else if os.Geteuid() != 0 {
		_, mend = refusesUsers(err)
	}
	return finding{What: "cage", Detail: err.Error(), Costs: []string{"learn and verify need --no-cage, which protects nothing"}, Mend: strings.TrimSpace(mend)}
}

// examineFilter has libseccomp compile a policy that names all calls which it has no name for.
func examineFilter() finding {
	native := sysno.Native()
	call, _ := sysno.Lookup(native, "execve")
	version, lacks := filter.Library()
	var rules []synth.Rule
	for _, id := range append([]sysno.ID{call}, lacks...) {
		rules = append(rules, synth.Rule{ID: id, Verdict: synth.Verdict{Action: synth.Allow}, Tier: synth.Manual})
	}
	p := &synth.Policy{Default: synth.Verdict{Action: synth.KillProcess}, Archs: []sysno.Arch{native}, Groups: synth.Arrange(rules)}
	if _, err := compile(p); err != nil {
		return finding{What: "filter", Detail: err.Error(), Costs: []string{"enforce, verify and learn cannot run"}, Mend: "install a build with libseccomp"}
	}
	detail := "libseccomp " + version + " compiles policies to what they say"
	if len(lacks) > 0 {
		detail += fmt.Sprintf("; of %d syscalls it has no name for %d, which tjfuzz gives it by number: %v", len(sysno.All(native)), len(lacks), enumerated(lacks))
	}
	return finding{What: "filter", OK: true, Detail: detail}
}

// enumerated names the first of some calls.
func enumerated(ids []sysno.ID) string {
	const most = 6
	var names []string
	for _, id := range ids[:min(len(ids), most)] {
		names = append(names, id.String())
	}
	if more := len(ids) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

func examineLog() finding {
	records, known := kernelRecords("log")
	switch {
	case !known:
		return finding{What: "log", OK: true, Detail: "this kernel does not say which seccomp actions it logs"}
	case records:
		return finding{What: "log", OK: true, Detail: "the kernel records calls that a policy logs"}
	}
	return finding{What: "log", OK: true, Detail: "the kernel leaves no record of calls that a policy logs; enforce still shows them",
		Mend: "sysctl kernel.seccomp.actions_logged lists the actions; add log"}
}

// kernelRecords reports whether the kernel's log has calls that met a seccomp action;
// known is false where the kernel does not say.
func kernelRecords(action string) (records, known bool) {
	b, err := os.ReadFile("/proc/sys/kernel/seccomp/actions_logged")
	return slices.Contains(strings.Fields(string(b)), action), err == nil
}

// audible says, of a policy that logs calls, that somebody would learn of it: tjfuzz,
// or the kernel's log.
func audible(p *synth.Policy, shown bool, kernel func(action string) (records, known bool)) error {
	if shown || !slices.Contains(p.Listeners(), synth.Log) {
		return nil
	}
	if records, known := kernel("log"); records || !known {
		return nil
	}
	return hinted(errors.New("the policy logs calls, and nobody would learn of it: they are not shown here, and the kernel records none"),
		"add log to the sysctl kernel.seccomp.actions_logged, or run with the rights to load eBPF programs")
}
