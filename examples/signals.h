/* SPDX-License-Identifier: MIT
 *
 * signals.h - how the example servers end: SIGINT or SIGTERM closes the listener, which ends the loop around accept.
 *
 * Until weft has signals of its own they are read from a signalfd. They must be blocked before weft_run, for its threads inherit that; so these
 * programs have a main of their own instead of WEFT_MAIN.
 */
#ifndef SIGNALS_H
#define SIGNALS_H

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <weft.h>

/* Blocks the signals and returns a descriptor to wait for them, or -1 and errno. Call it in main, before weft_run. */
static inline int signals_open(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return -1;
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* Waits for one of them. Returns its number, or a negative code. */
static inline int signals_wait(int fd)
{
	struct signalfd_siginfo info;

	for (;;) {
		int rc = io_wait(fd, IO_R);

		if (rc < 0)
			return rc;
		if (read(fd, &info, sizeof info) == (ssize_t)sizeof info)
			return (int)info.ssi_signo;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
}

/* A task that waits for a signal and then closes the listener. Private fields. */
struct stopper {
	int signals;
	tcp_listener *listener; /* a reference of its own */
	task *task;
};

static inline int stopper_main(void *arg)
{
	struct stopper *s = arg;
	int rc = signals_wait(s->signals);

	if (rc < 0 && rc != WEFT_ECANCELED)
		fprintf(stderr, "waiting for signals: %s\n", weft_strerror(rc));
	tcp_listener_close(s->listener);
	return 0;
}

/* Returns 0; or a negative code, after which there is nothing to end. */
static inline int stopper_start(struct stopper *s, int signals, tcp_listener *l)
{
	int rc;

	s->signals = signals;
	s->listener = tcp_listener_ref(l);
	rc = go_opts(&s->task, stopper_main, s, NULL);
	if (rc != 0)
		tcp_listener_close(s->listener);
	return rc;
}

/* Whether or not a signal came. */
static inline void stopper_end(struct stopper *s)
{
	task_cancel(s->task);
	task_join(s->task, NULL);
}

#endif
