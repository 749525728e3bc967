package image

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

func TestCheckRunnableSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	program := string(read(t, testenv.Compile(t, source(t, "program.c", "int main(void) { return 0; }\n"))))
	machine := func(m elf.Machine) string {
		b := []byte(program)
		binary.LittleEndian.PutUint16(b[18:], uint16(m))
		return string(b)
	}
	for name, text := range map[string]string{
		"good":          program,
		"good.sh":       "#!/bin/sh\nexit 0\n",
		"empty":         "",
		"text":          "echo hello\n",
		"no-name.sh":    "#!\n",
		"missing.sh":    "#!/nonexistent/python\n",
		"windows.sh":    "#!/bin/sh\r\nexit 0\r\n",
		"dir.sh":        "#!" + dir + "\n",
		"plain.sh":      "#!" + in("plain") + "\n",
		"missing2.sh":   "#!" + in("missing.sh") + "\n",
		"loop.sh":       "#!" + in("loop.sh") + "\n",
		"foreign":       machine(elf.EM_RISCV),
		"headless":      program[:40],
		"half":          program[:len(program)/2],
		"no-ld":         strings.ReplaceAll(program, "/ld-linux", "/no-linux"),
		"object":        string(read(t, testenv.Compile(t, source(t, "object.c", "int x;\n"), "-c"))),
		"library":       string(read(t, testenv.Compile(t, source(t, "library.c", "int x;\n"), "-shared"))),
		"headers":       program[:54] + "\x39" + program[55:],
		"script-loader": "#!/bin/sh\n",
	} {
		write(t, in(name), text, 0o755)
	}
	write(t, in("plain"), "#!/bin/sh\n", 0o644)
	script := in("script-loader")
	elfByScript := testenv.Compile(t, source(t, "loaded.c", "int main(void) { return 0; }\n"), "-Wl,--dynamic-linker,"+script)
	if out, err := exec.Command("mkfifo", "-m", "755", in("pipe")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.Symlink("/nonexistent", in("dangling")); err != nil {
		t.Fatal(err)
	}

	cases := []struct {
		path        string
		reason      string // "" if it runs
		interpreter string
		is          error
	}{
		{path: in("good")},
		{path: in("good.sh")},
		{path: in("nothing"), reason: "does not exist", is: fs.ErrNotExist},
		{path: in("dangling"), reason: "does not exist", is: fs.ErrNotExist},
		{path: in("good") + "/x", reason: "cannot be reached: not a directory"},
		{path: dir, reason: "is a directory"},
		{path: in("pipe"), reason: "is not a regular file"},
		{path: in("plain"), reason: "has no execute permission", is: fs.ErrPermission},
		{path: in("empty"), reason: "is empty"},
		{path: in("text"), reason: "is neither an ELF file nor a script that starts with #!"},
		{path: in("no-name.sh"), reason: "is neither an ELF file nor a script that starts with #!"},
		{path: in("missing.sh"), reason: "its interpreter /nonexistent/python does not exist", interpreter: "/nonexistent/python"},
		{path: in("missing2.sh"), reason: "its interpreter /nonexistent/python does not exist", interpreter: "/nonexistent/python"},
		{path: in("windows.sh"), reason: `its interpreter "/bin/sh\r" does not exist; the line after #! ends in a carriage return`, interpreter: "/bin/sh\r"},
		{path: in("dir.sh"), reason: "its interpreter " + dir + " is a directory", interpreter: dir},
		{path: in("plain.sh"), reason: "its interpreter " + in("plain") + " has no execute permission", interpreter: in("plain")},
		{path: in("loop.sh"), reason: "more than 5 scripts interpret one another"},
		{path: in("foreign"), reason: "is a program for 64-bit RISCV, which this machine cannot run"},
		{path: in("headless"), reason: "is a damaged ELF file: its headers are cut off"},
		{path: in("half"), reason: "is a damaged ELF file: segment "},
		{path: in("headers"), reason: "is a damaged ELF file: "},
		{path: in("no-ld"), reason: "its interpreter /lib", interpreter: "?"},
		{path: in("object"), reason: "is an ELF file, but no program"},
		{path: in("library"), reason: "is a shared library, not a program"},
		{path: elfByScript, reason: "its interpreter " + script + " is not an ELF file for 64-bit ", interpreter: script},
	}
	for _, c := range cases {
		t.Run(filepath.Base(c.path), func(t *testing.T) {
			err := CheckRunnable(c.path)
			if c.reason == "" {
				if err != nil {
					t.Error(err)
				}
			} else {
				var e *NotRunnableError
				if !errors.As(err, &e) {
					t.Fatalf("got %v, want a NotRunnableError", err)
				}
				if e.Path != c.path || !strings.HasPrefix(e.Reason, c.reason) {
					t.Errorf("got %q, want %q", e, c.path+": "+c.reason)
				}
				if e.Interpreter != c.interpreter && c.interpreter != "?" || (e.Interpreter == "") != (c.interpreter == "") {
					t.Errorf("interpreter at fault = %q, want %q", e.Interpreter, c.interpreter)
				}
				for _, state := range []error{fs.ErrNotExist, fs.ErrPermission} {
					if errors.Is(err, state) != (c.is == state) {
						t.Errorf("errors.Is(%v, %v) = %t", err, state, c.is != state)
					}
				}
			}
			if ran := exec.Command(c.path).Run(); (ran == nil) != (c.reason == "") {
				t.Errorf("the kernel says %v, CheckRunnable %v", ran, err)
			}
		})
	}
}

func TestScriptsInterpretOneAnotherAsDeepAsTheKernelGoes(t *testing.T) {
	dir := t.TempDir()
	interpreter := testenv.Program(t, "true")
	for i := 1; i <= maxScripts+1; i++ {
		script := write(t, filepath.Join(dir, fmt.Sprint(i)), "#!"+interpreter+"\n", 0o755)
		err := CheckRunnable(script)
		if ran := exec.Command(script).Run(); (ran == nil) != (err == nil) || (err == nil) != (i <= maxScripts) {
			t.Errorf("%d scripts: the kernel says %v, CheckRunnable %v", i, ran, err)
		}
		interpreter = script
	}
}

func TestEveryInstalledProgramIsRunnable(t *testing.T) {
	entries, err := os.ReadDir("/usr/bin")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, e := range entries {
		path := filepath.Join("/usr/bin", e.Name())
		if fi, err := os.Stat(path); err != nil || !fi.Mode().IsRegular() || fi.Mode()&0o001 == 0 {
			continue
		}
		checked++
		if err := CheckRunnable(path); err != nil {
			t.Error(err)
		}
	}
	if checked < 20 {
		t.Errorf("only %d programs found", checked)
	}
}
