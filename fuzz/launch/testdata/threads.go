// Command threads has more than one thread.
package main

import (
	"fmt"
	"runtime"
	"sync"
)

func main() {
	var all sync.WaitGroup
	for range 4 {
		all.Go(runtime.LockOSThread)
	}
	all.Wait()
	fmt.Println("done")
}
