package foreign

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

func TestRecordedProfilesAreRead(t *testing.T) {
	for name, want := range map[string]string{
		"oci-hook.json": "x86_64:access x86_64:arch_prctl x86_64:brk x86_64:close x86_64:execve x86_64:exit_group x86_64:fstat " +
			"x86_64:mmap x86_64:mprotect x86_64:munmap x86_64:openat x86_64:prctl x86_64:read x86_64:write",
		"gadget.json": "x86_64:accept4 x86_64:execve x86_64:futex_requeue x86_64:futex_wait x86_64:read",
		"spo.yaml":    "x86_64:accept4 x86_64:execve x86_64:read",
	} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if got := Detect(data); got != Profile {
			t.Errorf("%s: detected %d", name, got)
		}
		rec, err := ReadProfile(amd64, strings.NewReader(string(data)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := strings.Join(summary(rec), " "); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, want)
		}
		if rec.Trace.Runs != 1 || rec.Trace.CleanRuns != 1 || rec.Trace.Arch != sysno.AMD64 || rec.Argv != nil {
			t.Errorf("%s: got %+v", name, rec.Trace)
		}
		for _, o := range rec.Trace.Observations {
			if o.Phases != trace.PhaseUnknown || !cmp.Equal(o.Returns, trace.Returns{}) || o.Args != nil || o.Sites != nil {
				t.Errorf("%s: %v is known better than a profile can say: %+v", name, o.ID, o)
			}
		}
	}
}

// allow is a profile of one rule.
func allow(archs, names string) string {
	return `{"defaultAction": "SCMP_ACT_ERRNO", "architectures": [` + archs + `], "syscalls": [{"names": [` + names + `], "action": "SCMP_ACT_ALLOW"}]}`
}

