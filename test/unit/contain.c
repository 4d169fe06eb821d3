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
#include "core/contain.h"
#include <assert.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

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

#if defined(__x86_64__)
#define BREAK_HERE __asm__ volatile("int3")
#else
#define BREAK_HERE __asm__ volatile("brk #0")
#endif

/* The last instruction of its function. */
__attribute__((noinline)) static void breakpoint(void)
{
	BREAK_HERE;
	__builtin_unreachable();
}

/* What calls of strcpy and sprintf become with _FORTIFY_SOURCE. */
extern char *__strcpy_chk(char *to, const char *from, size_t size);
extern int __sprintf_chk(char *to, int flag, size_t size, const char *fmt, ...);

static char *volatile text_of_28 = (char[]){"something of some characters"};

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
	BREAKPOINT,
	ABORT,
	ASSERT,
	TEXT,
	COPY,
	SORT,
	CHECKED_TEXT,
	CHECKED_NULL,
	CHECKED_PRINT,
	FAULTS
};

static void fail_by(enum fault f)
{
	int some[] = {3, 1, 2, 7, 5};
	char room[8];

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
	case BREAKPOINT:
		breakpoint();
		break;
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
	case CHECKED_TEXT:
		sink = *__strcpy_chk(room, text_of_28, sizeof room);
		break;
	case CHECKED_NULL:
		sink = *__strcpy_chk(room, no_text, sizeof room);
		break;
	case CHECKED_PRINT:
		sink = __sprintf_chk(room, 1, sizeof room, "%s", text_of_28);
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
					  [BREAKPOINT] = WEFT_EILLEGAL,
					  [CHECKED_TEXT] = WEFT_EABORT,
					  [CHECKED_PRINT] = WEFT_EABORT,
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
	T_OK(st.quarantined > 0 && st.quarantined <= n);
	return 0;
}

TEST_WORKERS(a_fault_in_a_handler_ends_the_actor)
{
	needs_containment();
	run(each_kind, NULL);
}

#define LITTLE 700 /* bytes of stack: the loader needs more to find a function, another call less */

__attribute__((noinline)) static int deep_and_first(int n)
{
	volatile char frame[32];

	frame[0] = (char)n;
	return weft_task_stack_left() < LITTLE ? getppid() + frame[0] : deep_and_first(n + 1) + frame[0];
}

static int run_deep_and_first(void *state)
{
	(void)state;
	sink = deep_and_first(1);
	return 0;
}

static int first_call(void *arg)
{
	weft_actor_ref ref = started((weft_actor_opts){.run = run_deep_and_first});

	(void)arg;
	until(!weft_actor_alive(ref));
	return 0;
}

