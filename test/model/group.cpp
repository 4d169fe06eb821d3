/* SPDX-License-Identifier: MIT
 *
 * group.cpp - model of sync/group.h and of core/lot.c under it, as they are: who joins a group sees all that its children did, and when he has left, and used the
 * frame that the group lay in for something else, nobody touches it; places are never more than there are, and none is lost.
 *
 * The frame is a plain variable that everybody reads who touches the group's word, and who has joined writes: a late touch is a race.  A place that is lost,
 * and a wake-up, show as deadlocks.
 */
#include "waiting.h"

#include "lock.h"

#include "base/config.h"
#undef LOT_BUCKETS
#define LOT_BUCKETS 0 /* the table is the process's, and Relacy's atomics live in an execution */
#pragma GCC diagnostic ignored "-Wdiv-by-zero"
#include "core/lot.h"

struct weft_group {
	ATOMIC(uint64_t) weft__state;
	uint32_t weft__max;
	rl::var<int> frame;
};
typedef struct weft_group weft_group;

static weft_group *only;           /* of this execution */
static struct lot_bucket *buckets; /* two */
#define lot_bucket(key) (&buckets[(const void *)(key) != (const void *)only])
#define lot_mark(b) ((void)(b))
#include "core/lot.c"

#define LAST_UNLOCKED "the last one out takes no lock"
#define LAST_LATE "the last one out claims who joins after it has let go of the lock"
#define LAST_SILENT "the last one out wakes nobody"
#define ROOM_FORGOTTEN "who gives up a place does not look who waits for one"
#define ROOM_CLEARED "who hands his place on clears ROOM, whoever else waits"

static ATOMIC(uint64_t) *group_state(weft_group *g)
{
	(void)(int)g->frame($);
	return &g->weft__state;
}

static bool lock_skipped(const char *func)
{
	return !strcmp(func, "group_last_out") && MUTATED(LAST_UNLOCKED);
}

static struct inject_node *claim_all(struct lot_bucket *b, void *key, int status)
{
	if (MUTATED(LAST_SILENT))
		return NULL;
	if (MUTATED(LAST_LATE)) {
		lock_drop_solo(&b->lock);
		lock_take_solo(&b->lock, RANK_LOT);
	}
	return weft__lot_claim_all(b, key, status);
}

static struct waiter *next_waiter(struct lot_bucket *b, const void *key, bool first)
{
	if (first ? MUTATED(ROOM_FORGOTTEN) : MUTATED(ROOM_CLEARED))
		return NULL;
	return weft__lot_next(b, key, NULL);
}

#define lock_take_solo(l, rank) (lock_skipped(__func__) ? (void)0 : lock_take_solo(l, rank))
#define lock_drop_solo(l) (lock_skipped(__func__) ? (void)0 : lock_drop_solo(l))
#define weft__lot_claim_all(b, key, status) claim_all(b, key, status)
#define weft__lot_next(b, key, w) next_waiter(b, key, !next)
#include "sync/group.h"
#undef lock_take_solo
#undef lock_drop_solo
#undef weft__lot_claim_all
#undef weft__lot_next

struct subject {
	weft_group g;
	struct lot_bucket b[2];
	struct weft_task tasks[WAITING_THREADS];
	rl::var<int> did[WAITING_THREADS];

	/* So many places, so many taken. */
	void be_born(uint32_t max, unsigned taken)
	{
		waiting_reset(tasks);
		only = &g;
		buckets = b;
		for (int i = 0; i < 2; i++) {
			lock_reset(&b[i].lock);
			list_init(&b[i].waiters);
		}
		for (unsigned i = 0; i < WAITING_THREADS; i++)
			did[i]($) = 0;
		g.weft__max = max;
		g.frame($) = 0;
		store_relaxed(&g.weft__state, GROUP_OPEN + taken * (GROUP_ONE + GROUP_STARTED));
	}

	/* A child of this number does what it does, and ends. */
	void child(unsigned id)
	{
		did[id]($) = 1;
		group_leave(&g, NULL);
	}

	/* Who has joined finds this done, and the frame is his. */
	void joined(unsigned id)
	{
		RL_ASSERT(did[id]($) == 1);
		g.frame($) = 1;
	}

	void end(unsigned started)
	{
		uint64_t state = load_relaxed(&g.weft__state);

		RL_ASSERT(group_running(state) == 0);
		RL_ASSERT(state / GROUP_STARTED == started);
		for (int i = 0; i < 2; i++)
			RL_ASSERT(list_empty(&b[i].waiters));
	}
};

struct two_children : rl::test_suite<two_children, 3> {
	struct subject s;

	void before()
	{
		s.be_born(GROUP_MOST, 2);
	}

	void thread(unsigned id)
	{
		if (id < 2) {
			s.child(id);
			return;
		}
		RL_ASSERT(group_join(&s.g, WEFT_FOREVER) == 0);
		s.joined(0);
		s.joined(1);
	}

	void after()
	{
		s.end(2);
	}
};

/* Who joins is cancelled meanwhile, and closes the group then, as a block does that is left. */
struct cancelled : rl::test_suite<cancelled, 3> {
	struct subject s;

	void before()
	{
		s.be_born(GROUP_MOST, 1);
		s.tasks[1].watched = true;
	}

