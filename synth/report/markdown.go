package report

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/tjfuzz/tjfuzz/synth"
)

// Markdown writes the report for places that show Markdown, such as a pull request.
func (r *Report) Markdown(w io.Writer) error {
	m := &markdown{}
	m.line("# Seccomp policy of %s", escape(r.Program))
	m.line("")
	m.line("%s", escape(r.Verdict))
	for _, c := range r.Cautions {
		m.line("")
		m.line("> **Caution:** %s", escape(c))
	}
	m.table([]string{"", ""}, len(r.Facts), func(i int) []string { return []string{escape(r.Facts[i].Name), escape(r.Facts[i].Value)} })
	m.changes(r.Changes)
	m.line("")
	m.line("## Policy")
	var rows [][]string
	for _, g := range r.Groups {
		for _, row := range g.Rows {
			rows = append(rows, []string{Code(row.Syscall), Code(g.Name), escape(row.Verdict), escape(row.Tier), escape(row.Runs), Code(row.Witness)})
		}
	}
	m.table([]string{"syscall", "group", "verdict", "tier", "runs", "witness"}, len(rows), func(i int) []string { return rows[i] })
	if len(r.Tiers) > 0 {
		m.line("")
	}
	for _, t := range r.Tiers {
		m.line("- %s: %s", escape(t.Name), escape(t.Value))
	}
	m.session(r.Session)
	m.gap(r.Gap)
	m.blocked(&r.Blocked)
	if len(r.Lint) > 0 {
		m.line("")
		m.line("## Findings")
		m.table([]string{"severity", "syscalls", "finding", "mend"}, len(r.Lint), func(i int) []string {
			f := r.Lint[i]
			return []string{f.Severity.String(), Code(strings.Join(f.Calls, " ")), escape(f.Detail), escape(f.Mend)}
		})
	}
	if failures := r.Failures(); len(failures) > 0 {
		m.line("")
		m.line("## Crashes and hangs")
		m.table([]string{"what", "runs", "command"}, len(failures), func(i int) []string {
			f := failures[i]
			return []string{escape(f.How), fmt.Sprint(f.Count), Code(f.Command)}
		})
	}
	m.line("")
	m.line("## What was run")
	m.table([]string{"", ""}, len(r.Target), func(i int) []string { return []string{escape(r.Target[i].Name), Code(r.Target[i].Value)} })
	_, err := io.WriteString(w, m.b.String())
	return err
}

type markdown struct{ b strings.Builder }

func (m *markdown) line(format string, args ...any) { fmt.Fprintf(&m.b, format+"\n", args...) }

// table writes nothing where there are no rows. Cells are escaped by whoever makes them.
func (m *markdown) table(head []string, rows int, row func(int) []string) {
	if rows == 0 {
		return
	}
	m.line("")
	m.line("| %s |", strings.Join(head, " | "))
	m.line("|%s", strings.Repeat("---|", len(head)))
	for i := range rows {
		m.line("| %s |", strings.Join(row(i), " | "))
	}
}

func (m *markdown) changes(c *Changes) {
	if c == nil {
		return
	}
	m.line("")
	m.line("## Changes")
	m.line("")
	switch {
	case c.Same:
		m.line("The policy decides every call as the previous one.")
	case c.Wider:
		m.line("**It permits what the previous one did not.**")
	default:
		m.line("It permits nothing that the previous one did not.")
	}
	m.table([]string{"", "syscall", "was", "is"}, len(c.Rows), func(i int) []string {
		x := c.Rows[i]
		return []string{escape(x.Kind), Code(x.Syscall), escape(x.Was), escape(x.Is)}
	})
}

func (m *markdown) session(s *Session) {
	if s == nil {
		return
	}
	m.line("")
	m.line("## Discovery")
	m.line("")
	m.line("%d runs in %s: %s.", s.Runs, seconds(s.Seconds), escape(s.Stop))
	drawn := s.Drawn()
	m.table([]string{"what was varied", "random runs", "syscalls found", "chance that one more such run shows another (95 %)"}, len(drawn), func(i int) []string {
		v := drawn[i]
		chance := "not known"
		if synth.Telling(v.Chance) {
			chance = "< " + synth.Percent(v.Chance)
		}
		return []string{escape(v.Dimension), fmt.Sprint(v.Draws), fmt.Sprint(v.Found), chance}
	})
}

func (m *markdown) gap(g *Gap) {
	if g == nil {
		return
	}
	m.line("")
	m.line("## Seen and reachable")
	m.line("")
	others := ""
	if !g.Complete {
		others = ", and perhaps others"
	}
	m.line("The code can reach %d syscalls%s; runs showed %d of them.", g.Reachable, others, g.Observed)
	for _, why := range g.Why {
		m.line("- %s", escape(why))
	}
	m.table([]string{"reachable, not seen", "verdict", "shortest path"}, len(g.Unobserved), func(i int) []string {
		u := g.Unobserved[i]
		return []string{Code(u.Syscall), escape(u.Verdict), Code(u.Path)}
	})
}

func (m *markdown) blocked(b *Blocked) {
	m.line("")
	m.line("## What is kept from an attacker")
	m.line("")
	m.line("%d of %d syscalls are refused. Known holes of kernels in calls that are permitted here: %d.", b.Refused, b.Known, len(b.CVEs))
	head := []string{"payload", "here"}
	if b.Docker > 0 {
		m.line("Docker's default policy permits %d; %d of these are refused here. Holes in calls that it permits: %d.", b.Docker, b.OnlyDocker, len(b.DockerCVEs))
		head = append(head, "docker's default")
	}
	word := map[bool]string{true: "possible", false: "stopped"}
	m.table(head, len(b.Payloads), func(i int) []string {
		row := []string{escape(b.Payloads[i].Class), word[b.Payloads[i].Possible]}
		if b.Docker > 0 {
			row = append(row, word[b.DockerPayloads[i].Possible])
		}
		return row
	})
}

// escape makes any text a part of a line of Markdown that shows as it is: no markup, no
// HTML, no line feed.
func escape(s string) string {
	var b strings.Builder
	last := ' '
	for _, r := range s {
		switch {
		case r == '_' && (unicode.IsLetter(last) || unicode.IsDigit(last)): // within a word it means nothing
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			b.WriteByte(' ')
		case r == '<':
			b.WriteString("&lt;")
		case r == '&':
			b.WriteString("&amp;")
		case strings.ContainsRune("\\`*_[]|#~!", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
		last = r
	}
	return b.String()
}

// Code is text as code in a line or a table of Markdown. The fence is longer than any run of backquotes in it, and a bar,
// which would end a table's cell in spite of the fence, is escaped as tables want it.
func Code(s string) string {
	if s == "" {
		return ""
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	longest, run := 0, 0
	for _, r := range s {
		if r != '`' {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	fence, pad := strings.Repeat("`", longest+1), ""
	if longest > 0 {
		pad = " "
	}
	return fence + pad + strings.ReplaceAll(s, "|", `\|`) + pad + fence
}
