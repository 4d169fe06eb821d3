/* SPDX-License-Identifier: MIT
 *
 * select.cpp - model of sync/select.c and sync/chan.c as they are: select against send, receive, close, deadlines, cancel and other sources.
 *
 * Exactly one case fires; a value arrives once, or stays with who had it; nothing of a select that has ended is listed anywhere; nobody sleeps for
 * ever (that shows as a deadlock).  An element is a place: the address of a cell, which Relacy checks for races; to copy an element is to copy
 * what is in its cell.  Which of several cases is tried first is the scheduler's choice.
 */
#include "waiting.h"

#include "lock.h"
#include <new>

static void rng_seed(struct rng *, uint64_t, uint64_t)
{
}

static uint32_t rng_below(struct rng *, uint32_t n)
{
	return rl::rand(n);
}

static int64_t clock_now()
{
	return 1;
}

static int64_t clock_add(int64_t now, int64_t ns)
{
	return now + ns;
}

void weft__lot_wake_one(struct worker *, void *, int, void (*)(void *), void *)
{
	RL_ASSERT(!"nobody waits for an address");
}

/* --- elements --- */

struct place {
	rl::var<int> *cell;

	int get()
	{
		return (*cell)($);
	}

	void set(int v)
	{
		(*cell)($) = v;
	}
};

static void place_copy(void *to, const void *from, size_t n)
{
	RL_ASSERT(n == sizeof(struct place));
	((struct place *)to)->set(((struct place *)(void *)from)->get());
}

static void place_zero(void *to, size_t n)
{
	RL_ASSERT(n == sizeof(struct place));
	((struct place *)to)->set(0);
}

/* --- the sources --- */

#define CLAIM_UNASKED "who takes a waiter off a queue does not look at its claim"
#define OTHERS_LISTED "a select that was woken leaves its other waiters listed"
#define UNSORTED "channels are locked in the order of the cases"
#define ONE_LOCK "a select locks the first of its channels only"
#define SENDERS_FORGOTTEN "close forgets those who send"
#define RECEIVERS_FORGOTTEN "close forgets those who receive"
#define NOT_CLAIMED "who finds a source ready does not claim its own wait"
#define ONLY_LISTED "the second look at a source only lists it"
#define ALARMED "a false alarm counts"

#include "base/config.h"
#undef SELECT_INLINE
#define SELECT_INLINE 2

#define weft__san 0u
#define memcpy(to, from, n) place_copy(to, from, n)
#define memset(to, c, n) place_zero(to, n)

static bool claim_waiter(struct waiter *w, int status, bool solo)
{
	if (waiter_claim(w, status, solo))
		return true;
	if (!MUTATED(CLAIM_UNASKED))
		return false;
	w->status = status;
	w->task->waiters = w;
	return true;
}

#define waiter_claim(w, status, solo) claim_waiter(w, status, solo)
#include "core/source.h"
#include "sync/chan.h"

#include "core/source.c"
#include "sync/chan_hold.c"

static struct waiter *next_claimed(const char *func, struct list *q, int status, bool solo)
{
	if (!strcmp(func, "weft__chan_finish") && MUTATED(SENDERS_FORGOTTEN))
		return NULL;
	return chan_claim(q, status, solo);
}

static void drained(struct weft_chan *c, struct ready_list *ready)
{
	if (!MUTATED(RECEIVERS_FORGOTTEN))
		weft__chan_drained(c, ready);
}

#define chan_claim(q, status, solo) next_claimed(__func__, q, status, solo)
#define weft__chan_drained(c, ready) drained(c, ready)
#include "sync/chan.c"
#undef chan_claim
#undef weft__chan_drained

struct address {
	size_t n;

	explicit address(const void *p) : n((size_t)p)
	{
	}

	bool operator<(const struct address &a) const
	{
		return !MUTATED(UNSORTED) && n < a.n;
	}

	bool operator>(const struct address &a) const
	{
		return a < *this;
	}
};

static void withdraw_others(struct waiter *w, int n)
{
	if (!MUTATED(OTHERS_LISTED))
		weft__wait_withdraw(w, n);
	waiting_listed_nowhere(w, n);
}

