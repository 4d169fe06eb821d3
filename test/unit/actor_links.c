/* SPDX-License-Identifier: MIT
 *
 * actor_links.c - actor/link.c, actor/death.c: who is told of an end, how, and that it is told once.
 */
#include "actors.h"

enum { FAIL = 1, LINK, PANIC };

static int fails(void *state, weft_msg *m)
{
	(void)state;
	if (m->tag == PANIC)
		weft_task_panic("as asked");
	if (m->tag == LINK)
		return weft_actor_link(*weft_msg_as(m, weft_actor_ref));
	return m->tag == FAIL ? (int)*weft_msg_as(m, long) : 0;
}

static weft_actor_ref attach(void)
{
	weft_actor_ref me;

	T_EQ(weft_actor_attach(&me, NULL), 0);
	return me;
}

static weft_actor_ref victim(void)
{
	weft_actor_ref ref;

	T_EQ(weft_actor_fn(&ref, fails), 0);
	return ref;
}

/* The next message is that news. */
static void expect(enum weft_msg_kind msg_kind, weft_actor_ref ref, uint64_t monitor, int kind, int code)
{
	const weft_down *d;
	weft_msg *m;

	T_EQ(weft_actor_recv(&m), 0);
	T_EQ(m->kind, msg_kind);
	T_EQ(m->tag, monitor);
	T_OK(weft_actor_same(m->from, ref));
	d = weft_msg_down(m);
	T_OK(weft_actor_same(d->ref, ref));
	T_EQ(d->monitor, monitor);
	T_STR_EQ(weft_end_name(d->end), weft_end_name((weft_end){kind, code}));
	T_EQ(d->end.code, code);
	weft_msg_free(m);
}

static void nothing_came(void)
{
	weft_msg *m;

	T_EQ(weft_actor_recv_until(&m, WEFT_NOW), WEFT_EAGAIN);
}

/* --- monitors --- */

static int monitors_main(void *arg)
{
	weft_actor_ref me = attach(), ref = victim();
	uint64_t one, two, three;

	(void)arg;
	T_EQ(weft_actor_monitor(ref, &one), 0);
	T_EQ(weft_actor_monitor(ref, &two), 0);
	T_EQ(weft_actor_monitor(ref, &three), 0);
	T_NE(one, two);
	T_EQ(stats_of(ref).relations, 3);
	T_EQ(stats_of(me).relations, 3);
	T_EQ(weft_actor_demonitor(two), 0);
	T_EQ(weft_actor_demonitor(two), WEFT_ESRCH);
	T_EQ(stats_of(ref).relations, 2);
	T_EQ(tell(ref, FAIL, -5), 0);
	expect(WEFT_MSG_DOWN, ref, one, WEFT_END_CODE, -5);
	expect(WEFT_MSG_DOWN, ref, three, WEFT_END_CODE, -5);
	nothing_came();
	T_EQ(weft_actor_demonitor(one), WEFT_ESRCH);
	T_EQ(stats_of(me).relations, 0);

	T_EQ(weft_actor_monitor(ref, &one), 0); /* dead already */
	expect(WEFT_MSG_DOWN, ref, one, WEFT_END_UNKNOWN, WEFT_ESRCH);
	T_EQ(weft_actor_monitor(WEFT_NO_ACTOR, NULL), 0);
	expect(WEFT_MSG_DOWN, WEFT_NO_ACTOR, one + 1, WEFT_END_UNKNOWN, WEFT_ESRCH);

	ref = victim();
	T_EQ(weft_actor_monitor(ref, &one), 0);
	T_EQ(weft_actor_kill(ref), 0);
	until(stats_of(me).relations == 0);
	T_EQ(weft_actor_demonitor(one), 0); /* takes the message away */
	nothing_came();
	T_EQ(weft_actor_monitor(me, NULL), WEFT_EINVAL);
	return 0;
}

/* Each monitor tells once, in order; not when it is ended before, even if it has told. */
TEST_WORKERS(monitors)
{
	run(monitors_main, NULL);
}

static int watcher_dies_main(void *arg)
{
	weft_actor_ref me = attach(), ref = victim(), other;

	(void)arg;
	(void)me;
	T_EQ(weft_actor_start(&other, &(weft_actor_opts){.on_msg = fails}), 0);
	T_EQ(weft_actor_send(other, LINK, &ref, sizeof ref, 0), 0);
	until(stats_of(ref).relations == 1);
	T_EQ(tell(other, FAIL, 0), 0);
	T_EQ(weft_actor_stop_wait(other), 0); /* normal: which is no reason */
	until(stats_of(ref).relations == 0);  /* a wait that comes late may be over before those linked are told */
	T_EQ(weft_actor_stop_wait(ref), 0);
	return 0;
}

TEST_WORKERS(watcher_dies)
{
	run(watcher_dies_main, NULL);
}

static int last_words(void *state)
{
	weft_actor_ref to = *(weft_actor_ref *)state;

	for (long i = 0; i < 5; i++)
		T_EQ(tell(to, 9, i), 0);
	return -3;
}

static int after_all_main(void *arg)
{
	weft_actor_ref me = attach(), ref;

	(void)arg;
	T_EQ(weft_actor_trap(true), 0);
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.run = last_words, .state = &me, .size = sizeof me, .link = true}), 0);
	for (long i = 0; i < 5; i++) {
		weft_msg *m;

		T_EQ(weft_actor_recv(&m), 0);
		T_EQ(*weft_msg_as(m, long), i);
		weft_msg_free(m);
	}
	expect(WEFT_MSG_EXIT, ref, 0, WEFT_END_CODE, -3);
	return 0;
}

