/* SPDX-License-Identifier: MIT
 *
 * call.cpp - model of actor/call.c as it is: an answer comes once and whole, or touches nothing; nobody waits for ever.
 *
 * Thread 0 calls, and its frame is gone when it returns. Thread 1 is the actor: it receives the call and answers; so does thread 2, or it is the actor's death, or a canceller. What is written to the caller's frame outside
 * its call shows (copy), and so does a caller whom nobody tells: as a deadlock.
 */
#include "waiting.h"

#include "base/config.h"
#undef LOCK_SPINS
#undef LOCK_PAUSE
#define LOCK_SPINS 1
#define LOCK_PAUSE 1
#include "base/lock.c"

#define UNCLAIMED "who answers looks at the frame of a caller that it has not claimed"
#define UNTOLD "an actor that dies tells nobody"

void weft__lot_wake_one(struct worker *, void *, int, void (*)(void *), void *)
{
	RL_ASSERT(!"nobody waits for an address");
}

/* --- actor/actor.h and weft/server.h, as far as call.c sees them --- */

#define WEFT_ACTOR_ACTOR_H
#define WEFT_SERVER_H
#define REASON_CALL REASON_PARK
#define MSG_INLINE 64
#define MSG_MAX (1u << 30)

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

typedef struct weft_from {
	weft_actor_ref weft__to;
	struct weft_task *weft__who;
	uint64_t weft__wait;
} weft_from;

#define WEFT_NO_ACTOR (weft_actor_ref{NULL, 0})
enum { WEFT_OVERFLOW_BLOCK, WEFT_PRIO_URGENT = -2, WEFT_PRIO_NORMAL = 0, WEFT_MSG_USER = 0, MSG_CHANGE = 3, MSG_ASKED = 4 };
enum { LETTER_CALL = 4, LETTER_LONG = 8 };
/* Nor is anybody left outside. */
static inline uint8_t letter_home(const struct worker *)
{
	return 0;
}

/* Its runtime stays. */
static inline bool actor_deserted(const struct actor *)
{
	return false;
}

/* No tickets here: request.cpp. */
static inline bool from_ticket(const struct weft_task *)
{
	return false;
}

static inline int weft__request_reply(weft_actor_ref, struct weft_task *, uint64_t, const void *, size_t, int)
{
	return WEFT_ESRCH;
}

static inline bool weft__request_waiting(const struct weft_task *, uint64_t)
{
	return false;
}

enum call_kind { CALL_USER, CALL_CHANGE, CALL_BUS };

struct letter {
	struct list_node link;
	weft_msg msg;
	struct weft_task *caller;
	char bytes[MSG_INLINE + 16] __attribute__((aligned(16)));
};

struct actor {
	struct lock lock;
	uint64_t gen;
	uint32_t len, cap, high;
	int overflow;
	bool suspended, above;
	struct list recvq, sendq, outside, calls, mail;
	ATOMIC(struct weft_task *) task;
	int (*run)(void *state);
	void (*on_high)(weft_actor_ref ref, uint32_t len, void *arg);
	void *high_arg;
};

static struct actor *the_actor; /* of this execution */
static struct letter *the_letter;
static int letters; /* taken and not given back */

static inline struct letter *letter_of(weft_msg *m)
{
	return container_of(m, struct letter, msg);
}

static inline struct letter *letter_get(struct worker *, size_t)
{
	letters++;
	the_letter->msg.weft__flags = 0;
	the_letter->msg.data = the_letter->bytes;
	return the_letter;
}

static inline void letter_put(struct worker *, struct letter *)
{
	letters--;
}

/* Nobody panics. */
typedef struct weft_defer {
} weft_defer;

static inline void weft__defer_push(weft_defer *, void (*)(void *), void *)
{
}

static inline void weft__defer_drop(weft_defer *)
{
}

/* Thread 1 is the actor. */
static inline struct actor *actor_self(struct worker *)
{
	return rl::thread_index() == 1 ? the_actor : NULL;
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
	a->len++;
	return NULL;
}

static bool weft__actor_canceled() /* the one that answers */
{
	return false;
}

static int weft__server_run(void *)
{
	return 0;
}

static int weft__bus_run(void *)
{
	return 0;
}

