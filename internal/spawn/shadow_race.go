//go:build race

package spawn

// Where the race detector keeps what it knows of the memory of a program in Go: tsan_platform.h of LLVM, "Go on
// linux/amd64". It is twice the heap, and no child looks at it.
const shadowFrom, shadowTo = 0x200000000000, 0x238000000000
