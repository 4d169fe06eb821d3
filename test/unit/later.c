/* SPDX-License-Identifier: MIT
 *
 * later.c - actor/later.c: messages that are sent when their time has come, by actors, servers' casts and state machines; cancelled, outlived, and left when the runtime goes down.
 */
#include "actors.h"

#include "failpoint.h"
#include "weft/blocking.h"
#include "weft/fsm.h"
#include "weft/server.h"
#include <pthread.h>
#include <stdlib.h>

/* --- an actor that writes down what comes --- */

struct seen {
	ATOMIC(int) n, destroyed, dead;
	ATOMIC(uint64_t) tags[64];
	weft_actor_ref from;
};

static struct seen seen;

static int note(weft_msg *m)
{
	int at = load_relaxed(&seen.n); /* one actor at a time writes here */

	seen.from = m->from;
	store_relaxed(&seen.tags[at], m->tag); /* made visible by the count */
	store_release(&seen.n, at + 1);
	return 0;
}

static int on_msg(void *state, weft_msg *m)
{
	(void)state;
	return note(m);
}

static void destroy(weft_msg *m)
{
	(void)m;
	add_acq_rel(&seen.destroyed, 1);
}

static void on_dead(const weft_dead_letter *d, void *arg)
{
	(void)d;
	(void)arg;
	add_acq_rel(&seen.dead, 1);
}

static weft_actor_ref begin(weft_mailbox_opts m)
{
	weft_actor_ref ref;

	store_relaxed(&seen.n, 0);
	store_relaxed(&seen.destroyed, 0);
	store_relaxed(&seen.dead, 0);
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = on_msg, .dtor = destroy, .mailbox = m}), 0);
	return ref;
}

static int after(weft_actor_ref to, int64_t ns, uint64_t tag, weft_actor_timer **out)
{
	return weft_actor_send_after(to, ns, tag, &tag, sizeof tag, WEFT_PRIO_NORMAL, out);
}

static int in_order_main(void *arg)
{
	weft_actor_ref ref = begin((weft_mailbox_opts){0});
	weft_actor_timer *t[3];

	(void)arg;
	time_fake();
	T_EQ(after(ref, 3 * WEFT_SEC, 3, &t[0]), 0);
	T_EQ(after(ref, WEFT_SEC, 1, &t[1]), 0);
	T_EQ(weft_actor_send_at(ref, weft_in(2 * WEFT_SEC), 2, NULL, 0, WEFT_PRIO_HIGH, &t[2]), 0);
	T_EQ(weft_actor_timer_left(t[0]), 3 * WEFT_SEC);
	time_move(WEFT_SEC + 1);
	until(load_acquire(&seen.n) == 1);
	T_EQ(weft_actor_timer_left(t[1]), WEFT_ESRCH);
	T_EQ(weft_actor_timer_left(t[0]), 2 * WEFT_SEC - 1);
	time_move(WEFT_SEC);
	until(load_acquire(&seen.n) == 2);
	time_move(WEFT_SEC);
	until(load_acquire(&seen.n) == 3);
	for (int i = 0; i < 3; i++) {
		T_EQ(load_relaxed(&seen.tags[i]), (uint64_t)i + 1);
		T_EQ(weft_actor_timer_cancel(t[i]), 0); /* too late */
	}
	T_EQ(after(ref, -5, 4, NULL), 0); /* at once, and alone */
	until(load_acquire(&seen.n) == 4);
	T_EQ(weft_actor_send_at(ref, 1, 5, NULL, 0, WEFT_PRIO_NORMAL, NULL), 0);
	until(load_acquire(&seen.n) == 5);
	time_real();
	end_actor(ref);
	T_EQ(load_acquire(&seen.destroyed), 0);
	return 0;
}

/* What is sent later comes when it is due, and not before; a timer that is too late says so. */
TEST_WORKERS(comes_when_due)
{
	run(in_order_main, NULL);
}

