package corpora

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

// ErrNoSeeds is returned when a folder holds nothing that can be a seed.
var ErrNoSeeds = errors.New("no seeds in the folder")

// Skipped is a file or folder that was passed over.
type Skipped struct {
	Path string // slash-separated, below the folder
	Why  string
}

// limits bound what a reader takes into memory, in bytes.
type limits struct {
	file, total int64
}

func defaultLimits() limits { return limits{file: 1 << 20, total: 256 << 20} }

// Read returns the regular files in and below a folder, or those of a zip file, sorted by
// name, each with the format that Detect gives it. It reads the layouts that fuzzers
// leave behind:
//
//   - plain folders, such as those of libFuzzer and honggfuzz, and zip files of them, as
//     OSS-Fuzz keeps; without what hung, and without honggfuzz's report;
//   - output folders of AFL (those with a fuzzer_stats or a fuzzer_setup file),
//     wherever below dir: of these, queue and crashes. What hangs costs too much.
//     Beside files named id:..., README.txt is AFL's and no seed;
//   - state directories of tjfuzz, which have a checkpoint.json: of these, the inputs
//     in queue, witnesses and crashes. A scenario is more than its input; what else
//     it is is not known here;
//   - "go test fuzz v1" files, as in testdata/fuzz: each []byte and string
//     argument is a seed.
//
// Files and folders whose names begin with a dot are passed over without a word,
// as is what is no regular file: symbolic links are not followed, except for dir
// itself. Files of more than 1 MiB, files beyond 256 MiB in all, and what cannot
// be read or parsed is reported as skipped. When nothing is left, the error is
// ErrNoSeeds. A zip file with a member whose name leads out of it is refused.
func Read(source string) ([]Seed, []Skipped, error) {
	return read(source, defaultLimits())
}

func read(source string, max limits) ([]Seed, []Skipped, error) {
	fsys, closer, err := open(source)
	if err != nil {
		return nil, nil, fmt.Errorf("read seeds: %w", err)
	}
	defer closer.Close()
	seeds, skipped, err := readFS(fsys, max)
	if err == nil && len(seeds) == 0 {
		err = fmt.Errorf("%s: %w", source, ErrNoSeeds)
	}
	if err != nil {
		return nil, skipped, fmt.Errorf("read seeds: %w", err)
	}
	return seeds, skipped, nil
}

func readFS(fsys fs.FS, max limits) ([]Seed, []Skipped, error) {
	var seeds []Seed
	var skipped []Skipped
	skip := func(name, why string, args ...any) {
		skipped = append(skipped, Skipped{Path: name, Why: fmt.Sprintf(why, args...)})
	}
	var total int64
	layouts := map[string]layout{} // of folders
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		in := layouts[path.Dir(name)]
		switch {
		case err != nil && name == ".":
			return err
		case err != nil:
			skip(name, "%v", err)
			return nil
		case d.IsDir():
			if name != "." && (strings.HasPrefix(d.Name(), ".") || !in.wants(d)) {
				return fs.SkipDir
			}
			layouts[name] = layoutOf(fsys, name)
			return nil
		case !d.Type().IsRegular() || strings.HasPrefix(d.Name(), ".") || !in.wants(d):
			return nil
		}
		// What is too large is not read at all: in an archive that would cost time.
		if info, err := d.Info(); err == nil && info.Size() <= max.file && total+info.Size() > max.total {
			skip(name, "more than %d bytes in all", max.total)
			return nil
		}
		data, err := readFile(fsys, name, max.file)
		if err != nil {
			skip(name, "%v", err)
			return nil
		}
		total += int64(len(data))
		if !isGoFuzz(data) {
			seeds = append(seeds, Seed{Name: name, Format: Detect(data), Data: data})
			return nil
		}
		args, err := parseGoFuzz(data)
		if err == nil && len(args) == 0 {
			err = errors.New("it holds neither []byte nor string")
		}
		if err != nil {
			skip(name, "go fuzz file: %v", err)
			return nil
		}
		for i, a := range args {
			s := Seed{Name: name, Format: Detect(a), Data: a}
			if len(args) > 1 {
				s.Name = fmt.Sprintf("%s#%d", name, i)
			}
			seeds = append(seeds, s)
		}
		return nil
	})
	if err != nil {
		return nil, skipped, err
	}
	slices.SortStableFunc(seeds, func(a, b Seed) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortStableFunc(skipped, func(a, b Skipped) int { return cmp.Compare(a.Path, b.Path) })
	return seeds, skipped, nil
}

