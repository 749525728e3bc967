// Newcomer times what somebody types who has never seen tjfuzz: the commands that README.md shows
// under "Try it", on a machine of this machine's release of Debian with nothing on it but Go and sudo,
// from the clone to a policy of jq that is enforced. It decides what that machine has; of the commands it knows
// only that the last of a block that fails ends it.
//
//	go run ./benchmarks/newcomer   # as root, with debootstrap, in a clone of what is to be tried
//
// The machine is a root file system of its own, on this kernel: what is missing in the kernel is missing there,
// and nothing else tells the two apart. What is cloned is the commit that is checked out here, not the project's
// site. Its hazard is the network: packages and Go modules are loaded anew, and the time has that in it.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kballard/go-shellquote"

	"github.com/tjfuzz/tjfuzz/benchmarks/harness"
)

// What is promised to newcomers.
const (
	mostCommands = 5
	mostTime     = 5 * time.Minute
)

func main() { harness.Main("newcomer", run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet("newcomer", flag.ContinueOnError)
	flags.SetOutput(stderr)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return errors.New("usage: newcomer")
	}
	for _, tool := range []string{"apt-get", "debootstrap", "git", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is missing; scripts/setup bench installs what Debian has", tool)
		}
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		return err
	}
	commands, site, err := tryIt(string(readme))
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tjfuzz-newcomer-")
	if err != nil {
		return err
	}
	// What is mounted below it is mounted in namespaces that end before.
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	m := machine{root: filepath.Join(dir, "root"), stderr: stderr}
	if err := m.make(ctx, site); err != nil {
		return fmt.Errorf("make a bare machine: %w", err)
	}
	took, busy, err := m.follow(ctx, commands)
	if err != nil {
		return err
	}
	_, err = io.WriteString(stdout, report(m.release, m.toolchain, commands, took, busy))
	return err
}

