/* SPDX-License-Identifier: MIT
 *
 * contain.c - core/contain.c: an actor that fails in code of its own ends, with its end told, its locks poisoned, its messages destroyed; everything else goes on. And where that must not be done, the process ends, as it does
 * without.
 */
#include "rt.h"
#include "weft/actor.h"
#include "weft/blocking.h"
#include "weft/bus.h"
#include "weft/fsm.h"
#include "weft/lock.h"
#include "weft/scope.h"
#include "weft/server.h"
#include "weft/supervisor.h"
#include "weft/local.h"
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* A sanitizer has handlers of its own. */
static void needs_containment(void)
{
	if (weft__san)
		tap_skip("not with a sanitizer");
}

/* --- ways to fail --- */

static int *volatile nowhere;
static char *volatile no_text;
static int volatile zero, sink, thousand = 1000;
static void (*volatile no_function)(void);

__attribute__((noinline)) static int deep(int n)
{
	volatile char frame[512];

	frame[0] = (char)n;
	return n < 0 ? 0 : deep(n + 1) + frame[0];
}

/* A frame of many pages, which are touched one after the other before it begins. */
__attribute__((noinline)) static int deep_and_wide(int n)
{
	volatile char frame[40 * 1024];

	frame[0] = (char)n;
	return n < 0 ? 0 : deep_and_wide(n + 1) + frame[0];
}

/* Where the stack ends is as good as always in a call of somebody else's. */
__attribute__((noinline)) static int deep_in_libc(int n)
{
	char text[64];

	(void)snprintf(text, sizeof text, "%d %.3f", n, n / 3.0);
	free(malloc((size_t)(n & 0xff) + 1));
	return n < 0 ? 0 : deep_in_libc(n + 1) + text[0];
}

__attribute__((noinline)) static int deep_in_weft(int n)
{
	volatile char frame[32];
	const weft_msg *m;

	frame[0] = weft_actor_peek(&m) == 0;
	(void)weft_actor_alive(weft_actor_self());
	return n < 0 ? 0 : deep_in_weft(n + 1) + frame[0];
}

__attribute__((noinline)) static int deep_and_away(int n)
{
	volatile char frame[16];

	frame[0] = (char)n;
	weft_task_yield();
	return n < 0 ? 0 : deep_and_away(n + 1) + frame[0];
}

static int by_failing(const void *a, const void *b)
{
	(void)b;
	*nowhere = *(const int *)a;
	return 0;
}

enum fault {
	OVERFLOW,
	OVERFLOW_WIDE,
	OVERFLOW_LIBC,
	OVERFLOW_WEFT,
	OVERFLOW_AWAY,
	WRITE_NULL,
	READ_FAR,
	CALL_NULL,
	DIVIDE,
	TRAP,
	ABORT,
	ASSERT,
	TEXT,
	COPY,
	SORT,
	FAULTS
};

static void fail_by(enum fault f)
{
	int some[] = {3, 1, 2, 7, 5};

	switch (f) {
	case OVERFLOW:
		sink = deep(1);
		break;
	case OVERFLOW_WIDE:
		sink = deep_and_wide(1);
		break;
	case OVERFLOW_LIBC:
		sink = deep_in_libc(1);
		break;
	case OVERFLOW_WEFT:
		sink = deep_in_weft(1);
		break;
	case OVERFLOW_AWAY:
		sink = deep_and_away(1);
		break;
	case WRITE_NULL:
		*nowhere = 1;
		break;
	case READ_FAR:
		sink = *(volatile int *)((uintptr_t)nowhere + ((uintptr_t)1 << 62)); /* no address at all on x86_64 */
		break;
	case CALL_NULL:
		no_function();
		break;
	case DIVIDE:
		sink = thousand / zero; /* compilers have ideas about 1 / x */
		break;
	case TRAP:
		__builtin_trap();
	case ABORT:
		abort();
	case ASSERT:
		assert(zero == 1);
		break;
	case TEXT:
		sink = (int)strlen(no_text);
		break;
	case COPY:
		memcpy(no_text, some, (size_t)(sink & 0) + sizeof some);
		break;
	case SORT:
		qsort(some, 5, sizeof some[0], by_failing);
		break;
	default:
		break;
	}
	T_FAIL("fault %d has not happened", (int)f);
}

