package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/internal/atomicfile"
	"github.com/tjfuzz/tjfuzz/internal/kube"
	"github.com/tjfuzz/tjfuzz/internal/pods"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

type recordOptions struct {
	pods    pods.Selection
	output  string
	cgroups string
	account string
	every   time.Duration
	policy  policyFlags
	quiet   bool
}

func newRecord() *cobra.Command {
	o := recordOptions{policy: policyFlags{errorPath: "allow", groups: "exact"}}
	c := &cobra.Command{
		Use:   "record [flags] --selector LABELS",
		Short: "Record the labelled pods of a Kubernetes node, and write profiles",
		Long: `Record the containers of the pods on this node that have certain labels, for as long
as it runs, and write for each workload, which is the containers of one name in all
copies of a pod, its evidence and a profile:

  DIR/NAMESPACE/KIND-OWNER/CONTAINER.evidence.json
  DIR/NAMESPACE/KIND-OWNER/CONTAINER.seccomp.json

They are written when a container has ended, and every so often while it runs. All
containers of a workload count, restarted ones too, and what the directory has from
earlier times. Each is recorded from its first execve on. One that runs already when
the recorder comes lacks its start: it adds to the evidence, but a profile is written
only when the start of another has been recorded. What was lost is in the evidence.

It runs in a pod itself, as root with CAP_BPF and CAP_PERFMON, in the node's pid
namespace, and may list and watch pods: 'tjfuzz daemonset' writes all that. It needs
cgroups of version 2.`,
		Example: `  # on each node, by the objects that this writes
  tjfuzz daemonset --image registry.example/tjfuzz:1.0 --selector app=shop -o record.yaml

  # what such a pod runs
  tjfuzz record --selector app=shop --cgroups /host/cgroup -o /var/lib/tjfuzz

  # the evidence of two nodes makes one profile
  tjfuzz generate --runtime runc -o nginx.json node1/shop/deployment-web/nginx.evidence.json \
    node2/shop/deployment-web/nginx.evidence.json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runRecord(c, o) },
	}
	f := c.Flags()
	f.StringVarP(&o.pods.Labels, "selector", "l", "", "record pods with these `labels`, as kubectl's -l takes them")
	f.StringVar(&o.pods.Namespace, "namespace", "", "record pods of this `namespace` only")
	f.StringVar(&o.pods.Node, "node", "", "the `name` of this node (default: $"+kube.NodeName+")")
	f.StringVarP(&o.output, "output", "o", ".", "write to this `directory`")
	f.StringVar(&o.cgroups, "cgroups", "/sys/fs/cgroup", "the `directory` that shows the node's cgroups")
	f.StringVar(&o.account, "service-account", pods.Accounts, "the `directory` with the service account's token and ca.crt")
	f.DurationVar(&o.every, "every", time.Minute, "write what has changed after this `time`, beside the ends of containers")
	f.StringVar(&o.policy.runtime, "runtime", "runc", "add what a container `runtime` needs to start the program: runc, crun or none")
	f.StringVar(&o.policy.action, "default", "errno", "what happens to all other calls: `action` errno, errno:NAME, kill, kill-thread, trap or log")
	f.StringVar(&o.policy.args, "args", "off", "hold calls to the enums and flags that were seen: `mode` off, safe (refuse what is dangerous and was not seen) or strict (refuse all that was not seen)")
	f.BoolVar(&o.quiet, "quiet", false, "show errors and warnings only")
	return c
}

// mostContainers is how many are recorded at once; the pods of a node are 110 by default.
const mostContainers = 384

func runRecord(c *cobra.Command, o recordOptions) error {
	o.pods.Node = cmp.Or(o.pods.Node, os.Getenv(kube.NodeName))
	options, err := o.policy.options()
	switch {
	case err != nil:
		return usage(c, err)
	case o.pods.Labels == "":
		return usage(c, errors.New("say which pods with --selector"))
	case o.pods.Node == "":
		return usage(c, fmt.Errorf("say with --node which node this is, or set %s by the downward API", kube.NodeName))
	case o.every <= 0:
		return usage(c, fmt.Errorf("--every %v is no time to wait", o.every))
	}
	if err := os.MkdirAll(o.output, 0o777); err != nil {
		return hinted(fmt.Errorf("the output cannot be written: %w", err), "choose another directory with -o")
	}
	if err := atomicfile.Writable(o.output + "/x"); err != nil {
		return hinted(fmt.Errorf("the output cannot be written: %w", err), "choose another directory with -o")
	}
	api, err := pods.InCluster(os.Getenv, o.account)
	if err != nil {
		return ofCluster(err)
	}
	tree, err := pods.OpenTree(o.cgroups)
	if errors.Is(err, pods.ErrNotUnified) {
		return hinted(err, "mount the node's /sys/fs/cgroup there; a node with version 1 of cgroups has to be booted with systemd.unified_cgroup_hierarchy=1")
	} else if err != nil {
		return hinted(err, "say with --cgroups where the node's cgroups are")
	}
	rec, err := rawtp.Open(rawtp.Options{Slots: mostContainers, Denials: true, Args: options.Args != synth.ArgsOff})
	if missing, mend, known := lack(err); known {
		return hinted(fmt.Errorf("cannot record: %s", missing), "%s", mend)
	}
	if err != nil {
		return fmt.Errorf("open the recorder: %w", err)
	}
	defer rec.Close()
	houses, err := rec.Houses()
	if err != nil {
		return err
	}
	v := voiceOf(c, o.quiet)
	n := &node{v: v, rec: rec, houses: houses, tree: tree, book: newBook(v, o.output, options), pods: map[string]*housed{}}
	return n.watch(c.Context(), api, o)
}

// ofCluster adds to an error what is to be done about it, where that is known.
func ofCluster(err error) error {
	var e *pods.Error
	if errors.As(err, &e) {
		return hinted(err, "%s", e.Mend)
	}
	return err
}

// watch records until the context is done, and then writes all.
func (n *node) watch(ctx context.Context, api *pods.API, o recordOptions) error {
	ctx, cancel := context.WithCancel(ctx)
	told, over := make(chan []pods.Pod), make(chan error, 1)
	go func() {
		over <- api.Watch(ctx, o.pods, pods.Watcher{
			Changed: func(all []pods.Pod) {
				select {
				case told <- all:
				case <-ctx.Done():
				}
			},
			Warn:  func(err error) { n.v.warn("%v; trying again", err) },
			Pause: pause,
		})
	}()
	n.v.say("recording the pods of %s that have %s", o.pods.Node, o.pods.Labels)
	err := n.work(ctx, told, over, o.every)
	cancel()
	n.end()
	if err := errors.Join(err, n.book.write()); err != nil {
		return err
	}
	if !n.rec.Lost().Complete() {
		return &failure{err: fmt.Errorf("the recording is incomplete: %s", lostOf(n.rec.Lost())), code: exitIncomplete,
			hint: fmt.Sprintf("at most %d containers are recorded at once; else the machine is short of memory", mostContainers)}
	}
	return nil
}

// pause grows from a second to half a minute.
func pause(ctx context.Context, failed int) {
	select {
	case <-ctx.Done():
	case <-time.After(min(time.Second<<min(failed-1, 5), 30*time.Second)):
	}
}

// glance is how often it is looked whether a pod that Kubernetes has told of has its cgroup: that is there
// for some hundred milliseconds before the first container is.
const glance = 50 * time.Millisecond

func (n *node) work(ctx context.Context, told <-chan []pods.Pod, over <-chan error, every time.Duration) error {
	often, seldom, writing := time.NewTicker(glance), time.NewTicker(look), time.NewTicker(every)
	defer often.Stop()
	defer seldom.Stop()
	defer writing.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case err := <-over:
			return ofCluster(err)
		case all := <-told:
			n.tell(all)
			n.move()
		case <-often.C:
			n.move()
		case <-seldom.C:
			err = n.look()
		case <-writing.C:
			n.snapshot(func(pods.Workload) bool { return true })
			err = n.book.write()
		}
		if err != nil {
			return err
		}
	}
}
