/* SPDX-License-Identifier: MIT
 *
 * soak.c - random traffic on channels, round after round: no value is lost, doubled, or out of order.
 *
 * A round is a world of up to 10,000 actors, tasks and foreign threads, and of slots, in each of which a channel stands ("line", one incarnation). Actors
 * send and receive in every way there is, select, look, close channels and put new ones in their places. The keeper cancels tasks and contexts, and in the
 * end closes everything until all have come back. Every value says which line it goes to and which record (history.h) is its own; who sent or received
 * it notes that there, and when all is over the history is judged. What is left in a line is received by whoever gives its last reference back.
 *
 * Beside that, each call's answer is looked at where it is given: closed only after somebody began to close, canceled only after somebody began to
 * cancel, timed out not before the time; what was not received has not been written to.
 *
 * Some slots are one consumer's only, others everybody's.  A still world has one worker, a clock that the keeper moves, and no monitor: then one seed has one
 * history, and waiters must have been served strictly in the order in which they came.
 *
 * The seeds are printed, one a round; WEFT_SEED=n begins with that one. It decides all choices: an actor's are a function of it and of the actor's number. Each
 * test goes on for WEFT_SOAK=s seconds. `./dev soak` does that for an hour.
 */
#include "rt.h"

#include "base/rand.h"
#include "history.h"
#include "sync/chan.h"
#include <pthread.h>
#include <stdlib.h>

enum {
	CASES = 40,
	ELEM_MAX = 200,
	GROUPS = 8,
	SLOTS = 400,
	LINES = 1 << 12,   /* 12 bits of an element of 4 bytes: which */
	RECORDS = 1 << 20, /* and 20: whose */
};

enum { STREAM_WORLD, STREAM_KEEPER, STREAM_LINE = 1 << 8, STREAM_ACTOR = 1 << 16 };

/* What a round is like: a function of its seed. */
struct shape {
	const char *name;
	uint32_t actors, ops, slots;
	int64_t limit; /* ns after which the keeper ends it */
};

static const struct shape shapes[] = {
	{"crowd", 10000, 24, SLOTS, 400 * WEFT_MS},
	{"town", 1000, 200, 60, 300 * WEFT_MS},
	{"few", 50, 3000, 8, 200 * WEFT_MS},
};

struct line {
	ATOMIC(uint32_t) refs;    /* 0: it cannot be had any more */
	ATOMIC(uint32_t) closing; /* somebody has begun to close it */
	weft_chan *c;
	uint16_t id, elem;
};

struct group { /* of tasks, under one context */
	weft_ctx *ctx;
	int64_t deadline;
	ATOMIC(uint32_t) canceled; /* somebody has begun to cancel it, or the one above */
};

struct actor {
	uint32_t me, record, last_record; /* its records: two an operation, for a value and for an observation */
	uint32_t slot;                    /* that it alone receives from, plus 1; 0: none */
	struct rng r;
	struct group *g; /* NULL: the root */
	int64_t scope;   /* deadline of the context entered for this operation */
	bool outside;    /* a foreign thread */
	weft_task *t;    /* else; the keeper's */
	pthread_t thread;
	ATOMIC(uint32_t) canceled; /* somebody has begun to cancel it */
};

struct world {
	struct history h;
	struct shape s;
	uint64_t seed;
	bool still;
	uint32_t threads, actors; /* foreign threads of each kind; actors in all, with the consumers */
	struct group groups[GROUPS];
	struct line lines[LINES];
	ATOMIC(uint32_t) nlines; /* line 0 is none */
	ATOMIC(uint32_t) slot[SLOTS];
	ATOMIC(uint32_t) stop, back; /* all shall come back; so many have */
	ATOMIC(uint64_t) ops;
	struct actor *a;
};

static struct world world;

/* --- values: the line and the record, and a pattern that depends on both --- */

static unsigned char pattern(uint32_t line, uint32_t value, size_t i)
{
	return (unsigned char)(line * 7 + value * 31 + i * 13);
}

static void value_write(unsigned char *e, const struct line *l, uint32_t value)
{
	uint64_t both = (uint64_t)l->id << 32 | value;
	uint32_t packed = (uint32_t)l->id << 20 | value;

	if (l->elem == 4)
		memcpy(e, &packed, 4);
	else if (l->elem >= 8)
		memcpy(e, &both, 8);
	for (size_t i = 8; i < l->elem; i++)
		e[i] = pattern(l->id, value, i);
}

