/* SPDX-License-Identifier: MIT
 *
 * order.c - what one task has written before it wakes, cancels, ends or gives back, another reads after it has heard of it.
 *
 * Built with ThreadSanitizer against a library that is not (tools/consumer.sh): it sees the program's own accesses, and those that libc does for the library, but none of the library's
 * atomics. So it is silent only if it is told of each order that the headers promise.  Two halves: a box that one task fills and another looks into, and things that several
 * tasks use, each through a reference of its own, of which the last one given back frees.  With an argument: the one handing over of that name, alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

#define ROUNDS 100
#define USERS 4

static struct {
	long box[4]; /* plain: written by the giver, read by the taker */
	ctx *ctx;
	chan *chan;
	task *taker;
	weft_event event;
	weft_latch latch;
	weft_barrier barrier;
	mutex mutex;
	weft_cond cond;
	bool flag;
	sema sema;
	weft_once once;
	promise *promise;
	future *future;
	watch *watch;
	weft_flight *flight;
	weft_tx *tx;
	weft_rx *rx;
	weft_io here, there;
	cmap *map;
	weft_actor_ref actor;
} s;

static int wrong, workers;

static void fill(void *arg)
{
	(void)arg;
	for (int i = 0; i < 4; i++)
		s.box[i]++;
}

static void look(void)
{
	for (int i = 0; i < 4; i++)
		if (s.box[i] != 1)
			__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
}

/* --- a box from one to the other --- */

static void give_chan(void)
{
	int e = 1;

	chan_send(s.chan, &e);
}

static void give_close(void)
{
	chan_close(s.chan);
}

static void take_chan(void)
{
	int e;

	chan_recv(s.chan, &e);
}

static void give_ctx(void)
{
	weft_ctx_cancel_cause(s.ctx, 0, "a cause in words, which are copied");
}

static void take_ctx_wait(void)
{
	char words[64];

	ctx_wait(s.ctx);
	snprintf(words, sizeof words, "%s", ctx_cause(s.ctx));
}

static void take_ctx_select(void)
{
	chan_case cs[] = {CASE_DONE(s.ctx, NULL), CASE_RECV(s.chan, NULL)};

	chan_select(cs, 2);
}

static void take_ctx_call(void)
{
	int e;

	WITH_CTX (s.ctx)
		chan_recv(s.chan, &e);
}

static void take_ctx_check(void)
{
	WITH_CTX (s.ctx) {
		while (ctx_check() == 0)
			task_yield();
	}
}

static void take_ctx_reason(void)
{
	while (ctx_reason(s.ctx) == WEFT_NOT_CANCELED)
		task_yield();
}

static void take_ctx_below(void)
{
	WITH_CTX (s.ctx) {
		ctx *below = ctx_make(NULL);
		char words[64];

		ctx_wait(below);
		snprintf(words, sizeof words, "%s", ctx_cause(below));
		ctx_free(below);
	}
}

static void give_cancel(void)
{
	task_cancel(s.taker);
}

static void give_unpark(void)
{
	task_unpark(s.taker);
}

static void take_park(void)
{
	task_park();
}

static void give_event(void)
{
	event_set(&s.event);
}

static void take_event(void)
{
	event_wait(&s.event);
}

static void give_latch(void)
{
	latch_down(&s.latch, 1);
}

static void take_latch(void)
{
	latch_wait(&s.latch);
}

static void meet(void)
{
	barrier_wait(&s.barrier);
}

static void give_cond(void)
{
	WITH_LOCK (&s.mutex) {
		s.flag = true;
		cond_signal(&s.cond);
	}
}

static void take_cond(void)
{
	WITH_LOCK (&s.mutex) {
		while (!s.flag)
			cond_wait(&s.cond, &s.mutex);
	}
}

static void give_sema(void)
{
	sema_release(&s.sema, 1);
}

static void take_sema(void)
{
	sema_acquire(&s.sema, 1);
}

static void give_promise(void)
{
	promise_resolve(s.promise, NULL);
}

static void give_up_promise(void)
{
	promise_free(s.promise);
	s.promise = NULL;
}

static void take_future(void)
{
	future_await(s.future, NULL);
}

static void give_watch(void)
{
	watch_set(s.watch, NULL);
}

