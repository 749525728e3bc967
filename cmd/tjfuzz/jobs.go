package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/pflag"

	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

// addJobs adds --jobs: by default one for each processor, as far as the recorder goes.
func addJobs(f *pflag.FlagSet, jobs *int, usage string) {
	f.IntVar(jobs, "jobs", min(runtime.NumCPU(), rawtp.MaxSlots), usage+" (default: one for each processor)")
	f.Lookup("jobs").DefValue = "0" // help says the same on every machine
}

func checkJobs(jobs int) error {
	if jobs < 1 || jobs > rawtp.MaxSlots {
		return fmt.Errorf("--jobs %d is not between 1 and %d", jobs, rawtp.MaxSlots)
	}
	return nil
}
