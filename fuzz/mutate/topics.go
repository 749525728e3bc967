package mutate

import "strings"

// Topic is something that options are about, and that they do nothing without. The zero value is invalid.
type Topic uint8

// The topics.
const (
	TopicInvalid   Topic = iota
	TopicDirectory       // what is in directories
	TopicLink            // symbolic links
	TopicExisting        // what is there already
	TopicHoles           // files that hold nothing in places
	TopicTerminal        // a person who reads and types
	TopicNames           // names of files, in a file or on standard input
	TopicPacked          // compressed data, and archives
	topics
)

// stems are what words begin with that tell of a topic.
var stems = [topics][]string{
	TopicDirectory: {"recurs", "director", "subdir", "folder", "tree", "hierarch", "parents"},
	TopicLink:      {"symlink", "symbolic", "link", "dereferenc"},
	TopicExisting:  {"overwrit", "exist", "replac", "backup", "in-place", "inplace", "append", "updat", "newer", "clobber", "delet"},
	TopicHoles:     {"sparse", "hole", "zero"},
	TopicTerminal:  {"terminal", "tty", "color", "colour", "interactiv", "prompt", "confirm", "progress", "ask"},
	TopicNames:     {"filename", "names", "list"},
	TopicPacked:    {"compress", "uncompress", "decompress", "archiv", "unpack", "zip", "unzip", "gzip", "gunzip", "bzip", "xz", "zstd", "inflat"},
}

// Speaks reports whether what is said of the option, or its name, has to do with the topic.
func (o *Option) Speaks(of Topic) bool {
	for word := range strings.FieldsFuncSeq(strings.ToLower(o.Name+" "+o.About), func(c rune) bool { return (c < 'a' || c > 'z') && c != '-' }) {
		word = strings.TrimLeft(word, "-")
		for _, stem := range stems[of] {
			if strings.HasPrefix(word, stem) {
				return true
			}
		}
	}
	return false
}
