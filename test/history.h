/* SPDX-License-Identifier: MIT
 *
 * history.h - what has happened to each value that was sent, and whether channels may do such a thing.
 *
 * Every call takes a ticket before and one after, from one counter, so that it is known of two calls whether one ended before the other began.
 * Whoever sends a value notes in its record what became of that, whoever receives it the same; a receiver that found a channel empty notes that in a record of
 * its own. When all is over history_judge looks at each channel ("line") by itself:
 *
 *   - a value whose send returned 0 was received exactly once, from the line that it went to; one whose send failed was not;
 *   - first in, first out: no value was sent before another one, and received after it;
 *   - nothing was "empty" while a value that had been sent lay there;
 *   - it never held more than its capacity;
 *   - nothing was sent after a send was told that it is closed, nothing received after a receive was.
 *
 * Each says so only where the tickets leave no doubt. When calls cannot have been interrupted between their first ticket and the channel's lock (one worker,
 * no monitor: "strict") their first tickets alone are their order, also of those that then waited: who came first is served first.
 */
#ifndef WEFT_TEST_HISTORY_H
#define WEFT_TEST_HISTORY_H

#include "base/atomic.h"
#include "base/compiler.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a record is; those of a value are added up by sender and receiver. */
enum { FATE_NONE = 0, FATE_SENT = 1, FATE_REFUSED = 1 << 4, FATE_GOT = 1 << 8, FATE_EMPTY = 1 << 16 };

struct span {
	uint32_t begin, end; /* tickets */
};

struct record {
	struct span sent, got;    /* of an observation: both the observer's */
	uint16_t sent_on, got_on; /* lines */
	ATOMIC(uint32_t) fate;
};

struct line_past {
	uint32_t cap;
	ATOMIC(uint32_t) refused;            /* the first ticket at which it was certainly closed; 0: none */
	ATOMIC(uint32_t) drained;            /* ... closed and empty */
	ATOMIC(uint64_t) sent, got, signals; /* sent and received; signals: without identity (elements of no size) */
};

struct history {
	struct record *records;
	struct line_past *lines;
	uint32_t nrecords, nlines;
	bool strict;
	ATOMIC(uint32_t) ticket;
	char complaint[160];
};

static inline void history_begin(struct history *h, struct record *records, uint32_t nrecords, struct line_past *lines, uint32_t nlines,
				 bool strict)
{
	memset(records, 0, nrecords * sizeof *records);
	memset(lines, 0, nlines * sizeof *lines);
	*h = (struct history){.records = records, .lines = lines, .nrecords = nrecords, .nlines = nlines, .strict = strict};
}

static inline uint32_t history_ticket(struct history *h)
{
	return add_acq_rel(&h->ticket, 1u) + 1; /* both: what is between two tickets stays there */
}

/* --- notes; NULL, or what is wrong at first sight --- */

static inline void history_sent(struct history *h, uint32_t value, uint16_t line, struct span s)
{
	struct record *v = &h->records[value];

	v->sent = s;
	v->sent_on = line;
	add_relaxed(&h->lines[line].sent, 1u);
	add_acq_rel(&v->fate, (uint32_t)FATE_SENT); /* pairs with itself */
}

static inline const char *history_not_sent(struct history *h, uint32_t value)
{
	return add_acq_rel(&h->records[value].fate, (uint32_t)FATE_REFUSED) & FATE_GOT ? "its send failed, but it has been received" : NULL;
}

static inline const char *history_got(struct history *h, uint32_t value, uint16_t line, struct span s)
{
	struct record *v = &h->records[value];
	uint32_t was = add_acq_rel(&v->fate, (uint32_t)FATE_GOT); /* pairs with itself */

	if (was / FATE_GOT)
		return was & FATE_EMPTY ? "never sent" : "received twice";
	if (was & FATE_REFUSED)
		return "received, but its send failed";
	v->got = s;
	v->got_on = line;
	add_relaxed(&h->lines[line].got, 1u);
	return NULL;
}