#define uintptr_t struct address
#undef ATOMIC /* its one atomic is the process's, and Relacy's live in an execution */
#define ATOMIC(T) T
#undef add_relaxed
#define add_relaxed(p, n) (*(p) += (n))
#define weft__wait_withdraw(w, n) withdraw_others(w, n)
#define wait_claim(w, word, why) (MUTATED(NOT_CLAIMED) || wait_claim(w, word, why))
#define lock_take(l, rank) (i && MUTATED(ONE_LOCK) ? (void)0 : lock_take(l, rank))
#define lock_drop(l) (i && MUTATED(ONE_LOCK) ? (void)0 : lock_drop(l))
#include "sync/select.c"
#undef uintptr_t
#undef ATOMIC
#define ATOMIC(T) rl::atomic<T>
#undef weft__wait_withdraw
#undef wait_claim
#undef lock_take
#undef lock_drop

#undef memcpy
#undef memset

/* No channel here is of the sorts that these are for. */
void weft__chan_join(struct weft_chan *)
{
	RL_ASSERT(!"weft__chan_join");
}

void weft__chan_calm(struct weft_chan *, enum chan_dir)
{
	RL_ASSERT(!"weft__chan_calm");
}

void weft__chan_waits(struct weft_chan *)
{
	RL_ASSERT(!"weft__chan_waits");
}

char *weft__chan_blocks_more(struct weft_chan *, int *)
{
	RL_ASSERT(!"weft__chan_blocks_more");
	return NULL;
}

void weft__chan_blocks_popped(struct weft_chan *)
{
	RL_ASSERT(!"weft__chan_blocks_popped");
}

int weft__chan_tell(struct weft_chan *, int rc, const char *)
{
	RL_ASSERT(!"weft__chan_tell");
	return rc;
}

void weft__chan_note(struct weft_chan *c)
{
	c->most = c->len > c->most ? c->len : c->most;
}

/* --- what it is tried with --- */

enum { CHANS = 2, ROOM = 1, PLACES = 2, VALUES = 4, BEFORE = 99 };
#define FAR (INT64_MAX - 1) /* a deadline */

struct channel {
	alignas(16) char mem[sizeof(struct weft_chan) + ROOM * sizeof(struct place)];
	rl::var<int> cells[ROOM];
	struct weft_chan *c;

	channel() : c(new (mem) weft_chan)
	{
	}

	~channel()
	{
		c->~weft_chan();
	}

	void be_born(uint32_t cap)
	{
		lock_reset(&c->lock);
		c->cap = cap;
		c->len = c->head = c->most = 0;
		c->elem = sizeof(struct place);
		c->closed = c->held = c->mode = 0;
		c->sent = 0;
		list_init(&c->recvq);
		list_init(&c->sendq);
		c->waits[0] = c->waits[1] = 0;
		c->blocks = NULL;
		c->more = NULL;
		c->ring = NULL;
		store_relaxed(&c->quick, chan_quick_of(c));
		for (unsigned i = 0; i < ROOM; i++) {
			cells[i]($) = 0;
			((struct place *)c->buf)[i].cell = &cells[i];
		}
	}
};

/* A source: it is up, until somebody takes that. */
struct event {
	struct lock lock;
	checked<int> up;
	struct list waiters;
	int listed, fired; /* how often, less what was finished; and finished as having fired */

	void be_born()
	{
		lock_reset(&lock);
		up = 0;
		list_init(&waiters);
		listed = fired = 0;
	}

	bool take()
	{
		bool was;

		lock_take_solo(&lock, RANK_SOURCE);
		was = up;
		up = 0;
		lock_drop_solo(&lock);
		return was;
	}

	void raise()
	{
		struct inject_node *ready;

		lock_take_solo(&lock, RANK_SOURCE);
		up = 1;
		ready = weft__source_claim_all(&waiters, 0);
		lock_drop_solo(&lock);
		weft__ready_list(NULL, ready);
	}
};

