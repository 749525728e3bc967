package mine

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

// maxExamples bounds the command lines that a text is taken to show, maxExampleWords the
// words of one.
const (
	maxExamples     = 96
	maxExampleWords = 24
)

// Examples returns the command lines of a program, without its name, that its help text and
// its manual page show: those of synopses, and those in examples. What stands for a value
// has become one. Prose that begins with the name of the program may be among them.
func Examples(program string, help, page []byte) [][]string {
	var out [][]string
	for _, line := range shown(program, help, page) {
		for _, words := range invocations(program, line) {
			if len(out) < maxExamples && !slices.ContainsFunc(out, func(o []string) bool { return slices.Equal(o, words) }) {
				out = append(out, words)
			}
		}
	}
	return out
}

// Listed reports whether the texts show the program behind one that lists files, or before a file that is called a list: it reads their names.
func Listed(program string, help, page []byte) bool {
	called := `(?:\S*/)?` + regexp.QuoteMeta(program)
	lists := regexp.MustCompile(`(?:^|[\s;(])(?:find|fd|ls|locate|git ls-files)(?:\s[^|]*)?\|\s*(?:sudo\s+)?` + called + `(?:\s|$)|` +
		`(?:^|[\s;(|])` + called + `(?:\s[^|;&]*)?\s<\s+(?:\S*[^a-zA-Z\s])?(?:file)?(?:list|names)(?:\.\w+)?(?:\s|$)`)
	return slices.ContainsFunc(shown(program, help, page), lists.MatchString)
}

// shown are the lines of both texts that may show how the program is called.
func shown(program string, help, page []byte) []string {
	return slices.Concat(shownInHelp(program, string(help[:min(len(help), maxHelp)])), shownInPage(program, string(page[:min(len(page), maxPage)])))
}

// shownInHelp are the indented lines and those that say how the program is used.
func shownInHelp(program, text string) []string {
	var out []string
	commands := false
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\\\n", " "), "\n") {
		trimmed := strings.TrimSpace(line)
		if strings.HasSuffix(trimmed, ":") {
			commands = strings.Contains(strings.ToLower(trimmed), "command")
		} else if commands && trimmed != line && synopsisOfCommand.MatchString(trimmed) {
			out = append(out, placeholders(program+" "+trimmed))
			continue
		}
		if m := useOf.FindString(trimmed); m != "" {
			line := trimmed[len(m):]
			if synopsisOf.MatchString(m) {
				line = placeholders(line)
			}
			out = append(out, line)
		} else if m := purpose.FindString(trimmed); m != "" && beginsWith(trimmed[len(m):], program) {
			out = append(out, placeholders(trimmed[len(m):]))
		} else if trimmed != line || prompt.MatchString(line) {
			out = append(out, trimmed)
		}
	}
	return out
}

// beginsWith reports whether a line begins with the name of the program, which some write in capitals.
func beginsWith(line, program string) bool {
	name, _, _ := strings.Cut(line, " ")
	return name == program || name == strings.ToUpper(program)
}

// placeholders is a synopsis in which what stands for a command or a file, in small letters, has brackets as others have.
func placeholders(line string) string {
	words := strings.Split(line, " ")
	for i, w := range words[min(1, len(words)):] {
		if name := strings.TrimSuffix(w, "..."); slices.Contains([]string{"utility", "command", "cmd", "program", "filename", "pathname", "directory"}, name) {
			words[1+i] = "<" + name + ">"
		}
	}
	return strings.Join(words, " ")
}

