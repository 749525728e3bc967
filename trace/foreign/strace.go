package foreign

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// Log is a log of strace: of all processes of a program, as -f -o writes it, or of
// one of them, as -ff does.
type Log struct {
	Name string // before the line in errors, may be empty
	PID  int    // the process that the log is of, 0 where its lines say that
	io.Reader
}

const straceLacks = "arguments, call sites, io_uring operations, whether a call belonged to the start of the program, calls that -e or -z left out; " +
	"and, in a file that -o wrote, where a 32-bit program began"

// maxLine bounds a line of a log. Strings in it are short unless strace was told
// otherwise.
const maxLine = 16 << 20

// ReadStrace reads the logs of one run of strace, whatever its options: there are
// several where -ff wrote one for each process. Every call of a name that the ABI
// does not have is an error, and so is every line that strace does not write. A log
// that ends while processes run, or that has not followed a child, counts these as
// lost.
func ReadStrace(o Options, logs ...Log) (*Recording, error) {
	r := &straceReader{
		calls:   collector{},
		machine: machineOf(o.arch()),
		abi:     o.arch(),
		clean:   true,
		alive:   map[int]bool{},
		abis:    map[int]sysno.Arch{},
		seen:    map[int]bool{},
		born:    map[int]bool{},
	}
	for _, log := range logs {
		r.begun = r.path != "" // of a log for each process, one begins with the launch
		if err := r.read(log); err != nil && log.Name != "" {
			return nil, fmt.Errorf("%s: %w", log.Name, err)
		} else if err != nil {
			return nil, err
		}
	}
	t, err := r.calls.trace(r.machine, r.ended())
	if err != nil {
		return nil, err
	}
	rec := &Recording{Trace: t, Argv: r.argv, Lacks: straceLacks}
	if path.IsAbs(r.path) {
		t.Target.Path = r.path
	}
	if n := len(r.alive); n > 0 {
		t.Lost.Tasks += uint64(n)
		rec.Missing = append(rec.Missing, fmt.Sprintf("the log ends before the end of %s", tasks(n)))
	}
	if n := r.unfollowed(); n > 0 {
		t.Lost.Tasks += uint64(n)
		rec.Missing = append(rec.Missing, fmt.Sprintf("%s started by the program not in the log; strace -f follows them", tasksAre(n)))
	}
	return rec, nil
}

func tasks(n int) string {
	if n == 1 {
		return "one process or thread"
	}
	return fmt.Sprintf("%d processes or threads", n)
}

func tasksAre(n int) string {
	if n == 1 {
		return tasks(n) + " is"
	}
	return tasks(n) + " are"
}

// straceReader knows what the lines so far have said. A process whose number is not
// known, because strace does not write the number of an only one, is process 0.
type straceReader struct {
	calls   collector
	machine sysno.Arch
	argv    []string // of the execve that a log begins with
	path    string
	begun   bool // the launch was seen, or is not in the log
	clean   bool // no process that strace was given was killed, and no call was tampered with

	abi   sysno.Arch         // of the call that strace saw last
	abis  map[int]sysno.Arch // of each process
	alive map[int]bool
	seen  map[int]bool // processes that are in the log
	born  map[int]bool // processes that others have started
	ends  []end
	last  int // the process of the last line
}

// end is how a process ended.
type end struct {
	pid    int
	killed bool
}

