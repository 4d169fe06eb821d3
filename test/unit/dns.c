/* SPDX-License-Identifier: MIT
 *
 * dns.c - names: what is asked of the resolver and what is not, every error, who shares a lookup, who leaves one that sticks, and what that keeps from going on.
 *
 * But for the last part, the resolver is the test's own (names.h).
 */
#include "names.h"

#include "base/rand.h"
#include "core/offload.h"
#include "files.h"
#include "io/hosts.h"
#include "weft/dns.h"
#include <netdb.h>
#include <stdio.h>

/* What is resolved, as text: "A B", or the code. */
static const char *found(const char *host, const char *service, const weft_dns_opts *o)
{
	static char buf[1024];
	weft_addr *a = (void *)1;
	int n = weft_dns_resolve(&a, host, service, o);

	buf[0] = '\0';
	if (n <= 0) {
		T_NE(n, 0);
		T_EQ(a, NULL);
		snprintf(buf, sizeof buf, "%d", n);
	}
	for (int i = 0; i < n; i++) {
		char at[WEFT_ADDR_TEXT];

		T_GT(weft_addr_format(&a[i], at, sizeof at), 0);
		strcat(buf, i ? " " : "");
		strcat(buf, at);
	}
	if (n > 0)
		weft_dns_free(a);
	return buf;
}

static int asks(const char *host)
{
	weft_addr *a;
	int n = weft_dns_resolve(&a, host, "80", NULL);

	weft_dns_free(a);
	return n;
}

static int asks_task(void *arg)
{
	return asks(arg);
}

static weft_task *sticks(const char *host)
{
	weft_task *t = start(asks_task, (void *)host);

	until_reason(t, "name");
	return t;
}

/* Those that nobody waits for any more end behind our back. */
static void until_none_is_left(void)
{
	until(weft__dns_count() == 0);
}

/* --- what nobody is asked for --- */

static int literals_main(void *arg)
{
	(void)arg;
	T_STR_EQ(found("192.0.2.1", "80", NULL), "192.0.2.1:80");
	T_STR_EQ(found("2001:db8::1", "80", NULL), "[2001:db8::1]:80");
	T_STR_EQ(found("192.0.2.1", NULL, NULL), "192.0.2.1:0");
	T_STR_EQ(found("localhost", "1", NULL), "127.0.0.1:1 [::1]:1");
	T_STR_EQ(found("x.localhost.", "1", &(weft_dns_opts){.family = AF_INET6}), "[::1]:1");
	T_STR_EQ(found(NULL, "1", NULL), "127.0.0.1:1 [::1]:1");
	T_STR_EQ(found("", "1", &(weft_dns_opts){.passive = true}), "[::]:1 0.0.0.0:1");
	T_STR_EQ(found("", "1", &(weft_dns_opts){.passive = true, .family = AF_INET}), "0.0.0.0:1");
	T_STR_EQ(found("::1", "1", &(weft_dns_opts){.family = AF_INET}), "-3007");
	T_STR_EQ(found("a.invalid", "1", NULL), "-3008");
	T_STR_EQ(found("127.1", "1", NULL), "-3008");
	T_STR_EQ(found("[::1]", "1", NULL), "-3008");
	T_STR_EQ(found("two.test", "1", &(weft_dns_opts){.numeric = true}), "-3008");
	T_STR_EQ(found("two.test", "http", &(weft_dns_opts){.numeric = true}), "-3008");
	T_STR_EQ(found("127.0.0.1", "http", &(weft_dns_opts){.numeric = true}), "-3010");
	T_STR_EQ(found("127.0.0.1", "80", &(weft_dns_opts){.numeric = true}), "127.0.0.1:80");
	T_EQ(load_relaxed(&names_asked), 0);
	T_EQ(weft__offload_threads(), 0);
	return 0;
}

/* Addresses, the own machine, and what is no name: no thread is made for them. */
TEST_WORKERS(nobody_is_asked)
{
	names_begin();
	names_say("two.test", "192.0.2.1 2001:db8::1");
	run(literals_main, NULL);
}

static int refused_main(void *arg)
{
	static const char *const bad[] = {"",    " ",   "-1",  "+1",    "65536",  "99999", "100000",
					  " 80", "80 ", "8 0", "ht tp", "http\n", "-",     "123456789012345678901234567890abc"};

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		tap_note("\"%s\"", bad[i]);
		T_STR_EQ(found("two.test", bad[i], NULL), "-22");
		T_STR_EQ(found("127.0.0.1", bad[i], NULL), "-22");
	}
	T_STR_EQ(found("two.test", "80", &(weft_dns_opts){.family = AF_UNIX}), "-22");
	T_STR_EQ(found("127.0.0.1", "80", &(weft_dns_opts){.family = -1}), "-22");
	T_EQ(load_relaxed(&names_asked), 0);
	return 0;
}