static int event_look(weft_case *c, struct self *, struct waiter *w)
{
	struct event *e = (struct event *)c->on;
	bool up;

	lock_take_solo(&e->lock, RANK_SOURCE);
	up = e->up;
	if (w && MUTATED(ONLY_LISTED))
		up = false;
	if (w && !up) {
		source_list(w, &e->waiters, &e->lock, RANK_SOURCE, e);
		e->listed++;
	}
	lock_drop_solo(&e->lock);
	return up;
}

static bool event_finish(weft_case *c, struct waiter *w, bool fired)
{
	struct event *e = (struct event *)c->on;
	bool had;

	if (w) {
		RL_ASSERT(!list_linked(&w->link));
		RL_ASSERT(e->listed == 1);
		e->listed--;
	}
	if (!fired)
		return false;
	c->status = 0;
	had = e->take();
	e->fired += had;
	return had || MUTATED(ALARMED);
}

static const weft_source event_source = {event_look, event_finish, NULL, false};

template <typename suite, unsigned threads, unsigned cap> struct world : rl::test_suite<suite, threads> {
	struct channel chans[CHANS];
	struct event event;
	struct weft_task tasks[WAITING_THREADS];
	struct place places[WAITING_THREADS][PLACES];
	rl::var<int> cells[WAITING_THREADS][PLACES];
	int given[VALUES], taken[VALUES];
	struct weft_chan *a, *b;

	void before()
	{
		waiting_reset(tasks);
		for (unsigned i = 0; i < WAITING_THREADS; i++) {
			for (unsigned k = 0; k < PLACES; k++) {
				cells[i][k]($) = BEFORE;
				places[i][k].cell = &cells[i][k];
			}
		}
		for (unsigned i = 0; i < CHANS; i++)
			chans[i].be_born(cap);
		event.be_born();
		for (unsigned v = 0; v < VALUES; v++)
			given[v] = taken[v] = 0;
		a = chans[0].c;
		b = chans[1].c;
	}

	void after()
	{
		for (unsigned i = 0; i < CHANS; i++) {
			struct weft_chan *c = chans[i].c;

			RL_ASSERT(load_relaxed(&c->lock.word) == LOCK_FREE);
			RL_ASSERT(list_empty(&c->recvq) && list_empty(&c->sendq));
			RL_ASSERT(c->len <= c->cap);
			for (uint32_t k = 0; k < c->len; k++)
				taken[((struct place *)c->buf)[(c->head + k) % ROOM].get()]++;
		}
		for (unsigned v = 0; v < VALUES; v++)
			RL_ASSERT(given[v] == taken[v] && given[v] <= 1);
		for (unsigned i = 0; i < WAITING_THREADS; i++)
			RL_ASSERT(!wait_is_open(load_relaxed(&tasks[i].wait)));
		RL_ASSERT(list_empty(&event.waiters) && event.listed == 0);
	}

	/* What a case or a call of thread id that sends v, or receives, has to do with. */
	struct place *to_send(unsigned id, int k, int v)
	{
		places[id][k].set(v);
		return &places[id][k];
	}

	struct place *to_fill(unsigned id, int k)
	{
		return to_send(id, k, BEFORE);
	}

	void was_sent(unsigned id, int k)
	{
		given[places[id][k].get()]++;
	}

	int was_filled(unsigned id, int k)
	{
		int v = places[id][k].get();

		RL_ASSERT(v > 0 && v < VALUES);
		taken[v]++;
		return v;
	}

	int send(unsigned id, struct weft_chan *c, int v, int64_t deadline = WEFT_FOREVER)
	{
		struct place *p = to_send(id, 0, v);
		int rc = deadline == WEFT_FOREVER ? weft_chan_send(c, p) : weft_chan_send_until(c, p, deadline);

		RL_ASSERT(p->get() == v);
		if (rc == 0)
			was_sent(id, 0);
		return rc;
	}

	int recv(unsigned id, struct weft_chan *c, int64_t deadline = WEFT_FOREVER)
	{
		struct place *p = to_fill(id, 0);
		int rc = deadline == WEFT_FOREVER ? weft_chan_recv(c, p) : weft_chan_recv_until(c, p, deadline);

		if (rc == 0)
			was_filled(id, 0);
		else if (rc != WEFT_ECLOSED)
			RL_ASSERT(p->get() == BEFORE);
		return rc;
	}

	/* Which of two fired, whose places are 0 and 1 of thread id; of the other, and of both on an error, nothing has happened. */
	int pick(unsigned id, weft_case *cases, int64_t deadline = WEFT_FOREVER, unsigned flags = 0)
	{
		int held[] = {places[id][0].get(), places[id][1].get()}, rc = weft_chan_select_with(cases, 2, flags, deadline);

		for (int k = 0; k < 2; k++) {
			if (k != rc || cases[k].kind == WEFT_CASE_SEND)
				RL_ASSERT(places[id][k].get() == held[k]);
			if (k != rc || cases[k].status || cases[k].kind == WEFT_CASE_SOURCE)
				continue;
			if (cases[k].kind == WEFT_CASE_SEND)
				was_sent(id, k);
			else
				was_filled(id, k);
		}
		return rc;
	}

	/* Receives from a or b. */
	int recv_any(unsigned id, int64_t deadline = WEFT_FOREVER)
	{
		weft_case cases[] = {WEFT_RECV(a, to_fill(id, 0)), WEFT_RECV(b, to_fill(id, 1))};
		int rc = pick(id, cases, deadline);

		RL_ASSERT(rc < 0 || cases[rc].status == 0);
		return rc;
	}
};

