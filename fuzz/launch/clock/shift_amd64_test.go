package clock

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestOnlyProgramsWithTheVDSOOfThisProcessCanBeShifted(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	loop := filepath.Join(dir, "loop")
	for program, want := range map[string]bool{
		self:                               true,
		file("script", "#! "+self+" -x\n"): true,
		file("twice", "#!"+dir+"/script"):  true,
		file("loop", "#!"+loop+"\n"):       false,
		file("nobody", "#!\n"):             false,
		file("32 bits", "\x7fELF\x01"):     false,
		file("cut", "\x7fELF"):             false,
		file("empty", ""):                  false,
		file("text", "echo\n"):             false,
		filepath.Join(dir, "missing"):      false,
	} {
		if s, err := Prepare(program); (err == nil) != want || err != nil && (!errors.Is(err, ErrFixed) || s != nil) {
			t.Errorf("%s: got %v", program, err)
		}
	}
}

// Nothing of the kernel's is overwritten but the addresses of three functions.
func TestAShiftIsWrittenWhereNothingIs(t *testing.T) {
	s, err := Prepare("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	all, err := patches(s.vdso, 1)
	if err != nil {
		t.Fatal(err)
	}
	code := 0
	for _, p := range all {
		if len(p.old) != len(p.new) || !bytes.Equal(s.vdso[p.at:p.at+len(p.old)], p.old) {
			t.Errorf("at %#x: %x is to become %x", p.at, p.old, p.new)
		}
		if len(p.new) == 8 {
			continue
		}
		code++
		if len(bytes.Trim(p.old, "\x00")) > 0 {
			t.Errorf("at %#x: %x is overwritten", p.at, p.old)
		}
	}
	if code != 3 || len(all) < 6 {
		t.Errorf("%d functions of %d patches, want 3 of at least 6", code, len(all))
	}
}

func TestAVDSOWithoutRoomIsLeftAsItIs(t *testing.T) {
	s, err := Prepare("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	full := bytes.Clone(s.vdso)
	const segment, memorySize = 64, 40 // the first Elf64_Phdr, and p_memsz in it
	binary.LittleEndian.PutUint64(full[segment+memorySize:], uint64(len(full)-16))
	for name, vdso := range map[string][]byte{"full": full, "none": nil, "cut": s.vdso[:512], "noise": bytes.Repeat([]byte{0xff}, 8192)} {
		if all, err := patches(vdso, 1); !errors.Is(err, ErrFixed) {
			t.Errorf("%s: got %d patches, %v", name, len(all), err)
		}
	}
}
