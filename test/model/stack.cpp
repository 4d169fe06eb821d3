/* SPDX-License-Identifier: MIT
 *
 * stack.cpp - model of weft/lf/stack.h and weft/lf/tagged.h: a node is in one pair of hands at a time, or in the stack once.
 *
 * Whoever takes a node reads and writes its payload plainly, so a node in two hands, or handed over without order, is a data race even where it went well
 * by luck. Nodes come back in the same order (ABA) in most scenarios. Slots are one, so that all meet there.
 */
#include "model.h"

/* The real tags, unless a mutation takes bits from them. */
#define weft_tagged weft_tagged_whole
#include "weft/lf/tagged.h"
#undef weft_tagged

static inline uint64_t weft_tagged(const void *p, uint64_t tag)
{
	if (MUTATED("pushes are not counted"))
		tag = 0;
	if (MUTATED("offers are not counted"))
		tag &= 3;
	return weft_tagged_whole(p, tag);
}

#define WEFT_ESTACK_SLOTS 1
#define WEFT_ESTACK_SPINS 1
#define WEFT_ESTACK_SPINS_MAX 1
#include "weft/lf/stack.h"

#define NODES 3

struct node {
	struct weft_stack_node link;
	rl::var<int> payload;
	int held;
};

/* Nodes, and who holds them. Node 0 is the lowest in the stack at the beginning. */
struct nodes {
	struct node node[NODES];

	void be_born()
	{
		for (int i = 0; i < NODES; i++) {
			node[i].payload($) = 0;
			node[i].held = 1;
		}
	}

	/* Before it is given away. */
	struct weft_stack_node *give(struct node *n)
	{
		n->payload($) = n->payload($) + 1;
		RL_ASSERT(n->held == 1);
		n->held = 0;
		return &n->link;
	}

	struct node *got(struct weft_stack_node *l)
	{
		struct node *n = (struct node *)l;

		if (!n)
			return NULL;
		RL_ASSERT(n->held == 0);
		n->held = 1;
		n->payload($) = n->payload($) + 1;
		return n;
	}

	void all_held()
	{
		for (int i = 0; i < NODES; i++)
			RL_ASSERT(node[i].held == 1);
	}
};

/* The stack and the steps that a mutation changes. */
static struct weft_stack_node *pop_all(struct weft_stack *s)
{
	if (MUTATED("taking all begins to count anew"))
		return (struct weft_stack_node *)weft_tagged_ptr(swap_acquire(&s->top, (uint64_t)0));
	return weft_stack_pop_all(s);
}

/* Two nodes. One thread pops; another pops both and pushes the upper one back: the same node on top, another one below. */
struct aba : rl::test_suite<aba, 2> {
	struct weft_stack s;
	struct nodes n;

	void before()
	{
		n.be_born();
		weft_stack_init(&s);
		weft_stack_push(&s, n.give(&n.node[0]));
		weft_stack_push(&s, n.give(&n.node[1]));
	}

	void thread(unsigned id)
	{
		if (id == 0) {
			n.got(weft_stack_pop(&s));
		} else {
			struct node *a = n.got(weft_stack_pop(&s));

			n.got(weft_stack_pop(&s));
			if (a)
				weft_stack_push(&s, n.give(a));
		}
	}

	void after()
	{
		struct weft_stack_node *l;

		while ((l = weft_stack_pop(&s)) != NULL)
			n.got(l);
		n.node[2].held = 1;
		n.all_held();
	}
};

/* The same where all are taken at once, and another node comes below the same top. */
struct aba_all : rl::test_suite<aba_all, 2> {
	struct weft_stack s;
	struct nodes n;

	void before()
	{
		n.be_born();
		weft_stack_init(&s);
		weft_stack_push(&s, n.give(&n.node[0]));
		weft_stack_push(&s, n.give(&n.node[1]));
	}

	void thread(unsigned id)
	{
		struct weft_stack_node *l, *next;
		bool top = false;

		if (id == 0) {
			n.got(weft_stack_pop(&s));
			return;
		}
		for (l = pop_all(&s); l; l = next) {
			next = weft_stack_next(l);
			n.got(l);
			top |= l == &n.node[1].link;
		}
		weft_stack_push(&s, n.give(&n.node[2]));
		if (top)
			weft_stack_push(&s, n.give(&n.node[1]));
	}

	void after()
	{
		struct weft_stack_node *l, *next;

		for (l = weft_stack_pop_all(&s); l; l = next) {
			next = weft_stack_next(l);
			n.got(l);
		}
		RL_ASSERT(weft_stack_empty(&s));
		n.all_held();
	}
};

/* One pushes, another takes all there is. */
struct take_all : rl::test_suite<take_all, 2> {
	struct weft_stack s;
	struct nodes n;