static int errors_main(void *arg)
{
	weft_actor_ref ref = begin((weft_mailbox_opts){0});
	weft_actor_timer *t = (weft_actor_timer *)&t;

	(void)arg;
	weft_actor_on_dead_letter(on_dead, NULL);
	T_EQ(weft_actor_send_after(ref, 1, 1, NULL, 0, WEFT_PRIO_LOW + 1, &t), WEFT_EINVAL);
	T_OK(t == NULL);
	T_EQ(weft_actor_send_after(ref, 1, 1, NULL, 1, WEFT_PRIO_LOW, &t), WEFT_EINVAL);
	T_EQ(weft_actor_send_after(ref, 1, 1, &t, (size_t)1 << 30, WEFT_PRIO_LOW, &t), WEFT_EMSGSIZE);
	T_EQ(weft_actor_send_after(ref, WEFT_FOREVER, 1, NULL, 0, WEFT_PRIO_LOW, &t), WEFT_EINVAL);
	T_EQ(weft_actor_send_at(ref, WEFT_FOREVER, 1, NULL, 0, WEFT_PRIO_LOW, &t), WEFT_EINVAL);
	T_EQ(weft_actor_send_after(ref, WEFT_FOREVER - 1, 1, NULL, 0, WEFT_PRIO_LOW, &t), 0); /* late, but not never */
	T_EQ(weft_actor_timer_cancel(t), 1);
	T_EQ(weft_actor_timer_cancel(NULL), 0);
	end_actor(ref);
	T_EQ(after(ref, 1, 1, &t), WEFT_ESRCH);
	T_EQ(after(WEFT_NO_ACTOR, 1, 1, &t), WEFT_ESRCH);
	T_EQ(load_acquire(&seen.dead), 0);
	weft_actor_on_dead_letter(NULL, NULL);
	return 0;
}

/* What cannot be is refused, and sent to nobody. */
TEST_WORKERS(refused)
{
	run(errors_main, NULL);
}

static int cancel_main(void *arg)
{
	weft_actor_ref ref = begin((weft_mailbox_opts){0});
	weft_actor_timer *t, *other;

	(void)arg;
	time_fake();
	T_EQ(after(ref, WEFT_SEC, 1, &t), 0);
	T_EQ(after(ref, WEFT_SEC, 2, &other), 0);
	T_EQ(weft_actor_timer_cancel(t), 1);
	time_move(2 * WEFT_SEC);
	until(load_acquire(&seen.n) == 1);
	T_EQ(load_relaxed(&seen.tags[0]), 2);
	T_EQ(weft_actor_timer_cancel(other), 0);
	time_real();
	end_actor(ref);
	T_EQ(load_acquire(&seen.n), 1);
	T_EQ(load_acquire(&seen.destroyed), 0); /* nothing of it was ever the receiver's */
	return 0;
}

/* Cancelled in time it does not come. */
TEST_WORKERS(cancelled_in_time)
{
	run(cancel_main, NULL);
}

static int full_main(void *arg)
{
	static const enum weft_overflow how[] = {WEFT_OVERFLOW_BLOCK, WEFT_OVERFLOW_DROP, WEFT_OVERFLOW_FAIL};

	(void)arg;
	time_fake();
	for (int i = 0; i < 3; i++) {
		weft_actor_ref ref = begin((weft_mailbox_opts){.cap = 2, .overflow = how[i]});

		T_EQ(weft_actor_suspend(ref), 0);
		T_EQ(tell(ref, 1, 0), 0);
		T_EQ(tell(ref, 2, 0), 0);
		for (int k = 0; k < 3; k++)
			T_EQ(after(ref, WEFT_SEC, 3, NULL), 0);
		time_move(2 * WEFT_SEC);
		until(stats_of(ref).len == 5); /* more than it holds otherwise */
		T_EQ(stats_of(ref).dropped, 0);
		T_EQ(weft_actor_send_until(ref, 4, NULL, 0, WEFT_PRIO_NORMAL, WEFT_NOW), how[i] == WEFT_OVERFLOW_BLOCK  ? WEFT_EAGAIN
											 : how[i] == WEFT_OVERFLOW_FAIL ? WEFT_ENOBUFS
															: 0);
		T_EQ(weft_actor_resume(ref), 0);
		until(load_acquire(&seen.n) == 5);
		T_EQ(stats_of(ref).len, 0);
		end_actor(ref);
	}
	time_real();
	return 0;
}