/* Whichever comes second meets a waiter that was claimed, or the next select. */
template <typename suite, unsigned cap> struct two_receives : world<suite, 3, cap> {
	void thread(unsigned id)
	{
		if (id == 0)
			RL_ASSERT(this->recv_any(0) + this->recv_any(0) == 1);
		else
			RL_ASSERT(this->send(id, id == 1 ? this->a : this->b, (int)id) == 0);
	}
};

struct two_senders : two_receives<two_senders, 0> {
};

struct two_senders_with_room : two_receives<two_senders_with_room, 1> {
};

struct two_receivers : world<two_receivers, 3, 0> {
	void thread(unsigned id)
	{
		if (id == 0) {
			weft_case cases[] = {WEFT_SEND(b, to_send(0, 0, 1)), WEFT_SEND(a, to_send(0, 1, 2))};
			int rc = pick(0, cases);

			RL_ASSERT(rc >= 0 && cases[rc].status == 0);
			RL_ASSERT(send(0, rc ? b : a, 3) == 0);
		} else {
			RL_ASSERT(recv(id, id == 1 ? a : b) == 0);
		}
	}
};

/* What the one sends the other can receive; flags: of one of them. */
template <typename suite, unsigned flags> struct opposite : world<suite, 2, 0> {
	int fired[2];

	void thread(unsigned id)
	{
		struct weft_chan *mine = id ? this->b : this->a, *other = id ? this->a : this->b;
		weft_case cases[] = {WEFT_SEND(mine, this->to_send(id, 0, 1 + (int)id)), WEFT_RECV(other, this->to_fill(id, 1))};

		fired[id] = this->pick(id, cases, WEFT_FOREVER, id ? flags : 0);
		RL_ASSERT(cases[fired[id]].status == 0);
	}

	void after()
	{
		RL_ASSERT(fired[0] + fired[1] == 1 && this->given[1] + this->given[2] == 1);
		world<suite, 2, 0>::after();
	}
};

struct crossed : opposite<crossed, 0> {
};

struct crossed_in_order : opposite<crossed_in_order, WEFT_SELECT_ORDERED> {
};

struct never_itself : world<never_itself, 2, 0> {
	int fired[2];

	void thread(unsigned id)
	{
		weft_case cases[] = {WEFT_SEND(a, to_send(id, 0, 1 + (int)id)), WEFT_RECV(a, to_fill(id, 1))};

		fired[id] = pick(id, cases);
		RL_ASSERT(fired[id] == 0 || places[id][1].get() == 2 - (int)id);
	}

