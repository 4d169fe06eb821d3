/* SPDX-License-Identifier: MIT
 *
 * stackreport.c - how deep stacks are used, by place: what core/stackuse.c has noted of tasks that have ended, and what those that live have used until now.
 *
 * Those are looked at while they run, as a dump does (peek.h): record, stack, and the lowest page of it that was touched, through the kernel; what moves meanwhile may be missing.
 */
#include "debug/stackreport.h"

#include "core/recslab.h"
#include "core/runtime.h"
#include "core/stackuse.h"
#include "debug/peek.h"
#include "weft/runtime.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PIECE 4096 /* of any size a page may have, the smallest */

struct gathering {
	struct peek peek;
	struct use_table table;
	bool no_memory;
};

/* As lowest_word in core/stackuse.c, of memory that may go. */
static size_t peek_lowest(const char *page, size_t size, void *arg)
{
	struct gathering *g = arg;
	uint64_t piece[PIECE / sizeof(uint64_t)];

	for (size_t at = 0; at < size; at += sizeof piece) {
		if (!peek_all(&g->peek, page + at, piece, sizeof piece))
			return 0;
		for (size_t i = 0; i < sizeof piece / sizeof *piece; i++) {
			if (piece[i])
				return at + i * sizeof *piece;
		}
	}
	return size;
}

/* A record that has a task with a stack. */
static bool copy_of(struct gathering *g, void *rec, struct weft_task *t)
{
	uint8_t state;

	if (!peek_all(&g->peek, rec, t, sizeof *t))
		return false;
	state = load_relaxed(&t->state); /* a copy */
	return weft__task_alive(t, state) && state != WEFT_TASK_NEW && !task_is(t, TASK_FOREIGN) && t->stack;
}

static bool look(void *rec, void *arg)
{
	struct gathering *g = arg;
	struct stack_use u = {.alive = 1};
	struct weft_task t, again;
	struct stack s;

	if (!copy_of(g, rec, &t) || !peek_all(&g->peek, t.stack, &s, sizeof s))
		return true;
	u.site = t.site;
	u.fn = t.fn;
	u.size = (size_t)(s.hi - s.lo);
	u.deepest = weft__stackuse_depth(s.lo, s.hi, peek_lowest, g);
	if (!copy_of(g, rec, &again) || t.id != again.id || t.stack != again.stack)
		return true;
	g->no_memory = !weft__stackuse_add(&g->table, &u);
	return !g->no_memory;
}

static int deeper(const void *a, const void *b)
{
	const weft_stack_use *x = a, *y = b;
	uint64_t tasks[2] = {x->ended + x->alive, y->ended + y->alive};

	if (x->deepest != y->deepest)
		return x->deepest < y->deepest ? 1 : -1;
	return (tasks[0] < tasks[1]) - (tasks[0] > tasks[1]);
}

/* The sizes that there are: see core/stack.h. */
static size_t suggest(size_t deepest)
{
	size_t slot = 2 * STACK_GUARD;

	while (slot - STACK_GUARD < (size_t)STACK_MAX && slot - STACK_GUARD < deepest + deepest / 2)
		slot *= 2;
	return slot - STACK_GUARD < (size_t)STACK_MAX ? slot - STACK_GUARD : (size_t)STACK_MAX;
}

/* All places, malloc'ed, sorted. Returns how many, or a negative code. */
static int gather(weft_stack_use **out)
{
	struct gathering g = {.no_memory = false};
	weft_stack_use *all = NULL;
	int n = 0;

	if (!weft__stackuse_on)
		return WEFT_ENOTSUP;
	weft__peek_open(&g.peek);
	g.no_memory = !weft__stackuse_copy(&g.table);
	if (!g.no_memory)
		weft__rec_foreach(look, &g);
	g.no_memory |= g.peek.blind; /* without those that run it is no answer */
	weft__peek_close(&g.peek);
	if (!g.no_memory)
		all = calloc(g.table.n + 1, sizeof *all);
	for (size_t i = 0; i < g.table.cap && all; i++) {
		struct stack_use *u = &g.table.use[i];

		if (!u->site && !u->fn)
			continue;
		all[n++] = (weft_stack_use){
			.fn = u->site ? u->site->fn : NULL,
			.file = u->site ? u->site->file : NULL,
			.line = u->site ? u->site->line : 0,
			.ended = u->ended,
			.alive = u->alive,
			.deepest = u->deepest,
			.size = u->size,
			.suggested = suggest(u->deepest),
		};
	}
	free(g.table.use);
	if (!all)
		return WEFT_ENOMEM;
	qsort(all, (size_t)n, sizeof *all, deeper);
	*out = all;
	return n;
}

int weft_stack_uses(weft_stack_use *out, int max)
{
	weft_stack_use *all;
	int n;

	if (max < 0 || (max && !out))
		return WEFT_EINVAL;
	n = gather(&all);
	if (n < 0)
		return n;
	for (int i = 0; i < n && i < max; i++)
		out[i] = all[i];
	free(all);
	return n;
}

/* 0, or why nobody takes it. */
static int write_all(int fd, const char *text, size_t n)
{
	while (n) {
		ssize_t w = write(fd, text, n);

		if (w > 0) {
			text += w;
			n -= (size_t)w;
		} else if (w < 0 && errno == EAGAIN) {
			struct pollfd p = {.fd = fd, .events = POLLOUT};

			if (poll(&p, 1, 1000) == 0)
				return WEFT_ETIMEDOUT;
		} else if (w == 0 || errno != EINTR) {
			return w ? -errno : WEFT_EIO;
		}
	}
	return 0;
}

static const char *size_text(size_t n, char *buf, size_t room)
{
	if (n >= 1024 * 1024 && n % (1024 * 1024) == 0)
		snprintf(buf, room, "%zu MiB", n / (1024 * 1024));
	else if (n % 1024 == 0)
		snprintf(buf, room, "%zu KiB", n / 1024);
	else
		snprintf(buf, room, "%.1f KiB", (double)n / 1024);
	return buf;
}

int weft_stack_report(int fd)
{
	static const char head[] = "# weft: stacks, by the place where their tasks were started\n"
				   "#     deepest         of    suggest     ended     alive  started\n";
	weft_stack_use *all;
	int n = gather(&all), rc;

	if (n < 0)
		return n;
	rc = write_all(fd, head, sizeof head - 1);
	for (int i = 0; i < n && !rc; i++) {
		char line[512], size[3][24];
		const weft_stack_use *u = &all[i];
		int len = snprintf(line, sizeof line, "# %11s%11s%11s%10llu%10llu  ", size_text(u->deepest, size[0], sizeof size[0]),
				   size_text(u->size, size[1], sizeof size[1]), size_text(u->suggested, size[2], sizeof size[2]),
				   (unsigned long long)u->ended, (unsigned long long)u->alive);

		if (u->file)
			len += snprintf(line + len, sizeof line - (size_t)len, "%.64s at %.300s:%d\n", u->fn ? u->fn : "?", u->file,
					u->line);
		else
			len += snprintf(line + len, sizeof line - (size_t)len, "not at a place in the program\n");
		rc = write_all(fd, line, (size_t)len);
	}
	free(all);
	return rc;
}

void weft__stack_report(int fd)
{
	(void)weft_stack_report(fd);
}
