package synth

import "github.com/tjfuzz/tjfuzz/internal/sysno"

// Action is what the kernel does with a call. The zero value is invalid.
type Action uint8

// The actions of seccomp, from the most to the least permissive.
const (
	ActionInvalid Action = iota
	Allow
	Log
	Notify
	Trace
	Errno
	Trap
	KillThread
	KillProcess
)

// Verdict is an action with its errno. Errno is meaningful for Errno and Trace only.
type Verdict struct {
	Action Action
	Errno  uint16 // 1..4095 for Errno; the message for Trace
}

// Tier says what kind of evidence a rule stands on. The zero value is invalid.
type Tier uint8

// The tiers, from the strongest evidence to the weakest.
const (
	TierInvalid Tier = iota
	Observed         // a run that ended normally made it
	ErrorPath        // seen only in runs that crashed, hung or had an injected fault
	Reachable        // static analysis says so, no run showed it
	Always           // the kernel, the C library or the vDSO may issue it in any program
	Runtime          // the container runtime needs it after it loads the filter
	Manual           // a person said so
)

// Op compares an argument with a datum.
type Op uint8

// The operators of seccomp argument conditions.
const (
	OpInvalid Op = iota
	Equal
	NotEqual
	Less
	LessEqual
	Greater
	GreaterEqual
	MaskedEqual // arg & Mask == Value
)

// Cond is one condition on one argument. Conditions of a rule are ANDed.
type Cond struct {
	Index uint8 // 0..5
	Op    Op
	Value uint64
	Mask  uint64 // MaskedEqual only
}

// Rule is one syscall with its conditions and the reason why it is there.
// Several rules for one syscall are alternatives: the first that matches decides.
type Rule struct {
	ID      sysno.ID
	Verdict Verdict
	Args    []Cond
	Tier    Tier
	Reason  string // one sentence fragment, lower case
}

// Group is a named set of rules with a reason. All rules of a group that is
// written as one OCI entry share verdict and conditions.
type Group struct {
	Name        string // "@file-read"
	Description string
	Rules       []Rule // sorted by ID
}

// Policy is the thing in memory; the file is a profile, the compiled form a filter.
type Policy struct {
	Default  Verdict
	Archs    []sysno.Arch // sorted; never empty
	Groups   []Group
	Flags    []string // seccomp(2) flags in OCI spelling, normally empty
	Listener string   // path of the socket that receives notifications, for Notify rules
}
