/* SPDX-License-Identifier: MIT
 *
 * typed_ends.c - typed channels: options, several elements a call, elements in place, ends and one-shots; each does what the untyped call does.
 *
 * What must not compile is in fail/typed.c.
 */
#include "rt.h"

#include "weft/typed.h"

struct point {
	double x, y;
};
typedef int quad[4];

WEFT_CHAN_DEFINE(int, ints);
WEFT_CHAN_DEFINE(struct point, points);
WEFT_CHAN_DEFINE(quad, quads);
WEFT_CHAN_DEFINE(const char *, words);

/* Options say all but the size of an element, which the type knows. */
TEST(opened)
{
	ints *c = NULL;

	T_EQ(ints_open(&c, &(weft_chan_opts){.cap = 3, .name = "numbers"}), 0);
	T_EQ(weft_chan_elem(ints_chan(c)), sizeof(int));
	T_EQ(ints_cap(c), 3);
	T_STR_EQ(weft_chan_name(ints_chan(c)), "numbers");
	ints_free(c);
	T_EQ(ints_open(&c, &(weft_chan_opts){.elem = sizeof(int), .mode = WEFT_CHAN_SPSC, .cap = 1}), 0);
	ints_free(c);
	T_EQ(ints_open(&c, &(weft_chan_opts){.elem = sizeof(int) + 1}), WEFT_EINVAL);
	T_EQ(c, NULL);
	c = (ints *)&c;
	T_EQ(ints_open(&c, &(weft_chan_opts){.high = 1}), WEFT_EINVAL);
	T_EQ(c, NULL);
	T_EQ(ints_open(&c, NULL), WEFT_EINVAL);
	T_EQ(ints_open(NULL, &(weft_chan_opts){.cap = 1}), WEFT_EINVAL);
	nothing_left();
}

