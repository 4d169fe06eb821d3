/* SPDX-License-Identifier: MIT
 *
 * hazard.cpp - model of weft/lf/hazard.h and weft/lf/ms.h: nobody touches what has been freed, all that is retired is freed in the end, and the queue
 * neither loses nor doubles a value nor changes their order.
 *
 * The end of an object's memory is a plain write: an access that is not ordered before it is a data race, also where it was in time by luck. Every atomic of
 * a node reads the same word (struct mortal). A guard scans at each retirement, the most that can happen.
 *
 * Not noticed when weakened: load_acquire(&last->next) and cas_release(&q->tail) in weft_ms_push_node, where a thread passes on what it has seen without a
 * fence between. C11 wants them; Relacy lets each fence synchronise with all before it, and there is one in every round.
 */
#include "mortal.h"

#undef ATOMIC
#define ATOMIC(T) mortal<T>

#define WEFT_HP_BATCH 0
#include "weft/lf/ms.h"

#define GUARDS 3

/* A domain whose guards are not malloc'ed, and in which each retirement scans. */
struct domain {
	struct weft_hp_domain d;
	struct weft_hp guard[GUARDS];

	void be_born()
	{
		weft_hp_domain_init(&d);
	}

	/* By the thread that will hold it. */
	struct weft_hp *join(unsigned i)
	{
		weft__hp_list(&d, &guard[i]);
		store_relaxed(&d.nguards, (size_t)0);
		return &guard[i];
	}

	/* When all others have ended. */
	void end()
	{
		for (struct weft_hp *g = load_relaxed(&d.guards); g; g = g->next) {
			weft_hp_scan(g);
			RL_ASSERT(weft_hp_retired(g) == 0);
		}
	}
};

/* --- Hazard pointers alone -------------------------------------------------------------------------------------------------- */

struct object {
	struct weft_hp_node hp;
	ATOMIC(int) word; /* 1 + its number */
	bool freed;

	void be_born(int v)
	{
		word.be_born();
		store_relaxed(&word, v);
		freed = false;
	}
};

static void object_free(struct weft_hp_node *n)
{
	struct object *o = (struct object *)n;

	o->word.die();
	o->freed = true;
}

static struct object *protect(struct weft_hp *hp, unsigned i, WEFT_ATOMIC(void *) * from)
{
	void *p;

	if (MUTATED("there is no second look")) {
		p = load_acquire(from);
		weft_hp_set(hp, i, p);
		return (struct object *)p;
	}
	if (MUTATED("nothing is put into a slot"))
		return (struct object *)load_acquire(from);
	return (struct object *)weft_hp_protect(hp, i, from);
}

/* Puts o there and retires what was there. */
static void replace(struct weft_hp *hp, WEFT_ATOMIC(void *) * at, struct object *o)
{
	void *was = load_relaxed(at);

	while (!cas_acq_rel(at, &was, (void *)o))
		;
	if (MUTATED("it is freed at once"))
		object_free((struct weft_hp_node *)was);
	else
		weft_hp_retire(hp, (struct weft_hp_node *)was, object_free);
}

/* One looks, twice, at what another replaces, twice. The second time it may be the first object again, freed and made anew. The guards are made as they
 * come. */
struct look : rl::test_suite<look, 2> {
	struct domain d;
	struct object o[3];
	ATOMIC(void *) shared;
	bool again;

	void before()
	{
		d.be_born();
		for (int i = 0; i < 3; i++)
			o[i].be_born(1 + i);
		store_relaxed(&shared, (void *)&o[0]);
	}

	void thread(unsigned id)
	{
		struct weft_hp *hp = d.join(id);
		struct object *p;
		int last = 0;

		if (id == 0) {
			for (int i = 0; i < 2; i++) {
				int v;

				p = protect(hp, 0, &shared);
				v = load_relaxed(&p->word);
				RL_ASSERT(v >= last); /* newer, or the same */
				last = v;
			}
			weft_hp_clear(hp, 0);
		} else {
			replace(hp, &shared, &o[1]);
			again = o[0].freed;
			if (again)
				o[0].be_born(3);
			replace(hp, &shared, again ? &o[0] : &o[2]);
		}
	}

	void after()
	{
		d.end();
		RL_ASSERT(o[0].freed == !again && o[1].freed && !o[2].freed);
	}
};

/* One looks and stays; another replaces, and gives its guard with what is retired to a third, which scans. */
struct hand_over : rl::test_suite<hand_over, 3> {
	struct domain d;
	struct object o[3];
	ATOMIC(void *) shared;

	void before()
	{
		d.be_born();
		for (int i = 0; i < 3; i++)
			o[i].be_born(1 + i);
		store_relaxed(&shared, (void *)&o[0]);
		weft_hp_release(d.join(2));
	}

	void thread(unsigned id)
	{
		struct weft_hp *hp;

		if (id == 0) {
			hp = d.join(0);
			RL_ASSERT(load_relaxed(&protect(hp, 0, &shared)->word) >= 1);
			weft_hp_release(hp);
			return;
		}
		hp = weft__hp_find(&d.d);
		if (!hp) /* the other has it just now */
			return;
		replace(hp, &shared, &o[id]);
		weft_hp_release(hp);
	}

