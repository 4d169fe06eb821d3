/* SPDX-License-Identifier: MIT
 *
 * http.h - the little HTTP that P20 needs, the same for the load generator and for every server in C: one request, one reply, the end of the headers.
 *
 * A request ends where its headers do (a GET has no body). Several may arrive at once, and the last of them in part.
 */
#ifndef BENCH_HTTP_H
#define BENCH_HTTP_H

#include <stddef.h>
#include <string.h>

#define HTTP_REQUEST "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
#define HTTP_BODY "Hello, World!\n"
#define HTTP_REPLY "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\n" HTTP_BODY
#define HTTP_REPLY_SIZE (sizeof(HTTP_REPLY) - 1)

/* So many replies are kept one after the other, to answer as many requests with one write. */
#define HTTP_REPLIES 16

struct http_replies {
	char text[HTTP_REPLIES * HTTP_REPLY_SIZE];
};

static inline void http_replies_init(struct http_replies *r)
{
	for (size_t i = 0; i < HTTP_REPLIES; i++)
		memcpy(r->text + i * HTTP_REPLY_SIZE, HTTP_REPLY, HTTP_REPLY_SIZE);
}

/* How many whole requests the n bytes begin with; *used: their bytes. */
static inline size_t http_requests(const char *buf, size_t n, size_t *used)
{
	const char *at = buf, *end;
	size_t count = 0;

	while ((end = memmem(at, n - (size_t)(at - buf), "\r\n\r\n", 4)) != NULL) {
		at = end + 4;
		count++;
	}
	*used = (size_t)(at - buf);
	return count;
}

#endif
