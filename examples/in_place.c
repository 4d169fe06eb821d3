/* SPDX-License-Identifier: MIT
 *
 * in_place.c - pictures that are never copied: the camera draws each where it lies in the channel, the viewer looks at it there.
 */
#include <stdio.h>
#include <string.h>
#include <weft.h>

enum { WIDTH = 64, HEIGHT = 48 };

struct picture {
	int number;
	unsigned char pixel[HEIGHT][WIDTH];
};

CHAN_DEFINE(struct picture, pictures);

/* Draws n pictures, the third of which comes to nothing. */
static void camera(pictures *out, int n, waitgroup *g)
{
	struct picture *p;

	for (int i = 1; i <= n; i++) {
		if (pictures_reserve(out, &p) != 0) /* waits for a free slot */
			break;
		p->number = i;
		memset(p->pixel, i, sizeof p->pixel);
		if (i == 3)
			pictures_abort(out); /* the slot stays free */
		else
			pictures_commit(out); /* from here on it is the viewer's */
	}
	pictures_close(out);
	wg_done(g);
}

WEFT_MAIN(argc, argv)
{
	pictures *c = pictures_make(2); /* one is drawn while the other is looked at */
	struct picture *p;
	waitgroup g = {0};
	int rc;

	(void)argc;
	(void)argv;
	wg_add(&g, 1);
	if (!c || go(camera, c, 5, &g) != 0)
		return 1;
	while ((rc = pictures_peek(c, &p)) == 0) {
		long light = 0;

		for (int y = 0; y < HEIGHT; y++) {
			for (int x = 0; x < WIDTH; x++)
				light += p->pixel[y][x];
		}
		printf("picture %d: light %ld\n", p->number, light);
		pictures_release(c); /* the slot is the camera's again */
	}
	printf("then: %s\n", weft_strerror(rc));
	wg_wait(&g);
	pictures_free(c);
	return 0;
}
