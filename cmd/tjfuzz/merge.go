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
	var out, policies string
	var quiet bool
	c := &cobra.Command{
		Use: "merge [flags] EVIDENCE...\n" +
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
input. Exit code 3 says that something was missed when it was recorded.

With --policies, make one policy of several, OCI profiles or YAML: with every
call it does the more permissive, or the stricter, of what they do. Conditions on
arguments are respected; what no policy can say is an error.`,
		Example: `  # three replicas of a service
  tjfuzz merge -o all.json node1.json node2.json node3.json

  # a log of strace becomes evidence on the program that is installed here
  strace -f -o jq.log jq . in.json
  tjfuzz merge --as jq -o jq.evidence.json jq.log .tjfuzz/jq/evidence.json

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
			l, err := newLoader(c, v, f)
			if err != nil {
				return err
			}
			w, err := outputTo(c, out)
			if err != nil {
				return err
			}
			t, err := l.merged(args)
			if err != nil {
				return err
			}
			if err := w.write(func(w io.Writer) error { return trace.Encode(w, t) }); err != nil {
				return fmt.Errorf("write the evidence: %w", err)
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
	c.Flags().BoolVar(&quiet, "quiet", false, "show errors and warnings only")
	return c
}
