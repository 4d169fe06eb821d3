/* SPDX-License-Identifier: MIT
 *
 * weft/bufio.h - buffered readers and writers over any byte stream, and small streams to put together: memory, limits, tees, pairs.
 *
 *     weft_rd r;
 *     weft_wr w;
 *     char *line;
 *
 *     if (weft_rd_init(&r, weft_tcp_io(c), NULL, 4096) == 0 && weft_wr_init(&w, weft_tcp_io(c), NULL, 4096) == 0) {
 *             weft_rd_tie(&r, &w);              answers go out together, before it waits for more questions
 *             while (weft_rd_line(&r, &line) >= 0)
 *                     weft_wr_printf(&w, "you said: %s\r\n", line);
 *     }
 *     weft_wr_free(&w);
 *     weft_rd_free(&r);
 *
 * Deadlines, cancel and errors are those of the stream below. What is in the buffer is given, or fits into it, without looking at them. What ends in an error
 * has not lost a byte: a call that has timed out may be made again.
 *
 * A reader or writer, and each small stream but the ends of a pair, is one task's at a time. It holds no reference to the stream below.
 */
#ifndef WEFT_BUFIO_H
#define WEFT_BUFIO_H

#include "error.h"
#include "export.h"
#include "io.h"
#include "time.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

WEFT_BEGIN_DECLS

#define WEFT_BUF_MIN 16    /* bytes that a buffer has at least */
#define WEFT_BUF_SIZE 8192 /* bytes of a buffer whose size is given as 0 */

/* --- memory --- */

/* A growing buffer: written at its end, read from its start. Zeroed memory is an empty one. One over memory of the caller's, to be read: {.data = p, .end = n}; the first
 * write copies it. */
typedef struct weft_membuf {
	char *data;
	size_t at, end; /* data[at] to data[end - 1] are to be read; data[end] is 0 if anything has been written */
	size_t limit;   /* bytes to be read that it may hold; 0: as many as memory has */
	size_t weft__size;
} weft_membuf;

/* weft_membuf_io - the buffer as a stream: reads take from it (0: it is empty), writes append.
 *
 * Errors of writes: WEFT_ENOBUFS: more than its limit (what fits has been written); WEFT_ENOMEM. Blocks: no.
 */
WEFT_API weft_io weft_membuf_io(weft_membuf *m);

/* weft_membuf_append - append n bytes. Returns 0, WEFT_ENOBUFS, WEFT_ENOMEM: then nothing was appended. */
WEFT_API int weft_membuf_append(weft_membuf *m, const void *buf, size_t n);

/* weft_membuf_free - frees its memory, not the caller's; it is empty then, and may be used again. */
WEFT_API void weft_membuf_free(weft_membuf *m);

/* --- buffered reading --- */

struct weft_wr;

/* Private fields. */
typedef struct weft_rd {
	weft_io weft__io;
	char *weft__buf;
	size_t weft__size;          /* bytes of it; one more is for the 0 behind a line */
	size_t weft__at, weft__end; /* what is read and not taken */
	int weft__status;           /* why the stream below is not read any more; 0: it is */
	int weft__last;             /* the byte taken last, for unread; -1: none */
	bool weft__own;             /* buf is to be freed */
	struct weft_wr *weft__tied; /* to be flushed before the stream below is read; NULL: nothing */
} weft_rd;

/* weft_rd_init - a reader of io.
 *
 *   buf   size bytes, the caller's, as long as the reader is used; NULL: it makes a buffer of its own, and weft_rd_free must follow
 *   size  at least WEFT_BUF_MIN; no line with its end, and no peek, can be longer than this less 1 (a last line without an end: less 2). 0, without buf: WEFT_BUF_SIZE
 *
 * Returns 0, WEFT_EINVAL, WEFT_ENOMEM. Blocks: no.
 */
WEFT_API int weft_rd_init(weft_rd *r, weft_io io, void *buf, size_t size);

/* weft_rd_free - frees the buffer, if it is its own. What it has read and not given is lost. The stream is not closed. */
WEFT_API void weft_rd_free(weft_rd *r);

/* weft_rd_reset - drop what is buffered, and any error, and read from io from here on. */
WEFT_API void weft_rd_reset(weft_rd *r, weft_io io);

/* weft_rd_tie - flush w whenever the reader is about to read from the stream below: what was asked is answered before more is waited for, and answers to what came together go out together.
 *
 *   w  as long as the reader is used; NULL: no more
 *
 * (To flush when nothing is buffered is not enough: half a question may be.) A call whose flush fails returns that error.
 */
WEFT_API void weft_rd_tie(weft_rd *r, struct weft_wr *w);

/* weft_rd_buffered - bytes that are there without reading. */
WEFT_API size_t weft_rd_buffered(const weft_rd *r);

/* Of all calls below: errors come after the bytes before them. WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN, WEFT_ENOMEM and WEFT_ESRCH of the stream below may pass, and the
 * next call tries again; any other error of it stays, until weft_rd_reset. Except from weft_rd_read, the end is WEFT_EOF.
 * Block: as the stream below. */

