package audit

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// typeSeccomp is AUDIT_SECCOMP of linux/audit.h.
const typeSeccomp = 1326

// Record is a call that met a seccomp filter, as the kernel's audit system tells of it.
type Record struct {
	ID   sysno.ID // invalid for an architecture without a table
	PID  int      // of the process, in the initial pid namespace; which thread it was is not told
	Comm string   // of the thread
	Exe  string   // path of the program, "" where the kernel does not know it
	IP   uint64   // where the call was made
	// Return is SECCOMP_RET_* of the filter that decided, without an errno or other data.
	Return uint32
}

// parse reads the text of a record of type 1326, which is the same in a message, in
// /var/log/audit and in the kernel's log (audit_seccomp in kernel/auditsc.c):
//
//	audit(1795974289.017:2): auid=4294967295 uid=0 gid=0 ses=4294967295 subj=unconfined pid=6387
//	comm="victim" exe="/tmp/victim" sig=0 arch=c000003e syscall=146 compat=0 ip=0x7f4599e9b829 code=0x7ffc0000
//
// A string is in quotes, or in hexadecimal digits where it has a space, a quote or a control
// character, so no name that a program gives itself is taken for a field. Fields that are not
// known are skipped, for kernels have added some.
func parse(text string) (Record, error) {
	_, fields, ok := strings.Cut(strings.TrimRight(text, "\x00\n"), "): ")
	if !ok {
		return Record{}, fmt.Errorf("no audit record: %.100q", text)
	}
	found := map[string]string{}
	for f := range strings.FieldsSeq(fields) {
		if name, value, ok := strings.Cut(f, "="); ok {
			if _, twice := found[name]; twice {
				return Record{}, fmt.Errorf("an audit record with two fields %q", name)
			}
			found[name] = value
		}
	}
	var r Record
	number := func(name string, base, bits int) uint64 {
		v, e := strconv.ParseUint(strings.TrimPrefix(found[name], "0x"), base, bits)
		if e != nil {
			ok = false
		}
		return v
	}
	r.PID = int(number("pid", 10, 31))
	arch := uint32(number("arch", 16, 32))
	nr, err := strconv.ParseInt(found["syscall"], 10, 64) // -1 is a number that programs call
	if err != nil || nr != int64(int32(nr)) {
		ok = false
	}
	r.IP = number("ip", 16, 64)
	r.Return = uint32(number("code", 16, 32))
	if !ok {
		return Record{}, fmt.Errorf("an audit record without pid, arch, syscall, ip or code: %.200q", text)
	}
	r.ID = sysno.FromRaw(arch, uint32(nr))
	if r.Comm, ok = untrusted(found["comm"]); ok {
		r.Exe, ok = untrusted(found["exe"])
	}
	if !ok {
		return Record{}, fmt.Errorf("an audit record with a malformed name: %.200q", text)
	}
	return r, nil
}

// untrusted reads what audit_log_untrustedstring writes.
func untrusted(word string) (string, bool) {
	switch {
	case word == "" || word == "(null)" || word == "?":
		return "", true
	case word[0] == '"':
		return strings.Trim(word, `"`), len(word) >= 2 && word[len(word)-1] == '"' // there are none within
	}
	b, err := hex.DecodeString(word)
	return string(b), err == nil
}
