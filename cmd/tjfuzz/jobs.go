package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/pflag"
)

// maxJobs is far beyond what one machine makes use of.
const maxJobs = 64

// addJobs adds --jobs: by default one for each processor.
func addJobs(f *pflag.FlagSet, jobs *int, usage string) {
	f.IntVar(jobs, "jobs", min(runtime.NumCPU(), maxJobs), usage+" (default: one for each processor)")
	f.Lookup("jobs").DefValue = "0" // help says the same on every machine
}

func checkJobs(jobs int) error {
	if jobs < 1 || jobs > maxJobs {
		return fmt.Errorf("--jobs %d is not between 1 and %d", jobs, maxJobs)
	}
	return nil
}
