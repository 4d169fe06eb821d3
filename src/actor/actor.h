/* SPDX-License-Identifier: MIT
 *
 * actor.h - an actor as the files of actor/ see it.
 *
 * A cell is what there is of an actor besides its task. Cells are type-stable (cell.c): they go from one actor to the next and never back to the system. A reference is a cell and the generation of
 * whoever lives there, and every use of one begins so:
 *
 *	lock the cell; is it still this generation? no: WEFT_ESRCH
 *
 *   generation g         FREE     nobody has a reference to g yet
 *                        STARTING, RUNNING, STOPPING
 *   generation g + 1     GONE     from here on it is dead to all; its mailbox has been taken away, its relations are being told (death.c)
 *                        FREE     and the next actor's
 *
 * One lock a cell guards its mailbox, its orders and its relations. A relation (a monitor, a link) is in the lists of two cells and is changed with both locked, in
 * address order; so one of two who die at the same time tells, and the other has nothing to tell any more.
 *
 *   cell.c      memory: cells, messages, tickets
 *   send.c, receive.c   the mailbox
 *   later.c     messages that are sent when their time has come
 *   select.c    receive as a case of a select
 *   call.c      messages that are answered; request.c: whose answers are futures; server.c, server_many.c, fsm.c, bus.c, bus_call.c: who answers
 *   start.c     start, attach, adopt
 *   actor.c     the loop, how it ends; what can be asked
 *   order.c     stop, kill, exit signals, suspend; waiting for the end
 *   link.c      links, monitors
 *   death.c     the end, and its news
 *   registry.c, pg.c   names, groups (name.h)
 */
#ifndef WEFT_ACTOR_ACTOR_H
#define WEFT_ACTOR_ACTOR_H

#include "base/list.h"
#include "base/lock.h"
#include "core/runtime.h"
#include "weft/actor.h"

#define MSG_INLINE 64      /* bytes of data that a pooled message holds */
#define MSG_MAX (1u << 30) /* bytes of data a message holds less than */
#define CLASSES 4
#define OP_BUDGET 64 /* messages received in a row without waiting; then others run */

/* A message; while it is none yet, a relation. */
struct letter {
	struct list_node link; /* in a mailbox, or among those its receiver has in hand; in a pool: next */
	weft_msg msg;
	struct weft_task
		*caller; /* LETTER_CALL: who waits for the answer; a task's record, which stays one (call.c), or a ticket (request.c) */
	char bytes[] __attribute__((aligned(16))); /* msg.data points here */
};

_Static_assert(sizeof(struct letter) == 64, "a pooled message is two cache lines");

#define LETTER_POOLED 1    /* msg.weft__flags */
#define LETTER_CALL 4      /* its sender waits for the answer */
#define LETTER_LONG 8      /* LETTER_CALL: it has more than fits a pooled one (call.c) */
#define LETTER_CAST 16     /* weft_server_cast */
#define LETTER_INTERNAL 32 /* an event that a state machine has put in */
#define LETTER_SIGNAL 64   /* weft_actor_signal: it does not tell of an end */
#define LETTER_REQUEST 128 /* LETTER_CALL: the answer is a future's (request.c) */

/* msg.kind, besides what users know. Those with a 3 are counted as no mail. */
#define MSG_CHANGE 3 /* LETTER_CALL, to a server itself, not to its user; or no message at all (server.c, bus.c) */
#define MSG_ASKED 4  /* LETTER_CALL, to an event manager itself */

/* One of the two sides of a relation. */
struct side {
	struct list_node link; /* in actor->relations; under that one's lock */
	struct actor *actor;
	uint64_t which; /* 0 or 1: its place in the relation */
};

/* In the bytes of the letter that will tell of it. */
enum { TARGET, WATCHER }; /* sides of a monitor */

struct relation {
	struct side side[2];
};

