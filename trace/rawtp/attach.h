/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What is running already gets its marks from a pass over all tasks. Meanwhile the
 * tree changes: it forks, and whoever forked can be dead before the pass comes by.
 * So for the time of the passes every birth, and whatever an exit is about to tear
 * apart, is noted as kin. User space follows kin from the processes that are wanted,
 * and repeats the pass until one of them finds nothing to mark and nothing has
 * stirred since it began.
 *
 * A pass does not see all at one moment. It goes by ascending thread id, and so
 * visits whoever is there from its begin to its end, but a thread other than the
 * leader that executes a program: that takes its leader's lower id.
 *
 * bpf_loop is of Linux 5.17.
 */
#ifndef RAWTP_ATTACH_H
#define RAWTP_ATTACH_H

#define CGROUPS 4096     /* that are looked at of a task, in all hierarchies together */
#define CHILDREN (1 << 16) /* of an exiting thread */

/* A process, also after its id has become another's. */
struct process {
	__u64 born; /* in ns since the boot */
	__u32 tgid;
	__u32 pad;
};

struct kin {
	struct process parent;
	__u32 pid;      /* in the pid namespace of user space, 0 before a look */
	__u32 recorded; /* the slot of the leader's mark, counted from 1, 0 without one */
	__u8 kernel;    /* no process, but a thread of the kernel */
	__u8 ended;
	__u8 cut;       /* it has exited with more children than could be noted */
	__u8 pad[5];
};

/* Shared with user space, which writes slot, and resets the counters. */
struct pass {
	__u64 slot;
	struct process own; /* user space itself */
	__u64 marked;
	__u64 unmarked; /* could not be */
	__u64 unnoted;  /* kin that did not fit */
	__u64 stirs;    /* births and execs of tasks that should have had a mark */
	__u64 alive;
	__u64 waiting;
	__u64 cgroup;   /* the answer of find_cgroup */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pass);
} passes SEC(".maps");

/* Full: pass.unnoted. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct process);
	__type(value, struct kin);
} kinship SEC(".maps");

/* The processes that are to be marked. User space fills it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct process);
	__type(value, __u8);
} wanted SEC(".maps");

/*
 * Of recorded cgroups, by their serial numbers, which are those of no other cgroup
 * of any hierarchy, past ones included. To the slot, or HOUSE: each cgroup in it gets a
 * slot of its own when a program is executed in it. User space fills it, and room_for.
 */
#define HOUSE 0xffffffff

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u32);
} homes SEC(".maps");

/* A cgroup in a HOUSE, by its slot. */
struct room {
	__u64 house; /* 0 while the slot is vacant */
	__u8 name[256];    /* of its directory, cut off at the end */
	__u8 program[256]; /* that was executed in it first, as execve was given it */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct room);
} rooms SEC(".maps");

/* Slots for rooms. Empty: session.unfollowed. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 64);
	__type(value, __u32);
} vacant SEC(".maps");

/* Slots that a room has got, for user space. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 64);
	__type(value, __u32);
} let SEC(".maps");

static __always_inline struct pass *the_pass(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&passes, &zero);
}

static __always_inline struct process process_of(struct task_struct *task)
{
	struct process p = {
		.born = BPF_CORE_READ(task, group_leader, start_boottime),
		.tgid = BPF_CORE_READ(task, tgid),
	};

	return p;
}

static __always_inline int same(struct process *a, struct process *b)
{
	return a->tgid == b->tgid && a->born == b->born;
}

/* A walk over the cgroups of a task, in every hierarchy from its own up. */
struct climb {
	struct list_head *at, *head; /* of a list of hierarchies */
	struct cgroup *cgroup;
	struct cgroup *below; /* that the walk came from */
	__u64 house;          /* 0 unless it ends in one */
	int slot;             /* -1 until one is found */
};

