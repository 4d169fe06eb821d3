/* SPDX-License-Identifier: MIT
 *
 * dump.c - prints every task while they run.
 *
 * Pass 1 counts the records in use.  Pass 2 takes them one by one: copies the record, walks its stack, copies the record again.  If the two copies
 * differ in what matters (wait word, context, state), the task moved on and what was read is thrown away.  Stacks, names and channels are
 * read by peek.h: no lock is taken, nothing is allocated but one private mapping, and what is unmapped meanwhile is merely missing.
 *
 *   state      stack comes from
 *   NEW        nowhere: it has not run, and its record's union holds arguments
 *   RUNNABLE   t->ctx          PARKED     t->ctx, once on_cpu is clear
 *   RUNNING    its worker, which is interrupted and copies its stack (backtrace.c)
 *
 * Not here: names of functions (symbols.c), stack walks (backtrace.c), channels (waits.c), actors (actors.c), when to print (core/monitor.c, core/deadlock.c, core/life.c, core/several.c, weft.c).
 */
#include "debug/dump.h"

#include "base/check.h"
#include "base/clock.h"
#include "core/life.h"
#include "core/recslab.h"
#include "core/runtime.h"
#include "debug/actors.h"
#include "debug/backtrace.h"
#include "debug/symbols.h"
#include "debug/waits.h"
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define DUMP_FULL_TASKS 1000 /* up to so many: each on its own */
#define DUMP_ALIKE 10        /* beyond: so many of each kind */
#define KINDS 1024           /* kinds told apart when folding; a power of two */
#define LOOKS 4              /* times a task is looked at before we say that it moves */
#define OUT_SIZE 32768
#define OUT_TASK 16384 /* room that one task's text needs at most */

/* Where a task's stack was found. */
enum found {
	FOUND_NONE,  /* has none yet */
	FOUND_STACK, /* d->trace */
	FOUND_MOVED, /* it ran meanwhile */
	FOUND_BUSY,  /* runs, and its worker did not answer */
};

struct kind {
	uint64_t hash; /* 0: free */
	uint64_t first_id;
	size_t count; /* all of them, printed or not */
	int64_t longest;
};

struct dump {
	int fd;
	int broken; /* nobody takes what we write: a negative code */
	size_t n;   /* bytes in out */
	struct tracer tracer;
	struct symbols symbols;
	struct trace trace;
	struct waits waits;
	struct actors_seen actors;
	struct weft_task copy, again;
	int64_t now;
	struct runtime *only;             /* NULL: of all */
	struct runtime *rt[RUNTIMES_MAX]; /* those that are up, by number: they do not go down before the end */
	size_t tasks, threads, ended;     /* as counted in pass 1 */
	size_t tasks_of[RUNTIMES_MAX];    /* the same, by runtime */
	bool stragglers;                  /* only tasks that a shutdown waits for */
	weft_task_info *info;             /* where they go, room for info_max; NULL: to fd */
	int info_max, info_n;             /* how many there were */
	struct kind kinds[KINDS];
	char out[OUT_SIZE];
};

/* --- output --- */

static void flush(struct dump *d)
{
	size_t done = 0;

	while (done < d->n && !d->broken) {
		ssize_t w = write(d->fd, d->out + done, d->n - done);

		if (w > 0) {
			done += (size_t)w;
		} else if (w < 0 && errno == EAGAIN) {
			struct pollfd p = {.fd = d->fd, .events = POLLOUT};

			if (poll(&p, 1, 1000) == 0)
				d->broken = WEFT_ETIMEDOUT; /* a reader that takes nothing for a second gets no more */
		} else if (w == 0 || errno != EINTR) {
			d->broken = w ? -errno : WEFT_EIO;
		}
	}
	d->n = 0;
}

