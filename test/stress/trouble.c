/* SPDX-License-Identifier: MIT
 *
 * trouble.c - trouble on the way: through a relay that delays, splits, stalls, cuts and resets, what is sent arrives whole or ends with an error; datagrams that are lost, doubled,
 * swapped and shortened are asked for again until they are right; peers that are gone without a word; no descriptors left. Never a hang, a leak, or a wrong byte.
 *
 * WEFT_SEED=n begins with another seed than 1.
 */
#include "net.h"
#include "relay.h"
#include "stream.h"

#include "weft/go.h"
#include "weft/udp.h"
#include <stdint.h>
#include <sched.h>

static uint64_t first_seed(void)
{
	const char *s = getenv("WEFT_SEED");

	return s ? strtoull(s, NULL, 0) : 1;
}

/* --- streams --- */

enum { PAIRS = 12 };

struct flow {
	weft_io io;
	weft_tcp *c;
	struct stream s;
	int rc;
};

static int flow_out(void *arg)
{
	struct flow *f = arg;

	f->rc = stream_send(f->io, &f->s);
	if (f->rc == 0)
		f->rc = weft_io_shutdown(f->io, SHUT_WR);
	return 0;
}

static int flow_in(void *arg)
{
	struct flow *f = arg;

	f->rc = stream_receive(f->io, &f->s);
	return 0;
}

/* What each end of a pair does: [0] who dialled sends, [1] the other receives that; [2] the other sends, [3] who dialled receives that. */
struct pair {
	weft_tcp *end[2];
	struct flow flow[4];
	weft_task *task[4];
	int port;
};

static void pair_start(struct pair *p, uint64_t seed, uint64_t bytes, struct rng *r)
{
	static weft_task_fn *const does[4] = {flow_out, flow_in, flow_out, flow_in};
	weft_addr a;

	T_EQ(weft_tcp_local(p->end[0], &a), 0);
	p->port = weft_addr_port(&a);
	for (int i = 0; i < 4; i++) {
		p->flow[i] = (struct flow){.c = p->end[i == 1 || i == 2]};
		p->flow[i].io = weft_tcp_io(p->flow[i].c);
		p->flow[i].s = (struct stream){.seed = seed + (uint64_t)i / 2, .bytes = bytes, .till_end = true};
		p->flow[i].s.piece = rng_below(r, 3) ? rng_below(r, 20000) : 0;
		p->task[i] = start(does[i], &p->flow[i]);
	}
}

static bool broken(int rc)
{
	return rc == 0 || rc == STREAM_SHORT || rc == WEFT_ECONNRESET || rc == WEFT_EPIPE || rc == WEFT_ENOTCONN;
}

/* Both tasks of a direction have ended: as the way was, so is what has come. */
static void direction_check(const struct flow *out, const struct flow *in, bool cut, unsigned fate)
{
	uint64_t all = in->s.bytes + STREAM_HEAD + STREAM_SUM;

	tap_note("fate %u: %s out %d, %llu bytes; in %d, %llu bytes", fate, cut ? "cut," : "", out->rc, (unsigned long long)out->s.moved,
		 in->rc, (unsigned long long)in->s.moved);
	T_LE(in->s.moved, all);
	if (in->rc == 0)
		T_EQ(in->s.moved, all);
	if (fate & FATE_RESET) {
		T_OK(broken(out->rc) && broken(in->rc));
	} else {
		T_EQ(out->rc, 0);
		T_EQ(out->s.moved, all);
		T_EQ(in->rc, cut ? STREAM_SHORT : 0);
		T_EQ(in->s.moved == all, !cut);
	}
}

static void pair_finish(struct pair *p, struct relay *r)
{
	unsigned fate;

	for (int i = 0; i < 4; i++)
		T_EQ(finish(p->task[i]), 0);
	fate = r ? relay_fate(r, p->port) : 0;
	direction_check(&p->flow[0], &p->flow[1], fate & FATE_CUT_THERE, fate);
	direction_check(&p->flow[2], &p->flow[3], fate & FATE_CUT_BACK, fate);
	T_EQ(weft_tcp_close(p->end[0]), 0);
	T_EQ(weft_tcp_close(p->end[1]), 0);
}

