package mine

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// commanded is a language of commands that ends at the first error, as Tcl's does. It has a file and a directory.
func commanded(script string) ([]byte, error) {
	var out strings.Builder
	files := []string{"file"}
	for i, line := range strings.Split(strings.TrimSuffix(script, "\n"), "\n") {
		say := func(format string, a ...any) ([]byte, error) {
			fmt.Fprintf(&out, "input:%d: "+format+"\n", append([]any{i + 1}, a...)...)
			return []byte(out.String()), nil
		}
		if at := strings.Index(line, "["); at >= 0 {
			line = line[:at] + "handle"
			if strings.Contains(script, "[zqxj") {
				return say(`invalid command name "zqxj"`)
			}
		}
		words := strings.Fields(line)
		switch {
		case words[0] == "file" && len(words) == 1:
			return say("wrong # args")
		case words[0] == "file" && words[1] == "mkdir" && len(words) == 3:
			if words[2] == "file" {
				return say("it exists")
			}
			files = append(files, words[2])
		case words[0] == "file" && words[1] == "rmdir":
			if len(words) != 3 || words[2] == "file" || !slices.Contains(files, words[2]) {
				return say("no such directory")
			}
		case words[0] == "file":
			return say(`unknown subcommand "%s": must be mkdir, rmdir or size`, words[1])
		case words[0] == "open" && len(words) == 2 && words[1] == "file":
		case words[0] == "open":
			return say("cannot open")
		case words[0] == "seek" && len(words) == 2 && words[1] == "handle":
		case words[0] == "seek":
			return say("no such channel")
		case words[0] == "exit":
			return nil, nil
		default:
			return say(`invalid command name "%s"`, words[0])
		}
	}
	return []byte(out.String()), nil
}

func TestALanguageIsLearnedByAskingIt(t *testing.T) {
	got, err := Language(commanded, []string{"exit", "seek", "nothing", "%s: no", "a b"}, []string{"lseek", "mkdir", "open64"}, "file", "dir", "new")
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(got, "")
	for _, want := range []string{"open file\n", "file mkdir new\n", "file mkdir new\nfile rmdir new\n", "seek [open file]\n"} {
		if !strings.Contains(all, want) {
			t.Errorf("nothing is like %q: %q", want, got)
		}
	}
	for _, not := range []string{"nothing", "exit", "size", nonsense, unknownFunction} {
		if strings.Contains(all, not) {
			t.Errorf("%s is called, which shows nothing: %q", not, got)
		}
	}
	for _, script := range got {
		if a, _ := commanded(script); len(a) > 0 {
			t.Errorf("a script does not go well: %q: %s", script, a)
		}
	}
}

// called is a language of calls that ends at the first complaint.
func called(script string) ([]byte, error) {
	for line := range strings.Lines(script) {
		m := regexp.MustCompile(`^([\w.]+)\((.*)\);\n$`).FindStringSubmatch(line)
		switch {
		case m == nil:
			return []byte("syntax error\n"), nil
		case m[1] == "os":
			return []byte("a table cannot be called: global 'os'\n"), nil
		case m[1] == "os.remove" || m[1] == "print":
		case strings.HasPrefix(m[1], "os."):
			return fmt.Appendf(nil, "there is no such field 'os.%s'\n", m[1][3:]), nil
		default:
			return fmt.Appendf(nil, "there is no global '%s'\n", m[1]), nil
		}
	}
	return nil, nil
}

func TestMembersAreLearnedOfWhatHasThem(t *testing.T) {
	got, err := Language(called, []string{"remove", "print", "none"}, []string{"remove"}, "file", "dir", "new")
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(got, "")
	for _, want := range []string{"os.remove(\"file\");\n", "os.remove();\n", "os.remove(\"file\", \"new\");\n", "print(1);\n"} {
		if !strings.Contains(all, want) {
			t.Errorf("nothing is like %q: %q", want, got)
		}
	}
	if strings.Contains(all, "none") || strings.HasPrefix(all, "remove(") {
		t.Errorf("what is not known is called: %q", got)
	}
}