/* It always gets in: nobody could wait for room, or be told. */
TEST_WORKERS(gets_into_a_full_mailbox)
{
	run(full_main, NULL);
}

static int dies_main(void *arg)
{
	weft_actor_ref ref = begin((weft_mailbox_opts){0});
	weft_actor_timer *t, *u;

	(void)arg;
	weft_actor_on_dead_letter(on_dead, NULL);
	time_fake();
	T_EQ(after(ref, WEFT_SEC, 1, &t), 0);
	T_EQ(after(ref, WEFT_SEC, 2, NULL), 0);
	T_EQ(after(ref, 3600 * WEFT_SEC, 3, &u), 0);
	end_actor(ref);
	until(load_acquire(&seen.destroyed) == 3); /* as what it has not received */
	T_EQ(weft_actor_timer_left(t), WEFT_ESRCH);
	T_EQ(weft_actor_timer_left(NULL), WEFT_ESRCH);
	T_EQ(weft_actor_timer_cancel(t), 0);
	ref = begin((weft_mailbox_opts){0}); /* in the same cell */
	time_move(2 * WEFT_SEC);
	T_EQ(tell(ref, 9, 0), 0);
	until(load_acquire(&seen.n) == 1);
	T_EQ(load_relaxed(&seen.tags[0]), 9);
	T_EQ(weft_actor_timer_cancel(u), 0);
	end_actor(ref);
	T_EQ(load_acquire(&seen.dead), 0);
	T_EQ(load_acquire(&seen.destroyed), 0);
	weft_actor_on_dead_letter(NULL, NULL);
	time_real();
	return 0;
}

/* With its receiver it ends, and nobody is told; who lives in the same place later has nothing to do with it. */
TEST_WORKERS(dies_with_its_receiver)
{
	run(dies_main, NULL);
}

static weft_actor_timer *left;
static weft_actor_ref left_to;

static int down_main(void *arg)
{
	static const char much[1000];
	int32_t far = (int32_t)(intptr_t)arg;

	left_to = begin((weft_mailbox_opts){0});
	T_EQ(weft_actor_suspend(left_to), 0);
	T_EQ(after(left_to, 3600 * WEFT_SEC, 1, &left), 0);
	T_EQ(after(left_to, far * WEFT_SEC, 2, NULL), 0);
	T_EQ(weft_actor_send_after(left_to, WEFT_SEC * 60, 3, much, sizeof much, WEFT_PRIO_URGENT, NULL), 0); /* a long one */
	return 0;
}

/* What is left when the runtime goes down is destroyed with its receiver. */
TEST_WORKERS(left_when_the_runtime_ends)
{
	ends_with_main();
	T_EQ(weft_run(down_main, (void *)7200, &(weft_opts){.workers = tap_workers()}), 0);
	T_EQ(load_acquire(&seen.destroyed), 3);
	T_EQ(load_acquire(&seen.n), 0);
	T_EQ(weft_actor_timer_left(left), WEFT_ESRCH);
	T_EQ(weft_actor_timer_cancel(left), 0);
	T_EQ(after(left_to, 1, 1, &left), WEFT_ESRCH);
	nothing_left();
}

/* --- who receives what --- */

static int on_cast(void *state, weft_msg *m)
{
	(void)state;
	m->tag += 100;
	return note(m);
}

