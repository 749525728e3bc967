package corpora

import (
	"archive/zip"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// member is a file of an archive, with the size that the archive claims where that is
// not its own.
type member struct {
	name, data string
	mode       fs.FileMode
}

func packed(t testing.TB, members ...member) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: zip.Deflate}
		if m.mode != 0 {
			h.SetMode(m.mode)
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(m.data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func stored(t testing.TB, archive []byte) string {
	file := filepath.Join(t.TempDir(), "corpus.zip")
	if err := os.WriteFile(file, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// As OSS-Fuzz keeps the corpora of its fuzzers.
func TestReadTakesTheFilesOfAZip(t *testing.T) {
	file := stored(t, packed(t,
		member{name: "fuzzer/da39a3ee", data: `{"a":1}`},
		member{name: "fuzzer/.hidden", data: "h"},
		member{name: "fuzzer/link", data: "/etc/passwd", mode: fs.ModeSymlink | 0o777},
		member{name: "./b", data: "\x1f\x8b\x08\x00"},
		member{name: "fuzz/1", data: "go test fuzz v1\nstring(\"x\")\n"},
	))
	seeds, skipped, err := Read(file)
	if err != nil || len(skipped) > 0 {
		t.Fatalf("got %v, %v", skipped, err)
	}
	var got []string
	for _, s := range seeds {
		got = append(got, s.Name+" "+s.Format+" "+string(s.Data))
	}
	want := []string{"b gzip \x1f\x8b\x08\x00", "fuzz/1 text x", `fuzzer/da39a3ee json {"a":1}`}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHostileZipsAreRefusedOrBounded(t *testing.T) {
	for _, name := range []string{"../evil", "a/../../evil", "/etc/cron.d/evil", `..\evil`, "a/./b", "C:\\evil"} {
		_, _, err := Read(stored(t, packed(t, member{name: "fine", data: "x"}, member{name: name, data: "x"})))
		if !errors.Is(err, ErrUnsafe) {
			t.Errorf("a member named %q: got %v, want ErrUnsafe", name, err)
		}
	}
	zeros := strings.Repeat("\x00", 1<<20+1)
	seeds, skipped, err := Read(stored(t, packed(t, member{name: "bomb", data: zeros}, member{name: "fine", data: "x"})))
	if err != nil || len(seeds) != 1 || len(skipped) != 1 || !strings.Contains(skipped[0].Why, "larger than") {
		t.Errorf("a huge member: got %d seeds, %v, %v; want it skipped", len(seeds), skipped, err)
	}
	// The size that the archive claims is in its directory, after the name's length.
	liar := packed(t, member{name: "liar", data: zeros})
	at := bytes.Index(liar, []byte("PK\x01\x02"))
	copy(liar[at+24:], []byte{10, 0, 0, 0})
	if seeds, skipped, err = Read(stored(t, liar)); !errors.Is(err, ErrNoSeeds) || len(skipped) != 1 {
		t.Errorf("a member that is larger than it says: got %d seeds, %v, %v; want it skipped", len(seeds), skipped, err)
	}
	many, err := openZip(bytes.NewReader(packed(t, member{name: "a", data: "123456"}, member{name: "b", data: "123456"}, member{name: "c", data: "1234"})), 0)
	if err == nil {
		t.Errorf("an archive of no size: got %v, want an error", many)
	}
	archive := packed(t, member{name: "a", data: "123456"}, member{name: "b", data: "123456"}, member{name: "c", data: "1234"})
	fsys, err := openZip(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	if seeds, skipped, err = readFS(fsys, limits{file: 10, total: 10}); err != nil || len(seeds) != 2 || len(skipped) != 1 || skipped[0].Path != "b" {
		t.Errorf("more than the total: got %d seeds, %v, %v; want b skipped", len(seeds), skipped, err)
	}
}

func TestTheModuleOfGoFuzzCorpusCanStayPacked(t *testing.T) {
	file := stored(t, packed(t,
		member{name: "github.com/dvyukov/go-fuzz-corpus@v0/json/corpus/1", data: "{}"},
		member{name: "github.com/dvyukov/go-fuzz-corpus@v0/json/json.go", data: "package json"},
		member{name: "github.com/dvyukov/go-fuzz-corpus@v0/gif/all/corpus/2", data: "GIF89a"},
	))
	seeds, err := GoFuzzCorpus(file)
	if err != nil || len(seeds) != 2 || seeds[0].Name != "gif/all/corpus/2" || seeds[0].Format != "gif" || seeds[1].Format != "json" {
		t.Errorf("got %+v, %v; want a GIF and a JSON file", seeds, err)
	}
}

// Whatever an archive holds, reading it ends, and stays within its bounds.
func FuzzReadZip(f *testing.F) {
	f.Add(packed(f, member{name: "a", data: "x"}, member{name: "d/b", data: strings.Repeat("y", 300)}))
	f.Add(packed(f, member{name: "../a", data: "x"}))
	f.Add(packed(f, member{name: "f", data: "go test fuzz v1\n[]byte(\"x\")\n"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		fsys, err := openZip(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		max := limits{file: 100, total: 150}
		seeds, _, err := readFS(fsys, max)
		if err != nil {
			return
		}
		total := 0
		for _, s := range seeds {
			total += len(s.Data)
			if !fs.ValidPath(strings.TrimSuffix(s.Name, "/")) || len(s.Data) > int(max.file) {
				t.Errorf("got %q of %d bytes", s.Name, len(s.Data))
			}
		}
		if total > int(max.total) {
			t.Errorf("got %d bytes in all", total)
		}
	})
}
