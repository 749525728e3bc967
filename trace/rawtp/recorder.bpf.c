//go:build ignore

/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Which task belongs to a recorded target is decided by a mark in task storage,
 * never by pid, name or namespace: a target can change those, and a stranger can
 * share them.
 *
 *   LAUNCHER --clone--> PENDING --exec--> ARMED --clone--> ARMED
 *                       PENDING --clone--> PENDING
 *
 * A copy of a process that executed the program before any of this is ARMED by its own
 * request. One that the program itself makes, since it was built to, asks for nothing:
 *
 *   SERVER --clone--> COPY --close--> ARMED
 *
 * What an ARMED task calls is a byte set in three sets: that of its slot's current
 * run, that of all runs of the slot, and that of the session. Nothing queues, so
 * nothing drops; events only tell of a byte that has just been set. A run in doubt is
 * in the first set alone until user space adds that to the others.
 */
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

enum abi { NATIVE, I386, X32, ABIS, FOREIGN = ABIS };
/*
 * What was seen is of one of three kinds: SEEN where the part of life is not known. So
 * is what was denied.
 */
enum kind { SEEN, STARTUP, MAIN, DENIED, DENIED_STARTUP, DENIED_MAIN, KINDS };
#define WATCHED KINDS /* the kind of an event of a call that is in no set for that */
enum state { NONE, LAUNCHER, PENDING, ARMED, SERVER, COPY };
/* What a thread can ask for, the third argument of a request. */
enum request { LEAVE, LAUNCH, JOIN };
/*
 * INSIDE: the next sys_exit of this thread needs no sys_enter before it. JOINED: nor
 * this one, because the thread may have been in a call when it got its mark.
 */
enum phase { OUTSIDE, INSIDE, KILLED, JOINED };

#define NRS 576    /* x32 has numbers from 512 on */
#define TEXTS 2    /* strings kept of a call */
#define TEXT 256   /* bytes kept of a string */
#define NAME 64    /* bytes kept of the name of a file */
#define SESSION 0xffffffff /* in place of a slot's number */
#define DOUBTED 0x80000000 /* added to one: seen in a run that leaves nothing, see struct slot */

struct mark {
	__u64 gen;
	__u32 slot;
	__u8 state;
	__u8 phase;
	__u8 kind; /* of what it calls: SEEN, STARTUP or MAIN */
	__u8 abi;  /* of the call that it is in or was in last, with nr */
	__u32 nr;  /* of a SERVER and a COPY: the descriptor that the copy closes last before it is the program */
	__u32 filtered; /* whether it had a filter when that call began */
};

struct set {
	__u8 cell[KINDS][ABIS * NRS];
};

/*
 * Shared with user space, which writes gen and clears half[gen & 1] before. The
 * halves alternate so that a straggler, caught between its look at gen and its
 * store, writes into the run that it belongs to.
 */
struct slot {
	__u64 gen;
	__u64 since;    /* the first generation of the slot's present owner */
	__u64 odd;      /* the generation that last made a call of an odd number */
	__u64 launcher; /* thread id of the marked launcher, 0 without */
	__u64 doubt;    /* the generation of the last run in doubt */
	__u64 pad[3];
	struct set half[2];
	struct set all; /* of the generations from since on */
};

struct session {
	__u64 cookie;          /* first argument of a launcher's request */
	__u64 first_sightings; /* whether each is an event */
	__u64 denials;         /* whether they are told apart */
	__u64 returns;         /* whether they are kept, and so on */
	__u64 args;
	__u64 sites;
	__u64 unfollowed;
	__u64 beyond;
	__u64 late;
	__u64 events_dropped;
	__u64 denials_dropped;
	__u64 details_lost;
	__u64 entry; /* the inode of the file whose startup is told apart */
	__u64 only;  /* whether a launcher's processes are recorded from the execve of that file on */
	__u64 joins; /* whether marks may be JOINED */
	__u64 watches; /* whether there are calls that are told of each time, see struct shapes */
	__u64 places;  /* whether it is kept where refused and watched calls are made */
	__u8 operations[256]; /* of io_uring, by code */
	struct set set;
};

