package document

import (
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// files are documents in memory.
type files map[string]string

func (f files) open(name string) ([]byte, error) {
	text, ok := f[name]
	if !ok {
		return nil, fmt.Errorf("open %s: %w", name, fs.ErrNotExist)
	}
	return []byte(text), nil
}

func TestIncludesAddTheirRulesAndNothingElse(t *testing.T) {
	f := files{
		"lib/net.yaml":  "version: 1\ndefault: allow\narchitectures: [i386]\ninclude: base.yaml\nmanual:\n  socket: {domain: AF_INET, because: network}\n",
		"lib/base.yaml": "version: 1\nobserved:\n  read: {because: seen}\n",
	}
	p, err := parse(t, begin+"include: [lib/net.yaml, '@file-lock']\n").Policy(sysno.AMD64, f.open)
	if err != nil {
		t.Fatal(err)
	}
	for call, want := range map[string][]string{
		"read": {"allow []"}, "flock": {"allow []"}, "socket": {"allow [arg0 & 0xffffffff == 0x2]"}, "execve": {"allow []"},
	} {
		if got := rulesOf(p, call); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", call, got, want)
		}
	}
	if p.Default != (synth.Verdict{Action: synth.Errno, Errno: 1}) || len(p.Archs) != 1 || p.Archs[0] != sysno.AMD64 {
		t.Errorf("the default is %v, the architectures %v", p.Default, p.Archs)
	}
}

func TestErrorsInIncludesNameTheFileAndTheLine(t *testing.T) {
	f := files{
		"bad.yaml":  "version: 1\nobserved:\n  raed: {}\n",
		"loop.yaml": "version: 1\ninclude: loop.yaml\n",
		"clash":     "version: 1\nobserved:\n  read: {then: log}\n",
		"deep.yaml": "version: 1\ninclude: [clash, clash, clash, clash, clash, clash, clash, clash, clash, clash, clash, clash, clash, clash, clash, clash, clash, clash, clash, clash, clash, clash, clash, clash, clash, clash, clash, clash, clash, clash, clash, clash, clash, clash]\n",
	}
	for name, want := range map[string]string{
		"bad.yaml":  `bad.yaml: line 3, column 3: x86_64 has no syscall "raed"`,
		"loop.yaml": "loop.yaml: line 2, column 10: loop.yaml includes itself",
		"none.yaml": "line 7, column 10: open none.yaml: file does not exist",
		"clash":     "clash: line 3, column 3: read: both allow and log",
		"deep.yaml": "deep.yaml: line 2, column 228: more than 32 includes",
		"'@none'":   "line 7, column 10: there is no group @none",
	} {
		d, err := Parse([]byte(begin + "  read: {}\ninclude: " + name + "\n"))
		if err == nil {
			_, err = d.Policy(sysno.AMD64, f.open)
		}
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
	if _, err := parse(t, begin+"include: x.yaml\n").Policy(sysno.AMD64, nil); err == nil || !strings.Contains(err.Error(), "there are no files here") {
		t.Errorf("got %v", err)
	}
}

// What a person says of a call as a whole stands instead of what was seen of it.
func TestAPersonHasTheLastWord(t *testing.T) {
	for _, c := range []struct{ text, call, want string }{
		{"  ioctl: {cmd: TCGETS}\nmanual:\n  ioctl: {because: all of them}\n", "ioctl", "[allow []]"},
		{"  ioctl: {cmd: TCGETS}\nmanual:\n  ioctl: {cmd: TIOCSTI, because: it types}\n", "ioctl", "[allow [arg1 & 0xffffffff == 0x5401] allow [arg1 & 0xffffffff == 0x5412]]"},
		{"  ptrace: {}\nmanual:\n  ptrace: {then: kill process, because: never}\n", "ptrace", "[kill process []]"},
		{"  socket: {domain: AF_UNIX}\nmanual:\n  socket: {then: errno ENOSYS, because: never}\n", "socket", "[errno ENOSYS []]"},
		{"  socket: {domain: AF_UNIX}\nalways:\n  socket: {}\n", "socket", "[allow []]"},
	} {
		if got := fmt.Sprint(rulesOf(policy(t, begin+c.text), c.call)); got != c.want {
			t.Errorf("%s got %s, want %s", c.text, got, c.want)
		}
	}
}

// The example of docs/policy.md is a policy.
func TestTheExampleInTheDocumentationIsAPolicy(t *testing.T) {
	text, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml")
	_, rest, _ = strings.Cut(rest, "\n") // what is done with it is on the line
	example, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("there is no example")
	}
	d := parse(t, strings.Replace(example, "  read:", "  execve: {}\n  read:", 1))
	if _, err := d.Policy(sysno.AMD64, files{"common.yaml": "version: 1\n"}.open); err != nil {
		t.Error(err)
	}
}