/* A receive from the line found nothing. */
static inline void history_empty(struct history *h, uint32_t record, uint16_t line, struct span s)
{
	struct record *v = &h->records[record];

	v->sent = v->got = s;
	v->sent_on = v->got_on = line;
	store_relaxed(&v->fate, (uint32_t)FATE_EMPTY); /* nobody else's until all is over */
}

static inline void history_earliest(ATOMIC(uint32_t) *at, uint32_t ticket)
{
	uint32_t was = load_relaxed(at);

	while ((was == 0 || was > ticket) && !cas_relaxed(at, &was, ticket)) /* looked at when all is over */
		;
}

/* --- the judgement --- */

static inline const char *history_wrong(struct history *h, uint32_t line, const struct record *a, const struct record *b, const char *what)
{
	int n = snprintf(h->complaint, sizeof h->complaint, "channel %u: %s", line, what);

	for (const struct record *r = a; r; r = r == b ? NULL : b) {
		n += snprintf(h->complaint + n, sizeof h->complaint - (size_t)n, "; record %u: sent %u-%u, received %u-%u",
			      (uint32_t)(r - h->records), r->sent.begin, r->sent.end, r->got.begin, r->got.end);
		if (n >= (int)sizeof h->complaint)
			break;
	}
	return h->complaint;
}

/* When the value was in, and when it was not yet out. */
static inline uint32_t record_in(const struct history *h, const struct record *v)
{
	return h->strict ? v->sent.begin : v->sent.end;
}

static inline uint32_t record_out(const struct history *h, const struct record *v)
{
	return h->strict ? v->got.begin : v->got.end;
}

struct moment {
	uint32_t at;
	const struct record *v;
};

static inline int moment_order(const void *a, const void *b)
{
	uint32_t x = ((const struct moment *)a)->at, y = ((const struct moment *)b)->at;

	return x < y ? -1 : x > y;
}

/* For each record b: of those values that were in before b's send began, the last one to go must have begun to go before b was out. An observation that it was
 * empty is in line like a value that is sent and received at once. */
static inline const char *judge_order(struct history *h, uint32_t line, struct record **v, uint32_t n, struct moment *in,
				      struct moment *begin)
{
	const struct record *last = NULL;
	uint32_t values = 0, k = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (v[i]->fate != FATE_EMPTY)
			in[values++] = (struct moment){record_in(h, v[i]), v[i]};
		begin[i] = (struct moment){v[i]->sent.begin, v[i]};
	}
	qsort(in, values, sizeof *in, moment_order);
	qsort(begin, n, sizeof *begin, moment_order);
	for (uint32_t i = 0; i < n; i++) {
		const struct record *b = begin[i].v;

		for (; k < values && in[k].at < b->sent.begin; k++) {
			if (!last || in[k].v->got.begin > last->got.begin)
				last = in[k].v;
		}
		if (last && last->got.begin > record_out(h, b))
			return history_wrong(h, line, last, b,
					     b->fate == FATE_EMPTY ? "found empty while a value lay there" : "values have changed places");
	}
	return NULL;
}

/* Those that were in, and not yet about to go, at one and the same moment. */
static inline const char *judge_capacity(struct history *h, uint32_t line, struct record **v, uint32_t n, struct moment *in,
					 struct moment *out)
{
	uint32_t lying = 0, k = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (v[i]->fate != FATE_EMPTY && v[i]->sent.end < v[i]->got.begin) {
			in[lying] = (struct moment){v[i]->sent.end, v[i]};
			out[lying++] = (struct moment){v[i]->got.begin, v[i]};
		}
	}
	qsort(in, lying, sizeof *in, moment_order);
	qsort(out, lying, sizeof *out, moment_order);
	for (uint32_t i = 0; i < lying; i++) {
		while (out[k].at < in[i].at)
			k++;
		if (i + 1 - k > h->lines[line].cap)
			return history_wrong(h, line, in[i].v, NULL, "holds more than its capacity");
	}
	return NULL;
}

