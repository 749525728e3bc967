package mine

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

// maxPage bounds a manual page, unpacked.
const maxPage = 4 << 20

// ManPage returns the source of a program's manual page, unpacked, from a tree such as
// /usr/share/man. It looks in sections 1, 8 and 6, and goes where .so leads. A program
// without a page is fs.ErrNotExist.
func ManPage(tree fs.FS, program string) ([]byte, error) {
	if !fs.ValidPath(program) || strings.Contains(program, "/") {
		return nil, fmt.Errorf("manual page of %q: %w", program, fs.ErrNotExist)
	}
	for _, section := range []string{"1", "8", "6"} {
		page, err := readPage(tree, path.Join("man"+section, program+"."+section))
		for range 3 {
			link, ok := strings.CutPrefix(string(page), ".so ")
			if err != nil || !ok {
				break
			}
			link, _, _ = strings.Cut(link, "\n")
			page, err = readPage(tree, strings.TrimSuffix(strings.TrimSpace(link), ".gz"))
		}
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return page, err
		}
	}
	return nil, fmt.Errorf("manual page of %q: %w", program, fs.ErrNotExist)
}

// readPage reads name or name.gz.
func readPage(tree fs.FS, name string) ([]byte, error) {
	if page, err := fs.ReadFile(tree, name); err == nil {
		return page[:min(len(page), maxPage)], nil
	}
	packed, err := fs.ReadFile(tree, name+".gz")
	if err != nil {
		return nil, fmt.Errorf("read manual page: %w", err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("read manual page %s.gz: %w", name, err)
	}
	page, err := io.ReadAll(io.LimitReader(z, maxPage))
	if err != nil {
		return nil, fmt.Errorf("read manual page %s.gz: %w", name, err)
	}
	return page, nil
}

// Man reads the source of a manual page into a table: man(7) as people write it and as
// help2man, pod2man, asciidoc and ronn do, and mdoc(7). It brings the page into the
// form of a help text, in which Help finds the options.
func Man(page []byte) mutate.Table {
	r := roff{}
	text := strings.ReplaceAll(string(page[:min(len(page), maxPage)]), "\r", "")
	text = strings.ReplaceAll(text, "\\\n", "")
	for line := range strings.SplitSeq(text, "\n") {
		r.line(line)
	}
	r.flush()
	r.alone()
	return Help([]byte(r.out.String()))
}

// roff is a manual page on its way to a help text.
type roff struct {
	out     strings.Builder
	section string // of the page
	tag     bool   // the next text is the tag of a paragraph
	literal bool   // an example, or the macro of a page
	fresh   bool   // a paragraph begins
	text    []string
	entry   string // the tag of the paragraph in text
	above   string // tags without a text before that one: other spellings of it
}

var (
	request   = lazyregexp.New(`^[.']\s*([A-Za-z]{1,3})\b\s*(.*)$`)
	quotedArg = lazyregexp.New(`"((?:[^"]|"")*)"?|(?:\\ |\S)+`)
	typed     = lazyregexp.New(`^[a-z0-9](?:[a-z0-9]|\\?-)*\\f(?:R|P|\[\]|1)(?:[^(]|$)`)
)

func (r *roff) synopsis() bool { return strings.HasPrefix(r.section, "SYNOPSIS") }

func (r *roff) line(line string) {
	if r.literal && !r.synopsis() {
		r.literal = line != ".fi" && line != ".." && line != ".Ed" && line != ".EE"
		return
	}
	if !strings.HasPrefix(line, ".") && !strings.HasPrefix(line, "'") {
		r.words(plain(line, r.tag || r.synopsis()))
		return
	}
	m := request.FindStringSubmatch(line)
	if m == nil {
		return
	}
	macro, rest := m[1], strings.TrimSpace(strings.SplitN(m[2], `\"`, 2)[0])
	switch macro {
	case "SH", "Sh":
		r.flush()
		r.alone()
		r.section = strings.ToUpper(plain(strings.Trim(rest, `"`), false))
		fmt.Fprintf(&r.out, "\n%s:\n", r.section)
	case "SS", "Ss", "PP", "P", "LP", "Pp", "sp", "br", "RS", "RE", "Bl", "El", "HP":
		r.paragraph()
	case "TP", "TQ":
		r.flush()
		r.tag = true
	case "IP":
		args := arguments(rest)
		if len(args) == 0 && r.entry != "" && len(r.text) == 0 { // ronn has a tag beside a bullet, and its text below
			break
		}
		r.flush()
		if len(args) > 0 {
			if tag := plain(args[0], true); begins(tag) || r.commands() {
				r.entry = tag
			}
		}
		r.fresh = true
	case "It":
		r.flush()
		r.tag = true
		r.words(mdoc(arguments(rest)))
	case "nf", "EX", "Bd", "de":
		r.literal = true
	case "fi", "EE", "Ed":
		r.literal = false
	case "B", "I", "SM", "SB":
		r.words(plain(font(macro[:1], strings.Join(arguments(rest), " ")), r.tag || r.synopsis()))
	case "BR", "BI", "RB", "RI", "IB", "IR":
		s := ""
		for i, a := range arguments(rest) {
			s += font(macro[i%2:i%2+1], a)
		}
		r.words(plain(s, r.tag || r.synopsis()))
	case "Nm", "Nd", "TH", "Dd", "Dt", "Os", "ds", "nr", "if", "ie", "el", "so", "ft", "ad", "hy", "Xr", "Sx":
	default:
		if macro[0] >= 'A' && macro[0] <= 'Z' && len(macro) == 2 && macro[1] >= 'a' {
			r.words(mdoc(append([]string{macro}, arguments(rest)...)))
		}
	}
}

// font puts text between the escapes for bold, italic or roman.
func font(f, text string) string { return `\f` + f + text + `\fR` }

// arguments splits those of a request; quotes keep white space together.
func arguments(s string) []string {
	var out []string
	for _, m := range quotedArg.FindAllStringSubmatch(s, -1) {
		if strings.HasPrefix(m[0], `"`) {
			out = append(out, strings.ReplaceAll(m[1], `""`, `"`))
		} else {
			out = append(out, m[0])
		}
	}
	return out
}

// begins reports whether a tag is an option or what a format may hold.
func begins(tag string) bool { return strings.HasPrefix(tag, "-") || strings.HasPrefix(tag, "%") }

func (r *roff) commands() bool { return strings.Contains(r.section, "COMMAND") }

// words takes a line of text: the tag that was announced, or a part of a paragraph. A
// paragraph that begins with an option is an entry too: asciidoc has no tags.
func (r *roff) words(text string) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		if !r.tag && !r.synopsis() {
			r.paragraph()
		}
	case r.tag:
		r.tag = false
		if begins(text) || r.commands() {
			r.entry = strings.TrimSuffix(text, ":")
		}
	case r.fresh && strings.HasPrefix(text, "-") && !r.synopsis():
		r.flush()
		tag, rest, found := strings.Cut(text, ": ")
		if found && strings.ContainsAny(tag, `"'{`) { // a value
			tag, rest = text, ""
		}
		if r.entry = strings.TrimSuffix(tag, ":"); rest != "" {
			r.text = append(r.text, rest)
		}
		r.fresh = false
	default:
		r.text = append(r.text, text)
		r.fresh = false
	}
}

