/* SPDX-License-Identifier: MIT
 *
 * sups.h - what tests of supervisors have in common: children that do as they are told, and what the supervisor has told of them, as a line of text.
 *
 *	+a     it is up            *a  it is, again           !a:-8  its start has failed      -a:code:-3  it has ended by itself
 *	=a     it was stopped      =a:panic  and ended so     ~a:100ms  it waits so long       ?a  it was abandoned        #a  given up about it
 */
#ifndef WEFT_TEST_SUPS_H
#define WEFT_TEST_SUPS_H

#include "actors.h"

#include "weft/supervisor.h"
#include <pthread.h>
#include <stdio.h>

/* --- what was told --- */

struct record {
	pthread_mutex_t lock;
	char text[8192];
	size_t len;
};

#define RECORD                                    \
	{                                         \
		.lock = PTHREAD_MUTEX_INITIALIZER \
	}

static inline void record(struct record *r, const char *text)
{
	pthread_mutex_lock(&r->lock);
	T_LT(r->len + strlen(text), sizeof r->text);
	strcpy(r->text + r->len, text);
	r->len += strlen(text);
	pthread_mutex_unlock(&r->lock);
}

static inline void on_event(const weft_sup_event *e, void *arg)
{
	static const char signs[] = "+*!-=~?#";
	char line[200];
	int n;

	n = snprintf(line, sizeof line, "%c%s", signs[e->kind], e->id);
	if (e->kind == WEFT_SUP_START_FAILED)
		n += snprintf(line + n, sizeof line - (size_t)n, ":%d", e->end.code);
	else if (e->kind == WEFT_SUP_EXITED && e->end.code)
		n += snprintf(line + n, sizeof line - (size_t)n, ":%s:%d", weft_end_name(e->end), e->end.code);
	else if (e->kind == WEFT_SUP_EXITED || (e->kind == WEFT_SUP_STOPPED && e->end.kind != WEFT_END_SHUTDOWN))
		n += snprintf(line + n, sizeof line - (size_t)n, ":%s", weft_end_name(e->end));
	else if (e->kind == WEFT_SUP_WAITING)
		n += snprintf(line + n, sizeof line - (size_t)n, ":%lldms", (long long)(e->delay / WEFT_MS));
	snprintf(line + n, sizeof line - (size_t)n, " ");
	record(arg, line);
}

static inline size_t record_len(struct record *r)
{
	size_t len;

	pthread_mutex_lock(&r->lock);
	len = r->len;
	pthread_mutex_unlock(&r->lock);
	return len;
}

static inline void forget(struct record *r)
{
	pthread_mutex_lock(&r->lock);
	r->len = 0;
	*r->text = 0;
	pthread_mutex_unlock(&r->lock);
}

static inline bool was_told(struct record *r, const char *text)
{
	bool was;

	pthread_mutex_lock(&r->lock);
	was = strstr(r->text, text) != NULL;
	pthread_mutex_unlock(&r->lock);
	return was;
}

/* That, and no more, was told since the last look. */
static inline void expect(struct record *r, const char *text)
{
	char got[sizeof r->text];

	until(record_len(r) >= strlen(text));
	pthread_mutex_lock(&r->lock);
	strcpy(got, r->text);
	*r->text = 0;
	r->len = 0;
	pthread_mutex_unlock(&r->lock);
	T_STR_EQ(got, text);
}

/* --- children --- */

enum { FAIL = 1, PANIC, STOP, STAY };

/* What a child is told to be like, and how often it was there. Its supervisor has a pointer to it. */
struct part {
	_Atomic int refuse;   /* on_start returns it, if it is negative */
	_Atomic int refusals; /* so often; 0: for ever */
	_Atomic long starts, stops;
	_Atomic long freed; /* dtor */
};

static inline int part_on_start(void *state)
{
	struct part *p = state;
	int rc = p->refuse;

	p->starts++;
	if (rc && p->refusals && !--p->refusals)
		p->refuse = 0;
	return rc;
}

static inline int part_on_msg(void *state, weft_msg *m)
{
	(void)state;
	if (m->tag == PANIC)
		weft_task_panic("as asked");
	if (m->tag == STOP)
		return WEFT_ACTOR_STOP;
	return m->tag == FAIL ? (int)*weft_msg_as(m, long) : 0;
}

static inline void part_on_stop(void *state, weft_end e)
{
	struct part *p = state;

	(void)e;
	p->stops++;
}

static inline int start_part(weft_actor_ref *out, void *arg)
{
	return weft_actor_start(
		out,
		&(weft_actor_opts){.on_start = part_on_start, .on_msg = part_on_msg, .on_stop = part_on_stop, .state = arg, .link = true});
}

static inline void part_freed(void *arg)
{
	((struct part *)arg)->freed++;
}

#define CHILD(name, part, ...)                                                                          \
	(weft_child_spec)                                                                               \
	{                                                                                               \
		.id = (name), .start = start_part, .arg = (part), .shutdown = WEFT_FOREVER, __VA_ARGS__ \
	}

/* The same of one whose argument is a pointer to the part, copied for it: each copy is to be freed. */
static inline int start_counted(weft_actor_ref *out, void *arg)
{
	return start_part(out, *(struct part **)arg);
}

static inline void counted_freed(void *arg)
{
	(*(struct part **)arg)->freed++;
}

/* A task that ends when it is cancelled. */
static inline int until_canceled(void *arg)
{
	(void)arg;
	return weft_task_sleep(INT64_MAX);
}

/* --- supervisors --- */

/* What sup_of's tell. */
static struct record told = RECORD;

static inline weft_actor_ref sup_of(weft_sup_opts o)
{
	weft_actor_ref sup;

	o.on_event = on_event;
	o.event_arg = &told;
	if (!o.within)
		o.within = 3600 * WEFT_SEC; /* no stall takes a restart out of it */
	T_EQ(weft_sup_start(&sup, &o), 0);
	return sup;
}

static inline weft_actor_ref find(weft_actor_ref sup, const char *id)
{
	weft_actor_ref ref;

	T_EQ(weft_sup_child_find(sup, id, &ref), 0);
	return ref;
}

static inline weft_sup_stat health(weft_actor_ref sup)
{
	weft_sup_stat st;

	T_EQ(weft_sup_health(sup, &st), 0);
	return st;
}

#define COUNT(a) (sizeof(a) / sizeof *(a))

#endif
