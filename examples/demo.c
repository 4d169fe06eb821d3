/* SPDX-License-Identifier: MIT
 *
 * demo.c - what `./dev demo` shows: a prime sieve of a few thousand tasks in a chain, then a million tasks on all
 * cores.
 *
 * Every result is checked; exit status 0 means that all were right. Ctrl-C ends it at any time.
 */
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>
#include <weft.h>

#define PRIMES 5000
#define LAST_PRIME 48611 /* the 5,000th */
#define TASKS 1000000
#define FAN 1000 /* tasks that each start as many others */

/* Progress: one line, written over, on a terminal; a line each 10 % otherwise. */
static void progress(const char *what, int done, int of)
{
	static int shown = -1;
	bool tty = isatty(STDOUT_FILENO);
	int percent = (int)(100LL * done / of);

	if (percent == shown || (!tty && percent % 10 != 0))
		return;
	shown = percent;
	printf(tty ? "\r%s: %3d%%%s" : "%s: %d%%%s", what, percent, !tty || done == of ? "\n" : "");
	fflush(stdout);
}

static void generate(chan *out, waitgroup *g)
{
	for (int i = 2; chan_send(out, &i) == 0; i++)
		;
	chan_free(out);
	wg_done(g);
}

static void filter(chan *in, chan *out, int prime, waitgroup *g)
{
	int i;

	while (chan_recv(in, &i) == 0) {
		if (i % prime != 0 && chan_send(out, &i) != 0)
			break;
	}
	chan_free(in);
	chan_free(out);
	wg_done(g);
}

/* The chain grows by one task a prime; see sieve.c for it in small. Returns the last prime, or a negative code. */
static int sieve(waitgroup *g)
{
	chan *c = chan_make(sizeof(int), 0);
	int prime = 0, rc = WEFT_ENOMEM;

	if (!c)
		return rc;
	wg_add(g, 1);
	rc = go(generate, chan_ref(c), g);
	for (int n = 1; rc == 0; n++) {
		chan *next;

		rc = chan_recv(c, &prime);
		progress("sieve", n, PRIMES);
		if (rc != 0 || n == PRIMES)
			break;
		next = chan_make(sizeof(int), 0);
		if (!next) {
			rc = WEFT_ENOMEM;
			break;
		}
		wg_add(g, 1);
		rc = go(filter, c, chan_ref(next), prime, g);
		c = next;
	}
	chan_free(c);
	return rc == 0 ? prime : rc;
}

static int show_sieve(void)
{
	ctx *scope = ctx_make(NULL), *up;
	waitgroup g = {0};
	int64_t start = now();
	int last;

	if (!scope)
		return 1;
	up = ctx_enter(scope);
	last = sieve(&g);
	ctx_leave(up);
	ctx_cancel(scope, WEFT_REASON_CANCELED);
	if (last < 0) {
		fprintf(stderr, "demo: sieve: %s\n", weft_strerror(last));
		return 1;
	}
	wg_wait(&g);
	ctx_free(scope);
	printf("  the %dth prime is %d, %s: a chain of %d tasks, %.2f s\n\n", PRIMES, last, last == LAST_PRIME ? "right" : "WRONG", PRIMES,
	       (double)(now() - start) / 1e9);
	return last != LAST_PRIME;
}

/* A leaf sends its number to its branch. Owns a reference to up. */
static void leaf(chan *up, int64_t number)
{
	chan_send(up, &number);
	chan_free(up);
}

/* A branch starts its leaves, adds up what they send, and sends that on. Owns a reference to up. */
static void branch(chan *up, int64_t first)
{
	chan *c = chan_make(sizeof(int64_t), 0);
	int64_t sum = 0, v;
	int n = 0;

	if (!c)
		sum = INT64_MIN;
	for (; c && n < FAN; n++) {
		if (go(leaf, chan_ref(c), first + n) != 0) {
			chan_free(c); /* the reference that the leaf did not take */
			sum = INT64_MIN;
			break;
		}
	}
	while (n-- > 0) {
		if (chan_recv(c, &v) == 0)
			sum += v;
	}
	chan_free(c);
	chan_send(up, &sum);
	chan_free(up);
}

static int show_fan_out(void)
{
	chan *c = chan_make(sizeof(int64_t), 0);
	int64_t start = now(), took, sum = 0, v;
	weft_stat before, after;

	if (!c || weft_stats(&before) != 0)
		return 1;
	for (int64_t i = 0; i < TASKS / FAN; i++) {
		int rc = go(branch, chan_ref(c), i * FAN);

		if (rc != 0) {
			fprintf(stderr, "demo: fan-out: %s\n", weft_strerror(rc));
			return 1;
		}
	}
	for (int n = 1; n <= TASKS / FAN; n++) {
		if (chan_recv(c, &v) == 0)
			sum += v;
		progress("fan-out", n, TASKS / FAN);
	}
	took = now() - start;
	chan_free(c);
	weft_stats(&after);
	printf("  %d tasks sent their numbers, which add up to %lld, %s: %.2f s, %.2f million tasks a second\n\n", TASKS, (long long)sum,
	       sum == (int64_t)TASKS * (TASKS - 1) / 2 ? "right" : "WRONG", (double)took / 1e9,
	       (double)(after.started - before.started) * 1e3 / (double)took);
	return sum != (int64_t)TASKS * (TASKS - 1) / 2;
}

WEFT_MAIN(argc, argv)
{
	weft_stat s;
	int wrong;

	(void)argc;
	(void)argv;
	wrong = show_sieve();
	wrong |= show_fan_out();
	if (weft_stats(&s) == 0)
		printf("%d workers, %llu tasks, %llu switches, %llu steals, %zu stacks of %zu KiB address space each\n", s.workers,
		       (unsigned long long)s.started, (unsigned long long)s.switches, (unsigned long long)s.steals, s.stacks,
		       s.stacks ? s.stack_bytes / s.stacks / 1024 : 0);
	return wrong;
}
