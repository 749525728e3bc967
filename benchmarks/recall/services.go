package main

// What is missed of services whose authors' suites need a build, or a network, of their own: work as people give it
// to them, of which learning knows nothing. Nothing of it is taken from what learn says to services.

// work is what the scripts of services begin with.
const work = `
n=0
check() { # NAME COMMAND...: a test, as TAP has it
	n=$((n + 1)) name=$1 status=0; shift
	"$@" >got 2>&1 || status=$?
	if [ $status = 0 ]; then echo "ok $n - $name"; else echo "not ok $n - $name, $status"; sed 's/^/# /' got; fi
}
within() { # COMMAND...: it succeeds within 20 s
	for i in $(seq 200); do
		! "$@" >/dev/null 2>&1 || return 0
		sleep 0.1
	done
	return 1
}
gone() { ! kill -0 "$1" 2>/dev/null; }
ends() { kill -$2 $1; within gone $1; }
d=$PWD
`

// services are recipes of such work.
func services() []recipe {
	return []recipe{
		{name: "nginx", once: "nginx -g 'daemon off;'", args: []string{"-g", "daemon off;"}, pkg: "nginx", own: true, place: "bin/nginx", count: tap,
			prepare: ":",
			suite: work + `
rm -rf www cache logs conf; mkdir -p www/list cache logs conf; chmod 777 cache logs
echo page >www/index.html; echo gone >www/gone.html; echo one >www/list/one; head -c 3000000 /dev/zero >www/large
cp /etc/nginx/mime.types conf
cat >conf/nginx.conf <<END
user www-data; worker_processes 2; daemon off; pid $d/nginx.pid; error_log $d/logs/error.log;
events { worker_connections 64; }
http {
	include mime.types; access_log $d/logs/access.log; gzip on; gzip_min_length 1; gzip_types *; sendfile on; client_max_body_size 8m;
	proxy_cache_path $d/cache levels=1 keys_zone=z:1m max_size=64k inactive=1s;
	server {
		listen 18080; listen [::1]:18080; root $d/www; error_page 404 /gone.html;
		location /list/ { autoindex on; }
		location /proxied/ { proxy_pass http://127.0.0.1:18081/; proxy_cache z; proxy_cache_valid 200 1s; }
		location /dead/ { proxy_pass http://127.0.0.1:18089/; }
		location /status { stub_status; }
	}
	server { listen 18081; root $d/www; }
}
END
u=http://127.0.0.1:18080
get() { curl -sfg -m 20 -o got.body "$@"; }
answers() { [ "$(curl -sg -m 20 -o got.body -w '%{http_code}' "$@")" = $code ]; }
purged() { [ -z "$(find cache -type f)" ]; }
bin/nginx -c $d/conf/nginx.conf & pid=$!
check start within get $u/
check page get $u/
check 'version 6' get 'http://[::1]:18080/'
check head get -I $u/large
check range get -r 100-199 $u/large
check ranges get -r 0-9,20-29 $u/large
check large get $u/large
check compressed get --compressed $u/list/one
check listing get $u/list/
code=404; check 'error page' answers $u/nothing
code=304; check unchanged answers -z 'Thu, 01 Jan 2037 00:00:00 GMT' $u/
check proxied get $u/proxied/
check 'proxied, large' get $u/proxied/large
check cached get $u/proxied/
code=502; check 'no such server' answers $u/dead/
code=405; check body answers -T www/large $u/proxied/index.html
code=405; check method answers -X DELETE $u/
check status get $u/status
check load wrk -t 1 -c 8 -d 2s $u/
mv logs/access.log logs/access.1; kill -USR1 $pid
check 'logs reopened' within test -e logs/access.log
check 'cache purged' within purged
sed -i 's/listen 18081/listen 18082; listen 18081/' conf/nginx.conf; kill -HUP $pid
check reload within get http://127.0.0.1:18082/
check configuration bin/nginx -t -c $d/conf/nginx.conf
check 'reload by a command' bin/nginx -s reload -c $d/conf/nginx.conf
check 'page after that' within get $u/
check 'graceful end' ends $pid QUIT
`, leaves: "TLS, and another upgrade of the program while it runs"},
		{name: "dnsmasq", once: "dnsmasq -k -p 15353", args: []string{"-k"}, pkg: "dnsmasq-base", own: true, place: "bin/dnsmasq", count: tap,
			prepare: ":",
			suite: work + `
w=$(mktemp -d); trap 'rm -rf "$w"' EXIT; chmod 777 $w # for another user
echo 192.0.2.1 one.test >$w/hosts; : >$w/log; chmod 666 $w/log; echo 'nameserver 127.0.0.1' >$w/resolv
cat >$w/conf <<END
port=15353
listen-address=127.0.0.1
bind-interfaces
resolv-file=$w/resolv
addn-hosts=$w/hosts
log-facility=$w/log
log-queries
pid-file=$w/pid
local=/test/
host-record=two.test,192.0.2.2,2001:db8::2
cname=alias.test,two.test
mx-host=test,two.test,10
srv-host=_sip._udp.test,two.test,5060
txt-record=test,words
server=/up.example/127.0.0.1#15354
server=/dead.test/127.0.0.1#15355
END
ask() { dig +time=5 +tries=1 -p 15353 @127.0.0.1 "$@"; }
gives() { ask +short "$@" | grep -q "$want"; }
unanswered() { ! dig +time=1 +tries=1 -p 15353 @127.0.0.1 "$@"; }
says() { ask "$@" | grep -q "status: $want"; }
bin/dnsmasq -k -C /dev/null -p 15354 --listen-address=127.0.0.1 --bind-interfaces --no-resolv --pid-file= --host-record=a.up.example,192.0.2.9 & up=$!
bin/dnsmasq -k -C $w/conf & pid=$!
want=192.0.2.1; check start within gives one.test
check 'A over TCP' gives +tcp one.test
want=2001:db8::2; check AAAA gives two.test AAAA
want=192.0.2.2; check CNAME gives alias.test
want=two.test; check MX gives test MX
want=5060; check SRV gives _sip._udp.test SRV
want=words; check TXT gives test TXT
want=two.test; check PTR gives -x 192.0.2.2
want=dnsmasq; check CHAOS gives version.bind TXT CH
want=NXDOMAIN; check 'no such name' says none.test
want=192.0.2.9; check forwarded gives a.up.example
check 'forwarded over TCP' gives +tcp a.up.example
check cached gives a.up.example
check EDNS gives +dnssec +bufsize=4096 a.up.example
check 'server that is gone' unanswered x.dead.test
check 'many at once' sh -c 'for i in $(seq 40); do dig +time=5 -p 15353 @127.0.0.1 n$i.up.example >/dev/null & done; wait'
echo 192.0.2.3 three.test >>$w/hosts; kill -HUP $pid
want=192.0.2.3; check 'hosts read again' within gives three.test
kill -USR1 $pid
check statistics within grep -q 'queries forwarded' $w/log
mv $w/log $w/log.1; kill -USR2 $pid; ask one.test >/dev/null
check 'log reopened' within test -e $w/log
check 'configuration' bin/dnsmasq --test -C $w/conf
check end ends $pid TERM
kill $up; wait $up || :
`, leaves: "DHCP, TFTP"},
		{name: "unbound", once: "unbound -d", args: []string{"-d"}, pkg: "unbound", own: true, place: "bin/unbound", count: tap,
			// As the script does it that Debian starts it by.
			prepare: `[ -e /var/lib/unbound/root.key ] || install -o unbound -g unbound -m 644 /usr/share/dns/root.key /var/lib/unbound/root.key`,
			suite: work + `
w=$(mktemp -d); trap 'rm -rf "$w"' EXIT; chmod 755 $w; : >$w/log; chmod 666 $w/log
cat >$w/conf <<END
server:
	interface: 127.0.0.1
	port: 15363
	directory: "$w"
	chroot: ""
	pidfile: ""
	logfile: "$w/log"
	verbosity: 1
	do-daemonize: no
	do-not-query-localhost: no
	local-zone: "test." static
	local-data: "one.test. A 192.0.2.1"
	local-data: "one.test. AAAA 2001:db8::1"
	local-data: "test. TXT words"
	local-data-ptr: "192.0.2.1 one.test"
	domain-insecure: "up.example"
	num-threads: 2
remote-control:
	control-enable: yes
	control-interface: $w/ctl
forward-zone:
	name: "up.example"
	forward-addr: 127.0.0.1@15364
END
ask() { dig +time=5 +tries=1 -p 15363 @127.0.0.1 "$@"; }
gives() { ask +short "$@" | grep -q "$want"; }
says() { ask "$@" | grep -q "status: $want"; }
control() { unbound-control -c $w/conf "$@"; }
dnsmasq -k -C /dev/null -p 15364 --listen-address=127.0.0.1 --bind-interfaces --no-resolv --pid-file= --host-record=a.up.example,192.0.2.9 & up=$!
bin/unbound -d -c $w/conf & pid=$!
want=192.0.2.1; check start within gives one.test
check 'A over TCP' gives +tcp one.test
want=2001:db8::1; check AAAA gives one.test AAAA
want=words; check TXT gives test TXT
want=one.test; check PTR gives -x 192.0.2.1
want=NXDOMAIN; check 'no such name' says none.test
want=192.0.2.9; check forwarded gives a.up.example
check cached gives a.up.example
check 'forwarded over TCP' gives +tcp b.up.example A a.up.example A
check 'many at once' sh -c 'for i in $(seq 40); do dig +time=5 -p 15363 @127.0.0.1 n$i.up.example >/dev/null & done; wait'
check statistics control stats_noreset
check 'data added' control local_data two.test. A 192.0.2.2
want=192.0.2.2; check 'added data' gives two.test
check flush control flush_zone up.example
sed -i 's/192.0.2.1"/192.0.2.3"/' $w/conf; kill -HUP $pid
want=192.0.2.3; check reload within gives one.test
check 'end' ends $pid TERM
kill $up; wait $up || :
`, leaves: "questions to the name servers of the world"},
		{name: "sshd", once: "sshd -D", args: []string{"-D"}, pkg: "openssh-server", own: true, place: "bin/sshd", count: tap,
			prepare: `
mkdir -p /run/sshd # as its unit does
for k in key host key.other; do ssh-keygen -q -t ed25519 -N '' -f $k; done
cat >conf <<END
Port 10022
ListenAddress 127.0.0.1
HostKey $PWD/host
PidFile $PWD/pid
AuthorizedKeysFile $PWD/key.pub
StrictModes no
UsePAM yes
Subsystem sftp /usr/lib/openssh/sftp-server
END
`,
			// Nobody can log in to a service in the cage.
			workload: `cd DIR
/usr/sbin/sshd -D -f "$PWD/conf" & pid=$!
o="-F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes -o LogLevel=ERROR -o ConnectionAttempts=20"
ssh $o -p 10022 -i key root@127.0.0.1 true && echo ls | sftp $o -P 10022 -i key -b - root@127.0.0.1
while pgrep -P $pid >/dev/null; do sleep 0.1; done # what serves a connection ends after its client
kill $pid; wait $pid || :`,
			suite: work + `
head -c 5000000 /dev/zero >large
o="-F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes -o LogLevel=ERROR"
to() { timeout 30 ssh $o -p 10022 -i key root@127.0.0.1 "$@" </dev/null; }
refused() { ! timeout 30 ssh $o -p 10022 "$@" true; }
fails() { ended=0; to 'exit 7' || ended=$?; [ $ended = 7 ]; }
copied() { to cat $d/large | cmp - large; }
taken() { timeout 30 ssh $o -p 10022 -i key root@127.0.0.1 wc -c <large | grep -q 5000000; }
files() { printf 'mkdir dir\nput large dir/a\nrename dir/a dir/b\nchmod 600 dir/b\nls -l dir\nsymlink b dir/c\nget dir/b got.b\nrm dir/b\nrm dir/c\nrmdir dir\n' | timeout 30 sftp $o -P 10022 -i key -b - root@127.0.0.1:$d; }
scped() { timeout 30 scp -q $o -P 10022 -i key large root@127.0.0.1:$d/large.copy && cmp large large.copy; }
forwarded() {
	timeout 30 ssh $o -p 10022 -i key -N -L 10023:127.0.0.1:10022 root@127.0.0.1 & via=$!
	within ssh $o -p 10023 -i key root@127.0.0.1 true && kill $via
}
# Not by a name that sshd could not execute itself by again.
bash -c 'exec -a /usr/sbin/sshd bin/sshd -D -e -f '$d'/conf' 2>log & pid=$!
check start within to true
check command to echo hello
check 'failed command' fails
check environment to 'echo $HOME $SSH_CONNECTION'
check terminal to -tt 'stty size; tty'
check 'much out' copied
check 'much in' taken
check sftp files
check scp scped
check forwarding forwarded
check 'another key' refused -i key.other root@127.0.0.1
check 'nobody of that name' refused -i key nosuchuser@127.0.0.1
kill -HUP $pid
check 'started anew' within to true
check end ends $pid TERM
`, leaves: "passwords, X11, agents, jails, and other users than root"},
		{name: "lighttpd", once: "lighttpd -D -f /etc/lighttpd/lighttpd.conf", args: []string{"-D", "-f", "/etc/lighttpd/lighttpd.conf"}, pkg: "lighttpd", own: true, place: "bin/lighttpd", count: tap,
			prepare: ":",
			suite: work + files + `
make_files; rm -rf logs state; mkdir -p logs state; chmod 777 logs state
echo "user:word" >users
cat >up.conf <<END
server.document-root = "$d/www"
server.port = 18091
server.bind = "127.0.0.1"
index-file.names = ( "index.html" )
END
cat >conf <<END
server.modules = ( "mod_access", "mod_alias", "mod_redirect", "mod_auth", "mod_authn_file", "mod_accesslog", "mod_proxy", "mod_cgi", "mod_status", "mod_setenv", "mod_rewrite", "mod_deflate" )
server.document-root = "$d/www"
server.port = 18090
server.bind = "127.0.0.1"
server.errorlog = "$d/logs/error.log"
accesslog.filename = "$d/logs/access.log"
server.pid-file = "$d/logs/pid"
server.upload-dirs = ( "$d/state" )
index-file.names = ( "index.html" )
deflate.cache-dir = "$d/state"
deflate.mimetypes = ( "text/" )
deflate.allowed-encodings = ( "gzip" )
mimetype.assign = ( ".html" => "text/html" )
status.status-url = "/status"
url.redirect = ( "^/old" => "/" )
\$HTTP["url"] =~ "^/list/" { dir-listing.activate = "enable" }
\$HTTP["url"] =~ "^/proxied/" { proxy.server = ( "" => ( ( "host" => "127.0.0.1", "port" => 18091 ) ) ) proxy.header = ( "map-urlpath" => ( "/proxied/" => "/" ) ) }
\$HTTP["url"] =~ "^/dead/" { proxy.server = ( "" => ( ( "host" => "127.0.0.1", "port" => 18099 ) ) ) }
\$HTTP["url"] =~ "^/cgi/" { cgi.assign = ( ".sh" => "/bin/sh" ) }
auth.backend = "plain"
auth.backend.plain.userfile = "$d/users"
auth.require = ( "/secret/" => ( "method" => "basic", "realm" => "r", "require" => "valid-user" ) )
END
mkdir -p www/cgi www/secret; echo secret >www/secret/index.html
printf '#!/bin/sh\necho "Content-Type: text/plain"; echo; cat\n' >www/cgi/a.sh; chmod +x www/cgi/a.sh
/usr/sbin/lighttpd -D -f up.conf & up=$!
bin/lighttpd -D -f $d/conf & pid=$!
u=http://127.0.0.1:18090
check start within get $u/
ask_files; ask_web
code=503; check 'no such server' answers $u/dead/
code=301; check redirected answers $u/old
code=401; check 'nobody' answers $u/secret/
check 'with a password' get -u user:word $u/secret/
check cgi get --data-binary @www/large $u/cgi/a.sh
check status get $u/status
check load wrk -t 1 -c 8 -d 2s $u/
mv logs/access.log logs/access.1; kill -HUP $pid; get $u/
check 'logs reopened' within test -e logs/access.log
kill -USR1 $pid
check 'started anew' within get $u/
check configuration bin/lighttpd -tt -f $d/conf
check 'end' ends $pid INT
kill $up; wait $up || :
`, leaves: "TLS, FastCGI, WebSockets"},
		{name: "apache2ctl", once: "apache2ctl -DFOREGROUND", args: []string{"-DFOREGROUND"}, pkg: "apache2-bin", own: true, place: "bin/apache2ctl", count: tap,
			prepare: ":",
			suite: work + files + `
make_files; rm -rf logs run; mkdir -p logs run cache; chmod 777 logs run cache
m=/usr/lib/apache2/modules
cat >conf <<END
ServerRoot $d
ServerName localhost
PidFile $d/run/pid
DefaultRuntimeDir $d/run
Listen 127.0.0.1:18095
Listen 127.0.0.1:18096
ErrorLog $d/logs/error.log
User www-data
Group www-data
$(for n in mpm_event authz_core authz_host dir autoindex alias mime proxy proxy_http status deflate cache cache_disk cgid rewrite; do echo "LoadModule ${n}_module $m/mod_$n.so"; done)
TypesConfig /etc/mime.types
DocumentRoot $d/www
DirectoryIndex index.html
LogFormat "%h %r %>s" common
CustomLog $d/logs/access.log common
ErrorDocument 404 /gone.html
ScriptSock $d/run/cgi
ScriptAlias /cgi/ $d/www/cgi/
<Directory $d/www>
Options +Indexes
Require all granted
</Directory>
CacheRoot $d/cache
CacheEnable disk /proxied/
ProxyPass /proxied/ http://127.0.0.1:18096/
ProxyPass /dead/ http://127.0.0.1:18099/
SetOutputFilter DEFLATE
<Location /status>
SetHandler server-status
</Location>
END
mkdir -p www/cgi; echo gone >www/gone.html
printf '#!/bin/sh\necho "Content-Type: text/plain"; echo; cat\n' >www/cgi/a.sh; chmod +x www/cgi/a.sh
bin/apache2ctl -DFOREGROUND -f $d/conf &
u=http://127.0.0.1:18095
check start within get $u/; pid=$(cat run/pid)
ask_files; ask_web
check cached get $u/proxied/
code=503; check 'no such server' answers $u/dead/
check cgi get --data-binary @www/large $u/cgi/a.sh
check status get $u/status
check load wrk -t 1 -c 8 -d 2s $u/
mv logs/access.log logs/access.1; kill -USR1 $pid; within get $u/
check 'logs reopened' within test -e logs/access.log
kill -HUP $pid
check reload within get $u/
check configuration bin/apache2ctl -t -f $d/conf
check 'graceful end' ends $pid WINCH
`, leaves: "TLS, version 2, other ways to serve than by events and threads"},
		{name: "python3", once: "python3 -m http.server", args: []string{"-m", "http.server"}, pkg: "python3-minimal", own: true, place: "bin/python3", count: tap,
			prepare: ":",
			suite: work + files + `
make_files
bin/python3 -m http.server --bind 127.0.0.1 --directory $d/www 18097 & pid=$!
u=http://127.0.0.1:18097
check start within get $u/
ask_files
check listing get $u/list/
code=501; check method answers -X PUT $u/
check load ab -q -n 200 -c 4 $u/
check 'end' ends $pid INT
kill -KILL $pid || : # a shell leaves who it starts in the background without that signal
`, leaves: "scripts that it runs"},
		{name: "webserver", target: "github.com/tjfuzz/tjfuzz/benchmarks/targets/webserver", once: "webserver -root .", place: "bin/webserver", count: tap, own: true,
			prepare: ":",
			suite: work + files + `
make_files; rm -f notes.json
bin/webserver -listen 127.0.0.1:18098 -root $d/www -data $d/notes.json -upstream http://127.0.0.1:18094 & pid=$!
bin/webserver -listen 127.0.0.1:18094 -root $d/www -data $d/more.json & up=$!
u=http://127.0.0.1:18098
check start within get $u/
check 'second start' within get http://127.0.0.1:18094/
ask_files
check range get -r 100-199 $u/large
check listing get $u/list/
check 'note kept' get -X PUT -d '"text"' $u/notes/a
check notes get $u/notes
check 'note removed' get -X DELETE $u/notes/a
check upload get -F file=@www/large $u/upload
code=400; check 'no upload' answers -d x $u/upload
check proxied get $u/proxy/large
check page get $u/page
check program get $u/uname
check load wrk -t 1 -c 8 -d 2s $u/
kill -HUP $pid; check reload within get $u/notes
kill $up; wait $up || :
code=502; check 'no such server' answers $u/proxy/
check 'graceful end' ends $pid TERM
`, leaves: "TLS, version 2"},
	}
}

