/* SPDX-License-Identifier: MIT
 *
 * actor_mail.c - actor/send.c, actor/receive.c: order, classes, bounds, picking out, holding, selecting.
 */
#include "actors.h"

#include "base/rand.h"

enum { ADD = 1, STOP };

/* The main task is the actor that receives. */
static weft_actor_ref attach(weft_mailbox_opts o)
{
	weft_actor_ref me;

	T_EQ(weft_actor_attach(&me, &o), 0);
	return me;
}

/* The next message, which carries a long. */
static long next(void)
{
	weft_msg *m;
	long v;

	T_EQ(weft_actor_recv(&m), 0);
	v = *weft_msg_as(m, long);
	weft_msg_free(m);
	return v;
}

/* --- order --- */

static int classes_main(void *arg)
{
	weft_actor_ref me = attach((weft_mailbox_opts){.cap = 0});
	weft_msg *m;

	(void)arg;
	for (long i = 0; i < 12; i++)
		T_EQ(weft_actor_send(me, ADD, &i, sizeof i, (int)(i % 4) - 2), 0);
	T_EQ(weft_actor_send(me, ADD, NULL, 0, WEFT_PRIO_URGENT - 1), WEFT_EINVAL);
	T_EQ(weft_actor_send(me, ADD, NULL, 0, WEFT_PRIO_LOW + 1), WEFT_EINVAL);
	T_EQ(weft_actor_send(me, ADD, NULL, 1, 0), WEFT_EINVAL);
	T_EQ(weft_actor_send(me, ADD, &me, (size_t)1 << 30, 0), WEFT_EMSGSIZE);
	for (long c = 0; c < 4; c++) {
		for (long i = c; i < 12; i += 4)
			T_EQ(next(), i);
	}
	T_EQ(weft_actor_recv_until(&m, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_actor_recv_until(NULL, WEFT_NOW), WEFT_EINVAL);
	return 0;
}

/* Higher classes first; in a class as they were sent. */
TEST_WORKERS(classes)
{
	run(classes_main, NULL);
}

#define SENDERS 8

struct sender {
	weft_actor_ref to;
	long n;
	uint64_t who;
};

static int sends(void *arg)
{
	struct sender *s = arg;

	for (long i = 0; i < s->n; i++)
		T_EQ(tell(s->to, s->who, i), 0);
	return 0;
}

static int order_main(void *arg)
{
	weft_actor_ref me = attach((weft_mailbox_opts){.cap = 5});
	struct sender s[SENDERS];
	weft_task *t[SENDERS];
	long seen[SENDERS] = {0}, n = tap_iters(2000);

	(void)arg;
	for (uint64_t i = 0; i < SENDERS; i++) {
		s[i] = (struct sender){me, n, i};
		t[i] = start(sends, &s[i]);
	}
	for (long i = 0; i < SENDERS * n; i++) {
		weft_msg *m;

		T_EQ(weft_actor_recv(&m), 0);
		T_LT(m->tag, SENDERS);
		T_EQ(*weft_msg_as(m, long), seen[m->tag]);
		seen[m->tag]++;
		weft_msg_free(m);
		T_LE(stats_of(me).len, 5);
	}
	for (int i = 0; i < SENDERS; i++)
		T_EQ(finish(t[i]), 0);
	return 0;
}

/* Many senders, little room: each one's messages come in its order, all of them, and never more than there is room for. */
TEST_WORKERS(order)
{
	run(order_main, NULL);
}

/* --- bounds --- */

static int one_send(void *arg)
{
	return tell(*(weft_actor_ref *)arg, ADD, 7);
}

static int timed_send(void *arg)
{
	return weft_actor_send_until(*(weft_actor_ref *)arg, ADD, &(long){8}, sizeof(long), 0, weft_in(WEFT_MS));
}

static int blocks_main(void *arg)
{
	weft_actor_ref me = attach((weft_mailbox_opts){.cap = 2});
	weft_task *t, *late, *off;

	(void)arg;
	T_EQ(tell(me, ADD, 1), 0);
	T_EQ(tell(me, ADD, 2), 0);
	T_EQ(tell(me, ADD, 3), WEFT_EDEADLK); /* it would wait for itself */
	t = start(one_send, &me);
	until_reason(t, "mailbox room");
	off = start(one_send, &me);
	until_reason(off, "mailbox room");
	late = start(timed_send, &me);
	T_EQ(finish(late), WEFT_ETIMEDOUT);
	T_EQ(stats_of(me).senders, 2);
	T_EQ(weft_task_cancel(off), 0);
	T_EQ(finish(off), WEFT_ECANCELED);
	T_EQ(stats_of(me).senders, 1);
	T_EQ(next(), 1);
	T_EQ(finish(t), 0);
	T_EQ(stats_of(me).len, 2);
	T_EQ(next(), 2);
	T_EQ(next(), 7);
	return 0;
}

/* A full mailbox makes senders wait, in turn; deadline and cancel end that, and nothing was sent. */
TEST_WORKERS(blocks)
{
	run(blocks_main, NULL);
}

static _Atomic int dropped;

static void drop(weft_msg *m)
{
	T_EQ(*(long *)m->data, 2);
	dropped++;
}

static int policies_main(void *arg)
{
	weft_actor_ref ref;

	(void)arg;
	dropped = 0;
	T_EQ(weft_actor_start(&ref,
			      &(weft_actor_opts){.on_msg = ignore, .dtor = drop, .mailbox = {.cap = 1, .overflow = WEFT_OVERFLOW_DROP}}),
	     0);
	T_EQ(weft_actor_suspend(ref), 0);
	T_EQ(tell(ref, ADD, 1), 0);
	T_EQ(tell(ref, ADD, 2), 0);
	T_EQ(tell(ref, ADD, 2), 0);
	T_EQ(dropped, 2);
	T_EQ(stats_of(ref).dropped, 2);
	T_EQ(stats_of(ref).len, 1);
	T_EQ(stats_of(ref).cap, 1);
	T_EQ(weft_actor_resume(ref), 0);
	until(stats_of(ref).received == 1);
	T_EQ(weft_actor_stop_wait(ref), 0);

	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = ignore, .mailbox = {.cap = 1, .overflow = WEFT_OVERFLOW_FAIL}}), 0);
	T_EQ(weft_actor_suspend(ref), 0);
	T_EQ(tell(ref, ADD, 1), 0);
	T_EQ(tell(ref, ADD, 2), WEFT_ENOBUFS);
	T_EQ(weft_actor_stop_wait(ref), 0); /* suspended as it is */

	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = ignore, .mailbox = {.cap = 1}}), 0);
	T_EQ(weft_actor_suspend(ref), 0);
	T_EQ(tell(ref, ADD, 1), 0);
	T_EQ(weft_actor_send_until(ref, ADD, NULL, 0, 0, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_actor_stop_wait(ref), 0);

	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = ignore, .mailbox = {.cap = WEFT_MAILBOX_UNBOUNDED}}), 0);
	T_EQ(weft_actor_suspend(ref), 0);
	for (int i = 0; i < 300; i++)
		T_EQ(tell(ref, ADD, 1), 0);
	T_EQ(weft_actor_resume(ref), 0);
	until(stats_of(ref).received == 300);
	T_EQ(weft_actor_stop_wait(ref), 0);
	return 0;
}