/* A number outside the sets: -1, 1000. */
struct odd {
	__u32 slot;
	enum kind kind;
	enum abi abi;
	__u32 nr;
};

/*
 * What user space knows of a syscall: which arguments are addresses of strings,
 * counted from 1, 0 for none, how many arguments there are, and whether each call is
 * to be told of; others are the calls through ABIs and of numbers that are not in the
 * table. A global variable would be a map that the loading library keeps mapped
 * until some garbage collection.
 */
struct shape {
	__u8 texts[TEXTS];
	__u8 args;
	__u8 watched;
};

struct shapes {
	struct shape of[ABIS * NRS];
	__u8 watch_others[ABIS + 1];
};

/*
 * The string behind an argument. There is room for a byte more than is kept, which
 * tells of a longer string, and for the NUL. What follows it is of other strings.
 */
struct text {
	__u16 arg;  /* counted from 1, 0 when there is none or it could not be read */
	__u16 size; /* with the NUL */
	__u8 bytes[TEXT + 2];
};

struct site {
	struct bpf_stack_build_id frame;
	__u64 ip;
	__u64 offset; /* in the mapping */
	__u64 page;   /* of the file, at which the mapping starts */
	__u8 name[NAME];
};

struct event {
	__u64 ip;
	__u64 args[6];
	__s64 ret;
	__u64 count;
	enum kind kind;
	enum abi abi;
	__u32 nr;
	__u32 pid;
	__u32 tid;
	__u32 slot;
	__u32 sigsys;
	__u8 comm[16];
	__u64 caller;     /* in the program, whose file has this number */
	__u64 program;
	struct site site; /* of nothing where the session has no places */
	struct text texts[TEXTS];
};

/* Of args, those that the syscall has. A pid is used again, not with the same birth. */
struct denial {
	__u64 args[6];
	__u64 born;
	__u32 pid;
	enum abi abi;
	__u32 nr;
	enum kind kind;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct mark);
} marks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct session);
} sessions SEC(".maps");

/* To the generation that saw the number last. Full: session.beyond. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct odd);
	__type(value, __u64);
} odds SEC(".maps");

/* One entry a process, syscall and arguments. Full: the next table. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct denial);
	__type(value, struct event);
} denials SEC(".maps");

/* One entry a process and syscall, without arguments. Full: session.denials_dropped. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct denial);
	__type(value, struct event);
} more_denials SEC(".maps");

/* Full: session.events_dropped. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

/*
 * Where an event is put together: it is larger than the stack. One for each CPU
 * is enough, because the kernel runs these programs with preemption off, and none
 * of them in an interrupt.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct event);
} drafts SEC(".maps");

/* User space fills it before the load. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct shapes);
} call_shapes SEC(".maps");

/* Some helpers that are needed here are for GPL-compatible programs only. */
char __license[] SEC("license") = "Dual MIT/GPL";

#if defined(__TARGET_ARCH_x86)

#define NR_CLOSE 3
#define NR_EXECVE 59
#define NR_GETPPID 110
#define TS_COMPAT 0x0002 /* arch/x86/include/asm/thread_info.h */
#define VSYSCALL_ADDR 0xffffffffff600000
#define X32_BIT 0x40000000

/*
 * TS_COMPAT is set by every 32-bit entry, int80 in a 64-bit process included.
 * The x32 bit counts in positive numbers only: -1 has it set, and is none.
 */
static __always_inline enum abi abi_of(struct task_struct *task, __u32 *nr)
{
	if (task->thread_info.status & TS_COMPAT)
		return I386;
	if ((*nr & (X32_BIT | 0x80000000)) == X32_BIT) {
		*nr &= ~X32_BIT;
		return X32;
	}
	return NATIVE;
}

static __always_inline __u32 number(struct pt_regs *regs)
{
	return BPF_CORE_READ(regs, orig_ax);
}

static __always_inline __u64 pointer(struct pt_regs *regs)
{
	return BPF_CORE_READ(regs, ip);
}

static __always_inline __u64 stack_pointer(struct pt_regs *regs)
{
	return BPF_CORE_READ(regs, sp);
}

