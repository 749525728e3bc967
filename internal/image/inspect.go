package image

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	scriptLine = 256     // BINPRM_BUF_SIZE: what the kernel reads of a #! line
	maxPath    = 4096    // PATH_MAX: no longer name can be opened
	maxTable   = 1 << 16 // bytes of program headers, as in the kernel; of .dynamic, notes, search paths
	maxNotes   = 64      // note segments and sections
	pageSize   = 4096    // the smallest of any machine
)

// content is what inspect finds in a file.
type content struct {
	kind        Kind
	abi         abi // zero if the file is not ELF
	entry       uint64
	entryOffset uint64 // where in the file that is, 0 if nowhere
	buildID     string
	interpreter string
	args        []string

	needed         []string
	soname         string
	rpath, runpath string // the file's DT_RPATH and DT_RUNPATH
}

// abi is what files must share to be loaded into one process.
type abi struct {
	machine elf.Machine
	class   elf.Class
	data    elf.Data
}

func (a abi) String() string {
	order := map[elf.Data]string{elf.ELFDATA2MSB: "big-endian "}[a.data]
	return fmt.Sprintf("%s-bit %s%s", strings.TrimPrefix(a.class.String(), "ELFCLASS"), order, strings.TrimPrefix(a.machine.String(), "EM_"))
}

// inspect reads what it needs of a file. Its errors concern ELF files only, unless
// they are those of r.
func inspect(r *io.SectionReader) (*content, error) {
	head, err := readAt(r, 0, scriptLine)
	switch {
	case err != nil:
		return nil, err
	case bytes.HasPrefix(head, []byte("#!")):
		return script(head), nil
	case !bytes.HasPrefix(head, []byte(elf.ELFMAG)):
		return &content{}, nil
	}
	f, err := parse(r, head)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errors.New("its headers are cut off")
	}
	if err != nil {
		return nil, err
	}
	x := elfFile{f, r}
	c := &content{abi: abi{f.Machine, f.Class, f.Data}, entry: f.Entry, entryOffset: x.entryOffset()}
	if err := x.whole(); err != nil {
		return nil, err
	}
	if c.interpreter, err = x.interpreter(); err != nil {
		return nil, err
	}
	flags, err := x.dynamic(c)
	if err != nil {
		return nil, err
	}
	if c.buildID, err = x.buildID(); err != nil {
		return nil, err
	}
	switch {
	case f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN:
	case c.interpreter != "":
		c.kind = Dynamic
	case f.Type == elf.ET_EXEC:
		c.kind = Static
	case flags&elf.DF_1_PIE != 0:
		c.kind = StaticPIE
	default:
		c.kind = SharedObject
	}
	return c, nil
}

// script reads a #! line as fs/binfmt_script.c does: from a buffer padded with NUL,
// the last byte of which it leaves.
func script(head []byte) *content {
	buf := make([]byte, scriptLine)
	copy(buf, head)
	line, _, whole := bytes.Cut(buf[2:scriptLine-1], []byte("\n"))
	const blank = " \t"
	text := strings.TrimLeft(string(line), blank)
	end := strings.IndexAny(text, blank+"\x00")
	if end < 0 && whole {
		end = len(text)
	}
	if end <= 0 { // none, or a name that may go on after the buffer
		return &content{}
	}
	c := &content{kind: Script, interpreter: text[:end]}
	if arg, _, _ := strings.Cut(strings.Trim(text[end:], blank), "\x00"); arg != "" {
		c.args = []string{arg}
	}
	return c
}

// parse reads the headers of an ELF file. Like the kernel it trusts the program
// headers; broken section headers are taken for none. Names of sections it does
// not read: they may be compressed, and so have any size.
func parse(r io.ReaderAt, head []byte) (*elf.File, error) {
	if len(head) < 64 {
		head = append(head, make([]byte, 64-len(head))...)
	}
	var order binary.ByteOrder = binary.LittleEndian
	if elf.Data(head[elf.EI_DATA]) == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	sectionsAt, sizes := head[40:48], head[54:64]
	segment, section := binary.Size(elf.Prog64{}), binary.Size(elf.Section64{})
	if elf.Class(head[elf.EI_CLASS]) == elf.ELFCLASS32 {
		sectionsAt, sizes = head[32:36], head[42:52]
		segment, section = binary.Size(elf.Prog32{}), binary.Size(elf.Section32{})
	}
	size := func(i int) int { return int(order.Uint16(sizes[2*i:])) }
	if n := size(1); n != 0 && (size(0) != segment || n*segment > maxTable) {
		return nil, fmt.Errorf("%d program headers of %d bytes, which the kernel refuses", n, size(0))
	}
	clear(sizes[8:]) // the index of the section that has the names
	if size(2) == section && size(3) != 0 {
		if f, err := elf.NewFile(overlay{r, head}); err == nil {
			return f, nil
		}
	}
	clear(sectionsAt)
	clear(sizes[6:])
	return elf.NewFile(overlay{r, head})
}

// overlay is a file whose beginning is replaced.
type overlay struct {
	io.ReaderAt
	head []byte
}

func (o overlay) ReadAt(p []byte, off int64) (int, error) {
	n, err := o.ReaderAt.ReadAt(p, off)
	if off < int64(len(o.head)) {
		copy(p[:n], o.head[off:])
	}
	return n, err
}

type elfFile struct {
	*elf.File
	r *io.SectionReader
}

// whole refuses a file that ends before its segments do. The kernel would start
// it, and it would die of SIGBUS; only the rest of a last page reads as zeros.
func (x elfFile) whole() error {
	pages := uint64(x.r.Size()+pageSize-1) / pageSize * pageSize
	for i, p := range x.Progs {
		if end := p.Off + p.Filesz; p.Type == elf.PT_LOAD && p.Filesz > 0 && end > pages {
			return fmt.Errorf("segment %d ends at byte %d, the file at %d", i, end, x.r.Size())
		}
	}
	return nil
}