static int code_of(enum fault f)
{
	static const int codes[FAULTS] = {[OVERFLOW] = WEFT_EOVERFLOW,
					  [OVERFLOW_WIDE] = WEFT_EOVERFLOW,
					  [OVERFLOW_LIBC] = WEFT_EOVERFLOW,
					  [OVERFLOW_WEFT] = WEFT_EOVERFLOW,
					  [OVERFLOW_AWAY] = WEFT_EOVERFLOW,
					  [DIVIDE] = WEFT_EARITH,
					  [TRAP] = WEFT_EILLEGAL,
					  [ABORT] = WEFT_EABORT,
					  [ASSERT] = WEFT_EABORT};

	return codes[f] ? codes[f] : WEFT_EFAULT;
}

static bool happens(enum fault f)
{
#if defined(__x86_64__)
	return f < FAULTS;
#else
	return f != DIVIDE; /* the result is 0 */
#endif
}

/* --- who fails, and who watches --- */

enum { FAIL = FAULTS, HELD };

static int on_msg(void *state, weft_msg *m)
{
	(void)state;
	if (m->tag < FAULTS)
		fail_by((enum fault)m->tag);
	return 0;
}

static weft_actor_ref started(weft_actor_opts o)
{
	weft_actor_ref ref;

	o.contain = true;
	T_EQ(weft_actor_start(&ref, &o), 0);
	return ref;
}

static void attach(void)
{
	T_EQ(weft_actor_attach(NULL, NULL), 0);
}

/* The end of one that the caller monitors. */
static weft_end the_end(void)
{
	weft_msg *m;
	weft_end e;

	T_EQ(weft_actor_recv(&m), 0);
	T_EQ(m->kind, WEFT_MSG_DOWN);
	e = weft_msg_down(m)->end;
	weft_msg_free(m);
	return e;
}

static void watch(weft_actor_ref ref)
{
	T_EQ(weft_actor_monitor(ref, NULL), 0);
}

static void ends_by(weft_actor_ref ref, enum fault f)
{
	weft_end e;

	watch(ref);
	T_EQ(weft_actor_send(ref, f, NULL, 0, WEFT_PRIO_NORMAL), 0);
	e = the_end();
	T_EQ(e.kind, WEFT_END_FAULT);
	T_EQ(e.code, code_of(f));
	T_STR_EQ(weft_end_name(e), "fault");
}

/* --- each kind, in each place --- */

static int each_kind(void *arg)
{
	weft_stat st;
	uint64_t n = 0;

	(void)arg;
	attach();
	for (int round = 0; round < 3; round++) {
		for (int f = 0; f < FAULTS; f++) {
			if (!happens((enum fault)f))
				continue;
			tap_note("fault %d", f);
			ends_by(started((weft_actor_opts){.on_msg = on_msg}), (enum fault)f);
			n++;
		}
	}
	T_EQ(weft_stats(&st), 0);
	T_EQ(st.faults, n);
	T_OK(st.quarantined > 0 && st.quarantined <= STACK_QUARANTINE);
	return 0;
}

TEST_WORKERS(a_fault_in_a_handler_ends_the_actor)
{
	needs_containment();
	run(each_kind, NULL);
}

static int fail_at_start(void *state)
{
	fail_by(*(enum fault *)state);
	return 0;
}

static int at_start(void *arg)
{
	weft_actor_ref ref;

	(void)arg;
	for (int f = 0; f < FAULTS; f++) {
		enum fault way = (enum fault)f;

		if (happens(way)) {
			T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = on_msg,
								       .on_start = fail_at_start,
								       .state = &way,
								       .size = sizeof way,
								       .contain = true}),
			     code_of(way));
			T_OK(weft_actor_same(ref, WEFT_NO_ACTOR));
		}
	}
	return 0;
}

TEST_WORKERS(a_fault_in_on_start_is_what_the_start_returns)
{
	needs_containment();
	run(at_start, NULL);
}

static void fail_at_stop(void *state, weft_end e)
{
	(void)e;
	fail_by(*(enum fault *)state);
}

static int at_stop(void *arg)
{
	enum fault way = WRITE_NULL;
	weft_actor_ref ref = started((weft_actor_opts){.on_msg = on_msg, .on_stop = fail_at_stop, .state = &way, .size = sizeof way});
	weft_end e;

	(void)arg;
	attach();
	watch(ref);
	T_EQ(weft_actor_stop(ref, (weft_end){WEFT_END_NORMAL, 0}), 0);
	e = the_end();
	T_EQ(e.kind, WEFT_END_FAULT);
	T_EQ(e.code, WEFT_EFAULT);
	return 0;
}

