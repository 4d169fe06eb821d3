/* SPDX-License-Identifier: MIT
 *
 * shutdown.c - weft_shutdown: is every task told, is every one waited for, who is not in time, and when does the runtime stop?
 */
#include "dumped.h"
#include "rt.h"

#include "weft/actor.h"
#include "weft/blocking.h"
#include "weft/go.h"
#include "weft/scope.h"
#include "weft/signal.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static ATOMIC(int) ready, canceled, over;

/* --- all are told --- */

struct things {
	weft_chan *c;
	weft_mutex m;
	weft_cond cond;
	weft_event e;
	weft_sema s;
};

static void note(int rc)
{
	T_EQ(rc, WEFT_ECANCELED);
	T_EQ(weft_ctx_check(), WEFT_ECANCELED);
	T_EQ(weft_ctx_reason(NULL), WEFT_REASON_SHUTDOWN);
	add_acq_rel(&canceled, 1);
}

static void receives(struct things *t)
{
	int v;

	add_acq_rel(&ready, 1);
	note(weft_chan_recv(t->c, &v));
}

static void selects(struct things *t)
{
	int v;
	weft_case k[] = {WEFT_RECV(t->c, &v), WEFT_DONE(weft_ctx_self(), NULL)};

	add_acq_rel(&ready, 1);
	note(weft_chan_select(k, 2));
}

static void locks(struct things *t)
{
	add_acq_rel(&ready, 1);
	note(weft_mutex_lock_until(&t->m, WEFT_FOREVER));
}

static void sets(struct things *t)
{
	add_acq_rel(&ready, 1);
	note(weft_event_wait(&t->e));
}

static void takes(struct things *t)
{
	add_acq_rel(&ready, 1);
	note(weft_sema_acquire(&t->s, 1));
}

static void sleeps(struct things *t)
{
	(void)t;
	add_acq_rel(&ready, 1);
	note(weft_task_sleep(3600 * SEC));
}

static void under_a_context(struct things *t)
{
	weft_ctx *c = weft_ctx_make(NULL);

	T_OK(c != NULL);
	WEFT_WITH_CTX (c)
		receives(t);
	T_EQ(weft_ctx_reason(c), WEFT_REASON_SHUTDOWN);
	T_EQ(weft_ctx_cancel(c, 0), WEFT_EALREADY);
	T_EQ(weft_ctx_reason(c), WEFT_REASON_SHUTDOWN);
	T_STR_HAS(weft_ctx_cause(c), "goes down");
	weft_ctx_free(c);
}

static void runs_on(struct things *t)
{
	(void)t;
	add_acq_rel(&ready, 1);
	while (weft_ctx_check() == 0)
		weft_task_yield();
	add_acq_rel(&canceled, 1);
}

static int all_main(void *arg)
{
	struct things t = {.c = weft_chan_make(sizeof(int), 0)};
	int kinds = 8;

	(void)arg;
	T_EQ(weft_mutex_lock(&t.m), 0);
	weft_sema_init(&t.s, 0);
	for (int i = 0; i < 3; i++) {
		T_EQ(weft_go(receives, &t), 0);
		T_EQ(weft_go(selects, &t), 0);
		T_EQ(weft_go(locks, &t), 0);
		T_EQ(weft_go(sets, &t), 0);
		T_EQ(weft_go(takes, &t), 0);
		T_EQ(weft_go(sleeps, &t), 0);
		T_EQ(weft_go(under_a_context, &t), 0);
		T_EQ(weft_go(runs_on, &t), 0);
	}
	until(load_acquire(&ready) == 3 * kinds);
	T_EQ(weft_shutdown_until(WEFT_FOREVER), 0);
	T_EQ(load_acquire(&canceled), 3 * kinds);
	T_EQ(weft_state(), WEFT_STATE_STOPPING);
	T_EQ(weft_task_sleep(1), WEFT_ECANCELED); /* the caller is, too */
	T_EQ(weft_shutdown(0), 0);                /* again */
	weft_mutex_unlock(&t.m);
	weft_chan_free(t.c);
	return 5;
}

