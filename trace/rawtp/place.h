/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Where a call is made. bpf_find_vma is of Linux 5.17: only programs whose name ends
 * in _details use it.
 */
#ifndef RAWTP_PLACE_H
#define RAWTP_PLACE_H

/* What is mapped, if it is a file, and the last part of the file's name. */
static long describe_vma(struct task_struct *task, struct vm_area_struct *vma, struct site *site)
{
	struct file *file = vma->vm_file;

	site->offset = site->ip - vma->vm_start;
	if (file) {
		site->page = vma->vm_pgoff;
		bpf_probe_read_kernel_str(site->name, sizeof(site->name), file->f_path.dentry->d_name.name);
	} else if (vma->vm_start == (unsigned long)task->mm->context.vdso) {
		__builtin_memcpy(site->name, "[vdso]", sizeof("[vdso]"));
	}
	return 0;
}

/*
 * Says what is mapped where the call was made: 0 when another thread is changing
 * the memory's map at this moment. The kernel finds no build-id then either.
 */
static __always_inline int find_site(struct bpf_raw_tracepoint_args *ctx, struct site *site)
{
	long err = bpf_find_vma(bpf_get_current_task_btf(), site->ip, describe_vma, site, 0);

	if (err && err != -ENOENT) /* the vsyscall page belongs to no memory */
		return 0;
	bpf_get_stack(ctx, &site->frame, sizeof(site->frame), BPF_F_USER_STACK | BPF_F_USER_BUILD_ID);
	return 1;
}

/*
 * Notes in the draft where the call was made. The verifier looks at this function once,
 * because it is global.
 */
__noinline int place(struct bpf_raw_tracepoint_args *ctx, __u64 ip)
{
	struct event *e = draft();
	struct site site = { .ip = ip };

	if (e && find_site(ctx, &site))
		e->site = site;
	return 0;
}

#endif
