/* SPDX-License-Identifier: MIT
 *
 * traffic.c - random traffic: sends, receives, selects, closes, cancels, timeouts and foreign threads over a few channels; nothing is lost,
 * doubled, or out of its sender's order.
 *
 * The seed is printed; WEFT_TEST_SEED=n repeats it (the choices, not the schedule).  Each element carries its sender and that sender's count on that channel.
 * Senders count what was accepted, receivers what they got; what is left in the channels at the end is received by the main task.
 */
#include "rt.h"

#include "base/rand.h"
#include <pthread.h>
#include <stdlib.h>

enum { CHANS = 6, SENDERS = 12, RECEIVERS = 10, THREADS = 3 };

struct element {
	uint32_t sender;
	uint32_t chan;
	uint64_t count; /* of this sender on this channel, from 1 */
};

struct city {
	weft_chan *c[CHANS];
	ATOMIC(int) running;
	uint64_t seed;
	ATOMIC(int) next_id;
	uint64_t accepted[SENDERS + THREADS][CHANS];
	struct {
		uint64_t got[SENDERS + THREADS][CHANS];
		uint64_t last[SENDERS + THREADS][CHANS];
	} in[RECEIVERS + THREADS + 1];
	weft_task *senders[SENDERS], *receivers[RECEIVERS];
};

static struct city city;

static bool gone(int rc)
{
	T_OK(rc == 0 || rc == WEFT_ETIMEDOUT || rc == WEFT_EAGAIN || rc == WEFT_ECANCELED || rc == WEFT_ECLOSED);
	return rc == WEFT_ECANCELED;
}

static void note_got(unsigned me, const struct element *e, unsigned chan)
{
	T_EQ(e->chan, chan);
	T_LT(e->sender, SENDERS + THREADS);
	/* One receiver sees one sender's elements of one channel in the order in which they were sent. */
	T_LT(city.in[me].last[e->sender][chan], e->count);
	city.in[me].last[e->sender][chan] = e->count;
	city.in[me].got[e->sender][chan]++;
}

static int64_t some_deadline(struct rng *r)
{
	switch (rng_below(r, 4)) {
	case 0:
		return WEFT_NOW;
	case 1:
		return weft_in(rng_below(r, 50) * WEFT_US);
	default:
		return weft_in(WEFT_SEC * 20);
	}
}

static int send_some(unsigned me, struct rng *r)
{
	uint64_t sent[CHANS] = {0};
	int rc = 0;

	while (load_acquire(&city.running)) {
		unsigned a = rng_below(r, CHANS), b = rng_below(r, CHANS);
		struct element ea = {me, a, sent[a] + 1}, eb = {me, b, sent[b] + 1};
		weft_case cases[3] = {WEFT_SEND(city.c[a], &ea), WEFT_SEND(city.c[b], &eb), WEFT_AFTER(rng_below(r, 30) * WEFT_US)};
		int fired;

		switch (rng_below(r, 3)) {
		case 0:
			rc = weft_chan_send_until(city.c[a], &ea, some_deadline(r));
			fired = 0;
			break;
		case 1:
			rc = weft_chan_trysend(city.c[a], &ea);
			fired = 0;
			break;
		default:
			fired = weft_chan_select_until(cases, rng_below(r, 2) ? 3 : 2, some_deadline(r));
			rc = fired < 0 ? fired : fired == 2 ? WEFT_ETIMEDOUT : cases[fired].status;
		}
		if (rc == 0)
			city.accepted[me][fired ? b : a] = ++sent[fired ? b : a];
		if (gone(rc))
			return 1;
		if (rng_below(r, 8) == 0)
			weft_task_yield();
	}
	return 0;
}

static int receive_some(unsigned me, struct rng *r, bool all)
{
	unsigned closed = 0;

	while (closed != (1u << CHANS) - 1) {
		unsigned a = rng_below(r, CHANS), b = rng_below(r, CHANS);
		struct element ea, eb;
		weft_case cases[3] = {WEFT_RECV(city.c[a], &ea), WEFT_RECV(city.c[b], &eb), WEFT_AFTER(rng_below(r, 30) * WEFT_US)};
		int rc, fired = 0;

		switch (rng_below(r, 3)) {
		case 0:
			rc = weft_chan_recv_until(city.c[a], &ea, some_deadline(r));
			break;
		case 1:
			rc = weft_chan_tryrecv(city.c[a], &ea);
			break;
		default:
			fired = weft_chan_select_until(cases, rng_below(r, 2) ? 3 : 2, some_deadline(r));
			rc = fired < 0 ? fired : fired == 2 ? WEFT_ETIMEDOUT : cases[fired].status;
		}
		if (rc == 0)
			note_got(me, fired == 1 ? &eb : &ea, fired == 1 ? b : a);
		if (gone(rc))
			return 1;
		if (rc == WEFT_ECLOSED)
			closed |= 1u << (fired == 1 ? b : a);
		if (!all && !load_acquire(&city.running))
			return 0;
		if (rng_below(r, 8) == 0)
			weft_task_yield();
	}
	return 0;
}

