/* SPDX-License-Identifier: MIT
 *
 * request.cpp - model of actor/request.c as it is: a request is answered once, or is over and touches nothing; a number is of one request for ever.
 *
 * Thread 0 asks, and waits or gives up. Thread 1 is the actor: it receives and answers; so does thread 2, late, or it is the actor's death. The future is a small one: it is done once, and its memory ends with the last reference.
 */
#include "waiting.h"

#include "base/config.h"
#undef LOCK_SPINS
#undef LOCK_PAUSE
#define LOCK_SPINS 1
#define LOCK_PAUSE 1
#include "base/lock.c"
#include "mortal.h"

#define UNTOLD "an actor that dies tells nobody"
#define NOT_MOVED "the number does not move on when a request is over"
#define KEPT "who gives a request up keeps its promise"

void weft__lot_wake_one(struct worker *, void *, int, void (*)(void *), void *)
{
	RL_ASSERT(!"nobody waits for an address");
}

/* --- actor/actor.h, sync/future.h and weft/server.h, as far as request.c sees them --- */

#define WEFT_ACTOR_ACTOR_H
#define WEFT_SYNC_FUTURE_H
#define WEFT_SERVER_H
#define REASON_MAIL_ROOM REASON_PARK
#define MSG_MAX (1u << 30)
#define LETTERS 2

struct actor;

typedef struct weft_actor_ref {
	struct actor *weft__at;
	uint64_t weft__gen;
} weft_actor_ref;

typedef struct weft_msg {
	uint64_t tag;
	weft_actor_ref from;
	void *data;
	uint32_t len;
	uint8_t kind;
	int8_t prio;
	uint8_t weft__flags;
	uint8_t weft__home;
} weft_msg;

#define WEFT_NO_ACTOR (weft_actor_ref{NULL, 0})
enum { WEFT_OVERFLOW_BLOCK, WEFT_PRIO_NORMAL = 0, WEFT_MSG_USER = 0 };
enum { LETTER_REQUEST = 128 };

struct letter {
	struct list_node link;
	weft_msg msg;
	struct weft_task *caller;
	uint64_t word;
	char bytes[16];
};

struct actor {
	struct lock lock;
	uint64_t gen;
	uint32_t len, cap, high;
	int overflow;
	bool above;
	struct list sendq, outside, requests, mail;
	ATOMIC(struct weft_task *) task;
};

struct ticket {
	struct list_node link;
	ATOMIC(uint64_t) number;
	struct weft_future *f;
};

#define TICKETS 2

static struct ticket *tickets; /* of this execution */
static ATOMIC(uint32_t) *taken;

static struct ticket *weft__ticket_get()
{
	for (int i = 0; i < TICKETS; i++) {
		uint32_t no = 0;

		if (taken[i].compare_exchange_strong(no, 1, rl::mo_acquire, $, rl::mo_relaxed, $)) /* pairs with the store in put */
			return &tickets[i];
	}
	RL_ASSERT(!"more tickets than requests");
	return NULL;
}

static void weft__ticket_put(struct ticket *t)
{
	taken[t - tickets].store(0, rl::mo_release, $);
}

/* Does a weft_from name a ticket? */
static inline bool from_ticket(const struct weft_task *who)
{
	return (uintptr_t)who & 1;
}

static struct letter *free_letters[LETTERS]; /* of this execution; thread 0 takes them */
static int letters;

static struct letter *weft__call_letter(struct worker *, size_t)
{
	struct letter *l = free_letters[--letters];

	l->msg.weft__flags = 0;
	l->msg.data = l->bytes;
	return l;
}

static void weft__call_name(struct letter *l, struct weft_task *who, uint64_t word)
{
	l->caller = who;
	l->word = word;
}

static uint64_t weft__call_word(struct letter *l)
{
	return l->word;
}

/* Its runtime stays. */
static inline bool actor_deserted(const struct actor *)
{
	return false;
}

