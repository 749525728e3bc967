package corpora

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

func TestReadKnowsTheLayoutsOfFuzzers(t *testing.T) {
	cases := []struct {
		name    string
		files   map[string]string
		want    []string // name=data
		skipped []string // path: a part of why
	}{
		{
			name:  "plain folder",
			files: map[string]string{"b": "2", "a/c": "1", "a.txt": "0", "empty": "", ".hidden": "h"},
			want:  []string{"a.txt=0", "a/c=1", "b=2", "empty="},
		},
		{
			name: "libFuzzer",
			files: map[string]string{
				"da39a3ee5e6b4b0d3255bfef95601890afd80709":           "x",
				"crash-adc83b19e793491b1c6ea0fd8b46cd9f32":           "y",
				"timeout-da39a3ee5e6b4b0d3255bfef95601890afd80709":   "t",
				"slow-unit-da39a3ee5e6b4b0d3255bfef95601890afd80709": "s",
				"oom-da39a3ee5e6b4b0d3255bfef95601890afd80709":       "o",
			},
			want: []string{"crash-adc83b19e793491b1c6ea0fd8b46cd9f32=y", "da39a3ee5e6b4b0d3255bfef95601890afd80709=x"},
		},
		{
			name: "honggfuzz",
			files: map[string]string{
				"0a4d55a8d778e5022fab701977c5d840.00000002.honggfuzz.cov":                    "x",
				"SIGABRT.PC.7ffff7a42425.STACK.18a5d9.CODE.-6.ADDR.0.INSTR.mov____%eax.fuzz": "y",
				"HONGGFUZZ.REPORT.TXT": "CRASH:",
			},
			want: []string{"0a4d55a8d778e5022fab701977c5d840.00000002.honggfuzz.cov=x", "SIGABRT.PC.7ffff7a42425.STACK.18a5d9.CODE.-6.ADDR.0.INSTR.mov____%eax.fuzz=y"},
		},
		{
			name: "AFL, several instances",
			files: map[string]string{
				"main/fuzzer_stats":                  "start_time : 1",
				"main/plot_data":                     "#",
				"main/queue/id:000000,orig:a":        "A",
				"main/queue/.state/redundant/id:0":   "",
				"main/crashes/README.txt":            "read me",
				"main/crashes/id:000000,sig:06":      "crash",
				"main/hangs/id:000000":               "hang",
				"second/fuzzer_setup":                "x",
				"second/queue/id:000001,src:000000,": "B",
			},
			want: []string{"main/crashes/id:000000,sig:06=crash", "main/queue/id:000000,orig:a=A", "second/queue/id:000001,src:000000,=B"},
		},
		{
			name:  "AFL, the folder of one instance",
			files: map[string]string{"fuzzer_stats": "x", "queue/id:000000": "A", "queue/.state/x": "s"},
			want:  []string{"queue/id:000000=A"},
		},
		{
			name:  "AFL, its folders alone",
			files: map[string]string{"README.txt": "read me", "id:000000,sig:06": "crash", "id:000001": "B", ".x": "x"},
			want:  []string{"id:000000,sig:06=crash", "id:000001=B"},
		},
		{
			name:  "a README that is a seed",
			files: map[string]string{"README.txt": "text", "b": "B"},
			want:  []string{"README.txt=text", "b=B"},
		},
		{
			name: "tjfuzz",
			files: map[string]string{
				"jq/checkpoint.json":                  "{}",
				"jq/evidence.json":                    "{}",
				"jq/queue/0123456789abcdef.json":      "{\n  \"version\": 1,\n  \"argv\": [\n    \"jq\"]}",
				"jq/queue/0123456789abcdef.input":     "A",
				"jq/queue/0123456789abcdef.files/a":   "file",
				"jq/crashes/0123456789abcdff.json":    "{\"version\": 2, \"argv\": []}",
				"jq/crashes/0123456789abcdff.input":   "B",
				"jq/hangs/0123456789abcdee.json":      "{\"version\": 1, \"argv\": []}",
				"jq/hangs/0123456789abcdee.input":     "hang",
				"shared/queue/0123456789abcdfe.json":  "{\"version\": 1, \"argv\": []}",
				"shared/queue/0123456789abcdfe.input": "C",
			},
			want: []string{"jq/crashes/0123456789abcdff.input=B", "jq/queue/0123456789abcdef.input=A", "shared/queue/0123456789abcdfe.input=C"},
		},
		{
			name:  "JSON that has a hash for a name",
			files: map[string]string{"0123456789abcdef.json": "{\"version\": 1}", "x.input": "y"},
			want:  []string{"0123456789abcdef.json={\"version\": 1}", "x.input=y"},
		},
		{
			name:  "a folder that is merely called queue",
			files: map[string]string{"queue/a": "A", "other": "B"},
			want:  []string{"other=B", "queue/a=A"},
		},
		{
			name: "go test",
			files: map[string]string{
				"FuzzA/1": "go test fuzz v1\n[]byte(\"a\\x00\\xff\")\n",
				"FuzzA/2": "go test fuzz v1\nstring(`raw`)\nint(7)\nbool(true)\nfloat64(+Inf)\nmath.Float64frombits(0x7ff8000000000002)\n[]byte(\"z\")\n",
				"FuzzA/3": "go test fuzz v1\nuint8(1)\n",
				"FuzzA/4": "go test fuzz v1\n[]byte(1)\n",
				"FuzzA/5": "go test fuzz v1 is a text\n",
			},
			want:    []string{"FuzzA/1=a\x00\xff", "FuzzA/2#0=raw", "FuzzA/2#1=z", "FuzzA/5=go test fuzz v1 is a text\n"},
			skipped: []string{"FuzzA/3: neither", "FuzzA/4: line 2"},
		},
		{
			name:    "too large, and beyond the total",
			files:   map[string]string{"a": "12345678901", "b": "123456", "c": "12345", "d": "1234"},
			want:    []string{"b=123456", "d=1234"},
			skipped: []string{"a: larger than 10", "c: more than 10"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, data := range c.files {
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			max := defaultLimits()
			if strings.Contains(c.name, "total") {
				max = limits{file: 10, total: 10}
			}
			seeds, skipped, err := read(dir, max)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range seeds {
				got = append(got, s.Name+"="+string(s.Data))
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("seeds (-want +got):\n%s", d)
			}
			if len(skipped) != len(c.skipped) {
				t.Fatalf("skipped: got %v, want %v", skipped, c.skipped)
			}
			for i, s := range skipped {
				path, why, _ := strings.Cut(c.skipped[i], ": ")
				if s.Path != path || !strings.Contains(s.Why, why) {
					t.Errorf("skipped: got %+v, want %s", s, c.skipped[i])
				}
			}
		})
	}
}

// A FIFO would block the reader for ever, a link could lead anywhere.
func TestReadTakesRegularFilesAlone(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "seed"), []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	viaLink := filepath.Join(t.TempDir(), "seeds")
	if err := os.Symlink(dir, viaLink); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, viaLink} {
		seeds, _, err := Read(d)
		if err != nil || !slices.Equal(names(seeds), []string{"seed"}) {
			t.Errorf("Read(%s): got %v, %v, want the one regular file", d, names(seeds), err)
		}
	}
}

