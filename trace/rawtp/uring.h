/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Operations of io_uring. They are no syscalls, and no filter sees them. Who submits
 * is a thread of the program: a poller of its submission queue is one, and has the mark.
 */
#ifndef RAWTP_URING_H
#define RAWTP_URING_H

SEC("raw_tracepoint/io_uring_submit_req")
int io_uring_submit(struct bpf_raw_tracepoint_args *ctx)
{
	struct mark *mark = mark_of(bpf_get_current_task_btf());
	struct io_kiocb *req = (void *)ctx->args[0];
	struct session *all = session();

	if (!mark || mark->state != ARMED || !all)
		return 0;
	all->operations[BPF_CORE_READ(req, opcode) & 0xff] = 1;
	return 0;
}

#endif