/* Whatever they wait for, and wherever under the root: each is told, and each is waited for. The runtime's result is the first task's. */
TEST_WORKERS(all_are_told)
{
	T_EQ(weft_shutdown(0), WEFT_ESRCH);
	T_EQ(run_with(all_main, NULL, (weft_opts){.workers = 0}), 5);
}

static int fresh_main(void *arg)
{
	weft_ctx *c = weft_ctx_make(NULL);

	(void)arg;
	T_EQ(weft_ctx_reason(c), WEFT_NOT_CANCELED);
	T_EQ(weft_ctx_reason(NULL), WEFT_NOT_CANCELED);
	T_EQ(weft_task_sleep(1), 0);
	weft_ctx_free(c);
	return weft_shutdown(SEC);
}

/* Nothing of it is left for the next one. */
TEST_WORKERS(the_next_one_is_fresh)
{
	for (int i = 0; i < 5; i++)
		run(fresh_main, NULL);
}

/* --- who is not in time --- */

static void shielded(weft_event *e)
{
	WEFT_WITH_SHIELD(void) weft_event_wait(e);
	add_acq_rel(&over, 1);
}

static int is_late(void *arg)
{
	shielded(arg);
	return 0;
}

static int late_main(void *arg)
{
	weft_event e = {0};
	weft_task_info info[2];
	weft_task *t[3];
	char *text;
	int n = -1;

	(void)arg;
	T_EQ(weft_shutdown_list(WEFT_NOW, NULL, 1, &n), WEFT_EINVAL);
	T_EQ(n, 0);
	T_EQ(weft_shutdown_list(WEFT_NOW, info, 0, &n), WEFT_EINVAL);
	T_EQ(weft_shutdown_list(WEFT_NOW, info, 1, NULL), WEFT_EINVAL);
	for (int i = 0; i < 3; i++) {
		T_EQ(weft_go_opts(&t[i], is_late, &e, &(weft_task_opts){.name = i ? NULL : "the late"}), 0);
		until_reason(t[i], "event");
	}
	hear();
	T_EQ(weft_shutdown(0), WEFT_ETIMEDOUT);
	text = heard_text();
	T_STR_HAS(text, "weft: shutdown: 3 tasks have not ended\n");
	T_STR_HAS(text, "\"the late\": parked, event");
	T_STR_HAS(text, "shutdown.c:");
	T_OK(strstr(text, "main") == NULL);
	free(text);
	T_EQ(weft_shutdown_list(WEFT_NOW, info, 2, &n), WEFT_ETIMEDOUT);
	T_EQ(n, 3);
	for (int i = 0; i < 2; i++) {
		T_EQ(info[i].state, WEFT_TASK_PARKED);
		T_STR_EQ(info[i].reason, "event");
		T_STR_HAS(info[i].file, "shutdown.c");
		T_GT(info[i].line, 0);
		T_GE(info[i].waited, 0);
		T_GT(info[i].id, 0);
	}
	T_OK(strcmp(info[0].name, "the late") == 0 || strcmp(info[1].name, "the late") == 0 || n == 3); /* in no order */
	weft_event_set(&e);
	for (int i = 0; i < 3; i++)
		weft_task_detach(t[i]);
	T_EQ(weft_shutdown_list(WEFT_FOREVER, info, 2, &n), 0);
	T_EQ(n, 0);
	T_EQ(load_acquire(&over), 3);
	return 1;
}

/* Those who have not ended when the grace is over are listed, by name, with what they wait for and where; and may be waited for again. */
TEST_WORKERS(stragglers)
{
	T_EQ(run_with(late_main, NULL, (weft_opts){.workers = 0}), 1);
}

static int grace_main(void *arg)
{
	weft_event e = {0};
	weft_task_info info[1];
	int n;

	(void)arg;
	time_fake();
	T_EQ(weft_go(shielded, &e), 0);
	T_EQ(weft_shutdown_list(weft_in(0), info, 1, &n), WEFT_ETIMEDOUT);
	weft_event_set(&e);
	T_EQ(weft_shutdown(SEC), 0); /* the clock stands still: not by time */
	time_real();
	return 2;
}

/* One that ends within the grace is waited for. */
TEST_WORKERS(in_time)
{
	T_EQ(run_with(grace_main, NULL, (weft_opts){.workers = 0}), 2);
}