TEST_WORKERS(a_fault_in_on_stop_is_the_end)
{
	needs_containment();
	run(at_stop, NULL);
}

static int volatile ran;

static void runs(void *arg)
{
	(void)arg;
	ran = 1;
}

static int tried(void *arg)
{
	WEFT_DEFER(runs, NULL);

	(void)arg;
	fail_by(WRITE_NULL);
	return 0;
}

static int run_deferred(void *state)
{
	WEFT_DEFER(runs, NULL);

	(void)state;
	(void)weft_task_try(tried, NULL, NULL);
	return 0;
}

static void on_stop_runs(void *state, weft_end e)
{
	(void)state;
	(void)e;
	ran = 2;
}

static int on_error_runs(void *state, int code, const weft_panic *p)
{
	(void)state;
	(void)code;
	(void)p;
	ran = 3;
	return -1;
}

static weft_local local;

static void local_runs(void *value)
{
	(void)value;
	ran = 4;
}

static int run_with_value(void *state)
{
	T_EQ(weft_local_set(local, &local), 0);
	return run_deferred(state);
}

static int nothing_runs(void *arg)
{
	weft_actor_ref ref;

	(void)arg;
	attach();
	T_EQ(weft_local_make(&local, local_runs, NULL), 0);
	ref = started((weft_actor_opts){.run = run_with_value, .on_stop = on_stop_runs, .on_error = on_error_runs});
	watch(ref);
	while (weft_actor_alive(ref))
		let_run();
	(void)the_end();
	T_EQ(ran, 0);
	T_EQ(weft_local_free(local), 0);
	return 0;
}

TEST_WORKERS(nothing_of_it_runs_any_more)
{
	needs_containment();
	run(nothing_runs, NULL);
}

/* In something deferred that a panic runs, in blocks, under a deadline, pinned. */
static void fail_later(void *arg)
{
	(void)arg;
	fail_by(OVERFLOW);
}

static int run_panics(void *state)
{
	(void)state;
	WEFT_DEFER(fail_later, NULL);
	weft_task_panic("on purpose");
}

static int run_in_blocks(void *state)
{
	(void)state;
	weft_task_pin();
	WEFT_WITH_TIMEOUT (10 * WEFT_SEC) {
		(void)weft_task_sleep(1); /* its timer is set */
		fail_by(OVERFLOW);
	}
	return 0;
}

static int in_odd_places(void *arg)
{
	int (*const fns[])(void *) = {run_panics, run_in_blocks};
	weft_end e;

	(void)arg;
	attach();
	for (int i = 0; i < 2; i++) {
		weft_actor_ref ref = started((weft_actor_opts){.run = fns[i]});

		watch(ref);
		while (weft_actor_alive(ref))
			let_run();
		e = the_end();
		T_OK(e.kind == WEFT_END_FAULT || e.kind == WEFT_END_UNKNOWN); /* it may be over before it is watched */
		T_EQ(weft_actor_send(ref, 0, NULL, 0, WEFT_PRIO_NORMAL), WEFT_ESRCH);
	}
	return 0;
}

TEST_WORKERS(in_what_is_deferred_and_in_blocks)
{
	needs_containment();
	run(in_odd_places, NULL);
}

/* --- what it leaves behind --- */

static _Atomic int destroyed;

static void destroy(weft_msg *m)
{
	(void)m;
	destroyed++;
}

static int run_fails_when_told(void *state)
{
	weft_event *go = *(weft_event **)state;
	weft_msg *m;

	T_EQ(weft_actor_recv(&m), 0);
	T_EQ(weft_event_wait(go), 0);
	fail_by(WRITE_NULL);
	return 0;
}

static int mail(void *arg)
{
	weft_event go = {0}, *pgo = &go;
	weft_actor_ref ref = started((weft_actor_opts){.run = run_fails_when_told, .dtor = destroy, .state = &pgo, .size = sizeof pgo});
	weft_end e;

	(void)arg;
	attach();
	watch(ref);
	destroyed = 0;
	for (int i = 0; i < 5; i++)
		T_EQ(weft_actor_send(ref, 1, "some text that is long enough to be a message of its own, in memory of its own", 80,
				     WEFT_PRIO_NORMAL),
		     0);
	weft_event_set(&go);
	e = the_end();
	T_EQ(e.kind, WEFT_END_FAULT);
	until(destroyed == 4); /* one it has received */
	T_EQ(weft_actor_send(ref, 1, NULL, 0, WEFT_PRIO_NORMAL), WEFT_ESRCH);
	return 0;
}

