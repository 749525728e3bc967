//go:build ignore

/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Whatever address and port a program calls in a network namespace, one of four sockets
 * gets the call: a listener for TCP and a socket for UDP, of each family. Three things
 * come first. A port at which the program itself listens stays its own. What is sent
 * to a port from which something was sent before is the answer to that. And of UDP on
 * loopback addresses nobody tells who has bound what, so only DNS is answered there.
 * Where the program is a name server itself, loopback addresses are where it is asked,
 * and all others are those of name servers that it asks: once, where it asks from port 53,
 * for what is sent there then is an answer.
 */
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed int __s32;
typedef signed long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

#include <stdbool.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#define BPF_MAP_TYPE_SOCKMAP 15 /* include/uapi/linux/bpf.h, as the next */
struct bpf_sk_lookup {
	void *sk;
	__u32 family;
	__u32 protocol;
	__be32 remote_ip4;
	__be32 remote_ip6[4];
	__be16 remote_port;
	__u16 : 16;
	__be32 local_ip4;
	__be32 local_ip6[4];
	__u32 local_port;
	__u32 ingress_ifindex;
};
enum sk_action { SK_DROP, SK_PASS };

#define AF_INET6 10
#define IPPROTO_TCP 6
#define DNS 53
#define TCP_CLOSE 7 /* include/net/tcp_states.h */
#define TCP_LISTEN 10

/* Offsets are the running kernel's, by CO-RE. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct ns_common {
	unsigned int inum;
};
struct net {
	struct ns_common ns;
};
typedef struct {
	struct net *net;
} possible_net_t;
struct sock_common {
	possible_net_t skc_net;
};
struct sock {
	struct sock_common __sk_common;
};
struct inet_sock {
	__be16 inet_sport;
};
#pragma clang attribute pop

#define PORTS 65536
enum which { TCP4, TCP6, UDP4, UDP6, WHICHES };

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, WHICHES);
	__type(key, __u32);
	__type(value, __u64);
} sockets SEC(".maps");

/* What is of another generation is of another run. */
struct port {
	__u32 generation;
	__u32 listeners;
};
struct port listening[PORTS]; /* TCP */
__u32 sent[PORTS];	      /* UDP: the generation in which something was sent from the port */
volatile __u32 generation;
volatile __u32 namespace; /* inode of that of the run; 0 for none */
volatile __u32 named;	  /* whether the program is a name server */

static bool loopback(struct bpf_sk_lookup *ctx)
{
	if (ctx->family == AF_INET6)
		return !ctx->local_ip6[0] && !ctx->local_ip6[1] && !ctx->local_ip6[2] && ctx->local_ip6[3] == bpf_htonl(1);
	return (ctx->local_ip4 & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
}

SEC("sk_lookup")
int divert(struct bpf_sk_lookup *ctx)
{
	__u32 local = ctx->local_port & (PORTS - 1), now = generation;
	__u32 key = ctx->family == AF_INET6 ? TCP6 : TCP4;

	if (ctx->protocol == IPPROTO_TCP) {
		if (listening[local].generation == now && listening[local].listeners > 0 &&
		    (local != DNS || !named || loopback(ctx)))
			return SK_PASS;
	} else {
		if (sent[local] == now || ((local != DNS || named) && loopback(ctx)))
			return SK_PASS;
		sent[bpf_ntohs(ctx->remote_port) & (PORTS - 1)] = now;
		key += UDP4;
	}
	struct bpf_sock *sk = bpf_map_lookup_elem(&sockets, &key);

	if (!sk) { /* nobody is there, and who asks others does not reach itself */
		bool asks = ctx->protocol == IPPROTO_TCP && local == DNS && named && !loopback(ctx);

		return asks ? SK_DROP : SK_PASS;
	}
	long err = bpf_sk_assign((void *)ctx, sk, 0);

	bpf_sk_release(sk);
	return err ? SK_DROP : SK_PASS;
}

SEC("tp_btf/inet_sock_set_state")
int state(__u64 *args)
{
	struct sock *sk = (void *)args[0];
	int before = args[1], after = args[2];

	/* What is accepted begins as a copy of the listener: it leaves that state, too, but not to be closed. */
	if (after != TCP_LISTEN && (before != TCP_LISTEN || after != TCP_CLOSE))
		return 0;
	if (sk->__sk_common.skc_net.net->ns.inum != namespace)
		return 0;
	/* Of a listener that is closed, the number in sock_common is gone already. */
	struct port *p = &listening[bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport))];

	if (p->generation != generation) {
		p->listeners = 0;
		p->generation = generation;
	}
	if (after == TCP_LISTEN)
		__sync_fetch_and_add(&p->listeners, 1);
	else if (p->listeners > 0)
		__sync_fetch_and_sub(&p->listeners, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
