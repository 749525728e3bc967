package main

import (
	"regexp"
	"strings"

	"github.com/kballard/go-shellquote"
)

// recipe is how the upstream test suite of an installed program is run with another
// file in the program's place. Scripts are for sh -eu, in the source tree.
type recipe struct {
	name     string   // of the program, as it is learned
	once     string   // a run of it that somebody would record, with files of materials
	args     []string // without which it does nothing, and is learned with
	pkg      string   // the Debian package that it is of
	target   string   // of this repository: the package of Go that it is of
	own      bool     // the suite needs no source: it is not its authors'
	prepare  string   // is run once a tree
	workload string   // is learned, too; DIR is the tree, quoted
	place    string   // where in the tree the suite looks for the program
	suite    string
	count    func(output string) tally
	leaves   string // what of the suite is not run, and why; empty when nothing is
}

// work is the workload in that tree.
func (r *recipe) work(dir string) string {
	return strings.ReplaceAll(r.workload, "DIR", shellquote.Join(dir))
}

// built prepares what automake has made: it builds the tree, for its suite needs more
// than the one program. The generated files are taken as they are, whatever their dates.
const built = `
./configure -q --disable-dependency-tracking --disable-nls CFLAGS=-O0
make -s -j2 AUTOCONF=: AUTOMAKE=: ACLOCAL=: AUTOHEADER=: MAKEINFO=true
`

// check runs the tests of a directory by automake.
func check(dir string) string {
	return "make -k check -C " + dir + " AUTOCONF=: AUTOMAKE=: ACLOCAL=: AUTOHEADER=: MAKEINFO=true"
}

// each runs test scripts by themselves, and says how they ended as automake does.
const each = `
ended() { # NAME STATUS
	case $2 in 0) echo "PASS: $1";; 77) echo "SKIP: $1";; *) echo "FAIL: $1";; esac
}
same() { # NAME WANT COMMAND...: what the command writes is what the file holds
	name=$1 want=$2 status=0; shift 2
	"$@" >got 2>got.err || :
	cmp got "$want" || status=1
	[ ! -e "$want.err" ] || cmp got.err "$want.err" || status=1
	ended "$name" $status
}
`

// coreutils runs tests of coreutils without building them: what they find beside the
// one program are the installed ones.
func coreutils(once, tests string) recipe {
	program, _, _ := strings.Cut(once, " ")
	return recipe{
		name: program, once: once, pkg: "coreutils", place: "src/" + program,
		prepare: `
mkdir -p src lib
for p in $(dpkg -L coreutils); do case $p in /bin/*|/usr/bin/*) ln -sf "$p" src/;; esac; done
touch lib/config.h
`,
		suite: each + `
export VERSION="$(src/` + program + ` --version | sed -n '1s/.* //p')" LOCALE_FR=none LOCALE_FR_UTF8=none
export abs_top_builddir="$PWD" abs_top_srcdir="$PWD" abs_srcdir="$PWD" srcdir=. top_srcdir=. fail=0
export built_programs="$(ls src | tr '\n' ' ')" host_os=linux-gnu host_triplet=linux-gnu CONFIG_HEADER="$PWD/lib/config.h"
export CC=gcc AWK=awk EGREP='grep -E' EXEEXT= MAKE=make PACKAGE_VERSION="$VERSION" PERL=perl SHELL=/bin/sh PATH="$PWD/src:$PATH"
for t in ` + tests + `; do
	status=0
	export CU_TEST_NAME="$(echo "$t" | tr / ,)"
	case $t in
	*.pl) timeout 120 perl -w -I./tests -MCuSkip -MCoreutils -M"CuTmpdir qw($t)" "$t" </dev/null 9>&2 || status=$?;;
	*) timeout 120 sh "$t" </dev/null 9>&2 || status=$?;;
	esac
	ended "$t" $status
done
`,
		count:  automake,
		leaves: "tests that need a program which only the build makes fail with and without",
	}
}

