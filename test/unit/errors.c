/* SPDX-License-Identifier: MIT
 *
 * errors.c - error chains: what they say, to whom they belong, and what is left of them when memory is short.
 */
#include "rt.h"

#include "failpoint.h"
#include "weft/errors.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* --- what they say --- */

TEST(says_what_it_was_made_with)
{
	int line = -1, here = __LINE__ + 1;
	weft_err *e = weft_err_new(WEFT_ENOENT, "open %s, try %d", "config", 3);

	T_EQ(weft_err_code(e), WEFT_ENOENT);
	T_STR_EQ(weft_err_message(e), "open config, try 3");
	T_STR_EQ(weft_err_where(e, &line), __FILE__);
	T_EQ(line, here);
	T_OK(weft_err_where(e, NULL) != NULL);
	T_EQ(weft_err_task(e), 0);
	T_EQ(weft_err_cause(e), NULL);
	T_OK(weft_err_is(e, WEFT_ENOENT));
	T_OK(!weft_err_is(e, WEFT_ENOMEM));
	weft_err_free(e);
}

TEST(no_error_is_null)
{
	char text[4] = "abc";
	int line = 7;

	T_EQ(weft_err_code(NULL), 0);
	T_OK(!weft_err_is(NULL, 0));
	T_EQ(weft_err_cause(NULL), NULL);
	T_STR_EQ(weft_err_message(NULL), "");
	T_EQ(weft_err_where(NULL, &line), NULL);
	T_EQ(line, 0);
	T_EQ(weft_err_task(NULL), 0);
	T_EQ(weft_err_format(NULL, text, sizeof text), 0);
	T_STR_EQ(text, "");
	T_EQ(weft_err_print(NULL, STDOUT_FILENO), WEFT_EINVAL);
	T_EQ(weft_err_ref(NULL), NULL);
	weft_err_free(NULL);
	T_EQ(weft_err_wrap(NULL, WEFT_EPIPE, "nothing happened"), NULL);
	T_EQ(weft_err_of(0), NULL);
	T_EQ(weft_err_of(12), NULL); /* a count */
}

TEST(wraps)
{
	weft_err *e = weft_err_new(WEFT_ENOENT, "open");
	const weft_err *c = e;

	e = weft_err_wrap(e, 0, "load");
	T_EQ(weft_err_code(e), WEFT_ENOENT);
	T_EQ(weft_err_cause(e), c);
	e = weft_err_wrap(e, WEFT_ECANCELED, "start");
	T_EQ(weft_err_code(e), WEFT_ECANCELED);
	T_OK(weft_err_is(e, WEFT_ENOENT)); /* anywhere in the chain */
	T_OK(weft_err_is(e, WEFT_ECANCELED));
	T_OK(!weft_err_is(e, WEFT_EPIPE));
	T_EQ(weft_err_cause(weft_err_cause(weft_err_cause(e))), NULL);
	weft_err_free(e);
}

static weft_err *inner(int rc)
{
	WEFT_ERR_TRY(weft_err_of(rc));
	return weft_err_new(WEFT_EBUSY, "it went on");
}

TEST(try_returns_an_error)
{
	weft_err *e = inner(WEFT_EPIPE);

	T_EQ(weft_err_code(e), WEFT_EPIPE);
	T_STR_EQ(weft_err_message(e), weft_strerror(WEFT_EPIPE));
	weft_err_free(e);
	e = inner(0);
	T_EQ(weft_err_code(e), WEFT_EBUSY);
	weft_err_free(e);
}

