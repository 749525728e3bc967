package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/fuzz"
)

// maxShards is far beyond what a plan of a few thousand runs is divided into.
const maxShards = 4096

// parseShard reads I/N. Some count the machines of a job from 0 and some from 1; so I is taken
// modulo N, and either way each shard comes once.
func parseShard(word string) (fuzz.Shard, error) {
	index, of, _ := strings.Cut(word, "/")
	n, err := strconv.Atoi(of)
	if err != nil || n < 1 || n > maxShards {
		return fuzz.Shard{}, fmt.Errorf("--shard %s is not I/N, with N from 1 to %d", word, maxShards)
	}
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 || i > n {
		return fuzz.Shard{}, fmt.Errorf("--shard %s: count the shards from 0 to %d, or from 1 to %d", word, n-1, n)
	}
	return fuzz.Shard{Index: i % n, Of: n}, nil
}

// shardState is the state directory of a shard where state is that of the whole.
func shardState(state string, s fuzz.Shard) string {
	return fmt.Sprintf("%s.shard-%d-of-%d", state, s.Index, s.Of)
}

// beShard makes the session one of several that divide the planned runs. Its result is evidence:
// a profile of a part only is written where the user asks for it.
func (o *learnOptions) beShard(c *cobra.Command, program string) (err error) {
	if o.part, err = parseShard(o.shard); err != nil {
		return usage(c, err)
	}
	if o.update != "" {
		return usage(c, errors.New("--update is for all evidence; merge that of the shards first"))
	}
	if !c.Flags().Changed("output") { // a scenario file names that of the whole
		o.output = ""
	}
	if o.state == "" {
		o.state = defaultState(program)
	}
	if !c.Flags().Changed("state") {
		o.state = shardState(o.state, o.part)
	}
	return nil
}
