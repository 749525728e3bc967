package fuzz

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tjfuzz/tjfuzz/internal/atomicfile"
)

const (
	statsName = "fuzzer_stats"
	plotName  = "plot_data"
)

// saveStats writes fuzzer_stats and a line of plot_data, as afl-fuzz does.
// Before the first run there is nothing to tell, and afl-whatsup divides by it.
func (c *coordinator) saveStats(s Stats) error {
	if c.o.State == nil || s.Runs == 0 {
		return nil
	}
	return errors.Join(
		c.o.State.writeStats(c.statsLines(s)),
		c.o.State.appendPlot(plotLine(&s)),
	)
}

func rate(s *Stats) float64 {
	if s.Elapsed <= 0 {
		return 0
	}
	return float64(s.Runs) / s.Elapsed.Seconds()
}

// statsLines are the numbers under AFL's names, for afl-whatsup, and after these
// our own. All count the sessions before this one too.
func (c *coordinator) statsLines(s Stats) [][2]string {
	start := c.start.Add(-c.before.elapsed)
	at := func(after time.Duration, ever bool) string {
		if !ever {
			return "0"
		}
		return fmt.Sprint(start.Add(after).Unix())
	}
	lines := [][2]string{
		{"start_time", fmt.Sprint(start.Unix())},
		{"last_update", at(s.Elapsed, true)},
		{"run_time", fmt.Sprint(int64(s.Elapsed.Seconds()))},
		{"fuzzer_pid", fmt.Sprint(os.Getpid())},
		{"cycles_done", "0"},
		{"cycles_wo_finds", "0"},
		{"execs_done", fmt.Sprint(s.Runs)},
		{"execs_per_sec", fmt.Sprintf("%.2f", rate(&s))},
		{"corpus_count", fmt.Sprint(max(s.Corpus, 1))},
		{"cur_item", "0"},
		{"pending_favs", "0"},
		{"pending_total", "0"},
		{"bitmap_cvg", "0.00%"},
		{"saved_crashes", fmt.Sprint(s.Crashes)},
		{"saved_hangs", fmt.Sprint(s.Hangs)},
		{"last_find", at(s.LastNew, s.Syscalls > 0)},
		{"last_crash", at(s.LastCrash, s.Crashes > 0)},
		{"last_hang", at(s.LastHang, s.Hangs > 0)},
		{"exec_timeout", "0"},
		{"total_tmout", fmt.Sprint(s.TimedOut)},
		{"afl_banner", banner(c.o.Bases[0].Argv[0])},
		{"phase", s.Phase.String()},
		{"draws_done", fmt.Sprint(s.Draws)},
		{"seed", fmt.Sprint(c.o.Seed)},
		{"syscalls_found", fmt.Sprint(s.Syscalls)},
		{"chance_of_new", fmt.Sprintf("%.6f", s.Chance)},
		{"sessions", fmt.Sprint(c.before.sessions + 1)},
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range c.varied() {
		lines = append(lines,
			[2]string{"found_by_" + v.Dimension, fmt.Sprint(v.Found)},
			[2]string{"chance_by_" + v.Dimension, fmt.Sprintf("%.6f", v.Chance)})
	}
	return lines
}

// banner is what can be shown of a program's name: afl-whatsup has a shell execute
// the file.
func banner(program string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("./_+-@%", r)) {
			return r
		}
		return '_'
	}, program)
}

// writeStats writes fuzzer_stats in the form that afl-whatsup reads: "key<padding>:
// value" lines.
func (s *State) writeStats(lines [][2]string) error {
	var out strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&out, "%-18s: %s\n", l[0], l[1])
	}
	if err := atomicfile.Write(filepath.Join(s.dir, statsName), []byte(out.String())); err != nil {
		return fmt.Errorf("write %s: %w", statsName, err)
	}
	return nil
}

// plotHeader is the first line of plot_data as afl++ 4 writes it, and one column
// more. What it calls edges are syscalls here, so that afl-plot draws their curve.
const plotHeader = "# relative_time, cycles_done, cur_item, corpus_count, pending_total, pending_favs, map_size, saved_crashes, " +
	"saved_hangs, max_depth, execs_per_sec, total_execs, edges_found, chance_of_new\n"

func plotLine(s *Stats) string {
	return fmt.Sprintf("%d, 0, 0, %d, 0, 0, 0.00%%, %d, %d, 0, %.2f, %d, %d, %.6f\n",
		int64(s.Elapsed.Seconds()), s.Corpus, s.Crashes, s.Hangs, rate(s), s.Runs, s.Syscalls, s.Chance)
}

// appendPlot appends a line to plot_data. It is written at once, so that a kill
// leaves it whole; what a crash of the machine cut off is dropped.
func (s *State) appendPlot(line string) error {
	err := func() (err error) {
		f, err := os.OpenFile(filepath.Join(s.dir, plotName), os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		end, err := wholeLines(f)
		if err != nil {
			return err
		}
		if end == 0 {
			line = plotHeader + line
		}
		if err := f.Truncate(end); err != nil {
			return err
		}
		_, err = f.WriteAt([]byte(line), end)
		return err
	}()
	if err != nil {
		return fmt.Errorf("write %s: %w", plotName, err)
	}
	return nil
}

// wholeLines is the length of a file up to the end of its last whole line, which is
// looked for in the last few.
func wholeLines(f *os.File) (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	const tail = 4 << 10
	from := max(st.Size()-tail, 0)
	b, err := io.ReadAll(io.NewSectionReader(f, from, tail))
	if err != nil {
		return 0, err
	}
	return from + int64(bytes.LastIndexByte(b, '\n')) + 1, nil
}
