/* SPDX-License-Identifier: MIT
 *
 * blocking_sync.h - rows of blocking.c: locks other than the mutex, and what tasks wait for each other with. Part of blocking.c.
 */

/* --- recursive mutex and reader-writer lock: a helper holds it --- */

static int holds(struct world *w, void (*unlock)(struct world *w))
{
	store_release(&w->fire, 2);
	until(load_acquire(&w->release));
	unlock(w);
	return 0;
}

static void begin_holder(struct world *w, weft_task_fn *fn)
{
	w->helper = start(fn, w);
	until(load_acquire(&w->fire) == 2);
	store_relaxed(&w->fire, 0);
}

static void unlock_rmutex(struct world *w)
{
	weft_rmutex_unlock(&w->rm);
	weft_rmutex_unlock(&w->rm);
}

static void unlock_rwlock(struct world *w)
{
	weft_rwlock_unlock(&w->rw);
}

static int rmutex_holder(void *arg)
{
	struct world *w = arg;

	T_EQ(weft_rmutex_lock(&w->rm), 0);
	T_EQ(weft_rmutex_lock(&w->rm), 0);
	return holds(w, unlock_rmutex);
}

static int reader(void *arg)
{
	struct world *w = arg;

	T_EQ(weft_rwlock_rdlock(&w->rw), 0);
	return holds(w, unlock_rwlock);
}

static int writer(void *arg)
{
	struct world *w = arg;

	T_EQ(weft_rwlock_wrlock(&w->rw), 0);
	return holds(w, unlock_rwlock);
}

static void make_rmutex(struct world *w)
{
	begin_holder(w, rmutex_holder);
}

static void make_read(struct world *w)
{
	begin_holder(w, writer);
}

static void make_write(struct world *w)
{
	begin_holder(w, reader);
}

static int call_rmutex(struct world *w, int64_t deadline)
{
	int rc = weft_rmutex_lock_until(&w->rm, deadline);

	if (rc == 0) {
		int again = weft_rmutex_trylock(&w->rm);

		T_OK(again == 0 || again == weft_ctx_check()); /* cancelled meanwhile */
		if (!again)
			weft_rmutex_unlock(&w->rm);
		weft_rmutex_unlock(&w->rm);
	}
	return rc;
}

static int call_read(struct world *w, int64_t deadline)
{
	int rc = weft_rwlock_rdlock_until(&w->rw, deadline);

	if (rc == 0)
		weft_rwlock_unlock(&w->rw);
	return rc;
}

static int call_write(struct world *w, int64_t deadline)
{
	int rc = weft_rwlock_wrlock_until(&w->rw, deadline);

	if (rc == 0)
		weft_rwlock_unlock(&w->rw);
	return rc;
}

static void end_rmutex(struct world *w)
{
	store_release(&w->release, 1);
	if (w->helper)
		T_EQ(finish(w->helper), 0);
	T_EQ(weft_rmutex_trylock(&w->rm), 0);
	weft_rmutex_unlock(&w->rm);
}

static void end_rwlock(struct world *w)
{
	store_release(&w->release, 1);
	if (w->helper)
		T_EQ(finish(w->helper), 0);
	T_EQ(weft_rwlock_trywrlock(&w->rw), 0);
	weft_rwlock_unlock(&w->rw);
}

/* --- condition: for a flag under the mutex --- */

static void make_nothing(struct world *w)
{
	(void)w;
}

static int call_cond(struct world *w, int64_t deadline)
{
	int rc = weft_mutex_lock(&w->m);

	if (rc)
		return rc;
	while (!rc && !w->flag)
		rc = weft_cond_wait_until(&w->cond, &w->m, deadline);
	weft_mutex_unlock(&w->m); /* held, whatever it was */
	return rc;
}

static int give_cond(struct world *w)
{
	T_EQ(weft_mutex_lock(&w->m), 0);
	w->flag = 1;
	weft_cond_signal(&w->cond);
	weft_mutex_unlock(&w->m);
	return STICKS;
}

static void ready_cond(struct world *w)
{
	give_cond(w);
}

static void end_cond(struct world *w)
{
	T_EQ(weft_mutex_trylock(&w->m), 0);
	weft_mutex_unlock(&w->m);
}

/* --- semaphore: one is there, two are wanted --- */

static void make_sema(struct world *w)
{
	weft_sema_init(&w->s, 1);
}

static int call_sema(struct world *w, int64_t deadline)
{
	return weft_sema_acquire_until(&w->s, 2, deadline);
}

static int give_sema(struct world *w)
{
	weft_sema_release(&w->s, 1);
	return STICKS;
}

static void ready_sema(struct world *w)
{
	weft_sema_release(&w->s, 1);
}