_Static_assert(sizeof(struct relation) <= MSG_INLINE, "a relation fits its letter");
_Static_assert(sizeof(weft_down) <= MSG_INLINE, "so does what it becomes");

enum cell_state { CELL_FREE, CELL_STARTING, CELL_RUNNING, CELL_STOPPING, CELL_GONE };

enum order { ORDER_NONE, ORDER_STOP, ORDER_CANCEL, ORDER_KILL }; /* each outdoes those before it */

/* Who waits in actor->waits: waiter.index. */
enum { WAIT_START /* the starter */, WAIT_END /* slot: a weft_end */ };

/* Who waits for on_start. */
struct starting {
	int rc;
	bool done;
};

struct actor {
	/* what a send and a receive touch; under lock, but for what is the actor's own */
	struct lock lock; /* RANK_ACTOR */
	uint8_t state;    /* enum cell_state */
	uint8_t order;    /* enum order */
	uint8_t mask;     /* classes that have mail */
	uint8_t overflow; /* enum weft_overflow; constant */
	uint8_t home;     /* number of its runtime; constant, and as long as it is a free cell the last one's */
	bool suspended, traps, above;
	bool named;    /* it has, or had, a name or a group */
	bool nameless; /* it gets none any more: it has been killed, or dies */
	uint64_t gen;
	uint32_t len;              /* letters in mail that count */
	uint32_t cap;              /* constant */
	uint32_t streak;           /* received in a row without waiting; the actor's own */
	uint32_t high;             /* constant */
	struct list recvq;         /* the actor itself, waiting: slot not NULL: for any letter; else it looks for itself */
	struct list mail[CLASSES]; /* letters */
	struct list sendq;         /* senders that wait for room, slot: their letter */
	struct list calls;         /* who waits for an answer, slot: NULL (call.c) */
	struct list outside;       /* their letters; goes from one actor to the next: a sender whose wait is over takes its own away */
	struct list hand;          /* received, and not freed; the actor's own */
	struct list queue, off;    /* events of a state machine (fsm.c), handlers of an event manager (bus.c); the actor's own */
	struct letter *given;      /* to the actor, which has been claimed, past the lists; the claimer's, then the actor's own */
	ATOMIC(struct weft_task *) task; /* whose it is, once it runs; valid until it is GONE. Compared with, or attached: under lock */
	ATOMIC(uint64_t) received;       /* figures; written by the actor */
	uint64_t dropped;                /* figures */
	/* the rest */
	struct list waits;     /* for its start or end */
	struct list relations; /* sides, newest first */
	struct list names;     /* under the lock of registry.c */
	struct list groups;    /* under the lock of pg.c */
	uint32_t nrelations;
	weft_end end;           /* with an order: what it shall be */
	weft_end last_end;      /* of the generation before: whose end it was */
	weft_ctx *ctx;          /* its own, one reference; NULL: attached, has none */
	weft_ctx *last_ctx;     /* the same: on_stop runs under it; NULL: not yet, or no memory */
	uint64_t next_monitor;  /* the actor's own, as the rest but for what is constant */
	struct letter *current; /* which on_msg has in hand; NULL: none, or kept */
	int error;              /* on_error shall be asked about it; 0: nothing */
	bool asking;            /* it is being asked */
	bool attached;
	bool contain;             /* a fault in its handlers ends it alone; constant */
	void *life;               /* contain: an address in the frame of its loop; the actor's own */
	bool starter_foreign;     /* the starter is no task */
	struct starting *starter; /* waits for on_start, in its frame; NULL: not, or not any more */
	weft_actor_ref linked_to; /* the starter, if linked to it: its call says that the start has failed, and no signal does */
	int (*on_msg)(void *state, weft_msg *m);
	int (*run)(void *state);
	int (*on_start)(void *state);
	void (*on_stop)(void *state, weft_end e);
	int (*on_error)(void *state, int code, const weft_panic *p);
	void *state_data;
	struct letter *state_letter; /* which holds it; NULL: it is the user's */
	void (*dtor)(weft_msg *m);
	void (*on_high)(weft_actor_ref ref, uint32_t len, void *arg);
	void *high_arg;
	struct actor *next_free;
	struct list later;    /* messages to it whose time has not come (later.c); under lock */
	struct list requests; /* tickets that wait for its answer (request.c); under lock */
} __attribute__((aligned(64)));

