/* SPDX-License-Identifier: MIT
 *
 * errors.c - errors that carry a message, a place and a cause.
 *
 * An error never changes once it is made, so only its references are shared. It owns one of its cause's. Chains may be long (an error that is wrapped at
 * every turn of a loop): whatever goes along one is a loop.
 */
#include "base/atomic.h"
#include "base/ref.h"
#include "core/runtime.h"
#include "weft/errors.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct weft_err {
	ATOMIC(uint32_t) refs;
	int code;
	int line;
	const char *file; /* static; NULL: no place */
	uint64_t task;    /* id of its maker; 0: no task */
	weft_err *cause;  /* one reference; NULL: none */
	char message[];   /* "": none */
};

/* What there is to say when there is no memory to say it. Nobody counts its references. */
static weft_err no_memory = {.code = WEFT_ENOMEM, .message = ""};

/* --- making --- */

/* message: len bytes, terminated. */
static weft_err *make(weft_err *cause, int code, const char *file, int line, const char *message, size_t len)
{
	struct worker *w = weft__worker_look();                 /* nothing that may be elided is touched */
	struct weft_task *t = w ? load_relaxed(&w->cur) : NULL; /* own */
	weft_err *e = malloc(sizeof *e + len + 1);

	if (!e) {
		weft_err_free(cause);
		return &no_memory;
	}
	store_relaxed(&e->refs, 1u); /* not shared yet */
	e->code = code;
	e->file = file;
	e->line = line;
	e->task = t ? t->id : 0;
	e->cause = cause;
	memcpy(e->message, message, len + 1);
	return e;
}

weft_err *weft_err_vmake(weft_err *cause, int code, const char *file, int line, const char *fmt, va_list ap)
{
	char text[WEFT_ERR_MESSAGE_MAX + 1];
	int n = vsnprintf(text, sizeof text, fmt, ap);

	if (n < 0)
		n = 0; /* a conversion of wide characters that cannot be had: nothing is said */
	if (n > WEFT_ERR_MESSAGE_MAX) {
		n = WEFT_ERR_MESSAGE_MAX;
		memcpy(text + n - 3, "...", 3);
	}
	text[n] = '\0';
	return make(cause, code, file, line, text, (size_t)n);
}

weft_err *weft__err_new(int code, const char *file, int line, const char *fmt, ...)
{
	weft_err *e;
	va_list ap;

	va_start(ap, fmt);
	e = weft_err_vmake(NULL, code, file, line, fmt, ap);
	va_end(ap);
	return e;
}

weft_err *weft__err_of(int code, const char *file, int line)
{
	return code < 0 ? make(NULL, code, file, line, "", 0) : NULL;
}

weft_err *weft__err_wrap(weft_err *cause, int code, const char *file, int line, const char *fmt, ...)
{
	weft_err *e;
	va_list ap;

	if (!cause)
		return NULL;
	va_start(ap, fmt);
	e = weft_err_vmake(cause, code ? code : cause->code, file, line, fmt, ap);
	va_end(ap);
	return e;
}

/* --- references --- */

weft_err *weft_err_ref(weft_err *e)
{
	if (e && e != &no_memory)
		add_relaxed(&e->refs, 1u); /* the caller has one, so it stays */
	return e;
}

void weft_err_free(weft_err *e)
{
	while (e && e != &no_memory && ref_drop(&e->refs)) {
		weft_err *cause = e->cause;

		free(e);
		e = cause;
	}
}

/* --- asking --- */

int weft_err_code(const weft_err *e)
{
	return e ? e->code : 0;
}

bool weft_err_is(const weft_err *e, int code)
{
	while (e && e->code != code)
		e = e->cause;
	return e != NULL;
}

const weft_err *weft_err_cause(const weft_err *e)
{
	return e ? e->cause : NULL;
}

const char *weft_err_message(const weft_err *e)
{
	if (!e)
		return "";
	return e->message[0] ? e->message : weft_strerror(e->code);
}

const char *weft_err_where(const weft_err *e, int *line)
{
	if (line)
		*line = e ? e->line : 0;
	return e ? e->file : NULL;
}

uint64_t weft_err_task(const weft_err *e)
{
	return e ? e->task : 0;
}

/* --- as text --- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

#define LINE_MAX_ (WEFT_ERR_MESSAGE_MAX + 512)

/* A line for e, which has caused `above` (NULL: it is the first). Returns its length. */
static size_t line_of(const weft_err *e, const weft_err *above, char buf[LINE_MAX_])
{
	bool said = e->cause && e->cause->code == e->code; /* by the cause */
	const char *words = weft_strerror(e->code);
	char code[32] = "", task[40] = "";
	int n;

	if (!strcmp(words, weft_strerror(1))) { /* unknown */
		snprintf(code, sizeof code, "error %d", e->code);
		words = code;
	}
	if (above && above->task != e->task && e->task)
		snprintf(task, sizeof task, ", task %llu", (unsigned long long)e->task);
	n = snprintf(buf, LINE_MAX_, "%s%s%s%s", above ? "\n  caused by: " : "", e->message, e->message[0] && !said ? ": " : "",
		     e->message[0] && said ? "" : words);
	if (e->file && n < LINE_MAX_)
		n += snprintf(buf + n, (size_t)(LINE_MAX_ - n), " (%.200s:%d%s)", base_name(e->file), e->line, task);
	return n < LINE_MAX_ ? (size_t)n : LINE_MAX_ - 1;
}

size_t weft_err_format(const weft_err *e, char *buf, size_t n)
{
	const weft_err *above = NULL;
	char line[LINE_MAX_];
	size_t all = 0;

	if (n)
		buf[0] = '\0';
	for (; e; above = e, e = e->cause) {
		size_t len = line_of(e, above, line);

		if (all + 1 < n) {
			size_t some = len < n - all ? len : n - all - 1;

			memcpy(buf + all, line, some);
			buf[all + some] = '\0';
		}
		all += len;
	}
	return all;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

int weft_err_print(const weft_err *e, int fd)
{
	const weft_err *above = NULL;
	char line[LINE_MAX_ + 1];
	int rc = e ? 0 : WEFT_EINVAL;

	for (; e && !rc; above = e, e = e->cause) {
		size_t len = line_of(e, above, line);

		if (!e->cause)
			line[len++] = '\n';
		rc = write_all(fd, line, len);
	}
	return rc;
}
