package report

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// A browser finds no error in the page and asks for nothing beside it; the filter in its
// address leaves the rules that have its words.
func TestABrowserShowsThePage(t *testing.T) {
	chromium := testenv.Program(t, "chromium")
	dir := t.TempDir()
	path := filepath.Join(dir, "report.html")
	if err := os.WriteFile(path, []byte(html(t, sample(t, hostile))), 0o644); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Size() > 2<<20 {
		t.Fatalf("the page has %d bytes, %v", st.Size(), err)
	}
	rule := regexp.MustCompile(`<details class="rule"( hidden="")?>\s*<summary><code>([^<]*)</code>`)
	for _, tt := range []struct {
		filter string
		want   string // the rules that are shown
		says   string
	}{
		{"", "openat read futex clone3 execve exit exit_group ptrace getcpu restart_syscall rt_sigreturn clock_getres clock_gettime gettimeofday time", "15 rules"},
		{"error-path", "ptrace", "1 of 15 rules"},
		{"@PROCESS-EXIT%20observed", "exit_group", "1 of 15 rules"},
		{"no%20such", "", "0 of 15 rules"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		var stdout, stderr bytes.Buffer
		c := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+filepath.Join(dir, "profile"),
			"--enable-logging=stderr", "--log-net-log="+filepath.Join(dir, "net.json"), "--dump-dom", "file://"+path+"#filter="+tt.filter)
		c.Stdout, c.Stderr = &stdout, &stderr
		c.WaitDelay = 10 * time.Second
		err := c.Run()
		cancel()
		if err != nil {
			t.Fatalf("%v\n%s", err, &stderr)
		}
		var shown []string
		for _, m := range rule.FindAllStringSubmatch(stdout.String(), -1) {
			if m[1] == "" {
				shown = append(shown, m[2])
			}
		}
		if got := strings.Join(shown, " "); got != tt.want {
			t.Errorf("filter %q: shown are %q, want %q", tt.filter, got, tt.want)
		}
		if !strings.Contains(stdout.String(), `role="status">`+tt.says+"<") {
			t.Errorf("filter %q: the page does not say %q", tt.filter, tt.says)
		}
		if strings.Contains(stderr.String(), "CONSOLE") {
			t.Errorf("filter %q: the browser's console says\n%s", tt.filter, &stderr)
		}
		log, err := os.ReadFile(filepath.Join(dir, "net.json"))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(log, []byte("example.invalid")) {
			t.Errorf("filter %q: the page asked for what a target had named", tt.filter)
		}
	}
}
