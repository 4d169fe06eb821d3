/* SPDX-License-Identifier: MIT
 *
 * breaker.c - circuit breakers: a word that says the state, and a lock, under which it changes, with a window of what calls came to.
 *
 *   CLOSED -> OPEN          leave: the window, or failures in a row, say so          OPEN -> HALF_OPEN    enter, once `until` has passed
 *   HALF_OPEN -> OPEN       leave of the probe: it failed                            HALF_OPEN -> CLOSED  leave of the probe: enough have gone well
 *   any -> OPEN             trip                                                     any -> CLOSED        reset
 *
 * Each change begins a round; a pass knows its round, as the word was when it was made, and what a call of an earlier one came to is counted in the totals and
 * nowhere else. So a probe that was under way when somebody tripped the breaker cannot close it, and slow calls from before it opened cannot open it again.
 * Law: in HALF_OPEN at most one pass of this round is a probe that has not been left: `probing` is set with the pass, under the lock, and cleared by its leave or a new round.
 *
 * While it is closed, entering is a look at the word: who comes as it opens is let through, or not, as if a moment earlier or later. All else is done under the lock.
 *
 * The window is a ring of slots; a slot is one call, or a tenth of a span of time.  Its sums are kept beside it, so a call costs the same however wide it is.
 */
#include "weft/breaker.h"

#include "base/check.h"
#include "base/clock.h"
#include "core/runtime.h"
#include "weft/ctx.h"
#include "weft/defer.h"
#include <stdlib.h>
#include <string.h>

#define PARTS 10 /* of a window of time */
#define CALLS_MAX (1 << 20)

struct tally {
	uint32_t calls, failed, slow;
};

struct weft_breaker {
	struct lock lock; /* RANK_SOURCE; guards all that is not constant */
	ATOMIC(uint32_t) refs;
	weft_breaker_opts o;   /* constant, defaults filled in */
	ATOMIC(uint32_t) word; /* 31 .. 2: the round, how many changes there were; 1, 0: the state. Written under lock, read without */
	bool probing;          /* a probe of this round is under way */
	int32_t good;          /* probes of this half-open time that went well */
	int32_t in_a_row;      /* failures */
	int64_t until;         /* OPEN: no probe before it */
	int64_t open_for;      /* how long it was open by itself last time; 0: not since it was closed */
	struct tally sum;      /* of the window */
	int64_t part;          /* window of time: number of the part that `at` is */
	uint32_t at, slots;    /* the ring's newest; how many there are, constant */
	uint64_t refused, ended[WEFT_IGNORED + 1], opened;
	struct tally ring[]; /* a window of time: its parts; of calls: a byte each, of the bits below, 0: none yet */
};

#define CALL_MADE 1
#define CALL_FAILED 2
#define CALL_SLOW 4

static enum weft_outcome judge_default(int rc, void *arg)
{
	(void)arg;
	if (rc >= 0)
		return WEFT_OK;
	return rc == WEFT_ECANCELED || rc == WEFT_EOPEN || rc == WEFT_EOVERLOAD || rc == WEFT_EINVAL ? WEFT_IGNORED : WEFT_FAILED;
}

static bool valid(const weft_breaker_opts *o)
{
	return o->in_a_row >= 0 && o->failed >= 0 && o->failed <= 100 && o->slow >= 0 && o->slow <= 100 && o->slow_from >= 0 &&
	       !o->slow == !o->slow_from && (o->in_a_row || o->failed || o->slow) && o->calls >= 0 && o->calls <= CALLS_MAX &&
	       o->window >= 0 && !(o->calls && o->window) && o->least >= 0 && o->open_for >= 0 && o->open_most >= 0 && o->probes >= 0;
}

int weft_breaker_make(weft_breaker **out, const weft_breaker_opts *o)
{
	weft_breaker_opts with;
	weft_breaker *b;
	size_t slots, bytes;

	if (out)
		*out = NULL;
	if (!out || !o || !valid(o))
		return WEFT_EINVAL;
	with = *o;
	with.calls = o->calls || o->window ? o->calls : 100;
	with.least = o->least ? o->least : with.calls && with.calls < 10 ? with.calls : 10;
	with.open_for = o->open_for ? o->open_for : WEFT_SEC;
	with.open_most = o->open_most > with.open_for ? o->open_most : with.open_for;
	with.probes = o->probes ? o->probes : 1;
	if (!with.judge)
		with.judge = judge_default;
	slots = with.calls ? (size_t)with.calls : PARTS;
	bytes = with.calls ? slots : slots * sizeof(struct tally);
	b = calloc(1, sizeof *b + bytes);
	if (!b)
		return WEFT_ENOMEM;
	b->o = with;
	b->slots = (uint32_t)slots;
	store_relaxed(&b->refs, 1u); /* not shared yet */
	*out = b;
	return 0;
}

weft_breaker *weft_breaker_ref(weft_breaker *b)
{
	add_relaxed(&b->refs, 1u); /* the caller's own reference keeps it */
	return b;
}

void weft_breaker_free(weft_breaker *b)
{
	if (b && add_acq_rel(&b->refs, (uint32_t)-1) == 1) /* acquire and release: the last one sees all */
		free(b);
}