static __always_inline void arguments(__u64 *args, struct pt_regs *regs, enum abi abi)
{
	if (abi == I386) {
		args[0] = (__u32)BPF_CORE_READ(regs, bx);
		args[1] = (__u32)BPF_CORE_READ(regs, cx);
		args[2] = (__u32)BPF_CORE_READ(regs, dx);
		args[3] = (__u32)BPF_CORE_READ(regs, si);
		args[4] = (__u32)BPF_CORE_READ(regs, di);
		args[5] = (__u32)BPF_CORE_READ(regs, bp);
		return;
	}
	args[0] = BPF_CORE_READ(regs, di);
	args[1] = BPF_CORE_READ(regs, si);
	args[2] = BPF_CORE_READ(regs, dx);
	args[3] = BPF_CORE_READ(regs, r10);
	args[4] = BPF_CORE_READ(regs, r8);
	args[5] = BPF_CORE_READ(regs, r9);
}

#elif defined(__TARGET_ARCH_arm64)

#define NR_CLOSE 57
#define NR_EXECVE 221
#define NR_GETPPID 173
#define TIF_32BIT 22 /* arch/arm64/include/asm/thread_info.h */

/* There is no table for 32-bit ARM: its numbers under 64-bit names would lie. */
static __always_inline enum abi abi_of(struct task_struct *task, __u32 *nr)
{
	return task->thread_info.flags & (1UL << TIF_32BIT) ? FOREIGN : NATIVE;
}

static __always_inline __u32 number(struct pt_regs *regs)
{
	return BPF_CORE_READ(regs, syscallno);
}

static __always_inline __u64 pointer(struct pt_regs *regs)
{
	return BPF_CORE_READ(regs, user_regs.pc);
}

static __always_inline __u64 stack_pointer(struct pt_regs *regs)
{
	return BPF_CORE_READ(regs, user_regs.sp);
}

/* regs[0] holds the result by the time of sys_exit. */
static __always_inline void arguments(__u64 *args, struct pt_regs *regs, enum abi abi)
{
	args[0] = BPF_CORE_READ(regs, orig_x0);
	args[1] = BPF_CORE_READ(regs, user_regs.regs[1]);
	args[2] = BPF_CORE_READ(regs, user_regs.regs[2]);
	args[3] = BPF_CORE_READ(regs, user_regs.regs[3]);
	args[4] = BPF_CORE_READ(regs, user_regs.regs[4]);
	args[5] = BPF_CORE_READ(regs, user_regs.regs[5]);
}

#endif

static __always_inline void add(__u64 *counter)
{
	__sync_fetch_and_add(counter, 1);
}

static __always_inline struct session *session(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&sessions, &zero);
}

static __always_inline struct event *draft(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&drafts, &zero);
}

/*
 * Nearly every task of the machine has no storage at all, and pays for this at each
 * of its syscalls: it is spared the helper. Pointers that are read less often are read
 * by BPF_CORE_READ: for each one that is loaded as this one is, on each path, the
 * verifier searches all types of the kernel by name, which takes it a millisecond.
 */
static __always_inline struct mark *mark_of(struct task_struct *task)
{
	if (!task->bpf_storage)
		return 0;
	return bpf_task_storage_get(&marks, task, 0, 0);
}

/*
 * The kernel has some memory for marks at hand on each CPU. The interrupt in which it
 * gets more comes right after that has been used up, so a burst can be too fast once.
 */
static __always_inline struct mark *give(struct task_struct *task, struct mark *fresh)
{
	struct mark *mark = bpf_task_storage_get(&marks, task, fresh, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!mark)
		mark = bpf_task_storage_get(&marks, task, fresh, BPF_LOCAL_STORAGE_GET_F_CREATE);
	return mark;
}

/* keep_odd and keep report whether the session had not seen the number yet. */
static __always_inline int keep_odd(struct session *all, struct slot *slot, struct mark *mark,
				    int current, enum kind kind, enum abi abi, __u32 nr)
{
	struct odd key = { .slot = mark->slot, .kind = kind, .abi = abi, .nr = nr };
	__u64 gen = mark->gen;
	int doubted = slot->doubt == gen;
	long err;

	if (doubted)
		key.slot |= DOUBTED;
	if (current) {
		slot->odd = gen;
		if (bpf_map_update_elem(&odds, &key, &gen, BPF_ANY))
			add(&all->beyond);
	}
	if (doubted)
		return 0;
	key.slot = SESSION;
	err = bpf_map_update_elem(&odds, &key, &gen, BPF_NOEXIST);
	if (err && err != -EEXIST)
		add(&all->beyond);
	return !err;
}

