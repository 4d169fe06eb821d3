/* SPDX-License-Identifier: MIT
 *
 * taskname.c - what a task is called, and what it waits for, in words: for reports, dumps and its own program.
 *
 * A task's name is the one it was given, else its function's where that is known: from the place of the call that started it, or from the dynamic
 * linker's tables.
 */
#include "core/runtime.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Name in at most 31 bytes on the heap. */
int weft__task_set_name(struct weft_task *t, const char *name)
{
	char *copy = strndup(name, 31);

	if (!copy)
		return WEFT_ENOMEM;
	free(t->name);
	t->name = copy;
	return 0;
}

int weft_task_name(const char *name)
{
	struct weft_task *t = weft_task_self();

	return t && name ? weft__task_set_name(t, name) : WEFT_EINVAL;
}

/* clang-format off */
static const char *const reason_names[REASON_COUNT] = {
	[REASON_NONE] = "",
	[REASON_CHAN_SEND] = "chan send",
	[REASON_CHAN_RECV] = "chan receive",
	[REASON_SELECT] = "select",
	[REASON_MUTEX] = "mutex",
	[REASON_WAITGROUP] = "wait group",
	[REASON_JOIN] = "join",
	[REASON_PARK] = "park",
	[REASON_BCAST] = "broadcast",
	[REASON_WATCH] = "watch",
	[REASON_GENERATOR] = "generator",
	[REASON_YIELD] = "yield",
	[REASON_FUTURE] = "future",
	[REASON_CTX] = "context",
	[REASON_RDLOCK] = "read lock",
	[REASON_WRLOCK] = "write lock",
	[REASON_COND] = "condition",
	[REASON_SEMA] = "semaphore",
	[REASON_LATCH] = "latch",
	[REASON_BARRIER] = "barrier",
	[REASON_ONCE] = "once",
	[REASON_EVENT] = "event",
	[REASON_GROUP] = "group",
	[REASON_GROUP_ROOM] = "group room",
	[REASON_MAIL] = "mailbox",
	[REASON_MAIL_ROOM] = "mailbox room",
	[REASON_ACTOR] = "actor",
	[REASON_ACTOR_NAME] = "name of an actor",
	[REASON_ADMISSION] = "admission",
	[REASON_CREDIT] = "credit",
	[REASON_CALL] = "server call",
	[REASON_SHUTDOWN] = "shutdown",
	[REASON_SLEEP] = "sleep",
	[REASON_READ] = "read",
	[REASON_WRITE] = "write",
	[REASON_ACCEPT] = "accept",
	[REASON_DIAL] = "dial",
	[REASON_IO] = "io",
	[REASON_UV] = "libuv",
	[REASON_NAME] = "name",
	[REASON_FILE] = "file",
	[REASON_BLOCKING] = "blocking call",
	[REASON_RUNTIME] = "another runtime",
	[REASON_SELECT_IO] = "select",
	[REASON_ABANDONED] = "",
	[REASON_PANICKED] = "",
	[REASON_FELL] = "",
};
/* clang-format on */

const char *weft__reason_name(enum task_reason r)
{
	return r < REASON_COUNT ? reason_names[r] : "?";
}

const char *weft_task_reason(weft_task *t)
{
	if (load_relaxed(&t->state) != WEFT_TASK_PARKED) /* a snapshot */
		return "";
	return weft__reason_name((enum task_reason)load_relaxed(&t->reason));
}

const char *weft__task_fn_name(struct weft_task *t, char *buf, size_t n)
{
	const char *name = t->site ? t->site->fn : NULL;
	Dl_info info;

	if (!name && t->fn && dladdr((void *)t->fn, &info) && info.dli_sname)
		name = info.dli_sname;
	snprintf(buf, n, "%s", name ? name : "task");
	return buf;
}

const char *weft__task_label(struct weft_task *t, char *buf, size_t n)
{
	if (!t->name)
		return weft__task_fn_name(t, buf, n);
	snprintf(buf, n, "%s", t->name);
	return buf;
}

void weft__task_describe(struct weft_task *t, char *buf, size_t n)
{
	const char *fn = t->site ? t->site->fn : "?";

	if (t->site)
		snprintf(buf, n, "task %llu \"%s\" (%s, started at %s:%d)", (unsigned long long)t->id, t->name ? t->name : fn, fn,
			 t->site->file, t->site->line);
	else
		snprintf(buf, n, "task %llu \"%s\"", (unsigned long long)t->id, t->name ? t->name : task_is_main(t) ? "main" : fn);
}