static enum weft_breaker_state state_in(uint32_t word)
{
	return (enum weft_breaker_state)(word % 4);
}

/* Locked. */
static enum weft_breaker_state state_of(const weft_breaker *b)
{
	return state_in(load_relaxed(&b->word)); /* changes under the lock only */
}

static void lock(weft_breaker *b)
{
	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&b->lock, RANK_SOURCE);
}

/* --- the window; all of it locked --- */

static void forget(weft_breaker *b)
{
	memset(b->ring, 0, b->o.calls ? b->slots : b->slots * sizeof(struct tally));
	b->sum = (struct tally){.calls = 0};
	b->in_a_row = 0;
}

/* The parts that the window has left behind are empty again. */
static void move_on(weft_breaker *b, int64_t now)
{
	int64_t part = now / (b->o.window / PARTS + 1), gone = part - b->part;

	if (gone <= 0) /* a clock that was faked may go back */
		return;
	b->part = part;
	for (int64_t i = 0; i < gone && i < PARTS; i++) {
		struct tally *t;

		b->at = (b->at + 1) % PARTS;
		t = &b->ring[b->at];
		b->sum.calls -= t->calls;
		b->sum.failed -= t->failed;
		b->sum.slow -= t->slow;
		*t = (struct tally){.calls = 0};
	}
}

static void count(weft_breaker *b, bool failed, bool slow, int64_t now)
{
	if (b->o.calls) {
		uint8_t *slot = (uint8_t *)b->ring + b->at;

		b->sum.calls -= *slot != 0;
		b->sum.failed -= (*slot & CALL_FAILED) != 0;
		b->sum.slow -= (*slot & CALL_SLOW) != 0;
		*slot = (uint8_t)(CALL_MADE | (failed ? CALL_FAILED : 0) | (slow ? CALL_SLOW : 0));
		b->at = b->at + 1 == b->slots ? 0 : b->at + 1;
	} else {
		struct tally *t;

		move_on(b, now);
		t = &b->ring[b->at];
		t->calls++;
		t->failed += failed;
		t->slow += slow;
	}
	b->sum.calls++;
	b->sum.failed += failed;
	b->sum.slow += slow;
	b->in_a_row = failed ? b->in_a_row + 1 : 0;
}

static bool too_many(uint32_t n, uint32_t of, int percent)
{
	return percent && (uint64_t)n * 100 >= (uint64_t)of * (uint32_t)percent;
}

static bool opens(const weft_breaker *b)
{
	if (b->o.in_a_row && b->in_a_row >= b->o.in_a_row)
		return true;
	return b->sum.calls >= (uint32_t)b->o.least &&
	       (too_many(b->sum.failed, b->sum.calls, b->o.failed) || too_many(b->sum.slow, b->sum.calls, b->o.slow));
}

/* --- changes --- */

/* Locked. What is to be told of it goes to c. */
static void change(weft_breaker *b, enum weft_breaker_state to, int64_t now, int64_t until, weft_breaker_change *c)
{
	uint32_t number = load_relaxed(&b->word) / 4 + 1; /* as in state_of */

	*c = (weft_breaker_change){.breaker = b, .from = state_of(b), .to = to, .number = number, .when = now, .until = until};
	store_release(
		&b->word,
		number * 4 +
			(uint32_t)to); /* pairs with load_acquire in weft_breaker_enter: what led to it is seen by who is let through */
	b->probing = false;
	b->good = 0;
	b->until = until;
	if (to == WEFT_BREAKER_OPEN)
		b->opened++;
	if (to == WEFT_BREAKER_CLOSED) {
		b->open_for = 0;
		forget(b);
	}
}

/* Locked. By itself, each time for longer. */
static void open_up(weft_breaker *b, int64_t now, weft_breaker_change *c)
{
	if (!b->open_for)
		b->open_for = b->o.open_for;
	else
		b->open_for = b->open_for > b->o.open_most / 2 ? b->o.open_most : b->open_for * 2;
	change(b, WEFT_BREAKER_OPEN, now, clock_add(now, b->open_for), c);
}

/* Unlocks, and tells the listener what has changed, if anything has. */
static void unlock(weft_breaker *b, const weft_breaker_change *c)
{
	lock_drop_solo(&b->lock);
	if (unlikely(c->breaker && b->o.changed))
		b->o.changed(c, b->o.arg);
}

/* --- calls --- */

/* Locked, and not closed. Whether the caller may be the probe. */
static bool may_probe(weft_breaker *b, int64_t now, weft_breaker_change *c)
{
	if (state_of(b) == WEFT_BREAKER_OPEN) {
		if (now < b->until || b->until == WEFT_FOREVER)
			return false;
		change(b, WEFT_BREAKER_HALF_OPEN, now, 0, c);
	}
	return !b->probing;
}

