/* SPDX-License-Identifier: MIT
 *
 * weft/stream.h - streams: elements of one size, one after the other, through stages into a sink; nothing runs before it is asked for, and no faster.
 *
 *     weft_stream *s = weft_stream_of(numbers, n, sizeof numbers[0]);
 *
 *     s = weft_stream_map(s, sizeof(double), root, NULL);
 *     s = weft_stream_filter(s, wanted, NULL);
 *     s = weft_stream_name(weft_stream_take(s, 10), "ten of them");
 *     rc = weft_stream_each(s, print, NULL);
 *     if (rc < 0 && weft_stream_error(s, &e))
 *             printf("%s: %s\n", e.stage, weft_strerror(e.code));
 *     weft_stream_free(s);
 *
 * A source makes a stream, a stage takes one over and returns another, a sink asks for elements; weft_stream_free ends all of it. A chain of stages needs one look at its end: what could
 * not be made (memory, arguments) is an error of the stream like any other, which the next stage passes on; so makers never return NULL, and nothing leaks.
 *
 * Pull: a sink asks the last stage for some elements, that one asks the stage before it, and so on up to the source, all in the sink's task, by plain calls. There is no queue, no task and no
 * allocation an element; stages that have tasks of their own say so (weft_stream_buffer, _parallel, _merge). A call asks for up to a batch (512 elements, or what 8 KiB hold), and gets what is there, at
 * least one: a batch is never waited for. What nobody asks for is not taken from the source: behind weft_stream_take(s, 3) a channel has lost three elements.
 *
 * Errors: an element function that returns a negative number fails its stage. The elements before come first, then every call returns that error; weft_stream_error says which stage it was. A source's end is handed on likewise.
 * WEFT_ECANCELED, WEFT_ETIMEDOUT and WEFT_EAGAIN of a call mean its caller, its deadline: no element is lost, and the next call goes on. (A stage with tasks of its own is under the context of
 * the task that made it; when that is cancelled it fails with WEFT_ECANCELED, when that is past its deadline with WEFT_ETIMEDOUT, for good.) Freeing goes the other way: sources are given back, writers get WEFT_EPIPE, tasks are cancelled and waited for.
 *
 * An element is copied by its bytes, as in a channel, and one that nobody has read when its stream is freed is forgotten (but see on_drop); elements are aligned for their type if its alignment is at most 16. Element functions run in the task that pulls, one at a time, unless a stage says otherwise; they may block. `arg` is
 * theirs as long as the stream lives. A stream is one task's at a time (WEFT_EBUSY, where it is noticed), as are its stages; one whose element function has
 * ended its task, or panicked, can only be freed. It needs no runtime, where no stage needs one, and any thread may use it.
 *
 * Deadlines bound the waiting, of stages too, and how long a stage or a sink goes on over a source that always has some; what is there at once is given also past it. weft_stream_read_until(s, ..., WEFT_NOW) takes what is there.
 */
#ifndef WEFT_STREAM_H
#define WEFT_STREAM_H

#include "bufio.h"
#include "chan.h"
#include "error.h"
#include "export.h"
#include "gen.h"
#include "io.h"
#include "time.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

WEFT_BEGIN_DECLS

typedef struct weft_stream weft_stream;

#define WEFT_STREAM_ELEM_MAX 1048576 /* bytes of an element */
#define WEFT_STREAM_NAME_MAX 31      /* bytes of a stage's name; a longer one is cut */

/* weft_stream_free - end s and all stages and sources it is made of. NULL is allowed.
 *
 * What a source was given over is given back (weft_stream_rx: the channel's senders get WEFT_EPIPE); a writer of weft_stream_open gets WEFT_EPIPE; tasks of stages are cancelled and waited for.
 * Nobody pulls it any more. Blocks: if it has tasks, until they have ended, also if the caller is cancelled. Threads: any; one whose tasks have begun is to be freed before their runtime ends, else this waits for ever.
 */
WEFT_API void weft_stream_free(weft_stream *s);

/* weft_stream_name - name the last stage of s (copied, cut; NULL: its kind, "map"), not once tasks of its own run, or others look at it. Returns s. */
WEFT_API weft_stream *weft_stream_name(weft_stream *s, const char *name);

/* weft_stream_elem - bytes of an element of s; 0 if s could not be made. */
WEFT_API size_t weft_stream_elem(const weft_stream *s);

/* What has gone wrong, and where. */
typedef struct weft_stream_err {
	int code;                             /* negative; 0: nothing */
	char stage[WEFT_STREAM_NAME_MAX + 1]; /* its name; "" */
} weft_stream_err;

/* weft_stream_error - the error that has ended s, or that it could not be made for. (One that elements are still in front of is not told yet.)
 *
 *   out  receives it, with the stage's name; NULL: not wanted
 *
 * Returns its code; 0: none. Threads: whoever pulls.
 */
WEFT_API int weft_stream_error(const weft_stream *s, weft_stream_err *out);