static uint32_t value_read(const unsigned char *e, const struct line *l)
{
	uint64_t both = 0;
	uint32_t packed, id, value;

	if (l->elem == 4) {
		memcpy(&packed, e, 4);
		id = packed >> 20;
		value = packed & (RECORDS - 1);
	} else {
		memcpy(&both, e, 8);
		id = (uint32_t)(both >> 32);
		value = (uint32_t)both;
	}
	T_EQ(id, l->id);
	T_LT(value, world.h.nrecords);
	for (size_t i = 8; i < l->elem; i++)
		T_EQ(e[i], pattern(id, value, i));
	return value;
}

#define UNTOUCHED 0xa5

static void room_clear(unsigned char *e, const struct line *l)
{
	memset(e, UNTOUCHED, l->elem);
}

static void room_check(const unsigned char *e, const struct line *l, unsigned char want)
{
	for (size_t i = 0; i < l->elem; i++)
		T_EQ(e[i], want);
}

static void complain(const char *wrong)
{
	if (wrong)
		T_FAIL("%s", wrong);
}

static void note_sent(const struct line *l, uint32_t value, struct span s)
{
	if (l->elem)
		history_sent(&world.h, value, l->id, s);
	else
		add_relaxed(&world.h.lines[l->id].signals, 1u); /* looked at when all is over */
}

static void note_got(const struct line *l, const unsigned char *e, struct span s)
{
	if (l->elem)
		complain(history_got(&world.h, value_read(e, l), l->id, s));
	else
		add_relaxed(&world.h.lines[l->id].signals, (uint64_t)-1); /* as above */
}

static void note_closed(struct line *l, bool send, uint32_t ticket)
{
	struct line_past *p = &world.h.lines[l->id];

	T_OK(load_acquire(&l->closing)); /* pairs with store_release in line_close, by way of the channel */
	history_earliest(&p->refused, ticket);
	if (!send)
		history_earliest(&p->drained, ticket);
}

/* --- lines --- */

/* 0: there were too many. */
static uint32_t line_make(void)
{
	static const uint16_t elems[] = {0, 4, 4, 8, 8, 24, 24, 200};
	static const uint32_t caps[] = {0, 0, 1, 2, 3, 7, 16, 128};
	uint32_t id = add_relaxed(&world.nlines, 1u) + 1; /* a number, no more */
	struct line *l;
	struct rng r;

	if (id >= LINES)
		return 0;
	l = &world.lines[id];
	rng_seed(&r, world.seed, STREAM_LINE + id);
	l->id = (uint16_t)id;
	l->elem = elems[rng_below(&r, 8)];
	world.h.lines[id].cap = caps[rng_below(&r, 8)];
	l->c = weft_chan_make(l->elem, world.h.lines[id].cap);
	T_OK(l->c);
	store_release(&l->refs, 1u); /* the slot's; pairs with cas in line_take */
	return id;
}

/* The line that stands in a slot, with a reference. */
static struct line *line_take(uint32_t slot)
{
	for (;;) {
		struct line *l = &world.lines[load_acquire(&world.slot[slot])]; /* pairs with the store in keeper and cas in line_renew */
		uint32_t n = load_relaxed(&l->refs);                            /* a guess */

		while (n) {
			if (cas_acq_rel(&l->refs, &n, n + 1)) /* pairs with line_drop's */
				return l;
		}
	}
}

static void line_drop(struct line *l)
{
	unsigned char e[ELEM_MAX];
	struct span s;
	int rc;

	if (add_acq_rel(&l->refs, (uint32_t)-1) != 1) /* both: the last one sees all */
		return;
	for (;;) {
		s.begin = history_ticket(&world.h);
		rc = weft__chan_take(l->c, e); /* also if the caller has been cancelled */
		s.end = history_ticket(&world.h);
		if (rc)
			break;
		note_got(l, e, s);
	}
	T_EQ(rc, WEFT_ECLOSED);
	note_closed(l, false, s.end);
	T_OK(list_empty(&l->c->sendq)); /* no waiter, dead or alive */
	T_OK(list_empty(&l->c->recvq));
	T_EQ(l->c->len, 0);
	weft_chan_free(l->c);
}