static int frees_dropped_main(void *arg)
{
	weft_actor_ref ref;

	(void)arg;
	T_EQ(weft_actor_attach(NULL, NULL), 0);
	T_EQ(weft_actor_start(
		     &ref,
		     &(weft_actor_opts){.on_msg = ignore, .dtor = weft_msg_free, .mailbox = {.cap = 1, .overflow = WEFT_OVERFLOW_DROP}}),
	     0);
	T_EQ(weft_actor_suspend(ref), 0);
	for (int i = 0; i < 300; i++) /* of a cache with others in it */
		(void)tell(ref, ADD, 1);
	return 0;
}

/* The message is the library's to free. */
TEST_DIES_WORKERS(frees_dropped, "is not one that the caller has received")
{
	run(frees_dropped_main, NULL);
}

static void drop_badly(weft_msg *m)
{
	if (m->tag == 1)
		weft_task_panic("dropped");
	weft_task_exit(7);
}

struct bad_drop {
	weft_actor_ref ref;
	uint64_t tag;
};

static int sends_in_vain(void *arg)
{
	static const char large[500];
	struct bad_drop *b = arg;

	(void)weft_actor_send(b->ref, b->tag, large, sizeof large, 0);
	T_FAIL("dtor has returned");
	return 0;
}

static int bad_drop_main(void *arg)
{
	struct bad_drop b;
	weft_actor_ref ref;
	weft_panic p;

	(void)arg;
	T_EQ(weft_actor_start(
		     &ref, &(weft_actor_opts){.on_msg = ignore, .dtor = drop_badly, .mailbox = {.cap = 1, .overflow = WEFT_OVERFLOW_DROP}}),
	     0);
	T_EQ(weft_actor_suspend(ref), 0);
	T_EQ(tell(ref, 3, 1), 0);
	b = (struct bad_drop){ref, 1};
	T_EQ(weft_task_try(sends_in_vain, &b, &p), WEFT_EPANIC);
	T_STR_EQ(p.message, "dropped");
	b.tag = 2;
	T_EQ(finish(start(sends_in_vain, &b)), 7);
	T_EQ(stats_of(ref).dropped, 2);
	T_EQ(weft_actor_resume(ref), 0);
	until(stats_of(ref).received == 1);
	T_EQ(weft_actor_stop_wait(ref), 0);
	return 0;
}

