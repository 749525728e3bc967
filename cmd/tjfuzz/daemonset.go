package main

import (
	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/internal/kube"
)

func newDaemonSet() *cobra.Command {
	var r kube.Recorder
	var output string
	c := &cobra.Command{
		Use:   "daemonset [flags] --image IMAGE --selector LABELS",
		Short: "Write a Kubernetes DaemonSet that records labelled pods on each node",
		Long: `Write the objects with which a Kubernetes cluster records what its pods call: a
DaemonSet that runs 'tjfuzz record' on each node, its service account, and the right
to list and watch pods. The first lines say how they are used. Nothing is sent to a
cluster.

The image has tjfuzz: the static binary needs nothing beside it. The pods get the
capabilities BPF and PERFMON and no others, the node's cgroups to read, and a directory
of the node to write to. They are in the node's pid namespace (hostPID), because the
kernel shows what runs already to no other, and so see all processes.`,
		Example: `  tjfuzz daemonset --image registry.example/tjfuzz:1.0 --selector app=shop -o record.yaml
  kubectl apply -f record.yaml`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return writeManifest(c, output, r.Write)
		},
	}
	f := c.Flags()
	f.StringVar(&r.Image, "image", "", "the `image` of the pods, with tjfuzz")
	f.StringVarP(&r.Selector, "selector", "l", "", "record pods with these `labels`, as kubectl's -l takes them")
	f.StringVar(&r.Pods, "record-namespace", "", "record pods of this `namespace` only, and ask for no right beyond it")
	f.StringVar(&r.Name, "name", "tjfuzz-record", "the `name` of the objects")
	f.StringVar(&r.Namespace, "namespace", "default", "the `namespace` of the recorder")
	f.StringVar(&r.Directory, "directory", "/var/lib/tjfuzz", "the `directory` on each node that evidence and profiles are written to")
	f.StringVar(&r.Memory, "memory", "512Mi", "the `size` of the memory of each pod, at most")
	f.StringArrayVar(&r.Record, "record", nil, "give record this `flag`, too, as --record=--runtime=crun")
	f.StringVarP(&output, "output", "o", "-", "write to this `file`, - for standard output")
	return c
}
