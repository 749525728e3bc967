package container

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// podman runs containers on a root directory, without an image.
type podman struct{}

func (podman) prepare(*Engine) error { return nil }
func (podman) close(*Engine) error   { return nil }

// global are the words before podman's sub-command. Its state is our own, so that it touches
// nobody's containers.
func (podman) global(e *Engine) []string {
	return []string{e.path, "--root", e.dir + "/s", "--runroot", e.dir + "/r", "--storage-driver=vfs", "--cgroup-manager=cgroupfs"}
}

func (p podman) remove(e *Engine, id string) []string {
	return hidingUnified(append(p.global(e), "rm", "--force", "--ignore", id))
}

func (p podman) command(e *Engine, c *Container, id string) ([]string, error) {
	flags, err := e.flags(c, id)
	if err != nil {
		return nil, err
	}
	words := append(p.global(e), "run", "--interactive")
	words = append(words, flags...)
	words = append(words, fmt.Sprintf("--ulimit=nofile=%d:%d", openFiles, openFiles))
	// What podman asks for by default is refused to crun where this machine permits less.
	words = append(words, fmt.Sprintf("--ulimit=nproc=%d:%d", processes, processes))
	words = append(words, "--rootfs", e.root(), c.Path)
	return hidingUnified(append(words, c.Args...)), nil
}

func (podman) failed(_ *Engine, code int, said string) string {
	return complaint(code, said, "Error: ")
}

// complaint is a line with which a message of the engine's own begins, where the exit code is one of
// those that it keeps for itself.
func complaint(code int, said, prefix string) string {
	if code < 125 || code > 127 {
		return ""
	}
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, prefix) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// docker runs containers on an image that has nothing but the root's directories.
type docker struct{}

// processes is how many podman's containers may have.
const processes = 512

const image = "tjfuzz-verify"

func (docker) prepare(e *Engine) error {
	var tar, said bytes.Buffer
	pack := exec.Command("tar", "-C", e.root(), "-c", ".")
	pack.Stdout, pack.Stderr = &tar, &said
	if err := pack.Run(); err != nil {
		return fmt.Errorf("pack the image: %w: %s", err, &said)
	}
	take := exec.Command(e.path, "import", "-", image)
	take.Stdin = &tar
	if out, err := take.CombinedOutput(); err != nil {
		return fmt.Errorf("import the image: %w: %s", err, strings.TrimSpace(string(out)))
	}
	e.imported = true
	return e.makeGroup()
}

// makeGroup makes the cgroup below which docker's containers are to be.
func (e *Engine) makeGroup() error {
	out, err := exec.Command(e.path, "info", "--format", "{{.CgroupDriver}}").CombinedOutput()
	if err != nil {
		return fmt.Errorf("ask docker for its state: %w: %s", err, strings.TrimSpace(string(out)))
	}
	if driver := strings.TrimSpace(string(out)); driver != "cgroupfs" {
		return fmt.Errorf("docker makes cgroups by %s, and containers can be told apart only where it does so by cgroupfs; runc and crun start what docker does", driver)
	}
	trees := e.trees()
	if len(trees) == 0 {
		return errors.New("no cgroups are mounted at /sys/fs/cgroup")
	}
	group := filepath.Join(trees[0], e.group())
	if err := os.Mkdir(group, 0o755); err != nil {
		return fmt.Errorf("make a cgroup: %w", err)
	}
	e.Cgroup = group
	return e.holdGroup()
}

// holdGroup puts a process into the cgroup, which somebody else removes when it is empty.
func (e *Engine) holdGroup() error {
	e.holder = exec.Command("cat")
	var err error
	if e.release, err = e.holder.StdinPipe(); err != nil {
		return err
	}
	if err := e.holder.Start(); err != nil {
		e.holder = nil
		return err
	}
	return os.WriteFile(filepath.Join(e.Cgroup, "cgroup.procs"), fmt.Append(nil, e.holder.Process.Pid), 0o644)
}

func (e *Engine) group() string { return fmt.Sprintf("tjfuzz-verify-%d", os.Getpid()) }

// trees are the cgroup hierarchies, of version 1 one for each controller.
func (e *Engine) trees() []string {
	all, _ := filepath.Glob("/sys/fs/cgroup/*/cgroup.procs")
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.procs"); err == nil {
		all = []string{"/sys/fs/cgroup/cgroup.procs"}
	}
	for i := range all {
		all[i] = filepath.Dir(all[i])
	}
	return all
}

func (docker) close(e *Engine) error {
	if e.holder != nil {
		_ = e.release.Close()
		_ = e.holder.Wait()
	}
	for _, tree := range e.trees() { // docker has made it in all of them
		if err := os.Remove(filepath.Join(tree, e.group())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a cgroup: %w", err)
		}
	}
	if !e.imported {
		return nil
	}
	out, err := exec.Command(e.path, "image", "rm", "--force", image).CombinedOutput()
	if err != nil {
		return errors.Join(fmt.Errorf("remove docker's image %s: %s", image, strings.TrimSpace(string(out))), err)
	}
	return nil
}

func (docker) failed(_ *Engine, code int, said string) string {
	return complaint(code, said, "docker: ")
}

func (docker) remove(e *Engine, id string) []string {
	return []string{e.path, "rm", "--force", id}
}

func (docker) command(e *Engine, c *Container, id string) ([]string, error) {
	flags, err := e.flags(c, id)
	if err != nil {
		return nil, err
	}
	words := append([]string{e.path, "run", "--interactive", "--cgroup-parent=/" + e.group()}, flags...)
	return append(append(words, image, c.Path), c.Args...), nil
}

// flags are those that podman and docker share.
func (e *Engine) flags(c *Container, id string) ([]string, error) {
	binds, err := e.binds(c)
	if err != nil {
		return nil, err
	}
	words := []string{"--rm", "--name", id, "--network=none", "--workdir", c.At, "--tmpfs", "/run", "--tmpfs", "/tmp:exec,mode=1777"}
	for _, b := range binds {
		if strings.ContainsAny(b.from+b.to, ":,") {
			return nil, fmt.Errorf("%s takes no path with a colon or a comma: %s", e.Name, b.from)
		}
		mode := "ro"
		if b.write {
			mode = "rw"
		}
		words = append(words, "--volume", b.from+":"+b.to+":"+mode)
	}
	words = append(words, "--tmpfs", "/var/tmp:mode=1777")
	for _, v := range c.Env {
		words = append(words, "--env", v)
	}
	profile := "unconfined"
	if c.Profile != "" {
		profile = c.Profile
	}
	return append(words, "--security-opt", "seccomp="+profile), nil
}