static void take_watch(void)
{
	uint64_t seen = 1;

	watch_changed(s.watch, &seen, NULL);
}

static void give_map(void)
{
	cmap_set(s.map, "key", 3, s.box);
}

static void take_map(void)
{
	while (!cmap_get(s.map, "key", 3))
		task_yield();
}

static void give_end(void)
{
	weft_tx_free(s.tx);
	s.tx = NULL;
}

static void take_end(void)
{
	int e;

	weft_rx_recv(s.rx, &e);
}

static void give_bytes(void)
{
	io_write(s.here, "x", 1, NULL);
}

static void take_bytes(void)
{
	char c;

	io_read(s.there, &c, 1);
}

static void give_message(void)
{
	event_wait(&s.event); /* orders the other way only */
	weft_actor_send(s.actor, 0, s.box, sizeof s.box, 0);
}

static void take_message(void)
{
	weft_msg *m;

	weft_actor_attach(&s.actor, NULL);
	event_set(&s.event);
	weft_actor_recv(&m);
	if (memcmp(m->data, s.box, sizeof s.box) != 0)
		__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
}

/* It ends with its task. */
static void give_actor_end(void)
{
	weft_actor_attach(&s.actor, NULL);
	event_set(&s.event);
	fill(NULL);
}

static void take_actor_end(void)
{
	event_wait(&s.event);
	weft_actor_wait(s.actor, NULL);
}

static void take_actor_news(void)
{
	weft_msg *m;

	event_wait(&s.event);
	weft_actor_attach(NULL, NULL);
	weft_actor_monitor(s.actor, NULL);
	weft_actor_recv(&m);
}

static void give_name(void)
{
	weft_actor_attach(&s.actor, NULL);
	weft_reg_put("taken", s.actor);
	event_wait(&s.event);
}

static void take_name(void)
{
	weft_actor_ref ref;

	weft_reg_wait("taken", &ref);
	event_set(&s.event);
}

static void fill_once(void)
{
	once_do(&s.once, fill, NULL);
}

static int fetch(void *arg, void *out)
{
	fill(arg);
	memset(out, 1, 1400);
	return task_sleep(50 * US);
}

static void fly(void)
{
	char got[1400];

	weft_flight_do(s.flight, "key", fetch, NULL, got);
}

static const struct handing {
	const char *name;
	void (*give)(void); /* after the box is filled */
	void (*take)(void); /* before it is looked into */
	enum { FILLS, FILLED_BY_CALL, EITHER } how;
} handings[] = {
	{"chan", give_chan, take_chan, FILLS},
	{"close", give_close, take_chan, FILLS},
	{"ctx_wait", give_ctx, take_ctx_wait, FILLS},
	{"ctx select", give_ctx, take_ctx_select, FILLS},
	{"ctx call", give_ctx, take_ctx_call, FILLS},
	{"ctx_check", give_ctx, take_ctx_check, FILLS},
	{"ctx_reason", give_ctx, take_ctx_reason, FILLS},
	{"ctx below", give_ctx, take_ctx_below, FILLS},
	{"task_cancel", give_cancel, take_chan, FILLS},
	{"unpark", give_unpark, take_park, FILLS},
	{"event", give_event, take_event, FILLS},
	{"latch", give_latch, take_latch, FILLS},
	{"barrier", meet, meet, FILLS},
	{"cond", give_cond, take_cond, FILLS},
	{"sema", give_sema, take_sema, FILLS},
	{"promise", give_promise, take_future, FILLS},
	{"promise_free", give_up_promise, take_future, FILLS},
	{"watch", give_watch, take_watch, FILLS},
	{"cmap", give_map, take_map, FILLS},
	{"tx_free", give_end, take_end, FILLS},
	{"io_pair", give_bytes, take_bytes, FILLS},
	{"actor_send", give_message, take_message, FILLS},
	{"actor_wait", give_actor_end, take_actor_end, FILLED_BY_CALL},
	{"actor_monitor", give_actor_end, take_actor_news, FILLED_BY_CALL},
	{"reg_wait", give_name, take_name, FILLS},
	{"once", fill_once, fill_once, FILLED_BY_CALL},
	{"flight", fly, fly, EITHER}, /* one run, or two */
};

static const struct handing *now;

static int giver(void *arg)
{
	(void)arg;
	if (now->how == FILLS)
		fill(NULL);
	now->give();
	return 0;
}