static __always_inline int keep(struct session *all, struct mark *mark, enum kind kind, enum abi abi, __u32 nr)
{
	__u32 number = mark->slot;
	struct slot *slot = bpf_map_lookup_elem(&slots, &number);
	__u8 *cell;
	int current;

	if (!slot)
		return 0;
	if (abi >= ABIS) {
		add(&all->unfollowed);
		return 0;
	}
	current = slot->gen == mark->gen;
	if (!current)
		add(&all->late);
	if (nr >= NRS)
		return keep_odd(all, slot, mark, current, kind, abi, nr);
	if (current) {
		cell = &slot->half[mark->gen & 1].cell[kind][abi * NRS + nr];
		if (*cell)
			return 0;
		*cell = 1;
	}
	if (slot->doubt == mark->gen)
		return 0;
	if (mark->gen >= slot->since)
		slot->all.cell[kind][abi * NRS + nr] = 1;
	cell = &all->set.cell[kind][abi * NRS + nr];
	if (*cell)
		return 0;
	*cell = 1;
	return 1;
}

/* regs is absent at exec, where they already belong to the new program, and in a vsyscall. */
static __always_inline void describe(struct event *e, struct mark *mark, struct pt_regs *regs,
				     enum kind kind, enum abi abi, __u32 nr)
{
	__u64 id = bpf_get_current_pid_tgid();
	int i;

	__builtin_memset(e, 0, offsetof(struct event, texts));
	for (i = 0; i < TEXTS; i++)
		e->texts[i].arg = 0;
	e->kind = kind;
	e->abi = abi;
	e->nr = nr;
	e->pid = id >> 32;
	e->tid = id;
	e->slot = mark->slot;
	e->count = 1;
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	if (regs) {
		e->ip = pointer(regs);
		arguments(e->args, regs, abi);
	}
}

/* What is known of a call, nothing of one outside the table. */
static __always_inline struct shape *shape_of(enum abi abi, __u32 nr)
{
	__u32 zero = 0;
	struct shapes *known = bpf_map_lookup_elem(&call_shapes, &zero);

	return known && abi < ABIS && nr < NRS ? &known->of[abi * NRS + nr] : 0;
}

/*
 * Reads what the arguments point to now, which can be something else than what the
 * kernel has read or will read. A page that is not resident counts as a fault: no
 * tracepoint may sleep. Before Linux 6.16 a thread at sched_process_exit has no
 * memory any more, and what is mapped then can be that of another process.
 */
static __always_inline void read_texts(struct event *e, enum abi abi, __u32 nr)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct shape *known = shape_of(abi, nr);
	struct text *text;
	__u32 arg;
	long size;
	int i;

	if (!known || !BPF_CORE_READ(task, mm))
		return;
	for (i = 0; i < TEXTS; i++) {
		arg = known->texts[i];
		if (arg < 1 || arg > 6)
			return;
		text = &e->texts[i];
		size = bpf_probe_read_user_str(text->bytes, sizeof(text->bytes), (void *)e->args[arg - 1]);
		if (size <= 0)
			continue;
		text->arg = arg;
		text->size = size;
	}
}

static __always_inline void send(struct session *all, struct event *e)
{
	if (bpf_ringbuf_output(&events, e, sizeof(*e), 0))
		add(&all->events_dropped);
}

/* Whether the session has seen the number in the other part of life. */
static __always_inline int seen_otherwise(struct session *all, enum kind other, enum abi abi, __u32 nr)
{
	struct odd key = { .slot = SESSION, .kind = other, .abi = abi, .nr = nr };

	if (abi >= ABIS)
		return 0;
	if (nr < NRS)
		return all->set.cell[other][abi * NRS + nr];
	return bpf_map_lookup_elem(&odds, &key) != 0;
}