/* Ports and families that cannot be. */
TEST(nonsense)
{
	names_begin();
	run(refused_main, NULL);
}

/* --- answers --- */

static int answers_main(void *arg)
{
	weft_addr *a, *b;

	(void)arg;
	T_STR_EQ(found("two.test", "80", NULL), "192.0.2.1:80 [2001:db8::1]:80");
	T_STR_EQ(found("two.test", NULL, NULL), "192.0.2.1:0 [2001:db8::1]:0");
	T_STR_EQ(found("two.test", "http", NULL), "192.0.2.1:80 [2001:db8::1]:80");
	T_STR_EQ(found("two.test", "81", &(weft_dns_opts){.family = AF_INET}), "192.0.2.1:81");
	T_STR_EQ(found("two.test", "81", &(weft_dns_opts){.family = AF_INET6}), "[2001:db8::1]:81");
	T_STR_EQ(found("four.test", "81", &(weft_dns_opts){.family = AF_INET6}), "-3007");
	T_STR_EQ(found("two.test", "nosuch", NULL), "-3010");
	T_STR_EQ(found("nosuch.test", "80", NULL), "-3008");
	T_EQ(load_relaxed(&names_asked), 8);
	T_STR_EQ(found("127.0.0.1", "http", NULL), "127.0.0.1:80"); /* the service alone */
	T_STR_EQ(found("::1", "http", &(weft_dns_opts){.family = AF_INET6}), "[::1]:80");
	T_STR_EQ(found("", "http", NULL), "127.0.0.1:80 [::1]:80");
	T_STR_EQ(found("::1", "nosuch", NULL), "-3010");
	T_EQ(weft_dns_resolve(&a, "two.test", "80", NULL), 2); /* each caller's own */
	T_EQ(weft_dns_resolve(&b, "two.test", "81", NULL), 2);
	T_NE(a, b);
	memset(a, 0xa5, 2 * sizeof *a);
	weft_dns_free(a);
	T_EQ(weft_addr_port(&b[1]), 81);
	weft_dns_free(b);
	weft_dns_free(NULL);
	T_EQ(weft__dns_count(), 0);
	return 0;
}

/* What the resolver says is what the caller gets, with his port; nothing is kept. */
TEST_WORKERS(answers)
{
	names_begin();
	names_say("two.test", "192.0.2.1 2001:db8::1");
	names_say("four.test", "192.0.2.1");
	run(answers_main, NULL);
}

static int errors_main(void *arg)
{
	static const int codes[] = {WEFT_EAI_NONAME,  WEFT_EAI_NODATA, WEFT_EAI_AGAIN, WEFT_EAI_FAIL,
				    WEFT_EAI_SERVICE, WEFT_ENOMEM,     WEFT_EMFILE};
	weft_addr one;

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		names_fail("fails.test", codes[i]);
		T_EQ(asks("fails.test"), codes[i]);
		T_EQ(weft_addr_resolve(&one, "fails.test:80"), codes[i]);
		T_OK(strcmp(weft_strerror(codes[i]), "unknown error") != 0);
	}
	T_STR_EQ(weft_strerror(WEFT_EAI_NONAME), "no such name");
	T_EQ(weft__dns_count(), 0);
	return 0;
}

/* Every error of the resolver comes through, and has words. */
TEST(errors)
{
	names_begin();
	run(errors_main, NULL);
}

static void text_is(const char *text, const char *want)
{
	char at[WEFT_ADDR_TEXT];
	weft_addr a;
	int rc = weft_addr_resolve(&a, text);

	if (rc)
		snprintf(at, sizeof at, "%d", rc);
	else
		T_GT(weft_addr_format(&a, at, sizeof at), 0);
	tap_note("%s", text);
	T_STR_EQ(at, want);
}

static int texts_main(void *arg)
{
	static const char *const bad[] = {"",
					  "two.test",
					  "two.test:",
					  "two.test:-1",
					  "127.0.0.1:65536",
					  "::1:80",
					  "[::1]",
					  "[two.test]:80",
					  "[127.0.0.1]:80",
					  "[]:80",
					  "[::g]:80",
					  "two.test:80:http",
					  "a:ht tp",
					  "[::1]80",
					  ":"};
	weft_addr a;

	(void)arg;
	text_is("two.test:80", "192.0.2.1:80");
	text_is("two.test:http", "192.0.2.1:80");
	text_is("two.test.:80", "-3008"); /* the resolver's business */
	text_is("127.0.0.1:http", "127.0.0.1:80");
	text_is("[::1]:http", "[::1]:80");
	text_is("[2001:db8::1]:81", "[2001:db8::1]:81");
	text_is(":http", "[::]:80");
	text_is(":81", "[::]:81");
	text_is("localhost:81", "127.0.0.1:81");
	text_is("nosuch.test:81", "-3008");
	text_is("two.test:nosuch", "-3010");
	text_is("a.invalid:81", "-3008");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		text_is(bad[i], "-22");
	T_EQ(weft_addr_resolve(&a, NULL), WEFT_EINVAL);
	return 0;
}

