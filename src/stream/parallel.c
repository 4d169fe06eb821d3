/* SPDX-License-Identifier: MIT
 *
 * parallel.c - a map whose function runs in several tasks at a time.
 *
 * A task that is free takes the turn (one mutex), waits for room in the window, and pulls one element: there is no task that hands out work. Elements are numbered as they are pulled.
 *
 *   head    the number of the result that is read next
 *   ready   unordered: results so far; each goes to the next place. In order: a result's place is its number
 *   next    the number of the element that is pulled next; head <= ready <= next <= head + window
 *   end     why none is pulled any more: the end or an error of the stage before it (behind all that were pulled), or a failure of the function
 *
 * In order a failure lies in its place, and is met there, behind the results before it. Else it is told as soon as what was ready has been read.
 */
#include "core/runtime.h"
#include "stream/crew.h"
#include "stream/feed.h"

#include <stdlib.h>

#define WINDOW_BYTES 65536 /* of results, unless four a task are more */

enum { PENDING = 1 }; /* code of a place without a result; 0: it has one; negative: a failure */

struct hand {
	struct parallel *p;
	char *in, *out;
	uint64_t number;
	bool turn, busy; /* it has the turn; it has element `number` */
};

struct parallel {
	weft_stream s;
	struct crew crew;
	weft_stream_map_fn *fn;
	void *arg;
	weft_stream_par o; /* its numbers are set */
	weft_mutex turn;   /* whoever has it pulls */
	weft_mutex m;      /* guards all below */
	weft_cond result, room;
	uint64_t head, ready, next;
	int end;      /* 0: it goes on; ENDED; an error */
	bool failed;  /* end is a failure of the function, or of a task */
	char *places; /* window results */
	int *code;    /* of each */
	struct hand *hands;
	int started; /* of their tasks; the reader's */
	char *bytes; /* theirs */
	char where[WEFT_STREAM_NAME_MAX + 1];
};

/* Locked. */
static void stop(struct parallel *p, int end, bool failed, const char *where)
{
	if (!p->end || (failed && !p->failed)) { /* an element that was pulled before is never overlooked: not even its failure */
		p->end = end;
		p->failed = failed;
		memset(p->where, 0, sizeof p->where);
		memcpy(p->where, where, strnlen(where, WEFT_STREAM_NAME_MAX));
	}
	weft_cond_broadcast(&p->result);
	weft_cond_broadcast(&p->room);
}

static void has_result(struct hand *h, int code)
{
	struct parallel *p = h->p;

	weft__feed_lock(&p->m);
	h->busy = false;
	if (code < 0 && p->o.unordered) {
		stop(p, code, true, p->s.name);
	} else {
		uint64_t at = p->o.unordered ? p->ready : h->number;

		if (code >= 0)
			memcpy(p->places + at % p->o.window * p->s.elem, h->out, p->s.elem);
		p->code[at % p->o.window] = code < 0 ? code : 0;
		p->ready++;
		if (code < 0)
			stop(p, code, true, p->s.name);
		else if (p->o.unordered || at == p->head)
			weft_cond_signal(&p->result);
	}
	weft_mutex_unlock(&p->m);
}

/* However the task ended. What is half done was ended by a panic, or by weft_task_exit, in somebody's function. */
static void gone(void *arg)
{
	struct hand *h = arg;

	if (h->busy)
		has_result(h, WEFT_EPANIC);
	if (h->turn) {
		weft__feed_lock(&h->p->m);
		stop(h->p, WEFT_EPANIC, false, h->p->s.name);
		weft_mutex_unlock(&h->p->m);
		weft_mutex_unlock(&h->p->turn);
	}
}

/* The next element. False: there is none for this task. */
static bool takes(struct hand *h)
{
	struct parallel *p = h->p;
	weft_stream *up = p->s.up;
	ssize_t n = weft_mutex_lock(&p->turn);

	h->turn = n == 0;
	weft__feed_lock(&p->m);
	while (n == 0 && !p->end && p->next - p->head >= p->o.window)
		n = weft_cond_wait(&p->room, &p->m);
	if (n < 0)
		stop(p, (int)n, false, p->s.name); /* it was cancelled */
	if (p->end)
		n = 0;
	else
		n = 1;
	weft_mutex_unlock(&p->m);
	if (n > 0) {
		n = weft__stage_pull(up, h->in, 1, WEFT_FOREVER);
		weft__feed_lock(&p->m);
		if (n > 0) {
			h->number = p->next++;
			h->busy = true;
			p->code[h->number % p->o.window] = PENDING;
		} else {
			stop(p, n == 0 ? ENDED : (int)n, false, up->status < 0 ? up->where : p->s.name);
		}
		weft_mutex_unlock(&p->m);
	}
	if (h->turn) {
		h->turn = false;
		weft_mutex_unlock(&p->turn);
	}
	return n > 0;
}

static int works(void *arg)
{
	struct hand *h = arg;
	int rc = 0;

	WEFT_DEFER(gone, h);
	while (rc >= 0 && takes(h)) {
		rc = h->p->fn(h->in, h->out, h->p->arg);
		has_result(h, rc);
	}
	return 0;
}

