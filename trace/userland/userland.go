// Package userland records which syscalls a launched program makes where the eBPF
// recorder may not run: for ordinary users, in containers, on kernels without BTF.
// It decides how the calls of a program come to be seen by another process, and
// refuses to know why the program was run and what a policy is. Its main hazard is
// a target that is changed by being watched: what each recorder changes is said
// at its type.
package userland