/* weft_rd_read - read what is there, at least a byte, at most n.
 *
 * Reads at most once from the stream below, and around the buffer if that is empty and n is larger.
 * Returns 1 to n; 0: the end (or n is 0); or an error.
 */
WEFT_API ssize_t weft_rd_read(weft_rd *r, void *buf, size_t n);
WEFT_API ssize_t weft_rd_read_until(weft_rd *r, void *buf, size_t n, int64_t deadline);

/* weft_rd_full - read exactly n bytes.
 *
 *   done  receives how many are in buf, also after an error: the call may go on from there; NULL: not wanted
 *
 * Returns n, or an error; WEFT_EOF: the end came before (done 0: before the first).
 */
WEFT_API ssize_t weft_rd_full(weft_rd *r, void *buf, size_t n, size_t *done);
WEFT_API ssize_t weft_rd_full_until(weft_rd *r, void *buf, size_t n, size_t *done, int64_t deadline);

/* weft_rd_peek - look at n bytes or more, which are not taken.
 *
 *   p  receives where they are, until the next call of this reader
 *
 * Returns how many are there, n or more; or an error, WEFT_ENOBUFS: more than fit into the buffer, WEFT_EOF: fewer come (weft_rd_buffered says how many), and *p is NULL.
 */
WEFT_API ssize_t weft_rd_peek(weft_rd *r, size_t n, const char **p);
WEFT_API ssize_t weft_rd_peek_until(weft_rd *r, size_t n, const char **p, int64_t deadline);

/* weft_rd_discard - drop n bytes. As weft_rd_full: done receives how many were dropped. */
WEFT_API int64_t weft_rd_discard(weft_rd *r, uint64_t n, uint64_t *done);
WEFT_API int64_t weft_rd_discard_until(weft_rd *r, uint64_t n, uint64_t *done, int64_t deadline);

/* weft_rd_line - the next line, as a string without its end (LF or CR LF).
 *
 *   line  receives where it is, until the next call of this reader; the caller may write to it; NULL on error. It may hold zeros: its length is what is returned
 *
 * What comes before the end without an end of line is the last line.
 * Returns its length; or an error, WEFT_EOF: no line comes; WEFT_ENOBUFS: it does not fit into the buffer; nothing is lost: weft_rd_skip passes over it, and
 * weft_rd_full of as many bytes as weft_rd_buffered says takes a piece of it, after which this call gives the next piece, or its end, which comes as a line of its own.
 */
WEFT_API ssize_t weft_rd_line(weft_rd *r, char **line);
WEFT_API ssize_t weft_rd_line_until(weft_rd *r, char **line, int64_t deadline);

/* weft_rd_delim - the bytes up to the next `delim`, and with it. As weft_rd_line, but nothing is changed or added: the last piece before the end may lack the delimiter. */
WEFT_API ssize_t weft_rd_delim(weft_rd *r, char delim, char **piece);
WEFT_API ssize_t weft_rd_delim_until(weft_rd *r, char delim, char **piece, int64_t deadline);

/* weft_rd_skip - drop all up to the next `delim`, and that. Returns how many bytes, or an error: what had come by then has been dropped. */
WEFT_API int64_t weft_rd_skip(weft_rd *r, char delim);
WEFT_API int64_t weft_rd_skip_until(weft_rd *r, char delim, int64_t deadline);

/* weft_rd_byte - the next byte. Returns 0 to 255, or an error. */
WEFT_API int weft_rd_byte(weft_rd *r);
WEFT_API int weft_rd_byte_until(weft_rd *r, int64_t deadline);

/* weft_rd_unread - the byte taken last, by whatever call, is to come again. Returns 0; WEFT_EINVAL: none was taken, or it was looked at (peek) or put back since, or more was read. Blocks: no. */
WEFT_API int weft_rd_unread(weft_rd *r);

/* weft_rd_all - read to the end.
 *
 *   to     what is read is appended to it, also what came before an error
 *   limit  bytes that may come; more: WEFT_ENOBUFS, and what is beyond is still to be read
 *
 * Returns how many bytes, or an error; WEFT_ENOMEM, WEFT_ENOBUFS: what `to` does not take is still to be read.
 */
WEFT_API ssize_t weft_rd_all(weft_rd *r, weft_membuf *to, size_t limit);
WEFT_API ssize_t weft_rd_all_until(weft_rd *r, weft_membuf *to, size_t limit, int64_t deadline);

/* weft_rd_io - the reader as a stream: for whoever reads on by other means. Writes, shutdown, deadlines and close are those of the stream below. */
WEFT_API weft_io weft_rd_io(weft_rd *r);

/* --- buffered writing --- */

/* Private fields. */
typedef struct weft_wr {
	weft_io weft__io;
	char *weft__buf;
	size_t weft__size, weft__have; /* bytes of it, and of those written and not sent */
	int weft__status;              /* why nothing more is written; 0: it is */
	bool weft__own;                /* buf is to be freed */
} weft_wr;