static void line_close(struct line *l)
{
	int rc;

	store_release(&l->closing, 1u); /* pairs with load_acquire in note_closed */
	rc = weft_chan_close(l->c);
	T_OK(rc == 0 || rc == WEFT_ECLOSED);
	note_closed(l, true, history_ticket(&world.h));
}

/* Puts a new line into the place of one that has been closed. */
static void line_renew(uint32_t slot, struct line *old)
{
	uint32_t was = old->id, id;

	if (load_relaxed(&world.slot[slot]) != was ||
	    load_relaxed(&world.nlines) >= LINES - SLOTS) /* guesses, so that few numbers are wasted */
		return;
	id = line_make();
	if (!id)
		return;
	if (cas_acq_rel(&world.slot[slot], &was, id)) { /* release: pairs with line_take */
		line_drop(old);
	} else { /* somebody else was faster */
		line_close(&world.lines[id]);
		line_drop(&world.lines[id]);
	}
}

/* --- what an actor does --- */

struct when {
	int64_t deadline; /* its own */
	bool plain;       /* WEFT_FOREVER, by the function without a deadline */
	bool tries;       /* WEFT_NOW, by the function that tries */
};

static struct when some_time(struct rng *r)
{
	switch (rng_below(r, 8)) {
	case 0:
		return (struct when){WEFT_NOW, .tries = true};
	case 1:
		return (struct when){WEFT_NOW, .tries = false};
	case 2:
		return (struct when){weft_now() - 1, .tries = false};
	case 3:
	case 4:
		return (struct when){weft_in(rng_below(r, 100) * WEFT_US), .tries = false};
	case 5:
		return (struct when){weft_in(rng_below(r, 3000) * WEFT_US), .tries = false};
	case 6:
		return (struct when){WEFT_FOREVER, .tries = false};
	default:
		return (struct when){WEFT_FOREVER, .plain = true};
	}
}

/* A call has failed: it had reason to, and nothing else. */
static void check_failure(struct actor *a, int rc, int64_t deadline)
{
	int64_t limit = a->g && a->g->deadline < a->scope ? a->g->deadline : a->scope;

	switch (rc) {
	case WEFT_EAGAIN:
		T_EQ(deadline, WEFT_NOW);
		break;
	case WEFT_ETIMEDOUT:
		if (deadline == WEFT_NOW || limit < deadline)
			deadline = limit;
		T_LE(deadline, weft_now());
		break;
	case WEFT_ECANCELED:
		T_OK(load_acquire(&a->canceled) || (a->g && load_acquire(&a->g->canceled))); /* pair with store_release in cancel_some */
		T_EQ(weft_ctx_check(), WEFT_ECANCELED);                                      /* for good */
		T_EQ(weft_chan_trysend(NULL, NULL), WEFT_ECANCELED);
		break;
	default:
		T_FAIL("%d", rc);
	}
}

/* Found nothing, without its context having ended: then it was empty at a moment between. */
static void note_empty(struct actor *a, const struct line *l, int rc, struct span s)
{
	bool bounded = a->scope != WEFT_FOREVER || (a->g && a->g->deadline != WEFT_FOREVER);

	if (rc == WEFT_EAGAIN || (rc == WEFT_ETIMEDOUT && !bounded))
		history_empty(&world.h, a->record + 1, l->id, s);
}

static uint32_t some_slot(struct actor *a)
{
	uint32_t n = world.s.slots;

	if (a->slot && rng_below(&a->r, 2))
		return a->slot - 1;
	return (a->me + rng_below(&a->r, 8) * rng_below(&a->r, 2)) % n; /* its neighbourhood, so that actors meet again */
}

static bool may_receive(const struct actor *a, uint32_t slot)
{
	return slot % 4 != 0 || a->slot == slot + 1;
}

static void do_send(struct actor *a, uint32_t slot)
{
	struct line *l = line_take(slot);
	struct when w = some_time(&a->r);
	unsigned char e[ELEM_MAX];
	struct span s;
	int rc;

	value_write(e, l, a->record);
	s.begin = history_ticket(&world.h);
	if (w.plain)
		rc = weft_chan_send(l->c, e);
	else if (w.tries)
		rc = weft_chan_trysend(l->c, e);
	else
		rc = weft_chan_send_until(l->c, e, w.deadline);
	s.end = history_ticket(&world.h);
	if (rc == 0)
		note_sent(l, a->record, s);
	else
		complain(history_not_sent(&world.h, a->record));
	if (rc == WEFT_ECLOSED)
		note_closed(l, true, s.end);
	else if (rc)
		check_failure(a, rc, w.deadline);
	if (rc == WEFT_ECLOSED && rng_below(&a->r, 2))
		line_renew(slot, l);
	line_drop(l);
}