static long climb_on(__u32 i, struct climb *c)
{
	struct cgroup *cgroup = c->cgroup;
	struct list_head *at = c->at;
	struct cgrp_cset_link *link;
	__u64 serial;
	__u32 *slot;

	if (!cgroup) {
		if (!at || at == c->head)
			return 1;
		link = (void *)at - bpf_core_field_offset(struct cgrp_cset_link, cgrp_link);
		c->cgroup = BPF_CORE_READ(link, cgrp);
		c->below = 0;
		c->at = BPF_CORE_READ(at, next);
		return 0;
	}
	serial = BPF_CORE_READ(cgroup, self.serial_nr);
	slot = bpf_map_lookup_elem(&homes, &serial);
	if (slot) {
		c->slot = *slot;
		if (*slot == HOUSE)
			c->house = serial;
		return 1;
	}
	c->below = cgroup;
	c->cgroup = BPF_CORE_READ(cgroup, self.parent, cgroup);
	return 0;
}

/*
 * The slot that records a cgroup of the task, or one above: the nearest in the
 * first hierarchy that has any. -1 without.
 */
static __always_inline int climb(struct task_struct *task, struct climb *c)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	struct list_head *head;

	head = (void *)set + bpf_core_field_offset(struct css_set, cgrp_links);
	c->head = head;
	c->at = BPF_CORE_READ(head, next);
	c->cgroup = 0;
	c->below = 0;
	c->house = 0;
	c->slot = -1;
	bpf_loop(CGROUPS, climb_on, c, 0);
	return c->slot;
}

static __always_inline int home_of(struct task_struct *task)
{
	struct climb c;

	return climb(task, &c);
}

static __always_inline int is_wanted(struct pass *pass, struct task_struct *task)
{
	struct process p = process_of(task);

	if (same(&p, &pass->own))
		return 0;
	return bpf_map_lookup_elem(&wanted, &p) || home_of(task) == (int)pass->slot;
}

static __always_inline void note(struct pass *pass, struct process *child, struct process *parent)
{
	struct kin kin = { .parent = *parent };
	long err = bpf_map_update_elem(&kinship, child, &kin, BPF_NOEXIST);

	if (err && err != -EEXIST)
		add(&pass->unnoted);
}

/* Besides task_newtask, whichever of the two runs first. */
SEC("tp_btf/task_newtask")
int note_birth(__u64 *ctx)
{
	struct task_struct *child = (void *)ctx[0], *task = bpf_get_current_task_btf();
	struct process parent = process_of(task), p = process_of(child);
	struct pass *pass = the_pass();
	__u64 flags = ctx[1];

	if (!pass || mark_of(child))
		return 0;
	if (!(flags & CLONE_THREAD))
		note(pass, &p, &parent);
	if (is_wanted(pass, task) || is_wanted(pass, child))
		add(&pass->stirs);
	return 0;
}

SEC("raw_tracepoint/sched_process_exec")
int note_exec(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pass *pass = the_pass();

	if (pass && !mark_of(task) && is_wanted(pass, task))
		add(&pass->stirs);
	return 0;
}

/* A walk over the children of an exiting thread. */
struct brood {
	struct list_head *at, *head;
	struct pass *pass;
	struct process parent;
};

static long note_child(__u32 i, struct brood *b)
{
	struct list_head *next, *at = b->at, *head = b->head;
	struct process child;

	if (at == head)
		return 1;
	child = process_of((void *)at - bpf_core_field_offset(struct task_struct, sibling));
	note(b->pass, &child, &b->parent);
	next = BPF_CORE_READ(at, next);
	/* One that is reaped at this moment leads to itself. */
	b->at = next == at ? BPF_CORE_READ(head, next) : next;
	return 0;
}

/* What exits is no parent any more soon after: its children get another one. */
SEC("raw_tracepoint/sched_process_exit")
int note_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct brood b = { .pass = the_pass(), .parent = process_of(task) };
	struct process grandparent;
	struct list_head *head;
	struct kin *kin;

	if (!b.pass)
		return 0;
	grandparent = process_of(BPF_CORE_READ(task, real_parent));
	note(b.pass, &b.parent, &grandparent);
	head = (void *)task + bpf_core_field_offset(struct task_struct, children);
	b.head = head;
	b.at = BPF_CORE_READ(head, next);
	bpf_loop(CHILDREN, note_child, &b, 0);
	if (b.at == b.head)
		return 0;
	kin = bpf_map_lookup_elem(&kinship, &b.parent);
	if (kin)
		kin->cut = 1;
	return 0;
}

