/* SPDX-License-Identifier: MIT
 *
 * sigreader.c - the task that hands signals on, to channels and to contexts. See sigreader.h.
 */
#include "serve/sigreader.h"

#include "core/lot.h"
#include "io/sigcatch.h"
#include "weft/io.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 96
#define STARVED_NS (50 * MS) /* pause of a reader that found no memory */

struct list weft__subs;
static bool role;          /* a reader has it; under lock, as is the next */
static unsigned role_home; /* number of its runtime */

void weft__sub_free(struct sub *s)
{
	weft_chan_free(s->chan);
	weft_ctx_free(s->again);
	free(s);
}

/* What it offers; cases[0] is the waker's, cases[i] offers[i]. Its own, but not in its frame: that may be abandoned. */
static weft_case *cases;
static struct sub **offers;
static size_t room;

/* Locked. */
static bool make_room(size_t n)
{
	size_t more = n * 2 + 8;
	weft_case *c;
	struct sub **o;

	if (n <= room)
		return true;
	c = realloc(cases, more * sizeof *c);
	if (c)
		cases = c;
	o = c ? realloc(offers, more * sizeof(struct sub *)) : NULL;
	if (!o)
		return false;
	offers = o;
	room = more;
	return true;
}

/* Takes those off that shall stop. Returns them, chained by link.next. Locked. */
static struct sub *take_stopped(void)
{
	struct sub *s = sub_after(NULL), *next, *chain = NULL;

	for (; s; s = next) {
		next = sub_after(s);
		if (!s->stopping)
			continue;
		list_remove(&s->link);
		s->link.next = chain ? &chain->link : NULL;
		chain = s;
	}
	return chain;
}

static void free_chain(struct sub *s)
{
	while (s) {
		struct sub *next = s->link.next ? container_of(s->link.next, struct sub, link) : NULL;

		weft__sub_free(s);
		s = next;
	}
}

/* What has arrived goes to those who want it. Locked. */
static void sort_arrived(void)
{
	uint64_t arrived = weft__sig_take();

	for (struct sub *s = sub_after(NULL); arrived && s; s = sub_after(s))
		s->kept |= arrived & s->want;
}

static void name_of(int sig, char *buf)
{
	const char *name = sigabbrev_np(sig), *what = sigdescr_np(sig);

	if (name && what)
		snprintf(buf, NAME_MAX_BYTES, "SIG%s: %s", name, what);
	else
		snprintf(buf, NAME_MAX_BYTES, "SIGRTMIN+%d", sig - SIGRTMIN);
}

/* A context that is to be cancelled, with a reference, and its `again`, too; NULL: none. Locked. */
static weft_ctx *next_ctx(weft_ctx **again, int *sig)
{
	for (struct sub *s = sub_after(NULL); s; s = sub_after(s)) {
		if (!s->ctx || !s->kept)
			continue;
		*sig = sig_lowest(s->kept);
		s->kept &= ~SIG_BIT(*sig);
		if (!weft__ctx_ref_unless_last(s->ctx))
			continue;
		*again = weft_ctx_ref(s->again);
		return s->ctx;
	}
	return NULL;
}

static void cancel_contexts(void)
{
	char name[NAME_MAX_BYTES];
	weft_ctx *c, *again;
	int sig;

	for (;;) {
		lock_take(&weft__sig_lock, RANK_POOL);
		c = next_ctx(&again, &sig);
		lock_drop(&weft__sig_lock);
		if (!c)
			return;
		name_of(sig, name);
		if (weft_ctx_reason(c) != WEFT_NOT_CANCELED || weft__ctx_cancel_as(c, WEFT_REASON_SIGNAL, name))
			(void)weft__ctx_cancel_as(again, WEFT_REASON_SIGNAL, name);
		weft_ctx_free(again);
		weft_ctx_free(c);
	}
}

/* Takes what it will offer in hand. Returns the number of cases; 0: nobody is left, and the role is given up. *starved: not all could be offered. */
static int take_in_hand(bool *starved)
{
	struct sub *stopped;
	size_t n = 1;

	*starved = false;
	lock_take(&weft__sig_lock, RANK_POOL);
	sort_arrived();
	stopped = take_stopped();
	if (!make_room(n))
		*starved = true;
	for (struct sub *s = sub_after(NULL); s && !*starved; s = sub_after(s)) {
		if (!s->chan || !s->kept)
			continue;
		if (!make_room(n + 1)) {
			*starved = true;
			break;
		}
		s->offered = sig_lowest(s->kept);
		offers[n] = s;
		cases[n++] = WEFT_SEND(s->chan, &s->offered);
	}
	if (!sub_after(NULL)) {
		role = false;
		n = 0;
	}
	lock_drop(&weft__sig_lock);
	if (stopped) {
		free_chain(stopped);
		weft__lot_wake_all(weft__worker(), &weft__subs, 0);
	}
	return (int)n;
}

