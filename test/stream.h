/* SPDX-License-Identifier: MIT
 *
 * stream.h - a stream of bytes of which each is known by its place, with a length before it and a checksum behind: through anything that is a weft_io.
 *
 *   stream_send(io, s)       writes it, in pieces of all sizes; 0, or the error that ended it
 *   stream_receive(io, s)    reads it; 0: it has come whole; STREAM_SHORT: it ended early; or an error. A wrong byte, and one too many, fail the test.
 *
 * Neither ends the direction: who sends may shut it down.
 */
#ifndef WEFT_TEST_STREAM_H
#define WEFT_TEST_STREAM_H

#include "tap.h"

#include "base/rand.h"
#include "weft/io.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_SHORT 1

enum { STREAM_BLOCK = 65536, STREAM_HEAD = 16, STREAM_SUM = 8 };

struct stream {
	uint64_t seed;  /* of the bytes, and of the sizes of pieces */
	uint64_t bytes; /* between head and sum */
	size_t piece;   /* at a time, at most; 0: whole blocks */
	uint64_t moved; /* set: bytes sent or received, of all there are */
	bool till_end;  /* the receiver also waits for the end */
};

/* The block that begins at byte `at`, a multiple of 8, and what it adds to the checksum. */
static inline uint64_t stream__block(const struct stream *s, uint64_t at, uint64_t *out, size_t n, uint64_t sum)
{
	for (size_t i = 0; i < (n + 7) / 8; i++) {
		uint64_t x = (s->seed + at / 8 + i) * 0x9e3779b97f4a7c15ULL;

		out[i] = x ^ x >> 29;
		sum = (sum << 1 | sum >> 63) + out[i];
	}
	return sum;
}

static inline size_t stream__piece(const struct stream *s, struct rng *r, size_t left)
{
	size_t n = s->piece ? 1 + rng_below(r, (uint32_t)s->piece) : left;

	return n < left ? n : left;
}

static inline int stream__write(weft_io io, struct stream *s, struct rng *r, const void *buf, size_t n)
{
	for (size_t at = 0; at < n;) {
		size_t len = stream__piece(s, r, n - at), half = r->state % 3 ? 0 : len / 2, done = 77;
		struct iovec v[2] = {{(char *)buf + at, half}, {(char *)buf + at + half, len - half}};
		ssize_t rc = half ? weft_io_writev(io, v, 2, &done) : weft_io_write(io, (const char *)buf + at, len, &done);

		s->moved += done;
		at += len;
		if (rc < 0) {
			T_LE(done, len);
			return (int)rc;
		}
		T_EQ(rc, (ssize_t)len);
		T_EQ(done, len);
	}
	return 0;
}

/* STREAM_SHORT, or an error: *got bytes have come before. */
static inline int stream__read(weft_io io, struct stream *s, struct rng *r, void *buf, size_t n, size_t *got)
{
	for (*got = 0; *got < n;) {
		size_t len = stream__piece(s, r, n - *got);
		struct iovec v[2] = {{(char *)buf + *got, len / 2}, {(char *)buf + *got + len / 2, len - len / 2}};
		ssize_t rc = s->piece && r->state % 3 == 0 ? weft_io_readv(io, v, 2) : weft_io_read(io, (char *)buf + *got, len);

		if (rc <= 0)
			return rc ? (int)rc : STREAM_SHORT;
		T_LE(rc, (ssize_t)len);
		*got += (size_t)rc;
		s->moved += (uint64_t)rc;
	}
	return 0;
}

static inline int stream_send(weft_io io, struct stream *s)
{
	uint64_t *block = malloc(STREAM_BLOCK), head[2] = {s->seed, s->bytes}, sum = s->seed;
	struct rng r;
	int rc;

	T_OK(block != NULL);
	rng_seed(&r, s->seed, 1);
	s->moved = 0;
	rc = stream__write(io, s, &r, head, STREAM_HEAD);
	for (uint64_t at = 0; rc == 0 && at < s->bytes; at += STREAM_BLOCK) {
		size_t n = s->bytes - at < STREAM_BLOCK ? (size_t)(s->bytes - at) : STREAM_BLOCK;

		sum = stream__block(s, at, block, n, sum);
		rc = stream__write(io, s, &r, block, n);
	}
	if (rc == 0)
		rc = stream__write(io, s, &r, &sum, STREAM_SUM);
	free(block);
	return rc;
}

static inline int stream_receive(weft_io io, struct stream *s)
{
	uint64_t *want = malloc(STREAM_BLOCK), head[2] = {s->seed, s->bytes}, sum = s->seed;
	char *in = malloc(STREAM_BLOCK);
	struct rng r;
	size_t got;
	int rc;

	T_OK(want && in);
	rng_seed(&r, s->seed, 2);
	s->moved = 0;
	rc = stream__read(io, s, &r, in, STREAM_HEAD, &got);
	T_EQ(memcmp(in, head, got), 0);
	for (uint64_t at = 0; rc == 0 && at < s->bytes; at += STREAM_BLOCK) {
		size_t n = s->bytes - at < STREAM_BLOCK ? (size_t)(s->bytes - at) : STREAM_BLOCK;

		sum = stream__block(s, at, want, n, sum);
		rc = stream__read(io, s, &r, in, n, &got);
		if (memcmp(in, want, got) != 0) /* what has come before an error is right, too */
			T_FAIL("a wrong byte after byte %llu of %llu", (unsigned long long)at, (unsigned long long)s->bytes);
	}
	if (rc == 0) {
		rc = stream__read(io, s, &r, in, STREAM_SUM, &got);
		T_EQ(memcmp(in, &sum, got), 0);
	}
	if (rc == 0 && s->till_end) {
		rc = (int)weft_io_read(io, in, 1);
		T_LE(rc, 0);
	}
	free(want);
	free(in);
	return rc;
}

#endif
