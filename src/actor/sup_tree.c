/* SPDX-License-Identifier: MIT
 *
 * sup_tree.c - a supervisor and all below it, in words, and so what it tells. The caller asks one after the other, so that no supervisor waits for another.
 */
#include "actor/sup.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct text {
	char *buf;
	size_t size, len;
	int64_t deadline, now;
	bool times;
};

PRINTF_LIKE(2, 3) static void add(struct text *t, const char *fmt, ...)
{
	size_t room = t->len < t->size ? t->size - t->len : 0;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(room ? t->buf + t->len : NULL, room, fmt, ap);
	va_end(ap);
	if (n > 0)
		t->len += (size_t)n;
}

static void add_restarts(struct text *t, uint64_t n)
{
	if (n)
		add(t, ", %llu restart%s", (unsigned long long)n, n == 1 ? "" : "s");
}

static void add_life(struct text *t, uint64_t restarts, int64_t since)
{
	add_restarts(t, restarts);
	if (since && t->times)
		add(t, ", for %.1f s", t->now > since ? (double)(t->now - since) / (double)WEFT_SEC : 0);
	add(t, "\n");
}

static int add_sup(struct text *t, weft_actor_ref sup, int depth, const char *name, const weft_child_info *as);

static int add_child(struct text *t, const weft_child_info *c, int depth, bool dynamic)
{
	static const char *const states[] = {"down", "waiting", "up"};
	const char *name = !dynamic ? c->id : c->name[0] ? c->name : c->id[0] ? c->id : "child";
	int rc;

	if (c->sup && c->state == WEFT_CHILD_UP) {
		rc = add_sup(t, c->ref, depth, name, c);
		if (rc != WEFT_ESRCH && rc != WEFT_EINVAL && rc != WEFT_EDEADLK)
			return rc; /* 0, or why the caller can ask no more */
	}
	add(t, "%*s%s: %s", depth * 2, "", name, states[c->state]);
	if (c->state == WEFT_CHILD_WAITING && t->times)
		add(t, " for %.1f s more", c->due > t->now ? (double)(c->due - t->now) / (double)WEFT_SEC : 0);
	add_life(t, c->restarts, c->state == WEFT_CHILD_UP ? c->since : 0);
	return 0;
}

static int add_children(struct text *t, weft_actor_ref sup, const weft_sup_stat *st, int depth)
{
	bool dynamic = st->strategy == WEFT_DYNAMIC;
	int n = dynamic && st->children > WEFT_SUP_TREE_MOST ? WEFT_SUP_TREE_MOST : (int)st->children;
	weft_child_info *c = malloc(((size_t)n + 1) * sizeof *c);
	int there, rc = 0;

	if (!c)
		return WEFT_ENOMEM;
	there = weft_sup_list_until(sup, c, n, t->deadline);
	if (there < 0)
		rc = there == WEFT_ESRCH ? 0 : there; /* it has ended meanwhile */
	for (int i = 0; i < n && i < there && !rc; i++)
		rc = add_child(t, &c[i], depth, dynamic);
	if (!rc && there > n)
		add(t, "%*sand %d more\n", depth * 2, "", there - n);
	free(c);
	return rc;
}

/* as: what its own supervisor says of it; NULL: it is the first. */
static int add_sup(struct text *t, weft_actor_ref sup, int depth, const char *name, const weft_child_info *as)
{
	static const char *const strategies[] = {"one for one", "one for all", "rest for one", "dynamic"};
	weft_sup_stat st;
	int rc = weft_sup_health_until(sup, &st, t->deadline);

	if (rc)
		return rc;
	add(t, "%*s%s (%s, %u of %u up, %llu counted): up", depth * 2, "", name ? name : st.name, strategies[st.strategy], st.up,
	    st.children, (unsigned long long)st.restarts);
	add_life(t, as ? as->restarts : 0, st.since);
	return add_children(t, sup, &st, depth + 1);
}

int weft_sup_tree_until(weft_actor_ref sup, char *buf, size_t size, unsigned flags, int64_t deadline)
{
	struct text t = {.buf = buf, .size = size, .deadline = deadline, .now = weft_now(), .times = !(flags & WEFT_SUP_TREE_NO_TIMES)};
	int rc;

	if ((size && !buf) || (flags & ~WEFT_SUP_TREE_NO_TIMES))
		return WEFT_EINVAL;
	if (size)
		*buf = 0;
	rc = add_sup(&t, sup, 0, NULL, NULL);
	return rc ? rc : (int)t.len;
}

int weft_sup_tree(weft_actor_ref sup, char *buf, size_t size, unsigned flags)
{
	int rc = weft_sup_tree_until(sup, buf, size, flags, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

int weft_sup_event_text(const weft_sup_event *e, char *buf, size_t size)
{
	struct text t = {.buf = buf, .size = size};
	bool up = e->kind == WEFT_SUP_STARTED || e->kind == WEFT_SUP_RESTARTED;

	if (size)
		*buf = 0;
	add(&t, "supervisor %s: ", e->name);
	add(&t, e->id[0] ? "child %s: %s" : "child%s: %s", e->id, weft_sup_event_name(e->kind));
	if (e->kind == WEFT_SUP_WAITING)
		add(&t, " for %.3f s", (double)e->delay / (double)WEFT_SEC);
	if (!up)
		add(&t, ", %s", weft_end_name(e->end));
	if (!up && e->end.code)
		add(&t, ": %s", weft_strerror(e->end.code));
	add_restarts(&t, e->restarts);
	return (int)t.len;
}
