/* SPDX-License-Identifier: MIT
 *
 * tap_sample.c - tests that pass, fail, crash, hang and skip on purpose: what test/tap_test.sh runs to test the harness.
 */
#include "tap.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

TEST(passes)
{
	printf("not ok 99 - what a test prints is not TAP\n");
	tap_tell("three moons");
	T_EQ(2 + 2, 4);
}

TEST(fails_with_both_values)
{
	int four = 4;

	tap_note("a note");
	T_EQ(four, 5);
}

static void *thread_fails(void *arg)
{
	(void)arg;
	T_STR_EQ("left", "right");
	return NULL;
}

TEST(fails_on_a_thread)
{
	pthread_t t;

	pthread_create(&t, NULL, thread_fails, NULL);
	pause();
}

TEST(crashes)
{
	raise(SIGKILL);
}

TEST(exits_with_status)
{
	exit(7);
}

TEST(hangs)
{
	for (;;)
		pause();
}

TEST(hangs_deaf)
{
	signal(SIGQUIT, SIG_IGN);
	for (;;)
		pause();
}

TEST(skips)
{
	tap_skip("no %s here", "moon");
}

TEST_WORKERS(counts_workers)
{
	T_OK(tap_workers() == 1 || tap_workers() == 2 || tap_workers() == 8);
	T_EQ(atoi(getenv("WEFT_WORKERS")), tap_workers());
}

TEST_DIES(dies_as_told, "last words")
{
	fprintf(stderr, "these are my last words\n");
	abort();
}

TEST_DIES(dies_silently, "last words")
{
	abort();
}

TEST_DIES(lives_on, "last words")
{
	fprintf(stderr, "these are my last words\n");
}

TEST_DIES(fails_before_it_dies, "last words")
{
	fprintf(stderr, "these are my last words\n");
	T_OK(0 > 1);
}
