/* SPDX-License-Identifier: MIT
 *
 * failpoint.c - does the n-th call fail, and only it?
 */
#include "failpoint.h"
#include "tap.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include <uv.h>

/* malloc as a pointer: a compiler may leave out a malloc whose memory is only freed. */
static void *(*volatile get)(size_t) = malloc;

/* Calls are counted while armed, and none fails if none was asked for. */
TEST(counts)
{
	void *p, *q;

	failpoint_arm(0);
	p = get(1);
	q = get(1);
	free(p);
	free(q);
	T_EQ(failpoint_disarm(), 2);
	T_OK(!failpoint_fired());
	p = get(1);
	free(p);
	T_EQ(failpoint_disarm(), 2);
}

/* Exactly the second of three calls fails, with the call's own way to say so. */
TEST(fails_the_nth)
{
	void *a, *b, *c;

	failpoint_arm(2);
	a = get(1);
	b = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	T_EQ(errno, ENOMEM);
	c = get(1);
	failpoint_disarm();
	T_NE(a, NULL);
	T_EQ(b, MAP_FAILED);
	T_NE(c, NULL);
	T_OK(failpoint_fired());
	T_STR_HAS(failpoint_name(), "mmap");
	free(a);
	free(c);
}

/* Every call from the second on fails. */
TEST(fails_from_the_nth_on)
{
	void *a, *b, *c;

	failpoint_arm_all(2);
	a = get(1);
	b = get(1);
	c = get(1);
	failpoint_disarm();
	T_NE(a, NULL);
	T_EQ(b, NULL);
	T_EQ(c, NULL);
	free(a);
}

/* What cannot fail for want of anything is no such call: the next one is the first. */
TEST(counts_what_can_fail)
{
	int ep = epoll_create1(0), fd = eventfd(0, 0);
	struct epoll_event e = {.events = EPOLLIN};
	void *p;

	T_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e), 0);
	failpoint_arm(1);
	T_EQ(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL), 0);
	T_EQ(sigaltstack(NULL, &(stack_t){0}), 0);
	T_OK(!failpoint_fired());
	p = get(1);
	T_EQ(failpoint_disarm(), 1);
	T_EQ(p, NULL);
	T_OK(failpoint_fired());
	close(ep);
	close(fd);
}

/* libuv's calls are refused from outside; what libuv itself allocates is not counted. */
TEST(wraps_libuv)
{
	uv_loop_t loop;
	long n;

	failpoint_arm(1);
	T_LT(uv_loop_init(&loop), 0);
	failpoint_disarm();
	failpoint_arm(0);
	T_EQ(uv_loop_init(&loop), 0);
	n = failpoint_disarm();
	T_EQ(n, 1);
	T_EQ(uv_loop_close(&loop), 0);
}