static void put(struct dump *d, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void put(struct dump *d, const char *fmt, ...)
{
	size_t room = sizeof d->out - d->n;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(d->out + d->n, room, fmt, ap);
	va_end(ap);
	if (n > 0)
		d->n += (size_t)n < room ? (size_t)n : room - 1;
}

static void put_time(struct dump *d, int64_t ns)
{
	long long ms = ns < 0 ? 0 : ns / 1000000;

	if (ms < 1000)
		put(d, "%lld ms", ms);
	else if (ms < 60000)
		put(d, "%lld.%lld s", ms / 1000, ms / 100 % 10);
	else if (ms < 3600000)
		put(d, "%lld min %lld s", ms / 60000, ms / 1000 % 60);
	else
		put(d, "%lld h %lld min", ms / 3600000, ms / 60000 % 60);
}

/* A public call, or a part of one (PART_OF). */
static bool is_public(const struct symbol *s)
{
	return s->name && strncmp(s->name, "weft_", 5) == 0 && s->name[5] != '_';
}

/* A return address may be the first byte of the next function: what is looked up is the call before it. */
static const struct symbol *symbol_of(struct dump *d, int i)
{
	return weft__symbol_find(&d->symbols, d->trace.pc[i] - !(i == 0 && d->trace.exact));
}

/* Cuts d->trace to what is worth reading: of weft's own frames at the top, those between a public call and the switch, only the last is left, which is the call; of
 * those at the bottom, which every task has, none. */
static void trim_trace(struct dump *d)
{
	struct trace *tr = &d->trace;
	int from = 0;

	while (tr->n > 1 && symbol_of(d, tr->n - 1)->ours && !is_public(symbol_of(d, tr->n - 1))) {
		tr->n--;
		tr->cut = false;
	}
	while (from + 1 < tr->n && symbol_of(d, from)->ours && symbol_of(d, from + 1)->ours)
		from++;
	if (from) {
		tr->n -= from;
		tr->exact = false;
		memmove(tr->pc, tr->pc + from, (size_t)tr->n * sizeof tr->pc[0]);
	}
}

static void put_trace(struct dump *d)
{
	for (int i = 0; i < d->trace.n; i++) {
		const struct symbol *s = symbol_of(d, i);

		put(d, "    ");
		if (s->name && is_public(s) && strchr(s->name, '.'))
			put(d, "%.*s ", (int)strcspn(s->name, "."), s->name);
		else if (s->name)
			put(d, "%s+%#lx ", s->name, (unsigned long)s->offset);
		if (s->module)
			put(d, "(%s+%#lx)\n", weft__file_name(s->module), (unsigned long)s->address);
		else
			put(d, "[%#lx]\n", (unsigned long)s->pc);
	}
	if (d->trace.cut)
		put(d, "    ...\n");
}

static void put_waits(struct dump *d)
{
	char text[WAITS_TEXT];

	for (int i = 0; i < d->waits.n; i++) {
		weft__wait_text(&d->waits.on[i], text, sizeof text);
		put(d, "    waits to %s\n", text);
	}
	if (d->waits.others > 0)
		put(d, "    waits for %d other case%s of its select\n", d->waits.others, d->waits.others == 1 ? "" : "s");
	if (d->actors.what) {
		weft__actor_text(&d->actors.on, false, text, sizeof text);
		put(d, "    waits for %s %s\n", d->actors.what, text);
	}
	if (d->actors.self.cell) {
		weft__actor_text(&d->actors.self, true, text, sizeof text);
		put(d, "    actor, %s\n", text);
	}
}

/* --- one task --- */

static bool parked(const struct weft_task *c)
{
	uint8_t state = load_relaxed(&c->state); /* a private copy, here and below */

	return state == WEFT_TASK_PARKED || (task_is(c, TASK_FOREIGN) && wait_is_open(load_relaxed(&c->wait)));
}

/* Records are never unmapped, so the copy needs no help from the kernel; but TSan would call it a race, and be right. */
static bool copy_record(struct dump *d, const void *rec, struct weft_task *to)
{
	const volatile uint64_t *from = rec;
	uint64_t *out = (uint64_t *)(void *)to;

	if (BUILT_WITH_TSAN)
		return peek_all(&d->tracer.peek, rec, to, sizeof *to);
	for (size_t i = 0; i < sizeof *to / sizeof *out; i++)
		out[i] = from[i];
	return true;
}

static bool in_use(const struct weft_task *c)
{
	return load_relaxed(&c->state) != TASK_FREE && c->id != 0;
}

/* Others that have called weft_shutdown have the flag, too. */
static bool is_main(const struct weft_task *c)
{
	return task_is_main(c) && c->id == weft__rts[load_relaxed(&c->home)].main_id; /* of no other runtime that has had the number */
}

/* ", held by task 7 (name)" */
static void put_owner(struct dump *d, uint32_t index)
{
	const struct weft_task *o = index ? weft__rec_at(index) : NULL;
	struct weft_site site;
	struct weft_task *c = &d->again;
	char text[128];

	if (!o || !copy_record(d, o, c) || !in_use(c))
		return;
	put(d, ", held by %s %llu", task_is(c, TASK_FOREIGN) ? "thread" : "task", (unsigned long long)c->id);
	if (c->name && weft__peek_text(&d->tracer.peek, c->name, text, 32))
		put(d, " (%s)", text);
	else if (is_main(c))
		put(d, " (main)");
	else if (c->site && peek_all(&d->tracer.peek, c->site, &site, sizeof site) &&
		 weft__peek_text(&d->tracer.peek, site.fn, text, sizeof text))
		put(d, " (%s)", text);
}

/* What a parked task waits for, where that is known to have an owner. Its waiter lies in the frame of the call it is in, the lock wherever: both may vanish. */
static void put_lock(struct dump *d, const struct weft_task *c)
{
	struct waiter w;
	uint32_t word[2]; /* state and owner, as in weft_mutex, weft_rwlock and weft_once */

	switch (load_relaxed(&c->reason)) {
	case REASON_MUTEX:
	case REASON_RDLOCK:
	case REASON_WRLOCK:
	case REASON_ONCE:
		break;
	default:
		return;
	}
	if (!wait_is_open(load_relaxed(&c->wait)) || !c->waiters || !peek_all(&d->tracer.peek, c->waiters, &w, sizeof w) || !w.source ||
	    !peek_all(&d->tracer.peek, w.source, word, sizeof word))
		return;
	put(d, " %p", w.source);
	put_owner(d, word[1]);
}

/* Of a task, copied. NULL: the dump has come too late for it. */
static struct runtime *runtime_of(struct dump *d, const struct weft_task *c)
{
	return d->rt[load_relaxed(&c->home) % RUNTIMES_MAX]; /* a copy */
}

/* A worker's number says which seat it has (core/seats.c). */
static const char *seat_kind(struct dump *d, const struct weft_task *c, unsigned worker)
{
	struct runtime *rt = runtime_of(d, c);

	if (!rt)
		return "";
	if (worker > rt_active(rt))
		return " (retired)";
	return worker > load_relaxed(&rt->wish) ? " (spare)" : ""; /* a look */
}

static void put_head(struct dump *d, const struct weft_task *c, unsigned worker)
{
	char text[128];
	struct weft_site site;
	const struct symbol *s;
	uint8_t state = load_relaxed(&c->state);
	bool has_site = c->site && peek_all(&d->tracer.peek, c->site, &site, sizeof site);
	int64_t deadline = load_relaxed(&c->deadline);

	if (task_is(c, TASK_FOREIGN)) {
		put(d, "thread %llu: ", (unsigned long long)c->id);
	} else {
		put(d, is_main(c) ? "task %llu, main," : "task %llu", (unsigned long long)c->id);
		if (has_site && weft__peek_text(&d->tracer.peek, site.fn, text, sizeof text)) {
			put(d, " %s", text);
		} else {
			s = weft__symbol_find(&d->symbols, d->actors.self.cell ? d->actors.self.fn : (uintptr_t)c->fn);
			if (d->actors.self.cell && (s->ours || !s->name))
				put(d, " actor");
			else if (s->name)
				put(d, " %s", s->name);
			else if (s->module)
				put(d, " (%s+%#lx)", weft__file_name(s->module), (unsigned long)s->address);
		}
		if (c->name && weft__peek_text(&d->tracer.peek, c->name, text, 32))
			put(d, " \"%s\"", text);
		put(d, ": ");
	}
	if (parked(c)) {
		if (!wait_is_open(load_relaxed(&c->wait)) && load_relaxed(&c->reason) != REASON_BLOCKING) /* a section opens no wait */
			put(d, "woken, about to run; it waited: ");
		else
			put(d, "parked, ");
		put(d, "%s", weft__reason_name((enum task_reason)load_relaxed(&c->reason)));
		put_lock(d, c);
		if (!task_is(c, TASK_FOREIGN) && c->parked_at > 0) {
			put(d, ", for ");
			put_time(d, d->now - c->parked_at);
		}
		if (deadline != WEFT_FOREVER) {
			put(d, ", ");
			put_time(d, deadline - d->now);
			put(d, " left");
		}
	} else if (task_is(c, TASK_FOREIGN)) {
		put(d, "not in weft");
	} else if (state == WEFT_TASK_NEW) {
		put(d, "new, has not run yet");
	} else if (state == WEFT_TASK_RUNNING && worker) {
		put(d, "running on worker %u%s", worker, seat_kind(d, c, worker));
	} else {
		put(d, state == WEFT_TASK_RUNNING ? "running" : "runnable");
	}
	if (!task_is(c, TASK_FOREIGN) && load_relaxed(&c->home)) /* a copy */
		put(d, ", in runtime %u", load_relaxed(&c->home));
	if (cancel_counts(load_relaxed(&c->cancel)))
		put(d, ", cancelled");
	if (!task_is(c, TASK_FOREIGN) && task_class(c) != WEFT_PRIO_NORMAL)
		put(d, task_class(c) == WEFT_PRIO_HIGH ? ", high" : ", low");
	if (has_site && weft__peek_text(&d->tracer.peek, site.file, text, sizeof text))
		put(d, "; started at %s:%d", text, site.line);
	put(d, "\n");
}

/* Nobody stands on its stack; though somebody may give back what is below it (core/trim.c). */
static bool at_rest(const struct weft_task *c)
{
	uint8_t on_cpu = load_relaxed(&c->on_cpu); /* a copy */

	return on_cpu == 0 || on_cpu == ON_CPU_HELD;
}

/* A thread of a lane stands on it, above the frames that ctx leads to (core/blocking.c). */
static bool in_section(const struct weft_task *c)
{
	return load_relaxed(&c->state) == WEFT_TASK_PARKED && load_relaxed(&c->reason) == REASON_BLOCKING && /* a copy */
	       !wait_is_open(load_relaxed(&c->wait));                                                        /* as that of a function is */
}

/* Did the task, or what is below its section, stand still between the two copies? */
static bool stood_still(const struct weft_task *a, const struct weft_task *b)
{
	return a->id == b->id && load_relaxed(&a->wait) == load_relaxed(&b->wait) && load_relaxed(&a->state) == load_relaxed(&b->state) &&
	       (at_rest(b) || in_section(b)) && a->ctx.sp == b->ctx.sp && a->ctx.pc == b->ctx.pc && a->ctx.fp == b->ctx.fp;
}

/* t runs: whose worker stands on it? */
static enum found running(struct dump *d, struct weft_task *t, unsigned *worker)
{
	struct worker *self = weft__worker_look();
	struct runtime *rt = runtime_of(d, &d->copy);
	struct weft_task *seen;

	for (unsigned i = 0, n = rt ? rt_seats(rt) : 0; i < n; i++) {
		struct worker *w = &rt->workers[i];

		if (load_relaxed(&w->cur) != t) /* a look */
			continue;
		*worker = i + 1;
		if (w == self) {
			weft__backtrace_self(&d->tracer, &d->trace);
			return FOUND_STACK;
		}
		if (weft__backtrace_running(&d->tracer, load_relaxed(&w->tid), &d->trace, &seen))
			return FOUND_BUSY;
		return seen == t ? FOUND_STACK : FOUND_MOVED;
	}
	return FOUND_MOVED;
}

static void forget_waits(struct dump *d)
{
	d->waits.n = d->waits.others = 0;
	d->actors = (struct actors_seen){.what = NULL};
}

/* A foreign thread, copied: what it waits for. */
static void look_at_thread(struct dump *d, void *rec)
{
	const struct weft_task *c = &d->copy, *again = &d->again;

	weft__waits_look(&d->tracer.peek, c, &d->waits);
	weft__actors_look(&d->tracer.peek, c, rec, &d->actors);
	if (!copy_record(d, rec, &d->again) || c->id != again->id || load_relaxed(&c->wait) != load_relaxed(&again->wait))
		forget_waits(d);
}

/* Copies the record to d->copy, its stack's trace to d->trace, and what it waits for to d->waits and d->actors. False: not in use. */
static bool look(struct dump *d, void *rec, enum found *found, unsigned *worker)
{
	struct weft_task *c = &d->copy;
	struct regs r;

	*found = FOUND_MOVED;
	*worker = 0;
	d->trace.n = 0;
	for (int i = 0; i < LOOKS && *found == FOUND_MOVED; i++) {
		if (!copy_record(d, rec, c) || !in_use(c))
			return false;
		*found = FOUND_NONE;
		forget_waits(d);
		if (task_is(c, TASK_FOREIGN))
			look_at_thread(d, rec);
		if (task_is(c, TASK_FOREIGN) || load_relaxed(&c->state) == WEFT_TASK_NEW || load_relaxed(&c->state) == WEFT_TASK_DONE)
			return true;
		if (!at_rest(c) && !in_section(c)) {
			*found = running(d, rec, worker);
			weft__actors_look(&d->tracer.peek, c, rec, &d->actors);
			continue;
		}
		*found = FOUND_MOVED;
		if (!c->ctx.sp)
			continue;
		r = (struct regs){.pc = (uintptr_t)c->ctx.pc, .sp = (uintptr_t)c->ctx.sp, .fp = (uintptr_t)c->ctx.fp};
		weft__backtrace_walk(&d->tracer, &r, &d->trace);
		weft__waits_look(&d->tracer.peek, c, &d->waits);
		weft__actors_look(&d->tracer.peek, c, rec, &d->actors);
		if (copy_record(d, rec, &d->again) && stood_still(c, &d->again))
			*found = FOUND_STACK;
		else
			forget_waits(d);
	}
	return true;
}

static void put_task(struct dump *d, enum found found, unsigned worker)
{
	if (d->n > sizeof d->out - OUT_TASK)
		flush(d);
	put_head(d, &d->copy, worker);
	put_waits(d);
	switch (found) {
	case FOUND_NONE:
		break;
	case FOUND_STACK:
		put_trace(d);
		break;
	case FOUND_MOVED:
		put(d, "    (it moved on while we looked)\n");
		break;
	case FOUND_BUSY:
		put(d, "    (its worker did not show its stack)\n");
		break;
	}
}

/* --- folding --- */

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 32;
}