// layout says what a folder is to whoever wrote it.
type layout uint8

const (
	plain     layout = iota // all files are seeds
	numbered                // as AFL numbers its files
	scenarios               // a folder of tjfuzz's
	output                  // what a fuzzer writes its state to
)

// layoutOf tells it by what is in the folder.
func layoutOf(fsys fs.FS, dir string) layout {
	for _, mark := range []string{"fuzzer_stats", "fuzzer_setup", "checkpoint.json"} {
		if _, err := fs.Stat(fsys, path.Join(dir, mark)); err == nil {
			return output
		}
	}
	entries, _ := fs.ReadDir(fsys, dir) // the walk reads it too, and tells of errors
	for _, e := range entries {
		switch {
		case strings.HasPrefix(e.Name(), "id:"):
			return numbered
		case isScenario(fsys, path.Join(dir, e.Name()), e):
			return scenarios
		}
	}
	return plain
}

var scenarioName = lazyregexp.New(`^[0-9a-f]{16}\.json$`)

// isScenario knows the file by its beginning too: a JSON file may have any name.
func isScenario(fsys fs.FS, name string, e fs.DirEntry) bool {
	if !e.Type().IsRegular() || !scenarioName.MatchString(e.Name()) {
		return false
	}
	f, err := fsys.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	var b [64]byte
	n, _ := io.ReadFull(f, b[:])
	text := strings.Join(strings.Fields(string(b[:n])), "")
	return strings.HasPrefix(text, `{"version":`) && strings.Contains(text, `,"argv":[`)
}

// wants reports whether something in a folder of layout l can be a seed or hold some.
func (l layout) wants(e fs.DirEntry) bool {
	if e.IsDir() {
		return l != scenarios && (l != output || slices.Contains([]string{"queue", "witnesses", "crashes"}, e.Name()))
	}
	switch l {
	case numbered:
		return e.Name() != "README.txt"
	case scenarios:
		return strings.HasSuffix(e.Name(), ".input")
	}
	return l == plain && !leftByFuzzer.MatchString(e.Name())
}

// leftByFuzzer are files beside the samples: honggfuzz's report, and what libFuzzer found to
// hang or to need too much memory, which costs too much to try.
var leftByFuzzer = lazyregexp.New(`^(HONGGFUZZ\.REPORT\.TXT|(timeout|slow-unit|oom)-[0-9a-f]{40})$`)

func readFile(fsys fs.FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > limit {
		return nil, fmt.Errorf("larger than %d bytes", limit)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("larger than %d bytes", limit)
	}
	return data, nil
}

const goFuzzHeader = "go test fuzz v1"

func isGoFuzz(data []byte) bool {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	return string(bytes.TrimSuffix(line, []byte("\r"))) == goFuzzHeader
}

// parseGoFuzz returns the []byte and string arguments of a corpus file of `go
// test -fuzz`, in their order; other arguments are left out. The form is that of
// internal/fuzz/encoding.go in Go's source: one conversion of a literal a line.
func parseGoFuzz(data []byte) ([][]byte, error) {
	_, body, _ := bytes.Cut(data, []byte("\n"))
	var args [][]byte
	number := 1
	for line := range bytes.Lines(body) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		arg, ok, err := parseGoFuzzLine(string(line))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if ok {
			args = append(args, arg)
		}
	}
	return args, nil
}

