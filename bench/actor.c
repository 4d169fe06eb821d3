/* SPDX-License-Identifier: MIT
 *
 * actor.c - P22: what does an actor cost beyond its task; a message there and back, round a ring, from many to one; a call of a server; a million of them that are all alive?
 *
 * Of a million: to start them all, until each has run and waits for a message; the process's resident set and its page tables then, less what they were before; to send each a message that ends it, until all have
 * ended. The first round is cold: every stack is touched for the first time. Later ones find memory that was used before.
 */
#include "bench.h"
#include "proc.h"

#define MILLION 1000000

#define WINDOW 100
#define RING 1000
#define MANY 100

/* --- start and end, many at a time; the same of tasks --- */

static int done_at_once(void *state)
{
	wg_done(state);
	return 0;
}

static int64_t spawn(uint64_t n, void *arg)
{
	uint64_t did = 0;
	waitgroup g = {0};
	const actor_opts o = {.run = done_at_once, .state = &g, .mailbox = {.cap = 16}};
	int64_t start = bench_now();

	(void)arg;
	for (; did < n; did += WINDOW) {
		wg_add(&g, WINDOW);
		for (int i = 0; i < WINDOW; i++)
			MUST(actor_start(NULL, &o));
		MUST(wg_wait(&g));
	}
	return bench_scale(bench_now() - start, n, did);
}

static int64_t spawn_tasks(uint64_t n, void *arg)
{
	uint64_t did = 0;
	waitgroup g = {0};
	int64_t start = bench_now();

	(void)arg;
	for (; did < n; did += WINDOW) {
		wg_add(&g, WINDOW);
		for (int i = 0; i < WINDOW; i++)
			MUST(go(wg_done, &g));
		MUST(wg_wait(&g));
	}
	return bench_scale(bench_now() - start, n, did);
}

/* --- there and back: two messages, counted as two --- */

static int echo(void *state, weft_msg *m)
{
	(void)state;
	return actor_send(m->from, m->tag, m->data, m->len, PRIO_NORMAL);
}

static int64_t ping_pong(uint64_t n, void *arg)
{
	actor_ref to;
	int64_t start, took;
	weft_msg *m;

	(void)arg;
	MUST(actor_fn(&to, echo));
	start = bench_now();
	for (uint64_t i = 0; i < n; i += 2) {
		MUST(actor_send(to, 1, &i, sizeof i, PRIO_NORMAL));
		MUST(actor_recv(&m));
		msg_free(m);
	}
	took = bench_now() - start;
	MUST(actor_stop_wait(to));
	return took;
}

/* --- a token round a ring --- */

struct node {
	actor_ref next;
	weft_event *over;
};

static int pass_on(void *state, weft_msg *m)
{
	struct node *node = state;
	uint64_t left = *msg_as(m, uint64_t);

	if (!left--) {
		weft_event_set(node->over);
		return 0;
	}
	return actor_send(node->next, 1, &left, sizeof left, PRIO_NORMAL);
}

static int64_t ring(uint64_t n, void *arg)
{
	static struct node node[RING];
	static actor_ref ref[RING];
	weft_event over = {0};
	int64_t start, took;

	(void)arg;
	for (int i = 0; i < RING; i++)
		MUST(actor_start(&ref[i], &(actor_opts){.on_msg = pass_on, .state = &node[i]}));
	for (int i = 0; i < RING; i++)
		node[i] = (struct node){ref[(i + 1) % RING], &over};
	start = bench_now();
	MUST(actor_send(ref[0], 1, &n, sizeof n, PRIO_NORMAL));
	MUST(weft_event_wait(&over));
	took = bench_now() - start;
	for (int i = 0; i < RING; i++)
		MUST(actor_stop_wait(ref[i]));
	return took;
}

/* --- from many to one, whose mailbox holds a thousand --- */

static void sender(actor_ref *to, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		MUST(actor_send(*to, 1, &i, sizeof i, PRIO_NORMAL));
}

static int64_t fan_in(uint64_t n, void *arg)
{
	uint64_t each = n / MANY + 1;
	actor_ref me = actor_self();
	int64_t start = bench_now();
	weft_msg *m;

	(void)arg;
	for (int i = 0; i < MANY; i++)
		MUST(go(sender, &me, each));
	for (uint64_t i = 0; i < each * MANY; i++) {
		MUST(actor_recv(&m));
		msg_free(m);
	}
	return bench_scale(bench_now() - start, n, each * MANY);
}

/* --- a call of a server, answered by what was asked; the same by a task and two channels --- */

static int answer(void *state, weft_msg *m, weft_from from)
{
	(void)state;
	return server_reply(from, m->data, m->len);
}