/* What the loader does then, unless all functions were looked for at the start, and nothing happens. */
TEST(a_stack_that_is_full_when_a_function_is_called_for_the_first_time)
{
	needs_containment();
#if !defined(__x86_64__)
	tap_skip("the loader's frames are followed on x86_64 only");
#endif
	run(first_call, NULL);
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

struct lost {
	struct locks k;
	weft_event told, done;
	bool himself; /* it is recovered within the block */
};

static int wait_cond_long(void *arg)
{
	struct lost *l = arg;
	int rc = 0, lock_rc;

	WEFT_WITH_LOCK_OR (&l->k.m, lock_rc) {
		weft_event_set(&l->k.held);
		rc = weft_cond_wait(&l->k.c, &l->k.m);
		if (l->himself)
			T_EQ(weft_mutex_recover(&l->k.m), 0);
		weft_event_set(&l->told);
		T_EQ(weft_event_wait(&l->done), 0);
	}
	T_EQ(lock_rc, 0);
	return rc;
}

static void *wait_cond_outside(void *arg)
{
	return (void *)(intptr_t)wait_cond_long(arg);
}

static int run_wakes_all(void *state)
{
	struct locks *k = *(struct locks **)state;

	T_EQ(weft_mutex_lock(&k->m), 0);
	weft_cond_broadcast(&k->c);
	fail_by(WRITE_NULL);
	return 0;
}

enum { BY_ANOTHER, BY_ANOTHER_AND_OVER, BY_HIMSELF, WAYS };

static void lose(int way, bool thread)
{
	struct lost l = {.himself = way == BY_HIMSELF};
	struct locks *k = &l.k;
	weft_task *t = NULL;
	weft_actor_ref ref;
	pthread_t outside;
	void *said;

	if (thread)
		T_EQ(pthread_create(&outside, NULL, wait_cond_outside, &l), 0);
	else
		t = start(wait_cond_long, &l);
	T_EQ(weft_event_wait(&k->held), 0); /* who locks it from here on comes when that one waits */
	ref = started((weft_actor_opts){.run = run_wakes_all, .state = &k, .size = sizeof k});
	T_EQ(weft_event_wait(&l.told), 0);
	until(!weft_actor_alive(ref));
	if (way != BY_HIMSELF)
		T_EQ(weft_mutex_recover(&k->m), 0);
	if (way == BY_ANOTHER_AND_OVER)
		weft_mutex_unlock(&k->m);
	weft_event_set(&l.done);
	if (thread)
		T_EQ(pthread_join(outside, &said), 0);
	T_EQ(thread ? (int)(intptr_t)said : finish(t), WEFT_EPOISONED);
	if (way == BY_ANOTHER)
		weft_mutex_unlock(&k->m);
	T_EQ(weft_mutex_trylock(&k->m), 0);
	weft_mutex_unlock(&k->m);
}

static int lost(void *arg)
{
	(void)arg;
	for (int way = 0; way < WAYS; way++)
		lose(way, false);
	return 0;
}

/* Before the block is over somebody recovers what it has lost. */
TEST_WORKERS(a_block_unlocks_what_is_its_own)
{
	needs_containment();
	run(lost, NULL);
}

static int lost_outside(void *arg)
{
	(void)arg;
	for (int way = 0; way < WAYS; way++)
		lose(way, true);
	return 0;
}

TEST(a_block_of_a_thread_unlocks_what_is_its_own)
{
	needs_containment();
	T_EQ(run_with(lost_outside, NULL, (weft_opts){.workers = 2}), 0);
}

static int run_signals_one(void *state)
{
	struct locks *k = *(struct locks **)state;

	T_EQ(weft_mutex_lock(&k->m), 0);
	weft_cond_signal(&k->c);
	fail_by(WRITE_NULL);
	return 0;
}

static int two_conds(void *arg)
{
	struct locks k = {.c = {0}}, *pk = &k;
	weft_task *t[2];

	(void)arg;
	for (int i = 0; i < 2; i++) {
		t[i] = start(wait_cond, &k);
		until_reason(t[i], "condition");
	}
	(void)started((weft_actor_opts){.run = run_signals_one, .state = &pk, .size = sizeof pk});
	for (int i = 0; i < 2; i++)
		T_EQ(finish(t[i]), WEFT_EPOISONED);
	T_EQ(weft_mutex_recover(&k.m), 0);
	weft_mutex_unlock(&k.m);
	return 0;
}

TEST_WORKERS(a_signal_that_comes_to_nothing_is_passed_on)
{
	needs_containment();
	run(two_conds, NULL);
}

#define A_LOT 65536 /* more than some number can be */

static int run_holding_a_lot(void *state)
{
	weft_mutex *m = *(weft_mutex **)state;

	for (int i = 0; i < A_LOT; i++)
		T_EQ(weft_mutex_lock(&m[i]), 0);
	fail_by(WRITE_NULL);
	return 0;
}

static int a_lot(void *arg)
{
	weft_mutex *m = calloc(A_LOT, sizeof *m);
	weft_actor_ref ref = started((weft_actor_opts){.run = run_holding_a_lot, .state = &m, .size = sizeof m});

	(void)arg;
	T_OK(m != NULL);
	until(!weft_actor_alive(ref));
	for (int i = 0; i < A_LOT; i++) {
		T_EQ(weft_mutex_lock_until(&m[i], WEFT_NOW), WEFT_EPOISONED);
		T_EQ(weft_mutex_recover(&m[i]), 0);
		weft_mutex_unlock(&m[i]);
	}
	free(m);
	return 0;
}

TEST(however_many_locks_it_owned)
{
	needs_containment();
	run(a_lot, NULL);
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

/* Who traps exits, and hands on what it was told. */
static int hands_on(void *arg)
{
	weft_actor_ref up = started((weft_actor_opts){.on_msg = on_msg}), down[2];
	weft_end e, told;

	(void)arg;
	attach();
	watch(up);
	T_EQ(weft_actor_send(up, DIVIDE + 1, NULL, 0, WEFT_PRIO_NORMAL), 0);
	told = the_end();
	for (int i = 0; i < 2; i++)
		watch(down[i] = started((weft_actor_opts){.on_msg = on_msg}));
	T_EQ(weft_actor_signal(down[0], told), 0);
	T_EQ(weft_actor_stop(down[1], told), 0);
	for (int i = 0; i < 2; i++) {
		e = the_end();
		T_EQ(e.kind, WEFT_END_FAULT);
		T_EQ(e.code, WEFT_EILLEGAL);
	}
	T_EQ(weft_actor_signal(WEFT_NO_ACTOR, (weft_end){WEFT_END_FAULT + 1, 0}), WEFT_EINVAL);
	return 0;
}

TEST_WORKERS(its_end_can_be_handed_on)
{
	needs_containment();
	run(hands_on, NULL);
}

/* --- no place to be had --- */

#define ROUNDS 100

static _Atomic int spins, shall_fail; /* rounds */

/* It keeps its worker, so that who tells it to fail is on the other. */
static int run_spinning(void *state)
{
	int round = *(int *)state;

	spins = round;
	while (shall_fail != round)
		sched_yield();
	fail_by(WRITE_NULL);
	return 0;
}

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

/* Wants the one place there is. */
static int takes_places(void *arg)
{
	weft_event *over = arg;
	weft_task *t;
	int rc;

	for (int round = 1; round <= ROUNDS; round++) {
		until(spins == round);
		shall_fail = round;
		for (int n = 1; (rc = weft_go_opts(&t, nothing, NULL, NULL)) == WEFT_EAGAIN; n++) {
			if (n % 10000 == 0)
				weft_task_yield();
		}
		T_EQ(rc, 0);
		T_EQ(finish(t), 0);
		weft_event_set(&over[round - 1]);
	}
	return 0;
}

static int crowded(void *arg)
{
	static weft_event over[ROUNDS];
	weft_task *t;

	(void)arg;
	attach();
	t = start(takes_places, over);
	for (int round = 1; round <= ROUNDS; round++) {
		weft_actor_opts o = {.run = run_spinning, .state = &round, .size = sizeof round, .contain = true};
		weft_actor_ref ref;
		int rc;

		while ((rc = weft_actor_start(&ref, &o)) == WEFT_EAGAIN)
			let_run(); /* one that has ended has not left yet */
		T_EQ(rc, 0);
		if (!weft_actor_monitor(ref, NULL)) /* else it is over */
			(void)the_end();
		T_EQ(weft_event_wait(&over[round - 1]), 0);
	}
	T_EQ(finish(t), 0);
	return 0;
}

TEST(its_place_is_not_anothers_before_its_end_is_told)
{
	needs_containment();
	T_EQ(run_with(crowded, NULL, (weft_opts){.workers = 2, .max_tasks = 3}), 0);
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
	return 0;                                                            /* these processors need not be able to */
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
	time_fake();
	for (int i = 0; i < 3 * STACK_QUARANTINE; i++)
		ends_by(started((weft_actor_opts){.on_msg = on_msg}), WRITE_NULL);
	T_EQ(weft_stats(&st), 0);
	T_EQ(st.quarantined, 3 * STACK_QUARANTINE); /* for a while */
	T_EQ(st.faults, 3 * STACK_QUARANTINE);
	time_move(STACK_QUARANTINE_NS);
	ends_by(started((weft_actor_opts){.on_msg = on_msg}), WRITE_NULL);
	T_EQ(weft_stats(&st), 0);
	T_EQ(st.quarantined, STACK_QUARANTINE);
	for (size_t i = 0; i < STACK_QUARANTINE_BYTES / STACK_DEFAULT; i++)
		ends_by(started((weft_actor_opts){.on_msg = on_msg}), WRITE_NULL);
	T_EQ(weft_stats(&st), 0);
	T_EQ(st.quarantined, STACK_QUARANTINE_BYTES / STACK_DEFAULT);
	time_real();
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

/* A child that shares this memory, one that has a copy and was made past all hooks, and an ordinary one. */
#define CHILD_BY(call)                                         \
	__attribute__((noinline)) static pid_t by_##call(void) \
	{                                                      \
		pid_t p = call();                              \
                                                               \
		if (p == 0) {                                  \
			*nowhere = 1;                          \
			_exit(7);                              \
		}                                              \
		return p;                                      \
	}

CHILD_BY(vfork)
CHILD_BY(_Fork)
CHILD_BY(fork)

static int run_with_children_of(void *state)
{
	(void)state;
	for (int way = 0; way < 3; way++) {
		pid_t p = way == 0 ? by_vfork() : way == 1 ? by__Fork() : by_fork();
		int status = 0;

		T_EQ(waitpid(p, &status, 0), p);
		T_OK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	}
	return 5;
}

static int children_of(void *arg)
{
	weft_actor_ref ref = started((weft_actor_opts){.run = run_with_children_of});
	weft_stat st;

	(void)arg;
	until(!weft_actor_alive(ref));
	T_EQ(weft_stats(&st), 0);
	T_EQ(st.faults, 0);
	return 0;
}

TEST_WORKERS(a_child_process_that_fails_dies)
{
	needs_containment();
	run(children_of, NULL);
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
	T_EQ(kill(getpid(), SIGSEGV), 0); /* any thread gets it, at some time */
	return weft_task_sleep(WEFT_FOREVER / 2);
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

static int breaks(void *arg)
{
	(void)arg;
	BREAK_HERE;
	return 0;
}

static int at_a_breakpoint_in_a_task_of_its_own_(void)
{
	weft_task *t;

	T_EQ(weft_go_opts(&t, breaks, NULL, NULL), 0);
	return weft_task_join(t, NULL);
}

DIES(at_a_breakpoint_in_a_task_of_its_own)

/* Nobody can say what is below it. */
static int in_code_made_at_run_time_(void)
{
#if defined(__x86_64__)
	static const unsigned char code[] = {0x31, 0xc0, 0xc7, 0x00, 0x01,
					     0x00, 0x00, 0x00, 0xc3}; /* xor eax, eax; mov dword [rax], 1; ret */
#else
	static const uint32_t code[] = {0xd2800000, 0xb9000000, 0xd65f03c0}; /* mov x0, 0; str w0, [x0]; ret */
#endif
	void *at = mmap(NULL, sizeof code, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	T_OK(at != MAP_FAILED);
	memcpy(at, code, sizeof code);
	T_EQ(mprotect(at, sizeof code, PROT_READ | PROT_EXEC), 0);
	__builtin___clear_cache(at, (char *)at + sizeof code);
	((void (*)(void))(uintptr_t)at)();
	return 0;
}

DIES(in_code_made_at_run_time)

/* One holds the loader's lock, the other is looked at, for which that is wanted. */
static _Atomic int other_runs, holds_lock;

static int run_while_locked(void *state)
{
	(void)state;
	other_runs = 1;
	while (!holds_lock)
		;
	fail_by(WRITE_NULL);
	return 0;
}

static int with_the_lock(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)info;
	(void)size;
	(void)arg;
	holds_lock = 1;
	usleep(50 * 1000); /* so that the other one waits; if it does not, this fails no less */
	fail_by(WRITE_NULL);
	return 0;
}

static int while_another_waits_for_it_(void)
{
	(void)started((weft_actor_opts){.run = run_while_locked});
	until(other_runs);
	(void)dl_iterate_phdr(with_the_lock, NULL);
	return 0;
}

TEST_DIES(while_another_waits_for_it, "about to die")
{
	needs_containment();
	weft__contain_patience = 100 * MS;
	(void)run_with(dies, (void *)while_another_waits_for_it_, (weft_opts){.workers = 8});
}

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
