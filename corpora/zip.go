package corpora

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// ErrUnsafe says that an archive was refused for what it would do to who unpacks it.
var ErrUnsafe = errors.New("unsafe archive")

// maxMembers bounds the names that an archive has. What they hold has the bounds of every
// source: a member that is larger than it says is an error of the archive.
const maxMembers = 1 << 18

// open returns the files of a folder, below which no link leads out, or of a zip file.
func open(source string) (fs.FS, io.Closer, error) {
	st, err := os.Stat(source)
	if err != nil {
		return nil, nil, err
	}
	if !st.Mode().IsRegular() {
		root, err := os.OpenRoot(source)
		if err != nil {
			return nil, nil, err
		}
		return root.FS(), root, nil
	}
	f, err := os.Open(source)
	if err != nil {
		return nil, nil, err
	}
	fsys, err := openZip(f, st.Size())
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("%s is neither a folder nor a zip file that can be read: %w", source, err)
	}
	return fsys, f, nil
}

func openZip(r io.ReaderAt, size int64) (fs.FS, error) {
	archive, err := zip.NewReader(r, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, err
	}
	if len(archive.File) > maxMembers {
		return nil, fmt.Errorf("%w: it has %d members, more than %d", ErrUnsafe, len(archive.File), maxMembers)
	}
	// The library would show such a name without what leads out. That it is there says that
	// somebody means harm.
	for _, m := range archive.File {
		if name := strings.TrimPrefix(strings.TrimSuffix(m.Name, "/"), "./"); !fs.ValidPath(name) || strings.ContainsAny(name, "\\\x00") {
			return nil, fmt.Errorf("%w: the name %q leads out of it", ErrUnsafe, m.Name)
		}
	}
	return archive, nil
}

// inner is the folder that everything in fsys is in: archives begin with the name of what was packed.
func inner(fsys fs.FS) (fs.FS, error) {
	for {
		entries, err := fs.ReadDir(fsys, ".")
		if err != nil {
			return nil, err
		}
		if len(entries) != 1 || !entries[0].IsDir() {
			return fsys, nil
		}
		if fsys, err = fs.Sub(fsys, entries[0].Name()); err != nil {
			return nil, err
		}
	}
}