static int on_info(void *state, weft_msg *m)
{
	(void)state;
	m->tag += 200;
	return note(m);
}

static const weft_server_vt server = {.cast = on_cast, .info = on_info};

static int state_on(void *data, const weft_fsm_event *e)
{
	(void)data;
	e->m->tag += e->kind == WEFT_FSM_CAST ? 100 : e->kind == WEFT_FSM_INFO ? 200 : 300;
	return note(e->m);
}

static const weft_fsm_state states[] = {{"only", state_on, NULL}};
static const weft_fsm_vt machine = {.states = states, .n = 1};

static void to_one(weft_actor_ref ref)
{
	weft_actor_timer *t;

	store_relaxed(&seen.n, 0);
	T_EQ(weft_server_cast_after(ref, WEFT_SEC, 1, NULL, 0, NULL), 0);
	T_EQ(weft_server_cast_at(ref, weft_in(2 * WEFT_SEC), 2, NULL, 0, &t), 0);
	T_EQ(after(ref, 3 * WEFT_SEC, 3, NULL), 0);
	for (int i = 0; i < 3; i++) {
		time_move(WEFT_SEC + 1);
		until(load_acquire(&seen.n) == i + 1);
	}
	T_EQ(load_relaxed(&seen.tags[0]), 101);
	T_EQ(load_relaxed(&seen.tags[1]), 102);
	T_EQ(load_relaxed(&seen.tags[2]), 203);
	T_EQ(weft_actor_timer_cancel(t), 0);
	end_actor(ref);
}

static int kinds_main(void *arg)
{
	weft_actor_ref ref;

	(void)arg;
	time_fake();
	T_EQ(weft_server_start(&ref, &server, NULL, NULL), 0);
	to_one(ref);
	T_EQ(weft_fsm_start(&ref, &machine, NULL, NULL), 0);
	to_one(ref);
	time_real();
	return 0;
}

/* Servers and state machines have it as a cast, or as what else comes. */
TEST_WORKERS(casts)
{
	run(kinds_main, NULL);
}

struct clock {
	int ticks;
	weft_actor_timer *next;
};

static int tick(void *state, weft_msg *m)
{
	struct clock *c = state;

	T_OK(weft_actor_same(m->from, c->ticks ? weft_actor_self() : WEFT_NO_ACTOR));
	if (c->ticks)
		T_EQ(weft_actor_timer_cancel(c->next), 0);
	if (++c->ticks == 20) {
		store_release(&seen.n, 20);
		return WEFT_ACTOR_STOP;
	}
	return after(weft_actor_self(), WEFT_US, 1, &c->next);
}

static int tick_main(void *arg)
{
	weft_actor_ref ref;

	(void)arg;
	store_relaxed(&seen.n, 0);
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = tick, .size = sizeof(struct clock)}), 0);
	T_EQ(tell(ref, 1, 0), 0);
	until(load_acquire(&seen.n) == 20);
	T_EQ(weft_actor_wait(ref, NULL) == 0 || !weft_actor_alive(ref), 1);
	return 0;
}

/* An actor keeps time by sending to itself. */
TEST_WORKERS(keeps_time)
{
	run(tick_main, NULL);
}

static void *from_thread(void *arg)
{
	weft_actor_ref *ref = arg;
	weft_actor_timer *t;

	T_EQ(after(*ref, 1, 1, NULL), 0);
	T_EQ(after(*ref, 3600 * WEFT_SEC, 2, &t), 0);
	T_EQ(weft_actor_timer_cancel(t), 1);
	return NULL;
}

static int thread_main(void *arg)
{
	weft_actor_ref ref = begin((weft_mailbox_opts){0});
	pthread_t th;

	(void)arg;
	T_EQ(pthread_create(&th, NULL, from_thread, &ref), 0);
	until(load_acquire(&seen.n) == 1);
	T_OK(weft_actor_same(seen.from, WEFT_NO_ACTOR));
	WEFT_BLOCKING
	{
		T_EQ(pthread_join(th, NULL), 0);
	}
	end_actor(ref);
	return 0;
}