/* --- sources ---
 *
 * Of all makers: they never return NULL, and never block. Errors of the stream that they return: WEFT_ENOMEM; WEFT_EINVAL: a pointer is NULL that must not be, a size is 0 or beyond WEFT_STREAM_ELEM_MAX, a number is out of range. What
 * they were given over is given back then, too.
 */

/* weft_stream_of - the n elements of an array. It is borrowed: it must live as long as the stream, and is read where it lies. n may be 0. */
WEFT_API weft_stream *weft_stream_of(const void *array, size_t n, size_t elem);

/* weft_stream_range - the int64_t numbers from, from + step, ... before `to` (step < 0: above it). step 0: WEFT_EINVAL. */
WEFT_API weft_stream *weft_stream_range(int64_t from, int64_t to, int64_t step);

/* weft_stream_from - what a function gives, element by element.
 *
 *   next      writes an element to out: 1; 0: the end; negative: the source fails, but after WEFT_EAGAIN, WEFT_ETIMEDOUT and WEFT_ECANCELED it is asked again. It should not wait beyond the deadline
 *   done      called once with arg when the stream is freed, also if it could not be made; NULL: nothing is
 */
typedef int weft_stream_next_fn(void *out, void *arg, int64_t deadline);
WEFT_API weft_stream *weft_stream_from(size_t elem, weft_stream_next_fn *next, void (*done)(void *arg), void *arg);

/* weft_stream_chan - what is received from a channel, until it is closed and empty; it holds a reference of c. weft_stream_rx - the same of a receiving end, which it takes over. */
WEFT_API weft_stream *weft_stream_chan(weft_chan *c);
WEFT_API weft_stream *weft_stream_rx(weft_rx *r);

/* weft_stream_gen - the values of a generator, which it takes over. elem: bytes of a value, as in weft_gen_make. */
WEFT_API weft_stream *weft_stream_gen(weft_gen *g, size_t elem);

/* weft_stream_ticker - the time (int64_t, of weft_now) every ns nanoseconds, the first one so much after the first pull. Ticks that nobody asked for in time are left out. */
WEFT_API weft_stream *weft_stream_ticker(int64_t ns);

/* An element that is a piece of a source's buffer: valid until the stream is pulled again. So a stage or sink that keeps elements refuses a stream of these (WEFT_EINVAL), until a map, scan, zip or flat_map has made
 * something else of them: weft_stream_collect, _to_chan, _buffer, _parallel, _merge, _tee, _partition, _distinct, _dedup, _batch, _window, _debounce. */
typedef struct weft_bytes {
	const char *data;
	size_t n;
} weft_bytes;

/* weft_stream_lines - the lines of a byte stream, without their ends (LF or CR LF), as weft_bytes. The last one may lack its end.
 *
 *   io   borrowed, read ahead of the lines that have been asked for
 *   max  bytes that a line may have with its end, at least WEFT_BUF_MIN; a longer one is an error, WEFT_ENOBUFS. 0: WEFT_STREAM_LINE_MAX
 *
 * weft_stream_file_lines - the same of a file, which is opened at the first pull and closed with the stream. path is copied. Errors as of weft_file_open and _read.
 * weft_stream_bytes - what a byte stream gives, piece by piece, as it comes, up to max bytes each, as weft_bytes. 0: WEFT_STREAM_LINE_MAX. weft_stream_file_bytes: of a file.
 */
#define WEFT_STREAM_LINE_MAX 65536
WEFT_API weft_stream *weft_stream_lines(weft_io io, size_t max);
WEFT_API weft_stream *weft_stream_file_lines(const char *path, size_t max);
WEFT_API weft_stream *weft_stream_bytes(weft_io io, size_t max);
WEFT_API weft_stream *weft_stream_file_bytes(const char *path, size_t max);

/* weft_stream_retry - a stream that is made anew when it fails.
 *
 *   elem   bytes of an element of its
 *   make   makes it, at the first pull, and again; another size of element is WEFT_EINVAL, NULL is WEFT_ENOMEM. What has been given is not taken back: it should go on where the one before ended
 *   pause  is asked after each failure, with its code and how many there have been since an element came (1, 2, ...): nanoseconds until the next try, or negative: the error is final
 */
WEFT_API weft_stream *weft_stream_retry(size_t elem, weft_stream *(*make)(void *arg), int64_t (*pause)(int code, int failures, void *arg),
					void *arg);

/* weft_stream_failed - a stream that has failed with this code (negative, else WEFT_EINVAL): for functions that make streams. */
WEFT_API weft_stream *weft_stream_failed(int code);

/* --- a stream that others write to --- */

typedef struct weft_stream_tx weft_stream_tx; /* its writing end */

/* What a writer does when the stream holds `max` elements that nobody has read. */
enum weft_stream_policy {
	WEFT_STREAM_BLOCK,       /* waits */
	WEFT_STREAM_DROP_OLDEST, /* drops the one that would be read next, in favour of its own */
	WEFT_STREAM_DROP_LATEST, /* drops its own */
	WEFT_STREAM_UNBOUNDED,   /* there is no max: memory grows */
};

