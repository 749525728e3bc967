package spawn

import (
	"os"
	"slices"
	"testing"
	"time"
)

func TestProcessesAreReadAsTheKernelWritesThem(t *testing.T) {
	for _, tt := range []struct {
		name, stat string
		want       task
		ok         bool
	}{
		{"plain", "12 (sh) S 3 12 11 0 -1 4194304 1 2 3 4 100 20 3 1 20 0 1 0 9 0", task{12, 3, 11, 1240 * time.Millisecond}, true},
		{"a name with all that is hard", "12 (a) S 9 (b)) R 3 12 11 0 -1 4194304 1 2 3 4 0 0 0 0 20 0", task{12, 3, 11, 0}, true},
		{"cut", "12 (sh) S 3 12", task{}, false},
		{"no number", "12 (sh) S x 12 11 0 -1 4194304 1 2 3 4 0 0 0 0 20 0", task{}, false},
		{"nothing", "", task{}, false},
	} {
		got, ok := parseTask([]byte(tt.stat))
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("%s: got %+v, %v, want %+v, %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

func TestAProcessDescendsFromItsParents(t *testing.T) {
	all, err := tasks()
	if err != nil {
		t.Fatal(err)
	}
	me := func(t task) bool { return t.pid == os.Getpid() }
	if !slices.ContainsFunc(descend(all, os.Getppid()), me) || slices.ContainsFunc(descend(all, os.Getpid()), me) {
		t.Errorf("this process, %d, does not descend from its parent, or does from itself", os.Getpid())
	}
}