static void streams_through(const struct relay_odds *odds, uint64_t bytes)
{
	struct pair *p = calloc(PAIRS, sizeof *p);
	char at[WEFT_ADDR_TEXT];
	weft_tcp_listener *l = listen_at("127.0.0.1:0", at);
	struct relay *r = relay_tcp(at, odds);
	struct rng rng;

	rng_seed(&rng, odds->seed, 77);
	for (int i = 0; i < PAIRS; i++) {
		p[i].end[0] = dial_to(r->at);
		p[i].end[1] = accept_from(l); /* which the relay has dialled for it */
		pair_start(&p[i], odds->seed * 1000 + (uint64_t)i * 2, rng_below(&rng, (uint32_t)bytes), &rng);
	}
	for (int i = 0; i < PAIRS; i++)
		pair_finish(&p[i], r);
	tap_note("%ld pieces forwarded; %ld delayed, %ld split, %ld lingered, %ld cut, %ld reset", load_relaxed(&r->forwarded),
		 load_relaxed(&r->delays), load_relaxed(&r->splits), load_relaxed(&r->lingers), load_relaxed(&r->cuts),
		 load_relaxed(&r->resets));
	relay_end(r);
	T_EQ(weft_tcp_listener_close(l), 0);
	free(p);
}

static int streams_main(void *arg)
{
	uint64_t seed = first_seed(), bytes = (uint64_t)tap_iters(1000000);

	(void)arg;
	for (int i = 0; i < 4; i++) {
		struct relay_odds odds = {.seed = seed + (uint64_t)i, .delay = 20, .split = 50, .linger = 10};

		if (i % 2)
			odds.cut = 2;
		if (i / 2)
			odds.reset = 2;
		tap_note("WEFT_SEED=%llu", (unsigned long long)odds.seed);
		streams_through(&odds, bytes);
	}
	return 0;
}

/* Streams through a relay that delays, splits and lingers arrive whole; where it cuts or resets, those that it did not touch do, and the others end. */
TEST_WORKERS(streams_arrive_or_end)
{
	tap_limit(60);
	run_net(streams_main, NULL);
}

/* The second time it may be that all has gone through meanwhile. */
static void until_stuck(weft_task *t, bool or_done)
{
	until(strcmp(weft_task_reason(t), "write") == 0 || (or_done && weft_task_stateof(t) == WEFT_TASK_DONE));
}

static int stalled_main(void *arg)
{
	struct relay_odds odds = {.seed = first_seed()};
	char at[WEFT_ADDR_TEXT];
	weft_tcp_listener *l = listen_at("127.0.0.1:0", at);
	struct relay *r = relay_tcp(at, &odds);
	struct pair p = {.port = 0};
	struct rng rng;

	(void)arg;
	rng_seed(&rng, odds.seed, 3);
	p.end[0] = dial_to(r->at);
	p.end[1] = accept_from(l);
	relay_stall(r, true);
	pair_start(&p, odds.seed, (uint64_t)24 << 20, &rng);
	for (int round = 0; round < 2; round++) {
		until_stuck(p.task[0], round); /* no more goes in */
		until_stuck(p.task[2], round);
		relay_stall(r, false);
		for (int i = 0; i < 20; i++)
			let_run();
		relay_stall(r, round == 0);
	}
	pair_finish(&p, r);
	relay_end(r);
	T_EQ(weft_tcp_listener_close(l), 0);
	return 0;
}

/* The way is blocked both ways, and buffers are full: writers wait; when it is free again, all arrives. */
TEST_WORKERS(full_buffers)
{
	tap_limit(60);
	if (tap_slow() > 1)
		tap_skip("too much for so slow a run");
	run_net(stalled_main, NULL);
}

/* --- a peer that is gone without a word --- */

