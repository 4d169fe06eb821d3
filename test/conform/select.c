/* SPDX-License-Identifier: MIT
 *
 * select.c - select: of the cases that can go on one does, and it alone has effects; if none can, default, a timeout, or waiting for the first.
 */
#include "conform.h"

/* --- none is ready --- */

/* A select without cases waits for ever: until deadline or cancel. */
LAW(no_cases_wait_for_ever)
{
	struct other o;

	T_EQ(weft_chan_select_until(NULL, 0, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_chan_select_until(NULL, 0, weft_in(200 * WEFT_US)), WEFT_ETIMEDOUT);
	other_selects(&o, NULL, 0);
	T_OK(other_waits(&o));
	T_EQ(other_cancelled(&o), WEFT_ECANCELED);
}

/* With a default, a select never waits: default is taken if, and only if, no other case is ready. */
LAW(default_is_for_when_nothing_is_ready)
{
	weft_chan *c = ints(1);
	int in = 1, out = -1;
	weft_case recv_first[] = {WEFT_RECV(c, &out), WEFT_DEFAULT()}, send_last[] = {WEFT_DEFAULT(), WEFT_SEND(c, &in)};

	for (int i = 0; i < 50; i++) {
		in = i;
		T_EQ(weft_chan_select(recv_first, 2), 1); /* empty */
		T_EQ(out, i - 1);
		T_EQ(weft_chan_select(send_last, 2), 1); /* room */
		T_EQ(send_last[1].status, 0);
		in = 1000;
		T_EQ(weft_chan_select(send_last, 2), 0); /* full */
		T_EQ(weft_chan_select(recv_first, 2), 0);
		T_EQ(out, i);
	}
	emptied(c);
}

/* A default alone is taken at once. */
LAW(default_alone_is_taken)
{
	weft_case only = WEFT_DEFAULT();

	only.status = 77;
	T_EQ(weft_chan_select(&only, 1), 0);
	T_EQ(only.status, 0);
}

/* Default does nothing to the other cases, their channels and their variables. */
LAW(default_leaves_everything)
{
	weft_chan *full = ints(1), *empty = ints(1), *meet = ints(0);
	int a = 1, b = 2, d = 3;
	weft_case cases[] = {WEFT_SEND(full, &a), WEFT_RECV(empty, &b), WEFT_RECV(meet, &b), WEFT_SEND(meet, &d), WEFT_DEFAULT()};

	T_EQ(put(full, 9), 0);
	for (int i = 0; i < 4; i++)
		cases[i].status = 77;
	for (int i = 0; i < 20; i++)
		T_EQ(weft_chan_select(cases, 5), 4);
	for (int i = 0; i < 4; i++)
		T_EQ(cases[i].status, 77);
	T_OK(a == 1 && b == 2 && d == 3);
	T_EQ(weft_chan_len(full), 1);
	T_EQ(weft_chan_len(empty), 0);
	T_EQ(take(full), 9);
	T_EQ(put(meet, 1), WEFT_EAGAIN);
	T_EQ(take(meet), WEFT_EAGAIN);
	emptied(full);
	emptied(empty);
	emptied(meet);
}

/* Without default, a select waits until one of its cases can go on, and does that one. */
LAW(waits_for_the_first_that_can)
{
	enum { N = 6 };
	weft_chan *c[N];
	int v[N];

	for (int i = 0; i < N; i++)
		c[i] = ints(0);
	for (int at = 0; at < N; at++) {
		weft_case cases[N];
		struct other o;

		for (int i = 0; i < N; i++) {
			v[i] = i % 2 ? -1 : 100 + i;
			cases[i] = i % 2 ? WEFT_RECV(c[i], &v[i]) : WEFT_SEND(c[i], &v[i]);
			cases[i].status = 77;
		}
		other_selects(&o, cases, N);
		T_OK(other_waits(&o));
		if (at % 2)
			T_EQ(give(c[at], at), 0);
		else
			T_EQ(get(c[at]), 100 + at);
		T_EQ(other_ends(&o), at);
		for (int i = 0; i < N; i++) {
			T_EQ(cases[i].status, i == at ? 0 : 77);
			T_EQ(v[i], i % 2 == 0 ? 100 + i : i == at ? at : -1);
		}
		for (int i = 0; i < N; i++) { /* on none of the others is anybody waiting any more */
			T_EQ(put(c[i], 1), WEFT_EAGAIN);
			T_EQ(take(c[i]), WEFT_EAGAIN);
		}
	}
	for (int i = 0; i < N; i++)
		emptied(c[i]);
}

/* --- one case --- */

/* A step of the same kind on a channel of its own: plainly, or by a select of one case. */
static int plain_step(weft_chan *c, uint32_t kind, int *v)
{
	switch (kind) {
	case 0:
		return weft_chan_trysend(c, v);
	case 1:
		return weft_chan_send_until(c, v, WEFT_NOW);
	case 2:
		return weft_chan_tryrecv(c, v);
	default:
		return weft_chan_recv_until(c, v, WEFT_NOW);
	}
}

static int select_step(weft_chan *c, uint32_t kind, int *v)
{
	weft_case cases[] = {kind < 2 ? WEFT_SEND(c, v) : WEFT_RECV(c, v), WEFT_DEFAULT()};
	int rc = kind % 2 ? weft_chan_select(cases, 2) : weft_chan_select_until(cases, 1, WEFT_NOW);

	if (rc == 0)
		return cases[0].status;
	T_EQ(rc, kind % 2 ? 1 : WEFT_EAGAIN);
	return WEFT_EAGAIN;
}

/* A select of one case, with default, does what the plain call does that does not wait, whatever the channel's state. */
LAW(one_case_and_default_are_a_try)
{
	long rounds = tap_iters(200);

	for (long i = 0; i < rounds; i++) {
		size_t cap = draw(4);
		bool null = draw(20) == 0;
		weft_chan *a = null ? NULL : ints(cap), *b = null ? NULL : ints(cap);

		for (int k = 0; k < 50; k++) {
			uint32_t kind = draw(4);
			int x = k, y = k;

			if (draw(40) == 0)
				T_EQ(weft_chan_close(a), weft_chan_close(b));
			T_EQ(plain_step(a, kind, &x), select_step(b, kind, &y));
			T_EQ(x, y);
			T_EQ(weft_chan_len(a), weft_chan_len(b));
		}
		weft_chan_free(a);
		weft_chan_free(b);
	}
}

enum end { MET, CLOSED, CANCELLED, LATE, ENDS };

static int end_it(struct other *o, weft_chan *c, bool sends, enum end how)
{
	switch (how) {
	case MET:
		if (sends)
			T_EQ(get(c), 4);
		else
			T_EQ(give(c, 5), 0);
		break;
	case CLOSED:
		T_EQ(weft_chan_close(c), 0);
		break;
	case CANCELLED:
		return other_cancelled(o);
	default:
		break;
	}
	return other_ends(o);
}

/* A select of one case without default does what the plain call does that waits: when met, closed, cancelled, late. */
LAW(one_case_is_the_plain_call)
{
	for (int sends = 0; sends < 2; sends++) {
		for (enum end how = MET; how < ENDS; how++) {
			weft_chan *a = ints(0), *b = ints(0);
			int64_t deadline = how == LATE ? weft_in(200 * WEFT_US) : WEFT_FOREVER;
			int v = sends ? 4 : -1, rc, plain;
			weft_case one = sends ? WEFT_SEND(b, &v) : WEFT_RECV(b, &v);
			struct other o, s;

			if (sends)
				other_sends_until(&o, a, 4, deadline);
			else
				other_receives_until(&o, a, deadline);
			other_selects_until(&s, &one, 1, deadline);
			plain = end_it(&o, a, sends, how);
			rc = end_it(&s, b, sends, how);
			T_EQ(rc == 0 ? one.status : rc, plain);
			T_EQ(v, o.v);
			emptied(a);
			emptied(b);
		}
	}
}

/* --- several are ready --- */

enum { CHANS = 4, ROOM = 3, WIDTH = 8 };

/* What the channels of the next law hold. */
struct shadow {
	weft_chan *c;
	int cap, len, held[ROOM];
	bool closed;
};

static bool shadow_ready(const struct shadow *m, bool send)
{
	return m->c && (m->closed || (send ? m->len < m->cap : m->len > 0));
}

static void shadow_new(struct shadow *m)
{
	weft_chan_free(m->c);
	*m = (struct shadow){.cap = (int)draw(ROOM + 1)};
	if (draw(6))
		m->c = ints((size_t)m->cap);
}

/* Does to the shadow what the case says has happened, and compares what came of it. */
static void shadow_do(struct shadow *m, const weft_case *c, int v)
{
	if (c->kind == WEFT_CASE_SEND) {
		T_EQ(c->status, m->closed ? WEFT_ECLOSED : 0);
		if (!m->closed)
			m->held[m->len++] = v;
	} else if (m->len) {
		T_EQ(c->status, 0);
		T_EQ(*(int *)c->elem, m->held[0]);
		memmove(m->held, m->held + 1, (size_t)--m->len * sizeof m->held[0]);
	} else {
		T_EQ(c->status, WEFT_ECLOSED);
		T_EQ(*(int *)c->elem, 0);
	}
}

/* Whatever the channels hold and however often each stands in it: one ready case happens, and nothing else changes. */
LAW(exactly_one_case_has_effects)
{
	struct shadow m[CHANS] = {{0}};
	long n = tap_iters(20000);
	int next = 1;

	for (int i = 0; i < CHANS; i++)
		shadow_new(&m[i]);
	for (long i = 0; i < n; i++) {
		weft_case cases[WIDTH + 1];
		int v[WIDTH], which[WIDTH], width = (int)draw(WIDTH + 1), ready = 0, rc;
		bool otherwise = draw(2);

		for (int k = 0; k < width; k++) {
			which[k] = (int)draw(CHANS);
			v[k] = next++;
			cases[k] = draw(2) ? WEFT_SEND(m[which[k]].c, &v[k]) : WEFT_RECV(m[which[k]].c, &v[k]);
			cases[k].status = 77;
			ready += shadow_ready(&m[which[k]], cases[k].kind == WEFT_CASE_SEND);
		}
		cases[width] = WEFT_DEFAULT();
		rc = otherwise ? weft_chan_select(cases, width + 1) : weft_chan_select_until(cases, width, WEFT_NOW);
		if (ready) {
			T_OK(rc >= 0 && rc < width);
			T_OK(shadow_ready(&m[which[rc]], cases[rc].kind == WEFT_CASE_SEND));
			shadow_do(&m[which[rc]], &cases[rc], next - width + rc);
		} else {
			T_EQ(rc, otherwise ? width : WEFT_EAGAIN);
		}
		for (int k = 0; k < width; k++) {
			if (k == rc)
				continue;
			T_EQ(cases[k].status, 77);
			T_EQ(v[k], next - width + k);
		}
		for (int k = 0; k < CHANS; k++)
			T_EQ(weft_chan_len(m[k].c), m[k].len);
		if (draw(10) == 0) {
			struct shadow *s = &m[draw(CHANS)];

			if (!s->c || s->closed || draw(3) == 0) {
				shadow_new(s);
			} else {
				T_EQ(weft_chan_close(s->c), 0);
				s->closed = true;
			}
		}
	}
	for (int i = 0; i < CHANS; i++) {
		for (int k = 0; m[i].c && k < m[i].len; k++)
			T_EQ(take(m[i].c), m[i].held[k]);
		weft_chan_free(m[i].c);
	}
}

/* A case that can go on goes before a timeout, even one of no length, and before the deadline WEFT_NOW. */
LAW(ready_goes_before_time)
{
	weft_chan *c = ints(1);
	int v;
	weft_case cases[] = {WEFT_AFTER(0), WEFT_AFTER(-WEFT_SEC), WEFT_RECV(c, &v)};

	for (int i = 0; i < 100; i++) {
		T_EQ(put(c, i), 0);
		T_EQ(weft_chan_select(cases, 3), 2);
		T_EQ(v, i);
		T_EQ(put(c, i), 0);
		T_EQ(weft_chan_select_until(&cases[2], 1, WEFT_NOW), 0);
	}
	emptied(c);
}

/* A closed channel is always ready to be received from. */
LAW(closed_is_ready_for_receives)
{
	weft_chan *closed = ints(0), *open = ints(0);
	int v = 5, w = 5;
	weft_case cases[] = {WEFT_RECV(open, &w), WEFT_RECV(closed, &v), WEFT_DEFAULT()};

	T_EQ(weft_chan_close(closed), 0);
	for (int i = 0; i < 50; i++) {
		v = 5;
		T_EQ(weft_chan_select(cases, 2 + i % 2), 1);
		T_EQ(cases[1].status, WEFT_ECLOSED);
		T_EQ(v, 0);
		T_EQ(w, 5);
	}
	emptied(closed);
	emptied(open);
}

/* A closed channel is always ready to be sent on: the case says that it is closed, and sends nothing. */
LAW(closed_is_ready_for_sends)
{
	weft_chan *closed = ints(2), *open = ints(0);
	int v = 5;
	weft_case cases[] = {WEFT_SEND(open, &v), WEFT_SEND(closed, &v), WEFT_DEFAULT()};

	T_EQ(weft_chan_close(closed), 0);
	for (int i = 0; i < 50; i++) {
		T_EQ(weft_chan_select(cases, 2 + i % 2), 1);
		T_EQ(cases[1].status, WEFT_ECLOSED);
		T_EQ(weft_chan_len(closed), 0);
	}
	T_EQ(v, 5);
	emptied(closed);
	emptied(open);
}

/* What is in a closed channel comes out of it by select as by a plain receive, before the close is seen. */
LAW(select_drains_before_it_sees_the_close)
{
	weft_chan *c = ints(5);
	int v;
	weft_case one = WEFT_RECV(c, &v);

	for (int i = 0; i < 5; i++)
		T_EQ(put(c, i), 0);
	T_EQ(weft_chan_close(c), 0);
	for (int i = 0; i < 5; i++) {
		T_EQ(weft_chan_select(&one, 1), 0);
		T_EQ(one.status, 0);
		T_EQ(v, i);
	}
	T_EQ(weft_chan_select(&one, 1), 0);
	T_EQ(one.status, WEFT_ECLOSED);
	T_EQ(v, 0);
	emptied(c);
}

/* The status is written anew by every select that fires the case. */
LAW(status_is_of_this_time)
{
	weft_chan *a = ints(1), *b = ints(1);
	weft_case one = WEFT_RECV(a, NULL);

	T_EQ(weft_chan_close(a), 0);
	T_EQ(weft_chan_select(&one, 1), 0);
	T_EQ(one.status, WEFT_ECLOSED);
	one.chan = b;
	T_EQ(put(b, 1), 0);
	T_EQ(weft_chan_select(&one, 1), 0);
	T_EQ(one.status, 0);
	emptied(a);
	emptied(b);
}

/* --- the same channel more than once --- */

/* Both directions of an unbuffered channel in one select: it does not meet itself. */
LAW(never_meets_itself)
{
	weft_chan *c = ints(0);
	int in = 1, out = -1;
	weft_case cases[] = {WEFT_SEND(c, &in), WEFT_RECV(c, &out), WEFT_SEND(c, &in), WEFT_RECV(c, &out), WEFT_DEFAULT()};
	struct other o;

	for (int i = 0; i < 20; i++)
		T_EQ(weft_chan_select(cases, 5), 4);
	T_EQ(weft_chan_select_until(cases, 4, weft_in(200 * WEFT_US)), WEFT_ETIMEDOUT);
	other_selects(&o, cases, 4);
	T_OK(other_waits(&o));
	T_EQ(other_cancelled(&o), WEFT_ECANCELED);
	T_EQ(out, -1);
	emptied(c);
}

/* Such a select meets a plain sender with its receive, and a plain receiver with its send. */
LAW(both_directions_meet_others)
{
	weft_chan *c = ints(0);

	for (int i = 0; i < 20; i++) {
		int in = 1, out = -1;
		weft_case cases[] = {WEFT_SEND(c, &in), WEFT_RECV(c, &out)};
		struct other o;

		if (i % 2) { /* the select waits first */
			other_selects(&o, cases, 2);
			T_EQ(i % 4 == 1 ? give(c, 8) : get(c), i % 4 == 1 ? 0 : 1);
			T_EQ(other_ends(&o), i % 4 == 1);
		} else {
			if (i % 4)
				other_sends(&o, c, 8);
			else
				other_receives(&o, c);
			T_EQ(weft_chan_select(cases, 2), i % 4 ? 1 : 0);
			T_EQ(other_ends(&o), 0);
			T_EQ(o.v, i % 4 ? 8 : 1);
		}
		T_EQ(out, i % 4 == 1 || i % 4 == 2 ? 8 : -1);
	}
	emptied(c);
}

/* Two such selects meet each other: one sends, one receives. */
LAW(two_of_both_directions_meet)
{
	weft_chan *c = ints(0);
	long n = tap_iters(300);

	for (long i = 0; i < n; i++) {
		int in[2] = {10, 11}, out[2] = {-1, -1}, sender;
		weft_case cases[2][2];
		struct other o[2];

		for (int k = 0; k < 2; k++) {
			cases[k][0] = WEFT_SEND(c, &in[k]);
			cases[k][1] = WEFT_RECV(c, &out[k]);
			o[k] = (struct other){.cases = cases[k], .n = 2, .deadline = WEFT_FOREVER};
			o[k].task = start(other__select, &o[k]);
		}
		sender = other_ends(&o[0]);
		T_EQ(sender + other_ends(&o[1]), 1);
		T_EQ(out[sender], -1);
		T_EQ(out[!sender], in[sender]);
	}
	emptied(c);
}

/* Several receives from one channel in one select: an element is received once, into the variable of the case that fired. */
LAW(same_channel_is_received_from_once)
{
	weft_chan *c = ints(4);
	long n = tap_iters(1000);

	for (long i = 0; i < n; i++) {
		int v[3] = {-1, -1, -1}, rc;
		weft_case cases[] = {WEFT_RECV(c, &v[0]), WEFT_RECV(c, &v[1]), WEFT_RECV(c, &v[2])};

		T_EQ(put(c, 1), 0);
		T_EQ(put(c, 2), 0);
		rc = weft_chan_select(cases, 3);
		T_GE(rc, 0);
		for (int k = 0; k < 3; k++)
			T_EQ(v[k], k == rc ? 1 : -1);
		T_EQ(take(c), 2);
	}
	emptied(c);
}

/* Several sends on one channel in one select: one value is sent, that of the case that fired; in time each of them. */
LAW(same_channel_is_sent_on_once)
{
	weft_chan *c = ints(4);
	int in[3] = {0, 1, 2}, seen[3] = {0};
	weft_case cases[] = {WEFT_SEND(c, &in[0]), WEFT_SEND(c, &in[1]), WEFT_SEND(c, &in[2])};

	for (int i = 0; i < 300; i++) {
		int rc = weft_chan_select(cases, 3);

		T_GE(rc, 0);
		T_EQ(weft_chan_len(c), 1);
		T_EQ(take(c), rc);
		seen[rc]++;
	}
	for (int i = 0; i < 3; i++)
		T_GT(seen[i], 0);
	emptied(c);
}

/* A select that waits on one channel with several cases is woken once. */
LAW(same_channel_wakes_once)
{
	weft_chan *c = ints(0);

	for (int i = 0; i < 50; i++) {
		int v[3] = {-1, -1, -1}, rc;
		weft_case cases[] = {WEFT_RECV(c, &v[0]), WEFT_RECV(c, &v[1]), WEFT_RECV(c, &v[2])};
		struct other o;

		other_selects(&o, cases, 3);
		T_EQ(put(c, 1), 0);
		T_EQ(put(c, 2), WEFT_EAGAIN);
		rc = other_ends(&o);
		T_GE(rc, 0);
		for (int k = 0; k < 3; k++)
			T_EQ(v[k], k == rc ? 1 : -1);
	}
	emptied(c);
}

/* On a buffered channel in both directions, what it holds decides. */
LAW(buffer_decides_between_directions)
{
	weft_chan *c = ints(2);
	int in = 0, out = -1, sent = 0, seen[2] = {0};
	weft_case cases[] = {WEFT_SEND(c, &in), WEFT_RECV(c, &out)};

	for (int i = 0, held = 0, got = 0; i < 1000; i++) {
		int rc;

		in = sent;
		rc = weft_chan_select(cases, 2);
		if (held == 0)
			T_EQ(rc, 0);
		else if (held == 2)
			T_EQ(rc, 1);
		else
			seen[rc]++;
		if (rc == 0) {
			held++;
			sent++;
		} else {
			T_EQ(out, got++);
			held--;
		}
		T_EQ(weft_chan_len(c), held);
	}
	T_OK(seen[0] > 0 && seen[1] > 0);
	weft_chan_free(c);
}

/* --- in line --- */

/* A select waits in line with plain receivers: first come first served. */
LAW(select_stands_in_line)
{
	weft_chan *c = ints(0), *never = ints(0);
	enum { N = 9 };

	for (int sends = 0; sends < 2; sends++) {
		weft_case cases[N][2];
		struct other o[N];
		int v[N];

		for (int i = 0; i < N; i++) {
			v[i] = sends ? i : -1;
			cases[i][0] = WEFT_RECV(never, NULL);
			cases[i][1] = sends ? WEFT_SEND(c, &v[i]) : WEFT_RECV(c, &v[i]);
			if (i % 3 == 1)
				other_selects(&o[i], cases[i], 2);
			else if (sends)
				other_sends(&o[i], c, i);
			else
				other_receives(&o[i], c);
		}
		for (int i = 0; i < N; i++)
			T_EQ(sends ? take(c) : put(c, i), sends ? i : 0);
		for (int i = 0; i < N; i++) {
			T_EQ(other_ends(&o[i]), i % 3 == 1 ? 1 : 0);
			T_EQ(i % 3 == 1 ? v[i] : o[i].v, i);
		}
	}
	emptied(c);
	emptied(never);
}

/* When a select has gone on by one case its places in the other lines are gone: the next in line there is served. */
LAW(place_in_line_goes_with_the_choice)
{
	weft_chan *a = ints(0), *b = ints(0);
	int va = -1, vb = -1;
	weft_case cases[] = {WEFT_RECV(a, &va), WEFT_RECV(b, &vb)};
	struct other s, o;

	other_selects(&s, cases, 2);
	other_receives(&o, b); /* behind the select */
	T_EQ(put(a, 1), 0);
	T_EQ(put(b, 2), 0);
	T_EQ(other_ends(&s), 0);
	T_EQ(other_ends(&o), 0);
	T_EQ(va, 1);
	T_EQ(vb, -1);
	T_EQ(o.v, 2);
	emptied(a);
	emptied(b);
}

/* Two senders come while a select waits: it goes on with the first, the second waits. */
LAW(the_first_that_comes_is_taken)
{
	weft_chan *c[2] = {ints(0), ints(0)};

	for (int i = 0; i < 50; i++) {
		int v[2] = {-1, -1}, at = i % 2;
		weft_case cases[] = {WEFT_RECV(c[0], &v[0]), WEFT_RECV(c[1], &v[1])};
		struct other s, o;

		other_selects(&s, cases, 2);
		T_EQ(put(c[at], 1), 0);
		other_sends(&o, c[!at], 2);
		T_EQ(other_ends(&s), at);
		T_OK(weft_task_stateof(o.task) == WEFT_TASK_PARKED);
		T_EQ(v[at], 1);
		T_EQ(v[!at], -1);
		T_EQ(take(c[!at]), 2);
		T_EQ(other_ends(&o), 0);
	}
	emptied(c[0]);
	emptied(c[1]);
}

/* A select that was cancelled or late has done nothing, and stands in no line. */
LAW(select_that_gave_up_has_done_nothing)
{
	weft_chan *a = ints(0), *b = ints(1);

	T_EQ(put(b, 9), 0);
	for (int late = 0; late < 2; late++) {
		int in = 1, out = -1;
		weft_case cases[] = {WEFT_RECV(a, &out), WEFT_SEND(b, &in)};
		struct other o;

		cases[0].status = cases[1].status = 77;
		other_selects_until(&o, cases, 2, late ? weft_in(200 * WEFT_US) : WEFT_FOREVER);
		T_EQ(late ? other_ends(&o) : other_cancelled(&o), late ? WEFT_ETIMEDOUT : WEFT_ECANCELED);
		T_OK(cases[0].status == 77 && cases[1].status == 77);
		T_EQ(out, -1);
		T_EQ(put(a, 1), WEFT_EAGAIN);
		T_EQ(weft_chan_len(b), 1);
	}
	T_EQ(take(b), 9);
	T_EQ(take(b), WEFT_EAGAIN);
	emptied(a);
	emptied(b);
}

/* A send case that waits at a full channel goes on when there is room, at the end of what is in it. */
LAW(waiting_send_case_comes_in_at_the_end)
{
	weft_chan *c = ints(2), *never = ints(0);
	int in = 3;
	weft_case cases[] = {WEFT_RECV(never, NULL), WEFT_SEND(c, &in)};
	struct other o;

	T_EQ(put(c, 1), 0);
	T_EQ(put(c, 2), 0);
	other_selects(&o, cases, 2);
	T_EQ(weft_chan_len(c), 2);
	T_EQ(take(c), 1);
	T_EQ(weft_chan_len(c), 2);
	T_EQ(other_ends(&o), 1);
	T_EQ(take(c), 2);
	T_EQ(take(c), 3);
	emptied(c);
	emptied(never);
}

/* --- two selects --- */

struct crossing {
	weft_chan *a, *b;
	int n;
	ATOMIC(int) sent[2], received[2];
};

static void cross(struct crossing *x, bool up)
{
	for (int i = 0; i < x->n; i++) {
		int in = i, out;
		weft_case cases[] = {WEFT_SEND(up ? x->a : x->b, &in), WEFT_RECV(up ? x->b : x->a, &out)};
		int rc = weft_chan_select(cases, 2);

		if (rc < 0 || cases[rc].status) /* the other side is through */
			break;
		add_relaxed(rc ? &x->received[up] : &x->sent[up], 1); /* ordered by the wait group */
	}
	weft_chan_close(x->a);
	weft_chan_close(x->b);
	done();
}

/* Selects that name the same channels in opposite order do not stand in each other's way. */
LAW(opposite_orders_do_not_block)
{
	struct crossing x = {.a = ints(0), .b = ints(0), .n = (int)tap_iters(5000)};

	hire(cross, &x, true);
	hire(cross, &x, false);
	all_done();
	T_EQ(load_relaxed(&x.sent[0]), load_relaxed(&x.received[1]));
	T_EQ(load_relaxed(&x.sent[1]), load_relaxed(&x.received[0]));
	T_GE(load_relaxed(&x.sent[0]) + load_relaxed(&x.sent[1]), x.n);
	emptied(x.a);
	emptied(x.b);
}

enum { RING = 6 };

struct web {
	weft_chan *c[RING];
	int n;
	ATOMIC(int) sent, received;
};

static void web_sender(struct web *w, int from)
{
	for (int i = 0; i < w->n; i++) {
		weft_case cases[RING];
		int v[RING];

		for (int k = 0; k < RING; k++) {
			v[k] = (from + k) % RING;
			cases[k] = WEFT_SEND(w->c[v[k]], &v[k]);
		}
		T_GE(weft_chan_select(cases, RING), 0);
		add_relaxed(&w->sent, 1); /* ordered by the wait group */
	}
	done();
}

static void web_receiver(struct web *w, int from)
{
	for (int i = 0; i < w->n; i++) {
		weft_case cases[RING];
		int v[RING], rc;

		for (int k = 0; k < RING; k++)
			cases[k] = WEFT_RECV(w->c[(from + RING - k) % RING], &v[k]);
		rc = weft_chan_select(cases, RING);
		T_GE(rc, 0);
		T_EQ(cases[rc].status, 0);
		T_EQ(v[rc], (from + RING - rc) % RING); /* it came by the channel that it was sent on */
		add_relaxed(&w->received, 1);           /* as above */
	}
	done();
}

/* Many selects on many channels, each in another order: every send case that fired meets one receive case that fired. */
LAW(selects_meet_selects)
{
	for (size_t cap = 0; cap < 3; cap++) {
		struct web w = {.n = (int)tap_iters(1000)};

		for (int i = 0; i < RING; i++)
			w.c[i] = ints(cap);
		for (int i = 0; i < RING; i++) {
			hire(web_sender, &w, i);
			hire(web_receiver, &w, i);
		}
		all_done();
		T_EQ(load_relaxed(&w.sent), RING * w.n);
		T_EQ(load_relaxed(&w.received), RING * w.n);
		for (int i = 0; i < RING; i++)
			emptied(w.c[i]);
	}
}

/* --- form --- */

/* A case of no kind is not there, whatever else it says. */
LAW(case_of_no_kind_is_not_there)
{
	weft_chan *c = ints(1);
	int v = -1;
	weft_case cases[] = {{.kind = WEFT_CASE_NONE, .chan = c, .elem = &v}, WEFT_DEFAULT()};

	T_EQ(put(c, 1), 0);
	for (int i = 0; i < 20; i++)
		T_EQ(weft_chan_select(cases, 2), 1);
	T_EQ(weft_chan_select_until(cases, 1, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(v, -1);
	T_EQ(take(c), 1);
	emptied(c);
}

/* Cases beyond the number given are not looked at. */
LAW(only_the_first_n_count)
{
	weft_chan *c = ints(1);
	int v = -1;
	weft_case cases[] = {WEFT_RECV(NULL, NULL), WEFT_DEFAULT(), WEFT_RECV(c, &v), WEFT_DEFAULT()};

	T_EQ(put(c, 1), 0);
	T_EQ(weft_chan_select_until(cases, 1, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_chan_select(cases, 2), 1);
	T_EQ(weft_chan_select(cases, 3), 2);
	T_EQ(v, 1);
	emptied(c);
}

/* A select that makes no sense is refused, and nothing of it happens. */
LAW(nonsense_is_refused)
{
	weft_chan *c = ints(2);
	int v = 1;
	weft_case cases[] = {WEFT_SEND(c, &v), WEFT_DEFAULT(), WEFT_DEFAULT(), WEFT_SEND(c, &v)};

	cases[3].kind = (enum weft_case_kind)9;
	T_EQ(weft_chan_select(cases, 3), WEFT_EINVAL);
	T_EQ(weft_chan_select(cases, -1), WEFT_EINVAL);
	T_EQ(weft_chan_select(cases, 65536), WEFT_EINVAL);
	cases[2] = cases[3];
	T_EQ(weft_chan_select(cases, 3), WEFT_EINVAL);
	T_EQ(weft_chan_len(c), 0);
	T_EQ(weft_chan_select(cases, 2), 0);
	T_EQ(weft_chan_len(c), 1);
	weft_chan_free(c);
}

static const int widths[] = {1, 2, 31, 32, 33, 64, 1000};

/* However many cases there are, the one that is ready is found. */
LAW(wide_selects_find_the_ready_one)
{
	for (size_t k = 0; k < ARRAY_LEN(widths); k++) {
		int n = widths[k], v = -1;
		weft_case *cases = calloc((size_t)n, sizeof *cases);
		weft_chan **c = calloc((size_t)n, sizeof *c);

		for (int i = 0; i < n; i++) {
			c[i] = ints(1);
			cases[i] = WEFT_RECV(c[i], &v);
		}
		for (int i = 0; i < n; i += 1 + n / 9) {
			T_EQ(put(c[i], i), 0);
			T_EQ(weft_chan_select(cases, n), i);
			T_EQ(v, i);
		}
		T_EQ(weft_chan_select_until(cases, n, WEFT_NOW), WEFT_EAGAIN);
		for (int i = 0; i < n; i++)
			emptied(c[i]);
		free(c);
		free(cases);
	}
}

/* ... and wakes it when it waits. */
LAW(wide_selects_are_woken)
{
	for (size_t k = 0; k < ARRAY_LEN(widths); k++) {
		int n = widths[k], v = -1;
		weft_case *cases = calloc((size_t)n, sizeof *cases);
		weft_chan **c = calloc((size_t)n, sizeof *c);

		for (int i = 0; i < n; i++) {
			c[i] = ints(0);
			cases[i] = WEFT_RECV(c[i], &v);
		}
		for (int i = 0; i < n; i += 1 + n / 9) {
			struct other o;

			other_selects(&o, cases, n);
			T_EQ(put(c[i], i), 0);
			T_EQ(other_ends(&o), i);
			T_EQ(v, i);
			for (int j = 0; j < n; j += 1 + n / 50)
				T_EQ(put(c[j], 1), WEFT_EAGAIN);
		}
		for (int i = 0; i < n; i++)
			emptied(c[i]);
		free(c);
		free(cases);
	}
}

/* 65,535 cases are a select like any other. */
LAW(widest_select)
{
	enum { MOST = 65535 };
	weft_case *cases = calloc(MOST, sizeof *cases);
	weft_chan *a = ints(0), *b = ints(1);
	int v = -1;

	for (int i = 0; i < MOST; i++)
		cases[i] = WEFT_RECV(i % 2 ? a : NULL, &v);
	cases[MOST - 1] = WEFT_RECV(b, &v);
	T_EQ(weft_chan_select_until(cases, MOST, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(put(b, 3), 0);
	T_EQ(weft_chan_select(cases, MOST), MOST - 1);
	T_EQ(v, 3);
	free(cases);
	emptied(a);
	emptied(b);
}

/* A variable may be NULL: what is received is thrown away, in ready selects and in those that wait. */
LAW(select_may_drop_what_it_receives)
{
	weft_chan *c = ints(1), *d = ints(0);
	weft_case cases[] = {WEFT_RECV(c, NULL), WEFT_RECV(d, NULL), WEFT_AFTER(WEFT_FOREVER)};
	struct other o;

	T_EQ(put(c, 1), 0);
	T_EQ(weft_chan_select(cases, 3), 0);
	T_EQ(weft_chan_len(c), 0);
	other_selects(&o, cases, 3);
	T_EQ(put(d, 1), 0);
	T_EQ(other_ends(&o), 1);
	T_EQ(weft_chan_close(d), 0);
	T_EQ(weft_chan_select(cases, 3), 1);
	T_EQ(cases[1].status, WEFT_ECLOSED);
	emptied(c);
	emptied(d);
}

/* A select keeps what it sends as it is: the variable is the caller's, before and after. */
LAW(send_case_only_reads)
{
	static const int constant = 17;
	weft_chan *c = ints(1);
	weft_case one = WEFT_SEND(c, &constant);

	T_EQ(weft_chan_select(&one, 1), 0);
	T_EQ(take(c), 17);
	T_EQ(weft_chan_close(c), 0);
	T_EQ(weft_chan_select(&one, 1), 0);
	T_EQ(one.status, WEFT_ECLOSED);
	T_EQ(constant, 17);
	emptied(c);
}