// files is how servers of files are asked for them: u is the URL, large a file of 3 MB, list a directory with more.
const files = `
get() { curl -sfg -m 20 -o got.body "$@"; }
answers() { [ "$(curl -sg -m 20 -o got.body -w '%{http_code}' "$@")" = $code ]; }
same() { get $u/large && cmp -s got.body www/large; }
crowd() { seq 30 | xargs -P 30 -I{} curl -sf -m 20 -o /dev/null $u/; }
hangup() { curl -s -m 20 --limit-rate 1000 -o /dev/null $u/large & sleep 0.2; kill $!; wait $! || :; get $u/; }
make_files() { rm -rf www; mkdir -p www/list; echo page >www/index.html; echo one >www/list/one; head -c 3000000 /dev/urandom >www/large; : >www/empty; }
ask_files() {
	check page get $u/
	check head get -I $u/large
	check large same
	check empty get $u/empty
	code=404; check 'no such file' answers $u/nothing
	code=304; check unchanged answers -z 'Thu, 01 Jan 2037 00:00:00 GMT' $u/
	check 'on one connection' get $u/ $u/list/one
	check 'many at once' crowd
	check 'hang up' hangup
	check 'version 1.0' get -0 $u/
}
ask_web() {
	check range get -r 100-199 $u/large
	check compressed get --compressed $u/
	check listing get $u/list/
	check proxied get $u/proxied/
	check 'proxied, large' get $u/proxied/large
}
`