func TestReadSaysWhatIsWrongWithAFolder(t *testing.T) {
	empty := t.TempDir()
	if _, _, err := Read(empty); !errors.Is(err, ErrNoSeeds) {
		t.Errorf("empty folder: got %v, want ErrNoSeeds", err)
	}
	if _, _, err := Read(filepath.Join(empty, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing folder: got %v, want fs.ErrNotExist", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Read(file); err == nil || !strings.Contains(err.Error(), "neither a folder nor a zip file") {
		t.Errorf("a file: got %v, want that it is neither a folder nor a zip file", err)
	}
	if _, err := GoFuzzCorpus(empty); !errors.Is(err, ErrNoSeeds) {
		t.Errorf("GoFuzzCorpus of an empty folder: got %v, want ErrNoSeeds", err)
	}
}

func TestGoFuzzCorpusOfTheModuleHasSeedsForOurFormats(t *testing.T) {
	seeds, err := GoFuzzCorpus(testenv.GoFuzzCorpus(t))
	if err != nil {
		t.Fatal(err)
	}
	perFolder, perFormat := map[string]int{}, map[string]int{}
	for _, s := range seeds {
		perFolder[filepath.Dir(s.Name)]++
		perFormat[s.Format]++
	}
	for folder, n := range perFolder {
		if n > maxPerCorpus {
			t.Errorf("%s: got %d seeds, want at most %d", folder, n, maxPerCorpus)
		}
	}
	for _, f := range []string{
		"asn1", "bmp", "bson", "bzip2", "csv", "deflate", "der", "elf", "gif", "go", "gob", "gzip", "html",
		"http-request", "http-response", "http2", "jpeg", "json", "mail", "pem", "png", "protobuf", "regex",
		"smtp", "sql", "tar", "tiff", "tls", "url", "xml", "zip", "zlib",
	} {
		if !slices.Contains(Formats(), f) || perFormat[f] == 0 {
			t.Errorf("format %s: got %d seeds of the corpus, want some, for a format of the pack", f, perFormat[f])
		}
	}
	png := 0
	for _, s := range seeds {
		if s.Format == "png" && bytes.HasPrefix(s.Data, []byte("\x89PNG")) {
			png++
		}
	}
	if png == 0 {
		t.Error("none of the PNG seeds starts like one")
	}
}

// What `go test -fuzz` writes comes back as it was, and nothing makes the parser
// panic.
func FuzzParseGoFuzz(f *testing.F) {
	f.Add([]byte("go test fuzz v1\n[]byte(\"a\\x00\")\nint(1)\n"))
	f.Add([]byte("go test fuzz v1\r\nstring(`x`)\r\n"))
	f.Add([]byte("go test fuzz v1\n[]byte(\"unterminated)\n[2]byte{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if isGoFuzz(data) {
			_, _ = parseGoFuzz(data)
		}
		file := fmt.Appendf(nil, "%s\n[]byte(%q)\nint(-1)\nstring(%q)\n", goFuzzHeader, data, data)
		args, err := parseGoFuzz(file)
		if err != nil || len(args) != 2 || !bytes.Equal(args[0], data) || !bytes.Equal(args[1], data) {
			t.Errorf("got %q, %v, want %q twice", args, err, data)
		}
	})
}