/* The select is over: at is the case that fired, or an error. */
static void put_out_of_hand(int n, int at)
{
	lock_take(&weft__sig_lock, RANK_POOL);
	for (int i = 1; i < n; i++) {
		struct sub *s = offers[i];

		if (i == at && cases[i].status == 0)
			s->kept &= ~SIG_BIT(s->offered);
		else if (i == at && (cases[i].status == WEFT_ECLOSED || cases[i].status == WEFT_EPIPE))
			s->kept = 0;
		s->offered = 0;
	}
	lock_drop(&weft__sig_lock);
}

static void reader(void)
{
	bool mine, starved;
	int n, at;

	lock_take(&weft__sig_lock, RANK_POOL);
	mine = !role;
	role = true;
	if (mine)
		role_home = weft__worker()->home;
	lock_drop(&weft__sig_lock);
	while (mine && (n = take_in_hand(&starved)) > 0) {
		cancel_contexts();
		if (starved && n == 1) {
			(void)weft_task_sleep(STARVED_NS);
			continue;
		}
		cases[0] = WEFT_FD(weft_waker_fd(weft__sig_waker), WEFT_IO_R);
		at = weft_chan_select_until(cases, n, starved ? weft_in(STARVED_NS) : WEFT_FOREVER);
		put_out_of_hand(n, at);
		if (at == 0)
			(void)weft_waker_wait_until(weft__sig_waker, WEFT_NOW);
		else if (at < 0 || (cases[at].status && cases[at].status != WEFT_ECLOSED && cases[at].status != WEFT_EPIPE))
			(void)weft_task_sleep(STARVED_NS);
	}
}

static const struct weft_site site = {"signals", __FILE__, __LINE__};
static const uintptr_t none[4];

int weft__sub_reader(void)
{
	bool there;
	int rc;

	lock_take(&weft__sig_lock, RANK_POOL);
	there = role;
	lock_drop(&weft__sig_lock);
	rc = there ? 0 : weft__go_words(reader, none, weft__ctx_service(), "signals", &site);
	return rc == WEFT_ESRCH ? 0 : rc;
}

/* --- runtimes come and go --- */

static int up(struct runtime *rt)
{
	bool some;

	(void)rt;
	lock_take(&weft__sig_lock, RANK_POOL);
	some = sub_after(NULL) != NULL && !role;
	lock_drop(&weft__sig_lock);
	return some ? weft__sub_reader() : 0;
}

/* By a runtime that is paused, or one that is not. Returns whether there is one that can. */
static bool hand_to(bool paused)
{
	for (unsigned i = 0; i < RUNTIMES_MAX; i++) {
		struct runtime *rt = weft__rt_enter_home_start(i);
		int rc = WEFT_ESRCH;

		if (!rt)
			continue;
		if ((load_relaxed(&rt->gate) != 0) == paused) /* a look */
			rc = weft__go_words_in(rt, NULL, reader, none, weft__ctx_service(), "signals", &site);
		weft__rt_leave(rt);
		if (!rc)
			return true;
	}
	return false;
}

/* The reader was one of a runtime that goes down: another runtime has the next, if there is one that can; one that is paused only if no other is. */
static void hand_over(void)
{
	if (!hand_to(false) && !hand_to(true))
		(void)hand_to(false); /* that was resumed between the two */
}

static void down(struct runtime *rt)
{
	struct sub *stopped = NULL;
	bool mine, some;

	lock_take(&weft__sig_lock, RANK_POOL);
	mine = !role || role_home == rt->home;
	if (mine) {
		role = false;
		for (struct sub *s = sub_after(NULL); s; s = sub_after(s))
			s->offered = 0;
		stopped = take_stopped();
	}
	some = sub_after(NULL) != NULL;
	lock_drop(&weft__sig_lock);
	free_chain(stopped);
	if (mine)
		weft__lot_wake_all(NULL, &weft__subs, 0); /* others in weft_signal_stop */
	if (mine && some)
		hand_over();
}

__attribute__((constructor)) static void hand_in(void)
{
	list_init(&weft__subs);
	weft__signals = (struct up_down){up, down};
}