const written = `# who may do what
version: 1 # the form
default: errno EPERM

# this machine's
architectures: [x86_64]
include:
  # what all of ours need
  - lib.yaml
observed:
  # it begins
  execve: {because: seen in 1 of 1 runs} # once
  # not seen any more
  mkdir: {because: seen in 1 of 1 runs}
  socket:
    # the log
    domain: AF_UNIX
    because: seen in 1 of 1 runs
manual:
  # ticket 12
  ptrace: {because: the crash handler} # until then
  "@file-lock": {because: the next release}
# the end
`

func TestCommentsSurvive(t *testing.T) {
	text := encode(t, parse(t, written))
	for _, comment := range []string{
		"# who may do what\nversion: 1 # the form\n", "# this machine's\narchitectures:", "# what all of ours need\n  - lib.yaml",
		"# it begins\n  execve:", "runs} # once\n", "# the log\n    domain: AF_UNIX", "# ticket 12\n  ptrace:", "handler} # until then\n", "# the end\n",
	} {
		if !strings.Contains(text, comment) {
			t.Errorf("%q is gone:\n%s", comment, text)
		}
	}
	if again := encode(t, parse(t, text)); again != text {
		t.Errorf("(-want +got)\n%s", cmp.Diff(text, again))
	}
}

func TestRegenerationKeepsWhatAPersonWrote(t *testing.T) {
	fresh, err := synth.Generate(evidence(t), synth.Options{Default: synth.Verdict{Action: synth.KillProcess}})
	if err != nil {
		t.Fatal(err)
	}
	d, err := parse(t, written).Regenerate(fresh)
	if err != nil {
		t.Fatal(err)
	}
	text := encode(t, d)
	golden(t, "regenerated.yaml", text)
	again, err := d.Regenerate(fresh)
	if err != nil {
		t.Fatal(err)
	}
	if got := encode(t, again); got != text {
		t.Errorf("a second regeneration changes it (-want +got)\n%s", cmp.Diff(text, got))
	}
	p, err := d.Policy(sysno.AMD64, files{"lib.yaml": "version: 1\n"}.open)
	if err != nil {
		t.Fatal(err)
	}
	for call, want := range map[string]string{"ptrace": "[allow []]", "flock": "[allow []]", "mkdir": "[]", "socket": "[allow []]"} {
		if got := fmt.Sprint(rulesOf(p, call)); got != want {
			t.Errorf("%s: got %s, want %s", call, got, want)
		}
	}
}

// FuzzParse holds that a document is refused or means the same after a round trip.
func FuzzParse(f *testing.F) {
	f.Add([]byte(written))
	f.Add([]byte(begin))
	f.Add([]byte("version: 1\ndefault: errno 38\narchitectures: [x86_64, i386, x32]\nobserved:\n  '@known':\n  i386:waitpid: {}\n"))
	f.Add([]byte("version: 1\ndefault: log\nmanual:\n  openat: [{flags: {is: [O_RDWR], require: [O_EXCL], only: [O_CREAT, 0x8000]}, because: x}]\n  socket: {domain: [{op: '!=', value: 40}], because: y}\nunnamed: ['x86_64:$9999']\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(data)
		if err != nil {
			return
		}
		open := files{"lib.yaml": "version: 1\n"}.open
		p, err := d.Policy(sysno.AMD64, open)
		if err != nil {
			return
		}
		out, err := d.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(out)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		q, err := again.Policy(sysno.AMD64, open)
		if err != nil || !reflect.DeepEqual(p, q) {
			t.Fatalf("%v\n%s", err, cmp.Diff(p, q))
		}
		fresh, err := New(p)
		if err != nil {
			t.Fatal(err)
		}
		if q, err = fresh.Policy(sysno.AMD64, nil); err != nil || !reflect.DeepEqual(p, q) {
			t.Fatalf("%v\n%s", err, cmp.Diff(p, q))
		}
	})
}