static __always_inline void see(struct mark *mark, struct pt_regs *regs, enum abi abi, __u32 nr)
{
	struct session *all = session();
	enum kind kind = mark->kind;
	struct event *e;

	if (!all || kind >= DENIED || !keep(all, mark, kind, abi, nr) || !all->first_sightings)
		return;
	if (kind != SEEN && seen_otherwise(all, kind == MAIN ? STARTUP : MAIN, abi, nr))
		return;
	e = draft();
	if (!e)
		return;
	describe(e, mark, regs, kind, abi, nr);
	if (regs)
		read_texts(e, abi, nr);
	send(all, e);
}

#include "place.h"

static __always_inline void count_more(struct session *all, struct event *e, struct denial *key)
{
	struct event *known;
	int i;

	__builtin_memset(key->args, 0, sizeof(key->args));
	known = bpf_map_lookup_elem(&more_denials, key);
	if (!known) {
		__builtin_memset(e->args, 0, sizeof(e->args));
		for (i = 0; i < TEXTS; i++)
			e->texts[i].arg = 0;
		if (!bpf_map_update_elem(&more_denials, key, e, BPF_NOEXIST))
			return;
		known = bpf_map_lookup_elem(&more_denials, key);
	}
	if (known)
		add(&known->count);
	else
		add(&all->denials_dropped);
}

/*
 * Counts an equal call of the process, or tells of the first. The verifier looks at
 * this function once, because it is global.
 */
__noinline int tell(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct session *all = session();
	struct event *e = draft(), *known;
	struct denial key = {};
	struct shape *shape;
	__u32 i, used = 6;
	long err;

	if (!all || !e)
		return 0;
	shape = shape_of(e->abi, e->nr);
	if (shape && shape->args <= 6)
		used = shape->args;
	key.pid = e->pid;
	key.born = BPF_CORE_READ(task, group_leader, start_boottime);
	key.abi = e->abi;
	key.nr = e->nr;
	key.kind = e->kind;
	for (i = 0; i < 6; i++)
		key.args[i] = i < used ? e->args[i] : 0;
	known = bpf_map_lookup_elem(&denials, &key);
	if (!known) {
		read_texts(e, e->abi, e->nr);
		err = bpf_map_update_elem(&denials, &key, e, BPF_NOEXIST);
		if (!err) {
			send(all, e);
			return 0;
		}
		known = bpf_map_lookup_elem(&denials, &key);
	}
	if (known)
		add(&known->count);
	else
		count_more(all, e, &key);
	return 0;
}

static __always_inline void deny(struct bpf_raw_tracepoint_args *ctx, struct task_struct *task, struct mark *mark,
				 struct pt_regs *regs, __s64 ret, __u32 sigsys, int detailed)
{
	struct session *all = session();
	__u32 nr = number(regs);
	enum abi abi = abi_of(task, &nr);
	struct event *e;

	if (!all)
		return;
	keep(all, mark, mark->kind < DENIED ? DENIED + mark->kind : DENIED, abi, nr);
	if (!all->denials)
		return;
	e = draft();
	if (!e)
		return;
	describe(e, mark, regs, DENIED, abi, nr);
	e->ret = ret;
	e->sigsys = sigsys;
	if (detailed && all->places)
		place(ctx, e->ip);
	tell();
}

/* Tells of a call that its filter has let pass, if that is wanted of it. */
static __always_inline void watch(struct bpf_raw_tracepoint_args *ctx, struct mark *mark, struct pt_regs *regs,
				  enum abi abi, __u32 nr, int detailed)
{
	struct session *all = session();
	struct shape *shape;
	struct shapes *known;
	struct event *e;
	__u32 zero = 0;

	if (!all || !all->watches)
		return;
	shape = shape_of(abi, nr);
	if (shape) {
		if (!shape->watched)
			return;
	} else {
		known = bpf_map_lookup_elem(&call_shapes, &zero);
		if (!known || abi > FOREIGN || !known->watch_others[abi])
			return;
	}
	e = draft();
	if (!e)
		return;
	describe(e, mark, regs, WATCHED, abi, nr);
	if (detailed && all->places && regs)
		place(ctx, e->ip);
	tell();
}