func (r *straceReader) read(log Log) error {
	in := bufio.NewReaderSize(log, HeadSize)
	cut := "" // the first part of a line that a remark has broken in two
	for n := 1; ; n++ {
		line, whole, err := readLine(in)
		if errors.Is(err, io.EOF) {
			return r.line(log.PID, cut, false)
		}
		remark := false
		if err == nil {
			cut, remark, err = r.remark(cut + line)
		}
		if err == nil && !remark {
			err = r.line(log.PID, cut, whole)
			cut = ""
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
}

// remark reads what strace says of processes where the log is standard error: it
// may stand at the end of a line that goes on in the next.
func (r *straceReader) remark(line string) (before string, is bool, err error) {
	if m := straceABI.FindStringSubmatchIndex(line); m != nil {
		return line[:m[0]], true, r.changeABI(line[m[2]:m[3]], line[m[4]:m[5]])
	}
	m := straceAttached.FindStringSubmatchIndex(line)
	if m == nil {
		return line, false, nil
	}
	pid, err := strconv.Atoi(line[m[2]:m[3]])
	r.seen[pid], r.alive[pid] = true, true
	if line[m[4]:m[5]] == "detached" {
		delete(r.alive, pid)
	}
	return line[:m[0]], true, err
}

// readLine reads up to the next line feed, and says whether there was one. After
// the last line it returns io.EOF.
func readLine(in *bufio.Reader) (line string, whole bool, err error) {
	var b strings.Builder
	for {
		part, err := in.ReadSlice('\n')
		b.Write(part)
		switch {
		case b.Len() > maxLine:
			return "", false, fmt.Errorf("longer than %d bytes", maxLine)
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && b.Len() > 0:
			return b.String(), false, nil
		case err != nil:
			return "", false, err
		default:
			return strings.TrimRight(b.String(), "\r\n"), true, nil
		}
	}
}

// What stands before a call: the process, with its name where -Y asked for it, the
// time of day, the time since the Epoch or the last call (-t, -tt, -ttt, -r), the
// number of the call (-n), the instruction pointer (-i).
var straceHead = lazyregexp.New(`^(?:\[pid +(\d+)(?:<[^>]*>)?\] |(\d+)(?:<[^>]*>)? +)?` +
	`(?: *\d+\.\d+ |\d\d:\d\d:\d\d(?:\.\d+)? )?(?:\(\+ *\d+\.\d+\) )?` +
	`(?:\[ *(?:\d{1,4}|0x[0-9a-f]+|\?+)\] )?(?:\[[0-9a-f?]{8,16}\] )?`)

// The kinds of lines, and the remarks at the end of one.
var (
	straceCall     = lazyregexp.New(`^([A-Za-z_][A-Za-z0-9_]*)\(`)
	straceResumed  = lazyregexp.New(`^<\.\.\. ([A-Za-z_][A-Za-z0-9_]*) resumed>`)
	straceEnd      = lazyregexp.New(`^\+\+\+ (exited with \d+|killed by [A-Z0-9_]+.*|superseded by execve in pid (\d+)) \+\+\+$`)
	straceABI      = lazyregexp.New(`(?:strace: )?\[ Process PID=(\d+) runs in (\S+(?: bit)?) mode\. \]$`)
	straceAttached = lazyregexp.New(`(?:strace: |^)Process (\d+) (attached|detached)(?: with \d+ threads)?$`)
	straceSignal   = lazyregexp.New(`^--- .* ---$`)
	straceRenamed  = lazyregexp.New(`<pid changed to \d+ \.\.\.>$`)
)

// detectStrace tells whether a line may be the first of a log.
func detectStrace(line string) Format {
	head := straceHead.FindStringSubmatch(line)
	rest := line[len(head[0]):]
	for _, kind := range []*lazyregexp.Regexp{straceCall, straceResumed, straceEnd, straceABI, straceAttached, straceSignal} {
		if !kind.MatchString(rest) {
			continue
		}
		if head[1]+head[2] == "" {
			return StraceProcess
		}
		return Strace
	}
	return Unknown
}

func (r *straceReader) line(pid int, line string, whole bool) error {
	head := straceHead.FindStringSubmatch(line)
	rest := line[len(head[0]):]
	if digits := head[1] + head[2]; digits != "" {
		var err error
		if pid, err = strconv.Atoi(digits); err != nil {
			return err
		}
	}
	switch {
	case strings.TrimSpace(line) == "", strings.HasPrefix(line, "strace: "), strings.HasPrefix(line, " > "): // a warning, a frame of -k
		return nil
	case straceSignal.MatchString(rest):
		r.task(pid)
		return nil
	}
	if m := straceEnd.FindStringSubmatch(rest); m != nil {
		return r.end(pid, m)
	}
	m := straceCall.FindStringSubmatch(rest)
	if m == nil {
		m = straceResumed.FindStringSubmatch(rest)
	}
	if m == nil && !whole {
		return nil // where the log was cut; the process is still alive
	}
	if m == nil {
		return fmt.Errorf("%s is not a line of strace", shorten(line))
	}
	return r.call(r.task(pid), m[1], rest[len(m[0]):], whole)
}

// task is the process that a line is of. A line without a number is of the only
// one, or, where the remark that there is a second has broken it, of that of the
// line before; a number that is new is of a process that had none before.
func (r *straceReader) task(pid int) int {
	switch {
	case pid == 0 && len(r.alive) == 1:
		for only := range r.alive {
			pid = only
		}
	case pid == 0 && r.alive[r.last]:
		pid = r.last
	case pid != 0 && !r.seen[pid] && r.alive[0]:
		delete(r.alive, 0)
		if abi, ok := r.abis[0]; ok {
			r.abis[pid] = abi
			delete(r.abis, 0)
		}
	}
	r.alive[pid] = true
	if pid != 0 {
		r.seen[pid] = true
	}
	r.last = pid
	return pid
}

func (r *straceReader) end(pid int, m []string) error {
	if m[2] != "" { // exec in another thread: that one goes on under the number of the first
		other, err := strconv.Atoi(m[2])
		if err != nil {
			return err
		}
		delete(r.alive, other)
		pid = r.task(pid)
		if abi, ok := r.abis[other]; ok {
			r.abis[pid] = abi
		}
		return nil
	}
	pid = r.task(pid)
	delete(r.alive, pid)
	delete(r.abis, pid)
	r.ends = append(r.ends, end{pid, strings.HasPrefix(m[1], "killed")})
	return nil
}

// changeABI heeds that a process makes calls of another ABI. strace says so when
// the ABI is not the one that it took the process for: that of the last call.
func (r *straceReader) changeABI(digits, mode string) error {
	pid, err := strconv.Atoi(digits)
	if err != nil {
		return err
	}
	abis := map[string]sysno.Arch{"64 bit": r.machine, "x32": sysno.X32}
	if r.machine == sysno.AMD64 {
		abis["32 bit"] = sysno.I386
	}
	abi, ok := abis[mode]
	if !ok {
		return fmt.Errorf("process %d runs in %s mode, which %v does not have", pid, mode, r.machine)
	}
	r.abis[r.task(pid)], r.abi = abi, abi
	return nil
}

// call reads a call from behind its opening parenthesis, or from behind the remark
// that it is resumed.
func (r *straceReader) call(pid int, name, rest string, whole bool) error {
	abi, known := r.abis[pid]
	if !known {
		abi = r.abi
	}
	launch := !r.begun && name == "execve"
	r.begun = true
	if launch {
		abi = r.machine // strace itself makes this call
		r.path, r.argv = parseExec(rest)
	} else {
		r.abis[pid], r.abi = abi, abi
	}
	id, err := straceID(abi, name)
	if err != nil {
		return err
	}
	o := r.calls.observe(id)
	switch {
	case strings.HasSuffix(rest, "<unfinished ...>"):
		return nil
	case strings.HasSuffix(rest, "<detached ...>"), straceRenamed.MatchString(rest):
		delete(r.alive, pid) // what it does under another number is in the log of that one
		return nil
	}
	result, found := straceResult(rest)
	if !found && whole {
		return fmt.Errorf("%s: %s is a call without a result", name, shorten(rest))
	}
	if !found || !whole {
		return nil
	}
	return r.result(o, name, result)
}

// straceID reads a name as strace writes it, or a number: syscall_0x1c7, and
// syscall_455 or SYS_455 of older versions.
func straceID(abi sysno.Arch, name string) (sysno.ID, error) {
	digits, numbered := strings.CutPrefix(name, "syscall_")
	if !numbered {
		digits, numbered = strings.CutPrefix(name, "SYS_")
	}
	if !numbered {
		return sysno.Parse(abi, name)
	}
	nr, err := strconv.ParseUint(digits, 0, 64)
	if err != nil {
		return sysno.ID{}, fmt.Errorf("%q has no number", name)
	}
	if abi == sysno.AMD64 { // the kernel looks at 32 bits
		return sysno.FromRaw(abi.Audit(), uint32(nr)), nil
	}
	return sysno.ID{Arch: abi, NR: uint32(nr)}, nil
}

// straceResult finds what stands behind the closing parenthesis and the last equals
// sign that follows one: strings among the arguments may look the same.
func straceResult(rest string) (string, bool) {
	for to := len(rest); ; {
		at := strings.LastIndex(rest[:to], "= ")
		if at < 0 {
			return "", false
		}
		if before := strings.TrimRight(rest[:at], " "); len(before) < at && strings.HasSuffix(before, ")") {
			return rest[at+2:], true
		}
		to = at
	}
}

var (
	straceErrno  = lazyregexp.New(`^-1 (?:(E[A-Z0-9]+) |\(errno (\d+)\))`)
	straceNumber = lazyregexp.New(`^(?:0x[0-9a-f]+|-?\d+)`)
	straceOther  = lazyregexp.New(`/\* (\d+) in strace's PID NS \*/`)
)

// result notes what a call has returned. Nothing is known of a call that has not
// returned, or that the kernel starts again.
func (r *straceReader) result(o *trace.Observation, name, result string) error {
	if strings.Contains(result, "(INJECTED)") {
		r.clean = false
	}
	if strings.HasPrefix(result, "?") {
		return nil
	}
	if m := straceErrno.FindStringSubmatch(result + " "); m != nil {
		errno, ok := errnoOf(m[1], m[2])
		if !ok {
			return fmt.Errorf("%s: %s is no errno", name, m[0])
		}
		if i, found := slices.BinarySearch(o.Returns.Errnos, errno); !found {
			o.Returns.Errnos = slices.Insert(o.Returns.Errnos, i, errno)
		}
		return nil
	}
	number := straceNumber.FindString(result)
	if number == "" {
		return fmt.Errorf("%s: %s is no result", name, shorten(result))
	}
	o.Returns.Success = true
	if slices.Contains([]string{"clone", "clone3", "fork", "vfork"}, name) {
		if m := straceOther.FindStringSubmatch(result); m != nil {
			number = m[1]
		}
		if child, err := strconv.Atoi(number); err == nil && child > 0 {
			r.born[child] = true
		}
	}
	return nil
}

func errnoOf(name, digits string) (uint16, bool) {
	if digits != "" {
		n, err := strconv.ParseUint(digits, 10, 16)
		return uint16(n), err == nil && n > 0 && n < 4096
	}
	e, ok := sysno.Errno(name)
	return uint16(e), ok
}

// parseExec reads the path and the words of an execve. They are empty where strace
// has abbreviated them.
func parseExec(rest string) (file string, argv []string) {
	file, rest, ok := parseString(rest)
	if !ok {
		return "", nil
	}
	rest, ok = strings.CutPrefix(rest, ", [")
	for ok {
		var word string
		if word, rest, ok = parseString(rest); !ok {
			break
		}
		argv = append(argv, word)
		if strings.HasPrefix(rest, "],") {
			return file, argv
		}
		rest, ok = strings.CutPrefix(rest, ", ")
	}
	return file, nil
}

// parseString reads a string as strace writes it, with the escapes of C. It is
// false for one that is abbreviated.
func parseString(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		return "", s, false
	}
	escapes := map[byte]byte{'n': '\n', 't': '\t', 'r': '\r', 'v': '\v', 'f': '\f', '"': '"', '\\': '\\', '<': '<', '>': '>'}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], !strings.HasPrefix(s[i+1:], "...")
		case s[i] != '\\' || i+1 == len(s):
			b.WriteByte(s[i])
			continue
		}
		i++
		digits, base := "", 8
		if s[i] == 'x' && i+2 < len(s) {
			digits, base = s[i+1:i+3], 16
		}
		for base == 8 && len(digits) < 3 && i+len(digits) < len(s) && s[i+len(digits)] >= '0' && s[i+len(digits)] <= '7' {
			digits += s[i+len(digits) : i+len(digits)+1]
		}
		if c, err := strconv.ParseUint(digits, base, 8); err == nil {
			b.WriteByte(byte(c))
			i += len(digits) - 1
			if base == 16 {
				i++
			}
			continue
		}
		c, known := escapes[s[i]]
		if !known {
			return "", s, false
		}
		b.WriteByte(c)
	}
	return "", s, false
}

// ended reports whether the processes that strace was given have ended by exit, or
// go on undisturbed after strace was told to let them go.
func (r *straceReader) ended() bool {
	for _, e := range r.ends {
		if e.killed && !r.born[e.pid] {
			return false
		}
	}
	return r.clean && len(r.alive) == 0
}

// unfollowed counts the processes that the program has started and that are not in
// the log. In another pid namespace the program knows them by other numbers: as
// many as have come from nowhere, beside the first.
func (r *straceReader) unfollowed() int {
	missing, unexplained := 0, -1
	for pid := range maps.Keys(r.born) {
		if !r.seen[pid] {
			missing++
		}
	}
	for pid := range maps.Keys(r.seen) {
		if !r.born[pid] {
			unexplained++
		}
	}
	return max(0, missing-max(0, unexplained))
}