/* Zero is the default everywhere.
 *
 * on_mark(true, ...) is called when `high` elements are reached, and on_mark(false, ...) when there are no more than `low` again: by whoever wrote or read, with no lock held, one call at a time, never the same twice running;
 * on_mark(false, 0, ...) also when the stream is freed above its mark, behind what it drops. It needs `high`: without, it is WEFT_EINVAL, as is `low`.
 * on_drop is called for each element that is dropped, by the policy or because it was left in a stream that is freed: by whoever did that, with no lock held; it may free what the element points to.
 * Both must return: after a panic or weft_task_exit in on_mark nobody is told of a mark any more, and what on_drop was not called for is forgotten. */
typedef struct weft_stream_opts {
	size_t elem;                                       /* bytes of an element, 1 to WEFT_STREAM_ELEM_MAX. weft_stream_buffer: 0 */
	size_t max;                                        /* elements it holds, exactly; 0: 64. WEFT_STREAM_UNBOUNDED: 0 */
	enum weft_stream_policy policy;                    /* when it is full */
	size_t high, low;                                  /* water marks, low < high <= max; high 0: none */
	void (*on_mark)(bool high, size_t len, void *arg); /* NULL: only weft_stream_tx_high says */
	void (*on_drop)(const void *elem, void *arg);      /* elements of at most 1024 bytes; NULL: nothing */
	void *arg;                                         /* both functions' */
} weft_stream_opts;

/* weft_stream_open - a stream that is written to.
 *
 *   s, w  receive both ends: the stream, to be pulled as any other, and the writing end with one reference
 *
 * Returns 0; WEFT_ENOMEM; WEFT_EINVAL: out of range. On error both are NULL. Blocks: no. Threads: any.
 */
WEFT_API int weft_stream_open(weft_stream **s, weft_stream_tx **w, const weft_stream_opts *o);

/* weft_stream_tx_ref, weft_stream_tx_free - one writer more or less. The last one closes the stream, if nobody has. NULL is allowed in free. Threads: any. */
WEFT_API weft_stream_tx *weft_stream_tx_ref(weft_stream_tx *w);
WEFT_API void weft_stream_tx_free(weft_stream_tx *w);

/* weft_stream_write - write an element, under the policy.
 *
 *   elem  copied before return
 *
 * Returns 0: it is in the stream; 1: an element was dropped for it, the oldest, or it itself was; WEFT_ECLOSED: the stream was closed, or failed, by a writer; WEFT_EPIPE: it was freed by its reader;
 * WEFT_ENOMEM (without a bound); WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN (WEFT_NOW). After an error nothing has changed.
 * Blocks: yes (condition), under WEFT_STREAM_BLOCK. Threads: any, several at a time. Order: the write happens before the element is read.
 */
WEFT_API int weft_stream_write(weft_stream_tx *w, const void *elem);
WEFT_API int weft_stream_write_until(weft_stream_tx *w, const void *elem, int64_t deadline);

/* weft_stream_write_many - write n elements, one after the other; those of others may come between.
 *
 *   done  receives how many have been written (or dropped): n, or fewer after an error; NULL: not wanted
 *
 * Returns how many elements were dropped, 0 if all were written and none dropped; or an error, as above.
 */
WEFT_API ssize_t weft_stream_write_many(weft_stream_tx *w, const void *elems, size_t n, size_t *done);
WEFT_API ssize_t weft_stream_write_many_until(weft_stream_tx *w, const void *elems, size_t n, size_t *done, int64_t deadline);

/* weft_stream_close - no more elements: the reader gets what is in it, then the end. Writers that wait get WEFT_ECLOSED.
 * weft_stream_fail - the same with an error, negative, in place of the end.
 *
 * Return 0; WEFT_ECLOSED: it was closed before, or failed; WEFT_EINVAL: NULL, or no error. Block: no. Threads: any.
 */
WEFT_API int weft_stream_close(weft_stream_tx *w);
WEFT_API int weft_stream_fail(weft_stream_tx *w, int code);

/* weft_stream_tx_len - elements in it now. _dropped - how many were dropped by the policy so far. _high - is it above its water mark (from `high` until `low`)? Threads: any. */
WEFT_API size_t weft_stream_tx_len(weft_stream_tx *w);
WEFT_API uint64_t weft_stream_tx_dropped(weft_stream_tx *w);
WEFT_API bool weft_stream_tx_high(weft_stream_tx *w);

/* --- simple stages: no task, no queue ---
 *
 * Of all stages: s is taken over. If it is NULL, WEFT_EINVAL. Errors besides, as of sources.
 */

/* weft_stream_map - fn of each element.
 *
 *   elem  bytes of what fn writes to out
 *   fn    0; negative: an error
 */
typedef int weft_stream_map_fn(const void *in, void *out, void *arg);
WEFT_API weft_stream *weft_stream_map(weft_stream *s, size_t elem, weft_stream_map_fn *fn, void *arg);