func TestANameBelongsToTheFirstABIThatHasIt(t *testing.T) {
	const x86 = `"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"`
	for _, c := range []struct {
		name, profile, want string
		o                   Options
	}{
		{"the machine's own", allow(x86, `"read"`), "x86_64:read", amd64},
		{"another that is listed", allow(x86, `"read", "socketcall"`), "i386:socketcall x86_64:read", amd64},
		{"without a list", allow("", `"read"`), "x86_64:read", amd64},
		{"the only one that is listed", allow(`"SCMP_ARCH_AARCH64"`, `"read"`), "aarch64:read", amd64},
		{"the machine's own by name", allow(`"SCMP_ARCH_NATIVE"`, `"read"`), "aarch64:read", Options{Arch: sysno.ARM64}},
		{"the machine's own among others", allow(`"SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"`, `"read"`), "aarch64:read", Options{Arch: sysno.ARM64}},
		{"beside one without a table", allow(`"SCMP_ARCH_S390X", "SCMP_ARCH_X86_64"`, `"read"`), "x86_64:read", amd64},
		{"a map", `{"defaultAction": "SCMP_ACT_ERRNO", "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
			"syscalls": [{"name": "stat64", "action": "SCMP_ACT_ALLOW"}]}`, "i386:stat64", amd64},
		{"tabs", "{\n\t\"defaultAction\": \"SCMP_ACT_ERRNO\",\n\t\"syscalls\": [{\"names\": [\t\"read\"], \"action\": \"SCMP_ACT_ALLOW\"}]}", "x86_64:read", amd64},
		{"a resource in JSON", `{"kind": "SeccompProfile", "apiVersion": "x/v1", "metadata": {}, "spec": ` + allow(x86, `"read"`) + `}`, "x86_64:read", amd64},
		{"a list of one resource", "apiVersion: v1\nkind: List\nitems:\n- kind: SeccompProfile\n  spec: " + allow(x86, `"read"`), "x86_64:read", amd64},
	} {
		t.Run(c.name, func(t *testing.T) {
			if Detect([]byte(c.profile)) != Profile {
				t.Error("not detected")
			}
			rec, err := ReadProfile(c.o, strings.NewReader(c.profile))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(summary(rec), " "); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestProfilesThatAreNoRecordingAreRefused(t *testing.T) {
	rule := func(rule string) string {
		return "{\"defaultAction\": \"SCMP_ACT_ERRNO\",\n\"syscalls\": [\n" + rule + "]}"
	}
	cases := []struct{ name, profile, message string }{
		{"nothing", "", "EOF"},
		{"another document", "{}", `"defaultAction" is missing; this is no profile`},
		{"no syscalls", `{"defaultAction": "SCMP_ACT_ERRNO"}`, "no syscall is recorded"},
		{"half a file", `{"defaultAction": `, "line 1: unexpected EOF"},
		{"a profile that allows", `{"defaultAction": "SCMP_ACT_ALLOW"}`, "line 1: the profile is no recording: its default action is SCMP_ACT_ALLOW"},
		{"a denial", rule(`{"names": ["read"], "action": "SCMP_ACT_ERRNO"}`), `line 3: the profile is no recording: it has the action "SCMP_ACT_ERRNO"`},
		{"a condition", rule(`{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0}]}`), "line 3: the profile is no recording: it allows a call under a condition"},
		{"an exception", rule(`{"names": ["read"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}}`), "under a condition"},
		{"an unknown name", rule(`{"names": ["read",` + "\n" + `"opnat"], "action": "SCMP_ACT_ALLOW"}`), `line 4: x86_64 has no syscall "opnat"; did you mean "openat"?`},
		{"an empty name", rule(`{"names": [""], "action": "SCMP_ACT_ALLOW"}`), "line 3: an empty name: the recorder met a number that it had no name for"},
		{"a number that is none", rule(`{"names": ["syscall_x"], "action": "SCMP_ACT_ALLOW"}`), `"syscall_x" has no number`},
		{"an unknown member", "{\"defaultAction\": \"SCMP_ACT_ERRNO\",\n\"colour\": 1}", "line 2: field colour not found"},
		{"an unknown ABI", allow(`"SCMP_ARCH_VAX64", "amd64"`, `"read"`), `line 1: "amd64" is no architecture`},
		{"no ABI of ours", allow(`"SCMP_ARCH_S390X"`, `"read"`), "have no tables here"},
		{"two profiles", allow("", `"read"`) + "\n// other\n" + allow("", `"read"`), "line 2: "},
		{"two documents", "kind: SeccompProfile\nspec: {}\n---\nkind: SeccompProfile\n", "line 3: a second document"},
		{"two resources", "kind: List\nitems: [{kind: SeccompProfile}, {kind: SeccompProfile}]", "line 1: a list of 2 resources"},
		{"another resource", "kind: Pod\n", "line 1: a Pod is no SeccompProfile"},
		{"a profile that goes on elsewhere", "kind: SeccompProfile\nspec:\n  defaultAction: SCMP_ACT_ERRNO\n  baseProfileName: runc\n", `line 4: the profile goes on in another, "runc"`},
		{"a list", "[]", "cannot unmarshal"},
		{"an unknown resource member", "kind: SeccompProfile\nspecs: {}\n", "line 2: field specs not found"},
		{"no file's end", strings.Repeat(" ", trace.MaxSize+1), "larger than"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := ReadProfile(amd64, strings.NewReader(c.profile))
			if err == nil || !strings.Contains(err.Error(), c.message) {
				t.Errorf("got error %v, want one with %q", err, c.message)
			}
		})
	}
}

func TestDetect(t *testing.T) {
	for text, want := range map[string]Format{
		"":                                Unknown,
		"hello\n":                         Unknown,
		"{\n  \"version\": 2,\n":          Unknown, // evidence
		"[1]":                             Unknown,
		"kind: Pod\n":                     Unknown,
		"#!/bin/sh\nread(0)\n":            Unknown,
		"read(0) = 0\n":                   StraceProcess,
		"12 12:00:01.5 read(0) = 0\n":     Strace,
		"\n[pid 5] <... read resumed>) =": Strace,
		"strace: Process 5 attached\n":    StraceProcess,
		"// c\n{\"defaultAction\": 1}":    Profile,
		"# c\n---\nkind: SeccompProfile":  Profile,
		"- kind: SeccompProfileList":      Profile,
	} {
		if got := Detect([]byte(text)); got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
}

func FuzzReadProfile(f *testing.F) {
	for _, name := range []string{"oci-hook.json", "gadget.json", "spo.yaml"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Add("kind: List\nitems:\n- &a {kind: SeccompProfile, spec: {}}\n")
	f.Fuzz(func(t *testing.T, text string) {
		Detect([]byte(text))
		rec, err := ReadProfile(amd64, strings.NewReader(text))
		if err != nil {
			return
		}
		if err := trace.Encode(io.Discard, rec.Trace); err != nil {
			t.Error(err)
		}
	})
}
