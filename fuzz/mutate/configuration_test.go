package mutate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

const (
	nginxStyle = `user www-data;
events { worker_connections 768; }
http {
	sendfile on;
	# multi_accept on;
	log_format main '$remote; {}';
	server {
		listen 80;
		#error_page 404 /404.html;
	}
	#server {
	#	listen 8000;
	#	location / { }
	#}
	include /etc/nginx/conf.d/*.conf;
}
`
	redisStyle = `# Redis reads this file when it starts. It is
# read once.
port 6379
# save 3600 1

appendonly no
logfile ""
`
	sshdStyle = "#Port 22\nPermitRootLogin no\nMatch User a\n\tX11Forwarding no\nSubsystem sftp /usr/lib/sftp-server\n"
	iniStyle  = "; about it\n[server]\nport = 80\n;debug = 1\n[client]\nname = a b\n"
	yamlStyle = "log:\n  level: info\n  # file: a.log\nlisten:\n  - 0.0.0.0\n  - name: x\n"
	jsonStyle = `{"a": true, "b": [1, "x"], "c": {"d": "/tmp/x"}}`
	tagStyle  = "<Directory /var>\n\tRequire all granted\n</Directory>\n<port>80</port>\n"
)

var styles = map[string]string{"statements": nginxStyle, "words": redisStyle, "sshd": sshdStyle, "ini": iniStyle, "yaml": yamlStyle, "json": jsonStyle, "tags": tagStyle}

func TestDirectivesOfEachStyleAreChangedOneByOne(t *testing.T) {
	cases := []struct{ style, what, from, to string }{
		{nginxStyle, "a switch is thrown", "sendfile on;", "sendfile off;"},
		{nginxStyle, "a comment is turned on", "# multi_accept on;", "multi_accept on;"},
		{nginxStyle, "a block in comments is turned on", "\t#server {\n\t#	listen 8000;\n\t#	location / { }\n\t#}\n", "\tserver {\n\tlisten 8000;\n\tlocation / { }\n\t}\n"},
		{nginxStyle, "a block is dropped with what is in it", "\tserver {\n\t\tlisten 80;\n\t\t#error_page 404 /404.html;\n\t}\n", ""},
		{nginxStyle, "a directive in a line with its block is dropped", "worker_connections 768;", ""},
		{nginxStyle, "a number grows", "listen 80;", "listen 800;"},
		{nginxStyle, "a directive is repeated", "\tsendfile on;\n", "\tsendfile on;\n\tsendfile on;\n"},
		{redisStyle, "a switch is thrown", "appendonly no", "appendonly yes"},
		{redisStyle, "a comment is turned on", "# save 3600 1", "save 3600 1"},
		{redisStyle, "a line is dropped", "port 6379\n", ""},
		{redisStyle, "what is in quotes stays there", `logfile ""`, `logfile "unknown"`},
		{sshdStyle, "a comment without a blank is turned on", "#Port 22", "Port 22"},
		{sshdStyle, "what is indented goes with its head", "Match User a\n\tX11Forwarding no\n", ""},
		{sshdStyle, "one word of several is changed", "Subsystem sftp /usr/lib/sftp-server", "Subsystem sftp /nowhere/at/all"},
		{iniStyle, "a comment is turned on", ";debug = 1", "debug = 1"},
		{iniStyle, "a number in a comment grows", ";debug = 1", "debug = 10"},
		{sshdStyle, "a number in a comment grows", "#Port 22", "Port 220"},
		{iniStyle, "a section is dropped with what is in it", "[server]\nport = 80\n;debug = 1\n", ""},
		{iniStyle, "a value is emptied", "port = 80", "port = "},
		{yamlStyle, "a comment is turned on", "# file: a.log", "file: a.log"},
		{yamlStyle, "a mapping is dropped", "log:\n  level: info\n  # file: a.log\n", ""},
		{yamlStyle, "an element is dropped", "  - 0.0.0.0\n", ""},
		{jsonStyle, "a switch is thrown", "true", "false"},
		{jsonStyle, "the first member is dropped with its comma", `"a": true, `, " "},
		{jsonStyle, "the last member is dropped with the comma before it", `, "c": {"d": "/tmp/x"}`, ""},
		{jsonStyle, "an object is emptied", `{"d": "/tmp/x"}`, "{}"},
		{jsonStyle, "a path leads nowhere", `"/tmp/x"`, `"/nowhere/at/all"`},
		{tagStyle, "a block in tags is dropped", "<Directory /var>\n\tRequire all granted\n</Directory>\n", ""},
		{tagStyle, "a value in tags is changed", "<port>80<", "<port>0<"},
	}
	for _, c := range cases {
		if strings.Count(c.style, c.from) != 1 {
			t.Fatalf("%s: %q is there %d times", c.what, c.from, strings.Count(c.style, c.from))
		}
		want := strings.Replace(c.style, c.from, c.to, 1)
		if !slices.ContainsFunc(Configurations([]byte(c.style), nil, 1<<10), func(got []byte) bool { return string(got) == want }) {
			t.Errorf("%s: nothing becomes %q of %q in\n%s", c.what, c.to, c.from, c.style)
		}
	}
}

func TestProseIsNotTurnedOn(t *testing.T) {
	for _, got := range Configurations([]byte(redisStyle), nil, 1<<10) {
		if bytes.Contains(got, []byte("\nread once")) || bytes.HasPrefix(got, []byte("Redis reads")) {
			t.Errorf("prose became a directive:\n%s", got)
		}
	}
}

