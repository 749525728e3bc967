// Command clock says what time it is.
package main

import (
	"fmt"
	"time"
)

func main() {
	done := make(chan int64)
	go func() { done <- time.Now().Unix() }()
	fmt.Println("realtime 0", <-done)
}
