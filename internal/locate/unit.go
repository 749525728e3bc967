package locate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Unit is the processes of a systemd unit: nginx, nginx.service, a slice or a
// scope. systemd is asked where it runs; else the cgroup of that name is looked for.
func (s System) Unit(ctx context.Context, name string) (Place, error) {
	if name == "" || strings.ContainsAny(name, "/\n") || strings.HasPrefix(name, "-") {
		return Place{}, &Error{fmt.Sprintf("%q is no name of a unit", name), "systemctl list-units lists them; a path is for --cgroup"}
	}
	unit := name
	if !slices.Contains([]string{".service", ".scope", ".slice", ".socket", ".mount", ".swap"}, path.Ext(name)) {
		unit += ".service"
	}
	if template, instance, ok := strings.Cut(strings.TrimSuffix(unit, path.Ext(unit)), "@"); ok && instance == "" {
		return Place{}, &Error{
			fmt.Sprintf("unit %s is a template and runs only as its instances", unit),
			fmt.Sprintf("name one: systemctl list-units '%s@*' lists them", template),
		}
	}
	// How sd_booted(3) tells.
	if s.exists("/run/systemd/system") {
		p, err := s.askSystemd(ctx, unit)
		if !errors.Is(err, exec.ErrNotFound) {
			return p, err
		}
	}
	return s.searchUnit(unit)
}

func (s System) askSystemd(ctx context.Context, unit string) (Place, error) {
	out, err := s.run(ctx, "systemctl", "show", "-p", "LoadState", "-p", "ActiveState", "-p", "ControlGroup", "-p", "MainPID", "--", unit)
	if err != nil {
		return Place{}, fmt.Errorf("ask systemd for unit %s: %w", unit, err)
	}
	u := parseProperties(string(out))
	switch {
	case u["LoadState"] == "not-found" && u["ControlGroup"] == "":
		// The user's own manager has units that the system's does not know.
		p, err := s.searchUnit(unit)
		var none *Error
		if errors.As(err, &none) {
			none.Mend = "systemctl list-units lists those that run"
		}
		return p, err
	case u["ControlGroup"] == "":
		return Place{}, &Error{fmt.Sprintf("unit %s does not run, it is %s", unit, u["ActiveState"]), "systemctl start " + unit}
	}
	p, err := s.Cgroup(u["ControlGroup"])
	if err != nil {
		return Place{}, fmt.Errorf("unit %s: %w", unit, err)
	}
	return s.asUnit(p, unit, u["MainPID"]), nil
}

// parseProperties reads the KEY=VALUE lines of systemctl show.
func parseProperties(text string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok {
			all[key] = value
		}
	}
	return all
}

// asUnit keeps the directory in which systemd tells its units apart: one is
// enough, since the others have the same processes or fewer.
func (s System) asUnit(p Place, unit, mainPID string) Place {
	p.Name = "unit " + unit
	for _, dir := range p.Cgroups {
		if first, err := s.anyone(dir); err == nil && first != 0 {
			p.Cgroups = []string{dir}
			break
		}
	}
	if pid, err := strconv.Atoi(mainPID); err == nil && pid > 0 {
		p.Program = s.program(pid)
	}
	return p
}

// searchUnit looks for a cgroup that is called like the unit.
func (s System) searchUnit(unit string) (Place, error) {
	all, err := s.hierarchies()
	if err != nil {
		return Place{}, err
	}
	// systemd puts an underscore before names that the kernel could mistake for a
	// file of its own, such as cpu.service.
	names := []string{unit, "_" + unit}
	var paths []string
	for _, h := range all {
		_ = filepath.WalkDir(s.path(h.dir), func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil // removed meanwhile, or not for this user
			}
			if d.IsDir() && slices.Contains(names, d.Name()) {
				below, _ := strings.CutPrefix(p, s.path(h.dir))
				if first, err := s.anyone(path.Join(h.dir, below)); err == nil && first != 0 {
					paths = append(paths, path.Join(h.root, below))
				}
			}
			return nil
		})
	}
	slices.Sort(paths)
	switch paths = slices.Compact(paths); len(paths) {
	case 0:
		return Place{}, &Error{
			fmt.Sprintf("no unit %s runs here: no cgroup of that name has processes", unit),
			"systemd-cgls lists what runs; a process is found with --pid",
		}
	case 1:
		p, err := s.Cgroup(paths[0])
		if err != nil {
			return Place{}, fmt.Errorf("unit %s: %w", unit, err)
		}
		return s.asUnit(p, unit, ""), nil
	}
	return Place{}, &Error{
		fmt.Sprintf("unit %s runs more than once: %s", unit, strings.Join(paths, ", ")),
		"choose one: --cgroup " + paths[0],
	}
}