/* --- who calls --- */

static int held_main(void *arg)
{
	(void)weft_event_wait(arg);
	add_acq_rel(&canceled, 1);
	return 3;
}

static int closes(void *arg)
{
	T_EQ(weft_shutdown_until(WEFT_FOREVER), 0);
	T_EQ(load_acquire(&canceled), 1); /* the first has ended */
	for (int i = 0; i < 10; i++)
		weft_task_yield(); /* and the runtime goes on for this one */
	WEFT_WITH_SHIELD
	T_EQ(weft_task_sleep(1), 0);
	add_acq_rel(&over, 1);
	return (int)(intptr_t)arg;
}

static int by_a_task_main(void *arg)
{
	T_EQ(weft_go_opts(NULL, closes, (void *)77, NULL), 0);
	return held_main(arg);
}

/* Called by another task, it waits for the first one, whose result counts, and the caller goes on behind it. */
TEST_WORKERS(by_another_task)
{
	weft_event e = {0};

	T_EQ(run_with(by_a_task_main, &e, (weft_opts){.no_deadlock = true}), 3);
	T_EQ(load_acquire(&over), 1);
}

static int gives_up(void *arg)
{
	weft_task_info i[4];
	int n;

	until_reason(arg, "event");
	T_EQ(weft_shutdown_list(WEFT_NOW, i, 4, &n), WEFT_ETIMEDOUT);
	T_EQ(n, 1);
	T_STR_EQ(i[0].reason, "event");
	return 0;
}

static int stubborn_main(void *arg)
{
	T_EQ(weft_go_opts(NULL, gives_up, weft_task_self(), NULL), 0);
	shielded(arg);
	return 3;
}

/* The first task is the straggler: the runtime stops when the caller ends, and says so. */
TEST_WORKERS(the_first_is_late)
{
	weft_event e = {0};

	T_EQ(run_with(stubborn_main, &e, (weft_opts){.no_deadlock = true}), WEFT_ETIMEDOUT);
	T_EQ(load_acquire(&over), 0);
}

static void *thread_closes(void *arg)
{
	int want = (int)(intptr_t)arg;

	until(weft_state() == WEFT_STATE_RUNNING && load_acquire(&ready));
	T_EQ(weft_shutdown_until(want == WEFT_ETIMEDOUT ? WEFT_NOW : WEFT_FOREVER), want);
	return NULL;
}

static int ready_main(void *arg)
{
	store_release(&ready, 1);
	return held_main(arg);
}

/* Called by a thread: the runtime is down when all have ended. */
TEST_WORKERS(by_a_thread)
{
	weft_event e = {0};
	pthread_t th;

	T_EQ(pthread_create(&th, NULL, thread_closes, NULL), 0);
	T_EQ(weft_run(ready_main, &e, &(weft_opts){.workers = tap_workers(), .no_deadlock = true}), 3);
	pthread_join(th, NULL);
	nothing_left();
}

static int late_for_a_thread_main(void *arg)
{
	WEFT_WITH_SHIELD
	{
		store_release(&ready, 1);
		(void)weft_event_wait(arg);
	}
	return 3;
}

/* ... or the grace is over. */
TEST_WORKERS(by_a_thread_in_vain)
{
	weft_event e = {0};
	char *text;
	pthread_t th;
	int rc;

	T_EQ(pthread_create(&th, NULL, thread_closes, (void *)(intptr_t)WEFT_ETIMEDOUT), 0);
	hear();
	rc = weft_run(late_for_a_thread_main, &e, &(weft_opts){.workers = tap_workers(), .no_deadlock = true});
	pthread_join(th, NULL);
	text = heard_text();
	T_EQ(rc, WEFT_ETIMEDOUT);
	T_STR_HAS(text, "weft: shutdown: 1 task has not ended\n");
	T_STR_HAS(text, ", main,");
	free(text);
	nothing_left();
}

static void closes_too(void)
{
	T_EQ(weft_shutdown_until(WEFT_FOREVER), 0);
	T_EQ(load_acquire(&canceled), 1);
	add_acq_rel(&over, 1);
}

