package format

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// firejail(1) and firejail-profile(5) of version 0.9.72, and the filters that it was
// seen to load: names are allowed, and all else has one answer. What it does not
// filter unless it is told is every other ABI.

func firejailCan() abilities {
	return abilities{
		archs: 1,
		defaults: func(v synth.Verdict) (synth.Verdict, bool) {
			if v.Action == synth.KillProcess { // its "kill" is SECCOMP_RET_KILL_THREAD
				v.Action = synth.KillThread
			}
			return v, v.Action == synth.KillThread || v.Action == synth.Log ||
				v.Action == synth.Errno && unix.ErrnoName(syscall.Errno(v.Errno)) != ""
		},
		mend: "generate with --default kill, --default errno or --default log",
		call: unconditional(func(p *synth.Policy, v synth.Verdict) bool { return v.Action == synth.Allow }),
		beyond: func(p *synth.Policy) []string {
			var more []string
			allowed := named(callsOf(p))
			for _, name := range []string{"execveat", "prctl"} {
				if !slices.Contains(allowed, name) {
					more = append(more, name+": allow, because firejail adds it")
				}
			}
			if slices.Contains(allowed, "personality") {
				more = append(more, "personality: errno EPERM where it changes the execution domain, because firejail blocks other ABIs so")
			}
			return more
		},
	}
}

func writeFirejail(w io.Writer, p *synth.Policy, name string) error {
	newer := NewerNames(p)
	var words []string
	for _, c := range callsOf(p) {
		word := c.name
		if slices.Contains(newer, word) { // firejail passes over a name that it does not know
			id, _ := sysno.Lookup(p.Archs[0], c.name)
			word = "$" + strconv.Itoa(int(id.NR))
		}
		words = append(words, word)
	}
	answer := "kill"
	switch p.Default.Action {
	case synth.Errno:
		answer = unix.ErrnoName(syscall.Errno(p.Default.Errno))
	case synth.Log:
		answer = "log"
	}
	_, err := fmt.Fprintf(w, "# For the profile of %s, such as ~/.config/firejail/%s.local\nseccomp.block-secondary\nseccomp-error-action %s\nseccomp.keep %s\n",
		name, name, answer, strings.Join(words, ","))
	return err
}