TEST_WORKERS(its_messages_are_destroyed)
{
	needs_containment();
	run(mail, NULL);
}

static int sleeps(void *arg)
{
	_Atomic int *ended = arg;
	int rc = weft_task_sleep(WEFT_FOREVER / 2);

	*ended = rc;
	return rc;
}

static int run_with_child(void *state)
{
	T_EQ(weft_go_opts(NULL, sleeps, *(void **)state, NULL), 0);
	fail_by(ABORT);
	return 0;
}

static int children(void *arg)
{
	static _Atomic int ended;
	_Atomic int *p = &ended;
	weft_actor_ref ref;

	(void)arg;
	ended = 0;
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.run = run_with_child, .state = &p, .size = sizeof p, .contain = true}), 0);
	until(ended == WEFT_ECANCELED);
	return 0;
}

TEST_WORKERS(what_it_has_started_is_cancelled)
{
	needs_containment();
	run(children, NULL);
}

/* --- locks --- */

struct locks {
	weft_mutex m, other;
	weft_rmutex r;
	weft_rwlock l;
	weft_cond c;
	weft_event held, go;
};

static int run_holding(void *state)
{
	struct locks *k = *(struct locks **)state;

	T_EQ(weft_mutex_lock(&k->m), 0);
	T_EQ(weft_mutex_lock(&k->other), 0);
	weft_mutex_unlock(&k->other);
	T_EQ(weft_rmutex_lock(&k->r), 0);
	T_EQ(weft_rmutex_lock(&k->r), 0);
	T_EQ(weft_rwlock_wrlock(&k->l), 0);
	weft_event_set(&k->held);
	T_EQ(weft_event_wait(&k->go), 0);
	fail_by(WRITE_NULL);
	return 0;
}

static int lock_m(void *k)
{
	return weft_mutex_lock(&((struct locks *)k)->m);
}

static int lock_r(void *k)
{
	return weft_rmutex_lock(&((struct locks *)k)->r);
}

static int read_l(void *k)
{
	return weft_rwlock_rdlock(&((struct locks *)k)->l);
}

static int write_l(void *k)
{
	return weft_rwlock_wrlock(&((struct locks *)k)->l);
}

static void *lock_outside(void *k)
{
	return (void *)(intptr_t)lock_m(k);
}

static int owned(void *arg)
{
	weft_task_fn *const fns[] = {lock_m, lock_m, lock_r, read_l, write_l, read_l};
	weft_task *t[6];
	struct locks k = {.c = {0}}, *pk = &k;
	weft_actor_ref ref;
	pthread_t outside;
	void *said;

	(void)arg;
	attach();
	ref = started((weft_actor_opts){.run = run_holding, .state = &pk, .size = sizeof pk});
	watch(ref);
	T_EQ(weft_event_wait(&k.held), 0);
	for (int i = 0; i < 6; i++) {
		t[i] = start(fns[i], &k);
		until_parked(t[i]);
	}
	T_EQ(pthread_create(&outside, NULL, lock_outside, &k), 0);
	weft_event_set(&k.go);
	T_EQ(the_end().kind, WEFT_END_FAULT);
	for (int i = 0; i < 6; i++)
		T_EQ(finish(t[i]), WEFT_EPOISONED); /* who waited */
	T_EQ(pthread_join(outside, &said), 0);
	T_EQ((intptr_t)said, WEFT_EPOISONED);
	T_EQ(weft_mutex_lock(&k.m), WEFT_EPOISONED); /* and who comes */
	T_EQ(weft_mutex_lock_until(&k.m, WEFT_NOW), WEFT_EPOISONED);
	T_EQ(weft_mutex_trylock(&k.m), WEFT_EPOISONED);
	T_EQ(weft_rmutex_trylock(&k.r), WEFT_EPOISONED);
	T_EQ(weft_rwlock_tryrdlock(&k.l), WEFT_EPOISONED);
	T_EQ(weft_rwlock_trywrlock(&k.l), WEFT_EPOISONED);
	T_EQ(weft_mutex_lock(&k.other), 0); /* it had given that up */
	T_EQ(weft_mutex_recover(&k.other), WEFT_EINVAL);
	weft_mutex_unlock(&k.other);
	T_EQ(weft_mutex_recover(&k.other), WEFT_EINVAL);
	T_EQ(weft_rwlock_recover(&(weft_rwlock){0}), WEFT_EINVAL);
	T_EQ(weft_rmutex_recover(&(weft_rmutex){.weft__depth = 0}), WEFT_EINVAL);

	T_EQ(weft_mutex_recover(&k.m), 0);
	T_EQ(weft_mutex_lock(&k.m), WEFT_EDEADLK); /* it is ours */
	t[0] = start(lock_m, &k);
	until_reason(t[0], "mutex");
	T_EQ(weft_task_cancel(t[0]), 0);
	T_EQ(finish(t[0]), WEFT_ECANCELED);
	weft_mutex_unlock(&k.m);
	T_EQ(weft_mutex_recover(&k.m), WEFT_EINVAL);
	T_EQ(weft_mutex_lock(&k.m), 0);
	weft_mutex_unlock(&k.m);
	T_EQ(weft_rmutex_recover(&k.r), 0);
	weft_rmutex_unlock(&k.r);
	T_EQ(weft_rmutex_trylock(&k.r), 0);
	weft_rmutex_unlock(&k.r);
	T_EQ(weft_rwlock_recover(&k.l), 0);
	weft_rwlock_downgrade(&k.l);
	T_EQ(weft_rwlock_tryrdlock(&k.l), 0);
	weft_rwlock_unlock(&k.l);
	weft_rwlock_unlock(&k.l);
	T_EQ(weft_rwlock_wrlock(&k.l), 0);
	weft_rwlock_unlock(&k.l);
	return 0;
}