/* The news of an end comes after what the dead has sent. */
TEST_WORKERS(after_all)
{
	run(after_all_main, NULL);
}

/* --- links --- */

static int chain_main(void *arg)
{
	weft_actor_ref ref[20];
	struct watcher w[20];

	(void)arg;
	for (int i = 0; i < 20; i++) {
		ref[i] = victim();
		if (i) {
			T_EQ(weft_actor_send(ref[i], LINK, &ref[i - 1], sizeof ref[0], 0), 0);
			until(stats_of(ref[i]).relations == 1);
		}
		watch_begin(&w[i], ref[i]);
	}
	T_EQ(tell(ref[10], PANIC, 0), 0);
	for (int i = 0; i < 20; i++)
		watch_end(&w[i], WEFT_END_PANIC, WEFT_EPANIC);
	return 0;
}

/* One fails, and all that are linked to it, through others too, end for the same reason. */
TEST_WORKERS(chain)
{
	run(chain_main, NULL);
}

static int traps_main(void *arg)
{
	weft_actor_ref me = attach(), ref, dead;

	(void)arg;
	T_EQ(weft_actor_trap(true), 0);
	T_EQ(weft_actor_trap(true), 1);
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = fails, .link = true}), 0);
	T_EQ(weft_actor_link(ref), 0); /* it is already */
	T_EQ(stats_of(ref).relations, 1);
	T_EQ(weft_actor_stop(ref, (weft_end){WEFT_END_SHUTDOWN, 0}), 0);
	expect(WEFT_MSG_EXIT, ref, 0, WEFT_END_SHUTDOWN, 0);
	nothing_came();
	dead = ref;
	ref = victim();
	T_EQ(weft_actor_link(ref), 0);
	T_EQ(weft_actor_unlink(ref), 0);
	T_EQ(weft_actor_unlink(ref), WEFT_ESRCH);
	T_EQ(weft_actor_kill(ref), 0);
	until(!weft_actor_alive(ref));
	T_EQ(weft_actor_link(ref), WEFT_ESRCH);
	T_EQ(weft_actor_link(dead), WEFT_ESRCH);
	T_EQ(weft_actor_unlink(dead), WEFT_ESRCH);
	T_EQ(weft_actor_link(WEFT_NO_ACTOR), WEFT_ESRCH);
	T_EQ(weft_actor_unlink(WEFT_NO_ACTOR), WEFT_ESRCH);
	T_EQ(weft_actor_link(me), WEFT_EINVAL);
	T_EQ(weft_actor_unlink(me), WEFT_EINVAL);
	nothing_came();
	T_EQ(weft_actor_signal(me, (weft_end){WEFT_END_NORMAL, 0}), 0);
	expect(WEFT_MSG_EXIT, me, 0, WEFT_END_NORMAL, 0);
	ref = victim();
	T_EQ(weft_actor_link(ref), 0);
	T_EQ(weft_actor_kill(ref), 0);
	expect(WEFT_MSG_EXIT, ref, 0, WEFT_END_KILLED, WEFT_ECANCELED); /* of another: that can be trapped */
	return 0;
}

/* Trapped, an exit signal is a message, also a normal one; unlinked, there is none. */
TEST_WORKERS(traps)
{
	run(traps_main, NULL);
}

static int refuses(void *state)
{
	(void)state;
	return -8;
}

static int start_linked_main(void *arg)
{
	weft_actor_ref me = attach(), ref;

	(void)arg;
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = fails, .on_start = refuses, .link = true}), -8);
	T_EQ(stats_of(me).relations, 0);
	return 0;
}

/* A linked start that fails says so, and that is all. */
TEST_WORKERS(start_linked)
{
	run(start_linked_main, NULL);
}

static int links_and_refuses(void *state)
{
	T_EQ(weft_actor_link(*(weft_actor_ref *)state), 0);
	return -8;
}

static int start_related_main(void *arg)
{
	weft_actor_ref me = attach(), ref, friend = victim();
	struct watcher w;

	(void)arg;
	watch_begin(&w, friend);
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = fails, .on_start = links_and_refuses, .state = &friend, .link = true}),
	     -8);
	watch_end(&w, WEFT_END_CODE, -8);
	T_EQ(stats_of(me).relations, 0);
	T_EQ(weft_ctx_check(), 0);
	nothing_came();
	return 0;
}

/* It says so to whom it has linked itself to: those have no call that tells them. */
TEST_WORKERS(start_related)
{
	run(start_related_main, NULL);
}

static int outsider_main(void *arg)
{
	weft_actor_ref ref = victim();

	(void)arg;
	T_EQ(weft_actor_link(ref), WEFT_EINVAL);
	T_EQ(weft_actor_unlink(ref), WEFT_EINVAL);
	T_EQ(weft_actor_monitor(ref, NULL), WEFT_EINVAL);
	T_EQ(weft_actor_demonitor(1), WEFT_EINVAL);
	T_EQ(weft_actor_stop_wait(ref), 0);
	return 0;
}

TEST_WORKERS(outsiders)
{
	run(outsider_main, NULL);
}

static int related_main(void *arg)
{
	weft_actor_ref me = attach(), ref[50];

	(void)arg;
	(void)me;
	for (int i = 0; i < 50; i++) {
		ref[i] = victim();
		T_EQ(weft_actor_monitor(ref[i], NULL), 0);
		T_EQ(weft_actor_link(ref[i]), 0);
	}
	return 0;
}

/* The runtime goes down with relations: nothing is left of them. */
TEST_WORKERS(forsaken)
{
	ends_with_main();
	run(related_main, NULL);
}
