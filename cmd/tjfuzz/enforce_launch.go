package main

import (
	"errors"
	"fmt"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/enforce"
)

// launchFlags say how the program is started, where not as the caller would.
type launchFlags struct {
	env        []string
	dir        string
	user       string
	noNewPrivs privileges
}

// privileges is the value of --no-new-privs.
type privileges string

func (p *privileges) String() string { return string(*p) }
func (p *privileges) Type() string   { return "bool" }
func (p *privileges) Set(value string) error {
	yes, err := strconv.ParseBool(value)
	if err != nil {
		return fmt.Errorf("%q is neither true nor false", value)
	}
	*p = privileges(strconv.FormatBool(yes))
	return nil
}

func (l *launchFlags) add(f *pflag.FlagSet) {
	f.StringArrayVar(&l.env, "env", nil, "set the variable `NAME=VALUE`; !NAME takes it out, ! takes all out; may be repeated")
	f.StringVar(&l.dir, "chdir", "", "start the program in this `directory`; it is found before")
	f.StringVar(&l.user, "user", "", "run the program as this `USER[:GROUP]`, names or numbers, with the user's groups (root)")
	f.Var(&l.noNewPrivs, "no-new-privs", "let the program gain no rights by executing files (default: only where the kernel demands it, which is without CAP_SYS_ADMIN)")
	f.Lookup("no-new-privs").NoOptDefVal = "true"
}

// apply changes how a program, found at path, is started.
func (l *launchFlags) apply(c *enforce.Command, path string) error {
	var err error
	if c.Env, err = environment(c.Env, l.env); err != nil {
		return hinted(err, "such as --env LANG=C, --env !LD_PRELOAD or --env !")
	}
	if l.dir != "" {
		if c.Dir, err = filepath.Abs(l.dir); err != nil {
			return fmt.Errorf("--chdir %s: %w", l.dir, err)
		}
		var st unix.Stat_t
		if err := unix.Stat(c.Dir, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return hinted(fmt.Errorf("--chdir %s: there is no such directory", l.dir), "check the path")
		}
		c.Path = path // what was named may be relative
	}
	if l.user != "" {
		if c.User, err = lookUser(l.user); err != nil {
			return hinted(fmt.Errorf("--user %s: %w", l.user, err), "give a name or a number, and a group behind a colon")
		}
		if unix.Geteuid() != 0 {
			return hinted(fmt.Errorf("--user %s: only root may run a program as somebody else", l.user), "run tjfuzz as root, or leave --user out")
		}
	}
	switch l.noNewPrivs {
	case "true":
		c.Unprivileged = true
	case "false":
		if enforce.NeedsNoNewPrivs() {
			return hinted(errors.New("--no-new-privs=false: the kernel takes no filter from an unprivileged process whose programs may gain rights"),
				"run tjfuzz with CAP_SYS_ADMIN, or leave the flag out")
		}
	}
	return nil
}

// environment is a list of variables with what --env says of them, in order.
func environment(env, words []string) ([]string, error) {
	env = slices.Clone(env)
	for _, word := range words {
		name, value, set := strings.Cut(word, "=")
		out := strings.HasPrefix(word, "!")
		if word == "!" {
			env = []string{}
			continue
		}
		if out {
			name = word[1:]
		}
		if name == "" || out == set {
			return nil, fmt.Errorf("--env %s is neither NAME=VALUE nor !NAME", word)
		}
		env = slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, name+"=") })
		if !out {
			env = append(env, name+"="+value)
		}
	}
	return env, nil
}

// lookUser finds a user with its groups, or a number that need not have a name.
func lookUser(word string) (*enforce.User, error) {
	name, group, given := strings.Cut(word, ":")
	u, err := user.Lookup(name)
	id, numeric := parseID(name)
	if err != nil && numeric {
		u, err = user.LookupId(name)
	}
	result := &enforce.User{}
	switch {
	case err == nil:
		result.UID, _ = parseID(u.Uid)
		result.GID, _ = parseID(u.Gid)
		groups, err := u.GroupIds()
		if err != nil {
			return nil, fmt.Errorf("find the user's groups: %w", err)
		}
		for _, g := range groups {
			if id, ok := parseID(g); ok {
				result.Groups = append(result.Groups, id)
			}
		}
	case !numeric:
		return nil, fmt.Errorf("there is no user %q", name)
	case !given:
		return nil, fmt.Errorf("there is no user %d, so a group must be given", id)
	default:
		result.UID = id
	}
	if !given {
		return result, nil
	}
	result.Groups = nil // those of the user were not asked for
	if g, err := user.LookupGroup(group); err == nil {
		group = g.Gid
	}
	gid, ok := parseID(group)
	if !ok {
		return nil, fmt.Errorf("there is no group %q", group)
	}
	result.GID, result.Groups = gid, []int{gid}
	return result, nil
}

// parseID reads a user's or a group's number; the largest means none.
func parseID(text string) (int, bool) {
	n, err := strconv.ParseUint(text, 10, 32)
	return int(n), err == nil && n != 1<<32-1
}
