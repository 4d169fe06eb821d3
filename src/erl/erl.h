/* SPDX-License-Identifier: MIT
 *
 * erl.h - what a node is made of.
 *
 * Nothing here but weft's public headers and ei's: anybody could have written it. Of ei only what encodes and decodes terms is used. Its connections are not: they look names up and ask epmd past every hook, tell errors
 * by a place of the thread's, which a task that has parked may have left, and do not say that they know monitors of names, without which Erlang sends no monitor at all. So the handshake and the messages
 * are written here, as OTP's "Distribution Protocol" has them.
 *
 * Of each connection (struct conn) there are three tasks:
 *
 *    wire -> reader -> in (a channel of blocks) -> talker -> mailboxes
 *    whoever sends -> out (bytes) -> writer -> wire
 *
 * The talker is an actor: it monitors those of ours whom Erlang monitors or is linked to, so that a monitor is set before the next message is looked at, and is gone with the connection. All relations
 * are its own (talk.c). It waits for no mailbox: what does not fit is taken over by a task a receiver (deliver.c), until too many bytes wait there; so no actor that waits for an answer is in the way of that answer.
 *
 *   n->lock   conns, their states, ids (whose pids ours are), stopping. Held for a look or a change, never while anything is waited for but n->changed, a call's cond or c->block
 *   c->wlock  out. Not with another
 *   c->block  what waits to be delivered. Also within n->lock, never around it
 *
 * All these tasks, and whoever takes a lock, are of one runtime: home.c.
 */
#ifndef WEFT_ERL_ERL_H
#define WEFT_ERL_ERL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <weft/actor.h>
#include <weft/chan.h>
#include <weft/ctx.h>
#include <weft/erl.h>
#include <weft/group.h>
#include <weft/lf/atomic.h>
#include <weft/lock.h>
#include <weft/net.h>
#include <weft/scope.h>
#include <weft/server.h>
#include <weft/several.h>
#include <weft/sync.h>
#include <weft/time.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define NODE_MAX 255 /* bytes of a node's name */
#define COOKIE_MAX 255
#define VERSION_MAGIC 131
#define SHAKE_NS (7 * WEFT_SEC) /* a handshake takes no longer: OTP's net_setuptime */
#define SWEEP_MIN 64            /* so many of a kind before it is asked which are still wanted */
#define MARK 12                 /* the last bytes of a pid or reference, which tell it from others of its node */

/* --- bytes and terms (term.c) --- */

struct slice {
	const char *at;
	int len;
};

/* Bytes that grow. Once memory was lacking, failed stays set and nothing more is added. */
struct out {
	char *at;
	size_t len, room;
	bool failed;
};

/* n bytes more, to be written; or NULL. */
char *weft__erl_more(struct out *o, size_t n);
void weft__erl_raw(struct out *o, const void *p, size_t n);
void weft__erl_add(struct out *o, struct slice s);
void weft__erl_tuple(struct out *o, int arity);
void weft__erl_int(struct out *o, long v);
void weft__erl_atom(struct out *o, const char *name);
void weft__erl_out_free(struct out *o);

/* Bytes of the term that stands at p, in n bytes. It has no version byte. WEFT_EINVAL: no term does; WEFT_EMSGSIZE: it is nested too deep. */
ssize_t weft__erl_size(const char *p, size_t n);
/* Are these bytes one term, with or without version byte? Then *term is it, without. 0, WEFT_EINVAL, WEFT_EMSGSIZE. */
int weft__erl_check(struct slice *term, const void *p, size_t n);
/* The elements of a tuple that is a term (weft__erl_size): how many; -1: it is none, or has more than max. */
int weft__erl_split(struct slice t, struct slice *e, int max);
bool weft__erl_is(struct slice t, const char *atom);
/* An atom's text, in room for n; false: it is none, or too long. */
bool weft__erl_text(struct slice t, char *buf, size_t n);
/* May it be an atom's, or a part of one: UTF-8, and not too long? */
bool weft__erl_is_text(const char *text, size_t n);
/* The last bytes of a term: see MARK. */
uint64_t weft__erl_mark(struct slice t);

/* How one of ours has ended, as a reason; and a reason, as an end. */
void weft__erl_reason(struct out *o, weft_end e);
weft_end weft__erl_end(struct slice reason);

/* --- tables (map.c): of nodes that are parts of others --- */

struct map_node {
	struct map_node *next;
	uint64_t key;
};

struct map {
	struct map_node **slots;
	size_t size, count;
};