/* Hosts and ports in one text. */
TEST(texts)
{
	names_begin();
	names_say("two.test", "192.0.2.1 2001:db8::1");
	run(texts_main, NULL);
}

static int reverse_main(void *arg)
{
	char name[WEFT_DNS_NAME] = "?", small[10] = "?";
	weft_addr a;

	(void)arg;
	T_EQ(weft_addr_parse(&a, "192.0.2.1:80"), 0);
	T_EQ(weft_dns_reverse(&a, name, sizeof name), 8);
	T_STR_EQ(name, "one.test");
	T_EQ(weft_dns_reverse(&a, small, 9), 8);
	T_STR_EQ(small, "one.test");
	strcpy(small, "?");
	T_EQ(weft_dns_reverse(&a, small, 8), WEFT_ENOSPC);
	T_EQ(weft_dns_reverse(&a, NULL, 0), WEFT_ENOSPC);
	T_STR_EQ(small, "?");
	T_EQ(weft_addr_parse(&a, "[2001:db8::1]:80"), 0);
	T_EQ(weft_dns_reverse(&a, name, sizeof name), 8);
	T_STR_EQ(name, "six.test");
	T_EQ(weft_addr_parse(&a, "192.0.2.2:80"), 0);
	T_EQ(weft_dns_reverse(&a, name, sizeof name), WEFT_EAI_NONAME);
	T_STR_EQ(name, "six.test");
	a.sa.sa_family = AF_UNIX;
	T_EQ(weft_dns_reverse(&a, name, sizeof name), WEFT_EINVAL);
	a.sa.sa_family = AF_UNSPEC;
	T_EQ(weft_dns_reverse(&a, name, sizeof name), WEFT_EINVAL);
	T_EQ(weft_addr_parse(&a, "192.0.2.3:80"), 0);
	T_EQ(weft_dns_reverse(&a, name, sizeof name), WEFT_EAI_AGAIN);
	T_EQ(weft_dns_reverse_until(&a, name, sizeof name, WEFT_NOW), WEFT_EAGAIN);
	return 0;
}

/* The name of an address, whatever its port. */
TEST_WORKERS(reverse)
{
	names_begin();
	names_say("192.0.2.1:0", "one.test");
	names_say("[2001:db8::1]:0", "six.test");
	names_fail("192.0.2.3:0", WEFT_EAI_AGAIN);
	run(reverse_main, NULL);
}

/* --- those that stick --- */

static int call_resolve(int64_t deadline)
{
	weft_addr *a = (void *)1;
	int n = weft_dns_resolve_until(&a, "stuck.test", "80", NULL, deadline);

	T_EQ(a != NULL, n > 0);
	weft_dns_free(a);
	return n == 1 ? 0 : n;
}

static int call_text(int64_t deadline)
{
	weft_addr a;

	return weft_addr_resolve_until(&a, "stuck.test:80", deadline);
}

static int call_listen(int64_t deadline)
{
	weft_tcp_listener *l = (void *)1;
	int rc = weft_tcp_listen_until(&l, "stuck.test:80", NULL, deadline);

	T_EQ(l, NULL);
	return rc == WEFT_EADDRNOTAVAIL ? 0 : rc; /* 192.0.2.99 is not this machine's: the name was told */
}

static int call_dial(int64_t deadline)
{
	weft_tcp *c = (void *)1;
	int rc = weft_tcp_dial_opts_until(&c, "stuck.test:80", &(weft_dial_opts){.local = "127.0.0.1:0"}, deadline);

	T_EQ(c, NULL);
	return rc == -EINVAL || rc == WEFT_ENETUNREACH ? 0 : rc; /* from 127.0.0.1 there is no way */
}

static int (*const calls[])(int64_t deadline) = {call_resolve, call_text, call_listen, call_dial};

struct one_call {
	int (*fn)(int64_t deadline);
	int64_t deadline;
	ATOMIC(int) gate;
};