// shownInPage are the lines of a manual page that are not filled, those in bold or of constant width, and all in
// sections of examples. What follows the name of the program in a synopsis is one line.
func shownInPage(program, page string) []string {
	var out []string
	literal, shown, synopsis := false, false, false
	own := ownName(program, page)
	put := func(text string) {
		if rest, ok := strings.CutPrefix(prompt.ReplaceAllString(text, ""), own+" "); ok {
			text = program + " " + rest
		} else if text == own {
			text = program
		}
		if n := len(out); synopsis && n > 0 && text != program && !strings.HasPrefix(text, program+" ") {
			out[n-1] += " " + text
			return
		}
		out = append(out, text)
	}
	page = strings.ReplaceAll(page, "\\\n", "")
	for line := range strings.SplitSeq(page, "\n") {
		m := request.FindStringSubmatch(line)
		if m == nil {
			if literal || shown || synopsis || strings.HasPrefix(line, " ") || setApart.MatchString(line) {
				put(bare(line))
			}
			continue
		}
		rest := m[2]
		switch m[1] {
		case "SH", "Sh", "SS", "Ss":
			title := strings.ToUpper(rest)
			if m[1][1] == 'H' || m[1] == "Sh" || strings.Contains(title, "EXAMPLE") {
				shown, synopsis = strings.Contains(title, "EXAMPLE"), strings.Contains(title, "SYNOPSIS")
				out = append(out, "") // nothing is joined to what was before
			}
		case "nf", "EX", "Bd", "Vb":
			literal = true
		case "fi", "EE", "Ed", "Ve":
			literal = false
		case "B", "BR", "BI", "RB", "IB", "RI", "IR":
			line := ""
			apart := map[bool]string{true: " "}[len(m[1]) == 1]
			for i, a := range arguments(rest) {
				line += font(m[1][i%len(m[1]):i%len(m[1])+1], a) + apart
			}
			put(bare(line))
		case "Nm":
			if synopsis {
				put(semantic(program, own, arguments("Nm "+rest)))
			}
		case "Fl", "Ar", "Op", "Oo", "Oc", "Cm", "Brq", "Bro", "Brc", "Pa":
			if synopsis {
				put(semantic(program, own, arguments(m[1]+" "+rest)))
			}
		case "Dl", "D1":
			if words := arguments(rest); slices.ContainsFunc(words, func(w string) bool { return w == "Nm" || w == "Fl" || w == "Ar" }) {
				put(semantic(program, own, words))
				break
			}
			put(bare(strings.Join(arguments(rest), " ")))
		case "Ic", "IP", "TP":
			put(bare(strings.Join(arguments(rest), " ")))
		}
	}
	return out
}

// ownName is what a manual page calls the program where that is installed under another name, as several that do the
// same must be: the first name of the page, unless the program's own is one of them.
func ownName(program, page string) string {
	first, names := "", false
	for line := range strings.SplitSeq(page, "\n") {
		m := request.FindStringSubmatch(line)
		switch {
		case m != nil && strings.EqualFold(m[1], "sh"):
			if names {
				return cmp.Or(first, program)
			}
			names = strings.Trim(strings.ToUpper(m[2]), `" `) == "NAME"
		case names && (m == nil || m[1] == "Nm" || m[1] == "B"):
			text := line
			if m != nil {
				text = m[2]
			}
			list, _, _ := strings.Cut(plain(text, false), " - ")
			for _, name := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
				if name == program {
					return program
				}
				first = cmp.Or(first, name)
			}
		}
	}
	return cmp.Or(first, program)
}

// semantic is a line of mdoc(7) as people would write it, with the program in the place of Nm.
func semantic(program, own string, words []string) string {
	var out []string
	shut := ""
	for i, w := range words {
		switch {
		case w == "Nm" && i+1 < len(words) && !macro.MatchString(words[i+1]):
			continue // a name follows
		case w == "Nm" || w == own && i > 0 && words[i-1] == "Nm":
			w = program
		case w == "Brq" && !slices.Contains(words, "|"):
			continue
		case w == "Brq":
			w, shut = "{", " }"
		case w == "Bro":
			w = "{"
		case w == "Brc":
			w = "}"
		case w == "Aq" || w == "Bq" || w == "Pq" || w == "Xo" || w == "Xc":
			continue
		}
		out = append(out, w)
	}
	return strings.TrimSpace(mdoc(out)) + shut
}

// bare is text without escapes, in which the names of values have brackets.
func bare(s string) string {
	return strings.TrimSpace(plain(strings.ReplaceAll(s, `\&`, ""), true))
}