static void do_receive(struct actor *a, uint32_t slot)
{
	struct line *l = line_take(slot);
	struct when w = some_time(&a->r);
	unsigned char e[ELEM_MAX];
	struct span s;
	int rc;

	room_clear(e, l);
	s.begin = history_ticket(&world.h);
	if (w.plain)
		rc = weft_chan_recv(l->c, e);
	else if (w.tries)
		rc = weft_chan_tryrecv(l->c, e);
	else
		rc = weft_chan_recv_until(l->c, e, w.deadline);
	s.end = history_ticket(&world.h);
	if (rc == 0) {
		note_got(l, e, s);
	} else if (rc == WEFT_ECLOSED) {
		room_check(e, l, 0);
		note_closed(l, false, s.end);
	} else {
		room_check(e, l, UNTOUCHED);
		check_failure(a, rc, w.deadline);
		note_empty(a, l, rc, s);
	}
	if (rc == WEFT_ECLOSED && rng_below(&a->r, 2))
		line_renew(slot, l);
	line_drop(l);
}

struct choice {
	weft_case k[CASES];
	struct line *l[CASES]; /* NULL: none */
	unsigned char e[CASES][ELEM_MAX];
	int n, after, otherwise; /* the last two: the case, or -1 */
	bool live;
};

static void some_cases(struct actor *a, struct choice *c)
{
	struct rng *r = &a->r;

	c->n = 1 + (int)rng_below(r, rng_below(r, 4) ? 4 : CASES);
	c->after = c->otherwise = -1;
	c->live = false;
	for (int i = 0; i < c->n; i++) {
		uint32_t slot = some_slot(a), what = rng_below(r, 32);

		c->l[i] = NULL;
		if (what == 0 && c->otherwise < 0) {
			c->k[i] = WEFT_DEFAULT();
			c->otherwise = i;
		} else if (what == 1 && c->after < 0) {
			c->k[i] = WEFT_AFTER((int64_t)rng_below(r, 200) * WEFT_US);
			c->after = i;
		} else if (what == 2) {
			c->k[i] = WEFT_RECV(NULL, NULL);
		} else if (what == 3) {
			c->k[i] = (weft_case){.kind = WEFT_CASE_NONE};
		} else {
			c->live = true;
			c->l[i] = line_take(slot);
			if (may_receive(a, slot) && rng_below(r, 2)) {
				room_clear(c->e[i], c->l[i]);
				c->k[i] = WEFT_RECV(c->l[i]->c, c->e[i]);
			} else {
				value_write(c->e[i], c->l[i], a->record);
				c->k[i] = WEFT_SEND(c->l[i]->c, c->e[i]);
			}
		}
	}
}

/* The case that fired. */
static void note_fired(struct choice *c, int i, uint32_t value, struct span s, int64_t began)
{
	struct line *l = c->l[i];
	int status = c->k[i].status;

	if (i == c->after)
		T_GE(weft_now(), began + c->k[i].ns);
	if (!l) {
		T_OK(i == c->after || i == c->otherwise);
		T_EQ(status, 0);
		return;
	}
	T_OK(status == 0 || status == WEFT_ECLOSED);
	if (status == WEFT_ECLOSED)
		note_closed(l, c->k[i].kind == WEFT_CASE_SEND, s.end);
	else if (c->k[i].kind == WEFT_CASE_SEND)
		note_sent(l, value, s);
	else
		note_got(l, c->e[i], s);
	if (status && c->k[i].kind == WEFT_CASE_RECV)
		room_check(c->e[i], l, 0);
}

