/* SPDX-License-Identifier: MIT
 *
 * sigcatch.c - the signal handler, and the dispositions that it takes the place of. See sigcatch.h.
 *
 * Not here: who is told (serve/signal.c), faults (core/overflow.c), the dump on SIGQUIT (core/monitor.c), which is no handler of the program's, and is not called
 * while the signal is caught.
 */
#include "io/sigcatch.h"

#include "core/runtime.h"
#include "weft/error.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

enum { THEIRS, CAUGHT, IGNORED };

weft_waker *weft__sig_waker;

static ATOMIC(uint64_t) arrived; /* bits; the handler sets them */
static struct disposition {
	unsigned users;
	uint8_t state;           /* drawn in sigcatch.h */
	struct sigaction theirs; /* valid unless THEIRS */
	/* Their handler, in the one if it takes three arguments, in the other if it takes one; 0: none. Ours may be running while they change: it calls none in the wrong way. */
	ATOMIC(uintptr_t) chain_info, chain;
} dispositions[SIGNALS + 1];

uint64_t weft__sig_take(void)
{
	return swap_acq_rel(&arrived, (uint64_t)0); /* pairs with the handler's compare-and-swap */
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
	struct disposition *d = &dispositions[sig];
	uintptr_t chain = load_acquire(&d->chain);           /* pairs with store_release in take_over */
	uintptr_t chain_info = load_acquire(&d->chain_info); /* the same */
	uint64_t was = load_relaxed(&arrived);               /* checked by the compare-and-swap */
	int saved = errno;

	while (!cas_acq_rel(&arrived, &was, was | SIG_BIT(sig))) /* pairs with the swap in weft__sig_take */
		;
	weft_waker_wake(weft__sig_waker);
	if (chain_info)
		((void (*)(int, siginfo_t *, void *))chain_info)(sig, info, context);
	else if (chain)
		((void (*)(int))chain)(sig);
	errno = saved;
}

bool weft__sig_may(int sig)
{
	switch (sig) {
	case SIGKILL:
	case SIGSTOP:
	case SIGSEGV:
	case SIGBUS:
	case SIGFPE:
	case SIGILL:
	case SIGTRAP:
	case SIGABRT:
	case SIGSYS:
		return false;
	default:
		return sig > 0 && sig <= SIGNALS && (sig <= 31 || sig >= SIGRTMIN) &&
		       sig != load_relaxed(&weft__hooks.open_signal); /* a number */
	}
}

/* The counter would be the parent's, too: who reads it takes the other's wake-up. What has arrived before was the parent's. */
static void in_child(void)
{
	store_relaxed(&arrived, (uint64_t)0); /* there is one thread */
	if (weft__waker_renew(weft__sig_waker) == 0)
		weft_waker_wake(weft__sig_waker); /* for what came in between */
}

static int make_waker(void)
{
	weft_waker *w;
	int rc = weft_waker_make(&w);

	if (rc)
		return rc;
	rc = -pthread_atfork(NULL, NULL, in_child);
	if (rc) {
		weft_waker_free(w);
		return rc;
	}
	weft__sig_waker = w;
	return 0;
}

/* Remembers what there is, whoever is about to replace it. */
static int take_over(int sig)
{
	struct disposition *d = &dispositions[sig];
	bool info;
	uintptr_t chain;

	if (d->state != THEIRS)
		return 0;
	if (sigaction(sig, NULL, &d->theirs))
		return -errno;
	if (sig == SIGQUIT && weft__quit_is_default(&d->theirs))
		d->theirs = (struct sigaction){.sa_handler = SIG_DFL};
	info = d->theirs.sa_flags & SA_SIGINFO;
	chain = info ? (uintptr_t)d->theirs.sa_sigaction : (uintptr_t)d->theirs.sa_handler;
	if (!info && (d->theirs.sa_handler == SIG_DFL || d->theirs.sa_handler == SIG_IGN))
		chain = 0;
	store_release(&d->chain, info ? 0 : chain);      /* pairs with load_acquire in on_signal */
	store_release(&d->chain_info, info ? chain : 0); /* the same */
	return 0;
}

static int put_back(int sig)
{
	struct disposition *d = &dispositions[sig];

	if (d->state == THEIRS)
		return 0;
	d->state = THEIRS;
	if (sig == SIGQUIT && weft__quit_is_default(&d->theirs)) {
		weft__quit_default();
		return 0;
	}
	return sigaction(sig, &d->theirs, NULL) ? -errno : 0;
}

int weft__sig_catch(int sig)
{
	struct disposition *d = &dispositions[sig];
	struct sigaction sa;
	int rc;

	if (d->users) {
		d->users++;
		return 0;
	}
	rc = weft__sig_waker ? 0 : make_waker();
	if (!rc)
		rc = take_over(sig);
	if (rc)
		return rc;
	memset(&sa, 0, sizeof sa);
	sa.sa_sigaction = on_signal;
	sa.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
	sa.sa_mask = d->theirs.sa_mask; /* for their handler */
	if (sigaction(sig, &sa, NULL))
		return -errno;
	d->state = CAUGHT;
	d->users = 1;
	return 0;
}

void weft__sig_leave(int sig)
{
	if (--dispositions[sig].users == 0)
		(void)put_back(sig);
}

int weft__sig_ignore(int sig)
{
	struct disposition *d = &dispositions[sig];
	int rc = take_over(sig);

	d->users = 0;
	if (rc)
		return rc;
	if (sigaction(sig, &(struct sigaction){.sa_handler = SIG_IGN}, NULL))
		return -errno;
	d->state = IGNORED;
	return 0;
}

int weft__sig_reset(int sig)
{
	dispositions[sig].users = 0;
	return put_back(sig);
}