/* The kind of d->copy, counted; NULL when there are too many. */
static struct kind *kind_of(struct dump *d, enum found found)
{
	const struct weft_task *c = &d->copy;
	uint64_t h = mix(mix(mix((uintptr_t)c->fn, (uintptr_t)c->site), load_relaxed(&c->state)), found);
	int64_t waited = load_relaxed(&c->state) == WEFT_TASK_PARKED && !task_is(c, TASK_FOREIGN) ? d->now - c->parked_at : 0;

	if (parked(c))
		h = mix(h, load_relaxed(&c->reason) + 1u);
	if (found == FOUND_STACK) {
		for (int i = 0; i < d->trace.n; i++)
			h = mix(h, d->trace.pc[i]);
	}
	h |= 1;
	for (size_t i = 0; i < 16; i++) {
		struct kind *k = &d->kinds[(h / 2 + i) & (KINDS - 1)];

		if (!k->hash)
			*k = (struct kind){.hash = h, .first_id = c->id};
		if (k->hash == h) {
			k->count++;
			if (waited > k->longest)
				k->longest = waited;
			return k;
		}
	}
	return NULL;
}

static void put_folded(struct dump *d)
{
	for (size_t i = 0; i < KINDS; i++) {
		struct kind *k = &d->kinds[i];

		if (k->count <= DUMP_ALIKE)
			continue;
		if (d->n > sizeof d->out - OUT_TASK)
			flush(d);
		put(d, "(and %zu more like task %llu", k->count - DUMP_ALIKE, (unsigned long long)k->first_id);
		if (k->longest > 0) {
			put(d, ", the longest for ");
			put_time(d, k->longest);
		}
		put(d, ")\n");
	}
}

