// A program that calls getsid.
package main

import "syscall"

func main() { syscall.RawSyscall(syscall.SYS_GETSID, ^uintptr(0), 0, 0) }
