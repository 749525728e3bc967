package image

import (
	"debug/elf"
	"fmt"
)

// Callee is where the code of a file finds a function that it calls.
type Callee struct {
	Address uint64 // of the function, from where the file begins in memory
	Slot    bool   // the address is that of the slot which the dynamic linker fills with the function's
}

// Callees returns those of the named functions that the x86-64 ELF file at path calls: of what is
// dynamically linked the imports, of a static program what its symbols tell of, for the linker
// takes from a library only what somebody refers to.
func Callees(path string, names []string) (map[string]Callee, error) {
	x, file, err := openCode(path)
	if err != nil {
		return nil, fmt.Errorf("callees of %s: %w", path, err)
	}
	defer file.Close()
	callees, err := x.callees(names)
	if err != nil {
		return nil, fmt.Errorf("callees of %s: %w", path, err)
	}
	return callees, nil
}

func (x elfFile) callees(names []string) (map[string]Callee, error) {
	imports, err := x.imports()
	if err != nil {
		return nil, err
	}
	found := map[string]Callee{}
	begin := x.begin()
	if len(imports) == 0 {
		sections, err := x.sections()
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			at, err := x.named(sections, name)
			if err != nil {
				return nil, err
			}
			if at != 0 {
				found[name] = Callee{Address: at - begin}
			}
		}
		return found, nil
	}
	wanted := map[string]bool{}
	for _, name := range names {
		wanted[name] = true
	}
	for slot, name := range imports {
		if c, again := found[name]; wanted[name] && (!again || slot-begin < c.Address) { // the same one each time
			found[name] = Callee{slot - begin, true}
		}
	}
	return found, nil
}

// begin is the address that the first byte of the file would have where the file wants to be loaded.
func (x elfFile) begin() uint64 {
	for _, p := range x.Progs {
		if p.Type == elf.PT_LOAD {
			return p.Vaddr - p.Off
		}
	}
	return 0
}