/* weft_stream_map_batch - the same with a function of n elements, 1 to a batch, one behind the other at in and out, which do not overlap: a loop that the compiler may vectorise. Returns 0;
 * negative: an error, before all of these. */
typedef int weft_stream_map_batch_fn(const void *in, void *out, size_t n, void *arg);
WEFT_API weft_stream *weft_stream_map_batch(weft_stream *s, size_t elem, weft_stream_map_batch_fn *fn, void *arg);

/* weft_stream_filter - the elements that fn returns more than 0 for; 0: it is left out; negative: an error. */
typedef int weft_stream_filter_fn(const void *e, void *arg);
WEFT_API weft_stream *weft_stream_filter(weft_stream *s, weft_stream_filter_fn *fn, void *arg);

/* weft_stream_filter_batch - the same of n elements: fn copies those that stay from in to out, in order, and returns how many; negative: an error. out is either in itself, or does not overlap it: go upwards. */
typedef ssize_t weft_stream_filter_batch_fn(const void *in, void *out, size_t n, void *arg);
WEFT_API weft_stream *weft_stream_filter_batch(weft_stream *s, weft_stream_filter_batch_fn *fn, void *arg);

/* weft_stream_filter_map_batch - both at once: fn writes to out what has become of the n elements at in, n at most, and returns how many; negative: an error. They do not overlap.
 *
 *   elem  bytes of what fn writes to out
 */
WEFT_API weft_stream *weft_stream_filter_map_batch(weft_stream *s, size_t elem, weft_stream_filter_batch_fn *fn, void *arg);

/* weft_stream_take - the first n elements, then the end; more are not asked for. weft_stream_drop - all but the first n. */
WEFT_API weft_stream *weft_stream_take(weft_stream *s, uint64_t n);
WEFT_API weft_stream *weft_stream_drop(weft_stream *s, uint64_t n);

/* weft_stream_take_while - elements up to the first that fn returns 0 for, which is lost, as is what was asked for together with it (up to a batch). weft_stream_drop_while - all from the first that fn returns 0 for. */
WEFT_API weft_stream *weft_stream_take_while(weft_stream *s, weft_stream_filter_fn *fn, void *arg);
WEFT_API weft_stream *weft_stream_drop_while(weft_stream *s, weft_stream_filter_fn *fn, void *arg);

/* weft_stream_scan - a fold that shows each step: for each element, what acc has become.
 *
 *   acc   bytes of it
 *   init  its value before the first element, copied; NULL: zeroes
 *   fn    changes it: 0; negative: an error
 */
typedef int weft_stream_fold_fn(void *acc, const void *e, void *arg);
WEFT_API weft_stream *weft_stream_scan(weft_stream *s, size_t acc, const void *init, weft_stream_fold_fn *fn, void *arg);

/* weft_stream_distinct - elements of which no equal one, byte for byte, has come before.
 *
 *   max  different ones that are remembered; one more is an error, WEFT_ENOBUFS. 0: as many as memory has (WEFT_ENOMEM)
 *
 * weft_stream_dedup - elements that differ from the one before.
 */
WEFT_API weft_stream *weft_stream_distinct(weft_stream *s, size_t max);
WEFT_API weft_stream *weft_stream_dedup(weft_stream *s);

/* weft_stream_flat_map - the elements of the stream that fn makes of each element, one stream after the other. They are freed at their end; an error of one is the stage's, under the name of the stage that it was in.
 *
 *   elem  bytes of an element of theirs; another size is WEFT_EINVAL
 *   fn    makes a stream; NULL: of this element there is nothing
 */
typedef weft_stream *weft_stream_flat_map_fn(const void *e, void *arg);
WEFT_API weft_stream *weft_stream_flat_map(weft_stream *s, size_t elem, weft_stream_flat_map_fn *fn, void *arg);

/* weft_stream_concat - n streams one after the other, of elements of one size. */
WEFT_API weft_stream *weft_stream_concat(weft_stream *const *streams, size_t n);

/* weft_stream_zip - fn of an element of a and one of b, until either ends. What was asked of a and finds none of b then is lost.
 *
 *   fn  writes elem bytes to out: 0; negative: an error
 */
typedef int weft_stream_zip_fn(const void *a, const void *b, void *out, void *arg);
WEFT_API weft_stream *weft_stream_zip(weft_stream *a, weft_stream *b, size_t elem, weft_stream_zip_fn *fn, void *arg);

/* --- several elements as one --- */

/* An element of a batch or a window: its count and its elements, in a struct of the caller's type: WEFT_STREAM_BATCH(int, 16) b; b.n, b.e[0] to b.e[b.n - 1]. For T of an alignment of at most that of size_t. */
#define WEFT_STREAM_BATCH(T, max) \
	struct {                  \
		size_t n;         \
		T e[max];         \
	}

