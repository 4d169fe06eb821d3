/* SPDX-License-Identifier: MIT
 *
 * slow_consumer.c - a consumer that gets slow for a while, and four ways to keep its queue short; each with a plot of what happens.
 *
 * The time is simulated, a step is a millisecond, so that the plot is the same on every machine. What is shown are weft's own credits, windows and detectors; where a task would park, the
 * simulation tries again in the next step. A column is ten steps: how many were waiting at the consumer after the last of them (mind the scale), and under it what the sender goes by.
 */
#include <stdio.h>
#include <string.h>
#include <weft.h>

enum { STEPS = 640, COLUMN = 10, COLUMNS = STEPS / COLUMN, ROWS = 8, OFFERED = 8, ROOM = 400 };

/* What the consumer can do in this step: ten, but four while something holds it up. */
static int speed(int step)
{
	return step >= 160 && step < 400 ? 4 : 10;
}

struct plot {
	int queue[COLUMNS]; /* at the end of a column */
	int under[COLUMNS]; /* what the sender goes by, then */
	int most, sent, dropped;
};

static void note(struct plot *p, int step, int queue, int under)
{
	if (queue > p->most)
		p->most = queue;
	if (step % COLUMN == COLUMN - 1) {
		p->queue[step / COLUMN] = queue;
		p->under[step / COLUMN] = under;
	}
}

static void draw(const char *title, const char *what, const struct plot *p, int top, int unit)
{
	printf("%s: at most %d waiting, %d sent, %d dropped\n", title, p->most, p->sent, p->dropped);
	for (int row = ROWS; row > 0; row--) {
		char line[COLUMNS + 1];
		int n = COLUMNS;

		for (int i = 0; i < COLUMNS; i++)
			line[i] = p->queue[i] * ROWS > (row - 1) * top ? '#' : ' ';
		while (n > 0 && line[n - 1] == ' ')
			n--;
		printf("%4d |%.*s\n", row * top / ROWS, n, line);
	}
	printf("     +");
	for (int i = 0; i < COLUMNS; i++)
		putchar(speed(i * COLUMN) < OFFERED ? '=' : '-');
	printf("  (= it is slow)\n      ");
	for (int i = 0; i < COLUMNS; i++)
		putchar(unit ? (p->under[i] / unit < 10 ? '0' + p->under[i] / unit : '9') : p->under[i] ? 'X' : '.');
	printf("  %s\n\n", what);
}

/* --- no flow control: a queue of so much room, and what does not fit is dropped --- */

static void nothing(void)
{
	struct plot p = {.most = 0};
	int queue = 0;

	for (int step = 0; step < STEPS; step++) {
		for (int i = 0; i < OFFERED; i++) {
			if (queue < ROOM) {
				queue++;
				p.sent++;
			} else {
				p.dropped++;
			}
		}
		queue -= queue < speed(step) ? queue : speed(step);
		note(&p, step, queue, p.dropped > 0);
	}
	draw("nothing", "X: some have been dropped", &p, ROOM, 0);
}

/* --- credits: the consumer grants what it has room for, and one more for each it has done --- */

static int with_credits(void)
{
	struct plot p = {.most = 0};
	int queue = 0, rc;
	weft_credit *c;

	rc = credit_make(&c, 32);
	if (rc)
		return rc;
	for (int step = 0; step < STEPS; step++) {
		int done;

		for (int i = 0; i < OFFERED && credit_take_until(c, 1, NOW) == 0; i++) { /* a task would wait: credit_take */
			queue++;
			p.sent++;
		}
		done = queue < speed(step) ? queue : speed(step);
		queue -= done;
		if (done)
			credit_grant(c, done);
		note(&p, step, queue, (int)credit_value(c));
	}
	draw("credits", "credits left, in fours", &p, 40, 4);
	credit_free(c);
	return 0;
}

/* --- windows: the sender sees only how long each takes --- */

static int with_window(const char *title, weft_window_opts o)
{
	static int sent_at[STEPS * OFFERED]; /* of each that was sent, in order */
	struct plot p = {.most = 0};
	int done = 0, rc;
	weft_window w;

	rc = window_init(&w, &o);
	if (rc)
		return rc;
	for (int step = 0; step < STEPS; step++) {
		for (int i = 0; i < OFFERED && p.sent - done < window_size(&w); i++)
			sent_at[p.sent++] = step;
		for (int i = 0; i < speed(step) && done < p.sent; i++) {
			int in = p.sent - done;

			window_sample(&w, (step - sent_at[done] + 1) * MS, in, false);
			done++;
		}
		note(&p, step, p.sent - done, window_size(&w));
	}
	draw(title, "the window, in tens", &p, 40, 10);
	return 0;
}

/* --- a detector: the sender stops while the queue is too long --- */

static int with_detector(const char *title, weft_congestion_opts o)
{
	struct plot p = {.most = 0};
	int queue = 0, rc;
	weft_congestion c;

	rc = congestion_init(&c, &o);
	if (rc)
		return rc;
	for (int step = 0; step < STEPS; step++) {
		if (!weft_congested(&c)) { /* a task would wait: congestion_wait */
			queue += OFFERED;
			p.sent += OFFERED;
		}
		queue -= queue < speed(step) ? queue : speed(step);
		congestion_see(&c, queue, (step + 1) * MS);
		note(&p, step, queue, weft_congested(&c));
	}
	draw(title, "X: congested", &p, ROOM, 0);
	return 0;
}

WEFT_MAIN(argc, argv)
{
	weft_congestion_opts marks = {.high = 200, .low = 50, .rise = 10 * MS, .fall = 20 * MS}, soon = marks;
	int rc;

	(void)argc;
	(void)argv;
	soon.ahead = 20 * MS;
	nothing();
	rc = with_credits();
	if (!rc)
		rc = with_window("AIMD on latency", (weft_window_opts){.rule = WEFT_AIMD, .target = 10 * MS, .most = 200});
	if (!rc)
		rc = with_window("Vegas", (weft_window_opts){.rule = WEFT_VEGAS, .most = 200});
	if (!rc)
		rc = with_window("gradient", (weft_window_opts){.rule = WEFT_GRADIENT, .most = 200});
	if (!rc)
		rc = with_detector("two marks", marks);
	if (!rc)
		rc = with_detector("two marks, seen 20 ms ahead", soon);
	if (rc)
		fprintf(stderr, "slow_consumer: %s\n", weft_strerror(rc));
	return rc != 0;
}