static void do_select(struct actor *a)
{
	struct when w = some_time(&a->r);
	struct choice c;
	int64_t began;
	struct span s;
	int fired;

	some_cases(a, &c);
	if (!c.live && w.deadline == WEFT_FOREVER) /* no close would end it */
		w = (struct when){WEFT_NOW, .tries = false};
	began = weft_now();
	s.begin = history_ticket(&world.h);
	fired = w.plain ? weft_chan_select(c.k, c.n) : weft_chan_select_until(c.k, c.n, w.deadline);
	s.end = history_ticket(&world.h);
	T_LT(fired, c.n);
	if (fired >= 0)
		note_fired(&c, fired, a->record, s, began);
	else
		check_failure(a, fired, w.deadline);
	if (fired < 0 || c.k[fired].kind != WEFT_CASE_SEND || c.k[fired].status != 0)
		complain(history_not_sent(&world.h, a->record));
	for (int i = 0; i < c.n; i++) {
		if (!c.l[i])
			continue;
		if (c.k[i].kind == WEFT_CASE_RECV && i != fired) {
			room_check(c.e[i], c.l[i], UNTOUCHED);
			if (fired < 0 || fired == c.otherwise)
				note_empty(a, c.l[i], fired < 0 ? fired : WEFT_EAGAIN, s); /* of several, the last */
		}
		line_drop(c.l[i]);
	}
}

static void do_look(uint32_t slot)
{
	struct line *l = line_take(slot);

	T_LE(weft_chan_len(l->c), world.h.lines[l->id].cap);
	T_EQ(weft_chan_cap(l->c), world.h.lines[l->id].cap);
	line_drop(l);
}

static void do_close(struct actor *a, uint32_t slot)
{
	struct line *l = line_take(slot);

	line_close(l);
	if (rng_below(&a->r, 2)) /* else it stands there for a while */
		line_renew(slot, l);
	line_drop(l);
}

static void do_something(struct actor *a)
{
	uint32_t slot = some_slot(a), what = rng_below(&a->r, 64);
	uint32_t bias = a->me % 3 * 8; /* some rather send, some rather receive */

	if (what < 1) {
		do_look(slot);
	} else if (what < 2) {
		if (rng_below(&a->r, world.s.actors * world.s.ops / (16 * LINES) + 1) == 0)
			do_close(a, slot);
	} else if (what < 20) {
		do_select(a);
	} else if (what < 34 + bias || !may_receive(a, slot)) {
		do_send(a, slot);
	} else {
		do_receive(a, slot);
	}
}

static int act(void *arg)
{
	struct actor *a = arg;
	weft_ctx *c, *up;

	for (; a->record + 2 <= a->last_record && !load_acquire(&world.stop) && !weft_ctx_check(); a->record += 2) {
		if (!a->outside && rng_below(&a->r, 16) == 0) { /* under a context of its own, which ends soon */
			a->scope = weft_in(rng_below(&a->r, 200) * WEFT_US);
			c = weft_ctx_with_deadline(NULL, a->scope);
			T_OK(c);
			up = weft_ctx_enter(c);
			do_something(a);
			weft_ctx_leave(up);
			weft_ctx_free(c);
			a->scope = WEFT_FOREVER;
		} else {
			do_something(a);
		}
		add_relaxed(&world.ops, 1u); /* statistics */
		if (rng_below(&a->r, 8) == 0)
			let_run();
	}
	add_acq_rel(&world.back, 1u); /* release: pairs with the keeper's look */
	return 0;
}

static void *act_outside(void *arg)
{
	act(arg);
	return NULL;
}

/* --- the keeper --- */

static void groups_make(struct rng *r)
{
	for (int i = 0; i < GROUPS; i++) {
		struct group *g = &world.groups[i];
		struct group *above = i % 2 ? &world.groups[i - 1] : NULL;

		g->deadline = above ? above->deadline : WEFT_FOREVER;
		if (i == 2) {
			g->deadline = weft_in(rng_below(r, (uint32_t)world.s.limit));
			g->ctx = weft_ctx_with_deadline(NULL, g->deadline);
		} else {
			g->ctx = weft_ctx_make(above ? above->ctx : NULL);
		}
		T_OK(g->ctx);
	}
}