/* The mark of a process that is recorded from the end of the call on that it is in. */
static __always_inline void record(struct mark *mark, struct session *all)
{
	mark->state = ARMED;
	mark->kind = all->entry ? MAIN : SEEN;
	/* The next sys_exit is that of this call, whose result is nobody's. */
	mark->phase = INSIDE;
	mark->abi = FOREIGN;
	mark->filtered = 1;
}

/*
 * A thread asks to become the launcher of a slot, to be recorded in its current run, or
 * to be neither, by a getppid that it makes itself, which ignores its arguments: that
 * works on every kernel, while naming a thread from outside needs PIDFD_THREAD (Linux
 * 6.9). The cookie keeps others out. Reports whether it was such a request.
 */
static __always_inline int answer(struct task_struct *task, struct mark *mark, struct pt_regs *regs)
{
	struct session *all = session();
	struct mark fresh = {};
	__u64 args[6] = {};
	struct slot *slot;

	arguments(args, regs, NATIVE);
	if (!all || args[0] != all->cookie)
		return 0;
	fresh.slot = args[1];
	slot = bpf_map_lookup_elem(&slots, &fresh.slot);
	if (!slot)
		return 1;
	if (args[2] == LEAVE) {
		if (!mark || mark->slot != fresh.slot)
			return 1;
		if (mark->state == LAUNCHER)
			slot->launcher = 0;
		bpf_task_storage_delete(&marks, task);
		return 1;
	}
	if (mark)
		return 1;
	fresh.state = LAUNCHER;
	if (args[2] == JOIN) {
		fresh.gen = slot->gen;
		record(&fresh, all);
	}
	if (!bpf_task_storage_get(&marks, task, &fresh, BPF_LOCAL_STORAGE_GET_F_CREATE)) {
		if (args[2] == JOIN)
			add(&all->unfollowed);
		return 1;
	}
	if (args[2] == LAUNCH)
		slot->launcher = (__u32)bpf_get_current_pid_tgid();
	return 1;
}

/* A copy that a SERVER has made has closed what it shared with whom that serves. */
static __always_inline void detach(struct task_struct *task, struct mark *mark, struct pt_regs *regs)
{
	struct session *all = session();
	__u64 args[6] = {};
	__u32 nr = NR_CLOSE;

	arguments(args, regs, NATIVE);
	if (all && abi_of(task, &nr) == NATIVE && nr == NR_CLOSE && (__u32)args[0] == mark->nr)
		record(mark, all);
}

#include "details.h"

static __always_inline int enter(struct bpf_raw_tracepoint_args *ctx, int detailed)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (void *)ctx->args[0];
	struct mark *mark = mark_of(task);
	__u32 nr = ctx->args[1];
	enum abi abi;

	if (nr == NR_GETPPID && answer(task, mark, regs))
		return 0;
	if (mark && mark->state == COPY && nr == NR_CLOSE) {
		detach(task, mark, regs);
		return 0;
	}
	if (!mark || mark->state != ARMED)
		return 0;
	abi = abi_of(task, &nr);
	mark->phase = INSIDE;
	mark->abi = abi;
	mark->nr = nr;
	mark->filtered = task->seccomp.mode != 0;
	see(mark, regs, abi, nr);
	watch(ctx, mark, regs, abi, nr, detailed);
	if (detailed)
		keep_details(ctx, mark, regs, pointer(regs), abi, nr);
	return 0;
}

SEC("raw_tracepoint/sys_enter")
int sys_enter(struct bpf_raw_tracepoint_args *ctx)
{
	return enter(ctx, 0);
}

SEC("raw_tracepoint/sys_enter")
int sys_enter_details(struct bpf_raw_tracepoint_args *ctx)
{
	return enter(ctx, 1);
}

#if defined(__TARGET_ARCH_x86)
/*
 * Old static programs enter the vsyscall page. The kernel then emulates the call
 * in a page fault, without a sys_enter, but seccomp decides about it as about any
 * other. What it refuses is seen here all the same.
 */