static weft_err *fail_at(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static weft_err *fail_at(const char *fmt, ...)
{
	weft_err *e;
	va_list ap;

	va_start(ap, fmt);
	e = weft_err_vmake(weft_err_of(WEFT_EPIPE), WEFT_EBUSY, "a/b/own.c", 12, fmt, ap);
	va_end(ap);
	return e;
}

TEST(as_text)
{
	weft_err *e = fail_at("send %d", 5);
	char text[400], part[10], line[100];
	size_t n;

	snprintf(line, sizeof line, "send 5: %s (own.c:12)\n  caused by: %s (errors.c:", weft_strerror(WEFT_EBUSY),
		 weft_strerror(WEFT_EPIPE));
	n = weft_err_format(e, text, sizeof text);
	T_EQ(n, strlen(text));
	T_EQ(strncmp(text, line, strlen(line)), 0);
	T_EQ(weft_err_format(e, NULL, 0), n);
	T_EQ(weft_err_format(e, part, sizeof part), n); /* as snprintf: cut and terminated */
	T_EQ(strlen(part), sizeof part - 1);
	T_EQ(strncmp(part, text, sizeof part - 1), 0);
	T_EQ(weft_err_format(e, part, 1), n);
	T_STR_EQ(part, "");
	for (size_t i = 1; i <= n + 1; i++) { /* wherever it is cut */
		char *exact = malloc(i);

		T_EQ(weft_err_format(e, exact, i), n);
		T_EQ(strlen(exact), i - 1);
		T_EQ(strncmp(exact, text, i - 1), 0);
		free(exact);
	}
	weft_err_free(e);
	/* what the cause says is not said twice; a code of the program's own has no words; one without a place has none */
	e = weft_err_vmake(NULL, -12345, NULL, 0, "own", (va_list){0});
	e = weft_err_wrap(e, 0, "outer");
	weft_err_format(e, text, sizeof text);
	T_STR_HAS(text, "outer (errors.c:");
	T_STR_HAS(text, ")\n  caused by: own: error -12345");
	T_EQ(text[strlen(text) - 1], '5');
	weft_err_free(e);
}

TEST(prints_what_it_formats)
{
	weft_err *e = weft_err_wrap(weft_err_new(WEFT_ENOENT, "open"), WEFT_EPIPE, "load");
	char want[400], got[400];
	int p[2];
	ssize_t n;

	T_EQ(pipe(p), 0);
	T_EQ(weft_err_print(e, p[1]), 0);
	n = read(p[0], got, sizeof got - 1);
	T_GT(n, 0);
	got[n] = '\0';
	weft_err_format(e, want, sizeof want - 1);
	strcat(want, "\n");
	T_STR_EQ(got, want);
	close(p[0]);
	close(p[1]);
	T_EQ(weft_err_print(e, p[1]), WEFT_EBADF);
	weft_err_free(e);
}

TEST(long_messages_are_cut)
{
	char text[WEFT_ERR_MESSAGE_MAX + 100], whole[2000];
	weft_err *e;

	memset(text, 'x', sizeof text);
	for (int len = WEFT_ERR_MESSAGE_MAX - 1; len <= WEFT_ERR_MESSAGE_MAX + 2; len++) {
		e = weft_err_new(WEFT_EPIPE, "%.*s", len, text);
		if (len <= WEFT_ERR_MESSAGE_MAX) {
			T_EQ(strlen(weft_err_message(e)), len);
			T_EQ(weft_err_message(e)[len - 1], 'x');
		} else {
			T_EQ(strlen(weft_err_message(e)), WEFT_ERR_MESSAGE_MAX);
			T_STR_EQ(weft_err_message(e) + WEFT_ERR_MESSAGE_MAX - 4, "x...");
		}
		T_EQ(weft_err_format(e, whole, sizeof whole), strlen(whole));
		T_STR_HAS(whole, "errors.c:");
		weft_err_free(e);
	}
}

/* Freeing, asking and printing are loops: a chain may be longer than any stack. */
TEST(long_chains)
{
	enum { N = 200000 };
	weft_err *e = weft_err_new(WEFT_ENOENT, "first");
	size_t n;

	for (int i = 0; i < N; i++)
		e = weft_err_wrap(e, 0, "turn %d", i);
	T_OK(weft_err_is(e, WEFT_ENOENT));
	T_OK(!weft_err_is(e, WEFT_EPIPE));
	n = weft_err_format(e, NULL, 0);
	T_GT(n, (size_t)N * 20);
	weft_err_free(e);
}

/* --- to whom they belong --- */

TEST(references)
{
	weft_err *cause = weft_err_new(WEFT_ENOENT, "open");
	weft_err *a = weft_err_wrap(weft_err_ref(cause), 0, "a"), *b = weft_err_wrap(weft_err_ref(cause), 0, "b");

	weft_err_free(cause);
	T_EQ(weft_err_cause(a), weft_err_cause(b));
	weft_err_free(a);
	T_STR_EQ(weft_err_message(weft_err_cause(b)), "open");
	a = weft_err_ref(b);
	T_EQ(a, b);
	weft_err_free(b);
	T_STR_EQ(weft_err_message(weft_err_cause(a)), "open");
	weft_err_free(a);
}

enum { THREADS = 4 };

static void *uses(void *arg)
{
	weft_err *e = arg;

	for (long i = 0; i < tap_iters(20000); i++) {
		weft_err *mine = weft_err_wrap(weft_err_ref(e), 0, "%ld", i);

		T_OK(weft_err_is(mine, WEFT_ENOENT));
		T_STR_EQ(weft_err_message(weft_err_cause(mine)), "shared");
		weft_err_free(mine);
	}
	weft_err_free(e);
	return NULL;
}

TEST(threads_share_a_cause)
{
	weft_err *e = weft_err_wrap(weft_err_new(WEFT_ENOENT, "root"), 0, "shared");
	pthread_t t[THREADS];

	for (int i = 0; i < THREADS; i++)
		T_EQ(pthread_create(&t[i], NULL, uses, weft_err_ref(e)), 0);
	weft_err_free(e); /* the last of them frees it */
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
}

struct made {
	weft_err *e;
	uint64_t id;
};

static int makes(void *arg)
{
	struct made *m = arg;

	m->e = weft_err_new(WEFT_EPIPE, "in a task");
	m->id = weft_task_id(NULL);
	return 0;
}

static int tasks_main(void *arg)
{
	struct made m;
	char text[200], want[40];
	weft_err *e;

	(void)arg;
	T_EQ(finish(start(makes, &m)), 0);
	T_EQ(weft_err_task(m.e), m.id);
	e = weft_err_wrap(m.e, 0, "elsewhere");
	T_EQ(weft_err_task(e), weft_task_id(NULL));
	weft_err_format(e, text, sizeof text);
	snprintf(want, sizeof want, ", task %llu)", (unsigned long long)m.id);
	T_STR_HAS(text, want); /* of the cause: it is another's */
	T_OK(strstr(text, "task") > strchr(text, '\n'));
	weft_err_free(e);
	return 0;
}

TEST_WORKERS(say_which_task_made_them)
{
	run(tasks_main, NULL);
}

/* --- no memory --- */

TEST(no_memory)
{
	char text[100];
	int line = 5;
	weft_err *e;

	failpoint_arm(1);
	e = weft_err_new(WEFT_ENOENT, "open");
	failpoint_disarm();
	T_OK(failpoint_fired());
	T_EQ(weft_err_code(e), WEFT_ENOMEM);
	T_STR_EQ(weft_err_message(e), weft_strerror(WEFT_ENOMEM));
	T_EQ(weft_err_where(e, &line), NULL);
	T_EQ(line, 0);
	weft_err_format(e, text, sizeof text);
	T_STR_EQ(text, weft_strerror(WEFT_ENOMEM));
	weft_err_free(weft_err_ref(e));
	weft_err_free(e);
	weft_err_free(e);                         /* it has no owner */
	e = weft_err_wrap(e, WEFT_EPIPE, "load"); /* and can be a cause */
	T_EQ(weft_err_code(e), WEFT_EPIPE);
	T_OK(weft_err_is(e, WEFT_ENOMEM));
	failpoint_arm(1);
	e = weft_err_wrap(e, 0, "start"); /* the cause is given up: LeakSanitizer looks */
	failpoint_disarm();
	T_OK(failpoint_fired());
	T_EQ(weft_err_code(e), WEFT_ENOMEM);
	T_EQ(weft_err_cause(e), NULL);
	failpoint_arm(1);
	T_EQ(weft_err_code(weft_err_of(WEFT_EPIPE)), WEFT_ENOMEM);
	failpoint_disarm();
}
