/* SPDX-License-Identifier: MIT
 *
 * actors.c - a crowd of actors that monitor, link to, message, kill and replace each other at random. Each monitor tells exactly once, or was ended; what was sent is received or destroyed, once.
 */
#include "actors.h"

#include "base/rand.h"
#include "weft/registry.h"
#include <stdlib.h>

#define CROWD 40
#define MONITORS 8

enum { NUDGE = 1, CARRY };

static _Atomic(uint64_t) seed;
static _Atomic long carried; /* allocations under way */
static _Atomic bool over;

/* References that may be dead: read and written by all, under a lock. */
static weft_mutex place_lock;
static weft_actor_ref place[CROWD];

static weft_actor_ref anybody(struct rng *r)
{
	weft_actor_ref ref;

	if (weft_mutex_lock(&place_lock))
		return WEFT_NO_ACTOR; /* the caller has been cancelled */
	ref = place[rng_next(r) % CROWD];
	weft_mutex_unlock(&place_lock);
	return ref;
}

struct member {
	struct rng rng;
	uint64_t watching[MONITORS]; /* numbers; 0: none */
};

static int enrol(void *state)
{
	struct member *m = state;

	rng_seed(&m->rng, seed++, 1);
	if (rng_next(&m->rng) % 3 == 0)
		T_EQ(weft_actor_trap(true), 0);
	if (rng_next(&m->rng) % 2)
		T_EQ(weft_pg_join("crowd", weft_actor_self()), 0);
	return 0;
}

static void destroy(weft_msg *m)
{
	if (m->kind == WEFT_MSG_USER && m->tag == CARRY) {
		free(*(void **)m->data);
		carried--;
	}
}

static void carry_to(weft_actor_ref to, int prio)
{
	void *p = malloc(16);

	T_OK(p != NULL);
	carried++;
	if (weft_actor_send_until(to, CARRY, &p, sizeof p, prio, weft_in(WEFT_MS))) {
		free(p);
		carried--;
	}
}

static void watch(struct member *m, weft_actor_ref ref)
{
	for (int i = 0; i < MONITORS; i++) {
		int rc;

		if (m->watching[i])
			continue;
		rc = weft_actor_monitor(ref, &m->watching[i]);
		T_OK(rc == 0 || rc == WEFT_EINVAL);
		return;
	}
}

static void unwatch(struct member *m)
{
	int i = (int)(rng_next(&m->rng) % MONITORS);

	if (!m->watching[i])
		return;
	T_EQ(weft_actor_demonitor(m->watching[i]), 0); /* it has not told, or its message is taken away */
	m->watching[i] = 0;
}

static void heard(struct member *m, uint64_t number)
{
	for (int i = 0; i < MONITORS; i++) {
		if (m->watching[i] != number)
			continue;
		m->watching[i] = 0;
		return;
	}
	T_FAIL("monitor %llu tells, and is none, or twice", (unsigned long long)number);
}

static bool is_nudge(const weft_msg *m, void *arg)
{
	(void)arg;
	return m->kind == WEFT_MSG_USER && m->tag == NUDGE;
}

static int act(void *state, weft_msg *msg)
{
	struct member *m = state;
	weft_actor_ref other;
	weft_msg *nudge;

	if (msg->kind == WEFT_MSG_DOWN)
		heard(m, weft_msg_down(msg)->monitor);
	destroy(msg);
	if (msg->kind != WEFT_MSG_USER || over)
		return 0;
	other = anybody(&m->rng);
	switch (rng_next(&m->rng) % 16) {
	case 0:
		(void)weft_actor_kill(other);
		break;
	case 1:
		(void)weft_actor_signal(other, (weft_end){WEFT_END_CODE, 1});
		break;
	case 2:
		(void)weft_actor_stop(other, (weft_end){WEFT_END_SHUTDOWN, 0});
		break;
	case 3:
		return -1;
	case 4:
	case 5:
		(void)weft_actor_link(other);
		break;
	case 6:
		(void)weft_actor_unlink(other);
		break;
	case 7:
	case 8:
	case 9:
		watch(m, other);
		break;
	case 10:
		unwatch(m);
		break;
	case 11:
		if (!weft_actor_recv_match_until(&nudge, is_nudge, NULL, rng_next(&m->rng) % 2 ? WEFT_NOW : weft_in(WEFT_MS)))
			weft_msg_free(nudge);
		break;
	case 12:
		return WEFT_ACTOR_STOP;
	default:
		carry_to(other, (int)(rng_next(&m->rng) % 4) - 2);
		break;
	}
	return 0;
}