static int64_t server_calls(uint64_t n, void *arg)
{
	static const server_vt vt = {.call = answer};
	uint64_t back;
	actor_ref to;
	int64_t start, took;

	(void)arg;
	MUST(server_start(&to, &vt, NULL, NULL));
	start = bench_now();
	for (uint64_t i = 0; i < n; i++)
		MUST(server_ask(to, 1, &back, i));
	took = bench_now() - start;
	MUST(actor_stop_wait(to));
	return took;
}

static void answer_chan(chan *in, chan *out)
{
	uint64_t v;

	while (!chan_recv(in, &v))
		MUST(chan_send(out, &v));
	chan_free(in);
	chan_free(out);
}

static int64_t chan_calls(uint64_t n, void *arg)
{
	chan *in = bench_chan(sizeof(uint64_t), 0), *out = bench_chan(sizeof(uint64_t), 0);
	uint64_t back;
	int64_t start, took;

	(void)arg;
	MUST(go(answer_chan, chan_ref(in), chan_ref(out)));
	start = bench_now();
	for (uint64_t i = 0; i < n; i++) {
		MUST(chan_send(in, &i));
		MUST(chan_recv(out, &back));
	}
	took = bench_now() - start;
	chan_close(in);
	chan_free(in);
	chan_free(out);
	return took;
}

/* --- a million alive at once --- */

struct crowd {
	uint64_t here; /* have run, and wait; relaxed: whoever waits for all of them only looks at the number */
	waitgroup gone;
};

static int wait_to_end(void *state)
{
	struct crowd *c = state;
	weft_msg *m;

	__atomic_add_fetch(&c->here, 1, __ATOMIC_RELAXED);
	MUST(actor_recv(&m));
	msg_free(m);
	wg_done(&c->gone);
	return 0;
}

struct crowd_took {
	double start, stop;      /* ns each */
	double resident, tables; /* bytes each */
};

static void crowd_round(struct crowd_took *took, actor_ref *ref, int n)
{
	struct crowd c = {0};
	const actor_opts o = {.run = wait_to_end, .state = &c};
	double resident = proc_resident(), tables = proc_tables();
	int64_t start = bench_now();

	wg_add(&c.gone, n);
	for (int i = 0; i < n; i++)
		MUST(actor_start(&ref[i], &o));
	while (__atomic_load_n(&c.here, __ATOMIC_RELAXED) < (uint64_t)n)
		task_yield();
	took->start = (double)(bench_now() - start) / n;
	took->resident = (proc_resident() - resident) / n;
	took->tables = (proc_tables() - tables) / n;
	start = bench_now();
	for (int i = 0; i < n; i++)
		MUST(actor_send(ref[i], 1, NULL, 0, PRIO_NORMAL));
	MUST(wg_wait(&c.gone));
	took->stop = (double)(bench_now() - start) / n;
}

static void crowd(struct bench *b)
{
	int n = b->quick ? MILLION / 10 : MILLION;
	double start[BENCH_RUNS_MAX], stop[BENCH_RUNS_MAX];
	actor_ref *ref = calloc((size_t)n, sizeof(*ref));
	struct crowd_took t;

	MUST(ref ? 0 : WEFT_ENOMEM);
	memset(ref, 1, (size_t)n * sizeof(*ref)); /* touched, and not counted */
	crowd_round(&t, ref, n);
	bench_report(b, "P22", "a million alive, start", "ns", &t.start, 1);
	bench_report(b, "P22", "a million alive, resident, each", "B", &t.resident, 1);
	bench_report(b, "P22", "a million alive, page tables, each", "B", &t.tables, 1);
	for (int i = 0; i < b->runs; i++) {
		crowd_round(&t, ref, n);
		start[i] = t.start;
		stop[i] = t.stop;
	}
	bench_report(b, "P22", "a million alive, start, warm", "ns", start, b->runs);
	bench_report(b, "P22", "a million alive, stop", "ns", stop, b->runs);
	free(ref);
}

static int body(void *arg)
{
	struct bench *b = arg;

	MUST(actor_attach(NULL, NULL));
	bench_measure(b, "P22", "task, windows of 100", spawn_tasks, NULL);
	bench_measure(b, "P22", "spawn, windows of 100", spawn, NULL);
	bench_measure(b, "P22", "ping-pong, a message", ping_pong, NULL);
	bench_measure(b, "P22", "ring of 1000, a hop", ring, NULL);
	bench_measure(b, "P22", "100 to 1, a message", fan_in, NULL);
	bench_measure(b, "P22", "call of a server", server_calls, NULL);
	bench_measure(b, "P22", "call over two channels", chan_calls, NULL);
	if (bench_wanted(b, "a million alive"))
		crowd(b);
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