static inline struct letter *letter_of(weft_msg *m)
{
	return container_of(m, struct letter, msg);
}

static inline struct letter *letter_of_link(struct list_node *n)
{
	return container_of(n, struct letter, link);
}

/* msg.weft__home of a letter that waits for room: the number of its sender's runtime, and one; 0: of a foreign thread. */
static inline uint8_t letter_home(const struct worker *w)
{
	return (uint8_t)(likely(w != NULL) ? w->home + 1u : 0);
}

/* Does it take one of the places that a mailbox has? */
static inline bool letter_counts(const struct letter *l)
{
	return !(l->msg.kind & 3);
}

static inline weft_actor_ref actor_ref(const struct actor *a)
{
	return (weft_actor_ref){(void *)a, a->gen};
}

static inline struct actor *actor_at(weft_actor_ref ref)
{
	return ref.weft__at;
}

/* Locked: is the reference one to who lives there now? */
static inline bool actor_is(const struct actor *a, weft_actor_ref ref)
{
	return a->gen == ref.weft__gen;
}

/* Locks the actor of a reference. NULL, and nothing locked: it has ended, or is none. The caller has asked weft__worker() before (base/solo.h). */
static inline struct actor *actor_lock(weft_actor_ref ref)
{
	struct actor *a = actor_at(ref);

	if (unlikely(!a))
		return NULL;
	lock_take_solo(&a->lock, RANK_ACTOR);
	if (likely(actor_is(a, ref)))
		return a;
	lock_drop_solo(&a->lock);
	return NULL;
}

static inline void actor_unlock(struct actor *a)
{
	lock_drop_solo(&a->lock);
}

/* How the actor of a reference has ended, if nobody has been born and died in its cell since; WEFT_END_UNKNOWN else. Nothing is locked. */
static inline weft_end actor_last_end(weft_actor_ref ref)
{
	weft_end e = {WEFT_END_UNKNOWN, WEFT_ESRCH};
	struct actor *a = actor_at(ref);

	if (!a)
		return e;
	lock_take_solo(&a->lock, RANK_ACTOR);
	if (a->gen == ref.weft__gen + 1)
		e = a->last_end;
	actor_unlock(a);
	return e;
}

/* --- cell.c --- */
struct actor *weft__cell_get(void); /* state FREE; NULL: no memory. The caller has asked weft__worker() before, as below */
void weft__cell_put(struct actor *a);
void weft__cell_foreach(void (*fn)(struct actor *a, void *arg), void *arg);
struct ticket *weft__ticket_get(void);
void weft__ticket_put(struct ticket *t);
struct letter *weft__letter_get_slow(struct worker *w, size_t len); /* NULL: no memory */
void weft__letter_put_slow(struct worker *w, struct letter *l);

struct letter_cache {
	CACHE_ALIGNED struct letter *first; /* linked by link.next */
	uint32_t n;
};
extern HIDDEN struct letter_cache weft__letters[RUNTIMES_MAX][WORKERS_MAX]; /* by worker: its tasks' */

static ALWAYS_INLINE struct letter_cache *letters_of(const struct worker *w)
{
	return &weft__letters[w->home][w->id];
}

/* A letter with room for len bytes; msg.data, len and flags are set. */
static ALWAYS_INLINE struct letter *letter_get(struct worker *w, size_t len)
{
	if (likely(len <= MSG_INLINE && w)) {
		struct letter_cache *c = letters_of(w);
		struct letter *l = c->first;

		if (likely(l != NULL)) {
			c->first = (struct letter *)l->link.next;
			c->n--;
			l->msg.len = (uint32_t)len;
			l->msg.data = l->bytes; /* its reader may have changed that */
			l->msg.weft__flags = LETTER_POOLED;
			return l;
		}
	}
	return weft__letter_get_slow(w, len);
}