static int half_open_main(void *arg)
{
	static const char big[8 << 20];
	struct relay_odds odds = {.seed = 1};
	char at[WEFT_ADDR_TEXT];
	weft_tcp_listener *l = listen_at("127.0.0.1:0", at);
	struct relay *r = relay_tcp(at, &odds);
	struct writing w = {.buf = big, .n = sizeof big};
	struct reading rd = {.rc = 77};
	weft_task *rt, *wt;
	weft_tcp *c, *s;
	weft_ctx *ctx;
	char x;

	(void)arg;
	c = dial_to(r->at);
	s = accept_from(l);
	talk(c, s);
	relay_vanish(r);
	T_EQ(weft_tcp_read_until(c, &x, 1, weft_in(2 * WEFT_MS)), WEFT_ETIMEDOUT); /* the call's */
	ctx = weft_ctx_with_deadline(NULL, weft_in(2 * WEFT_MS));                  /* the context's */
	rd.c = c;
	T_EQ(weft_go_opts(&rt, reads_once, &rd, &(weft_task_opts){.ctx = ctx}), 0);
	T_EQ(finish(rt), 0);
	T_EQ(rd.rc, WEFT_ETIMEDOUT);
	weft_ctx_free(ctx);
	w.c = rd.c = s;
	rt = start(reads_once, &rd);
	wt = start(writes_once, &w);
	until_reason(rt, "read");
	until_reason(wt, "write");
	T_EQ(weft_tcp_set_deadline(s, weft_now(), weft_now()), 0); /* the connection's */
	T_EQ(finish(rt), 0);
	T_EQ(finish(wt), 0);
	T_EQ(rd.rc, WEFT_ETIMEDOUT);
	T_EQ(w.rc, WEFT_ETIMEDOUT);
	T_LT(w.done, w.n);
	T_EQ(weft_tcp_close(c), 0);
	T_EQ(weft_tcp_close(s), 0);
	relay_end(r);
	T_EQ(weft_tcp_listener_close(l), 0);
	return 0;
}

/* A peer that is gone and has said nothing: each of the three deadlines ends what waits for it. */
TEST_WORKERS(half_open_peer)
{
	run_net(half_open_main, NULL);
}

/* --- datagrams --- */

enum { ASKERS = 16, QUESTIONS = 40, TEXT = 600 };

struct message {
	uint32_t asker, number, length, sum;
	unsigned char text[TEXT];
};

static uint32_t sum_of(const struct message *m)
{
	uint32_t sum = m->asker * 31 + m->number * 17 + m->length;

	for (uint32_t i = 0; i < m->length; i++)
		sum = sum * 16777619u + m->text[i];
	return sum;
}

static size_t size_of(const struct message *m)
{
	return offsetof(struct message, text) + m->length;
}

/* A message of n bytes is whole. */
static bool sound(const struct message *m, ssize_t n)
{
	return n >= (ssize_t)offsetof(struct message, text) && m->length <= TEXT && (size_t)n == size_of(m) && m->sum == sum_of(m);
}

/* Answers each question that comes whole with its text turned round. */
static int answerer(void *arg)
{
	weft_udp *u = arg;
	struct message q, a;
	weft_addr from;
	ssize_t n;

	while ((n = weft_udp_recvfrom(u, &q, sizeof q, &from, NULL)) >= 0) {
		if (!sound(&q, n))
			continue;
		a = q;
		for (uint32_t i = 0; i < q.length; i++)
			a.text[i] = q.text[q.length - 1 - i] ^ 0x55;
		a.sum = sum_of(&a);
		T_EQ(weft_udp_sendto(u, &a, size_of(&a), &from), (ssize_t)size_of(&a));
	}
	return (int)n;
}

struct asker {
	weft_addr at;
	uint64_t seed;
	uint32_t id;
	int questions;
	long tries, late; /* how often it asked; answers that were another's */
};

/* Until the answer to this one has come: asks, and asks again. */
static void ask_until_answered(struct asker *k, weft_udp *u, const struct message *q)
{
	struct message a;

	for (;;) {
		int64_t until = weft_in(10 * WEFT_MS);
		ssize_t n;

		k->tries++;
		T_EQ(weft_udp_send(u, q, size_of(q)), (ssize_t)size_of(q));
		while ((n = weft_udp_recv_until(u, &a, sizeof a, NULL, until)) >= 0) {
			if (!sound(&a, n))
				continue;
			T_EQ(a.asker, k->id);
			if (a.number == q->number)
				break;
			T_LT(a.number, q->number);
			k->late++;
		}
		if (n >= 0)
			break;
		T_EQ(n, WEFT_ETIMEDOUT);
	}
	T_EQ(a.length, q->length);
	for (uint32_t i = 0; i < a.length; i++)
		T_EQ(a.text[i], q->text[a.length - 1 - i] ^ 0x55);
}

