/* SPDX-License-Identifier: MIT
 *
 * epoll.c - the servers of P19 to P21, P50 and P51 on bare epoll: what the kernel alone costs.
 *
 * A connection is added once, edge-triggered, for both directions, and never changed. A read that did not fill the buffer has emptied the socket (a
 * stream's short read), so that no second one is needed, unless the peer has shut down as well: then there may be no further edge.
 * A request costs one recv, one send, and its part of an epoll_wait.
 */
#include "peer.h"

#include <sys/epoll.h>

struct conn {
	int fd;
	size_t have; /* bytes in buf: echo: to be sent, from `from` on; http: of requests not complete yet */
	size_t from;
	size_t owed;  /* http: bytes of replies to be sent */
	uint64_t all; /* sink, source: bytes so far */
	char buf[];   /* opt.buf bytes */
};

static void finish(struct conn *c)
{
	close(c->fd);
	free(c);
}

/* Sends what is due. 1: all of it; 0: no room; -1: broken. */
static int flush(struct conn *c)
{
	while (opt.http ? c->owed : c->have) {
		const char *text = c->buf + c->from;
		size_t size = c->have;
		ssize_t n;

		if (opt.http) {
			size_t at = (HTTP_REPLY_SIZE - c->owed % HTTP_REPLY_SIZE) % HTTP_REPLY_SIZE;

			text = replies.text + at;
			size = c->owed < sizeof(replies.text) - at ? c->owed : sizeof(replies.text) - at;
		}
		n = send(c->fd, text, size, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		if (opt.http) {
			c->owed -= (size_t)n;
		} else {
			c->from += (size_t)n;
			c->have -= (size_t)n;
		}
	}
	c->from = 0;
	return 1;
}

/* sink: takes what is there, and says how much there was at the end. */
static void take_all(struct conn *c)
{
	ssize_t n;

	while ((n = recv(c->fd, c->buf, opt.buf, 0)) > 0)
		c->all += (uint64_t)n;
	if (n < 0 && errno == EAGAIN)
		return;
	pour_put(c->buf, c->all);
	if (n == 0)
		(void)!send(c->fd, c->buf, 8, MSG_NOSIGNAL);
	finish(c);
}

/* source: gives what there is room for. */
static void give_all(struct conn *c)
{
	ssize_t n;

	while ((n = send(c->fd, block + c->all % POUR_BLOCK, POUR_BLOCK - c->all % POUR_BLOCK, MSG_NOSIGNAL)) > 0)
		c->all += (uint64_t)n;
	if (errno != EAGAIN)
		finish(c);
}

static void ready(struct conn *c, unsigned events)
{
	if (opt.sink || opt.source) {
		if (opt.sink)
			take_all(c);
		else
			give_all(c);
		return;
	}
	for (;;) {
		size_t room, used;
		ssize_t n;
		int sent = flush(c);

		if (sent == 0)
			return;
		room = opt.buf - c->have;
		n = sent < 0 || room == 0 ? 0 : recv(c->fd, c->buf + c->have, room, 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			finish(c);
			return;
		}
		c->have += (size_t)n;
		if (opt.http) {
			c->owed = HTTP_REPLY_SIZE * http_requests(c->buf, c->have, &used);
			c->have -= used;
			memmove(c->buf, c->buf + used, c->have);
		}
		if ((size_t)n == room || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
			continue;
		sent = flush(c);
		if (sent < 0)
			finish(c);
		return;
	}
}

static void take(int epfd, int listener)
{
	int fd, on = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
		struct conn *c;

		if (opt.accept) {
			close(fd);
			continue;
		}
		c = malloc(sizeof(*c) + opt.buf);
		if (!c)
			die("accept", "no memory");
		ev.data.ptr = c;
		c->fd = fd;
		c->have = c->from = c->owed = 0;
		c->all = 0;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev) != 0)
			die("epoll_ctl", strerror(errno));
	}
	if (errno != EAGAIN && errno != ECONNABORTED)
		die("accept", strerror(errno));
}

static void *loop(void *arg)
{
	int listener = *(int *)arg, epfd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev[256] = {{.events = EPOLLIN}};

	if (epfd < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, listener, ev) != 0)
		die("epoll", strerror(errno));
	for (;;) {
		int n = epoll_wait(epfd, ev, sizeof(ev) / sizeof(*ev), -1);

		if (n < 0 && errno != EINTR)
			die("epoll_wait", strerror(errno));
		for (int i = 0; i < n; i++) {
			if (ev[i].data.ptr)
				ready(ev[i].data.ptr, ev[i].events);
			else
				take(epfd, listener);
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	arguments(argc, argv);
	serve(loop, "");
	return 0;
}