/* Each monitor that has not told is still to tell, or its message is in the mailbox: one that is lost is WEFT_ESRCH. */
static void leave(void *state, weft_end e)
{
	struct member *m = state;

	(void)e;
	for (int i = 0; i < MONITORS; i++) {
		if (m->watching[i])
			T_EQ(weft_actor_demonitor(m->watching[i]), 0);
	}
}

static int drive(void *arg)
{
	const weft_actor_opts o = {
		.on_start = enrol, .on_msg = act, .on_stop = leave, .dtor = destroy, .size = sizeof(struct member), .mailbox = {.cap = 8}};
	long n = tap_iters(20000);
	struct rng r;

	(void)arg;
	rng_seed(&r, weft__rt->seed, 77);
	for (int i = 0; i < CROWD; i++)
		T_EQ(weft_actor_start(&place[i], &o), 0);
	for (long i = 0; i < n; i++) {
		int at = (int)(rng_next(&r) % CROWD);
		weft_actor_ref ref = anybody(&r);

		if (!weft_actor_alive(place[at])) {
			T_EQ(weft_actor_start(&ref, &o), 0);
			T_EQ(weft_mutex_lock(&place_lock), 0);
			place[at] = ref;
			weft_mutex_unlock(&place_lock);
		}
		switch (rng_next(&r) % 8) {
		case 0:
			(void)weft_actor_suspend(ref);
			(void)weft_actor_resume(ref);
			break;
		case 1:
			T_GE(weft_pg_send_until("crowd", NUDGE, NULL, 0, WEFT_PRIO_HIGH, WEFT_NOW), 0);
			break;
		case 2:
			carry_to(ref, WEFT_PRIO_NORMAL);
			break;
		default:
			(void)weft_actor_send_until(ref, NUDGE, NULL, 0, WEFT_PRIO_NORMAL, weft_in(WEFT_MS));
		}
	}
	over = true;
	for (int i = 0; i < CROWD; i++) {
		int rc = weft_actor_stop_wait(place[i]);

		T_OK(rc == 0 || rc == WEFT_ESRCH);
	}
	until(carried == 0); /* who was killed is not waited for above */
	T_EQ(weft_pg_members("crowd", NULL, 0), 0);
	return 0;
}

TEST_WORKERS(crowd)
{
	tap_limit(120);
	run(drive, NULL);
}

/* --- the end of one that many watch, while they come and go --- */

struct fan {
	weft_actor_ref to;
	_Atomic long *down;
};

static int fan(void *state)
{
	struct fan *f = state;
	uint64_t number;
	weft_msg *m;
	int rc;

	T_EQ(weft_actor_monitor(f->to, &number), 0);
	do {
		rc = weft_actor_recv(&m);
		T_EQ(rc, 0);
		if (m->kind == WEFT_MSG_DOWN) {
			T_EQ(m->tag, number);
			(*f->down)++;
			T_EQ(weft_actor_recv_until(&m, WEFT_NOW), WEFT_EAGAIN);
			return 0;
		}
		weft_msg_free(m);
	} while (1);
}

static int fans_main(void *arg)
{
	enum { FANS = 200 };
	_Atomic long down = 0;
	weft_actor_ref star, fans[FANS];

	(void)arg;
	for (long round = 0, rounds = tap_iters(20); round < rounds; round++) {
		down = 0;
		T_EQ(weft_actor_fn(&star, ignore), 0);
		for (int i = 0; i < FANS; i++) {
			struct fan f = {star, &down};

			T_EQ(weft_actor_start(&fans[i], &(weft_actor_opts){.run = fan, .state = &f, .size = sizeof f}), 0);
			if (i == FANS / 2)
				T_EQ(weft_actor_kill(star), 0);
		}
		for (int i = 0; i < FANS; i++) {
			int rc = weft_actor_wait(fans[i], NULL);

			T_OK(rc == 0 || rc == WEFT_ESRCH);
		}
		T_EQ(down, FANS);
	}
	return 0;
}

/* Each of many that watch it, before and after its end, is told once. */
TEST_WORKERS(fans)
{
	tap_limit(120);
	run(fans_main, NULL);
}