#define LETTER_CACHE SMALL(256, 4) /* free letters a worker keeps; half goes to the others when it is full */

static ALWAYS_INLINE void letter_put(struct worker *w, struct letter *l)
{
	if (likely(w && (l->msg.weft__flags & LETTER_POOLED))) {
		struct letter_cache *c = letters_of(w);

		if (likely(c->n < LETTER_CACHE)) {
			l->link.next = (struct list_node *)c->first;
			c->first = l;
			c->n++;
			return;
		}
	}
	weft__letter_put_slow(w, l);
}

/* --- start.c --- */
/* weft_actor_start_until. fill makes the first state, o->size bytes, from o->state. */
int weft__actor_start_by(weft_actor_ref *out, const weft_actor_opts *o, void (*fill)(void *state, const void *from), int64_t deadline,
			 const struct weft_site *site);
struct actor *weft__actor_attached(void); /* the caller, if it has attached itself; NULL */

/* Locked. on_start has come to rc: tells the starter, if it waits. Returns who is to be made runnable; NULL: nobody. */
struct weft_task *weft__actor_started(struct actor *a, int rc);

/* --- actor.c --- */
extern HIDDEN void (*const weft__actor_main)(void); /* fn of a task that is an actor from its start */

/* The calling actor; NULL: it is none. */
static inline struct actor *actor_self(struct worker *w)
{
	struct weft_task *t = likely(w) ? load_relaxed(&w->cur) : NULL; /* own */

	if (unlikely(!t))
		return NULL;
	if (likely(t->fn == weft__actor_main))
		return t->own_actor;
	return unlikely(t->own.locals != NULL) ? weft__actor_attached() : NULL;
}

/* The caller is an actor, or was until just now, and has panicked: where that has come from. */
void weft__actor_show(void);
/* weft_task_try, and a panic is told so. */
int weft__actor_try(weft_task_fn *fn, void *arg);

/* Locked. How it ends that has come to rc. */
weft_end weft__actor_end_of(struct actor *a, int rc);

/* --- send.c --- */
/* Locked. Behind all of its class. */
static ALWAYS_INLINE void mail_push(struct actor *a, struct letter *l)
{
	unsigned c = (unsigned)(l->msg.prio - WEFT_PRIO_URGENT);

	list_append(&a->mail[c], &l->link);
	a->mask |= (uint8_t)(1u << c);
	if (letter_counts(l))
		a->len++;
}

/* Locked. Its runtime's tasks run no more: nobody waits for what it does. */
static ALWAYS_INLINE bool actor_deserted(const struct actor *a)
{
	return unlikely(rt_deserted(a->home));
}

/* Locked, and full. l, of me, waits outside for room. Unlocks. 0, and *status is 0: it is in, whoever claimed us has put it there. Else it is not, and in no list; locked again, and the cell may be another's by now:
 * WEFT_ECANCELED, WEFT_ETIMEDOUT; or 0, and *status is what the actor's death has said. */
static ALWAYS_INLINE int mail_wait_room(struct self *me, struct actor *a, struct letter *l, int64_t deadline, int *status)
{
	struct waiter w;
	uint64_t word;
	int rc;

	if (actor_deserted(a)) {
		*status = WEFT_ESRCH;
		return 0;
	}
	word = wait_begin(me->task, &w, 1, REASON_MAIL_ROOM, deadline);
	waiter_init(&w, me->task, word, &a->lock, RANK_ACTOR, a, l);
	list_push_tail(&a->sendq, &w.link);
	list_push_tail(&a->outside, &l->link);
	l->msg.weft__home = letter_home(me->worker);
	actor_unlock(a);
	rc = weft__wait_park(me->worker, me->task, &w, 1, word, deadline);
	*status = w.status;
	if (rc || w.status) {
		me->worker = weft__worker();
		lock_take_solo(&a->lock, RANK_ACTOR);
		list_remove(&l->link);
	}
	return rc;
}

