/* SPDX-License-Identifier: MIT
 *
 * sigquit.c - runtimes come up and go down while a thread asks for SIGQUIT: whoever looks at a disposition and then changes it is not overtaken in between.
 *
 * The linker wraps sigaction (test/meson.build): whoever has looked at SIGQUIT's waits a little for the other to come in between.
 */
#include "rt.h"

#include "weft/signal.h"
#include <pthread.h>
#include <signal.h>
#include <time.h>

#define ROUNDS 20

static ATOMIC(uint32_t) changes; /* of SIGQUIT's disposition */
static ATOMIC(bool) over;

int __real_sigaction(int sig, const struct sigaction *sa, struct sigaction *old);
int __wrap_sigaction(int sig, const struct sigaction *sa, struct sigaction *old);

int __wrap_sigaction(int sig, const struct sigaction *sa, struct sigaction *old)
{
	int rc = __real_sigaction(sig, sa, old);

	if (sig != SIGQUIT)
		return rc;
	if (sa) {
		add_relaxed(&changes, 1u); /* a count */
	} else {
		uint32_t seen = load_relaxed(&changes);

		for (int i = 0; i < 20 && load_relaxed(&changes) == seen; i++) /* who is right waits in vain */
			nanosleep(&(struct timespec){0, 100000}, NULL);
	}
	return rc;
}

static struct sigaction quit_now(void)
{
	struct sigaction sa;

	T_EQ(__real_sigaction(SIGQUIT, NULL, &sa), 0);
	return sa;
}

static void *asks(void *arg)
{
	weft_chan *c = weft_chan_make(sizeof(int), 1);

	(void)arg;
	while (!load_acquire(&over)) {
		T_EQ(weft_signal_notify(c, SIGQUIT), 0);
		for (int i = 0; i < 20; i++) { /* it stays caught, whatever comes up or goes down */
			T_OK(quit_now().sa_flags & SA_SIGINFO);
			nanosleep(&(struct timespec){0, 10000}, NULL);
		}
		T_EQ(weft_signal_stop(c), 0);
	}
	weft_chan_free(c);
	return NULL;
}

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

TEST_WORKERS(comes_and_goes_while_it_is_caught)
{
	weft_opts o = {.workers = tap_workers()};
	pthread_t t;

	signal(SIGQUIT, SIG_DFL);
	T_EQ(pthread_create(&t, NULL, asks, NULL), 0);
	for (long i = tap_iters(ROUNDS); i > 0; i--)
		T_EQ(weft_run(nothing, NULL, &o), 0);
	store_release(&over, true); /* pairs with load_acquire in asks */
	T_EQ(pthread_join(t, NULL), 0);
	T_OK(quit_now().sa_handler == SIG_DFL); /* nobody's handler has stayed */
}
