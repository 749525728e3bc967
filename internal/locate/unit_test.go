package locate

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

func TestUnitIsItsCgroup(t *testing.T) {
	shown := func(load, active, group, pid string) string {
		return "MainPID=" + pid + "\nControlGroup=" + group + "\nLoadState=" + load + "\nActiveState=" + active + "\n"
	}
	nginx := tree{"/proc/self/mountinfo": v2, "/run/systemd/system/x": ""}.
		process(12, "nginx", "/usr/sbin/nginx", 7, "", "/sys/fs/cgroup/system.slice/nginx.service").
		process(11, "sh", "/bin/sh", 7, "", "/sys/fs/cgroup/system.slice/nginx.service/pre")
	old := tree{"/proc/self/mountinfo": v1}.
		process(12, "getty", "/sbin/agetty", 7, "",
			"/sys/fs/cgroup/systemd/system.slice/system-getty.slice/getty@tty1.service",
			"/sys/fs/cgroup/pids/system.slice/system-getty.slice/getty@tty1.service").
		process(13, "cpu", "/bin/cpu", 7, "", "/sys/fs/cgroup/systemd/system.slice/_cpu.service").
		process(14, "bus", "/bin/bus", 7, "", "/sys/fs/cgroup/systemd/system.slice/dbus.service").
		process(15, "bus", "/bin/bus", 7, "", "/sys/fs/cgroup/systemd/user.slice/user-1.slice/user@1.service/dbus.service")
	old["/sys/fs/cgroup/systemd/system.slice/idle.service/cgroup.procs"] = ""

	for _, c := range []struct {
		name, unit    string
		tree          tree
		systemctl     string // what it prints; "" where it is not installed
		want          Place
		problem, mend string
	}{
		{name: "asked", unit: "nginx", tree: nginx, systemctl: shown("loaded", "active", "/system.slice/nginx.service", "12"),
			want: Place{Name: "unit nginx.service", Cgroups: []string{"/sys/fs/cgroup/system.slice/nginx.service"}, Program: "/usr/sbin/nginx"}},
		{name: "asked, without a main process", unit: "nginx.service", tree: nginx, systemctl: shown("loaded", "active", "/system.slice/nginx.service", "0"),
			want: Place{Name: "unit nginx.service", Cgroups: []string{"/sys/fs/cgroup/system.slice/nginx.service"}, Program: "/usr/sbin/nginx"}},
		{name: "asked, inactive", unit: "nginx", tree: nginx, systemctl: shown("loaded", "inactive", "", "0"),
			problem: "unit nginx.service does not run, it is inactive", mend: "systemctl start nginx.service"},
		{name: "asked, unknown", unit: "none", tree: nginx, systemctl: shown("not-found", "inactive", "", "0"),
			problem: "no unit none.service runs here: no cgroup of that name has processes", mend: "systemctl list-units lists those that run"},
		{name: "systemctl not installed", unit: "nginx", tree: nginx,
			want: Place{Name: "unit nginx.service", Cgroups: []string{"/sys/fs/cgroup/system.slice/nginx.service"}, Program: "/usr/sbin/nginx"}},
		{name: "nested instance", unit: "getty@tty1.service", tree: old,
			want: Place{Name: "unit getty@tty1.service", Cgroups: []string{"/sys/fs/cgroup/systemd/system.slice/system-getty.slice/getty@tty1.service"}, Program: "/sbin/agetty"}},
		{name: "slice", unit: "system-getty.slice", tree: old,
			want: Place{Name: "unit system-getty.slice", Cgroups: []string{"/sys/fs/cgroup/systemd/system.slice/system-getty.slice"}, Program: "/sbin/agetty"}},
		{name: "name that is escaped", unit: "cpu", tree: old,
			want: Place{Name: "unit cpu.service", Cgroups: []string{"/sys/fs/cgroup/systemd/system.slice/_cpu.service"}, Program: "/bin/cpu"}},
		{name: "of several managers", unit: "dbus", tree: old,
			problem: "unit dbus.service runs more than once: /system.slice/dbus.service, /user.slice/user-1.slice/user@1.service/dbus.service",
			mend:    "choose one: --cgroup /system.slice/dbus.service"},
		{name: "without processes", unit: "idle", tree: old,
			problem: "no unit idle.service runs here: no cgroup of that name has processes", mend: "systemd-cgls lists what runs; a process is found with --pid"},
		{name: "template", unit: "getty@.service", tree: old,
			problem: "unit getty@.service is a template and runs only as its instances", mend: "name one: systemctl list-units 'getty@*' lists them"},
		{name: "path", unit: "system.slice/nginx.service", tree: nginx,
			problem: `"system.slice/nginx.service" is no name of a unit`, mend: "systemctl list-units lists them; a path is for --cgroup"},
		{name: "option", unit: "--all", tree: nginx,
			problem: `"--all" is no name of a unit`, mend: "systemctl list-units lists them; a path is for --cgroup"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := c.tree.system(t)
			if c.systemctl != "" {
				s.Run = func(_ context.Context, name string, args ...string) ([]byte, error) {
					want := strings.TrimSuffix(c.unit, ".service") + ".service"
					if name != "systemctl" || args[len(args)-1] != want {
						t.Errorf("ran %s %q, want systemctl about %s", name, args, want)
					}
					return []byte(c.systemctl), nil
				}
			}
			got, err := s.Unit(t.Context(), c.unit)
			is(t, got, err, c.want, c.problem, c.mend)
		})
	}
}

func TestUnitPassesOnWhatSystemctlSays(t *testing.T) {
	s := tree{"/proc/self/mountinfo": v2, "/run/systemd/system/x": ""}.system(t)
	s.Run = func(context.Context, string, ...string) ([]byte, error) {
		return nil, &exec.ExitError{Stderr: []byte("no bus")}
	}
	_, err := s.Unit(t.Context(), "nginx")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.HasPrefix(err.Error(), "ask systemd for unit nginx.service: ") {
		t.Errorf("error %v, want systemctl's", err)
	}
}
