package image

import (
	"debug/elf"
	"fmt"
)

// Entry returns the ELF file that the kernel executes for the program at path, and
// where in it the entry point lies: for a script those of its interpreter. Where
// the program is dynamic, its libraries are loaded before.
func Entry(path string) (file string, offset uint64, err error) {
	file = path
	for scripts := 0; scripts <= maxScripts; scripts++ {
		file, err = resolve(file)
		if err != nil {
			return "", 0, fmt.Errorf("entry point of %s: %w", path, err)
		}
		c, err := load(file)
		if err != nil {
			return "", 0, fmt.Errorf("entry point of %s: %w", path, err)
		}
		if c.kind != Script {
			if c.entryOffset == 0 {
				return "", 0, fmt.Errorf("entry point of %s: %s has none", path, file)
			}
			return file, c.entryOffset, nil
		}
		file = c.interpreter
	}
	return "", 0, fmt.Errorf("entry point of %s: more than %d scripts interpret one another", path, maxScripts)
}

func (x elfFile) entryOffset() uint64 {
	for _, p := range x.Progs {
		if p.Type == elf.PT_LOAD && p.Vaddr <= x.Entry && x.Entry-p.Vaddr < p.Filesz {
			return x.Entry - p.Vaddr + p.Off
		}
	}
	return 0
}