static int taker(void *arg)
{
	(void)arg;
	now->take();
	if (now->how != EITHER)
		look();
	return 0;
}

static void hand_over(void)
{
	task *g;

	memset(&s, 0, sizeof s);
	s.ctx = ctx_make(NULL);
	s.chan = chan_make(sizeof(int), 1);
	s.latch = (weft_latch)WEFT_LATCH_INIT(1);
	s.barrier = (weft_barrier)WEFT_BARRIER_INIT(2);
	s.watch = watch_make(0, NULL);
	s.flight = weft_flight_make(1400);
	s.map = cmap_make(NULL);
	promise_make(0, &s.promise, &s.future);
	oneshot_make(sizeof(int), &s.tx, &s.rx);
	io_pair(&s.here, &s.there);
	go_opts(&s.taker, taker, NULL, &(task_opts){.worker = 1 % workers + 1, .name = "taker"});
	go_opts(&g, giver, NULL, &(task_opts){.worker = 2 % workers + 1, .name = "giver"});
	task_join(g, NULL);
	task_join(s.taker, NULL);
	ctx_free(s.ctx);
	chan_free(s.chan);
	watch_free(s.watch);
	weft_flight_free(s.flight);
	cmap_free(s.map);
	promise_free(s.promise);
	future_free(s.future);
	weft_tx_free(s.tx);
	weft_rx_free(s.rx);
	io_close(s.here);
	io_close(s.there);
}

/* --- references --- */

static weft_err *err;
static ctx *held;
static cmap *map;
static chan *left;
static int key;

static char first_of(const char *text)
{
	return *(const volatile char *)text;
}

static void use_err(void)
{
	char words[200];

	weft_err_format(err, words, sizeof words);
	weft_err_free(err);
}

static void use_ctx(void)
{
	char words[200];

	first_of(ctx_value(held, &key));
	snprintf(words, sizeof words, "%s", ctx_cause(held));
	ctx_free(held);
}

static void use_map(void)
{
	first_of(cmap_get(map, "key", 3));
	cmap_free(map);
}

static void use_chan(void)
{
	char *text = strdup("an element that nobody receives");

	if (chan_trysend(left, &text))
		free(text);
	chan_free(left);
}

static void free_element(void *e)
{
	free(*(void **)e);
}

static void (*const uses[])(void) = {use_err, use_ctx, use_map, use_chan};

static int user(void *arg)
{
	(*(void (*const *)(void))arg)();
	return 0;
}

static void use_together(size_t kind)
{
	task *t[USERS];

	err = weft_err_new(WEFT_EIO, "a message of some %s", "length");
	held = ctx_with_value(NULL, &key, strdup("the user's own"), free);
	weft_ctx_cancel_cause(held, 0, "why it was ended, in words");
	map = cmap_make(&(cmap_opts){.drop = free});
	cmap_set(map, "key", 3, strdup("the user's own"));
	weft_chan_open(&left, &(chan_opts){.elem = sizeof(void *), .cap = USERS, .dtor = free_element});
	for (int i = 0; i < USERS; i++) {
		kind == 0   ? (void)weft_err_ref(err)
		: kind == 1 ? (void)ctx_ref(held)
		: kind == 2 ? (void)cmap_ref(map)
			    : (void)chan_ref(left);
		go_opts(&t[i], user, (void *)&uses[kind], &(task_opts){.worker = i % workers + 1});
	}
	weft_err_free(err);
	ctx_free(held);
	cmap_free(map);
	chan_free(left);
	for (int i = 0; i < USERS; i++)
		task_join(t[i], NULL);
}

WEFT_MAIN(argc, argv)
{
	weft_stat st;

	weft_stats(&st);
	workers = st.workers;
	for (now = handings; now < handings + sizeof handings / sizeof *handings; now++) {
		if (argc > 1 && strcmp(argv[1], now->name) != 0)
			continue;
		for (int i = 0; i < ROUNDS; i++)
			hand_over();
		if (wrong) {
			printf("%s: the box was not full %d times\n", now->name, wrong);
			return 1;
		}
	}
	for (size_t k = 0; argc == 1 && k < sizeof uses / sizeof *uses; k++)
		for (int i = 0; i < ROUNDS; i++)
			use_together(k);
	return 0;
}