// paragraph ends one inside an entry, of which there may be several.
func (r *roff) paragraph() {
	r.fresh = true
	if r.entry == "" && !r.synopsis() {
		r.flush()
	}
}

// flush writes the entry with its description, or the synopsis, as a help text has it.
func (r *roff) flush() {
	text := strings.Join(r.text, " ")
	switch {
	case r.synopsis() && text != "":
		fmt.Fprintf(&r.out, "usage: %s\n\n", text)
	case strings.HasPrefix(r.entry, "-"):
		if r.above != "" && strings.Count(r.above+r.entry, "--") == 1 {
			r.entry, r.above = r.above+", "+r.entry, ""
		}
		r.alone()
		if text == "" {
			r.above = r.entry
			break
		}
		fmt.Fprintf(&r.out, "  %s\n        %s\n", r.entry, text)
	case strings.HasPrefix(r.entry, "%"):
		fmt.Fprintf(&r.out, "  %s   %s\n", r.entry, text)
	case r.entry != "":
		name, _, _ := strings.Cut(r.entry, " ")
		fmt.Fprintf(&r.out, "  %s   %s\n", name, text)
	}
	r.entry, r.text, r.tag, r.fresh = "", nil, false, true
}

// alone writes tags that no text follows.
func (r *roff) alone() {
	if r.above != "" {
		fmt.Fprintf(&r.out, "  %s\n\n", r.above)
	}
	r.above = ""
}