static int makes_call(void *arg)
{
	struct one_call *c = arg;

	until(load_acquire(&c->gate)); /* yielding is no cancellation point */
	return c->fn(c->deadline);
}

static weft_task *call_start(struct one_call *c, size_t i, int64_t deadline, weft_ctx *ctx)
{
	weft_task *t;

	*c = (struct one_call){.fn = calls[i], .deadline = deadline};
	T_EQ(weft_go_opts(&t, makes_call, c, &(weft_task_opts){.ctx = ctx}), 0);
	return t;
}

static void call_waits(struct one_call *c, weft_task *t)
{
	store_release(&c->gate, 1);
	until_reason(t, "name");
	until(load_relaxed(&names_stuck) == 1);
}

static int stuck_main(void *arg)
{
	(void)arg;
	time_fake();
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		struct one_call c;
		weft_ctx *ctx;
		weft_task *t;

		tap_note("call %zu", i);
		names_shut();
		t = call_start(&c, i, WEFT_FOREVER, NULL); /* cancelled before */
		weft_task_cancel(t);
		store_release(&c.gate, 1);
		T_EQ(finish(t), WEFT_ECANCELED);
		T_EQ(calls[i](WEFT_NOW), WEFT_EAGAIN);
		T_EQ(load_relaxed(&names_stuck), 0);

		t = call_start(&c, i, WEFT_FOREVER, NULL); /* during */
		call_waits(&c, t);
		weft_task_cancel(t);
		T_EQ(finish(t), WEFT_ECANCELED);
		T_EQ(load_relaxed(&names_stuck), 1); /* it sticks on, behind our back */
		names_open();
		until_none_is_left();

		names_shut();
		ctx = weft_ctx_make(NULL); /* with others */
		t = call_start(&c, i, WEFT_FOREVER, ctx);
		call_waits(&c, t);
		weft_ctx_cancel(ctx, 0);
		T_EQ(finish(t), WEFT_ECANCELED);
		weft_ctx_free(ctx);
		names_open();
		until_none_is_left();

		names_shut();
		t = call_start(&c, i, weft_in(20 * WEFT_SEC), NULL); /* late */
		call_waits(&c, t);
		time_move(19 * WEFT_SEC);
		T_EQ(weft_task_stateof(t), WEFT_TASK_PARKED);
		time_move(1 * WEFT_SEC);
		T_EQ(finish(t), WEFT_ETIMEDOUT);
		names_open();
		until_none_is_left();

		names_shut();
		ctx = weft_ctx_with_deadline(NULL, weft_in(20 * WEFT_SEC));
		t = call_start(&c, i, WEFT_FOREVER, ctx);
		call_waits(&c, t);
		time_move(20 * WEFT_SEC);
		T_EQ(finish(t), WEFT_ETIMEDOUT);
		weft_ctx_free(ctx);
		names_open();
		until_none_is_left();
		T_EQ(calls[i](weft_now() - 1), WEFT_ETIMEDOUT); /* late before */
		T_EQ(weft__dns_count(), 0);

		names_shut();
		t = call_start(&c, i, weft_in(60 * WEFT_SEC), NULL); /* in time */
		call_waits(&c, t);
		names_open();
		T_EQ(finish(t), 0);
		T_EQ(weft__dns_count(), 0);
	}
	return 0;
}

/* Every call that asks for a name: cancelled before and during, late before and during, by itself and by its context, and answered in time. Whoever gives up goes at once. */
TEST_WORKERS(who_gives_up_goes)
{
	names_begin();
	run(stuck_main, NULL);
}

/* --- sharing --- */

enum { MANY = 100 };

static int share_main(void *arg)
{
	weft_task *t[MANY];

	(void)arg;
	for (int round = 0; round < 3; round++) { /* all stay; the first leaves; all but the last leave */
		int leave = round == 0 ? 0 : round == 1 ? 1 : MANY - 1;

		names_shut();
		store_relaxed(&names_asked, 0); /* nobody asks now */
		for (int i = 0; i < MANY; i++)
			t[i] = sticks("stuck.test");
		until(load_relaxed(&names_stuck) == 1);
		for (int i = 0; i < leave; i++) {
			weft_task_cancel(t[i]);
			T_EQ(finish(t[i]), WEFT_ECANCELED);
		}
		T_EQ(weft__dns_count(), 1);
		names_open();
		for (int i = leave; i < MANY; i++)
			T_EQ(finish(t[i]), 1);
		T_EQ(load_relaxed(&names_asked), 1);
		until_none_is_left();
	}
	T_EQ(asks("stuck.test"), 1); /* and whoever comes later asks anew */
	T_EQ(load_relaxed(&names_asked), 2);
	return 0;
}

