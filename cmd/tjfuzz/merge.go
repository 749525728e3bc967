package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/trace"
)

func newMerge() *cobra.Command {
	var f foreignFlags
	var out, policies, state string
	var quiet bool
	c := &cobra.Command{
		Use: "merge [flags] EVIDENCE...\n" +
			"  tjfuzz merge --state DIR [flags] STATE...\n" +
			"  tjfuzz merge --policies union|intersection [flags] POLICY POLICY...",
		Short: "Unite evidence on one program into one file",
		Long: `Unite any number of recordings of one program: of several runs, of replicas, of
several machines. Runs and losses add up, and the order has no effect. What one
recording does not know of a syscall that it has seen, such as the values of
arguments, is not known of all.

Besides the evidence of tjfuzz, recordings by other tools are read:
  logs of strace, best those of strace -f -o FILE or, as FILE.*, of -ff -o FILE
  profiles of oci-seccomp-bpf-hook and of Inspektor Gadget's advise_seccomp
  SeccompProfiles that the Security Profiles Operator recorded, in YAML or JSON
They have less to say, and tjfuzz says what they lack. A file named - is standard
input, and a directory is the state directory of 'tjfuzz learn', whether the session
has ended or not. Exit code 3 says that something was missed when it was recorded.

With --state, unite state directories, such as those of the shards of 'learn --shard':
the scenarios of all and their evidence. All that takes --state takes it: verify,
explain, reduce, report, and learn --resume.

With --policies, make one policy of several, OCI profiles or YAML: with every
call it does the more permissive, or the stricter, of what they do. Conditions on
arguments are respected; what no policy can say is an error.`,
		Example: `  # three replicas of a service
  tjfuzz merge -o all.json node1.json node2.json node3.json

  # a log of strace becomes evidence on the program that is installed here
  strace -f -o jq.log jq . in.json
  tjfuzz merge --as jq -o jq.evidence.json jq.log .tjfuzz/jq/evidence.json

  # four shards, wherever they ran, and the profile they make
  tjfuzz merge --state .tjfuzz/jq .tjfuzz/jq.shard-*
  tjfuzz generate -o jq.seccomp.json .tjfuzz/jq
  tjfuzz verify -- jq

  # what two programs in one container need
  tjfuzz merge --policies union -o both.json jq.seccomp.json sort.seccomp.json`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(c, errors.New("no evidence given"))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if policies != "" {
				return combinePolicies(c, policies, out, args)
			}
			v := voiceOf(c, quiet)
			if state != "" && (c.Flags().Changed("output") || f != foreignFlags{}) {
				return usage(c, errors.New("--state unites state directories, and writes to one"))
			}
			var t *trace.Trace
			var err error
			if state != "" {
				t, err = gatherStates(c, v, state, args)
			} else {
				t, err = mergeFiles(c, v, f, out, args)
			}
			if err != nil {
				return err
			}
			v.say("%d runs, %d syscalls", t.Runs, len(t.Observations))
			if !t.Lost.Complete() {
				return &failure{err: errors.New("the evidence is incomplete: " + lostOf(t.Lost)), code: exitIncomplete,
					hint: "it was written; 'tjfuzz generate' takes it with --allow-incomplete only"}
			}
			return nil
		},
	}
	f.add(c)
	c.Flags().StringVarP(&out, "output", "o", "-", "write the result to this `file`, - for standard output; a policy in YAML if it ends in .yaml")
	c.Flags().StringVar(&policies, "policies", "", "combine policies instead of evidence: `how` union or intersection")
	c.Flags().StringVar(&state, "state", "", "make this state `directory` of those that are given")
	c.Flags().BoolVar(&quiet, "quiet", false, "show errors and warnings only")
	return c
}

// mergeFiles unites evidence into one file.
func mergeFiles(c *cobra.Command, v voice, f foreignFlags, out string, paths []string) (*trace.Trace, error) {
	l, err := newLoader(c, v, f)
	if err != nil {
		return nil, err
	}
	w, err := outputTo(c, out)
	if err != nil {
		return nil, err
	}
	t, err := l.merged(paths)
	if err != nil {
		return nil, err
	}
	if err := w.write(func(w io.Writer) error { return trace.Encode(w, t) }); err != nil {
		return nil, fmt.Errorf("write the evidence: %w", err)
	}
	return t, nil
}