/* weft_wr_init - a writer to io. As weft_rd_init. */
WEFT_API int weft_wr_init(weft_wr *w, weft_io io, void *buf, size_t size);

/* weft_wr_free - frees the buffer, if it is its own. What was not flushed is lost. The stream is not closed. */
WEFT_API void weft_wr_free(weft_wr *w);

/* weft_wr_reset - drop what is buffered, and any error, and write to io from here on. */
WEFT_API void weft_wr_reset(weft_wr *w, weft_io io);

/* weft_wr_buffered - bytes that wait for a flush. */
WEFT_API size_t weft_wr_buffered(const weft_wr *w);

/* Of all calls below: what does not fit into the buffer goes to the stream at once, behind what is buffered, in one call of it (writev). WEFT_ETIMEDOUT, WEFT_ECANCELED,
 * WEFT_EAGAIN, WEFT_ENOMEM and WEFT_ESRCH may pass: what was buffered and not sent still is. Any other error stays: all calls return it until weft_wr_reset, so it is enough to
 * look at what the last flush returns.
 * Block: as the stream below, when the buffer is full. */

/* weft_wr_write - write n bytes.
 *
 *   done  receives how many of them are sent or buffered, n on success; NULL: not wanted
 *
 * Returns n, or an error.
 */
WEFT_API ssize_t weft_wr_write(weft_wr *w, const void *buf, size_t n, size_t *done);
WEFT_API ssize_t weft_wr_write_until(weft_wr *w, const void *buf, size_t n, size_t *done, int64_t deadline);

/* weft_wr_byte - write a byte. Returns 0, or an error: it was not written. */
WEFT_API int weft_wr_byte(weft_wr *w, char byte);
WEFT_API int weft_wr_byte_until(weft_wr *w, char byte, int64_t deadline);

/* weft_wr_printf - write as printf(3) does.
 *
 * Returns the length of the text; or an error: nothing of it was written, except that of a text longer than the buffer a part may have been; then that error stays. WEFT_EINVAL: the
 * format or an argument of it is wrong; WEFT_ENOMEM.
 */
WEFT_API ssize_t weft_wr_printf(weft_wr *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
WEFT_API ssize_t weft_wr_printf_until(weft_wr *w, int64_t deadline, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
WEFT_API ssize_t weft_wr_vprintf(weft_wr *w, const char *fmt, va_list args) __attribute__((format(printf, 2, 0)));
WEFT_API ssize_t weft_wr_vprintf_until(weft_wr *w, int64_t deadline, const char *fmt, va_list args) __attribute__((format(printf, 3, 0)));

/* weft_wr_flush - send what is buffered. Returns 0, or an error. */
WEFT_API int weft_wr_flush(weft_wr *w);
WEFT_API int weft_wr_flush_until(weft_wr *w, int64_t deadline);

/* weft_wr_io - the writer as a stream, whose shutdown of writing flushes first. Reads, deadlines and close are those of the stream below; close does not flush. */
WEFT_API weft_io weft_wr_io(weft_wr *w);

/* --- streams to put together --- */

/* weft_null_io - reads find the end, writes go nowhere. */
WEFT_API weft_io weft_null_io(void);

/* The first `left` bytes of a stream, then the end; left counts down. Writes, shutdown, deadlines and close are those of the stream. */
typedef struct weft_limited {
	weft_io io;
	uint64_t left;
} weft_limited;
WEFT_API weft_io weft_limited_io(weft_limited *l);

/* What is read from a stream, and written to a second before it is given. An error of the second stays in status, and is what reads return from then on. Writes, shutdown, deadlines and
 * close are those of the first. */
typedef struct weft_tee {
	weft_io from, to;
	int status; /* 0 to begin with */
} weft_tee;
WEFT_API weft_io weft_tee_io(weft_tee *t);

/* Several streams one after the other: the end of one is the beginning of the next. To be read only. */
typedef struct weft_chain {
	const weft_io *part;
	int parts;
	int at; /* which is read; 0 to begin with */
} weft_chain;
WEFT_API weft_io weft_chain_io(weft_chain *c);

/* weft_io_pair - two streams, of which each reads what is written to the other, for tests and between tasks. There is no buffer: a write returns when all of it has been
 * read.
 *
 * The ends behave as those of a connection: deadlines, shutdown (the peer reads to the end), close (the peer reads the end, and its writes get WEFT_EPIPE; who waits at the end that
 * is closed gets WEFT_ECLOSED). Each end is closed once, by weft_io_close, and not used afterwards; and both are done with when weft_run returns.
 *
 * Returns 0, WEFT_ENOMEM. Blocks: no; reads and writes of the ends do (condition). Threads: any; several tasks may use one end.
 */
WEFT_API int weft_io_pair(weft_io *a, weft_io *b);

WEFT_END_DECLS

#endif