/* Nobody waits for room: there is. */
static int mail_wait_room(struct self *, struct actor *, struct letter *, int64_t, int *status)
{
	RL_ASSERT(!"no room");
	return *status = 0;
}

/* Letters do not run out. */
static inline void letter_put(struct worker *, struct letter *)
{
}

static inline struct actor *actor_self(struct worker *)
{
	return NULL;
}

static inline weft_actor_ref actor_ref(struct actor *a)
{
	return weft_actor_ref{a, a->gen};
}

static inline struct actor *actor_lock(weft_actor_ref ref)
{
	struct actor *a = ref.weft__at;

	lock_take_solo(&a->lock, RANK_ACTOR);
	if (a->gen == ref.weft__gen)
		return a;
	lock_drop_solo(&a->lock);
	return NULL;
}

static inline void actor_unlock(struct actor *a)
{
	lock_drop_solo(&a->lock);
}

static struct weft_task *weft__mail_put(struct actor *a, struct letter *l)
{
	list_push_tail(&a->mail, &l->link);
	return NULL;
}

static void weft__mail_above(struct worker *, struct actor *, struct weft_task *)
{
	RL_ASSERT(!"there is no mark");
}

static int weft_reg_get(const char *, weft_actor_ref *)
{
	return WEFT_ENOENT;
}

/* --- a future --- */

#define FUTURES 2
#define FUTURE_DONE 1u
#define FUTURE_CANCELED 2u
#define FUTURE_ENDING 3u /* somebody is about to store one of the two */
#define FUTURE_PROMISE 16u

struct weft_future;

struct future_ops {
	void (*cancel)(struct weft_future *f);
	void (*gone)(struct weft_future *f);
};

struct weft_future {
	mortal<uint32_t> done, refs;
	rl::var<int> status, answer;
	uint16_t elem;
	const struct future_ops *ops;
	char value[8];
	char behind[64] __attribute__((aligned(16)));
};

static struct weft_future *futures; /* of this execution */
static int made, freed;

static void *future_behind(struct weft_future *f)
{
	return f->behind;
}

static struct weft_future *weft__future_new(size_t, size_t more, unsigned refs)
{
	struct weft_future *f = &futures[made++];

	RL_ASSERT(more <= sizeof f->behind && made <= FUTURES);
	f->done.be_born(0);
	f->refs.be_born(refs);
	f->elem = sizeof(int);
	f->ops = NULL;
	return f;
}

static void future_drop(struct weft_future *f, uint32_t n)
{
	if (f->refs.fetch_add(0 - n, rl::mo_acq_rel, $) != n)
		return;
	f->done.die();
	f->refs.die();
	freed++;
}

static int weft__future_end(struct weft_future *f, uint32_t how, int status, const void *)
{
	uint32_t pending = 0;

	if (!f->done.compare_exchange_strong(pending, FUTURE_ENDING, rl::mo_acquire, $, rl::mo_relaxed, $))
		return WEFT_EALREADY;
	f->status($) = status;
	f->done.store(how, rl::mo_release, $);
	if (how == FUTURE_CANCELED && f->ops)
		f->ops->cancel(f);
	return 0;
}

static void weft__promise_release(struct weft_future *f)
{
	future_drop(f, FUTURE_PROMISE);
}

static void weft__future_release(struct weft_future *f)
{
	(void)weft__future_end(f, FUTURE_CANCELED, WEFT_ECANCELED, NULL); /* the only reference there is */
	future_drop(f, 1);
}

static int weft_future_await_until(struct weft_future *f, void *, int64_t)
{
	uint32_t how;

	while ((how = f->done.load(rl::mo_acquire, $)) == 0 || how == FUTURE_ENDING)
		rl::yield(1, $);
	return f->status($);
}

/* The value of a future: whoever writes it must keep it. */
static void copy(void *to, const void *from, size_t n)
{
	for (int i = 0; i < FUTURES; i++) {
		if (to == futures[i].value) {
			futures[i].refs.touch();
			futures[i].answer($) = *(const int *)from;
			return;
		}
	}
	memcpy(to, from, n);
}