/* The calling actor has received what it has no use for: told as a dead letter, unless it is a call, or news. */
void weft__msg_unwanted(const weft_msg *m);
/* A letter that nobody will receive goes where it came from; by dtor, if it is one that somebody has sent. Also if dtor panics, or ends the task. */
void weft__letter_destroy(struct letter *l, void (*dtor)(weft_msg *m));
/* Locked; with the letter just put in the mark has been reached. Unlocks, tells, and makes `ready`, which may be NULL, runnable. */
void weft__mail_above(struct worker *w, struct actor *a, struct weft_task *ready);
/* Locked. Puts it behind all of its class, or gives it to the actor, if it waits. Returns who is to be made runnable then; NULL: nobody. */
struct weft_task *weft__mail_put(struct actor *a, struct letter *l);
/* Locked. The actor, if it waits, goes on: it looks again (0), or is told status. Returns as above. */
struct weft_task *weft__mail_wake(struct actor *a, int status);

/* --- receive.c --- */
/* Locked. Is there anything that weft_actor_recv would return at once? */
bool weft__mail_ready(const struct actor *a);
/* The calling actor takes a message, cancelled or not. Returns 0, WEFT_EAGAIN, WEFT_ECLOSED. */
int weft__mail_take(struct worker *w, struct actor *a, weft_msg **m);
/* The calling actor takes one for which match says true, if there is one, whatever it has been told. Returns it; NULL: none. */
struct letter *weft__mail_pick(struct actor *a, bool (*match)(const weft_msg *m, void *arg), void *arg);

/* --- later.c --- */
/* Locked; it dies. What would have been sent to it goes to `mail`, and those timers to `timers`, which are given to weft__later_end when nothing is locked. */
void weft__later_take(struct actor *a, struct list *mail, struct list *timers);
void weft__later_end(struct list *timers);

/* --- call.c --- */
enum call_kind { CALL_USER, CALL_CHANGE, CALL_BUS };
/* weft_server_call_until. CALL_CHANGE: a message of kind MSG_CHANGE, to a server only; there is always room for it. */
int weft__call(weft_actor_ref to, uint64_t tag, const void *req, size_t len, void *reply, size_t cap, int64_t deadline,
	       enum call_kind kind);
/* The same to an event manager only: of kind MSG_ASKED, with hlen bytes before the request. */
int weft__call_bus(weft_actor_ref to, const void *head, size_t hlen, const void *req, size_t len, void *reply, size_t cap,
		   int64_t deadline);
/* A letter that is to be answered, by whoever is named so; its data is still to be written. */
struct letter *weft__call_letter(struct worker *w, size_t len);
void weft__call_name(struct letter *l, struct weft_task *who, uint64_t word);
uint64_t weft__call_word(struct letter *l); /* ... that was named */
/* Locked. There is room for l, a call, and for w, its caller, who goes on waiting: for the answer. False: that wait is over. */
bool weft__call_is_in(struct actor *a, struct waiter *w, struct letter *l);
/* Locked. The actor is no more: all who wait for its answer are told. */
void weft__calls_end(struct actor *a, struct ready_list *ready);