	void thread(unsigned id)
	{
		int rc;

		switch (id) {
		case 0:
			s.child(0);
			break;
		case 1:
			rc = group_join(&s.g, WEFT_FOREVER);
			RL_ASSERT(rc == 0 || rc == WEFT_ECANCELED);
			RL_ASSERT(group_shut(&s.g) == 0);
			s.joined(0);
			break;
		default:
			waiting_cancel(&s.tasks[1]);
		}
	}

	void after()
	{
		s.end(1);
		RL_ASSERT(!(load_relaxed(&s.g.weft__state) & GROUP_OPEN));
	}
};

/* The frame is used again at once, for another group: by one who was woken, or gave up waiting and then found that there was nobody to wait for. */
struct used_again : rl::test_suite<used_again, 3> {
	struct subject s;
	ATOMIC(int) second;

	void before()
	{
		s.be_born(GROUP_MOST, 1);
		store_relaxed(&second, 0);
	}

	void thread(unsigned id)
	{
		switch (id) {
		case 0:
			s.child(0);
			break;
		case 1:
			if (rl::rand(2))
				(void)group_join(&s.g, INT64_MAX - 1);
			RL_ASSERT(group_shut(&s.g) == 0);
			s.joined(0);
			store_relaxed(&s.g.weft__state, GROUP_OPEN + GROUP_ONE + GROUP_STARTED);
			store_release(&second, 1);
			RL_ASSERT(group_join(&s.g, WEFT_FOREVER) == 0);
			s.joined(2);
			break;
		default:
			while (!load_acquire(&second))
				rl::yield(1, $);
			s.child(2);
		}
	}

	void after()
	{
		s.end(1);
	}
};

/* One place, which is taken. */
struct one_place : rl::test_suite<one_place, 3> {
	struct subject s;
	rl::var<int> inside;

	void before()
	{
		s.be_born(1, 1);
		inside($) = 0;
	}

	void thread(unsigned id)
	{
		int rc = id ? group_take(&s.g, WEFT_FOREVER) : 0;

		RL_ASSERT(rc == 0 || rc == GROUP_HANDED);
		inside($) = inside($) + 1;
		s.child(id);
	}

	void after()
	{
		s.end(3);
		RL_ASSERT(inside($) == 3);
	}
};

/* The same, and one of those who wait for it has a deadline. */
struct deadline : rl::test_suite<deadline, 3> {
	struct subject s;
	ATOMIC(int) refused;

	void before()
	{
		s.be_born(1, 1);
		store_relaxed(&refused, 0);
	}

	void thread(unsigned id)
	{
		int rc = id ? group_take(&s.g, id == 1 ? INT64_MAX - 1 : WEFT_FOREVER) : 0;

		if (rc >= 0) {
			s.child(id);
			return;
		}
		RL_ASSERT(id == 1 && rc == WEFT_ETIMEDOUT);
		store_relaxed(&refused, 1);
	}

	void after()
	{
		s.end(3 - (unsigned)load_relaxed(&refused));
	}
};

/* Two places, both taken: one child starts another, and so waits for the other's end; all are joined. */
struct grandchild : rl::test_suite<grandchild, 3> {
	struct subject s;

	void before()
	{
		s.be_born(2, 2);
	}

	void thread(unsigned id)
	{
		switch (id) {
		case 0:
			s.child(0);
			break;
		case 1:
			RL_ASSERT(group_take(&s.g, WEFT_FOREVER) >= 0);
			s.child(1);
			s.child(2);
			break;
		default:
			RL_ASSERT(group_shut(&s.g) == 0);
			s.joined(0);
			s.joined(1);
			RL_ASSERT(s.did[2]($) == 1);
		}
	}

	void after()
	{
		s.end(3);
	}
};

static const struct scenario scenarios[] = {
	{"two children, and who joins", rl::simulate<two_children>, 100000, 2},
	{"who joins is cancelled, and closes", rl::simulate<cancelled>, 100000, 2},
	{"the frame is used again", rl::simulate<used_again>, 100000, 2},
	{"one place", rl::simulate<one_place>, 100000, 1},
	{"one place, and a deadline", rl::simulate<deadline>, 100000, 2},
	{"a child starts another", rl::simulate<grandchild>, 100000, 2},
};

static const struct mutation mutations[] = {
	{LAST_UNLOCKED},
	{LAST_LATE},
	{LAST_SILENT},
	{ROOM_FORGOTTEN},
	{ROOM_CLEARED},
	{LEFT_LISTED},
	{"taking and giving up a place do not acquire and release", "solo_cas64", "cas_acq_rel", "p"},
	{"the last one out does not acquire and release", "group_last_out", "cas_acq_rel", "group_state(g)"},
	{"who takes a place in the slow path does not acquire", "group_full", "cas_acq_rel", "group_state(g)"},
	{"who joins does not acquire", "group_runs", "load_acquire", "group_state(g)"},
	{"who closes does not acquire", "group_shut", "cas_acq_rel", "group_state(g)"},
	{"the bucket's lock does not release", "lock_drop_solo", "swap_release", "&l->word"},
	{"a wake-up does not release", "weft__ready", "store_release", "&t->futex"},
};

MODEL_MAIN(scenarios, mutations)
