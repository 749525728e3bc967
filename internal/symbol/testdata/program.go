// A program with a function of a known name and line.
package main

//go:noinline
func called(x int) int { return x * 3 }

func main() { println(called(1)) }