static int asks(void *arg)
{
	struct asker *k = arg;
	struct message q;
	struct rng r;
	weft_udp *u;

	rng_seed(&r, k->seed, k->id);
	T_EQ(weft_udp_open(&u, "127.0.0.1:0", NULL), 0);
	T_EQ(weft_udp_connect(u, &k->at), 0);
	for (int i = 0; i < k->questions; i++) {
		q = (struct message){.asker = k->id, .number = (uint32_t)i, .length = rng_below(&r, TEXT + 1)};
		for (uint32_t b = 0; b < q.length; b++)
			q.text[b] = (unsigned char)rng_below(&r, 256);
		q.sum = sum_of(&q);
		ask_until_answered(k, u, &q);
	}
	T_EQ(weft_udp_close(u), 0);
	return 0;
}

/* Through the relay r, or straight to `to`. */
static void questions_to(struct relay *r, const char *to, uint64_t seed)
{
	static struct asker k[ASKERS];
	weft_task *t[ASKERS];
	long tries = 0, late = 0;

	for (int i = 0; i < ASKERS; i++) {
		k[i] = (struct asker){.seed = seed, .id = (uint32_t)i, .questions = (int)tap_iters(QUESTIONS)};
		T_EQ(weft_addr_parse(&k[i].at, to), 0);
		t[i] = start(asks, &k[i]);
	}
	for (int i = 0; i < ASKERS; i++) {
		T_EQ(finish(t[i]), 0);
		tries += k[i].tries;
		late += k[i].late;
	}
	tap_note("%d questions, asked %ld times, %ld answers too late", ASKERS * k[0].questions, tries, late);
	if (r)
		tap_note("%ld forwarded, %ld dropped, %ld delayed, %ld twice, %ld swapped, %ld shortened", load_relaxed(&r->forwarded),
			 load_relaxed(&r->drops), load_relaxed(&r->delays), load_relaxed(&r->twices), load_relaxed(&r->swaps),
			 load_relaxed(&r->shortened));
}

static weft_udp *answers_at(char *at, weft_task **t)
{
	weft_addr a;
	weft_udp *u;

	T_EQ(weft_udp_open(&u, "127.0.0.1:0", NULL), 0);
	T_EQ(weft_udp_local(u, &a), 0);
	T_GT(weft_addr_format(&a, at, WEFT_ADDR_TEXT), 0);
	*t = start(answerer, weft_udp_ref(u));
	return u;
}

static int questions_main(void *arg)
{
	struct relay_odds odds = {.seed = first_seed(), .delay = 150, .drop = 150, .twice = 100, .swap = 100, .shorten = 50};
	char at[WEFT_ADDR_TEXT];
	struct relay *r;
	weft_task *t;
	weft_udp *u = answers_at(at, &t), *mine = u;

	(void)arg;
	r = relay_udp(at, &odds);
	tap_note("WEFT_SEED=%llu", (unsigned long long)odds.seed);
	questions_to(r, r->at, odds.seed);
	T_GT(load_relaxed(&r->drops) + load_relaxed(&r->swaps) + load_relaxed(&r->shortened), 0);
	relay_end(r);
	T_EQ(weft_udp_close(u), 0);
	T_EQ(finish(t), WEFT_ECLOSED);
	weft_udp_free(mine);
	return 0;
}

/* Datagrams that are lost, doubled, late, swapped and shortened: every question gets its own answer in the end. */
TEST_WORKERS(questions_with_retry)
{
	tap_limit(60);
	run_net(questions_main, NULL);
}