static int many_main(void *arg)
{
	for (int i = 0; i < 5; i++)
		T_EQ(weft_go(closes_too), 0);
	store_release(&ready, 1);
	return held_main(arg);
}

static void *thread_closes_too(void *arg)
{
	int rc;

	until(load_acquire(&ready));
	rc = weft_shutdown_until(WEFT_FOREVER);
	T_OK(rc == 0 || rc == WEFT_ESRCH || rc == WEFT_ECANCELED); /* it may come late */
	return arg;
}

/* Several at once: they do not wait for each other, and the runtime stops when the last of them has ended. */
TEST_WORKERS(by_many)
{
	weft_event e = {0};
	pthread_t th[2];

	for (int i = 0; i < 2; i++)
		T_EQ(pthread_create(&th[i], NULL, thread_closes_too, NULL), 0);
	T_EQ(weft_run(many_main, &e, &(weft_opts){.workers = tap_workers(), .no_deadlock = true}), 3);
	for (int i = 0; i < 2; i++)
		pthread_join(th[i], NULL);
	nothing_left(); /* not before: a thread may come late, and be given its record only now */
	T_EQ(load_acquire(&over), 5);
}

static int in_blocking(void *arg)
{
	(void)arg;
	return weft_shutdown(0);
}

static int refused_main(void *arg)
{
	int rc = 0;

	(void)arg;
	T_EQ(weft_blocking(in_blocking, NULL, &rc), 0);
	T_EQ(rc, WEFT_EINVAL);
	WEFT_BLOCKING
	{
		rc = weft_shutdown(0);
	}
	T_EQ(rc, WEFT_EINVAL);
	T_EQ(weft_state(), WEFT_STATE_RUNNING);
	return 0;
}

/* Not from a thread that a task waits for. */
TEST_WORKERS(not_within_blocking)
{
	run(refused_main, NULL);
}

static void *thread_is_left(void *arg)
{
	until(load_acquire(&ready));
	T_EQ(weft_shutdown_until(WEFT_FOREVER), *(int *)arg);
	return NULL;
}

static void exits_later(void)
{
	WEFT_WITH_SHIELD
	{
		while (weft_state() != WEFT_STATE_STOPPING)
			weft_task_yield();
		weft_exit(8);
	}
}

static int left_main(void *arg)
{
	T_EQ(weft_go(exits_later), 0);
	store_release(&ready, 1);
	WEFT_WITH_SHIELD(void) weft_event_wait(arg);
	return 0;
}

/* weft_exit ends it at once: those who wait are told. */
TEST_WORKERS(exit_meanwhile)
{
	weft_event e = {0};
	int want = WEFT_ECANCELED;
	pthread_t th;

	tap_leaky();
	T_EQ(pthread_create(&th, NULL, thread_is_left, &want), 0);
	T_EQ(weft_run(left_main, &e, &(weft_opts){.workers = tap_workers(), .no_deadlock = true}), 8);
	pthread_join(th, NULL);
}

/* --- born cancelled, and what is apart --- */

static void born(weft_ctx *c)
{
	T_EQ(weft_ctx_check(), WEFT_ECANCELED);
	T_EQ(weft_task_sleep(1), WEFT_ECANCELED);
	T_EQ(weft_ctx_reason(NULL), WEFT_REASON_SHUTDOWN);
	(void)c;
	add_acq_rel(&canceled, 1);
}

static void unharmed(void)
{
	T_EQ(weft_ctx_check(), 0);
	T_EQ(weft_task_sleep(1), 0);
	T_EQ(weft_ctx_reason(NULL), WEFT_NOT_CANCELED);
	add_acq_rel(&over, 1);
}

/* Waits for the end of c where it does not end itself. */
static void told(weft_ctx *c)
{
	int reason = 0;
	weft_case k[] = {WEFT_DONE(c, &reason)};

	WEFT_WITH_SHIELD
	{
		add_acq_rel(&ready, 1);
		T_EQ(weft_chan_select(k, 1), 0);
		T_EQ(reason, WEFT_REASON_SHUTDOWN);
		T_EQ(weft_go(unharmed), 0);
	}
	until(weft_ctx_check() == WEFT_ECANCELED); /* it may have seen the root's end before tasks are cancelled with it */
	T_EQ(weft_go(born, NULL), 0);
	add_acq_rel(&canceled, 1);
}

