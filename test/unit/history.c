/* SPDX-License-Identifier: MIT
 *
 * history.c - the judge of test/history.h lets pass what is in order, and nothing else.
 */
#include "tap.h"

#include "history.h"

struct fact {
	struct span sent, got;
};

/* What is said of a channel of that capacity, of these values, and perhaps of one that found it empty. */
static const char *said(uint32_t cap, bool strict, int n, const struct fact *f, struct span empty, uint32_t drained)
{
	static struct record records[8];
	static struct line_past lines[2];
	static struct history h;
	const char *wrong;

	history_begin(&h, records, 8, lines, 2, strict);
	lines[1].cap = cap;
	lines[1].drained = drained;
	for (int i = 0; i < n; i++) {
		history_sent(&h, (uint32_t)i, 1, f[i].sent);
		T_OK(!history_got(&h, (uint32_t)i, 1, f[i].got));
	}
	if (empty.end)
		history_empty(&h, 7, 1, empty);
	wrong = history_judge(&h);
	return wrong ? wrong : "nothing";
}

/* What must not be said of histories that are in order, and must be of those that are not. */
TEST(the_judge_knows_right_from_wrong)
{
	static const struct fact one[] = {{{1, 2}, {5, 6}}};
	static const struct fact in_turn[] = {{{1, 2}, {5, 6}}, {{3, 4}, {7, 8}}}, swapped[] = {{{1, 2}, {7, 8}}, {{3, 4}, {5, 6}}};
	static const struct fact at_once[] = {{{1, 4}, {7, 8}}, {{2, 3}, {5, 6}}}, handed[] = {{{2, 6}, {1, 5}}};
	static const struct span never = {0, 0};

	T_STR_EQ(said(2, false, 2, in_turn, never, 0), "nothing");
	T_STR_EQ(said(2, true, 2, in_turn, never, 0), "nothing");
	T_STR_HAS(said(1, false, 2, in_turn, never, 0), "more than its capacity");
	T_STR_HAS(said(2, false, 2, swapped, never, 0), "changed places");
	T_STR_EQ(said(2, false, 2, at_once, never, 0), "nothing");
	T_STR_HAS(said(2, true, 2, at_once, never, 0), "changed places");
	T_STR_EQ(said(0, true, 1, handed, never, 0), "nothing");
	T_STR_HAS(said(0, true, 1, one, never, 0), "more than its capacity");
	T_STR_EQ(said(1, false, 1, one, (struct span){2, 4}, 0), "nothing");
	T_STR_EQ(said(1, false, 1, one, (struct span){4, 6}, 0), "nothing");
	T_STR_HAS(said(1, false, 1, one, (struct span){3, 4}, 0), "found empty");
	T_STR_HAS(said(1, false, 1, one, never, 4), "after it was closed and empty");
}

/* Values that are lost, doubled, sent in spite of an error, or come out elsewhere. */
TEST(the_judge_counts)
{
	static struct record r[2];
	static struct line_past lines[3];
	static struct history h;
	struct span s = {1, 2};

	history_begin(&h, r, 2, lines, 3, false);
	history_sent(&h, 0, 1, s);
	T_STR_HAS(history_judge(&h), "lost");
	T_OK(!history_got(&h, 0, 1, s));
	T_OK(!history_judge(&h));
	T_STR_HAS(history_got(&h, 0, 1, s), "received twice");
	T_STR_HAS(history_judge(&h), "received twice");

	history_begin(&h, r, 2, lines, 3, false);
	T_OK(!history_got(&h, 0, 1, s));
	T_STR_HAS(history_judge(&h), "not sent");
	T_STR_HAS(history_not_sent(&h, 0), "has been received");
	T_OK(!history_not_sent(&h, 1));
	T_STR_HAS(history_got(&h, 1, 1, s), "send failed");

	history_begin(&h, r, 2, lines, 3, false);
	history_sent(&h, 0, 1, s);
	T_OK(!history_got(&h, 0, 2, s));
	T_STR_HAS(history_judge(&h), "out of another");
}