/* weft_stream_batch - n elements at a time, or fewer: those that have come within max_wait nanoseconds of the first, and the last ones. An element is a WEFT_STREAM_BATCH of n.
 *
 *   max_wait  0 or more; WEFT_FOREVER: until there are n
 */
WEFT_API weft_stream *weft_stream_batch(weft_stream *s, size_t n, int64_t max_wait);

/* weft_stream_window - every `step` elements, the last `size` of them, as a WEFT_STREAM_BATCH of size. step == size: one after the other; smaller: they overlap; larger: some are in none. The end
 * gives what has come since the last, if it is less: a last window that is not full (with step < size: the last `size` or fewer). */
WEFT_API weft_stream *weft_stream_window(weft_stream *s, size_t size, size_t step);

/* weft_stream_window_time - every `step` nanoseconds, from the first pull on, what has come within the last `span` of them, at most the last max, as a WEFT_STREAM_BATCH of max; none if nothing has. step <= span. The end gives what
 * has come since the last. */
WEFT_API weft_stream *weft_stream_window_time(weft_stream *s, int64_t span, int64_t step, size_t max);

/* --- time --- */

/* weft_stream_throttle - no more than `rate` elements every `per` nanoseconds, `burst` of them at once: as weft_limiter_make. The rest waits. */
WEFT_API weft_stream *weft_stream_throttle(weft_stream *s, int64_t rate, int64_t per, int64_t burst);

/* weft_stream_debounce - an element once none has followed it for ns nanoseconds; those that were followed are dropped. The last one comes at once with the end. */
WEFT_API weft_stream *weft_stream_debounce(weft_stream *s, int64_t ns);

/* weft_stream_timeout - an error, WEFT_ETIMEDOUT, if an element is asked for and does not come within ns nanoseconds. */
WEFT_API weft_stream *weft_stream_timeout(weft_stream *s, int64_t ns);

/* --- stages with tasks of their own ---
 *
 * Their tasks begin at the first pull, under the context of whoever made the stage, in a group that is the stage's: when it is freed they are cancelled and waited for. They need a runtime (WEFT_ESRCH). A panic in them is an error of the
 * stage: WEFT_EPANIC.
 */

/* weft_stream_buffer - a task pulls s ahead of its reader, and writes what it gets into a stream as of weft_stream_open, with its options: how a source that cannot wait is told what to do.
 *
 *   o  .elem 0 (or that of s); NULL: 64 elements, WEFT_STREAM_BLOCK
 */
WEFT_API weft_stream *weft_stream_buffer(weft_stream *s, const weft_stream_opts *o);

/* Zero is the default everywhere. */
typedef struct weft_stream_par {
	int tasks;     /* that call fn at a time; 0: as many as there are workers; 1 for a foreign thread */
	size_t window; /* elements that are begun and not read yet, at most, no fewer than tasks; 0: 32 times tasks, or what 64 KiB of results hold, at least 4 times */
	bool unordered; /* results come as they are ready, else in the order of the elements */
} weft_stream_par;

/* weft_stream_parallel - weft_stream_map with fn called by several tasks at a time, an element each: for functions that wait or compute for microseconds and more.
 *
 * Of an error: in order, the results of the elements before it come first; else those that were ready. Nothing more is begun; what still runs is cancelled once the error is told.
 */
WEFT_API weft_stream *weft_stream_parallel(weft_stream *s, size_t elem, weft_stream_map_fn *fn, void *arg, const weft_stream_par *o);

/* weft_stream_merge - the elements of n streams (of one size), as they come, a task each. Of those that have some, each is served in its turn. It ends when all have ended; the error of one ends it, behind what had been pulled by then. */
WEFT_API weft_stream *weft_stream_merge(weft_stream *const *streams, size_t n);

/* --- one stream into several --- */

/* weft_stream_tee - n streams, of which each gives every element of s. weft_stream_partition - n streams; which(e, arg), 0 to n - 1, says which of them gives e; negative: an error.
 *
 *   out     receives the n streams, each to be freed; none is NULL
 *   max     elements each may be behind, exactly; 0: 64 (WEFT_STREAM_UNBOUNDED: it must be 0)
 *   policy  what happens when one is so far behind: WEFT_STREAM_BLOCK: the others wait for it (so they should be read by tasks of their own, all of them); DROP_OLDEST, DROP_LATEST: it loses elements; UNBOUNDED: memory grows
 *
 * There is no task: whichever stream is asked for an element and has none pulls s, for all. End and error of s come to each, behind its elements. A stream that is freed does not count any more (its part of a partition is dropped);
 * the last one frees s. Different streams may be read by different tasks.
 */
WEFT_API void weft_stream_tee(weft_stream *s, size_t n, weft_stream **out, size_t max, enum weft_stream_policy policy);
WEFT_API void weft_stream_partition(weft_stream *s, size_t n, weft_stream **out, int (*which)(const void *e, void *arg), void *arg,
				    size_t max, enum weft_stream_policy policy);