static void release_or_not(const char *func, struct weft_future *f)
{
	if (strcmp(func, "give_up") || !MUTATED(KEPT))
		weft__promise_release(f);
}

static void remove_listed(struct list_node *n)
{
	RL_ASSERT(list_linked(n));
	list_remove(n);
}

#define memcpy(to, from, n) copy(to, from, n)
#undef list_remove
#define list_remove(n) remove_listed(n)
#define weft__promise_release(f) release_or_not(__func__, f)
#undef store_release
#define store_release(p, v) (!strcmp(__func__, "take") && MUTATED(NOT_MOVED) ? (void)0 : (p)->store((v), rl::mo_release, $))
#include "actor/request.c"
#undef store_release
#define store_release(p, v) (p)->store((v), rl::mo_release, $)
#undef memcpy
#undef list_remove
#define list_remove weft_list_remove
#undef weft__promise_release

/* --- the scenarios --- */

template <typename suite> struct requests : rl::test_suite<suite, 3> {
	struct weft_task tasks[WAITING_THREADS];
	struct weft_future all[FUTURES];
	struct letter l[LETTERS];
	struct ticket some[TICKETS];
	ATOMIC(uint32_t) some_taken[TICKETS];
	struct actor a;
	weft_actor_ref ref;
	struct weft_task *who[LETTERS]; /* what thread 1 makes of letters */
	uint64_t word[LETTERS];
	ATOMIC(uint32_t) handed; /* so many */

	void before()
	{
		waiting_reset(tasks);
		store_relaxed(&a.lock.word, 0u);
		memset((void *)&a.sendq, 0, sizeof a.sendq);
		memset((void *)&a.outside, 0, sizeof a.outside);
		memset((void *)&a.requests, 0, sizeof a.requests);
		memset((void *)&a.mail, 0, sizeof a.mail);
		a.gen = 1;
		a.len = a.high = 0;
		a.cap = 10;
		a.overflow = WEFT_OVERFLOW_BLOCK;
		a.above = false;
		store_relaxed(&a.task, (struct weft_task *)NULL);
		for (int i = 0; i < LETTERS; i++) {
			free_letters[i] = &l[LETTERS - 1 - i];
			l[i].link.next = NULL;
		}
		letters = LETTERS;
		for (unsigned i = 0; i < TICKETS; i++) {
			store_relaxed(&some[i].number, (uint64_t)0);
			store_relaxed(&some_taken[i], 0u);
			some[i].link.next = NULL;
		}
		tickets = some;
		taken = some_taken;
		futures = all;
		made = freed = 0;
		store_relaxed(&handed, 0u);
		ref = actor_ref(&a);
	}

	void after()
	{
		RL_ASSERT(list_empty(&a.requests) && list_empty(&a.sendq) && list_empty(&a.outside));
		RL_ASSERT(freed == made);
	}

	/* NULL: the actor has died. */
	struct weft_future *ask()
	{
		struct weft_future *f = NULL;
		int rc = weft_server_request_until(ref, 1, NULL, 0, sizeof(int), &f, WEFT_FOREVER);

		RL_ASSERT(rc == 0 ? f != NULL : rc == WEFT_ESRCH && !f);
		return f;
	}

	/* Waits, and gives it back. */
	int await(struct weft_future *f)
	{
		int rc = weft_future_await_until(f, NULL, WEFT_FOREVER);

		if (rc == 0)
			rc = f->answer($);
		weft__future_release(f);
		return rc;
	}

	/* The actor receives the i-th. False: it has died. */
	bool receive(int i)
	{
		for (;;) {
			struct letter *m = NULL;
			bool dead;

			lock_take_solo(&a.lock, RANK_ACTOR);
			dead = a.gen != 1;
			if (!dead && !list_empty(&a.mail))
				m = container_of(list_pop_head(&a.mail), struct letter, link);
			lock_drop_solo(&a.lock);
			if (dead)
				return false;
			if (m) {
				who[i] = m->caller;
				word[i] = m->word;
				store_release(&handed, (uint32_t)i + 1); /* pairs with load_acquire in answer_too */
				return true;
			}
			rl::yield(1, $);
		}
	}

	bool answer(int i, int v)
	{
		int rc = weft__request_reply(ref, who[i], word[i], &v, sizeof v, 0);

		RL_ASSERT(rc == 0 || rc == WEFT_ESRCH);
		return rc == 0;
	}

	/* Who has got a copy of the first. */
	bool answer_too(int v)
	{
		while (!load_acquire(&handed)) /* pairs with store_release in receive */
			rl::yield(1, $);
		return answer(0, v);
	}

	void die()
	{
		struct list tickets;

		list_init(&tickets);
		lock_take_solo(&a.lock, RANK_ACTOR);
		a.gen++;
		if (!MUTATED(UNTOLD))
			weft__requests_take(&a, &tickets);
		lock_drop_solo(&a.lock);
		weft__requests_end(&tickets);
	}
};