/* 0 or WEFT_ENOMEM. Keys need not differ. */
int weft__erl_map_add(struct map *m, struct map_node *node, uint64_t key);
struct map_node *weft__erl_map_get(const struct map *m, uint64_t key);
/* Another with the same key; or NULL. */
struct map_node *weft__erl_map_next(const struct map_node *node);
void weft__erl_map_del(struct map *m, struct map_node *node);
void weft__erl_map_free(struct map *m);

#define part_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* --- the digest of the handshake (md5.c) --- */

void weft__erl_md5(unsigned char digest[16], const void *a, size_t an, const void *b, size_t bn);

/* --- a node (node.c) --- */

/* Who has a pid. */
struct id {
	struct map_node by_number; /* in n->ids: the number is the pid's */
	struct map_node by_ref;    /* an actor's: in n->refs */
	weft_actor_ref ref;        /* whose it is: one of ours, or who stands for one of theirs */
	struct call *call;         /* a call's; NULL: an actor's */
	struct conn *conn;         /* of a call, or of who stands for one of theirs: its end is theirs; NULL: one of ours */
};

/* A call under way, in its caller's frame; all under n->lock. */
struct call {
	struct id id;
	struct slice ref; /* its answer's tag */
	weft_cond answered;
	int rc; /* once done: 0, or why there is no answer */
	bool done;
	struct out got; /* the answer, a term */
};

/* Who is inside is counted, until it is shut. */
struct entry {
	WEFT_ATOMIC(uint32_t) inside; /* how many; and ENTRY_SHUT */
	weft_event empty;             /* nobody any more, since it was shut */
};

#define ENTRY_SHUT (UINT32_C(1) << 31)

struct weft_erl {
	/* Constant. */
	weft_runtime *home; /* its tasks are all of this one; NULL: weft_run's */
	char name[NODE_MAX + 1];
	const char *host; /* in name, behind the @ */
	int alive_len;    /* bytes of it before the @ */
	char cookie[COOKIE_MAX + 1];
	char epmd[WEFT_ADDR_TEXT]; /* where this machine's epmd is */
	int epmd_port, port;
	int64_t tick;
	size_t reply_max, message_max, out_max, backlog_max;
	bool (*allow)(const char *name, void *arg);
	void *arg;
	char pid[NODE_MAX + 32], ref[NODE_MAX + 40]; /* terms whose numbers are to be filled in */
	int pid_len, ref_len;
	uint32_t creation;
	weft_tcp_listener *listener;
	weft_tcp *known; /* to epmd, or NULL; the keeper's */
	weft_task *
		keeper; /* stays_known's (node.c), which ends behind all others, and users' calls: a join tells whether their runtime has gone before. NULL: they have ended */
	weft_sema shaking; /* strangers in the middle of a handshake */

	struct entry users;  /* calls of users' under way; shut by the keeper, when the node is stopped or cut off */
	struct entry guests; /* of these, those from outside that are beginning */
	weft_group group;    /* all tasks but the keeper, those of calls, and errands */
	weft_wg calls;       /* tasks that call one of ours for one of theirs */

	WEFT_ATOMIC(uint64_t) last_ref; /* of references made */
	WEFT_ATOMIC(uint64_t) dropped;  /* messages; statistics */

	weft_mutex lock;
	weft_cond changed; /* with lock: conns, their states, stopping */
	struct conn *conns;
	struct map ids, refs;
	uint64_t last_id, sweep_at;
	bool stopping;
	WEFT_ATOMIC(bool) closing; /* no more calls of theirs. Written before each c->block is locked, read under one */
};

/* Locks whatever has become of the caller. */
void weft__erl_lock(weft_mutex *m);
/* Of an actor, in tables. */
uint64_t weft__erl_key(weft_actor_ref ref);
/* Whose number it is; NULL: nobody's. Under n->lock. */
struct id *weft__erl_id(weft_erl *n, uint64_t number);
/* A new one; under n->lock. 0 or WEFT_ENOMEM. */
int weft__erl_id_add(weft_erl *n, struct id *id);
void weft__erl_id_del(weft_erl *n, struct id *id);
/* The number of an actor's pid, which it gets if it has none. 0: no memory, or it is none: then that of the node is meant. */
uint64_t weft__erl_number(weft_erl *n, weft_actor_ref ref);
void weft__erl_pid(weft_erl *n, struct out *o, uint64_t number);
/* A new reference. */
void weft__erl_ref(weft_erl *n, struct out *o);
/* Whose pid is it? The number; 0: not one of this life of this node. */
uint64_t weft__erl_ours(weft_erl *n, struct slice pid);

/* --- calls of users' (home.c) --- */