/* It was not closed an instant ago. */
NOINLINE static int enter_slow(weft_breaker *b, weft_pass *p, int64_t now)
{
	weft_breaker_change c = {.breaker = NULL};
	bool may = true, probe = false;

	if (!now)
		now = clock_now();
	lock(b);
	if (state_of(b) != WEFT_BREAKER_CLOSED)
		may = probe = may_probe(b, now, &c);
	if (may) {
		b->probing |= probe;
		*p = (weft_pass){.weft__round = load_relaxed(&b->word), .weft__probe = probe, .weft__began = now}; /* as in state_of */
	} else {
		b->refused++;
	}
	unlock(b, &c);
	return may ? 0 : WEFT_EOPEN;
}

int weft_breaker_enter(weft_breaker *b, weft_pass *p)
{
	uint32_t word;
	int64_t now;
	int rc;

	if (unlikely(!b || !p))
		return WEFT_EINVAL;
	rc = weft_ctx_check();
	if (unlikely(rc))
		return rc;
	now = b->o.slow || b->o.window ? clock_now() : 0;
	word = load_acquire(&b->word); /* pairs with store_release in change */
	if (unlikely(state_in(word) != WEFT_BREAKER_CLOSED))
		return enter_slow(b, p, now);
	*p = (weft_pass){.weft__round = word, .weft__probe = false, .weft__began = now};
	return 0;
}

/* Locked. The probe has ended. */
static void probed(weft_breaker *b, enum weft_outcome how, bool slow, int64_t now, weft_breaker_change *c)
{
	b->probing = false;
	if (how == WEFT_IGNORED)
		return;
	if (how == WEFT_FAILED || slow)
		open_up(b, now, c);
	else if (++b->good >= b->o.probes)
		change(b, WEFT_BREAKER_CLOSED, now, 0, c);
}

void weft_breaker_leave(weft_breaker *b, weft_pass *p, enum weft_outcome how)
{
	weft_breaker_change c = {.breaker = NULL};
	int64_t now = p->weft__began ? clock_now() : 0;
	bool slow = b->o.slow && now - p->weft__began >= b->o.slow_from;

	if (unlikely((unsigned)how > WEFT_IGNORED))
		weft__fatal("weft_breaker_leave: %d is no outcome", (int)how);
	lock(b);
	b->ended[how]++;
	if (unlikely(p->weft__round != load_relaxed(&b->word))) { /* as in state_of */
		unlock(b, &c);
		return;
	}
	if (unlikely(p->weft__probe)) {
		probed(b, how, slow, clock_now(), &c);
	} else if (how != WEFT_IGNORED) {
		count(b, how == WEFT_FAILED, slow, now);
		if (unlikely(opens(b)))
			open_up(b, clock_now(), &c);
	}
	unlock(b, &c);
}

/* A call that is being made, in its frame. */
struct call {
	weft_breaker *b;
	weft_pass p;
	enum weft_outcome how;
};

static void end_call(void *arg)
{
	struct call *c = arg;

	weft_breaker_leave(c->b, &c->p, c->how);
}

int weft_breaker_call(weft_breaker *b, weft_task_fn *fn, void *arg)
{
	struct call c = {.b = b, .how = WEFT_IGNORED};
	weft_defer d;
	int rc;

	if (!fn)
		return WEFT_EINVAL;
	rc = weft_breaker_enter(b, &c.p);
	if (rc)
		return rc;
	weft__defer_push(&d, end_call, &c);
	rc = fn(arg);
	c.how = b->o.judge(rc, b->o.arg);
	if (c.how == WEFT_FAILED && weft_ctx_check() == WEFT_ECANCELED)
		c.how = WEFT_IGNORED;
	weft__defer_end(&d);
	return rc;
}

/* --- by hand --- */

int weft_breaker_trip(weft_breaker *b, int64_t ns)
{
	weft_breaker_change c;
	int64_t now = clock_now();

	if (!b || ns < 0)
		return WEFT_EINVAL;
	lock(b);
	change(b, WEFT_BREAKER_OPEN, now, ns ? clock_add(now, ns) : WEFT_FOREVER, &c);
	unlock(b, &c);
	return 0;
}

int weft_breaker_reset(weft_breaker *b)
{
	weft_breaker_change c;

	if (!b)
		return WEFT_EINVAL;
	lock(b);
	change(b, WEFT_BREAKER_CLOSED, clock_now(), 0, &c);
	unlock(b, &c);
	return 0;
}

enum weft_breaker_state weft_breaker_stateof(weft_breaker *b)
{
	return state_in(load_acquire(&b->word)); /* as in weft_breaker_enter */
}

void weft_breaker_stat(weft_breaker *b, weft_breaker_stats *out)
{
	int64_t now = clock_now();

	lock(b);
	if (b->o.window)
		move_on(b, now);
	*out = (weft_breaker_stats){
		.state = state_of(b),
		.until = state_of(b) == WEFT_BREAKER_OPEN ? b->until : 0,
		.probing = b->probing,
		.calls = (int)b->sum.calls,
		.failed = (int)b->sum.failed,
		.slow = (int)b->sum.slow,
		.in_a_row = b->in_a_row,
		.refused = b->refused,
		.ok = b->ended[WEFT_OK],
		.failures = b->ended[WEFT_FAILED],
		.ignored = b->ended[WEFT_IGNORED],
		.opened = b->opened,
	};
	lock_drop_solo(&b->lock);
}