	void after()
	{
		RL_ASSERT(fired[0] + fired[1] == 1 && given[1] + given[2] == 1);
		world::after();
	}
};

struct closed_to_receiver : world<closed_to_receiver, 3, 0> {
	void thread(unsigned id)
	{
		if (id == 0) {
			weft_case cases[] = {WEFT_RECV(a, to_fill(0, 0)), WEFT_SEND(b, to_send(0, 1, 1))};
			int rc = pick(0, cases);

			if (rc == 0)
				RL_ASSERT(cases[0].status == WEFT_ECLOSED && places[0][0].get() == 0);
			else
				RL_ASSERT(rc == 1 && cases[1].status == 0);
		} else if (id == 1) {
			RL_ASSERT(weft_chan_close(a) == 0);
		} else {
			recv(2, b, FAR);
		}
	}
};

struct closed_to_sender : world<closed_to_sender, 3, 0> {
	void thread(unsigned id)
	{
		if (id == 0) {
			weft_case cases[] = {WEFT_SEND(a, to_send(0, 0, 1)), WEFT_RECV(b, to_fill(0, 1))};
			int rc = pick(0, cases);

			RL_ASSERT(rc == 0 ? cases[0].status == WEFT_ECLOSED : rc == 1 && cases[1].status == 0);
		} else if (id == 1) {
			RL_ASSERT(weft_chan_close(a) == 0);
		} else {
			send(2, b, 2, FAR);
		}
	}
};

/* Nothing was taken: it is still to be had. */
struct deadline : world<deadline, 2, 0> {
	void thread(unsigned id)
	{
		if (id)
			RL_ASSERT(send(1, a, 1) == 0);
		else if (recv_any(0, FAR) < 0)
			RL_ASSERT(recv(0, a) == 0);
	}
};

struct timer : world<timer, 3, 0> {
	void before()
	{
		world::before();
		tasks[0].watched = true;
	}

	void thread(unsigned id)
	{
		if (id == 1) {
			RL_ASSERT(send(1, a, 1) == 0);
		} else if (id == 2) {
			waiting_due(&tasks[0]);
		} else {
			int rc = recv_any(0, FAR);

			RL_ASSERT(rc == 0 || rc == WEFT_ETIMEDOUT);
			if (rc < 0)
				RL_ASSERT(recv(0, a) == 0);
		}
	}
};

/* Either it is cancelled and the sender's deadline passes, or the one takes what the other sends. */
struct canceled : world<canceled, 3, 0> {
	int rcs[3];

	void before()
	{
		world::before();
		tasks[0].watched = true;
	}

	void thread(unsigned id)
	{
		if (id == 1)
			waiting_cancel(&tasks[0]);
		else if (id == 2)
			rcs[2] = send(2, a, 2, FAR);
		else {
			weft_case cases[] = {WEFT_RECV(a, to_fill(0, 0)), WEFT_SEND(b, to_send(0, 1, 1))};

			rcs[0] = pick(0, cases);
		}
	}

	void after()
	{
		RL_ASSERT(rcs[0] == (rcs[2] ? WEFT_ECANCELED : 0));
		world::after();
	}
};

struct plain_receiver : world<plain_receiver, 3, 0> {
	void thread(unsigned id)
	{
		if (id == 0)
			RL_ASSERT(recv_any(0) == 0);
		else if (id == 1)
			RL_ASSERT(recv(1, a) == 0);
		else
			RL_ASSERT(send(2, a, 1) == 0 && send(2, a, 2) == 0);
	}
};

/* One of the two, or neither before the deadline. */
template <typename suite> struct with_source : world<suite, 3, 0> {
	int fired;

	void select(int64_t deadline)
	{
		weft_case cases[] = {
			WEFT_RECV(this->a, this->to_fill(0, 0)),
			WEFT_CASE_OF(WEFT_CASE_SOURCE, 0, {.on = (&this->event)}, {.elem = (0)}, {.source = (&event_source)}),
		};

		fired = this->pick(0, cases, deadline);
		RL_ASSERT(fired >= 0 ? cases[fired].status == 0 : fired == WEFT_ETIMEDOUT && deadline != WEFT_FOREVER);
	}

	void after()
	{
		RL_ASSERT(this->given[1] == (fired == 0));
		RL_ASSERT(this->event.fired == (fired == 1) && this->event.up == (fired != 1));
		world<suite, 3, 0>::after();
	}
};