static int wait_park_to(struct worker *, struct weft_task *, struct weft_task *, struct waiter *, uint64_t, int64_t)
{
	RL_ASSERT(!"nobody waits for mail");
	return 0;
}

static inline int64_t clock_now()
{
	return 1;
}

/* What is written to the caller: it must be in its call. */
static rl::var<bool> *in_call;

static void copy(const char *func, void *to, const void *from, size_t n)
{
	if (!strcmp(func, "weft_server_reply"))
		RL_ASSERT((*in_call)($));
	memcpy(to, from, n);
}

static bool claim_wait(const char *func, ATOMIC(uint64_t) *w, uint64_t word, enum wait_state why)
{
	if (wait_claim(w, word, why))
		return true;
	if (!strcmp(func, "claim") && MUTATED(UNCLAIMED))
		RL_ASSERT((*in_call)($));
	return false;
}

#define wait_claim(w, word, why) claim_wait(__func__, w, word, why)
#define memcpy(to, from, n) copy(__func__, to, from, n)
#include "actor/call.c"
#undef wait_claim
#undef memcpy

/* --- the scenarios --- */

template <typename suite> struct calls : rl::test_suite<suite, 3> {
	struct weft_task tasks[WAITING_THREADS];
	struct actor a;
	struct letter l;
	rl::var<bool> live;
	weft_actor_ref ref;
	weft_from from;          /* what thread 1 makes of the call; under the lock of `handed` */
	ATOMIC(uint32_t) handed; /* 1: it has; 2: there will be none */
	int answers;

	void before()
	{
		waiting_reset(tasks);
		memset((void *)&a.recvq, 0, sizeof a.recvq);
		memset((void *)&a.sendq, 0, sizeof a.sendq);
		memset((void *)&a.outside, 0, sizeof a.outside);
		memset((void *)&a.calls, 0, sizeof a.calls);
		memset((void *)&a.mail, 0, sizeof a.mail);
		store_relaxed(&a.lock.word, 0u);
		a.gen = 1;
		a.len = a.high = 0;
		a.cap = 1;
		a.overflow = WEFT_OVERFLOW_BLOCK;
		a.suspended = a.above = false;
		store_relaxed(&a.task, (struct weft_task *)NULL);
		a.run = NULL;
		a.on_high = NULL;
		store_relaxed(&handed, 0u);
		the_actor = &a;
		the_letter = &l;
		in_call = &live;
		letters = 0;
		answers = 0;
		ref = actor_ref(&a);
		live($) = false;
		l.link.next = NULL;
	}

	void after()
	{
		RL_ASSERT(list_empty(&a.calls) && list_empty(&a.sendq) && list_empty(&a.outside));
		RL_ASSERT(letters == (list_empty(&a.mail) ? 0 : 1));
	}

	/* Returns what the call does. */
	int ask(int64_t deadline)
	{
		uint64_t v = 5, back = 77;
		int rc;

		live($) = true;
		rc = weft_server_call_until(ref, 1, &v, sizeof v, &back, sizeof back, deadline);
		live($) = false;
		RL_ASSERT(rc == sizeof back ? back == 6 : back == 77);
		return rc;
	}

	/* The actor receives: false: its caller has taken the letter back, or it has died. */
	bool receive()
	{
		for (;;) {
			struct letter *got = NULL;

			lock_take_solo(&a.lock, RANK_ACTOR);
			if (a.gen != 1 || load_relaxed(&handed) == 2) {
				lock_drop_solo(&a.lock);
				return false;
			}
			if (!list_empty(&a.mail)) {
				got = container_of(list_pop_head(&a.mail), struct letter, link);
				a.len--;
			}
			lock_drop_solo(&a.lock);
			if (!got) {
				rl::yield(1, $);
				continue;
			}
			from = weft_msg_from(&got->msg);
			letter_put(NULL, got);
			store_release(&handed, 1u); /* pairs with load_acquire in answer_too */
			return true;
		}
	}

	void answer()
	{
		uint64_t v = 6;

		if (weft_server_reply(from, &v, sizeof v) == 0)
			answers++;
	}

	/* Who has got a copy of it. */
	void answer_too()
	{
		uint32_t h;

		while (!(h = load_acquire(&handed))) /* pairs with store_release in receive, and in who gives up */
			rl::yield(1, $);
		if (h == 1)
			answer();
	}

	void die()
	{
		struct ready_list ready;

		ready_list_init(&ready);
		lock_take_solo(&a.lock, RANK_ACTOR);
		a.gen++;
		if (!MUTATED(UNTOLD))
			weft__calls_end(&a, &ready);
		while (!list_empty(&a.sendq)) {
			struct waiter *w = container_of(list_pop_head(&a.sendq), struct waiter, link);

			if (waiter_claim(w, WEFT_ESRCH, false))
				ready_list_add(&ready, w->task);
		}
		lock_drop_solo(&a.lock);
		weft__ready_list(NULL, ready.first);
	}
};

