/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What is kept of a call beside its number, for the programs whose name ends in
 * _details: where it was made, values of its arguments, what came of it. All that
 * is known of a slot is in its struct detail and in two tables, which have bounds;
 * what does not fit leaves a flag in the former, so that a list that is cut never
 * looks whole.
 *
 * bpf_find_vma is of Linux 5.17: these programs are loaded where it exists.
 */
#ifndef RAWTP_DETAILS_H
#define RAWTP_DETAILS_H

#define ARGS 6
#define MAX_SITES 16  /* trace.MaxSites */
#define MAX_VALUES 32 /* trace.MaxValues */
#define RESULTS 3     /* words of an array of bits: 0 is success, the others errnos */

/* What is kept of each call, which is abi * NRS + nr. Shared with user space. */
struct detail {
	__u64 results[ABIS * NRS][RESULTS];
	__u32 values[ABIS * NRS][ARGS];     /* how many of an argument are in the table */
	__u16 sites[ABIS * NRS][MAX_SITES]; /* those in the table: see keep_site */
	__u8 any[ABIS * NRS][ARGS];         /* there are other values than those in the table */
	__u8 more_sites[ABIS * NRS];
};

/* How many bits the kernel reads of an argument whose values are kept, 0 of others. */
struct choices {
	__u8 bits[ABIS * NRS][8];
};

struct value {
	__u64 value;
	__u32 slot;
	__u16 call;
	__u16 arg;
};

struct site_key {
	__u32 slot;
	__u16 call;
	__u16 index;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct detail);
} details SEC(".maps");

/* Full: session.details_lost. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct value);
	__type(value, __u8);
} values SEC(".maps");

/* Full: session.details_lost. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct site_key);
	__type(value, struct site);
} sites SEC(".maps");

/* User space fills it before the load. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct choices);
} choice_args SEC(".maps");

/*
 * A site is known again by the lower 12 bits of its address, which address space
 * randomization leaves alone: two of one syscall that share them are taken for one.
 * They are noted, plus 1, after the site has been stored, so that one that could
 * not be is tried again at its next call.
 *
 * The verifier looks at this function and at keep_value once, because they are
 * global: inlined, they would cost each Open half a second.
 */
__noinline int keep_site(struct bpf_raw_tracepoint_args *ctx, __u32 slot, __u32 call, __u64 ip)
{
	struct session *all = session();
	struct detail *d = bpf_map_lookup_elem(&details, &slot);
	struct site_key key = { .slot = slot, .call = call };
	struct site site = { .ip = ip };
	__u16 low = (ip & 0xfff) + 1;
	__u32 i;
	long err;

	if (!all || !d || call >= ABIS * NRS)
		return 0;
	for (i = 0; i < MAX_SITES; i++) {
		if (d->sites[call][i] == low)
			return 0;
		if (!d->sites[call][i])
			break;
	}
	if (i < MAX_SITES && find_site(ctx, &site)) {
		for (; i < MAX_SITES; i++) {
			key.index = i;
			err = bpf_map_update_elem(&sites, &key, &site, BPF_NOEXIST);
			if (!err) {
				d->sites[call][i] = low;
				return 0;
			}
			if (err != -EEXIST) /* that of another CPU, at the same moment */
				break;
		}
	}
	d->more_sites[call] = 1;
	if (i < MAX_SITES)
		add(&all->details_lost);
	return 0;
}

__noinline int keep_value(__u32 slot, __u32 call, __u32 arg, __u64 value)
{
	struct session *all = session();
	struct detail *d = bpf_map_lookup_elem(&details, &slot);
	struct value key = { .slot = slot, .call = call, .arg = arg, .value = value };
	__u8 one = 1;
	long err;

	if (!all || !d || call >= ABIS * NRS || arg >= ARGS)
		return 0;
	if (d->any[call][arg] || bpf_map_lookup_elem(&values, &key))
		return 0;
	if (d->values[call][arg] >= MAX_VALUES) {
		d->any[call][arg] = 1;
		return 0;
	}
	err = bpf_map_update_elem(&values, &key, &one, BPF_NOEXIST);
	if (!err) {
		__sync_fetch_and_add(&d->values[call][arg], 1);
	} else if (err != -EEXIST) {
		d->any[call][arg] = 1;
		add(&all->details_lost);
	}
	return 0;
}

/* How many bits of its arguments are kept, 0 if none are. */
static __always_inline __u8 *choices_of(__u32 call)
{
	__u32 zero = 0;
	struct choices *known = bpf_map_lookup_elem(&choice_args, &zero);

	return known && *(__u64 *)known->bits[call] ? known->bits[call] : 0;
}

static __always_inline void keep_values_of(__u64 *args, __u32 slot, __u32 call)
{
	__u8 *bits = choices_of(call);
	__u32 i;

	if (!bits)
		return;
#pragma unroll
	for (i = 0; i < ARGS; i++) {
		if (bits[i])
			keep_value(slot, call, i, bits[i] < 64 ? args[i] & ((1ULL << bits[i]) - 1) : args[i]);
	}
}

static __always_inline void keep_values(struct pt_regs *regs, __u32 slot, enum abi abi, __u32 call)
{
	__u64 args[ARGS] = {};

	if (!choices_of(call))
		return;
	arguments(args, regs, abi);
	keep_values_of(args, slot, call);
}

/* The slot's details, unless the call is of a straggler of a former owner. */
static __always_inline struct detail *details_of(struct mark *mark)
{
	__u32 number = mark->slot;
	struct slot *slot = bpf_map_lookup_elem(&slots, &number);

	if (!slot || mark->gen < slot->since)
		return 0;
	return bpf_map_lookup_elem(&details, &number);
}

static __always_inline void keep_details(struct bpf_raw_tracepoint_args *ctx, struct mark *mark,
					 struct pt_regs *regs, __u64 ip, enum abi abi, __u32 nr)
{
	struct session *all = session();
	__u32 call = abi * NRS + nr;

	if (!all || !details_of(mark) || abi >= ABIS || nr >= NRS)
		return;
	if (all->sites)
		keep_site(ctx, mark->slot, call, ip);
	if (all->args && regs)
		keep_values(regs, mark->slot, abi, call);
}

/* The call is that which the thread has entered: an exec changes what abi_of says. */
static __always_inline void keep_result(struct session *all, struct mark *mark, struct pt_regs *regs, __s64 ret)
{
	struct detail *d = details_of(mark);
	__u32 abi = mark->abi, nr = mark->nr;
	__u64 errno = ret < 0 && ret >= -4095 ? -ret : 0;
	__u64 *word, bit;

	/* A return from a signal handler, too, has no result but a restored register. */
	if (!d || abi >= ABIS || nr >= NRS || number(regs) == (__u32)-1)
		return;
	if (errno == ERESTARTSYS || errno == ERESTARTNOINTR || errno == ERESTARTNOHAND ||
	    errno == ERESTART_RESTARTBLOCK)
		return;
	if (errno >= RESULTS * 64) {
		add(&all->details_lost);
		return;
	}
	word = &d->results[abi * NRS + nr][errno / 64];
	bit = 1ULL << (errno % 64);
	if (!(*word & bit))
		__sync_fetch_and_or(word, bit);
}

#endif