struct a_source : with_source<a_source> {
	void thread(unsigned id)
	{
		if (id == 0)
			select(WEFT_FOREVER);
		else if (id == 1)
			event.raise();
		else
			send(2, a, 1, FAR);
	}
};

struct a_source_late : with_source<a_source_late> {
	void thread(unsigned id)
	{
		if (id == 0)
			select(FAR);
		else if (id == 1)
			event.raise();
		else
			send(2, a, 1, FAR);
	}
};

/* Somebody else may take first what it was woken for. */
struct false_alarm : with_source<false_alarm> {
	void thread(unsigned id)
	{
		if (id == 0)
			select(WEFT_FOREVER);
		else if (id == 1 || event.take())
			event.raise();
	}
};

static const struct scenario scenarios[] = {
	{"two receives against two senders", rl::simulate<two_senders>, 10000, 2},
	{"the same, with room", rl::simulate<two_senders_with_room>, 10000, 2},
	{"two sends against two receivers", rl::simulate<two_receivers>, 10000, 2},
	{"two selects, crossed", rl::simulate<crossed>, 10000, 4},
	{"two selects, crossed, one of them in order", rl::simulate<crossed_in_order>, 10000, 4},
	{"two selects that could pair with themselves", rl::simulate<never_itself>, 10000, 4},
	{"a receive and a send against close and a receiver", rl::simulate<closed_to_receiver>, 10000, 2},
	{"a send and a receive against close and a sender", rl::simulate<closed_to_sender>, 10000, 2},
	{"a deadline against a sender", rl::simulate<deadline>, 10000, 4},
	{"a timer against a sender", rl::simulate<timer>, 10000, 2},
	{"cancel against a sender", rl::simulate<canceled>, 10000, 2},
	{"a plain receive beside it", rl::simulate<plain_receiver>, 10000, 2},
	{"a source against a sender", rl::simulate<a_source>, 10000, 2},
	{"a source against a sender and a deadline", rl::simulate<a_source_late>, 10000, 2},
	{"a source that others take from", rl::simulate<false_alarm>, 10000, 2},
};

static const struct mutation mutations[] = {
	{CLAIM_UNASKED},
	{OTHERS_LISTED},
	{LEFT_LISTED},
	{ENDED_UNASKED},
	{UNSORTED},
	{ONE_LOCK},
	{SENDERS_FORGOTTEN},
	{RECEIVERS_FORGOTTEN},
	{NOT_CLAIMED},
	{ONLY_LISTED},
	{ALARMED},
	{"locking all channels does not acquire", "lock_take", "cas_acquire", "&l->word"},
	{"unlocking all channels does not release", "lock_drop", "swap_release", "&l->word"},
	{"locking does not acquire, without a frame", "lock_try_bare", "cas_acquire", "&l->word"},
	{"unlocking does not release, without a frame", "lock_drop_bare", "swap_release", "&l->word"},
	{"locking to close, or to withdraw, does not acquire", "lock_take_solo", "cas_acquire", "&l->word"},
	{"unlocking does not release then", "lock_drop_solo", "swap_release", "&l->word"},
	{"a wait is opened without release", "wait_open", "store_release", "w"},
	{"a timer does not acquire the wait it finds", "waiting_due", "load_acquire", "&t->wait"},
	{"who waits has no fence before it looks whether it is cancelled", "weft__wait_park", "fence", ""},
	{"who cancels has no fence", "waiting_cancel", "heavy", ""},
	{"a wake-up does not release", "weft__ready", "store_release", "&t->futex"},
	{"what is woken reads its status without acquire", "weft__wait_park", "load_acquire", "&t->futex"},
};

MODEL_MAIN(scenarios, mutations)
