/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Where a signal ends a program by its own fault: the instruction, and, since many a
 * program ends in abort(3) or in memcpy(3), the caller in its own code: maybe one that
 * was left over, but the same one for the same bug.
 * So it is with SIGKILL, which ends what hangs: where it waited in a call. Where it ran, it
 * would have been elsewhere a moment later.
 */
#ifndef RAWTP_CRASH_H
#define RAWTP_CRASH_H

/* ILL, TRAP, ABRT, BUS, FPE, SEGV, SYS: bits by number, alike on both architectures */
#define FAULTS (1U << 4 | 1U << 5 | 1U << 6 | 1U << 7 | 1U << 8 | 1U << 11 | 1U << 31)
#define KILL 9

/* Shared with user space. Written by the run of which it is, generation last. */
struct crash {
	__u64 gen;
	__u64 caller; /* from where the program's code begins, 0 for none */
	__u32 signal;
	__u32 pad;
	struct site site;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct crash);
} crashes SEC(".maps");

/* Whether a task that SIGKILL ends is the one to tell of: the first of its run that leads a process, and waits. */
static __always_inline int hangs(struct task_struct *task, struct mark *mark, struct crash *crash, struct pt_regs *regs)
{
	return crash->gen != mark->gen && task->pid == task->tgid && (int)number(regs) >= 0;
}

SEC("raw_tracepoint/signal_deliver")
int signal_deliver(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct k_sigaction *action = (void *)ctx->args[2];
	struct mark *mark = mark_of(task);
	__u32 signal = ctx->args[0], index;
	struct site site = {};
	struct pt_regs *regs;
	struct crash *crash;
	struct slot *slot;

	if (!mark || mark->state != ARMED || signal > 31 || !((FAULTS | 1U << KILL) >> signal & 1))
		return 0;
	if (BPF_CORE_READ(action, sa.sa_handler)) /* the program sees to it itself */
		return 0;
	index = mark->slot;
	slot = bpf_map_lookup_elem(&slots, &index);
	crash = bpf_map_lookup_elem(&crashes, &index);
	if (!slot || !crash || slot->gen != mark->gen)
		return 0;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	if (signal == KILL && !hangs(task, mark, crash, regs))
		return 0;
	site.ip = pointer(regs);
	if (!find_site(ctx, &site))
		return 0;
	crash->caller = find_caller(task, stack_pointer(regs));
	crash->signal = signal;
	crash->site = site;
	crash->gen = mark->gen;
	return 0;
}

#endif