// plain is a text without escapes. In a tag what is italic is the name of a value, and
// gets the brackets that help texts have; elsewhere what is bold is something to type,
// and gets quotes.
func plain(s string, tag bool) string {
	var out strings.Builder
	open := "" // what closes the current font
	shut := func() {
		out.WriteString(open)
		open = ""
	}
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			out.WriteByte(s[i])
			i++
			continue
		}
		i++
		if i == len(s) {
			break
		}
		c := s[i]
		i++
		switch c {
		case '-', '.', '\'', '`':
			out.WriteByte(c)
		case 'e', '\\':
			out.WriteByte('\\')
		case ' ', '~', '0':
			out.WriteByte(' ')
		case '"':
			i = len(s) // a comment
		case 'f':
			name, n := escapeName(s[i:])
			i += n
			shut()
			rest := s[i:]
			switch {
			case tag && (name == "I" || name == "2") && named(rest):
				out.WriteByte('<')
				open = ">"
			case !tag && (name == "B" || name == "3") && typed.MatchString(rest): // no option, no page name(1)
				out.WriteByte('\'')
				open = "'"
			}
		case '(', '[':
			name, n := escapeName(s[i-1:])
			i += n - 1
			out.WriteString(map[string]string{"aq": "'", "dq": `"`, "lq": "\"", "rq": "\"", "oq": "'", "cq": "'", "hy": "-", "en": "-", "mi": "-", "ha": "^", "ti": "~", "rs": "\\"}[name])
		case '*', 's', 'm', 'n', 'g', 'k', 'F':
			_, n := escapeName(s[i:])
			i += n
		case 'h', 'v', 'w', 'l', 'D', 'X', 'Z', 'o', 'N':
			if i < len(s) && s[i] == '\'' {
				if n := strings.IndexByte(s[i+1:], '\''); n >= 0 {
					i += n + 2
				}
			}
		}
	}
	shut()
	return out.String()
}

// named reports whether the italic text that s begins with is a name for a value, not
// one that has its brackets already.
func named(s string) bool {
	for strings.HasPrefix(s, `\,`) {
		s = s[2:]
	}
	return s != "" && (s[0]|0x20 >= 'a' && s[0]|0x20 <= 'z')
}

// escapeName reads X, (XX, [XXX] or, for sizes, a sign before them.
func escapeName(s string) (name string, n int) {
	switch {
	case s == "":
		return "", 0
	case s[0] == '(' && len(s) >= 3:
		return s[1:3], 3
	case s[0] == '[':
		if end := strings.IndexByte(s, ']'); end > 0 {
			return s[1:end], end + 1
		}
	case (s[0] == '-' || s[0] == '+') && len(s) > 1:
		return s[:2], 2
	}
	return s[:1], 1
}

// mdoc writes the words of an mdoc(7) line: Fl is an option, Ar the name of a value, Op
// what may be left out.
func mdoc(words []string) string {
	var out strings.Builder
	space, shut := false, ""
	put := func(s string) {
		if space && s != "" {
			out.WriteByte(' ')
		}
		out.WriteString(s)
		space = s != ""
	}
	kind := ""
	for i, w := range words {
		switch w {
		case "Fl", "Ar", "Cm", "Li", "Ql", "Sq", "Dq", "Pa", "Ev", "Sy", "Em":
			if kind == "Fl" { // a lone hyphen: the option is in what follows
				put("-")
				space = false
			}
			if kind = w; w == "Ar" && i+1 == len(words) {
				put("<file>") // mdoc's own default
			}
		case "Ns":
			space = false
		case "Op", "Oo":
			put("[")
			space = false
			if w == "Op" {
				shut += "]"
			}
		case "Oc":
			space = false
			put("]")
		case "No", "Xo", "Xc", "Nm", "Xr":
			kind = ""
		case ",", ".", ":", ";", ")", "|":
			space = w == "|"
			put(w)
		default:
			w = plain(w, false)
			switch kind {
			case "Fl":
				put("-" + w)
				kind = "" // the next word is of the same kind only if it says so
			case "Ar":
				put("<" + strings.Trim(w, "<>") + ">")
			case "Cm", "Li", "Ql", "Sq", "Dq":
				put("'" + w + "'")
			default:
				put(w)
			}
		}
	}
	return out.String() + shut
}