/* Consumers come first: who is alone in a slot should be there from the start. */
static void actors_start(struct rng *r)
{
	uint32_t consumers = world.actors - world.s.actors, each = 2 * world.s.ops;

	world.a = calloc(world.actors, sizeof *world.a);
	T_OK(world.a);
	for (uint32_t i = 0; i < world.actors; i++) {
		struct actor *a = &world.a[i];

		*a = (struct actor){.me = i, .record = i * each, .last_record = (i + 1) * each, .scope = WEFT_FOREVER};
		rng_seed(&a->r, world.seed, STREAM_ACTOR + i);
		if (i < consumers)
			a->slot = i * 4 + 1;
		else if (rng_below(r, 4))
			a->g = &world.groups[rng_below(r, GROUPS)];
		if (i % consumers < world.threads && i < 2 * consumers) { /* some of each kind */
			a->g = NULL;
			a->outside = true;
			T_EQ(pthread_create(&a->thread, NULL, act_outside, a), 0);
		} else {
			weft_task_opts o = {.ctx = a->g ? a->g->ctx : NULL, .now = rng_below(r, 16) == 0};

			T_EQ(weft_go_opts(&a->t, act, a, &o), 0);
		}
	}
}

static void cancel_some(struct rng *r, bool group)
{
	struct actor *a = &world.a[rng_below(r, world.actors)];
	uint32_t i = rng_below(r, GROUPS);

	if (group) {
		for (uint32_t k = i; k <= (i | 1); k++)
			store_release(&world.groups[k].canceled, 1u); /* pairs with check_failure, by way of the cancel */
		(void)weft_ctx_cancel(world.groups[i].ctx, WEFT_REASON_CANCELED);
	} else if (a->t && !a->slot) {
		store_release(&a->canceled, 1u); /* as above */
		(void)weft_task_cancel(a->t);
	}
}

/* A still world's time is the keeper's turns. */
static void time_passes(struct rng *r)
{
	int64_t ns = (int64_t)rng_below(r, 50) * WEFT_US;

	if (world.still) {
		add_relaxed(&weft__clock_fake, ns); /* one thread */
		weft_task_yield();
	} else {
		T_EQ(weft_task_sleep(10 * ns), 0);
	}
}

static void close_one(uint32_t slot)
{
	struct line *l = line_take(slot);

	line_close(l);
	line_drop(l);
}

/* Evenly over the time: cancels a tenth of all actors, and three groups, and closes lines, so that who waits for ever goes on. */
static void keep(struct rng *r)
{
	int64_t began = weft_now(), passed;
	uint32_t tasks = 0, groups = 0, closes = 0;

	while (load_acquire(&world.back) < world.s.actors / 4 * 3 && (passed = weft_now() - began) < world.s.limit) {
		for (; tasks < (uint64_t)passed * world.actors / 10 / (uint64_t)world.s.limit; tasks++)
			cancel_some(r, false);
		for (; groups < passed * 4 / world.s.limit; groups++)
			cancel_some(r, true);
		for (; closes < passed * (LINES / 4) / world.s.limit; closes++)
			close_one(rng_below(r, world.s.slots));
		time_passes(r);
	}
}

static void close_all(struct rng *r)
{
	int64_t give_up = weft__clock_read() + 40 * WEFT_SEC * tap_slow(); /* real time, also in a still world */

	store_release(&world.stop, 1u); /* pairs with load_acquire in act */
	for (uint32_t turn = 0; load_acquire(&world.back) < world.actors; turn++) {
		/* again and again: somebody may just now be about to put a new line into a slot */
		for (uint32_t i = 0; i < world.s.slots && turn % 64 == 0; i++)
			close_one(i);
		time_passes(r);
		if (weft__clock_read() > give_up) {
			weft_dump(2);
			T_FAIL("%u of %u have come back", world.back, world.actors);
		}
	}
}

/* No monitor, which looks at the real time, and makes tasks yield. */
static void stand_still(void)
{
	weft__monitor_stop(weft__rt);
	store_relaxed(&weft__rt->workers[0].countdown, TICK_SLOW); /* one thread; whatever the monitor has left there */
}

static int keeper(void *arg)
{
	struct rng r;

	(void)arg;
	rng_seed(&r, world.seed, STREAM_KEEPER);
	if (world.still)
		stand_still();
	groups_make(&r);
	for (uint32_t i = 0; i < world.s.slots; i++)
		store_release(&world.slot[i], line_make()); /* pairs with line_take */
	actors_start(&r);
	keep(&r);
	close_all(&r);
	for (uint32_t i = 0; i < world.actors; i++) {
		if (world.a[i].outside)
			T_EQ(pthread_join(world.a[i].thread, NULL), 0);
		else
			T_EQ(finish(world.a[i].t), 0);
	}
	for (uint32_t i = 0; i < world.s.slots; i++) {
		line_close(&world.lines[world.slot[i]]); /* it may be a new one */
		line_drop(&world.lines[world.slot[i]]);
	}
	for (int i = 0; i < GROUPS; i++)
		weft_ctx_free(world.groups[i].ctx);
	free(world.a);
	return 0;
}