var (
	useOf           = lazyregexp.New(`^(?i:usage|use|or|e\.g\.|example|examples|try):\s*`)
	purpose         = lazyregexp.New(`^\pL[^:]*:\s+`)        // as in "Create: pack -c"
	macro           = lazyregexp.New(`^(?:[A-Z][a-z]|\W+)$`) // of mdoc(7), or punctuation
	prompt          = lazyregexp.New("^(?:[$%#>]|`|'|\")\\s*")
	optional        = lazyregexp.New(`\[[^\[\]]*\]`)
	valueName       = lazyregexp.New(`^<[^>]*>$|^[A-Z][A-Z0-9_-]+$`)
	setApart        = lazyregexp.New(`^\\f(?:B|C|\(C|\[C)`) // in bold, or as a typewriter does
	synopsisOf      = lazyregexp.New(`^(?i:usage|or)`)
	choice          = lazyregexp.New(`^[{(]?[\w-]+(?:\|[\w-]+)+[})]?$`)
	modes           = lazyregexp.New(`^\[-[\w+-]+(?:\|-[\w+-]+)+\]$`)
	parenthesized   = lazyregexp.New(`\( *[\w-]+ *(?:\| *[\w-]+ *)+\)`)
	optionalOperand = lazyregexp.New(`^\[<?([A-Za-z][\w-]*)>?(?:\.\.\.)?\](?:\.\.\.)?$`)
	wordy           = lazyregexp.New(`[.,;:!?]$`)
)

// invocations are the command lines of a program in a line of text: that with which it begins,
// and that behind a pipe.
func invocations(program, line string) [][]string {
	line = joinAlternatives(prompt.ReplaceAllString(line, ""))
	var out [][]string
	begins := true
	for words := range shellCommands(line) {
		named := len(words) > 0 && (beginsWith(words[0], program) || strings.HasSuffix(words[0], "/"+program))
		if named && (begins || len(out) > 0 || strings.Contains(line, "|")) {
			for _, words := range chosen(words[1:]) {
				if c := concrete(words); len(c) > 0 {
					out = append(out, c)
				}
				if more, ok := opened(words); ok {
					if c := concrete(more); len(c) > 0 {
						out = append(out, c)
					}
				}
			}
		}
		begins = false
	}
	return out
}

// joinAlternatives is a synopsis without the spaces in "{get | put}" and "[-a | -b]", which are no pipes, and without the quotes of
// words in braces.
func joinAlternatives(line string) string {
	if !strings.Contains(line, "|") {
		return line
	}
	line = parenthesized.ReplaceAllStringFunc(line, func(of string) string { return strings.ReplaceAll(of, " ", "") })
	var out strings.Builder
	depth, braces := 0, 0
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '[' || c == '{':
			depth++
			if c == '{' {
				braces++
			}
		case c == ']' || c == '}':
			depth = max(0, depth-1)
			if c == '}' {
				braces = max(0, braces-1)
			}
		case braces > 0 && (c == ' ' || c == '\'') && slices.ContainsFunc([]string{"{", "|"}, func(s string) bool { return strings.HasSuffix(out.String(), s) }),
			braces > 0 && (c == ' ' || c == '\'') && strings.ContainsAny(firstOf(strings.TrimLeft(line[i:], " '")), "|}"),
			depth > 0 && c == ' ' && (strings.HasSuffix(out.String(), "|") || strings.HasPrefix(strings.TrimLeft(line[i:], " "), "|")):
			continue
		}
		out.WriteByte(c)
	}
	return out.String()
}

// opened is a synopsis with what it calls optional where that is an operand: "create FILE [SIZE]" may do nothing without.
func opened(words []string) ([]string, bool) {
	words, ok := slices.Clone(words), false
	for i, w := range words {
		m := optionalOperand.FindStringSubmatch(w)
		if m == nil || strings.EqualFold(m[1], "options") || strings.EqualFold(m[1], "option") || i > 0 && strings.HasPrefix(words[i-1], "[") && !strings.HasSuffix(words[i-1], "]") {
			continue
		}
		if words[i], ok = "<"+m[1]+">", true; standIn(words[i]) == mutate.Input && i > 0 && valueName.MatchString(words[i-1]) {
			words[i] = m[1] // beside the input it has a name of its own
		}
	}
	return words, ok
}

// firstOf is the first byte, "" where there is none.
func firstOf(s string) string { return s[:min(1, len(s))] }