/* Threads that weft did not make send later, too. */
TEST_WORKERS(from_outside)
{
	run(thread_main, NULL);
}

/* --- races --- */

static int races(void *arg)
{
	weft_actor_ref ref = *(weft_actor_ref *)arg;
	weft_actor_timer *t;
	int sent = 0, rc;

	for (int i = 0; i < tap_iters(200); i++) {
		rc = after(ref, i % 3 * 500, 1, &t);
		if (rc == WEFT_ESRCH)
			break;
		T_EQ(rc, 0);
		if (i & 1)
			weft_task_yield();
		sent += !weft_actor_timer_cancel(t);
	}
	return sent;
}

static int counts(void *state, weft_msg *m)
{
	(void)state;
	(void)m;
	add_acq_rel(&seen.n, 1);
	return 0;
}

static int mortal_main(void *arg)
{
	weft_actor_ref ref;
	weft_task *t[3];

	(void)arg;
	for (int round = 0; round < tap_iters(20); round++) {
		T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = counts, .dtor = destroy}), 0);
		for (int i = 0; i < 3; i++)
			t[i] = start(races, &ref);
		for (int i = 0; i < round % 5; i++)
			weft_task_yield();
		end_actor(ref);
		for (int i = 0; i < 3; i++)
			(void)finish(t[i]);
	}
	return 0;
}

/* A cancel that comes at the same time as the message, or as the end of the receiver, knows which it was. */
TEST_WORKERS(at_the_same_time)
{
	run(mortal_main, NULL);
}

static int first_on_msg(void *state, weft_msg *m)
{
	(void)state;
	(void)m;
	store_release(&seen.n, load_relaxed(&seen.n) + 1); /* one writer */
	return 0;
}

static int exact_main(void *arg)
{
	weft_actor_ref ref;
	weft_task *t[4];
	int sent = 0;

	(void)arg;
	store_relaxed(&seen.n, 0);
	store_relaxed(&seen.destroyed, 0);
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = first_on_msg, .dtor = destroy}), 0);
	for (int i = 0; i < 4; i++)
		t[i] = start(races, &ref);
	for (int i = 0; i < 4; i++)
		sent += finish(t[i]);
	end_actor(ref);
	until(load_acquire(&seen.n) + load_acquire(&seen.destroyed) >= sent); /* it is destroyed when its end has been told */
	T_EQ(load_acquire(&seen.n) + load_acquire(&seen.destroyed), sent);
	return 0;
}

/* Each is received, or was cancelled: never both, never neither. */
TEST_WORKERS(one_or_the_other)
{
	run(exact_main, NULL);
}

/* --- without memory --- */

static int fail_main(void *arg)
{
	weft_actor_ref ref = begin((weft_mailbox_opts){0});
	char much[500] = "";
	weft_actor_timer *t;
	int rc;

	(void)arg;
	until_all_workers_run();
	for (int n = 1;; n++) {
		failpoint_arm(n);
		rc = weft_actor_send_after(ref, WEFT_SEC, 1, much, sizeof much, WEFT_PRIO_NORMAL, &t);
		failpoint_disarm();
		if (rc) {
			T_EQ(rc, WEFT_ENOMEM);
			T_OK(t == NULL);
			continue;
		}
		T_EQ(weft_actor_timer_cancel(t), 1);
		if (!failpoint_fired()) /* else it was somebody else's call */
			break;
	}
	end_actor(ref);
	T_EQ(load_acquire(&seen.destroyed), 0);
	return 0;
}

/* Who can have no memory is told so at once: nothing fails when it is due. */
TEST_WORKERS(no_memory)
{
	run(fail_main, NULL);
}