TEST_WORKERS(locks_it_owned_are_poisoned)
{
	needs_containment();
	run(owned, NULL);
}

static int wait_cond(void *arg)
{
	struct locks *k = arg;
	int rc = 0, lock_rc;

	WEFT_WITH_LOCK_OR (&k->m, lock_rc) {
		weft_event_set(&k->held);
		rc = weft_cond_wait(&k->c, &k->m); /* not held any more: nor does the block unlock it */
	}
	T_EQ(lock_rc, 0);
	return rc;
}

static int run_signals(void *state)
{
	struct locks *k = *(struct locks **)state;

	T_EQ(weft_mutex_lock(&k->m), 0);
	weft_cond_broadcast(&k->c);
	T_EQ(weft_event_wait(&k->go), 0);
	fail_by(DIVIDE);
	return 0;
}

static int conds(void *arg)
{
	struct locks k = {.c = {0}}, *pk = &k;
	weft_actor_ref ref;
	weft_task *t;

	(void)arg;
	if (!happens(DIVIDE))
		return 0;
	attach();
	t = start(wait_cond, &k);
	T_EQ(weft_event_wait(&k.held), 0);
	until_reason(t, "condition");
	ref = started((weft_actor_opts){.run = run_signals, .state = &pk, .size = sizeof pk});
	watch(ref);
	until_reason(t, "mutex"); /* it has been woken, and wants it back */
	weft_event_set(&k.go);
	T_EQ(the_end().kind, WEFT_END_FAULT);
	T_EQ(finish(t), WEFT_EPOISONED);
	T_EQ(weft_mutex_recover(&k.m), 0);
	weft_mutex_unlock(&k.m);
	return 0;
}

TEST_WORKERS(a_wait_upon_a_condition_is_told)
{
	needs_containment();
	run(conds, NULL);
}

/* --- those who stand on actors --- */

static int call_fails(void *state, weft_msg *m, weft_from from)
{
	(void)state;
	if (m->tag < FAULTS)
		fail_by((enum fault)m->tag);
	return weft_server_reply(from, NULL, 0);
}

static int state_fails(void *data, const weft_fsm_event *e)
{
	(void)data;
	if (e->m && e->m->tag < FAULTS)
		fail_by((enum fault)e->m->tag);
	return 0;
}