/* --- sinks ---
 *
 * They run in the calling task, and leave s to it: to be read on, asked for its error, freed. Of all: if an error ends s, that error; WEFT_ECANCELED, WEFT_ETIMEDOUT, WEFT_EAGAIN as anywhere: what was consumed by then stays
 * consumed, the rest is in s. WEFT_EINVAL: s is NULL, or another argument; WEFT_EBUSY: somebody is pulling it; WEFT_ENOMEM.
 * A sink whose own function stops it, or fails, leaves the elements behind that one in s.
 * Block: yes, as the stages and the source do. A task that has been at it for long lets others run in between.
 */

/* weft_stream_read - the next elements, at least one.
 *
 *   out  room for max of them
 *
 * Returns how many, 1 to max; 0: the end (or max is 0); or an error.
 */
WEFT_API ssize_t weft_stream_read(weft_stream *s, void *out, size_t max);
WEFT_API ssize_t weft_stream_read_until(weft_stream *s, void *out, size_t max, int64_t deadline);

/* weft_stream_view - the same in place: *p is where they lie, in the array of weft_stream_of, or in a buffer of the stream's, until the next call upon s. At most a batch. They count as read. */
WEFT_API ssize_t weft_stream_view(weft_stream *s, const void **p, size_t max);
WEFT_API ssize_t weft_stream_view_until(weft_stream *s, const void **p, size_t max, int64_t deadline);

/* weft_stream_each - call fn for every element: 0; more than 0: it is enough; negative: an error of the sink's, which s does not keep. The element is consumed in each case.
 *
 * Returns how many elements were given to fn; or an error.
 */
typedef int weft_stream_each_fn(const void *e, void *arg);
WEFT_API int64_t weft_stream_each(weft_stream *s, weft_stream_each_fn *fn, void *arg);
WEFT_API int64_t weft_stream_each_until(weft_stream *s, weft_stream_each_fn *fn, void *arg, int64_t deadline);

/* weft_stream_fold - the same with an accumulator. */
WEFT_API int64_t weft_stream_fold(weft_stream *s, void *acc, weft_stream_fold_fn *fn, void *arg);
WEFT_API int64_t weft_stream_fold_until(weft_stream *s, void *acc, weft_stream_fold_fn *fn, void *arg, int64_t deadline);

/* weft_stream_fold_batch - the same with a function of n elements. Returns 0: all are consumed; negative: an error, all are consumed as well. */
typedef int weft_stream_fold_batch_fn(void *acc, const void *in, size_t n, void *arg);
WEFT_API int64_t weft_stream_fold_batch(weft_stream *s, void *acc, weft_stream_fold_batch_fn *fn, void *arg);
WEFT_API int64_t weft_stream_fold_batch_until(weft_stream *s, void *acc, weft_stream_fold_batch_fn *fn, void *arg, int64_t deadline);

/* weft_stream_collect - all elements as an array, to be given to free(3).
 *
 *   out  receives it; NULL when there are none
 *   n    receives how many
 *   max  elements that may come; more: WEFT_ENOBUFS, *out has max of them, and the rest is in s. 0: as many as memory has
 *
 * Returns how many; or an error. After every error *out has what was read before it, to be freed as well.
 */
WEFT_API int64_t weft_stream_collect(weft_stream *s, void **out, size_t *n, size_t max);
WEFT_API int64_t weft_stream_collect_until(weft_stream *s, void **out, size_t *n, size_t max, int64_t deadline);

/* weft_stream_count - read to the end. Returns how many elements there were; or an error. */
WEFT_API int64_t weft_stream_count(weft_stream *s);
WEFT_API int64_t weft_stream_count_until(weft_stream *s, int64_t deadline);

/* weft_stream_to_chan - send every element into a channel of elements of that size, which is not closed. Returns how many; or an error, WEFT_ECLOSED, WEFT_EPIPE: of the channel; what it did not take is in s. */
WEFT_API int64_t weft_stream_to_chan(weft_stream *s, weft_chan *c);
WEFT_API int64_t weft_stream_to_chan_until(weft_stream *s, weft_chan *c, int64_t deadline);

/* weft_stream_to_io - write every element to a byte stream, buffered, and flushed whenever s would have to wait, and at the end.
 *
 *   put  writes one, by weft_wr_write_until, weft_wr_printf_until, ...: 0 or more; negative: an error. NULL: the element's bytes as they are, or, of weft_bytes, the bytes that it names
 *
 * Returns how many elements; or an error: what was written and not flushed by then is lost.
 *
 * weft_stream_to_file - the same to a file, which is made, or emptied, with these permissions (less the umask), and closed.
 */
typedef ssize_t weft_stream_put_fn(const void *e, weft_wr *w, void *arg, int64_t deadline);
WEFT_API int64_t weft_stream_to_io(weft_stream *s, weft_io io, weft_stream_put_fn *put, void *arg);
WEFT_API int64_t weft_stream_to_io_until(weft_stream *s, weft_io io, weft_stream_put_fn *put, void *arg, int64_t deadline);
WEFT_API int64_t weft_stream_to_file(weft_stream *s, const char *path, unsigned mode, weft_stream_put_fn *put, void *arg);
WEFT_API int64_t weft_stream_to_file_until(weft_stream *s, const char *path, unsigned mode, weft_stream_put_fn *put, void *arg,
					   int64_t deadline);

