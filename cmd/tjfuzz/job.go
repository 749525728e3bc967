package main

import (
	"cmp"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/internal/kube"
)

func newKubeJob() *cobra.Command {
	var j kube.Job
	var output string
	c := &cobra.Command{
		Use:   "job [flags] --image IMAGE -- PROGRAM [ARGS...]",
		Short: "Write a Kubernetes job in which many pods learn one program",
		Long: `Write the objects with which a Kubernetes cluster learns a program in many pods: an
Indexed Job of which each pod makes a part of the planned runs, as 'tjfuzz learn
--shard' does, and shares what it finds with the others through a volume; and a
suspended Job that unites what they have left, makes the profile, and proves it.
The first lines say how they are used. Nothing is sent to a cluster.

The image has the program, and tjfuzz: the static binary needs nothing beside it. The
pods get the capabilities that recording and the cage need, and no privileged mode.`,
		Example: `  tjfuzz job --image registry.example/shop:1.4 --completions 8 -o job.yaml -- /usr/bin/shop --config @@
  kubectl apply -f job.yaml`,
		Args: targetArgs,
		RunE: func(c *cobra.Command, args []string) error {
			j.Argv = args
			j.Name = cmp.Or(j.Name, kube.NameFor(args[0]))
			return writeManifest(c, output, j.Write)
		},
	}
	f := c.Flags()
	f.SetInterspersed(false)
	f.StringVar(&j.Image, "image", "", "the `image` of the pods, with the program and tjfuzz")
	f.IntVar(&j.Completions, "completions", 4, "the `number` of shards")
	f.IntVar(&j.Parallelism, "parallelism", 0, "this `number` of pods at a time (default: all)")
	f.StringVar(&j.Name, "name", "", "the `name` of the objects (default tjfuzz-PROGRAM)")
	f.StringVar(&j.Namespace, "namespace", "", "the `namespace` of the objects (default: that of kubectl)")
	f.StringVar(&j.Claim, "claim", "", "the `name` of the claim of a volume that pods on several nodes can write to (default: one is asked for)")
	f.StringVar(&j.Storage, "storage", "1Gi", "the `size` of the volume that is asked for")
	f.StringVar(&j.Memory, "memory", "2Gi", "the `size` of the memory of each pod, at most")
	f.DurationVar(&j.Duration, "duration", 5*time.Minute, "each pod learns for this `time` at the latest")
	f.StringArrayVar(&j.Learn, "learn", nil, "give learn this `flag`, too, as --learn=--args=safe")
	f.StringVarP(&output, "output", "o", "-", "write to this `file`, - for standard output")
	return c
}

// writeManifest writes the objects of a cluster. What they cannot be written for is what the user asked for.
func writeManifest(c *cobra.Command, output string, write func(io.Writer) error) error {
	w, err := outputTo(c, output)
	if err != nil {
		return err
	}
	return w.write(func(w io.Writer) error {
		if err := write(w); err != nil {
			return usage(c, err)
		}
		return nil
	})
}