// chosen are the command lines that a synopsis stands for in which one of several words is to be chosen: "{get|put} FILE". Of
// options in brackets at its beginning one is mostly needed, too.
func chosen(words []string) [][]string {
	const most = 12
	i := slices.IndexFunc(words, choice.MatchString)
	if len(words) > 0 && modes.MatchString(words[0]) {
		i = 0
	}
	if i < 0 {
		return [][]string{words}
	}
	var out [][]string
	for w := range strings.SplitSeq(strings.Trim(words[i], "{}()[]"), "|") {
		if len(out) < most {
			out = append(out, slices.Concat(words[:i], []string{w}, words[i+1:]))
		}
	}
	return out
}

// concrete makes values of what stands for them, and leaves out what a synopsis calls
// optional. Words that read like prose are no command line.
func concrete(words []string) []string {
	var out []string
	depth := 0
	last := ""
	for _, w := range words {
		whole := w
		depth += strings.Count(w, "[") - strings.Count(w, "]")
		if depth != 0 {
			depth = max(depth, 0)
			continue
		}
		for optional.MatchString(w) { // [user@]host, and what is all optional
			w = optional.ReplaceAllString(w, "")
		}
		if w = strings.TrimSuffix(w, "..."); w == "" || strings.ContainsAny(w, "[]") && !strings.Contains(whole, "*") {
			continue
		}
		if choice.MatchString(w) {
			w, _, _ = strings.Cut(strings.Trim(w, "{}()"), "|")
		}
		name, value, joined := strings.Cut(w, "=")
		switch {
		case valueName.MatchString(w):
			w = standIn(w)
		case joined && strings.HasPrefix(w, "-") && valueName.MatchString(value):
			w = name + "=" + standIn(value)
		}
		out, last = append(out, w), whole
	}
	options := slices.ContainsFunc(out, func(w string) bool { return strings.HasPrefix(w, "-") })
	if n := len(out); options && n > 0 {
		if w := strings.TrimRight(out[n-1], ".,;:)"); w != "" { // of the sentence around it
			out[n-1] = w
		}
	}
	if len(out) > maxExampleWords || !options && (len(out) > 8 || wordy.MatchString(last)) {
		return nil
	}
	return out
}

// standIn is a value for its name.
func standIn(name string) string {
	o := mutate.Option{Arity: mutate.NeedsValue, Kind: strings.Trim(name, "<>")}
	if v := o.Likely(); len(v) > 0 {
		return v[0]
	}
	return mutate.Input // what is not named otherwise is mostly a file
}

// shellCommands yields the simple commands of a line as a shell would read it, but for
// expansions: their words, without quotes and redirections.
func shellCommands(line string) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		var words []string
		var word strings.Builder
		in, skip := false, false // a word; the word names the file of a redirection
		end := func() {
			if in && !skip {
				words = append(words, word.String())
			}
			skip = skip && !in
			word.Reset()
			in = false
		}
		for i := 0; i < len(line); i++ {
			switch c := line[i]; {
			case c == ' ' || c == '\t':
				end()
			case c == '\'' || c == '"':
				n := strings.IndexByte(line[i+1:], c)
				if n < 0 { // an apostrophe
					word.WriteByte(c)
					in = true
					break
				}
				word.WriteString(line[i+1 : i+1+n])
				in = true
				i += n + 1
			case c == '\\' && i+1 < len(line):
				i++
				word.WriteByte(line[i])
				in = true
			case c == '#' && !in:
				i = len(line)
			case c == '<' && strings.IndexByte(line[i:], '>') > 1 && !strings.Contains(line[i:i+strings.IndexByte(line[i:], '>')], " <"):
				n := strings.IndexByte(line[i:], '>') // a placeholder, which may have spaces
				word.WriteString(strings.ReplaceAll(line[i:i+n+1], " ", "-"))
				in = true
				i += n
			case c == '<' || c == '>':
				if word.String() == "2" || word.String() == "1" {
					word.Reset()
					in = false
				}
				end()
				skip = true
			case (c == '|' || c == ';' || c == '&') && (in && c == '|' && i+1 < len(line) && line[i+1] != ' '):
				word.WriteByte(c) // one of several
			case c == '|' || c == ';' || c == '&':
				end()
				if !yield(words) {
					return
				}
				words, skip = nil, false
			default:
				word.WriteByte(c)
				in = true
			}
		}
		end()
		yield(words)
	}
}