/* WEFT_STREAM_FOREACH (s, T, v) { ... } - for each element, in a variable v of type T, which is declared here. T of another size than the elements' is a fatal error. break, continue, return and goto are
 * allowed in it: elements behind are in s. How it ended says weft_stream_read, called once more: 0, or the error. */
#define WEFT_STREAM_FOREACH(s, T, v) for (__typeof__(T) v; weft__stream_step((s), &v, sizeof(v));)
WEFT_API bool weft__stream_step(weft_stream *s, void *out, size_t size);

/* --- what it does --- */

/* A stage, as it is now. */
typedef struct weft_stream_stat {
	char name[WEFT_STREAM_NAME_MAX + 1];
	const char *kind; /* "map"; static */
	uint64_t in;      /* elements it was given by the stages before it */
	uint64_t out;     /* elements it has given; of an array less those that a sink has given back */
	uint64_t pulls;   /* calls that have asked it for some */
	uint64_t waits;   /* of these, those that found none at once, and waited or gave up: only of stages between tasks */
	uint64_t dropped; /* elements lost to a policy, or to weft_stream_debounce */
	uint64_t errors;  /* 1 once it, or one before it, has failed */
	uint64_t ns;      /* time in it and in those before it; 0 unless weft_stream_clock was called */
} weft_stream_stat;

/* weft_stream_stats - the stages of s, from the source (those of the first, where there are several) to the last, each once.
 *
 *   out  room for n; NULL if n is 0
 *
 * Returns how many stages there are, whatever n is. Blocks: no. Threads: any, while the stream runs, as long as nobody frees it, adds a stage or names one. Numbers of different stages may be of slightly different times.
 */
WEFT_API size_t weft_stream_stats(const weft_stream *s, weft_stream_stat *out, size_t n);

/* weft_stream_clock - measure time from now on, in all its stages: two looks at the clock a batch and stage. Returns s. */
WEFT_API weft_stream *weft_stream_clock(weft_stream *s);

/* When elements were counted last. Zeroed: never. */
typedef struct weft_stream_meter {
	uint64_t count;
	int64_t at;
} weft_stream_meter;

/* weft_stream_rate - elements a second that s has given since the last call with this meter; 0 for the first one. Threads: any, one a meter.
 *
 * weft_stream_stat_rate - the same of one stage, as weft_stream_stats has just told of it: a meter a stage. NULL: 0.
 */
WEFT_API double weft_stream_rate(const weft_stream *s, weft_stream_meter *m);
WEFT_API double weft_stream_stat_rate(const weft_stream_stat *st, weft_stream_meter *m);

/* --- typed stages: expressions ---
 *
 * At file scope, each defines a function NAME, static and inline. The expression is compiled into a loop over a batch, so that a stage costs a call a batch, and the loop may be vectorised.
 *
 *     WEFT_STREAM_MAP(square, int64_t, x, int64_t, x * x)            weft_stream *square(weft_stream *s, void *arg);
 *     WEFT_STREAM_FILTER(even, int64_t, x, x % 2 == 0)               weft_stream *even(weft_stream *s, void *arg);
 *     WEFT_STREAM_STEPS(odd_ones, int64_t, x, int64_t, y,            weft_stream *odd_ones(weft_stream *s, void *arg);
 *                       x = x / 3;
 *                       if (x % 2 == 0)
 *                               continue;
 *                       y = x + 1)
 *     WEFT_STREAM_FOLD(sum, int64_t, acc, int64_t, x, acc += x)      int64_t sum(weft_stream *s, int64_t *acc, void *arg);      and sum_until(..., deadline)
 *
 *     int64_t total = 0;
 *
 *     rc = sum(even(square(s, NULL), NULL), &total, NULL);
 *
 * x is the element, of that type, arg what was given. Steps are any number of maps and filters in one stage, so in one loop: statements that compute y from x; `continue` leaves the element out; `break` is an
 * error of the stage, WEFT_EINVAL. A stream whose elements have another size than the type is an error, WEFT_EINVAL, of that stage.
 */