/* --- all --- */

static bool count(void *rec, void *arg)
{
	struct dump *d = arg;
	struct weft_task *c = &d->copy;

	if (!copy_record(d, rec, c) || !in_use(c))
		return true;
	if (load_relaxed(&c->state) == WEFT_TASK_DONE)
		d->ended++;
	else if (task_is(c, TASK_FOREIGN))
		d->threads++;
	else
		d->tasks_of[load_relaxed(&c->home) % RUNTIMES_MAX]++; /* a copy */
	return true;
}

static bool is_straggler(struct dump *d, void *rec)
{
	struct weft_task *t = rec;

	return weft__task_alive(t, load_acquire(&t->state)) && task_of(t, d->only) &&
	       !weft__life_excused(t); /* pairs with those who store it with release */
}

static bool show(void *rec, void *arg)
{
	struct dump *d = arg;
	struct kind *k = NULL;
	enum found found;
	unsigned worker;

	if (d->stragglers && !is_straggler(d, rec))
		return true;
	if (!look(d, rec, &found, &worker) || load_relaxed(&d->copy.state) == WEFT_TASK_DONE)
		return true;
	if (d->only && (task_is(&d->copy, TASK_FOREIGN) || load_relaxed(&d->copy.home) != d->only->home)) /* a copy */
		return true;
	if (found == FOUND_STACK)
		trim_trace(d);
	if (d->tasks > DUMP_FULL_TASKS)
		k = kind_of(d, found);
	if (!k || k->count <= DUMP_ALIKE)
		put_task(d, found, worker);
	return !d->broken;
}