static __always_inline int enter_vsyscall(struct bpf_raw_tracepoint_args *ctx, int detailed)
{
	struct mark *mark = mark_of(bpf_get_current_task_btf());
	__u32 which = ctx->args[0], nr;

	if (!mark || mark->state != ARMED)
		return 0;
	/* arch/x86/entry/vsyscall/vsyscall_64.c */
	switch (which) {
	case 0:
		nr = 96; /* gettimeofday */
		break;
	case 1:
		nr = 201; /* time */
		break;
	case 2:
		nr = 309; /* getcpu */
		break;
	default:
		return 0;
	}
	see(mark, 0, NATIVE, nr);
	watch(ctx, mark, 0, NATIVE, nr, 0);
	if (detailed)
		keep_details(ctx, mark, 0, VSYSCALL_ADDR + which * 1024, NATIVE, nr);
	return 0;
}

SEC("raw_tracepoint/emulate_vsyscall")
int emulate_vsyscall(struct bpf_raw_tracepoint_args *ctx)
{
	return enter_vsyscall(ctx, 0);
}

SEC("raw_tracepoint/emulate_vsyscall")
int emulate_vsyscall_details(struct bpf_raw_tracepoint_args *ctx)
{
	return enter_vsyscall(ctx, 1);
}
#endif

/* Only a BTF-typed tracepoint may give storage to a task other than the current one. */
SEC("tp_btf/task_newtask")
int task_newtask(__u64 *ctx)
{
	struct task_struct *child = (void *)ctx[0];
	__u64 flags = ctx[1];
	struct mark *mark = mark_of(bpf_get_current_task_btf());
	struct session *all;
	struct slot *slot;
	struct mark fresh;

	if (!mark)
		return 0;
	fresh = *mark;
	if (fresh.state == LAUNCHER) {
		/* A new thread of the launcher's own runtime. */
		if (flags & CLONE_THREAD)
			return 0;
		slot = bpf_map_lookup_elem(&slots, &fresh.slot);
		if (!slot)
			return 0;
		fresh.state = PENDING;
		fresh.gen = slot->gen;
	}
	if (fresh.state == SERVER) {
		slot = bpf_map_lookup_elem(&slots, &fresh.slot);
		if (!slot || flags & CLONE_THREAD)
			return 0;
		fresh.state = COPY;
		fresh.gen = slot->gen;
	}
	/*
	 * Of those that share a memory only one comes to the entry point. In doubt it
	 * is the main part: that has more then, never less.
	 */
	if (fresh.kind == STARTUP && flags & CLONE_VM)
		fresh.kind = MAIN;
	/* The child's first sys_exit is that of the clone which it did not enter. */
	fresh.phase = INSIDE;
	if (give(child, &fresh))
		return 0;
	all = session();
	if (all)
		add(&all->unfollowed);
	return 0;
}

/*
 * Arms, and records the exec: its sys_enter was the launcher's child's. Whether
 * that was execve, execveat or a 32-bit one is the launcher's affair, so it is
 * always kept as the native execve that a runtime will use. An exec by a thread
 * other than the leader keeps the thread's task_struct, hence its mark.
 */
static __always_inline void arm(struct mark *mark)
{
	/* A mark that is ARMED came while the exec was under way. */
	if (mark->state != PENDING && mark->phase != JOINED)
		return;
	mark->state = ARMED;
	mark->phase = INSIDE;
	mark->abi = NATIVE;
	mark->nr = NR_EXECVE;
	mark->filtered = 1;
	see(mark, 0, NATIVE, NR_EXECVE);
	watch(0, mark, 0, NATIVE, NR_EXECVE, 0);
}

SEC("raw_tracepoint/sched_process_exec")
int sched_process_exec(struct bpf_raw_tracepoint_args *ctx)
{
	struct mark *mark = mark_of(bpf_get_current_task_btf());

	if (mark)
		arm(mark);
	return 0;
}

#include "phase.h"
#include "uring.h"
#include "crash.h"
#include "attach.h"

/*
 * Whether this is the end of another call than the last one that began. Exits of threads
 * without a filter are not looked at, and a thread can get one from another thread
 * (SECCOMP_FILTER_FLAG_TSYNC): then INSIDE is of a call long past. rt_sigreturn
 * leaves the number -1.
 */
