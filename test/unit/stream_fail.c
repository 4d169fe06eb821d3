/* SPDX-License-Identifier: MIT
 *
 * stream_fail.c - streams when memory runs out: whichever allocation fails, what can be seen is WEFT_ENOMEM, and nothing is left behind.
 */
#include "rt.h"

#include "failpoint.h"
#include "weft/bufio.h"
#include "weft/stream.h"
#include <stdlib.h>

static int plus_one(const void *in, void *out, void *arg)
{
	(void)arg;
	*(int64_t *)out = *(const int64_t *)in + 1;
	return 0;
}

static int is_any(const void *e, void *arg)
{
	(void)e, (void)arg;
	return 1;
}

static int adds(void *acc, const void *e, void *arg)
{
	(void)arg;
	*(int64_t *)acc += *(const int64_t *)e;
	return 0;
}

static weft_stream *one_of(const void *e, void *arg)
{
	int64_t v = *(const int64_t *)e;

	(void)arg;
	return weft_stream_range(v, v + 1, 1);
}

static int pair_of(const void *a, const void *b, void *out, void *arg)
{
	(void)arg;
	*(int64_t *)out = *(const int64_t *)a + *(const int64_t *)b;
	return 0;
}

typedef WEFT_STREAM_BATCH(int64_t, 4) four;

static int first_of(const void *in, void *out, void *arg)
{
	(void)arg;
	*(int64_t *)out = ((const four *)in)->e[0];
	return 0;
}

static int by_parity(const void *e, void *arg)
{
	(void)arg;
	return (int)(*(const int64_t *)e & 1);
}

static int length(const void *in, void *out, void *arg)
{
	(void)arg;
	*(int64_t *)out = (int64_t)((const weft_bytes *)in)->n;
	return 0;
}

#define N 300
#define HOUR (3600 * WEFT_SEC) /* what never comes to pass, however long this process is kept from running */

static weft_stream *numbers(void)
{
	return weft_stream_range(0, N, 1);
}

static weft_stream *simple(void)
{
	weft_stream *s = weft_stream_map(numbers(), 8, plus_one, NULL);

	s = weft_stream_drop_while(weft_stream_drop(weft_stream_filter(s, is_any, NULL), 0), is_any, NULL);
	return weft_stream_take_while(weft_stream_take(weft_stream_concat((weft_stream *[]){s, numbers()}, 2), N), is_any, NULL);
}

static weft_stream *remembers(void)
{
	weft_stream *s = weft_stream_distinct(weft_stream_dedup(numbers()), 0);

	s = weft_stream_scan(weft_stream_flat_map(s, 8, one_of, NULL), 8, NULL, adds, NULL);
	return weft_stream_zip(s, numbers(), 8, pair_of, NULL);
}

static weft_stream *several(void)
{
	weft_stream *s = weft_stream_map(weft_stream_batch(numbers(), 4, WEFT_FOREVER), 8, first_of, NULL);

	s = weft_stream_map(weft_stream_window(s, 4, 1), 8, first_of, NULL);
	return weft_stream_map(weft_stream_window_time(s, HOUR, HOUR, 4), 8, first_of, NULL);
}

static weft_stream *timed(void)
{
	weft_stream *s = weft_stream_throttle(numbers(), 1000000, WEFT_SEC, 1000000);

	return weft_stream_debounce(weft_stream_timeout(s, HOUR), HOUR);
}

static weft_stream *lines(void)
{
	static weft_membuf m;
	static char text[] = "one\ntwo\nthree\n";

	m = (weft_membuf){.data = text, .end = sizeof text - 1};
	return weft_stream_map(weft_stream_lines(weft_membuf_io(&m), 32), 8, length, NULL);
}

static weft_stream *written(void)
{
	weft_stream_tx *w;
	weft_stream *s;
	int64_t v = 1;
	int rc = weft_stream_open(&s, &w, &(weft_stream_opts){.elem = 8, .policy = WEFT_STREAM_UNBOUNDED});

	if (rc)
		return weft_stream_failed(rc);
	for (int i = 0; i < 100 && !rc; i++)
		rc = weft_stream_write(w, &v);
	if (rc)
		T_EQ(weft_stream_fail(w, rc), 0);
	weft_stream_tx_free(w);
	return s;
}

static weft_stream *split(void)
{
	weft_stream *out[2], *tee[2];

	weft_stream_tee(numbers(), 2, tee, 0, WEFT_STREAM_UNBOUNDED);
	weft_stream_free(tee[1]);
	weft_stream_partition(tee[0], 2, out, by_parity, NULL, 0, WEFT_STREAM_DROP_OLDEST);
	weft_stream_free(out[1]);
	return out[0];
}

static weft_stream *buffered(void)
{
	return weft_stream_buffer(numbers(), &(weft_stream_opts){.policy = WEFT_STREAM_UNBOUNDED});
}

static weft_stream *parallel(void)
{
	return weft_stream_parallel(weft_stream_parallel(numbers(), 8, plus_one, NULL, NULL), 8, plus_one, NULL,
				    &(weft_stream_par){.unordered = true});
}

static weft_stream *merged(void)
{
	return weft_stream_merge((weft_stream *[]){numbers(), simple()}, 2);
}

/* Lets each allocation fail in its turn, until there are fewer. */
static void fails_everywhere(weft_stream *(*make)(void), bool tasks)
{
	long refused = 0;

	for (long n = 1;; n++) {
		weft_stream *s;
		weft_stream_stat st[16];
		void *all;
		size_t have;
		int64_t rc;
		bool fired;

		failpoint_arm(n);
		s = make();
		T_OK(s);
		T_GE(weft_stream_stats(s, st, 16), 1); /* also of one that is half made */
		rc = weft_stream_collect(s, &all, &have, 0);
		failpoint_disarm();
		fired = failpoint_fired();
		T_OK(rc >= 0 || rc == WEFT_ENOMEM);
		if (rc < 0)
			T_OK(fired);
		refused += rc < 0;
		free(all);
		weft_stream_free(s);
		if (!fired) {
			T_GT(rc, 0);
			break;
		}
		T_OK(rc < 0 || tasks); /* a task more or less may be done without */
	}
	T_GT(refused, 0);
}

TEST(no_memory)
{
	T_GE(weft_nodes(), 1); /* what the machine looks like is read once, and can be done without */
	fails_everywhere(simple, false);
	fails_everywhere(remembers, false);
	fails_everywhere(several, false);
	fails_everywhere(timed, false);
	fails_everywhere(lines, false);
	fails_everywhere(written, false);
	fails_everywhere(split, false);
}

static int tasks_main(void *arg)
{
	weft_stream *s;

	(void)arg;
	until_all_workers_run();
	for (int i = 0; i < 3; i++) { /* stacks and records are at hand now */
		s = i == 0 ? buffered() : i == 1 ? parallel() : merged();
		T_GT(weft_stream_count(s), 0);
		weft_stream_free(s);
	}
	fails_everywhere(buffered, true);
	fails_everywhere(parallel, true);
	fails_everywhere(merged, true);
	return 0;
}

TEST_WORKERS(no_memory_for_tasks)
{
	run(tasks_main, NULL);
}