/* --- request.c --- */
struct ticket {
	struct list_node link;   /* in actor->requests; under that one's lock, then of whoever has moved the number on */
	ATOMIC(uint64_t) number; /* of the request that it is of, or will be of */
	struct weft_future *f;   /* a promise of it, while pending */
	struct ticket *next_free;
};
/* Does a weft_from name a ticket? */
static inline bool from_ticket(const struct weft_task *who)
{
	return (uintptr_t)who & 1;
}
/* weft_server_reply, and with code weft_server_fail, to one. */
int weft__request_reply(weft_actor_ref to, struct weft_task *who, uint64_t word, const void *data, size_t len, int code);
bool weft__request_waiting(const struct weft_task *who, uint64_t word);
/* Locked; it dies: its tickets are `tickets`', which are given to weft__requests_end when nothing is locked. */
void weft__requests_take(struct actor *a, struct list *tickets);
void weft__requests_end(struct list *tickets);
/* Locked. l, a request that waits for room, is of a task that never runs again, and is a request no more: its ticket, if that is still its own, joins `tickets`, which are given to weft__requests_drop when nothing is locked. */
void weft__request_left(struct letter *l, struct list *tickets);
void weft__requests_drop(struct list *tickets);

/* --- server.c --- */
int weft__server_run(void *state);     /* which actor->run says what is a server */
void weft__hibernate(struct actor *a); /* the caller gives back its stack's pages, but for those it stands on, unless it has mail */

/* --- fsm.c --- */
int weft__fsm_run(void *state);

/* --- bus.c --- */
int weft__bus_run(void *state);
/* It dies, and handlers have not been ended: their owners are told, but for those that go down with it. */
void weft__bus_owners(struct actor *a);

/* --- order.c --- */
/* What is left to do, nothing being locked, when something has been done to an actor. */
struct aftermath {
	struct weft_task *ready;  /* to be made runnable; NULL: nobody */
	weft_ctx *ctx, *last_ctx; /* to be cancelled; references */
	struct weft_task *task;   /* the same */
	weft_actor_ref unnamed;   /* whose names and groups are to be taken away; WEFT_NO_ACTOR: nobody's */
};
void weft__aftermath(struct worker *w, struct aftermath *m);
/* Is the caller an actor that an exit signal or a kill ends, or is its context, or it itself, cancelled? Then its WEFT_ECANCELED is nobody else's. */
bool weft__actor_canceled(void);
/* Locked. An exit signal. l: the letter that it may become. Returns it, or NULL: used. */
struct letter *weft__order_exit(struct actor *a, struct letter *l, weft_actor_ref from, weft_end e, struct aftermath *m);

/* --- link.c --- */
int weft__link(struct actor *a, weft_actor_ref ref);
void weft__unlink_side(struct side *s); /* out of its actor's list; that one locked */

static inline struct letter *letter_of_side(struct side *s)
{
	return (struct letter *)((char *)(s - s->which) - offsetof(struct letter, bytes));
}

static inline struct side *other_side(struct side *s)
{
	return s->which ? s - 1 : s + 1;
}

static inline void lock_two(struct actor *a, struct actor *b)
{
	lock_take_solo(&(a < b ? a : b)->lock, RANK_ACTOR);
	lock_take_solo(&(a < b ? b : a)->lock, RANK_ACTOR);
}

static inline void unlock_two(struct actor *a, struct actor *b)
{
	lock_drop_solo(&a->lock);
	lock_drop_solo(&b->lock);
}

/* --- death.c --- */
/* The end of the calling actor. started: what its starter is told, if it still waits. Its cell is another's afterwards. */
void weft__actor_die(struct actor *a, weft_end e, int started);
/* l becomes the news of that end. */
void weft__letter_down(struct letter *l, uint64_t monitor, weft_actor_ref ref, weft_end e, enum weft_msg_kind kind);

/* --- registry.c, pg.c: it has been killed, or dies; by now it is nameless, and may be gone. Nothing is locked --- */
extern HIDDEN void (*weft__reg_forget)(weft_actor_ref ref);
extern HIDDEN void (*weft__pg_forget)(weft_actor_ref ref);

/* --- registry.c --- */
/* The first of its names; "": it has none. */
void weft__reg_name(weft_actor_ref ref, char text[64 /* WEFT_NAME_MAX + 1 */]);

#endif