	void after()
	{
		int left = 0;

		d.end();
		for (int i = 0; i < 3; i++)
			left += !o[i].freed;
		RL_ASSERT(left == 1 || left == 2); /* the one there, and one that was never put there */
	}
};

/* --- Michael and Scott's queue ---------------------------------------------------------------------------------------------- */

#define NODES 3

struct queue {
	struct domain d;
	struct weft_ms q;
	struct weft_ms_node node[1 + NODES]; /* the first is the first dummy */
	rl::var<int> payload[NODES];
	int got[NODES];

	void be_born()
	{
		d.be_born();
		for (int i = 0; i < GUARDS; i++)
			d.join(i);
		node[0].next.be_born();
		for (int i = 0; i < NODES; i++)
			got[i] = 0;
		weft_ms_init_nodes(&q, &node[0], node_free);
	}

	static void node_free(struct weft_hp_node *n)
	{
		((struct weft_ms_node *)n)->next.die();
	}

	void push(unsigned guard, int i)
	{
		payload[i]($) = 100 + i;
		node[1 + i].next.be_born(); /* here, so that whoever looks into it must have heard of this */
		weft_ms_push_node(&q, &d.guard[guard], &node[1 + i], &payload[i]);
	}

	/* The number of what came out, or -1. */
	int pop(unsigned guard)
	{
		void *p;
		int i;

		if (!weft_ms_pop(&q, &d.guard[guard], &p))
			return -1;
		i = (int)((rl::var<int> *)p - payload);
		RL_ASSERT(payload[i]($) == 100 + i);
		got[i]++;
		RL_ASSERT(got[i] == 1);
		return i;
	}

	void end()
	{
		while (pop(0) >= 0)
			;
		for (int i = 0; i < NODES; i++)
			RL_ASSERT(got[i] == 1);
		d.end();
		weft_ms_destroy(&q); /* the dummy */
		for (int i = 0; i < 1 + NODES; i++)
			RL_ASSERT(node[i].next.memory($) == 0);
	}
};

/* One pushes three, two pop: in order, for each of them. */
struct one_to_two : rl::test_suite<one_to_two, 3> {
	struct queue q;

	void before()
	{
		q.be_born();
	}

	void thread(unsigned id)
	{
		int a, b;

		if (id == 0) {
			q.push(0, 0);
			q.push(0, 1);
			q.push(0, 2);
		} else {
			a = q.pop(id);
			b = q.pop(id);
			RL_ASSERT(b < 0 || b > a);
		}
	}

	void after()
	{
		q.end();
	}
};

/* Two push, one pops: those of one in order. */
struct two_to_one : rl::test_suite<two_to_one, 3> {
	struct queue q;

	void before()
	{
		q.be_born();
	}

	void thread(unsigned id)
	{
		int a, b;

		if (id == 0) {
			q.push(0, 0);
			q.push(0, 1);
		} else if (id == 1) {
			q.push(1, 2);
		} else {
			a = q.pop(2);
			b = q.pop(2);
			RL_ASSERT(!(a == 1 || (a == 2 && b == 1))); /* 1 not before 0 */
		}
	}

	void after()
	{
		q.end();
	}
};

/* Three push: a tail that one left behind is passed on by another to the third. */
struct three_push : rl::test_suite<three_push, 3> {
	struct queue q;

	void before()
	{
		q.be_born();
	}

	void thread(unsigned id)
	{
		q.push(id, (int)id);
	}

	void after()
	{
		q.end();
	}
};

static const struct scenario scenarios[] = {
	{"one looks, one replaces", rl::simulate<look>, 30000, 2}, {"a guard goes from hand to hand", rl::simulate<hand_over>, 30000, 0},
	{"queue: three push", rl::simulate<three_push>, 30000, 2}, {"queue: one to two", rl::simulate<one_to_two>, 30000, 0},
	{"queue: two to one", rl::simulate<two_to_one>, 30000, 1},
};

static const struct mutation mutations[] = {
	{"it is freed at once"},
	{"there is no second look"},
	{"nothing is put into a slot"},
	{"protecting without a fence", "weft_hp_set", "fence", ""},
	{"scanning without a fence", "weft_hp_scan", "fence", ""},
	{"what was in a slot is let go without release", "weft_hp_set", "store_release", "&hp->slot[i]"},
	{"a slot is cleared without release", "weft_hp_clear", "store_release", "&hp->slot[i]"},
	{"a scan reads slots without acquire", "weft_hp_scan", "load_acquire", "&g->slot[i]"},
	{"the second look of a scan does not acquire", "weft__hp_protected", "load_acquire", "&g->slot[i]"},
	{"what is protected is not acquired", "weft_hp_protect", "load_acquire", "from"},
	{"a guard is listed without release", "weft__hp_list", "cas_release", "&d->guards"},
	{"a scan reads the guards without acquire", "weft_hp_scan", "load_acquire", "&hp->domain->guards"},
	{"a guard is given back without release", "weft_hp_release", "store_release", "&hp->held"},
	{"a guard is taken without acquire", "weft__hp_find", "cas_acquire", "&g->held"},
};

MODEL_MAIN(scenarios, mutations)
