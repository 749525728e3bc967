package main

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
)

// open is a directory in which everybody may work, with the tool.
func open(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tjfuzz-test-")
	if err == nil {
		err = os.Chmod(dir, 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
	tool, err := exec.LookPath("tjfuzz")
	if err == nil {
		err = os.Chmod(filepath.Dir(filepath.Dir(tool)), 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// learnedSet is the set of syscalls in a state directory's evidence.
func learnedSet(t *testing.T, state string) []string {
	t.Helper()
	f, err := os.Open(filepath.Join(state, evidenceName))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	evidence, err := trace.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range evidence.Observations {
		names = append(names, o.ID.String())
	}
	slices.Sort(names)
	return names
}

// An ordinary user without any rights gets what root gets: the calls that the
// same runs made, a profile that is proven and that the program works under, and
// nothing that belongs to somebody else.
func TestOrdinaryUsersLearnWhatRootLearns(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	type program struct {
		command, use []string
		input        string
		// rootOnly are calls that the program makes as root only.
		rootOnly []string
	}
	programs := []program{
		{command: []string{"jq", "."}, use: []string{"-c", "."}, input: `{"a": [1, 2]}`},
		{command: []string{"gzip", "-c"}, use: []string{"-9c"}, input: "some text"},
	}
	execs := "100"
	if os.Getenv("TJFUZZ_LONG") != "" {
		// After the first difference two sessions go different ways: the longer they are, the
		// less they have in common.
		execs = "300"
		// sqlite3 gives what it makes to the owner of the database, if it may (robustFchown).
		programs = append(programs,
			program{command: []string{"sort"}, input: "b\na\n"},
			program{command: []string{"file", "@@"}, use: []string{"/etc/passwd"}},
			program{command: []string{"sqlite3", ":memory:"}, use: []string{":memory:", "SELECT 1+1"}, rootOnly: []string{"fchown"}},
			program{command: []string{"tar", "tvf", "@@"}, use: []string{"--version"}},
			program{command: []string{"grep", "a"}, use: []string{"a"}, input: "b\na\n"},
		)
	}
	for _, p := range programs {
		t.Run(p.command[0], func(t *testing.T) {
			t.Parallel()
			testenv.Program(t, p.command[0])
			dir := open(t)
			learn := func(state string) []string {
				// Of what else is varied root can do more: then the runs would not be the same.
				return append([]string{"learn", "--seed", "1", "--execs", execs, "--jobs", "1", "--confidence", "0", "--only", "bytes,argv,env,streams",
					"--state", state, "-o", state + ".json", "--"}, p.command...)
			}
			start(t, dir, learn("root")...).wait(t, 0)
			startAs(t, "nobody", dir, learn("user")...).wait(t, 0)
			startAs(t, "nobody", dir, append([]string{"verify", "--policy", "user.json", "--state", "user", "--"}, p.command...)...).wait(t, 0)

			root, user := learnedSet(t, filepath.Join(dir, "root")), learnedSet(t, filepath.Join(dir, "user"))
			missing := func(of, from []string) []string {
				return slices.DeleteFunc(slices.Clone(of), func(s string) bool { return slices.Contains(from, s) })
			}
			only := slices.DeleteFunc(missing(root, user), func(s string) bool { return slices.Contains(p.rootOnly, s) })
			if more := missing(user, root); len(only) > 0 || len(more) > 0 {
				t.Errorf("of %d calls, only root's runs showed %q and only the user's %q", len(root), only, more)
			}
			owned(t, filepath.Join(dir, "user"), filepath.Join(dir, "user.json"))

			want := outputOf(t, dir, p.input, append(p.command[:1:1], p.use...))
			got := outputOf(t, dir, p.input, slices.Concat([]string{"nobody", "tjfuzz", "enforce", "--quiet", "--policy", "user.json", "--"}, p.command[:1], p.use))
			if !bytes.Equal(got, want) {
				t.Errorf("under its profile it says %q, want %q", got, want)
			}
		})
	}
}

// outputOf is what a command that succeeds writes to standard output.
func outputOf(t *testing.T, dir, input string, command []string) []byte {
	t.Helper()
	var stderr bytes.Buffer
	c := exec.CommandContext(t.Context(), command[0], command[1:]...)
	c.Dir, c.Stdin, c.Stderr = dir, strings.NewReader(input), &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%q: %v\n%s", command, err, &stderr)
	}
	return out
}

// owned demands that all that is at the paths belongs to the user nobody.
func owned(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		err := filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
			var st unix.Stat_t
			if err := cmp.Or(err, unix.Lstat(path, &st)); err != nil {
				return err
			}
			if st.Uid != 65534 || st.Gid != 65534 {
				t.Errorf("%s belongs to %d:%d", path, st.Uid, st.Gid)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestAnOrdinaryUsersLearnEndsWholly(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	for _, tt := range []struct {
		name   string
		signal unix.Signal
		mark   string
		code   int
		says   string
	}{
		{"asked to", unix.SIGTERM, "86394", 1, "tjfuzz: error: interrupted"},
		{"from the terminal", unix.SIGINT, "86387", 1, "tjfuzz: error: interrupted"},
		{"killed", unix.SIGKILL, "86388", 128 + 9, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := open(t)
			target := script(t, dir, "target", `[ $# = 0 ] && [ -c /dev/stdin ] && exec sleep `+tt.mark+`; exit 0`)
			p := startAs(t, "nobody", dir, "learn", "--timeout", "1h", "--", target)
			t.Cleanup(func() {
				if t.Failed() && p.ProcessState == nil {
					_ = p.Process.Kill()
					_ = p.Wait()
					t.Logf("%v, and said %s", p.ProcessState, &p.stderr)
				}
			})
			asleep := func() bool { return len(running(t, "\x00"+tt.mark+"\x00")) > 0 }
			eventually(t, "a run has begun", asleep)
			if err := p.Process.Signal(tt.signal); err != nil {
				t.Fatal(err)
			}
			p.wait(t, tt.code)
			if got := p.stderr.String(); !strings.Contains(got, tt.says) || strings.Count(got, "error:") > 1 {
				t.Errorf("got %q, want %q in it, once", got, tt.says)
			}
			eventually(t, "the target is gone", func() bool { return !asleep() })
			eventually(t, "all of tjfuzz is gone", func() bool { return len(running(t, target)) == 0 })
			if _, err := os.Lstat(filepath.Join(dir, "target.seccomp.json")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("there is a profile, %v", err)
			}
		})
	}
}

// Without user namespaces there is no cage for ordinary users, and they are told
// what to do; without a cage, they learn all the same.
func TestOrdinaryUsersWithoutUserNamespaces(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	dir := open(t)
	// The limit of the namespace that is made here holds for those in it.
	refused := func(args ...string) *tool {
		return startAs(t, script(t, dir, "refused", `exec unshare --user --map-root-user sh -c '
			echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --inh-caps=-all --bounding-set=-all "$@"' sh "$@"`), dir, args...)
	}
	p := refused("learn", "--execs", "20", "--", "true")
	p.wait(t, 1)
	const want = "tjfuzz: error: the cage needs CAP_SYS_ADMIN, or a user namespace, and user.max_user_namespaces is 0, so users may not make one\n" +
		"tjfuzz: hint: run as root, or allow it with: sysctl user.max_user_namespaces=10000\n" +
		"tjfuzz: hint: --no-cage runs the target without protection\n"
	if got := p.stderr.String(); !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want at the end %q", got, want)
	}
	refused("learn", "--no-cage", "--execs", "20", "--jobs", "1", "--seed", "1", "--", "true").wait(t, 0)
	refused("verify", "--no-cage", "--", "true").wait(t, 0)

	p = refused("doctor")
	p.wait(t, 1)
	if got := p.stdout.String(); !strings.Contains(got, "\nNO  cage       the cage needs CAP_SYS_ADMIN, or a user namespace, and user.max_user_namespaces is 0, ") {
		t.Errorf("doctor says %q", got)
	}
}