	void before()
	{
		n.be_born();
		weft_stack_init(&s);
	}

	void take()
	{
		struct weft_stack_node *l, *next;

		for (l = pop_all(&s); l; l = next) {
			next = weft_stack_next(l);
			n.got(l);
		}
	}

	void thread(unsigned id)
	{
		if (id == 1)
			take();
		else
			for (int i = 0; i < NODES; i++)
				weft_stack_push(&s, n.give(&n.node[i]));
	}

	void after()
	{
		take();
		n.all_held();
	}
};

/* Three threads: each pushes its own and pops one; one of them pushes again what it got. */
struct three : rl::test_suite<three, 3> {
	struct weft_stack s;
	struct nodes n;

	void before()
	{
		n.be_born();
		weft_stack_init(&s);
	}

	void thread(unsigned id)
	{
		struct node *m;

		weft_stack_push(&s, n.give(&n.node[id]));
		m = n.got(weft_stack_pop(&s));
		RL_ASSERT(m); /* there are never fewer nodes than poppers */
		if (id == 0)
			weft_stack_push(&s, n.give(m));
	}

	void after()
	{
		RL_ASSERT(n.got(weft_stack_pop(&s)));
		RL_ASSERT(weft_stack_empty(&s));
		n.all_held();
	}
};

/* The slot alone: one gives, one takes and gives the same on, one takes. */
struct meet : rl::test_suite<meet, 3> {
	struct weft_estack s;
	struct nodes n;

	void before()
	{
		n.be_born();
		weft_estack_init(&s);
	}

	/* True if somebody has got it. */
	bool give(struct node *m)
	{
		struct weft__estack_try t;

		weft__estack_begin(&t);
		n.give(m);
		if (weft__estack_give(&s, &m->link, &t))
			return true;
		n.got(&m->link); /* ours still */
		return false;
	}

	struct node *take()
	{
		struct weft__estack_try t;

		weft__estack_begin(&t);
		return n.got(weft__estack_take(&s, &t));
	}

	void thread(unsigned id)
	{
		struct node *m;

		if (id == 0) {
			if (!give(&n.node[0]))
				give(&n.node[0]);
		} else if (id == 1) {
			m = take();
			if (m)
				give(m);
			take();
		} else {
			take();
			give(&n.node[2]);
		}
	}

	void after()
	{
		n.all_held(); /* a slot keeps nothing */
		RL_ASSERT(weft__estack_state(load_relaxed(&s.slot[0].word)) == WEFT_ESTACK_FREE);
	}
};

/* The whole: two push and pop, one pops and pushes. */
struct whole : rl::test_suite<whole, 3> {
	struct weft_estack s;
	struct nodes n;

	void before()
	{
		n.be_born();
		weft_estack_init(&s);
		weft_estack_push(&s, n.give(&n.node[2]));
	}

	void thread(unsigned id)
	{
		struct node *m;

		if (id < 2) {
			weft_estack_push(&s, n.give(&n.node[id]));
			RL_ASSERT(n.got(weft_estack_pop(&s))); /* there are never fewer nodes than poppers */
		} else {
			m = n.got(weft_estack_pop(&s));
			RL_ASSERT(m);
			weft_estack_push(&s, n.give(m));
		}
	}

	void after()
	{
		RL_ASSERT(n.got(weft_estack_pop(&s)));
		RL_ASSERT(weft_estack_empty(&s));
		n.all_held();
	}
};

static const struct scenario scenarios[] = {
	{"the same top, another one below", rl::simulate<aba>, 60000, 3},
	{"the same top after all were taken", rl::simulate<aba_all>, 60000, 3},
	{"all at once", rl::simulate<take_all>, 20000, 2},
	{"three push and pop", rl::simulate<three>, 60000, 2},
	{"they meet in a slot", rl::simulate<meet>, 100000, 2},
	{"the whole", rl::simulate<whole>, 60000, 1},
};

static const struct mutation mutations[] = {
	{"pushes are not counted"},
	{"taking all begins to count anew"},
	{"offers are not counted"},
	{"a push does not release", "weft_stack_try_push", "cas_release", "&s->top"},
	{"a pop does not acquire", "weft_stack_try_pop", "load_acquire", "&s->top"},
	{"taking all does not acquire", "weft_stack_pop_all", "load_acquire", "&s->top"},
	{"an offer, or what fulfils a wish, does not release", "weft__estack_give", "cas_release", "&slot->word"},
	{"taking an offer does not acquire", "weft__estack_take", "cas_acquire", "&slot->word"},
	{"seeing a wish fulfilled does not acquire", "weft__estack_take", "load_acquire", "&slot->word"},
};

MODEL_MAIN(scenarios, mutations)
