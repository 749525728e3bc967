package container

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// runtime is one that takes a bundle: runc and crun.
type runtime struct{}

func (runtime) prepare(*Engine) error { return nil }
func (runtime) close(*Engine) error   { return nil }

func (runtime) remove(e *Engine, id string) []string {
	return []string{e.path, "delete", "--force", id}
}

func (runtime) command(e *Engine, c *Container, id string) ([]string, error) {
	config, err := e.config(c)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(e.dir, "config.json"), config, 0o644); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(e.log()); err != nil {
		return nil, err
	}
	return hidingUnified([]string{e.path, "--log", e.log(), "--log-format", "json", "run", "--bundle", e.dir, id}), nil
}

func (e *Engine) log() string { return filepath.Join(e.dir, "log") }

// failed reads the log: the exit code may be the program's, too.
func (runtime) failed(e *Engine, code int, _ string) string {
	b, err := os.ReadFile(e.log())
	if err != nil || code == 0 {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		var said struct{ Level, Msg string }
		if json.Unmarshal([]byte(line), &said) == nil && said.Level == "error" {
			return said.Msg
		}
	}
	return ""
}

// Parts of config.json, as the OCI runtime specification names them.
type (
	spec struct {
		Version string  `json:"ociVersion"`
		Process process `json:"process"`
		Root    root    `json:"root"`
		Host    string  `json:"hostname"`
		Mounts  []mount `json:"mounts"`
		Linux   linux   `json:"linux"`
	}
	process struct {
		Terminal     bool                `json:"terminal"`
		User         map[string]int      `json:"user"`
		Args         []string            `json:"args"`
		Env          []string            `json:"env"`
		Dir          string              `json:"cwd"`
		Capabilities map[string][]string `json:"capabilities"`
		Limits       []limit             `json:"rlimits"`
		NoNewPrivs   bool                `json:"noNewPrivileges"`
	}
	limit struct {
		Type string `json:"type"`
		Hard uint64 `json:"hard"`
		Soft uint64 `json:"soft"`
	}
	root struct {
		Path     string `json:"path"`
		ReadOnly bool   `json:"readonly"`
	}
	mount struct {
		To      string   `json:"destination"`
		Type    string   `json:"type"`
		From    string   `json:"source"`
		Options []string `json:"options"`
	}
	linux struct {
		Namespaces []namespace     `json:"namespaces"`
		Masked     []string        `json:"maskedPaths"`
		ReadOnly   []string        `json:"readonlyPaths"`
		Seccomp    json.RawMessage `json:"seccomp,omitempty"`
	}
	namespace struct {
		Type string `json:"type"`
	}
)

// capabilities are those that docker gives by default (oci/caps/defaults.go of moby).
var capabilities = []string{
	"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
	"CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
}

// openFiles is what docker's own service gives to containers on most distributions at
// least; runc 1.1 fails where more descriptors are allowed than it expects.
const openFiles = 1024

// config is the bundle's config.json.
func (e *Engine) config(c *Container) ([]byte, error) {
	s := spec{
		Version: "1.0.2",
		Process: process{
			User: map[string]int{"uid": 0, "gid": 0}, Args: append([]string{c.Path}, c.Args...), Env: c.Env, Dir: c.At,
			Capabilities: map[string][]string{"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
			Limits:       []limit{{"RLIMIT_NOFILE", openFiles, openFiles}},
		},
		Root: root{Path: "rootfs"},
		Host: "tjfuzz",
		Linux: linux{
			Namespaces: []namespace{{"pid"}, {"network"}, {"ipc"}, {"uts"}, {"mount"}},
			Masked:     []string{"/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"},
			ReadOnly:   []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
	binds, err := e.binds(c)
	if err != nil {
		return nil, err
	}
	s.Mounts = []mount{
		{"/proc", "proc", "proc", []string{"nosuid", "noexec", "nodev"}},
		{"/dev", "tmpfs", "tmpfs", []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{"/dev/pts", "devpts", "devpts", []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{"/dev/shm", "tmpfs", "shm", []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
		{"/dev/mqueue", "mqueue", "mqueue", []string{"nosuid", "noexec", "nodev"}},
		{"/sys", "sysfs", "sysfs", []string{"nosuid", "noexec", "nodev", "ro"}},
	}
	var later []mount // below a directory that is the container's own
	for _, b := range binds {
		m := mount{b.to, "bind", b.from, []string{"rbind", "rprivate", "ro"}}
		if b.write {
			m.Options[2] = "rw"
		}
		if inOwn(b.to) {
			later = append(later, m)
		} else {
			s.Mounts = append(s.Mounts, m)
		}
	}
	for _, d := range []string{"/run", "/tmp", "/var/tmp"} {
		s.Mounts = append(s.Mounts, mount{d, "tmpfs", "tmpfs", []string{"nosuid", "nodev", "mode=1777"}})
	}
	s.Mounts = append(s.Mounts, later...)
	if c.Profile != "" {
		if s.Linux.Seccomp, err = os.ReadFile(c.Profile); err != nil {
			return nil, fmt.Errorf("read the profile: %w", err)
		}
	}
	return json.Marshal(s)
}

func inOwn(path string) bool {
	return slices.ContainsFunc(own, func(d string) bool { return len(path) > len(d) && path[:len(d)+1] == d+"/" })
}
