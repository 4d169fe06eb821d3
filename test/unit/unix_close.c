/* SPDX-License-Identifier: MIT
 *
 * unix_close.c - two close a Unix listener while one of them is just removing its file: neither returns before the file is gone, and it is removed once.
 *
 * The linker wraps unlink (test/meson.build): whoever removes the file waits a little for the other's close to return.
 */
#include "rt.h"

#include "weft/unix.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char place[80], path[128];
static ATOMIC(uint32_t) removed; /* how often, in this round */
static ATOMIC(bool) held;        /* somebody is in unlink */
static ATOMIC(bool) returned;    /* the other's close has returned */

int __real_unlink(const char *p);
int __wrap_unlink(const char *p);

int __wrap_unlink(const char *p)
{
	if (strcmp(p, path) == 0) {
		add_relaxed(&removed, 1u);                               /* a count */
		store_release(&held, true);                              /* pairs with load_acquire in closes_too */
		for (int i = 0; i < 20 && !load_acquire(&returned); i++) /* who is right waits in vain */
			nanosleep(&(struct timespec){0, 100000}, NULL);
	}
	return __real_unlink(p);
}

static bool exists(const char *p)
{
	struct stat st;

	return lstat(p, &st) == 0;
}

struct closer {
	weft_unix_listener *l;
	bool left; /* it found the file when its close had returned */
	int rc;
};

/* A thread of its own: whoever is in unlink blocks the only worker. */
static void *closes_too(void *arg)
{
	struct closer *k = arg;

	while (!load_acquire(&held)) /* pairs with store_release in __wrap_unlink */
		nanosleep(&(struct timespec){0, 10000}, NULL);
	k->rc = weft_unix_listener_close(k->l);
	k->left = exists(path);
	store_release(&returned, true); /* pairs with load_acquire in __wrap_unlink */
	return NULL;
}

static int close_main(void *arg)
{
	(void)arg;
	for (long i = tap_iters(20); i > 0; i--) {
		struct closer k = {.rc = 1};
		pthread_t t;
		int rc;

		store_relaxed(&removed, 0u); /* ordered by the thread's start, those below as well */
		store_relaxed(&held, false);
		store_relaxed(&returned, false);
		T_EQ(weft_unix_listen(&k.l, path, NULL), 0);
		(void)weft_unix_listener_ref(k.l);
		T_EQ(pthread_create(&t, NULL, closes_too, &k), 0);
		rc = weft_unix_listener_close(k.l);
		T_OK(!exists(path));
		until(load_acquire(&returned)); /* pairs with store_release in closes_too */
		T_EQ(pthread_join(t, NULL), 0);
		T_OK(!k.left);
		T_EQ(rc + k.rc, WEFT_ECLOSED); /* one of them was the first */
		T_EQ(load_relaxed(&removed), 1);
	}
	return 0;
}

TEST_WORKERS(neither_returns_before_the_file_is_gone)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(place, sizeof place, "%s/weft-close-XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	T_OK(mkdtemp(place));
	snprintf(path, sizeof path, "%s/s", place);
	run(close_main, NULL);
	T_EQ(rmdir(place), 0);
}
