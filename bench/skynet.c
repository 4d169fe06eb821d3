/* SPDX-License-Identifier: MIT
 *
 * skynet.c - P12: how long does a tree of tasks take, ten to a node, a million leaves, each sending its number up? And fib(25), a task for each number that is not computed by its caller?
 *
 * Default order: children are queued, and run when their parent waits for them. Run at once: a child runs before its
 * parent starts the next one, and the parent goes on when it waits or ends. Newest first: as queued, by workers that take their newest task first (WEFT_ORDER_LIFO).
 */
#include "bench.h"

#define LEAVES 1000000

struct node {
	chan *up; /* one reference */
	int64_t num, size;
	bool now;
};

static int skynet(void *arg);

static void start(struct node *node)
{
	const task_opts o = {.now = true};

	if (node->now)
		MUST(go_opts(NULL, skynet, node, &o));
	else
		MUST(go(skynet, node));
}

/* The node lies with its parent, which waits for the number: it is read before that is sent. */
static int skynet(void *arg)
{
	const struct node node = *(const struct node *)arg;
	struct node kids[10];
	chan *down;
	int64_t sum = node.num;

	if (node.size > 1) {
		down = bench_chan(sizeof(int64_t), 0);
		for (int i = 0; i < 10; i++) {
			int64_t size = node.size / 10;

			kids[i] = (struct node){chan_ref(down), node.num + i * size, size, node.now};
			start(&kids[i]);
		}
		sum = 0;
		for (int i = 0; i < 10; i++) {
			int64_t v;

			MUST(chan_recv(down, &v));
			sum += v;
		}
		chan_free(down);
	}
	MUST(chan_send(node.up, &sum));
	chan_free(node.up);
	return 0;
}

static void tree(const struct bench *b, const char *variant, bool now)
{
	double s[BENCH_RUNS_MAX];

	if (!bench_wanted(b, variant))
		return;
	for (int i = -1; i < b->runs; i++) { /* the first one warms up */
		chan *c = bench_chan(sizeof(int64_t), 0);
		struct node root = {chan_ref(c), 0, LEAVES, now};
		int64_t from = bench_now(), sum;

		start(&root);
		MUST(chan_recv(c, &sum));
		if (i >= 0)
			s[i] = (double)(bench_now() - from) / 1e6;
		chan_free(c);
		if (sum != (int64_t)LEAVES * (LEAVES - 1) / 2) {
			fprintf(stderr, "bench: skynet's sum is %lld\n", (long long)sum);
			exit(1);
		}
	}
	bench_report(b, "P12", variant, "ms", s, b->runs);
}

#define FIB 25
#define FIB_IS 75025

static int fib(void *arg)
{
	int n = (int)(intptr_t)arg, one;
	task *t;

	if (n < 2)
		return n;
	MUST(go_opts(&t, fib, (void *)(intptr_t)(n - 1), NULL));
	n = fib((void *)(intptr_t)(n - 2));
	MUST(task_join(t, &one));
	return n + one;
}

static void fibs(const struct bench *b, const char *variant)
{
	double s[BENCH_RUNS_MAX];

	if (!bench_wanted(b, variant))
		return;
	for (int i = -1; i < b->runs; i++) {
		int64_t from = bench_now();

		if (fib((void *)(intptr_t)FIB) != FIB_IS)
			exit(1);
		if (i >= 0)
			s[i] = (double)(bench_now() - from) / 1e6;
	}
	bench_report(b, "P12", variant, "ms", s, b->runs);
}

static int body(void *arg)
{
	struct bench *b = arg;

	tree(b, "skynet, 1000000 leaves", false);
	tree(b, "skynet, 1000000 leaves, run at once", true);
	fibs(b, "fib(25)");
	return 0;
}

static int newest_body(void *arg)
{
	struct bench *b = arg;

	tree(b, "skynet, 1000000 leaves, newest first", false);
	fibs(b, "fib(25), newest first");
	return 0;
}

int main(int argc, char **argv)
{
	int rc = bench_main(argc, argv, body);

	return rc ? rc : bench_main_order(argc, argv, newest_body, WEFT_ORDER_LIFO);
}
