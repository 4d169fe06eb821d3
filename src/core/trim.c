/* SPDX-License-Identifier: MIT
 *
 * trim.c - gives back the pages that tasks which wait for long have below their stack pointers.
 *
 * A task that was deep in calls once, and waits in a shallow one now, keeps all pages that it has touched.  The monitor passes over the records (by slices, for no longer than
 * TRIM_BUSY_NS a look) and notes of each task that waits which wait it is; one that the next pass, `every` ns later, finds in the same wait has been there for that
 * long: its pages go, but for those from its stack pointer (less ARCH_RED_ZONE) up.  How deep it was is not asked: giving back what is not there is quicker than any way of
 * finding that out.  That is done once a wait.  Nothing is added to what tasks do.
 *
 * The monitor never wakes for it, nor stays awake.  So before it sleeps because nobody has run for a while, it passes over all once more, and takes every wait for a long one;
 * unless it has done so not long before: the next such pass comes when TRIM_SHARE times as long as this one took is over, so that a process which falls asleep and wakes all the time does not spend that on what
 * it is about to use again.
 *
 * The stack is the trimmer's while it holds the task's on_cpu and the wait is the one that was seen, looked at behind a membarrier: core/oncpu.h.  Without membarrier there is no trimming. A taker waits until
 * the stacks that are held before its own are trimmed: for HOLD_NS, and the one in hand, at most, if others run.
 *
 * Rejected: to wake once more for the second pass (an idle process does not wake), to look at mincore first (it costs more than it saves), to claim the wait (who loses that claim believes that the task runs), a flag that takers look at (an instruction a switch).
 *
 * Models: test/model/trim.cpp, test/model/trim.pml.
 */
#include "core/trim.h"

#include "base/asym.h"
#include "base/clock.h"
#include "core/oncpu.h"
#include "core/recslab.h"
#include "core/runtime.h"
#include "core/stackpool.h"
#include "core/stackuse.h"
#include "core/task.h"

#include <sys/mman.h>

#define HOLD_MAX 16        /* tasks held at once: a membarrier for all of them */
#define HOLD_NS (100 * US) /* ... for so long, but for the stack in hand */
#define STEP 64            /* records between two looks at the clock */

#define SEEN_DONE 1 /* of seen[]: this wait has been dealt with; the rest are the lowest bits of its sequence */

static ATOMIC(uint32_t) holding; /* oncpu.h: one holder at a time */

/* What a slice has found, and not dealt with yet. */
struct found {
	struct trim *m;
	bool eager; /* every wait is a long one */
	unsigned n;
	struct weft_task *task[HOLD_MAX];
	uint64_t word[HOLD_MAX]; /* its open wait */
};

int weft__trim_up(struct trim *m, unsigned home, int64_t every)
{
	size_t size = page_size();
	void *seen;

	if (!weft__asym_on || every <= 0)
		return 0;
	seen = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (seen == MAP_FAILED)
		return WEFT_ENOMEM;
	m->seen = seen;
	m->known = (uint32_t)(size / sizeof *m->seen);
	m->home = (uint8_t)home;
	m->every = every;
	m->last = weft__clock_read();
	m->again = true;
	return 0;
}

void weft__trim_down(struct trim *m)
{
	if (m->every)
		munmap(m->seen, m->known * sizeof *m->seen);
	m->every = 0;
}

static void give_back(struct weft_task *t)
{
	uintptr_t to = ((uintptr_t)t->ctx.sp - ARCH_RED_ZONE) & ~(page_size() - 1), from = (uintptr_t)t->stack->lo;

	if (to > (uintptr_t)t->stack->hi)
		return; /* it waits on a stack of the user's own */
	if (unlikely(weft__stackuse_on))
		weft__stackuse_seen(t, t->stack);
	if (to > from)
		madvise((void *)from, to - from, MADV_DONTNEED); /* locked memory refuses, and keeps its pages */
}