// parseGoFuzzLine returns false for the arguments that are no bytes.
func parseGoFuzzLine(line string) ([]byte, bool, error) {
	expr, err := parser.ParseExpr(line)
	if err != nil {
		return nil, false, err
	}
	call, ok := expr.(*ast.CallExpr)
	if !ok || len(call.Args) != 1 {
		return nil, false, errors.New("not a conversion of one value")
	}
	switch typ := call.Fun.(type) {
	case *ast.ArrayType:
		if elem, ok := typ.Elt.(*ast.Ident); typ.Len != nil || !ok || elem.Name != "byte" {
			return nil, false, errors.New("a slice that is not []byte")
		}
	case *ast.Ident:
		if typ.Name != "string" {
			return nil, false, nil
		}
	default: // math.Float64frombits and the like
		return nil, false, nil
	}
	lit, ok := call.Args[0].(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return nil, false, errors.New("not a string literal")
	}
	s, err := strconv.Unquote(lit.Value)
	return []byte(s), err == nil, err
}

// maxPerCorpus is how many seeds GoFuzzCorpus takes from one folder: the folders
// hold up to 11,000, most of them near-copies.
const maxPerCorpus = 64

// GoFuzzCorpus returns seeds of github.com/dvyukov/go-fuzz-corpus, of which source is a
// checkout, the folder in the module cache, or the module's zip file. Of each folder named
// "corpus" it takes the first files by name (which is a hash, so they are a fair sample)
// up to 64, none larger than 1 MiB. Format is that of this package where there is
// one, otherwise the name of the corpus. The error is ErrNoSeeds when the source has no
// such folders.
func GoFuzzCorpus(source string) ([]Seed, error) {
	fsys, closer, err := open(source)
	if err != nil {
		return nil, fmt.Errorf("read go-fuzz-corpus: %w", err)
	}
	defer closer.Close()
	if fsys, err = inner(fsys); err != nil {
		return nil, fmt.Errorf("read go-fuzz-corpus: %w", err)
	}
	var seeds []Seed
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() || d.Name() != "corpus" {
			return nil
		}
		entries, err := fs.ReadDir(fsys, name)
		if err != nil {
			return err
		}
		taken := 0
		for _, e := range entries {
			if taken == maxPerCorpus {
				break
			}
			if info, err := e.Info(); err != nil || !info.Mode().IsRegular() || info.Size() > defaultLimits().file {
				continue
			}
			data, err := fs.ReadFile(fsys, path.Join(name, e.Name()))
			if err != nil {
				return err
			}
			seeds = append(seeds, Seed{Name: path.Join(name, e.Name()), Format: goFuzzFormat(path.Dir(name)), Data: data})
			taken++
		}
		return fs.SkipDir
	})
	if err != nil {
		return nil, fmt.Errorf("read go-fuzz-corpus: %w", err)
	}
	if len(seeds) == 0 {
		return nil, fmt.Errorf("read go-fuzz-corpus: %s: %w", source, ErrNoSeeds)
	}
	slices.SortFunc(seeds, func(a, b Seed) int { return cmp.Compare(a.Name, b.Name) })
	return seeds, nil
}

// goFuzzFormat names the format of a corpus; where it is not in the list, the
// corpus has the name of its format, or a format that the pack does not know.
func goFuzzFormat(corpus string) string {
	switch corpus {
	case "flate":
		return "deflate"
	case "goast", "gofmt":
		return "go"
	case "htmltemplate", "stdhtml":
		return "html"
	case "httpreq", "webdav", "websocketserver":
		return "http-request"
	case "httpresp", "websocketclient":
		return "http-response"
	case "parser", "sqlparser":
		return "sql"
	case "regexp":
		return "regex"
	case "tls/patched", "tlsclient":
		return "tls"
	case "gif/all":
		return "gif"
	case "url/values":
		return "url"
	case "x509/certificate", "x509/dercrl", "x509/ec", "x509/pkcs", "x509/pkix":
		return "der"
	case "x509/crl":
		return "pem"
	case "x509/pem": // gob, of a pem.Block
		return "gob"
	default:
		return strings.ReplaceAll(corpus, "/", "-")
	}
}
