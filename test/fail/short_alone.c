/* SPDX-License-Identifier: MIT
 *
 * short_alone.c - weft/short.h is all of weft, also by itself; and calls take literals with commas for their arguments, where there are literals.
 */
#include <weft/short.h>

int alone(chan *c, waitgroup *g, weft_group *children, weft_gen **gen, weft_once *once, task_fn *fn, void (*first)(void *arg));

int alone(chan *c, waitgroup *g, weft_group *children, weft_gen **gen, weft_once *once, task_fn *fn, void (*first)(void *arg))
{
#ifdef __cplusplus
	void *pair = c;
#define PAIR pair /* a compound literal is an extension there */
#else
#define PAIR (int[2]){1, 2}
#endif
	WEFT_DEFER(first, PAIR);
	int rc = wg_go(g, fn, PAIR) + group_go(children, fn, PAIR) + group_trygo(children, fn, PAIR);

	rc += group_go_until(children, fn, PAIR, weft_in(SEC)) + gen_make(gen, sizeof(int), fn, PAIR);
	return rc + once_do(once, first, PAIR) + once_retry(once, fn, PAIR) + (c == NULL);
}