/* Two answer: one of them does. */
struct two_answer : requests<two_answer> {
	bool first, second;

	void thread(unsigned id)
	{
		if (id == 0) {
			int v = await(ask());

			RL_ASSERT(v == 6 || v == 7);
		} else if (id == 1) {
			RL_ASSERT(receive(0));
			first = answer(0, 6);
		} else {
			second = answer_too(7);
		}
	}

	void after()
	{
		RL_ASSERT(first != second);
		requests::after();
	}
};

/* It is given up while it is answered. */
struct given_up : requests<given_up> {
	void thread(unsigned id)
	{
		if (id == 0) {
			weft__future_release(ask());
		} else if (id == 1) {
			RL_ASSERT(receive(0));
			(void)answer(0, 6);
		} else {
			(void)answer_too(7);
		}
	}
};

/* One is given up, and another asked, with the same ticket: a late answer is not that one's. */
struct asked_again : requests<asked_again> {
	void thread(unsigned id)
	{
		if (id == 0) {
			weft__future_release(ask());
			RL_ASSERT(await(ask()) == 8);
		} else if (id == 1) {
			RL_ASSERT(receive(0));
			RL_ASSERT(receive(1));
			RL_ASSERT(answer(1, 8));
		} else {
			(void)answer_too(7);
		}
	}
};

/* The actor dies meanwhile. */
struct dies : requests<dies> {
	void thread(unsigned id)
	{
		if (id == 0) {
			struct weft_future *f = ask();
			int v = f ? await(f) : WEFT_EDOWN;

			RL_ASSERT(v == 6 || v == WEFT_EDOWN);
		} else if (id == 1) {
			if (receive(0))
				(void)answer(0, 6);
		} else {
			die();
		}
	}
};

/* ... and it is given up. */
struct dies_unwanted : requests<dies_unwanted> {
	void thread(unsigned id)
	{
		if (id == 0) {
			struct weft_future *f = ask();

			if (f)
				weft__future_release(f);
		} else if (id == 1) {
			if (receive(0))
				(void)answer(0, 6);
		} else {
			die();
		}
	}
};

static const struct scenario scenarios[] = {
	{"two answer", rl::simulate<two_answer>, 20000, 2},
	{"given up as it is answered", rl::simulate<given_up>, 20000, 2},
	{"given up, and another asked", rl::simulate<asked_again>, 20000, 0},
	{"the actor dies", rl::simulate<dies>, 20000, 2},
	{"the actor dies, and it is given up", rl::simulate<dies_unwanted>, 20000, 2},
};

static const struct mutation mutations[] = {
	{UNTOLD},
	{NOT_MOVED},
	{KEPT},
	{"the lock does not acquire", "lock_take_solo", "cas_acquire", "&l->word"},
	{"the lock does not release", "lock_drop_solo", "swap_release", "&l->word"},
};

MODEL_MAIN(scenarios, mutations)