static int lives_apart(void *arg)
{
	(void)arg;
	add_acq_rel(&ready, 1);
	while (weft_state() == WEFT_STATE_RUNNING)
		T_EQ(weft_task_sleep(10 * US), 0);
	unharmed();
	T_EQ(weft_go(unharmed), 0);
	return 0;
}

static void hook(void *arg)
{
	add_acq_rel((ATOMIC(int) *)arg, 1);
}

static ATOMIC(int) hooks;

static void *thread_waits(void *arg)
{
	T_EQ(weft_ctx_wait(arg), 0);
	return NULL;
}

static int apart_main(void *arg)
{
	weft_ctx *c = weft_ctx_make(NULL), *below = weft_ctx_make(c), *apart = weft_ctx_without_cancel(NULL), *linked, *late;
	weft_ctx_hook *h[3];
	weft_task *root;
	pthread_t th;

	(void)arg;
	linked = weft_ctx_linked(apart, c);
	T_OK(c && below && apart && linked);
	h[0] = weft_ctx_on_done(c, hook, &hooks);
	h[1] = weft_ctx_on_done(NULL, hook, &hooks); /* the root */
	h[2] = weft_ctx_on_done(apart, hook, &hooks);
	T_OK(h[0] && h[1] && h[2]);
	T_EQ(pthread_create(&th, NULL, thread_waits, below), 0);
	T_EQ(weft_go(told, below), 0);
	T_EQ(weft_go(told, linked), 0);
	T_EQ(weft_go_opts(&root, lives_apart, NULL, &(weft_task_opts){.ctx = apart}), 0);
	until(load_acquire(&ready) == 3);
	weft_task_detach(root);
	T_EQ(weft_shutdown_until(WEFT_FOREVER), 0);
	T_EQ(load_acquire(&canceled), 4);
	T_EQ(load_acquire(&over), 4);
	T_EQ(load_acquire(&hooks), 2);
	T_EQ(weft_ctx_reason(apart), WEFT_NOT_CANCELED);
	T_EQ(weft_ctx_reason(linked), WEFT_REASON_SHUTDOWN);
	late = weft_ctx_make(NULL);
	T_EQ(weft_ctx_reason(late), WEFT_REASON_SHUTDOWN);
	weft_ctx_free(late);
	late = weft_ctx_make(apart);
	T_EQ(weft_ctx_reason(late), WEFT_NOT_CANCELED);
	weft_ctx_free(late);
	WEFT_BLOCKING
	{
		pthread_join(th, NULL);
	}
	T_EQ(weft_ctx_forget(h[0]), 0);
	T_EQ(weft_ctx_forget(h[1]), 0);
	T_EQ(weft_ctx_forget(h[2]), 1);
	weft_ctx_free(linked);
	weft_ctx_free(apart);
	weft_ctx_free(below);
	weft_ctx_free(c);
	return 0;
}

/* What is started later is cancelled from the beginning; shields, contexts apart, and who waits for a context's end from there: as for any cancel. Callbacks are called. */
TEST_WORKERS(like_any_cancel)
{
	run(apart_main, NULL);
}

/* --- paused --- */

static int seen_main(void *arg)
{
	(void)arg;
	born(NULL);
	return 6;
}

static void *thread_runs(void *arg)
{
	*(int *)arg = weft_run(seen_main, NULL, &(weft_opts){.workers = tap_workers(), .paused = true});
	return NULL;
}

/* A runtime that is paused runs, so that each task finds that it is cancelled. */
TEST_WORKERS(while_paused)
{
	pthread_t th;
	int rc;

	T_EQ(pthread_create(&th, NULL, thread_runs, &rc), 0);
	until(weft_state() == WEFT_STATE_PAUSED);
	T_EQ(weft_go(born, NULL), 0);
	T_EQ(weft_shutdown_until(WEFT_FOREVER), 0);
	pthread_join(th, NULL);
	T_EQ(rc, 6);
	T_EQ(load_acquire(&canceled), 2);
	nothing_left();
}

/* --- others' tasks --- */

