package external

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

const modeVariable = "EXTERNAL_TEST_MODE"

// The test's own program is the mutator.
func TestMain(m *testing.M) {
	if mode := os.Getenv(modeVariable); mode != "" {
		os.Exit(mutator(mode))
	}
	os.Exit(m.Run())
}

// mutator answers "seed limit data other", or misbehaves.
func mutator(mode string) int {
	in := bufio.NewReader(os.Stdin)
	field := func(n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(in, b); err != nil {
			if err == io.EOF && mode == "badend" {
				os.Exit(4)
			}
			if mode == "stays" {
				stay()
			}
			os.Exit(0)
		}
		return b
	}
	for i := 0; ; i++ {
		seed := binary.LittleEndian.Uint64(field(8))
		limit := binary.LittleEndian.Uint32(field(4))
		data := field(int(binary.LittleEndian.Uint32(field(4))))
		other := field(int(binary.LittleEndian.Uint32(field(4))))
		answer := fmt.Sprintf("%x %d %s %s %s", seed, limit, data, other, os.Getenv(Variable))
		switch {
		case mode == "hangs":
			stay()
		case i == 0:
		case mode == "dies":
			fmt.Fprintln(os.Stderr, "Traceback:\nno luck")
			return 3
		case mode == "leaves":
			return 0
		case mode == "half":
			os.Stdout.Write([]byte{100, 0, 0, 0, 'a'})
			return 0
		case mode == "long":
			answer = strings.Repeat("a", int(limit)+1)
		}
		out := binary.LittleEndian.AppendUint32(nil, uint32(len(answer)))
		os.Stdout.Write(append(out, answer...))
	}
}

// stay never returns: nobody writes to the pipe.
func stay() {
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	_, err = r.Read(make([]byte, 1))
	panic(fmt.Sprint(w.Fd(), err))
}

func start(t *testing.T, ctx context.Context, mode string, timeout time.Duration) *Mutator {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	m, err := Start(ctx, Options{Command: modeVariable + "=" + mode + " exec '" + self + "'", Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Kill(-m.pid, 0); err != syscall.ESRCH {
			t.Errorf("a process of the mutator is left: %v", err)
		}
	})
	return m
}

func TestAnAnswerIsOfTheRequest(t *testing.T) {
	m := start(t, t.Context(), "good", 0)
	r, same := rand.New(rand.NewPCG(1, 2)), rand.New(rand.NewPCG(1, 2))
	for i := range 100 {
		data := bytes.Repeat([]byte{'d'}, i*100) // more than a pipe holds at once, at last
		got, err := m.Mutate(r, data, []byte("other"), 1<<16)
		if want := fmt.Sprintf("%x 65536 %s other 1", same.Uint64(), data); err != nil || string(got) != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

func TestAMutatorThatMisbehavesIsAnError(t *testing.T) {
	for mode, want := range map[string]string{
		"hangs":  "no answer within 200ms",
		"dies":   "it ended: exit status 3; it said: no luck",
		"leaves": "it ended",
		"half":   "it ended",
		"long":   "its answer has 101 bytes, and 100 were the limit",
	} {
		t.Run(mode, func(t *testing.T) {
			timeout := time.Duration(0)
			if mode == "hangs" {
				timeout = 200 * time.Millisecond
			}
			m := start(t, t.Context(), mode, timeout)
			r := rand.New(rand.NewPCG(1, 2))
			var err error
			for range 2 {
				if _, err = m.Mutate(r, nil, nil, 100); err != nil {
					break
				}
			}
			if !errors.Is(err, ErrMutator) || !strings.HasSuffix(err.Error(), want) {
				t.Fatalf("got %v, want %q", err, want)
			}
			if _, again := m.Mutate(r, nil, nil, 100); !errors.Is(again, err) {
				t.Errorf("a second call: %v", again)
			}
			if err := m.Close(); err != nil {
				t.Errorf("the error came twice: %v", err)
			}
		})
	}
}

func TestACommandThatDoesNotExistIsAnErrorWithWhatTheShellSaid(t *testing.T) {
	m, err := Start(t.Context(), Options{Command: "/nonexistent/mutator"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Mutate(rand.New(rand.NewPCG(1, 2)), nil, nil, 100); err == nil || !strings.Contains(err.Error(), "it ended: exit status 127; it said:") || !strings.Contains(err.Error(), "/nonexistent/mutator") {
		t.Error(err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

func TestCloseSaysHowAMutatorEnded(t *testing.T) {
	m := start(t, t.Context(), "badend", 0)
	if err := m.Close(); err == nil || !strings.Contains(err.Error(), "exit status 4") {
		t.Error(err)
	}
	m = start(t, t.Context(), "stays", 200*time.Millisecond)
	if err := m.Close(); err == nil || !strings.Contains(err.Error(), "did not end within 200ms") {
		t.Error(err)
	}
}

func TestAMutatorEndsWithItsContextAndTakesItsChildrenAlong(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ready := filepath.Join(t.TempDir(), "ready")
	if err := syscall.Mkfifo(ready, 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := Start(ctx, Options{Command: "sleep 1000 & echo > '" + ready + "'; wait"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile(ready); err != nil { // returns when the child is there
		t.Fatal(err)
	}
	cancel()
	<-m.ended
	if err := m.Close(); err != nil {
		t.Errorf("what we killed is called a failure: %v", err)
	}
}

// The mutator in the documentation is one that works.
func TestTheMutatorInTheDocumentationWorks(t *testing.T) {
	python := testenv.Program(t, "python3")
	doc, err := os.ReadFile("../../docs/mutators.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, ok := strings.Cut(string(doc), "```python file: fields.py\n")
	code, _, closed := strings.Cut(code, "```")
	if !ok || !closed {
		t.Fatal("docs/mutators.md has no python in it")
	}
	script := filepath.Join(t.TempDir(), "mutator.py")
	if err := os.WriteFile(script, []byte(code), 0o644); err != nil {
		t.Fatal(err)
	}
	answers := func() (out []string) {
		m, err := Start(t.Context(), Options{Command: python + " '" + script + "'"})
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, 2))
		for range 20 {
			b, err := m.Mutate(r, []byte("a=1;b=2;c=3"), []byte("x=9"), 100)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, string(b))
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		return out
	}
	first, second := answers(), answers()
	if strings.Join(first, "|") != strings.Join(second, "|") {
		t.Errorf("one seed gave %q and %q", first, second)
	}
	for _, a := range first {
		if a != first[0] {
			return
		}
	}
	t.Errorf("all answers are alike: %q", first)
}
