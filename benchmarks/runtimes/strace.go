package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// Lines of strace -f -o: "12 read(3, ...) = 1", or in two parts, "12 read(3, <unfinished
// ...>" and "12 <... read resumed>...) = 1".
var (
	begins  = regexp.MustCompile(`^(\d+) +(\w+)\((.*)$`)
	resumes = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>(.*)$`)
	child   = regexp.MustCompile(`= (\d+)$`)
)

// between reads the calls that are made by threads under a filter, from its load to
// their successful execve, which is one of them. There must be just one such execve.
//
// A filter holds for the thread that loads it, with SECCOMP_FILTER_FLAG_TSYNC for all
// of its process, and for all threads and processes that a thread under it creates.
func between(log io.Reader) (map[string]bool, error) {
	calls := map[string]bool{}
	leader := map[string]string{}     // of threads that were seen to be created
	filtered := map[string]bool{}     // threads under the filter
	pending := map[string][2]string{} // name and arguments of a call in two parts
	head := func(tid string) string {
		if l, ok := leader[tid]; ok {
			return l
		}
		return tid
	}
	executed := 0
	finished := func(tid, name, text string) {
		switch {
		case loads(name, text) && strings.HasSuffix(text, "= 0"):
			filtered[tid] = true
			if strings.Contains(text, "SECCOMP_FILTER_FLAG_TSYNC") {
				for t := range leader {
					if head(t) == head(tid) {
						filtered[t] = true
					}
				}
				filtered[head(tid)] = true
			}
		case (name == "clone" || name == "clone3" || name == "fork" || name == "vfork") && child.MatchString(text):
			born := child.FindStringSubmatch(text)[1]
			if strings.Contains(text, "CLONE_THREAD") {
				leader[born] = head(tid)
			} else {
				delete(leader, born)
			}
			filtered[born] = filtered[tid]
		case name == "execve" && strings.HasSuffix(text, "= 0"):
			h := head(tid)
			under := filtered[tid] || filtered[h]
			for t := range filtered {
				if head(t) == h { // execve ends the other threads
					delete(filtered, t)
				}
			}
			if under {
				executed++
			}
		}
	}
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), " ")
		if m := begins.FindStringSubmatch(line); m != nil {
			tid, name, text := m[1], m[2], m[3]
			if filtered[tid] {
				calls[name] = true
			}
			if start, unfinished := strings.CutSuffix(text, "<unfinished ...>"); unfinished {
				pending[tid] = [2]string{name, start}
				continue
			}
			finished(tid, name, text)
		} else if m := resumes.FindStringSubmatch(line); m != nil {
			tid := m[1]
			if p, ok := pending[tid]; ok && p[0] == m[2] {
				delete(pending, tid)
				finished(tid, p[0], p[1]+m[3])
			}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the log of strace: %w", err)
	}
	switch {
	case executed == 0:
		return nil, errors.New("no program was executed under a filter")
	case executed > 1:
		return nil, fmt.Errorf("%d programs were executed under a filter; the runtime loads one for itself", executed)
	}
	return calls, nil
}

// loads reports whether a call loads a filter.
func loads(name, text string) bool {
	return name == "seccomp" && strings.HasPrefix(text, "SECCOMP_SET_MODE_FILTER") ||
		name == "prctl" && strings.HasPrefix(text, "PR_SET_SECCOMP, SECCOMP_MODE_FILTER")
}