static int idle_actor(void *state)
{
	weft_msg *m;
	int rc;

	(void)state;
	rc = weft_actor_recv(&m);
	add_acq_rel(&canceled, 1);
	return rc;
}

static int services_main(void *arg)
{
	weft_chan *c = weft_chan_make(sizeof(int), 1);
	weft_actor_ref a;

	(void)arg;
	T_EQ(weft_signal_notify(c, SIGUSR1, 0), 0);
	T_EQ(weft_actor_start(&a, &(weft_actor_opts){.run = idle_actor}), 0);
	T_EQ(weft_shutdown_until(WEFT_FOREVER), 0);
	T_EQ(load_acquire(&canceled), 1);
	T_EQ(weft_signal_stop(c), 0);
	weft_chan_free(c);
	return 0;
}

/* The task that hands on signals is not waited for, and goes on; an actor ends. */
TEST_WORKERS(services)
{
	T_EQ(weft_run(services_main, NULL, &(weft_opts){.workers = tap_workers()}), 0); /* what is kept of signals is a descriptor */
	nothing_left();
}

static int forever_main(void *arg)
{
	T_EQ(weft_go(shielded, arg), 0);
	(void)weft_shutdown_until(WEFT_FOREVER);
	return 0;
}

/* One that waits for ever, and a grace without end: that is a deadlock like any other. */
TEST_WORKERS(deadlock)
{
	weft_event e = {0};

	tap_leaky();
	T_EQ(run_with(forever_main, &e, (weft_opts){.workers = 0}), WEFT_EDEADLK);
}

static int last_one(void *arg)
{
	(void)arg;
	return weft_shutdown_until(WEFT_FOREVER);
}

static int first_gone_main(void *arg)
{
	(void)arg;
	(void)weft_task_sleep(US);
	return 4;
}

static int heirs(void *arg)
{
	weft_task *t;
	weft_stat s;

	(void)arg;
	until(weft_stats(&s) == 0 && s.finished == 1);
	for (int i = 0; i < 64; i++) { /* one of them has the first one's record */
		t = start(last_one, NULL);
		weft_task_detach(t);
	}
	return 0;
}

static int first_gone(void *arg)
{
	weft_task *t = start(heirs, arg);

	weft_task_detach(t);
	return first_gone_main(arg);
}

/* Callers that come when the first task has ended, one of them in its record. */
TEST_WORKERS(when_the_first_has_gone)
{
	T_EQ(run_with(first_gone, NULL, (weft_opts){.exit = WEFT_EXIT_ON_IDLE}), 4);
}

/* --- a storm --- */

static void breeds(uint64_t seed)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	switch (seed >> 61) {
	case 0:
		(void)weft_task_sleep(3600 * SEC);
		break;
	case 1:
		WEFT_WITH_SHIELD(void) weft_task_sleep(20 * US);
		break;
	case 2:
		weft_task_yield();
		T_EQ(weft_go(breeds, seed), 0);
		break;
	default:
		if (weft_ctx_check() == 0)
			T_EQ(weft_go(breeds, seed), 0);
		if (weft_ctx_check() == 0 && seed >> 62 == 3)
			T_EQ(weft_go(breeds, seed + 1), 0);
		(void)weft_task_sleep((int64_t)(seed >> 48) % (20 * US));
		break;
	}
	add_acq_rel(&over, 1);
}

static int storm_main(void *arg)
{
	weft_stat s;

	for (int i = 0; i < 8; i++)
		T_EQ(weft_go(breeds, (uint64_t)(uintptr_t)arg * 8 + (uint64_t)i), 0);
	for (int i = 0; i < (int)(intptr_t)arg % 20; i++)
		weft_task_yield();
	T_EQ(weft_shutdown_until(WEFT_FOREVER), 0);
	T_EQ(weft_stats(&s), 0);
	T_EQ(s.started, s.finished + 1);
	T_EQ((uint64_t)load_acquire(&over), s.finished);
	store_release(&over, 0);
	return 0;
}

/* In the middle of tasks that start others. */
TEST_WORKERS(storm)
{
	for (long i = 0; i < tap_iters(50); i++)
		T_EQ(weft_run(storm_main, (void *)(intptr_t)i, &(weft_opts){.workers = tap_workers()}), 0);
	nothing_left();
}