/* Who drops a message may panic, or end the sender: the message is freed. (Its memory: sanitizers look.) */
TEST_WORKERS(bad_drop)
{
	run(bad_drop_main, NULL);
}

/* Full: dropped and counted; failed; not now; or never full. */
TEST_WORKERS(policies)
{
	run(policies_main, NULL);
}

struct mark {
	weft_actor_ref ref;
	int calls;
	uint32_t len;
};

static void high(weft_actor_ref ref, uint32_t len, void *arg)
{
	struct mark *k = arg;

	k->ref = ref;
	k->len = len;
	k->calls++;
}

static int marks_main(void *arg)
{
	struct mark k = {.calls = 0};
	weft_actor_ref me = attach((weft_mailbox_opts){.high = 6, .on_high = high, .arg = &k});

	(void)arg;
	for (long i = 0; i < 8; i++) {
		T_EQ(tell(me, ADD, i), 0);
		T_EQ(k.calls, i >= 5);
	}
	T_OK(weft_actor_same(k.ref, me));
	T_EQ(k.len, 6);
	T_OK(stats_of(me).above);
	for (long i = 0; i < 4; i++)
		next();
	T_EQ(tell(me, ADD, 0), 0);
	T_EQ(k.calls, 1); /* there have not been half as many */
	next();
	next();
	T_OK(!stats_of(me).above);
	for (long i = 0; i < 3; i++)
		T_EQ(tell(me, ADD, i), 0);
	T_EQ(k.calls, 2);
	while (stats_of(me).len)
		next();
	return 0;
}

TEST_WORKERS(marks)
{
	run(marks_main, NULL);
}

/* --- picking out --- */

static bool is_tag(const weft_msg *m, void *arg)
{
	return m->tag == *(uint64_t *)arg;
}

static int later(void *arg)
{
	weft_actor_ref to = *(weft_actor_ref *)arg;

	T_EQ(tell(to, 1, 100), 0);
	T_EQ(tell(to, 2, 101), 0);
	T_EQ(tell(to, 9, 102), 0);
	T_EQ(tell(to, 9, 103), 0);
	return 0;
}