/* --- rounds --- */

static struct record records[RECORDS];
static struct line_past pasts[LINES];

enum clock { RUNNING, STILL, EITHER };

/* One round. Returns its history's hash. */
static uint64_t round_of(uint64_t seed, int workers, uint32_t threads, enum clock clock)
{
	struct rng r;

	memset(&world, 0, sizeof world);
	rng_seed(&r, seed, STREAM_WORLD);
	world.seed = seed;
	world.s = shapes[seed % (sizeof shapes / sizeof *shapes)];
	world.s.actors = (uint32_t)tap_iters(world.s.actors);
	if (world.s.actors < 20)
		world.s.actors = 20;
	if (world.s.slots > world.s.actors)
		world.s.slots = world.s.actors;
	world.s.ops = (uint32_t)tap_iters(world.s.ops) + 20;
	world.still = clock == STILL || (clock == EITHER && rng_below(&r, 2));
	world.threads = threads;
	world.actors = world.s.actors + (world.s.slots + 3) / 4;
	T_LE(world.actors * 2 * world.s.ops, RECORDS);
	history_begin(&world.h, records, world.actors * 2 * world.s.ops, pasts, LINES, world.still);
	tap_note("WEFT_SEED=%llu: %s%s", (unsigned long long)seed, world.s.name, world.still ? ", still" : "");
	if (world.still)
		store_relaxed(&weft__clock_fake,
			      (int64_t)1000 * WEFT_SEC); /* one thread; always the same, as wheels turn by the absolute time */
	T_EQ(run_with(keeper, NULL, (weft_opts){.workers = workers, .seed = seed + 1}), 0);
	time_real();
	complain(history_judge(&world.h));
	for (uint32_t i = 1; i <= world.nlines && i < LINES; i++) {
		T_EQ(world.lines[i].refs, 0);
		T_EQ(pasts[i].signals, 0);
	}
	return history_hash(&world.h);
}

static uint64_t env_number(const char *name, uint64_t otherwise)
{
	const char *s = getenv(name);

	return s && *s ? strtoull(s, NULL, 0) : otherwise;
}

/* A round of each shape, and more until the time is over. */
static void soak(int workers, uint32_t threads)
{
	uint64_t seed = env_number("WEFT_SEED", (uint64_t)weft_now() / 1000), ops = 0, values = 0, first = seed;
	int64_t seconds = (int64_t)env_number("WEFT_SOAK", 1), end = weft_in(seconds * WEFT_SEC);

	tap_limit((int)seconds + 120);
	do {
		round_of(seed, workers, threads, workers == 1 && threads == 0 ? EITHER : RUNNING);
		ops += world.ops;
		for (uint32_t i = 1; i < LINES; i++)
			values += pasts[i].got;
	} while (++seed < first + 3 || weft_now() < end);
	tap_note("workers %d, threads %u: %llu rounds from WEFT_SEED=%llu, %llu operations, %llu values", workers, threads,
		 (unsigned long long)(seed - first), (unsigned long long)first, (unsigned long long)ops, (unsigned long long)values);
}

/* Traffic among tasks alone on one worker, where half of the worlds stand still; with threads otherwise. */
TEST_WORKERS(traffic)
{
	soak(tap_workers(), tap_workers() == 1 ? 0 : 3);
}

/* Threads and one worker. */
TEST(traffic_of_one_worker_and_threads)
{
	soak(1, 3);
}

/* One seed, one worker, a clock that stands still: one history; another seed, another. */
TEST(one_seed_has_one_history)
{
	uint64_t seed = env_number("WEFT_SEED", (uint64_t)weft_now() / 1000), last = 0, once;

	if (getenv("WEFT_PRIO"))
		tap_skip("WEFT_PRIO=mixed goes by the tasks' numbers, which go on counting");
	tap_limit(60);
	for (uint64_t end = seed + 3; seed < end; seed++) {
		once = round_of(seed, 1, 0, STILL);
		T_EQ(round_of(seed, 1, 0, STILL), once);
		T_NE(once, last);
		last = once;
	}
}