TEST(several_a_call)
{
	quads *q = quads_make(4);
	ints *c = ints_make(3);
	int in[4] = {1, 2, 3, 4}, out[4] = {0};
	quad four[2] = {{1, 2, 3, 4}, {5, 6, 7, 8}}, back[2];

	T_EQ(ints_send_many(c, in, 4), 3);
	T_EQ(ints_send_many_until(c, in, 1, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(ints_recv_many_until(c, out, 2, WEFT_NOW), 2);
	T_EQ(out[0] * 10 + out[1], 12);
	T_EQ(ints_recv_many(c, NULL, 4), 1);
	T_EQ(ints_recv_many_until(c, out, 4, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(quads_send_many(q, four, 2), 2);
	T_EQ(quads_recv_many(q, back, 2), 2);
	T_EQ(memcmp(four, back, sizeof four), 0);
	ints_free(c);
	quads_free(q);
}

TEST(in_place)
{
	points *c = points_make(2);
	quads *q = quads_make(1);
	struct point *p, *head;
	quad *four;

	T_EQ(points_reserve(c, &p), 0);
	T_EQ(points_reserve_until(c, &head, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(head, NULL);
	*p = (struct point){1, 2};
	T_EQ(points_commit(c), 0);
	T_EQ(points_reserve_until(c, &p, WEFT_NOW), 0);
	T_EQ(points_abort(c), 0);
	T_EQ(points_peek(c, &head), 0);
	T_OK(head->y == 2);
	T_EQ(points_peek_until(c, &p, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(points_release(c), 0);
	T_EQ(points_len(c), 0);
	T_EQ(points_reserve(c, NULL), WEFT_EINVAL);
	T_EQ(points_peek(c, NULL), WEFT_EINVAL);
	T_EQ(quads_reserve(q, &four), 0);
	(*four)[3] = 9;
	T_EQ(quads_commit(q), 0);
	T_EQ(quads_peek(q, &four), 0);
	T_EQ((*four)[3], 9);
	T_EQ(quads_release(q), 0);
	points_free(c);
	quads_free(q);
}

TEST(ends)
{
	ints *c = ints_make(4);
	ints_tx *t = ints_tx_make(c), *more = ints_tx_ref(t);
	ints_rx *r = ints_rx_make(c), *other = ints_rx_ref(r);
	int v = 0, many[2] = {6, 7}, *slot;

	T_EQ(ints_tx_chan(t), c);
	T_EQ(ints_rx_chan(r), c);
	T_EQ(weft_tx_chan(ints_tx_end(t)), ints_chan(c));
	T_EQ(weft_rx_chan(ints_rx_end(r)), ints_chan(c));
	ints_free(c);
	T_EQ(ints_tx_send(t, 1), 0);
	T_EQ(ints_tx_send_until(t, 2, WEFT_NOW), 0);
	T_EQ(ints_tx_trysend(more, 3), 0);
	T_EQ(WEFT_PUT(t, 4), 0);
	T_EQ(ints_tx_trysend(t, 5), WEFT_EAGAIN);
	T_EQ(ints_rx_recv(r, &v), 0);
	T_EQ(v, 1);
	T_EQ(ints_rx_recv_until(other, &v, WEFT_NOW), 0);
	T_EQ(v, 2);
	T_EQ(ints_rx_tryrecv(r, &v), 0);
	T_EQ(v, 3);
	T_EQ(WEFT_GET(r, &v), 0);
	T_EQ(v, 4);
	T_EQ(ints_tx_send_many(t, many, 2), 2);
	T_EQ(ints_rx_recv_many(r, many, 1), 1);
	T_EQ(many[0], 6);
	T_EQ(ints_tx_reserve(t, &slot), 0);
	*slot = 8;
	T_EQ(ints_tx_commit(t), 0);
	T_EQ(ints_rx_peek(r, &slot), 0);
	T_EQ(*slot, 7);
	T_EQ(ints_rx_release(r), 0);
	T_EQ(ints_len(ints_rx_chan(r)), 1);
	ints_tx_free(t);
	ints_tx_free(more);
	T_EQ(ints_rx_recv(r, &v), 0);
	T_EQ(ints_rx_recv(r, &v), WEFT_ECLOSED);
	ints_rx_free(r);
	ints_rx_free(other);
	T_EQ(ints_tx_make(NULL), NULL);
	ints_tx_free(NULL);
	nothing_left();
}

static int sender(void *arg)
{
	ints_tx *t = arg;

	for (int i = 1; i <= 10; i++)
		T_EQ(ints_tx_send(t, i), 0);
	ints_tx_free(t); /* the last one: the channel ends */
	return 0;
}

/* A loop over a receiving end, typed or not, ends when the last sending end has gone. */
static int loops_main(void *arg)
{
	(void)arg;
	for (int typed = 0; typed < 2; typed++) {
		ints *c = ints_make(0);
		ints_rx *r = ints_rx_make(c);
		weft_task *t = start(sender, ints_tx_make(c));
		int sum = 0, end = 1;

		ints_free(c);
		if (typed) {
			weft_chan_foreach (r, int, x, &end)
				sum += x;
		} else {
			weft_chan_foreach (ints_rx_end(r), int, x, &end)
				sum += x;
		}
		T_EQ(sum, 55);
		T_EQ(end, WEFT_ECLOSED);
		T_EQ(finish(t), 0);
		ints_rx_free(r);
	}
	return 0;
}

TEST_WORKERS(loops_over_ends)
{
	run(loops_main, NULL);
}

TEST_DIES(loop_over_an_end_of_another_size, "weft_chan_foreach: the channel's elements have 8 bytes, not 4")
{
	weft_rx *r = weft_chan_rx(weft_chan_make(8, 1));

	weft_chan_foreach (r, int, x)
		(void)x;
}

static int select_main(void *arg)
{
	ints *c = ints_make(1);
	ints_tx *t = ints_tx_make(c);
	ints_rx *r = ints_rx_make(c);
	int v = 5, got = 0;
	weft_case k[] = {ints_tx_on_send(t, &v), ints_rx_on_recv(r, &got)};

	(void)arg;
	T_EQ(weft_chan_select(k, 2), 0);
	T_EQ(weft_chan_select(k, 2), 1);
	T_EQ(got, 5);
	ints_tx_free(t);
	ints_rx_free(r);
	ints_free(c);
	return 0;
}

TEST_WORKERS(selected)
{
	run(select_main, NULL);
}

TEST(oneshots)
{
	words_tx *t;
	words_rx *r;
	const char *w = NULL;

	T_EQ(words_oneshot(&t, &r), 0);
	T_EQ(words_oneshot_send(t, "done"), 0);
	T_EQ(words_rx_recv(r, &w), 0);
	T_STR_EQ(w, "done");
	T_EQ(words_rx_recv(r, &w), WEFT_ECLOSED);
	words_rx_free(r);
	T_EQ(words_oneshot(&t, &r), 0);
	words_rx_free(r);
	T_EQ(words_oneshot_send(t, "nobody"), WEFT_EPIPE);
	T_EQ(words_oneshot(NULL, &r), WEFT_EINVAL);
	T_EQ(r, NULL);
	T_EQ(words_oneshot(&t, NULL), WEFT_EINVAL);
	T_EQ(t, NULL);
	T_EQ(words_oneshot_send(NULL, "x"), WEFT_EINVAL);
	nothing_left();
}

/* Commas in a literal need no parentheses, in PUT and in the cases of a select. */
TEST(literals)
{
	points *c = points_make(3);
	weft_case k = WEFT_SEND(points_chan(c), &(const struct point){5, 6});
	struct point p;

	T_EQ(WEFT_PUT(c, (struct point){1, 2}), 0);
	T_EQ(WEFT_PUT(c, ((struct point){3, 4})), 0);
	T_EQ(weft_chan_select_until(&k, 1, WEFT_NOW), 0);
	for (int i = 1; i < 6; i += 2) {
		T_EQ(points_recv(c, &p), 0);
		T_OK(p.x == i && p.y == i + 1);
	}
	points_free(c);
}