/* In the pid namespace of the current task, which is that of the pass. */
static __always_inline __u32 pid_of(struct task_struct *task)
{
	struct task_struct *reader = bpf_get_current_task_btf();
	__u32 level = BPF_CORE_READ(reader, thread_pid, level);
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	struct upid *at;

	if (!pid)
		return 0;
	at = (void *)pid + bpf_core_field_offset(struct pid, numbers) + level * bpf_core_type_size(struct upid);
	return BPF_CORE_READ(at, nr);
}

SEC("iter/task")
int look(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct process p, parent;
	struct pass *pass = the_pass();
	struct mark *mark;
	struct kin *kin;

	if (!task || !pass || task->pid != task->tgid)
		return 0;
	p = process_of(task);
	parent = process_of(BPF_CORE_READ(task, real_parent));
	note(pass, &p, &parent);
	kin = bpf_map_lookup_elem(&kinship, &p);
	if (!kin)
		return 0;
	kin->pid = pid_of(task);
	kin->kernel = (task->flags & PF_KTHREAD) != 0;
	kin->ended = BPF_CORE_READ(task, signal, live.counter) == 0;
	mark = mark_of(task);
	kin->recorded = mark ? mark->slot + 1 : 0;
	if (task->tgid == (bpf_get_current_pid_tgid() >> 32))
		pass->own = p;
	return 0;
}

/*
 * Records the call that the task is in. That can be known only where it does not
 * run: then it has entered the kernel, and what it came with is on its stack. An
 * interrupt or a fault leaves no number there.
 */
static __always_inline void keep_standing(struct task_struct *task, struct mark *mark, int detailed)
{
	__u64 before, args[6] = {};
	struct pt_regs *regs;
	struct session *all = session();
	struct detail *d;
	__u32 nr, call;
	enum abi abi;

	before = task->nvcsw + task->nivcsw;
	barrier();
	if (!all || task->on_cpu)
		return;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	nr = number(regs);
	abi = abi_of(task, &nr);
	arguments(args, regs, abi);
	barrier();
	if (task->on_cpu || before != task->nvcsw + task->nivcsw || nr == (__u32)-1)
		return;
	keep(all, mark, MAIN, abi, nr);
	if (!detailed || abi >= ABIS || nr >= NRS)
		return;
	d = details_of(mark);
	if (!d)
		return;
	call = abi * NRS + nr;
	/* Where it was made shows from within the task alone. */
	if (all->sites)
		d->more_sites[call] = 1;
	if (all->args)
		keep_values_of(args, mark->slot, call);
}

static __always_inline int adopt_task(struct bpf_iter__task *ctx, int detailed)
{
	struct mark *mark, fresh = { .state = ARMED, .phase = JOINED, .kind = MAIN };
	struct task_struct *task = ctx->task;
	struct pass *pass = the_pass();
	struct slot *slot;

	if (!task || !pass || task->exit_state || task->flags & PF_KTHREAD || !is_wanted(pass, task))
		return 0;
	fresh.slot = pass->slot;
	slot = bpf_map_lookup_elem(&slots, &fresh.slot);
	if (!slot)
		return 0;
	fresh.gen = slot->gen;
	mark = mark_of(task);
	if (mark) {
		/* Another slot keeps what it has. A former owner of this one does not. */
		if (mark->slot != fresh.slot || mark->gen >= slot->since)
			return 0;
		*mark = fresh;
	} else {
		mark = give(task, &fresh);
	}
	if (!mark) {
		add(&pass->unmarked);
		return 0;
	}
	add(&pass->marked);
	keep_standing(task, &fresh, detailed);
	return 0;
}

SEC("iter/task")
int adopt(struct bpf_iter__task *ctx)
{
	return adopt_task(ctx, 0);
}

SEC("iter/task")
int adopt_details(struct bpf_iter__task *ctx)
{
	return adopt_task(ctx, 1);
}

SEC("iter/task")
int disown(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct pass *pass = the_pass();
	struct mark *mark;

	if (!task || !pass)
		return 0;
	mark = mark_of(task);
	if (!mark || mark->slot != pass->slot || mark->state == LAUNCHER)
		return 0;
	if (bpf_task_storage_delete(&marks, task))
		add(&pass->unmarked);
	else
		add(&pass->marked);
	return 0;
}

