package main

// program is one that is analyzed, and some everyday uses of it. In the directory of the
// uses there are text, a file of lines; more, another one; data, bytes; table.csv; page.xml;
// data.json; script.sh; tree, a directory with files; and packed files of each kind.
type program struct {
	name string
	uses []string // arguments, one use each; "<FILE " at the start gives standard input; '' is an empty one
	// callander is the number of syscalls after startup that callander finds on Debian 12,
	// without execve; 0 where it is not known.
	callander int
}

// programs are of Debian 12.
var programs = []program{
	{name: "ls", callander: 60, uses: []string{"", "-la /", "-lRt tree", "--color=always /dev", "--help", "nothing"}},
	{name: "cat", callander: 41, uses: []string{"text", "-A data", "-n text more", "<text -", "nothing"}},
	{name: "grep", callander: 44, uses: []string{"-n a text", "-r one tree", "-c -i B text", "-P a+ text", "<text -v a"}},
	{name: "diff", callander: 42, uses: []string{"text more", "-u text more", "-r tree tree", "--help"}},
	{name: "sort", callander: 68, uses: []string{"text", "-n -r text", "-u -o sorted text", "-S 10K data", "-R text", "--parallel=2 text", "<text"}},
	{name: "find", callander: 64, uses: []string{"tree", "tree -name *.txt -type f", "tree -ls", "tree -newer text", "/etc -maxdepth 1 -user root"}},
	{name: "stat", callander: 62, uses: []string{"text", "-f /", "-c %U tree", "-L /dev/stdin"}},
	{name: "tar", callander: 98, uses: []string{"-cf out.tar tree", "-tvf out.tar", "-xf out.tar -C other", "--help", "--sort=name -cf out2.tar tree"}},
	{name: "git", callander: 91, uses: []string{"--version", "init repo", "-C repo status", "-C repo log", "config --list", "hash-object text", "diff --no-index text more"}},
	{name: "gzip", callander: 47, uses: []string{"-k -f text", "-l text.gz", "-dc text.gz", "<text -c"}},
	{name: "bash", callander: 87, uses: []string{"-c :", "script.sh", "-c 'ulimit'", "--version", "-lc true"}},
	{name: "dash", callander: 69, uses: []string{"-c :", "script.sh", "-c pwd"}},
	{name: "sed", callander: 76, uses: []string{"-n 1,3p text", "-i.bak s/a/b/ copy", "s/a/b/g text", "--debug p text", "--help"}},
	{name: "mawk", callander: 61, uses: []string{"{print} text", "BEGIN{print(1)}", "-F, {print$1} table.csv", "{print>\"written\"} text"}},
	{name: "perl", callander: 122, uses: []string{"-e print(1)", "-ne print text", "-e sleep(0)", "-v", "-MPOSIX -e print(getpid())"}},
	{name: "openssl", callander: 72, uses: []string{"version -a", "sha256 text", "rand -hex 8", "genrsa 512", "enc -aes-256-cbc -k x -pbkdf2 -in text -out enc", "list -providers"}},
	{name: "apt-cache", uses: []string{"policy", "show bash", "stats"}},

	{name: "cp", uses: []string{"text copied", "-a tree copied2", "--sparse=always data sparse", "-l text linked"}},
	{name: "mv", uses: []string{"copied moved", "-v moved moved2"}},
	{name: "rm", uses: []string{"moved2", "-rf copied2", "-i nothing"}},
	{name: "mkdir", uses: []string{"-p d1/d2", "-m 700 d3"}},
	{name: "ln", uses: []string{"-s text symbolic", "-sf more symbolic"}},
	{name: "touch", uses: []string{"new", "-d yesterday new", "-r text new"}},
	{name: "head", uses: []string{"text", "-c 10 data"}},
	{name: "tail", uses: []string{"text", "-n +3 text", "-c 5 data", "<text -n 2"}},
	{name: "wc", uses: []string{"text", "-L text", "<text"}},
	{name: "cut", uses: []string{"-d, -f1 table.csv"}},
	{name: "tr", uses: []string{"<text a-z A-Z"}},
	{name: "uniq", uses: []string{"-c text"}},
	{name: "comm", uses: []string{"text text"}},
	{name: "join", uses: []string{"text text"}},
	{name: "date", uses: []string{"", "-u", "-d tomorrow +%F", "-r text"}},
	{name: "id", uses: []string{"", "-un", "nobody"}},
	{name: "df", uses: []string{"", "-i /", "-h ."}},
	{name: "du", uses: []string{"-sh tree", "-a tree"}},
	{name: "dd", uses: []string{"if=text of=dd.out bs=7", "if=/dev/zero of=dd.out count=3 conv=fsync"}},
	{name: "chmod", uses: []string{"-R u+w tree", "600 new"}},
	{name: "od", uses: []string{"-c data", "-x text"}},
	{name: "sha256sum", uses: []string{"text data", "<text"}},
	{name: "base64", uses: []string{"data", "-w0 text"}},
	{name: "tee", uses: []string{"<text teed"}},
	{name: "cmp", uses: []string{"text more", "text text"}},
	{name: "nproc", uses: []string{"", "--all"}},
	{name: "hostname", uses: []string{"", "-s"}},
	{name: "getent", uses: []string{"passwd root", "group", "hosts localhost", "services ssh"}},

	{name: "bzip2", uses: []string{"-k -f text", "-dc text.bz2"}},
	{name: "xz", uses: []string{"-k -f text", "-dc text.xz", "-T2 -k -f data", "-l text.xz"}},
	{name: "zstd", uses: []string{"-f text", "-dc text.zst", "-T2 -f data", "-b1 -i1 text"}},
	{name: "unzip", uses: []string{"-v", "-l nothing.zip"}},
	{name: "file", uses: []string{"text data", "-i table.csv", "/bin/ls"}},
	{name: "jq", uses: []string{". data.json", "-n [range(5)]", "-r .a data.json"}},
	{name: "xmllint", uses: []string{"page.xml", "--format page.xml", "--noout nothing"}},
	{name: "sqlite3", uses: []string{"base.db .tables", ":memory: select(1)", "-version"}},
	{name: "bc", uses: []string{"<sum -q"}},
	{name: "patch", uses: []string{"--version", "<nothing.patch -p1 --dry-run"}},
	{name: "readelf", uses: []string{"-h /bin/ls", "-sW /bin/ls"}},
	{name: "objdump", uses: []string{"-h /bin/ls"}},
	{name: "strings", uses: []string{"/bin/true"}},
	{name: "make", uses: []string{"--version", "-n -f /dev/null"}},
	{name: "curl", uses: []string{"--version", "file:///etc/hostname", "-s http://127.0.0.1:1/"}},
	{name: "ssh-keygen", uses: []string{"-q -t ed25519 -N '' -f key", "-l -f key"}},
	{name: "ps", uses: []string{"", "aux"}},
	{name: "tclsh", uses: []string{"<tcl"}},
	{name: "/usr/bin/python3.11", uses: []string{"-c pass", "-c import(socket)", "-m json.tool data.json", "-S -c print(1)"}},
	{name: "ffprobe", uses: []string{"-version", "nothing.mp4"}},
	{name: "redis-server", uses: []string{"--version", "--port 0 --unixsocket sock --save '' ..."}},
	{name: "nginx", uses: []string{"-v", "-t -c nothing.conf", "-p . -c nginx.conf -g daemon\\0off; ..."}},
	{name: "memcached", uses: []string{"--version", "-u nobody -s msock ..."}},
	{name: "busybox", uses: []string{"", "ls -l", "cat text", "sh -c :", "gzip -kf more", "wc text"}},
	{name: "gofmt", uses: []string{"-l main.go", "-d main.go", "-h"}},
}
