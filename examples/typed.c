/* SPDX-License-Identifier: MIT
 *
 * typed.c - typed channels: words go to counters, counts come back; the compiler knows what each channel carries.
 */
#include <stdio.h>
#include <string.h>
#include <weft.h>

struct count {
	const char *word;
	size_t letters;
};

CHAN_DEFINE(const char *, words);
CHAN_DEFINE(struct count, counts);

static void counter(words *in, counts *out, waitgroup *g)
{
	chan_foreach (in, const char *, w)
		chan_put(out, ((struct count){w, strlen(w)})); /* chan_put(out, w) would not compile */
	wg_done(g);
}

WEFT_MAIN(argc, argv)
{
	static const char *const text[] = {"a", "chain", "of", "threads", "that", "cross", "is", "called", "weft"};
	words *in = words_make(0);
	counts *out = counts_make(sizeof text / sizeof *text);
	waitgroup g = {0};
	size_t letters = 0;
	struct count longest = {"", 0};
	int end;

	(void)argc;
	(void)argv;
	if (!in || !out)
		return 1;
	wg_add(&g, 3);
	for (int i = 0; i < 3; i++) {
		if (go(counter, in, out, &g) != 0)
			return 1;
	}
	for (size_t i = 0; i < sizeof text / sizeof *text; i++)
		words_send(in, text[i]);
	words_close(in);
	wg_wait(&g);
	counts_close(out);

	chan_foreach (out, struct count, c, &end) {
		letters += c.letters;
		if (c.letters > longest.letters)
			longest = c;
	}
	printf("%s\n", end == WEFT_ECLOSED ? "all counted" : weft_strerror(end));
	printf("%zu letters; the longest word is \"%s\"\n", letters, longest.word);
	words_free(in);
	counts_free(out);
	return 0;
}