func TestLongConfigurationsAreChangedWithoutTheirProse(t *testing.T) {
	long := redisStyle + strings.Repeat("# This says at length what nobody asked about, and why.\n", 1<<10)
	for _, got := range Configurations([]byte(long), nil, 1<<10) {
		if len(got) > 2*len(redisStyle) {
			t.Fatalf("%d bytes of %d are left", len(got), len(long))
		}
	}
}

func TestAConfigurationIncludesFilesInItsOwnWay(t *testing.T) {
	for style, want := range map[string]string{
		nginxStyle: "include a.conf;\n", redisStyle: "include a.conf\n", "[x]\n!include b\n": "!include a.conf\n",
	} {
		all := Configurations([]byte(style), []string{"a.conf"}, 1<<10)
		if last := all[len(all)-1]; string(last) != style+want {
			t.Errorf("want %q at the end of\n%s", want, last)
		}
	}
	for _, c := range Configurations([]byte(jsonStyle), []string{"a.conf"}, 1<<10) {
		if bytes.Contains(c, []byte("a.conf")) {
			t.Errorf("JSON includes nothing: %s", c)
		}
	}
}

func TestChangedDirectivesOfJSONLeaveJSON(t *testing.T) {
	all := Configurations([]byte(jsonStyle), nil, 1<<10)
	good := 0
	for _, c := range all {
		if json.Valid(c) {
			good++
		}
	}
	// Numbers are also set to what is none.
	if len(all) < 20 || good*5 < len(all)*4 {
		t.Errorf("%d of %d are JSON", good, len(all))
	}
}

func TestManyThatAreTurnedOffAreTurnedOnWithTheirNeighboursFirst(t *testing.T) {
	var all, some strings.Builder
	for i := range 40 { // too few for 32 at a time
		fmt.Fprintf(&all, "# setting-%d: on\n", i)
		if i < 8 {
			fmt.Fprintf(&some, "setting-%d: off\n", i)
		}
	}
	got := Configurations([]byte("server:\n"+all.String()), nil, 1<<10)
	if !bytes.HasPrefix(got[0], []byte("server:\n"+some.String()+"# ")) {
		t.Errorf("got\n%s", got[0])
	}
}

func TestAFileIsIncludedInQuotesWhereOthersAre(t *testing.T) {
	const own = "server.port = 80\ninclude \"conf-enabled/*.conf\"\n"
	got := Including([]byte(own), []string{"/etc/p/conf-available/a.conf"})
	if want := own + "include \"/etc/p/conf-available/a.conf\"\n"; len(got) != 1 || string(got[0]) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWhatAConfigurationIncludesIsKnown(t *testing.T) {
	for style, want := range map[string][]string{
		"a b;\nhttp {\n\tinclude mime.types;\n\tinclude /etc/p/sites/*;\n\t# include off;\n}\n": {"mime.types", "/etc/p/sites/*"},
		"include-toplevel: \"/etc/p/p.d/*.conf\"\n":                                             {"/etc/p/p.d/*.conf"},
		"IncludeOptional a/*.load b.conf\nPort 1\nIncludes none\n":                              {"a/*.load", "b.conf"},
		"conf-dir=/etc/p.d\nport=1\n":                                                           {"/etc/p.d"},
		"included yes\nport 1\n":                                                                nil,
	} {
		if got := Included([]byte(style)); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", style, got, want)
		}
	}
}

func TestConfigurationsAreDistinctAndAsManyAsAskedFor(t *testing.T) {
	for name, style := range styles {
		all := Configurations([]byte(style), []string{"x"}, 1<<10)
		seen := map[string]bool{style: true}
		for _, c := range all {
			if seen[string(c)] {
				t.Errorf("%s: twice, or unchanged:\n%s", name, c)
			}
			seen[string(c)] = true
		}
		if got := len(Configurations([]byte(style), []string{"x"}, 5)); got != 5 {
			t.Errorf("%s: %d, want 5", name, got)
		}
	}
	if all := Configurations(nil, nil, 10); len(all) > 0 {
		t.Errorf("of nothing: %q", all)
	}
}

// Whatever a file holds: nothing that was passed in is written to, and the size holds.
func FuzzConfiguration(f *testing.F) {
	for _, style := range styles {
		f.Add([]byte(style), []byte(redisStyle), uint64(1))
	}
	f.Add([]byte(`{"a`), []byte(`{"a": [`), uint64(2))
	f.Add([]byte("a {\n#b {\n/*"), []byte("<a\n-\n["), uint64(3))
	f.Add([]byte("<a</"), []byte(`{"a": 1,, "b": 2}`), uint64(4))
	f.Fuzz(func(t *testing.T, data, other []byte, seed uint64) {
		was := bytes.Clone(data)
		all := Configurations(data, []string{"a"}, 64)
		if len(all) > 64 {
			t.Errorf("%d of 64", len(all))
		}
		r := rand.New(rand.NewPCG(seed, 1))
		limit := max(len(data), 256)
		got := Configuration(r, data, ByteOptions{Other: other, Dictionary: Dictionary{[]byte("token")}, Max: limit}, []string{"a"})
		if len(got) > limit {
			t.Errorf("%d bytes, at most %d", len(got), limit)
		}
		if !bytes.Equal(data, was) {
			t.Error("the input was written to")
		}
	})
}