func (x elfFile) segment(t elf.ProgType) (elf.ProgHeader, bool) {
	for _, p := range x.Progs {
		if p.Type == t {
			return p.ProgHeader, true
		}
	}
	return elf.ProgHeader{}, false
}

func (x elfFile) interpreter() (string, error) {
	p, ok := x.segment(elf.PT_INTERP)
	if !ok {
		return "", nil
	}
	b, err := readAt(x.r, p.Off, min(p.Filesz, maxPath))
	if err != nil {
		return "", err
	}
	name, ended := cstring(b)
	if !ended || name == "" {
		return "", errors.New("it has no valid name where its interpreter should stand")
	}
	return name, nil
}

// dynamic fills in what the dynamic segment says, and returns its DT_FLAGS_1.
func (x elfFile) dynamic(c *content) (flags elf.DynFlag1, err error) {
	p, ok := x.segment(elf.PT_DYNAMIC)
	if !ok {
		return 0, nil
	}
	table, err := readAt(x.r, p.Off, min(p.Filesz, maxTable))
	if err != nil {
		return 0, err
	}
	var needed []uint64
	values := map[elf.DynTag]uint64{}
	n, word := len(table)/8, func(i int) uint64 { return x.ByteOrder.Uint64(table[8*i:]) }
	if x.Class == elf.ELFCLASS32 {
		n, word = len(table)/4, func(i int) uint64 { return uint64(x.ByteOrder.Uint32(table[4*i:])) }
	}
	for i := 0; i+1 < n; i += 2 {
		tag, value := elf.DynTag(word(i)), word(i+1)
		if tag == elf.DT_NULL {
			break
		}
		if tag == elf.DT_NEEDED {
			needed = append(needed, value)
		}
		values[tag] = value
	}
	for _, at := range needed {
		name, err := x.dynString(values, at, maxPath)
		if err != nil {
			return 0, err
		}
		c.needed = append(c.needed, name)
	}
	for _, v := range []struct {
		tag elf.DynTag
		to  *string
	}{{elf.DT_SONAME, &c.soname}, {elf.DT_RPATH, &c.rpath}, {elf.DT_RUNPATH, &c.runpath}} {
		if at, ok := values[v.tag]; ok {
			if *v.to, err = x.dynString(values, at, maxTable); err != nil {
				return 0, err
			}
		}
	}
	return elf.DynFlag1(values[elf.DT_FLAGS_1]), nil
}

// dynString returns the string at an offset into DT_STRTAB.
func (x elfFile) dynString(values map[elf.DynTag]uint64, at, limit uint64) (string, error) {
	addr := values[elf.DT_STRTAB] + at
	for _, p := range x.Progs {
		if p.Type != elf.PT_LOAD || addr < p.Vaddr || addr-p.Vaddr >= p.Filesz {
			continue
		}
		into := addr - p.Vaddr
		b, err := readAt(x.r, p.Off+into, min(p.Filesz-into, limit))
		if err != nil {
			return "", err
		}
		if s, ended := cstring(b); ended {
			return s, nil
		}
		break
	}
	return "", fmt.Errorf("no string at %#x of the dynamic string table", at)
}

// buildID looks through note segments first and then through note sections: the Go
// linker leaves the GNU build ID out of its segment.
func (x elfFile) buildID() (string, error) {
	type notes struct{ off, size, align uint64 }
	var all []notes
	for _, p := range x.Progs {
		if p.Type == elf.PT_NOTE {
			all = append(all, notes{p.Off, p.Filesz, p.Align})
		}
	}
	for _, s := range x.Sections {
		if s.Type == elf.SHT_NOTE {
			all = append(all, notes{s.Offset, s.FileSize, s.Addralign})
		}
	}
	for _, n := range all[:min(len(all), maxNotes)] {
		b, err := readAt(x.r, n.off, min(n.size, maxTable))
		if err != nil {
			return "", err
		}
		if id := buildIDOf(b, x.ByteOrder, n.align); id != "" {
			return id, nil
		}
	}
	return "", nil
}

// buildIDOf finds the GNU build ID in a series of notes (elf(5): name and descriptor
// are padded to 4 bytes, or to 8 where the segment is aligned so).
func buildIDOf(b []byte, order binary.ByteOrder, align uint64) string {
	if align != 8 {
		align = 4
	}
	const noteHeader = 12
	for len(b) >= noteHeader {
		nameSize, descSize, kind := uint64(order.Uint32(b)), uint64(order.Uint32(b[4:])), order.Uint32(b[8:])
		desc := (noteHeader + nameSize + align - 1) / align * align
		end := desc + descSize
		if end > uint64(len(b)) {
			break
		}
		if string(b[noteHeader:noteHeader+nameSize]) == "GNU\x00" && kind == 3 && descSize > 0 && descSize <= 64 { // NT_GNU_BUILD_ID
			return hex.EncodeToString(b[desc:end])
		}
		b = b[min((end+align-1)/align*align, uint64(len(b))):]
	}
	return ""
}

// readAt returns the up to n bytes at off that the file has.
func readAt(r *io.SectionReader, off, n uint64) ([]byte, error) {
	size := uint64(r.Size())
	if off >= size {
		return nil, nil
	}
	b := make([]byte, min(n, size-off))
	if _, err := r.ReadAt(b, int64(off)); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, nil
}

func cstring(b []byte) (s string, ended bool) {
	before, _, ended := bytes.Cut(b, []byte{0})
	return string(before), ended
}