/* Two answer, and the deadline passes at any moment. */
template <typename suite, int64_t deadline> struct two_answers : calls<suite> {
	void thread(unsigned id)
	{
		if (id == 0) {
			int rc = this->ask(deadline);

			RL_ASSERT(rc == sizeof(uint64_t) || (rc == WEFT_ETIMEDOUT && deadline != WEFT_FOREVER));
			if (rc == sizeof(uint64_t))
				RL_ASSERT(load_relaxed(&this->handed) == 1);
		} else if (id == 1) {
			if (this->receive())
				this->answer();
		} else {
			this->answer_too();
		}
	}
};

struct answered : two_answers<answered, WEFT_FOREVER> {
};

struct timed_out : two_answers<timed_out, 1000> {
};

/* The actor dies while it is asked. */
struct dies : calls<dies> {
	void thread(unsigned id)
	{
		if (id == 0) {
			int rc = ask(WEFT_FOREVER);

			RL_ASSERT(rc == sizeof(uint64_t) || rc == WEFT_EDOWN || rc == WEFT_ESRCH);
		} else if (id == 1) {
			if (receive())
				answer();
		} else {
			die();
		}
	}
};

/* It is full: the letter comes in when there is room, unless the caller has given up by then, or the actor has died. */
template <typename suite, int64_t deadline> struct no_room : calls<suite> {
	void before()
	{
		calls<suite>::before();
		this->a.len = 1; /* of something else */
	}

	void thread(unsigned id)
	{
		if (id == 0) {
			int rc = this->ask(deadline);

			RL_ASSERT(rc == sizeof(uint64_t) ||
				  (deadline == WEFT_FOREVER ? rc == WEFT_EDOWN || rc == WEFT_ESRCH : rc == WEFT_ETIMEDOUT));
			lock_take_solo(&this->a.lock, RANK_ACTOR);
			if (!load_relaxed(&this->handed) && rc != sizeof(uint64_t))
				store_relaxed(&this->handed, 2u); /* under lock */
			lock_drop_solo(&this->a.lock);
		} else if (id == 1) {
			lock_take_solo(&this->a.lock, RANK_ACTOR); /* taken(), in receive.c */
			this->a.len--;
			if (!list_empty(&this->a.sendq)) {
				struct waiter *w = container_of(list_pop_head(&this->a.sendq), struct waiter, link);
				struct letter *l = (struct letter *)w->slot;

				if (weft__call_is_in(&this->a, w, l))
					(void)weft__mail_put(&this->a, l);
			}
			lock_drop_solo(&this->a.lock);
			if (this->receive())
				this->answer();
		} else if (deadline == WEFT_FOREVER) {
			this->die();
		}
	}
};

struct dies_full : no_room<dies_full, WEFT_FOREVER> {
};

struct times_out_full : no_room<times_out_full, 1000> {
};

static const struct scenario scenarios[] = {
	{"two answer", rl::simulate<answered>, 100000, 2},
	{"two answer as the deadline passes", rl::simulate<timed_out>, 100000, 2},
	{"the actor dies", rl::simulate<dies>, 100000, 2},
	{"the actor dies, and is full", rl::simulate<dies_full>, 100000, 2},
	{"the deadline passes while it is full", rl::simulate<times_out_full>, 100000, 2},
};

static const struct mutation mutations[] = {
	{UNCLAIMED},
	{UNTOLD},
	{LEFT_LISTED},
};

MODEL_MAIN(scenarios, mutations)