#define WEFT_STREAM_MAP(name, T, x, U, expr)                                                                                        \
	static inline int name##_batch_(const void *weft_in_, void *weft_out_, size_t weft_n_, void *arg)                           \
	{                                                                                                                           \
		const __typeof__(T) *weft_i_ = (const __typeof__(T) *)weft_in_;                                                     \
		__typeof__(U) *__restrict__ weft_o_ = (__typeof__(U) *)weft_out_;                                                   \
                                                                                                                                    \
		(void)arg;                                                                                                          \
		for (size_t weft_k_ = 0; weft_k_ < weft_n_; weft_k_++) {                                                            \
			const __typeof__(T) x = weft_i_[weft_k_];                                                                   \
			weft_o_[weft_k_] = (expr);                                                                                  \
		}                                                                                                                   \
		return 0;                                                                                                           \
	}                                                                                                                           \
	static inline weft_stream *name(weft_stream *s, void *arg)                                                                  \
	{                                                                                                                           \
		return weft_stream_name(weft_stream_map_batch(weft__stream_as(s, sizeof(T), #name), sizeof(U), name##_batch_, arg), \
					#name);                                                                                     \
	}

#define WEFT_STREAM_FILTER(name, T, x, expr)                                                                                        \
	static inline ssize_t name##_batch_(const void *weft_in_, void *weft_out_, size_t weft_n_, void *arg)                       \
	{                                                                                                                           \
		const __typeof__(T) *weft_i_ = (const __typeof__(T) *)weft_in_;                                                     \
		__typeof__(T) *weft_o_ = (__typeof__(T) *)weft_out_;                                                                \
		size_t weft_left_ = 0;                                                                                              \
                                                                                                                                    \
		(void)arg;                                                                                                          \
		for (size_t weft_k_ = 0; weft_k_ < weft_n_; weft_k_++) {                                                            \
			const __typeof__(T) x = weft_i_[weft_k_];                                                                   \
			weft_o_[weft_left_] = x;                                                                                    \
			weft_left_ += (expr) ? 1 : 0;                                                                               \
		}                                                                                                                   \
		return (ssize_t)weft_left_;                                                                                         \
	}                                                                                                                           \
	static inline weft_stream *name(weft_stream *s, void *arg)                                                                  \
	{                                                                                                                           \
		return weft_stream_name(weft_stream_filter_batch(weft__stream_as(s, sizeof(T), #name), name##_batch_, arg), #name); \
	}

#define WEFT_STREAM_STEPS(name, T, x, U, y, ...)                                                                                           \
	static inline ssize_t name##_batch_(const void *weft_in_, void *weft_out_, size_t weft_n_, void *arg)                              \
	{                                                                                                                                  \
		const __typeof__(T) *weft_i_ = (const __typeof__(T) *)weft_in_;                                                            \
		__typeof__(U) *__restrict__ weft_o_ = (__typeof__(U) *)weft_out_;                                                          \
		size_t weft_left_ = 0, weft_k_ = 0;                                                                                        \
                                                                                                                                           \
		(void)arg;                                                                                                                 \
		for (; weft_k_ < weft_n_; weft_k_++) {                                                                                     \
			__typeof__(T) x = weft_i_[weft_k_];                                                                                \
			__typeof__(U) y;                                                                                                   \
                                                                                                                                           \
			__VA_ARGS__;                                                                                                       \
			weft_o_[weft_left_++] = y;                                                                                         \
		}                                                                                                                          \
		return weft_k_ == weft_n_ ? (ssize_t)weft_left_ : WEFT_EINVAL;                                                             \
	}                                                                                                                                  \
	static inline weft_stream *name(weft_stream *s, void *arg)                                                                         \
	{                                                                                                                                  \
		return weft_stream_name(weft_stream_filter_map_batch(weft__stream_as(s, sizeof(T), #name), sizeof(U), name##_batch_, arg), \
					#name);                                                                                            \
	}

#define WEFT_STREAM_FOLD(name, A, acc, T, x, expr)                                                                            \
	static inline int name##_batch_(void *weft_acc_, const void *weft_in_, size_t weft_n_, void *arg)                     \
	{                                                                                                                     \
		const __typeof__(T) *weft_i_ = (const __typeof__(T) *)weft_in_;                                               \
		__typeof__(A) acc = *(__typeof__(A) *)weft_acc_;                                                              \
                                                                                                                              \
		(void)arg;                                                                                                    \
		for (size_t weft_k_ = 0; weft_k_ < weft_n_; weft_k_++) {                                                      \
			const __typeof__(T) x = weft_i_[weft_k_];                                                             \
			expr;                                                                                                 \
		}                                                                                                             \
		*(__typeof__(A) *)weft_acc_ = acc;                                                                            \
		return 0;                                                                                                     \
	}                                                                                                                     \
	static inline int64_t name##_until(weft_stream *s, __typeof__(A) *acc, void *arg, int64_t deadline)                   \
	{                                                                                                                     \
		return weft_stream_fold_batch_until(weft__stream_as(s, sizeof(T), #name), acc, name##_batch_, arg, deadline); \
	}                                                                                                                     \
	static inline int64_t name(weft_stream *s, __typeof__(A) *acc, void *arg)                                             \
	{                                                                                                                     \
		return name##_until(s, acc, arg, WEFT_FOREVER);                                                               \
	}

/* s; if its elements have another size, it has failed now, in a stage of that name. */
WEFT_API weft_stream *weft__stream_as(weft_stream *s, size_t elem, const char *stage);

WEFT_END_DECLS

#endif
