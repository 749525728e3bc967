/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Where a call is made, and where the program itself has called for it. bpf_find_vma is of Linux 5.17: only programs whose name ends
 * in _details use it.
 */
#ifndef RAWTP_PLACE_H
#define RAWTP_PLACE_H

#define STACK_WORDS 64
#define STACK_PARTS 8 /* of so many words each are looked at */

struct stack {
	__u64 words[STACK_WORDS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stack);
} stacks SEC(".maps");

/* What is mapped, if it is a file, and the last part of the file's name. */
static long describe_vma(struct task_struct *task, struct vm_area_struct *vma, struct site *site)
{
	struct file *file = BPF_CORE_READ(vma, vm_file);

	site->offset = site->ip - vma->vm_start;
	if (file) {
		site->page = vma->vm_pgoff;
		bpf_probe_read_kernel_str(site->name, sizeof(site->name), BPF_CORE_READ(file, f_path.dentry, d_name.name));
	} else if (vma->vm_start == (unsigned long)BPF_CORE_READ(task, mm, context.vdso)) {
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
 * Where the program's own code has called what runs now, from where that code begins.
 * Most code has no frame pointers, so that is the innermost word on the stack that could
 * be a return address there, maybe one that was left over; 0 for none.
 */
static __always_inline __u64 find_caller(struct task_struct *task, __u64 sp)
{
	__u64 from = BPF_CORE_READ(task, mm, start_code), to = BPF_CORE_READ(task, mm, end_code);
	__u32 zero = 0, part, i;
	struct stack *stack = bpf_map_lookup_elem(&stacks, &zero);

	if (!stack)
		return 0;
	for (part = 0; part < STACK_PARTS; part++) {
		if (bpf_probe_read_user(stack, sizeof(*stack), (void *)(sp + part * sizeof(*stack))))
			return 0;
		for (i = 0; i < STACK_WORDS; i++) {
			if (stack->words[i] > from && stack->words[i] < to)
				return stack->words[i] - from;
		}
	}
	return 0;
}

/*
 * Notes in the draft where the call was made. The verifier looks at this function once,
 * because it is global.
 */
__noinline int place(struct bpf_raw_tracepoint_args *ctx, __u64 ip)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct event *e = draft();
	struct site site = { .ip = ip };

	if (!e)
		return 0;
	if (find_site(ctx, &site))
		e->site = site;
	if (e->abi == NATIVE) { /* the words of others are shorter */
		e->program = BPF_CORE_READ(task, mm, exe_file, f_inode, i_ino);
		e->caller = find_caller(task, stack_pointer((struct pt_regs *)bpf_task_pt_regs(task)));
	}
	return 0;
}

#endif
