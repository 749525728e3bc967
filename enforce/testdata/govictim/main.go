// The victim of testdata/victim.c in Go, whose runtime has threads in any case.
package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
)

// sysMax is sched_get_priority_max, and the next one sched_get_priority_min, on x86_64
// and on arm64.
var sysMax = map[string]uintptr{"amd64": 146, "arm64": 125}[runtime.GOARCH]

// The main thread is the main goroutine's: it is not to be the one that ends.
func init() { runtime.LockOSThread() }

func main() {
	out, err := os.OpenFile(os.Args[2], os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		panic(err)
	}
	const fifo = 1
	r, _, _ := syscall.Syscall(sysMax+1, fifo, 0, 0)
	fmt.Fprintln(out, "other", r)
	spokenOf := func() {
		r, _, e := syscall.Syscall(sysMax, fifo, 0, 0)
		if e != 0 {
			fmt.Fprintln(out, "errno", int(e))
			return
		}
		fmt.Fprintln(out, "call", r)
	}
	if os.Args[1] == "threads" {
		ended, tid := make(chan bool), make(chan int)
		go func() {
			runtime.LockOSThread()
			tid <- syscall.Gettid()
			spokenOf()
			close(ended)
		}()
		id := <-tid
		for gone := false; !gone; {
			select {
			case <-ended:
				gone = true
			default:
				// The main goroutine has a thread too, so the other's ends without a word.
				if _, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", id)); err == nil {
					continue
				}
				// A thread whose goroutine returned is gone as well, if a little later.
				select {
				case <-ended:
				default:
					fmt.Fprintln(out, "thread gone 1")
				}
				gone = true
			}
		}
	} else {
		spokenOf()
	}
	fmt.Fprintln(out, "end 0")
}