static int servers(void *arg)
{
	static const weft_server_vt vt = {.call = call_fails};
	static const weft_fsm_state one[] = {{.on = state_fails}};
	static const weft_fsm_vt machine = {.states = one, .n = 1};
	weft_server_opts o = {.contain = true};
	weft_actor_ref ref;

	(void)arg;
	attach();
	T_EQ(weft_server_start(&ref, &vt, NULL, &o), 0);
	T_EQ(weft_server_call(ref, HELD, NULL, 0, NULL, 0), 0);
	T_EQ(weft_server_call(ref, OVERFLOW, NULL, 0, NULL, 0), WEFT_EDOWN);
	T_EQ(weft_server_call(ref, HELD, NULL, 0, NULL, 0), WEFT_ESRCH);
	T_EQ(weft_fsm_start(&ref, &machine, NULL, &o), 0);
	ends_by(ref, WRITE_NULL);
	T_EQ(weft_bus_start(&ref, &o), WEFT_ENOTSUP);
	return 0;
}

TEST_WORKERS(servers_and_state_machines)
{
	needs_containment();
	run(servers, NULL);
}

static _Atomic int lives;

static int lives_shortly(void *arg)
{
	(void)arg;
	if (++lives <= FAULTS && happens((enum fault)(lives - 1)))
		fail_by((enum fault)(lives - 1));
	return 0;
}

static int start_nothing(weft_actor_ref *out, void *arg)
{
	(void)out;
	(void)arg;
	return WEFT_CHILD_IGNORE;
}

static int supervised(void *arg)
{
	const weft_child_spec c = {.id = "fragile", .task = lives_shortly, .restart = WEFT_TRANSIENT, .contain = true};
	const weft_child_spec bad = {.id = "other", .start = start_nothing, .contain = true};
	weft_actor_ref sup;
	weft_sup_stat st;

	(void)arg;
	lives = 0;
	T_EQ(weft_sup_start(&sup, &(weft_sup_opts){.children = &bad, .n = 1}), WEFT_EINVAL);
	T_EQ(weft_sup_start(&sup, &(weft_sup_opts){.children = &c, .n = 1, .max_restarts = WEFT_SUP_UNLIMITED}), 0);
	until(lives > FAULTS || (!happens(DIVIDE) && lives > DIVIDE));
	if (happens(DIVIDE)) {
		do
			T_EQ(weft_sup_health(sup, &st), 0);
		while (st.restarts < FAULTS);
		T_EQ(st.restarts, FAULTS);
	}
	T_EQ(weft_sup_stop(sup), 0);
	return 0;
}

TEST_WORKERS(a_supervisor_starts_it_again)
{
	needs_containment();
	run(supervised, NULL);
}

/* --- the thread afterwards --- */

/* Division by zero traps, on this thread. */
static unsigned float_control(bool trap)
{
#if defined(__x86_64__)
	unsigned was = __builtin_ia32_stmxcsr();

	if (trap)
		__builtin_ia32_ldmxcsr(was & ~0x200u);
	return was & 0xff80;
#else
	(void)trap;
	return 0; /* these processors need not be able to */
#endif
}

static int run_traps_floats(void *state)
{
	double volatile none = 0;

	(void)state;
	(void)float_control(true);
	sink = 1.0 / none > 0;
	fail_by(WRITE_NULL);
	return 0;
}

static int floats(void *arg)
{
	unsigned control = float_control(false);
	weft_actor_ref ref;
	sigset_t now, old;

	(void)arg;
	attach();
	pthread_sigmask(SIG_SETMASK, NULL, &old);
	ref = started((weft_actor_opts){.run = run_traps_floats});
	until(!weft_actor_alive(ref));
	T_EQ(float_control(false), control);
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	for (int i = 1; i < SIGRTMIN; i++)
		T_EQ(sigismember(&now, i), sigismember(&old, i));
	return 0;
}

TEST(the_worker_is_as_it_was)
{
	needs_containment();
	T_EQ(run_with(floats, NULL, (weft_opts){.workers = 1}), 0);
}

static int many(void *arg)
{
	weft_stat st;

	(void)arg;
	attach();
	for (int i = 0; i < 3 * STACK_QUARANTINE; i++)
		ends_by(started((weft_actor_opts){.on_msg = on_msg}), WRITE_NULL);
	T_EQ(weft_stats(&st), 0);
	T_EQ(st.quarantined, STACK_QUARANTINE);
	T_EQ(st.faults, 3 * STACK_QUARANTINE);
	return 0;
}

TEST_WORKERS(a_bounded_number_of_stacks_is_kept)
{
	needs_containment();
	run(many, NULL);
}

/* Several at once, on all workers. */
static int one_of_many(void *arg)
{
	(void)arg;
	attach();
	for (int i = 0; i < 20; i++)
		ends_by(started((weft_actor_opts){.on_msg = on_msg}), i % 2 ? OVERFLOW : SORT);
	return 0;
}