/* Those that were found, and wait as they did. */
static void deal(struct found *f)
{
	struct trim *m = f->m;
	bool held[HOLD_MAX];
	int64_t until;

	if (swap_acquire(&holding, 1u)) { /* pairs with the release below */
		m->again = true;
		f->n = 0;
		return;
	}
	for (unsigned i = 0; i < f->n; i++)
		held[i] = oncpu_hold(&f->task[i]->on_cpu);
	until = f->eager ? INT64_MAX : weft__clock_read() + HOLD_NS;
	asym_heavy(); /* pairs with compiler_barrier in oncpu_busy, between a claim and a look at on_cpu */
	for (unsigned i = 0; i < f->n; i++) {
		struct weft_task *t = f->task[i];

		if (!held[i]) {
			m->again = true;
			continue;
		}
		if (weft__clock_read() > until) {
			m->again = true;                           /* in the next pass */
		} else if (load_acquire(&t->wait) == f->word[i]) { /* pairs with store_release in wait_open; behind the fence */
			give_back(t);
			m->seen[rec_index(t)] |= SEEN_DONE;
			store_relaxed(&m->stacks, load_relaxed(&m->stacks) + 1); /* a figure */
		}
		oncpu_let_go(&t->on_cpu);
	}
	store_release(&holding, 0u); /* pairs with swap_acquire above */
	f->n = 0;
}

static bool visit(void *rec, void *arg)
{
	struct found *f = arg;
	struct trim *m = f->m;
	struct weft_task *t = rec;
	uint32_t i = rec_index(rec);
	uint64_t word;
	uint16_t seen;

	if (i >= m->known || load_relaxed(&t->state) != WEFT_TASK_PARKED || task_is(t, TASK_FOREIGN) ||
	    load_relaxed(&t->home) != m->home) /* looks */
		return true;
	word = load_acquire(&t->wait); /* pairs with store_release in wait_open: on_cpu was set before */
	if (!wait_is_open(word))
		return true;
	seen = (uint16_t)(wait_seq(word) << 1);
	if (m->seen[i] == (seen | SEEN_DONE))
		return true;
	if (m->seen[i] != seen) {
		m->seen[i] = seen;
		if (!f->eager) {
			m->again = true;
			return true;
		}
	}
	f->task[f->n] = t;
	f->word[f->n++] = word;
	if (f->n == HOLD_MAX)
		deal(f);
	return true;
}

/* Room for all records that there are. Those it fails for are left out. */
static void make_room(struct trim *m)
{
	uint32_t n = m->known;
	void *seen;

	while (n < weft__rec_numbers() && n <= UINT32_MAX / 2)
		n *= 2; /* whole pages stay whole */
	if (n == m->known)
		return;
	seen = mremap(m->seen, m->known * sizeof *m->seen, n * sizeof *m->seen, MREMAP_MAYMOVE); /* what is new reads as zeros */
	if (seen == MAP_FAILED)
		return;
	m->seen = seen;
	m->known = n;
}

/* Until the slice is over, or the pass. Returns the time then. */
static int64_t go_on(struct trim *m, bool eager, int64_t now, int64_t slice)
{
	struct found f;
	int64_t end;

	f.m = m;
	f.eager = eager;
	f.n = 0;
	if (!m->at) {
		make_room(m);
		m->again = false;
		m->eager = eager;
		m->took = 0;
	}
	do {
		m->at = weft__rec_walk(m->at, STEP, visit, &f);
		end = weft__clock_read();
	} while (m->at && end - now < slice);
	if (f.n)
		deal(&f);
	m->took += end - now;
	if (!m->at)
		m->last = end;
	return end;
}

void weft__trim_look(struct trim *m, int64_t now, int64_t slice)
{
	if (!m->every || (!m->at && (!m->again || now - m->last < m->every)))
		return;
	m->eager = false;
	(void)go_on(m, false, now, slice);
}

bool weft__trim_idle(struct trim *m, int64_t now)
{
	int64_t end;

	if (!m->every)
		return false;
	if (!m->eager)
		m->at = 0; /* a pass that was not finished: what it has noted is long enough now */
	if (!m->at && (!m->again || now < m->next))
		return false;
	end = go_on(m, true, now, TRIM_IDLE_NS);
	if (m->at)
		return true;
	m->next = end + TRIM_SHARE * m->took;
	return false;
}
