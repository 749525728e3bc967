package mutate

import (
	"math/rand/v2"
	"slices"
	"strings"
)

// commonNames are the variables that the C library, terminals and most tools look at.
var commonNames = [...]string{
	"LANG", "LC_ALL", "LC_CTYPE", "LANGUAGE", "TZ", "TERM", "HOME", "PATH", "PWD", "OLDPWD", "TMPDIR", "USER", "LOGNAME", "SHELL", "COLUMNS", "LINES", "PAGER", "EDITOR", "POSIXLY_CORRECT", "NO_COLOR", "XDG_CONFIG_HOME",
}

// CommonEnv lists the variables that the C library, shells and most tools look
// at. Their absence sends programs to ask the system instead.
func CommonEnv() []string { return slices.Clone(commonNames[:]) }

// TellingEnv lists settings that send programs other ways: of common variables, and of those
// with the given names, of which some take a number, some a word and some the name of a file
// or program.
func TellingEnv(names []string) []string {
	out := []string{
		"LC_ALL=C.UTF-8", "LC_ALL=xx_YY", "LANGUAGE=de", "TZ=Europe/Berlin", "TZ=:/etc/localtime", "TERM=xterm-256color", "TERM=dumb", "COLUMNS=20",
		"HOME=.", "PATH=.", "TMPDIR=/nonexistent", "TMPDIR=.", "PAGER=cat", "EDITOR=true", "POSIXLY_CORRECT=1", "NO_COLOR=1",
	}
	for _, name := range names {
		if !slices.Contains(commonNames[:], name) && EnvUsable(name) {
			out = append(out, name+"=1", name+"=.")
		}
	}
	return out
}

// MaxEnv bounds how many variables a scenario changes.
const MaxEnv = 24

var envValues = [...]string{
	"", "0", "1", "-1", "C", "C.UTF-8", "POSIX", "en_US.UTF-8", "de_DE.ISO-8859-1", "xx_YY", "UTC", "Europe/Berlin", ":/etc/localtime", "dumb", "xterm-256color", "vt100",
	"/", ".", "/tmp", "/nonexistent", "/dev/null", "80", "1000000", "cat", "true", "all", "%s%n",
}

// EnvUsable reports whether a variable may be changed. LD_* and the C library's
// tunables steer the loader and the allocator, not the program: a profile made
// with them would hold their syscalls. TJFUZZ_* belongs to this tool.
func EnvUsable(name string) bool {
	return name != "" && !strings.ContainsAny(name, "=\x00") && !strings.HasPrefix(name, "LD_") &&
		!strings.HasPrefix(name, "TJFUZZ_") && name != "GLIBC_TUNABLES" && !strings.HasPrefix(name, "MALLOC_")
}

// Env returns a changed copy of env: one variable, common or from names, is set
// ("KEY=VALUE"), unset ("KEY") or no longer mentioned. A variable is never
// mentioned twice.
func Env(r *rand.Rand, names, env []string) []string {
	if len(env) >= MaxEnv || len(env) > 0 && r.IntN(4) == 0 {
		i := r.IntN(len(env))
		return slices.Concat(env[:i], env[i+1:])
	}
	name := commonNames[r.IntN(len(commonNames))]
	if len(names) > 0 && r.IntN(2) == 0 {
		name = names[r.IntN(len(names))]
	}
	if !EnvUsable(name) {
		return slices.Clone(env)
	}
	entry := name
	switch r.IntN(8) {
	case 0, 1: // unset
	case 2:
		entry += "=" + strings.Repeat("A", hugeSizes[r.IntN(len(hugeSizes))])
	default:
		entry += "=" + envValues[r.IntN(len(envValues))]
	}
	out := slices.DeleteFunc(slices.Clone(env), func(e string) bool {
		key, _, _ := strings.Cut(e, "=")
		return key == name
	})
	return append(out, entry)
}