static int sender(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	struct rng r;

	rng_seed(&r, city.seed, 100 + me);
	return send_some(me, &r);
}

static int receiver(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	struct rng r;

	rng_seed(&r, city.seed, 200 + me);
	return receive_some(me, &r, true);
}

static void *outsider(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	struct rng r;

	rng_seed(&r, city.seed, 300 + me);
	if (me % 2)
		send_some(SENDERS + me, &r);
	else
		receive_some(RECEIVERS + me, &r, false);
	return NULL;
}

static int city_main(void *arg)
{
	pthread_t th[THREADS];
	struct element e;
	struct rng r;
	int64_t until_ns;

	(void)arg;
	rng_seed(&r, city.seed, 0);
	store_release(&city.running, 1);
	for (int i = 0; i < CHANS; i++)
		city.c[i] = weft_chan_make(sizeof(struct element), (size_t)i / 2 * rng_below(&r, 5));
	for (uintptr_t i = 0; i < RECEIVERS; i++)
		city.receivers[i] = start(receiver, (void *)i);
	for (uintptr_t i = 0; i < SENDERS; i++)
		city.senders[i] = start(sender, (void *)i);
	for (uintptr_t i = 0; i < THREADS; i++)
		T_EQ(pthread_create(&th[i], NULL, outsider, (void *)i), 0);
	until_ns = weft_in((20 + rng_below(&r, 60)) * WEFT_MS);
	while (weft_now() < until_ns)
		weft_task_sleep(WEFT_MS);
	/* some are cancelled in mid-traffic, some channels closed under their senders */
	for (int i = 0; i < SENDERS; i += 1 + (int)rng_below(&r, 6))
		weft_task_cancel(city.senders[i]);
	for (int i = 0; i < RECEIVERS; i += 1 + (int)rng_below(&r, 6))
		weft_task_cancel(city.receivers[i]);
	weft_chan_close(city.c[rng_below(&r, CHANS)]);
	weft_task_sleep(2 * WEFT_MS);
	store_release(&city.running, 0);
	for (int i = 0; i < CHANS; i++)
		weft_chan_close(city.c[i]);
	for (int i = 0; i < SENDERS; i++)
		finish(city.senders[i]);
	for (int i = 0; i < RECEIVERS; i++)
		finish(city.receivers[i]);
	for (int i = 0; i < THREADS; i++)
		pthread_join(th[i], NULL);
	for (unsigned i = 0; i < CHANS; i++) {
		while (weft_chan_tryrecv(city.c[i], &e) == 0)
			note_got(RECEIVERS + THREADS, &e, i);
		weft_chan_free(city.c[i]);
	}
	return 0;
}

/* Random traffic, run after run. */
TEST_WORKERS(random_traffic)
{
	const char *env = getenv("WEFT_TEST_SEED");
	uint64_t seed = env ? strtoull(env, NULL, 0) : (uint64_t)weft_now(), total = 0;
	long n = tap_iters(40);

	tap_limit(120);
	tap_note("WEFT_TEST_SEED=%llu", (unsigned long long)seed);
	for (long i = 0; i < n; i++) {
		memset(&city, 0, sizeof city);
		city.seed = seed + (uint64_t)i;
		T_EQ(run_with(city_main, NULL, (weft_opts){.seed = city.seed + 1}), 0);
		for (int s = 0; s < SENDERS + THREADS; s++) {
			for (int c = 0; c < CHANS; c++) {
				uint64_t got = 0;

				for (int k = 0; k < RECEIVERS + THREADS + 1; k++)
					got += city.in[k].got[s][c];
				if (got != city.accepted[s][c])
					T_FAIL("run %ld: sender %d, channel %d: %llu accepted, %llu received", i, s, c,
					       (unsigned long long)city.accepted[s][c], (unsigned long long)got);
				total += got;
			}
		}
	}
	tap_note("%llu elements", (unsigned long long)total);
	T_GT(total, 0);
}