/* Many ask for the same: one lookup, whoever of them leaves meanwhile. */
TEST_WORKERS(one_lookup_for_all)
{
	names_begin();
	run(share_main, NULL);
}

static int asks_six(void *arg)
{
	weft_addr *a;
	int n = weft_dns_resolve(&a, arg, "80", &(weft_dns_opts){.family = AF_INET6});

	weft_dns_free(a);
	return n;
}

static int asks_service(void *arg)
{
	weft_addr *a;
	int n = weft_dns_resolve(&a, arg, "http", NULL);

	weft_dns_free(a);
	return n;
}

static int apart_main(void *arg)
{
	weft_task_fn *const fns[] = {asks_task, asks_six, asks_service};
	weft_task *t[ARRAY_LEN(fns)];

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(fns); i++) {
		t[i] = start(fns[i], (void *)"stuck.test");
		until_reason(t[i], "name");
	}
	until(load_relaxed(&names_stuck) >= 2);
	names_open();
	T_EQ(finish(t[0]), 1);
	T_EQ(finish(t[1]), WEFT_EAI_NODATA);
	T_EQ(finish(t[2]), 1);
	return 0;
}

/* Another family or service is another question. */
TEST_WORKERS(other_questions)
{
	names_begin();
	run(apart_main, NULL);
}

static int error_shared_main(void *arg)
{
	weft_task *t[MANY];

	(void)arg;
	for (int i = 0; i < MANY; i++)
		t[i] = start(asks_six, (void *)"stuck.test");
	for (int i = 0; i < MANY; i++)
		until_reason(t[i], "name");
	names_open();
	for (int i = 0; i < MANY; i++)
		T_EQ(finish(t[i]), WEFT_EAI_NODATA);
	return 0;
}

/* An error is shared as well. */
TEST_WORKERS(one_error_for_all)
{
	names_begin();
	run(error_shared_main, NULL);
}

/* As many stuck lookups, each of another name, as the lane has threads, and some that wait for one. */
static int fill_lane(weft_task **t, int n, char (*hosts)[32])
{
	for (int i = 0; i < n; i++) {
		snprintf(hosts[i], sizeof hosts[i], "stuck%d.test", i);
		t[i] = sticks(hosts[i]);
	}
	return n;
}

static int withdrawn_main(void *arg)
{
	static char hosts[MANY][32];
	weft_task *t[MANY], *more[10];

	(void)arg;
	names_say("late.test", "192.0.2.1");
	fill_lane(t, MANY, hosts);
	T_GT(weft__offload_lane_queued(LANE_DNS), 0);
	for (int i = 0; i < 10; i++)
		more[i] = sticks("late.test");
	store_relaxed(&names_asked, 0); /* nobody asks now: all threads stick */
	for (int i = 0; i < 9; i++) {   /* whoever leads leaves before it has begun; somebody else takes over */
		weft_task_cancel(more[i]);
		T_EQ(finish(more[i]), WEFT_ECANCELED);
		until_reason(more[9], "name");
	}
	names_open();
	T_EQ(finish(more[9]), 1);
	for (int i = 0; i < MANY; i++)
		T_EQ(finish(t[i]), 1);
	until_none_is_left();
	return 0;
}

/* A lookup that has not begun when its leader leaves is led by one who followed. */
TEST_WORKERS(leader_leaves_before_it_begins)
{
	names_begin();
	run(withdrawn_main, NULL);
}

struct mob {
	ATOMIC(bool) stop;
	ATOMIC(long) calls, answered, left;
};

static int mob_task(void *arg)
{
	struct mob *m = arg;
	struct rng r;
	long n = tap_iters(300);

	rng_seed(&r, 11, weft_task_id(NULL));
	for (long i = 0; i < n; i++) {
		static const char *const hosts[] = {"a.test", "b.test", "none.test"};
		uint32_t which = rng_below(&r, 3);
		int64_t deadline = rng_below(&r, 2) ? WEFT_FOREVER : weft_now() + (int64_t)rng_below(&r, 60) * WEFT_US;
		weft_addr *a;
		int rc = weft_dns_resolve_until(&a, hosts[which], "1", NULL, deadline);

		if (rc == WEFT_ETIMEDOUT) {
			T_NE(deadline, WEFT_FOREVER);
			add_relaxed(&m->left, 1);
		} else {
			T_EQ(rc, which == 2 ? WEFT_EAI_NONAME : (int)which + 1);
			add_relaxed(&m->answered, 1);
		}
		weft_dns_free(a);
	}
	return 0;
}

