/* SPDX-License-Identifier: MIT
 *
 * streams.c - much through each kind of byte stream: checksummed, 16 MiB, or WEFT_STREAM_BYTES of them; every byte arrives in its place, and then the end.
 *
 * A kind is a row of `kinds`.
 */
#include "net.h"
#include "stream.h"

#include "weft/pipe.h"
#include "weft/unix.h"
#include <stdint.h>

struct ends {
	weft_io from, to;
};

static void make_tcp(struct ends *e)
{
	weft_tcp *a, *b;

	pair_make(&a, &b);
	*e = (struct ends){weft_tcp_io(a), weft_tcp_io(b)};
}

static void make_pipe(struct ends *e)
{
	weft_pipe *r, *w;

	T_EQ(weft_pipe_make(&r, &w), 0);
	*e = (struct ends){weft_pipe_io(w), weft_pipe_io(r)};
}

static void make_unix(struct ends *e)
{
	weft_unix *a, *b;

	T_EQ(weft_unix_pair(&a, &b), 0);
	*e = (struct ends){weft_unix_io(a), weft_unix_io(b)};
}

static const struct kind {
	const char *name;
	void (*make)(struct ends *e);
	bool half; /* its writing end is shut down; else closed */
} kinds[] = {
	{"tcp", make_tcp, true},
	{"pipe", make_pipe, false},
	{"unix", make_unix, true},
};

struct much {
	const struct kind *kind;
	struct ends e;
	struct stream out, in;
};

static int sends_much(void *arg)
{
	struct much *m = arg;

	T_EQ(stream_send(m->e.from, &m->out), 0);
	T_EQ(m->kind->half ? weft_io_shutdown(m->e.from, SHUT_WR) : weft_io_close(m->e.from), 0);
	return 0;
}

static int much_main(void *arg)
{
	const char *asked = getenv("WEFT_STREAM_BYTES");
	uint64_t bytes = asked ? strtoull(asked, NULL, 0) : (uint64_t)tap_iters(16 << 20);
	weft_task *t;

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct much m = {.kind = &kinds[i]};

		tap_note("%s, %llu bytes", m.kind->name, (unsigned long long)bytes);
		m.kind->make(&m.e);
		m.out = m.in = (struct stream){.seed = bytes + i, .bytes = bytes, .till_end = true};
		if (!asked)
			m.out.piece = m.in.piece = 50000;
		t = start(sends_much, &m);
		T_EQ(stream_receive(m.e.to, &m.in), 0);
		T_EQ(finish(t), 0);
		T_EQ(m.in.moved, bytes + STREAM_HEAD + STREAM_SUM);
		T_EQ(m.out.moved, m.in.moved);
		if (m.kind->half)
			T_EQ(weft_io_close(m.e.from), 0);
		T_EQ(weft_io_close(m.e.to), 0);
	}
	return 0;
}

/* All of it arrives, in its place, through each kind. */
TEST_WORKERS(all_arrives)
{
	tap_limit(getenv("WEFT_STREAM_BYTES") ? 600 : 60);
	run_net(much_main, NULL);
}