static int at_once(void *arg)
{
	weft_task *t[8];

	(void)arg;
	for (int i = 0; i < 8; i++)
		t[i] = start(one_of_many, NULL);
	for (int i = 0; i < 8; i++)
		T_EQ(finish(t[i]), 0);
	return 0;
}

TEST_WORKERS(several_fail_at_once)
{
	needs_containment();
	run(at_once, NULL);
}

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

/* The handlers are there for as long as the runtime that needs them. */
TEST(handlers_go_with_the_runtime)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
	struct sigaction before[6], now;

	needs_containment();
	for (int i = 0; i < 6; i++)
		T_EQ(sigaction(signals[i], NULL, &before[i]), 0);
	run(at_start, NULL);
	for (int i = 0; i < 6; i++) {
		T_EQ(sigaction(signals[i], NULL, &now), 0);
		T_OK(now.sa_handler == before[i].sa_handler);
	}
	run(nothing, NULL);
	run(at_start, NULL);
}

static int refused(void *arg)
{
	weft_actor_ref ref;

	(void)arg;
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = on_msg, .contain = true}), WEFT_ENOTSUP);
	T_OK(weft_actor_same(ref, WEFT_NO_ACTOR));
	return 0;
}

/* Without handlers, or with those of a sanitizer. */
TEST(where_it_cannot_be_done_the_start_says_so)
{
	T_EQ(run_with(refused, NULL, (weft_opts){.no_signals = true}), 0);
	if (weft__san)
		run(refused, NULL);
}

/* --- what is not contained --- */

static int stands_by(void *state)
{
	int (*fn)(void) = *(int (**)(void))state;

	return fn();
}

static int dies(void *arg)
{
	weft_actor_ref ref;

	fprintf(stderr, "about to die\n");
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.run = stands_by, .state = &arg, .size = sizeof arg, .contain = true}), 0);
	until(!weft_actor_alive(ref));
	printf("it was contained\n");
	exit(0);
}

#define DIES(name)                          \
	TEST_DIES(name, "about to die")     \
	{                                   \
		needs_containment();        \
		run(dies, (void *)name##_); \
	}

static int plain_fault(void *arg)
{
	(void)arg;
	fail_by(WRITE_NULL);
	return 0;
}

static int in_a_task_of_its_own_(void)
{
	weft_task *t;

	T_EQ(weft_go_opts(&t, plain_fault, NULL, NULL), 0);
	return weft_task_join(t, NULL);
}

DIES(in_a_task_of_its_own)

static int in_a_blocking_section_(void)
{
	WEFT_BLOCKING
	{
		fail_by(WRITE_NULL);
	}
	return 0;
}

DIES(in_a_blocking_section)

static void once_fails(void *arg)
{
	(void)arg;
	fail_by(WRITE_NULL);
}

static int under_a_call_of_wefts_(void)
{
	static weft_once o;

	return (weft_once_do)(&o, once_fails, NULL);
}

DIES(under_a_call_of_wefts)

static int in_a_call_of_wefts_(void)
{
	return weft_actor_send(weft_actor_self(), 1, no_text + 8, (size_t)48 + (size_t)zero, WEFT_PRIO_NORMAL);
}

DIES(in_a_call_of_wefts)

static int in_a_call_of_libcs_(void)
{
	return printf("%s\n", no_text + 8);
}

DIES(in_a_call_of_libcs)

static int by_a_signal_from_outside_(void)
{
	return kill(getpid(), SIGSEGV);
}

DIES(by_a_signal_from_outside)

static int by_malloc_(void)
{
	void *volatile p = malloc(400); /* a chunk that goes to no cache */
	void *volatile q = malloc(5000), *volatile r = malloc(5000);

	(void)p;
	(void)r;
	free(q);
	free(q);
	return 0;
}

DIES(by_malloc)

static int not_asked_for_(void)
{
	weft_actor_ref ref;

	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.run = plain_fault}), 0);
	until(!weft_actor_alive(ref));
	return 0;
}

DIES(not_asked_for)

#ifdef WEFT_DEBUG /* else nobody knows who holds it */
static int with_a_spin_lock_(void)
{
	static weft_spin s;

	weft_spin_lock(&s);
	fail_by(WRITE_NULL);
	return 0;
}

DIES(with_a_spin_lock)
#endif