static int silent_main(void *arg)
{
	struct relay_odds odds = {.seed = 1};
	char at[WEFT_ADDR_TEXT], x[4];
	weft_addr to;
	struct relay *r;
	weft_task *t;
	weft_udp *u = answers_at(at, &t), *mine = u, *c;

	(void)arg;
	r = relay_udp(at, &odds);
	relay_vanish(r);
	T_EQ(weft_addr_parse(&to, r->at), 0);
	T_EQ(weft_udp_open(&c, "127.0.0.1:0", NULL), 0);
	T_EQ(weft_udp_connect(c, &to), 0);
	T_EQ(weft_udp_send(c, "hello?", 6), 6);
	T_EQ(weft_udp_recv_until(c, x, sizeof x, NULL, weft_in(3 * WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(weft_udp_close(c), 0);
	relay_end(r);
	T_EQ(weft_udp_close(u), 0);
	T_EQ(finish(t), WEFT_ECLOSED);
	weft_udp_free(mine);
	return 0;
}

/* A peer of which nothing comes: the deadline ends the wait. */
TEST_WORKERS(silent_peer)
{
	run_net(silent_main, NULL);
}

/* --- no descriptors left --- */

enum { HOGS = 64, DIALERS = 12, OPENERS = 4, TURNS = 20 };

/* From here on the process may have `more` descriptors more than now. Returns what it might before. */
static struct rlimit allow_more(int more)
{
	struct rlimit was, few;
	int next = fcntl(0, F_DUPFD_CLOEXEC, 0);

	T_GE(next, 0);
	close(next);
	T_EQ(getrlimit(RLIMIT_NOFILE, &was), 0);
	few = was;
	few.rlim_cur = (rlim_t)(next + more);
	T_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
	return was;
}

static int starved_main(void *arg)
{
	char at[WEFT_ADDR_TEXT];
	weft_tcp_listener *l = listen_at("127.0.0.1:0", at);
	struct in_line acceptor = {.h = l};
	weft_udp *hog[HOGS], *u = NULL;
	weft_tcp *c = (void *)1;
	struct rlimit was;
	weft_task *t;
	int raw, n = 0, rc;

	(void)arg;
	until_all_workers_run();
	raw = raw_dial(l);
	was = allow_more(6);
	while (n < HOGS && (rc = weft_udp_open(&hog[n], "127.0.0.1:0", NULL)) == 0)
		n++;
	T_EQ(rc, WEFT_EMFILE);
	T_LE(n, 6);
	T_GT(n, 0);
	for (int i = 0; i < 20; i++) {
		T_EQ(weft_udp_open(&u, "127.0.0.1:0", NULL), WEFT_EMFILE);
		T_EQ(u, NULL);
		T_EQ(weft_tcp_dial(&c, at), WEFT_EMFILE);
		T_EQ(c, NULL);
		until(holds(number_of(l), POLLIN));
		T_EQ(weft_tcp_accept_until(l, &c, WEFT_NOW), WEFT_EMFILE);
		T_EQ(c, NULL);
	}
	t = start(line_accept, &acceptor); /* it waits for a descriptor; the client does not get lost */
	until_reason(t, "accept");
	T_EQ(weft_udp_close(hog[--n]), 0);
	T_EQ(finish(t), 0);
	T_EQ(write(raw, "x", 1), 1);
	read_all(acceptor.got, &(char){0}, 1);
	T_EQ(weft_tcp_close(acceptor.got), 0);
	T_EQ(weft_udp_open(&hog[n++], "127.0.0.1:0", NULL), 0);
	while (n > 0)
		T_EQ(weft_udp_close(hog[--n]), 0);
	T_EQ(setrlimit(RLIMIT_NOFILE, &was), 0);
	T_EQ(weft_tcp_listener_close(l), 0);
	close(raw);
	return 0;
}

/* No descriptor is left: open and dial say so, accept waits, or says so if it must not; all go on once there is one. */
TEST_WORKERS(no_descriptor_left)
{
	run_net(starved_main, NULL);
}

struct scarce {
	weft_tcp_listener *l;
	char at[WEFT_ADDR_TEXT];
	ATOMIC(long) done, refused, given_up;
	weft_wg serving;
};

static void serves(struct scarce *k, weft_tcp *c)
{
	char x;

	while (weft_tcp_read(c, &x, 1) == 1 && weft_tcp_write(c, &x, 1, NULL) == 1)
		;
	weft_tcp_close(c);
	weft_wg_done(&k->serving);
}

static int accepts_scarce(void *arg)
{
	struct scarce *k = arg;
	weft_tcp *c;
	int rc;

	while ((rc = weft_tcp_accept(k->l, &c)) == 0) {
		weft_wg_add(&k->serving, 1);
		T_EQ(weft_go(serves, k, c), 0);
	}
	return rc;
}

static int dials_scarce(void *arg)
{
	struct scarce *k = arg;

	for (int i = 0; i < TURNS; i++) {
		weft_tcp *c;
		char x = 'q';
		int rc = weft_tcp_dial(&c, k->at);

		if (rc) {
			T_EQ(rc, WEFT_EMFILE);
			add_relaxed(&k->refused, 1);
			weft_task_yield();
			continue;
		}
		/* all descriptors may be with those who dial, so that nobody is accepted: it does not wait for ever */
		if (weft_tcp_write(c, &x, 1, NULL) == 1 && weft_tcp_read_until(c, &x, 1, weft_in(3 * WEFT_MS)) == 1)
			add_relaxed(&k->done, 1);
		else
			add_relaxed(&k->given_up, 1);
		T_EQ(weft_tcp_close(c), 0);
	}
	return 0;
}

static int opens_scarce(void *arg)
{
	struct scarce *k = arg;

	for (int i = 0; i < 5 * TURNS; i++) {
		weft_udp *u;
		int rc = weft_udp_open(&u, "127.0.0.1:0", NULL);

		if (rc) {
			T_EQ(rc, WEFT_EMFILE);
			add_relaxed(&k->refused, 1);
		}
		weft_task_yield();
		T_EQ(weft_udp_close(u), 0);
	}
	return 0;
}

static int scarce_main(void *arg)
{
	weft_task *t[DIALERS + OPENERS], *acceptor;
	struct scarce k = {.done = 0};
	struct rlimit was;
	weft_tcp *c;
	char x = 'z';

	(void)arg;
	until_all_workers_run();
	k.l = listen_at("127.0.0.1:0", k.at);
	was = allow_more(8);
	acceptor = start(accepts_scarce, &k);
	for (int i = 0; i < DIALERS + OPENERS; i++)
		t[i] = start(i < DIALERS ? dials_scarce : opens_scarce, &k);
	for (int i = 0; i < DIALERS + OPENERS; i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(setrlimit(RLIMIT_NOFILE, &was), 0);
	tap_note("%ld answered, %ld without a descriptor, %ld given up", load_relaxed(&k.done), load_relaxed(&k.refused),
		 load_relaxed(&k.given_up));
	T_GT(load_relaxed(&k.refused), 0);
	c = dial_to(k.at); /* and all is as before */
	write_all(c, &x, 1);
	read_all(c, &x, 1);
	T_EQ(weft_tcp_close(c), 0);
	T_EQ(weft_wg_wait(&k.serving), 0);
	until(!holds(number_of(k.l), POLLIN));
	T_EQ(weft_tcp_listener_close(k.l), 0);
	T_EQ(finish(acceptor), WEFT_ECLOSED);
	T_EQ(weft_wg_wait(&k.serving), 0);
	return 0;
}

/* Many want the last few descriptors, again and again: each gets one or is told; nothing is lost of them, and later all goes on. */
TEST_WORKERS(few_descriptors_for_many)
{
	tap_limit(60);
	run_net(scarce_main, NULL);
}

/* --- the kernel's own trouble --- */

static int netem_main(void *arg)
{
	char at[WEFT_ADDR_TEXT];
	struct pair p = {.port = 0};
	struct rng rng;
	weft_task *t;
	weft_udp *u = answers_at(at, &t), *mine = u;

	(void)arg;
	questions_to(NULL, at, first_seed());
	T_EQ(weft_udp_close(u), 0);
	T_EQ(finish(t), WEFT_ECLOSED);
	weft_udp_free(mine);
	rng_seed(&rng, first_seed(), 5);
	pair_make(&p.end[0], &p.end[1]);
	pair_start(&p, first_seed(), 300000, &rng);
	pair_finish(&p, NULL);
	return 0;
}

/* The same questions, and a stream each way, over a loopback of our own that delays, drops, doubles and swaps packets (tc netem). */
TEST_WORKERS(kernels_own_trouble)
{
	tap_limit(120);
	if (weft__emulated())
		tap_skip("emulated: no network namespace of our own");
	if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET))
		tap_skip("no network namespace of our own: %s", strerror(errno));
	if (system("PATH=$PATH:/usr/sbin:/sbin; { ip link set lo up && tc qdisc add dev lo root netem delay 1ms 1ms loss 3% duplicate 2% "
		   "reorder 20%; } "
		   ">/dev/null 2>&1") != 0)
		tap_skip("no ip, no tc, or a kernel without netem");
	run_net(netem_main, NULL);
}