static int selective_main(void *arg)
{
	weft_actor_ref me = attach((weft_mailbox_opts){.cap = 100});
	const weft_msg *seen;
	uint64_t want = 3;
	weft_msg *m;
	weft_task *t;

	(void)arg;
	for (long i = 0; i < 12; i++)
		T_EQ(weft_actor_send(me, (uint64_t)i % 4, &i, sizeof i, i < 6 ? WEFT_PRIO_LOW : WEFT_PRIO_NORMAL), 0);
	for (int i = 0; i < 3; i++) {
		static const long at[] = {7, 11, 3};

		T_EQ(weft_actor_recv_match(&m, is_tag, &want), 0);
		T_EQ(*weft_msg_as(m, long), at[i]);
		weft_msg_free(m);
	}
	T_EQ(weft_actor_recv_match_until(&m, is_tag, &want, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_actor_recv_match_until(&m, is_tag, &want, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(weft_actor_recv_match(&m, NULL, NULL), WEFT_EINVAL);
	t = start(later, &me);
	want = 9;
	T_EQ(weft_actor_recv_match(&m, is_tag, &want), 0);
	T_EQ(*weft_msg_as(m, long), 102);
	weft_msg_free(m);
	T_EQ(finish(t), 0);
	T_EQ(weft_actor_recv_match(&m, is_tag, &want), 0);
	T_EQ(*weft_msg_as(m, long), 103);
	weft_msg_free(m);
	T_EQ(weft_actor_peek(&seen), 0);
	T_EQ(*(long *)seen->data, 6);
	T_EQ(stats_of(me).len, 11);
	static const long rest[] = {6, 8, 9, 10, 100, 101, 0, 1, 2, 4, 5};
	for (unsigned i = 0; i < sizeof rest / sizeof rest[0]; i++)
		T_EQ(next(), rest[i]);
	T_EQ(weft_actor_peek(&seen), WEFT_EAGAIN);
	T_EQ(weft_actor_peek(NULL), WEFT_EINVAL);
	return 0;
}

/* Those that match, in order; the others stay, in theirs. */
TEST_WORKERS(selective)
{
	run(selective_main, NULL);
}

static bool stops_and_declines(const weft_msg *m, void *arg)
{
	(void)m;
	T_EQ(weft_actor_stop(*(weft_actor_ref *)arg, (weft_end){WEFT_END_NORMAL, 0}), 0);
	return false;
}

static int stopped_in_match_main(void *arg)
{
	weft_actor_ref me = attach((weft_mailbox_opts){.cap = 4});
	weft_msg *m;

	(void)arg;
	T_EQ(tell(me, ADD, 1), 0);
	T_EQ(weft_actor_recv_match(&m, stops_and_declines, &me), WEFT_ECLOSED);
	return 0;
}

/* An order that comes while match looks is seen. */
TEST_WORKERS(stopped_in_match)
{
	run(stopped_in_match_main, NULL);
}

static void sum(weft_msg *m, void *arg)
{
	*(long *)arg += *weft_msg_as(m, long);
}

static int drains_main(void *arg)
{
	weft_actor_ref me = attach((weft_mailbox_opts){.cap = 4});
	long total = 0;
	weft_task *t;

	(void)arg;
	T_EQ(weft_actor_drain(sum, &total), 0);
	for (long i = 1; i <= 4; i++)
		T_EQ(tell(me, ADD, i), 0);
	t = start(one_send, &me);
	until_reason(t, "mailbox room");
	T_EQ(weft_actor_drain(sum, &total), 4);
	T_EQ(total, 10);
	T_EQ(finish(t), 0);
	T_EQ(weft_actor_drain(NULL, NULL), 1);
	T_EQ(stats_of(me).len, 0);
	return 0;
}

static int urgent_send(void *arg)
{
	return weft_actor_send(*(weft_actor_ref *)arg, ADD, &(long){99}, sizeof(long), WEFT_PRIO_URGENT);
}

/* Who gets in meanwhile is not among them, of whatever class it is. */
static int drains_old_main(void *arg)
{
	weft_actor_ref me = attach((weft_mailbox_opts){.cap = 4});
	long total = 0;
	weft_task *t;

	(void)arg;
	for (long i = 1; i <= 4; i++)
		T_EQ(weft_actor_send(me, ADD, &i, sizeof i, WEFT_PRIO_LOW), 0);
	t = start(urgent_send, &me);
	until_reason(t, "mailbox room");
	T_EQ(weft_actor_drain(sum, &total), 4);
	T_EQ(total, 10);
	T_EQ(finish(t), 0);
	T_EQ(next(), 99);
	return 0;
}

static int not_an_actor(void *arg)
{
	const weft_msg *seen;
	weft_msg *m;

	(void)arg;
	T_EQ(weft_actor_recv(&m), WEFT_EINVAL);
	T_EQ(weft_actor_recv_match(&m, is_tag, NULL), WEFT_EINVAL);
	T_EQ(weft_actor_peek(&seen), WEFT_EINVAL);
	T_EQ(weft_actor_drain(NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_chan_select((weft_case[]){WEFT_MAIL(&m)}, 1), WEFT_EINVAL);
	weft_msg_free(NULL);
	return 0;
}

TEST_WORKERS(drains)
{
	run(drains_main, NULL);
	run(drains_old_main, NULL);
	run(not_an_actor, NULL);
}

/* --- waiting --- */

static int receives(void *arg)
{
	weft_chan *refs = arg;
	weft_actor_ref me;
	weft_msg *m;
	int rc;

	T_EQ(weft_actor_attach(&me, NULL), 0);
	T_EQ(weft_chan_send(refs, &me), 0);
	rc = weft_actor_recv(&m);
	if (!rc)
		weft_msg_free(m);
	return rc;
}

static int waits_main(void *arg)
{
	weft_chan *refs = weft_chan_make(sizeof(weft_actor_ref), 0);
	weft_actor_ref me = attach((weft_mailbox_opts){.cap = 4}), ref;
	weft_msg *m;
	weft_task *t;

	(void)arg;
	T_EQ(weft_actor_recv_until(&m, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(weft_actor_recv_until(&m, weft_now() - 1), WEFT_ETIMEDOUT);
	t = start(receives, refs);
	T_EQ(weft_chan_recv(refs, &ref), 0);
	until_reason(t, "mailbox");
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	t = start(receives, refs);
	T_EQ(weft_chan_recv(refs, &ref), 0);
	until_reason(t, "mailbox");
	T_EQ(weft_actor_stop(ref, (weft_end){WEFT_END_NORMAL, 0}), 0);
	T_EQ(finish(t), WEFT_ECLOSED);
	t = start(receives, refs);
	T_EQ(weft_chan_recv(refs, &ref), 0);
	until_reason(t, "mailbox");
	T_EQ(weft_actor_suspend(ref), 0);
	T_OK(stats_of(ref).suspended);
	T_EQ(tell(ref, ADD, 1), 0);
	T_EQ(stats_of(ref).len, 1);
	until_reason(t, "mailbox");
	T_EQ(weft_actor_resume(ref), 0);
	T_EQ(finish(t), 0);
	T_EQ(weft_actor_suspend(me), 0);
	T_EQ(tell(me, ADD, 1), 0);
	T_EQ(weft_actor_recv_until(&m, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_actor_recv_match_until(&m, is_tag, &(uint64_t){ADD}, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_actor_resume(me), 0);
	T_EQ(next(), 1);
	weft_chan_free(refs);
	return 0;
}

/* A receive ends by its deadline, by a cancel, by an order to stop; suspended, not by a message. */
TEST_WORKERS(waits)
{
	run(waits_main, NULL);
}

/* --- select --- */

static int selects(void *arg)
{
	weft_chan **c = arg;
	weft_actor_ref me;
	long got = 0;

	T_EQ(weft_actor_attach(&me, NULL), 0);
	T_EQ(weft_chan_send(c[0], &me), 0);
	for (;;) {
		weft_msg *m;
		long v;
		weft_case k[] = {WEFT_MAIL(&m), WEFT_RECV(c[1], &v)};
		int at = weft_chan_select(k, 2);

		if (at == 0 && k[0].status)
			return k[0].status == WEFT_ECLOSED ? (int)got : -1;
		if (at == 0) {
			got += *weft_msg_as(m, long);
			weft_msg_free(m);
		} else {
			T_EQ(at, 1);
			got += v;
		}
	}
}

static int selects_main(void *arg)
{
	weft_chan *c[] = {weft_chan_make(sizeof(weft_actor_ref), 0), weft_chan_make(sizeof(long), 0)};
	weft_task *t = start(selects, c);
	weft_actor_ref ref;
	long n = tap_iters(2000);

	(void)arg;
	T_EQ(weft_chan_recv(c[0], &ref), 0);
	for (long i = 0; i < n; i++) {
		T_EQ(tell(ref, ADD, 1), 0);
		if (i % 3 == 0)
			T_EQ(weft_chan_send(c[1], &(long){1}), 0);
	}
	until(stats_of(ref).len == 0);
	until_reason(t, "select");
	T_EQ(weft_actor_stop(ref, (weft_end){WEFT_END_NORMAL, 0}), 0);
	T_EQ(finish(t), n + (n + 2) / 3);
	weft_chan_free(c[0]);
	weft_chan_free(c[1]);
	return 0;
}

/* Mail beside a channel: nothing is lost, and an order to stop ends it. */
TEST_WORKERS(selects_mail)
{
	run(selects_main, NULL);
}

static int nothing_elem(void *arg)
{
	(void)arg;
	attach((weft_mailbox_opts){.cap = 4});
	T_EQ(weft_chan_select((weft_case[]){WEFT_MAIL(NULL)}, 1), WEFT_EINVAL);
	return 0;
}

TEST(selects_nothing)
{
	run(nothing_elem, NULL);
}

/* --- keeping --- */

static weft_msg *kept;

static int keeps(void *state, weft_msg *m)
{
	long *total = state;

	if (kept) {
		*total += *weft_msg_as(kept, long);
		weft_msg_free(kept);
	}
	kept = m;
	weft_msg_keep(m);
	return 0;
}

static int keeps_main(void *arg)
{
	weft_actor_ref ref;
	long total = 0;

	(void)arg;
	kept = NULL;
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = keeps, .state = &total}), 0);
	for (long i = 1; i <= 10; i++)
		T_EQ(tell(ref, ADD, i), 0);
	until(stats_of(ref).received == 10);
	T_EQ(weft_actor_stop_wait(ref), 0); /* the last one is freed with it */
	T_EQ(total, 45);
	return 0;
}

static int frees(void *state, weft_msg *m)
{
	(void)state;
	weft_msg_free(m); /* sooner than it would be */
	return 0;
}

static int frees_main(void *arg)
{
	weft_actor_ref ref;

	(void)arg;
	T_EQ(weft_actor_fn(&ref, frees), 0);
	for (long i = 0; i < 10; i++)
		T_EQ(tell(ref, ADD, i), 0);
	until(stats_of(ref).received == 10);
	T_EQ(weft_actor_stop_wait(ref), 0);
	return 0;
}

/* A handler may keep a message, or free it at once. */
TEST_WORKERS(keeping)
{
	run(keeps_main, NULL);
	run(frees_main, NULL);
}

/* --- the dead --- */

static _Atomic int letters;

static void dead_letter(const weft_dead_letter *d, void *arg)
{
	T_EQ(d->tag, 77);
	T_EQ(d->len, sizeof(long));
	T_EQ(*(const long *)d->data, 5);
	T_EQ(d->prio, WEFT_PRIO_NORMAL);
	T_OK(weft_actor_same(d->to, *(weft_actor_ref *)arg));
	letters++;
}

static int dead_main(void *arg)
{
	weft_actor_ref me = attach((weft_mailbox_opts){.cap = 4}), ref, other;

	(void)arg;
	(void)me;
	letters = 0;
	T_EQ(weft_actor_fn(&ref, ignore), 0);
	T_EQ(weft_actor_stop_wait(ref), 0);
	weft_actor_on_dead_letter(dead_letter, &ref);
	T_EQ(tell(ref, 77, 5), WEFT_ESRCH);
	T_EQ(weft_actor_fn(&other, ignore), 0); /* most likely where the other one was */
	T_EQ(tell(ref, 77, 5), WEFT_ESRCH);
	T_EQ(stats_of(other).received + stats_of(other).len, 0);
	T_EQ(letters, 2);
	weft_actor_on_dead_letter(NULL, NULL);
	T_EQ(tell(ref, 77, 5), WEFT_ESRCH);
	T_EQ(letters, 2);
	T_EQ(weft_actor_stop_wait(other), 0);
	return 0;
}

static void bad_hook(const weft_dead_letter *d, void *arg)
{
	(void)arg;
	T_EQ(d->len, 500);
	weft_task_panic("dead");
}

static int to_the_dead(void *arg)
{
	static const char large[500];

	(void)weft_actor_send(*(weft_actor_ref *)arg, 77, large, sizeof large, 0);
	T_FAIL("the hook has returned");
	return 0;
}

static int bad_hook_main(void *arg)
{
	weft_actor_ref ref;
	weft_panic p;

	(void)arg;
	T_EQ(weft_actor_fn(&ref, ignore), 0);
	T_EQ(weft_actor_stop_wait(ref), 0);
	weft_actor_on_dead_letter(bad_hook, NULL);
	T_EQ(weft_task_try(to_the_dead, &ref, &p), WEFT_EPANIC);
	T_STR_EQ(p.message, "dead");
	weft_actor_on_dead_letter(NULL, NULL);
	return 0;
}

/* Dead letters are told; who lives in the same place gets none of them; a hook that panics leaves none behind. */
TEST_WORKERS(dead_letters)
{
	run(dead_main, NULL);
	run(bad_hook_main, NULL);
}

/* --- a sender that is told of the end and never runs again --- */

static int told_late_main(void *arg)
{
	weft_actor_ref ref;
	weft_task *t;

	(void)arg;
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = ignore, .mailbox = {.cap = 1}}), 0);
	T_EQ(weft_actor_suspend(ref), 0);
	T_EQ(tell(ref, ADD, 1), 0);
	for (int i = 0; i < 50; i++) {
		t = start(one_send, &ref);
		until_reason(t, "mailbox room");
		weft_task_detach(t);
	}
	T_EQ(weft_actor_kill(ref), 0);
	while (weft_actor_alive(ref)) /* and not a moment longer */
		let_run();
	return 0;
}

/* Senders wait for room, the actor ends, and main returns before they have run: their messages are freed all the same. */
TEST_WORKERS(told_late)
{
	run(told_late_main, NULL);
}

/* --- a deadline that passes just when there is mail, or room --- */

struct late {
	weft_actor_ref ref;
	long n;
};

static int sends_late(void *arg)
{
	struct late *l = arg;
	struct rng rng;

	rng_seed(&rng, 7, 1);
	for (long i = 0; i < l->n; i++) {
		int rc;

		do {
			rc = weft_actor_send_until(l->ref, ADD, &i, sizeof i, 0, weft_in((int64_t)(rng_next(&rng) % 20000)));
			T_OK(rc == 0 || rc == WEFT_ETIMEDOUT);
		} while (rc);
	}
	return 0;
}

static int late_main(void *arg)
{
	struct late l = {.ref = attach((weft_mailbox_opts){.cap = 2}), .n = tap_iters(1000)};
	weft_task *t = start(sends_late, &l);
	struct rng rng;

	(void)arg;
	rng_seed(&rng, 8, 1);
	for (long got = 0; got < l.n;) {
		int64_t deadline = weft_in((int64_t)(rng_next(&rng) % 20000));
		uint64_t want = ADD;
		weft_msg *m;
		int rc =
			rng_next(&rng) % 2 ? weft_actor_recv_until(&m, deadline) : weft_actor_recv_match_until(&m, is_tag, &want, deadline);

		if (rc) {
			T_EQ(rc, WEFT_ETIMEDOUT);
			continue;
		}
		T_EQ(*weft_msg_as(m, long), got);
		got++;
		weft_msg_free(m);
	}
	T_EQ(finish(t), 0);
	T_EQ(weft_actor_drain(NULL, NULL), 0);
	return 0;
}

/* A message is sent exactly if the send says so, and received exactly if the receive does. */
TEST_WORKERS(late)
{
	run(late_main, NULL);
}

/* --- fairness --- */

struct echo_forever {
	_Atomic bool over;
	_Atomic long handled;
};

static int to_self(void *state, weft_msg *m)
{
	struct echo_forever *e = state;

	(void)m;
	e->handled++;
	if (!e->over)
		T_EQ(weft_actor_send(weft_actor_self(), ADD, NULL, 0, 0), 0);
	return 0;
}

static int fair_main(void *arg)
{
	struct echo_forever e = {.over = false};
	weft_actor_ref ref;

	(void)arg;
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = to_self, .state = &e}), 0);
	T_EQ(weft_actor_send(ref, ADD, NULL, 0, 0), 0);
	until(e.handled > 200); /* with one worker: only if it lets us run */
	e.over = true;
	T_EQ(weft_actor_stop_wait(ref), 0);
	return 0;
}

/* An actor whose mailbox is never empty lets others run. */
TEST_WORKERS(fair)
{
	run(fair_main, NULL);
}
