/* SPDX-License-Identifier: MIT
 *
 * user.c - a user's program: tasks and channels on several workers, nothing but public headers.
 *
 * Built in every way a user would (tools/consumer.sh).  With BUG_RACE two tasks write one word with no order between them; with BUG_HEAP one task
 * writes behind its heap block: a sanitizer that this program, but not the packaged library, is built with must say so.  With BUG_DEEP its tasks' stacks overflow.
 */
#include <stdio.h>
#include <stdlib.h>
#include <weft.h>

#define TASKS 100

static long racy;
#ifdef BUG_RACE
static int met, written;
#endif

#ifdef BUG_DEEP
/* Has no frame pointer where it is optimised, nor an end. */
__attribute__((noinline)) static int dig(int n)
{
	volatile char frame[1000];

	frame[0] = (char)n;
	return n < 0 ? 0 : dig(n + 1) + frame[0];
}
#endif

static void work(chan *out, int n)
{
	long sum = 0;

	for (int i = 1; i <= n; i++) {
		sum += i;
		task_yield();
	}
#ifdef BUG_RACE
	if (n <=
	    2) { /* the two meet, each on a worker of its own, and take turns, in a way that orders nothing: two writes at once might both be missed */
		__atomic_fetch_add(&met, 1, __ATOMIC_RELAXED);
		while (__atomic_load_n(&met, __ATOMIC_RELAXED) < 2 || (n == 2 && !__atomic_load_n(&written, __ATOMIC_RELAXED)))
			;
		racy++;
		__atomic_store_n(&written, 1, __ATOMIC_RELAXED);
	}
#endif
#ifdef BUG_DEEP
	sum += dig(n);
#endif
#ifdef BUG_HEAP
	if (n == TASKS) {
		char *p = malloc(10);

		((volatile char *)p)[n / 10] = 1;
		free(p);
	}
#endif
	chan_send(out, &sum);
}

WEFT_MAIN(argc, argv)
{
	chan *out = chan_make(sizeof(long), 4);
	long total = 0, want = 0;

	(void)argc;
	(void)argv;
	for (int n = 1; n <= TASKS; n++) {
		if (go(work, out, n) != 0)
			return 3;
		want += (long)n * (n + 1) / 2;
	}
	for (int n = 1; n <= TASKS; n++) {
		long sum;

		if (chan_recv(out, &sum) != 0)
			return 4;
		total += sum;
	}
	chan_free(out);
	printf("weft %s: %ld %s\n", weft_version(), total, total == want ? "ok" : "wrong");
	return total != want || racy < 0;
}