// tryIt is the first block of commands under that heading, a line each without its comment, and
// where they clone from.
func tryIt(readme string) (commands []string, site string, err error) {
	_, section, found := strings.Cut(readme, "\n## Try it\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, block, begun := strings.Cut(section, "\n```sh\n")
	block, _, ended := strings.Cut(block, "\n```\n")
	if !found || !begun || !ended {
		return nil, "", errors.New("README.md has no commands under Try it")
	}
	for line := range strings.SplitSeq(block, "\n") {
		line, _, _ = strings.Cut(line, " #")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		commands = append(commands, line)
		if s, ok := strings.CutPrefix(line, "git clone "); ok {
			site = s
		}
	}
	if site == "" {
		return nil, "", errors.New("the commands under Try it clone nothing")
	}
	return commands, site, nil
}

// machine is a root file system.
type machine struct {
	root      string
	release   string // of Debian
	toolchain string // what Go says that it is
	env       []string
	stderr    io.Writer
}

// make makes what is there before the first command: Debian's smallest system with sudo, from
// where this machine's own packages come from; Go; and what a clone of the site finds.
func (m *machine) make(ctx context.Context, site string) error {
	release, err := said(ctx, "sh", "-c", ". /etc/os-release && echo $VERSION_CODENAME")
	if err != nil {
		return err
	}
	mirrors, err := said(ctx, "apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Codename: "+release, "Component: main")
	if err != nil {
		return err
	}
	mirror, _, _ := strings.Cut(mirrors, "\n")
	if mirror == "" {
		return fmt.Errorf("apt's lists do not say where %s comes from; apt-get update loads them", release)
	}
	m.release = release
	if err := m.alone(ctx, `exec debootstrap --variant=minbase --include=sudo,ca-certificates "$1" "$0" "$2"`, release, mirror).Run(); err != nil {
		return fmt.Errorf("debootstrap: %w", err)
	}
	if m.toolchain, err = said(ctx, "go", "env", "GOVERSION"); err != nil {
		return err
	}
	goroot, err := said(ctx, "go", "env", "GOROOT")
	if err != nil {
		return err
	}
	if err := copyTree(ctx, goroot, filepath.Join(m.root, "usr/local/go")); err != nil {
		return err
	}
	m.env = []string{"HOME=/root", "LC_ALL=C", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/go/bin"}
	// How this machine reaches the network is no part of what is tried.
	for _, name := range []string{"GOPROXY", "GONOPROXY", "GOPRIVATE", "GOSUMDB", "GONOSUMDB", "GOFLAGS", "GOTOOLCHAIN"} {
		value, err := said(ctx, "go", "env", name)
		if err != nil {
			return err
		}
		m.env = append(m.env, name+"="+value)
	}
	for _, name := range []string{"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} {
		if value, ok := os.LookupEnv(name); ok {
			m.env = append(m.env, name+"="+value)
		}
	}
	for _, name := range []string{"/etc/hosts", "/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt"} {
		if err := m.copy(name); err != nil {
			return err
		}
	}
	if err := m.write("/etc/gitconfig", fmt.Sprintf("[url \"/srv/site\"]\n\tinsteadOf = %s\n", site)); err != nil {
		return err
	}
	clone := exec.CommandContext(ctx, "git", "clone", "--quiet", "--bare", ".", filepath.Join(m.root, "srv/site"))
	clone.Stderr = m.stderr
	return clone.Run()
}

// copyTree copies what links lead to, not the links: Debian's Go is made of such as lead out of it.
func copyTree(ctx context.Context, from, to string) error {
	if out, err := exec.CommandContext(ctx, "cp", "-RL", from+"/.", to).CombinedOutput(); err != nil {
		return fmt.Errorf("cp: %w: %s", err, out)
	}
	return nil
}

func said(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}

func (m *machine) write(name, text string) error {
	return os.WriteFile(filepath.Join(m.root, name), []byte(text), 0o644)
}

// copy copies a file, unless this machine has none.
func (m *machine) copy(name string) error {
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return m.write(name, string(text))
}

// alone is a script in namespaces that end with it: what it mounts is mounted nowhere else, and what it starts does
// not outlive it. Its $0 is the root file system.
func (m *machine) alone(ctx context.Context, script string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "unshare", append([]string{"--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", script, m.root}, args...)...)
	c.Stdout, c.Stderr = m.stderr, m.stderr
	c.WaitDelay = 10 * time.Second
	return c
}

// A root file system has to be a mount for the cage to leave it.
const boot = `
mount --bind "$0" "$0"
mount -t proc proc "$0/proc"
mount --rbind /sys "$0/sys"
mount --rbind /dev "$0/dev"
cd "$0"
exec chroot "$0" bash -euo pipefail -c "cd /root$1"`

// follow runs the commands in one shell, and says how long each took, and how much of processors' time they
// took together.
func (m *machine) follow(ctx context.Context, commands []string) (took []time.Duration, busy time.Duration, err error) {
	ended, end, err := os.Pipe()
	if err != nil {
		return nil, 0, err
	}
	defer ended.Close()
	var script strings.Builder
	for _, c := range commands {
		fmt.Fprintf(&script, "\nprintf '$ %%s\\n' %s\n%s\necho >&3", shellquote.Join(c), c)
	}
	shell := m.alone(ctx, boot, script.String())
	shell.Env, shell.ExtraFiles = m.env, []*os.File{end}
	before := time.Now()
	err = shell.Start()
	end.Close()
	if err != nil {
		return nil, 0, err
	}
	for lines := bufio.NewScanner(ended); lines.Scan(); { // until the shell has ended
		now := time.Now()
		took, before = append(took, now.Sub(before)), now
	}
	if err := shell.Wait(); err != nil || len(took) < len(commands) {
		return nil, 0, errors.Join(fmt.Errorf("command %d of %d failed: %s", len(took)+1, len(commands), commands[min(len(took), len(commands)-1)]), err)
	}
	return took, shell.ProcessState.UserTime() + shell.ProcessState.SystemTime(), nil
}

// report is the table of the commands, and whether they keep what is promised.
func report(release, toolchain string, commands []string, took []time.Duration, busy time.Duration) string {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s\n%s\n\nA bare machine, Debian %s with sudo and %s, and what README.md says to type there\n\n",
		harness.Command("newcomer", nil), harness.Machine(), release, toolchain)
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "command\tseconds\n")
	var sum time.Duration
	for i, c := range commands {
		fmt.Fprintf(w, "%s\t%.1f\n", c, took[i].Seconds())
		sum += took[i]
	}
	w.Flush()
	verdict := "met"
	if len(commands) > mostCommands || sum > mostTime {
		verdict = "missed"
	}
	fmt.Fprintf(&out, "\n%d commands and %.0f s, %.0f s of processor time, to an enforced policy of jq; at most %d and %.0f s are wanted: %s\n",
		len(commands), sum.Seconds(), busy.Seconds(), mostCommands, mostTime.Seconds(), verdict)
	return out.String()
}