static inline const char *judge_line(struct history *h, uint32_t line, struct record **v, uint32_t n, struct moment *scratch)
{
	uint32_t refused = h->lines[line].refused, drained = h->lines[line].drained;
	const char *wrong;

	for (uint32_t i = 0; i < n; i++) {
		if (v[i]->fate == FATE_EMPTY)
			continue;
		if (refused && v[i]->sent.begin > refused)
			return history_wrong(h, line, v[i], NULL, "sent after it was closed");
		if (drained && v[i]->got.begin > drained)
			return history_wrong(h, line, v[i], NULL, "received after it was closed and empty");
	}
	wrong = judge_order(h, line, v, n, scratch, scratch + n);
	return wrong ? wrong : judge_capacity(h, line, v, n, scratch, scratch + n);
}

static inline const char *judge_fates(struct history *h)
{
	for (uint32_t i = 0; i < h->nrecords; i++) {
		struct record *v = &h->records[i];
		uint32_t fate = v->fate;

		switch (fate) {
		case FATE_NONE:
		case FATE_REFUSED:
		case FATE_EMPTY:
			break;
		case FATE_SENT | FATE_GOT:
			if (v->sent_on != v->got_on)
				return history_wrong(h, v->sent_on, v, NULL, "its value came out of another");
			break;
		case FATE_SENT:
			return history_wrong(h, v->sent_on, v, NULL, "lost");
		default:
			return history_wrong(h, v->sent_on, v, NULL, fate & FATE_SENT ? "received twice" : "received, but not sent");
		}
	}
	for (uint32_t l = 0; l < h->nlines; l++) {
		if (h->lines[l].sent != h->lines[l].got)
			return history_wrong(h, l, NULL, NULL, "not as many received as sent");
	}
	return NULL;
}

/* NULL, or what is wrong. Nobody writes to it any more. */
static inline const char *history_judge(struct history *h)
{
	const char *wrong = judge_fates(h);
	struct record **by_line = calloc(h->nrecords, sizeof(struct record *));
	struct moment *scratch = calloc(2 * (size_t)h->nrecords, sizeof *scratch);
	uint32_t *end = calloc(h->nlines + 1, sizeof *end); /* of each line in by_line; first its beginning */

	if (!by_line || !scratch || !end)
		abort();
	for (uint32_t i = 0; i < h->nrecords; i++) {
		if (h->records[i].fate & (FATE_SENT | FATE_EMPTY))
			end[h->records[i].sent_on + 1]++;
	}
	for (uint32_t l = 0; l < h->nlines; l++)
		end[l + 1] += end[l];
	for (uint32_t i = 0; i < h->nrecords; i++) {
		if (h->records[i].fate & (FATE_SENT | FATE_EMPTY))
			by_line[end[h->records[i].sent_on]++] = &h->records[i];
	}
	for (uint32_t l = 0; l < h->nlines && !wrong; l++) {
		uint32_t first = l ? end[l - 1] : 0;

		wrong = judge_line(h, l, by_line + first, end[l] - first, scratch);
	}
	free(by_line);
	free(scratch);
	free(end);
	return wrong;
}

/* A number of all that has happened, and in which order. */
static inline uint64_t history_hash(const struct history *h)
{
	uint64_t x = 0xcbf29ce484222325ULL;

	for (uint32_t i = 0; i < h->nrecords; i++) {
		const struct record *v = &h->records[i];
		uint32_t words[] = {v->sent.begin, v->sent.end, v->got.begin, v->got.end, (uint32_t)v->sent_on << 16 | v->got_on, v->fate};

		for (size_t k = 0; k < sizeof words / sizeof *words; k++)
			x = (x ^ words[k]) * 0x100000001b3ULL;
	}
	for (uint32_t l = 0; l < h->nlines; l++) {
		x = (x ^ h->lines[l].refused) * 0x100000001b3ULL;
		x = (x ^ h->lines[l].drained) * 0x100000001b3ULL;
	}
	return x;
}

#endif