func recipes() []recipe {
	return append([]recipe{
		{name: "gzip", once: "gzip -k text", pkg: "gzip", prepare: built, place: "gzip", suite: check("tests"), count: automake},
		{name: "sed", once: "sed s/one/two/ text", pkg: "sed", prepare: built, place: "sed/sed", count: automake,
			suite:  "make -k check SUBDIRS=. AUTOCONF=: AUTOMAKE=: ACLOCAL=: AUTOHEADER=: MAKEINFO=true",
			leaves: "the tests of gnulib, which do not run sed"},
		{name: "grep", once: "grep one text", pkg: "grep", prepare: built, place: "src/grep", suite: check("tests"), count: automake,
			leaves: "the tests of gnulib, which do not run grep"},
		{name: "diff", once: "diff text more", pkg: "diffutils", prepare: built, place: "src/diff", suite: check("tests"), count: automake,
			leaves: "the tests of gnulib, which do not run diff"},
		{name: "tar", once: "tar -cf all.tar text more", pkg: "tar", prepare: built + "touch tests/package.m4\ntouch tests/testsuite\n", place: "src/tar", suite: check("tests"), count: autotest},
		coreutils("sort text", "tests/misc/sort*.sh tests/misc/sort*.pl"),
		coreutils("ls -l", "tests/ls/*.sh"),
		coreutils("cat text", "tests/misc/cat*.sh"),
		coreutils("stat text", "tests/misc/stat*.sh"),
		{name: "find", once: "find . -name text", pkg: "findutils", prepare: built, place: "find/find", suite: check("tests"), count: automake,
			leaves: "the tests that need DejaGnu"},
		{name: "jq", once: "jq . data.json", pkg: "jq", place: "jq", count: automake, prepare: ":",
			suite: each + `
export NO_VALGRIND=1
for t in jqtest onigtest optionaltest base64test utf8test shtest; do
	status=0; sh tests/$t </dev/null || status=$?; ended $t $status
done`,
			leaves: "mantest, whose input the build makes; a test here is a script of up to 300"},
		{name: "cpio", once: "cpio -o -O all.cpio", pkg: "cpio", prepare: built + "touch tests/package.m4\ntouch tests/testsuite\n", place: "src/cpio", suite: check("tests"), count: autotest},
		{name: "m4", once: "m4 text", pkg: "m4", place: "src/m4", count: automake, prepare: ":",
			suite: each + `
export PATH="$PWD/src:$PATH"
for t in checks/[0-9]*.* checks/stackovf.test; do
	status=0; sh checks/check-them -I examples "$t" </dev/null || status=$?; ended "$t" $status
done`,
			leaves: "the tests of gnulib, which do not run m4"},
		{name: "pcre2grep", once: "pcre2grep one text", pkg: "pcre2-utils", place: "pcre2grep", count: automake,
			prepare: `ln -s "$(command -v pcre2test)" pcre2test`,
			suite: each + `
status=0; sh RunGrepTest </dev/null || status=$?; ended RunGrepTest $status`,
			leaves: "the tests of the library; this one is a script of 200 runs"},
		{name: "file", once: "file text", pkg: "file", place: "file", count: automake, prepare: ":",
			suite: each + `
for t in tests/*.testfile; do
	name=${t%.testfile}
	flags=; [ ! -e "$name.flags" ] || flags=-$(cat "$name.flags")
	printf '%s\n' "$(./file -b $flags "$t")" >got 2>&1
	printf '%s\n' "$(cat "$name.result")" >want
	status=0; cmp got want || status=$?; ended "$name" $status
done`,
			leaves: "upstream's driver, which calls the library: its files and their results are given to the program"},
		{name: "sqlite3", once: "sqlite3 new.db .tables", pkg: "sqlite3", place: "sqlite3", count: testfixture,
			prepare: `
./configure -q --with-tcl="$(dirname "$(find /usr/lib -name tclConfig.sh | head -n 1)")" CFLAGS=-O0
make -s -j2 testfixture
`,
			suite: `
for t in test/shell*.test test/avfs.test test/recover.test; do
	timeout 300 ./testfixture "$t" </dev/null 2>&1 || :
done`,
			leaves: "the tests of the library, which do not run sqlite3"},
		{name: "xmllint", once: "xmllint page.xml", pkg: "libxml2-utils", place: "xmllint", count: automake, prepare: ":",
			suite: each + `
for i in test/scripts/*.script; do
	x=${i%.script}; n=${x##*/}
	[ ! -e "$x.xml" ] || same "$n" "result/scripts/$n" sh -c './xmllint --shell "$0" <"$1"' "$x.xml" "$i"
done
for i in test/schematron/*.sct; do
	x=${i%.sct}; n=${x##*/}
	for j in "$x"_*.xml; do
		m=${j##*/}; same "$n" "result/schematron/${m%.xml}" ./xmllint --schematron "$i" "$j"
	done
done`,
			leaves: "nearly all: Debian's source lacks the files of others that most tests work on"},
		{name: "openssl", once: "openssl dgst text", pkg: "openssl", place: "apps/openssl", count: tap,
			prepare: `
./Configure linux-x86_64 >configured
make -s util/wrap.pl util/shlib_wrap.sh apps/CA.pl
mkdir -p apps providers
for m in /usr/lib/*/ossl-modules/*.so; do ln -sf "$m" providers/; done
`,
			suite: `
export SRCTOP="$PWD" BLDTOP="$PWD" PERL=perl EXE_EXT= HARNESS_VERBOSE=1 OPENSSL_CONF= RESULT_D="$PWD/test-runs"
mkdir -p test-runs
perl test/run_tests.pl 'test_rsa*' 'test_dsa*' 'test_ec' 'test_enc*' 'test_gen*' 'test_req' 'test_x509' 'test_ca' 'test_cms' 'test_smime' \
	'test_pkcs*' 'test_dgst' 'test_passwd' 'test_rand' 'test_app*' 'test_pkey*' 'test_verify*' 'test_crl*' 'test_sess' 'test_mp_rsa' 'test_out_option' \
	'test_rehash' 'test_dh*' 'test_sid' 'test_spkac' 'test_ts*' 'test_tsa' 'test_ocsp' 'test_storeutl' 'test_prime' </dev/null 2>&1 || :`,
			leaves: "the tests that run other programs than openssl, or a server and a client of TLS"},
		{name: "git", once: "git init", pkg: "git", place: "wrapped/git", count: tap,
			prepare: `
make -s -j2 CFLAGS=-O0 NO_CURL=1 NO_EXPAT=1 NO_TCLTK=1 NO_GETTEXT=1 NO_PYTHON=1 NO_OPENSSL=1 t/helper/test-tool GIT-BUILD-OPTIONS
make -s -C templates
mkdir -p perl/build/lib
`,
			suite: `
cd t
export GIT_TEST_INSTALLED="$PWD/../wrapped" GIT_TEST_EXEC_PATH=/usr/lib/git-core
for t in t0001-*.sh t0003-*.sh t0006-*.sh t0008-*.sh t0020-*.sh t1006-*.sh t1300-*.sh t1400-*.sh t1500-*.sh t2000-*.sh t2200-*.sh t3000-*.sh \
	t3200-*.sh t3400-*.sh t3600-*.sh t3700-*.sh t3903-*.sh t4013-*.sh t4200-*.sh t5000-*.sh t5300-*.sh t5500-*.sh t5510-*.sh t5601-*.sh t6000-*.sh \
	t6300-*.sh t7001-*.sh t7004-*.sh t7102-*.sh t7201-*.sh t7300-*.sh t7500-*.sh t7600-*.sh t7810-*.sh; do
	timeout 120 sh "$t" </dev/null 2>&1 || :
done`,
			leaves: "all but 34 of 990 scripts, for time; one that takes longer than 2 minutes is ended"},
		{name: "redis-server", once: "redis-server --port 7380", pkg: "redis-server", place: "src/redis-server", count: redis,
			prepare: `
for p in redis-cli redis-benchmark redis-check-aof redis-check-rdb; do cp -L "$(command -v $p)" src/; done
`,
			suite: `
set --
for t in unit/type/string unit/type/list unit/type/stream unit/auth unit/acl unit/protocol unit/aofrw unit/multi unit/other unit/scripting unit/functions \
	unit/info unit/introspection unit/lazyfree unit/networking unit/pubsub unit/shutdown unit/oom-score-adj unit/maxmemory \
	integration/aof integration/rdb integration/logging integration/shutdown integration/redis-cli integration/redis-benchmark; do
	set -- "$@" --single $t
done
tclsh tests/test_helper.tcl --clients 4 "$@" </dev/null 2>&1 || :`,
			leaves: "63 of 88 files, for time"},
		{name: "memcached", once: "memcached -u nobody", args: []string{"-u", "nobody"}, pkg: "memcached", place: "memcached-debug", count: tap,
			prepare: `
gcc -O1 -o timedrun timedrun.c
sed -i 's/ -o relaxed_privileges//' t/lib/MemcachedTest.pm # Debian's is built without
`,
			suite:  "prove -v -j 4 t/*.t </dev/null 2>&1 || :",
			leaves: "the tests of what Debian's is built without: TLS, the proxy, dropping of privileges"},
	}, services()...)
}

