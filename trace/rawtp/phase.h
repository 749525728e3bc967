/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Startup and main. A task that has executed the file that the session is about is
 * in startup until it comes to that file's entry point, where a uprobe stands. Any
 * other program is in main at once.
 *
 * That file is known by the inode behind its mapping, which is where the kernel has
 * put the uprobe: names and inode numbers differ between an overlay and what lies
 * under it, and an overlay's mappings are of the latter. So a task is in startup
 * only if it will meet the uprobe. User space keeps the inode alive.
 *
 * bpf_find_vma is of Linux 5.17: these programs are loaded where it exists.
 */
#ifndef RAWTP_PHASE_H
#define RAWTP_PHASE_H

static long inode_behind(struct task_struct *task, struct vm_area_struct *vma, __u64 *inode)
{
	struct file *file = vma->vm_file;

	if (file)
		*inode = (__u64)file->f_inode;
	return 0;
}

/* Run by user space, which has mapped the file at the address that is the argument. */
SEC("raw_tracepoint/entry_file")
int entry_file(struct bpf_raw_tracepoint_args *ctx)
{
	struct session *all = session();
	__u64 inode = 0;

	if (!all || bpf_find_vma(bpf_get_current_task_btf(), ctx->args[0], inode_behind, &inode, 0))
		return 0;
	all->entry = inode;
	return 0;
}

/* A memory that another looks at right now cannot be looked at: main, then. */
SEC("raw_tracepoint/sched_process_exec")
int sched_process_exec_phases(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct mark *mark = mark_of(task);
	struct session *all = session();
	struct mm_struct *mm = task->mm;
	__u64 inode = 0;
	long err;

	if (!mark || mark->state == LAUNCHER || !all || !mm)
		return 0;
	err = bpf_find_vma(task, mm->start_code, inode_behind, &inode, 0);
	/* Those on the way to the file stay PENDING. One that may have been it is missed. */
	if (mark->state == PENDING && all->only && (!inode || inode != all->entry)) {
		if (err == -EBUSY)
			add(&all->unfollowed);
		return 0;
	}
	mark->kind = inode && inode == all->entry ? STARTUP : MAIN;
	arm(mark);
	return 0;
}

SEC("uprobe")
int entry_point(void *ctx)
{
	struct mark *mark = mark_of(bpf_get_current_task_btf());

	if (mark && mark->kind == STARTUP)
		mark->kind = MAIN;
	return 0;
}

#endif
