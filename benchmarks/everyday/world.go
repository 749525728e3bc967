package main

import (
	"os"
	"path/filepath"
	"strings"
)

// furnish makes the files that command lines speak of, and returns the directory that they lie in.
func furnish(dir string) (string, error) {
	lines := strings.Repeat("one\ntwo\nbanana\napple\n", 50)
	world := filepath.Join(dir, "world")
	for name, text := range map[string]string{
		"text": lines, "copy": lines, "more": lines + "three\n", "data": strings.Repeat("\x00\x01\xff\x7fdata", 20000),
		"big":          strings.Repeat(lines+"four\n", 4000), // 4 MB
		"main.c":       "#include <stdio.h>\n#define N 3\nstruct s { int a; };\nenum e { A, B };\nint main(void) { return N; }\n",
		"more.py":      "class C:\n    def m(self):\n        return 1\n\ndef f(): pass\n",
		"tree/a.txt":   "one\n",
		"tree/b/c.txt": "two\n",
		"tree/b/m.c":   "int f(int x) { return x; }\n",
		"other/x":      "one\n",
	} {
		path := filepath.Join(world, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	return world, nil
}