static void *mob_outside(void *arg)
{
	(void)arg;
	for (int i = 0; i < 50; i++) {
		T_EQ(asks("a.test"), 1);
		T_EQ(asks("none.test"), WEFT_EAI_NONAME);
	}
	return NULL;
}

static int mob_main(void *arg)
{
	struct mob m = {.calls = 0};
	weft_task *t[20];
	pthread_t th;

	(void)arg;
	T_EQ(pthread_create(&th, NULL, mob_outside, &m), 0);
	for (int i = 0; i < 20; i++)
		t[i] = start(mob_task, &m);
	for (int i = 0; i < 20; i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(pthread_join(th, NULL), 0); /* it waits for nobody */
	until_none_is_left();
	tap_note("%ld answered, %ld left, %d lookups", load_relaxed(&m.answered), load_relaxed(&m.left), load_relaxed(&names_asked));
	return 0;
}

/* Tasks lead, follow and leave at random, and a thread asks between them: who stays is answered, and nothing is left. */
TEST_WORKERS(mob)
{
	names_begin();
	names_say("a.test", "192.0.2.1");
	names_say("b.test", "192.0.2.1 192.0.2.2");
	run(mob_main, NULL);
}

/* --- lanes --- */

struct other {
	struct job job;
	ATOMIC(bool) done;
};

static void other_run(struct job *j)
{
	store_release(&container_of(j, struct other, job)->done, true);
}

static int lanes_main(void *arg)
{
	static char hosts[MANY][32];
	weft_task *t[MANY];

	(void)arg;
	fill_lane(t, MANY, hosts);
	until(load_relaxed(&names_stuck) > 0);
	for (int i = 0; i < LANES; i++) {
		struct other o = {.job.run = other_run};

		if (i == LANE_DNS)
			continue;
		T_EQ(weft__offload((enum lane)i, &o.job, REASON_IO, weft_in(60 * WEFT_SEC)), 0);
		T_OK(load_acquire(&o.done));
	}
	T_EQ(asks("127.0.0.1"), 1);
	T_EQ(asks("localhost"), 2);
	T_GT(load_relaxed(&names_stuck), 0);
	names_open();
	for (int i = 0; i < MANY; i++)
		T_EQ(finish(t[i]), 1);
	return 0;
}

/* A hundred lookups that stick keep neither files nor users' blocking calls waiting, nor addresses. */
TEST_WORKERS(stuck_names_stop_nothing_else)
{
	names_begin();
	run(lanes_main, NULL);
}

/* --- the runtime goes down --- */

static int leaves_lookups_main(void *arg)
{
	(void)arg;
	for (int i = 0; i < 3; i++)
		weft_task_detach(sticks("stuck.test"));
	until(load_relaxed(&names_stuck) == 1);
	return 0;
}

static int asks_again_main(void *arg)
{
	(void)arg;
	T_EQ(load_relaxed(&names_stuck), 1);
	T_EQ(asks("quick.test"), 1);
	weft_task *t = sticks("stuck.test"); /* follows nobody of the run before */

	until(load_relaxed(&names_stuck) == 2);
	names_open();
	T_EQ(finish(t), 1);
	return 0;
}

static int returns_main(void *arg)
{
	(void)arg;
	return 0;
}

/* A lookup that sticks does not keep the runtime; it ends behind the back of the next one, which is not told its answer. */
TEST_WORKERS(left_in_the_middle)
{
	ends_with_main();
	tap_leaky(); /* tasks that never run again own their part of it */
	names_begin();
	names_say("quick.test", "192.0.2.1");
	T_EQ(weft_run(leaves_lookups_main, NULL, &(weft_opts){.workers = tap_workers()}), 0);
	nothing_left();
	T_EQ(weft_run(asks_again_main, NULL, &(weft_opts){.workers = tap_workers()}), 0);
	nothing_left();
	until(load_relaxed(&names_stuck) == 0);
	until(weft__offload_lane_threads(LANE_DNS) == 0);
	/* Joins them: at the end of the process TSan looks for threads that nobody has joined before the library's own destructor does. */
	T_EQ(weft_run(returns_main, NULL, NULL), 0);
}

/* --- threads --- */

static void *asks_outside(void *arg)
{
	(void)arg;
	T_STR_EQ(found("two.test", "80", NULL), "192.0.2.1:80 [2001:db8::1]:80");
	return NULL;
}

static int threads_main(void *arg)
{
	pthread_t th;

	(void)arg;
	T_EQ(pthread_create(&th, NULL, asks_outside, NULL), 0);
	T_EQ(pthread_join(th, NULL), 0); /* it needs no worker */
	return 0;
}

/* A thread that weft did not make asks by itself, with a runtime and without. */
TEST_WORKERS(foreign_thread)
{
	weft_addr *a;

	names_begin();
	names_say("two.test", "192.0.2.1 2001:db8::1");
	run(threads_main, NULL);
	asks_outside(NULL);
	T_EQ(weft_dns_resolve_until(&a, "two.test", "80", NULL, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_dns_resolve_until(&a, "two.test", "80", NULL, weft_now() - 1), WEFT_ETIMEDOUT);
	T_EQ(weft__dns_count(), 0);
}

/* --- the system's resolver --- */

/* A name of /etc/hosts, other than localhost. */
static bool own_name(char *name)
{
	char line[512], at[128];
	FILE *f = fopen("/etc/hosts", "re");
	bool have = false;

	while (f && !have && fgets(line, sizeof line, f))
		have = sscanf(line, "%127[0-9.] %127[a-zA-Z0-9.-]", at, name) == 2 && strcmp(name, "localhost") != 0;
	if (f)
		fclose(f);
	return have;
}

static int system_main(void *arg)
{
	struct dns_query q = {.host = "localhost", .family = AF_INET};
	char name[128], want[NI_MAXHOST];
	struct dns_answer ans = {.n = 0};
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *res;
	struct servent *s;
	weft_addr a;
	int rc;

	(void)arg;
	T_EQ(weft__dns_system(&q, &ans), 0); /* which the calls below do not ask for localhost */
	T_GE(ans.n, 1);
	T_EQ(ans.addrs[0].v4.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	free(ans.addrs);
	if (own_name(name)) {
		weft_addr *all;
		int n = weft_dns_resolve(&all, name, "80", NULL), i = 0;

		tap_note("%s", name);
		T_GT(n, 0);
		T_EQ(getaddrinfo(name, "80", &hints, &res), 0);
		for (struct addrinfo *r = res; r && i < n; r = r->ai_next) { /* the same, in the same order */
			if (memcmp(r->ai_addr, &all[i], r->ai_addrlen) == 0)
				i++;
		}
		T_EQ(i, n);
		freeaddrinfo(res);
		weft_dns_free(all);
	}
	T_EQ(weft_addr_parse(&a, "127.0.0.1:80"), 0);
	rc = getnameinfo(&a.sa, sizeof a.v4, want, sizeof want, NULL, 0, NI_NAMEREQD);
	if (rc == 0) {
		char got[WEFT_DNS_NAME];

		T_EQ(weft_dns_reverse(&a, got, sizeof got), (int)strlen(want));
		T_STR_EQ(got, want);
	}
	s = getservbyname("http", "tcp");
	if (s) {
		T_STR_EQ(found("192.0.2.1", "http", NULL), "192.0.2.1:80");
		T_STR_EQ(found("192.0.2.1", "no-such-service", NULL), "-3010");
	}
	if (getservbyname("tftp", "udp") && !getservbyname("tftp", "tcp"))
		T_STR_EQ(found("192.0.2.1", "tftp", NULL), "192.0.2.1:69");
	return 0;
}

/* --- what /etc/hosts has said --- */

static int kept_now(void *arg)
{
	weft_addr *a;

	(void)arg;
	weft_task_cancel(weft_task_self());
	T_EQ(weft_dns_resolve(&a, "kept.test", "80", NULL), WEFT_ECANCELED);
	return 0;
}

static int kept_main(void *arg)
{
	weft_addr *a;

	(void)arg;
	time_fake();
	T_STR_EQ(found("kept.test", "80", NULL), "192.0.2.1:80 [2001:db8::1]:80");
	T_EQ(load_relaxed(&names_asked), 1);
	time_move(DNS_KEEP_NS - 1);
	T_STR_EQ(found("kept.test", "81", NULL), "192.0.2.1:81 [2001:db8::1]:81"); /* the port is the caller's */
	T_EQ(weft_dns_resolve_until(&a, "kept.test", "80", NULL, WEFT_NOW), 2);
	weft_dns_free(a);
	T_EQ(weft_dns_resolve_until(&a, "kept.test", "80", NULL, weft_now() - 1), WEFT_ETIMEDOUT);
	finish(start(kept_now, NULL));
	T_EQ(load_relaxed(&names_asked), 1);
	T_EQ(weft__dns_count(), 1);
	time_move(1); /* from the time it was asked for */
	T_EQ(weft_dns_resolve_until(&a, "kept.test", "80", NULL, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft__dns_count(), 0);
	T_STR_EQ(found("kept.test", "80", NULL), "192.0.2.1:80 [2001:db8::1]:80");
	T_EQ(load_relaxed(&names_asked), 2);
	T_STR_EQ(found("kept.test", "80", &(weft_dns_opts){.family = AF_INET6}), "[2001:db8::1]:80"); /* another question */
	T_EQ(load_relaxed(&names_asked), 3);
	T_STR_EQ(found("kept.test", "http", NULL), "192.0.2.1:80 [2001:db8::1]:80");
	T_EQ(load_relaxed(&names_asked), 4);
	T_STR_EQ(found("none.test", "80", NULL), "-3001"); /* what went wrong is not kept */
	T_STR_EQ(found("none.test", "80", NULL), "-3001");
	T_EQ(load_relaxed(&names_asked), 6);
	T_STR_EQ(found("two.test", "80", NULL), "192.0.2.2:80"); /* nor what came from elsewhere */
	T_STR_EQ(found("two.test", "80", NULL), "192.0.2.2:80");
	T_EQ(load_relaxed(&names_asked), 8);
	return 0;
}

static int kept_later(void *arg)
{
	int asked = load_relaxed(&names_asked);

	(void)arg;
	T_STR_EQ(found("kept.test", "80", NULL), "192.0.2.1:80 [2001:db8::1]:80");
	T_EQ(load_relaxed(&names_asked), asked + 1);
	return 0;
}

/* An answer of /etc/hosts is given again for five seconds, to the same question, in the same run; to nobody who may not wait any more. */
TEST_WORKERS(hosts_are_kept)
{
	names_begin();
	names_say("kept.test", "192.0.2.1 2001:db8::1");
	names_keep("kept.test");
	names_fail("none.test", WEFT_EAI_AGAIN);
	names_keep("none.test");
	names_say("two.test", "192.0.2.2");
	run(kept_main, NULL);
	run(kept_later, NULL);
}

static bool gave(const char *order, const char *hosts, const char *name, const char *addrs)
{
	weft_addr a[4];
	char copy[256], *save, *text;
	int n = 0;

	put("order", order);
	put("hosts", hosts);
	snprintf(copy, sizeof copy, "%s", addrs);
	for (text = strtok_r(copy, " ", &save); text; text = strtok_r(NULL, " ", &save))
		T_EQ(weft__addr_known(&a[n++], text, AF_UNSPEC, false), 1);
	return weft__hosts_gave(name, a, n);
}

/* When an answer can only have come from /etc/hosts. */
TEST(whose_answer)
{
	static const char files[] = "passwd: files\n# hosts: dns\nhosts:\tfiles dns # and more\n";
	static const char hosts[] = "127.0.0.1 localhost\n# 192.0.2.9 a.test\n192.0.2.1\ta.test  b.test\t#c.test\n2001:db8::1 B.test "
				    "a.test\n\n 192.0.2.2 d.test";
	static char big[40000];

	weft__hosts_order = strdup(in("order"));
	weft__hosts_file = strdup(in("hosts"));
	T_OK(!weft__hosts_gave("a.test", NULL, 0)); /* no such files */
	T_OK(gave(files, hosts, "a.test", "192.0.2.1"));
	T_OK(gave(files, hosts, "A.TEST", "192.0.2.1 2001:db8::1"));
	T_OK(gave(files, hosts, "b.test", "2001:db8:0::1"));
	T_OK(gave(files, hosts, "d.test", "192.0.2.2"));
	T_OK(!gave(files, hosts, "a.test", ""));
	T_OK(!gave(files, hosts, "a.test", "192.0.2.1 192.0.2.2"));
	T_OK(!gave(files, hosts, "a.test", "192.0.2.9"));
	T_OK(!gave(files, hosts, "c.test", "192.0.2.1"));
	T_OK(!gave(files, hosts, "a.test.", "192.0.2.1"));
	T_OK(!gave(files, hosts, "192.0.2.1", "192.0.2.1"));
	T_OK(gave("hosts: files", hosts, "a.test", "192.0.2.1"));
	T_OK(!gave("hosts: dns files\n", hosts, "a.test", "192.0.2.1"));
	T_OK(!gave("hosts: files\nhosts: dns\n", hosts, "a.test", "192.0.2.1"));
	T_OK(!gave("hosts:\n", hosts, "a.test", "192.0.2.1"));
	T_OK(!gave("", hosts, "a.test", "192.0.2.1"));
	T_OK(!gave(files, "", "a.test", "192.0.2.1"));
	memset(big, '\n', sizeof big - 1);
	memcpy(big, hosts, sizeof hosts - 1);
	T_OK(!gave(files, big, "a.test", "192.0.2.1"));
	free((char *)weft__hosts_order);
	free((char *)weft__hosts_file);
}

/* What the system's own resolver says of this machine. */
TEST_WORKERS(the_systems)
{
	run(system_main, NULL);
}