// counter makes a count of patterns for what passed, failed and was skipped.
func counter(passed, failed, skipped string) func(string) tally {
	patterns := [3]*regexp.Regexp{regexp.MustCompile(passed), regexp.MustCompile(failed), regexp.MustCompile(skipped)}
	return func(output string) tally {
		n := func(i int) int { return len(patterns[i].FindAllString(output, -1)) }
		return tally{n(0), n(1), n(2)}
	}
}

var (
	automake    = counter(`(?m)^(PASS|XFAIL): `, `(?m)^(FAIL|ERROR|XPASS): `, `(?m)^SKIP: `)
	testfixture = counter(`(?m)^\S+\.\.\. Ok$`, `(?m)^! \S+ expected: `, `(?m)^\S+\.\.\. Omitted$`)
	redis       = counter(`(?m)^\[ok\]: `, `(?m)^\[(err|exception)\]: `, `(?m)^\[ignore\]: `)
	autotest    = counter(`(?m)^ *\d+: .* (ok|expected failure)\b.*$`, `(?m)^ *\d+: .* (FAILED|UNEXPECTED PASS)\b.*$`, `(?m)^ *\d+: .* skipped\b.*$`)
)

// tap counts tests in the form of TAP, those of subtests not apart.
func tap(output string) tally {
	var t tally
	for line := range strings.Lines(output) {
		ok, not := strings.HasPrefix(line, "ok "), strings.HasPrefix(line, "not ok ")
		switch {
		case (ok || not) && (strings.Contains(line, "# skip") || strings.Contains(line, "# SKIP")):
			t.skipped++
		case ok || not && strings.Contains(line, "# TODO"):
			t.passed++
		case not:
			t.failed++
		case ok:
			t.passed++
		}
	}
	return t
}