/* For want of memory there are fewer tasks; those that may be had later the next pull asks for again. */
static int begin(struct parallel *p)
{
	int rc = 0;

	while (p->started < p->o.tasks && !rc) {
		rc = weft_group_go(&p->crew.g, works, &p->hands[p->started]);
		if (!rc)
			p->started++;
	}
	p->crew.begun = p->started > 0 && !stage_passes(rc);
	return p->started > 0 ? 0 : rc;
}

/* Locked: results that are there, max at most. */
static size_t read_ready(struct parallel *p, char *out, size_t max)
{
	size_t n = 0;

	while (n < max && p->head < p->next && (!p->o.unordered || p->head < p->ready) && p->code[p->head % p->o.window] == 0) {
		memcpy(out + n++ * p->s.elem, p->places + p->head % p->o.window * p->s.elem, p->s.elem);
		p->head++;
	}
	return n;
}

/* Locked, and nothing can be read: is it over? 1: no. */
static ssize_t how_it_ended(struct parallel *p)
{
	int code = p->code[p->head % p->o.window];

	if (!p->o.unordered && p->head < p->next)
		return code < 0 ? weft__stage_fail(&p->s, code, NULL) : 1;
	if (!p->end || (p->head < p->next && !p->failed))
		return 1;
	return p->end == ENDED ? 0 : weft__stage_fail(&p->s, p->end, p->where);
}

static ssize_t parallel_pull(weft_stream *s, char *out, size_t max, int64_t deadline)
{
	struct parallel *p = (struct parallel *)s;
	int rc = weft__stage_check(WEFT_FOREVER); /* what is there is given, also past the deadline */
	bool waited = false;
	ssize_t n;

	if (rc)
		return rc;
	if (!p->crew.begun) {
		rc = begin(p);
		if (rc)
			return crew_refused(&p->crew, s, rc);
	}
	weft__feed_lock(&p->m);
	for (;;) {
		n = (ssize_t)read_ready(p, out, max);
		if (n > 0) {
			weft_cond_signal(&p->room); /* only who has the turn waits there */
			break;
		}
		n = how_it_ended(p);
		if (n <= 0)
			break;
		if (!waited)
			stage_count(&s->n.waits, 1);
		waited = true;
		n = deadline == WEFT_NOW ? WEFT_EAGAIN : weft_cond_wait_until(&p->result, &p->m, deadline);
		if (n < 0)
			break;
	}
	weft_mutex_unlock(&p->m);
	if (s->status < 0)
		(void)weft_group_cancel(&p->crew.g, WEFT_REASON_CANCELED);
	return n;
}

static void parallel_close(weft_stream *s)
{
	struct parallel *p = (struct parallel *)s;

	crew_end(&p->crew);
	free(p->places);
	free(p->code);
	free(p->hands);
	free(p->bytes);
}

static const struct stage_ops parallel_ops = {.kind = "parallel", .pull = parallel_pull, .close = parallel_close, .tasks = true};

#define TASKS_MAX 100000

/* Where the caller says nothing: as many results as keep the tasks at it while the reader is away, where they are small. */
static size_t window_for(size_t tasks, size_t elem)
{
	size_t most = 32 * tasks, least = 4 * tasks, fit = WINDOW_BYTES / elem;

	return fit > most ? most : fit < least ? least : fit;
}

weft_stream *weft_stream_parallel(weft_stream *s, size_t elem, weft_stream_map_fn *fn, void *arg, const weft_stream_par *o)
{
	weft_stream_par par = o ? *o : (weft_stream_par){.tasks = 0};
	size_t in = (weft_stream_elem(s) + 15) / 16 * 16, each = in + (elem + 15) / 16 * 16; /* aligned for any element */
	struct worker *w = weft__worker();
	struct parallel *p;
	bool ok;
	int rc = WEFT_ENOMEM;

	if (par.tasks == 0)
		par.tasks = w ? (int)rt_active(w->rt) : 1;
	if (par.window == 0 && par.tasks > 0 && elem > 0)
		par.window = window_for((size_t)par.tasks, elem);
	ok = fn && par.tasks > 0 && par.tasks <= TASKS_MAX && par.window >= (size_t)par.tasks && par.window <= INT32_MAX;
	p = weft__stage_keeps_on(&s, &parallel_ops, sizeof *p, elem, ok);
	if (!p)
		return s;
	p->fn = fn;
	p->arg = arg;
	p->o = par;
	p->places = malloc(par.window * elem);
	p->code = calloc(par.window, sizeof p->code[0]);
	p->hands = calloc((size_t)par.tasks, sizeof p->hands[0]);
	p->bytes = malloc((size_t)par.tasks * each);
	if (p->places && p->code && p->hands && p->bytes)
		rc = crew_make(&p->crew);
	if (rc)
		return weft__stage_undo(s, rc);
	for (size_t i = 0; i < (size_t)par.tasks; i++)
		p->hands[i] = (struct hand){.p = p, .in = p->bytes + i * each, .out = p->bytes + i * each + in};
	return s;
}