/* What a call is to do, in its caller's frame. */
struct errand {
	int (*fn)(weft_erl *n, struct errand *e);
	int64_t deadline;
	bool at_once; /* no call that waits: neither cancelled nor bounded */
	bool cast;
	weft_actor_ref who; /* the caller; or of whom a pid is wanted */
	weft_erl_to to;     /* to.node: also of what concerns a node */
	const void *term;
	size_t len;
	void *out; /* of that size: written if it succeeds */
	size_t size;
	struct out got; /* an answer: the caller's to free */
};

/* Has it done by a task of the node's runtime: the caller, if it is one. What fn returns; why it is not begun; WEFT_ECLOSED. */
int weft__erl_do(weft_erl *n, struct errand *e);
bool weft__erl_at_home(const weft_erl *n);
/* A context for a task of home's that works for the caller; NULL: no memory. */
weft_ctx *weft__erl_ctx_of_caller(weft_erl *n);
/* Joins it; *own: what has ended the caller's waiting, if anything has: then the context is cancelled first. Not 0: home has gone, and t with it. */
int weft__erl_join(weft_task *t, weft_ctx *ctx, int *own);
int weft__erl_may_wait(void);
/* Has the context above that of its tasks ended? */
bool weft__erl_cut_off(weft_erl *n);
/* False: it is shut. */
bool weft__erl_in(struct entry *d);
void weft__erl_out(struct entry *d);
/* Waits until nobody is inside. Also again, if whoever did it before was left. */
void weft__erl_shut(struct entry *d);

/* --- epmd (epmd.c) --- */

/* Tells epmd who we are. 0: *tcp is to be kept open as long as that shall be so, and *creation what epmd has given us. */
int weft__erl_publish(weft_erl *n, weft_tcp **tcp, uint32_t *creation, int64_t deadline);
/* The port that a node listens on: or a negative code. */
int weft__erl_port_of(weft_erl *n, const char *peer, int64_t deadline);
int weft__erl_read(weft_tcp *t, void *buf, size_t n, int64_t deadline);
int weft__erl_write(weft_tcp *t, const void *buf, size_t n, int64_t deadline);

/* --- connections (conn.c, shake.c) --- */

enum conn_state { CONN_DIALING, CONN_ACCEPTING, CONN_UP, CONN_DOWN };

struct conn {
	weft_erl *n;
	struct conn *next;     /* in n->conns, while it is not down; under n->lock */
	enum conn_state state; /* under n->lock */
	char peer[NODE_MAX + 1];
	uint64_t flags;    /* the peer's */
	uint32_t creation; /* the peer's */
	weft_tcp *tcp;     /* under n->lock until it is up */
	int why;           /* once it is down: what a dial has failed with that goes for all who have waited for it, or 0; under n->lock */
	WEFT_ATOMIC(uint32_t) refs;

	weft_chan *in;   /* of struct block * */
	weft_chan *bell; /* a byte: see weft__erl_is_asked */
	weft_mutex wlock;
	weft_cond work, room;
	struct out out;
	bool dead, writing;
	bool flushed; /* weft_erl_stop has waited for it; under n->lock */

	weft_mutex block;
	weft_cond drained;
	size_t backlog;       /* bytes of what is neither delivered nor answered */
	struct spill *spills; /* receivers that are behind */
	struct map asked;     /* calls of theirs under way, by the mark of their tags */
	size_t running;       /* of these, those that have a task */
	bool over;            /* nothing more comes: the bound on backlog says nothing any more */
	struct map receivers; /* whom these ask (struct receiver, deliver.c) */

	/* The talker's own. */
	struct map by_monitor, by_mark; /* relations */
	struct rel *late; /* of whom has ended, and may have answered calls before that: they are told when the answers are on their way */
	struct block *hand; /* being looked at */
};

/* Whole messages, as they have come. */
struct block {
	size_t len;
	char bytes[];
};

struct conn *weft__erl_conn_ref(struct conn *c);
void weft__erl_conn_unref(struct conn *c);
/* The connection to a node, which is made if there is none. 0: *out is the caller's to unref. */
int weft__erl_conn_get(weft_erl *n, const char *peer, int64_t deadline, struct conn **out);
/* A control message, and one that it carries (NULL: none), into the queue. A deadline but WEFT_NOW waits for room; WEFT_NOW: goes in however much is there; far beyond all bounds it cuts the connection. 0; WEFT_ENOTCONN, WEFT_ENOMEM, ... */
int weft__erl_put(struct conn *c, struct out *control, struct slice *message, int64_t deadline);
/* Cuts it: its talker will notice, and tell everybody. */
void weft__erl_cut(struct conn *c);
/* It has been cut, or shall be: whoever waits for anything of it is told. By its talker. */
void weft__erl_conn_end(struct conn *c);
/* The one to that node that is not down, in whatever state; under n->lock. */
struct conn *weft__erl_conn_find(weft_erl *n, const char *peer);
/* A task: takes connections until the listener is closed. */
int weft__erl_accepts(void *node);
/* Tasks of a connection. */
int weft__erl_reads(void *conn);
int weft__erl_writes(void *conn);