SEC("iter/task")
int census(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct pass *pass = the_pass();
	struct slot *slot;
	struct mark *mark;
	struct process p;
	__u32 number;

	if (!task || !pass || task->exit_state)
		return 0;
	number = pass->slot;
	slot = bpf_map_lookup_elem(&slots, &number);
	if (!slot)
		return 0;
	mark = mark_of(task);
	if (mark && mark->slot == number && mark->state != LAUNCHER && mark->gen >= slot->since)
		add(&pass->alive);
	p = process_of(task);
	if (!mark && !same(&p, &pass->own) && home_of(task) == (int)number)
		add(&pass->waiting);
	return 0;
}

/*
 * Whether a task in a room is of the container by now: runtimes execute themselves in the
 * cgroup, too, runc a copy of its file that the container cannot write to. The container has
 * mounts of its own, those of who started it are those of the node. Of a parent that is about
 * to exit they are not known.
 */
static __always_inline int is_apart(struct task_struct *task)
{
	return BPF_CORE_READ(task, nsproxy, mnt_ns) != BPF_CORE_READ(task, real_parent, nsproxy, mnt_ns);
}

static __always_inline int is_room(__u32 slot)
{
	struct room *room = bpf_map_lookup_elem(&rooms, &slot);

	return room && room->house;
}

/*
 * The slot of a cgroup in a house, in which a program is executed for the first time.
 * -1 if there is none left.
 */
static __always_inline int room_for(struct climb *c, struct linux_binprm *bprm)
{
	struct cgroup *cgroup = c->below;
	__u64 serial = BPF_CORE_READ(cgroup, self.serial_nr);
	struct room *room;
	__u32 slot, *other;

	if (!cgroup || bpf_map_pop_elem(&vacant, &slot))
		return -1;
	room = bpf_map_lookup_elem(&rooms, &slot);
	if (!room)
		return -1;
	room->house = c->house;
	bpf_probe_read_kernel_str(room->name, sizeof(room->name), BPF_CORE_READ(cgroup, kn, name));
	bpf_probe_read_kernel_str(room->program, sizeof(room->program), BPF_CORE_READ(bprm, filename));
	if (bpf_map_update_elem(&homes, &serial, &slot, BPF_NOEXIST)) {
		/* Another thread was first, or the table is full. */
		bpf_map_push_elem(&vacant, &slot, BPF_ANY);
		other = bpf_map_lookup_elem(&homes, &serial);
		return other ? *other : -1;
	}
	bpf_map_push_elem(&let, &slot, BPF_ANY);
	return slot;
}

/*
 * Who enters a recorded cgroup is a container runtime that is about to execute the
 * container's program, or systemd: it is recorded when it has.
 */
SEC("raw_tracepoint/sched_process_exec")
int join(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct mark *mark, fresh = { .state = PENDING, .kind = MAIN };
	struct session *all = session();
	struct pass *pass = the_pass();
	struct process p = process_of(task);
	struct climb c;
	struct slot *slot;
	int number;

	if (!all || !pass || mark_of(task) || same(&p, &pass->own))
		return 0;
	number = climb(task, &c);
	if ((c.house || (number >= 0 && is_room(number))) && !is_apart(task))
		return 0;
	if (c.house) {
		number = room_for(&c, (void *)ctx->args[2]);
		if (number < 0)
			add(&all->unfollowed);
	}
	if (number < 0)
		return 0;
	fresh.slot = number;
	slot = bpf_map_lookup_elem(&slots, &fresh.slot);
	if (!slot)
		return 0;
	fresh.gen = slot->gen;
	mark = give(task, &fresh);
	if (mark)
		arm(mark);
	else
		add(&all->unfollowed);
	return 0;
}

/* Run by user space, whose descriptor of a cgroup's directory is the argument. */
SEC("raw_tracepoint/find_cgroup")
int find_cgroup(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct file **files = BPF_CORE_READ(task, files, fdt, fd), *file = 0;
	struct pass *pass = the_pass();
	struct kernfs_node *node;
	struct cgroup *cgroup;

	if (!pass || bpf_probe_read_kernel(&file, sizeof(file), files + ctx->args[0]))
		return 0;
	node = BPF_CORE_READ(file, f_inode, i_private);
	cgroup = BPF_CORE_READ(node, priv);
	pass->cgroup = BPF_CORE_READ(cgroup, self.serial_nr);
	return 0;
}

#endif
