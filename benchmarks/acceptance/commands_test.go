package acceptance

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// watched is a command that tjfuzz and strace both watch.
type watched struct {
	pkg   string // of Debian; empty for a program of ours
	args  string // with the program; separated by blanks; '…' keeps words together
	stdin string
	code  int  // exit code
	often bool // is compared in short runs too

	// may are the syscalls that one side can have alone, with the reason: they
	// depend on something other than the command.
	may map[string]string
}

// The reasons why a syscall of the same command is there in one run and not in
// the next.
const (
	contended = "threads wait where they meet, and only then"
	early     = "a child ends before the shell waits for it"
	ended     = "the stack of a thread is given back if it ends before the program"
)

// commands are fifty of what people run.
func commands() []watched {
	return []watched{
		{pkg: "coreutils", args: "ls -laR ."},
		{pkg: "coreutils", args: "cp -a dir copy"},
		{pkg: "coreutils", args: "mv a.txt dir/moved.txt"},
		{pkg: "coreutils", args: "rm -rv dir"},
		{pkg: "coreutils", args: "sort --parallel=2 -n large.txt -o out", often: true, may: map[string]string{"futex": contended}},
		{pkg: "coreutils", args: "dd if=large.txt of=out bs=4k conv=fsync"},
		{pkg: "coreutils", args: "sha256sum a.txt large.txt"},
		{pkg: "coreutils", args: "du -a ."},
		{pkg: "coreutils", args: "split -n 4 large.txt"},
		{pkg: "coreutils", args: "timeout 60 env A=b sh -c 'echo $A'"},
		{pkg: "findutils", args: "find . -name '*.txt' -exec wc -l {} +", often: true},
		{pkg: "findutils", args: "xargs -P 2 -n 1 cat", stdin: "a.txt b.txt large.txt a.txt"},
		{pkg: "grep", args: "grep -rn fish ."},
		{pkg: "sed", args: "sed -i s/fish/bird/ a.txt"},
		{pkg: "mawk", args: `mawk '{ n[$1]++ } END { for (w in n) print w, n[w] | "sort" }' large.txt`},
		{pkg: "tar", args: "tar -czf new.tar.gz dir", often: true},
		{pkg: "tar", args: "tar -xzf archive.tar.gz"},
		{pkg: "gzip", args: "gzip -kf large.txt"},
		{pkg: "xz-utils", args: "xz -kT2 large.txt"},
		{pkg: "bzip2", args: "bzip2 -k large.txt"},
		{pkg: "zstd", args: "zstd -q -T2 large.txt"},
		{pkg: "diffutils", args: "diff -ru dir other", code: 1},
		{pkg: "bash", args: "bash work.sh", often: true},
		{pkg: "dash", args: "dash work.sh"},
		{pkg: "perl-base", args: "perl work.pl", often: true},
		{pkg: "util-linux", args: "flock lock true"},
		{pkg: "util-linux", args: "setsid --wait true"},
		{pkg: "util-linux", args: "findmnt /"},
		{pkg: "util-linux", args: "unshare --fork --pid --mount-proc true"},
		{pkg: "procps", args: "ps aux"},
		{pkg: "file", args: "file a.txt archive.tar.gz dir work.pl"},
		{pkg: "jq", args: "jq -f filter.jq person.json", often: true},
		{pkg: "sqlite3", args: "sqlite3 some.db 'create table t(a, b); insert into t values(1, 2); select * from t'", often: true},
		{pkg: "git", args: "git status"},
		{pkg: "git", args: "git commit -q -a -m message"},
		{pkg: "git", args: "git clone -q . clone"},
		{pkg: "openssl", args: "openssl dgst -sha256 a.txt", often: true},
		{pkg: "openssl", args: "openssl genrsa -out key.pem 1024"},
		{pkg: "libxml2-utils", args: "xmllint --format book.xml"},
		{pkg: "python3", args: "python3 ./table.py -f markdown -o out.md a.csv"},
		{pkg: "python3", args: "python3 work.py"},
		{pkg: "busybox-static", args: "busybox sh work.sh"},
		{pkg: "gcc", args: "gcc -O1 -o main main.c"},
		{pkg: "make", args: "make -f work.mk -j 2"},
		{pkg: "libc-bin", args: "ldd /bin/ls"},
		{pkg: "libc-bin", args: "getent passwd root"},
		{pkg: "dpkg", args: "dpkg-query -W coreutils"},
		{pkg: "e2fsprogs", args: "mke2fs -q -F image 1024"},
		{args: "./count -j a.txt b.txt large.txt", often: true, may: map[string]string{"futex": contended, "madvise": ended}},
		{args: "./summary.sh a.log b.log", often: true, may: map[string]string{"rt_sigreturn": early}},
	}
}

// workplace makes the directory that each of the commands finds a copy of.
func workplace(t testing.TB) string {
	t.Helper()
	for _, program := range []string{"git", "python3", "gcc"} {
		testenv.Program(t, program)
	}
	dir := t.TempDir()
	for name, data := range map[string]string{
		"a.txt": text, "b.txt": numbers, "large.txt": large(1 << 20), "a.csv": table,
		"a.log": logs, "b.log": logs + "dave login\n", "dir/c.txt": text, "other/c.txt": numbers,
		"person.json": person, "filter.jq": ".tags | first\n", "book.xml": book,
		"main.c":  "#include <stdio.h>\nint main(void) { return puts(\"hello\") < 0; }\n",
		"work.mk": "all: one two\n\techo $^\none two:\n\tcat a.txt >$@\n",
		"work.sh": "trap 'rm -f out' EXIT\nfor i in 1 2 3; do (echo $i; exit $i) & done | sort >out\nwait\ncat out | tr 1 2\necho \"$(head -n 1 <<END\nhere\nEND\n)\"\n",
		"work.pl": "open(my $p, '-|', 'echo', 'child') or die; print <$p>; close $p;\n" +
			"pipe(my $r, my $w); if (!fork) { print $w \"x\"; exit } close $w; print <$r>; wait;\n" +
			"print join ' ', sort glob '*'; my @s = stat 'a.txt'; rename 'a.txt', 'n.txt' or die;\n",
		"work.py": "import asyncio, subprocess, threading\n" +
			"subprocess.run(['cat', 'a.txt'], check=True)\n" +
			"ts = [threading.Thread(target=print, args=(n,)) for n in range(3)]\n" +
			"[t.start() for t in ts]; [t.join() for t in ts]\nasyncio.run(asyncio.sleep(0))\n",
	} {
		write(t, filepath.Join(dir, name), data)
	}
	plainly(t, dir, strings.Join([]string{
		"mv " + testenv.Compile(t, source(t, "count.c"), "-static", "-pthread") + " count",
		"cp " + source(t, "summary.sh") + " " + source(t, "table.py") + " .",
		"tar -czf archive.tar.gz dir",
		"git init -q . && git config user.name n && git config user.email e",
		"git add dir b.txt && git commit -q -m first && echo more >>b.txt",
	}, "\n"))
	return dir
}
