package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/atomicfile"
	"github.com/tjfuzz/tjfuzz/internal/image"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/trace"
	"github.com/tjfuzz/tjfuzz/trace/static"
)

// stamp tells whether a file is still the same, without reading it.
type stamp struct {
	Path  string `json:"path"`
	Size  int64  `json:"size"`
	Time  int64  `json:"time"` // of the last change of the inode, in nanoseconds
	Inode uint64 `json:"inode"`
}

func stampOf(path string) (stamp, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return stamp{}, err
	}
	return stamp{path, st.Size, st.Ctim.Nano(), st.Ino}, nil
}

// boundMemory holds an analysis to the memory that it needs, until what it returns is
// called: that of the largest programs (ffprobe) lives in 600 MB, which the collector would
// let double; so it works a fifth more.
func boundMemory() (unbound func()) {
	before := debug.SetMemoryLimit(-1)
	debug.SetMemoryLimit(min(before, 800<<20))
	return func() { debug.SetMemoryLimit(before) }
}

// reachOf analyzes a program, or takes from the cache what was found when all of its
// files were the same. What cannot be cached is analyzed each time.
func reachOf(ctx context.Context, path string, o static.Options, cached bool) (*trace.Reach, error) {
	cache := ""
	if cached {
		cache = cacheOf(path, o)
	}
	if r := fromCache(cache); r != nil {
		return r, nil
	}
	defer boundMemory()()
	r, err := static.Analyze(ctx, path, o)
	if err != nil {
		return nil, err
	}
	toCache(cache, r)
	return r, nil
}

// cacheOf is the file that what is found is kept in: by the build id of the program, and
// by all else that decides. Empty if there is no place.
func cacheOf(path string, o static.Options) string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return ""
	}
	id, err := image.BuildID(resolved)
	if err != nil {
		return ""
	}
	if id == "" {
		id = "none"
	}
	how, err := json.Marshal([]any{static.Version, version, resolved, o})
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "tjfuzz", "reach", fmt.Sprintf("%s-%x.json", id, sha256.Sum256(how)))
}

// fromCache reads what was found, nil where there is nothing, or a file has changed since.
func fromCache(path string) *trace.Reach {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	head, rest, _ := bytes.Cut(data, []byte("\n"))
	var stamps []stamp
	if json.Unmarshal(head, &stamps) != nil || len(stamps) == 0 {
		return nil
	}
	for _, s := range stamps {
		if now, err := stampOf(s.Path); s.Size >= 0 && (err != nil || now != s) || s.Size < 0 && err == nil {
			return nil
		}
	}
	r, err := trace.DecodeReach(bytes.NewReader(rest))
	if err != nil {
		return nil
	}
	return r
}

func toCache(path string, r *trace.Reach) {
	if path == "" {
		return
	}
	files := []string{r.Target.Path, "/etc/nsswitch.conf", "/etc/ld.so.conf", "/etc/ld.so.cache"}
	for _, l := range r.Target.Libraries {
		files = append(files, l.Path)
	}
	slices.Sort(files)
	var stamps []stamp
	for _, f := range slices.Compact(files) {
		s, err := stampOf(f)
		if err != nil {
			s = stamp{Path: f, Size: -1}
		}
		stamps = append(stamps, s)
	}
	head, err := json.Marshal(stamps)
	if err != nil {
		return
	}
	b := bytes.NewBuffer(append(head, '\n'))
	if trace.EncodeReach(b, r) != nil || os.MkdirAll(filepath.Dir(path), 0o700) != nil {
		return
	}
	_ = atomicfile.Write(path, b.Bytes()) // the next one will have to look again
}

// recommended weighs what the runs left of what the program can reach, nil where that is not
// known.
func recommended(t *trace.Trace, r *trace.Reach, chance float64) *synth.Recommendation {
	if r == nil {
		return nil
	}
	x := synth.Recommend(t, r, chance)
	return &x
}

// reachOptions are those by which the program is analyzed that a trace is of.
func reachOptions(t *trace.Trace) static.Options {
	return static.Options{LibraryPath: os.Getenv("LD_LIBRARY_PATH"), Mapped: mapped(t)}
}

// reachName is the name in a state directory of what the program can reach.
const reachName = "reach.json"

// keepReach puts an analysis, if there is one, beside the evidence, for explain.
func keepReach(dir string, r *trace.Reach) error {
	if r == nil {
		return nil
	}
	var b bytes.Buffer
	if err := trace.EncodeReach(&b, r); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, reachName), b.Bytes())
}

// loadReach reads a file that analyze has written.
func loadReach(path string) (*trace.Reach, error) {
	f, err := openNamed(path, "analysis", "'tjfuzz analyze --json -o FILE PROGRAM' writes one")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := trace.DecodeReach(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}