/* Makes itself known to the peer, and sees that it has the cookie. 0; WEFT_EACCES, WEFT_ECONNABORTED, WEFT_EBUSY: it is connecting to us; ... */
int weft__erl_shake_dial(struct conn *c, int64_t deadline);
/* The same from the other side, in two steps: who is it, what do we say of that. */
int weft__erl_shake_hear(struct conn *c, int64_t deadline);
int weft__erl_shake_say(struct conn *c, const char *status, int64_t deadline);
int weft__erl_shake_answer(struct conn *c, int64_t deadline);
/* After "alive": does the peer want us to give up the old one? */
int weft__erl_shake_insists(struct conn *c, int64_t deadline);

/* --- what is said (talk.c, deliver.c) --- */

int weft__erl_talk(void *conn);

/* What goes to an actor: a header, who has sent it, what. */
struct head {
	uint32_t zero; /* no term begins so: who gets both terms and these (a stand-in) can tell them apart */
	uint32_t from_len, term_len;
};

/* Hands it over, or keeps it for later. Tag: WEFT_ERL_SEND, _CAST, _CALL; a call has whom to answer and its tag. The talker. 0 or WEFT_ENOMEM. */
int weft__erl_deliver(struct conn *c, weft_actor_ref to, uint64_t tag, struct slice from, struct slice term, const struct slice *answer);
/* Is one of theirs still about to be answered by this one? Then c->bell rings when none is any more. */
bool weft__erl_is_asked(struct conn *c, weft_actor_ref ref);
/* Nobody waits for that answer any more. */
void weft__erl_give_up(struct conn *c, struct slice ref);
/* Waits until little enough is kept, or it is over. */
void weft__erl_drain(struct conn *c);
/* Nothing more comes: what there is need not wait for room any more. */
void weft__erl_over(struct conn *c);
/* Nobody waits for any answer any more. */
void weft__erl_give_all_up(struct conn *c);
/* Waits until all answers that have been given are in c->out; after n->closing, and when all others have been given up. */
int weft__erl_answered(struct conn *c, int64_t deadline);

#define DFLAG_SEND_SENDER 0x80000u

enum op {
	OP_LINK = 1,
	OP_SEND = 2,
	OP_EXIT = 3,
	OP_UNLINK = 4,
	OP_REG_SEND = 6,
	OP_GROUP_LEADER = 7,
	OP_EXIT2 = 8,
	OP_SEND_TT = 12,
	OP_EXIT_TT = 13,
	OP_REG_SEND_TT = 16,
	OP_EXIT2_TT = 18,
	OP_MONITOR_P = 19,
	OP_DEMONITOR_P = 20,
	OP_MONITOR_P_EXIT = 21,
	OP_SEND_SENDER = 22,
	OP_SEND_SENDER_TT = 23,
	OP_UNLINK_ID = 35,
	OP_UNLINK_ID_ACK = 36
};

/* --- what is said to theirs (ask.c, stand.c) --- */

/* Whom, as it goes onto the wire. */
struct target {
	struct out term; /* a pid, or a name */
	bool named;
	const char *node; /* borrowed */
};

static inline struct slice slice_of(const struct out *o)
{
	return (struct slice){o->at, (int)o->len};
}

/* 0; WEFT_EINVAL, WEFT_ENOMEM. t->term is to be freed in any case. */
int weft__erl_target_of(struct target *t, weft_erl_to to);
/* A message, or a cast, from whom this number is. */
int weft__erl_say(struct conn *c, uint64_t from, const struct target *t, struct slice term, bool cast, int64_t deadline);
/* op: OP_MONITOR_P or OP_DEMONITOR_P. The second with WEFT_NOW: it never fails but for a connection that is down. */
int weft__erl_monitor(struct conn *c, enum op op, uint64_t number, const struct target *t, const struct out *ref, int64_t deadline);
/* It has a number, as long as the connection is up. 0; WEFT_ENOTCONN, WEFT_ENOMEM. */
int weft__erl_id_begin(struct conn *c, struct id *id);
void weft__erl_id_end(weft_erl *n, struct id *id);
/* A call. got: empty; receives the answer, if there is one. */
int weft__erl_ask(struct conn *c, const struct target *t, struct slice req, struct out *got, int64_t deadline);

#endif