/* Of one runtime; or of all that are up, and they stay until the end. */
static struct dump *begin(int fd, struct runtime *only)
{
	struct dump *d = mmap(NULL, sizeof *d, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (d == MAP_FAILED)
		return NULL;
	d->fd = fd;
	d->now = clock_now();
	weft__tracer_open(&d->tracer);
	d->only = only;
	for (unsigned i = 0; i < RUNTIMES_MAX; i++) {
		if (load_relaxed(&weft__rts[i].run)) /* a look: most numbers are nobody's */
			d->rt[i] = weft__rt_enter_home(i);
	}
	weft__rec_foreach(count, d);
	for (unsigned i = 0; i < RUNTIMES_MAX; i++) {
		if (!only || only->home == i)
			d->tasks += d->tasks_of[i];
	}
	return d;
}

static void end(struct dump *d)
{
	for (unsigned i = 0; i < RUNTIMES_MAX; i++) {
		if (d->rt[i])
			weft__rt_leave(d->rt[i]);
	}
	weft__tracer_close(&d->tracer);
	weft__symbols_close(&d->symbols);
	munmap(d, sizeof *d);
}

/* 0, or why it was not taken. */
static int finish(struct dump *d)
{
	int rc;

	weft__rec_foreach(show, d);
	put_folded(d);
	if (d->ended)
		put(d, "(%zu more have ended, and are kept by handles that were not joined or detached)\n", d->ended);
	flush(d);
	rc = d->broken;
	end(d);
	return rc;
}

static void put_runtime(struct dump *d, struct runtime *rt, bool first)
{
	unsigned workers = load_relaxed(&rt->wish), spares = load_relaxed(&rt->spares); /* looks */
	int retired = (int)(rt_seats(rt) - rt_active(rt));
	size_t tasks = d->tasks_of[rt->home];

	if (rt->home)
		put(d, "weft: runtime %u: ", rt->home);
	else
		put(d, "weft: ");
	put(d, "%zu task%s on %u worker%s", tasks, tasks == 1 ? "" : "s", workers, workers == 1 ? "" : "s");
	if (spares)
		put(d, " and %u spare", spares);
	if (retired > 0)
		put(d, ", %d retired", retired);
	if (first && d->threads)
		put(d, ", %zu thread%s that weft did not make", d->threads, d->threads == 1 ? "" : "s");
	put(d, "\n");
}

int weft__dump_all(int fd, struct runtime *only)
{
	int saved = errno;
	struct dump *d = begin(fd, only);
	bool first = !only;
	int rc;

	if (!d) {
		weft__log("no memory to dump the tasks");
		errno = saved;
		return WEFT_ENOMEM;
	}
	for (unsigned i = 0; i < RUNTIMES_MAX; i++) {
		if (!d->rt[i] || (only && only != d->rt[i]))
			continue;
		put_runtime(d, d->rt[i], first);
		first = false;
	}
	rc = finish(d);
	errno = saved;
	return rc;
}

void weft__dump_deadlock(const struct verdict *v)
{
	int saved = errno;
	struct dump *d = begin(STDERR_FILENO, NULL);

	if (!d) {
		weft__log("deadlock: all %zu tasks wait for each other (no memory to show them)", v->tasks);
		errno = saved;
		return;
	}
	if (v->foreign)
		put(d, "weft: no task can go on, unless a thread that weft did not make wakes one; going on\n");
	else if (v->tasks == 1)
		put(d, "weft: deadlock: the only task waits for something that no other can do\n");
	else
		put(d, "weft: deadlock: all %zu tasks wait for each other\n", v->tasks);
	(void)finish(d);
	errno = saved;
}

/* A private mapping, as above: tasks that panic at the same time show themselves each, and weft goes on. */
void weft__dump_self(void)
{
	struct dump *d = mmap(NULL, sizeof *d, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct worker *w = weft__worker();
	struct weft_task *t = w ? load_relaxed(&w->cur) : NULL; /* own */

	if (d == MAP_FAILED) {
		weft__log("no memory to show where");
		return;
	}
	if (w)
		d->rt[w->home] = w->rt; /* the caller is in it */
	d->fd = STDERR_FILENO;
	d->now = clock_now();
	weft__tracer_open(&d->tracer);
	weft__backtrace_self(&d->tracer, &d->trace);
	if (t && copy_record(d, t, &d->copy)) {
		weft__actors_look(&d->tracer.peek, &d->copy, t, &d->actors);
		put_head(d, &d->copy, w->id + 1);
	} else
		put(d, w ? "worker %u, on its own stack:\n" : "a thread that runs no task:\n", w ? w->id + 1 : 0);
	trim_trace(d);
	put_trace(d);
	flush(d);
	weft__tracer_close(&d->tracer);
	weft__symbols_close(&d->symbols);
	munmap(d, sizeof *d);
}

/* --- stragglers --- */

static bool count_straggler(void *rec, void *arg)
{
	struct dump *d = arg;

	d->info_n += is_straggler(d, rec);
	return true;
}

int weft__dump_stragglers(struct runtime *rt)
{
	int saved = errno, n = 0;
	struct dump *d = begin(STDERR_FILENO, rt);

	if (!d) {
		weft__log("shutdown: the grace is over, and tasks have not ended (no memory to show them)");
		errno = saved;
		return 0;
	}
	d->stragglers = true;
	d->ended = 0;
	weft__rec_foreach(count_straggler, d);
	n = d->info_n;
	if (n)
		put(d, "weft: shutdown: %d task%s not ended\n", n, n == 1 ? " has" : "s have");
	(void)finish(d);
	errno = saved;
	return n;
}

static void put_info(struct dump *d, weft_task_info *i)
{
	const struct weft_task *c = &d->copy;
	uint8_t state = load_relaxed(&c->state); /* a private copy, here and below */
	struct weft_site site;
	const struct symbol *s;

	*i = (weft_task_info){.id = c->id, .state = (enum weft_task_state)state, .reason = ""};
	if (c->site && peek_all(&d->tracer.peek, c->site, &site, sizeof site)) {
		i->file = site.file;
		i->line = site.line;
		(void)weft__peek_text(&d->tracer.peek, site.fn, i->name, sizeof i->name);
	} else if ((s = weft__symbol_find(&d->symbols, (uintptr_t)c->fn))->name && !s->ours) {
		snprintf(i->name, sizeof i->name, "%s", s->name);
	}
	if (c->name)
		(void)weft__peek_text(&d->tracer.peek, c->name, i->name, sizeof i->name);
	if (state == WEFT_TASK_PARKED) {
		i->reason = weft__reason_name((enum task_reason)load_relaxed(&c->reason));
		i->waited = c->parked_at > 0 && d->now > c->parked_at ? d->now - c->parked_at : 0;
	}
}

static bool collect(void *rec, void *arg)
{
	struct dump *d = arg;

	if (!is_straggler(d, rec) || !copy_record(d, rec, &d->copy) || !in_use(&d->copy) || load_relaxed(&d->copy.state) == WEFT_TASK_DONE)
		return true;
	if (d->info_n < d->info_max)
		put_info(d, &d->info[d->info_n]);
	d->info_n++;
	return true;
}

int weft__list_stragglers(struct runtime *rt, weft_task_info *out, int max)
{
	int saved = errno, n;
	struct dump *d = begin(-1, rt);

	if (!d)
		return 0;
	d->info = out;
	d->info_max = max;
	weft__rec_foreach(collect, d);
	n = d->info_n;
	end(d);
	errno = saved;
	return n;
}