func TestWhatIsNoLanguageIsNotAskedLong(t *testing.T) {
	for name, program := range map[string]func(string) string{
		"repeats":   func(s string) string { return s },
		"is silent": func(string) string { return "" },
		"takes it for the name of a file": func(s string) string {
			return strings.TrimSpace(s) + ": No such file or directory\n"
		},
		"says always the same": func(string) string { return "1: bad magic number\n" },
		"goes on": func(s string) string {
			var out strings.Builder
			for line := range strings.Lines(s) {
				fmt.Fprintf(&out, "%s: not found\n", strings.Fields(line)[0])
			}
			return out.String()
		},
		"writes each word a line": func(s string) string { return strings.ReplaceAll(s, " ", "\n") },
	} {
		asked := 0
		got, err := Language(func(s string) ([]byte, error) {
			asked++
			return []byte(program(s)), nil
		}, []string{"print", "open"}, nil, "file", "dir", "new")
		if err != nil || len(got) > 0 || asked > 4 {
			t.Errorf("what %s was asked %d times, with %q, %v", name, asked, got, err)
		}
	}
	failed := errors.New("it cannot be run")
	if _, err := Language(func(string) ([]byte, error) { return nil, failed }, nil, nil, "file", "dir", "new"); !errors.Is(err, failed) {
		t.Errorf("got %v, want %v", err, failed)
	}
}

// What knows much has each function called, though there are not questions enough for all calls, and what went well is
// put together.
func TestEachFunctionIsCalledBeforeAnyIsTwice(t *testing.T) {
	var words []string
	for i := range maxFunctions {
		words = append(words, "word"+string(rune('a'+i/26))+string(rune('a'+i%26)))
	}
	asked := 0
	got, err := Language(func(script string) ([]byte, error) {
		asked++
		for line := range strings.Lines(script) {
			name, _, ok := strings.Cut(line, "(")
			if !ok {
				return []byte("syntax error\n"), nil
			}
			if owner, member, ok := strings.Cut(name, "."); ok {
				return fmt.Appendf(nil, "%s has no field %s\n", owner, member), nil
			}
			if !slices.Contains(words, name) {
				return fmt.Appendf(nil, "there is no global '%s'\n", name), nil
			}
		}
		return nil, nil
	}, words, nil, "file", "dir", "new")
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(got, "")
	for _, w := range words {
		if !strings.Contains(all, w+"(\"file\");") {
			t.Errorf("%s is not called", w)
		}
	}
	if most := strings.Count(all, "\n")/callsTogether + 1; asked > maxLanguageAsked || len(got) > most {
		t.Errorf("%d questions, %d scripts, want at most %d and %d", asked, len(got), maxLanguageAsked, most)
	}
}

// A line may be as long as a program's output may be, and repeat the word: the time is not that of its square.
func TestAComplaintIsFoundInALongLine(t *testing.T) {
	long := strings.Repeat(unknownFunction+"_", 1<<20/5)
	if c, _, ok := about([]byte(long), unknownFunction); ok {
		t.Errorf("there is no complaint, got %q", c)
	}
	if c, rest, ok := about([]byte(long+": \""+unknownFunction+"\" is not known"), unknownFunction); !ok || rest != "\" is not known" {
		t.Errorf("got %q, %q, %v, want the complaint at the end", c, rest, ok)
	}
	if _, _, ok := about([]byte("é"+unknownFunction+" is one word"), unknownFunction); ok {
		t.Error("a part of a word with other letters is taken for the word")
	}
}

// When it is not to ask any more, it has what it has: what is not known to go well together is not taken apart.
func TestWhatCannotBeAskedIsLeftTogether(t *testing.T) {
	learn := func(most int) (scripts []string, asked int) {
		scripts, err := Language(func(script string) ([]byte, error) {
			if asked++; asked > most {
				return nil, ErrNoMore
			}
			return called(script)
		}, []string{"remove", "print", "none"}, []string{"remove"}, "file", "dir", "new")
		if err != nil {
			t.Fatal(err)
		}
		return scripts, asked
	}
	want, all := learn(maxLanguageAsked)
	got, asked := learn(all - 1) // the last question is whether all goes well together
	if len(want) != 1 || !slices.Equal(got, want) || asked != all {
		t.Errorf("asked %d times: %q, want %d and %q", asked, got, all, want)
	}
}

// An answer may be anything: there is an end to what is asked, and to what comes of it.
func FuzzLanguage(f *testing.F) {
	f.Add([]byte("zqxj: not found\n"), []byte("unknown subcommand \"zqxj\": must be a, b, or c"))
	f.Add([]byte("zqxj"), []byte(""))
	f.Add([]byte("\xff zqxj 1\n"), []byte("qzvk\n"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		asked := 0
		scripts, err := Language(func(s string) ([]byte, error) {
			if asked++; asked%3 == 0 {
				return append(second, s...), nil
			}
			return first, nil
		}, []string{"open", "print", string(first)}, []string{string(second)}, "file", "dir", "new")
		if err != nil || asked > maxLanguageAsked || len(scripts) > maxTogether {
			t.Errorf("%d questions, %d scripts, %v", asked, len(scripts), err)
		}
	})
}