static int taken_sema(struct world *w)
{
	int left = weft_sema_value(&w->s);

	T_OK(left == 0 || left == 2);
	return left == 0;
}

static void end_sema(struct world *w)
{
	int left = weft_sema_value(&w->s);

	T_EQ(weft_sema_tryacquire(&w->s, left), 0);
	T_EQ(weft_sema_tryacquire(&w->s, 1), WEFT_EAGAIN);
}

/* --- latch, event --- */

static void make_latch(struct world *w)
{
	weft_latch_init(&w->l, 1);
}

static int call_latch(struct world *w, int64_t deadline)
{
	return weft_latch_wait_until(&w->l, deadline);
}

static int give_latch(struct world *w)
{
	if (!w->joined)
		weft_latch_down(&w->l, 1);
	w->joined = true;
	return STICKS;
}

static void ready_latch(struct world *w)
{
	give_latch(w);
}

static int call_event(struct world *w, int64_t deadline)
{
	return weft_event_wait_until(&w->e, deadline);
}

static int give_event(struct world *w)
{
	weft_event_set(&w->e);
	return STICKS;
}

static void ready_event(struct world *w)
{
	weft_event_set(&w->e);
}

/* --- barrier of two: the exchange is a round --- */

static void make_barrier(struct world *w)
{
	weft_barrier_init(&w->b, 2);
}

static int call_barrier(struct world *w, int64_t deadline)
{
	int rc = weft_barrier_wait_until(&w->b, deadline);

	T_NE(rc, WEFT_EBROKEN);
	if (rc < 0 && rc != WEFT_EAGAIN) { /* for whoever comes next */
		T_OK(weft_barrier_broken(&w->b));
		weft_barrier_reset(&w->b);
	}
	return rc < 0 ? rc : 0;
}

static int give_barrier(struct world *w)
{
	int rc = weft_barrier_wait_until(&w->b, WEFT_NOW);

	T_OK(rc == 1 || rc == WEFT_EAGAIN || rc == WEFT_EBROKEN);
	return rc == 1;
}

static int helper_barrier(void *arg)
{
	struct world *w = arg;

	return weft_barrier_wait(&w->b);
}

static void ready_barrier(struct world *w)
{
	w->helper = start(helper_barrier, w);
	until_parked(w->helper);
}

static int taken_barrier(struct world *w)
{
	int rc = finish(w->helper);

	T_OK(rc == 0 || rc == WEFT_EBROKEN);
	return rc == 0;
}

/* --- once, of something that fails the first time --- */

static int fails(void *arg)
{
	struct world *w = arg;

	store_release(&w->fire, 2);
	until(load_acquire(&w->release));
	return -77;
}

static int once_holder(void *arg)
{
	struct world *w = arg;

	T_EQ(weft_once_retry(&w->o, fails, w), -77);
	return 0;
}

static void make_once(struct world *w)
{
	begin_holder(w, once_holder);
}

static int succeeds(void *arg)
{
	struct world *w = arg;

	T_EQ(w->flag++, 0);
	return 0;
}

static int call_once(struct world *w, int64_t deadline)
{
	int rc = weft_once_retry_until(&w->o, succeeds, w, deadline);

	T_EQ(w->flag, rc == 0);
	return rc;
}

static int taken_once(struct world *w)
{
	return w->flag;
}

static void end_once(struct world *w)
{
	store_release(&w->release, 1);
	if (w->helper)
		T_EQ(finish(w->helper), 0);
	T_EQ(weft_once_retry(&w->o, w->flag ? fails : succeeds, w), 0);
}

/* clang-format off */
#define SYNC_ROWS                                                                                                             \
	{"recursive mutex", "mutex", make_rmutex, call_rmutex, ready_mutex, give_release, taken_sticks, end_rmutex, false},   \
	{"read lock", "read lock", make_read, call_read, ready_mutex, give_release, taken_sticks, end_rwlock, false},         \
	{"write lock", "write lock", make_write, call_write, ready_mutex, give_release, taken_sticks, end_rwlock, false},     \
	{"condition", "condition", make_nothing, call_cond, ready_cond, give_cond, taken_sticks, end_cond, false},            \
	{"semaphore", "semaphore", make_sema, call_sema, ready_sema, give_sema, taken_sema, end_sema, false},                 \
	{"latch", "latch", make_latch, call_latch, ready_latch, give_latch, taken_sticks, make_nothing, false},               \
	{"event", "event", make_nothing, call_event, ready_event, give_event, taken_sticks, make_nothing, false},             \
	{"barrier", "barrier", make_barrier, call_barrier, ready_barrier, give_barrier, taken_barrier, make_nothing, false},  \
	{"once", "once", make_once, call_once, ready_mutex, give_release, taken_once, end_once, false}
/* clang-format on */