static __always_inline int is_of_another(struct task_struct *task, struct mark *mark, struct pt_regs *regs)
{
	__u32 nr = number(regs);
	enum abi abi;

	if (mark->filtered || !task->seccomp.mode || nr == (__u32)-1)
		return 0;
	abi = abi_of(task, &nr);
	return nr != mark->nr || abi != mark->abi;
}

/*
 * Seccomp decides before sys_enter is traced, so a sys_exit without a sys_enter
 * is a call that the filter refused. ptrace can make one too (PTRACE_SYSEMU),
 * which is why a thread without a filter denies nothing. Most threads have none, and
 * then nothing is to be learned here but results.
 */
static __always_inline int leave(struct bpf_raw_tracepoint_args *ctx, int detailed)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (void *)ctx->args[0];
	struct session *all;
	struct mark *mark;
	__u32 nr, sigsys;
	__s64 ret = ctx->args[1];
	enum abi abi;

	if (!task->bpf_storage)
		return 0;
	all = session();
	if (!all || (!detailed && !task->seccomp.mode && !all->joins))
		return 0;
	mark = mark_of(task);
	if (!mark || mark->state != ARMED)
		return 0;
	if (mark->phase == INSIDE && !is_of_another(task, mark, regs)) {
		mark->phase = OUTSIDE;
		if (detailed && all->returns)
			keep_result(all, mark, regs, ret);
		return 0;
	}
	if (mark->phase == JOINED) {
		/* What it was in when it got its mark, or what a filter refused it. */
		mark->phase = OUTSIDE;
		nr = number(regs);
		if (nr == (__u32)-1)
			return 0;
		abi = abi_of(task, &nr);
		see(mark, regs, abi, nr);
		if (detailed) {
			mark->abi = abi;
			mark->nr = nr;
			keep_details(ctx, mark, regs, pointer(regs), abi, nr);
			if (all->returns)
				keep_result(all, mark, regs, ret);
		}
		return 0;
	}
	if (!task->seccomp.mode)
		return 0;
	sigsys = task->pending.signal.sig[0] >> (SIGSYS - 1) & 1;
	/* A notified call whose wait a signal cut short: it will be made again. */
	if (!sigsys && ret == -ERESTARTSYS)
		return 0;
	/* TRAP and KILL roll the registers back: the result is none. */
	if (sigsys)
		ret = 0;
	if (task->seccomp.mode == SECCOMP_MODE_DEAD)
		mark->phase = KILLED;
	deny(ctx, task, mark, regs, ret, sigsys, detailed);
	if (detailed) {
		nr = number(regs);
		abi = abi_of(task, &nr);
		keep_details(ctx, mark, regs, pointer(regs), abi, nr);
	}
	return 0;
}

SEC("raw_tracepoint/sys_exit")
int sys_exit(struct bpf_raw_tracepoint_args *ctx)
{
	return leave(ctx, 0);
}

SEC("raw_tracepoint/sys_exit")
int sys_exit_details(struct bpf_raw_tracepoint_args *ctx)
{
	return leave(ctx, 1);
}

/*
 * KILL_THREAD in a process with other threads ends the thread inside the filter:
 * no sys_exit. Threads that die with a killed process carry the same exit code;
 * what tells them apart is the dead seccomp mode, and before Linux 5.17 that no
 * group exit is under way. Strict mode ends the thread there too.
 */
SEC("raw_tracepoint/sched_process_exit")
int sched_process_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct mark *mark = mark_of(task);
	int dead = task->seccomp.mode == SECCOMP_MODE_DEAD;
	int sig = task->exit_code & 0x7f;

	if (!mark || mark->state != ARMED || mark->phase == KILLED || !task->seccomp.mode)
		return 0;
	/* Strict mode kills by SIGKILL, which anybody can send. */
	if (sig != SIGSYS && !(sig == SIGKILL && dead))
		return 0;
	if (!dead && BPF_CORE_READ(task, signal, flags) & SIGNAL_GROUP_EXIT)
		return 0;
	deny(ctx, task, mark, (struct pt_regs *)bpf_task_pt_regs(task), 0, sig == SIGSYS, 0);
	return 0;
}
